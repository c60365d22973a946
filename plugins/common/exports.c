/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream's exports that clients use. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "clock.h"
#include "exports.h"
#include "mutex.h"
#include "parameters.h"
#include "printable.h"

/* -D mnbd.figures=1: log the figures even without -v. */
NBDKIT_DLL_PUBLIC int mnbd_debug_figures = 0;

static struct mutex entries_lock = MUTEX_INITIALIZER;
static struct entry *entries GUARDED_BY (entries_lock);
static struct entry *shared_entry;

static void
log_message (void *opaque, enum pool_log level, const char *message)
{
  (void) opaque;
  if (level == POOL_ERROR)
    nbdkit_error ("%s", message);
  else
    nbdkit_debug ("%s", message);
}

/* A thread that waits for the server to come back must not keep nbdkit from
 * ending, nor work for a client that has gone.
 */
static bool
give_up (void *opaque)
{
  (void) opaque;
  return nbdkit_nanosleep (0, 1) == -1;
}

/* nbdkit tells that it ends, but not to a thread that works for a client: that
 * is told of its client's end as well.  So another thread asks; it is needed
 * only while a server does not answer.
 */
static pthread_mutex_t ending_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t ending_asked;    /* when that was */
static _Atomic bool ends;

#define ASK_EVERY (100 * NS_PER_MS)

static void *
ask_nbdkit (void *opaque)
{
  (void) opaque;
  if (nbdkit_nanosleep (0, 1) == -1)
    atomic_store (&ends, true);
  return NULL;
}

static bool
is_ending (void *opaque)
{
  pthread_t thread;
  int64_t now;

  (void) opaque;
  if (atomic_load (&ends))
    return true;
  pthread_mutex_lock (&ending_lock);
  now = clock_now ();
  if (now >= ending_asked + ASK_EVERY) {
    ending_asked = now;
    if (pthread_create (&thread, NULL, ask_nbdkit, NULL) == 0)
      pthread_join (thread, NULL);
  }
  pthread_mutex_unlock (&ending_lock);
  return atomic_load (&ends);
}

static const struct upstream_ending ending = { .fn = is_ending };

void
exports_log_figures (const char *name, struct pool *pool)
{
  static const char *const names[UPSTREAM_OPS] = {
    [UPSTREAM_READ] = "read", [UPSTREAM_WRITE] = "write",
    [UPSTREAM_ZERO] = "zero", [UPSTREAM_TRIM] = "trim",
    [UPSTREAM_FLUSH] = "flush", [UPSTREAM_CACHE] = "cache",
    [UPSTREAM_EXTENTS] = "extents",
  };
  struct pool_figures f;
  char text[1024], shown[PRINTABLE_STRING];
  int n = 0;
  unsigned i;

  pool_figures (pool, &f);
  for (i = 0; i < UPSTREAM_OPS; i++)
    n += snprintf (text + n, sizeof text - n, "%s=%" PRIu64 " ", names[i],
                   f.requests[i]);
  snprintf (text + n, sizeof text - n, "bytes_read=%" PRIu64
            " bytes_written=%" PRIu64 " errors=%" PRIu64 " retries=%" PRIu64
            " timeouts=%" PRIu64 " outages=%" PRIu64 " attempts=%" PRIu64
            " reconnects=%" PRIu64 " replays=%" PRIu64
            " replay_bytes=%" PRIu64 " flushes_for_room=%" PRIu64
            " waited=%.3f connections=%u log_bytes=%" PRIu64,
            f.bytes_read, f.bytes_written, f.errors, f.retries, f.timeouts,
            f.outages, f.attempts, f.reconnects, f.replays, f.replay_bytes,
            f.flushes, (double) f.waited / NS_PER_S, f.connections,
            f.log_bytes);
  if (mnbd_debug_figures)
    nbdkit_error ("figures of export \"%s\": %s", printable (name, shown),
                  text);
  else
    nbdkit_debug ("figures of export \"%s\": %s", printable (name, shown),
                  text);
}

struct pool_options
exports_options (const char *name)
{
  struct pool_options o = config.o;

  o.export_name = name;
  o.log = log_message;
  o.give_up = give_up;
  o.ending = ending;
  return o;
}

static struct entry *
new_entry (const char *name)
{
  struct entry *e = calloc (1, sizeof *e);

  if (e == NULL)
    return NULL;
  e->name = strdup (name);
  e->o = exports_options (e->name);
  if (e->name)
    e->pool = pool_new (&e->o);
  if (e->pool == NULL) {
    free (e->name);
    free (e);
    return NULL;
  }
  return e;
}

void
entry_put (struct entry *e)
{
  struct entry **p;
  bool settled = true;

  mutex_lock (&entries_lock);
  while (settled && e->users == 1 && pool_is_dirty (e->pool)) {
    mutex_unlock (&entries_lock);
    settled = pool_settle (e->pool) == 0;
    mutex_lock (&entries_lock);
  }
  if (--e->users > 0) {
    mutex_unlock (&entries_lock);
    return;
  }
  for (p = &entries; *p != e; p = &(*p)->next)
    ;
  *p = e->next;
  mutex_unlock (&entries_lock);
  exports_log_figures (e->name, e->pool);
  pool_free (e->pool);
  free (e->name);
  free (e);
}

struct entry *
entry_get (const char *name)
{
  char shown[PRINTABLE_STRING];
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && strcmp (e->name, name) != 0; e = e->next)
    ;
  if (e == NULL) {
    e = new_entry (name);
    if (e == NULL) {
      mutex_unlock (&entries_lock);
      nbdkit_error ("export \"%s\": %m", printable (name, shown));
      return NULL;
    }
    e->next = entries;
    entries = e;
  }
  e->users++;
  mutex_unlock (&entries_lock);

  if (pool_open (e->pool) == -1) {
    entry_put (e);
    return NULL;
  }
  return e;
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
hold_unsettled (void)
{
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && e->settled; e = e->next)
    ;
  if (e) {
    e->settled = true;
    e->users++;
  }
  mutex_unlock (&entries_lock);
  return e;
}

/* nbdkit closes no client any more once it ends: their entries are still there,
 * and stay if they are in use.
 */
void
exports_end (void)
{
  struct entry *e;

  if (shared_entry)
    entry_put (shared_entry);
  shared_entry = NULL;
  while ((e = hold_unsettled ()) != NULL) {
    if (pool_is_dirty (e->pool))
      pool_settle (e->pool);
    entry_put (e);
  }
}

/* ----------------------------------------------------------------- list */

int
exports_list (upstream_list_fn fn, void *opaque)
{
  char why[UPSTREAM_WHY];
  size_t i;

  for (i = 0; i < config.o.ntargets; i++)
    if (upstream_list (&config.o.target[i], &config.o.upstream,
                       clock_now () + config.o.connect_timeout, &ending, fn,
                       opaque, why) == 0)
      return 0;
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
  /* Should it fail, then the server may still take the empty name. */
  for (i = 0; i < config.o.ntargets && name == NULL; i++)
    name = upstream_default_export (&config.o.target[i], &config.o.upstream,
                                    clock_now () + config.o.connect_timeout,
                                    &ending);
  return name ? nbdkit_strdup_intern (name) : "";
}

/* ------------------------------------------------------------- requests */

int
request_result (int r, const char *what, uint32_t count, uint64_t offset)
{
  int err = errno;

  if (r == 0)
    return 0;
  nbdkit_error ("%s of %" PRIu32 " bytes at %" PRIu64 ": %s", what, count,
                offset, err == ESHUTDOWN ? "the upstream server is away"
                : strerror (err));
  errno = err;
  return -1;
}
