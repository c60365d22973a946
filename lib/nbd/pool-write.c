/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes and flushes through a pool: the order of writes, the replay log, and
 * what a failed flush means.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <libnbd.h>

#include "base/clock.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* The most bytes to zero in one request.  When a plugin answers ENOTSUP to a
 * larger one, nbdkit before 1.44 zeroes the first 64 MiB again and again,
 * leaves the rest as it was, and reports success.
 */
#define ZERO_MOST (UINT32_C (64) << 20)

/* The time that pool_write_wait allows to receive a reply that may have arrived
 * while no thread was receiving.
 */
#define LATE_WAIT NS_PER_S

/* --------------------------------------------------------------- flushes */

/* The client gets an error: it now knows about all losses (M5, M9). */
static void
tell_client (struct pool *p, struct pool_client *client) REQUIRES (&p->lock)
{
  client->losses = p->losses;
  if (client->heir && p->owed)
    p->owed--;
  client->heir = false;
}

/* If the server fails to flush for this request, can it drop anything that was
 * written by others?  Writes in flight may be in its cache already.  A server
 * that offers no flush promises nothing.
 */
static bool
is_at_risk (const struct pool *p, const struct pool_request *r, unsigned own)
  REQUIRES (&p->lock)
{
  return p->info.can_flush && r->incarnation == p->incarnation &&
    (replay_dirty (p->log) || p->witness.writing > own);
}

/* The server failed to flush.  As with fsync(2), it may have dropped the data,
 * and its next flush may succeed all the same (M8).  So the connection counts
 * as lost, and the log is sent again before the next flush.  If there is no
 * log, or no way to reconnect, each client is told.
 *
 * `own` of the writes in flight are of this request: they have failed with it,
 * and are no loss.
 */
static void
flush_failed (struct pool *p, const struct pool_request *r, unsigned own,
              struct pool_client *client) REQUIRES (&p->lock)
{
  witness_lost (&p->witness);
  if (!is_at_risk (p, r, own))
    return;
  if (p->o.replay_buffer && p->o.target->kind != TARGET_SOCKET_FD) {
    pool_report (p, "the upstream could not flush: %s; reconnecting to replay "
                 "what it may have dropped", strerror (r->c.error));
    pool_lose (p, r->incarnation);
    return;
  }
  pool_count_loss (p);
  if (p->o.replay_buffer == 0)
    replay_forget (p->log);
  if (client)
    tell_client (p, client);           /* its flush returns the error */
}

/* Wait for other requests to end.  Returns 0, or -1 with errno. */
static int
wait_for_others (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock)
{
  int64_t until = clock_now () + POOL_TICK;

  pool_wait_change (p, until);
  if (clock_now () < until || !pool_gives_up (p, r))
    return 0;
  errno = ESHUTDOWN;
  return -1;
}

/* A flush that covers all that was acknowledged so far has this number, or a
 * later one.
 */
static uint64_t
next_flush (const struct pool *p) REQUIRES (&p->lock)
{
  return p->flushes_begun + 1;
}

/* A flush was answered, and succeeded.  Had one of the writes with FUA failed
 * to flush that were under way meanwhile, the server may have told only that
 * one (M8).  So wait until they have ended, but not for those that come later.
 * Returns false if this request is not to wait so long.
 */
static bool
await_fua_writes (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock)
{
  unsigned i;

  for (i = 0; i < 2; i++) {
    /* At first there are only those that an earlier flush did not await. */
    if (i == 1)
      p->fua_epoch = !p->fua_epoch;
    while (p->fua_writes[!p->fua_epoch] && r->incarnation == p->incarnation) {
      if (r->deadline && clock_now () >= r->deadline)
        return false;
      if (wait_for_others (p, r) == -1)
        return false;
    }
  }
  return true;
}

/* Send a flush, while none is under way, and wait for the answer.  Returns
 * false if the connection was lost.
 */
static bool
send_flush (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  uint64_t acks, number = ++p->flushes_begun;
  struct replay_mark mark;
  bool answered;

  p->flush_sent = true;
  p->flush_awaited = number;
  pool_admit (p, r);
  mark = replay_mark (p->log);
  acks = p->witness.acks;
  answered = pool_send_and_await (p, r);
  p->flush_awaited = 0;
  p->flush_failures += !answered || r->c.error; /* for all we know */
  pthread_cond_broadcast (&p->changed);
  if (answered && r->c.error == 0)
    answered = await_fua_writes (p, r);
  p->flush_sent = false;
  /* M2: the flush counts only if the server that answered it is the current
   * one.
   */
  if (answered && r->c.error == 0 && r->incarnation == p->incarnation) {
    p->flushes_done = number;
    replay_flushed (p->log, mark);
    witness_flushed (&p->witness, acks);
    if (!replay_dirty (p->log))
      p->departed = 0;
  }
  pthread_cond_broadcast (&p->changed);
  return answered;
}

/* Wait until a flush may be sent, or somebody else's has done what this one
 * should.  Returns 0, or -1 with errno.
 */
static int
wait_to_flush (struct pool *p, const struct pool_request *r, uint64_t number)
  REQUIRES (&p->lock)
{
  while (p->flushes_done < number) {
    if (!pool_may_go (p, r)) {
      if (pool_wait_for_server (p, r) == -1)
        return -1;
    }
    else if (!p->flush_sent)
      return 0;
    else if (r->deadline && clock_now () >= r->deadline) {
      errno = ESHUTDOWN;
      return -1;
    }
    else if (wait_for_others (p, r) == -1)
      return -1;
  }
  return 0;
}

int
pool_flush_locked (struct pool *p, struct pool_client *client, int64_t deadline)
{
  struct pool_request r = { .c = { .op = NBD_FLUSH },
                            .deadline = deadline };
  uint64_t number = next_flush (p);

  for (;;) {
    if (wait_to_flush (p, &r, number) == -1)
      return pool_end_request (p, &r, errno);
    if (p->flushes_done >= number)
      break;
    if (!send_flush (p, &r)) {
      if (pool_may_try_again (p, &r) == -1)
        return pool_end_request (p, &r, errno);
    }
    else if (r.c.error) {
      flush_failed (p, &r, 0, client);
      return pool_end_request (p, &r, r.c.error);
    }
  }
  /* M5, after the flush: what was not lost is safe now. */
  if (client && client->losses != p->losses) {
    tell_client (p, client);
    return pool_end_request (p, &r, EIO);
  }
  return pool_end_request (p, &r, 0);
}

/* Make room in the log for this write, or wait for the thread that does. */
static int
make_room (struct pool *p, const struct pool_request *w) REQUIRES (&p->lock)
{
  int r;

  if (p->flushing)
    return wait_for_others (p, w);
  p->flushing = true;
  p->stats.flushes++;
  r = pool_flush_locked (p, NULL, 0);
  p->flushing = false;
  pthread_cond_broadcast (&p->changed);
  return r;
}

/* ---------------------------------------------------------------- writes */

/* Writes that wait for others to the same bytes stay in the order in which they
 * came: otherwise a stream of small writes could hold up a large one for ever.
 */
static bool
overlaps_earlier (const struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock)
{
  const struct pool_request *q;

  for (q = p->queue; q && q != r; q = q->next)
    if (q->c.offset < r->c.offset + r->c.count &&
        r->c.offset < q->c.offset + q->c.count)
      return true;
  return false;
}

static void
enqueue (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  struct pool_request **q;

  if (r->queued)
    return;
  for (q = &p->queue; *q; q = &(*q)->next)
    ;
  *q = r;
  r->queued = true;
}

static void
dequeue (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  struct pool_request **q;

  if (!r->queued)
    return;
  for (q = &p->queue; *q != r; q = &(*q)->next)
    ;
  *q = r->next;
  r->next = NULL;
  r->queued = false;
}

/* Enter a write into the log (M1, M4).  Returns 0; or 1 to be called again,
 * because the lock was given up; or -1 with errno.
 */
static int
begin_write (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  int result;

  if (r->begun)
    return 0;
  if (replay_half_full (p->log) && !p->flushing) {
    /* Do it early, so that other writes need not wait. */
    return make_room (p, r) == -1 ? -1 : 1;
  }
  if (overlaps_earlier (p, r))
    errno = EBUSY;
  else if (replay_begin (p->log, &r->op) == 0) {
    dequeue (p, r);
    r->begun = true;
    r->fua_epoch = p->fua_epoch;
    p->fua_writes[r->fua_epoch] += r->op.fua;
    witness_change_begins (&p->witness, r->op.count, r->op.offset,
                           r->op.type == REPLAY_TRIM);
    r->watched = r->op.type == REPLAY_WRITE &&
      witness_wants_write (&p->witness, r->op.count, r->op.offset, &r->block);
    return 0;
  }
  if (errno == EBUSY)
    enqueue (p, r);
  if (errno == EBUSY || (errno == ENOBUFS && !replay_dirty (p->log))) {
    /* Either writes in flight overlap this one, or they fill the log. */
    p->range_waiters++;
    result = wait_for_others (p, r);
    p->range_waiters--;
    return result == -1 ? -1 : 1;
  }
  if (errno == ENOBUFS)
    return make_room (p, r) == -1 ? -1 : 1;
  return -1;
}

/* The whole write must be sent again.  A zero must not be refused for not being
 * fast then (op.flags): the first attempt may have succeeded.
 */
static void
interrupt_write (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  if (!r->resend)
    p->interrupted++;
  r->resend = true;
  r->done = 0;
  r->refused = 0;
  r->c.flags = r->op.flags;
}

static void
end_write (struct pool *p, struct pool_request *r, bool ok) REQUIRES (&p->lock)
{
  dequeue (p, r);
  if (ok && !atomic_load_explicit (&p->relied, memory_order_relaxed))
    atomic_store_explicit (&p->relied, true, memory_order_relaxed);
  if (r->begun) {
    if (r->op.fua && --p->fua_writes[r->fua_epoch] == 0 && p->flush_sent)
      pthread_cond_broadcast (&p->changed);
    replay_end (p->log, &r->op, ok);
    witness_change_ended (&p->witness, ok);
    if (ok && r->watched && r->incarnation == p->incarnation)
      witness_wrote (&p->witness, r->block, r->digest);
  }
  /* The server that acknowledged it has gone since (M5). */
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

/* Flush a write that is too large for the log before it is acknowledged.
 * Returns false if the connection was lost.
 */
static bool
write_through (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  struct pool_request flush = { .c = { .op = NBD_FLUSH } };
  uint64_t number = next_flush (p);

  flush.resend = r->resend;
  for (;;) {
    if (r->incarnation != p->incarnation || !pool_may_go (p, r))
      return false;
    if (p->flushes_done >= number)
      return true;
    if (!p->flush_sent)
      break;
    if (wait_for_others (p, r) == -1)
      return false;
  }
  if (!send_flush (p, &flush) || flush.incarnation != p->incarnation)
    return false;
  r->c.error = flush.c.error;
  if (r->c.error)
    flush_failed (p, &flush, 1, NULL);
  return true;
}

/* Admit the rest of a write, as much of it as the server accepts at once. */
static void
admit_piece (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  uint32_t rest = r->op.count - r->done;

  pool_admit (p, r);
  if (r->c.op != NBD_WRITE)
    return;
  r->c.write = (const char *) r->data + r->done;
  r->c.offset = r->op.offset + r->done;
  r->c.count = rest < p->payload_max ? rest : p->payload_max;
}

/* A piece was answered, and was not the last one.  Returns false if the
 * connection was lost.
 */
static bool
admit_next_piece (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  if (r->incarnation != p->incarnation || !pool_may_go (p, r))
    return false;
  r->done += r->c.count;
  admit_piece (p, r);
  return true;
}

/* The server failed to flush for a write with FUA, for all we know. */
static void
fua_failed (struct pool *p, const struct pool_request *r) REQUIRES (&p->lock)
{
  p->flush_failures++;
  flush_failed (p, r, 1, NULL);
}

/* A write with FUA was refused.  Did the server fail to flush, and so may have
 * dropped what others wrote (M8)?  If it refuses the write without FUA as well,
 * with the same error, it had not come to flush.  Returns true if this was
 * admitted, to find out.
 */
static bool
admit_without_fua (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  if (!r->op.fua || (r->c.error != EIO && r->c.error != ENOSPC))
    return false;
  if (!is_at_risk (p, r, 1) || !pool_may_go (p, r)) {
    fua_failed (p, r);
    return false;
  }
  r->refused = r->c.error;
  r->c.flags &= ~(uint32_t) LIBNBD_CMD_FLAG_FUA;
  admit_piece (p, r);
  return true;
}

/* It was answered. */
static void
note_without_fua (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  bool refused = r->c.error == r->refused;

  r->c.error = r->refused;
  if (!refused)
    fua_failed (p, r);
}

/* A write with FUA was answered, and succeeded.  Is it safe?  Not if a flush
 * has failed meanwhile: that may have dropped it (M8).  The answer to one that
 * is under way may have come earlier.
 */
static bool
fua_is_safe (struct pool *p, const struct pool_request *r) REQUIRES (&p->lock)
{
  uint64_t flush = p->flush_awaited;

  while (flush && p->flush_awaited == flush)
    if (wait_for_others (p, r) == -1)
      return false;
  return r->flush_failures == p->flush_failures;
}

/* Wait until a write may go, and admit it.  Returns 0, or -1 with errno. */
static int
admit_write (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  int again = 1;

  while (again) {
    if (!pool_may_go (p, r) && pool_wait_for_server (p, r) == -1)
      return -1;
    again = begin_write (p, r);
    if (again == -1)
      return -1;
  }
  r->flush_failures = p->flush_failures;
  admit_piece (p, r);
  return 0;
}

/* The write has ended, with an errno or 0. */
static void
finish_write (struct pool *p, struct pool_request *r, int error)
  REQUIRES (&p->lock)
{
  r->sent = false;
  end_write (p, r, error == 0);
  r->error = pool_end_request (p, r, error) == -1 ? errno : 0;
}

static void
start_write (struct pool *p, struct pool_request *r)
{
  mutex_lock (&p->lock);
  if (admit_write (p, r) == -1) {
    finish_write (p, r, errno);
    mutex_unlock (&p->lock);
    return;
  }
  r->sent = true;
  pool_send (p, r);
}

/* The write was answered, or its connection was lost.  Returns true with *error
 * if it has ended; false if it, or its next piece, has been admitted.
 */
static bool
has_ended (struct pool *p, struct pool_request *r, bool answered,
           int *error) REQUIRES (&p->lock)
{
  if (answered && r->refused)
    note_without_fua (p, r);
  else if (answered && r->c.error && admit_without_fua (p, r))
    return false;
  if (answered && r->c.error) {
    *error = r->c.error;
    return true;
  }
  if (answered && r->done + r->c.count < r->op.count) {
    if (admit_next_piece (p, r))
      return false;
    pool_lost_request (r);
  }
  else if (answered) {
    if (r->op.fua ? fua_is_safe (p, r)
        : !r->op.through || write_through (p, r)) {
      *error = r->c.error;
      return true;
    }
    pool_lost_request (r);
  }
  interrupt_write (p, r);
  if (pool_may_try_again (p, r) == 0 && admit_write (p, r) == 0)
    return false;
  *error = errno;
  return true;
}

/* Wait for the end of a write.  Returns 0, or -1 with errno. */
static int
wait_write (struct pool *p, struct pool_request *r)
{
  int error;

  while (r->sent) {
    bool answered = pool_await_reply (p, r);

    if (has_ended (p, r, answered, &error)) {
      finish_write (p, r, error);
      mutex_unlock (&p->lock);
    }
    else
      pool_send (p, r);
  }
  errno = r->error;
  return r->error ? -1 : 0;
}

/* -------------------------------------------------------------- the API */

static void
init_write (struct pool_request *r, enum nbd_op op,
            enum replay_type type, const void *buf, uint32_t count,
            uint64_t offset, uint32_t flags)
{
  *r = (struct pool_request) {
    .c = { .op = op, .write = buf, .count = count, .offset = offset,
           .flags = flags },
    .data = buf,
    /* A zero that is replayed need not be fast: it was acknowledged. */
    .op = { .type = type, .count = count, .offset = offset,
            .fua = flags & LIBNBD_CMD_FLAG_FUA,
            .flags = flags & ~(uint32_t) LIBNBD_CMD_FLAG_FAST_ZERO },
  };
}

static void
start_part (struct pool *p, struct pool_write *w, const void *buf,
            uint32_t count, uint64_t offset, uint32_t flags)
{
  uint32_t n = pool_part (p, count);

  init_write (&w->request, NBD_WRITE, REPLAY_WRITE, buf, n, offset,
              flags);
  w->rest = (const char *) buf + n;
  w->count = count - n;
  if (n)
    start_write (p, &w->request);
}

void
pool_write_start (struct pool *p, struct pool_write *w, const void *buf,
                  uint32_t count, uint64_t offset, uint32_t flags)
{
  if (pool_check_alignment (p, count, offset) == 0)
    start_part (p, w, buf, count, offset, flags);
  else {
    w->request.sent = false;
    w->request.error = errno;
  }
}

/* The thread came back after request-timeout.  The server is not to blame, so
 * its connection is not given up at once.
 */
static void
allow_late_wait (const struct pool *p, struct pool_request *r)
{
  int64_t now;

  if (!r->sent || r->until == NEVER || connection_is_lost (r->link->connection))
    return;
  now = clock_now ();
  if (now >= r->until)
    r->until = now + (p->o.request_timeout < LATE_WAIT ? p->o.request_timeout
                      : LATE_WAIT);
}

int
pool_write_wait (struct pool *p, struct pool_write *w)
{
  const struct pool_request *r = &w->request;

  allow_late_wait (p, &w->request);
  while (wait_write (p, &w->request) == 0) {
    if (w->count == 0)
      return 0;
    start_part (p, w, w->rest, w->count, r->op.offset + r->op.count,
                r->c.flags);
  }
  return -1;
}

int
pool_write (struct pool *p, const void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  struct pool_write w;

  pool_write_start (p, &w, buf, count, offset, flags);
  return pool_write_wait (p, &w);
}

const char pool_zeros[POOL_ZEROS];

static int
write_zeros (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  uint32_t n;

  for (; count; count -= n, offset += n) {
    n = count < POOL_ZEROS ? count : POOL_ZEROS;
    if (pool_write (p, pool_zeros, n, offset,
                    flags & LIBNBD_CMD_FLAG_FUA) == -1) {
      /* To nbdkit this would mean: try another way. */
      if (errno == ENOTSUP || errno == EOPNOTSUPP)
        errno = EIO;
      return -1;
    }
  }
  return 0;
}

/* One part of a zero request. */
static int
zero_part (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct pool_request r;

  init_write (&r, NBD_ZERO, REPLAY_ZERO, NULL, count, offset, flags);
  start_write (p, &r);
  if (wait_write (p, &r) == 0)
    return 0;
  if (errno != ENOTSUP && errno != EOPNOTSUPP)
    return -1;
  /* "Not fast" means that nothing was changed.  That holds only for the server
   * that was asked first.
   */
  if ((flags & LIBNBD_CMD_FLAG_FAST_ZERO) && !r.resend)
    return -1;
  /* nbdkit would do this for us, but see ZERO_MOST. */
  return write_zeros (p, count, offset, flags);
}

int
pool_zero (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  uint32_t n;

  if (pool_check_alignment (p, count, offset) == -1)
    return -1;
  for (; count; count -= n, offset += n) {
    n = count < ZERO_MOST ? count : ZERO_MOST;
    if (zero_part (p, n, offset, flags) == -1)
      return -1;
    /* "Not fast" would be wrong now: it says that nothing was changed. */
    flags &= ~(uint32_t) LIBNBD_CMD_FLAG_FAST_ZERO;
  }
  return 0;
}

int
pool_trim (struct pool *p, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct pool_request r;

  if (pool_check_alignment (p, count, offset) == -1)
    return -1;
  init_write (&r, NBD_TRIM, REPLAY_TRIM, NULL, count, offset, flags);
  start_write (p, &r);
  return wait_write (p, &r);
}

int
pool_flush (struct pool *p, struct pool_client *client, bool *told)
{
  uint64_t losses;
  int r, err;

  mutex_lock (&p->lock);
  losses = client->losses;
  r = pool_flush_locked (p, client, 0);
  err = errno;
  if (told)
    *told = r == -1 && client->losses != losses;
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}
