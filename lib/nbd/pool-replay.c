/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay of a pool's log to a server that has come back (M1, M2). */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* How many writes, and how many bytes, of the log are in flight at a time. */
#define REPLAY_BATCH 32
#define REPLAY_BATCH_BYTES (UINT64_C (16) << 20)

/* How long each write of a batch may take if request-timeout= is not set. */
#define REPLAY_TIME (10 * NS_PER_S)

bool
pool_can_replay (struct pool *p, const struct bdev_info *now)
{
  struct replay_item item;
  uint64_t seq = 0;

  if (now->size < p->info.size || now->readonly || !now->can_flush)
    return false;
  while (replay_next (p->log, &seq, &item))
    if ((item.type == REPLAY_TRIM && !now->can_trim) ||
        (item.type == REPLAY_ZERO && !now->can_zero) ||
        item.offset % now->block_min || item.count % now->block_min)
      return false;
  return true;
}

bool
pool_may_lose_log (struct pool *p)
{
  p->log_in_the_way = true;
  return p->log_yields;
}

void
pool_lose_log (struct pool *p, const char *why)
{
  struct replay_usage usage = replay_usage (p->log);

  pool_say (p, POOL_ERROR, "%" PRIu64 " acknowledged writes of %" PRIu64
            " unflushed bytes are lost because the upstream has changed: "
            "%.200s; the next client's flush will fail",
            usage.entries, usage.changed, why);
  replay_flushed (p->log, replay_mark (p->log));
  /* At least one client wrote the data. */
  if (p->departed == 0)
    p->departed = 1;
  pool_count_loss (p);
}

/* The position of a replay: after this entry, and this many bytes into the
 * next.
 */
struct cursor {
  uint64_t seq;
  uint32_t done;
};

/* Does it overlap one of n other commands? */
static bool
overlaps (const struct nbd_command *c, const struct nbd_command *others,
          unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++)
    if (c->offset < others[i].offset + others[i].count &&
        others[i].offset < c->offset + c->count)
      return true;
  return false;
}

/* Take the next writes of the log that may be in flight together, each of at
 * most max bytes.  Returns how many there are.
 */
static unsigned
next_batch (struct pool *p, struct cursor *at, uint32_t max,
            struct nbd_command *c)
{
  static const enum nbd_op ops[] = {
    [REPLAY_WRITE] = NBD_WRITE,
    [REPLAY_ZERO] = NBD_ZERO,
    [REPLAY_TRIM] = NBD_TRIM,
  };
  struct replay_item item;
  uint64_t here = at->seq, bytes = 0;
  unsigned n = 0;

  mutex_lock (&p->lock);
  while (n < REPLAY_BATCH && bytes < REPLAY_BATCH_BYTES &&
         replay_next (p->log, &here, &item)) {
    uint32_t rest = item.count - at->done;

    c[n] = (struct nbd_command) {
      .op = ops[item.type], .flags = item.flags,
      .offset = item.offset + at->done,
      .count = item.data && rest > max ? max : rest,
      .write = item.data ? (const char *) item.data + at->done : NULL,
    };
    if (overlaps (&c[n], c, n))
      break;
    bytes += item.data ? c[n].count : 0;
    at->done += c[n].count;
    if (at->done == item.count)
      *at = (struct cursor) { .seq = here };
    else
      here = at->seq;
    n++;
  }
  mutex_unlock (&p->lock);
  return n;
}

/* How long n commands may take. */
static int64_t
time_for (const struct pool *p, unsigned n,
          const struct pool_time_limit *time_limit)
{
  int64_t limit = p->o.request_timeout ? p->o.request_timeout : REPLAY_TIME;

  return pool_sooner (clock_now () + n * limit, time_limit->deadline);
}

void
pool_do_all (struct connection *conn, struct nbd_command *c, unsigned n,
             int64_t until, const struct ending *ending)
{
  struct lf_waiter w;
  unsigned i;

  lf_waiter_init (&w);
  w.ending = ending;
  for (i = 0; i < n; i++)
    connection_issue (conn, &c[i], &w, until);
  connection_wait (conn, &w, until);
}

/* Send commands that do not overlap, and wait for all of them. */
static void
send_batch (struct pool *p, struct nbd_command *c, unsigned n,
            const struct pool_time_limit *time_limit)
{
  pool_do_all (p->link[0].connection, c, n, time_for (p, n, time_limit),
               time_limit->ending);
}

/* The server refused a zero command: write zeros instead.  Sets c->error. */
static void
write_zeros (struct pool *p, struct nbd_command *c, uint32_t max,
             const struct pool_time_limit *time_limit)
{
  uint32_t most = max < POOL_ZEROS ? max : POOL_ZEROS, done = 0;

  c->error = 0;
  while (done < c->count && c->error == 0) {
    struct nbd_command w = {
      .op = NBD_WRITE, .write = pool_zeros, .offset = c->offset + done,
      .count = c->count - done < most ? c->count - done : most,
    };

    send_batch (p, &w, 1, time_limit);
    c->error = w.error;
    done += w.count;
  }
}

/* At once, because they show that the server answers. */
static void
count_replays (struct pool *p, const struct nbd_command *c, unsigned n)
{
  unsigned i;

  mutex_lock (&p->lock);
  p->stats.replays += n;
  for (i = 0; i < n; i++)
    p->stats.replay_bytes += c[i].count;
  mutex_unlock (&p->lock);
}

int
pool_replay (struct pool *p, const struct pool_time_limit *time_limit,
             char why[CONNECTION_WHY])
{
  uint32_t max =
    connection_payload_max (connection_info (p->link[0].connection));
  struct nbd_command c[REPLAY_BATCH];
  struct cursor at = { .seq = 0 };
  uint64_t replays = 0, bytes = 0;
  unsigned n, i;

  while ((n = next_batch (p, &at, max, c)) > 0) {
    send_batch (p, c, n, time_limit);
    for (i = 0; i < n; i++) {
      if (c[i].error == ENOTSUP && c[i].op == NBD_ZERO)
        write_zeros (p, &c[i], max, time_limit);
      if (c[i].error == ENOTSUP && c[i].op == NBD_TRIM)
        c[i].error = 0;         /* it is a hint */
      if (c[i].error) {
        snprintf (why, CONNECTION_WHY,
                  "replaying a write of %" PRIu64 " bytes at "
                  "%" PRIu64 " failed: %s", c[i].count, c[i].offset,
                  strerror (c[i].error));
        errno = c[i].error;
        return -1;
      }
      replays++;
      bytes += c[i].count;
    }
    count_replays (p, c, n);
  }
  if (replays)
    pool_note (p, "replayed %" PRIu64 " writes of %" PRIu64 " bytes",
               replays, bytes);
  return 0;
}
