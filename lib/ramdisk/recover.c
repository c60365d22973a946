/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery of an arena from its file.  recover.h has the design. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/printable.h"
#include "base/size.h"
#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/recover-parts.h"
#include "ramdisk/recover.h"

int
recover_fail (char **error, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  if (vasprintf (error, fmt, ap) == -1)
    *error = NULL;
  va_end (ap);
  return -1;
}

void
recover_damage (struct found *d, const char *fmt, ...)
{
  va_list ap;

  if (d->damaged)
    return;
  d->damaged = true;
  va_start (ap, fmt);
  vsnprintf (d->why, sizeof d->why, fmt, ap);
  va_end (ap);
}

static void *
map (size_t len)
{
  void *addr = mmap (NULL, len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  return addr == MAP_FAILED ? NULL : addr;
}

static void
show_name (const struct found *d, char buf[PRINTABLE_STRING])
{
  printable (d->name ? d->name : "(unknown)", buf);
}

/* Say what is damaged.  Returns how many disks. */
static int
report_damage (struct recoverer *r, uint64_t *n, char **error)
{
  char name[PRINTABLE_STRING], line[PRINTABLE_STRING + WHY_STRING + 32];
  const struct found *first = NULL;
  size_t i;

  *n = 0;
  for (i = 0; i < r->nfound; i++) {
    struct found *d = &r->found[i];

    if (!d->damaged || recover_is_origin (d))   /* its disks are, too */
      continue;
    ++*n;
    if (first == NULL)
      first = d;
    if (r->o->salvage) {
      show_name (d, name);
      snprintf (line, sizeof line, "disk \"%s\" is damaged and given up: %s",
                name, d->why);
      r->o->warn (r->o->opaque, line);
    }
  }
  if (*n == 0 || r->o->salvage)
    return 0;
  show_name (first, name);
  if (*n == 1)
    return recover_fail (error, "disk \"%s\" is damaged: %s; "
                         "arena-salvage=yes gives it up and keeps the others",
                         name, first->why);
  return recover_fail (error, "%" PRIu64 " disks are damaged, the first is "
                       "\"%s\": %s; arena-salvage=yes gives them up and keeps "
                       "the others", *n, name, first->why);
}

/* From here on the file is changed. */

static int
settle_disks (struct recoverer *r, struct recovered *rec, char **error)
{
  struct recovered_disk *disks = rec->disk;
  char name[PRINTABLE_STRING];
  size_t i, n = 0;

  for (i = 0; i < r->nfound; i++) {
    struct found *d = &r->found[i];

    if (!recover_is_kept (d))
      continue;
    disks[n].disk = disk_restore (&r->p->a, d->record,
                                  d->mapped << PAGE_SHIFT);
    if (disks[n].disk == NULL)
      return recover_fail (error, "%s", strerror (errno));
    disks[n++].name = d->name;
    d->name = NULL;
  }
  if (recover_connect (r, rec) == -1)
    return recover_fail (error, "%s", strerror (errno));
  /* Only now that all counts of all disks are right. */
  for (i = 0; i < n; i++)
    if (disk_settle (disks[i].disk) == -1) {
      printable (disks[i].name, name);
      return recover_fail (error, "disk \"%s\": there is no room to finish "
                           "what a crash has cut short: %s", name,
                           strerror (errno));
    }
  return 0;
}

static int
check_all (struct recoverer *r, struct recovery *result, char **error)
{
  size_t i;

  if (recover_take_maps (r, error) == -1 ||
      recover_check_space (r, error) == -1 ||
      recover_find_tables (r, error) == -1)
    return -1;
  if (recover_find_records (r) == -1)
    return recover_fail (error, "%s", strerror (errno));
  for (i = 0; i < r->nfound; i++)
    if (recover_check_record (r, &r->found[i]) == -1)
      return recover_fail (error, "%s", strerror (errno));
  result->ephemeral = recover_sort_out (r);
  if (recover_find_origins (r) == -1)
    return recover_fail (error, "%s", strerror (errno));
  recover_check_trees (r);
  return report_damage (r, &result->damaged, error);
}

/* Make room for what is kept. */
static int
make_list (struct recoverer *r, struct recovered *rec)
{
  size_t i;

  for (i = 0; i < r->nfound; i++)
    if (recover_is_kept (&r->found[i]))
      ++*(recover_is_origin (&r->found[i]) ? &rec->norigins : &rec->ndisks);
  rec->disk = calloc (rec->ndisks + rec->norigins + 1, sizeof *rec->disk);
  rec->origin = rec->disk ? rec->disk + rec->ndisks : NULL;
  return rec->disk ? 0 : -1;
}

/* Tables and long names. */
static void
count_records (struct recoverer *r)
{
  uint32_t i;
  size_t j;

  for (i = 0; i < r->ntables; i++)
    recover_count_one (r, r->table[i]);
  for (j = 0; j < r->nfound; j++)
    if (recover_is_kept (&r->found[j]) &&
        r->found[j].record->name_page >= PAGE_FIRST)
      recover_count_one (r, r->found[j].record->name_page);
}

/* Trims may have gone beyond the limit, by what is set aside for them. */
static bool
fits (const struct recoverer *r)
{
  return r->used <= r->p->limit + (uint64_t) r->p->file->overdraft;
}

static int
accept (struct recoverer *r, struct recovered *rec, struct recovery *result,
        char **error)
{
  struct arena_private *p = r->p;
  char used[SIZE_STRING];

  count_records (r);
  result->used = r->used * PAGE_BYTES;
  if (!fits (r) && recover_shed_fetched (r, r->used - p->limit)) {
    recover_count_again (r);
    count_records (r);
    result->used = r->used * PAGE_BYTES;
  }
  if (!fits (r))
    return recover_fail (error, "holds %s, more than max-memory= allows; "
                         "expected a larger one",
                         size_format (result->used, used));
  if (make_list (r, rec) == -1)
    return recover_fail (error, "%s", strerror (errno));
  if (arena_file_use (p) == -1)
    return recover_fail (error, "cannot write to it: %s", strerror (errno));
  if (recover_settle_records (r) == -1)
    return recover_fail (error, "%s", strerror (errno));
  recover_settle_pages (r);
  recover_settle_space (r);
  arena_back (p, 0, true);      /* for the overdraft; and what is there */
  recover_report_lost (r);
  if (settle_disks (r, rec, error) == -1)
    return -1;
  result->disks = rec->ndisks;
  return 0;
}

int
arena_recover (struct arena *a, const struct recover_options *o,
               struct recovered *rec, struct recovery *result, char **error)
{
  struct arena_private *p = a->priv;
  struct arena_file *f = p->file;
  struct recoverer r = {
    .p = p, .o = o, .chunks = atomic_load (&f->header->chunks),
  };
  int64_t start = clock_now ();
  size_t i;
  int ret = -1;

  *error = NULL;
  memset (rec, 0, sizeof *rec);
  memset (result, 0, sizeof *result);
  result->from = f->is_new ? RECOVERED_NEW
    : atomic_load (&f->header->state) == LAYOUT_CLEAN ? RECOVERED_CLEAN
    : RECOVERED_CRASH;
  r.pages = (uint64_t) r.chunks * CHUNK_PAGES;
  /* One fault for all, where page by page would take most of the time.  An
   * error only means that they come one by one.
   */
  (void) madvise (p->a.refs, r.pages * sizeof *p->a.refs, MADV_POPULATE_WRITE);
  (void) madvise (p->a.owner_generation,
                  r.pages * sizeof *p->a.owner_generation,
                  MADV_POPULATE_WRITE);
  r.kind = map (r.pages + 1);
  if (r.kind)
    (void) madvise (r.kind, r.pages + 1, MADV_POPULATE_WRITE);
  r.below = map ((r.pages + 1) * sizeof *r.below);
  if (r.kind && r.below && check_all (&r, result, error) == 0)
    ret = accept (&r, rec, result, error);
  if (ret == -1) {
    for (i = 0; rec->disk && i < rec->ndisks + rec->norigins; i++) {
      disk_free (rec->disk[i].disk);
      free (rec->disk[i].name);
    }
    free (rec->disk);
    memset (rec, 0, sizeof *rec);
  }
  if (r.kind)
    munmap (r.kind, r.pages + 1);
  if (r.below)
    munmap (r.below, (r.pages + 1) * sizeof *r.below);
  for (i = 0; i < r.nfound; i++)
    free (r.found[i].name);
  free (r.found);
  free (r.table);
  result->microseconds = (clock_now () - start) / 1000;
  return ret;
}
