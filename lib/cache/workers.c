/* SPDX-License-Identifier: BSD-3-Clause */
/* The threads of a cache, and what they do when nothing is dirty: read ahead.
 *
 * A client that reads at or near the end of its last read is sequential.  The
 * window of bytes after its last read is cut into chunks, which the workers
 * fetch in parallel.  The window doubles as the client proceeds.  A client that
 * reaches a chunk in flight waits for it at the range lock.  A chunk that is no
 * longer useful costs only one read of the origin, so it is not cancelled.
 *
 * Workers are started when there is work and all others are busy.
 */

#include <config.h>

#include <stdlib.h>

#include "base/cond.h"
#include "base/thread.h"
#include "cache/cache-private.h"

/* Requests of a sequential client that are in flight together arrive in any
 * order.  So a request counts as sequential up to this many bytes from the end
 * of the last one.
 */
#define SLACK (INT64_C (1) << 20)

/* This many reads in sequence make a reader sequential. */
#define STREAK 2

/* -------------------------------------------------------------- workers */

static uint32_t
chunk_length (const struct cache *c, uint64_t offset)
{
  uint64_t end = (offset | (CHUNK - 1)) + 1;

  return (end < c->size ? end : c->size) - offset;
}

static void
wait_for_work (struct cache *c, int64_t until) REQUIRES (&c->q.lock)
{
  c->q.idle++;
  c->q.timed += until != NEVER;
  cond_wait_until (&c->q.work, &c->q.lock, until);
  c->q.timed -= until != NEVER;
  c->q.idle--;
}

static void *
worker (void *arg)
{
  struct cache *c = arg;
  bool last_was_chunk = false, due;
  uint64_t seen = 0;
  int64_t until;

  mutex_lock (&c->q.lock);
  while (!c->ending) {
    due = writeback_due (c, &until);
    if (c->chunks > 0 && !(due && last_was_chunk)) {
      uint64_t offset = c->chunk[c->first_chunk];

      c->first_chunk = (c->first_chunk + 1) % MOST_CHUNKS;
      if (--c->chunks > 0)
        workers_wake (c);
      mutex_unlock (&c->q.lock);
      /* A client that really wants these bytes gets the error. */
      cache_prefetch (c, c->local, chunk_length (c, offset), offset);
      mutex_lock (&c->q.lock);
      last_was_chunk = true;
    }
    else if (due) {
      if (c->q.len > 1)
        workers_wake (c);
      mutex_unlock (&c->q.lock);
      write_back_one (c, c->local, UINT64_MAX);
      mutex_lock (&c->q.lock);
      last_was_chunk = false;
    }
    else {
      /* While clients write and flush, some worker looks at the queue now and
       * then.  So a write that finds the queue empty need not wake one.
       */
      if (until == NEVER && c->q.timed == 0 && seen != c->q.next_seq)
        until = clock_now () + c->o.dirty_age / 2;
      seen = c->q.next_seq;
      wait_for_work (c, until);
    }
  }
  mutex_unlock (&c->q.lock);
  return NULL;
}

void
workers_wake (struct cache *c)
{
  if (c->ending)
    return;
  if (c->q.idle > 0)
    pthread_cond_signal (&c->q.work);
  /* If this fails, the existing workers do the work; and clients and flushes
   * write back by themselves.
   */
  else if (c->workers < WORKERS &&
           thread_start (&c->worker[c->workers], "mblock-cache", worker,
                         c) == 0)
    c->workers++;
}

void
workers_end (struct cache *c)
{
  unsigned i, n;

  mutex_lock (&c->q.lock);
  c->ending = true;
  c->chunks = 0;
  n = c->workers;
  pthread_cond_broadcast (&c->q.work);
  mutex_unlock (&c->q.lock);
  for (i = 0; i < n; i++)
    pthread_join (c->worker[i], NULL);
  mutex_lock (&c->q.lock);
  c->workers = 0;
  mutex_unlock (&c->q.lock);
}

/* ----------------------------------------------------------- read-ahead */

/* Give the chunks from ahead to limit to the workers.  Returns how far that
 * got.
 */
static uint64_t
push_chunks (struct cache *c, uint64_t ahead, uint64_t limit)
{
  bool pushed = false;

  mutex_lock (&c->q.lock);
  while (ahead < limit && c->chunks < MOST_CHUNKS && !c->ending) {
    uint32_t n = chunk_length (c, ahead);

    if (count_absent (c, touched (c, ahead, n)) > 0) {
      c->chunk[(c->first_chunk + c->chunks++) % MOST_CHUNKS] = ahead;
      pushed = true;
    }
    ahead += n;
  }
  if (pushed)
    workers_wake (c);
  mutex_unlock (&c->q.lock);
  return ahead;
}

/* How many bytes to read ahead at most. */
static uint32_t
most_window (struct cache *c)
{
  uint64_t most = c->max ? c->max
    : atomic_load_explicit (&c->full_at, memory_order_relaxed);

  most = (most << c->shift) / WINDOW_PART;
  if (most == 0 || most > MOST_WINDOW)
    return MOST_WINDOW;
  return most < LEAST_WINDOW ? LEAST_WINDOW : most;
}

static void
extend_window (struct cache *c, struct cache_client *client, uint64_t end)
{
  uint64_t ahead, limit;

  mutex_lock (&client->lock);
  ahead = atomic_load_explicit (&client->ahead, memory_order_relaxed);
  if (ahead < end)
    ahead = end;
  if (client->window == 0)
    client->window = LEAST_WINDOW;
  limit = end + client->window < c->size ? end + client->window : c->size;
  if (ahead < limit && ahead - end <= client->window / 2) {
    ahead = push_chunks (c, ahead, limit);
    client->window *= 2;
    if (client->window > most_window (c))
      client->window = most_window (c);
    atomic_store_explicit (&client->ahead, ahead, memory_order_relaxed);
  }
  mutex_unlock (&client->lock);
}

void
read_ahead (struct cache *c, struct cache_client *client, uint64_t offset,
            uint32_t n)
{
  uint64_t next = atomic_load_explicit (&client->next, memory_order_relaxed);
  uint32_t streak = atomic_load_explicit (&client->streak,
                                          memory_order_relaxed);
  uint64_t end = offset + n, ahead;
  int64_t distance = offset - next;

  /* Threads may overwrite each other's marks.  That costs a chunk at worst. */
  if (distance != 0 &&
      (streak == 0 || distance < -SLACK || distance > SLACK)) {
    atomic_store_explicit (&client->next, end, memory_order_relaxed);
    if (streak)
      atomic_store_explicit (&client->streak, 0, memory_order_relaxed);
    return;
  }
  if (end > next)
    atomic_store_explicit (&client->next, end, memory_order_relaxed);
  if (streak < STREAK) {
    atomic_store_explicit (&client->streak, streak + 1, memory_order_relaxed);
    if (streak + 1 < STREAK)
      return;
    /* A new sequence. */
    mutex_lock (&client->lock);
    client->window = LEAST_WINDOW;
    atomic_store_explicit (&client->ahead, 0, memory_order_relaxed);
    mutex_unlock (&client->lock);
  }
  ahead = atomic_load_explicit (&client->ahead, memory_order_relaxed);
  if (end < c->size && ahead < c->size &&
      (ahead < end || ahead - end <= most_window (c) / 2))
    extend_window (c, client, end);
}
