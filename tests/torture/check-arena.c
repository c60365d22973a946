/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovers the arena of a server that does not run, checks the engine's
 * invariants on it, and prints what it has, as JSON.  The file is left as it
 * was: as after a crash, or clean.  Usage: check-arena FILE MAX-MEMORY
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/rcu.h"
#include "ramdisk/registry.h"
#include "tests/abort.h"
#include "tests/unit/engine-check.h"

/* The origins' servers are of no interest. */
static int
nobody (void *opaque, const char *uri, const struct origin_wanted *wanted,
        struct origin_source *source)
{
  (void) opaque;
  (void) uri;
  (void) wanted;
  (void) source;
  errno = ENOENT;
  return -1;
}

int
main (int argc, char *argv[])
{
  static const struct origin_connector connector = { .connect = nobody };
  const struct registry_options options = {
    .max_size = DISK_MAX_SIZE, .sector_size = 1, .max_disks = SIZE_MAX,
  };
  struct arena_open_options file = { .wait = 60 };
  struct recovery recovery;
  struct arena_stats stats;
  struct registry *registry;
  struct origins *origins;
  struct arena *arena;
  char *error = NULL;

  if (argc != 3) {
    fputs ("Usage: check-arena FILE MAX-MEMORY\n", stderr);
    return 2;
  }
  file.path = argv[1];
  file.limit = strtoull (argv[2], NULL, 10);
  if (rcu_prepare () == -1)
    abort_with ("rcu");
  arena = arena_open (&file, &error);
  if (arena == NULL)
    abort_with ("%s: %s", file.path, error);
  registry = registry_new (arena, &options);
  origins = origins_new (arena, 0);
  if (registry == NULL || origins == NULL)
    abort_with ("no memory");
  origins_set_connector (origins, &connector);
  if (registry_recover (registry, origins, false, NULL, NULL, &recovery,
                        &error) == -1)
    abort_with ("%s: %s", file.path, error);
  engine_check_all (arena, registry);
  arena_stats (arena, &stats);
  printf ("{\"disks\": %zu, \"used\": %" PRIu64 "}\n",
          registry_count (registry), stats.used);
  registry_free (registry);
  origins_stop (origins);
  origins_free (origins);
  if (recovery.from == RECOVERED_CLEAN && arena_close_clean (arena) == -1)
    abort_with ("%s: %s", file.path, strerror (errno));
  arena_destroy (arena);
  return 0;
}
