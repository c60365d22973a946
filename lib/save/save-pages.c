/* SPDX-License-Identifier: BSD-3-Clause */
/* The pages of a save: where the folder has them, and the new file. */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ramdisk/disk-origin.h"
#include "save/save-parts.h"

/* ----------------------------------------------------------------- table */

static size_t
slot_of (const struct table *t, const void *page)
{
  size_t i = ((uintptr_t) page >> 12) * UINT64_C (0x9e3779b97f4a7c15) >> 20;

  for (i &= t->size - 1; t->place[i].page && t->place[i].page != page;
       i = (i + 1) & (t->size - 1))
    ;
  return i;
}

static int
table_put (struct table *t, const void *page, uint32_t file, uint64_t at)
{
  if (2 * t->n >= t->size) {
    struct table larger = { .size = t->size ? 2 * t->size : 1024, .n = t->n };
    size_t i;

    larger.place = calloc (larger.size, sizeof *larger.place);
    if (larger.place == NULL)
      return -1;
    for (i = 0; i < t->size; i++)
      if (t->place[i].page)
        larger.place[slot_of (&larger, t->place[i].page)] = t->place[i];
    free (t->place);
    *t = larger;
  }
  t->place[slot_of (t, page)] = (struct place) { page, file, at };
  t->n++;
  return 0;
}

/* -------------------------------------------------------- what is there */

/* Does the page have that content?  An unreadable page does not, nor does one
 * whose checksum is damaged: so that it is written again.
 */
static bool
is_same (struct save *s, size_t file, uint64_t at, const void *page)
{
  struct old_file *old = &s->old[file];
  const uint64_t pages = s->base.file[file].pages;

  if (old->fd == -1)
    return false;
  if (at < old->first || at >= old->first + old->n) {
    uint64_t first = at - at % WINDOW;
    uint64_t n = pages - first < WINDOW ? pages - first : WINDOW;

    old->n = 0;
    if (old->buf == NULL)
      old->buf = malloc (WINDOW * SAVED_PAGE);
    if (old->buf == NULL ||
        pread (old->fd, old->buf, n * SAVED_PAGE, first * SAVED_PAGE) !=
        (ssize_t) (n * SAVED_PAGE) ||
        pread (old->sums, old->sum, n * sizeof *old->sum,
               first * sizeof *old->sum) != (ssize_t) (n * sizeof *old->sum))
      return false;
    old->first = first;
    old->n = n;
  }
  return memcmp (old->buf + (at - old->first) * SAVED_PAGE, page,
                 SAVED_PAGE) == 0 &&
    le64toh (old->sum[at - old->first]) == saved_checksum (page, SAVED_PAGE);
}

/* Where the folder has this page of the disk, if it has that content. */
static bool
find_before (struct save *s, uint64_t index, const void *page, uint32_t *file,
             uint64_t *at)
{
  const struct saved_disk *d = s->before;
  const struct saved_run *run;
  size_t i;

  if (d == NULL)
    return false;
  while (s->run < d->n && d->run[s->run].index + d->run[s->run].n <= index)
    s->run++;
  if (s->run == d->n || d->run[s->run].index > index)
    return false;
  run = &d->run[s->run];
  *file = run->file;
  *at = run->page + (index - run->index);
  i = saved_find_file (&s->base, run->file);
  return i < s->base.nfiles && is_same (s, i, *at, page);
}

/* ---------------------------------------------------------- the new file */

static int
create (struct save *s, const char *kind)
{
  char name[40];
  int fd;

  saved_name (kind, s->next.generation, name);
  fd = openat (s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd == -1)
    snprintf (s->why, sizeof s->why, "%s: %s", name, strerror (errno));
  return fd;
}

static int
put (struct save *s, int fd, const void *data, size_t len)
{
  const char *p = data;
  ssize_t n;

  for (; len > 0; p += n, len -= n) {
    n = write (fd, p, len);
    if (n == -1) {
      snprintf (s->why, sizeof s->why, "cannot write: %s", strerror (errno));
      return -1;
    }
  }
  return 0;
}

int
save_write_out (struct save *s)
{
  if (s->n == 0)
    return 0;
  if (s->data == -1 && ((s->data = create (s, "data")) == -1 ||
                        (s->sums = create (s, "sums")) == -1))
    return -1;
  if (put (s, s->data, s->buf, (size_t) s->n * SAVED_PAGE) == -1 ||
      put (s, s->sums, s->sum, s->n * sizeof *s->sum) == -1)
    return -1;
  s->n = 0;
  return 0;
}

static int
append (struct save *s, const void *page, uint64_t *at)
{
  if (s->n == WINDOW && save_write_out (s) == -1)
    return -1;
  memcpy (s->buf + (size_t) s->n * SAVED_PAGE, page, SAVED_PAGE);
  s->sum[s->n++] = htole64 (saved_checksum (page, SAVED_PAGE));
  *at = s->pages++;
  return 0;
}

/* ------------------------------------------------------------- the pages */

int
save_looked_at (struct save *s, uint64_t bytes)
{
  s->done += bytes;
  if (s->done < (1 << 20))
    return 0;
  job_add (s->job, s->done);
  s->done = 0;
  if (job_is_cancelled (s->job)) {
    errno = ECANCELED;
    return -1;
  }
  return 0;
}

static int
save_page (void *opaque, uint64_t index, uint64_t n, const void *page)
{
  struct save *s = opaque;
  uint32_t file = s->next.generation;
  uint64_t at;
  size_t slot;

  if (page == NULL)
    return saved_add (s->disk, index, n, 0, 0);
  s->looked += SAVED_PAGE;
  if (save_looked_at (s, SAVED_PAGE) == -1)
    return -1;
  slot = s->table.size ? slot_of (&s->table, page) : 0;
  if (s->table.size && s->table.place[slot].page) {
    file = s->table.place[slot].file;
    at = s->table.place[slot].at;
  }
  else if ((!find_before (s, index, page, &file, &at) &&
            (file = s->next.generation, append (s, page, &at) == -1)) ||
           table_put (&s->table, page, file, at) == -1)
    return -1;
  return saved_add (s->disk, index, 1, file, at);
}

static bool
is_given_up (const struct save *s, uint32_t file)
{
  size_t i = saved_find_file (&s->base, file);

  return i < s->base.nfiles && s->old[i].fd == -1;
}

/* The file that has these pages is given up: take them from the disk. */
static int
save_again (struct save *s, uint64_t from, uint64_t to)
{
  s->at = from;
  return disk_pages (s->frozen, from, to, save_own, s) == -1
    ? -1 : save_hole (s, s->at, to);
}

int
save_copy_runs (struct save *s, uint64_t end)
{
  const struct saved_disk *d = s->like.saved;

  for (; s->like_run < d->n; s->like_run++) {
    const struct saved_run *run = &d->run[s->like_run];
    uint64_t from = run->index > s->at ? run->index : s->at;
    uint64_t to = run->index + run->n < end ? run->index + run->n : end;

    if (run->index >= end)
      break;
    if (from < to &&
        (s->like.kept && run->file && is_given_up (s, run->file)
         ? save_again (s, from, to)
         : saved_add (s->disk, from, to - from, run->file,
                      run->page + (from - run->index))) == -1)
      return -1;
    if (run->index + run->n > end)
      break;
  }
  s->at = end;
  return 0;
}

int
save_change (void *opaque, uint64_t index, uint64_t n, enum extent_type type,
             const void *page)
{
  struct save *s = opaque;

  if (save_copy_runs (s, index) == -1)
    return -1;
  s->at = index + n;
  return type == EXTENT_HOLE ? save_hole (s, index, index + n)
    : save_page (s, index, n, page);
}

/* ------------------------------------------------------------- origins */

static int
save_origin_page (void *opaque, uint64_t index, uint64_t n, const void *page)
{
  struct save *s = opaque;
  uint64_t end = atomic_load_explicit (&s->frozen->origin_end,
                                       memory_order_relaxed);
  uint32_t file = s->next.generation;
  char cut[SAVED_PAGE];
  uint64_t at;

  if (page == NULL)             /* a hole, where the disk has nothing either */
    return 0;
  if (index < end / SAVED_PAGE)
    return save_page (s, index, n, page);
  /* The disk shows only the beginning of that page. */
  memset (cut, 0, sizeof cut);
  memcpy (cut, page, end % SAVED_PAGE);
  if (!find_before (s, index, cut, &file, &at)) {
    file = s->next.generation;
    if (append (s, cut, &at) == -1)
      return -1;
  }
  return saved_add (s->disk, index, 1, file, at);
}

int
save_hole (struct save *s, uint64_t index, uint64_t end)
{
  struct disk *d = s->frozen;
  uint64_t most;

  if (d->origin == NULL || s->disk->origin != SAVED_NO_ORIGIN)
    return 0;
  most = (atomic_load_explicit (&d->origin_end, memory_order_relaxed) +
          SAVED_PAGE - 1) / SAVED_PAGE;
  if (end > most)
    end = most;
  return index < end
    ? disk_pages (origin_cache (d->origin), index, end, save_origin_page, s)
    : 0;
}

int
save_own (void *opaque, uint64_t index, uint64_t n, const void *page)
{
  struct save *s = opaque;

  if (save_hole (s, s->at, index) == -1)
    return -1;
  s->at = index + n;
  return save_page (s, index, n, page);
}

struct filling {
  struct save *s;
  const struct saved_disk *d;
  size_t run;
};

static int
fill_page (void *opaque, uint64_t index, uint64_t n, const void *page)
{
  struct filling *f = opaque;
  const struct saved_run *run;

  (void) n;
  while (f->run < f->d->n &&
         f->d->run[f->run].index + f->d->run[f->run].n <= index)
    f->run++;
  run = &f->d->run[f->run];
  if (page == NULL || f->run == f->d->n || run->index > index ||
      run->file == 0 || is_given_up (f->s, run->file) ||
      (f->s->table.size &&
       f->s->table.place[slot_of (&f->s->table, page)].page))
    return 0;
  return table_put (&f->s->table, page, run->file,
                    run->page + (index - run->index));
}

int
save_fill_table (struct save *s)
{
  size_t i;

  for (i = 0; s->kept && !s->all_known && i < s->base.ndisks; i++) {
    struct filling f = { s, &s->base.disk[i], 0 };

    if (s->kept->disk[i].frozen &&
        disk_pages (s->kept->disk[i].frozen, 0, UINT64_MAX, fill_page, &f) ==
        -1)
      return -1;
  }
  s->all_known = true;
  return 0;
}
