/* SPDX-License-Identifier: BSD-3-Clause */
/* Which name stands for which disk.  registry.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "disk.h"
#include "mutex.h"
#include "registry.h"

struct entry {
  struct named_disk d;          /* first: one is cast to the other */
  size_t handles;               /* open, guarded by registry.lock */
  bool listed;                  /* in registry.entry */
  bool probe;                   /* made by opening, and not kept (G3) */
  time_t quota_reported;        /* guarded by registry.lock */
  size_t connections;           /* the same */
  struct connection *first;     /* the same */
  struct figures_sum *closed;   /* the same; of connections that are closed */
};

struct registry {
  struct arena *arena;
  struct registry_options o;
  struct mutex lock;
  struct entry **entry GUARDED_BY (lock);       /* sorted by name */
  size_t n GUARDED_BY (lock);
  size_t alloc GUARDED_BY (lock);
  struct connection *first GUARDED_BY (lock);
  size_t connections GUARDED_BY (lock);
  struct figures_sum closed GUARDED_BY (lock);
  void (*listener) (void *opaque, const struct change_report *report);
  void *listener_opaque;
};

static struct entry *
entry_of (struct named_disk *d)
{
  return (struct entry *) d;
}

/* An entry that is in no list yet; takes the disk over. */
static struct entry *
entry_new (const char *name, struct disk *disk)
{
  struct entry *e = disk ? calloc (1, sizeof *e) : NULL;

  if (e)
    e->d.name = strdup (name);
  if (e == NULL || e->d.name == NULL) {
    if (disk) {
      disk_free (disk);
      errno = ENOMEM;
    }
    free (e);
    return NULL;
  }
  e->d.disk = disk;
  return e;
}

static void
entry_free (struct entry *e)
{
  if (e == NULL)
    return;
  assert (e->connections == 0);
  disk_free (e->d.disk);
  free (e->closed);
  free (e->d.name);
  free (e);
}

void
registry_listen (struct registry *r,
                 void (*fn) (void *opaque, const struct change_report *),
                 void *opaque)
{
  r->listener = fn;
  r->listener_opaque = opaque;
}

static void
report_locked (struct registry *r, enum change change, const struct entry *e,
               const char *from, uint64_t old_size) REQUIRES (r->lock)
{
  struct change_report report = {
    .change = change, .name = e->d.name, .disk = e->d.disk, .from = from,
    .old_size = old_size
  };

  if (r->listener)
    r->listener (r->listener_opaque, &report);
}

struct registry *
registry_new (struct arena *arena, const struct registry_options *options)
{
  struct registry *r = calloc (1, sizeof *r);

  if (r == NULL)
    return NULL;
  r->arena = arena;
  r->o = *options;
  mutex_init (&r->lock);
  return r;
}

void
registry_free (struct registry *r)
{
  size_t i;

  if (r == NULL)
    return;
  for (i = 0; i < r->n; i++) {
    r->entry[i]->listed = false;
    if (r->entry[i]->handles == 0)
      entry_free (r->entry[i]);
  }
  mutex_destroy (&r->lock);
  free (r->entry);
  free (r);
}

const char *
registry_check_name (const char *name)
{
  size_t len = strlen (name);
  json_t *string;

  if (len > REGISTRY_MAX_NAME) {
    errno = ENAMETOOLONG;
    return "at most 4096 bytes";
  }
  /* jansson takes only well-formed UTF-8, RFC 3629. */
  string = json_stringn (name, len);
  if (string == NULL) {
    errno = EILSEQ;
    return "valid UTF-8";
  }
  json_decref (string);
  return NULL;
}

/* Where a name is, or would be.  *found: whether it is there. */
static size_t
find_locked (struct registry *r, const char *name, bool *found)
  REQUIRES (r->lock)
{
  size_t low = 0, high = r->n;

  *found = false;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    int c = strcmp (name, r->entry[mid]->d.name);

    if (c == 0) {
      *found = true;
      return mid;
    }
    if (c < 0)
      high = mid;
    else
      low = mid + 1;
  }
  return low;
}

static void
remove_locked (struct registry *r, size_t i) REQUIRES (r->lock)
{
  r->entry[i]->listed = false;
  memmove (&r->entry[i], &r->entry[i + 1],
           (r->n - i - 1) * sizeof r->entry[0]);
  r->n--;
}

/* Make room for one more entry, if the limits allow it. */
static int
room_locked (struct registry *r) REQUIRES (r->lock)
{
  if (r->n >= r->o.max_disks) {
    errno = ENFILE;
    return -1;
  }
  if (r->n == r->alloc) {
    size_t alloc = r->alloc ? r->alloc * 2 : 16;
    struct entry **entry = reallocarray (r->entry, alloc, sizeof *entry);

    if (entry == NULL)
      return -1;
    r->entry = entry;
    r->alloc = alloc;
  }
  return 0;
}

/* Insert where find_locked said.  There must be room. */
static void
insert_locked (struct registry *r, size_t i, struct entry *e)
  REQUIRES (r->lock)
{
  memmove (&r->entry[i + 1], &r->entry[i], (r->n - i) * sizeof r->entry[0]);
  r->entry[i] = e;
  r->n++;
  e->listed = true;
}

/* Make an entry with an empty disk.  Not in the list yet. */
static struct entry *
make (struct registry *r, const char *name, uint64_t size,
      uint32_t sector_size)
{
  if (registry_check_name (name) != NULL)
    return NULL;
  if (size > r->o.max_size) {
    errno = EFBIG;
    return NULL;
  }
  return entry_new (name, disk_new (r->arena, size, sector_size));
}

/* Is the name taken in a way that there is nothing to be done?  Saves the work
 * to those who would find out at the end.
 */
static bool
is_taken (struct registry *r, const char *name, enum if_exists if_exists)
{
  bool found;
  size_t i;

  if (if_exists == IF_EXISTS_REPLACE)
    return false;
  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found && if_exists == IF_EXISTS_IGNORE)
    r->entry[i]->probe = false;
  mutex_unlock (&r->lock);
  return found;
}

static int
taken (enum if_exists if_exists, enum made *made)
{
  if (if_exists == IF_EXISTS_IGNORE) {
    *made = MADE_NOTHING;
    return 0;
  }
  errno = EEXIST;
  return -1;
}

/* Give a new entry its name.  Frees it if that fails, or is not needed. */
static int
publish (struct registry *r, struct entry *e, const char *from,
         enum if_exists if_exists, enum made *made)
{
  struct entry *unused = NULL;
  bool found;
  size_t i;
  int err = 0;

  *made = MADE_NEW;
  mutex_lock (&r->lock);
  i = find_locked (r, e->d.name, &found);
  if (found && if_exists != IF_EXISTS_REPLACE) {
    if (taken (if_exists, made) == -1)
      err = errno;
    else
      r->entry[i]->probe = false;
    unused = e;
  }
  else if (found) {
    *made = MADE_REPLACEMENT;
    unused = r->entry[i];
    unused->listed = false;
    r->entry[i] = e;
    e->listed = true;
    if (unused->handles > 0)
      unused = NULL;            /* its last handle frees it */
    report_locked (r, CHANGE_REPLACED, e, from, 0);
  }
  else if (room_locked (r) == -1) {
    err = errno;
    unused = e;
  }
  else {
    insert_locked (r, i, e);
    report_locked (r, from ? CHANGE_CLONED : CHANGE_CREATED, e, from, 0);
  }
  mutex_unlock (&r->lock);
  entry_free (unused);
  if (err) {
    errno = err;
    return -1;
  }
  return 0;
}

int
registry_create (struct registry *r, const char *name,
                 const struct disk_options *options, enum if_exists if_exists,
                 enum made *made)
{
  enum made unused;
  struct entry *e;

  if (made == NULL)
    made = &unused;
  /* A size that cannot be is refused even if the name is taken. */
  e = make (r, name, options->size, options->sector_size);
  if (e == NULL)
    return -1;
  disk_set_readonly (e->d.disk, options->readonly);
  disk_set_quota (e->d.disk, options->quota);
  return publish (r, e, NULL, if_exists, made);
}

struct named_disk *
registry_open (struct registry *r, const char *name)
{
  struct entry *e = NULL;
  bool found;
  size_t i;

  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found)
    e = r->entry[i];
  else if (!r->o.auto_create)
    errno = ENOENT;
  else if (room_locked (r) == 0) {
    e = make (r, name, r->o.default_size, r->o.sector_size);
    if (e) {
      e->probe = true;
      insert_locked (r, i, e);
      report_locked (r, CHANGE_CREATED, e, NULL, 0);
    }
  }
  if (e)
    e->handles++;
  mutex_unlock (&r->lock);
  return e ? &e->d : NULL;
}

void
registry_close (struct registry *r, struct named_disk *d)
{
  struct entry *e = entry_of (d);
  bool found, last;

  mutex_lock (&r->lock);
  assert (e->handles > 0);
  last = --e->handles == 0;
  if (last && e->listed && e->probe &&
      !atomic_load_explicit (&e->d.disk->written, memory_order_relaxed)) {
    remove_locked (r, find_locked (r, e->d.name, &found));
    report_locked (r, CHANGE_DESTROYED, e, NULL, 0);
  }
  last = last && !e->listed;
  mutex_unlock (&r->lock);
  if (last)
    entry_free (e);
}

/* A disk that was made by opening is to stay (G3). */
static void
keep (struct registry *r, struct named_disk *d)
{
  mutex_lock (&r->lock);
  entry_of (d)->probe = false;
  mutex_unlock (&r->lock);
}

int
registry_destroy (struct registry *r, const char *name)
{
  struct entry *e = NULL;
  bool found, last = false;
  size_t i;

  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found) {
    e = r->entry[i];
    remove_locked (r, i);
    report_locked (r, CHANGE_DESTROYED, e, NULL, 0);
    last = e->handles == 0;
  }
  mutex_unlock (&r->lock);
  if (!found) {
    errno = ENOENT;
    return -1;
  }
  if (last)
    entry_free (e);
  return 0;
}

struct named_disk *
registry_hold (struct registry *r, const char *name)
{
  struct entry *e = NULL;
  bool found;
  size_t i;

  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found) {
    e = r->entry[i];
    e->handles++;
  }
  mutex_unlock (&r->lock);
  if (!found)
    errno = ENOENT;
  return e ? &e->d : NULL;
}

size_t
registry_hold_page (struct registry *r, const char *after, size_t n,
                    struct named_disk **d, bool *more)
{
  bool found = false;
  size_t i = 0, held;

  mutex_lock (&r->lock);
  if (after)
    i = find_locked (r, after, &found) + found;
  for (held = 0; held < n && i < r->n; held++, i++) {
    r->entry[i]->handles++;
    d[held] = &r->entry[i]->d;
  }
  *more = i < r->n;
  mutex_unlock (&r->lock);
  return held;
}

int
registry_clone (struct registry *r, const char *from, const char *to,
                const struct disk_options *options, enum if_exists if_exists,
                enum made *made)
{
  enum made unused;
  struct named_disk *src;
  struct entry *e = NULL;

  if (made == NULL)
    made = &unused;
  if (registry_check_name (to) != NULL)
    return -1;
  src = registry_hold (r, from);
  if (src == NULL)
    return -1;
  if (is_taken (r, to, if_exists)) {
    registry_close (r, src);
    return taken (if_exists, made);
  }
  keep (r, src);
  e = entry_new (to, disk_clone (src->disk));
  registry_close (r, src);
  if (e == NULL)
    return -1;
  disk_set_readonly (e->d.disk, options->readonly);
  disk_set_quota (e->d.disk, options->quota);
  return publish (r, e, from, if_exists, made);
}

int
registry_resize (struct registry *r, const char *name, uint64_t size,
                 uint64_t *old)
{
  struct named_disk *d;
  int ret, err;

  if (size > r->o.max_size) {
    errno = EFBIG;
    return -1;
  }
  d = registry_hold (r, name);
  if (d == NULL)
    return -1;
  *old = disk_size (d->disk);
  ret = disk_resize (d->disk, size);
  err = errno;
  if (ret == 0) {
    mutex_lock (&r->lock);
    entry_of (d)->probe = false;
    report_locked (r, CHANGE_RESIZED, entry_of (d), NULL, *old);
    mutex_unlock (&r->lock);
  }
  registry_close (r, d);
  errno = err;
  return ret;
}

int
registry_set (struct registry *r, const char *name, const bool *readonly,
              const uint64_t *quota, struct disk_options *now)
{
  struct entry *e;
  bool found;
  size_t i;

  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found) {
    e = r->entry[i];
    if (readonly)
      disk_set_readonly (e->d.disk, *readonly);
    if (quota)
      disk_set_quota (e->d.disk, *quota);
    now->readonly = disk_is_readonly (e->d.disk);
    now->quota = disk_quota (e->d.disk);
    now->size = disk_size (e->d.disk);
    now->sector_size = e->d.disk->sector_size;
    if (readonly || quota) {
      e->probe = false;
      report_locked (r, CHANGE_SET, e, NULL, 0);
    }
  }
  mutex_unlock (&r->lock);
  if (!found) {
    errno = ENOENT;
    return -1;
  }
  return 0;
}

void
registry_quota_reached (struct registry *r, struct named_disk *d)
{
  struct entry *e = entry_of (d);
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  mutex_lock (&r->lock);
  if (e->quota_reported != now.tv_sec) {
    e->quota_reported = now.tv_sec;
    report_locked (r, CHANGE_QUOTA, e, NULL, 0);
  }
  mutex_unlock (&r->lock);
}

/* --------------------------------------------------------------- figures */

int
registry_connect (struct registry *r, struct connection *c,
                  struct named_disk *d)
{
  struct entry *e = entry_of (d);
  struct figures_sum *closed = NULL;

  c->d = d;
  c->figures = figures_new ();
  closed = calloc (1, sizeof *closed);
  if (c->figures == NULL || closed == NULL) {
    figures_free (c->figures);
    free (closed);
    return -1;
  }
  mutex_lock (&r->lock);
  if (e->closed == NULL) {
    e->closed = closed;
    closed = NULL;
  }
  c->prev = c->all_prev = NULL;
  c->next = e->first;
  if (c->next)
    c->next->prev = c;
  e->first = c;
  e->connections++;
  c->all_next = r->first;
  if (c->all_next)
    c->all_next->all_prev = c;
  r->first = c;
  r->connections++;
  mutex_unlock (&r->lock);
  free (closed);
  return 0;
}

void
registry_disconnect (struct registry *r, struct connection *c)
{
  struct entry *e = entry_of (c->d);

  mutex_lock (&r->lock);
  figures_add (c->figures, e->closed);
  figures_add (c->figures, &r->closed);
  if (c->prev)
    c->prev->next = c->next;
  else
    e->first = c->next;
  if (c->next)
    c->next->prev = c->prev;
  e->connections--;
  if (c->all_prev)
    c->all_prev->all_next = c->all_next;
  else
    r->first = c->all_next;
  if (c->all_next)
    c->all_next->all_prev = c->all_prev;
  r->connections--;
  mutex_unlock (&r->lock);
  figures_free (c->figures);
}

size_t
registry_figures (struct registry *r, struct named_disk *d,
                  struct figures_sum *sum)
{
  struct entry *e = entry_of (d);
  struct connection *c;
  size_t n;

  memset (sum, 0, sizeof *sum);
  mutex_lock (&r->lock);
  if (e->closed)
    figures_sum_add (sum, e->closed);
  for (c = e->first; c; c = c->next)
    figures_add (c->figures, sum);
  n = e->connections;
  mutex_unlock (&r->lock);
  return n;
}

size_t
registry_all_figures (struct registry *r, struct figures_sum *sum)
{
  struct connection *c;
  size_t n;

  memset (sum, 0, sizeof *sum);
  mutex_lock (&r->lock);
  figures_sum_add (sum, &r->closed);
  for (c = r->first; c; c = c->all_next)
    figures_add (c->figures, sum);
  n = r->connections;
  mutex_unlock (&r->lock);
  return n;
}

size_t
registry_connections (struct registry *r, struct named_disk *d)
{
  size_t n;

  mutex_lock (&r->lock);
  n = entry_of (d)->connections;
  mutex_unlock (&r->lock);
  return n;
}

/* ------------------------------------------------------------------ lists */

int
registry_each (struct registry *r, const char *after,
               int (*fn) (void *opaque, const struct named_disk *d),
               void *opaque)
{
  bool found = false;
  size_t i = 0;
  int ret = 0;

  mutex_lock (&r->lock);
  if (after)
    i = find_locked (r, after, &found) + found;
  for (; i < r->n && ret == 0; i++)
    ret = fn (opaque, &r->entry[i]->d);
  mutex_unlock (&r->lock);
  return ret;
}

size_t
registry_count (struct registry *r)
{
  size_t n;

  mutex_lock (&r->lock);
  n = r->n;
  mutex_unlock (&r->lock);
  return n;
}

const struct registry_options *
registry_options (const struct registry *r)
{
  return &r->o;
}
