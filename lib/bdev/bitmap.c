/* SPDX-License-Identifier: BSD-3-Clause */
/* A bitmap that is cheap while it is empty. */

#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "bdev/bitmap.h"

#define WORD_BITS 64
/* The number of words whose state is stored in one bit: those of a page of
 * memory.
 */
#define BLOCK_WORDS 512
#define BLOCK_BITS (BLOCK_WORDS * (uint64_t) WORD_BITS)

static size_t
bytes_of (const struct bitmap *b)
{
  return b->blocks * BLOCK_WORDS * sizeof *b->word;
}

int
bitmap_init (struct bitmap *b, uint64_t bits)
{
  void *map;

  memset (b, 0, sizeof *b);
  b->bits = bits;
  b->blocks = bits / BLOCK_BITS + 1;
  b->used = calloc (b->blocks, sizeof *b->used);
  if (b->used == NULL)
    return -1;
  map = mmap (NULL, bytes_of (b), PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) {
    free (b->used);
    b->used = NULL;
    errno = ENOMEM;
    return -1;
  }
  b->word = map;
  return 0;
}

void
bitmap_free (struct bitmap *b)
{
  if (b->word)
    munmap (b->word, bytes_of (b));
  free (b->used);
  b->word = NULL;
  b->used = NULL;
}

/* The bits, from `from` to before `to`, of the word that contains `from`. */
static uint64_t
mask (uint64_t from, uint64_t to)
{
  uint64_t low = from % WORD_BITS, n = to - from;
  uint64_t m = n >= WORD_BITS ? UINT64_MAX : (UINT64_C (1) << n) - 1;

  return m << low;
}

/* The first bit of the next word, at most `to`. */
static uint64_t
next_word (uint64_t from, uint64_t to)
{
  uint64_t next = (from / WORD_BITS + 1) * WORD_BITS;

  return next < to ? next : to;
}

void
bitmap_set (struct bitmap *b, uint64_t from, uint64_t to)
{
  for (; from < to; from = next_word (from, to)) {
    uint64_t *w = &b->word[from / WORD_BITS];
    uint64_t m = mask (from, to);

    b->set += __builtin_popcountll (m & ~*w);
    *w |= m;
    b->used[from / BLOCK_BITS] = true;
  }
}

void
bitmap_clear (struct bitmap *b, uint64_t from, uint64_t to)
{
  for (; from < to; from = next_word (from, to)) {
    uint64_t *w = &b->word[from / WORD_BITS];
    uint64_t m = mask (from, to);

    b->set -= __builtin_popcountll (m & *w);
    *w &= ~m;
  }
}

bool
bitmap_all (const struct bitmap *b, uint64_t from, uint64_t to)
{
  return bitmap_next_clear (b, from, to) == to;
}

bool
bitmap_any (const struct bitmap *b, uint64_t from, uint64_t to)
{
  return bitmap_next_set (b, from, to) != to;
}

/* invert: find a clear bit. */
static uint64_t
next (const struct bitmap *b, uint64_t from, uint64_t to, uint64_t invert)
{
  while (from < to) {
    uint64_t found;

    if (!invert && !b->used[from / BLOCK_BITS]) {
      from = (from / BLOCK_BITS + 1) * BLOCK_BITS;
      continue;
    }
    found = (b->word[from / WORD_BITS] ^ invert) & mask (from, to);
    if (found)
      return from / WORD_BITS * WORD_BITS + __builtin_ctzll (found);
    from = next_word (from, to);
  }
  return to;
}

uint64_t
bitmap_next_set (const struct bitmap *b, uint64_t from, uint64_t to)
{
  return next (b, from, to, 0);
}

uint64_t
bitmap_next_clear (const struct bitmap *b, uint64_t from, uint64_t to)
{
  return next (b, from, to, UINT64_MAX);
}

void
bitmap_clear_all (struct bitmap *b)
{
  uint64_t i;

  for (i = 0; i < b->blocks; i++)
    if (b->used[i]) {
      memset (b->word + i * BLOCK_WORDS, 0, BLOCK_WORDS * sizeof *b->word);
      b->used[i] = false;
    }
  b->set = 0;
}

void
bitmap_or (struct bitmap *b, const struct bitmap *src)
{
  uint64_t i, k;

  for (i = 0; i < src->blocks; i++) {
    if (!src->used[i])
      continue;
    b->used[i] = true;
    for (k = i * BLOCK_WORDS; k < (i + 1) * BLOCK_WORDS; k++) {
      b->set += __builtin_popcountll (src->word[k] & ~b->word[k]);
      b->word[k] |= src->word[k];
    }
  }
}

void
bitmap_swap (struct bitmap *a, struct bitmap *b)
{
  struct bitmap t = *a;

  *a = *b;
  *b = t;
}
