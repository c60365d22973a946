/* SPDX-License-Identifier: BSD-3-Clause */
/* The mnbd filter: serves exports from another NBD server beside those of the
 * plugin beneath, or both as one disk.  The glue between nbdkit and the block
 * devices (bdev.h); nbdkit-mnbd-filter(1) says what it promises.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/printable.h"
#include "bdev-next.h"
#include "filter-methods.h"
#include "filter-parameters.h"
#include "instances.h"
#include "nbd/bdev-nbd.h"
#include "plugins/common/control-socket.h"
#include "plugins/common/end-clients.h"
#include "plugins/common/export-name.h"
#include "plugins/common/exports.h"
#include "plugins/common/serve.h"
#include "plugins/common/upstream-parameters.h"
#include "rpc/server.h"

/* How long a request may take after nbdkit's shutdown begins, in seconds.  This
 * is longer than the wait for a silent upstream.
 */
#define END_SECONDS 15

static struct control *control;

/* How many times nbdkit was told to use this filter.  The library is loaded
 * only once, so all its state is shared.
 */
static unsigned loaded;

/* A client's connection. */
struct handle {
  struct serve serve;           /* from what */
  struct live_instance *instance;       /* or NULL */
  struct opened *opened;        /* of the instance */
  struct bdev_next local;       /* its way to the plugin, if it has one */
  struct next_context own;     /* the plugin's, if it has one */
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
  if (filter_config_passed_on (key, value) == -1)
    return -1;
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

static int
mnbd_get_ready (int thread_model)
{
  struct control_options options = {
    .path = filter_config.control,
    .mode = filter_config.control_mode,
    .has_group = filter_config.has_control_group,
    .group = filter_config.control_group,
    .methods = filter_methods,
  };

  if (instances_get_ready (thread_model) == -1)
    return -1;
  if (filter_config.control == NULL)
    return 0;
  control = control_socket_listen ("mnbd-control", &options);
  return control ? 0 : -1;
}

static int
mnbd_after_fork (nbdkit_backend *backend)
{
  if (exports_start () == -1 || instances_start (backend) == -1)
    return -1;
  if (control_socket_start ("mnbd-control", filter_config.control,
                            control) == -1)
    return -1;
  end_clients_meanwhile (instances_clients_end);
  if (end_clients_start (END_ANSWERED, END_SECONDS) == -1)
    nbdkit_debug ("clients will not be disconnected at the end: %m");
  return 0;
}

/* First, no new request is accepted.  Then the instances end, while the plugin
 * beneath is still there.  Then the shared connections end.  A method may wait
 * in an engine for the same silent upstream as the engine itself.  The engine's
 * end wakes it, and takes a limited time.  That is why control_stop, which
 * waits for methods, comes after that.
 */
static void
mnbd_cleanup (nbdkit_backend *backend)
{
  (void) backend;
  end_clients_stop ();
  control_close (control);
  instances_stop ();
  if (!control_is_idle (control))
    instances_give_up ();
  control_stop (control);
  instances_free ();
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
    nbdkit_debug ("export \"%s\" cannot be listed",
                  printable_name (name, shown));
    m->error = true;
  }
}

static void
add_of_upstream (void *opaque, const char *name, const char *description)
{
  if (filter_config_concerns (name))
    add_export (opaque, name, description);
}

/* Leave out exports that the plugin has but no longer serves itself. */
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
  /* The plugin's exports are listed even while the upstream is away. */
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
mnbd_preconnect (nbdkit_next_preconnect *next, nbdkit_backend *nxdata,
                 int readonly)
{
  return end_clients_began () ? -1 : next (nxdata, readonly);
}

static int
open_forwarded (struct handle *h, const char *export_name)
{
  h->forwarded = true;
  h->serve.bdev = exports_open (config.dynamic_export ? export_name
                                : config.export_name);
  return h->serve.bdev ? 0 : -1;
}

static int
open_plugin (struct handle *h, nbdkit_next_open *next,
             nbdkit_context *context, int readonly, const char *export_name)
{
  struct export_disk disk;
  int r;

  instances_lock_plugin ();
  export_name_opened ();
  r = next (context, readonly, export_name);
  disk = export_name_opened ();
  h->own.disk = disk.number;
  h->own.cuts = disk.cuts;
  instances_unlock_plugin ();
  return r;
}

static int
open_instance (struct handle *h, nbdkit_next_open *next,
               nbdkit_context *context, const char *export_name,
               const char *name)
{
  h->instance = instance_get (nbdkit_context_get_backend (context), name);
  if (h->instance == NULL)
    return -1;
  if (instance_is_switched (h->instance)) {
    /* The plugin may be gone, and nothing is left to report. */
    h->forwarded = true;
    h->serve.bdev = instance_client (h->instance, NULL, NULL, NULL);
    if (h->serve.bdev)
      return 0;
    instance_put (h->instance);
    return -1;
  }
  /* A read-only client can still make the engine write. */
  if (open_plugin (h, next, context, false, export_name) == 0)
    return 0;
  instance_put (h->instance);
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
    nbdkit_error ("export \"%s\": %m", printable_name (export_name, shown));
    return NULL;
  }
  if (filter_config.engine && (name = instance_name (export_name)) != NULL)
    r = open_instance (h, next, context, export_name, name);
  else if (!filter_config.engine && filter_config_concerns (export_name))
    r = open_forwarded (h, export_name);
  else
    r = open_plugin (h, next, context, readonly, export_name);
  if (r == 0)
    return h;
  free (h);
  return NULL;
}

static int
mnbd_prepare (nbdkit_next *next, void *handle, int readonly)
{
  struct handle *h = handle;
  struct bdev_info found;

  (void) readonly;              /* nbdkit sees to it */
  if (h->forwarded)
    return 0;
  h->own.next = next;
  h->own.lock = instances_client_lock ();
  if (bdev_next_init (&h->local, &h->own) == -1)
    return -1;
  if (h->instance) {
    found = h->local.bdev.info;
    h->serve.bdev = instance_client (h->instance, &found, &h->local,
                                     &h->opened);
  }
  else {
    h->serve.bdev = &h->local.bdev;
    h->serve.quiet = true;
  }
  return h->serve.bdev ? 0 : -1;
}

/* End what lies between the client and the plugin before the plugin's part. */
static void
end_bdev (struct handle *h)
{
  bdev_close (h->serve.bdev);
  h->serve.bdev = NULL;
}

static int
mnbd_finalize (nbdkit_next *next, void *handle)
{
  (void) next;
  end_bdev (handle);
  return 0;
}

static void
mnbd_close (void *handle)
{
  struct handle *h = handle;

  end_bdev (h);
  if (h->opened)
    instance_leave (h->opened);
  if (h->instance)
    instance_put (h->instance);
  free (h);
}

static const char *
mnbd_export_description (nbdkit_next *next, void *handle)
{
  struct handle *h = handle;
  const char *description;

  if (h->instance &&
      (filter_config.engine->of_upstream || h->forwarded))
    description = instance_upstream_description (h->instance);
  else if (h->forwarded)
    description = bdev_nbd_description (h->serve.bdev);
  else
    return next->export_description (next);
  return description ? nbdkit_strdup_intern (description) : NULL;
}

static int64_t
mnbd_get_size (nbdkit_next *next, void *handle)
{
  struct handle *h = handle;

  (void) next;
  return serve_get_size (&h->serve);
}

static int
mnbd_block_size (nbdkit_next *next, void *handle, uint32_t *minimum,
                 uint32_t *preferred, uint32_t *maximum)
{
  struct handle *h = handle;

  (void) next;
  return serve_block_size (&h->serve, minimum, preferred, maximum);
}

/* Properties whose callbacks are alike. */
#define PROPERTY(name)                                  \
  static int                                            \
  mnbd_ ## name (nbdkit_next *next, void *handle)       \
  {                                                     \
    struct handle *h = handle;                          \
                                                        \
    (void) next;                                        \
    return serve_ ## name (&h->serve);                  \
  }

PROPERTY (can_write)
PROPERTY (can_flush)
PROPERTY (can_trim)
PROPERTY (can_fast_zero)
PROPERTY (can_extents)
PROPERTY (can_fua)
PROPERTY (can_cache)
PROPERTY (can_multi_conn)
PROPERTY (is_rotational)

/* A filter and a plugin express this differently. */
static int
mnbd_can_zero (nbdkit_next *next, void *handle)
{
  struct handle *h = handle;

  (void) next;
  return serve_can_zero (&h->serve) ? NBDKIT_ZERO_NATIVE
    : NBDKIT_ZERO_EMULATE;
}

/* ------------------------------------------------------------ data path */

/* Pass a result on. */
static int
result (int r, int *err)
{
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
  return result (serve_pread (&h->serve, buf, count, offset, flags), err);
}

static int
mnbd_pwrite (nbdkit_next *next, void *handle, const void *buf, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_pwrite (&h->serve, buf, count, offset, flags), err);
}

static int
mnbd_zero (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
           uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_zero (&h->serve, count, offset, flags), err);
}

static int
mnbd_trim (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
           uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_trim (&h->serve, count, offset, flags), err);
}

static int
mnbd_cache (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
            uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_cache (&h->serve, count, offset, flags), err);
}

static int
mnbd_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_flush (&h->serve, flags), err);
}

static int
mnbd_extents (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
              uint32_t flags, struct nbdkit_extents *list, int *err)
{
  struct handle *h = handle;

  (void) next;
  return result (serve_extents (&h->serve, count, offset, flags, list), err);
}

static struct nbdkit_filter filter = {
  .name               = "mnbd",
  .longname           = "mblock NBD forward, mirror and cache",
  .description        = "forwards, mirrors or caches exports of another NBD "
                        "server",
  .load               = mnbd_load,
  .config_help        = filter_config_help,
  .config             = mnbd_config,
  .config_complete    = mnbd_config_complete,
  .get_ready          = mnbd_get_ready,
  .after_fork         = mnbd_after_fork,
  .cleanup            = mnbd_cleanup,
  .list_exports       = mnbd_list_exports,
  .default_export     = mnbd_default_export,
  .preconnect         = mnbd_preconnect,
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

/* nbdkit's header defines this function without declaring it first. */
extern struct nbdkit_filter *filter_init (void);

NBDKIT_REGISTER_FILTER (filter)
