/* SPDX-License-Identifier: BSD-3-Clause */
/* The mnbd filter: serves exports from another NBD server beside those of the
 * plugin beneath, or both as one disk.  The glue between nbdkit and the sides
 * (side.h); nbdkit-mnbd-filter(1) says what it promises.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "cleanup.h"
#include "control.h"
#include "exports.h"
#include "filter-parameters.h"
#include "methods.h"
#include "pairs.h"
#include "parameters.h"
#include "printable.h"
#include "side-local.h"
#include "side-upstream.h"

/* Zeros for an upstream that promised to zero and then does not. */
#define ZEROS (1u << 16)

static struct control *control;

/* How often nbdkit has been told to use this filter.  The library is there
 * only once, and so is all that it knows.
 */
static unsigned loaded;

/* A client's connection. */
struct handle {
  struct side *side;            /* what it is served from */
  struct live_pair *pair;       /* or NULL */
  struct local local;           /* its way to the plugin, if it has one */
  bool forwarded;
};

/* ------------------------------------------------------------- start-up */

static void
mnbd_load (void)
{
  loaded++;
}

static int
mnbd_config (nbdkit_next_config *next, nbdkit_backend *nxdata,
             const char *key, const char *value)
{
  if (filter_config_is_ours (key))
    return filter_config_set (key, value);
  filter_config_passed_on (key, value);
  return next (nxdata, key, value);
}

static int
mnbd_config_complete (nbdkit_next_config_complete *next,
                      nbdkit_backend *nxdata)
{
  if (loaded > 1) {
    nbdkit_error ("--filter=mnbd is given %s: expected once",
                  loaded == 2 ? "twice" : "several times");
    return -1;
  }
  if (filter_config_finish () == -1)
    return -1;
  return next (nxdata);
}

static void
log_control (void *opaque, enum control_log level, const char *line)
{
  (void) opaque;
  if (level == CONTROL_WARNING)
    nbdkit_error ("%s", line);
  else
    nbdkit_debug ("%s", line);
}

/* Make the socket while errors can still be seen; nbdkit may go to the
 * background later.
 */
static int
mnbd_get_ready (int thread_model)
{
  const struct control_options options = {
    .path = filter_config.control,
    .mode = filter_config.control_mode,
    .methods = filter_methods,
    .log = log_control,
  };
  CLEANUP_FREE char *error = NULL;

  if (pairs_get_ready (thread_model) == -1)
    return -1;
  if (filter_config.control == NULL)
    return 0;
  control = control_listen (&options, &error);
  if (control == NULL) {
    nbdkit_error ("mnbd-control=%s: %s", filter_config.control,
                  error ? error : "out of memory");
    return -1;
  }
  return 0;
}

static int
mnbd_after_fork (nbdkit_backend *backend)
{
  if (exports_start () == -1 || pairs_start (backend) == -1)
    return -1;
  if (control && control_start (control) == -1) {
    nbdkit_error ("mnbd-control=%s: cannot start a thread: %m",
                  filter_config.control);
    return -1;
  }
  return 0;
}

/* First nobody may ask for anything any more; then the pairs end, while the
 * plugin beneath is still there; then the connections that are shared.
 */
static void
mnbd_cleanup (nbdkit_backend *backend)
{
  (void) backend;
  control_stop (control);
  pairs_stop ();
  exports_end ();
}

/* -------------------------------------------------------------- exports */

struct merge {
  struct nbdkit_exports *exports;
  bool error;
  size_t added;
};

static void
add_export (struct merge *m, const char *name, const char *description)
{
  char shown[PRINTABLE_STRING];

  m->added++;
  if (nbdkit_add_export (m->exports, name,
                         description && *description ? description
                         : NULL) == -1) {
    nbdkit_debug ("export \"%s\" cannot be listed", printable (name, shown));
    m->error = true;
  }
}

static void
add_of_upstream (void *opaque, const char *name, const char *description)
{
  if (filter_config_concerns (name))
    add_export (opaque, name, description);
}

/* What the plugin has and does not serve itself any more is left out. */
static int
list_of_plugin (nbdkit_next_list_exports *next, nbdkit_backend *nxdata,
                int readonly, struct merge *m)
{
  struct nbdkit_exports *own = nbdkit_exports_new ();
  size_t i;
  int r;

  if (own == NULL)
    return -1;
  r = next (nxdata, readonly, own);
  for (i = 0; r == 0 && i < nbdkit_exports_count (own); i++) {
    const struct nbdkit_export e = nbdkit_get_export (own, i);

    if (!filter_config_concerns (e.name))
      add_export (m, e.name, e.description);
  }
  nbdkit_exports_free (own);
  return r;
}

static int
mnbd_list_exports (nbdkit_next_list_exports *next, nbdkit_backend *nxdata,
                   int readonly, int is_tls, struct nbdkit_exports *exports)
{
  struct merge m = { .exports = exports };
  char shown[PRINTABLE_STRING];

  (void) is_tls;
  if (filter_config.engine)
    return next (nxdata, readonly, exports);
  if (list_of_plugin (next, nxdata, readonly, &m) == -1)
    return -1;
  m.added = 0;
  if (!config.dynamic_export) {
    if (filter_config_is_plain ())
      add_export (&m, filter_config.exports, NULL);
    else
      add_of_upstream (&m, config.export_name, NULL);
  }
  /* The plugin's exports are there even while the upstream is away. */
  else if (exports_list (add_of_upstream, &m) == 0 && m.added == 0)
    nbdkit_error ("mnbd-exports=%s: the upstream has no export that matches",
                  printable (filter_config.exports, shown));
  return 0;
}

static const char *
mnbd_default_export (nbdkit_next_default_export *next, nbdkit_backend *nxdata,
                     int readonly, int is_tls)
{
  const char *name;

  (void) is_tls;
  if (filter_config.engine || !filter_config_concerns (""))
    return next (nxdata, readonly);
  name = exports_default ();
  return name && filter_config_concerns (name) ? name : "";
}

static int
open_forwarded (struct handle *h, const char *export_name)
{
  h->forwarded = true;
  h->side = side_forward (config.dynamic_export ? export_name
                          : config.export_name);
  return h->side ? 0 : -1;
}

static int
open_plugin (nbdkit_next_open *next, nbdkit_context *context, int readonly,
             const char *export_name)
{
  int r;

  pairs_lock_plugin ();
  r = next (context, readonly, export_name);
  pairs_unlock_plugin ();
  return r;
}

static int
open_pair (struct handle *h, nbdkit_next_open *next, nbdkit_context *context,
           const char *export_name, const char *name)
{
  h->pair = pair_get (nbdkit_context_get_backend (context), name);
  if (h->pair == NULL)
    return -1;
  /* A client that may only read can still make the engine write. */
  if (open_plugin (next, context, false, export_name) == 0)
    return 0;
  pair_put (h->pair);
  return -1;
}

static void *
mnbd_open (nbdkit_next_open *next, nbdkit_context *context,
           int readonly, const char *export_name, int is_tls)
{
  struct handle *h = calloc (1, sizeof *h);
  char shown[PRINTABLE_STRING];
  const char *name;
  int r;

  (void) is_tls;
  if (h == NULL) {
    nbdkit_error ("export \"%s\": %m", printable (export_name, shown));
    return NULL;
  }
  if (filter_config.engine && (name = pair_name (export_name)) != NULL)
    r = open_pair (h, next, context, export_name, name);
  else if (!filter_config.engine && filter_config_concerns (export_name))
    r = open_forwarded (h, export_name);
  else
    r = open_plugin (next, context, readonly, export_name);
  if (r == 0)
    return h;
  free (h);
  return NULL;
}

static int
mnbd_prepare (nbdkit_next *next, void *handle, int readonly)
{
  struct handle *h = handle;

  (void) readonly;              /* nbdkit sees to it */
  if (h->forwarded)
    return 0;
  if (local_init (&h->local, next, pairs_client_lock ()) == -1)
    return -1;
  h->side = h->pair ? pair_client (h->pair, &h->local.side) : &h->local.side;
  return h->side ? 0 : -1;
}

/* What is between the client and the plugin ends before the plugin's part. */
static void
end_side (struct handle *h)
{
  side_close (h->side);
  h->side = NULL;
}

static int
mnbd_finalize (nbdkit_next *next, void *handle)
{
  (void) next;
  end_side (handle);
  return 0;
}

static void
mnbd_close (void *handle)
{
  struct handle *h = handle;

  end_side (h);
  if (h->pair)
    pair_put (h->pair);
  free (h);
}

static const struct side_info *
info (void *handle)
{
  struct handle *h = handle;

  return &h->side->info;
}

static const char *
mnbd_export_description (nbdkit_next *next, void *handle)
{
  struct handle *h = handle;
  const char *description;

  if (h->forwarded)
    description = side_upstream_description (h->side);
  else if (h->pair && filter_config.engine->of_upstream)
    description = pair_upstream_description (h->pair);
  else
    return next->export_description (next);
  return description ? nbdkit_strdup_intern (description) : NULL;
}

static int64_t
mnbd_get_size (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->size;
}

static int
mnbd_block_size (nbdkit_next *next, void *handle, uint32_t *minimum,
                 uint32_t *preferred, uint32_t *maximum)
{
  const struct side_info *i = info (handle);

  (void) next;
  *minimum = *preferred = *maximum = 0;
  if (i->block_preferred && i->block_max) {
    *minimum = i->block_min;
    *preferred = i->block_preferred;
    *maximum = i->block_max;
  }
  return 0;
}

static int
mnbd_can_write (nbdkit_next *next, void *handle)
{
  (void) next;
  return !info (handle)->readonly;
}

static int
mnbd_can_flush (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_flush;
}

static int
mnbd_can_trim (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_trim;
}

static int
mnbd_can_zero (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_zero ? NBDKIT_ZERO_NATIVE : NBDKIT_ZERO_EMULATE;
}

static int
mnbd_can_fast_zero (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_fast_zero;
}

static int
mnbd_can_extents (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_extents;
}

static int
mnbd_can_fua (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int
mnbd_can_cache (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_cache ? NBDKIT_CACHE_NATIVE : NBDKIT_CACHE_NONE;
}

static int
mnbd_can_multi_conn (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->can_multi_conn;
}

static int
mnbd_is_rotational (nbdkit_next *next, void *handle)
{
  (void) next;
  return info (handle)->rotational;
}

/* ------------------------------------------------------------ data path */

static uint32_t
side_flags (uint32_t flags)
{
  return (flags & NBDKIT_FLAG_FUA ? SIDE_FUA : 0) |
    (flags & NBDKIT_FLAG_MAY_TRIM ? SIDE_MAY_TRIM : 0) |
    (flags & NBDKIT_FLAG_FAST_ZERO ? SIDE_FAST_ZERO : 0) |
    (flags & NBDKIT_FLAG_REQ_ONE ? SIDE_REQ_ONE : 0);
}

/* Pass a result on.  Of its own errors the plugin beneath has told. */
static int
result (struct handle *h, int r, const char *what, uint32_t count,
        uint64_t offset, int *err)
{
  if (r == -1 && (h->forwarded || h->pair))
    request_result (r, what, count, offset);
  if (r == -1)
    *err = errno ? errno : EIO;
  return r;
}

static int
mnbd_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
            uint64_t offset, uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  (void) flags;
  return result (h, side_read (h->side, buf, count, offset), "read", count,
                 offset, err);
}

static int
mnbd_pwrite (nbdkit_next *next, void *handle, const void *buf, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (h, side_write (h->side, buf, count, offset,
                                side_flags (flags)),
                 "write", count, offset, err);
}

static int
write_zeros (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  static const char zeros[ZEROS];
  uint32_t n;

  for (; count; count -= n, offset += n) {
    n = count < ZEROS ? count : ZEROS;
    if (side_write (s, zeros, n, offset, flags & SIDE_FUA) == -1)
      return -1;
  }
  return 0;
}

static bool
not_supported (int error)
{
  return error == ENOTSUP || error == EOPNOTSUPP;
}

static int
mnbd_zero (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
           uint32_t flags, int *err)
{
  struct handle *h = handle;
  uint32_t f = side_flags (flags);
  int r = side_zero (h->side, count, offset, f);

  (void) next;
  if (r == -1 && not_supported (errno)) {
    /* "Not fast" is an answer, not a failure. */
    if (f & SIDE_FAST_ZERO) {
      *err = errno;
      return -1;
    }
    /* As nbdkit does when a plugin answers that. */
    r = write_zeros (h->side, count, offset, f);
    if (r == -1 && not_supported (errno))
      errno = EIO;
  }
  return result (h, r, "zero", count, offset, err);
}

static int
mnbd_trim (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
           uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (h, side_trim (h->side, count, offset, side_flags (flags)),
                 "trim", count, offset, err);
}

static int
mnbd_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  (void) flags;
  return result (h, side_flush (h->side), "flush", 0, 0, err);
}

static int
mnbd_cache (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
            uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  (void) flags;
  return result (h, side_cache (h->side, count, offset), "cache", count,
                 offset, err);
}

static int
add_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  uint32_t t = (type & SIDE_HOLE ? NBDKIT_EXTENT_HOLE : 0) |
    (type & SIDE_ZERO ? NBDKIT_EXTENT_ZERO : 0);

  return nbdkit_add_extent (opaque, offset, length, t);
}

static int
mnbd_extents (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
              uint32_t flags, struct nbdkit_extents *list, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (h, side_extents (h->side, count, offset, side_flags (flags),
                                  add_extent, list),
                 "block status", count, offset, err);
}

static struct nbdkit_filter filter = {
  .name               = "mnbd",
  .longname           = "mblock NBD forward, mirror and cache",
  .description        = "puts the exports of another NBD server beside, behind "
                        "or in front of those of the plugin",
  .load               = mnbd_load,
  .config_help        = filter_config_help,
  .config             = mnbd_config,
  .config_complete    = mnbd_config_complete,
  .get_ready          = mnbd_get_ready,
  .after_fork         = mnbd_after_fork,
  .cleanup            = mnbd_cleanup,
  .list_exports       = mnbd_list_exports,
  .default_export     = mnbd_default_export,
  .open               = mnbd_open,
  .prepare            = mnbd_prepare,
  .finalize           = mnbd_finalize,
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

/* nbdkit's header defines it without having declared it. */
extern struct nbdkit_filter *filter_init (void);

NBDKIT_REGISTER_FILTER (filter)
