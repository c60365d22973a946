/* SPDX-License-Identifier: BSD-3-Clause */
/* How long a grace period lasts while readers copy, for each flavour of
 * liburcu.  The engine's flavour was chosen by these figures
 * (lib/ramdisk/rcu.h).
 */

#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <urcu/urcu-bp.h>
#include <urcu/urcu-memb.h>

#include "peer.h"
#include "program.h"
#include "report.h"

#define MOST_ROUNDS 1000
#define MOST_READERS 64

/* Grace periods in a round; enough for a 99th percentile. */
#define PERIODS 300

/* Each reader copies from places in this much memory. */
#define FOOTPRINT (64 * MIB)

static unsigned rounds = 5, readers = 2;

struct flavour {
  const char *name;
  void (*register_thread) (void);
  void (*unregister_thread) (void);
  void (*read_lock) (void);
  void (*read_unlock) (void);
  void (*synchronize) (void);
};

/* Some of these are macros in liburcu. */
static void memb_lock (void) { urcu_memb_read_lock (); }
static void memb_unlock (void) { urcu_memb_read_unlock (); }
static void bp_lock (void) { urcu_bp_read_lock (); }
static void bp_unlock (void) { urcu_bp_read_unlock (); }
static void nothing (void) { }

static const struct flavour flavours[2] = {
  { "memb", urcu_memb_register_thread,
    urcu_memb_unregister_thread, memb_lock, memb_unlock,
    urcu_memb_synchronize_rcu },
  { "bp", nothing, nothing, bp_lock, bp_unlock,
    urcu_bp_synchronize_rcu },
};

struct measurement {
  const struct flavour *f;
  uint32_t block;               /* bytes that a reader copies at a time */
};

/* What the child returns besides the times of a grace period, in 1/s. */
enum { READS = NQUANTILES, NVALUES };

struct reader {
  const struct measurement *m;
  atomic_bool *stop;
  const char *memory;
  unsigned number;
  uint64_t n;
  pthread_t thread;
};

static void *
read_on (void *vp)
{
  struct reader *r = vp;
  const struct flavour *f = r->m->f;
  uint32_t block = r->m->block;
  uint64_t state = r->number + 1;
  char *buf = malloc (block);

  if (buf == NULL)
    fail ("malloc");
  f->register_thread ();
  while (!atomic_load_explicit (r->stop, memory_order_relaxed)) {
    f->read_lock ();
    memcpy (buf, r->memory +
            random_below (&state, FOOTPRINT / block) * block, block);
    f->read_unlock ();
    __asm__ volatile ("" : : "r" (buf) : "memory");
    r->n++;
  }
  f->unregister_thread ();
  free (buf);
  return NULL;
}

static int
measure (void *arg, double *values)
{
  const struct measurement *m = arg;
  struct reader r[MOST_READERS];
  atomic_bool stop = false;
  char *memory = malloc (FOOTPRINT);
  double t[PERIODS], begin, start;
  unsigned i;

  if (memory == NULL)
    fail ("malloc");
  memset (memory, 1, FOOTPRINT);
  m->f->register_thread ();
  for (i = 0; i < readers; i++) {
    r[i] = (struct reader) { m, &stop, memory, i, 0, 0 };
    start_thread (&r[i].thread, read_on, &r[i]);
  }
  usleep (10000);
  start = now ();
  for (i = 0; i < PERIODS; i++) {
    usleep (1000);
    begin = now ();
    m->f->synchronize ();
    t[i] = now () - begin;
  }
  start = now () - start;
  atomic_store (&stop, true);
  for (i = 0; i < readers; i++) {
    pthread_join (r[i].thread, NULL);
    values[READS] += r[i].n / start;
  }
  m->f->unregister_thread ();
  quantiles (t, PERIODS, values);
  return 0;
}

static const char *
milliseconds (const double *seconds)
{
  return text ("%.3f ms", median (seconds, rounds) * 1e3);
}

static void
report_block (uint32_t block, const char *name)
{
  static double v[2][NVALUES][MOST_ROUNDS], ratio[MOST_ROUNDS];
  static const char *const what[NVALUES] = {
    "median", "99 % are below", "the longest", NULL
  };
  double value[NVALUES];
  unsigned i, j, k;

  for (k = 0; k < rounds; k++)
    for (i = 0; i < 2; i++) {
      struct measurement m = { &flavours[i], block };

      in_child (measure, &m, value, NVALUES);
      for (j = 0; j < NVALUES; j++)
        v[i][j][k] = value[j];
    }
  report_head (text ("Grace period while %u readers copy %s", readers, name),
               flavours[0].name, flavours[1].name);
  for (j = 0; j < NVALUES; j++) {
    divide (ratio, v[0][j], v[1][j], rounds);
    if (j == READS)
      report_row ("the readers' copies a second",
                  text ("%.0f", median (v[0][j], rounds)),
                  text ("%.0f", median (v[1][j], rounds)), ratio, rounds, "x",
                  INFO, 0);
    else
      report_row (what[j], milliseconds (v[0][j]), milliseconds (v[1][j]),
                  ratio, rounds, "x", INFO, 0);
  }
}

static const struct program_option options[] = {
  { "rounds", "N", "alternating rounds of 300 grace periods (default 5)",
    OPTION_COUNT, &rounds, 1, MOST_ROUNDS },
  { "readers", "N", "threads that copy (default 2)",
    OPTION_COUNT, &readers, 0, MOST_READERS },
  { 0 }
};
static const struct program program = {
  .name = "rcu-bench",
  .about =
    "Measure the grace periods of liburcu's flavours memb and bp under "
    "readers.",
  .options = options,
};

int
main (int argc, char *argv[])
{
  program_options (&program, argc, argv);
  say ("Grace periods of liburcu's flavours, under readers\n\n");
  report_machine (argc, argv);
  say ("rounds     %u of %d grace periods, alternating; medians\n", rounds,
       PERIODS);
  report_block (4096, "4 KiB");
  report_block (256 << 10, "256 KiB");
  report_end ();
  return EXIT_SUCCESS;
}
