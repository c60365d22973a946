/* SPDX-License-Identifier: BSD-3-Clause */
/* Clone and resize, measured by calling the engine.
 *
 * A disk is cloned repeatedly, and each clone is freed at once.  Before each
 * clone, a page is written, because the clone of a fully shared disk has
 * nothing to wait for.  The writers store to random places as fast as they can;
 * after each clone they copy what they store to, so the disk is never quiet.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine-clone.h"
#include "peer.h"
#include "program.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "report.h"

#define MOST_WRITERS 8

struct clone_case {
  uint64_t size;                /* bytes, of the disk */
  uint64_t mapped;              /* bytes, from its start */
  unsigned writers;
  uint32_t block;               /* bytes, of the writers' requests */
  unsigned clones;
  bool resize;                  /* measure that instead */
};

/* What the child returns besides the times of a clone. */
enum { WRITES = NQUANTILES, NVALUES };

struct writer {
  const struct clone_case *c;
  struct disk *disk;
  atomic_bool *stop;
  unsigned number;
  pthread_t thread;
  uint64_t n;
};

static void
write_or_fail (struct disk *d, const char *buf, uint64_t len, uint64_t offset)
{
  if (disk_write (d, buf, len, offset) == -1)
    fail ("write");
}

static void *
write_on (void *vp)
{
  struct writer *w = vp;
  uint64_t state = w->number + 1;
  uint64_t blocks = w->c->mapped / w->c->block;
  char *buf = malloc (w->c->block);

  if (buf == NULL)
    fail ("malloc");
  memset (buf, 0xa5, w->c->block);
  while (!atomic_load_explicit (w->stop, memory_order_relaxed)) {
    write_or_fail (w->disk, buf, w->c->block,
                   random_below (&state, blocks) * w->c->block);
    w->n++;
  }
  free (buf);
  return NULL;
}

static void
fill (struct disk *d, uint64_t mapped)
{
  char *buf = malloc (BIG);
  uint64_t offset;

  if (buf == NULL)
    fail ("malloc");
  memset (buf, 0x5a, BIG);
  for (offset = 0; offset < mapped; offset += BIG)
    write_or_fail (d, buf, BIG, offset);
  free (buf);
}

static double
time_of_clone (struct disk *d, uint64_t offset)
{
  struct disk *clone;
  double begin, end;
  char byte = 1;

  write_or_fail (d, &byte, 1, offset);
  begin = now ();
  clone = disk_clone (d);
  end = now ();
  if (clone == NULL)
    fail ("clone");
  disk_free (clone);
  return end - begin;
}

static double
time_of_shrink (struct disk *d, const struct clone_case *c)
{
  double begin = now (), end;

  if (disk_resize (d, 0) == -1)
    fail ("resize");
  end = now ();
  if (disk_resize (d, c->size) == -1)
    fail ("resize");
  fill (d, c->mapped);
  return end - begin;
}

static int
run_case (void *arg, double *values)
{
  const struct clone_case *c = arg;
  struct arena *arena = arena_create (3 * c->mapped + 512 * MIB);
  struct disk *d = arena ? disk_new (arena, c->size, 0) : NULL;
  struct writer w[MOST_WRITERS];
  double *t = calloc (c->clones, sizeof *t), begin;
  atomic_bool stop = false;
  unsigned i;

  if (d == NULL || t == NULL || arena_start (arena) == -1)
    fail ("start");
  fill (d, c->mapped);
  for (i = 0; i < c->writers; i++) {
    w[i] = (struct writer) { c, d, &stop, i, 0, 0 };
    start_thread (&w[i].thread, write_on, &w[i]);
  }
  begin = now ();
  for (i = 0; i < c->clones; i++) {
    usleep (2000);
    t[i] = c->resize ? time_of_shrink (d, c)
      : time_of_clone (d, i * (uint64_t) PAGE_BYTES % c->mapped);
  }
  atomic_store (&stop, true);
  for (i = 0; i < c->writers; i++) {
    pthread_join (w[i].thread, NULL);
    values[WRITES] += w[i].n;
  }
  values[WRITES] /= now () - begin;
  quantiles (t, c->clones, values);
  return 0;
}

static const char *
milliseconds (double seconds)
{
  return text ("%.3f ms", seconds * 1e3);
}

/* One row for the median and one for the worst, over all rounds.
 * Returns the median in ms.
 */
static double
report_case (const char *what, struct clone_case c, unsigned rounds,
             enum sense sense, double target)
{
  double *v = calloc (NVALUES * rounds, sizeof *v), value[NVALUES], r;
  unsigned i;

  if (v == NULL)
    fail ("calloc");
  for (i = 0; i < rounds; i++) {
    in_child (run_case, &c, value, NVALUES);
    v[i] = value[MEDIAN] * 1e3;
    v[rounds + i] = value[MAX] * 1e3;
    v[2 * rounds + i] = value[P99];
    v[3 * rounds + i] = value[WRITES];
  }
  r = median (v, rounds);
  report_row (what, milliseconds (r / 1e3), "", v, rounds, " ms", sense,
              target);
  report_row (text ("  the slowest of %u", c.clones),
              text ("99%%: %.3f", median (v + 2 * rounds, rounds) * 1e3),
              c.writers
              ? text ("%.0f k/s", median (v + 3 * rounds, rounds) / 1e3) : "",
              v + rounds, rounds, " ms", sense, target);
  free (v);
  return r;
}

void
report_clones (bool quick, unsigned rounds)
{
  const uint64_t big = quick ? 64 * MIB : 4096 * MIB;
  const uint64_t small = quick ? 4 * MIB : 16 * MIB;
  struct clone_case c = {
    .size = big, .mapped = big, .block = 4096, .clones = quick ? 20 : 500
  };
  const char *mapped = quick ? "64 MiB" : "4 GiB";
  double with_big, with_small, ratio;

  report_head ("Clone: one call of the engine; a page is written before each",
               "median", "writes");
  with_big = report_case (text ("%s mapped, idle", mapped), c, rounds,
                          AT_MOST, 1);
  c.mapped = small;
  with_small = report_case (text ("%s mapped, idle",
                                  quick ? "4 MiB" : "16 MiB"), c, rounds,
                            AT_MOST, 1);
  ratio = with_big / with_small;
  report_row ("independent of size: the first to the second", "", "", &ratio,
              1, "x", INFO, 0);
  c.mapped = big;
  c.writers = 1;
  report_case (text ("%s mapped, 1 writer of 4 KiB", mapped), c, rounds,
               AT_MOST, 10);
  c.writers = 2;
  report_case (text ("%s mapped, 2 writers of 4 KiB", mapped), c, rounds,
               AT_MOST, 10);
  c.block = BIG;
  report_case (text ("%s mapped, 2 writers of 256 KiB", mapped), c, rounds,
               AT_MOST, 10);

  report_head ("Shrink to nothing: one call of the engine", "median", "writes");
  c.writers = 0;
  c.resize = true;
  c.clones = 3;
  report_case (text ("%s mapped, idle", mapped), c, 1, INFO, 0);
}
