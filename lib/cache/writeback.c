/* SPDX-License-Identifier: BSD-3-Clause */
/* Writeback: the queue of dirty blocks, and how they get to the origin.
 *
 * Entries stand in the order in which their blocks became dirty, which is that
 * of seq.  A flush looks only at the first (is_older).  A block that could not
 * be written goes to the end, so that it does not delay others.  A flush that
 * waits for it has failed by then (write_back_all), and any later flush finds
 * it.  A run includes the block's neighbours, so an entry may remain although
 * its block is no longer dirty; it is dropped when its turn comes.
 *
 * write_back_one, and the bits of the words (all but DIRTY under the queue
 * lock):
 *
 *   the oldest entry leaves      QUEUED goes; WRITING comes, also to the dirty
 *                                neighbours, so that nobody else begins them
 *   range lock
 *     read local, write origin   DIRTY goes, if that succeeds
 *   range unlock
 *   what is DIRTY (again)        QUEUED comes, if it is not there (C4);
 *                                WRITING goes
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cond.h"
#include "cache/cache-private.h"

/* How long the workers wait before they use an origin again that failed. */
#define RETRY (1 * NS_PER_S)

/* wait_dirty: rounds beyond one for each block, for threads that meet. */
#define MORE_ROUNDS 8

/* The minimum time between two logged failures. */
#define LOG_EVERY (60 * NS_PER_S)

/* ---------------------------------------------------------------- queue */

int
queue_init (struct cache *c)
{
  c->q.size = 1024;
  c->q.ring = malloc (c->q.size * sizeof *c->q.ring);
  if (c->q.ring == NULL)
    return -1;
  mutex_init (&c->q.lock);
  cond_init (&c->q.work);
  cond_init (&c->q.done);
  return 0;
}

void
queue_free (struct cache *c)
{
  pthread_cond_destroy (&c->q.work);
  pthread_cond_destroy (&c->q.done);
  mutex_destroy (&c->q.lock);
  free (c->q.ring);
}

/* The entry that is behind i others. */
static struct queued *
queue_at (struct queue *q, size_t i) REQUIRES (&q->lock)
{
  return &q->ring[(q->first + i) & (q->size - 1)];
}

/* Reserve room for n more entries. */
static bool
queue_promise (struct queue *q, uint64_t n) REQUIRES (&q->lock)
{
  size_t want = q->len + q->promised + n, size = q->size, i;
  struct queued *ring;

  if (want > size) {
    while (size < want)
      size *= 2;
    ring = malloc (size * sizeof *ring);
    if (ring == NULL)
      return false;
    for (i = 0; i < q->len; i++)
      ring[i] = *queue_at (q, i);
    free (q->ring);
    q->ring = ring;
    q->size = size;
    q->first = 0;
  }
  q->promised += n;
  return true;
}

static void
queue_push (struct queue *q, uint64_t block, int64_t since) REQUIRES (&q->lock)
{
  q->ring[(q->first + q->len++) & (q->size - 1)] =
    (struct queued) { block, q->next_seq++, since };
}

/* To where it belongs by its seq: near the front, but threads put back the
 * oldest entries in any order.
 */
static void
queue_put_back (struct queue *q, struct queued e) REQUIRES (&q->lock)
{
  size_t i;

  q->first = (q->first - 1) & (q->size - 1);
  q->len++;
  for (i = 1; i < q->len && queue_at (q, i)->seq < e.seq; i++)
    *queue_at (q, i - 1) = *queue_at (q, i);
  *queue_at (q, i - 1) = e;
}

static struct queued
queue_pop (struct queue *q) REQUIRES (&q->lock)
{
  struct queued e = q->ring[q->first];

  q->first = (q->first + 1) & (q->size - 1);
  q->len--;
  return e;
}

static bool
is_older (struct queue *q, uint64_t seq) REQUIRES (&q->lock)
{
  return q->len > 0 && q->ring[q->first].seq < seq;
}

/* A refused block goes to the end, and is due no later for it. */
static void
queue_refused (struct queue *q, uint64_t block, int64_t since)
  REQUIRES (&q->lock)
{
  if (!is_older (q, q->refused) || since < q->refused_since)
    q->refused_since = since;
  queue_push (q, block, since);
  q->refused = q->next_seq;
}

/* When did the oldest block become dirty?  A refused one may be anywhere. */
static int64_t
oldest (struct queue *q) REQUIRES (&q->lock)
{
  int64_t since = q->ring[q->first].since;

  return is_older (q, q->refused) && q->refused_since < since
    ? q->refused_since : since;
}

/* ------------------------------------------------------------- marking */

void
dirty_give (struct cache *c, uint64_t n)
{
  if (n)
    atomic_fetch_sub_explicit (&c->dirty, n, memory_order_relaxed);
}

/* Reserve n more dirty blocks, unless the limit is reached. */
static bool
try_dirty (struct cache *c, uint64_t n)
{
  uint64_t old = atomic_load_explicit (&c->dirty, memory_order_relaxed);

  while (old + n <= c->dirty_max)
    if (atomic_compare_exchange_weak (&c->dirty, &old, old + n))
      return true;
  return false;
}

/* Wait until n more blocks may be dirty.  Small writes may take whatever
 * becomes free before a large one finds enough of it.  So it gives up after as
 * many rounds as would do if nobody else wrote, and some more.
 */
static bool
wait_dirty (struct cache *c, struct bdev *local, uint64_t n)
{
  uint64_t rounds = n + MORE_ROUNDS;

  while (!try_dirty (c, n)) {
    int r;

    if (rounds-- == 0)
      return false;
    r = write_back_one (c, local, UINT64_MAX);
    if (r == -1)
      return false;
    if (r == 0) {
      bool wait;

      mutex_lock (&c->q.lock);
      wait = c->q.in_flight != NULL;
      if (wait)
        pthread_cond_wait (&c->q.done, &c->q.lock.m);
      mutex_unlock (&c->q.lock);
      /* All room is reserved by others, who may be slow. */
      if (!wait)
        return false;
    }
  }
  return true;
}

bool
dirty_take (struct cache *c, struct bdev *local, uint64_t n)
{
  bool promised;

  /* A write that would fill the queue goes directly to the origin. */
  if (n > c->dirty_max / 2)
    return false;
  mutex_lock (&c->q.lock);
  promised = queue_promise (&c->q, n);
  mutex_unlock (&c->q.lock);
  if (!promised)
    return false;
  if (wait_dirty (c, local, n))
    return true;
  dirty_done (c, n, 0);
  return false;
}

void
dirty_done (struct cache *c, uint64_t taken, uint64_t unused)
{
  mutex_lock (&c->q.lock);
  c->q.promised -= taken;
  mutex_unlock (&c->q.lock);
  dirty_give (c, unused);
}

uint64_t
dirty_mark (struct cache *c, struct blocks b, uint64_t *room)
{
  uint64_t i, fresh = 0;
  int64_t now = clock_now (), until;
  bool was_empty;

  mutex_lock (&c->q.lock);
  was_empty = c->q.len == 0;
  for (i = b.first; i < b.end; i++) {
    _Atomic uint32_t *w = table_word (c, i);
    uint32_t old = atomic_load_explicit (w, memory_order_relaxed);

    if (!(old & VALID))
      --*room;
    table_set_valid (c, i, DIRTY);
    if (old & DIRTY)
      continue;
    fresh++;
    if (!(old & QUEUED)) {
      atomic_fetch_or_explicit (w, QUEUED, memory_order_relaxed);
      queue_push (&c->q, i, now);
    }
  }
  /* A worker must check when this will be due, or it is due now. */
  if ((was_empty && c->q.timed == 0) || writeback_due (c, &until))
    workers_wake (c);
  mutex_unlock (&c->q.lock);
  return fresh;
}

/* -------------------------------------------------------- writing back */

/* Take the oldest entry whose block is dirty and is not being written back: its
 * run becomes WRITING.  Returns false if there is none before seq.
 */
static bool
begin_run (struct cache *c, uint64_t seq, struct queued *e,
           struct blocks *run) REQUIRES (&c->q.lock)
{
  while (is_older (&c->q, seq)) {
    _Atomic uint32_t *w;
    uint32_t old;

    *e = queue_pop (&c->q);
    w = table_word (c, e->block);
    old = atomic_fetch_and_explicit (w, ~QUEUED, memory_order_relaxed);
    if (!(old & DIRTY) || old & WRITING)
      continue;
    *run = (struct blocks) { e->block, e->block };
    do {
      atomic_fetch_or_explicit (w, WRITING, memory_order_relaxed);
      run->end++;
      if (run->end == c->blocks || run->end - run->first == c->run)
        break;
      w = table_word (c, run->end);
      old = w ? atomic_load_explicit (w, memory_order_relaxed) : 0;
    } while ((old & (DIRTY | WRITING)) == DIRTY);
    return true;
  }
  return false;
}

static void
end_run (struct cache *c, struct queued e, struct blocks run, bool failed)
  REQUIRES (&c->q.lock)
{
  uint64_t i;

  for (i = run.end; i-- > run.first; ) {
    _Atomic uint32_t *w = table_word (c, i);
    uint32_t old = atomic_fetch_and_explicit (w, ~WRITING,
                                              memory_order_relaxed);

    if ((old & (DIRTY | QUEUED)) == DIRTY) {
      atomic_fetch_or_explicit (w, QUEUED, memory_order_relaxed);
      e.block = i;
      if (failed)
        queue_refused (&c->q, i, e.since);
      else
        queue_put_back (&c->q, e);
    }
  }
}

/* Under the range lock: write the dirty blocks of the run. */
static int
write_run (struct cache *c, struct bdev *local, struct blocks run, char *buf)
{
  uint64_t i = run.first, j, start;
  uint32_t n;

  while (i < run.end) {
    if (!(state (c, i) & DIRTY)) {
      i++;
      continue;
    }
    /* As far as can be read. */
    for (j = i + 1; j < run.end &&
           (state (c, j) & (DIRTY | LOST)) == DIRTY; j++)
      ;
    start = block_start (c, i);
    n = block_end (c, j - 1) - start;
    if (local_read (c, local, buf, n, start) == -1 ||
        origin_write (c, buf, n, start, 0) == -1)
      return -1;
    count (c, WRITTEN_BACK, n);
    for (; i < j; i++)
      table_clean (c, i);
  }
  return 0;
}

static void
log_failure (struct cache *c, int err) REQUIRES (&c->q.lock)
{
  int64_t now = clock_now ();
  char line[256];

  if (c->q.log_at > now)
    return;
  c->q.log_at = now + LOG_EVERY;
  snprintf (line, sizeof line, "cannot write back the cache: %s; %llu bytes "
            "stay in the cache", strerror (err),
            (unsigned long long) (atomic_load (&c->dirty) << c->shift));
  c->o.log (c->o.opaque, line);
}

int
write_back_one (struct cache *c, struct bdev *local, uint64_t seq)
{
  struct queue *q = &c->q;
  CLEANUP_FREE char *buf = malloc ((size_t) c->run << c->shift);
  struct in_flight me;
  struct queued e;
  struct blocks run;
  struct range range;
  bool refused;
  int r, err;

  if (buf == NULL)
    return -1;
  mutex_lock (&c->q.lock);
  /* For end_run: this many may have to return to the queue. */
  if (!queue_promise (&c->q, c->run)) {
    mutex_unlock (&c->q.lock);
    errno = ENOMEM;
    return -1;
  }
  if (!begin_run (c, seq, &e, &run)) {
    q->promised -= c->run;
    mutex_unlock (&c->q.lock);
    return 0;
  }
  me = (struct in_flight) { .seq = e.seq, .next = q->in_flight };
  if (q->in_flight)
    q->in_flight->prev = &me;
  q->in_flight = &me;
  mutex_unlock (&c->q.lock);

  lock_blocks (c, &range, run);
  r = write_run (c, local, run, buf);
  err = errno;
  ranges_unlock (&c->ranges, &range);
  check_cut (c, local);

  mutex_lock (&c->q.lock);
  q->promised -= c->run;
  /* ESHUTDOWN: nobody has refused the blocks.  This thread has stopped waiting,
   * perhaps because its client has gone; others may go on.
   */
  refused = r == -1 && err != ESHUTDOWN;
  end_run (c, e, run, refused);
  if (me.prev)
    me.prev->next = me.next;
  else
    q->in_flight = me.next;
  if (me.next)
    me.next->prev = me.prev;
  if (r == -1) {
    log_failure (c, err);
    if (refused) {
      q->failures++;
      q->error = err;
    }
    q->retry_at = clock_now () + RETRY;
  }
  else {
    q->error = 0;
    q->retry_at = 0;
  }
  pthread_cond_broadcast (&q->done);
  mutex_unlock (&c->q.lock);
  errno = err;
  return r == -1 ? -1 : 1;
}

bool
writeback_due (struct cache *c, int64_t *until)
{
  struct queue *q = &c->q;
  int64_t now, due;

  *until = NEVER;
  if (q->len == 0)
    return false;
  now = clock_now ();
  /* What a worker could not write it leaves alone for a while, so that a flush
   * finds it in the queue, tries it itself, and learns why.
   */
  if (q->flushing && q->error == 0 && now >= q->retry_at)
    return true;
  due = oldest (&c->q) + c->o.dirty_age;
  if (atomic_load_explicit (&c->dirty, memory_order_relaxed) >
      c->dirty_max / 2)
    due = now;
  if (due < q->retry_at)
    due = q->retry_at;
  *until = due;
  return due <= now;
}

/* Is something before seq being written? */
static bool
is_in_flight (struct queue *q, uint64_t seq) REQUIRES (&q->lock)
{
  const struct in_flight *f;

  for (f = q->in_flight; f; f = f->next)
    if (f->seq < seq)
      return true;
  return false;
}

/* Write back what is older than seq and is not being written by others.
 * Returns 0 or an errno.
 */
static int
write_back_before (struct cache *c, struct bdev *local, uint64_t seq)
  EXCLUDES (&c->q.lock)
{
  int r;

  while ((r = write_back_one (c, local, seq)) == 1)
    ;
  return r == -1 ? errno : 0;
}

int
write_back_all (struct cache *c, struct bdev *local)
{
  struct queue *q = &c->q;
  uint64_t seq, failures;
  int err = 0;

  mutex_lock (&c->q.lock);
  /* This flush does not wait for blocks that become dirty from now on. */
  seq = q->next_seq;
  failures = q->failures;
  q->flushing++;
  if (q->len > 1)
    workers_wake (c);
  /* Repeat, because the thread that wrote a run may queue blocks again that
   * became dirty meanwhile.
   */
  while (err == 0 && (is_older (&c->q, seq) || is_in_flight (&c->q, seq))) {
    if (is_older (&c->q, seq)) {
      mutex_unlock (&c->q.lock);
      err = write_back_before (c, local, seq);
      mutex_lock (&c->q.lock);
    }
    else
      pthread_cond_wait (&q->done, &q->lock.m);
    /* Threads that failed on our behalf have put it back. */
    if (err == 0 && q->failures != failures)
      err = q->error ? q->error : EIO;
  }
  q->flushing--;
  mutex_unlock (&c->q.lock);
  if (err == 0)
    return 0;
  errno = err;
  return -1;
}

int
write_back_last (struct cache *c, struct bdev *local)
{
  size_t n;
  int r = 1, err = 0;

  if (write_back_all (c, local) == 0)
    return 0;
  mutex_lock (&c->q.lock);
  n = c->q.len;
  mutex_unlock (&c->q.lock);
  for (; n > 0 && r != 0; n--) {
    r = write_back_one (c, local, UINT64_MAX);
    if (r == -1)
      err = errno;
    if (err == ESHUTDOWN)
      break;
  }
  errno = err;
  return err ? -1 : 0;
}
