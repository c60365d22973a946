/* SPDX-License-Identifier: BSD-3-Clause */
/* The cost and the use of detect-same, measured by calling the engine.
 *
 * All of a clone is overwritten in order, with detect-same and without, in
 * turn.  Each pass has a fresh clone, so each page is shared when it is
 * written.
 */

#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine-same.h"
#include "peer.h"
#include "program.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "report.h"

/* What is written to a page, next to what it holds. */
enum content {
  OTHER,                        /* the first byte differs */
  LATE,                         /* only the last one does: the worst case */
  SAME,
};

struct same_case {
  uint64_t size;                /* bytes, of the disk */
  uint32_t block;               /* bytes, of a request */
  enum content content;
  bool owned;                   /* the pages are not shared */
  unsigned passes;
};

/* What the child returns: requests a second. */
enum { WITH, WITHOUT, NVALUES };

static void
write_all (struct disk *d, const struct same_case *c, const char *buf)
{
  uint64_t offset;

  for (offset = 0; offset < c->size; offset += c->block)
    if (disk_write (d, buf, c->block, offset) == -1)
      fail ("write");
}

static double
time_of_pass (struct disk *base, const struct same_case *c, bool detect,
              const char *content)
{
  struct disk *d = c->owned ? base : disk_clone (base);
  double begin, end;

  if (d == NULL)
    fail ("clone");
  d->detect_same = detect;
  begin = now ();
  write_all (d, c, content);
  end = now ();
  if (d != base)
    disk_free (d);
  return end - begin;
}

static int
run_case (void *arg, double *values)
{
  const struct same_case *c = arg;
  struct arena *arena = arena_create (4 * c->size + 512 * MIB);
  struct disk *d = arena ? disk_new (arena, c->size, 1) : NULL;
  char *old = malloc (c->block), *content = malloc (c->block);
  double t[NVALUES] = { 0 };
  unsigned i;

  if (d == NULL || old == NULL || content == NULL ||
      arena_start (arena) == -1)
    fail ("start");
  memset (old, 0x5a, c->block);
  memset (content, c->content == OTHER ? 0xa5 : 0x5a, c->block);
  for (i = PAGE_BYTES - 1; c->content == LATE && i < c->block; i += PAGE_BYTES)
    content[i] = 0;
  write_all (d, c, old);
  for (i = 0; i < 2 * c->passes; i++) {
    /* With, without, without, with: neither is always the second. */
    unsigned which = (i + 1) / 2 % 2 ? WITHOUT : WITH;

    t[which] += time_of_pass (d, c, which == WITH, content);
  }
  for (i = 0; i < NVALUES; i++)
    values[i] = c->passes * (double) (c->size / c->block) / t[i];
  free (old);
  free (content);
  return 0;
}

static void
report_case (const char *what, struct same_case c, unsigned rounds)
{
  double *with = calloc (3 * rounds, sizeof *with), value[NVALUES];
  double *without = with + rounds, *ratio = without + rounds;
  unsigned i;

  if (with == NULL)
    fail ("calloc");
  for (i = 0; i < rounds; i++) {
    in_child (run_case, &c, value, NVALUES);
    with[i] = value[WITH];
    without[i] = value[WITHOUT];
  }
  divide (ratio, with, without, rounds);
  report_row (what, text ("%.2f M/s", median (with, rounds) / 1e6),
              text ("%.2f M/s", median (without, rounds) / 1e6), ratio, rounds,
              "x", INFO, 0);
  free (with);
}

void
report_same (bool quick, unsigned rounds)
{
  static const struct {
    const char *what;
    uint32_t block;
    enum content content;
    bool owned;
  } cases[] = {
    { "4 KiB of other data to shared pages", PAGE, OTHER, false },
    { "  that differ in their last byte only", PAGE, LATE, false },
    { "256 KiB of other data to shared pages", BIG, OTHER, false },
    { "  that differ in their last byte only", BIG, LATE, false },
    { "4 KiB of other data to pages of its own", PAGE, OTHER, true },
    { "4 KiB of the same data to shared pages", PAGE, SAME, false },
    { "256 KiB of the same data to shared pages", BIG, SAME, false },
  };
  struct same_case c = {
    .size = quick ? 16 * MIB : 512 * MIB, .passes = quick ? 2 : 4,
  };
  size_t i;

  report_head ("Writes in order to all of a clone: detect-same=yes to no",
               "yes", "no");
  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    c.block = cases[i].block;
    c.content = cases[i].content;
    c.owned = cases[i].owned;
    report_case (cases[i].what, c, rounds);
  }
}
