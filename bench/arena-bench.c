/* SPDX-License-Identifier: BSD-3-Clause */
/* The cost of arena=FILE: the engine with its arena in a file, compared with
 * anonymous memory; and the time of a recovery.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "program.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/rcu.h"
#include "ramdisk/registry.h"
#include "report.h"

#define BLOCK (256 * 1024)
#define CLONES 10000

static unsigned rounds = 5;
static double seconds = 1, dense = 4;
static bool quick;
static const char *folder = "/dev/shm";
static char *path;

static uint64_t disk_bytes = UINT64_C (1) << 30;

/* ------------------------------------------------------------ the arenas */

static struct registry *
open_arena (bool file, uint64_t limit, struct arena **a,
            struct recovery *recovery)
{
  const struct arena_open_options o = { .path = path, .limit = limit };
  const struct registry_options ro = {
    .default_size = disk_bytes, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = CLONES + 10, .auto_create = true,
  };
  struct registry *r;
  char *error;

  *a = file ? arena_open (&o, &error) : arena_create (limit);
  if (*a == NULL) {
    fprintf (stderr, "%s: %s\n", path, file ? error : strerror (errno));
    exit (EXIT_FAILURE);
  }
  r = registry_new (*a, &ro);
  if (r == NULL || rcu_prepare () == -1)
    fail ("registry");
  if (file &&
      registry_recover (r, NULL, false, NULL, NULL, recovery, &error) == -1) {
    fprintf (stderr, "%s: %s\n", path, error);
    exit (EXIT_FAILURE);
  }
  if (arena_start (*a) == -1)
    fail ("arena_start");
  return r;
}

static struct disk *
open_disk (struct registry *r, const char *name)
{
  struct named_disk *d = registry_open (r, name);

  if (d == NULL)
    fail ("registry_open");
  return d->disk;
}

static void
fill (struct disk *d, uint64_t bytes)
{
  static char buf[BLOCK];
  uint64_t i;

  memset (buf, 1, sizeof buf);
  for (i = 0; i < bytes; i += BLOCK)
    if (disk_write (d, buf, BLOCK, i) == -1)
      fail ("disk_write");
}

/* ------------------------------------------------------------- throughput */

enum { READ, OVERWRITE, READ_BLOCK, WRITE_BLOCK, FILL, FILL_BLOCK, MEASURES };
static const char *const measures[MEASURES] = {
  "random 4 KiB reads", "random 4 KiB overwrites", "sequential 256 KiB reads",
  "sequential 256 KiB overwrites", "4 KiB fills, in random order",
  "256 KiB fills, in order",
};

static uint64_t random_state = 1;

static uint64_t
random_page (void)
{
  random_state = random_state * UINT64_C (6364136223846793005) +
    UINT64_C (1442695040888963407);
  return (random_state >> 33) % (disk_bytes / PAGE_BYTES) * PAGE_BYTES;
}

/* Requests a second. */
static double
run (struct disk *d, int what)
{
  static char buf[BLOCK];
  bool block = what == READ_BLOCK || what == WRITE_BLOCK;
  double begin = now (), time;
  uint64_t n = 0, at = 0;
  int r = 0;

  do {
    unsigned i;

    for (i = 0; i < 64; i++) {
      uint64_t offset = block ? at : random_page ();

      at = (at + BLOCK) % disk_bytes;
      r |= what == READ || what == READ_BLOCK
        ? disk_read (d, buf, block ? BLOCK : PAGE_BYTES, offset)
        : disk_write (d, buf, block ? BLOCK : PAGE_BYTES, offset);
    }
    n += i;
    time = now () - begin;
  } while (time < seconds);
  if (r)
    fail ("request");
  return n / time;
}

/* Fill a disk, each page once, page by page or in blocks.  Requests a second.
 */
static double
run_fill (struct disk *d, bool block)
{
  const uint64_t size = block ? BLOCK : PAGE_BYTES, n = disk_bytes / size;
  static char buf[BLOCK];
  double begin = now ();
  uint64_t i;

  memset (buf, 2, sizeof buf);
  for (i = 0; i < n; i++)
    if (disk_write (d, buf, size, (block ? i : i * 40503 % n) * size) == -1)
      fail ("disk_write");
  return n / (now () - begin);
}

static int
measure (void *arg, double *values)
{
  struct recovery recovery;
  struct registry *r;
  struct arena *a;
  struct disk *d;
  int i;

  r = open_arena (*(bool *) arg, 4 * disk_bytes, &a, &recovery);
  d = open_disk (r, "a");
  values[FILL_BLOCK] = run_fill (d, true);
  for (i = READ; i < FILL; i++)
    values[i] = run (d, i);
  registry_destroy (r, "a");
  if (*(bool *) arg)
    unlink (path);
  values[FILL] = run_fill (open_disk (r, "b"), false);
  return 0;
}

/* --------------------------------------------------------------- recovery */

static int
make_dense (void *arg, double *values)
{
  struct recovery recovery;
  struct registry *r;
  struct arena *a;

  (void) arg;
  values[0] = 0;
  disk_bytes = dense * (1 << 30);
  r = open_arena (true, 2 * disk_bytes, &a, &recovery);
  fill (open_disk (r, "dense"), disk_bytes);
  return 0;
}

/* A fully mapped golden image, and clones that have each changed a page. */
static int
make_clones (void *arg, double *values)
{
  const struct disk_options options = { .quota = TREE_NO_QUOTA };
  struct recovery recovery;
  struct registry *r;
  struct arena *a;
  unsigned i, n = quick ? 100 : CLONES;
  char name[32];

  (void) arg;
  values[0] = 0;
  r = open_arena (true, 8 * disk_bytes, &a, &recovery);
  fill (open_disk (r, "golden"), disk_bytes);
  for (i = 0; i < n; i++) {
    snprintf (name, sizeof name, "clone-%u", i);
    if (registry_clone (r, "golden", name, &options, IF_EXISTS_ERROR,
                        NULL) == -1 ||
        disk_write (open_disk (r, name), name, 32, random_page ()) == -1)
      fail ("clone");
  }
  return 0;
}

/* Seconds from opening the file to the last disk. */
static int
recover (void *arg, double *values)
{
  struct recovery recovery;
  struct arena *a;
  double begin = now (), cpu = (double) clock () / CLOCKS_PER_SEC;

  (void) arg;
  open_arena (true, UINT64_C (32) << 30, &a, &recovery);
  values[0] = now () - begin;
  values[1] = recovery.disks;
  values[2] = recovery.used;
  values[3] = (double) clock () / CLOCKS_PER_SEC - cpu;
  return 0;
}

static void
measure_recovery (const char *what, int (*make) (void *arg, double *values),
                  double target)
{
  double value[4], times[100], cpu[100];
  unsigned i;

  in_child (make, NULL, value, 1);
  for (i = 0; i < rounds; i++) {
    in_child (recover, NULL, value, 4);
    times[i] = value[0] * 1e3;
    cpu[i] = value[3] * 1e3;
  }
  report_row (text ("%s", what), text ("%.0f disks", value[1]),
              text ("%.2f GiB", value[2] / (1 << 30)), times, rounds, " ms",
              AT_MOST, target);
  report_row ("  processor time of it", "", "", cpu, rounds, " ms", INFO, 0);
  unlink (path);
}

/* ------------------------------------------------------------------- main */

static const struct program_option options[] = {
  ROUNDS_OPTION (&rounds, 100),
  SECONDS_OPTION (&seconds),
  { "dense", "GIB", "size of the disk that is recovered (default 4)",
    OPTION_NUMBER, &dense, 0.001, 1024 },
  { "folder", "FOLDER", "where the file is to be (default /dev/shm)",
    OPTION_TEXT, &folder, 0, 0 },
  QUICK_OPTION (&quick),
  { 0 }
};
static const struct program program = {
  .name = "arena-bench",
  .about = "Measure what an arena in a file costs, and its recovery.",
  .options = options,
  .report = "arena",
  .quick = &quick,
};

int
main (int argc, char *argv[])
{
  static double value[2][MEASURES][100];
  double ratio[100], v[MEASURES];
  bool file;
  unsigned i, r;

  program_options (&program, argc, argv);
  if (quick) {
    rounds = 1;
    seconds = 0.01;
    disk_bytes = 8 << 20;
    dense = 1.0 / 64;
  }
  if (asprintf (&path, "%s/mblock-arena-bench.%d", folder,
                (int) getpid ()) == -1)
    fail ("asprintf");
  say ("An arena in a file, and the one in anonymous memory\n\n");
  report_machine (argc, argv);
  say ("rounds     %u of %.2g s, alternating; medians\nfolder     %s\n", rounds,
       seconds, folder);
  warm_machine (2 * disk_bytes);
  for (r = 0; r < rounds; r++)
    for (file = false; ; file = true) {
      in_child (measure, &file, v, MEASURES);
      unlink (path);
      for (i = 0; i < MEASURES; i++)
        value[file][i][r] = v[i];
      if (file)
        break;
    }
  report_head (text ("A disk of %s: requests a second, one thread",
                     size_text (disk_bytes)), "in a file", "anonymous");
  for (i = 0; i < MEASURES; i++) {
    divide (ratio, value[1][i], value[0][i], rounds);
    report_row (measures[i], text ("%.0f", median (value[1][i], rounds)),
                text ("%.0f", median (value[0][i], rounds)), ratio, rounds, "x",
                i < FILL ? AT_LEAST : INFO, 0.95);
  }
  report_head ("Recovery, from opening the file to serving", "disks", "in use");
  measure_recovery (text ("a disk of %.3g GiB, all mapped", dense), make_dense,
                    100);
  measure_recovery ("10,000 clones of a full disk, a page changed in each",
                    make_clones, 200);
  report_end ();
  return EXIT_SUCCESS;
}
