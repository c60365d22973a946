/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of a pool share: pool.c, pool-request.c, pool-write.c,
 * pool-replay.c, pool-report.c, reconnect.c.
 */

#ifndef MNBD_POOL_PRIVATE_H
#define MNBD_POOL_PRIVATE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/printable.h"
#include "nbd/pool.h"
#include "nbd/witness.h"

/* How often a thread that waits checks whether it should go on. */
#define POOL_TICK (200 * NS_PER_MS)

enum pool_state { POOL_NEW, POOL_CONNECTING, POOL_RESEND, POOL_UP, POOL_DOWN };

/* A connection and its load. */
struct link {
  struct connection *connection;
  unsigned in_flight;
};

struct pool {
  struct pool_options o;        /* changes only in pool_ride_out, when nobody
                                 * reads it without the lock */
  /* What clients are promised (M6).  Both change only while there are none,
   * and with the lock; a client reads them without.
   */
  struct bdev_info info;
  char *description;

  struct mutex lock;
  /* State, room in the log, or the end of a write has changed. */
  pthread_cond_t changed;
  enum pool_state state GUARDED_BY (lock);
  uint64_t incarnation GUARDED_BY (lock);
  /* Changed by the connector only, without the lock; read by those who are
   * let in.
   */
  struct link link[POOL_MOST_CONNECTIONS];
  unsigned nlinks;
  bool local;                   /* they are Unix sockets */
  uint32_t payload_max GUARDED_BY (lock); /* bytes: the most they all take */
  unsigned in_flight GUARDED_BY (lock); /* requests that use a link (M7) */
  unsigned interrupted GUARDED_BY (lock); /* writes to be sent again (M2) */
  unsigned range_waiters GUARDED_BY (lock); /* writes that wait for M4 … */
  struct pool_request *queue GUARDED_BY (lock); /* … in the order they came */

  struct replay *log GUARDED_BY (lock);
  struct witness witness GUARDED_BY (lock);
  struct uuid *uuid GUARDED_BY (lock); /* of the disk at each target, the last
                                        * that it gave */
  atomic_bool relied;           /* clients have written, or read data */
  bool flushing GUARDED_BY (lock); /* somebody makes room in the log */
  /* Flushes are sent one after the other (M8), and numbered. */
  bool flush_sent GUARDED_BY (lock); /* one is under way */
  uint64_t flushes_begun GUARDED_BY (lock);
  uint64_t flushes_done GUARDED_BY (lock); /* the last that succeeded */
  /* Writes with FUA under way, of the older or the newer half: a flush awaits
   * those that are older than its end.
   */
  unsigned fua_writes[2] GUARDED_BY (lock);
  bool fua_epoch GUARDED_BY (lock); /* the half for those that come */
  uint64_t flush_awaited GUARDED_BY (lock); /* the flush that was not answered
                                             * yet; 0: none */
  /* Flushes so far that failed, or were not answered. */
  uint64_t flush_failures GUARDED_BY (lock);
  uint64_t losses GUARDED_BY (lock); /* outages that lost writes (M5) */
  unsigned clients GUARDED_BY (lock); /* to whom `info` was promised */
  /* Clients that left while what they wrote was not flushed … */
  uint64_t departed GUARDED_BY (lock);
  /* … and those that nobody has been told of a loss for (M9). */
  uint64_t owed GUARDED_BY (lock);
  bool renewing GUARDED_BY (lock); /* the connector is pool_open's (M6) */
  bool log_yields GUARDED_BY (lock); /* it may be given up for a server … */
  bool log_in_the_way GUARDED_BY (lock); /* … one was refused for it */
  bool one_client GUARDED_BY (lock); /* the server lets another wait */

  /* What is said of outages. */
  const struct connection_target *target GUARDED_BY (lock); /* the last one */
  bool ends GUARDED_BY (lock);  /* the program does: that is no outage */
  bool begin_said GUARDED_BY (lock);
  struct pool_stats before GUARDED_BY (lock); /* the outage */
  int64_t window GUARDED_BY (lock); /* when the limit begins again */
  unsigned outages_said GUARDED_BY (lock); /* in this window … */
  unsigned outages_unsaid GUARDED_BY (lock); /* … and not */

  bool progress GUARDED_BY (lock); /* a request succeeded since connecting */
  unsigned shutdowns GUARDED_BY (lock); /* means_shutdown, since the last did */
  int64_t outage GUARDED_BY (lock); /* when it began; 0: none */
  int64_t drain_until GUARDED_BY (lock); /* in DOWN: for late replies */
  uint64_t told GUARDED_BY (lock); /* of losses in this incarnation */
  int64_t next_try GUARDED_BY (lock);
  int64_t backoff GUARDED_BY (lock);
  uint64_t failures GUARDED_BY (lock); /* attempts that came to nothing */
  bool was_connected GUARDED_BY (lock);
  /* pool_give_up was called.  Set under the lock, and read without it where
   * libnbd asks in a handshake, with locks of its own.
   */
  atomic_bool given_up;
  unsigned final_flushes GUARDED_BY (lock); /* under way: time is short */
  bool forsaken GUARDED_BY (lock); /* pool_forsake was called */
  bool accepts_changed GUARDED_BY (lock); /* pool_accept_changed */
  unsigned random GUARDED_BY (lock);
  char said[POOL_ERROR_SIZE] GUARDED_BY (lock); /* the connector's last
                                                 * complaint */
  struct timespec outage_time GUARDED_BY (lock); /* of outage, as a date */
  char error[POOL_ERROR_SIZE] GUARDED_BY (lock); /* "": none yet */

  struct pool_stats stats GUARDED_BY (lock);
};

/* Wait until something changes, or `until`. */
void pool_wait_change (struct pool *p, int64_t until) REQUIRES (&p->lock);

/* Are there acknowledged writes that were not flushed? */
bool pool_dirty_locked (const struct pool *p) REQUIRES (&p->lock);

static inline int
pool_check_alignment (const struct pool *p, uint64_t count, uint64_t offset)
{
  if ((offset | count) & (p->info.block_min - 1)) {
    errno = EINVAL;
    return -1;
  }
  return 0;
}

/* Reads and writes are split at the maximum that was promised to clients; those
 * that are larger than what the server takes now, once more when they are sent
 * (payload_max).
 */
static inline uint32_t
pool_part (const struct pool *p, uint32_t count)
{
  uint32_t max = connection_payload_max (&p->info);

  return count < max ? count : max;
}

/* --------------------------------------------------- pool-request.c
 *
 * A request goes through these in order:
 *
 *   pool_may_go, else pool_wait_for_server
 *   pool_admit
 *   pool_send            gives up the lock
 *   pool_await_reply     takes it again; if it returns false:
 *   pool_may_try_again   then from the beginning
 *   pool_end_request
 */

/* May this request be sent now (M2)? */
static inline bool
pool_may_go (const struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock)
{
  return p->state == POOL_UP || (p->state == POOL_RESEND && r->resend);
}

/* Wait until it may.  Returns 0, or -1 with errno ESHUTDOWN. */
int pool_wait_for_server (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock);

/* Should this request wait no longer?  One with a deadline is not a client's,
 * and goes on.
 */
bool pool_gives_up (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock);

/* Choose a connection for the request, which uses it until pool_await_reply. */
void pool_admit (struct pool *p, struct pool_request *r) REQUIRES (&p->lock);

/* The time that request-timeout gives the server begins here. */
void pool_send (struct pool *p, struct pool_request *r) RELEASE (&p->lock);

/* Returns false if the connection was lost: the request may have been done or
 * not.
 */
bool pool_await_reply (struct pool *p, struct pool_request *r)
  ACQUIRE (&p->lock);

/* pool_send and pool_await_reply. */
bool pool_send_and_await (struct pool *p, struct pool_request *r)
  REQUIRES (&p->lock);

/* Count one more connection that was lost under this request. */
void pool_lost_request (struct pool_request *r);

/* May a request that lost its connection be sent again?  One that loses one
 * connection after the other, while other requests do not, must end some day.
 * Returns 0, or -1 with errno.
 */
int pool_may_try_again (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock);

/* Count it.  Returns 0, or -1 and sets errno to error. */
int pool_end_request (struct pool *p, struct pool_request *r, int error)
  REQUIRES (&p->lock);

/* ----------------------------------------------------- pool-write.c */

/* What is written to a server that refuses to zero. */
#define POOL_ZEROS (UINT32_C (256) << 10)
extern const char pool_zeros[POOL_ZEROS];

/* Flush for a client, or to empty the log if client is NULL.  With a deadline,
 * if it is not 0, only that limits the wait.  Returns 0, or -1 with errno.
 */
int pool_flush_locked (struct pool *p, struct pool_client *client,
                       int64_t deadline) REQUIRES (&p->lock);

/* ---------------------------------------------------- pool-report.c */

#define pool_note(p, ...) pool_say (p, POOL_NOTE, __VA_ARGS__)
void pool_say (struct pool *p, enum pool_log level, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Log an error of a connection, and remember it for pool_outage. */
void pool_report (struct pool *p, const char *fmt, ...)
  REQUIRES (&p->lock) __attribute__ ((format (printf, 2, 3)));

/* The same, unless it is what was logged last: in an outage one thing fails
 * again and again.
 */
void pool_say_once (struct pool *p, const char *text) REQUIRES (&p->lock);

/* An attempt to connect to this target failed.  Takes the lock. */
void pool_complain (struct pool *p, const struct connection_target *t,
                    const char *why);

void pool_say_outage_begins (struct pool *p) REQUIRES (&p->lock);
void pool_say_outage_ended (struct pool *p) REQUIRES (&p->lock);

/* Before the pool is freed: what has not been said yet of outages. */
void pool_say_outages (struct pool *p) REQUIRES (&p->lock);

/* ---------------------------------------------------- pool-replay.c */

/* How an attempt to connect may end early. */
struct pool_time_limit {
  int64_t deadline;             /* NEVER: none */
  const struct ending *ending;  /* or NULL */
};

static inline int64_t
pool_sooner (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/* Send commands that do not overlap, together, on a connection that nobody else
 * uses yet, and wait for all of them.
 */
void pool_do_all (struct connection *conn, struct nbd_command *c, unsigned n,
                  int64_t until, const struct ending *ending);

/* Can the log be sent to this server? */
bool pool_can_replay (struct pool *p, const struct bdev_info *now)
  REQUIRES (&p->lock);

/* Send the log on the first connection, which nobody else uses yet.  Writes are
 * split at what its server takes; zeros are written to a server that refuses to
 * zero, and a trim that it refuses is left out.  Returns 0, or -1 with errno
 * and why.
 */
int pool_replay (struct pool *p, const struct pool_time_limit *time_limit,
                 char why[CONNECTION_WHY]);

/* Is the log in the way of a server, and may be given up for it?  Remembers
 * that it was asked.
 */
bool pool_may_lose_log (struct pool *p) REQUIRES (&p->lock);

/* Give up the log, for a client that accepts the server as it is now. */
void pool_lose_log (struct pool *p, const char *why) REQUIRES (&p->lock);

/* ------------------------------------------------------- reconnect.c */

/* A connection of this incarnation is lost. */
void pool_lose (struct pool *p, uint64_t incarnation) REQUIRES (&p->lock);

/* There is no log, and what was acknowledged but not flushed may be lost: M5.
 */
void pool_lost_writes (struct pool *p) REQUIRES (&p->lock);

/* Acknowledged writes are lost: each client is to be told of it, and those that
 * replace clients that have left (M5, M9).
 */
void pool_count_loss (struct pool *p) REQUIRES (&p->lock);

/* Does a server that offers this need a log? */
bool pool_wants_log (const struct bdev_info *info);

/* In UP: does a new connection to the server find another disk than the old
 * ones?  Gives up the lock meanwhile.
 */
bool pool_server_has_changed (struct pool *p) REQUIRES (&p->lock);

/* In UP: end the connections, which are healthy, so that others are made. */
void pool_retire (struct pool *p) REQUIRES (&p->lock);

/* In DOWN, while requests still use connections: abort these if the time for
 * replies is over.  A thread that sends to a slow server does not check itself.
 */
void pool_end_drain (struct pool *p) REQUIRES (&p->lock);

/* A request has succeeded in this incarnation. */
void pool_progress (struct pool *p, uint64_t incarnation)
  REQUIRES (&p->lock);

/* Make one attempt to connect.  The state is NEW or DOWN, and in_flight 0;
 * gives up the lock meanwhile.  With a deadline, if it is not 0, only that ends
 * the attempt early; else the program's end does.  Returns 0, or -1 with errno.
 */
int pool_become_connector (struct pool *p, int64_t deadline)
  REQUIRES (&p->lock);

/* Free the connections. */
void pool_close_links (struct pool *p);

/* --------------------------------------------------- pool-witness.c */

/* Forget all that the server must have, and begin anew with p->info. */
void pool_reset_witness (struct pool *p) REQUIRES (&p->lock);

/* A server has other data, for the reason given in why: does nobody rely on the
 * old data any more?  If so, forgets what is known of it.
 */
bool pool_nobody_relies (struct pool *p, const char *why) REQUIRES (&p->lock);

/* A read is admitted, and has succeeded. */
void pool_watch_read (struct pool *p, struct pool_request *r)
  REQUIRES (&p->lock);
void pool_witness_read (struct pool *p, const struct pool_request *r)
  REQUIRES (&p->lock);

/* Has this server what it must have?  Returns 0; or -1 with errno, and says in
 * why what is wrong.
 */
int pool_ask_witness (struct pool *p, struct connection *conn,
                      const struct pool_time_limit *time_limit,
                      char why[CONNECTION_WHY]);

#endif /* MNBD_POOL_PRIVATE_H */
