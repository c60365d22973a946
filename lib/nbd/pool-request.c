/* SPDX-License-Identifier: BSD-3-Clause */
/* The path of a request through a pool: it is admitted, sent and awaited, and
 * sent again if its connection is lost.  Also the requests that change nothing;
 * pool-write.c has those that do.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* A connection with this many requests in flight is full: nbdkit and qemu-nbd
 * work on as many at a time for each client.
 */
#define FULL_LINK 16

/* Over a network: as much as any connection has under way at a time, in bytes.
 */
#define FILL_BYTES (UINT32_C (64) << 10)

/* ESHUTDOWN becomes a request's result when this many servers in a row answer
 * nothing else.
 */
#define MOST_SHUTDOWNS 3

/* A request may cost this many connections because the replies to it break the
 * protocol.  The next reply would most likely break it, too.
 */
#define MOST_VIOLATIONS 3

/* -------------------------------------------------------------- admission */

/* Has this pool, or this request, been without a server for too long? */
static bool
waited_too_long (struct pool *p, const struct pool_request *r,
                 uint64_t failures, int64_t now) REQUIRES (&p->lock)
{
  if ((r->deadline && now >= r->deadline) || p->given_up ||
      (p->o.fail_fast && p->state == POOL_DOWN))
    return true;
  /* A request that arrives late in an outage still gets one attempt. */
  if (p->state != POOL_DOWN || p->failures == failures)
    return false;
  if (p->o.target->kind == TARGET_SOCKET_FD)
    return true;                /* there is nothing to wait for */
  return (p->outage && now >= p->outage + p->o.reconnect) ||
    (r->first_lost && now >= r->first_lost + p->o.reconnect);
}

bool
pool_gives_up (struct pool *p, const struct pool_request *r)
{
  return p->o.give_up && !r->deadline && p->o.give_up (p->o.opaque);
}

int
pool_wait_for_server (struct pool *p, const struct pool_request *r)
{
  uint64_t failures = p->failures;
  int64_t start = clock_now (), now = start, until;
  int result = 0;

  while (!pool_may_go (p, r)) {
    if (waited_too_long (p, r, failures, now) || pool_gives_up (p, r)) {
      result = -1;
      break;
    }
    until = now + POOL_TICK;
    if (p->state == POOL_DOWN && p->in_flight)
      pool_end_drain (p);
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
  p->stats.waited += now - start;
  errno = ESHUTDOWN;
  return result;
}

/* Does this request go to the first connection that is not full, rather than to
 * the one with the least to do?  Then one system call sends several requests,
 * or receives several replies, and fewer of the server's threads are woken.
 * Over a network the bandwidth of a connection may be the limit, so only
 * requests do so of which a full connection has no more than 64 KiB under way.
 */
static bool
fills (const struct pool *p, const struct pool_request *r)
{
  return p->local || (r->c.op != NBD_READ && r->c.op != NBD_WRITE) ||
    r->c.count <= FILL_BYTES / FULL_LINK;
}

/* Only the first connection negotiates extents (connect_more), so reads avoid
 * it.
 */
static struct link *
choose_link (struct pool *p, const struct pool_request *r) REQUIRES (&p->lock)
{
  unsigned first = r->c.op == NBD_READ && p->nlinks > 1, i;
  bool fill = fills (p, r);
  struct link *link = &p->link[first];

  if (r->c.op == NBD_EXTENTS)
    return link;
  for (i = 0; i < p->nlinks && link->in_flight; i++) {
    struct link *other = &p->link[(first + i) % p->nlinks];

    if (fill && other->in_flight < FULL_LINK)
      return other;
    if (other->in_flight < link->in_flight)
      link = other;
  }
  return link;
}

void
pool_admit (struct pool *p, struct pool_request *r)
{
  r->link = choose_link (p, r);
  r->link->in_flight++;
  p->in_flight++;
  r->incarnation = p->incarnation;
}

static void
release (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  r->link->in_flight--;
  p->in_flight--;
  /* The connector may be waiting for the last one (M7). */
  if (p->in_flight == 0 && p->state == POOL_DOWN)
    pthread_cond_broadcast (&p->changed);
}

void
pool_lost_request (struct pool_request *r)
{
  if (r->losses++ == 0)
    r->first_lost = clock_now ();
}

/* The server answered ESHUTDOWN.  A server that shuts down waits for its
 * clients to disconnect, and another one may take its place.  But if several
 * servers in a row answer nothing else, ESHUTDOWN is the request's result.
 */
static bool
means_shutdown (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock)
{
  if (p->progress || r->incarnation != p->incarnation)
    return false;
  return p->shutdowns == MOST_SHUTDOWNS || ++p->shutdowns == MOST_SHUTDOWNS;
}

void
pool_send (struct pool *p, struct pool_request *r)
{
  struct connection *conn = r->link->connection;

  mutex_unlock (&p->lock);
  r->until = NEVER;
  if (p->o.request_timeout)
    r->until = clock_now () + p->o.request_timeout;
  if (r->deadline && r->deadline < r->until)
    r->until = r->deadline;
  lf_waiter_init (&r->waiter);
  if (!r->deadline)
    r->waiter.ending = &p->o.ending;
  connection_issue (conn, &r->c, &r->waiter, r->until);
  /* Copy the data while the server works. */
  if (r->begun && r->done == 0)
    replay_store (&r->op, r->data);
  if (r->begun && r->watched && r->done == 0)
    r->digest = witness_digest ((const char *) r->data +
                                (r->block - r->op.offset));
}

/* A client has read this.  Data is what it may rely on (M6). */
static void
note_data (struct pool *p, const char *data, uint32_t n)
{
  if (!atomic_load_explicit (&p->relied, memory_order_relaxed) && n &&
      (data[0] || memcmp (data, data + 1, n - 1) != 0))
    atomic_store_explicit (&p->relied, true, memory_order_relaxed);
}

bool
pool_await_reply (struct pool *p, struct pool_request *r)
{
  bool in_time = connection_wait (r->link->connection, &r->waiter, r->until);
  bool ends = r->c.error == ENOTCONN && program_ends (r->waiter.ending);

  if (r->c.op == NBD_READ && r->c.error == 0)
    note_data (p, r->c.read, r->c.count);
  mutex_lock (&p->lock);
  release (p, r);
  if (!in_time) {
    p->stats.timeouts++;
    pool_report (p, "the upstream did not answer within %s",
                 r->until == r->deadline ? "the time allowed at shutdown"
                 : "request-timeout");
  }
  if (r->c.error != ENOTCONN && r->c.error != ESHUTDOWN) {
    pool_progress (p, r->incarnation);
    return true;
  }
  if (r->c.error == ESHUTDOWN && means_shutdown (p, r))
    return true;
  p->ends |= ends;
  pool_lose (p, r->incarnation);
  pool_lost_request (r);
  r->violations += r->c.violated;
  return false;
}

bool
pool_send_and_await (struct pool *p, struct pool_request *r)
{
  pool_send (p, r);
  return pool_await_reply (p, r);
}

int
pool_may_try_again (struct pool *p, const struct pool_request *r)
{
  int64_t now = clock_now ();

  if (r->violations >= MOST_VIOLATIONS) {
    errno = EIO;
    return -1;
  }
  if (!p->o.fail_fast && !p->given_up && !pool_gives_up (p, r) &&
      (r->deadline == 0 || now < r->deadline) &&
      (r->losses == 1 || now < r->first_lost + p->o.reconnect)) {
    p->stats.retries++;
    return 0;
  }
  errno = ESHUTDOWN;
  return -1;
}

int
pool_end_request (struct pool *p, struct pool_request *r, int error)
{
  p->stats.requests[r->c.op]++;
  if (error)
    p->stats.errors++;
  else if (r->c.op == NBD_READ)
    p->stats.bytes_read += r->c.count;
  else if (r->c.op == NBD_WRITE)
    p->stats.bytes_written += r->op.count;
  errno = error;
  return error ? -1 : 0;
}

/* ------------------------------------------------- requests without changes */

/* What this server and this connection take at a time. */
static void
limit_count (struct pool *p, struct pool_request *r) REQUIRES (&p->lock)
{
  uint64_t most = r->c.count;

  if (r->c.op == NBD_READ)
    most = p->payload_max;
  else if (r->c.op == NBD_EXTENTS)
    most = connection_extents_max (r->link->connection);
  if (r->c.count > most)
    r->c.count = most;
}

/* A read may get less than it asked for: r->c.count bytes; so may a request for
 * extents.
 */
static int
run_read (struct pool *p, struct pool_request *r)
{
  int error;

  mutex_lock (&p->lock);
  for (;;) {
    if (!pool_may_go (p, r) && pool_wait_for_server (p, r) == -1) {
      error = errno;
      break;
    }
    pool_admit (p, r);
    limit_count (p, r);
    if (r->c.op == NBD_READ)
      pool_watch_read (p, r);
    if (pool_send_and_await (p, r)) {
      error = r->c.error;
      if (error == 0)
        pool_witness_read (p, r);
      break;
    }
    if (pool_may_try_again (p, r) == -1) {
      error = errno;
      break;
    }
  }
  error = pool_end_request (p, r, error) == -1 ? errno : 0;
  mutex_unlock (&p->lock);
  errno = error;
  return error ? -1 : 0;
}

int
pool_read (struct pool *p, void *buf, uint32_t count, uint64_t offset)
{
  if (pool_check_alignment (p, count, offset) == -1)
    return -1;
  while (count) {
    struct pool_request r = { .c = { .op = NBD_READ, .read = buf,
                                     .count = pool_part (p, count),
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
  struct pool_request r = { .c = { .op = NBD_CACHE, .count = count,
                                   .offset = offset } };

  if (pool_check_alignment (p, count, offset) == -1)
    return -1;
  return run_read (p, &r);
}

/* --------------------------------------------------------------- extents */

/* The extents of a reply, collected until the reply is complete, because the
 * request may have to be sent again.
 */
struct extents {
  uint64_t offset;
  struct nbd_status *status;
  size_t n, room;
};

static int
keep_extents (void *opaque, uint64_t offset, const struct nbd_status *status,
              size_t n)
{
  struct extents *e = opaque;

  if (offset == e->offset)
    e->n = 0;                   /* sent again */
  if (e->n + n > e->room) {
    struct nbd_status *more = reallocarray (e->status, e->n + n, sizeof *more);

    if (more == NULL)
      return -1;
    e->status = more;
    e->room = e->n + n;
  }
  memcpy (e->status + e->n, status, n * sizeof *status);
  e->n += n;
  return 0;
}

int
pool_extents (struct pool *p, uint64_t count, uint64_t offset,
              uint32_t flags, pool_extent_fn fn, void *opaque)
{
  struct extents e = { .offset = offset };
  struct pool_request r = { .c = { .op = NBD_EXTENTS, .count = count,
                                   .offset = offset, .flags = flags,
                                   .extents = keep_extents, .opaque = &e } };
  CLEANUP_FREE struct nbd_status *status = NULL;
  size_t i;

  if (pool_check_alignment (p, count, offset) == -1)
    return -1;
  if (run_read (p, &r) == -1) {
    free (e.status);
    return -1;
  }
  status = e.status;
  if (e.n == 0) {
    errno = EIO;
    return -1;
  }
  if (flags & LIBNBD_CMD_FLAG_REQ_ONE)
    e.n = 1;
  for (i = 0; i < e.n && offset < p->info.size; i++) {
    if (fn (opaque, offset, status[i].length, status[i].type) == -1)
      return -1;
    offset += status[i].length;
  }
  return 0;
}
