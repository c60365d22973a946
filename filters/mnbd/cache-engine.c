/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache as an engine of the filter: its parameters, and how its pairs and
 * their clients begin and end.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "cache-engine.h"
#include "cache.h"
#include "cleanup.h"
#include "clock.h"
#include "engine.h"
#include "filter-parameters.h"
#include "methods.h"
#include "pairs.h"
#include "printable.h"
#include "side-upstream.h"
#include "size.h"

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
bad (const char *key, const char *value, const char *expected)
{
  char shown[PRINTABLE_STRING];

  nbdkit_error ("mnbd-%s=%s: expected %s", key, printable (value, shown),
                expected);
  return -1;
}

static int
set_size (const char *key, const char *value, uint64_t *size,
          const char **given)
{
  uint64_t n;

  if (size_parse (value, &n) == -1 || n < CACHE_LEAST || n > INT64_MAX)
    return bad (key, value, "a size of at least 1M");
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
    return bad (key, value, "a number of seconds from 1 to 86400");
  parameters.dirty_age = seconds;
  parameters.dirty_age_given = value;
  return 0;
}

static int
cache_config (const char *key, const char *value)
{
  if (strcmp (key, "cache") == 0) {
    parameters.writeback = strcmp (value, "writeback") == 0;
    if (!parameters.writeback && strcmp (value, "writethrough") != 0)
      return bad (key, value, "writethrough or writeback");
    return 0;
  }
  if (strcmp (key, "cache-max") == 0)
    return set_size (key, value, &parameters.max, &parameters.max_given);
  if (strcmp (key, "cache-dirty-max") == 0)
    return set_size (key, value, &parameters.dirty_max,
                     &parameters.dirty_max_given);
  if (strcmp (key, "cache-dirty-age") == 0)
    return set_age (key, value);
  return 1;
}

static int
cache_config_finish (void)
{
  if (!parameters.writeback && parameters.dirty_max_given)
    return bad ("cache-dirty-max", parameters.dirty_max_given,
                "mnbd-cache=writeback with it");
  if (!parameters.writeback && parameters.dirty_age_given)
    return bad ("cache-dirty-age", parameters.dirty_age_given,
                "mnbd-cache=writeback with it");
  if (parameters.max && parameters.dirty_max > parameters.max / 2)
    return bad ("cache-dirty-max", parameters.dirty_max_given,
                "at most half of mnbd-cache-max");
  return 0;
}

/* ---------------------------------------------------------------- pairs */

struct cached {
  const struct pair *pair;
  struct cache *cache;
};

static void
log_line (void *opaque, const char *line)
{
  struct cached *e = opaque;
  char shown[PRINTABLE_STRING];

  e->pair->log (ENGINE_ERROR, "export \"%s\": %s",
                printable (e->pair->export_name, shown), line);
}

static void
cached_free (void *engine)
{
  struct cached *e = engine;

  cache_free (e->cache);
  free (e);
}

static void *
cached_new (const struct pair *pair)
{
  struct cache_options o = {
    .local = pair->local,
    .origin = pair->upstream,
    .writeback = parameters.writeback,
    .max = parameters.max,
    .dirty_max = parameters.dirty_max,
    .dirty_age = (parameters.dirty_age ? parameters.dirty_age
                  : DEFAULT_DIRTY_AGE) * NS_PER_S,
    .log = log_line,
  };
  CLEANUP_FREE char *why = NULL;
  char shown[PRINTABLE_STRING];
  struct cached *e;

  if (side_connect (pair->upstream) == -1)
    return NULL;
  if (!cache_can_be (&pair->local->info, &pair->upstream->info, &why)) {
    pair->log (ENGINE_ERROR, "mnbd-mode=cache: export \"%s\": %s",
               printable (pair->export_name, shown),
               why ? why : "out of memory");
    return NULL;
  }
  if (o.dirty_max == 0) {
    o.dirty_max = DEFAULT_DIRTY_MAX;
    if (o.max && o.dirty_max > o.max / 4)
      o.dirty_max = o.max / 4;
  }
  e = calloc (1, sizeof *e);
  if (e) {
    e->pair = pair;
    o.opaque = e;
    e->cache = cache_new (&o);
  }
  if (e == NULL || e->cache == NULL) {
    pair->log (ENGINE_ERROR, "mnbd-mode=cache: export \"%s\": out of memory",
               printable (pair->export_name, shown));
    free (e);
    return NULL;
  }
  return e;
}

static void
cached_stop (void *engine)
{
  struct cached *e = engine;
  char shown[PRINTABLE_STRING];
  struct cache_figures f;
  int err;

  if (cache_stop (e->cache) == 0)
    return;
  err = errno;
  cache_figures (e->cache, &f);
  /* Of what the upstream took and could not flush the pool has told. */
  if (f.dirty_bytes == 0)
    return;
  e->pair->log (ENGINE_ERROR, "export \"%s\": the cache ends and the upstream "
                "does not take what is in it: %s; %llu bytes that were never "
                "flushed are lost", printable (e->pair->export_name, shown),
                strerror (err), (unsigned long long) f.dirty_bytes);
}

/* -------------------------------------------------------------- clients */

struct cached_side {
  struct side side;
  struct cache *cache;
  struct side *local;           /* the client's */
  struct cache_client client;
};

static struct cached_side *
cached_side (struct side *s)
{
  return (struct cached_side *) s;
}

static int
cached_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  struct cached_side *q = cached_side (s);

  return cache_read (q->cache, &q->client, q->local, buf, count, offset);
}

static int
cached_write (struct side *s, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct cached_side *q = cached_side (s);

  return cache_write (q->cache, q->local, buf, count, offset, flags);
}

static int
cached_zero (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct cached_side *q = cached_side (s);

  return cache_zero (q->cache, q->local, count, offset, flags);
}

static int
cached_trim (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct cached_side *q = cached_side (s);

  return cache_trim (q->cache, q->local, count, offset, flags);
}

static int
cached_flush (struct side *s)
{
  struct cached_side *q = cached_side (s);

  return cache_flush (q->cache, &q->client, q->local);
}

static int
cached_cache (struct side *s, uint32_t count, uint64_t offset)
{
  struct cached_side *q = cached_side (s);

  return cache_prefetch (q->cache, q->local, count, offset);
}

static int
cached_extents (struct side *s, uint32_t count, uint64_t offset,
                uint32_t flags, side_extent_fn fn, void *opaque)
{
  struct cached_side *q = cached_side (s);

  return cache_extents (q->cache, q->local, count, offset, flags, fn, opaque);
}

static void
cached_close (struct side *s)
{
  struct cached_side *q = cached_side (s);

  side_close (q->client.origin);
  cache_client_destroy (&q->client);
  free (q);
}

static const struct side_ops cached_ops = {
  .read = cached_read,
  .write = cached_write,
  .zero = cached_zero,
  .trim = cached_trim,
  .flush = cached_flush,
  .cache = cached_cache,
  .extents = cached_extents,
  .close = cached_close,
};

static struct side *
cached_client (void *engine, struct side *local)
{
  struct cached *e = engine;
  struct cached_side *q;
  char shown[PRINTABLE_STRING];

  /* Its own size may have been changed since the pair began. */
  if (local->info.size < e->pair->upstream->info.size) {
    e->pair->log (ENGINE_ERROR, "export \"%s\": the plugin has %llu bytes now, "
                  "the cache needs %llu",
                  printable (e->pair->export_name, shown),
                  (unsigned long long) local->info.size,
                  (unsigned long long) e->pair->upstream->info.size);
    errno = EINVAL;
    return NULL;
  }
  q = calloc (1, sizeof *q);
  if (q == NULL)
    goto error;
  q->side.ops = &cached_ops;
  /* What clients are promised is the origin's, and to cache is our trade. */
  q->side.info = e->pair->upstream->info;
  q->side.info.can_cache = true;
  q->side.info.can_multi_conn = true;
  q->side.info.can_fua |= q->side.info.can_flush;
  q->side.info.can_flush |= parameters.writeback;
  q->cache = e->cache;
  q->local = local;
  cache_client_init (&q->client, side_upstream_share (e->pair->upstream));
  if (q->client.origin)
    return &q->side;
  cache_client_destroy (&q->client);
  free (q);

 error:
  e->pair->log (ENGINE_ERROR, "export \"%s\": out of memory",
                printable (e->pair->export_name, shown));
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
  .client = cached_client,
  .stop = cached_stop,
  .free = cached_free,
};

/* ------------------------------------------------------ control methods */

/* As mblock-control(7) lists it. */
#define NO_CACHE -32000, json_pack ("{s:s}", "errno", "ENOENT")

const struct jsonrpc_param cache_status_params[] = {
  { .name = "export", .type = JSONRPC_STRING,
    .summary = "Only the cache of this export." },
  { .name = NULL }
};

static json_t *
size_value (uint64_t n)
{
  return json_integer (n > INT64_MAX ? INT64_MAX : (json_int_t) n);
}

static json_t *
describe (const char *export_name, const struct cached *e)
{
  struct pool_outage outage;
  uint64_t outages = side_upstream_outage (e->pair->upstream, &outage);
  struct cache_figures f;
  const struct { const char *name; const uint64_t *n; } figures[] = {
    { "cached_bytes", &f.cached_bytes },
    { "dirty_bytes", &f.dirty_bytes },
    { "hits", &f.hits },
    { "misses", &f.misses },
    { "hit_bytes", &f.hit_bytes },
    { "miss_bytes", &f.miss_bytes },
    { "fetched_bytes", &f.fetched_bytes },
    { "ahead_bytes", &f.ahead_bytes },
    { "ahead_used_bytes", &f.ahead_used_bytes },
    { "writes", &f.writes },
    { "written_bytes", &f.written_bytes },
    { "writeback_bytes", &f.writeback_bytes },
    { "evicted_bytes", &f.evicted_bytes },
    { "uncached_bytes", &f.uncached_bytes },
    { "upstream_errors", &f.origin_errors },
    { "local_errors", &f.local_errors },
    { "outages", &outages },
  };
  json_t *o = json_object ();
  size_t i;

  cache_figures (e->cache, &f);
  json_object_set_new (o, "export", method_text (export_name));
  json_object_set_new (o, "mode", json_string (parameters.writeback
                                               ? "writeback"
                                               : "writethrough"));
  json_object_set_new (o, "size", size_value (e->pair->upstream->info.size));
  json_object_set_new (o, "max_bytes", parameters.max
                       ? size_value (parameters.max) : json_null ());
  for (i = 0; i < sizeof figures / sizeof *figures; i++)
    json_object_set_new (o, figures[i].name, size_value (*figures[i].n));
  json_object_set_new (o, "away_since", outage.away
                       ? method_time (&outage.since) : json_null ());
  json_object_set_new (o, "last_error", method_text_or_null (outage.error));
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
  pairs_each (add_status, &s);
  if (s.only && json_array_size (s.list) == 0) {
    json_decref (s.list);
    return jsonrpc_fail (call, NO_CACHE, "export: there is no cache of "
                         "export \"%s\"", printable (s.only, shown));
  }
  return json_pack ("{s:o}", "caches", s.list);
}
