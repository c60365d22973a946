/* SPDX-License-Identifier: BSD-3-Clause */
/* How the costs of the engine grow with the number of disks; the sizes of its
 * structures; and what these make of a million clones of 16 TiB.
 */

#include <config.h>

#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"
#include "program.h"
#include "ramdisk/arena-layout.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/node.h"
#include "ramdisk/rcu.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"
#include "report.h"

#define MOST_ROUNDS 20
#define LIST_PAGE 1000          /* the most that the control socket has */
#define LEAF (UINT64_C (4) << 20)
#define CALLS 1000u             /* clones and destroys that are timed */
#define OPENS 20000u

/* The numbers of disks. */
static const unsigned all_steps[] = { 100, 1000, 10000, 100000, 1000000 };
#define MOST_STEPS 5

static unsigned rounds = 3, most_disks = 100000;
static const char *folder = "/dev/shm";
static bool quick;

enum { DISKS, RECOVERY, SIZES, NPARTS };
static char *const part_names[] = { "disks", "recovery", "sizes", NULL };
static bool chosen[NPARTS] = { true, true, true };
static struct parts parts = { part_names, chosen };

static char *path;              /* of the arena's file */
static unsigned steps[MOST_STEPS], nsteps;

static double
cpu_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* --------------------------------------------------------------- a registry */

static const struct disk_options clone_options = { .quota = GIB };

static struct registry *
new_registry (struct arena *a)
{
  const struct registry_options o = {
    .default_size = 64 * MIB, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = SIZE_MAX, .auto_create = true,
  };
  struct registry *r = registry_new (a, &o);

  if (r == NULL || rcu_prepare () == -1)
    fail ("registry");
  return r;
}

static void
fill (struct registry *r, const char *name, uint64_t bytes)
{
  struct named_disk *d = registry_open (r, name);
  char *buf = malloc (BIG);
  uint64_t offset;

  if (d == NULL || buf == NULL)
    fail ("fill");
  memset (buf, 0x5a, BIG);
  for (offset = 0; offset < bytes; offset += BIG)
    if (disk_write (d->disk, buf, BIG, offset) == -1)
      fail ("disk_write");
  registry_close (r, d);
  free (buf);
}

/* Names that are made in no order: the odd factor permutes them. */
static const char *
name_of (char name[16], unsigned i)
{
  snprintf (name, 16, "vm-%08x", i * 2654435761u);
  return name;
}

static void
write_page (struct registry *r, const char *name, const char *byte,
            uint64_t offset)
{
  struct named_disk *d = registry_hold (r, name);

  if (d == NULL || disk_write (d->disk, byte, 1, offset) == -1)
    fail ("write");
  registry_close (r, d);
}

static void
make_clone (struct registry *r, unsigned i)
{
  char name[16];

  if (registry_clone (r, "golden", name_of (name, i), &clone_options,
                      IF_EXISTS_ERROR, NULL) == -1)
    fail ("registry_clone");
}

/* -------------------------------------------------------------- many disks */

/* What is allocated, in bytes: by malloc, and of the arena. */
static double
allocated (struct arena *a)
{
  struct mallinfo2 m = mallinfo2 ();
  struct arena_stats stats;

  arena_reclaim (a);
  arena_stats (a, &stats);
  return (double) m.uordblks + m.hblkhd + stats.used;
}

enum {
  CLONE, DESTROY, OPEN, LIST, STATS, QUOTAS, MEMORY, WRITTEN, MEASURES
};
static const struct {
  const char *curve, *unit;
  double most;                  /* with ten times as many disks */
} measures[MEASURES] = {
  [CLONE] = { "clone, median of calls", " us", 5 },
  [DESTROY] = { "destroy, median of calls", " us", 5 },
  [OPEN] = { "open and close, CPU time", " us", 5 },
  [LIST] = { "list, CPU time for each disk", " us", 3 },
  [STATS] = { "statistics, CPU time for each disk", " us", 3 },
  [QUOTAS] = { "quotas, CPU time for each disk", " us", 3 },
  [MEMORY] = { "memory of a clone", " B", 1.2 },
  [WRITTEN] = { "memory of one with a page written", " B", 1.2 },
};

/* Each clone has to wait for those who may be writing: a page is written before
 * it.
 */
static void
time_clones (struct registry *r, unsigned n, unsigned calls, double *values)
{
  double clone[CALLS], destroy[CALLS], begin;
  char name[16];
  unsigned i;

  for (i = 0; i < calls; i++) {
    write_page (r, "golden", "x", i * (uint64_t) PAGE_BYTES);
    begin = now ();
    make_clone (r, n + i);
    clone[i] = now () - begin;
  }
  for (i = 0; i < calls; i++) {
    name_of (name, n + i);
    begin = now ();
    if (registry_destroy (r, name) == -1)
      fail ("destroy");
    destroy[i] = now () - begin;
  }
  values[CLONE] = median (clone, calls) * 1e6;
  values[DESTROY] = median (destroy, calls) * 1e6;
}

static void
time_opens (struct registry *r, unsigned n, double *values)
{
  const struct registry_peer peer = { .address = "" };
  struct registry_client c;
  struct named_disk *d;
  uint64_t random = 1;
  char name[16];
  double begin = cpu_now ();
  unsigned i;

  for (i = 0; i < OPENS; i++) {
    d = registry_open (r, name_of (name, random_below (&random, n)));
    if (d == NULL || registry_connect (r, &c, d, &peer) == -1)
      fail ("open");
    registry_disconnect (r, &c);
    registry_close (r, d);
  }
  values[OPEN] = (cpu_now () - begin) / OPENS * 1e6;
}

/* All of the list, page by page, as a client of the control socket reads it. */
static double
time_of_walk (struct registry *r, bool stats)
{
  static struct named_disk *d[LIST_PAGE];
  struct stats_sum sum;
  char after[REGISTRY_MAX_NAME + 1] = "";
  double begin = cpu_now ();
  size_t n, i, all = 0;
  bool more;

  do {
    n = registry_hold_page (r, after, LIST_PAGE, d, &more, after);
    for (i = 0; i < n; i++)
      if (stats)
        registry_stats (r, d[i], &sum);
    for (i = 0; i < n; i++)
      registry_close (r, d[i]);
    all += n;
  } while (more);
  return (cpu_now () - begin) / all * 1e6;
}

static double
time_of_quotas (struct registry *r, unsigned n)
{
  double begin = cpu_now ();

  registry_check_quotas (r, 90, 80, false);
  return (cpu_now () - begin) / n * 1e6;
}

/* Grow to each number of disks, and measure there. */
static int
measure_disks (void *arg, double *values)
{
  const uint64_t golden = 64 * MIB;
  struct arena *a = arena_create (golden + 16 * GIB + 64 * MIB);
  struct registry *r = a ? new_registry (a) : NULL;
  unsigned i, n, first, step;
  double before;
  char name[16];

  (void) arg;
  if (r == NULL || arena_start (a) == -1)
    fail ("arena");
  fill (r, "golden", golden);
  time_clones (r, 0, CALLS, values);    /* to warm up */
  for (step = n = 0; step < nsteps; step++, values += MEASURES) {
    before = allocated (a);
    for (first = n; n < steps[step]; n++)
      make_clone (r, n);
    values[MEMORY] = (allocated (a) - before) / (n - first);
    time_clones (r, n, n < CALLS ? n : CALLS, values);
    values[LIST] = time_of_walk (r, false);
    values[QUOTAS] = time_of_quotas (r, n);
    values[STATS] = time_of_walk (r, true);
    time_opens (r, n, values);
    before = allocated (a);
    for (i = 0; i < CALLS && first + i < n; i++)
      write_page (r, name_of (name, first + i), "y", 0);
    values[WRITTEN] = values[MEMORY] + (allocated (a) - before) / i;
  }
  return 0;
}

static void
report_disks (void)
{
  static double v[MOST_ROUNDS][MOST_STEPS][MEASURES];
  double series[MOST_ROUNDS], growth[MOST_ROUNDS];
  unsigned m, s, i;

  for (i = 0; i < rounds; i++)
    in_child (measure_disks, NULL, v[i][0], MOST_STEPS * MEASURES);
  report_head ("Cost in the engine, by the number of disks", "", "");
  for (m = 0; m < MEASURES; m++) {
    for (s = 0; s < nsteps; s++) {
      for (i = 0; i < rounds; i++)
        series[i] = v[i][s][m];
      report_point (measures[m].curve, steps[s], series, rounds,
                    measures[m].unit);
    }
    for (i = 0; i < rounds; i++)
      growth[i] = v[i][nsteps - 1][m] / v[i][nsteps - 2][m];
    report_row (text ("  with %u disks, to %u", steps[nsteps - 1],
                      steps[nsteps - 2]),
                "", "", growth, rounds, "x", quick ? INFO : AT_MOST,
                measures[m].most);
  }
}

/* --------------------------------------------------------------- recovery */

static struct registry *
open_file (struct recovery *recovery)
{
  const struct arena_open_options o = { .path = path, .limit = 32 * GIB };
  struct registry *r;
  struct arena *a;
  char *error;

  a = arena_open (&o, &error);
  if (a == NULL) {
    fprintf (stderr, "%s: %s\n", path, error);
    exit (EXIT_FAILURE);
  }
  r = new_registry (a);
  if (registry_recover (r, NULL, false, NULL, NULL, recovery, &error) == -1) {
    fprintf (stderr, "%s: %s\n", path, error);
    exit (EXIT_FAILURE);
  }
  return r;
}

/* Clones of an image, each with a page changed.  value[0]: bytes in use. */
static int
make_file (void *arg, double *values)
{
  const unsigned n = *(unsigned *) arg;
  struct recovery recovery;
  struct registry *r = open_file (&recovery);
  char name[16];
  unsigned i;

  (void) values;
  fill (r, "golden", 64 * MIB);
  for (i = 0; i < n; i++) {
    make_clone (r, i);
    write_page (r, name_of (name, i), "y", i % 16 * LEAF);
  }
  return 0;
}

static int
recover_file (void *arg, double *values)
{
  struct recovery recovery;
  double begin = cpu_now ();

  (void) arg;
  open_file (&recovery);
  values[0] = (cpu_now () - begin) * 1e3;
  values[1] = recovery.disks;
  return 0;
}

static void
report_recovery (void)
{
  double each[MOST_STEPS][MOST_ROUNDS], series[MOST_ROUNDS];
  double growth[MOST_ROUNDS], value[2];
  unsigned s, i;

  report_head ("Recovery of clones with a page changed in each: CPU time", "",
               "");
  for (s = 0; s < nsteps; s++) {
    in_child (make_file, &steps[s], value, 1);
    for (i = 0; i < rounds; i++) {
      in_child (recover_file, NULL, value, 2);
      if (value[1] != steps[s] + 1) {
        fprintf (stderr, "recovered %.0f disks, expected %u\n", value[1],
                 steps[s] + 1);
        exit (EXIT_FAILURE);
      }
      series[i] = value[0];
      each[s][i] = value[0] / steps[s];
    }
    unlink (path);
    report_point ("recovery", steps[s], series, rounds, " ms");
  }
  divide (growth, each[nsteps - 1], each[nsteps - 2], rounds);
  report_row (text ("  for each of %u disks, to %u", steps[nsteps - 1],
                    steps[nsteps - 2]), "", "", growth, rounds, "x",
              quick ? INFO : AT_MOST, 2);
}

/* ------------------------------------------------------------------ sizes */

static void
say_size (const char *what, uint64_t bytes)
{
  say ("| %s | %" PRIu64 " |\n", what, bytes);
}

/* The nodes of one path from the root of a disk to a page. */
static unsigned
height (uint64_t size)
{
  unsigned h = 1;

  while (height_span (h) * PAGE_BYTES < size)
    h++;
  return h;
}

/* The nodes of a disk of that size, all of whose pages are mapped. */
static uint64_t
nodes (uint64_t size)
{
  uint64_t n = 0, below = size / PAGE_BYTES;
  unsigned h;

  for (h = height (size); h > 0; h--) {
    below = (below + NODE_SLOTS - 1) / NODE_SLOTS;
    n += below;
  }
  return n;
}

static uint64_t
rounded (double bytes)
{
  return bytes + 0.5;
}

/* docs/SCALE.md has these two tables; a test compares them. */
static void
report_sizes (void)
{
  const uint64_t pages = ARENA_MAX_LIMIT / PAGE_BYTES, clones = 1000000;
  const uint64_t tib16 = UINT64_C (16) << 40, image = 4 * GIB;
  const uint64_t disk = sizeof (struct entry) + sizeof (struct disk) +
    sizeof (struct lineage);

  say ("\n| structure | bytes |\n|---|---:|\n");
  say_size ("node, or page of data", PAGE_BYTES);
  say_size ("counts of a page: references and owner",
            sizeof *((struct arena *) 0)->refs +
            sizeof *((struct arena *) 0)->owner_generation);
  say_size ("chunk, for each 2 MiB", sizeof (struct chunk));
  say_size ("disk", sizeof (struct disk));
  say_size ("its entry in the registry", sizeof (struct entry));
  say_size ("its lineage", sizeof (struct lineage));
  say_size ("record in an arena's file", sizeof (struct layout_record));
  say_size ("statistics of a disk that was opened once",
            sizeof (struct stats_sum));
  say_size ("client", sizeof (struct registry_client));
  say_size ("its counters, for each thread", sizeof (struct stats_shard));

  say ("\n| calculated | MiB |\n|---|---:|\n");
  say_size ("an arena of 16 TiB: counts of its pages",
            rounded ((double) pages * 8 / MIB));
  say_size ("… its chunks",
            rounded ((double) pages / CHUNK_PAGES * sizeof (struct chunk) /
                     MIB));
  say_size ("… nodes of a disk that fills it",
            nodes (ARENA_MAX_LIMIT) * PAGE_BYTES / MIB);
  say_size ("1,000,000 clones, nothing written, without names",
            rounded ((double) clones * disk / MIB));
  say_size ("… their records, with arena=FILE",
            rounded ((double) (clones / LAYOUT_TABLE_RECORDS + 1) *
                     PAGE_BYTES / MIB));
  say_size ("… a page written in each, of an image of 4 GiB",
            rounded ((double) clones * (height (image) + 1) * PAGE_BYTES /
                     MIB));
  say_size ("… a page written in each, of an image of 16 TiB",
            rounded ((double) clones * (height (tib16) + 1) * PAGE_BYTES /
                     MIB));
  say_size ("… and each opened once",
            rounded ((double) clones * sizeof (struct stats_sum) / MIB));
}

/* ------------------------------------------------------------------- main */

static const struct program_option options[] = {
  ROUNDS_OPTION (&rounds, MOST_ROUNDS),
  { "disks", "N", "the most disks: 10,000 … 1,000,000 (default 100000)",
    OPTION_COUNT, &most_disks, 10000, 1000000 },
  { "folder", "FOLDER", "where the arena's file is to be (default /dev/shm)",
    OPTION_TEXT, &folder, 0, 0 },
  ONLY_OPTION (&parts),
  QUICK_OPTION (&quick),
  { 0 }
};
static const struct program program = {
  .name = "scale-bench",
  .about = "Measure how the engine's costs grow with the number of disks.",
  .options = options,
  .report = "scale",
  .quick = &quick,
  .notes = "Needs 4 GiB of memory for 100,000 disks.",
};

int
main (int argc, char *argv[])
{
  program_options (&program, argc, argv);
  if (quick) {
    rounds = 1;
    most_disks = 1000;
  }
  while (nsteps < MOST_STEPS && all_steps[nsteps] <= most_disks) {
    steps[nsteps] = all_steps[nsteps];
    nsteps++;
  }
  if (asprintf (&path, "%s/mblock-scale-bench.%d", folder,
                (int) getpid ()) == -1)
    fail ("asprintf");
  say ("mramdisk's engine with many disks\n\n");
  report_machine (argc, argv);
  say ("rounds     %u; medians\n", rounds);
  if (chosen[DISKS])
    report_disks ();
  if (chosen[RECOVERY])
    report_recovery ();
  if (chosen[SIZES])
    report_sizes ();
  report_end ();
  return EXIT_SUCCESS;
}
