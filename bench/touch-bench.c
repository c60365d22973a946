/* SPDX-License-Identifier: BSD-3-Clause */
/* The cost of the first touch of memory, for different ways of doing it.  The
 * way in which the arena grows was chosen by these figures.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "peer.h"
#include "program.h"
#include "report.h"

#ifndef MADV_POPULATE_WRITE     /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define CHUNK (UINT64_C (2) << 20)
#define MOST_ROUNDS 1000

static uint64_t bytes;
static unsigned rounds = 5;
static double size = 512;       /* MiB, as it was asked for */

struct way {
  const char *name;
  bool huge;                    /* MADV_HUGEPAGE, else MADV_NOHUGEPAGE */
  bool populate;                /* chunk by chunk, before the touch */
  bool random;                  /* touch pages in random order */
};

static const struct way ways[] = {
  { "4 KiB faults, in order", false, false, false },
  { "4 KiB faults, in random order", false, false, true },
  { "populate 2 MiB of 4 KiB pages", false, true, false },
  { "huge page faults", true, false, false },
  { "populate 2 MiB as a huge page", true, true, false },
};
#define NWAYS (sizeof ways / sizeof ways[0])

static char *
map_chunks (void)
{
  char *p = mmap (NULL, bytes + CHUNK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (p == MAP_FAILED)
    fail ("mmap");
  return p + (-(uintptr_t) p & (CHUNK - 1));
}

static void
touch_all (volatile char *p, bool in_random_order)
{
  /* Odd, so that it visits every page of a power of two once. */
  const uint64_t stride = in_random_order ? 40503 : 1;
  uint64_t pages = bytes / PAGE, i;

  for (i = 0; i < pages; i++)
    p[i * stride % pages * PAGE] = 1;
}

/* values: seconds a page for the first touch, and for a second one in the same
 * order, which is the cost of touching itself; resident bytes a byte.
 */
static int
touch_way (void *arg, double *values)
{
  const struct way *way = arg;
  char *p = map_chunks ();
  double before, begin;
  uint64_t i;

  if (madvise (p, bytes, way->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == -1) {
    perror ("madvise");
    return -1;
  }
  before = resident ();
  begin = now ();
  if (way->populate)
    for (i = 0; i < bytes; i += CHUNK)
      if (madvise (p + i, CHUNK, MADV_POPULATE_WRITE) == -1) {
        perror ("MADV_POPULATE_WRITE");
        return -1;
      }
  touch_all (p, way->random);
  values[0] = (now () - begin) / (bytes / PAGE);
  values[2] = (resident () - before) / bytes;
  begin = now ();
  touch_all (p, way->random);
  values[1] = (now () - begin) / (bytes / PAGE);
  return 0;
}

static const struct program_option options[] = {
  { "rounds", "N", "alternating rounds (default 5)",
    OPTION_COUNT, &rounds, 1, MOST_ROUNDS },
  { "size", "MIB",
    "memory to touch, rounded up to a power of two (default 512)",
    OPTION_NUMBER, &size, 2, 1 << 20 },
  { 0 }
};
static const struct program program = {
  .name = "touch-bench",
  .about = "Measure what the first touch of memory costs.",
  .options = options,
};

int
main (int argc, char *argv[])
{
  static double first[NWAYS][MOST_ROUNDS], again[NWAYS][MOST_ROUNDS];
  static double ratio[MOST_ROUNDS];
  double value[3], rss[NWAYS];
  unsigned i, r;

  program_options (&program, argc, argv);
  /* A power of two, for the stride. */
  for (bytes = 2 * MIB; bytes < size * MIB; bytes *= 2)
    ;
  say ("The first touch of memory, by the way it is done\n\n");
  report_machine (argc, argv);
  say ("rounds     %u of %.0f MiB, alternating; medians, for each 4 KiB\n",
       rounds, (double) bytes / MIB);
  warm_machine (2 * bytes);
  for (r = 0; r < rounds; r++)
    for (i = 0; i < NWAYS; i++) {
      in_child (touch_way, (void *) &ways[i], value, 3);
      first[i][r] = value[0];
      again[i][r] = value[1];
      rss[i] = value[2];
    }
  report_head ("Ratio: the first touch to that of the first line",
               "first touch", "second");
  for (i = 0; i < NWAYS; i++) {
    divide (ratio, first[i], first[0], rounds);
    report_row (text ("%s%s", ways[i].name,
                      rss[i] > 0.9 ? "" : " (NOT resident)"),
                text ("%.0f ns", median (first[i], rounds) * 1e9),
                text ("%.1f ns", median (again[i], rounds) * 1e9), ratio,
                rounds, "x", INFO, 0);
  }
  report_end ();
  return EXIT_SUCCESS;
}
