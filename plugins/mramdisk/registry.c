/* SPDX-License-Identifier: BSD-3-Clause */
/* Which name stands for which disk.  registry.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "disk.h"
#include "mutex.h"
#include "registry.h"

struct entry {
  struct named_disk d;          /* first, so that one can be cast to the other */
  size_t handles;               /* open, guarded by registry.lock */
  bool listed;                  /* in registry.entry */
  bool probe;                   /* made by opening, and not kept (G3) */
};

struct registry {
  struct arena *arena;
  struct registry_options o;
  struct mutex lock;
  struct entry **entry GUARDED_BY (lock);       /* sorted by name */
  size_t n GUARDED_BY (lock);
  size_t alloc GUARDED_BY (lock);
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
  disk_free (e->d.disk);
  free (e->d.name);
  free (e);
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

int
registry_create (struct registry *r, const char *name, uint64_t size,
                 uint32_t sector_size, bool readonly)
{
  struct entry *e = make (r, name, size, sector_size);
  bool found;
  size_t i;
  int err = 0;

  if (e == NULL)
    return -1;
  disk_set_readonly (e->d.disk, readonly);
  mutex_lock (&r->lock);
  i = find_locked (r, name, &found);
  if (found)
    err = EEXIST;
  else if (room_locked (r) == -1)
    err = errno;
  else
    insert_locked (r, i, e);
  mutex_unlock (&r->lock);
  if (err) {
    entry_free (e);
    errno = err;
    return -1;
  }
  return 0;
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
      !atomic_load_explicit (&e->d.disk->written, memory_order_relaxed))
    remove_locked (r, find_locked (r, e->d.name, &found));
  last = last && !e->listed;
  mutex_unlock (&r->lock);
  if (last)
    entry_free (e);
}

void
registry_keep (struct registry *r, struct named_disk *d)
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

/* Open a disk that exists. */
static struct named_disk *
open_existing (struct registry *r, const char *name)
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

int
registry_clone (struct registry *r, const char *from, const char *to,
                bool readonly, bool replace)
{
  struct named_disk *src;
  struct entry *e, *old = NULL;
  bool found;
  size_t i;
  int err = 0;

  if (registry_check_name (to) != NULL)
    return -1;
  src = open_existing (r, from);
  if (src == NULL)
    return -1;
  e = entry_new (to, disk_clone (src->disk));
  registry_close (r, src);
  if (e == NULL)
    return -1;
  disk_set_readonly (e->d.disk, readonly);

  mutex_lock (&r->lock);
  i = find_locked (r, to, &found);
  if (found && !replace)
    err = EEXIST;
  else if (found) {
    old = r->entry[i];
    old->listed = false;
    r->entry[i] = e;
    e->listed = true;
    if (old->handles > 0)
      old = NULL;               /* its last handle frees it */
  }
  else if (room_locked (r) == -1)
    err = errno;
  else
    insert_locked (r, i, e);
  mutex_unlock (&r->lock);
  entry_free (err ? e : old);
  if (err) {
    errno = err;
    return -1;
  }
  return 0;
}

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
