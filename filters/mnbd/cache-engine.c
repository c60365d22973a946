/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache as an engine of the filter: its parameters, and how its instances
 * and their clients begin and end.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/printable.h"
#include "base/size.h"
#include "cache-engine.h"
#include "cache/cache.h"
#include "engines.h"
#include "filter-parameters.h"
#include "instances.h"
#include "nbd/bdev-nbd.h"
#include "plugins/common/exports.h"
#include "plugins/common/values.h"

/* ----------------------------------------------------------- parameters */

#define DEFAULT_DIRTY_MAX (UINT64_C (64) << 20)
#define DEFAULT_DIRTY_AGE 5     /* seconds */
#define MOST_DIRTY_AGE 86400    /* seconds */

static struct {
  bool writeback;
  uint64_t max, dirty_max;      /* bytes; 0: not given */
  int64_t dirty_age;            /* seconds; 0: not given */
  const char *max_given, *dirty_max_given, *dirty_age_given;
} parameters;

static int
set_size (const char *key, const char *value, uint64_t *size,
          const char **given)
{
  uint64_t n;

  if (size_parse (value, &n) == -1 || n < CACHE_LEAST || n > INT64_MAX)
    return value_bad (key, value, "a size of at least 1M");
  *size = n;
  *given = value;
  return 0;
}

static int
set_age (const char *key, const char *value)
{
  char *end;
  long seconds;

  errno = 0;
  seconds = strtol (value, &end, 10);
  if (*value < '0' || *value > '9' || *end || errno || seconds < 1 ||
      seconds > MOST_DIRTY_AGE)
    return value_bad (key, value, "a number of seconds from 1 to 86400");
  parameters.dirty_age = seconds;
  parameters.dirty_age_given = value;
  return 0;
}

static int
cache_config (const char *key, const char *value)
{
  if (strcmp (key, "mnbd-cache") == 0) {
    parameters.writeback = strcmp (value, "writeback") == 0;
    if (!parameters.writeback && strcmp (value, "writethrough") != 0)
      return value_bad (key, value, "writethrough or writeback");
    return 0;
  }
  if (strcmp (key, "mnbd-cache-max") == 0)
    return set_size (key, value, &parameters.max, &parameters.max_given);
  if (strcmp (key, "mnbd-cache-dirty-max") == 0)
    return set_size (key, value, &parameters.dirty_max,
                     &parameters.dirty_max_given);
  if (strcmp (key, "mnbd-cache-dirty-age") == 0)
    return set_age (key, value);
  return 1;
}

static int
cache_config_finish (void)
{
  if (!parameters.writeback && parameters.dirty_max_given)
    return value_bad ("mnbd-cache-dirty-max", parameters.dirty_max_given,
                      "mnbd-cache=writeback as well");
  if (!parameters.writeback && parameters.dirty_age_given)
    return value_bad ("mnbd-cache-dirty-age", parameters.dirty_age_given,
                      "mnbd-cache=writeback as well");
  if (parameters.max && parameters.dirty_max > parameters.max / 2)
    return value_bad ("mnbd-cache-dirty-max", parameters.dirty_max_given,
                      "at most half of mnbd-cache-max");
  return 0;
}

/* ---------------------------------------------------------------- instances */

struct cached {
  const struct instance *instance;
  struct cache_options o;
  /* NULL: the origin has changed, and there is no new cache yet.  Changes only
   * while the instance is held and no client is there.  Threads that read it
   * without holding the instance take lock.
   */
  struct cache *cache;
  uint64_t size;                /* of the origin; the same holds for it */
  bool stopped;                 /* nbdkit ends; while the instance is held */
  bool changed;                 /* the origin has, since the cache was made, and
                                 * may have writes; while it is held */
  struct mutex lock;
  _Atomic unsigned clients;
  /* The pool does not know of writes that are only dirty here (M9).  So this
   * counts the clients that left while something was dirty, those of them whose
   * writes were flushed since, and the pool's losses that are none of the
   * others'.  Under lock.
   */
  uint64_t departed, settled, losses;
  /* The losses after which the cache has forgotten what it had. */
  _Atomic uint64_t forgotten;
};

static void
log_line (void *opaque, const char *line)
{
  struct cached *e = opaque;
  char shown[PRINTABLE_STRING];

  e->instance->log (ENGINE_ERROR, "export \"%s\": %s",
                    printable_name (e->instance->export_name, shown), line);
}

static void
cached_free (void *engine)
{
  struct cached *e = engine;

  cache_free (e->cache);
  mutex_destroy (&e->lock);
  free (e);
}

static void
set_cache (struct cached *e, struct cache *cache)
{
  mutex_lock (&e->lock);
  e->cache = cache;
  e->size = e->instance->upstream->info.size;
  mutex_unlock (&e->lock);
}

/* Make the cache from the two disks as they are now.  Returns 0; or -1, and
 * says why it failed.
 */
static int
make_cache (struct cached *e, char why[ENGINE_WHY])
{
  const struct instance *instance = e->instance;
  CLEANUP_FREE char *text = NULL;
  struct cache *cache = NULL;

  e->o.local = instance->local;
  if (!cache_can_be (&instance->local->info, &instance->upstream->info,
                     &text)) {
    snprintf (why, ENGINE_WHY, "%s", text ? text : "out of memory");
    return -1;
  }
  cache = cache_new (&e->o);
  if (cache == NULL) {
    snprintf (why, ENGINE_WHY, "out of memory");
    return -1;
  }
  set_cache (e, cache);
  return 0;
}

static void *
cached_new (const struct instance *instance)
{
  char why[ENGINE_WHY], shown[PRINTABLE_STRING];
  struct cached *e;

  if (bdev_connect (instance->upstream) == -1)
    return NULL;
  e = calloc (1, sizeof *e);
  if (e == NULL) {
    instance->log (ENGINE_ERROR,
                   "mnbd-mode=cache: export \"%s\": out of memory",
                   printable_name (instance->export_name, shown));
    return NULL;
  }
  e->instance = instance;
  mutex_init (&e->lock);
  e->o = (struct cache_options) {
    .origin = instance->upstream,
    .writeback = parameters.writeback,
    .max = parameters.max,
    .dirty_max = parameters.dirty_max,
    .dirty_age = (parameters.dirty_age ? parameters.dirty_age
                  : DEFAULT_DIRTY_AGE) * NS_PER_S,
    .log = log_line,
    .opaque = e,
  };
  if (e->o.dirty_max == 0) {
    e->o.dirty_max = DEFAULT_DIRTY_MAX;
    if (e->o.max && e->o.dirty_max > e->o.max / 4)
      e->o.dirty_max = e->o.max / 4;
  }
  if (make_cache (e, why) == 0)
    return e;
  instance->log (ENGINE_ERROR, "mnbd-mode=cache: export \"%s\": %s",
                 printable_name (instance->export_name, shown), why);
  cached_free (e);
  return NULL;
}

static void
stop_held (struct cached *e)
{
  char shown[PRINTABLE_STRING];
  struct cache_stats stats;
  int err;

  if (e->cache == NULL)
    return;
  /* No client's request counts any more, but what was written does. */
  bdev_nbd_accept_changed (e->instance->upstream, true);
  if (cache_stop (e->cache) == 0)
    return;
  err = errno;
  cache_stats (e->cache, &stats);
  /* The pool has already reported what the upstream accepted but could not
   * flush.
   */
  if (stats.dirty_bytes == 0)
    return;
  e->instance->log (ENGINE_ERROR,
                    "export \"%s\": the upstream did not accept the "
                    "cached writes at shutdown: %s; %llu bytes that were never "
                    "flushed are lost",
                    printable_name (e->instance->export_name, shown),
                    strerror (err), (unsigned long long) stats.dirty_bytes);
}

/* A client may just be arriving, and arriving may replace the cache. */
static void
cached_stop (void *engine)
{
  struct cached *e = engine;

  e->instance->hold (e->instance);
  e->stopped = true;
  stop_held (e);
  e->instance->release (e->instance);
}

/* No client is there: make sure that the origin has all writes on stable
 * storage, also if it has changed.  Returns 0, or -1 with errno.
 */
static int
empty_cache (struct cached *e)
{
  struct cache_client client;
  struct cache_stats stats;
  int r, err;

  cache_stats (e->cache, &stats);
  if (stats.dirty_bytes == 0 && !bdev_nbd_dirty (e->instance->upstream))
    return 0;
  cache_client_init (&client, e->instance->upstream);
  bdev_nbd_accept_changed (e->instance->upstream, true);
  r = cache_flush (e->cache, &client, e->instance->local);
  err = errno;
  /* An error may tell of a loss that is not this client's (pass_losses_on). */
  cache_stats (e->cache, &stats);
  if (stats.dirty_bytes == 0 && !bdev_nbd_dirty (e->instance->upstream))
    r = 0;
  bdev_nbd_accept_changed (e->instance->upstream, false);
  cache_client_destroy (&client);
  errno = err;
  return r;
}

static struct pool *
pool_of (struct cached *e)
{
  return bdev_nbd_pool (e->instance->upstream);
}

/* A client is about to leave.  The pool still tells it of losses so far. */
static void
client_departs (struct cached *e)
{
  struct cache_stats stats;

  cache_stats (e->cache, &stats);
  if (stats.dirty_bytes == 0)
    return;
  mutex_lock (&e->lock);
  if (e->departed == e->settled)
    e->losses = pool_losses (pool_of (e));
  e->departed++;
  mutex_unlock (&e->lock);
}

/* A flush has succeeded that began when `departed` was this: what those clients
 * wrote is safe, unless it was lost before.
 */
static void
settle (struct cached *e, uint64_t departed)
{
  mutex_lock (&e->lock);
  if (e->settled < departed && e->losses == pool_losses (pool_of (e)))
    e->settled = departed;
  mutex_unlock (&e->lock);
}

/* What was written back for clients that have left may be lost: as many clients
 * to come are told.
 */
static void
pass_losses_on (struct cached *e)
{
  uint64_t losses;

  mutex_lock (&e->lock);
  losses = pool_losses (pool_of (e));
  if (losses != e->losses)
    pool_owe (pool_of (e), e->departed - e->settled);
  e->losses = losses;
  mutex_unlock (&e->lock);
}

/* Whoever is told of a loss, or comes after it, sees what the origin has now,
 * even if somebody else is just being told (C1).
 */
static void
forget_lost (struct cached *e, struct bdev *local)
{
  uint64_t losses = pool_losses (pool_of (e));

  if (atomic_load (&e->forgotten) == losses)
    return;
  cache_forget (e->cache, local);
  atomic_store (&e->forgotten, losses);
}

/* Clients were promised the origin's size.  If no client is there, the next one
 * gets the origin as it is now, with an empty cache.  But nothing that was
 * written may be lost with the old cache.
 */
static int
cached_arrive (void *engine, char why[ENGINE_WHY])
{
  struct cached *e = engine;
  const struct instance *instance = e->instance;
  struct cache *old = e->cache;

  if (e->stopped) {
    snprintf (why, ENGINE_WHY, "nbdkit is shutting down");
    return -1;
  }
  if (atomic_load (&e->clients) > 0)
    return 0;
  if (old) {
    e->changed = e->changed || bdev_nbd_changed (instance->upstream);
    if (!e->changed)
      return 0;
    if (empty_cache (e) == -1) {
      snprintf (why, ENGINE_WHY, "the upstream has changed, and does not "
                "accept the earlier writes: %s", strerror (errno));
      return -1;
    }
    set_cache (e, NULL);
    e->changed = false;
    pass_losses_on (e);
    e->settled = e->departed;
    e->forgotten = 0;           /* for the next pool */
    /* There is nothing to flush, and a worker that reads ahead would wait for
     * a server that is refused because it has changed.
     */
    pool_give_up (pool_of (e));
    cache_free (old);
    bdev_disconnect (instance->upstream);
    instance->log (ENGINE_NOTE,
                   "the upstream has changed: the cache starts empty");
  }
  if (!bdev_nbd_connected (instance->upstream) ||
      bdev_nbd_changed (instance->upstream)) {
    if (bdev_connect (instance->upstream) == -1) {
      snprintf (why, ENGINE_WHY, "cannot connect to the upstream: %s",
                strerror (errno));
      return -1;
    }
    set_cache (e, NULL);        /* of that size */
  }
  return instance->renew (instance, why) == -1 ? -1 : make_cache (e, why);
}

/* -------------------------------------------------------------- clients */

struct cached_bdev {
  struct bdev bdev;
  struct cached *engine;
  struct cache *cache;
  struct bdev *local;           /* the client's */
  struct cache_client client;
};

static struct cached_bdev *
cached_bdev (struct bdev *b)
{
  return (struct cached_bdev *) b;
}

/* Of a change, or of a flush. */
static int
result (struct cached_bdev *q, int r)
{
  int err = errno;

  if (r == -1)
    forget_lost (q->engine, q->local);
  errno = err;
  return r;
}

static int
cached_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  struct cached_bdev *q = cached_bdev (b);

  return cache_read (q->cache, &q->client, q->local, buf, count, offset);
}

static int
cached_write (struct bdev *b, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct cached_bdev *q = cached_bdev (b);

  return result (q, cache_write (q->cache, q->local, buf, count, offset,
                                 flags));
}

static int
cached_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct cached_bdev *q = cached_bdev (b);

  return result (q, cache_zero (q->cache, q->local, count, offset, flags));
}

static int
cached_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct cached_bdev *q = cached_bdev (b);

  return result (q, cache_trim (q->cache, q->local, count, offset, flags));
}

static int
cached_flush (struct bdev *b)
{
  struct cached_bdev *q = cached_bdev (b);
  struct cached *e = q->engine;
  uint64_t departed;
  int r;

  mutex_lock (&e->lock);
  departed = e->departed;
  mutex_unlock (&e->lock);
  r = cache_flush (q->cache, &q->client, q->local);
  if (r == 0)
    settle (e, departed);
  return result (q, r);
}

static int
cached_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  struct cached_bdev *q = cached_bdev (b);

  return cache_prefetch (q->cache, q->local, count, offset);
}

static int
cached_extents (struct bdev *b, uint64_t count, uint64_t offset,
                uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct cached_bdev *q = cached_bdev (b);

  return cache_extents (q->cache, q->local, count, offset, flags, fn, opaque);
}

static void
cached_close (struct bdev *b)
{
  struct cached_bdev *q = cached_bdev (b);

  client_departs (q->engine);
  bdev_close (q->client.origin);
  cache_client_destroy (&q->client);
  atomic_fetch_sub (&q->engine->clients, 1);
  free (q);
}

static const struct bdev_ops cached_ops = {
  .read = cached_read,
  .write = cached_write,
  .zero = cached_zero,
  .trim = cached_trim,
  .flush = cached_flush,
  .cache = cached_cache,
  .extents = cached_extents,
  .close = cached_close,
};

/* A disk that was replaced is no obstacle: it remains the cache's own while the
 * cache uses it.  A disk that was made too small has lost a part of the cache.
 */
static int
cached_admit (void *engine, enum instance_now now, uint64_t size,
              uint64_t least, char why[ENGINE_WHY])
{
  struct cached *e = engine;
  uint64_t needed = e->instance->upstream->info.size;

  if (now == INSTANCE_REPLACED || (size >= needed && least >= needed))
    return 0;
  if (size >= needed)
    snprintf (why, ENGINE_WHY, "the plugin's disk was made smaller, and may "
              "have lost a part of the cache: restart nbdkit");
  else
    snprintf (why, ENGINE_WHY, "the plugin's disk has %" PRIu64 " bytes now, "
              "but the cache needs %" PRIu64, size, needed);
  return -1;
}

static struct bdev *
cached_client (void *engine, struct bdev *local)
{
  struct cached *e = engine;
  struct cached_bdev *q;
  char shown[PRINTABLE_STRING];

  q = calloc (1, sizeof *q);
  if (q == NULL)
    goto error;
  q->bdev.ops = &cached_ops;
  /* Clients are promised what the origin offers; caching is the cache's own
   * feature.
   */
  q->bdev.info = e->instance->upstream->info;
  q->bdev.info.can_cache = true;
  q->bdev.info.can_multi_conn = true;
  q->bdev.info.can_fua |= q->bdev.info.can_flush;
  q->bdev.info.can_flush |= parameters.writeback;
  q->engine = e;
  q->cache = e->cache;
  q->local = local;
  pass_losses_on (e);
  forget_lost (e, local);

  cache_client_init (&q->client, exports_share (e->instance->upstream));
  if (q->client.origin) {
    atomic_fetch_add (&e->clients, 1);
    return &q->bdev;
  }
  cache_client_destroy (&q->client);
  free (q);

 error:
  e->instance->log (ENGINE_ERROR, "export \"%s\": out of memory",
                    printable_name (e->instance->export_name, shown));
  errno = ENOMEM;
  return NULL;
}

const struct engine cache_engine = {
  .mode = "cache",
  .of_upstream = true,
  .config = cache_config,
  .config_finish = cache_config_finish,
  .keys = "cache, cache-max, cache-dirty-max, cache-dirty-age",
  .new = cached_new,
  .arrive = cached_arrive,
  .admit = cached_admit,
  .client = cached_client,
  .stop = cached_stop,
  .free = cached_free,
};

/* ------------------------------------------------------ control methods */

/* As mblock-control(7) lists it. */
#define NO_CACHE -32000, json_pack ("{s:s}", "errno", "ENOENT")

const struct jsonrpc_param cache_status_params[] = {
  { .name = "export", .type = JSONRPC_STRING,
    .summary = "Report only the cache of this export." },
  { .name = NULL }
};

static json_t *
size_value (uint64_t n)
{
  return json_integer (n > INT64_MAX ? INT64_MAX : (json_int_t) n);
}

static json_t *
describe (const char *export_name, struct cached *e)
{
  struct pool_outage outage;
  uint64_t outages = bdev_nbd_outage (e->instance->upstream, &outage);
  struct cache_stats stats = { .hits = 0 };
  const struct { const char *name; const uint64_t *n; } member[] = {
    { "cached_bytes", &stats.cached_bytes },
    { "dirty_bytes", &stats.dirty_bytes },
    { "hits", &stats.hits },
    { "misses", &stats.misses },
    { "hit_bytes", &stats.hit_bytes },
    { "miss_bytes", &stats.miss_bytes },
    { "fetched_bytes", &stats.fetched_bytes },
    { "ahead_bytes", &stats.ahead_bytes },
    { "ahead_used_bytes", &stats.ahead_used_bytes },
    { "writes", &stats.writes },
    { "written_bytes", &stats.written_bytes },
    { "writeback_bytes", &stats.writeback_bytes },
    { "evicted_bytes", &stats.evicted_bytes },
    { "uncached_bytes", &stats.uncached_bytes },
    { "upstream_errors", &stats.origin_errors },
    { "local_errors", &stats.local_errors },
    { "outages", &outages },
  };
  json_t *o = json_object ();
  uint64_t size;
  size_t i;

  mutex_lock (&e->lock);
  size = e->size;
  if (e->cache)
    cache_stats (e->cache, &stats);
  mutex_unlock (&e->lock);
  json_object_set_new (o, "export", jsonrpc_text (export_name));
  json_object_set_new (o, "mode", json_string (parameters.writeback
                                               ? "writeback"
                                               : "writethrough"));
  json_object_set_new (o, "size", size_value (size));
  json_object_set_new (o, "max_bytes", parameters.max
                       ? size_value (parameters.max) : json_null ());
  for (i = 0; i < sizeof member / sizeof *member; i++)
    json_object_set_new (o, member[i].name, size_value (*member[i].n));
  json_object_set_new (o, "away_since", outage.away
                       ? jsonrpc_time (&outage.since) : json_null ());
  json_object_set_new (o, "last_error", jsonrpc_text_or_null (outage.error));
  return o;
}

struct status {
  json_t *list;
  const char *only;             /* NULL: all */
};

static void
add_status (void *opaque, const char *export_name, void *engine)
{
  struct status *s = opaque;

  if (s->only == NULL || strcmp (s->only, export_name) == 0)
    json_array_append_new (s->list, describe (export_name, engine));
}

json_t *
method_cache_status (struct jsonrpc_call *call)
{
  struct status s = { .list = json_array () };
  char shown[PRINTABLE_STRING];

  if (filter_config.engine != &cache_engine) {
    json_decref (s.list);
    return jsonrpc_fail (call, NO_CACHE, "there is no cache: mnbd-mode is %s",
                         filter_config.mode);
  }
  if (jsonrpc_given (call, "export"))
    s.only = jsonrpc_string (call, "export");
  instances_each (add_status, &s);
  if (s.only && json_array_size (s.list) == 0) {
    json_decref (s.list);
    return jsonrpc_fail (call, NO_CACHE, "export: there is no cache of "
                         "export \"%s\"", printable_name (s.only, shown));
  }
  return json_pack ("{s:o}", "caches", s.list);
}
