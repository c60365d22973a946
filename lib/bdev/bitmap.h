/* SPDX-License-Identifier: BSD-3-Clause */
/* A bitmap of up to 2^27 bits that is cheap while it is empty: memory that was
 * never touched is not allocated, and clearing touches only what was set.
 *
 * Thread-safety: none; the caller's lock guards it.
 */

#ifndef MNBD_BITMAP_H
#define MNBD_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct bitmap {
  uint64_t bits;                /* how many there are */
  uint64_t set;                 /* how many of them are set */
  uint64_t *word;
  /* For each block of words: whether one of them may be other than 0. */
  bool *used;
  uint64_t blocks;
};

/* All bits are clear.  Returns 0, or -1 with errno ENOMEM. */
int bitmap_init (struct bitmap *b, uint64_t bits);
void bitmap_free (struct bitmap *b);

/* Set or clear the bits from `from` to before `to`. */
void bitmap_set (struct bitmap *b, uint64_t from, uint64_t to);
void bitmap_clear (struct bitmap *b, uint64_t from, uint64_t to);
bool bitmap_all (const struct bitmap *b, uint64_t from, uint64_t to);
bool bitmap_any (const struct bitmap *b, uint64_t from, uint64_t to);

/* The first bit that is set, or clear, from `from` to before `to`; `to` if
 * there is none.
 */
uint64_t bitmap_next_set (const struct bitmap *b, uint64_t from, uint64_t to);
uint64_t bitmap_next_clear (const struct bitmap *b, uint64_t from,
                            uint64_t to);

void bitmap_clear_all (struct bitmap *b);

/* Set all bits that are set in src, which has the same size. */
void bitmap_or (struct bitmap *b, const struct bitmap *src);

void bitmap_swap (struct bitmap *a, struct bitmap *b);

#endif /* MNBD_BITMAP_H */
