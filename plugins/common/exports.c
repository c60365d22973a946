/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream's exports that clients use. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/printable.h"
#include "base/thread-local.h"
#include "base/thread.h"
#include "exports.h"
#include "log.h"
#include "nbd/bdev-nbd.h"
#include "nbd/debts.h"
#include "nbdkit-ending.h"
#include "upstream-parameters.h"

/* -D mnbd.stats=1: log the statistics even without -v. */
NBDKIT_DLL_PUBLIC int mnbd_debug_stats = 0;

/* While as many pools without clients have unflushed writes, or their logs have
 * that total size in units of replay-buffer=, no other export is opened.
 */
#define MOST_LEFT 1000
#define MOST_LEFT_BUFFERS 4

/* An export that clients use, and its pool. */
struct entry {
  struct entry *next;
  char *name;                   /* of the export */
  unsigned users;
  bool kept;                    /* there is a keeper */
  bool final_flushed;           /* by exports_end */
  bool orphan;                  /* its pool owes one loss of another export */
  struct pool_options o;
  struct pool *pool;
};

static struct mutex entries_lock = MUTEX_INITIALIZER;
static struct entry *entries GUARDED_BY (entries_lock);
static struct entry *shared_entry;
static bool ended GUARDED_BY (entries_lock); /* by exports_end */
/* Of the exports without an entry. */
static struct debts debts GUARDED_BY (entries_lock);

/* What the last client of this thread left (exports.h); and whether a request
 * of the thread failed in order to report a loss, and none has succeeded since.
 */
static THREAD_LOCAL struct pool_legacy legacy;
static THREAD_LOCAL bool told;

static void
log_message (void *opaque, enum pool_log level, const char *message)
{
  (void) opaque;
  if (level == POOL_ERROR)
    log_error_line (message);
  else
    log_debug_line (message);
}

/* For -v, or for -D mnbd.stats=1. */
static void
log_stats (const char *name, struct pool *pool)
{
  static const char *const names[NBD_OPS] = {
    [NBD_READ] = "read", [NBD_WRITE] = "write",
    [NBD_ZERO] = "zero", [NBD_TRIM] = "trim",
    [NBD_FLUSH] = "flush", [NBD_CACHE] = "cache",
    [NBD_EXTENTS] = "extents",
  };
  struct pool_stats stats;
  char text[1024], shown[PRINTABLE_STRING];
  int n = 0;
  unsigned i;

  pool_stats (pool, &stats);
  for (i = 0; i < NBD_OPS; i++)
    n += snprintf (text + n, sizeof text - n, "%s=%" PRIu64 " ", names[i],
                   stats.requests[i]);
  snprintf (text + n, sizeof text - n, "bytes_read=%" PRIu64
            " bytes_written=%" PRIu64 " errors=%" PRIu64 " retries=%" PRIu64
            " timeouts=%" PRIu64 " outages=%" PRIu64 " attempts=%" PRIu64
            " reconnects=%" PRIu64 " replays=%" PRIu64
            " replay_bytes=%" PRIu64 " flushes_for_room=%" PRIu64
            " waited=%.3f connections=%u log_bytes=%" PRIu64,
            stats.bytes_read, stats.bytes_written, stats.errors, stats.retries,
            stats.timeouts, stats.outages, stats.attempts, stats.reconnects,
            stats.replays, stats.replay_bytes, stats.flushes,
            (double) stats.waited / NS_PER_S, stats.connections,
            stats.log_bytes);
  if (mnbd_debug_stats)
    nbdkit_error ("statistics of export \"%s\": %s",
                  printable_name (name, shown),
                  text);
  else
    nbdkit_debug ("statistics of export \"%s\": %s",
                  printable_name (name, shown),
                  text);
}

/* The pool options for that export according to the parameters.  The name must
 * live as long as the pool.
 */
static struct pool_options
export_options (const char *name)
{
  struct pool_options o = config.o;

  o.export_name = name;
  o.log = log_message;
  /* A thread that waits for the server to return must not delay nbdkit's
   * shutdown, nor work for a client that has gone.
   */
  o.give_up = ending_or_client_gone;
  o.ending = ending_of_nbdkit;
  return o;
}

/* A new pool owes what is owed to the export's clients, or else an orphan, of
 * which anybody may be told.
 */
static void
take_debts (struct entry *e) REQUIRES (&entries_lock)
{
  uint64_t owed = debts_take (&debts, e->name);

  if (owed == 0 && debts.orphans) {
    e->orphan = true;
    debts.orphans--;
    owed = 1;
  }
  pool_owe (e->pool, owed);
}

/* An orphan of which nobody was told waits for another export's clients.  But
 * if the pool had a loss of its own, a client that left may count for both:
 * then this export's next client is told.  Returns what else the pool owes.
 */
static uint64_t
return_orphan (struct entry *e) REQUIRES (&entries_lock)
{
  uint64_t owed = pool_owed (e->pool);

  if (!e->orphan || owed == 0 || pool_losses (e->pool) > 0)
    return owed;
  e->orphan = false;
  debts.orphans++;
  return owed - 1;
}

static struct entry *
new_entry (const char *name) REQUIRES (&entries_lock)
{
  struct entry *e = calloc (1, sizeof *e);

  if (e == NULL)
    return NULL;
  e->name = strdup (name);
  e->o = export_options (e->name);
  if (e->name)
    e->pool = pool_new (&e->o);
  if (e->pool == NULL) {
    free (e->name);
    free (e);
    return NULL;
  }
  take_debts (e);
  return e;
}

/* One user less. */
static void
release (struct entry *e)
{
  struct entry **p;
  bool room;

  mutex_lock (&entries_lock);
  /* The pool was in an outage.  The export gets no other pool while the server
   * may still do what was interrupted.
   */
  if (e->users == 1 && !ended && pool_owed (e->pool)) {
    mutex_unlock (&entries_lock);
    pool_disconnect (e->pool);
    mutex_lock (&entries_lock);
  }
  if (--e->users > 0 || (pool_is_dirty (e->pool) && !ended)) {
    mutex_unlock (&entries_lock);
    return;
  }
  for (p = &entries; *p != e; p = &(*p)->next)
    ;
  *p = e->next;
  room = debts_add (&debts, e->name, return_orphan (e));
  mutex_unlock (&entries_lock);
  if (!room)
    log_error_line ("too many exports have lost writes of clients that have "
                    "left: the flush of a client of another export will fail "
                    "in place of the oldest");
  log_stats (e->name, e->pool);
  pool_free (e->pool);
  free (e->name);
  free (e);
}

/* The keeper's thread. */
static void *
keep (void *opaque)
{
  struct entry *e = opaque;
  bool more = true;

  mutex_lock (&entries_lock);
  while (more && !ended && pool_wants_keeper (e->pool)) {
    mutex_unlock (&entries_lock);
    more = pool_keep (e->pool);
    mutex_lock (&entries_lock);
  }
  e->kept = false;
  mutex_unlock (&entries_lock);
  release (e);
  return NULL;
}

/* Drop a client's use.  While a pool has writes that it would send again, its
 * export never gets a second pool.
 */
static void
entry_put (struct entry *e)
{
  bool flush = false;
  pthread_t thread;

  mutex_lock (&entries_lock);
  if (!e->kept && !ended && pool_wants_keeper (e->pool)) {
    e->kept = true;
    e->users++;
    if (thread_start (&thread, "mblock-keeper", keep, e) == 0)
      pthread_detach (thread);
    else {
      e->kept = false;
      e->users--;
      flush = true;
    }
  }
  mutex_unlock (&entries_lock);
  if (flush)
    pool_final_flush (e->pool); /* what stays waits for a client */
  release (e);
}

/* May one more export be opened?  Pools without clients that still have an
 * entry have unflushed writes.
 */
static bool
is_room (void) REQUIRES (&entries_lock)
{
  struct pool_stats stats;
  uint64_t bytes = 0;
  struct entry *e;
  size_t left = 0;

  for (e = entries; e; e = e->next)
    if (e->users == e->kept) {
      left++;
      pool_stats (e->pool, &stats);
      bytes += stats.log_bytes;
    }
  return left < MOST_LEFT &&
    (bytes == 0 || bytes < MOST_LEFT_BUFFERS * config.o.replay_buffer);
}

/* Get the pool for an export, and connect it if necessary.  Returns NULL if it
 * cannot be connected.
 */
static struct entry *
entry_get (const char *name)
{
  char shown[PRINTABLE_STRING];
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && strcmp (e->name, name) != 0; e = e->next)
    ;
  if (e == NULL && !is_room ()) {
    mutex_unlock (&entries_lock);
    nbdkit_error ("export \"%s\": cannot be opened: too many unflushed writes "
                  "to other exports are waiting for the upstream; try again "
                  "when it is back", printable (name, shown));
    return NULL;
  }
  if (e == NULL) {
    e = new_entry (name);
    if (e == NULL) {
      mutex_unlock (&entries_lock);
      nbdkit_error ("export \"%s\": %m", printable_name (name, shown));
      return NULL;
    }
    e->next = entries;
    entries = e;
  }
  e->users++;
  mutex_unlock (&entries_lock);

  if (pool_open (e->pool) == -1 && e != shared_entry) {
    entry_put (e);
    return NULL;
  }
  return e;
}

static void
client_flushed (void *opaque, bool flush_told)
{
  (void) opaque;
  told = flush_told;
}

static void
client_left (void *opaque, const struct pool_legacy *what)
{
  legacy = *what;
  legacy.owed |= told;
  told = false;
  if (opaque)
    entry_put (opaque);
}

/* A client comes.  Called in the thread that serves it. */
static struct bdev *
new_client (struct pool *pool, struct entry *e)
{
  const struct bdev_nbd_owner owner = {
    .flushed = client_flushed, .left = client_left, .opaque = e,
  };
  struct bdev *b = bdev_nbd_client (pool, &legacy, &owner);

  if (b) {
    legacy = (struct pool_legacy) { .dirty = false };
    told = false;
  }
  return b;
}

struct bdev *
exports_open (const char *name)
{
  struct entry *e = entry_get (name);
  char shown[PRINTABLE_STRING];
  struct bdev *b;

  if (e == NULL)
    return NULL;
  b = new_client (e->pool, e);
  if (b == NULL) {
    nbdkit_error ("export \"%s\": %m", printable_name (name, shown));
    entry_put (e);
  }
  return b;
}

struct bdev *
exports_share (struct bdev *own)
{
  struct bdev *b = new_client (bdev_nbd_pool (own), NULL);

  if (b)
    bdev_nbd_writes (b);
  return b;
}

struct bdev *
exports_own (const char *name, bool fail_fast)
{
  struct pool_options o = export_options (name);

  o.fail_fast = fail_fast;
  /* The device may still have much to send to a slow server when nbdkit ends.
   * Its owner decides how long that may take (bdev_nbd_give_up).
   */
  o.ending = (struct ending) { .fn = NULL };
  return bdev_nbd_own (&o, log_stats);
}

void
exports_forsake (const char *name)
{
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && strcmp (e->name, name) != 0; e = e->next)
    ;
  if (e) {
    debts.orphans += e->orphan && pool_owed (e->pool) > 0;
    e->orphan = false;
    pool_forsake (e->pool);
  }
  debts_take (&debts, name);
  mutex_unlock (&entries_lock);
}

int
exports_start (void)
{
  if (!config.shared)
    return 0;
  shared_entry = entry_get (config.export_name);
  return shared_entry ? 0 : -1;
}

static struct entry *
hold_unflushed (void)
{
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && e->final_flushed; e = e->next)
    ;
  if (e) {
    e->final_flushed = true;
    e->users++;
  }
  mutex_unlock (&entries_lock);
  return e;
}

/* An entry that is flushed at the end.  All are flushed in parallel, because a
 * flush may wait for an upstream that is away.
 */
struct ended {
  struct ended *next;
  struct entry *e;
  pthread_t thread;
  bool parallel;
};

static void *
final_flush (void *opaque)
{
  struct entry *e = opaque;

  pool_final_flush (e->pool);
  return NULL;
}

/* Once nbdkit is ending, it no longer closes clients.  So their entries still
 * exist, and stay if they are in use.
 */
void
exports_end (void)
{
  struct ended *list = NULL, *next;
  struct entry *e, *shared = shared_entry;

  shared_entry = NULL;
  mutex_lock (&entries_lock);
  ended = true;
  mutex_unlock (&entries_lock);
  while ((e = hold_unflushed ()) != NULL) {
    next = pool_is_dirty (e->pool) ? calloc (1, sizeof *next) : NULL;
    if (next == NULL) {
      if (pool_is_dirty (e->pool))
        pool_final_flush (e->pool);
      release (e);
      continue;
    }
    *next = (struct ended) { .next = list, .e = e };
    list = next;
    next->parallel = thread_start (&next->thread, "mblock-flush", final_flush,
                                   e) == 0;
    if (!next->parallel)
      final_flush (e);
  }
  for (; list; list = next) {
    next = list->next;
    if (list->parallel)
      pthread_join (list->thread, NULL);
    release (list->e);
    free (list);
  }
  if (shared)
    release (shared);
  ending_stop ();
}

/* ----------------------------------------------------------------- list */

int
exports_list (connection_list_fn fn, void *opaque)
{
  char why[CONNECTION_WHY];
  size_t i;

  for (i = 0; i < config.o.ntargets; i++)
    if (connection_list (&config.o.target[i], &config.o.connection,
                         clock_now () + config.o.connect_timeout,
                         &ending_of_nbdkit, fn, opaque, why) == 0) {
      if (*why)
        nbdkit_error ("list of exports: %s", why);
      return 0;
    }
  nbdkit_error ("list of exports: %s", why);
  return -1;
}

const char *
exports_default (void)
{
  CLEANUP_FREE char *name = NULL;
  size_t i;

  if (!config.dynamic_export)
    return config.export_name;
  /* If this fails, the server may still accept the empty name. */
  for (i = 0; i < config.o.ntargets && name == NULL; i++)
    name = connection_default_export (&config.o.target[i], &config.o.connection,
                                      clock_now () + config.o.connect_timeout,
                                      &ending_of_nbdkit);
  return name ? nbdkit_strdup_intern (name) : "";
}

/* ------------------------------------------------------------- requests */

int
request_result (int r, const char *what, uint32_t count, uint64_t offset)
{
  int err = errno;

  if (r == 0) {
    told = false;
    return 0;
  }
  nbdkit_error ("%s of %" PRIu32 " bytes at %" PRIu64 ": %s", what, count,
                offset, err == ESHUTDOWN ? "the upstream server is away"
                : strerror (err));
  errno = err;
  return -1;
}
