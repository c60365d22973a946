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
 * there by the thread that brought it (connection.h).
 *
 * The loss of one connection ends all of them.  That begins a new incarnation:
 * the server may be another process now, which knows nothing of what the old
 * one had not flushed.  On the connections that seem to be well, what is in
 * flight is still answered (connection_retire).  The threads of the requests
 * that were interrupted, and of those that come, wait; the first of them to
 * find the old connections unused becomes the connector, waits for the server
 * to close them (connection_close), and makes new ones.  The pool has no thread
 * in the background: without requests there is nobody to reconnect for.  When
 * its last client leaves acknowledged writes that were not flushed, there is:
 * whoever owns the pool lends it a thread then (pool_keep).
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
 *   M6  A server that does not keep the promises made to clients, or has other
 *       data than it must have (witness.h), is refused before anything is
 *       written to it.  A promise lasts as long as there is
 *       a client to whom it was made.  The maximum block size is no promise: no
 *       read or write is larger than the server that gets it announces, and
 *       what was sent or logged as one request is split.  Without clients
 *       a server that has changed is refused only if the log cannot be sent to
 *       it (so with pool_accept_changed, but then nothing is adopted or given
 *       up).  What it offers is adopted only when it has the log.  The log is
 *       never sent to a disk that has become smaller.  When a client comes to
 *       such a disk (pool_open) and no target can have the log, the log is
 *       given up and counts as a loss (M9), for otherwise nobody could connect
 *       any more.
 *       So is a server that gives another UUID than its target gave before,
 *       once a client has written, or has read anything but zeros.  Targets may
 *       have different UUIDs: the disks of a mirror do.
 *   M7  Connections are freed by the connector, or by pool_free, when no
 *       request uses one (in_flight is 0).
 *   M8  A flush that failed may have dropped what it was to save, and the next
 *       may succeed all the same.  So after a failed flush, whoever asked for
 *       it, the log is sent again before another one; without a log each client
 *       is told, as in M5.  Servers flush for a write with FUA, too: unless the
 *       same write without FUA is refused as well, a flush has failed.
 *       The success of one flush could hide the failure of another that is
 *       under way at the same time.  So two are never sent at once, and a flush
 *       counts only when the writes with FUA that were under way have ended.
 *       A write with FUA that succeeds is sent again if a flush has failed
 *       meanwhile, or was lost with its connection.  For that it awaits the
 *       answer to a flush that is under way; but not other writes with FUA, so
 *       it may be acknowledged just before one of them is found to have failed.
 *   M9  M1 and M5 hold whether or not clients are there.  The log stays when
 *       the last client has left.  A loss is remembered for clients that have
 *       left, and told to those that come later.  `departed` counts clients
 *       that wrote and left before a flush covered it; a loss adds them to
 *       `owed`, which also counts clients that wrote and left before they were
 *       told of a loss.  Every client that comes while `owed` is not 0 gets EIO
 *       from its first flush, and takes 1 from `owed` then.  If it is known
 *       which client takes the place of which (struct pool_legacy), that client
 *       is told in any case.
 *
 * What is assumed: nobody else writes to the export; multi-conn means what the
 * protocol says; a server that neither answers nor closes a connection in time
 * (POOL_DRAIN_TIME, or request-timeout, or half of reconnect) does not carry
 * out that connection's requests later.
 *
 * A server that offers no flush gives no promise to keep: there is no log for
 * it, and nothing to fail (M5).
 *
 * At the program's end a server that does not answer is waited for no longer:
 * its connection is lost, and with it its requests.  The last flush alone
 * (pool_final_flush) waits, for a limited time; it connects again and sends the
 * log.
 *
 * Locking.  The pool's lock is held for the bookkeeping before and after
 * a request, never while waiting for the network.  A connection's lock may be
 * taken inside it, never the other way round.
 *
 * Lifetime.  Whoever owns the pool keeps it while there are clients, and longer
 * if pool_is_dirty.  What it owes then (pool_owed) goes to the next pool of the
 * export (M9).
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

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/printable.h"
#include "nbd/connection.h"
#include "nbd/replay.h"

#define POOL_MOST_CONNECTIONS 64

/* How long a server may take, after the loss of a connection, to end the
 * requests that it has, in nanoseconds.
 */
#define POOL_DRAIN_TIME (5 * INT64_C (1000000000))

enum pool_log { POOL_ERROR, POOL_NOTE };

struct pool_options {
  const struct connection_target *target; /* tried in order */
  size_t ntargets;
  struct connection_options connection;
  const char *export_name;
  unsigned connections;         /* 1 to POOL_MOST_CONNECTIONS */
  unsigned retry;               /* for pool_open: further attempts, after 1 s */
  int64_t reconnect;            /* ns: how long requests wait in an outage */
  int64_t connect_timeout;      /* ns: for one attempt */
  int64_t request_timeout;      /* ns; 0: none */
  uint64_t replay_buffer;       /* bytes; 0: no replay */
  bool witness;                 /* refuse a server that returns with other
                                 * data (witness.h) … */
  bool identity;                /* … or another UUID */
  const char *witness_hint;     /* what users can do about lost data; NULL: see
                                 * witness= */
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
  struct ending ending;
};

/* What has happened so far. */
struct pool_stats {
  uint64_t requests[NBD_OPS];
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
  bool awaited;                 /* the server owes an answer, now */
};

/* How long a description of what went wrong may be. */
#define POOL_ERROR_SIZE (CONNECTION_WHY + 384)

/* Whether there is a server.  Without requests nobody looks. */
struct pool_outage {
  bool away;
  struct timespec since;        /* if it is: CLOCK_REALTIME */
  char error[POOL_ERROR_SIZE];  /* what went wrong with it last, or "" */
};

/* What a client has been told (M5), and what it may lose. */
struct pool_client {
  uint64_t losses;
  bool heir;                    /* it came in place of one that left (M9) */
  _Atomic bool wrote;           /* pool_client_writes */
};

/* What a client leaves to the one that takes its place (M9), if the caller
 * knows which that is.  All zeros: nothing.
 */
struct pool_legacy {
  uint64_t export_name;         /* a hash */
  bool dirty;                   /* what it wrote was not flushed */
  bool owed;                    /* it was not told of a loss */
};

struct pool;
struct link;

/* A request under way, in its thread's memory.  Private. */
struct pool_request {
  struct nbd_command c;         /* for a write, the piece that is sent */
  struct replay_op op;          /* writes: all of it */
  const void *data;             /* NBD_WRITE: all of it … */
  uint32_t done;                /* … and how much of it was answered */
  bool begun;                   /* op is in flight */
  bool fua_epoch;               /* if it is, with FUA: where it is counted */
  int refused;                  /* with FUA, with this error; now without */
  uint64_t flush_failures;      /* when it was admitted */
  bool watched;                 /* it may bear witness (witness.h), of … */
  uint64_t block, digest;       /* … this block */
  uint64_t begun_before;        /* a read: changes when it was let in */
  bool queued;                  /* in pool.queue, behind writes that overlap */
  struct pool_request *next;    /* there */
  bool resend;                  /* a write that was interrupted (M2) */
  int64_t deadline;             /* it ends then, come what may; 0: none */
  int64_t first_lost;           /* when a connection was lost under it … */
  unsigned losses;              /* … and how many were; … */
  unsigned violations;          /* … for the reply to this request (U4) */

  struct link *link;            /* while it is admitted */
  uint64_t incarnation;
  struct lf_waiter waiter;      /* while it is sent … */
  int64_t until;                /* … and its answer is waited for */
  bool sent;                    /* writes: it is, else … */
  int error;                    /* … its result */
};

/* pool_write_start.  Private. */
struct pool_write {
  struct pool_request request;  /* of the part that is under way */
  const void *rest;             /* the parts after that */
  uint32_t count;
};

/* The options must stay as long as the pool.  NULL: no memory. */
struct pool *pool_new (const struct pool_options *options);

/* Before a client comes: connect for the first time.  Later calls return 0 at
 * once while there are clients.  While there are none, they look at what the
 * server offers now, and pool_info has that afterwards (M6): a size that has
 * changed is taken over, since nobody relies on the old one.  So whoever wants
 * the new size ends its clients, calls this, and begins new ones.
 *
 * Returns 0, or -1 with errno; what happened has been logged.  If an earlier
 * call succeeded, the pool can be used all the same: pool_info has what was
 * there then, and requests wait.
 */
int pool_open (struct pool *p);

/* A pool that fails fast: from now on it rides out outages, as `options` say
 * with their reconnect, request_timeout and replay_buffer.  It is connected, no
 * request is under way, and all that was written has been flushed.
 * Returns 0, or -1 with errno and changes nothing: ESHUTDOWN, the connection is
 * lost; EBUSY, it is in use.
 */
int pool_ride_out (struct pool *p, const struct pool_options *options);

/* The server does not answer in time: all its connections are lost.  Requests
 * in flight end within ENDING_TICK, or with TLS within the drain time, as if
 * their connection had been lost.  What the server still does of them is
 * waited for later, as always (M7).
 */
void pool_abandon (struct pool *p);

/* Are there acknowledged writes that were not flushed? */
bool pool_is_dirty (struct pool *p);

/* Flush for the last time: waits for a server that is away or does not answer,
 * but not for long.  Returns 0, or -1 with errno; what happened was logged.
 */
int pool_final_flush (struct pool *p);

/* Wait for the server no longer: requests in flight, and all later ones, fail
 * with ESHUTDOWN.
 */
void pool_give_up (struct pool *p);

/* For a pool whose clients have left (M9): flush what they have not, however
 * long the server is away.  Returns true when that is done, or need not be
 * waited for: there is a client again, or somebody called pool_final_flush or
 * pool_give_up.  Returns false if the program ends (give_up, which is asked in
 * this thread).
 */
bool pool_keep (struct pool *p);

/* Nobody needs the export any more: what was not flushed, or is owed to clients
 * (M9), is forgotten, now and later.  Requests remain possible.
 */
void pool_forsake (struct pool *p);

/* While `accept` is set, the pool's clients need a changed server only for what
 * they have written: it is accepted if the log can be sent to it (M6).
 * pool_info stays as it was.
 */
void pool_accept_changed (struct pool *p, bool accept);

/* Would pool_keep have something to do? */
bool pool_wants_keeper (struct pool *p);

/* Without clients: close the connections until pool_open makes new ones.  After
 * that the server does nothing more of what was interrupted (M7).
 */
void pool_disconnect (struct pool *p);

/* How many losses are to be told to clients to come (M9); and take over those
 * of another pool of the same export, which is freed.
 */
uint64_t pool_owed (struct pool *p);
void pool_owe (struct pool *p, uint64_t owed);

/* How many times acknowledged writes were lost so far (M5). */
uint64_t pool_losses (struct pool *p);

/* How many clients there are now. */
unsigned pool_clients (struct pool *p);

/* Free all.  What is in the log is gone: call pool_final_flush first. */
void pool_free (struct pool *p);

/* What clients are promised.  Valid after pool_open; it stays as long as there
 * is a client (pool_client_init).
 */
const struct bdev_info *pool_info (const struct pool *p);

/* Compare what a server offers now with what clients were promised (M6).
 * Returns NULL if it keeps all promises; otherwise the one that it breaks,
 * which may be in buf.
 */
const char *pool_broken_promise (const struct bdev_info *was,
                                 const struct bdev_info *now,
                                 char buf[CONNECTION_WHY]);

/* The export's description, or NULL.  As with pool_info. */
const char *pool_description (const struct pool *p);

/* A client comes.  With `legacy`, which may be NULL, it takes the place of the
 * one that left that.  Returns at once.
 */
void pool_client_init (struct pool *p, struct pool_client *client,
                       const struct pool_legacy *legacy);

/* It leaves: none of its requests is in flight. */
void pool_client_end (struct pool *p, struct pool_client *client,
                      struct pool_legacy *legacy);

/* It is about to write, so it has something to lose: if that happens, it or the
 * client in its place must be told.
 */
static inline void
pool_client_writes (struct pool_client *client)
{
  if (!atomic_load_explicit (&client->wrote, memory_order_relaxed))
    atomic_store_explicit (&client->wrote, true, memory_order_relaxed);
}

int pool_read (struct pool *p, void *buf, uint32_t count, uint64_t offset);
int pool_cache (struct pool *p, uint32_t count, uint64_t offset);
/* flags: LIBNBD_CMD_FLAG_* */
int pool_write (struct pool *p, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags);
/* The same in two steps, so that one thread can have writes to two servers
 * under way at a time.  pool_write_start returns when the write was sent (the
 * first part of one that the pool cuts), or left to a thread that is just
 * sending, or when it has come to nothing; it may have to wait for the server
 * for that.  pool_write_wait returns its result, after it has sent the other
 * parts, and again what was interrupted.
 *
 * Each start is followed by one wait, in the same thread.  Until then w must
 * not move and buf must not change.  The thread makes no other request of this
 * pool in between: one that overlaps the write would wait for it for ever (M4).
 * The time of request-timeout begins at the start; a thread that comes to wait
 * later than that still receives a reply that has come in the meantime.
 */
void pool_write_start (struct pool *p, struct pool_write *w, const void *buf,
                       uint32_t count, uint64_t offset, uint32_t flags);
int pool_write_wait (struct pool *p, struct pool_write *w);
/* With LIBNBD_CMD_FLAG_FAST_ZERO, ENOTSUP says that nothing was changed;
 * without it, zeros are written to a server that answers ENOTSUP.
 */
int pool_zero (struct pool *p, uint32_t count, uint64_t offset,
               uint32_t flags);
int pool_trim (struct pool *p, uint32_t count, uint64_t offset,
               uint32_t flags);
/* *told, if it is not NULL: whether it failed in order to tell the client of
 * a loss, or was the cause of one (M5, M8).
 */
int pool_flush (struct pool *p, struct pool_client *client, bool *told);

/* fn gets one extent at a time, in order and without gaps, from offset on, as
 * the server tells them: of any length, finer than a block, up to before or
 * after the end of the request or of the disk.  But it begins before that.  The
 * server is asked about as much as one request of its connection can cover.
 * It is called without any lock.  Returns 0, or -1 with errno.
 */
typedef int (*pool_extent_fn) (void *opaque, uint64_t offset, uint64_t length,
                               uint64_t type);
int pool_extents (struct pool *p, uint64_t count, uint64_t offset,
                  uint32_t flags, pool_extent_fn fn, void *opaque);

void pool_stats (struct pool *p, struct pool_stats *stats);
void pool_outage (struct pool *p, struct pool_outage *outage);

/* Room for what a target is called: its name, and a port. */
#define POOL_TARGET_NAME (PRINTABLE_STRING + 64)
const char *pool_target_name (const struct connection_target *t,
                              char buf[POOL_TARGET_NAME]);

#endif /* MNBD_POOL_H */
