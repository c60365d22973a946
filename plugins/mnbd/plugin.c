/* SPDX-License-Identifier: BSD-3-Clause */
/* mnbd: forwards to another NBD server.  The glue between nbdkit and the NBD
 * client; nbdkit-mnbd-plugin(1) says what it promises.
 */

#include <config.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/printable.h"
#include "nbd/bdev-nbd.h"
#include "nbd/connection.h"
#include "plugins/common/end-clients.h"
#include "plugins/common/export-name.h"
#include "plugins/common/exports.h"
#include "plugins/common/serve.h"
#include "plugins/common/upstream-parameters.h"

const struct config_names config_names = { .prefix = "", .uri = "uri" };

/* How long a request may take after nbdkit's shutdown begins, in seconds.  This
 * is longer than the wait for a silent upstream.
 */
#define END_SECONDS 15

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
  printf ("mnbd_extended_headers=%s\n",
          connection_has_extended_headers () ? "yes" : "no");
  printf ("mnbd_tls_hostname=%s\n",
          connection_has_tls_hostname () ? "yes" : "no");
  printf ("mnbd_compiler=%s\n", __VERSION__);
  nbd_close (nbd);
}

static int
mnbd_get_ready (void)
{
  export_name_find_filters ();
  return 0;
}

static int
mnbd_after_fork (void)
{
  if (exports_start () == -1)
    return -1;
  if (end_clients_start (END_ANSWERED, END_SECONDS) == -1)
    nbdkit_debug ("clients will not be disconnected at the end: %m");
  return 0;
}

static void
mnbd_cleanup (void)
{
  end_clients_stop ();
  exports_end ();
}

static void
mnbd_unload (void)
{
  exports_end ();
  /* The parameters are not freed: nbdkit does not wait long for a thread in
   * .close, and such a thread may still be flushing to a target.  The process
   * ends anyway.
   */
}

/* -------------------------------------------------------------- exports */

static void
add_export (void *opaque, const char *name, const char *description)
{
  char shown[PRINTABLE_STRING];

  if (nbdkit_add_export (opaque, name,
                         *description ? description : NULL) == -1)
    nbdkit_debug ("export \"%s\" cannot be listed",
                  printable_name (name, shown));
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

/* For filters (export-name.h). */
NBDKIT_DLL_PUBLIC void
mblock_export_forsake (const char *name)
{
  exports_forsake (config.dynamic_export ? name : config.export_name);
}

static void *
mnbd_open (int readonly)
{
  const char *name = config.export_name;
  char shown[PRINTABLE_STRING];
  struct serve *h;

  (void) readonly;              /* nbdkit sees to it */
  if (config.dynamic_export)
    name = export_name_announced ();
  if (name == NULL)
    name = nbdkit_export_name ();
  if (name == NULL)
    return NULL;
  h = calloc (1, sizeof *h);
  if (h == NULL) {
    nbdkit_error ("export \"%s\": %m", printable_name (name, shown));
    return NULL;
  }
  h->bdev = exports_open (name);
  if (h->bdev == NULL) {
    free (h);
    return NULL;
  }
  return h;
}

static void
mnbd_close (void *handle)
{
  struct serve *h = handle;

  bdev_close (h->bdev);
  free (h);
}

static const char *
mnbd_export_description (void *handle)
{
  struct serve *h = handle;
  const char *description = bdev_nbd_description (h->bdev);

  return description ? nbdkit_strdup_intern (description) : NULL;
}

static struct nbdkit_plugin plugin = {
  .name               = "mnbd",
  .longname           = "mblock NBD forwarder",
  .version            = PACKAGE_VERSION,
  .description        = "forwards to another NBD server and rides out its "
                        "outages",
  .errno_is_preserved = 1,
  .magic_config_key   = "uri",
  .config_help        = config_help,
  .config             = mnbd_config,
  .config_complete    = mnbd_config_complete,
  .dump_plugin        = mnbd_dump_plugin,
  .get_ready          = mnbd_get_ready,
  .after_fork         = mnbd_after_fork,
  .cleanup            = mnbd_cleanup,
  .unload             = mnbd_unload,
  .list_exports       = mnbd_list_exports,
  .default_export     = mnbd_default_export,
  .preconnect         = end_clients_preconnect,
  .open               = mnbd_open,
  .close              = mnbd_close,
  .export_description = mnbd_export_description,
  .get_size           = serve_get_size,
  .block_size         = serve_block_size,
  .can_write          = serve_can_write,
  .can_flush          = serve_can_flush,
  .can_trim           = serve_can_trim,
  .can_zero           = serve_can_zero,
  .can_fast_zero      = serve_can_fast_zero,
  .can_extents        = serve_can_extents,
  .can_fua            = serve_can_fua,
  .can_cache          = serve_can_cache,
  .can_multi_conn     = serve_can_multi_conn,
  .is_rotational      = serve_is_rotational,
  .pread              = serve_pread,
  .pwrite             = serve_pwrite,
  .zero               = serve_zero,
  .trim               = serve_trim,
  .flush              = serve_flush,
  .cache              = serve_cache,
  .extents            = serve_extents,
};

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* nbdkit's header defines this function without declaring it first. */
extern struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
