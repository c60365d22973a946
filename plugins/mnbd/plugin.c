/* SPDX-License-Identifier: BSD-3-Clause */
/* mnbd: forwards to another NBD server.  The glue between nbdkit and the pool;
 * nbdkit-mnbd-plugin(1) says what it promises.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "clock.h"
#include "mutex.h"
#include "parameters.h"
#include "pool.h"

/* -D mnbd.figures=1: log the figures even without -v. */
NBDKIT_DLL_PUBLIC int mnbd_debug_figures = 0;

/* The pools, one for each export of the server that clients use.  A pool goes
 * with its last client; with shared=true it stays.
 */
struct entry {
  struct entry *next;
  char *name;                   /* of the export */
  unsigned users;
  struct pool_options o;
  struct pool *pool;
};

static struct mutex entries_lock = MUTEX_INITIALIZER;
static struct entry *entries GUARDED_BY (entries_lock);
static struct entry *shared_entry;

/* A client's connection to nbdkit. */
struct handle {
  struct entry *entry;
  struct pool *pool;
  struct pool_client client;
};

/* ------------------------------------------------------------- start-up */

static int
mnbd_config (const char *key, const char *value)
{
  return config_set (key, value);
}

static int
mnbd_config_complete (void)
{
  return config_finish ();
}

static void
mnbd_dump_plugin (void)
{
  struct nbd_handle *nbd = nbd_create ();

  if (nbd == NULL) {
    nbdkit_error ("%s", nbd_get_error ());
    exit (EXIT_FAILURE);
  }
  /* The lines of nbdkit-nbd-plugin. */
  printf ("libnbd_version=%s\n", nbd_get_version (nbd));
  printf ("libnbd_tls=%d\n", nbd_supports_tls (nbd));
  printf ("libnbd_uri=%d\n", nbd_supports_uri (nbd));
  printf ("libnbd_vsock=1\n");
  printf ("libnbd_dynamic_list=1\n");
  /* Our own. */
  printf ("mnbd_version=%s\n", PACKAGE_VERSION);
  printf ("mnbd_default_connections=%d\n", DEFAULT_CONNECTIONS);
  printf ("mnbd_most_connections=%d\n", POOL_MOST_CONNECTIONS);
  printf ("mnbd_default_reconnect=%d\n", DEFAULT_RECONNECT);
  printf ("mnbd_default_connect_timeout=%d\n", DEFAULT_CONNECT_TIMEOUT);
  printf ("mnbd_default_replay_buffer=%" PRIu64 "\n", DEFAULT_REPLAY_BUFFER);
  printf ("mnbd_compiler=%s\n", __VERSION__);
  nbd_close (nbd);
}

/* ---------------------------------------------------------------- pools */

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

static void
log_figures (const struct entry *e)
{
  static const char *const names[UPSTREAM_OPS] = {
    [UPSTREAM_READ] = "read", [UPSTREAM_WRITE] = "write",
    [UPSTREAM_ZERO] = "zero", [UPSTREAM_TRIM] = "trim",
    [UPSTREAM_FLUSH] = "flush", [UPSTREAM_CACHE] = "cache",
    [UPSTREAM_EXTENTS] = "extents",
  };
  struct pool_figures f;
  char text[1024];
  int n = 0;
  unsigned i;

  pool_figures (e->pool, &f);
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
    nbdkit_error ("figures of export \"%s\": %s", e->name, text);
  else
    nbdkit_debug ("figures of export \"%s\": %s", e->name, text);
}

static struct entry *
new_entry (const char *name)
{
  struct entry *e = calloc (1, sizeof *e);

  if (e == NULL)
    return NULL;
  e->name = strdup (name);
  e->o = config.o;
  e->o.export_name = e->name;
  e->o.log = log_message;
  e->o.give_up = give_up;
  if (e->name)
    e->pool = pool_new (&e->o);
  if (e->pool == NULL) {
    free (e->name);
    free (e);
    return NULL;
  }
  return e;
}

/* The last user flushes before the entry goes: another pool for this export
 * must not begin while this one still has writes that it would send again.
 */
static void
put_entry (struct entry *e)
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
  log_figures (e);
  pool_free (e->pool);
  free (e->name);
  free (e);
}

/* Get the pool for an export, and connect it if it is not. */
static struct entry *
get_entry (const char *name)
{
  struct entry *e;

  mutex_lock (&entries_lock);
  for (e = entries; e && strcmp (e->name, name) != 0; e = e->next)
    ;
  if (e == NULL) {
    e = new_entry (name);
    if (e == NULL) {
      mutex_unlock (&entries_lock);
      nbdkit_error ("export \"%s\": %m", name);
      return NULL;
    }
    e->next = entries;
    entries = e;
  }
  e->users++;
  mutex_unlock (&entries_lock);

  if (pool_open (e->pool) == -1) {
    put_entry (e);
    return NULL;
  }
  return e;
}

/* As with nbd: what is shared is connected before the first client comes, or
 * nbdkit does not start.
 */
static int
mnbd_after_fork (void)
{
  if (!config.shared)
    return 0;
  shared_entry = get_entry (config.export_name);
  return shared_entry ? 0 : -1;
}

static void
mnbd_cleanup (void)
{
  if (shared_entry)
    put_entry (shared_entry);
  shared_entry = NULL;
}

static void
mnbd_unload (void)
{
  mnbd_cleanup ();
  /* The parameters stay: nbdkit does not wait long for a thread in .close, and
   * that one may still be flushing to a target.  The process ends anyway.
   */
}

/* -------------------------------------------------------------- exports */

static void
add_export (void *opaque, const char *name, const char *description)
{
  if (nbdkit_add_export (opaque, name,
                         *description ? description : NULL) == -1)
    nbdkit_debug ("export \"%s\" cannot be listed", name);
}

static int
mnbd_list_exports (int readonly, int is_tls, struct nbdkit_exports *exports)
{
  char why[UPSTREAM_WHY];
  size_t i;

  (void) readonly;
  (void) is_tls;
  if (!config.dynamic_export)
    return nbdkit_use_default_export (exports);
  for (i = 0; i < config.o.ntargets; i++)
    if (upstream_list (&config.o.target[i], &config.o.upstream,
                       clock_now () + config.o.connect_timeout, add_export,
                       exports, why) == 0)
      return 0;
  nbdkit_error ("list of exports: %s", why);
  return -1;
}

static const char *
mnbd_default_export (int readonly, int is_tls)
{
  CLEANUP_FREE char *name = NULL;
  size_t i;

  (void) readonly;
  (void) is_tls;
  if (!config.dynamic_export)
    return config.export_name;
  /* Should it fail, then the server may still take the empty name. */
  for (i = 0; i < config.o.ntargets && name == NULL; i++)
    name = upstream_default_export (&config.o.target[i], &config.o.upstream,
                                    clock_now () + config.o.connect_timeout);
  return name ? nbdkit_strdup_intern (name) : "";
}

static void *
mnbd_open (int readonly)
{
  const char *name = config.dynamic_export ? nbdkit_export_name ()
    : config.export_name;
  struct handle *h;

  (void) readonly;              /* nbdkit sees to it */
  if (name == NULL)
    return NULL;
  h = calloc (1, sizeof *h);
  if (h == NULL) {
    nbdkit_error ("export \"%s\": %m", name);
    return NULL;
  }
  h->entry = get_entry (name);
  if (h->entry == NULL) {
    free (h);
    return NULL;
  }
  h->pool = h->entry->pool;
  pool_client_init (h->pool, &h->client);
  return h;
}

static void
mnbd_close (void *handle)
{
  struct handle *h = handle;

  put_entry (h->entry);
  free (h);
}

static const struct upstream_info *
info (void *handle)
{
  struct handle *h = handle;

  return pool_info (h->pool);
}

static const char *
mnbd_export_description (void *handle)
{
  struct handle *h = handle;
  const char *description = pool_description (h->pool);

  return description ? nbdkit_strdup_intern (description) : NULL;
}

static int64_t
mnbd_get_size (void *handle)
{
  return info (handle)->size;
}

static int
mnbd_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                 uint32_t *maximum)
{
  const struct upstream_info *i = info (handle);

  *minimum = *preferred = *maximum = 0;
  if (i->block_min && i->block_preferred && i->block_max) {
    *minimum = i->block_min;
    *preferred = i->block_preferred;
    *maximum = i->block_max;
  }
  return 0;
}

static int
mnbd_can_write (void *handle)
{
  return !info (handle)->readonly;
}

static int
mnbd_can_flush (void *handle)
{
  return info (handle)->can_flush;
}

static int
mnbd_can_trim (void *handle)
{
  return info (handle)->can_trim;
}

static int
mnbd_can_zero (void *handle)
{
  return info (handle)->can_zero;
}

static int
mnbd_can_fast_zero (void *handle)
{
  return info (handle)->can_fast_zero;
}

static int
mnbd_can_extents (void *handle)
{
  return info (handle)->can_extents;
}

static int
mnbd_can_fua (void *handle)
{
  return info (handle)->can_fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int
mnbd_can_cache (void *handle)
{
  return info (handle)->can_cache ? NBDKIT_CACHE_NATIVE : NBDKIT_CACHE_NONE;
}

/* All clients share one pool (pool.h). */
static int
mnbd_can_multi_conn (void *handle)
{
  (void) handle;
  return 1;
}

static int
mnbd_is_rotational (void *handle)
{
  return info (handle)->rotational;
}

/* ------------------------------------------------------------ data path */

/* Say why a request failed; errno stays for nbdkit. */
static int
result (int r, const char *what, uint32_t count, uint64_t offset)
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

static int
mnbd_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return result (pool_read (h->pool, buf, count, offset), "read", count,
                 offset);
}

static uint32_t
fua (uint32_t flags)
{
  return flags & NBDKIT_FLAG_FUA ? LIBNBD_CMD_FLAG_FUA : 0;
}

static int
mnbd_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  struct handle *h = handle;

  return result (pool_write (h->pool, buf, count, offset, fua (flags)),
                 "write", count, offset);
}

static int
mnbd_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;
  uint32_t f = fua (flags);
  int r;

  if (!(flags & NBDKIT_FLAG_MAY_TRIM))
    f |= LIBNBD_CMD_FLAG_NO_HOLE;
  if (flags & NBDKIT_FLAG_FAST_ZERO)
    f |= LIBNBD_CMD_FLAG_FAST_ZERO;
  r = pool_zero (h->pool, count, offset, f);
  /* "Not fast" is an answer, not a failure. */
  if (r == -1 && (flags & NBDKIT_FLAG_FAST_ZERO) &&
      (errno == ENOTSUP || errno == EOPNOTSUPP))
    return -1;
  return result (r, "zero", count, offset);
}

static int
mnbd_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  return result (pool_trim (h->pool, count, offset, fua (flags)), "trim",
                 count, offset);
}

static int
mnbd_flush (void *handle, uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return result (pool_flush (h->pool, &h->client), "flush", 0, 0);
}

static int
mnbd_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return result (pool_cache (h->pool, count, offset), "cache", count, offset);
}

static int
add_extent (void *opaque, uint64_t offset, uint32_t length, uint32_t type)
{
  uint32_t t = 0;

  if (type & LIBNBD_STATE_HOLE)
    t |= NBDKIT_EXTENT_HOLE;
  if (type & LIBNBD_STATE_ZERO)
    t |= NBDKIT_EXTENT_ZERO;
  return nbdkit_add_extent (opaque, offset, length, t);
}

static int
mnbd_extents (void *handle, uint32_t count, uint64_t offset, uint32_t flags,
              struct nbdkit_extents *list)
{
  struct handle *h = handle;
  uint32_t f = flags & NBDKIT_FLAG_REQ_ONE ? LIBNBD_CMD_FLAG_REQ_ONE : 0;

  return result (pool_extents (h->pool, count, offset, f, add_extent, list),
                 "block status", count, offset);
}

static struct nbdkit_plugin plugin = {
  .name               = "mnbd",
  .longname           = "mblock NBD forwarder",
  .version            = PACKAGE_VERSION,
  .description        = "forwards to another NBD server, through its outages",
  .errno_is_preserved = 1,
  .magic_config_key   = "uri",
  .config_help        = config_help,
  .config             = mnbd_config,
  .config_complete    = mnbd_config_complete,
  .dump_plugin        = mnbd_dump_plugin,
  .after_fork         = mnbd_after_fork,
  .cleanup            = mnbd_cleanup,
  .unload             = mnbd_unload,
  .list_exports       = mnbd_list_exports,
  .default_export     = mnbd_default_export,
  .open               = mnbd_open,
  .close              = mnbd_close,
  .export_description = mnbd_export_description,
  .get_size           = mnbd_get_size,
  .block_size         = mnbd_block_size,
  .can_write          = mnbd_can_write,
  .can_flush          = mnbd_can_flush,
  .can_trim           = mnbd_can_trim,
  .can_zero           = mnbd_can_zero,
  .can_fast_zero      = mnbd_can_fast_zero,
  .can_extents        = mnbd_can_extents,
  .can_fua            = mnbd_can_fua,
  .can_cache          = mnbd_can_cache,
  .can_multi_conn     = mnbd_can_multi_conn,
  .is_rotational      = mnbd_is_rotational,
  .pread              = mnbd_pread,
  .pwrite             = mnbd_pwrite,
  .zero               = mnbd_zero,
  .trim               = mnbd_trim,
  .flush              = mnbd_flush,
  .cache              = mnbd_cache,
  .extents            = mnbd_extents,
};

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* nbdkit's header defines it without having declared it. */
extern struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
