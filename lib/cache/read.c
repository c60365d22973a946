/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads, and the blocks that they bring into the cache. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/cache-private.h"

/* A read of the origin includes up to this many cached blocks in its middle
 * rather than being split in two.
 */
#define BRIDGE 16

/* The most that one read of the origin asks for, in bytes.  This is less than
 * BDEV_MOST, because blocks reach beyond a request.
 */
#define MOST_SPAN (32u << 20)

/* ----------------------------------------------------------------- hits */

/* The sum of the words' identities.  A generation only grows, so while the sum
 * stays the same, each word does.  Returns false if a block is not VALID.
 */
static bool
sum_words (struct cache *c, struct blocks b, uint64_t *sum)
{
  uint64_t i;

  *sum = 0;
  for (i = b.first; i < b.end; i++) {
    uint32_t w = state (c, i);

    if (!(w & VALID))
      return false;
    *sum += w & IDENTITY;
  }
  return true;
}

/* Remember that these blocks were read.  Usually they are marked already: then
 * nothing is written.
 */
static void
mark_used (struct cache *c, struct blocks b)
{
  uint64_t i, ahead = 0;

  for (i = b.first; i < b.end; i++) {
    _Atomic uint32_t *w = table_word (c, i);
    uint32_t old = w ? atomic_load_explicit (w, memory_order_relaxed) : 0;

    if (!(old & VALID) || (old & (USED | AHEAD)) == USED)
      continue;
    if (old & AHEAD) {
      old = atomic_fetch_and_explicit (w, ~AHEAD, memory_order_relaxed);
      if (old & AHEAD)
        ahead++;
    }
    atomic_fetch_or_explicit (w, USED, memory_order_relaxed);
  }
  if (ahead)
    count (c, AHEAD_USED, ahead << c->shift);
}

static bool
read_hit (struct cache *c, struct bdev *local, void *buf, uint32_t n,
          uint64_t offset)
{
  struct blocks b = touched (c, offset, n);
  uint64_t before, after;

  if (!sum_words (c, b, &before) || local_read (c, local, buf, n, offset) == -1)
    return false;
  /* Pairs with the fence of table_forget (C3). */
#if !defined(__SANITIZE_THREAD__)
  atomic_thread_fence (memory_order_acquire);
#endif
  if (!sum_words (c, b, &after) || before != after)
    return false;
  mark_used (c, b);
  return true;
}

/* --------------------------------------------------------------- misses */

uint64_t
count_absent (struct cache *c, struct blocks b)
{
  uint64_t i, n = 0;

  for (i = b.first; i < b.end; i++)
    n += !(state (c, i) & VALID);
  return n;
}

/* Under the range lock.  Keep the absent blocks of these, whose bytes are in
 * data, while there is room.
 */
static void
keep (struct cache *c, struct bdev *local, struct blocks b, const char *data,
      uint64_t *room, uint32_t bits)
{
  uint64_t base = block_start (c, b.first), i = b.first;

  while (i < b.end) {
    struct blocks run = { i, i };
    uint64_t start = block_start (c, i);

    while (run.end < b.end && run.end - run.first < *room &&
           !(state (c, run.end) & VALID) && table_make_word (c, run.end))
      run.end++;
    if (run.end == run.first) {
      if (!(state (c, i) & VALID))
        count (c, UNCACHED, c->block);
      i++;
      continue;
    }
    if (local_write (c, local, data + (start - base),
                     block_end (c, run.end - 1) - start, start) == 0) {
      for (i = run.first; i < run.end; i++)
        table_set_valid (c, i, bits);
      *room -= run.end - run.first;
      if (bits & AHEAD)
        count (c, AHEAD_FETCHED, (run.end - run.first) << c->shift);
    }
    else {
      /* The local bdev may hold a part of it, which nobody would ever find:
       * drop it.
       */
      local_drop (c, local, run);
      count (c, UNCACHED, (run.end - run.first) << c->shift);
    }
    i = run.end;
  }
}

/* A client's buffer, and the bytes of the disk that it is for. */
struct window {
  char *buf;
  uint64_t start, end;
};

/* Under the range lock.  Read these blocks from the origin.  None is DIRTY. */
static int
fetch (struct cache *c, struct bdev *local, struct blocks b,
       struct window win, uint64_t *room, uint32_t bits)
{
  uint64_t start = block_start (c, b.first), end = block_end (c, b.end - 1);
  CLEANUP_FREE char *bounce = NULL;
  char *data;

  if (start >= win.start && end <= win.end)
    data = win.buf + (start - win.start);
  else {
    data = bounce = malloc (end - start);
    if (bounce == NULL)
      return -1;
  }
  if (origin_read (c, data, end - start, start) == -1)
    return -1;
  if (bounce) {
    uint64_t from = start > win.start ? start : win.start;
    uint64_t to = end < win.end ? end : win.end;

    if (from < to)
      memcpy (win.buf + (from - win.start), bounce + (from - start),
              to - from);
  }
  keep (c, local, b, data, room, bits);
  return 0;
}

int
fill_block (struct cache *c, struct bdev *local, uint64_t block,
            uint64_t *room)
{
  struct window nobody = { NULL, 0, 0 };

  return fetch (c, local, (struct blocks) { block, block + 1 }, nobody, room,
                0);
}

/* What to read from the origin at once, starting with this absent block. */
static struct blocks
span (struct cache *c, uint64_t block, uint64_t end)
{
  struct blocks b = { block, block + 1 };
  uint64_t i;

  if (end - block > MOST_SPAN >> c->shift)
    end = block + (MOST_SPAN >> c->shift);
  for (i = b.end; i < end && i - b.end <= BRIDGE; i++) {
    uint32_t w = state (c, i);

    if (w & DIRTY)
      break;
    if (!(w & VALID))
      b.end = i + 1;
  }
  return b;
}

/* Under the range lock.  Read as many consecutive VALID blocks as there are
 * from block on; *next is the first block not read.  A clean block that cannot
 * be read is forgotten.
 */
static int
read_valid (struct cache *c, struct bdev *local, uint64_t block, uint64_t end,
            struct window win, uint64_t *next)
{
  uint64_t i = block, from, to;

  while (i < end && state (c, i) & VALID)
    i++;
  for (;;) {
    from = block_start (c, block);
    to = block_end (c, i - 1);
    from = from > win.start ? from : win.start;
    to = to < win.end ? to : win.end;
    *next = i;
    if (local_read (c, local, win.buf + (from - win.start), to - from,
                    from) == 0)
      return 0;
    if (i == block + 1)
      break;
    /* One of these blocks failed: find it. */
    i = block + 1;
  }
  if (state (c, block) & DIRTY)
    return -1;
  table_forget (c, local, block, block + 1, false);
  *next = block;
  return 0;
}

static int
read_locked (struct cache *c, struct bdev *local, struct window win,
             struct blocks b, uint64_t *room, uint32_t bits)
{
  uint64_t i = b.first, missed = 0;

  while (i < b.end) {
    if (state (c, i) & VALID) {
      if (read_valid (c, local, i, b.end, win, &i) == -1)
        return -1;
    }
    else {
      struct blocks s = span (c, i, b.end);

      if (fetch (c, local, s, win, room, bits) == -1)
        return -1;
      missed += s.end - s.first;
      i = s.end;
    }
  }
  if (!(bits & AHEAD)) {
    uint64_t bytes = missed << c->shift, all = win.end - win.start;

    if (bytes > all)
      bytes = all;
    count (c, missed ? MISSES : HITS, 1);
    count (c, MISS_BYTES, bytes);
    count (c, HIT_BYTES, all - bytes);
    mark_used (c, b);
  }
  return 0;
}

void
cache_forget (struct cache *c, struct bdev *local)
{
  struct blocks all = { 0, c->blocks };
  struct range range;

  lock_blocks (c, &range, all);
  table_forget_all (c, local);
  ranges_unlock (&c->ranges, &range);
}

/* The first block that the local bdev does not have; it does not have this one.
 */
static uint64_t
find_cut (struct cache *c, struct bdev *local, uint64_t missing)
{
  CLEANUP_FREE char *buf = malloc (c->block);
  uint64_t first = 0, last = missing;

  while (buf && first < last) {
    uint64_t middle = first + (last - first) / 2;

    if (local_has (c, local, middle, buf))
      first = middle + 1;
    else
      last = middle;
  }
  return last;
}

/* When the local bdev grows again, it has zeros in what was cut off.  So no
 * clean block can be trusted, and dirty ones must not be read from there.
 */
void
forget_cut_off (struct cache *c, struct bdev *local)
{
  struct blocks all = { 0, c->blocks };
  struct range range;
  uint64_t missing, cut;

  lock_blocks (c, &range, all);
  missing = atomic_exchange (&c->missing, NO_BLOCK);
  if (missing != NO_BLOCK) {
    cut = find_cut (c, local, missing);
    atomic_store (&c->cut, cut);
    table_lose (c, cut);
    table_forget_all (c, local);
  }
  ranges_unlock (&c->ranges, &range);
}

int
read_miss (struct cache *c, struct bdev *local, void *buf, uint32_t n,
           uint64_t offset, uint32_t bits)
{
  struct blocks b = touched (c, offset, n);
  struct window win = { buf, offset, offset + n };
  uint64_t room = count_absent (c, b);
  struct range range;
  int r, err;

  /* Make room before taking the lock, because that may have to wait for others.
   * If more blocks are absent once we hold the lock, the extra ones are not
   * kept.
   */
  if (room && !room_take (c, local, room))
    room = 0;
  lock_blocks (c, &range, b);
  r = read_locked (c, local, win, b, &room, bits);
  err = errno;
  ranges_unlock (&c->ranges, &range);
  room_give (c, room);
  check_cut (c, local);
  errno = err;
  return r;
}

int
cache_read (struct cache *c, struct cache_client *client, struct bdev *local,
            void *buf, uint32_t n, uint64_t offset)
{
  if (check_running (c) == -1)
    return -1;
  /* Read ahead first, so that it overlaps with a miss. */
  read_ahead (c, client, offset, n);
  if (read_hit (c, local, buf, n, offset)) {
    count (c, HITS, 1);
    count (c, HIT_BYTES, n);
    return 0;
  }
  return read_miss (c, local, buf, n, offset, 0);
}

int
cache_prefetch (struct cache *c, struct bdev *local, uint32_t n,
                uint64_t offset)
{
  CLEANUP_FREE char *buf = NULL;

  while (n > 0) {
    uint32_t part = CHUNK - (offset & (CHUNK - 1));

    if (part > n)
      part = n;
    if (check_running (c) == -1)
      return -1;
    if (buf == NULL && (buf = malloc (CHUNK)) == NULL)
      return -1;
    if (count_absent (c, touched (c, offset, part)) > 0 &&
        read_miss (c, local, buf, part, offset, AHEAD | USED) == -1)
      return -1;
    n -= part;
    offset += part;
  }
  return 0;
}
