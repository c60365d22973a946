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

#include "export-name.h"
#include "exports.h"
#include "parameters.h"
#include "pool.h"
#include "printable.h"

const struct config_names config_names = { .prefix = "", .uri = "uri" };

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
  char shown_key[PRINTABLE_STRING], shown_value[PRINTABLE_STRING];
  int r = config_set (key, value);

  if (r == 1)
    nbdkit_error ("unknown parameter %s=%s: expected %s",
                  printable (key, shown_key), printable (value, shown_value),
                  config_keys);
  return r ? -1 : 0;
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

static int
mnbd_after_fork (void)
{
  return exports_start ();
}

static void
mnbd_cleanup (void)
{
  exports_end ();
}

static void
mnbd_unload (void)
{
  exports_end ();
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
  (void) readonly;
  (void) is_tls;
  if (!config.dynamic_export)
    return nbdkit_use_default_export (exports);
  return exports_list (add_export, exports);
}

static const char *
mnbd_default_export (int readonly, int is_tls)
{
  (void) readonly;
  (void) is_tls;
  return exports_default ();
}

/* For filters (export-name.h). */
NBDKIT_DLL_PUBLIC const char *
mblock_export_name_of_disk (const char *name)
{
  if (!config.dynamic_export)
    return NULL;
  return *name ? name : exports_default ();
}

static void *
mnbd_open (int readonly)
{
  const char *name = config.export_name;
  char shown[PRINTABLE_STRING];
  struct handle *h;

  (void) readonly;              /* nbdkit sees to it */
  if (config.dynamic_export)
    name = export_name_announced ();
  if (name == NULL)
    name = nbdkit_export_name ();
  if (name == NULL)
    return NULL;
  h = calloc (1, sizeof *h);
  if (h == NULL) {
    nbdkit_error ("export \"%s\": %m", printable (name, shown));
    return NULL;
  }
  h->entry = entry_get (name);
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

  entry_put (h->entry);
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

static int
mnbd_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return request_result (pool_read (h->pool, buf, count, offset), "read",
                         count, offset);
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

  return request_result (pool_write (h->pool, buf, count, offset, fua (flags)),
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
  return request_result (r, "zero", count, offset);
}

static int
mnbd_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  return request_result (pool_trim (h->pool, count, offset, fua (flags)),
                         "trim", count, offset);
}

static int
mnbd_flush (void *handle, uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return request_result (pool_flush (h->pool, &h->client), "flush", 0, 0);
}

static int
mnbd_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return request_result (pool_cache (h->pool, count, offset), "cache", count,
                         offset);
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

  return request_result (pool_extents (h->pool, count, offset, f, add_extent,
                                       list),
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
