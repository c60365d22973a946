/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests through a pool; pool.h has the design and the invariants. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "cleanup.h"
#include "clock.h"
#include "pool.h"
#include "pool-private.h"

/* How often a thread that waits asks whether it should go on. */
#define TICK (200 * NS_PER_MS)

/* How long pool_settle waits for a server, to flush the log. */
#define LAST_FLUSH_TIME (10 * NS_PER_S)

/* Between the attempts of pool_open, as nbdkit's nbd plugin has it. */
#define RETRY_TIME NS_PER_S

/* How many requests a connection has in flight when it is full: as many as
 * nbdkit and qemu-nbd work on at a time for each client.
 */
#define FULL_LINK 16

/* How many servers in a row may say only that they shut down. */
#define MOST_SHUTDOWNS 3

/* What a thread has to do besides its request, once. */
struct meanwhile {
  void (*fn) (void *opaque);    /* NULL: it was done */
  void *opaque;
};

/* A request, on its thread's stack. */
struct request {
  struct upstream_command c;
  struct replay_op op;          /* writes */
  bool begun;                   /* op is in flight */
  bool queued;                  /* in pool.queue, behind writes that overlap */
  struct request *next;         /* there */
  bool resend;                  /* a write that was interrupted (M2) */
  int64_t deadline;             /* it ends then, come what may; 0: none */
  int64_t first_lost;           /* when a connection was lost under it … */
  unsigned losses;              /* … and how many were */

  struct meanwhile *meanwhile;  /* to be done while the server works */

  struct link *link;            /* while it is let in */
  uint64_t incarnation;
};

void
pool_say (struct pool *p, enum pool_log level, const char *fmt, ...)
{
  char message[UPSTREAM_WHY + 512];
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (message, sizeof message, fmt, ap);
  va_end (ap);
  p->o.log (p->o.opaque, level, message);
}

void
pool_wrong (struct pool *p, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (p->error, sizeof p->error, fmt, ap);
  va_end (ap);
  pool_say (p, POOL_ERROR, "%s", p->error);
}

void
pool_wait_change (struct pool *p, int64_t until)
{
  struct timespec ts = clock_timespec (until);

  pthread_cond_timedwait (&p->changed, &p->lock.m, &ts);
}

/* ------------------------------------------------------------- letting in */

/* For how long has this pool, or this request, been without a server? */
static bool
waited_too_long (struct pool *p, const struct request *r, uint64_t failures,
                 int64_t now) REQUIRES (&p->lock)
{
  if ((r->deadline && now >= r->deadline) || p->given_up ||
      (p->o.fail_fast && p->state == POOL_DOWN))
    return true;
  /* Who comes late in an outage still gets one attempt. */
  if (p->state != POOL_DOWN || p->failures == failures)
    return false;
  if (p->o.target->kind == UPSTREAM_SOCKET_FD)
    return true;                /* there is nothing to wait for */
  return (p->outage && now >= p->outage + p->o.reconnect) ||
    (r->first_lost && now >= r->first_lost + p->o.reconnect);
}

/* Should this request no longer wait?  At a deadline the client has gone, but
 * not its writes.
 */
static bool
gives_up (struct pool *p, const struct request *r) REQUIRES (&p->lock)
{
  return p->o.give_up && !r->deadline && p->o.give_up (p->o.opaque);
}

static bool
may_go (struct pool *p, const struct request *r) REQUIRES (&p->lock)
{
  return p->state == POOL_UP || (p->state == POOL_RESEND && r->resend);
}

/* Wait until the pool has connections for this request.
 * Returns 0, or -1 with errno ESHUTDOWN.
 */
static int
wait_for_upstream (struct pool *p, const struct request *r)
  REQUIRES (&p->lock)
{
  uint64_t failures = p->failures;
  int64_t start = clock_now (), now = start, until;
  int result = 0;

  while (!may_go (p, r)) {
    if (waited_too_long (p, r, failures, now) || gives_up (p, r)) {
      result = -1;
      break;
    }
    until = now + TICK;
    if (p->state == POOL_DOWN && p->in_flight)
      pool_cut_off (p);
    if (p->state == POOL_DOWN && p->in_flight == 0) {
      if (now >= p->next_try) {
        pool_become_connector (p, r->deadline);
        now = clock_now ();
        continue;
      }
      if (p->next_try < until)
        until = p->next_try;
    }
    pool_wait_change (p, until);
    now = clock_now ();
  }
  p->figures.waited += now - start;
  errno = ESHUTDOWN;
  return result;
}

/* The connection with the fewest in flight; extents are the first one's
 * (connect_more), which reads avoid when they can.
 *
 * What goes to a server on this machine and is no read fills one connection
 * after the other.  There several go with one system call, and fewer threads
 * are woken: 1.2 times the writes at depth 16.
 */
static struct link *
choose_link (struct pool *p, enum upstream_op op) REQUIRES (&p->lock)
{
  unsigned first = op == UPSTREAM_READ && p->nlinks > 1, i;
  struct link *link = &p->link[first];

  if (op == UPSTREAM_EXTENTS)
    return link;
  if (p->local && op != UPSTREAM_READ)
    for (i = 0; i < p->nlinks; i++)
      if (p->link[i].in_flight < FULL_LINK)
        return &p->link[i];
  for (i = 1; i < p->nlinks && link->in_flight; i++) {
    struct link *other = &p->link[(first + i) % p->nlinks];

    if (other->in_flight < link->in_flight)
      link = other;
  }
  return link;
}

static void
let_in (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  r->link = choose_link (p, r->c.op);
  r->link->in_flight++;
  p->in_flight++;
  r->incarnation = p->incarnation;
}

static void
let_out (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  r->link->in_flight--;
  p->in_flight--;
  /* The connector may be waiting for the last one (M7). */
  if (p->in_flight == 0 && p->state == POOL_DOWN)
    pthread_cond_broadcast (&p->changed);
}

static void
count_loss (struct request *r)
{
  if (r->losses++ == 0)
    r->first_lost = clock_now ();
}

static void
do_meanwhile (struct meanwhile *m)
{
  void (*fn) (void *opaque) = m->fn;

  m->fn = NULL;
  if (fn)
    fn (m->opaque);
}

/* The server answered that it shuts down.  If it does, it waits for us to go,
 * and another may come; but one server after the other that says nothing else
 * means it.
 */
static bool
means_shutdown (struct pool *p, const struct request *r) REQUIRES (&p->lock)
{
  if (p->progress || r->incarnation != p->incarnation)
    return false;
  return p->shutdowns == MOST_SHUTDOWNS || ++p->shutdowns == MOST_SHUTDOWNS;
}

/* Send the request and wait for its end, without the lock.
 * Returns false if the connection was lost: it may have been done or not.
 */
static bool
send_once (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  struct upstream *u = r->link->upstream;
  int64_t until = NEVER;
  struct upstream_waiter w;
  bool in_time;

  mutex_unlock (&p->lock);
  if (p->o.request_timeout)
    until = clock_now () + p->o.request_timeout;
  if (r->deadline && r->deadline < until)
    until = r->deadline;
  upstream_waiter_init (&w);
  if (!r->deadline)
    w.ending = &p->o.ending;
  upstream_issue (u, &r->c, &w, until);
  /* Copy while the server works. */
  if (r->begun)
    replay_store (&r->op, r->c.write);
  if (r->meanwhile)
    do_meanwhile (r->meanwhile);
  in_time = upstream_wait (u, &w, until);
  mutex_lock (&p->lock);

  let_out (p, r);
  if (!in_time) {
    p->figures.timeouts++;
    pool_wrong (p, "the upstream did not answer within %s",
                until == r->deadline ? "the time there is at the end"
                : "request-timeout");
  }
  if (r->c.error != ENOTCONN && r->c.error != ESHUTDOWN) {
    pool_progress (p, r->incarnation);
    return true;
  }
  if (r->c.error == ESHUTDOWN && means_shutdown (p, r))
    return true;
  pool_lose (p, r->incarnation);
  count_loss (r);
  p->figures.retries++;
  return false;
}

/* A request that keeps losing its connection, which others do not, must end
 * some day too.  Returns 0, or -1 with errno.
 */
static int
may_try_again (struct pool *p, const struct request *r) REQUIRES (&p->lock)
{
  int64_t now = clock_now ();

  if (!p->o.fail_fast && !p->given_up && !gives_up (p, r) &&
      (r->deadline == 0 || now < r->deadline) &&
      (r->losses == 1 || now < r->first_lost + p->o.reconnect))
    return 0;
  errno = ESHUTDOWN;
  return -1;
}

static int
end (struct pool *p, struct request *r, int error) REQUIRES (&p->lock)
{
  p->figures.requests[r->c.op]++;
  if (error)
    p->figures.errors++;
  else if (r->c.op == UPSTREAM_READ)
    p->figures.bytes_read += r->c.count;
  else if (r->c.op == UPSTREAM_WRITE)
    p->figures.bytes_written += r->c.count;
  errno = error;
  return error ? -1 : 0;
}

/* ---------------------------------------------------- reads and the like */

static int
run_read (struct pool *p, struct request *r)
{
  int error;

  mutex_lock (&p->lock);
  for (;;) {
    if (!may_go (p, r) && wait_for_upstream (p, r) == -1) {
      error = errno;
      break;
    }
    let_in (p, r);
    if (send_once (p, r)) {
      error = r->c.error;
      break;
    }
    if (may_try_again (p, r) == -1) {
      error = errno;
      break;
    }
  }
  error = end (p, r, error) == -1 ? errno : 0;
  mutex_unlock (&p->lock);
  errno = error;
  return error ? -1 : 0;
}

/* --------------------------------------------------------------- flushes */

/* The server could not flush, and as with fsync(2) its next flush may succeed
 * though it has dropped what this one was to save (M8).  What is in the log is
 * sent again before that: the connection is treated as lost.  Where there is
 * nothing to send, or no way, each client is told.
 */
static void
flush_failed (struct pool *p, const struct request *r,
              struct pool_client *client) REQUIRES (&p->lock)
{
  if (r->incarnation != p->incarnation || !replay_dirty (p->log))
    return;
  if (p->o.replay_buffer && p->o.target->kind != UPSTREAM_SOCKET_FD) {
    pool_wrong (p, "the upstream could not flush: %s; connecting again, to "
                "send what it may have dropped", strerror (r->c.error));
    pool_lose (p, r->incarnation);
    return;
  }
  p->losses++;
  if (p->o.replay_buffer == 0)
    replay_forget (p->log);
  if (client)
    client->losses = p->losses; /* it gets the error itself */
}

/* A flush for this client, or for the log's sake if that is NULL. */
static int
flush_locked (struct pool *p, struct pool_client *client, int64_t deadline)
  REQUIRES (&p->lock)
{
  struct request r = { .c = { .op = UPSTREAM_FLUSH }, .deadline = deadline };
  struct replay_mark mark;

  for (;;) {
    if (!may_go (p, &r) && wait_for_upstream (p, &r) == -1)
      return end (p, &r, errno);
    let_in (p, &r);
    mark = replay_mark (p->log);
    if (send_once (p, &r)) {
      if (r.c.error) {
        flush_failed (p, &r, client);
        return end (p, &r, r.c.error);
      }
      /* M2: the server that answered is the one that will be asked. */
      if (r.incarnation == p->incarnation) {
        replay_flushed (p->log, mark);
        pthread_cond_broadcast (&p->changed);
        /* M5, after the flush: what was not lost is safe now. */
        if (client && client->losses != p->losses) {
          client->losses = p->losses;
          return end (p, &r, EIO);
        }
        return end (p, &r, 0);
      }
    }
    else if (may_try_again (p, &r) == -1)
      return end (p, &r, errno);
  }
}

/* Wait for others, who are in the way.  Returns 0, or -1 with errno. */
static int
wait_for_others (struct pool *p, const struct request *r) REQUIRES (&p->lock)
{
  int64_t until = clock_now () + TICK;

  pool_wait_change (p, until);
  if (clock_now () < until || !gives_up (p, r))
    return 0;
  errno = ESHUTDOWN;
  return -1;
}

/* Empty the log for this write, or wait for who does it. */
static int
make_room (struct pool *p, const struct request *w) REQUIRES (&p->lock)
{
  int r;

  if (p->flushing)
    return wait_for_others (p, w);
  p->flushing = true;
  p->figures.flushes++;
  r = flush_locked (p, NULL, 0);
  p->flushing = false;
  pthread_cond_broadcast (&p->changed);
  return r;
}

/* ---------------------------------------------------------------- writes */

/* Writes that must wait for others to the same bytes do so in the order in
 * which they came: else small ones could keep a large one out for ever.
 */
static bool
overlaps_earlier (const struct pool *p, const struct request *r)
  REQUIRES (&p->lock)
{
  const struct request *q;

  for (q = p->queue; q && q != r; q = q->next)
    if (q->c.offset < r->c.offset + r->c.count &&
        r->c.offset < q->c.offset + q->c.count)
      return true;
  return false;
}

static void
enqueue (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  struct request **q;

  if (r->queued)
    return;
  for (q = &p->queue; *q; q = &(*q)->next)
    ;
  *q = r;
  r->queued = true;
}

static void
dequeue (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  struct request **q;

  if (!r->queued)
    return;
  for (q = &p->queue; *q != r; q = &(*q)->next)
    ;
  *q = r->next;
  r->next = NULL;
  r->queued = false;
}

/* Let a write into the log (M1, M4).  Returns 0; or 1 if it must be tried
 * again, for the lock was given up; or -1 with errno.
 */
static int
begin_write (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  int result;

  if (r->begun)
    return 0;
  if (replay_half_full (p->log) && !p->flushing) {
    /* Early, so that the others need not wait. */
    return make_room (p, r) == -1 ? -1 : 1;
  }
  if (overlaps_earlier (p, r))
    errno = EBUSY;
  else if (replay_begin (p->log, &r->op) == 0) {
    dequeue (p, r);
    r->begun = true;
    return 0;
  }
  if (errno == EBUSY)
    enqueue (p, r);
  if (errno == EBUSY || (errno == ENOBUFS && !replay_dirty (p->log))) {
    /* Writes in flight are in the way, or take all the room. */
    p->range_waiters++;
    result = wait_for_others (p, r);
    p->range_waiters--;
    return result == -1 ? -1 : 1;
  }
  if (errno == ENOBUFS)
    return make_room (p, r) == -1 ? -1 : 1;
  return -1;
}

static void
interrupt_write (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  if (!r->resend)
    p->interrupted++;
  r->resend = true;
}

static void
end_write (struct pool *p, struct request *r, bool ok) REQUIRES (&p->lock)
{
  dequeue (p, r);
  if (r->begun)
    replay_end (p->log, &r->op, ok);
  /* It was acknowledged by a server that has gone since then (M5). */
  if (r->begun && ok && p->o.replay_buffer == 0 && p->info.can_flush &&
      r->incarnation != p->incarnation && replay_dirty (p->log))
    pool_lost_writes (p);
  if (r->resend && --p->interrupted == 0 && p->state == POOL_RESEND) {
    p->state = POOL_UP;
    pthread_cond_broadcast (&p->changed);
  }
  else if (p->range_waiters)
    pthread_cond_broadcast (&p->changed);
}

/* A write that is too large for the log is made safe before it is
 * acknowledged.  Returns false if the connection was lost.
 */
static bool
write_through (struct pool *p, struct request *r) REQUIRES (&p->lock)
{
  struct request flush = { .c = { .op = UPSTREAM_FLUSH } };
  struct replay_mark mark;

  if (r->incarnation != p->incarnation || !may_go (p, r))
    return false;
  flush.resend = r->resend;
  let_in (p, &flush);
  mark = replay_mark (p->log);
  if (!send_once (p, &flush) || flush.incarnation != p->incarnation)
    return false;
  r->c.error = flush.c.error;
  if (r->c.error)
    flush_failed (p, &flush, NULL);
  else {
    replay_flushed (p->log, mark);
    pthread_cond_broadcast (&p->changed);
  }
  return true;
}

static int
run_write (struct pool *p, struct request *r)
{
  int error, again;

  mutex_lock (&p->lock);
  for (;;) {
    if (!may_go (p, r) && wait_for_upstream (p, r) == -1) {
      error = errno;
      break;
    }
    again = begin_write (p, r);
    if (again == 1)
      continue;
    if (again == -1) {
      error = errno;
      break;
    }
    let_in (p, r);
    if (send_once (p, r)) {
      if (r->c.error || !r->op.through || write_through (p, r)) {
        error = r->c.error;
        break;
      }
      count_loss (r);
    }
    interrupt_write (p, r);
    if (may_try_again (p, r) == -1) {
      error = errno;
      break;
    }
  }
  end_write (p, r, error == 0);
  error = end (p, r, error) == -1 ? errno : 0;
  mutex_unlock (&p->lock);
  errno = error;
  return error ? -1 : 0;
}

/* -------------------------------------------------------------- the API */

/* Clients wait meanwhile, so not for longer than they would for an answer, and
 * there must be time left to connect again.
 */
static int64_t
parting_time (const struct pool_options *o)
{
  int64_t time = POOL_PARTING_TIME;

  if (o->request_timeout && o->request_timeout < time)
    time = o->request_timeout;
  if (!o->fail_fast && o->reconnect / 2 < time)
    time = o->reconnect / 2;
  return time;
}

struct pool *
pool_new (const struct pool_options *options)
{
  struct pool *p = calloc (1, sizeof *p);
  pthread_condattr_t attr;

  if (p == NULL)
    return NULL;
  p->o = *options;
  p->o.upstream.parting_time = parting_time (&p->o);
  p->o.upstream.ending = &p->o.ending;
  p->random = clock_now ();
  mutex_init (&p->lock);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  if (pthread_cond_init (&p->changed, &attr))
    abort ();
  pthread_condattr_destroy (&attr);
  return p;
}

static int
make_log (struct pool *p) REQUIRES (&p->lock)
{
  bool wanted = p->info.can_flush && !p->info.readonly;

  p->log = replay_new (wanted ? p->o.replay_buffer : 0);
  return p->log ? 0 : -1;
}

int
pool_open (struct pool *p)
{
  unsigned retries = p->o.retry;
  int r = 0, err = 0;

  mutex_lock (&p->lock);
  while (p->log == NULL) {
    if (p->state == POOL_CONNECTING) {
      pool_wait_change (p, clock_now () + TICK);
      continue;
    }
    if (p->state == POOL_NEW && pool_become_connector (p, 0) == -1) {
      err = errno;
      if (retries-- == 0 || (p->o.give_up && p->o.give_up (p->o.opaque))) {
        r = -1;
        break;
      }
      for (p->next_try = clock_now () + RETRY_TIME;
           clock_now () < p->next_try;)
        pool_wait_change (p, p->next_try);
      continue;
    }
    if (p->log == NULL && make_log (p) == -1) {
      err = errno;
      r = -1;
      break;
    }
  }
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}

bool
pool_is_dirty (struct pool *p)
{
  bool dirty;

  mutex_lock (&p->lock);
  dirty = p->log && p->info.can_flush && replay_dirty (p->log);
  mutex_unlock (&p->lock);
  return dirty;
}

int
pool_settle (struct pool *p)
{
  int r, err;

  mutex_lock (&p->lock);
  p->settling = true;
  r = flush_locked (p, NULL, clock_now () + LAST_FLUSH_TIME);
  err = errno;
  p->settling = false;
  if (r == -1)
    pool_say (p, POOL_ERROR, "the last acknowledged writes could not be "
              "flushed: %s", err == ESHUTDOWN ? "the upstream is away"
              : strerror (err));
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}

void
pool_give_up (struct pool *p)
{
  mutex_lock (&p->lock);
  p->given_up = true;
  pool_lose (p, p->incarnation);
  p->parting = 0;
  if (p->state == POOL_DOWN)
    pool_cut_off (p);
  pthread_cond_broadcast (&p->changed);
  mutex_unlock (&p->lock);
}

void
pool_free (struct pool *p)
{
  if (p == NULL)
    return;
  pool_close_links (p);
  replay_free (p->log);
  free (p->description);
  pthread_cond_destroy (&p->changed);
  mutex_destroy (&p->lock);
  free (p);
}

const struct upstream_info *
pool_info (const struct pool *p)
{
  return &p->info;
}

const char *
pool_description (const struct pool *p)
{
  return p->description;
}

void
pool_client_init (struct pool *p, struct pool_client *client)
{
  mutex_lock (&p->lock);
  client->losses = p->losses;
  mutex_unlock (&p->lock);
}

static int
check_alignment (const struct pool *p, uint32_t count, uint64_t offset)
{
  if (p->info.block_min > 1 && ((offset | count) & (p->info.block_min - 1))) {
    errno = EINVAL;
    return -1;
  }
  return 0;
}

/* Reads and writes are cut at the upstream's maximum. */
static uint32_t
part (const struct pool *p, uint32_t count)
{
  return count < p->info.payload_max ? count : p->info.payload_max;
}

int
pool_read (struct pool *p, void *buf, uint32_t count, uint64_t offset)
{
  if (check_alignment (p, count, offset) == -1)
    return -1;
  while (count) {
    struct request r = { .c = { .op = UPSTREAM_READ, .read = buf,
                                .count = part (p, count),
                                .offset = offset } };

    if (run_read (p, &r) == -1)
      return -1;
    buf = (char *) buf + r.c.count;
    count -= r.c.count;
    offset += r.c.count;
  }
  return 0;
}

int
pool_cache (struct pool *p, uint32_t count, uint64_t offset)
{
  struct request r = { .c = { .op = UPSTREAM_CACHE, .count = count,
                              .offset = offset } };

  if (check_alignment (p, count, offset) == -1)
    return -1;
  return run_read (p, &r);
}

static int
one_write (struct pool *p, enum upstream_op op, enum replay_type type,
           const void *buf, uint32_t count, uint64_t offset, uint32_t flags,
           struct meanwhile *meanwhile)
{
  struct request r = {
    .c = { .op = op, .write = buf, .count = count, .offset = offset,
           .flags = flags },
    /* Replayed, a zero need not be fast: it has been promised. */
    .op = { .type = type, .count = count, .offset = offset,
            .fua = flags & LIBNBD_CMD_FLAG_FUA,
            .flags = flags & ~(uint32_t) LIBNBD_CMD_FLAG_FAST_ZERO },
    .meanwhile = meanwhile,
  };

  return run_write (p, &r);
}

static int
write_parts (struct pool *p, const void *buf, uint32_t count, uint64_t offset,
             uint32_t flags, struct meanwhile *meanwhile)
{
  if (check_alignment (p, count, offset) == -1)
    return -1;
  while (count) {
    uint32_t n = part (p, count);

    if (one_write (p, UPSTREAM_WRITE, REPLAY_WRITE, buf, n, offset, flags,
                   meanwhile) == -1)
      return -1;
    buf = (const char *) buf + n;
    count -= n;
    offset += n;
  }
  return 0;
}

int
pool_write (struct pool *p, const void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  return write_parts (p, buf, count, offset, flags, NULL);
}

int
pool_write_while (struct pool *p, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags,
                  void (*fn) (void *opaque), void *opaque)
{
  struct meanwhile meanwhile = { fn, opaque };
  int r = write_parts (p, buf, count, offset, flags, &meanwhile);
  int err = errno;

  do_meanwhile (&meanwhile);    /* if nothing was sent */
  errno = err;
  return r;
}

int
pool_zero (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  if (check_alignment (p, count, offset) == -1)
    return -1;
  return one_write (p, UPSTREAM_ZERO, REPLAY_ZERO, NULL, count, offset,
                    flags, NULL);
}

int
pool_trim (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  if (check_alignment (p, count, offset) == -1)
    return -1;
  return one_write (p, UPSTREAM_TRIM, REPLAY_TRIM, NULL, count, offset,
                    flags, NULL);
}

int
pool_flush (struct pool *p, struct pool_client *client)
{
  int r, err;

  mutex_lock (&p->lock);
  r = flush_locked (p, client, 0);
  err = errno;
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}

/* --------------------------------------------------------------- extents */

/* Extents are kept until the whole reply is there: the request may have to be
 * sent again.
 */
struct extents {
  uint64_t offset;
  uint32_t *pair;
  size_t n, room;
};

static int
keep_extents (void *opaque, uint64_t offset, const uint32_t *pairs, size_t n)
{
  struct extents *e = opaque;

  if (offset == e->offset)
    e->n = 0;                   /* sent again */
  if (e->n + n > e->room) {
    uint32_t *pair = reallocarray (e->pair, e->n + n, 2 * sizeof *pair);

    if (pair == NULL)
      return -1;
    e->pair = pair;
    e->room = e->n + n;
  }
  memcpy (e->pair + 2 * e->n, pairs, 2 * n * sizeof *pairs);
  e->n += n;
  return 0;
}

int
pool_extents (struct pool *p, uint32_t count, uint64_t offset,
              uint32_t flags, pool_extent_fn fn, void *opaque)
{
  struct extents e = { .offset = offset };
  struct request r = { .c = { .op = UPSTREAM_EXTENTS, .count = count,
                              .offset = offset, .flags = flags,
                              .extents = keep_extents, .opaque = &e } };
  CLEANUP_FREE uint32_t *pair = NULL;
  /* A server may say more than it was asked.  Joined by nbdkit to an extent
   * over 4 GiB that would fail an assertion of nbdkit 1.32.
   */
  uint64_t end_offset = offset + count;
  size_t i;

  if (check_alignment (p, count, offset) == -1)
    return -1;
  if (run_read (p, &r) == -1) {
    free (e.pair);
    return -1;
  }
  pair = e.pair;
  if (e.n == 0) {
    errno = EIO;
    return -1;
  }
  for (i = 0; i < e.n && offset < end_offset; i++) {
    uint32_t length = pair[2 * i];

    if (length > end_offset - offset)
      length = end_offset - offset;
    if (fn (opaque, offset, length, pair[2 * i + 1]) == -1)
      return -1;
    offset += length;
  }
  return 0;
}

void
pool_figures (struct pool *p, struct pool_figures *figures)
{
  mutex_lock (&p->lock);
  *figures = p->figures;
  if (p->log) {
    struct replay_usage usage = replay_usage (p->log);

    figures->log_entries = usage.entries;
    figures->log_bytes = usage.bytes;
  }
  mutex_unlock (&p->lock);
}

void
pool_outage (struct pool *p, struct pool_outage *outage)
{
  mutex_lock (&p->lock);
  outage->away = p->outage &&
    (p->state == POOL_DOWN || p->state == POOL_CONNECTING);
  outage->since = p->outage_time;
  memcpy (outage->error, p->error, sizeof outage->error);
  mutex_unlock (&p->lock);
}
