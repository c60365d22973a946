/* SPDX-License-Identifier: BSD-3-Clause */
/* Save: writes disks, frozen at one instant, into a folder. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "ramdisk/disk-origin.h"
#include "save/save-parts.h"

/* ------------------------------------------------------------ relatives */

/* Do holes mean the same in both? */
static bool
same_origin (struct disk *a, struct disk *b)
{
  return a->origin == b->origin &&
    atomic_load_explicit (&a->origin_end, memory_order_relaxed) ==
    atomic_load_explicit (&b->origin_end, memory_order_relaxed);
}

/* If both are the same in what their holes mean, compare the disk with that. */
static bool
take_relative (struct save *s, struct disk *frozen,
               const struct saved_disk *saved, bool kept)
{
  if (frozen == NULL || !same_origin (frozen, s->frozen) ||
      (saved->origin == SAVED_NO_ORIGIN) !=
      (s->disk->origin == SAVED_NO_ORIGIN))
    return false;
  s->like = (struct relative) { frozen, saved, kept };
  return true;
}

static bool
take_kept (struct save *s, size_t k)
{
  return k < s->base.ndisks &&
    take_relative (s, s->kept->disk[k].frozen, &s->base.disk[k], true);
}

static bool
take_done (struct save *s, size_t i)
{
  return i != SIZE_MAX && s->state[i] == DONE &&
    take_relative (s, s->from[i].frozen, &s->next.disk[i], false);
}

/* The index of a disk of that name in base, or SIZE_MAX. */
static size_t
in_base (const struct save *s, const char *name)
{
  const struct saved_disk *d = name ? saved_find_disk (&s->base, name) : NULL;

  return d ? (size_t) (d - s->base.disk) : SIZE_MAX;
}

/* Choose what a disk is compared with.  Its own remembered content is best; a
 * clone's parent or sibling shares most of its content.
 */
static int
choose_relative (struct save *s, size_t i)
{
  const struct save_disk *d = &s->from[i];
  size_t k = s->kept ? kept_find (s->kept, d->id) : SIZE_MAX;

  s->like.frozen = NULL;
  if (s->kept && take_kept (s, k)) {
    /* What differs from it is not in the folder, at least not there. */
    if (s->like.saved == s->before)
      s->before = NULL;
    return 0;
  }
  if (take_done (s, d->parent_index) ||
      (s->kept && take_kept (s, in_base (s, d->parent))) ||
      (s->kept && take_kept (s, in_base (s, d->name))) ||
      (d->parent && take_done (s, s->leader[s->sibling[i]])))
    return 0;
  /* Its pages may be those of a disk that is not here any more. */
  return d->parent ? save_fill_table (s) : 0;
}

/* ------------------------------------------------------------- the disks */

static int
save_disk (struct save *s, size_t i)
{
  const struct save_disk *d = &s->from[i];
  uint64_t mapped = disk_mapped (d->frozen), pages;
  int r;

  s->disk = &s->next.disk[i];
  s->frozen = d->frozen;
  s->before = saved_find_disk (&s->base, d->name);
  if (s->before == NULL && d->parent)   /* which may be gone by now */
    s->before = saved_find_disk (&s->base, d->parent);
  s->run = s->like_run = 0;
  s->at = s->looked = 0;
  if (choose_relative (s, i) == -1)
    return -1;
  pages = (disk_size (d->frozen) + SAVED_PAGE - 1) / SAVED_PAGE;
  if (s->like.frozen) {
    r = disk_changes (s->like.frozen, d->frozen, save_change, s);
    if (r == 0)
      r = save_copy_runs (s, pages);
  }
  else {
    r = disk_pages (d->frozen, 0, pages, save_own, s);
    if (r == 0)
      r = save_hole (s, s->at, pages);
  }
  if (r == 0 && mapped > s->looked)
    r = save_looked_at (s, mapped - s->looked);
  if (r == -1)
    return -1;
  s->state[i] = DONE;
  if (d->parent && s->leader[s->sibling[i]] == SIZE_MAX)
    s->leader[s->sibling[i]] = i;
  return 0;
}

/* Save a disk, but first those that it descends from. */
static int
save_line (struct save *s, size_t i, size_t *line)
{
  size_t n = 0;

  while (i != SIZE_MAX && s->state[i] == WAITING) {
    s->state[i] = BEGUN;
    line[n++] = i;
    i = s->from[i].parent_index;
  }
  while (n > 0)
    if (save_disk (s, line[--n]) == -1)
      return -1;
  return 0;
}

static int
compare_parents (const void *a, const void *b, void *opaque)
{
  const struct save_disk *disk = opaque;
  const char *x = disk[*(const size_t *) a].parent;
  const char *y = disk[*(const size_t *) b].parent;

  return x && y ? strcmp (x, y) : (x != NULL) - (y != NULL);
}

/* Number the parents.  line has room for the disks. */
static void
number_parents (struct save *s, size_t n, size_t *line)
{
  size_t i, number = 0;

  for (i = 0; i < n; i++)
    line[i] = i;
  qsort_r (line, n, sizeof *line, compare_parents, (void *) s->from);
  for (i = 0; i < n; i++) {
    if (i > 0 && compare_parents (&line[i - 1], &line[i], (void *) s->from))
      number++;
    s->sibling[line[i]] = number;
    s->leader[i] = SIZE_MAX;
  }
}

/* What an origin is saved as: by its URI, so that it is there again only if its
 * server is; or whole, if it is complete, because then its server may be gone
 * for good.  Returns its index.
 */
static size_t
add_origin (struct save *s, struct origin *o)
{
  struct origin_stats stats;
  size_t i;

  for (i = s->norigins; i-- > 0; )      /* probably the one before */
    if (s->origin[i] == o)
      return i;
  i = s->norigins++;
  origin_stats (o, &stats);
  s->origin[i] = o;
  s->whole[i] = stats.state == ORIGIN_COMPLETE;
  s->number[i] = SAVED_NO_ORIGIN;
  return i;
}

/* A disk's holes mean an origin's content. */
static int
describe_origin (struct save *s, const struct disk *frozen,
                 struct saved_disk *d)
{
  const char *uri = origin_uri (frozen->origin);
  size_t i = add_origin (s, frozen->origin), j;
  struct origin_stats stats;
  char shown[PRINTABLE_STRING];

  if (s->whole[i])
    return 0;
  if (!utf8_is_valid (uri)) {
    snprintf (s->why, sizeof s->why, "%.300s: expected an origin whose URI is "
              "valid UTF-8", printable (uri, shown));
    return -1;
  }
  if (s->number[i] == SAVED_NO_ORIGIN) {
    j = s->next.norigins++;
    origin_stats (frozen->origin, &stats);
    s->number[i] = j;
    s->next.origin[j] = (struct saved_origin) {
      strdup (uri), stats.size, stats.prefetch, stats.prefetch_rate
    };
    if (s->next.origin[j].uri == NULL)
      return -1;
  }
  d->origin = s->number[i];
  d->origin_end = atomic_load_explicit (&frozen->origin_end,
                                        memory_order_relaxed);
  return 0;
}

/* What is known of a disk without its pages. */
static int
describe (struct save *s, size_t i)
{
  const struct save_disk *d = &s->from[i];

  s->next.disk[i] = (struct saved_disk) {
    .name = strdup (d->name), .size = disk_size (d->frozen),
    .sector_size = d->frozen->sector_size,
    .readonly = d->readonly, .quota = d->quota,
    .parent = d->parent ? strdup (d->parent) : NULL,
    .parent_exists = d->parent_index != SIZE_MAX,
    .origin = SAVED_NO_ORIGIN, .uuid = d->uuid,
  };
  s->next.ndisks = i + 1;
  if (s->next.disk[i].name == NULL || (d->parent && !s->next.disk[i].parent))
    return -1;
  return d->frozen->origin
    ? describe_origin (s, d->frozen, &s->next.disk[i]) : 0;
}

static int
save_disks (struct save *s, size_t n)
{
  CLEANUP_FREE size_t *line = malloc ((n + 1) * sizeof *line);
  size_t i;

  s->next.disk = calloc (n + 1, sizeof *s->next.disk);
  s->state = calloc (n + 1, sizeof *s->state);
  s->sibling = calloc (n + 1, sizeof *s->sibling);
  s->leader = calloc (n + 1, sizeof *s->leader);
  s->origin = calloc (n + 1, sizeof *s->origin);
  s->whole = calloc (n + 1, sizeof *s->whole);
  s->number = calloc (n + 1, sizeof *s->number);
  s->next.origin = calloc (n + 1, sizeof *s->next.origin);
  if (!line || !s->next.disk || !s->state || !s->sibling || !s->leader ||
      !s->origin || !s->whole || !s->number || !s->next.origin)
    return -1;
  number_parents (s, n, line);
  for (i = 0; i < n; i++)
    if (describe (s, i) == -1)
      return -1;
  for (i = 0; i < n; i++)
    if (save_line (s, i, line) == -1)
      return -1;
  return save_write_out (s);
}

/* ----------------------------------------------------------------- files */

/* How many files of a folder a save may find worth it.  Beyond that, it gives
 * up those with the least in use, all but half as many: so what they had moves
 * to one file, and a page moves only as often as the number of saves doubles.
 */
#define MOST_FILES 64

static bool
is_worth_it (const struct saved_file *f)
{
  return f->live >= f->pages / 2;
}

static int
compare_live (const void *a, const void *b)
{
  const uint64_t *x = a, *y = b;

  return (*x < *y) - (*x > *y);
}

/* Is there perhaps room for so many pages more?  A file system that has no
 * limit says that it has no blocks.
 */
static bool
has_room (const struct save *s, uint64_t pages)
{
  struct statvfs fs;

  return fstatvfs (s->dir, &fs) == -1 || fs.f_blocks == 0 ||
    (uint64_t) fs.f_bavail * fs.f_frsize / PAGE_BYTES > pages;
}

/* Which of the files that are worth it to keep: those with more pages in use
 * than least, and of those with as many the first ones.
 */
struct choice {
  uint64_t least;
  size_t equal;
};

/* The given-up files go only when their content is in the new one: so without
 * room for that, none is given up.  Returns 0, or -1: no memory.
 */
static int
choose_files (struct save *s, struct choice *choice)
{
  CLEANUP_FREE uint64_t *live = malloc ((s->base.nfiles + 1) * sizeof *live);
  uint64_t moved = 0;
  size_t i, n = 0;

  *choice = (struct choice) { .equal = SIZE_MAX };
  if (live == NULL)
    return -1;
  for (i = 0; i < s->base.nfiles; i++)
    if (is_worth_it (&s->base.file[i]))
      live[n++] = s->base.file[i].live;
    else
      moved += s->base.file[i].live;
  if (moved > 0 && !has_room (s, moved))
    s->keep_all = true;
  if (s->keep_all || n < MOST_FILES)
    return 0;
  qsort (live, n, sizeof *live, compare_live);
  for (i = MOST_FILES / 2; i < n; i++)
    moved += live[i];
  if (!has_room (s, moved))
    return 0;
  choice->least = live[MOST_FILES / 2 - 1];
  for (i = 0; live[i] > choice->least; i++)
    ;
  choice->equal = MOST_FILES / 2 - i;
  return 0;
}

static bool
is_chosen (const struct save *s, const struct saved_file *f,
           struct choice *choice)
{
  if (s->keep_all)
    return true;
  if (!is_worth_it (f) || f->live < choice->least)
    return false;
  if (f->live > choice->least)
    return true;
  if (choice->equal == 0)
    return false;
  choice->equal--;
  return true;
}

/* Files that are not given up stay open. */
static int
open_old (struct save *s)
{
  struct choice choice;
  char name[40];
  size_t i;

  descriptors_want (2 * s->base.nfiles);
  s->old = calloc (s->base.nfiles + 1, sizeof *s->old);
  if (s->old == NULL || choose_files (s, &choice) == -1)
    return -1;
  for (i = 0; i < s->base.nfiles; i++) {
    const struct saved_file *f = &s->base.file[i];

    s->nold = i + 1;
    s->old[i].fd = s->old[i].sums = -1;
    if (!is_chosen (s, f, &choice)) {
      s->gave_up = true;
      continue;
    }
    s->old[i].fd = saved_open_file (s->dir,
                                    saved_name ("data", f->number, name));
    s->old[i].sums = saved_open_file (s->dir,
                                      saved_name ("sums", f->number, name));
  }
  return 0;
}

/* Count pages of a file that a disk has, once each. */
static uint64_t
count_new (unsigned char *seen, uint64_t page, uint64_t n)
{
  uint64_t count = 0;

  for (; n > 0; page++, n--) {
    if (page % 8 == 0 && n >= 8 && seen[page / 8] == 0xff) {
      page += 7;
      n -= 7;
      continue;
    }
    count += !(seen[page / 8] >> page % 8 & 1);
    seen[page / 8] |= 1 << page % 8;
  }
  return count;
}

/* The files of the new generation, and how much of each is in use. */
static int
list_files (struct save *s)
{
  struct saved *next = &s->next;
  CLEANUP_FREE unsigned char **seen = calloc (s->base.nfiles + 1, sizeof *seen);
  size_t i, j, n = 0;
  int r = seen ? 0 : -1;

  next->file = calloc (s->base.nfiles + 2, sizeof *next->file);
  if (next->file == NULL)
    return -1;
  for (j = 0; j <= s->base.nfiles && r == 0; j++) {
    next->file[j] = j < s->base.nfiles ? s->base.file[j]
      : (struct saved_file) { next->generation, s->pages, 0 };
    next->file[j].live = 0;
    seen[j] = calloc (next->file[j].pages / 8 + 1, 1);
    r = seen[j] ? 0 : -1;
  }
  next->nfiles = s->base.nfiles + 1;
  for (i = 0; i < next->ndisks && r == 0; i++)
    for (j = 0; j < next->disk[i].n; j++) {
      const struct saved_run *run = &next->disk[i].run[j];
      size_t f = run->file ? saved_find_file (next, run->file) : next->nfiles;

      if (f < next->nfiles)
        next->file[f].live += count_new (seen[f], run->page, run->n);
    }
  for (j = 0; j < next->nfiles; j++) {
    if (seen)
      free (seen[j]);
    if (next->file[j].live)
      next->file[n++] = next->file[j];
  }
  next->nfiles = n;
  return r;
}

static int
commit (struct save *s)
{
  if (s->pages == 0 && s->base.generation && saved_equal (&s->base, &s->next)) {
    /* What is there is what is to be remembered. */
    s->next.generation = s->base.generation;
    s->next.file = s->base.file;
    s->next.nfiles = s->base.nfiles;
    s->base.file = NULL;
    s->base.nfiles = 0;
    return 0;
  }
  if (s->data != -1 && (fsync (s->data) == -1 || fsync (s->sums) == -1)) {
    snprintf (s->why, sizeof s->why, "cannot write: %s", strerror (errno));
    return -1;
  }
  if (list_files (s) == -1 || saved_write (s->dir, &s->next, s->why) == -1)
    return -1;
  /* Not before: what an attempt wrote that is thrown away does not count. */
  job_sent (s->job, s->pages * SAVED_PAGE);
  saved_clean (s->dir, &s->next);
  return 0;
}

static void
close_old (struct save *s)
{
  size_t i;

  for (i = 0; i < s->nold; i++) {
    if (s->old[i].fd != -1)
      close (s->old[i].fd);
    if (s->old[i].sums != -1)
      close (s->old[i].sums);
    free (s->old[i].buf);
  }
  free (s->old);
}

static void
finish (struct save *s)
{
  close_old (s);
  if (s->data != -1)
    close (s->data);
  if (s->sums != -1)
    close (s->sums);
  free (s->table.place);
  free (s->buf);
  free (s->state);
  free (s->sibling);
  free (s->leader);
  free (s->origin);
  free (s->whole);
  free (s->number);
  saved_free (&s->base);
  saved_free (&s->next);
  if (s->lock != -1)
    close (s->lock);
  if (s->dir != -1)
    close (s->dir);
}

/* Remove what a failed save has written.  But remove nothing if the manifest
 * already had its final name when the save failed, because it may be the
 * current one.
 */
static void
undo (struct save *s)
{
  struct saved now;
  char why[SAVED_WHY];

  if (saved_read (s->dir, &now, why) == 0 &&
      now.generation == s->base.generation)
    saved_clean (s->dir, &s->base);
  saved_free (&now);
}

/* Find out what is in the folder: it is remembered, or it is read. */
static int
read_base (struct save *s, bool forget)
{
  struct kept *k = s->saves ? saves_take (s->saves, s->dir) : NULL;

  if (k && (forget || saved_stamp (s->dir, &k->saved) != k->stamp)) {
    kept_free (k);
    k = NULL;
  }
  if (k) {
    s->base = k->saved;         /* until the end of the save */
    s->kept = k;
    saved_clean (s->dir, &s->base);
    return 0;
  }
  if (saved_read (s->dir, &s->base, s->why) == -1)
    return -1;
  /* The last save may have ended before this manifest's name was on stable
   * storage (V1).
   */
  if (fsync (s->dir) == -1) {
    snprintf (s->why, sizeof s->why, "%s", strerror (errno));
    return -1;
  }
  saved_clean (s->dir, &s->base);
  return 0;
}

static int
run (struct save *s, const char *path, size_t n, bool forget)
{
  uint64_t bytes = 0;
  size_t i;

  for (i = 0; i < n; i++)
    bytes += disk_mapped (s->from[i].frozen);
  job_phase (s->job, SAVE_PHASE, bytes);
  s->dir = saved_open (path, true, s->why);
  if (s->dir == -1 || (s->lock = saved_lock (s->dir, s->why)) == -1 ||
      read_base (s, forget) == -1)
    return -1;
  if (s->base.generation == SAVED_LAST) { /* no load would take the next one */
    snprintf (s->why, sizeof s->why, SAVED_MANIFEST ": generation %" PRIu32
              " is the last one: expected another folder", SAVED_LAST);
    return -1;
  }
  s->next.generation = s->base.generation + 1;
  s->buf = malloc (WINDOW * SAVED_PAGE);
  if (s->buf == NULL || open_old (s) == -1 || save_disks (s, n) == -1 ||
      commit (s) == -1) {
    int err = errno;

    undo (s);
    errno = err;
    return -1;
  }
  return 0;
}

/* Remember what is in the folder now: after a save that failed, what was
 * remembered before.  Takes the frozen disks over.
 */
static void
remember (struct save *s, struct save_disk *disk, size_t n, bool done)
{
  struct kept_disk *kept;
  size_t i;

  if (s->kept && !done) {
    s->base = (struct saved) { .generation = 0 };       /* it is kept->saved */
    saves_put (s->saves, s->kept);
    return;
  }
  if (s->kept) {                /* finish frees what it had saved */
    saves_take_away (s->kept);
    s->kept->saved = (struct saved) { .ndisks = s->base.ndisks };
    for (i = 0; i < s->base.ndisks; i++)
      if (s->kept->disk[i].frozen)
        disk_free (s->kept->disk[i].frozen);
    s->kept->saved.ndisks = 0;
    kept_free (s->kept);
  }
  kept = done ? calloc (n + 1, sizeof *kept) : NULL;
  if (kept == NULL)
    return;
  for (i = 0; i < n; i++) {
    kept[i] = (struct kept_disk) {
      .id = disk[i].id, .frozen = disk[i].frozen
    };
    disk[i].frozen = NULL;
  }
  saves_put (s->saves, kept_new (s->dir, &s->next, kept));
}

static void
say_why (const struct save *s, const char *path, int err)
{
  char shown[PRINTABLE_STRING];

  if (*s->why)
    job_fail (s->job, "%s%s%s", strncmp (s->why, path, strlen (path)) == 0 ? ""
              : printable (path, shown), strncmp (s->why, path, strlen (path))
              == 0 ? "" : ": ", s->why);
  else if (err != ECANCELED)
    job_fail (s->job, "%s", strerror (err ? err : ENOMEM));
}

int
save_run (struct job *job, const char *path, struct save_disk *disk, size_t n,
          struct saves *saves, bool forget)
{
  bool keep_all = false;
  int r, err;

  do {
    struct save s = {
      .job = job, .saves = saves, .from = disk, .dir = -1, .lock = -1,
      .data = -1, .sums = -1, .keep_all = keep_all
    };

    r = run (&s, path, n, forget);
    err = errno;
    /* There was no room to move what files had that were given up. */
    keep_all = r == -1 && s.gave_up && (err == ENOSPC || err == EDQUOT);
    if (r == -1 && !keep_all)
      say_why (&s, path, err);
    if (saves)
      remember (&s, disk, n, r == 0 && !forget);
    finish (&s);
  } while (keep_all);
  errno = err;
  return r;
}
