/* SPDX-License-Identifier: BSD-3-Clause */
/* Space in the arena's file.  It is taken before it is promised, so a full file
 * system means ENOSPC for one request, and never SIGBUS (A7, P1).
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/crash-point.h"

int
arena_file_allocate (struct arena_private *p, int mode, page_t page, unsigned n)
{
  int r;

  do
    r = fallocate (p->file->fd, mode, (off_t) page << PAGE_SHIFT,
                   (off_t) n << PAGE_SHIFT);
  while (r == -1 && errno == EINTR);
  return r;
}

static int
allocate (struct arena_private *p, int mode, page_t page, unsigned n)
{
  int r = arena_file_allocate (p, mode, page, n);

  CRASH_POINT ();
  return r;
}

/* Set or clear the bits of a run of pages in one chunk.  Release: after the
 * stores before it (P1).
 */
static void
set_bits (struct arena_private *p, page_t page, unsigned n, bool set)
{
  unsigned k;

  for (; n > 0; n -= k, page += k) {
    _Atomic uint64_t *word = arena_file_bits (&p->a, page / CHUNK_PAGES,
                                              page % CHUNK_PAGES / 64);
    uint64_t mask;

    k = 64 - page % 64 < n ? 64 - page % 64 : n;
    mask = (k == 64 ? UINT64_MAX : (UINT64_C (1) << k) - 1) << page % 64;
    if (set)
      atomic_fetch_or_explicit (word, mask, memory_order_release);
    else
      atomic_fetch_and_explicit (word, ~mask, memory_order_release);
    CRASH_POINT ();
  }
}

int
arena_file_take (struct arena_private *p, page_t page, unsigned n)
{
  if (allocate (p, 0, page, n) == -1)
    return -1;
  /* One fault for all; after an error, the pages are faulted in one by one. */
  (void) madvise (arena_addr (&p->a, page), (size_t) n << PAGE_SHIFT,
                  MADV_POPULATE_WRITE);
  set_bits (p, page, n, true);
  return 0;
}

int
arena_file_punch (struct arena_private *p, page_t page, unsigned n)
{
  set_bits (p, page, n, false);
  if (allocate (p, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, n) == 0)
    return 0;
  set_bits (p, page, n, true);
  return -1;
}

bool
arena_file_retract (struct arena_private *p, uint32_t c)
{
  struct chunk *ch = &p->chunk[c];
  int64_t n = ch->ndirty, spare = spare_pages (p);
  int64_t need = n > spare ? n - spare : 0, credit;

  /* A huge page is returned as a whole. */
  if (p->file->unit > 1 && n < CHUNK_PAGES)
    return false;
  credit = atomic_load_explicit (&p->credit, memory_order_relaxed);
  do {
    if (need > 0 && credit < need)
      return false;
  } while (!atomic_compare_exchange_weak_explicit (&p->credit, &credit,
                                                   credit - need,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed));
  atomic_fetch_sub_explicit (&p->promised, need, memory_order_relaxed);
  p->backed -= n;
  return true;
}

/* Extend the file by one chunk (P2). */
static int
extend (struct arena_private *p) REQUIRES (p->space_lock)
{
  struct arena_file *f = p->file;
  uint32_t c = atomic_load_explicit (&f->header->chunks,
                                     memory_order_relaxed);
  uint64_t size = (c + 1) * CHUNK_BYTES;
  unsigned w;

  if (f->size < size) {
    if (ftruncate (f->fd, size) == -1)
      return -1;
    f->size = size;
    CRASH_POINT ();
  }
  if (c > 0 && c % LAYOUT_GROUP_CHUNKS == 0 &&
      arena_file_take (p, c * CHUNK_PAGES, 1) == -1)
    return -1;
  /* A file that was truncated or damaged may have bits for it (P1). */
  for (w = 0; w < CHUNK_WORDS; w++)
    atomic_store_explicit (arena_file_bits (&p->a, c, w), 0,
                           memory_order_relaxed);
  atomic_store_explicit (&f->header->chunks, c + 1, memory_order_release);
  CRASH_POINT ();
  return 0;
}

/* A chunk with free pages that have no space; NIL if there is none, and no room
 * in the file for another.
 */
static uint32_t
chunk_to_back (struct arena_private *p) REQUIRES (p->space_lock, p->lock)
{
  uint32_t c;
  int r;

  if (p->head[CLEAN] != NIL)
    return p->head[CLEAN];
  if (p->head[COLD] != NIL)
    return p->head[COLD];
  if (p->top < p->nchunks) {
    mutex_unlock (&p->lock);
    r = extend (p);
    if (r == -1)
      atomic_store (&p->file->space_error, errno);
    mutex_lock (&p->lock);
    if (r == 0) {
      c = arena_new_chunk (p);  /* only the holder of space_lock adds one */
      arena_put_pages (p, c * CHUNK_PAGES, 0, 0);
      return c;
    }
  }
  for (c = p->head[DIRTY]; c != NIL; c = p->chunk[c].next)
    if (p->chunk[c].ndirty < p->chunk[c].nfree)
      return c;
  return NIL;
}

/* Take space for the pages of a chunk, in runs as long as possible.  Pages that
 * got space stay set in got.
 */
static void
take_pages (struct arena_private *p, uint32_t c,
            const uint64_t want[CHUNK_WORDS], uint64_t got[CHUNK_WORDS])
{
  unsigned i, j, most = CHUNK_PAGES;

  for (i = 0; i < CHUNK_PAGES; i = j) {
    bool in = want[i / 64] >> (i % 64) & 1;
    unsigned k;

    for (j = i + 1; j < CHUNK_PAGES; j++)
      if ((want[j / 64] >> (j % 64) & 1) != in || (in && j - i == most))
        break;
    if (!in)
      continue;
    if (arena_file_take (p, c * CHUNK_PAGES + i, j - i) == -1) {
      atomic_store (&p->file->space_error, errno);
      if (most == 1 || p->file->unit > 1)
        return;
      most /= 8;                /* even a little counts */
      j = i;
      continue;
    }
    for (k = i; k < j; k++)
      got[k / 64] |= UINT64_C (1) << (k % 64);
  }
  atomic_store (&p->file->space_error, 0);
}

/* Take space for as much of one chunk as possible.  Returns false if there is
 * none.
 */
static bool
back_chunk (struct arena_private *p) REQUIRES (p->space_lock, p->lock)
{
  uint64_t want[CHUNK_WORDS], got[CHUNK_WORDS] = { 0 };
  uint64_t n = 0;
  uint32_t c = chunk_to_back (p);
  unsigned w;

  if (c == NIL)
    return false;
  for (w = 0; w < CHUNK_WORDS; w++) {
    want[w] = p->chunk[c].free[w] & ~p->chunk[c].dirty[w];
    if (want[w])
      arena_chunk_take (p, c, w, want[w]);
  }
  mutex_unlock (&p->lock);
  take_pages (p, c, want, got);
  mutex_lock (&p->lock);
  for (w = 0; w < CHUNK_WORDS; w++)
    if (want[w]) {
      arena_chunk_put (p, c, w, want[w], got[w]);
      n += __builtin_popcountll (got[w]);
    }
  p->backed += n;
  return n > 0;
}

bool
arena_back (struct arena_private *p, uint64_t n, bool promise)
{
  int64_t limit = p->limit, gained = 0, spare, lack, promised;

  mutex_lock (&p->space_lock);
  mutex_lock (&p->lock);
  for (;;) {
    /* After a recovery in a full file system, it may be too little. */
    lack = p->file->overdraft -
      atomic_load_explicit (&p->overdraft, memory_order_relaxed);
    spare = spare_pages (p);
    if (lack > 0 && spare > 0) {
      lack = lack < spare ? lack : spare;
      atomic_fetch_add_explicit (&p->overdraft, lack, memory_order_relaxed);
      continue;
    }
    promised = atomic_load_explicit (&p->promised, memory_order_relaxed);
    if (promise && spare > 0 && promised < limit) {
      if (spare > limit - promised)
        spare = limit - promised;
      atomic_fetch_add_explicit (&p->promised, spare, memory_order_relaxed);
      atomic_fetch_add_explicit (&p->credit, spare, memory_order_relaxed);
      gained += spare;
      continue;
    }
    if (lack <= 0 && (promise ? gained >= (int64_t) n || promised >= limit
                      : spare >= (int64_t) n))
      break;
    if (!back_chunk (p))
      break;
  }
  mutex_unlock (&p->lock);
  mutex_unlock (&p->space_lock);
  return promise ? gained > 0 : spare >= (int64_t) n;
}

int
arena_space_error (struct arena *a)
{
  return a->priv->file ? atomic_load (&a->priv->file->space_error) : 0;
}

const char *
arena_no_space (struct arena *a, char buf[ARENA_NO_SPACE])
{
  int err = arena_space_error (a);

  if (err == 0)
    return "no memory is left: max-memory is reached";
  snprintf (buf, ARENA_NO_SPACE, "no space is left for the arena's file: %s",
            strerror (err));
  return buf;
}

void
arena_file_check (struct arena_private *p)
{
  uint64_t has, fixed = 0;
  struct stat st;
  uint32_t c;
  unsigned i;

  for (c = 0; c < p->top; c++)
    for (i = fixed_pages (p, c); i < CHUNK_PAGES; i++) {
      bool clean = (p->chunk[c].free[i / 64] & ~p->chunk[c].dirty[i / 64]) >>
        (i % 64) & 1;

      if (arena_file_has (&p->a, c * CHUNK_PAGES + i) == clean) {
        fprintf (stderr, "arena: invariant P1 broken: page %" PRIu32
                 " has %s space\n", c * CHUNK_PAGES + i, clean ? "" : "no");
        abort ();
      }
    }
  if (p->file->in_memory && fstat (p->file->fd, &st) == 0) {
    for (c = 0; c < p->top; c++)
      fixed += fixed_pages (p, c);
    has = (uint64_t) st.st_blocks * 512 / PAGE_BYTES;
    if (p->file->unit == 1 && has != p->backed + (fixed ? fixed : PAGE_FIRST)) {
      fprintf (stderr, "arena: invariant P1 broken: the file has %" PRIu64
               " pages, of which %" PRIu64 " are known\n", has,
               p->backed + fixed);
      abort ();
    }
  }
}
