/* SPDX-License-Identifier: BSD-3-Clause */
/* mramdisk: the start and the end of the server. */

#include <config.h>

#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "base/size.h"
#include "buffers.h"
#include "events.h"
#include "job/jobs.h"
#include "loglimit.h"
#include "methods.h"
#include "open-origin.h"
#include "parameters.h"
#include "plugin-parts.h"
#include "plugins/common/client-sockets.h"
#include "plugins/common/control-socket.h"
#include "plugins/common/end-clients.h"
#include "plugins/common/export-name.h"
#include "plugins/common/log.h"
#include "plugins/common/nbdkit-ending.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"
#include "ramdisk/registry.h"
#include "remote.h"
#include "rpc/server.h"
#include "save-jobs.h"
#include "save/kept.h"
#include "transfer/unfinished.h"

struct arena *arena;
struct registry *registry;
struct service service;
char max_memory[SIZE_STRING];
struct buffers buffers;

/* The number of nbdkit's threads for a connection, unless its option -t, which
 * plugins cannot see, says otherwise.
 */
#define PARALLEL_THREADS 16

/* How long a request may take once nbdkit ends, in seconds, if it is answered
 * (end-clients.h).  Ours take no time, so only a client that does not read its
 * replies is cut off; a filter above us may wait for others.
 */
#define END_SECONDS 5
#define END_FILTERED_SECONDS 15

/* Log lines about servers that we are a client of. */
static void
log_remote (void *opaque, bool error, const char *message)
{
  (void) opaque;
  if (error)
    log_error_line (message);
  else
    log_debug_line (message);
}

/* A change of the registry, for -v and for clients of the control socket. */
static void
report_change (void *opaque, const struct change_report *r)
{
  char name[PRINTABLE_STRING], size[SIZE_STRING];

  (void) opaque;
  if (r->gone)
    saves_forget_disk (service.saves, r->gone);
  if (r->gone)
    unfinished_forget (service.unfinished, r->gone);
  printable_name (r->name, name);
  switch (r->change) {
  case CHANGE_CREATED:
  case CHANGE_CLONED:
  case CHANGE_REPLACED:
    nbdkit_debug ("disk \"%s\" was %s, size %s", name,
                  r->change == CHANGE_REPLACED ? "replaced" : "created",
                  size_format (disk_size (r->disk), size));
    break;
  case CHANGE_DESTROYED:
    nbdkit_debug ("disk \"%s\" was dropped", name);
    break;
  case CHANGE_RESIZED:
  case CHANGE_SET:
  case CHANGE_RENAMED:
  case CHANGE_QUOTA:
  case CHANGE_QUOTA_LOW:
    break;                      /* the control socket's log has it, or failed */
  }
  if (service.control)
    events_report (&service, r);
}

void
mramdisk_free_given_up (void)
{
  saves_reap (service.saves);
}

static void
control_changed (void *opaque)
{
  (void) opaque;
  mramdisk_free_given_up ();
}

static int
control_open (void)
{
  struct control_options options = {
    .path = config.control,
    .mode = config.control_mode,
    .has_group = config.has_control_group,
    .group = config.control_group,
    .methods = mramdisk_methods (),
    .service = &service,
    .tick = events_tick,
    .tick_ms = EVENTS_TICK_MS,
    .tick_kinds = events_tick_kinds,
    .changed = control_changed,
    .opaque = &service,
  };

  service.arena = arena;
  service.arena_path = config.arena;
  service.registry = registry;
  service.default_name = config.default_name;
  service.disconnect = client_socket_disconnect;
  service.jobs = jobs_new ();
  if (service.jobs == NULL) {
    nbdkit_error ("cannot create the table of jobs: %m");
    return -1;
  }
  service.control = control_socket_listen ("control", &options);
  return service.control ? 0 : -1;
}

/* Create the arena: in a file that outlasts us, or in anonymous memory. */
static int
make_arena (void)
{
  const struct arena_open_options options = {
    .path = config.arena, .limit = config.max_memory,
    .wait = config.arena_wait, .discard = config.arena_discard,
    .salvage = config.arena_salvage,
  };
  CLEANUP_FREE char *error = NULL;
  char shown[PRINTABLE_STRING];

  if (config.arena) {
    arena = arena_open (&options, &error);
    if (arena == NULL)
      nbdkit_error ("arena=%s: %s", printable (config.arena, shown),
                    error ? error : "out of memory");
  }
  else {
    arena = arena_create (config.max_memory);
    if (arena == NULL)
      nbdkit_error ("max-memory=%s%s: cannot reserve this much address space: "
                    "%m; expected a smaller max-memory= or a higher limit on "
                    "address space (ulimit -v)", max_memory,
                    config.max_memory_given ? "" : " (the default)");
  }
  return arena ? 0 : -1;
}

static void
warn_of_damage (void *opaque, const char *line)
{
  char shown[PRINTABLE_STRING];

  (void) opaque;
  nbdkit_error ("arena=%s: %s", printable (config.arena, shown), line);
}

/* Recover the content of the file. */
static int
recover (void)
{
  struct recovery *r = &service.recovery;
  CLEANUP_FREE char *error = NULL;
  char shown[PRINTABLE_STRING];

  printable (config.arena, shown);
  if (registry_recover (registry, service.origins, config.arena_salvage,
                        warn_of_damage, NULL, r, &error) == -1) {
    nbdkit_error ("arena=%s: %s", shown, error ? error : "out of memory");
    return -1;
  }
  nbdkit_debug ("arena=%s: %s, %" PRIu64 " disks recovered in %" PRIu64 " us",
                shown, r->from == RECOVERED_NEW ? "new"
                : r->from == RECOVERED_CLEAN ? "closed cleanly"
                : "after a crash", r->disks, r->microseconds);
  return 0;
}

/* Where a disk comes from that no disk= has created, for messages. */
static const char *
source_of_disks (void)
{
  if (config.load == NULL)
    return "arena=";
  return config.arena ? "arena= or load=" : "load=";
}

static void
check_existing_origin (const struct config_disk *d, const struct disk *disk)
{
  const char *has = disk->origin ? origin_uri (disk->origin) : NULL;
  char given[PRINTABLE_STRING], shown[PRINTABLE_STRING];

  if (d->origin && (has == NULL || strcmp (has, d->origin) != 0))
    nbdkit_error ("disk=%s,origin=%s: the disk in %s has %s%s, and keeps it",
                  d->shown, printable (d->origin, given), source_of_disks (),
                  has ? "origin=" : "no origin",
                  has ? printable (has, shown) : "");
}

/* A disk= names a disk that arena= or load= has brought.  Its size and its
 * read-only flag may have been changed since it was created, and a restart with
 * the same command line must find it unchanged.  So the file takes precedence,
 * and the log says so.
 */
static int
check_existing (const struct config_disk *d, const struct disk *disk)
{
  char size[SIZE_STRING];

  if (d->has_sector_size && disk->sector_size != d->sector_size) {
    nbdkit_error ("disk=%s,sector-size=%" PRIu32 ": expected no sector-size=, "
                  "or %" PRIu32 ", which the disk of that name in %s has",
                  d->shown, d->sector_size, disk->sector_size,
                  source_of_disks ());
    return -1;
  }
  if (d->size_given && disk_size (disk) != d->size)
    nbdkit_error ("disk=%s,size=%s: the disk in %s has size=%s, and keeps it",
                  d->shown, d->size_given, source_of_disks (),
                  size_format (disk_size (disk), size));
  if (d->has_readonly && disk_is_readonly (disk) != d->readonly)
    nbdkit_error ("disk=%s,readonly=%s: the disk in %s has readonly=%s, and "
                  "keeps it", d->shown, d->readonly ? "yes" : "no",
                  source_of_disks (), d->readonly ? "no" : "yes");
  check_existing_origin (d, disk);
  return 0;
}

/* Connect to the origin of a disk=, and take its size if it has none. */
static int
find_origin (const struct config_disk *d, struct disk_options *options)
{
  const struct origin_request request = {
    d->origin, d->prefetch, d->prefetch_rate
  };
  char why[REMOTE_WHY];

  options->origin = open_origin (&service, &request, why);
  if (options->origin == NULL) {
    nbdkit_error ("disk=%s,origin=%s", d->shown, why);
    return -1;
  }
  if (d->size_given == NULL)
    options->size = origin_size (options->origin);
  if (options->size > config.o.max_size ||
      options->size % options->sector_size) {
    nbdkit_error ("disk=%s,origin=: expected an export of at most max-size=%"
                  PRIu64 " and a multiple of sector-size=%" PRIu32 ", or "
                  "size=: it has %" PRIu64 " bytes", d->shown,
                  config.o.max_size, options->sector_size, options->size);
    origin_put (options->origin);
    return -1;
  }
  return 0;
}

/* Create the disk of a disk= parameter. */
static int
make_disk (const struct config_disk *d)
{
  struct disk_options options = {
    .size = d->size, .sector_size = d->sector_size,
    .readonly = d->readonly, .quota = TREE_NO_QUOTA,
  };
  struct named_disk *old = registry_hold (registry, d->name);
  char why[ERROR_STRING];
  int r;

  if (old) {
    r = check_existing (d, old->disk);
    registry_close (registry, old);
    if (r == 0)                 /* even if a client has created it */
      (void) registry_stay (registry, d->name);
    return r;
  }
  if (d->origin && find_origin (d, &options) == -1)
    return -1;
  r = registry_create (registry, d->name, &options, IF_EXISTS_ERROR, NULL);
  if (r == -1)
    nbdkit_error ("disk=%s: %s", d->shown, error_text (errno, why));
  origin_put (options.origin);
  return r;
}

/* Those of load=; a disk that arena= has stays as it is. */
static int
load_disks (void)
{
  char why[SAVED_WHY];

  service.arena = arena;
  service.arena_path = config.arena;
  service.registry = registry;
  if (load_now (&service, config.load, why) == 0)
    return 0;
  nbdkit_error ("load=%s", why);
  return -1;
}

/* Does a name that a parameter refers to lead to a disk? */
static int
check_name (const char *key, const char *name)
{
  char shown[PRINTABLE_STRING];

  if (registry_exists (registry, name))
    return 0;
  nbdkit_error ("%s=%s: there is no such disk in load=: expected one, a disk= "
                "of that name, or control=", key, printable (name, shown));
  return -1;
}

/* If only load= could bring what parameters refer to, it must have done so. */
static int
check_names (void)
{
  if (config.load == NULL || config.control || config.arena)
    return 0;
  if (config.o.template_name &&
      check_name ("template", config.o.template_name) == -1)
    return -1;
  if (config.o.auto_create)
    return 0;
  if (registry_count (registry) == 0) {
    nbdkit_error ("auto-create=no: there is no disk in load=: expected one, "
                  "disk= or control=, or there is nothing to connect to");
    return -1;
  }
  return *config.default_name ? check_name ("default", config.default_name) : 0;
}

/* Those of load= and disk=. */
static int
make_disks (void)
{
  size_t i;

  if (config.load && load_disks () == -1)
    return -1;
  for (i = 0; i < config.ndisks; i++)
    if (make_disk (&config.disk[i]) == -1)
      return -1;
  return check_names ();
}

int
mramdisk_get_ready (void)
{
  static struct remote_host remote_host = {
    .log = log_remote, .give_up = ending_or_client_gone,
  };
  unsigned threads;

  remote_host.ending = ending_of_nbdkit;
  service.remote_host = &remote_host;
  export_name_find_filters ();
  threads = is_parallel () ? PARALLEL_THREADS : 1;
  if (config_finish_memory (threads) == -1)
    return -1;
  buffers_init (&buffers, config.max_request, config.max_connections);
  /* Then a buffer is a mapping of its own, and is returned when its thread
   * ends.  By itself, glibc raises this to 32 MiB, and keeps what smaller ones
   * leave.
   */
  (void) mallopt (M_MMAP_THRESHOLD, 128 << 10);
  if (config.max_memory_given)
    snprintf (max_memory, sizeof max_memory, "%s", config.max_memory_given);
  else
    size_format (config.max_memory, max_memory);
  if (make_arena () == -1)
    return -1;
  config_warn_of_memory (threads);
  service.origins = origins_new (arena, config.origin_memory);
  service.saves = saves_new (arena);
  service.unfinished = unfinished_new ();
  registry = registry_new (arena, &config.o);
  if (service.origins == NULL || service.saves == NULL ||
      service.unfinished == NULL || registry == NULL) {
    nbdkit_error ("cannot create the list of disks: %m");
    return -1;
  }
  registry_listen (registry, report_change, NULL);
  open_origin_later (&service);
  if (config.arena && recover () == -1)
    return -1;
  if (make_disks () == -1) {
    if (config.arena)           /* until here it was clean */
      (void) arena_close_clean (arena);
    return -1;
  }
  /* nbdkit may still fail, for example because its port is taken, and then
   * calls nobody.  From arena_start on, the file is in use again; nothing is
   * stored before that.
   */
  if (config.arena && service.recovery.from != RECOVERED_CRASH)
    (void) arena_close_clean (arena);
  /* nbdkit --swap is about to lock, and thus touch, all its memory. */
  if (arena_hide (arena) == -1) {
    nbdkit_error ("cannot protect memory: %m");
    return -1;
  }
  nbdkit_debug ("max-memory=%" PRIu64, config.max_memory);
  nbdkit_debug ("max-connections=%zu, max-request=%" PRIu32,
                config.max_connections, config.max_request);
  return config.control ? control_open () : 0;
}

static int
start_threads (void)
{
  if (arena_start (arena) == -1) {
    nbdkit_error ("cannot start the reclaimer thread: %m");
    return -1;
  }
  open_origin_serves ();
  origins_start (service.origins);
  methods_started (&service);
  if (control_socket_start ("control", config.control, service.control) == -1)
    return -1;
  if (end_clients_start (end_clients_how (is_parallel ()), filtered
                         ? END_FILTERED_SECONDS : END_SECONDS) == -1)
    nbdkit_debug ("clients will not be disconnected at the end: %m");
  return 0;
}

/* nbdkit exits after an error, and calls nobody.  But the arena's file is in
 * use by then, and would be refused after a reboot.
 */
int
mramdisk_after_fork (void)
{
  if (arena_show (arena) == -1) {
    nbdkit_error ("cannot make memory accessible again: %m");
    return -1;
  }
  if (start_threads () == 0)
    return 0;
  mramdisk_cleanup ();
  return -1;
}

void
mramdisk_cleanup (void)
{
  char shown[PRINTABLE_STRING];

  end_clients_stop ();
  log_missed (log_limit_end (&log_limit));
  /* A method may wait for a job, which may need the disks until its end. */
  control_close (service.control);
  jobs_stop (service.jobs);
  control_stop (service.control);
  ending_stop ();
  if (arena == NULL)
    return;
  if (service.origins)
    origins_stop (service.origins);
  arena_stop (arena);
  if (config.arena) {
    printable (config.arena, shown);
    /* It may have another name now, and be needed. */
    if (arena_close_clean (arena) == -1)
      nbdkit_error ("arena=%s: cannot write it out: %m", shown);
    if (arena_is_removed (arena))
      nbdkit_error ("arena=%s: the file was removed or replaced while it was "
                    "in use; what was in it is gone", shown);
    else if (!arena_is_named (arena, config.arena))
      nbdkit_error ("arena=%s: the file was renamed while it was in use; the "
                    "disks are in it under its new name", shown);
  }
}
