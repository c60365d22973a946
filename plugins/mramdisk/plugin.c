/* SPDX-License-Identifier: BSD-3-Clause */
/* mramdisk: named disks in memory.  The glue between nbdkit and the engine;
 * nbdkit-mramdisk-plugin(1) says what it promises.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "base/size.h"
#include "base/uuid.h"
#include "buffers.h"
#include "loglimit.h"
#include "nbd/connection.h"
#include "nbd-peer.h"
#include "parameters.h"
#include "plugin-parts.h"
#include "plugins/common/client-sockets.h"
#include "plugins/common/end-clients.h"
#include "plugins/common/export-name.h"
#include "plugins/common/modules.h"
#include "plugins/common/nbdkit-ending.h"
#include "plugins/common/newer-nbdkit.h"
#include "ramdisk/arena-layout.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"

/* nbdkit refuses longer lists (its MAX_EXPORTS). */
#define MOST_EXPORTS_LISTED 10000

bool filtered;

/* ------------------------------------------------------------- start-up */

static int
mramdisk_config_complete (void)
{
  peer_prepare ();
  return config_finish ();
}

static const char *
yes_no (bool is)
{
  return is ? "yes" : "no";
}

static void
mramdisk_dump_plugin (void)
{
  printf ("mramdisk_version=%s\n", PACKAGE_VERSION);
  printf ("mramdisk_page_size=%u\n", PAGE_BYTES);
  printf ("mramdisk_default_size=%" PRIu64 "\n", DEFAULT_SIZE);
  printf ("mramdisk_max_size=%" PRIu64 "\n", DISK_MAX_SIZE);
  printf ("mramdisk_default_max_memory=%" PRIu64 "\n",
          config_default_memory ());
  printf ("mramdisk_most_max_memory=%" PRIu64 "\n", ARENA_MAX_LIMIT);
  printf ("mramdisk_default_max_disks=%d\n", DEFAULT_MAX_DISKS);
  printf ("mramdisk_default_max_connections=%zu\n",
          config_default_connections (1));
  printf ("mramdisk_default_max_request=%" PRIu32 "\n", DEFAULT_MAX_REQUEST);
  printf ("mramdisk_max_name=%d\n", REGISTRY_MAX_NAME);
  printf ("mramdisk_min_sector_size=%d\n", DISK_MIN_SECTOR);
  printf ("mramdisk_max_sector_size=%d\n", DISK_MAX_SECTOR);
  printf ("mramdisk_arena_layout=%d\n", LAYOUT_VERSION);
  printf ("mramdisk_disconnect=%s\n", yes_no (nbdkit_disconnect));
  printf ("mramdisk_peer_security_context=%s\n",
          yes_no (nbdkit_peer_security_context));
  printf ("mramdisk_peer_tls_dn=%s\n",
          yes_no (nbdkit_peer_tls_dn && nbdkit_peer_tls_issuer_dn));
  printf ("mramdisk_extended_headers=%s\n",
          yes_no (connection_has_extended_headers ()));
  printf ("mramdisk_rcu=liburcu-memb\n");
  printf ("mramdisk_json=jansson\n");
  printf ("mramdisk_compiler=%s\n", __VERSION__);
}

/* A disk that never waits gains nothing from several threads for one
 * connection: they only compete for its socket (bench/ has the figures).  But a
 * filter above us may wait, and then requests must be able to overlap.
 */
bool
is_parallel (void)
{
  return config.parallel == PARALLEL_YES ||
    (config.parallel == PARALLEL_AUTO && (filtered || config.has_origins));
}

static int
mramdisk_thread_model (void)
{
  filtered = modules_any (MODULE_FILTER);
  return is_parallel ()
    ? NBDKIT_THREAD_MODEL_PARALLEL : NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
}

/* -------------------------------------------------------------- exports */

/* The name that the empty name stands for. */
static const char *
resolve (const char *name)
{
  return *name ? name : config.default_name;
}

/* For filters (export-name.h). */
NBDKIT_DLL_PUBLIC const char *
mblock_export_name_of_disk (const char *name)
{
  return resolve (name);
}

#define DESCRIPTION_STRING (2 * SIZE_STRING + UUID_STRING + 40)

static void
describe (const struct named_disk *d, char buf[DESCRIPTION_STRING])
{
  char size[SIZE_STRING], mapped[SIZE_STRING], uuid[UUID_STRING];

  snprintf (buf, DESCRIPTION_STRING, "%s RAM disk, %s mapped%s, UUID %s",
            size_format (disk_size (d->disk), size),
            size_format (disk_mapped (d->disk), mapped),
            disk_is_readonly (d->disk) ? ", read-only" : "",
            uuid_format (&d->uuid, uuid));
}

struct listing {
  struct nbdkit_exports *exports;
  size_t n;
  bool has_default;             /* the default disk exists */
};

static int
list_one (void *opaque, const struct named_disk *d)
{
  struct listing *l = opaque;
  char description[DESCRIPTION_STRING];

  if (l->n++ == MOST_EXPORTS_LISTED)
    return 1;
  if (strcmp (d->name, config.default_name) == 0)
    l->has_default = true;
  describe (d, description);
  return nbdkit_add_export (l->exports, d->name, description);
}

static int
mramdisk_list_exports (int readonly, int is_tls, struct nbdkit_exports *exports)
{
  struct listing l = { .exports = exports };
  int r = registry_each (registry, NULL, list_one, &l);

  (void) readonly;
  (void) is_tls;
  /* Clients open what is listed, so do not list a disk that cannot be created.
   */
  if (r == 0 && !l.has_default && config.o.auto_create &&
      l.n < config.o.max_disks && l.n < MOST_EXPORTS_LISTED)
    r = nbdkit_add_export (exports, config.default_name, NULL);
  return r == -1 ? -1 : 0;
}

static const char *
mramdisk_default_export (int readonly, int is_tls)
{
  (void) readonly;
  (void) is_tls;
  return config.default_name;
}

/* Open the disk of this name, for a connection that has been counted. */
static struct registry_client *
open_disk (const char *name, const struct registry_peer *peer)
{
  char shown[PRINTABLE_STRING], why[ERROR_STRING];
  struct registry_client *c;
  struct named_disk *d;
  const char *expected;

  expected = registry_check_name (name);
  if (expected) {
    nbdkit_error ("export name: expected %s", expected);
    return NULL;
  }
  d = peer->is_filter ? registry_open_for_filter (registry, name)
    : registry_open (registry, name);
  if (d == NULL) {
    printable_name (name, shown);
    if (errno == ENOENT && config.o.auto_create) {
      char template[PRINTABLE_STRING];

      nbdkit_error ("export \"%s\": there is no such disk, and template=%s "
                    "does not exist", shown,
                    printable (config.o.template_name, template));
    }
    else if (errno == ENOENT)
      nbdkit_error ("export \"%s\": there is no such disk, and "
                    "auto-create=no", shown);
    else if (errno == ENFILE)
      nbdkit_error ("export \"%s\": there are max-disks=%zu disks already",
                    shown, config.o.max_disks);
    else
      nbdkit_error ("export \"%s\": %s", shown, error_text (errno, why));
    return NULL;
  }
  if (!export_name_opens ((struct export_disk) {
        d->id, disk_cuts (d->disk) })) {
    nbdkit_error ("export \"%s\": the disk of that name was replaced: expected "
                  "the one that was open before", printable (name, shown));
    registry_leave (registry, d, peer->is_filter);
    errno = ESTALE;
    return NULL;
  }
  c = malloc (sizeof *c);
  if (c == NULL || registry_connect (registry, c, d, peer) == -1) {
    nbdkit_error ("export \"%s\": out of memory", printable_name (name, shown));
    free (c);
    registry_leave (registry, d, peer->is_filter);
    errno = ENOMEM;
    return NULL;
  }
  return c;
}

static void *
mramdisk_open (int readonly)
{
  const char *name = export_name_announced ();
  char shown[PRINTABLE_STRING];
  struct registry_client *c;
  struct registry_peer peer = PEER_NONE ("filter");
  client_socket socket = 0;
  uint64_t missed;

  (void) readonly;
  /* A filter's own context belongs to no client. */
  peer.is_filter = name != NULL;
  if (name == NULL) {
    name = nbdkit_export_name ();
    peer_look (&peer);
    socket = client_socket_own ();
  }
  if (name == NULL)
    return NULL;
  name = resolve (name);
  if (!buffers_connect (&buffers)) {
    if (log_limit_line (&log_limit, &missed)) {
      log_missed (missed);
      nbdkit_error ("export \"%s\": there are max-connections=%zu connections "
                    "already", printable (name, shown),
                    config.max_connections);
    }
    errno = EMFILE;
    return NULL;
  }
  c = open_disk (name, &peer);
  if (c == NULL)
    buffers_disconnect (&buffers, 0);
  else
    registry_client_socket (registry, c, socket);
  return c;
}

static void
mramdisk_close (void *handle)
{
  struct registry_client *c = handle;
  struct named_disk *d = c->d;
  char name[PRINTABLE_STRING];

  log_missed (log_limit_flush (&log_limit));
  /* Before the client has left: then anybody may close the disk (G7). */
  if (end_clients_began () || program_ends (&ending_of_nbdkit))
    registry_end (registry);
  registry_disconnect (registry, c);
  buffers_disconnect (&buffers, atomic_load_explicit (&c->excess,
                                                      memory_order_relaxed));
  free (c);
  if (registry_connections (registry, d) == 0 &&
      atomic_load_explicit (&d->disk->written, memory_order_relaxed))
    nbdkit_debug ("disk \"%s\" is kept without clients",
                  printable_name (d->name, name));
  registry_close (registry, d);
  mramdisk_free_given_up ();
}

static struct named_disk *
disk_of (void *handle)
{
  struct registry_client *c = handle;

  return c->d;
}

static const char *
mramdisk_export_description (void *handle)
{
  char description[DESCRIPTION_STRING];

  describe (disk_of (handle), description);
  return nbdkit_strdup_intern (description);
}

static int64_t
mramdisk_get_size (void *handle)
{
  struct named_disk *d = disk_of (handle);

  return disk_size (d->disk);
}

static int
mramdisk_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                     uint32_t *maximum)
{
  struct named_disk *d = disk_of (handle);
  uint32_t sector = d->disk->sector_size;

  *minimum = sector;
  *preferred = sector > PAGE_BYTES ? sector : PAGE_BYTES;
  *maximum = config.max_request;
  return 0;
}

static int
mramdisk_can_write (void *handle)
{
  struct named_disk *d = disk_of (handle);

  return !disk_is_readonly (d->disk);
}

/* True for all disks. */
static int
always (void *handle)
{
  (void) handle;
  return 1;
}

static int
mramdisk_is_rotational (void *handle)
{
  (void) handle;
  return 0;
}

static int
mramdisk_can_fua (void *handle)
{
  (void) handle;
  return NBDKIT_FUA_NATIVE;
}

static int
mramdisk_can_cache (void *handle)
{
  (void) handle;
  return NBDKIT_CACHE_NATIVE;
}

static struct nbdkit_plugin plugin = {
  .name               = "mramdisk",
  .longname           = "mblock RAM disks",
  .version            = PACKAGE_VERSION,
  .description        = "named, sparse disks in memory, shared by name",
  .errno_is_preserved = 1,
  .magic_config_key   = "size",
  .config_help        = config_help,
  .config             = config_set,
  .config_complete    = mramdisk_config_complete,
  .dump_plugin        = mramdisk_dump_plugin,
  .thread_model       = mramdisk_thread_model,
  .get_ready          = mramdisk_get_ready,
  .after_fork         = mramdisk_after_fork,
  .cleanup            = mramdisk_cleanup,
  .unload             = config_free,
  .list_exports       = mramdisk_list_exports,
  .default_export     = mramdisk_default_export,
  .preconnect         = end_clients_preconnect,
  .open               = mramdisk_open,
  .close              = mramdisk_close,
  .export_description = mramdisk_export_description,
  .get_size           = mramdisk_get_size,
  .block_size         = mramdisk_block_size,
  .can_write          = mramdisk_can_write,
  .can_flush          = always,
  .can_trim           = always,
  .can_zero           = always,
  .can_fast_zero      = always,
  .can_extents        = always,
  .can_multi_conn     = always,
  .is_rotational      = mramdisk_is_rotational,
  .can_fua            = mramdisk_can_fua,
  .can_cache          = mramdisk_can_cache,
  .pread              = mramdisk_pread,
  .pwrite             = mramdisk_pwrite,
  .zero               = mramdisk_zero,
  .trim               = mramdisk_trim,
  .flush              = mramdisk_flush,
  .cache              = mramdisk_cache,
  .extents            = mramdisk_extents,
};

/* The maximum that mramdisk_thread_model may choose. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* nbdkit's header defines it without a declaration. */
extern struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
