/* SPDX-License-Identifier: BSD-3-Clause */
/* Load: recreates disks that were saved in a folder. */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/printable.h"
#include "save/load.h"

/* How many pages are read at a time. */
#define WINDOW 64

/* Of how many pages of a disk it is asked who else has them, and for how many
 * disks the exact number of common pages is computed.
 */
#define MOST_SAMPLES 4096
#define MOST_CANDIDATES 8

/* How often to begin anew because somebody saves meanwhile (V4). */
#define MOST_ATTEMPTS 100

#define NOBODY UINT32_MAX

/* A file of the folder.  The folder says how many pages it has, and the memory
 * of owner is not the arena's.  So only what own has written takes any: 4
 * bytes for a page that is in the arena.
 */
struct file {
  int fd, sums;
  uint32_t *owner;              /* of each page: the first disk that has it,
                                 * + 1; 0: none.  NULL: none has any */
};

struct load {
  const struct load_options *o;
  int dir;
  struct saved saved;
  struct file *file;            /* of saved.file */
  size_t *disk;                 /* the wanted ones among saved.disk */
  struct loaded *loaded;
  size_t n;                     /* how many are wanted */
  uint32_t *at;                 /* of saved.disk: which wanted one, or NOBODY */
  uint32_t *votes;              /* of each wanted disk: pages in common */
  struct origin **origin;       /* of saved.origin, NULL: not opened yet */
  char *buf;
  uint64_t sum[WINDOW];
  char *why;
};

#define WRONG(l, ...) (snprintf ((l)->why, SAVED_WHY, __VA_ARGS__), -1)

static struct file *
find_file (struct load *l, uint32_t number)
{
  /* saved_read has checked that it is there. */
  return &l->file[saved_find_file (&l->saved, number)];
}

static int
open_file (struct load *l, const char *kind, size_t i, int *fd)
{
  char name[40];

  saved_name (kind, l->saved.file[i].number, name);
  *fd = saved_open_file (l->dir, name);
  return *fd == -1 ? WRONG (l, "%s: %s", name, strerror (errno)) : 0;
}

static int
open_files (struct load *l)
{
  size_t i;

  descriptors_want (2 * l->saved.nfiles);
  l->file = calloc (l->saved.nfiles + 1, sizeof *l->file);
  for (i = 0; l->file && i < l->saved.nfiles; i++)
    l->file[i].fd = l->file[i].sums = -1;
  for (i = 0; l->file && i < l->saved.nfiles; i++)
    if (open_file (l, "data", i, &l->file[i].fd) == -1 ||
        open_file (l, "sums", i, &l->file[i].sums) == -1)
      return -1;
  return l->file ? 0 : WRONG (l, "out of memory");
}

/* ------------------------------------------------------------ what is whose */

/* What a disk has from index on: *n pages in the same place.  file 0 and page
 * 0: zeros; file NOBODY: a hole.
 */
struct part {
  uint64_t index, n, page;
  uint32_t file;
};

static struct part
part_at (const struct saved_disk *d, size_t *run, uint64_t index)
{
  const struct saved_run *r;

  while (*run < d->n && d->run[*run].index + d->run[*run].n <= index)
    ++*run;
  if (*run == d->n)
    return (struct part) { index, UINT64_MAX, 0, NOBODY };
  r = &d->run[*run];
  if (r->index > index)
    return (struct part) { index, r->index - index, 0, NOBODY };
  return (struct part) {
    index, r->n - (index - r->index),
    r->file ? r->page + (index - r->index) : 0, r->file
  };
}

static uint64_t
pages_of (const struct saved_disk *d)
{
  return d->size / SAVED_PAGE + (d->size % SAVED_PAGE > 0);
}

/* Call fn for each part of d that differs from other, which may be NULL. */
static int
each_difference (struct load *l, const struct saved_disk *d,
                 const struct saved_disk *other,
                 int (*fn) (struct load *l, struct disk *disk,
                            const struct saved_disk *d, struct part part),
                 struct disk *disk, uint64_t *n)
{
  uint64_t index = 0, pages = pages_of (d);
  size_t run = 0, other_run = 0;
  int r = 0;

  while (index < pages && r == 0) {
    struct part a = part_at (d, &run, index);
    struct part b = other ? part_at (other, &other_run, index)
      : (struct part) { index, UINT64_MAX, 0, NOBODY };
    uint64_t length = a.n < b.n ? a.n : b.n;

    if (length > pages - index)
      length = pages - index;
    if (a.file != b.file || a.page != b.page) {
      a.n = length;
      if (a.file != NOBODY && n)
        *n += length;
      if (fn)
        r = fn (l, disk, d, a);
    }
    index += length;
  }
  return r;
}

/* Ask some pages of a disk, evenly spread, which earlier disk has them, too.
 * Returns how many disks there are, in voted.
 */
static unsigned
ask (struct load *l, const struct saved_disk *d, uint32_t voted[MOST_SAMPLES])
{
  uint64_t pages = 0, skip, next = 0, before = 0, k;
  unsigned n = 0;
  size_t r;

  for (r = 0; r < d->n; r++)
    pages += d->run[r].file ? d->run[r].n : 0;
  skip = pages / MOST_SAMPLES + 1;
  for (r = 0; r < d->n; r++) {
    const uint32_t *owner;

    if (d->run[r].file == 0)
      continue;
    owner = find_file (l, d->run[r].file)->owner;
    for (; next < before + d->run[r].n; next += skip) {
      k = owner ? owner[d->run[r].page + (next - before)] : 0;
      if (k > 0 && l->votes[k - 1]++ == 0)
        voted[n++] = k - 1;
    }
    before += d->run[r].n;
  }
  return n;
}

static void
consider (struct load *l, const struct saved_disk *d, uint32_t k,
          uint32_t *best, uint64_t *least)
{
  uint64_t n = 0;

  each_difference (l, d, &l->saved.disk[l->disk[k]], NULL, NULL, &n);
  if (n < *least) {
    *least = n;
    *best = k;
  }
}

/* The earlier disk to start from, or NOBODY: what the disk was cloned from, or
 * one of those that have most of its pages.
 */
static uint32_t
choose (struct load *l, uint32_t i)
{
  const struct saved_disk *d = &l->saved.disk[l->disk[i]], *parent;
  uint32_t best = NOBODY, voted[MOST_SAMPLES], k, most;
  uint64_t least = UINT64_MAX;
  unsigned n = ask (l, d, voted), j;

  parent = d->parent ? saved_find_disk (&l->saved, d->parent) : NULL;
  if (parent) {
    k = l->at[parent - l->saved.disk];
    if (k != NOBODY && k < i)
      consider (l, d, k, &best, &least);
  }
  for (k = 0; k < MOST_CANDIDATES; k++) {
    for (j = 0, most = 0; j < n; j++)
      if (l->votes[voted[j]] > l->votes[voted[most]])
        most = j;
    if (n == 0 || l->votes[voted[most]] == 0)
      break;
    l->votes[voted[most]] = 0;
    consider (l, d, voted[most], &best, &least);
  }
  for (j = 0; j < n; j++)
    l->votes[voted[j]] = 0;
  return best;
}

/* The disk is the first that has these pages, unless another one was. */
static int
own (struct load *l, struct disk *disk, const struct saved_disk *d,
     struct part p)
{
  struct file *f;
  uint64_t k;

  (void) disk;
  (void) d;
  if (p.file == NOBODY || p.file == 0)
    return 0;
  f = find_file (l, p.file);
  if (f->owner == NULL)
    f->owner = calloc (l->saved.file[f - l->file].pages, sizeof *f->owner);
  if (f->owner == NULL)
    return WRONG (l, "out of memory");
  for (k = 0; k < p.n; k++)
    if (f->owner[p.page + k] == 0)
      f->owner[p.page + k] = l->loaded->n;
  return 0;
}

/* -------------------------------------------------------------- the disks */

static int
no_memory (struct load *l)
{
  char full[ARENA_NO_SPACE];

  return WRONG (l, "%s", errno == ENOSPC ? arena_no_space (l->o->arena, full)
                : strerror (errno));
}

/* Write pages of a file to a disk. */
static int
copy_pages (struct load *l, struct disk *disk, const struct saved_disk *d,
            struct part p)
{
  struct file *f = find_file (l, p.file);
  uint64_t done, i, n, offset, bytes;

  for (done = 0; done < p.n; done += n) {
    n = p.n - done < WINDOW ? p.n - done : WINDOW;
    if (l->o->job && job_is_cancelled (l->o->job)) {
      errno = ECANCELED;
      return WRONG (l, "the job was cancelled");
    }
    if (pread (f->fd, l->buf, n * SAVED_PAGE, (p.page + done) * SAVED_PAGE) !=
        (ssize_t) (n * SAVED_PAGE))
      return WRONG (l, "mblock-data-%" PRIu32 ": page %" PRIu64 " cannot be "
                    "read", p.file, p.page + done);
    if (pread (f->sums, l->sum, n * sizeof *l->sum,
               (p.page + done) * sizeof *l->sum) !=
        (ssize_t) (n * sizeof *l->sum))
      return WRONG (l, "mblock-sums-%" PRIu32 ": page %" PRIu64 " cannot be "
                    "read", p.file, p.page + done);
    for (i = 0; i < n; i++)
      if (saved_checksum (l->buf + i * SAVED_PAGE, SAVED_PAGE) !=
          le64toh (l->sum[i]))
        return WRONG (l, "mblock-data-%" PRIu32 ": page %" PRIu64 " is damaged",
                      p.file, p.page + done + i);
    offset = (p.index + done) * SAVED_PAGE;
    bytes = n * SAVED_PAGE < d->size - offset ? n * SAVED_PAGE
      : d->size - offset;
    if (disk_write (disk, l->buf, bytes, offset) == -1)
      return no_memory (l);
    if (l->o->job) {
      job_add (l->o->job, n * SAVED_PAGE);
      job_sent (l->o->job, n * SAVED_PAGE);
    }
  }
  return 0;
}

static int
apply (struct load *l, struct disk *disk, const struct saved_disk *d,
       struct part p)
{
  uint64_t offset = p.index * SAVED_PAGE, bytes = d->size - offset;

  if (p.file != NOBODY && p.file != 0)
    return copy_pages (l, disk, d, p);
  /* The disk may end within the page that follows. */
  if (p.n <= bytes / SAVED_PAGE)
    bytes = p.n * SAVED_PAGE;
  return disk_zero (disk, bytes, offset, p.file == NOBODY) == -1
    ? no_memory (l) : 0;
}

/* Pages may be smaller than sectors, and the pages of one sector may come from
 * several files.  So disks are built with sectors of one byte.
 */
static int
load_disk (struct load *l, uint32_t i)
{
  const struct saved_disk *d = &l->saved.disk[l->disk[i]], *like = NULL;
  struct loaded_disk *to = &l->loaded->disk[i];
  uint32_t j = choose (l, i);

  *to = (struct loaded_disk) {
    .name = strdup (d->name), .readonly = d->readonly, .quota = d->quota,
    .uuid = d->uuid,
    .parent = d->parent ? strdup (d->parent) : NULL,
    .parent_index = LOADED_NO_PARENT,
  };
  l->loaded->n = i + 1;
  if (j == NOBODY)
    to->disk = disk_new (l->o->arena, d->size, 1);
  else {
    like = &l->saved.disk[l->disk[j]];
    to->disk = disk_clone (l->loaded->disk[j].disk);
    if (to->disk && d->size != like->size &&
        disk_resize (to->disk, d->size) == -1)
      return no_memory (l);
  }
  if (to->disk == NULL || to->name == NULL || (d->parent && !to->parent))
    return no_memory (l);
  if (each_difference (l, d, like, apply, to->disk, NULL) == -1)
    return -1;
  /* What both have is owned already. */
  return each_difference (l, d, like, own, to->disk, NULL);
}

/* ---------------------------------------------------------------- the whole */

static int
select_disks (struct load *l, uint64_t *bytes)
{
  char shown[PRINTABLE_STRING];
  const char *wrong;
  size_t i, r;

  l->disk = calloc (l->saved.ndisks + 1, sizeof *l->disk);
  l->at = malloc ((l->saved.ndisks + 1) * sizeof *l->at);
  l->origin = calloc (l->saved.norigins + 1, sizeof *l->origin);
  l->votes = calloc (l->saved.ndisks + 1, sizeof *l->votes);
  l->loaded->disk = calloc (l->saved.ndisks + 1, sizeof *l->loaded->disk);
  l->buf = malloc (WINDOW * SAVED_PAGE);
  if (!l->disk || !l->at || !l->origin || !l->votes || !l->loaded->disk || !l->buf)
    return WRONG (l, "out of memory");
  for (i = 0; i < l->saved.ndisks; i++) {
    const struct saved_disk *d = &l->saved.disk[i];

    l->at[i] = NOBODY;
    if (l->o->wanted && !l->o->wanted (l->o->opaque, d->name))
      continue;
    printable_name (d->name, shown);
    wrong = l->o->check_name (d->name);
    if (wrong)
      return WRONG (l, "disk \"%s\": expected a name of %s", shown, wrong);
    if (d->size > l->o->max_size)
      return WRONG (l, "disk \"%s\" has %" PRIu64 " bytes: expected at most "
                    "max-size=%" PRIu64, shown, d->size, l->o->max_size);
    l->at[i] = l->n;
    l->disk[l->n++] = i;
    for (r = 0; r < d->n; r++)
      *bytes += d->run[r].file ? (uint64_t) d->run[r].n * SAVED_PAGE : 0;
  }
  return 0;
}

/* Which wanted disk a wanted disk was cloned from, or NOBODY. */
static uint32_t
parent_of (const struct load *l, uint32_t i)
{
  const struct saved_disk *d = &l->saved.disk[l->disk[i]], *parent;

  parent = d->parent_exists ? saved_find_disk (&l->saved, d->parent) : NULL;
  return parent ? l->at[parent - l->saved.disk] : NOBODY;
}

/* No disk may descend from itself: then whoever goes from disks to parents
 * comes to an end.
 */
static int
check_parents (struct load *l)
{
  CLEANUP_FREE uint32_t *from = calloc (l->n + 1, sizeof *from);
  char shown[PRINTABLE_STRING];
  uint32_t i, k;

  if (from == NULL)
    return WRONG (l, "out of memory");
  for (i = 0; i < l->n; i++) {
    for (k = i; k != NOBODY && from[k] == 0; k = parent_of (l, k))
      from[k] = i + 1;
    if (k != NOBODY && from[k] == i + 1)
      return WRONG (l, SAVED_MANIFEST ": disk \"%s\" makes no sense: it "
                    "descends from itself",
                    printable_name (l->saved.disk[l->disk[k]].name, shown));
  }
  return 0;
}

static void
close_files (struct load *l)
{
  size_t i;

  for (i = 0; l->file && i < l->saved.nfiles; i++) {
    if (l->file[i].fd != -1)
      close (l->file[i].fd);
    if (l->file[i].sums != -1)
      close (l->file[i].sums);
    free (l->file[i].owner);
  }
  free (l->file);
  l->file = NULL;
  saved_free (&l->saved);
}

/* Read the manifest and open all that it names.  Once they are open, it does
 * not matter who removes them (V4).
 */
static int
open_folder (struct load *l)
{
  unsigned attempt;
  uint64_t stamp;

  for (attempt = 0; ; attempt++) {
    stamp = saved_manifest_stamp (l->dir);
    if (saved_read (l->dir, &l->saved, l->why) == 0 && open_files (l) == 0)
      return 0;
    close_files (l);
    if (attempt == MOST_ATTEMPTS || stamp == saved_manifest_stamp (l->dir))
      return -1;
  }
}

/* They were built as disks without origins (disk_set_origin). */
static int
set_origin (struct load *l, struct disk *disk, const struct saved_disk *d)
{
  const struct saved_origin *o;
  struct origin **open;
  char why[LOAD_ORIGIN_WHY], shown[PRINTABLE_STRING];

  if (d->origin == SAVED_NO_ORIGIN)
    return 0;
  o = &l->saved.origin[d->origin];
  open = &l->origin[d->origin];
  if (*open == NULL) {
    *open = l->o->open_origin (l->o->opaque, o, why);
    if (*open == NULL)
      return WRONG (l, "origin of disk \"%s\": %.300s",
                    printable_name (d->name, shown), why);
    if (origin_size (*open) != o->size)
      return WRONG (l, "origin of disk \"%s\": it has %" PRIu64 " bytes: "
                    "expected %" PRIu64 ", as when it was saved",
                    printable_name (d->name, shown), origin_size (*open),
                    o->size);
  }
  disk_set_origin (disk, *open, d->origin_end);
  return 0;
}

/* What only a disk that is whole can get: its sectors, its origin, its parent.
 */
static int
finish (struct load *l, uint32_t i)
{
  const struct saved_disk *d = &l->saved.disk[l->disk[i]];
  struct loaded_disk *to = &l->loaded->disk[i];
  uint32_t parent = parent_of (l, i);

  if (disk_set_sector_size (to->disk, d->sector_size) == -1)
    return no_memory (l);
  if (parent != NOBODY)
    to->parent_index = parent;
  return set_origin (l, to->disk, d);
}

static int
run (struct load *l)
{
  uint64_t bytes = 0;
  uint32_t i;

  l->dir = saved_open (l->o->path, false, l->why);
  if (l->dir == -1 || open_folder (l) == -1)
    return -1;
  if (l->saved.generation == 0)
    return WRONG (l, "there is no " SAVED_MANIFEST ": expected a folder that "
                  "\"mblockctl save\" has written");
  if (select_disks (l, &bytes) == -1 || check_parents (l) == -1)
    return -1;
  if (l->o->job)
    job_phase (l->o->job, LOAD_PHASE, bytes);
  for (i = 0; i < l->n; i++)
    if (load_disk (l, i) == -1)
      return -1;
  for (i = 0; i < l->n; i++)
    if (finish (l, i) == -1)
      return -1;
  return 0;
}

int
load_run (const struct load_options *options, struct loaded *loaded,
          char why[SAVED_WHY])
{
  struct load l = { .o = options, .dir = -1, .loaded = loaded, .why = why };
  size_t i;
  int r, err;

  *loaded = (struct loaded) { .n = 0 };
  *why = '\0';
  r = run (&l);
  err = errno;
  if (r == -1)
    saved_name_folder (options->path, why);
  for (i = 0; l.origin && i < l.saved.norigins; i++)
    origin_put (l.origin[i]);
  close_files (&l);
  free (l.origin);
  free (l.disk);
  free (l.at);
  free (l.votes);
  free (l.buf);
  if (l.dir != -1)
    close (l.dir);
  errno = err;
  return r;
}

void
loaded_free (struct loaded *loaded)
{
  size_t i;

  for (i = 0; i < loaded->n; i++) {
    free (loaded->disk[i].name);
    free (loaded->disk[i].parent);
    if (loaded->disk[i].disk)
      disk_free (loaded->disk[i].disk);
  }
  free (loaded->disk);
  *loaded = (struct loaded) { .n = 0 };
}
