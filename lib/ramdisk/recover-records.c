/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of an arena's file, during recovery.  recover.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk-origin.h"
#include "ramdisk/disk.h"
#include "ramdisk/radix.h"
#include "ramdisk/records.h"
#include "ramdisk/recover-parts.h"

static bool
is_table (const struct recoverer *r, page_t page)
{
  const struct layout_table *t;

  if (!recover_is_page (r, page))
    return false;
  t = recover_table (r, page);
  return t->magic == LAYOUT_TABLE_MAGIC && t->self == page &&
    t->id == r->p->file->header->id;
}

static int
add_table (struct recoverer *r, page_t page)
{
  if (r->ntables == r->alloc_tables) {
    uint32_t alloc = r->alloc_tables ? r->alloc_tables * 2 : 64;
    page_t *table = reallocarray (r->table, alloc, sizeof *table);

    if (table == NULL)
      return -1;
    r->table = table;
    r->alloc_tables = alloc;
  }
  r->table[r->ntables++] = page;
  r->kind[page] = KIND_RECORDS;
  return 0;
}

/* The tables, from the newest to number 0: their index tells whether one is
 * missing.  If so, salvage looks for them everywhere.
 */
int
recover_find_tables (struct recoverer *r, char **error)
{
  page_t page = atomic_load (&r->p->file->header->tables);
  uint32_t index = 0, i;

  for (; page != PAGE_HOLE; page = recover_table (r, page)->next) {
    if (!is_table (r, page) || r->kind[page] ||
        (r->ntables && recover_table (r, page)->index + 1 != index))
      break;
    index = recover_table (r, page)->index;
    if (add_table (r, page) == -1)
      return recover_fail (error, "%s", strerror (errno));
  }
  r->tables_damaged = page != PAGE_HOLE || (r->ntables && index != 0);
  if (!r->tables_damaged) {
    for (i = 0; i < r->ntables / 2; i++) {
      page = r->table[i];
      r->table[i] = r->table[r->ntables - 1 - i];
      r->table[r->ntables - 1 - i] = page;
    }
    return 0;
  }
  if (!r->o->salvage)
    return recover_fail (error, "its list of disks is damaged; "
                         "arena-salvage=yes looks for them in all of it");
  for (i = 0; i < r->ntables; i++)
    r->kind[r->table[i]] = 0;
  r->ntables = 0;
  for (page = PAGE_FIRST; page < r->pages; page++)
    if (is_table (r, page) && add_table (r, page) == -1)
      return recover_fail (error, "%s", strerror (errno));
  r->o->warn (r->o->opaque, "the list of disks was damaged, and was rebuilt "
              "from the disks that were found");
  return 0;
}

static uint64_t
highest (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

/* What only the record of an origin has. */
static void
check_origin (struct found *d)
{
  const struct layout_record *rec = d->record;

  if (*d->name == '\0' || strlen (d->name) != rec->name_len ||
      rec->name_len > LAYOUT_MAX_NAME || !utf8_is_valid (d->name))
    recover_damage (d, "its URI is not valid");
  else if (rec->block == 0 || rec->block > ORIGIN_MOST_RUN ||
           rec->block & (rec->block - 1))
    recover_damage (d, "blocks of %" PRIu32 " pages", rec->block);
  else if (atomic_load (&rec->size) > ORIGIN_MAX_SIZE || rec->sector_size != 1)
    recover_damage (d, "a size of %" PRIu64 " bytes", atomic_load (&rec->size));
  else if (rec->origin || rec->parent || atomic_load (&rec->origin_end))
    recover_damage (d, "an origin of its own");
}

/* Values that disks and origins have. */
static void
check_values (struct found *d)
{
  const struct layout_record *rec = d->record;
  uint64_t size = atomic_load (&rec->size), root = atomic_load (&rec->root);

  if (rec->sector_size != 1 &&
      (rec->sector_size < DISK_MIN_SECTOR ||
       rec->sector_size > DISK_MAX_SECTOR ||
       rec->sector_size & (rec->sector_size - 1)))
    recover_damage (d, "sectors of %" PRIu32 " bytes", rec->sector_size);
  else if (size > DISK_MAX_SIZE || size & (rec->sector_size - 1))
    recover_damage (d, "a size of %" PRIu64 " bytes", size);
  else if (atomic_load (&rec->flags) &
           ~(rec->kind == LAYOUT_ORIGIN ? LAYOUT_ORIGIN_FLAGS
             : LAYOUT_DISK_FLAGS))
    recover_damage (d, "a flag that it cannot have");
  else if (root != root_word (root_page (root), root_height (root)) ||
           root_height (root) < 1 || root_height (root) > TREE_MAX_HEIGHT ||
           (size + PAGE_BYTES - 1) >> PAGE_SHIFT >
           height_span (root_height (root)))
    recover_damage (d, "a tree of height %u for %" PRIu64 " bytes",
                    root_height (root), size);
}

/* Read the name, with what can be said of it, and of the rest. */
int
recover_check_record (struct recoverer *r, struct found *d)
{
  struct layout_record *rec = d->record;
  const char *name;

  if (rec->name_len > PAGE_BYTES ||
      (rec->name_page < PAGE_FIRST && rec->name_len > LAYOUT_INLINE_NAME) ||
      (rec->name_page != PAGE_HOLE &&
       (!recover_is_page (r, rec->name_page) || r->kind[rec->name_page]))) {
    recover_damage (d, "its name refers to no page");
    return 0;
  }
  name = record_name (&r->p->a, rec);
  d->name = strndup (name, rec->name_len);
  if (d->name == NULL)
    return -1;
  if (rec->checksum != layout_record_checksum (d->seq, rec, name)) {
    recover_damage (d, "the checksum of its record is wrong");
    return 0;
  }
  d->is_origin = rec->kind == LAYOUT_ORIGIN;
  /* Not before: a wrong number may be another disk's data. */
  if (rec->name_page != PAGE_HOLE)
    r->kind[rec->name_page] = KIND_RECORDS;
  /* There must be higher ones. */
  if (highest (d->seq, highest (rec->id, highest (rec->origin, rec->parent))) >
      UINT64_MAX / 2)
    recover_damage (d, "its number is too high");
  else if (rec->id == 0)
    recover_damage (d, "it has no number");
  else if (rec->kind == LAYOUT_ORIGIN)
    check_origin (d);
  else if (rec->kind != LAYOUT_DISK)
    recover_damage (d, "neither a disk nor an origin, but of kind %" PRIu32,
                    rec->kind);
  else if (strlen (d->name) != rec->name_len ||
           r->o->check_name (d->name) != NULL)
    recover_damage (d, "its name is not valid");
  if (!d->damaged)
    check_values (d);
  return 0;
}

int
recover_find_records (struct recoverer *r)
{
  uint32_t t;
  unsigned i;

  for (t = 0; t < r->ntables; t++)
    for (i = 0; i < LAYOUT_TABLE_RECORDS; i++) {
      struct layout_record *rec = &recover_table (r, r->table[t])->record[i];
      uint64_t seq = atomic_load (&rec->seq);

      if (seq == 0)
        continue;
      if (r->nfound == r->alloc_found) {
        size_t alloc = r->alloc_found ? r->alloc_found * 2 : 64;
        struct found *found = reallocarray (r->found, alloc, sizeof *found);

        if (found == NULL)
          return -1;
        r->found = found;
        r->alloc_found = alloc;
      }
      r->found[r->nfound++] = (struct found) { .record = rec, .seq = seq };
    }
  return 0;
}

static int
by_seq (const void *a, const void *b)
{
  const struct found *x = a, *y = b;

  return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int
by_name (const void *a, const void *b)
{
  const struct found *x = a, *y = b;
  int c = recover_is_origin (x) - recover_is_origin (y);

  if (c == 0)
    c = (x->name == NULL) - (y->name == NULL);
  if (c == 0 && x->name)
    c = strcmp (x->name, y->name);
  return c ? c : by_seq (a, b);
}

/* A record that is gone: replaced, or a disk's that is dropped. */
static void
drop (struct found *d)
{
  free (d->name);
  d->name = NULL;
  d->record = NULL;
}

/* Leave out disks that were replaced (P4), and those that do not outlast their
 * clients, which are counted.  Sorts by name, and origins behind all disks.
 */
uint64_t
recover_sort_out (struct recoverer *r)
{
  uint64_t ephemeral = 0;
  size_t i, n = 0;

  if (r->nfound == 0)
    return 0;
  qsort (r->found, r->nfound, sizeof *r->found, by_seq);
  for (i = 0; i < r->nfound; i++) {
    struct found key = { .seq = r->found[i].record->replaces }, *old;

    if (i > 0 && r->found[i].seq == r->found[i - 1].seq)
      recover_damage (&r->found[i], "another disk has its number");
    if (r->found[i].damaged || key.seq == 0)
      continue;
    old = bsearch (&key, r->found, r->nfound, sizeof *r->found, by_seq);
    if (old && old < &r->found[i] && old->record)
      drop (old);
  }
  for (i = 0; i < r->nfound; i++)
    if (r->found[i].record && !r->found[i].damaged &&
        !recover_is_origin (&r->found[i]) &&
        atomic_load (&r->found[i].record->flags) & LAYOUT_EPHEMERAL) {
      drop (&r->found[i]);
      ephemeral++;
    }
  for (i = 0; i < r->nfound; i++)
    if (r->found[i].record)
      r->found[n++] = r->found[i];
  r->nfound = n;
  qsort (r->found, n, sizeof *r->found, by_name);
  for (i = 1; i < n; i++)
    if (r->found[i].name && r->found[i - 1].name &&
        !recover_is_origin (&r->found[i]) &&
        strcmp (r->found[i].name, r->found[i - 1].name) == 0)
      recover_damage (&r->found[i], "another disk has its name");
  return ephemeral;
}

/* From here on the file is changed. */

/* Link the tables that were found, oldest first. */
static void
mend_tables (struct recoverer *r)
{
  uint32_t i;

  for (i = 0; i < r->ntables; i++) {
    recover_table (r, r->table[i])->index = i;
    recover_table (r, r->table[i])->next = i ? r->table[i - 1] : PAGE_HOLE;
  }
  atomic_store (&r->p->file->header->tables,
                r->ntables ? r->table[r->ntables - 1] : PAGE_HOLE);
}

static int
by_record (const void *a, const void *b)
{
  struct layout_record *const *x = a, *const *y = b;

  return *x < *y ? -1 : *x > *y;
}

/* Records that are no disk's are free. */
int
recover_settle_records (struct recoverer *r)
{
  struct arena_file *f = r->p->file;
  struct layout_record **kept = NULL;
  size_t nkept = 0, i;
  uint32_t t;

  f->alloc = r->ntables * LAYOUT_TABLE_RECORDS;
  f->free = f->alloc ? reallocarray (NULL, f->alloc, sizeof *f->free) : NULL;
  kept = reallocarray (NULL, r->nfound + 1, sizeof *kept);
  if ((f->alloc && f->free == NULL) || kept == NULL) {
    free (kept);
    return -1;
  }
  for (i = 0; i < r->nfound; i++)
    if (recover_is_kept (&r->found[i]))
      kept[nkept++] = r->found[i].record;
  qsort (kept, nkept, sizeof *kept, by_record);

  if (r->tables_damaged)
    mend_tables (r);
  f->tables = r->ntables;
  for (t = r->ntables; t-- > 0; )
    for (i = LAYOUT_TABLE_RECORDS; i-- > 0; ) {
      struct layout_record *rec = &recover_table (r, r->table[t])->record[i];

      if (bsearch (&rec, kept, nkept, sizeof *kept, by_record)) {
        f->long_names += rec->name_page >= PAGE_FIRST;
        /* Also what is gone must not come back as another (P4). */
        f->last_seq = highest (highest (f->last_seq, atomic_load (&rec->seq)),
                               highest (rec->id, highest (rec->origin,
                                                          rec->parent)));
        continue;
      }
      if (atomic_load (&rec->seq) != 0)
        record_unlink (rec);
      rec->name_page = PAGE_HOLE;
      f->free[f->nfree++] = rec;
    }
  free (kept);
  return 0;
}
