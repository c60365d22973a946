/* SPDX-License-Identifier: BSD-3-Clause */
/* Fetching from an origin's source: the table of fetches, runs, and reads.
 * disk-origin.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/copy.h"
#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"

/* -------------------------------------------------------- what is there */

page_t
origin_find (struct origin *o, uint64_t index, struct origin_leaf *leaf)
{
  uint64_t span;

  if (!leaf->known) {
    leaf->leaf = tree_find (&o->cache->tree, index, &span);
    leaf->known = true;
    if (leaf->leaf >= PAGE_FIRST)
      tree_prefetch (&o->cache->tree, leaf->leaf, slot_index (index, 1), 0,
                     PAGE_BYTES);
  }
  return leaf->leaf < PAGE_FIRST
    ? leaf->leaf : leaf_load (node_at (o->set->arena, leaf->leaf), index);
}

static void come_to (struct origin *o, uint64_t page);

void
origin_used (struct origin *o, uint64_t index)
{
  _Atomic uint8_t *mark = &o->mark[index / ORIGIN_CLUSTER & (o->nmarks - 1)];

  uint8_t was = atomic_load_explicit (mark, memory_order_relaxed);

  if (was != MARK_USED) {
    atomic_store_explicit (mark, MARK_USED, memory_order_relaxed);
    if (was == MARK_AHEAD)
      come_to (o, index);
  }
}

/* The end of the run of pages from index on that are all holes, or all not
 * holes.
 */
static uint64_t
run_end (struct origin *o, uint64_t index, uint64_t stop, bool *hole)
{
  bool first = true;

  while (index < stop) {
    uint64_t span, end;
    page_t leaf;

    rcu_enter ();
    leaf = tree_find (&o->cache->tree, index, &span);
    end = span < stop - index ? index + span : stop;
    while (index < end) {
      page_t page = leaf < PAGE_FIRST
        ? leaf : leaf_load (node_at (o->set->arena, leaf), index);

      if (first)
        *hole = page == PAGE_HOLE;
      first = false;
      if (*hole != (page == PAGE_HOLE)) {
        rcu_exit ();
        return index;
      }
      index = leaf < PAGE_FIRST ? end : index + 1;
    }
    rcu_exit ();
  }
  return stop;
}

bool
origin_missing (struct origin *o, uint64_t index, uint64_t stop,
                uint64_t *first, uint64_t *end)
{
  bool hole;

  if (index >= stop)
    return false;
  *end = run_end (o, index, stop, &hole);
  *first = index;
  if (hole)
    return true;
  if (*end == stop)
    return false;
  *first = *end;
  *end = run_end (o, *first, stop, &hole);
  return true;
}

static bool
is_hole (struct origin *o, uint64_t index)
{
  struct origin_leaf leaf = { .known = false };
  bool hole;

  rcu_enter ();
  hole = origin_find (o, index, &leaf) == PAGE_HOLE;
  rcu_exit ();
  return hole;
}

/* ------------------------------------------------------------ the table */

static struct fetch *
find_fetch_locked (struct origin *o, uint64_t first, uint64_t end)
  REQUIRES (o->lock)
{
  struct fetch *f;

  for (f = o->fetch; f; f = f->next)
    if (first < f->end && f->first < end)
      return f;
  return NULL;
}

/* The caller has one reference, and takes the fetch out of the table. */
static struct fetch *
add_fetch_locked (struct origin *o, uint64_t first, uint64_t end)
  REQUIRES (o->lock)
{
  struct fetch *f = calloc (1, sizeof *f);

  if (f) {
    f->first = first;
    f->end = end;
    f->refs = 1;
    f->next = o->fetch;
    o->fetch = f;
  }
  return f;
}

static void
put_fetch_locked (struct origin *o, struct fetch *f) REQUIRES (o->lock)
{
  if (--f->refs > 0)
    return;
  if (f->buf)
    atomic_fetch_sub_explicit (&o->set->buffers,
                               (f->end - f->first) << PAGE_SHIFT,
                               memory_order_relaxed);
  free (f->buf);
  free (f);
}

static void
put_fetch (struct origin *o, struct fetch *f)
{
  mutex_lock (&o->lock);
  put_fetch_locked (o, f);
  mutex_unlock (&o->lock);
}

/* O2: what was fetched is in the cache by now. */
static void
finish (struct origin *o, struct fetch *f, int error)
{
  struct fetch **p;

  mutex_lock (&o->lock);
  for (p = &o->fetch; *p != f; p = &(*p)->next)
    ;
  *p = f->next;
  f->error = error;
  f->done = true;
  pthread_cond_broadcast (&o->changed);
  mutex_unlock (&o->lock);
}

/* ----------------------------------------------------------------- runs */

/* From runs of this length on, in pages, the next one is fetched before
 * somebody needs it.
 */
#define LEAST_AHEAD (4 * ORIGIN_CLUSTER)

/* From runs of this length on, in pages, the next three are: with one, a reader
 * that is as fast as the source would wait for the source's latency once a run.
 */
#define LONG_RUN 128
#define AHEAD_RUNS 3

/* A reader follows its read-ahead if it uses at least one of so many clusters
 * that it passes.  Guests that boot jump within files, and would fetch a
 * multiple of what they need.
 */
#define SPARSE 2

static uint64_t
cluster_down (uint64_t page)
{
  return page & ~(uint64_t) (ORIGIN_CLUSTER - 1);
}

static bool
is_short_of_buffers (const struct origin *o)
{
  return atomic_load_explicit (&o->set->buffers,
                               memory_order_relaxed) > MOST_BUFFERS;
}

static uint64_t
block_down (const struct origin *o, uint64_t page)
{
  return page & ~(o->block - 1);
}

static uint64_t
block_up (const struct origin *o, uint64_t page)
{
  uint64_t up = (page + o->block - 1) & ~(o->block - 1);

  return up < o->pages ? up : o->pages;
}

/* The longest run.  With little room for the cache, what is fetched ahead must
 * not evict what was fetched just before.
 */
static uint64_t
most_run (const struct origin *o)
{
  uint64_t room = o->set->limit / (4 * AHEAD_RUNS);

  if (o->set->limit == 0 || room > ORIGIN_MOST_RUN)
    return ORIGIN_MOST_RUN;
  return room > ORIGIN_CLUSTER ? room : ORIGIN_CLUSTER;
}

/* The run that a stream should have when its reader has come to a page, with a
 * request of so many pages.  Long requests begin with long runs.  But no run is
 * longer than what was read so far, so that a reader that stops has fetched a
 * small multiple of it.
 */
static uint64_t
next_run (const struct origin *o, const struct stream *s, uint64_t end,
          uint64_t needed)
{
  uint64_t run = 2 * (s->run > needed ? s->run : needed);
  uint64_t most = cluster_down (end - s->begin);

  if (most < ORIGIN_CLUSTER)
    most = ORIGIN_CLUSTER;
  return min (min (run, most), most_run (o));
}

/* Find the stream of sequential reads that a miss continues, or start a new
 * one.  Sets the run that the stream should have now.
 */
static struct stream *
stream_locked (struct origin *o, uint64_t first, uint64_t needed)
  REQUIRES (o->lock)
{
  struct stream *s;
  unsigned i;

  for (i = 0; i < STREAMS; i++) {
    s = &o->stream[i];
    if (s->run && first <= s->next && first + needed > s->end) {
      s->begin = min (s->begin, first);
      s->run = next_run (o, s, first + needed, needed);
      return s;
    }
  }
  s = &o->stream[o->oldest++ % STREAMS];
  s->begin = first;
  s->run = ORIGIN_CLUSTER;
  return s;
}

/* A range that is to be fetched before somebody needs it, in runs. */
struct ahead {
  uint64_t first, end, run;
};

/* A reader of the stream has come to a page.  Find what is to be fetched for
 * the source to be some runs ahead of it: at least half a run, or nothing.
 */
static struct ahead
ahead_locked (struct origin *o, struct stream *s, uint64_t page, uint64_t run)
  REQUIRES (o->lock)
{
  uint64_t end = page + run * (run < LONG_RUN ? 1 : AHEAD_RUNS), i;
  struct ahead a = { .first = s->next, .end = s->next, .run = run };

  end = min (end, o->pages);
  s->end = page + 1 > s->end ? page + 1 : s->end;
  if (run < LEAST_AHEAD || is_short_of_buffers (o) || end <= s->next ||
      (end - s->next < run / 2 && end < o->pages))
    return a;
  /* A reader that comes there moves the range forward. */
  for (i = s->next; i < end; i += ORIGIN_CLUSTER)
    atomic_store_explicit (&o->mark[i / ORIGIN_CLUSTER & (o->nmarks - 1)],
                           MARK_AHEAD, memory_order_relaxed);
  s->run = run;
  s->next = a.end = end;
  s->from = page;
  s->used = 0;
  return a;
}

/* The same for the stream that the page was fetched for, if there is one. */
static struct ahead
follow_locked (struct origin *o, uint64_t page) REQUIRES (o->lock)
{
  unsigned i;

  for (i = 0; i < STREAMS; i++) {
    struct stream *s = &o->stream[i];

    if (s->run && page >= s->end && page < s->next) {
      if (page - s->from > ++s->used * SPARSE * ORIGIN_CLUSTER)
        break;
      return ahead_locked (o, s, page, next_run (o, s, page + 1, 0));
    }
  }
  return (struct ahead) { .first = 0 };
}

static void
read_ahead (struct origin *o, const struct ahead *a)
{
  uint64_t i;

  for (i = a->first; i < a->end; i += a->run)
    origin_read_ahead (o, i, min (i + a->run, a->end));
}

/* Somebody uses a page that was fetched before it was needed. */
static void
come_to (struct origin *o, uint64_t page)
{
  struct ahead a;

  mutex_lock (&o->lock);
  a = follow_locked (o, page);
  mutex_unlock (&o->lock);
  read_ahead (o, &a);
}

/* Claim a run: the block of a missing page and, as far as wanted, missing pages
 * around it.  Returns NULL with errno ENOMEM.
 */
static struct fetch *
claim_locked (struct origin *o, uint64_t page, uint64_t low, uint64_t high)
  REQUIRES (o->lock)
{
  uint64_t first = block_down (o, page), end = block_up (o, page + 1), next;
  bool hole;

  high = min (high, o->pages);
  while (end < high) {
    next = block_up (o, end + 1);
    if (next - first > ORIGIN_MOST_RUN ||
        run_end (o, end, next, &hole) != next || !hole ||
        find_fetch_locked (o, end, next))
      break;
    end = next;
  }
  while (first > low) {
    next = block_down (o, first - 1);
    if (end - next > ORIGIN_MOST_RUN ||
        run_end (o, next, first, &hole) != first || !hole ||
        find_fetch_locked (o, next, first))
      break;
    first = next;
  }
  return add_fetch_locked (o, first, end);
}

/* ---------------------------------------------------------- one request */

/* The most nodes that storing up to DISK_SECTION_PAGES adjacent pages, or any
 * range of zeros, takes: the paths to its two ends.
 */
#define STORE_NODES (2 * TREE_MAX_HEIGHT)

/* Store a part of a run in the cache, all of whose pages are missing.  buf
 * NULL: they are zeros.  O7: all that can fail comes before the first change.
 */
static void
store_part (struct origin *o, const char *buf, uint64_t first, uint64_t n)
{
  uint64_t count = n << PAGE_SHIFT, offset = first << PAGE_SHIFT;
  struct tree_op op;
  int r = -1;

  if (buf && !origin_take_room (o->set, n))
    return;
  /* Before another thread evicts them. */
  atomic_fetch_add_explicit (&o->known, n, memory_order_relaxed);
  if (change_begin (o->cache, &op, count, offset, buf == NULL) == 1) {
    r = tree_op_reserve (&op, (buf ? n : 0) + STORE_NODES);
    if (r == 0)
      r = buf ? disk_write_bytes (&op, o->cache, buf, count, offset)
        : disk_zero_bytes (&op, o->cache, count, offset, PAGE_ZERO);
    change_end (o->cache, &op, r);
  }
  if (r == -1) {
    atomic_fetch_sub_explicit (&o->known, n, memory_order_relaxed);
    if (buf)
      origin_give_room (o->set, n);
  }
}

/* Keep fetched pages in the cache.  Pages of a block that were there already
 * stay.  Without memory the pages are not kept.
 */
static void
store (struct origin *o, const struct fetch *f)
{
  uint64_t i = f->first, first, end, n;

  while (origin_missing (o, i, f->end, &first, &end)) {
    for (i = first; i < end; i += n) {
      const char *p = f->buf + ((i - f->first) << PAGE_SHIFT);
      bool zeros = memcmp (p, disk_zero_page, PAGE_BYTES) == 0;

      for (n = 1; i + n < end && n < DISK_SECTION_PAGES; n++)
        if (zeros != (memcmp (p + (n << PAGE_SHIFT), disk_zero_page,
                              PAGE_BYTES) == 0))
          break;
      store_part (o, zeros ? NULL : p, i, n);
    }
  }
}

static int
read_source (struct origin *o, struct fetch *f)
{
  uint64_t offset = f->first << PAGE_SHIFT;
  uint64_t len = (f->end - f->first) << PAGE_SHIFT;
  uint64_t count = min (len, o->size - offset);
  int r, err;

  f->buf = malloc (len);
  if (f->buf == NULL)
    return ENOMEM;
  atomic_fetch_add_explicit (&o->set->buffers, len, memory_order_relaxed);
  origin_source_connect (o, true);
  if (!origin_source_begin (o))
    return ESHUTDOWN;
  r = bdev_read (o->source.bdev, f->buf, count, offset);
  err = errno;
  origin_source_end (o);
  memset (f->buf + count, 0, len - count);
  atomic_fetch_add_explicit (&o->fetches, 1, memory_order_relaxed);
  if (r == -1) {
    atomic_fetch_add_explicit (&o->errors, 1, memory_order_relaxed);
    atomic_store_explicit (&o->away, err == ESHUTDOWN, memory_order_relaxed);
    return err ? err : EIO;
  }
  atomic_store_explicit (&o->away, false, memory_order_relaxed);
  atomic_fetch_add_explicit (&o->fetched, count, memory_order_relaxed);
  return 0;
}

/* Fetch a claimed run. */
static int
perform (struct origin *o, struct fetch *f)
{
  int err = read_source (o, f);

  if (err == 0)
    store (o, f);
  finish (o, f, err);
  return err;
}

/* Wait for a fetch to which the caller has a reference. */
static void
await (struct origin *o, struct fetch *f)
{
  mutex_lock (&o->lock);
  while (!f->done)
    pthread_cond_wait (&o->changed, &o->lock.m);
  mutex_unlock (&o->lock);
}

/* ---------------------------------------------------------------- reads */

/* Copy cached bytes, up to the end of a section or the first missing page.
 * Returns how many bytes were copied.
 */
static uint64_t
read_cached (struct origin *o, char *buf, uint64_t count, uint64_t offset)
{
  struct origin_leaf leaf = { .known = false };
  uint64_t len = section_len (offset, count), done = 0;

  rcu_enter ();
  while (done < len) {
    size_t n = page_len (offset + done, len - done);
    uint64_t index = (offset + done) >> PAGE_SHIFT;
    page_t page = origin_find (o, index, &leaf);

    if (page == PAGE_HOLE)
      break;
    if (page == PAGE_ZERO)
      memset (buf + done, 0, n);
    else
      copy_out (buf + done, (char *) arena_addr (o->set->arena, page) +
                (offset + done) % PAGE_BYTES, n);
    done += n;
  }
  rcu_exit ();
  return done;
}

/* Copy the bytes of a request, from offset on, that a finished fetch has.
 * Returns how many.
 */
static uint64_t
copy_fetched (const struct fetch *f, char *buf, uint64_t count,
              uint64_t offset)
{
  uint64_t n;

  if (f->error || f->buf == NULL)
    return 0;
  n = min (count, (f->end << PAGE_SHIFT) - offset);
  memcpy (buf, f->buf + (offset - (f->first << PAGE_SHIFT)), n);
  return n;
}

/* Have the page at offset fetched, by this thread or another.  alone: without
 * the pages around it.  Returns how many bytes were read, 0 if the caller
 * should look again, or -1 with errno.  *single: only the block of that page
 * was fetched, and failed.
 */
static int64_t
fetch_page (struct origin *o, char *buf, uint64_t count, uint64_t offset,
            uint64_t more, bool alone, bool *single)
{
  uint64_t page = offset >> PAGE_SHIFT, low = page, high = page + 1;
  struct ahead ahead = { .first = 0 };
  bool own = false;
  struct fetch *f;
  int64_t n;

  *single = false;
  mutex_lock (&o->lock);
  f = find_fetch_locked (o, page, page + 1);
  if (f) {
    f->refs++;
    ahead = follow_locked (o, page);
  }
  else if (!is_hole (o, page)) {
    mutex_unlock (&o->lock);
    return 0;
  }
  else {
    struct stream *stream = NULL;

    if (!alone) {
      uint64_t needed = size_in_pages (offset + count + more) - page;

      stream = stream_locked (o, page, needed);
      low = cluster_down (page);
      high = cluster_down (page + needed + ORIGIN_CLUSTER - 1);
      if (!is_short_of_buffers (o) && high < low + stream->run)
        high = low + stream->run;
    }
    f = claim_locked (o, page, low, high);
    own = f != NULL;
    if (own && stream) {
      stream->end = stream->next = f->end;
      ahead = ahead_locked (o, stream, f->end - 1, stream->run);
    }
  }
  mutex_unlock (&o->lock);
  if (f == NULL) {
    errno = ENOMEM;
    return -1;
  }
  read_ahead (o, &ahead);
  if (own) {
    *single = f->end - f->first <= o->block;
    perform (o, f);
  }
  else
    await (o, f);
  n = copy_fetched (f, buf, count, offset);
  if (f->error) {
    errno = f->error;
    n = -1;
  }
  put_fetch (o, f);
  return n;
}

int
origin_read (struct origin *o, char *buf, uint64_t count, uint64_t offset,
             uint64_t more)
{
  bool alone = false, single;

  if (rcu_prepare () == -1)
    return -1;
  if (offset + count > o->size) {
    uint64_t in = offset < o->size ? o->size - offset : 0;

    memset (buf + in, 0, count - in);
    count = in;
  }
  while (count > 0) {
    int64_t n = read_cached (o, buf, count, offset);

    if (n == 0) {
      n = fetch_page (o, buf, count, offset, more, alone, &single);
      if (n == -1 && (errno == ESHUTDOWN || errno == ENOMEM || single)) {
        errno = errno == ENOMEM ? ENOMEM : EIO;
        return -1;
      }
      if (n == -1) {
        alone = true;           /* the fault may be elsewhere in the run */
        continue;
      }
    }
    if (n > 0)
      alone = false;
    buf += n;
    count -= n;
    offset += n;
  }
  return 0;
}

int
origin_fetch_run (struct origin *o, uint64_t first, uint64_t end,
                  uint64_t *next)
{
  uint64_t missing, stop;
  struct fetch *f;
  int err = 0;

  *next = end;
  mutex_lock (&o->lock);
  if (o->ending || !origin_missing (o, first, end, &missing, &stop)) {
    mutex_unlock (&o->lock);
    return 0;
  }
  f = find_fetch_locked (o, missing, missing + 1);
  if (f) {
    f->refs++;
    mutex_unlock (&o->lock);
    await (o, f);
    *next = f->end;
    err = f->error;
  }
  else {
    f = claim_locked (o, missing, missing, stop);
    mutex_unlock (&o->lock);
    if (f == NULL) {
      errno = ENOMEM;
      return -1;
    }
    *next = f->end;
    err = perform (o, f);
  }
  put_fetch (o, f);
  errno = err;
  return err ? -1 : 0;
}

/* ---------------------------------------------------------------- zeros */

void
origin_mark_zeros (struct origin *o, uint64_t count, uint64_t offset)
{
  /* Whole blocks, as in claim_locked, or two claims could overlap. */
  uint64_t first = block_up (o, size_in_pages (offset)), i, from, to;
  uint64_t end = offset + count >= o->size
    ? o->pages : block_down (o, (offset + count) >> PAGE_SHIFT);
  struct fetch *f = NULL;

  if (first >= end)
    return;
  mutex_lock (&o->lock);
  if (!find_fetch_locked (o, first, end))
    f = add_fetch_locked (o, first, end);
  mutex_unlock (&o->lock);
  if (f == NULL)
    return;
  for (i = first; origin_missing (o, i, end, &from, &to); i = to)
    store_part (o, NULL, from, to - from);
  finish (o, f, 0);
  put_fetch (o, f);
}
