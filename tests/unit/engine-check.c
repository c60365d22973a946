/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants of the engine, checked on a whole arena at rest. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine-check.h"
#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/records.h"

struct walk {
  uint32_t *found;              /* references seen, by page number */
  uint64_t alloc;
  uint64_t pages;               /* with at least one */
};

static bool
seen (void *opaque, page_t page, unsigned level)
{
  struct walk *w = opaque;

  (void) level;
  while (page >= w->alloc) {
    uint64_t i, alloc = w->alloc ? w->alloc * 2 : 4096;

    w->found = realloc (w->found, alloc * sizeof *w->found);
    if (w->found == NULL)
      abort ();
    for (i = w->alloc; i < alloc; i++)
      w->found[i] = 0;
    w->alloc = alloc;
  }
  if (w->found[page]++)
    return false;
  w->pages++;
  return true;
}

void
engine_check (struct arena *a, struct disk *const *disks, size_t n)
{
  struct walk w = { .found = NULL };
  uint64_t page;
  size_t i;

  arena_reclaim (a);
  for (i = 0; i < n; i++)
    if (disks[i])
      tree_check (&disks[i]->tree, seen, &w);
  for (page = PAGE_FIRST; page < w.alloc; page++)
    if (w.found[page] != 0 && w.found[page] != arena_refs (a, page)) {
      fprintf (stderr, "engine: page %" PRIu64 " has a count of %" PRIu32
               ", but %" PRIu32 " references lead to it\n",
               page, arena_refs (a, page), w.found[page]);
      abort ();
    }
  arena_check (a, w.pages + record_pages (a));
  free (w.found);
}

struct collection {
  struct disk **disk;
  size_t n;
};

static void
add (struct collection *c, struct disk *d)
{
  size_t i;

  for (i = 0; i < c->n; i++)
    if (c->disk[i] == d)
      return;
  c->disk[c->n++] = d;
}

/* And the caches of origins. */
static int
collect (void *opaque, const struct named_disk *d)
{
  add (opaque, d->disk);
  if (d->disk->origin)
    add (opaque, origin_cache (d->disk->origin));
  return 0;
}

void
engine_check_all (struct arena *a, struct registry *r)
{
  struct collection c = {
    .disk = calloc (2 * registry_count (r) + 1, sizeof *c.disk)
  };

  if (c.disk == NULL)
    abort ();
  registry_each (r, NULL, collect, &c);
  engine_check (a, c.disk, c.n);
  free (c.disk);
}
