/* SPDX-License-Identifier: BSD-3-Clause */
/* The benchmark in process: it calls the callbacks of plugins directly, and the
 * engine for what no callback reaches.  README.md explains the report.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine-clone.h"
#include "engine-same.h"
#include "host.h"
#include "peer.h"
#include "program.h"
#include "report.h"

#define MOST_ROUNDS 1000

/* The block of nbdkit's memory plugin. */
#define MEMORY_BLOCK (32u << 10)

enum { MRAMDISK, MEMORY, BARE, NPEERS };

static struct host_plugin plugins[NPEERS] = {
  [MRAMDISK] = { "mramdisk", NULL },
  [MEMORY] = { "memory", NBDKIT_PLUGINDIR "/nbdkit-memory-plugin.so" },
  [BARE] = { "bare", NULL },
};

static unsigned rounds = 5;
static double seconds = 1;
static bool quick;
static uint64_t footprint = GIB;        /* bytes, of a mapped disk */

/* The parts of the report, in order. */
enum { MAPPED, EMPTY, TRIM, EXTENTS, CLONES, SAME, NPARTS };
static char *const part_names[] = {
  "mapped", "empty", "trim", "extents", "clones", "same", NULL
};
static bool chosen[NPARTS] = { true, true, true, true, true, true };
static struct parts parts = { part_names, chosen };

/* Medians and ratios need the figures of each round. */
typedef double series[MOST_ROUNDS];

static void
scale (series r, double factor)
{
  unsigned i;

  for (i = 0; i < rounds; i++)
    r[i] *= factor;
}

static const char *
megas (const series rate)
{
  return text ("%.2f M/s", median (rate, rounds) / 1e6);
}

static const char *
nanoseconds (const series rate)
{
  return text ("%.0f ns", 1e9 / median (rate, rounds));
}

static const char *
gigabytes (const series rate, uint32_t block)
{
  return text ("%.1f GB/s", median (rate, rounds) * block / 1e9);
}

/* --------------------------------------------------------- mapped disks */

enum {
  READ1, READ2, WRITE1, WRITE2, BIG_READ, BIG_WRITE, BIG_READ2, NJOBS
};

static struct job jobs[NJOBS] = {
  [READ1] = { .threads = 1, .block = PAGE, .random = true },
  [READ2] = { .threads = 2, .block = PAGE, .random = true },
  [WRITE1] = { .threads = 1, .block = PAGE, .random = true, .write = true },
  [WRITE2] = { .threads = 2, .block = PAGE, .random = true, .write = true },
  [BIG_READ] = { .threads = 1, .block = BIG },
  [BIG_WRITE] = { .threads = 1, .block = BIG, .write = true },
  [BIG_READ2] = { .threads = 2, .block = BIG },
};

static series rate[NPEERS][NJOBS];

static void
measure_mapped (void)
{
  struct job fill = { .kind = JOB_FILL };
  struct peer peer[NPEERS];
  unsigned i, j, r;

  for (i = 0; i < NPEERS; i++) {
    peer_start (&peer[i], &plugins[i], footprint);
    peer_do (&peer[i], &fill);
  }
  for (j = 0; j < NJOBS; j++) {
    jobs[j].kind = JOB_RUN;
    jobs[j].seconds = seconds;
    for (r = 0; r < rounds; r++)
      for (i = 0; i < NPEERS; i++)
        rate[i][j][r] = peer_do (&peer[i], &jobs[j]).value[0];
  }
  for (i = 0; i < NPEERS; i++)
    peer_stop (&peer[i]);
}

/* A row about throughput against another peer. */
static void
row_rate (const char *what, unsigned job, unsigned other, enum sense sense,
          double target)
{
  series ratio;

  divide (ratio, rate[MRAMDISK][job], rate[other][job], rounds);
  if (jobs[job].block == BIG)
    report_row (what, gigabytes (rate[MRAMDISK][job], BIG),
                gigabytes (rate[other][job], BIG), ratio, rounds, "x", sense,
                target);
  else
    report_row (what, megas (rate[MRAMDISK][job]), megas (rate[other][job]),
                ratio, rounds, "x", sense, target);
}

/* A row about two threads against one. */
static void
row_threads (unsigned peer, enum sense sense, double target)
{
  series ratio;

  divide (ratio, rate[peer][READ2], rate[peer][READ1], rounds);
  report_row (text ("%s, 2 threads to 1", plugins[peer].name),
              megas (rate[peer][READ2]), megas (rate[peer][READ1]), ratio,
              rounds, "x", sense, target);
}

/* A row about the time of a read against the bare one. */
static void
row_time (unsigned peer, enum sense sense, double target)
{
  series ratio;

  divide (ratio, rate[BARE][READ1], rate[peer][READ1], rounds);
  report_row (text ("%s, random 4 KiB reads, 1 thread", plugins[peer].name),
              nanoseconds (rate[peer][READ1]), nanoseconds (rate[BARE][READ1]),
              ratio, rounds, "x", sense, target);
}

static void
report_mapped (void)
{
  measure_mapped ();
  report_head (text ("A disk of %s, all mapped: throughput",
                     size_text (footprint)), "mramdisk", "memory");
  row_rate ("random 4 KiB reads, 1 thread", READ1, MEMORY, INFO, 0);
  row_rate ("random 4 KiB reads, 2 threads", READ2, MEMORY, AT_LEAST, 3.5);
  row_rate ("random 4 KiB overwrites, 1 thread", WRITE1, MEMORY, INFO, 0);
  row_rate ("random 4 KiB overwrites, 2 threads", WRITE2, MEMORY, INFO, 0);
  row_rate ("sequential 256 KiB reads, 1 thread", BIG_READ, MEMORY, INFO, 0);
  row_rate ("sequential 256 KiB reads, 2 threads", BIG_READ2, MEMORY, INFO, 0);
  row_rate ("sequential 256 KiB writes, 1 thread", BIG_WRITE, MEMORY, INFO, 0);

  report_head ("Random 4 KiB reads: do two threads help?", "2 threads",
               "1 thread");
  row_threads (MRAMDISK, AT_LEAST, 1.85);
  row_threads (MEMORY, INFO, 0);
  row_threads (BARE, INFO, 0);

  report_head ("Time of a read against a bare memcpy", "plugin", "bare");
  row_time (MRAMDISK, AT_MOST, 1.25);
  row_time (MEMORY, INFO, 0);

  report_head ("Throughput against a bare memcpy", "mramdisk", "bare");
  row_rate ("sequential 256 KiB reads, 1 thread", BIG_READ, BARE, AT_LEAST,
            0.9);
  row_rate ("sequential 256 KiB reads, 2 threads", BIG_READ2, BARE, INFO, 0);
  row_rate ("sequential 256 KiB writes, 1 thread", BIG_WRITE, BARE, AT_LEAST,
            0.9);
  row_rate ("random 4 KiB overwrites, 1 thread", WRITE1, BARE, INFO, 0);
}

/* ---------------------------------------------------------- empty disks */

/* Write n random pages of an empty disk: the speed, and the memory used.  The
 * targets are for disks whose pages are not so sparse that nodes take more than
 * a few percent.
 */
static void
report_map (uint64_t size, uint64_t n, bool thin)
{
  struct job job = { .kind = JOB_MAP, .n = n };
  series mine[2], peer[2], ratio;
  struct answer a, b;
  unsigned r;

  for (r = 0; r < rounds; r++) {
    a = peer_once (&plugins[MRAMDISK], size, &job);
    b = peer_once (&plugins[MEMORY], size, &job);
    mine[0][r] = a.value[0];
    mine[1][r] = a.value[1];
    peer[0][r] = b.value[0];
    peer[1][r] = b.value[1];
  }
  divide (ratio, mine[0], peer[0], rounds);
  report_row (text ("%s written of %s", size_text (n * PAGE),
                    size_text (size)),
              nanoseconds (mine[0]), nanoseconds (peer[0]), ratio, rounds,
              "x", AT_LEAST, 1.7);
  report_row ("  memory used to what was written",
              text ("%.3f M", median (mine[1], rounds)),
              text ("%.3f M", median (peer[1], rounds)), mine[1], rounds,
              " M", thin ? INFO : AT_MOST, 1.03);
}

static void
report_empty (void)
{
  const uint64_t pages = footprint / PAGE;

  report_head ("Random 4 KiB writes onto an empty disk, each page once",
               "mramdisk", "memory");
  report_map (footprint, pages / 4, false);
  report_map (footprint, pages, false);
  report_map (16 * footprint, pages / 4, true);
}

static void
report_trim (void)
{
  struct job job = { .kind = JOB_TRIM };
  series mine, peer, when;
  struct answer a, b;
  double peak = 0;
  unsigned r;

  for (r = 0; r < rounds; r++) {
    a = peer_once (&plugins[MRAMDISK], footprint, &job);
    b = peer_once (&plugins[MEMORY], footprint, &job);
    mine[r] = a.value[1];
    when[r] = a.value[2];
    peer[r] = b.value[1];
    peak = a.value[0];
  }
  scale (mine, 100);
  scale (peer, 100);
  report_head (text ("Memory used a second after everything is trimmed "
                     "(peak %s)", size_text (peak)), "mramdisk", "memory");
  report_row ("of the peak", text ("%.1f %%", median (mine, rounds)),
              text ("%.1f %%", median (peer, rounds)), mine, rounds, " %",
              AT_MOST, 5);
  scale (when, 1e3);
  report_row ("under 5 % after (negative: not within the second)", "", "",
              when, rounds, " ms", INFO, 0);
}

/* -------------------------------------------------------------- extents */

static void
measure_extents (const struct host_plugin *plugin, uint64_t size,
                 uint32_t block, uint64_t one_in, series time, double *n)
{
  struct job comb = { .kind = JOB_COMB, .block = block, .n = one_in };
  struct job extents = { .kind = JOB_EXTENTS, .seconds = seconds / 2 };
  struct answer a;
  struct peer p;
  unsigned r;

  peer_start (&p, plugin, size);
  peer_do (&p, &comb);
  for (r = 0; r < rounds; r++) {
    a = peer_do (&p, &extents);
    time[r] = a.value[0];
    *n = a.value[1];
  }
  peer_stop (&p);
}

static void
report_extents (void)
{
  series mine, peer;
  double nmine, npeer;

  /* The memory plugin has blocks of 32 KiB: one in two of these makes as many
   * extents as one page in 16.
   */
  measure_extents (&plugins[MRAMDISK], footprint, PAGE, 16, mine, &nmine);
  measure_extents (&plugins[MEMORY], footprint, MEMORY_BLOCK, 2, peer, &npeer);
  scale (mine, 1e9 / nmine);
  scale (peer, 1e9 / npeer);
  report_head (text ("Extents: time for each, %s", size_text (footprint)),
               "mramdisk", "memory");
  report_row ("one page mapped in 16 (memory: 32 KiB in 64)",
              text ("%.1f ns", median (mine, rounds)),
              text ("%.1f ns", median (peer, rounds)), mine, rounds, " ns",
              AT_MOST, 10);
  report_row ("  how many extents there are", text ("%.0f", nmine),
              text ("%.0f", npeer), &nmine, 1, "", INFO, 0);

  measure_extents (&plugins[MRAMDISK], UINT64_C (1) << 60, PAGE, UINT64_MAX,
                   mine, &nmine);
  scale (mine, 1e3);
  report_row ("all of a disk of 2^60 bytes, a page at each end",
              text ("%.4f ms", median (mine, rounds)), "", mine, rounds, " ms",
              AT_MOST, 1);
}

/* ----------------------------------------------------------------- main */

/* mramdisk.so of this build tree, which also contains this program. */
static char *
default_plugin (void)
{
  static char path[4096];
  ssize_t n = readlink ("/proc/self/exe", path, sizeof path - 32);
  char *slash;

  if (n <= 0)
    return NULL;
  path[n] = '\0';
  slash = strrchr (path, '/');
  strcpy (slash, "/../mramdisk.so");
  return path;
}

static const struct program_option options[] = {
  ROUNDS_OPTION (&rounds, MOST_ROUNDS),
  SECONDS_OPTION (&seconds),
  ONLY_OPTION (&parts),
  QUICK_OPTION (&quick),
  { "mramdisk", "FILE", "the plugin to measure (default: of this build)",
    OPTION_TEXT, &plugins[MRAMDISK].path, 0, 0 },
  { "memory", "FILE", "nbdkit's memory plugin",
    OPTION_TEXT, &plugins[MEMORY].path, 0, 0 },
  { 0 }
};
static const struct program program = {
  .name = "engine-bench",
  .about =
    "Measure mramdisk, nbdkit's memory plugin and a bare memcpy in process.",
  .options = options,
  .report = "engine",
  .quick = &quick,
  .notes =
    "Needs 14 GiB of memory.  Exit status: 0 measured, whatever the figures; "
    "1 error.",
};

/* Loading changes a process, so another process does it. */
static int
load_plugins (void *arg, double *values)
{
  const char *version;
  unsigned i;

  (void) arg;
  (void) values;
  for (i = 0; i < BARE; i++) {
    version = host_version (&plugins[i]);
    if (version == NULL)
      return -1;
    say ("%-10s %s\n", plugins[i].name, version);
  }
  return 0;
}

static void
report_part (unsigned part)
{
  switch (part) {
  case MAPPED:
    report_mapped ();
    break;
  case EMPTY:
    report_empty ();
    break;
  case TRIM:
    report_trim ();
    break;
  case EXTENTS:
    report_extents ();
    break;
  case CLONES:
    report_clones (quick, rounds < 3 ? rounds : 3);
    break;
  case SAME:
    report_same (quick, rounds);
    break;
  }
}

int
main (int argc, char *argv[])
{
  double unused;
  unsigned i;

  plugins[MRAMDISK].path = default_plugin ();
  program_options (&program, argc, argv);
  if (quick) {
    rounds = 1;
    seconds = 0.02;
    footprint = 32 * MIB;
  }
  say ("mramdisk in process, against nbdkit's memory plugin and a bare "
       "memcpy\n\n");
  report_machine (argc, argv);
  in_child (load_plugins, NULL, &unused, 1);
  say ("rounds     %u of %g s, alternating; medians\n", rounds, seconds);

  for (i = 0; i < NPARTS; i++)
    if (chosen[i]) {
      warm_machine (quick ? 64 * MIB : 12 * GIB);
      report_part (i);
    }
  report_end ();
  return EXIT_SUCCESS;
}
