/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes, zeroes and trims. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/cache-private.h"

/* A write in progress. */
struct write {
  struct cache *c;
  struct bdev *local;           /* the client's */
  const char *buf;
  uint64_t start, end;          /* bytes of the disk */
  uint32_t flags;
  bool through;                 /* the origin has it already */
  uint64_t room;                /* blocks that may become VALID */
  uint64_t may_dirty;           /* blocks that may become DIRTY */
};

/* The part of the write that lies in these blocks. */
struct part {
  const char *buf;
  uint64_t start;
  uint32_t n;
};

/* The part's place. buf is not set, because zeros and trims have no bytes. */
static struct part
place_of (const struct write *w, struct blocks b)
{
  uint64_t start = block_start (w->c, b.first);
  uint64_t end = block_end (w->c, b.end - 1);

  if (start < w->start)
    start = w->start;
  if (end > w->end)
    end = w->end;
  return (struct part) { .start = start, .n = end - start };
}

static struct part
part_of (const struct write *w, struct blocks b)
{
  struct part p = place_of (w, b);

  p.buf = w->buf + (p.start - w->start);
  return p;
}

static bool
is_whole (const struct write *w, uint64_t block)
{
  return w->start <= block_start (w->c, block) &&
    block_end (w->c, block) <= w->end;
}

/* Only the local bdev has the rest of a dirty block, but it cannot take this
 * part: write the whole block to the origin.
 */
static int
rescue (const struct write *w, uint64_t block)
{
  struct cache *c = w->c;
  uint64_t start = block_start (c, block);
  uint32_t n = block_end (c, block) - start;
  struct part p = part_of (w, (struct blocks) { block, block + 1 });
  CLEANUP_FREE char *all = malloc (n);

  if (all == NULL || local_read (c, w->local, all, n, start) == -1)
    return -1;
  memcpy (all + (p.start - start), p.buf, p.n);
  if (origin_write (c, all, n, start, w->flags & BDEV_FUA) == -1)
    return -1;
  table_forget (c, w->local, block, block + 1, false);
  return 0;
}

/* The local bdev failed to store a part of one block: nobody may read what it
 * left there.
 */
static int
store_failed (const struct write *w, uint64_t block)
{
  struct blocks b = { block, block + 1 };
  struct part p = part_of (w, b);
  uint32_t old = state (w->c, block);

  if (old & DIRTY && !is_whole (w, block))
    return rescue (w, block);
  count (w->c, UNCACHED, w->c->block);
  if (!w->through &&
      origin_write (w->c, p.buf, p.n, p.start, w->flags & BDEV_FUA) == -1) {
    int err = errno;

    table_forget (w->c, w->local, block, block + 1, true);
    errno = err;
    return -1;
  }
  table_forget (w->c, w->local, block, block + 1, false);
  if (!(old & VALID))
    local_drop (w->c, w->local, b);
  return 0;
}

/* Write to blocks that are VALID, or whole and have room. */
static int
store (struct write *w, struct blocks b)
{
  struct part p = part_of (w, b);
  uint64_t i;

  if (local_write (w->c, w->local, p.buf, p.n, p.start) == -1) {
    if (b.end - b.first == 1)
      return store_failed (w, b.first);
    for (i = b.first; i < b.end; i++)
      if (store (w, (struct blocks) { i, i + 1 }) == -1)
        return -1;
    return 0;
  }
  if (!w->through) {
    for (i = b.first; i < b.end; i++)
      if (is_whole (w, i))
        table_found (w->c, i);
    w->may_dirty -= dirty_mark (w->c, b, &w->room);
    return 0;
  }
  for (i = b.first; i < b.end; i++) {
    if (!(state (w->c, i) & VALID)) {
      table_set_valid (w->c, i, 0);
      w->room--;
    }
    /* A part of a dirty block leaves it dirty. */
    if (is_whole (w, i))
      table_clean (w->c, i);
  }
  return 0;
}

/* Will the local bdev take this block?  If so, this uses up one of *room. */
static bool
is_wanted (const struct write *w, uint64_t block, uint64_t *room)
{
  if (state (w->c, block) & VALID)
    return true;
  if (!is_whole (w, block) || *room == 0 ||
      table_make_word (w->c, block) == NULL)
    return false;
  --*room;
  return true;
}

/* The run of blocks from block on that the local bdev will take, or will not.
 */
static struct blocks
run_of (const struct write *w, uint64_t block, uint64_t end, bool *wanted)
{
  struct blocks b = { block, block + 1 };
  uint64_t room = w->room;

  *wanted = is_wanted (w, block, &room);
  while (b.end < end && is_wanted (w, b.end, &room) == *wanted)
    b.end++;
  return b;
}

/* Under the range lock of b.  A request has failed, and nobody knows which part
 * of it either disk has.  Returns -1 with errno as it was.
 */
static int
failed (struct write *w, struct blocks b)
{
  int err = errno;

  table_forget (w->c, w->local, b.first, b.end, true);
  errno = err;
  return -1;
}

/* Under the range lock of b. */
static int
write_locked (struct write *w, struct blocks b)
{
  struct cache *c = w->c;
  struct blocks run;
  struct part p;
  uint64_t i;
  bool wanted;

  if (w->through) {
    if (origin_write (c, w->buf, w->end - w->start, w->start, w->flags) == -1)
      return failed (w, b);
  }
  else {
    /* A block is dirty as a whole, so fill it first.  If that fails, this part
     * goes to the origin.
     */
    if (!is_whole (w, b.first) && !(state (c, b.first) & VALID) && w->room)
      fill_block (c, w->local, b.first, &w->room);
    if (!is_whole (w, b.end - 1) && !(state (c, b.end - 1) & VALID) && w->room)
      fill_block (c, w->local, b.end - 1, &w->room);
  }
  for (i = b.first; i < b.end; i = run.end) {
    run = run_of (w, i, b.end, &wanted);
    if (wanted) {
      if (store (w, run) == -1)
        return failed (w, b);
    }
    else if (!w->through) {
      p = part_of (w, run);
      if (origin_write (c, p.buf, p.n, p.start, w->flags) == -1)
        return failed (w, b);
    }
  }
  return 0;
}

int
cache_write (struct cache *c, struct bdev *local, const void *buf, uint32_t n,
             uint64_t offset, uint32_t flags)
{
  struct blocks b = touched (c, offset, n);
  struct write w = { .c = c, .local = local, .buf = buf, .start = offset,
                     .end = offset + n, .flags = flags, .through = true };
  struct range range;
  int r, err;

  if (check_running (c) == -1)
    return -1;
  count (c, WRITES, 1);
  count (c, WRITTEN, n);
  if (c->o.writeback && !(flags & BDEV_FUA) &&
      dirty_take (c, local, b.end - b.first)) {
    w.may_dirty = b.end - b.first;
    w.through = false;
  }
  w.room = count_absent (c, b);
  if (w.room && !room_take (c, local, w.room))
    w.room = 0;
  lock_blocks (c, &range, b);
  r = write_locked (&w, b);
  err = errno;
  ranges_unlock (&c->ranges, &range);
  check_cut (c, local);
  room_give (c, w.room);
  if (!w.through)
    dirty_done (c, b.end - b.first, w.may_dirty);
  /* If these blocks became dirty after cache_stop had looked for dirty blocks,
   * the queue's lock has made us see its start.
   */
  if (r == 0 && !w.through && check_running (c) == -1)
    return -1;
  errno = err;
  return r;
}

/* --------------------------------------------------------------- zeroes */

/* Under the range lock: the origin has zeros there; what is cached follows. */
static int
zero_blocks (struct write *w, struct blocks b)
{
  struct cache *c = w->c;
  uint64_t i = b.first, j;

  while ((i = table_skip (c, i, b.end)) < b.end) {
    struct blocks run = { i, i };

    while (run.end < b.end && run.end - run.first < most_blocks (c) &&
           is_whole (w, run.end) && state (c, run.end) & VALID)
      run.end++;
    if (run.end > run.first) {
      if (local_zero (c, w->local, run) == 0)
        for (j = run.first; j < run.end; j++)
          table_clean (c, j);
      else
        table_forget (c, w->local, run.first, run.end, false);
      i = run.end;
      continue;
    }
    if (state (c, i) & VALID) {
      /* The edges.  Each lies within one block, and buf has a block's zeros. */
      struct part p = place_of (w, (struct blocks) { i, i + 1 });

      if (local_write (c, w->local, w->buf, p.n, p.start) == -1) {
        if (state (c, i) & DIRTY) {
          struct write edge = *w;

          edge.start = p.start;
          edge.end = p.start + p.n;
          if (rescue (&edge, i) == -1)
            return -1;
        }
        else
          table_forget (c, w->local, i, i + 1, false);
      }
    }
    i++;
  }
  return 0;
}

int
cache_zero (struct cache *c, struct bdev *local, uint32_t n, uint64_t offset,
            uint32_t flags)
{
  struct blocks b = touched (c, offset, n);
  CLEANUP_FREE char *zeros = calloc (1, c->block);
  struct write w = { .c = c, .local = local, .buf = zeros, .start = offset,
                     .end = offset + n, .flags = flags, .through = true };
  struct range range;
  int r, err;

  if (check_running (c) == -1)
    return -1;
  if (zeros == NULL)
    return -1;
  lock_blocks (c, &range, b);
  r = origin_zero (c, n, offset, flags);
  if (r == 0) {
    r = zero_blocks (&w, b);
    if (r == -1)
      failed (&w, b);
    err = errno;
    /* The origin has changed, so this errno would be wrong: it says that
     * nothing did.
     */
    if (r == -1 && (err == ENOTSUP || err == EOPNOTSUPP))
      err = EIO;
  }
  else {
    err = errno;
    /* "Not fast" is an answer: nothing was changed. */
    if (!(flags & BDEV_FAST_ZERO && (err == ENOTSUP || err == EOPNOTSUPP)))
      failed (&w, b);
  }
  ranges_unlock (&c->ranges, &range);
  check_cut (c, local);
  errno = err;
  return r;
}

/* ---------------------------------------------------------------- trims */

/* Under the range lock: write a dirty block to the origin. */
static int
write_back_edge (struct cache *c, struct bdev *local, uint64_t block)
{
  uint64_t start = block_start (c, block);
  uint32_t n = block_end (c, block) - start;
  CLEANUP_FREE char *all = NULL;

  if (!(state (c, block) & DIRTY))
    return 0;
  all = malloc (n);
  if (all == NULL || local_read (c, local, all, n, start) == -1 ||
      origin_write (c, all, n, start, 0) == -1)
    return -1;
  count (c, WRITTEN_BACK, n);
  table_clean (c, block);
  return 0;
}

/* Only the origin knows what the trimmed range reads as.  So it must first get
 * all other bytes of these blocks.
 */
static int
trim_locked (struct write *w, struct blocks b)
{
  struct cache *c = w->c;
  int r, err;

  if ((!is_whole (w, b.first) &&
       write_back_edge (c, w->local, b.first) == -1) ||
      (!is_whole (w, b.end - 1) &&
       write_back_edge (c, w->local, b.end - 1) == -1))
    return -1;
  r = origin_trim (c, w->end - w->start, w->start, w->flags);
  err = errno;
  table_forget (c, w->local, b.first, b.end, r == -1);
  errno = err;
  return r;
}

int
cache_trim (struct cache *c, struct bdev *local, uint32_t n, uint64_t offset,
            uint32_t flags)
{
  struct blocks b = touched (c, offset, n);
  struct write w = { .c = c, .local = local, .start = offset,
                     .end = offset + n, .flags = flags };
  struct range range;
  int r, err;

  if (check_running (c) == -1)
    return -1;
  lock_blocks (c, &range, b);
  r = trim_locked (&w, b);
  err = errno;
  ranges_unlock (&c->ranges, &range);
  check_cut (c, local);
  errno = err;
  return r;
}
