/* SPDX-License-Identifier: BSD-3-Clause */
/* What the records in an arena's file refer to, during recovery: origins, and
 * the disks that others were cloned from.  recover.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/printable.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/node.h"
#include "ramdisk/radix.h"
#include "ramdisk/recover-parts.h"

/* A record's id, and where it is. */
struct numbered {
  uint64_t id;
  size_t i;
};

static int
by_number (const void *a, const void *b)
{
  const struct numbered *x = a, *y = b;

  return x->id != y->id ? (x->id < y->id ? -1 : 1)
    : x->i < y->i ? -1 : x->i > y->i;
}

/* NULL: there is none. */
static const struct numbered *
find_number (const struct numbered *list, size_t n, uint64_t id)
{
  size_t low = 0, high = n;

  while (low < high) {
    size_t mid = low + (high - low) / 2;

    if (list[mid].id < id)
      low = mid + 1;
    else
      high = mid;
  }
  return id && low < n && list[low].id == id ? &list[low] : NULL;
}

/* Those that may be referred to, sorted.  NULL with errno: no memory. */
static struct numbered *
number (const struct recoverer *r, size_t *n)
{
  struct numbered *list = reallocarray (NULL, r->nfound + 1, sizeof *list);
  size_t i;

  *n = 0;
  if (list == NULL)
    return NULL;
  for (i = 0; i < r->nfound; i++)
    if (recover_is_kept (&r->found[i]))
      list[(*n)++] = (struct numbered) { r->found[i].record->id, i };
  qsort (list, *n, sizeof *list, by_number);
  return list;
}

static void
check_reference (struct recoverer *r, struct found *d,
                 const struct numbered *to)
{
  const struct layout_record *rec = d->record;
  struct found *o = to ? &r->found[to->i] : NULL;

  if (rec->origin == 0) {
    if (atomic_load (&rec->origin_end) != 0)
      recover_damage (d, "an end of an origin, which it does not have");
  }
  else if (o == NULL || o->damaged || !recover_is_origin (o))
    recover_damage (d, "its origin is missing, or damaged");
  else if (atomic_load (&rec->origin_end) > atomic_load (&o->record->size))
    recover_damage (d, "it shows more of its origin than there is");
  else
    d->origin = o;
}

/* Find the origin of each disk.  What is damaged so far is not one. */
int
recover_find_origins (struct recoverer *r)
{
  struct numbered *list;
  size_t n, i;

  list = number (r, &n);
  if (list == NULL)
    return -1;
  for (i = 1; i < n; i++)
    if (list[i].id == list[i - 1].id)
      recover_damage (&r->found[list[i].i], "another one has its number");
  for (i = 0; i < r->nfound; i++)
    if (!r->found[i].damaged && !recover_is_origin (&r->found[i]))
      check_reference (r, &r->found[i],
                       find_number (list, n, r->found[i].record->origin));
  free (list);
  return 0;
}

static bool
is_complete (const struct found *o)
{
  return atomic_load (&o->record->flags) & LAYOUT_COMPLETE;
}

/* Is there a hole below a slot, before the page of that index?  Its nodes have
 * been checked.
 */
static bool
has_hole (const struct recoverer *r, page_t page, unsigned level,
          uint64_t pages)
{
  struct node *node;
  uint64_t span, i;

  if (pages == 0 || page == PAGE_ZERO)
    return false;
  if (page == PAGE_HOLE)
    return true;
  if (level == 0)
    return false;
  node = node_at (&r->p->a, page);
  span = slot_span (level);
  for (i = 0; i < NODE_SLOTS && i * span < pages; i++)
    if (has_hole (r, slot_load (node, i), level - 1,
                  pages - i * span < span ? pages - i * span : span))
      return true;
  return false;
}

/* How many pages of shared trees may be walked because shrinks were cut short,
 * in multiples of all pages: so many shrinks of clones may be in flight at a
 * time, each for a control client.  But a file could be made in which each
 * record is one, of the same tree.
 */
#define MOST_UNFINISHED 256

/* What is walked for each record, and not once for all: the caches of origins,
 * which share no page (O3), and what is beyond the end of a disk
 * (disk_settle).  Those that would be walked more than that are damaged.
 */
static void
check_shared (struct recoverer *r)
{
  uint64_t caches = 0, unfinished = 0, pages;
  size_t i;

  for (i = 0; i < r->nfound; i++) {
    struct found *d = &r->found[i];
    uint64_t root = atomic_load (&d->record->root);

    if (d->damaged || root_page (root) < PAGE_FIRST)
      continue;
    pages = (uint64_t) r->below[root_page (root)].data +
      r->below[root_page (root)].nodes;
    if (recover_is_origin (d)) {
      if (caches + pages > r->pages)
        recover_damage (d, "it shares pages with another origin");
      else
        caches += pages;
    }
    else if (!tree_ends_at (&r->p->a, root,
                            (atomic_load (&d->record->size) + PAGE_BYTES - 1)
                            >> PAGE_SHIFT)) {
      if (unfinished + pages > MOST_UNFINISHED * r->pages)
        recover_damage (d, "too much is beyond its end, and that of others");
      else
        unfinished += pages;
    }
  }
}

/* Where all was fetched, nothing is missing (P9). */
void
recover_check_complete (struct recoverer *r)
{
  size_t i;

  check_shared (r);
  for (i = 0; i < r->nfound; i++) {
    struct found *o = &r->found[i];
    uint64_t root = atomic_load (&o->record->root);
    uint64_t size = atomic_load (&o->record->size);

    if (recover_is_origin (o) && !o->damaged && is_complete (o) &&
        has_hole (r, root_page (root), root_height (root),
                  (size + PAGE_BYTES - 1) >> PAGE_SHIFT))
      recover_damage (o, "a part of it is missing");
  }
}

/* Once origins are known, they are damaged only by what their trees have. */
void
recover_spread_damage (struct recoverer *r)
{
  size_t i;

  for (i = 0; i < r->nfound; i++) {
    struct found *d = &r->found[i], *o = d->origin;

    if (o == NULL || !o->damaged)
      continue;
    if (r->o->salvage && !is_complete (o))
      o->lost = true;
    else
      recover_damage (d, "what was fetched from its origin: %.80s", o->why);
  }
}

/* max-memory= may be less than it was.  Where eviction would have helped, give
 * up what was fetched until this many pages are free.  Returns whether they
 * are.
 */
bool
recover_shed_fetched (struct recoverer *r, uint64_t pages)
{
  uint64_t shed = 0;
  size_t i;

  for (i = 0; i < r->nfound && shed < pages; i++) {
    struct found *o = &r->found[i];
    page_t root = root_page (atomic_load (&o->record->root));

    if (!recover_is_origin (o) || o->damaged || is_complete (o) ||
        root < PAGE_FIRST)
      continue;
    /* A cache shares no page (O3). */
    shed += r->below[root].data + r->below[root].nodes;
    recover_damage (o, "max-memory= has no room for it");
    o->lost = true;
  }
  return shed >= pages;
}

/* From here on the file is changed. */

void
recover_report_lost (struct recoverer *r)
{
  char uri[PRINTABLE_STRING], line[PRINTABLE_STRING + WHY_STRING + 80];
  size_t i;

  for (i = 0; i < r->nfound; i++) {
    struct found *o = &r->found[i];

    if (!o->lost)
      continue;
    snprintf (line, sizeof line, "what was fetched from the origin \"%s\" is "
              "given up, and will be fetched again: %s",
              printable (o->name, uri), o->why);
    r->o->warn (r->o->opaque, line);
    atomic_store (&o->record->root,
                  root_word (PAGE_HOLE,
                             root_height (atomic_load (&o->record->root))));
    o->mapped = 0;
  }
}

/* Tell each recovered disk its origin and its parent. */
int
recover_connect (struct recoverer *r, struct recovered *rec)
{
  size_t n, i, kept = 0, *index;
  struct numbered *list = number (r, &n);

  index = reallocarray (NULL, r->nfound + 1, sizeof *index);
  if (list == NULL || index == NULL) {
    free (list);
    free (index);
    return -1;
  }
  for (i = 0; i < r->nfound; i++) {
    index[i] = kept;
    kept += recover_is_kept (&r->found[i]);
  }
  for (i = 0; i < r->nfound; i++) {
    const struct found *d = &r->found[i];
    struct recovered_disk *to = &rec->disk[index[i]];
    const struct numbered *parent;

    if (!recover_is_kept (d))
      continue;
    parent = find_number (list, n, d->record->parent);
    to->origin = d->origin
      ? index[d->origin - r->found] - rec->ndisks : RECOVERED_NONE;
    to->parent = parent && index[parent->i] < rec->ndisks
      ? index[parent->i] : RECOVERED_NONE;
  }
  free (list);
  free (index);
  return 0;
}
