/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool: an export of an upstream server as its clients see it, over one
 * connection or several, through the server's outages.
 *
 * Design
 *
 * All clients of an export share one pool.  It has several connections only if
 * the server offers multi-conn, else a flush would not cover what another
 * connection wrote.  A request goes to the connection with the fewest in
 * flight, or fills the first that is not full (choose_link), and is driven
 * there by the thread that brought it (upstream.h).
 *
 * The loss of one connection ends all of them.  That begins a new incarnation:
 * the server may be another process now, which knows nothing of what the old
 * one had not flushed.  On the connections that seem to be well, what is in
 * flight is still answered (upstream_retire).  The threads of the requests that
 * were interrupted, and of those that come, wait; the first of them to find the
 * old connections unused becomes the connector, waits for the server to close
 * them (upstream_close), and makes new ones.  There is no thread in the
 * background: without requests there is nobody to reconnect for.
 *
 *               pool_open       (1) nothing was interrupted
 *        NEW -----+         +-------------------------------------+
 *                 v         |                                     v
 *             CONNECTING ---+----------------> RESEND ---------> UP
 *               |    ^       (1) writes were     |     end_write  |
 *   (1) failed  |    | become_   interrupted     |     (the last) |
 *               v    | connector                 |                |
 *              DOWN -+                           |                |
 *               ^                                |   lose         | lose
 *               +--------------------------------+----------------+
 *
 *   (1) become_connector, by the result of connect_set: connect to a target of
 *       the list, compare it with what clients were promised, connect as often
 *       as is wanted, and send the replay log.
 *
 * Attempts follow each other after growing times with jitter.  An outage is
 * over when a request has succeeded, not when a connection was made: a server
 * that dies of each request does not start the clock again.
 *
 * Invariants
 *
 *   M1  No acknowledged write is lost.  A write is in the replay log before it
 *       is acknowledged, and leaves it only when a flush has succeeded that was
 *       sent after the acknowledgement, in one incarnation.  (A write with FUA
 *       needs no log: replay.h, L3.)
 *   M2  After a reconnect, first the log is sent, in order; then the writes
 *       that were interrupted, and only when these have ended, all the rest.
 *       A flush counts only for the incarnation to which it was sent.
 *   M3  No stale read: no read is sent before M2 is through.
 *   M4  Writes in flight do not overlap, from the moment they are let in until
 *       they have ended, whatever happens to the connection in between
 *       (replay.h, L1).  So the second sending of a write can not undo
 *       a later one.
 *   M5  Without a log, once an outage may have lost acknowledged writes, each
 *       client that was there gets EIO from its next flush, once, as from
 *       fsync(2).
 *   M6  A server that does not keep the promises made to clients is refused
 *       before anything is written to it.
 *   M7  Connections are freed by the connector, or by pool_free, when no
 *       request uses one (in_flight is 0).
 *   M8  A flush that failed may have dropped what it was to save, and the next
 *       may succeed all the same.  So after a failed flush, whoever asked for
 *       it, the log is sent again before another one; without a log each client
 *       is told, as in M5.
 *
 * What is assumed: nobody else writes to the export; multi-conn means what the
 * protocol says; a server that neither answers nor closes a connection in time
 * (POOL_PARTING_TIME, or request-timeout, or half of reconnect) does not carry
 * out that connection's requests later.
 *
 * A server that offers no flush gives no promise to keep: there is no log for
 * it, and nothing to fail (M5).
 *
 * At the program's end a server that does not answer is waited for no longer:
 * its connection is lost, and with it its requests.  The last flush alone
 * (pool_settle) waits, for a limited time; it connects again and sends the log.
 *
 * Locking.  The pool's lock is held for the bookkeeping before and after
 * a request, never while waiting for the network.  A connection's lock may be
 * taken inside it, never the other way round.
 *
 * Thread-safety: all may be called from any thread, and take the lock inside;
 * but pool_new and pool_free want to be alone with the pool.
 *
 * Errors: -1 with errno; EINVAL for what is not a multiple of the minimum block
 * size, ESHUTDOWN when the server stays away, else what the server said.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_POOL_H
#define MNBD_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "upstream.h"

#define POOL_MOST_CONNECTIONS 64

/* How long a server may take, after the loss of a connection, to end the
 * requests that it has, in nanoseconds.
 */
#define POOL_PARTING_TIME (5 * INT64_C (1000000000))

enum pool_log { POOL_ERROR, POOL_NOTE };

struct pool_options {
  const struct upstream_target *target; /* tried in order */
  size_t ntargets;
  struct upstream_options upstream;
  const char *export_name;
  unsigned connections;         /* 1 to POOL_MOST_CONNECTIONS */
  unsigned retry;               /* for pool_open: further attempts, after 1 s */
  int64_t reconnect;            /* ns: how long requests wait in an outage */
  int64_t connect_timeout;      /* ns: for one attempt */
  int64_t request_timeout;      /* ns; 0: none */
  uint64_t replay_buffer;       /* bytes; 0: no replay */
  bool fail_fast;               /* once the connection is lost all requests
                                 * fail, for ever; for users who have another
                                 * way to go on */

  /* Say something, in one line.  May be called with the pool's lock held, so it
   * calls nothing of this file; so with give_up.
   */
  void (*log) (void *opaque, enum pool_log level, const char *message);
  /* Asked several times a second, by threads that wait for a reconnect: should
   * this one stop waiting?  May be NULL.
   */
  bool (*give_up) (void *opaque);
  void *opaque;
  /* Asked by threads that wait for an answer, or in a handshake. */
  struct upstream_ending ending;
};

/* What has happened so far. */
struct pool_figures {
  uint64_t requests[UPSTREAM_OPS];
  uint64_t bytes_read, bytes_written;
  uint64_t errors;              /* requests that ended with an error */
  uint64_t retries;             /* requests sent again */
  uint64_t timeouts;            /* requests that request-timeout ended */
  uint64_t outages;
  uint64_t attempts;            /* to connect, without the first */
  uint64_t reconnects;          /* attempts that succeeded */
  uint64_t replays;             /* writes sent again from the log */
  uint64_t replay_bytes;
  uint64_t flushes;             /* done to make room in the log */
  uint64_t waited;              /* ns that requests waited in outages */
  uint64_t log_entries, log_bytes; /* now */
  unsigned connections;         /* now */
};

/* How long a description of what went wrong may be. */
#define POOL_ERROR_SIZE (UPSTREAM_WHY + 384)

/* Whether there is a server.  Without requests nobody looks. */
struct pool_outage {
  bool away;
  struct timespec since;        /* if it is: CLOCK_REALTIME */
  char error[POOL_ERROR_SIZE];  /* what went wrong with it last, or "" */
};

/* What a client has been told (M5). */
struct pool_client {
  uint64_t losses;
};

struct pool;

/* The options must stay as long as the pool.  NULL: no memory. */
struct pool *pool_new (const struct pool_options *options);

/* Connect for the first time; later calls return at once with 0.
 * Returns 0, or -1 with errno; what happened has been logged.
 */
int pool_open (struct pool *p);

/* Are there acknowledged writes that were not flushed? */
bool pool_is_dirty (struct pool *p);

/* Flush for the last time: waits for a server that is away or does not answer,
 * but not for long.  Returns 0, or -1 with errno; what happened has been logged.
 */
int pool_settle (struct pool *p);

/* Wait for the server no longer: requests in flight, and all later ones, fail
 * with ESHUTDOWN.
 */
void pool_give_up (struct pool *p);

/* Free all.  What is in the log is gone: settle first. */
void pool_free (struct pool *p);

/* What clients may be promised; valid after pool_open. */
const struct upstream_info *pool_info (const struct pool *p);

/* The export's description, or NULL. */
const char *pool_description (const struct pool *p);

void pool_client_init (struct pool *p, struct pool_client *client);

int pool_read (struct pool *p, void *buf, uint32_t count, uint64_t offset);
int pool_cache (struct pool *p, uint32_t count, uint64_t offset);
/* flags: LIBNBD_CMD_FLAG_* */
int pool_write (struct pool *p, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags);
/* The same; meanwhile is called once, in this thread: when the first part was
 * sent and before its answer is waited for, or else at the end.
 */
int pool_write_while (struct pool *p, const void *buf, uint32_t count,
                      uint64_t offset, uint32_t flags,
                      void (*meanwhile) (void *opaque), void *opaque);
int pool_zero (struct pool *p, uint32_t count, uint64_t offset,
               uint32_t flags);
int pool_trim (struct pool *p, uint32_t count, uint64_t offset,
               uint32_t flags);
int pool_flush (struct pool *p, struct pool_client *client);

/* fn gets one extent at a time, in order and without gaps, from offset on.
 * It is called without any lock.  Returns 0, or -1 with errno.
 */
typedef int (*pool_extent_fn) (void *opaque, uint64_t offset, uint32_t length,
                               uint32_t type);
int pool_extents (struct pool *p, uint32_t count, uint64_t offset,
                  uint32_t flags, pool_extent_fn fn, void *opaque);

void pool_figures (struct pool *p, struct pool_figures *figures);
void pool_outage (struct pool *p, struct pool_outage *outage);

#endif /* MNBD_POOL_H */
