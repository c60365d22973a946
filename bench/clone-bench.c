/* SPDX-License-Identifier: BSD-3-Clause */
/* The life cycle of disks in process, by calling the engine: what clones cost
 * threads that write to them and threads that do not; diff; opening one of many
 * disks; counting requests.  README.md explains the report.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "program.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"
#include "report.h"

#define LEAF (UINT64_C (4) << 20)       /* bytes that a leaf covers */
#define MOST_ROUNDS 100
#define MOST_WORKERS 2

static unsigned rounds = 5;
static double seconds = 1;
static bool quick;

/* The parts of the report, in order. */
enum { FIRST, OTHERS, DIFF, OPEN, FIGURES, NPARTS };
static char *const part_names[] = {
  "first", "others", "diff", "open", "stats", NULL
};
static bool chosen[NPARTS] = { true, true, true, true, true };
static struct parts parts = { part_names, chosen };

typedef double series[MOST_ROUNDS];

static void
write_or_fail (struct disk *d, const void *buf, uint64_t len, uint64_t offset)
{
  if (disk_write (d, buf, len, offset) == -1)
    fail ("write");
}

static void
read_or_fail (struct disk *d, void *buf, uint64_t len, uint64_t offset)
{
  if (disk_read (d, buf, len, offset) == -1)
    fail ("read");
}

/* Write all of the disk. */
static void
fill (struct disk *d)
{
  char *buf = malloc (BIG);
  uint64_t offset;

  if (buf == NULL)
    fail ("malloc");
  memset (buf, 0x5a, BIG);
  for (offset = 0; offset < disk_size (d); offset += BIG)
    write_or_fail (d, buf, BIG, offset);
  free (buf);
}

/* An arena as in the server, with the thread that returns memory. */
static struct arena *
new_arena (uint64_t limit)
{
  struct arena *a = arena_create (limit);

  if (a == NULL || arena_start (a) == -1)
    fail ("arena");
  return a;
}

static struct disk *
new_disk (struct arena *a, uint64_t size)
{
  struct disk *d = disk_new (a, size, 0);

  if (d == NULL)
    fail ("disk");
  return d;
}

static struct disk *
clone_of (struct disk *d)
{
  struct disk *clone = disk_clone (d);

  if (clone == NULL)
    fail ("clone");
  return clone;
}

/* ---------------------------------------------------------- first writes */

struct first_case {
  uint64_t size;                /* bytes, of the disk that is cloned */
  uint32_t n;                   /* how many pages are written */
};

/* The average time of n writes to random pages, the same pages each time. */
static double
time_of_writes (struct disk *d, const struct first_case *c, const char *buf)
{
  uint64_t state = 1, pages = c->size / PAGE_BYTES;
  double begin = now ();
  uint32_t i;

  for (i = 0; i < c->n; i++)
    write_or_fail (d, buf, PAGE_BYTES,
                   random_below (&state, pages) * PAGE_BYTES);
  return (now () - begin) / c->n;
}

static int
measure_first (void *arg, double *values)
{
  const struct first_case *c = arg;
  struct arena *a = new_arena (c->size + 4 * GIB);
  struct disk *base = new_disk (a, c->size), *d;
  char buf[PAGE_BYTES];
  unsigned i;
  double t;

  memset (buf, 0xa5, sizeof buf);
  fill (base);
  /* The first two warm up. */
  for (i = 0; i < 2 * (rounds + 1); i++) {
    d = i % 2 ? clone_of (base) : new_disk (a, c->size);
    t = time_of_writes (d, c, buf);
    if (i >= 2)
      values[i - 2] = t * 1e9;
    disk_free (d);
    arena_reclaim (a);
  }
  return 0;
}

static void
report_first (void)
{
  static const uint64_t sizes[] = { GIB, 4 * GIB };
  double v[2 * MOST_ROUNDS];
  series hole, shared, ratio;
  unsigned i, r;

  report_head ("The first write to each of 10,000 random pages",
               "shared page", "hole");
  for (i = 0; i < 2; i++) {
    struct first_case c = { .size = sizes[i], .n = 10000 };

    if (quick) {
      c.size /= 64;
      c.n = 500;
    }
    in_child (measure_first, &c, v, 2 * rounds);
    for (r = 0; r < rounds; r++) {
      hole[r] = v[2 * r];
      shared[r] = v[2 * r + 1];
      ratio[r] = shared[r] / hole[r];
    }
    report_row (text ("a clone of %s, all mapped", size_text (c.size)),
                text ("%.0f ns", median (shared, rounds)),
                text ("%.0f ns", median (hole, rounds)), ratio, rounds, "x",
                AT_MOST, 2.5);
  }
}

/* ---------------------------------------------- other disks meanwhile */

struct others_case {
  const char *what;
  unsigned readers, writers;
};

struct load {
  struct arena *arena;
  struct registry *registry;
  struct disk *disk[MOST_WORKERS];
  atomic_bool stop;
};

struct worker {
  struct load *load;
  struct disk *disk;
  bool write;
  unsigned number;
  pthread_t thread;
  uint64_t n;
  double cpu;                   /* seconds that it had the CPU */
};

static double
thread_cpu (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void *
work (void *vp)
{
  struct worker *w = vp;
  uint64_t state = w->number + 1, pages = disk_size (w->disk) / PAGE_BYTES, at;
  char buf[PAGE_BYTES];

  memset (buf, 0xa5, sizeof buf);
  while (!atomic_load_explicit (&w->load->stop, memory_order_relaxed)) {
    at = random_below (&state, pages) * PAGE_BYTES;
    if (w->write)
      write_or_fail (w->disk, buf, sizeof buf, at);
    else
      read_or_fail (w->disk, buf, sizeof buf, at);
    w->n++;
  }
  w->cpu = thread_cpu ();
  return NULL;
}

/* Repeatedly clone the disk "base", write to both, resize the clone and destroy
 * it. number counts these cycles.
 */
static void *
churn (void *vp)
{
  static const struct disk_options options = { .quota = TREE_NO_QUOTA };
  struct worker *w = vp;
  struct registry *registry = w->load->registry;
  uint64_t state = 99, size, pages, old;
  struct named_disk *base = registry_hold (registry, "base"), *d;
  char buf[PAGE_BYTES];
  unsigned i;

  if (base == NULL)
    fail ("base");
  size = disk_size (base->disk);
  pages = size / PAGE_BYTES;
  memset (buf, 0xa5, sizeof buf);
  while (!atomic_load_explicit (&w->load->stop, memory_order_relaxed)) {
    write_or_fail (base->disk, buf, sizeof buf,
                   random_below (&state, pages) * PAGE_BYTES);
    if (registry_clone (registry, "base", "clone", &options, IF_EXISTS_ERROR,
                        NULL) == -1)
      fail ("clone");
    d = registry_hold (registry, "clone");
    if (d == NULL)
      fail ("hold");
    for (i = 0; i < 16; i++)
      write_or_fail (d->disk, buf, sizeof buf,
                     random_below (&state, pages) * PAGE_BYTES);
    if (registry_resize (registry, "clone", size / 2, &old) == -1 ||
        registry_resize (registry, "clone", size, &old) == -1)
      fail ("resize");
    if (registry_destroy (registry, "clone") == -1)
      fail ("destroy");
    registry_close (registry, d);
    w->n++;
  }
  registry_close (registry, base);
  return NULL;
}

/* What a run returns. */
enum { RATE, CPU_RATE, CYCLES, NVALUES };

/* v: operations a second, and those for each second that their threads had the
 * CPU; life cycles a second, if there are to be some.
 */
static void
run_load (struct load *load, const struct others_case *c, bool cycles,
          double *v)
{
  struct worker w[MOST_WORKERS], life = { .load = load };
  struct timespec duration = { seconds, (seconds - (time_t) seconds) * 1e9 };
  unsigned i, n = c->readers + c->writers;
  uint64_t sum = 0;
  double begin, took, cpu = 0;

  atomic_store (&load->stop, false);
  begin = now ();
  for (i = 0; i < n; i++) {
    w[i] = (struct worker) {
      .load = load, .disk = load->disk[i], .write = i >= c->readers, .number = i
    };
    start_thread (&w[i].thread, work, &w[i]);
  }
  if (cycles)
    start_thread (&life.thread, churn, &life);
  nanosleep (&duration, NULL);
  atomic_store (&load->stop, true);
  for (i = 0; i < n; i++) {
    pthread_join (w[i].thread, NULL);
    sum += w[i].n;
    cpu += w[i].cpu;
  }
  took = now () - begin;
  v[RATE] = sum / took;
  v[CPU_RATE] = sum / cpu;
  if (cycles) {
    pthread_join (life.thread, NULL);
    v[CYCLES] = life.n / (now () - begin);
    arena_reclaim (load->arena);
  }
}

static int
measure_others (void *arg, double *values)
{
  const struct others_case *c = arg;
  const uint64_t size = quick ? 8 * MIB : 256 * MIB;
  const uint64_t base_size = quick ? 64 * MIB : 4 * GIB;
  const struct registry_options options = {
    .default_size = size, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = 100,
  };
  const struct disk_options base_options = {
    .size = base_size, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct load load = { .arena = new_arena (base_size + 8 * GIB) };
  struct named_disk *base = NULL;
  unsigned i;

  load.registry = registry_new (load.arena, &options);
  if (load.registry == NULL ||
      registry_create (load.registry, "base", &base_options, IF_EXISTS_ERROR,
                       NULL) == -1 ||
      (base = registry_hold (load.registry, "base")) == NULL)
    fail ("registry");
  fill (base->disk);
  for (i = 0; i < c->readers + c->writers; i++) {
    load.disk[i] = new_disk (load.arena, size);
    fill (load.disk[i]);
  }
  run_load (&load, c, false, values);
  for (i = 0; i < rounds; i++) {
    run_load (&load, c, false, &values[2 * i * NVALUES]);
    run_load (&load, c, true, &values[(2 * i + 1) * NVALUES]);
  }
  return 0;
}

static void
report_others (void)
{
  static struct others_case cases[] = {
    { "1 reader", 1, 0 },
    { "1 writer", 0, 1 },
    { "1 reader and 1 writer", 1, 1 },
  };
  double v[2 * NVALUES * MOST_ROUNDS], *a, *w;
  series alone, with, cpu, cycles, ratio;
  long cores = sysconf (_SC_NPROCESSORS_ONLN);
  unsigned i, r;
  bool room;

  report_head ("Random 4 KiB requests to other disks while one is cloned, "
               "resized and destroyed without pause", "meanwhile", "alone");
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    in_child (measure_others, &cases[i], v, 2 * NVALUES * rounds);
    for (r = 0; r < rounds; r++) {
      a = &v[2 * r * NVALUES];
      w = a + NVALUES;
      alone[r] = a[RATE];
      with[r] = w[RATE];
      cpu[r] = w[CPU_RATE] / a[CPU_RATE];
      cycles[r] = w[CYCLES];
      ratio[r] = with[r] / alone[r];
    }
    /* Without a core for the life cycle, the scheduler divides the cores, and
     * only the CPU time of the threads says something about the engine.
     */
    room = cores > (long) (cases[i].readers + cases[i].writers);
    report_row (cases[i].what, text ("%.2f M/s", median (with, rounds) / 1e6),
                text ("%.2f M/s", median (alone, rounds) / 1e6), ratio, rounds,
                "x", room ? AT_LEAST : INFO, 0.9);
    report_row ("  for each second that they had a CPU", "", "", cpu, rounds,
                "x", room ? INFO : AT_LEAST, 0.9);
    report_row ("  clones, resizes and destroys meanwhile", "", "", cycles,
                rounds, "/s", INFO, 0);
  }
}

/* ------------------------------------------------------------------ diff */

static int
add_length (void *opaque, uint64_t offset, uint64_t length)
{
  uint64_t *sum = opaque;

  (void) offset;
  *sum += length;
  return 0;
}

/* Disks with a page in each leaf, so that no part of the tree is missing; in
 * the leaves that differ all pages are there.
 */
static int
measure_diff (void *arg, double *values)
{
  const uint64_t size = *(uint64_t *) arg, leaves = size / LEAF;
  const unsigned n = quick ? 10 : 100;
  struct arena *a = new_arena (4 * GIB);
  struct disk *base = new_disk (a, size), *clone;
  char *buf = malloc (LEAF);
  uint64_t i, at, sum;
  unsigned r;
  double begin;

  if (buf == NULL)
    fail ("malloc");
  memset (buf, 0x5a, LEAF);
  for (i = 0; i < leaves; i++)
    write_or_fail (base, buf, PAGE_BYTES, i * LEAF);
  for (i = 0; i < n; i++)
    write_or_fail (base, buf, LEAF, i * leaves / n * LEAF);
  clone = clone_of (base);
  memset (buf, 0xa5, LEAF);
  for (i = 0; i < n; i++) {
    at = i * leaves / n * LEAF + i * 7 % 1024 * PAGE_BYTES;
    write_or_fail (clone, buf, PAGE_BYTES, at);
  }
  for (r = 0; r < rounds; r++) {
    sum = 0;
    begin = now ();
    if (disk_diff (base, clone, 0, add_length, NULL, &sum) == -1)
      fail ("diff");
    values[r] = (now () - begin) * 1e3;
    if (sum != n * (uint64_t) PAGE_BYTES) {
      errno = EIO;
      fail ("diff: not the pages that differ");
    }
  }
  free (buf);
  return 0;
}

static void
report_diff (void)
{
  uint64_t size = quick ? GIB : 64 * GIB;
  series t;

  report_head ("Diff of a disk and its clone, of which some pages, far apart, "
               "were written", "median", "");
  in_child (measure_diff, &size, t, rounds);
  report_row (text ("%s, %d pages differ", size_text (size), quick ? 10 : 100),
              text ("%.3f ms", median (t, rounds)), "", t, rounds, " ms",
              AT_MOST, 1);
}

/* ------------------------------------------------------------------ open */

/* What the plugin does when a connection opens and closes. */
static void
open_and_close (struct registry *registry, const char *name)
{
  struct named_disk *d = registry_open (registry, name);
  const struct registry_peer peer = { .address = "" };
  struct registry_client c;

  if (d == NULL || registry_connect (registry, &c, d, &peer) == -1)
    fail ("open");
  registry_disconnect (registry, &c);
  registry_close (registry, d);
}

static int
measure_open (void *arg, double *values)
{
  const unsigned disks = *(unsigned *) arg;
  const unsigned n = quick ? 1000 : 100000;
  const struct registry_options options = {
    .max_size = DISK_MAX_SIZE, .sector_size = 1, .max_disks = disks,
  };
  const struct disk_options disk_options = {
    .size = GIB, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct registry *registry = registry_new (new_arena (GIB), &options);
  uint64_t state = 1;
  char (*name)[16] = calloc (disks, sizeof *name);
  unsigned i, r;
  double begin;

  if (registry == NULL || name == NULL)
    fail ("registry");
  for (i = 0; i < disks; i++) {
    snprintf (name[i], sizeof *name, "disk-%05u", i);
    if (registry_create (registry, name[i], &disk_options, IF_EXISTS_ERROR,
                         NULL) == -1)
      fail ("create");
  }
  for (r = 0; r < rounds; r++) {
    begin = now ();
    for (i = 0; i < n; i++)
      open_and_close (registry, name[random_below (&state, disks)]);
    values[r] = (now () - begin) / n * 1e9;
  }
  free (name);
  return 0;
}

static void
report_open_cost (void)
{
  unsigned one = 1, many = quick ? 500 : 10000;
  series with_one, with_many, ratio;

  in_child (measure_open, &one, with_one, rounds);
  in_child (measure_open, &many, with_many, rounds);
  divide (ratio, with_many, with_one, rounds);
  report_head ("Open and close, random disks, in the registry",
               text ("%u disks", many), "1 disk");
  /* Without the NBD handshake, of which this is a small part.  The target is
   * for what a client sees: see control-bench.
   */
  report_row ("each", text ("%.0f ns", median (with_many, rounds)),
              text ("%.0f ns", median (with_one, rounds)), ratio, rounds, "x",
              INFO, 0);
}

/* ----------------------------------------------------------------- stats */

/* Seconds for n reads, counted or not. */
static double
time_of_reads (struct disk *d, struct stats *f, unsigned n, uint64_t *state)
{
  uint64_t pages = disk_size (d) / PAGE_BYTES;
  struct stats_timer timer;
  char buf[PAGE_BYTES];
  double begin = now ();
  unsigned i;

  for (i = 0; i < n; i++) {
    if (f)
      stats_start (f, &timer);
    read_or_fail (d, buf, sizeof buf,
                  random_below (state, pages) * PAGE_BYTES);
    if (f)
      stats_done (&timer, STAT_READ, sizeof buf, STAT_OK);
  }
  return now () - begin;
}

/* The two alternate every few milliseconds, so that other activity of the
 * machine affects both; the result is the median of the differences.
 */
static int
measure_stats (void *arg, double *values)
{
  enum { PAIRS = 101, READS = 20000 };
  struct disk *d = new_disk (new_arena (GIB), quick ? MIB : 16 * MIB);
  struct stats *f = stats_new ();
  double bare[PAIRS], cost[PAIRS];
  unsigned pairs = quick ? 3 : PAIRS, r, i;
  uint64_t state = 1;

  (void) arg;
  if (f == NULL)
    fail ("stats_new");
  fill (d);
  time_of_reads (d, f, READS, &state);
  for (r = 0; r < rounds; r++) {
    for (i = 0; i < pairs; i++) {
      bare[i] = time_of_reads (d, NULL, READS, &state) / READS * 1e9;
      cost[i] = time_of_reads (d, f, READS, &state) / READS * 1e9 - bare[i];
    }
    values[2 * r] = median (bare, pairs);
    values[2 * r + 1] = median (cost, pairs);
  }
  return 0;
}

static void
report_stats (void)
{
  double v[2 * MOST_ROUNDS];
  series bare, cost;
  unsigned r;

  in_child (measure_stats, NULL, v, 2 * rounds);
  for (r = 0; r < rounds; r++) {
    bare[r] = v[2 * r];
    cost[r] = v[2 * r + 1];
  }
  /* control-bench parses this row, and relates it to a request through the
   * server.
   */
  report_head ("What counting adds to a 4 KiB read in the engine", "added",
               "without");
  report_row ("counting a request", text ("%.1f ns", median (cost, rounds)),
              text ("%.1f ns", median (bare, rounds)), cost, rounds, " ns",
              INFO, 0);
}

/* ----------------------------------------------------------------- main */

static const struct program_option options[] = {
  ROUNDS_OPTION (&rounds, MOST_ROUNDS),
  SECONDS_OPTION (&seconds),
  ONLY_OPTION (&parts),
  QUICK_OPTION (&quick),
  { 0 }
};
static const struct program program = {
  .name = "clone-bench",
  .about = "Measure the life cycle of disks by calling mramdisk's engine.",
  .options = options,
  .report = "clone",
  .quick = &quick,
  .notes =
    "Needs 8 GiB of memory.  Exit status: 0 measured, whatever the figures; "
    "1 error.",
};

int
main (int argc, char *argv[])
{
  static void (*const report[NPARTS]) (void) = {
    report_first, report_others, report_diff, report_open_cost, report_stats
  };
  unsigned i;

  program_options (&program, argc, argv);
  if (quick) {
    rounds = 1;
    seconds = 0.02;
  }
  say ("The life cycle of mramdisk's disks, in process\n\n");
  report_machine (argc, argv);
  say ("rounds     %u of %g s, alternating; medians\n", rounds, seconds);
  if (chosen[FIRST] || chosen[OTHERS])
    warm_machine (quick ? 64 * MIB : 6 * GIB);
  for (i = 0; i < NPARTS; i++)
    if (chosen[i])
      report[i] ();
  report_end ();
  return EXIT_SUCCESS;
}
