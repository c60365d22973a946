/* SPDX-License-Identifier: BSD-3-Clause */
/* mramdisk: named disks in memory.  The glue between nbdkit and the engine;
 * nbdkit-mramdisk-plugin(1) says what it promises.
 */

#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "arena.h"
#include "cleanup.h"
#include "control.h"
#include "disk.h"
#include "events.h"
#include "export-name.h"
#include "figures.h"
#include "jsonrpc.h"
#include "loglimit.h"
#include "methods.h"
#include "parameters.h"
#include "printable.h"
#include "registry.h"
#include "size.h"

/* nbdkit refuses to make a longer list (its MAX_EXPORTS). */
#define MOST_EXPORTS_LISTED 10000

/* Nothing of this is freed at the end: nbdkit's detached threads may still run
 * their destructors, and the process is about to exit.
 */
static struct arena *arena;
static struct registry *registry;
static struct service service;

/* The value of max-memory=, for messages. */
static char max_memory[SIZE_STRING];

/* Requests that fail are logged, but no client may flood the log. */
static struct log_limit log_limit;

/* ------------------------------------------------------------- start-up */

static int
mramdisk_config (const char *key, const char *value)
{
  return config_set (key, value);
}

static int
mramdisk_config_complete (void)
{
  return config_finish ();
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
  printf ("mramdisk_max_name=%d\n", REGISTRY_MAX_NAME);
  printf ("mramdisk_min_sector_size=%d\n", DISK_MIN_SECTOR);
  printf ("mramdisk_max_sector_size=%d\n", DISK_MAX_SECTOR);
  printf ("mramdisk_rcu=liburcu-memb\n");
  printf ("mramdisk_json=jansson\n");
  printf ("mramdisk_compiler=%s\n", __VERSION__);
}

/* Is this loaded object an nbdkit filter? */
static int
is_filter (struct dl_phdr_info *info, size_t size, void *opaque)
{
  void *dl;
  int r;

  (void) size;
  (void) opaque;
  if (info->dlpi_name == NULL || *info->dlpi_name == '\0')
    return 0;                   /* nbdkit itself */
  dl = dlopen (info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (dl == NULL)
    return 0;
  r = dlsym (dl, "filter_init") != NULL;
  dlclose (dl);
  return r;
}

/* A disk that never waits gains nothing from several threads for one
 * connection: they only fight over its socket (bench/ has the figures).  But
 * a filter above us may wait, and then requests must be able to overlap.
 */
static int
mramdisk_thread_model (void)
{
  bool parallel = config.parallel == PARALLEL_YES ||
    (config.parallel == PARALLEL_AUTO && dl_iterate_phdr (is_filter, NULL));

  return parallel
    ? NBDKIT_THREAD_MODEL_PARALLEL : NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
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

/* For -v, and for the clients of the control socket. */
static void
report_change (void *opaque, const struct change_report *r)
{
  char name[PRINTABLE_STRING], size[SIZE_STRING];

  (void) opaque;
  printable (r->name, name);
  switch (r->change) {
  case CHANGE_CREATED:
  case CHANGE_CLONED:
  case CHANGE_REPLACED:
    nbdkit_debug ("disk \"%s\" is %s, of %s", name,
                  r->change == CHANGE_REPLACED ? "replaced" : "made",
                  size_format (disk_size (r->disk), size));
    break;
  case CHANGE_DESTROYED:
    nbdkit_debug ("disk \"%s\" is dropped", name);
    break;
  case CHANGE_RESIZED:
  case CHANGE_SET:
  case CHANGE_QUOTA:
    break;                      /* log_control has it, or failed */
  }
  if (service.control)
    events_report (&service, r);
}

/* Make the socket while errors can still be seen; nbdkit may go to the
 * background later.
 */
static int
control_open (void)
{
  const struct control_options options = {
    .path = config.control,
    .mode = config.control_mode,
    .methods = mramdisk_methods,
    .service = &service,
    .log = log_control,
    .tick = events_tick,
    .tick_ms = EVENTS_TICK_MS,
    .tick_kinds = events_tick_kinds,
    .opaque = &service,
  };
  CLEANUP_FREE char *error = NULL;

  service.arena = arena;
  service.registry = registry;
  service.default_name = config.default_name;
  service.control = control_listen (&options, &error);
  if (service.control == NULL) {
    nbdkit_error ("control=%s: %s", config.control,
                  error ? error : "out of memory");
    return -1;
  }
  return 0;
}

static int
mramdisk_get_ready (void)
{
  size_t i;

  if (config.max_memory_given)
    snprintf (max_memory, sizeof max_memory, "%s", config.max_memory_given);
  else
    size_format (config.max_memory, max_memory);
  arena = arena_create (config.max_memory);
  if (arena == NULL) {
    nbdkit_error ("max-memory=%s%s: cannot reserve that much address space: "
                  "%m; expected a smaller max-memory=, or a higher limit of "
                  "address space (ulimit -v)", max_memory,
                  config.max_memory_given ? "" : " (the default)");
    return -1;
  }
  /* nbdkit --swap is about to lock, and so touch, all the memory it has. */
  if (arena_hide (arena) == -1) {
    nbdkit_error ("cannot protect memory: %m");
    return -1;
  }
  registry = registry_new (arena, &config.o);
  if (registry == NULL) {
    nbdkit_error ("cannot make the list of disks: %m");
    return -1;
  }
  registry_listen (registry, report_change, NULL);
  for (i = 0; i < config.ndisks; i++) {
    struct config_disk *d = &config.disk[i];
    struct disk_options options = {
      .size = d->size, .sector_size = d->sector_size,
      .readonly = d->readonly, .quota = TREE_NO_QUOTA,
    };

    if (registry_create (registry, d->name, &options, IF_EXISTS_ERROR,
                         NULL) == -1) {
      nbdkit_error ("disk=%s: %m", d->shown);
      return -1;
    }
  }
  nbdkit_debug ("max-memory=%" PRIu64, config.max_memory);
  return config.control ? control_open () : 0;
}

static int
mramdisk_after_fork (void)
{
  if (arena_start (arena) == -1) {
    nbdkit_error ("cannot start to serve memory: %m");
    return -1;
  }
  methods_started (&service);
  if (service.control && control_start (service.control) == -1) {
    nbdkit_error ("control=%s: cannot start a thread: %m", config.control);
    return -1;
  }
  return 0;
}

/* Say how many failed requests were not logged. */
static void
log_missed (uint64_t n)
{
  if (n > 0)
    nbdkit_error ("and %" PRIu64 " more like it: at most %d failed requests "
                  "a second are logged", n, LOG_LIMIT_LINES);
}

static void
mramdisk_cleanup (void)
{
  log_missed (log_limit_end (&log_limit));
  control_stop (service.control);
  if (arena)
    arena_stop (arena);
}

static void
mramdisk_unload (void)
{
  config_free ();
}

/* -------------------------------------------------------------- exports */

/* What the empty name means. */
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

#define DESCRIPTION_STRING (2 * SIZE_STRING + 32)

static void
describe (const struct named_disk *d, char buf[DESCRIPTION_STRING])
{
  char size[SIZE_STRING], mapped[SIZE_STRING];

  snprintf (buf, DESCRIPTION_STRING, "%s RAM disk, %s mapped%s",
            size_format (disk_size (d->disk), size),
            size_format (disk_mapped (d->disk), mapped),
            disk_is_readonly (d->disk) ? ", read-only" : "");
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
  /* Clients open what is listed, so list no disk that cannot be made. */
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

static void *
mramdisk_open (int readonly)
{
  const char *name = export_name_announced (), *expected;
  char shown[PRINTABLE_STRING];
  struct connection *c;
  struct named_disk *d;

  (void) readonly;
  if (name == NULL)
    name = nbdkit_export_name ();
  if (name == NULL)
    return NULL;
  name = resolve (name);
  expected = registry_check_name (name);
  if (expected) {
    nbdkit_error ("export name: expected %s", expected);
    return NULL;
  }
  d = registry_open (registry, name);
  if (d == NULL) {
    printable (name, shown);
    if (errno == ENOENT)
      nbdkit_error ("export \"%s\": there is no such disk, and "
                    "auto-create=no", shown);
    else if (errno == ENFILE)
      nbdkit_error ("export \"%s\": there are max-disks=%zu disks already",
                    shown, config.o.max_disks);
    else
      nbdkit_error ("export \"%s\": %m", shown);
    return NULL;
  }
  c = malloc (sizeof *c);
  if (c == NULL || registry_connect (registry, c, d) == -1) {
    nbdkit_error ("export \"%s\": out of memory", printable (name, shown));
    free (c);
    registry_close (registry, d);
    errno = ENOMEM;
    return NULL;
  }
  return c;
}

static void
mramdisk_close (void *handle)
{
  struct connection *c = handle;
  struct named_disk *d = c->d;
  char name[PRINTABLE_STRING];

  log_missed (log_limit_flush (&log_limit));
  registry_disconnect (registry, c);
  free (c);
  if (registry_connections (registry, d) == 0 &&
      atomic_load_explicit (&d->disk->written, memory_order_relaxed))
    nbdkit_debug ("disk \"%s\" is kept, with nobody connected",
                  printable (d->name, name));
  registry_close (registry, d);
}

static struct named_disk *
disk_of (void *handle)
{
  struct connection *c = handle;

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
  *maximum = UINT32_MAX;
  return 0;
}

static int
mramdisk_can_write (void *handle)
{
  struct named_disk *d = disk_of (handle);

  return !disk_is_readonly (d->disk);
}

/* The same for all disks: yes. */
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

/* ------------------------------------------------------------ data path */

static const char *const figure_names[] = {
  [FIGURE_READ] = "read", [FIGURE_WRITE] = "write", [FIGURE_ZERO] = "zero",
  [FIGURE_TRIM] = "trim", [FIGURE_EXTENTS] = "block status",
};

#define REASON_STRING 64

/* What to say of a request that failed with that errno. */
static const char *
reason (int err, bool inside, char buf[REASON_STRING])
{
  if (err == EDQUOT)
    return "the disk's quota is reached";
  if ((err == ENOSPC || err == EINVAL) && !inside)
    return "past the end of the disk";
  if (err == EINVAL)
    return "not a multiple of the sector size";
  if (err != ENOSPC)
    return strerror (err);
  snprintf (buf, REASON_STRING, "max-memory=%s is reached", max_memory);
  return buf;
}

/* Say why a request failed, and leave errno to nbdkit. */
static int
failed (struct figures_timer *timer, struct named_disk *d, enum figure what,
        uint32_t count, uint64_t offset)
{
  int err = errno;
  bool inside = offset + count <= disk_size (d->disk);
  char name[PRINTABLE_STRING], why[REASON_STRING];
  enum figure_error error = FIGURE_OTHER;
  uint64_t missed;

  if (err == EDQUOT) {
    error = FIGURE_QUOTA;
    registry_quota_reached (registry, d);
  }
  else if (err == ENOSPC && inside)
    error = FIGURE_NO_MEMORY;
  if (log_limit_line (&log_limit, &missed)) {
    log_missed (missed);
    nbdkit_error ("disk \"%s\": %s of %" PRIu32 " bytes at %" PRIu64 ": %s",
                  printable (d->name, name), figure_names[what], count, offset,
                  reason (err, inside, why));
  }
  figures_done (timer, what, count, error);
  errno = err == EDQUOT ? ENOSPC : err; /* NBD has no other */
  return -1;
}

/* Count a request that has ended. */
static int
done (struct figures_timer *timer, struct named_disk *d, enum figure what,
      uint32_t count, uint64_t offset, int r)
{
  if (r == -1)
    return failed (timer, d, what, count, offset);
  figures_done (timer, what, count, FIGURE_OK);
  return 0;
}

static int
mramdisk_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
                uint32_t flags)
{
  struct connection *c = handle;
  struct figures_timer timer;

  (void) flags;
  figures_start (c->figures, &timer);
  return done (&timer, c->d, FIGURE_READ, count, offset,
               disk_read (c->d->disk, buf, count, offset));
}

static int
mramdisk_pwrite (void *handle, const void *buf, uint32_t count,
                 uint64_t offset, uint32_t flags)
{
  struct connection *c = handle;
  struct figures_timer timer;
  int r;

  (void) flags;                 /* FUA: there is nothing more durable */
  figures_start (c->figures, &timer);
  if (config.detect_zeroes)
    r = disk_write_detect (c->d->disk, buf, count, offset);
  else
    r = disk_write (c->d->disk, buf, count, offset);
  return done (&timer, c->d, FIGURE_WRITE, count, offset, r);
}

static int
mramdisk_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct connection *c = handle;
  struct figures_timer timer;

  figures_start (c->figures, &timer);
  return done (&timer, c->d, FIGURE_ZERO, count, offset,
               disk_zero (c->d->disk, count, offset,
                          flags & NBDKIT_FLAG_MAY_TRIM));
}

static int
mramdisk_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct connection *c = handle;
  struct figures_timer timer;

  (void) flags;
  figures_start (c->figures, &timer);
  return done (&timer, c->d, FIGURE_TRIM, count, offset,
               disk_trim (c->d->disk, count, offset));
}

static int
mramdisk_flush (void *handle, uint32_t flags)
{
  (void) handle;
  (void) flags;
  return 0;
}

/* All is in memory. */
static int
mramdisk_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  (void) handle;
  (void) count;
  (void) offset;
  (void) flags;
  return 0;
}

struct extents_request {
  struct nbdkit_extents *extents;
  uint64_t end;                 /* where to cut extents */
  bool one;
};

static int
add_extent (void *opaque, uint64_t offset, uint64_t length,
            enum extent_type type)
{
  static const uint32_t types[] = {
    [EXTENT_DATA] = 0,
    [EXTENT_ZERO] = NBDKIT_EXTENT_ZERO,
    [EXTENT_HOLE] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
  };
  struct extents_request *req = opaque;

  if (length > req->end - offset)
    length = req->end - offset;
  if (nbdkit_add_extent (req->extents, offset, length, types[type]) == -1)
    return -1;
  return req->one;
}

static int
mramdisk_extents (void *handle, uint32_t count, uint64_t offset,
                  uint32_t flags, struct nbdkit_extents *extents)
{
  struct connection *c = handle;
  struct extents_request req = {
    extents, UINT64_MAX, flags & NBDKIT_FLAG_REQ_ONE
  };
  struct figures_timer timer;

  /* Extents go on past the range as far as they are known, so that a hole of
   * 2^60 bytes is one.  But an extent over 4 GiB in the answer to a request for
   * just 2^32-1 bytes fails an assertion of nbdkit 1.32 and ends the server.
   */
  if (count == UINT32_MAX)
    req.end = offset + count;

  figures_start (c->figures, &timer);
  return done (&timer, c->d, FIGURE_EXTENTS, count, offset,
               disk_extents (c->d->disk, count, offset, add_extent, &req));
}

static struct nbdkit_plugin plugin = {
  .name               = "mramdisk",
  .longname           = "mblock RAM disks",
  .version            = PACKAGE_VERSION,
  .description        = "named, sparse disks in memory, shared by name",
  .errno_is_preserved = 1,
  .magic_config_key   = "size",
  .config_help        = config_help,
  .config             = mramdisk_config,
  .config_complete    = mramdisk_config_complete,
  .dump_plugin        = mramdisk_dump_plugin,
  .thread_model       = mramdisk_thread_model,
  .get_ready          = mramdisk_get_ready,
  .after_fork         = mramdisk_after_fork,
  .cleanup            = mramdisk_cleanup,
  .unload             = mramdisk_unload,
  .list_exports       = mramdisk_list_exports,
  .default_export     = mramdisk_default_export,
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

/* Parallel is the most that mramdisk_thread_model may choose. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* nbdkit's header defines it without having declared it. */
extern struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
