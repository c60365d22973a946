/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving disks in a folder and loading them. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "base/printable.h"
#include "job/jobs.h"
#include "open-origin.h"
#include "remote.h"
#include "save-jobs.h"
#include "save/kept.h"
#include "save/load.h"
#include "save/save.h"

/* For how many disks there is room at first. */
#define FIRST_ROOM 1024

/* How often the disks are taken anew because names changed hands meanwhile. */
#define MOST_ATTEMPTS 100

/* What disk is said of a job that concerns several. */
#define SEVERAL "*"

static bool
is_wanted (const json_t *patterns, const char *name)
{
  const json_t *v;
  size_t i;

  json_array_foreach (patterns, i, v)
    if (pattern_matches (json_string_value (v), name))
      return true;
  return patterns == NULL;
}

/* The first pattern that none of the held disks matches, or NULL. */
static const char *
unmatched (const json_t *patterns, struct named_disk **held, size_t n)
{
  const json_t *v;
  size_t i, j;

  json_array_foreach (patterns, i, v) {
    const char *pattern = json_string_value (v);

    for (j = 0; j < n && !pattern_matches (pattern, held[j]->name); j++)
      ;
    if (j == n)
      return pattern;
  }
  return NULL;
}

/* ----------------------------------------------------------------- save */

struct save_job {
  struct service *s;
  char *path;
  struct named_disk **held;
  struct save_disk *disk;
  char **parent;                /* those of disk, to be freed */
  size_t n, frozen;
  bool forget;
};

/* Give back what is held and frozen. */
static void
let_go (struct save_job *p)
{
  size_t i;

  for (i = 0; i < p->frozen; i++) {
    disk_free (p->disk[i].frozen);
    free (p->parent[i]);
  }
  for (i = 0; i < p->n; i++)
    registry_close (p->s->registry, p->held[i]);
  free (p->held);
  free (p->disk);
  free (p->parent);
  p->held = NULL;
  p->disk = NULL;
  p->parent = NULL;
  p->n = p->frozen = 0;
}

static void
free_save (void *opaque)
{
  struct save_job *p = opaque;

  let_go (p);
  saves_reap (p->s->saves);     /* what run_save has made it forget */
  free (p->path);
  free (p);
}

/* Hold all disks that are wanted.  They are taken in one step: page by page, a
 * disk that is renamed meanwhile would be there twice, or not at all.
 */
static int
hold (struct save_job *p, const json_t *patterns, const char **missing)
{
  size_t room = FIRST_ROOM, n = 0, i;
  bool more = true;

  while (more) {
    void *q = reallocarray (p->held, room, sizeof *p->held);

    if (q == NULL)
      return -1;
    p->held = q;
    n = registry_hold_page (p->s->registry, NULL, room, p->held, &more, NULL);
    for (i = 0; i < n && more; i++)
      registry_close (p->s->registry, p->held[i]);
    room *= 2;
  }
  *missing = unmatched (patterns, p->held, n);
  for (i = 0; i < n; i++)
    if (is_wanted (patterns, p->held[i]->name))
      p->held[p->n++] = p->held[i];
    else
      registry_close (p->s->registry, p->held[i]);
  errno = ENOENT;
  return *missing ? -1 : 0;
}

static int
freeze (struct save_job *p)
{
  struct disk **disk = calloc (2 * p->n + 1, sizeof *disk);
  size_t i;
  int r = -1;

  p->disk = calloc (p->n + 1, sizeof *p->disk);
  p->parent = calloc (p->n + 1, sizeof *p->parent);
  if (disk && p->disk && p->parent) {
    for (i = 0; i < p->n; i++)
      disk[i] = p->held[i]->disk;
    r = disk_freeze (disk, disk + p->n, p->n);
  }
  for (i = 0; i < p->n && r == 0; i++)
    p->disk[i] = (struct save_disk) {
      .name = p->held[i]->name, .id = p->held[i]->id,
      .frozen = disk[p->n + i], .parent_index = SIZE_MAX,
      .readonly = disk_is_readonly (disk[i]), .quota = disk_quota (disk[i]),
      .uuid = p->held[i]->uuid,
    };
  p->frozen = r == 0 ? p->n : 0;
  free (disk);
  return r;
}

/* A probe leaves nothing behind, not even in a folder.  If a disk was written
 * after it was frozen, it is saved as it was: nothing may be missing.
 */
static void
drop_ephemeral (struct save_job *p)
{
  size_t i, n = 0;

  for (i = 0; i < p->n; i++) {
    if (registry_is_ephemeral (p->s->registry, p->held[i])) {
      disk_free (p->disk[i].frozen);
      registry_close (p->s->registry, p->held[i]);
      continue;
    }
    p->held[n] = p->held[i];
    p->disk[n++] = p->disk[i];
  }
  p->n = p->frozen = n;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (((const struct save_disk *) a)->name,
                 ((const struct save_disk *) b)->name);
}

/* Disks may have been renamed since they were held: sort them by the names that
 * freeze read.  Returns false if two have the same name: one had lost it before
 * the other got it.
 */
static bool
sort (struct save_job *p)
{
  size_t i;

  qsort (p->disk, p->n, sizeof *p->disk, compare_names);
  for (i = 1; i < p->n; i++)
    if (compare_names (&p->disk[i - 1], &p->disk[i]) == 0)
      return false;
  return true;
}

static int
compare_ids (const void *a, const void *b)
{
  const struct save_disk *x = *(struct save_disk *const *) a;
  const struct save_disk *y = *(struct save_disk *const *) b;

  return (x->id > y->id) - (x->id < y->id);
}

/* Find out what the disks were cloned from.  That one of them is another one's
 * parent is known by its id: the name may have changed hands.
 */
static int
find_parents (struct save_job *p)
{
  struct save_disk **by_id = calloc (p->n + 1, sizeof *by_id), **found;
  size_t i, j;
  bool exists;

  if (by_id == NULL)
    return -1;
  for (i = 0; i < p->n; i++)
    by_id[i] = &p->disk[i];
  qsort (by_id, p->n, sizeof *by_id, compare_ids);
  for (i = 0; i < p->n; i++) {
    /* The disks are sorted by their names; those that are held are not. */
    const struct save_disk held = { .id = p->held[i]->id }, *key = &held;
    struct save_disk parent = { .id = 0 }, *of = &parent, *d;

    d = *(struct save_disk **) bsearch (&key, by_id, p->n, sizeof *by_id,
                                        compare_ids);
    j = d - p->disk;
    p->parent[j] = registry_parent (p->s->registry, p->held[i], &exists);
    d->parent = p->parent[j];
    parent.id = registry_parent_id (p->s->registry, p->held[i]);
    found = d->parent && parent.id
      ? bsearch (&of, by_id, p->n, sizeof *by_id, compare_ids) : NULL;
    if (found) {
      d->parent_index = *found - p->disk;
      d->parent = (*found)->name;
    }
  }
  free (by_id);
  return 0;
}

/* Freeze the disks that are wanted. */
static int
take (struct save_job *p, const json_t *patterns, const char **missing)
{
  unsigned i;

  for (i = 0; i < MOST_ATTEMPTS; i++) {
    if (hold (p, patterns, missing) == -1 || freeze (p) == -1)
      return -1;
    if (patterns == NULL)
      drop_ephemeral (p);
    if (sort (p))
      return find_parents (p);
    let_go (p);
  }
  errno = ESTALE;
  return -1;
}

static int
run_save (struct job *job, void *opaque)
{
  struct save_job *p = opaque;
  struct saves *saves = p->s->saves;
  int r = save_run (job, p->path, p->disk, p->n, saves, p->forget);
  size_t i;

  /* B2: whoever loses its name from here on is forgotten by the listener. */
  for (i = 0; i < p->n && r == 0; i++)
    if (!registry_is_listed (p->s->registry, p->held[i]))
      saves_forget_disk (saves, p->held[i]->id);
  return r;
}

uint64_t
save_job_start (struct service *s, const char *path, const json_t *patterns,
                bool forget, const char **missing)
{
  struct save_job *p = calloc (1, sizeof *p);
  struct job_options o = {
    .kind = "save", .disk = SEVERAL, .target = path, .run = run_save,
    .free = free_save, .opaque = p,
  };
  int err;

  if (p == NULL)
    return 0;
  p->s = s;
  p->forget = forget;
  p->path = strdup (path);
  if (p->path && take (p, patterns, missing) == 0)
    return jobs_start (s->jobs, &o);
  err = errno;
  free_save (p);
  errno = err;
  return 0;
}

/* ----------------------------------------------------------------- load */

struct load_job {
  struct service *s;
  char *path;
  json_t *patterns;
  json_t *unmatched;            /* those of them that match no disk so far */
  enum if_exists if_exists;
  enum if_open if_open;
  /* Disks that are there already, and stay if the load succeeds. */
  struct named_disk **there;
  size_t nthere, room;
};

static int
keep_there (struct load_job *p, struct named_disk *d)
{
  if (p->nthere == p->room) {
    size_t room = p->room ? 2 * p->room : 16;
    void *q = reallocarray (p->there, room, sizeof *p->there);

    if (q == NULL)
      return -1;
    p->there = q;
    p->room = room;
  }
  p->there[p->nthere++] = d;
  return 0;
}

/* Is there a disk of that name?  Then keep it open until the end.  Without
 * memory for that, it may go with its last client meanwhile.
 */
static bool
is_there (struct load_job *p, const char *name)
{
  struct named_disk *d = registry_open_existing (p->s->registry, name);

  if (d && keep_there (p, d) == -1)
    registry_leave (p->s->registry, d, false);
  return d != NULL;
}

static void
let_go_of_there (struct load_job *p, bool stay)
{
  size_t i;

  for (i = 0; i < p->nthere; i++) {
    if (stay)
      registry_stay (p->s->registry, p->there[i]->name);
    registry_leave (p->s->registry, p->there[i], false);
  }
  p->nthere = 0;
}

/* What exists and stays is not read: there may be no memory for it twice, and
 * its origin may be away.
 */
static bool
wanted (void *opaque, const char *name)
{
  struct load_job *p = opaque;
  size_t i;

  for (i = json_array_size (p->unmatched); i-- > 0; )
    if (pattern_matches (json_string_value (json_array_get (p->unmatched, i)),
                         name))
      json_array_remove (p->unmatched, i);
  return is_wanted (p->patterns, name) &&
    (p->if_exists != IF_EXISTS_IGNORE || !is_there (p, name));
}

static struct origin *
origin_of_load (void *opaque, const struct saved_origin *o,
                char why[LOAD_ORIGIN_WHY])
{
  const struct load_job *p = opaque;
  const struct origin_request request = {
    o->uri, o->prefetch, o->prefetch_rate
  };

  static_assert (LOAD_ORIGIN_WHY == REMOTE_WHY, "one is the other");
  return open_origin (p->s, &request, why);
}

/* Give all their names in one step.  Takes the disks over. */
static int
add_all (struct load_job *p, struct loaded *l, char why[SAVED_WHY])
{
  const struct registry_options *o = registry_options (p->s->registry);
  struct registry_new *new = calloc (l->n + 1, sizeof *new);
  char shown[PRINTABLE_STRING];
  size_t i, bad = 0;
  int r = -1;

  for (i = 0; new && i < l->n; i++) {
    new[i] = (struct registry_new) {
      .name = l->disk[i].name, .disk = l->disk[i].disk,
      .readonly = l->disk[i].readonly, .quota = l->disk[i].quota,
      .uuid = l->disk[i].uuid,
      .parent = l->disk[i].parent, .parent_index = l->disk[i].parent_index,
    };
    l->disk[i].disk = NULL;
  }
  if (new)
    r = registry_add_all (p->s->registry, new, l->n, p->if_exists, p->if_open,
                          &bad);
  if (r == -1) {
    int err = errno;

    if (new && bad < l->n)
      printable_name (l->disk[bad].name, shown);
    if (new && err == EEXIST)
      snprintf (why, SAVED_WHY, "there is a disk \"%s\" already", shown);
    else if (new && err == EBUSY)
      snprintf (why, SAVED_WHY, "clients have the disk \"%s\" open", shown);
    else if (new && err == ENFILE)
      snprintf (why, SAVED_WHY, "no room for the disk \"%s\": more than "
                "max-disks=%zu disks: expected a higher max-disks=", shown,
                o->max_disks);
    else
      snprintf (why, SAVED_WHY, "%s", strerror (err));
  }
  free (new);
  return r;
}

static int
load (struct load_job *p, struct job *job, char why[SAVED_WHY])
{
  const struct load_options o = {
    .path = p->path, .arena = p->s->arena,
    .max_size = registry_options (p->s->registry)->max_size,
    .check_name = registry_check_name, .wanted = wanted,
    .open_origin = origin_of_load, .opaque = p, .job = job,
  };
  char shown[PRINTABLE_STRING];
  struct loaded l;
  int r = load_run (&o, &l, why), err;

  if (r == 0 && json_array_size (p->unmatched) > 0) {
    const json_t *first = json_array_get (p->unmatched, 0);

    snprintf (why, SAVED_WHY, "no disk in the folder matches \"%s\"",
              printable_name (json_string_value (first), shown));
    r = -1;
  }
  if (r == 0)
    r = add_all (p, &l, why);
  err = errno;
  loaded_free (&l);
  let_go_of_there (p, r == 0);
  free (p->there);
  errno = err;
  return r;
}

static int
run_load (struct job *job, void *opaque)
{
  char why[SAVED_WHY];

  return load (opaque, job, why) == -1 ? job_fail (job, "%s", why) : 0;
}

static void
free_load (void *opaque)
{
  struct load_job *p = opaque;

  json_decref (p->patterns);
  json_decref (p->unmatched);
  saves_reap (p->s->saves);     /* what was replaced */
  free (p->path);
  free (p);
}

uint64_t
load_job_start (struct service *s, const char *path, const json_t *patterns,
                enum if_exists if_exists, enum if_open if_open)
{
  struct load_job *p = calloc (1, sizeof *p);
  struct job_options o = {
    .kind = "load", .disk = SEVERAL, .target = path, .run = run_load,
    .free = free_load, .opaque = p,
  };

  if (p == NULL)
    return 0;
  *p = (struct load_job) {
    .s = s, .path = strdup (path), .if_exists = if_exists, .if_open = if_open,
    .patterns = patterns ? json_deep_copy (patterns) : NULL,
  };
  p->unmatched = p->patterns ? json_copy (p->patterns) : NULL;
  if (p->path && (p->unmatched || patterns == NULL))
    return jobs_start (s->jobs, &o);
  free_load (p);
  errno = ENOMEM;
  return 0;
}

int
load_now (struct service *s, const char *path, char why[SAVED_WHY])
{
  struct load_job p = {
    .s = s, .path = (char *) path, .if_exists = IF_EXISTS_IGNORE,
  };
  int r = load (&p, NULL, why);

  if (r == -1)
    saved_name_folder (path, why);
  return r;
}
