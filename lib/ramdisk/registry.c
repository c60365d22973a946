/* SPDX-License-Identifier: BSD-3-Clause */
/* The names of disks. registry.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mutex.h"
#include "ramdisk/disk.h"
#include "ramdisk/records.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

/* Create an entry that is not in the list yet.  Takes the disk over. */
static struct entry *
entry_new (struct registry *r, const char *name, struct disk *disk)
{
  struct entry *e = disk ? calloc (1, sizeof *e) : NULL;
  char *copy = e ? strdup (name) : NULL;

  if (copy)
    e->self = lineage_new (name);
  if (copy == NULL || e->self == NULL) {
    if (disk) {
      disk_free (disk);
      errno = ENOMEM;
    }
    free (copy);
    free (e);
    return NULL;
  }
  e->d.name = copy;
  e->d.disk = disk;
  disk->detect_same = !r->o.keep_same;
  /* The name is stored in the file before the record is valid (record_link). */
  if (uuid_new (&e->d.uuid) == -1 ||
      record_set_name (disk->tree.arena, disk->tree.record, name,
                       &e->d.uuid) == -1) {
    int err = errno;

    disk_free (disk);
    lineage_unref (e->self);
    free (copy);
    free (e);
    errno = err;
    return NULL;
  }
  mutex_init (&e->resizing);
  e->d.id = registry_new_id ();
  return e;
}

void
registry_keep_locked (struct entry *e)
{
  e->ephemeral = false;
  record_keep (e->d.disk->tree.record);
}

void
registry_keep_for_ever_locked (struct entry *e)
{
  e->auto_destroy = false;
  registry_keep_locked (e);
  record_stay (e->d.disk->tree.record);
}

/* A disk that the caller holds is about to be cloned.  Until end_cloning it
 * keeps its name.  Only a clone that gets a name makes it stay for longer
 * (keep_parent_locked).
 */
static void
begin_cloning (struct registry *r, struct named_disk *d)
{
  mutex_lock (&r->lock);
  registry_entry (d)->cloning++;
  mutex_unlock (&r->lock);
}

static void end_cloning (struct registry *r, struct named_disk *d);

/* e is about to get its name.  If it is a clone, what it was cloned from stays
 * (G3): first, because a crash may come in between.
 */
static void
keep_parent_locked (struct entry *e)
{
  if (e->parent && e->parent->entry)
    registry_keep_locked (e->parent->entry);
}

/* e is a clone of src. */
static void
descend (struct registry *r, struct entry *e, struct named_disk *src)
{
  mutex_lock (&r->lock);
  e->parent = registry_entry (src)->self;
  e->parent->refs++;
  record_set_parent (e->d.disk->tree.record, src->disk->tree.record);
  mutex_unlock (&r->lock);
}

static void
entry_free (struct registry *r, struct entry *e)
{
  struct former_name *former;

  if (e == NULL)
    return;
  assert (e->connections == 0);
  mutex_lock (&r->lock);
  lineage_unref (e->self);
  lineage_unref (e->parent);
  mutex_unlock (&r->lock);
  disk_free (e->d.disk);
  mutex_destroy (&e->resizing);
  free (e->closed);
  while ((former = e->former) != NULL) {
    e->former = former->next;
    free (former->name);
    free (former);
  }
  free (e->d.name);
  free (e);
}

void
registry_free (struct registry *r)
{
  struct entry *e, *after;

  if (r == NULL)
    return;
  for (e = r->least; e; e = after) {
    after = e->after;
    e->listed = false;
    if (e->handles == 0)
      entry_free (r, e);
  }
  mutex_destroy (&r->lock);
  free (r);
}

/* Give a disk its name in the arena's file.  This comes first, so that whatever
 * others see is recovered.
 */
static void
link_locked (struct registry *r, struct entry *e, struct entry *replaces)
  REQUIRES (r->lock)
{
  record_link (r->arena, e->d.disk->tree.record,
               (e->ephemeral ? LAYOUT_EPHEMERAL : 0) |
               (e->auto_destroy ? LAYOUT_AUTO_DESTROY : 0),
               replaces ? replaces->d.disk->tree.record : NULL);
}

/* A disk has lost its name.  While somebody has it open, it is in the list of
 * those that were deleted.  Returns whether it is.
 */
static bool
bury_locked (struct registry *r, struct entry *e) REQUIRES (r->lock)
{
  e->listed = false;
  e->self->entry = NULL;
  if (e->handles == 0)
    return false;
  e->deleted_prev = NULL;
  e->deleted_next = r->deleted;
  if (r->deleted)
    r->deleted->deleted_prev = e;
  r->deleted = e;
  r->ndeleted++;
  return true;
}

/* The last handle of such a disk is closed. */
static void
unbury_locked (struct registry *r, struct entry *e) REQUIRES (r->lock)
{
  if (e->deleted_prev)
    e->deleted_prev->deleted_next = e->deleted_next;
  else
    r->deleted = e->deleted_next;
  if (e->deleted_next)
    e->deleted_next->deleted_prev = e->deleted_prev;
  r->ndeleted--;
}

/* Returns whether somebody has the disk open. */
static bool
remove_locked (struct registry *r, struct entry *e) REQUIRES (r->lock)
{
  record_unlink (e->d.disk->tree.record);
  registry_remove_locked (r, e);
  return bury_locked (r, e);
}

/* Must a change of the disk be refused because clients have it open? */
static bool
is_in_use_locked (const struct entry *e, enum if_open if_open)
{
  if (if_open == IF_OPEN_KEEP || !entry_has_clients (e))
    return false;
  errno = EBUSY;
  return true;
}

/* Is there room for one more disk? */
static int
room_locked (struct registry *r) REQUIRES (r->lock)
{
  if (r->n < r->o.max_disks)
    return 0;
  errno = ENFILE;
  return -1;
}

/* Insert a disk, whose name is not there. */
static void
insert_locked (struct registry *r, struct entry *e) REQUIRES (r->lock)
{
  registry_insert_locked (r, e);
  e->listed = true;
  e->self->entry = e;
}

/* Create an entry with an empty disk.  It is not in the list yet. */
static struct entry *
make (struct registry *r, const char *name, uint64_t size,
      uint32_t sector_size, struct origin *origin)
{
  if (registry_check_name (name) != NULL)
    return NULL;
  if (size > r->o.max_size) {
    errno = EFBIG;
    return NULL;
  }
  return entry_new (r, name, origin
                    ? disk_new_over (r->arena, size, sector_size, origin)
                    : disk_new (r->arena, size, sector_size));
}

bool
registry_stay (struct registry *r, const char *name)
{
  struct entry *e;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e)
    registry_keep_for_ever_locked (e);
  mutex_unlock (&r->lock);
  return e != NULL;
}

/* Whether the name exists, so that nothing is to be done.  Saves work that
 * would be found unnecessary at the end.
 */
static bool
is_taken (struct registry *r, const char *name, enum if_exists if_exists)
{
  if (if_exists == IF_EXISTS_REPLACE)
    return false;
  return if_exists == IF_EXISTS_IGNORE ? registry_stay (r, name)
    : registry_exists (r, name);
}

/* What was made, for a caller who wants to know. */
static void
say_made (enum made *made, enum made what)
{
  if (made)
    *made = what;
}

static int
taken (enum if_exists if_exists, enum made *made)
{
  if (if_exists == IF_EXISTS_IGNORE) {
    say_made (made, MADE_NOTHING);
    return 0;
  }
  errno = EEXIST;
  return -1;
}

/* Give a new entry its name.  *unused becomes what is to be freed without the
 * lock, or NULL.  Returns 0 or an errno.
 */
static int
publish_locked (struct registry *r, struct entry *e, const char *from,
                const struct disk_options *options, enum if_exists if_exists,
                enum made *made, struct entry **unused) REQUIRES (r->lock)
{
  struct entry *old = registry_find_locked (r, e->d.name);
  int err = 0;

  say_made (made, MADE_NEW);
  *unused = e;
  if (old && if_exists != IF_EXISTS_REPLACE) {
    if (taken (if_exists, made) == -1)
      err = errno;
    else
      registry_keep_for_ever_locked (old);
    return err;
  }
  if (options->replaces && (old == NULL || old->d.id != options->replaces))
    return ESTALE;
  if (old && is_in_use_locked (old, options->if_open))
    return errno;
  if (old == NULL && room_locked (r) == -1)
    return errno;
  *unused = NULL;
  keep_parent_locked (e);
  if (old) {
    say_made (made, MADE_REPLACEMENT);
    if (options->replaces) {    /* a reset: nobody meant it to stay (G7) */
      e->auto_destroy = old->auto_destroy;
      disk_set (e->d.disk, disk_is_readonly (old->d.disk),
                disk_quota (old->d.disk));
    }
    link_locked (r, e, old);
    registry_remove_locked (r, old);
    insert_locked (r, e);
    if (!bury_locked (r, old))  /* else its last handle frees it */
      *unused = old;
    registry_report_locked (r, CHANGE_REPLACED, e, from, old->d.id);
  }
  else {
    link_locked (r, e, NULL);
    insert_locked (r, e);
    registry_report_locked (r, from ? CHANGE_CLONED : CHANGE_CREATED, e, from,
                            0);
  }
  return 0;
}

/* The same.  Frees the entry if that fails, or is not needed. */
static int
publish (struct registry *r, struct entry *e, const char *from,
         const struct disk_options *options, enum if_exists if_exists,
         enum made *made)
{
  struct entry *unused;
  int err;

  mutex_lock (&r->lock);
  err = publish_locked (r, e, from, options, if_exists, made, &unused);
  mutex_unlock (&r->lock);
  entry_free (r, unused);
  errno = err;
  return err ? -1 : 0;
}

/* Would all of them get their names?  *bad: the one that would not.  Returns 0
 * or an errno.
 */
static int
check_all_locked (struct registry *r, struct entry **e, size_t n,
                  enum if_exists if_exists, enum if_open if_open, size_t *bad)
  REQUIRES (r->lock)
{
  size_t i, new = 0;
  struct entry *old;

  for (i = 0; i < n; i++) {
    *bad = i;
    old = registry_find_locked (r, e[i]->d.name);
    if (old && if_exists == IF_EXISTS_ERROR)
      return EEXIST;
    if (old && if_exists == IF_EXISTS_REPLACE &&
        is_in_use_locked (old, if_open))
      return errno;
    new += old == NULL;
    if (old == NULL && r->n + new > r->o.max_disks)
      return ENFILE;
  }
  return 0;
}

/* e[i] was a clone in another life (registry_new.parent).  If what it was
 * cloned from is not there, it has a parent that has lost its name.  Returns 0,
 * or -1: no memory.
 */
static int
remember_parent (struct registry *r, struct entry **e, size_t i,
                 const struct registry_new *new)
{
  if (new->parent == NULL)
    return 0;
  if (new->parent_index != SIZE_MAX)
    descend (r, e[i], &e[new->parent_index]->d);
  else if ((e[i]->parent = lineage_new (new->parent)) == NULL)
    return -1;
  return 0;
}

int
registry_add_all (struct registry *r, const struct registry_new *new, size_t n,
                  enum if_exists if_exists, enum if_open if_open, size_t *bad)
{
  const struct disk_options options = { .if_open = if_open };
  struct entry **e = calloc (2 * n + 1, sizeof *e), **unused = e + n;
  size_t i, m = 0;
  bool brought = false;         /* a UUID: a new one is no other disk's */
  int err = e ? 0 : ENOMEM;

  for (i = 0; i < n; i++) {
    if (err == 0 && registry_check_name (new[i].name) != NULL) {
      err = errno;
      *bad = i;
    }
    if (err) {
      disk_free (new[i].disk);
      continue;
    }
    e[m] = entry_new (r, new[i].name, new[i].disk);
    if (e[m] == NULL)
      err = errno;
    else {
      if (new[i].source)
        descend (r, e[m], new[i].source);
      disk_set (new[i].disk, new[i].readonly, new[i].quota);
      if (uuid_is_set (&new[i].uuid)) {
        registry_set_uuid (e[m], &new[i].uuid);
        brought = true;
      }
      m++;
    }
  }
  for (i = 0; i < n && err == 0; i++)
    if (remember_parent (r, e, i, &new[i]) == -1)
      err = ENOMEM;
  mutex_lock (&r->lock);
  if (err == 0)
    err = check_all_locked (r, e, n, if_exists, if_open, bad);
  if (err == 0 && brought)
    err = registry_unique_uuids_locked (r, e, n, if_exists);
  for (i = 0; i < m; i++) {
    unused[i] = e[i];
    if (err == 0)
      publish_locked (r, e[i], new[i].source ? new[i].source->name : NULL,
                      &options, if_exists, NULL, &unused[i]);
  }
  mutex_unlock (&r->lock);
  for (i = 0; i < m; i++)
    entry_free (r, unused[i]);
  free (e);
  errno = err;
  return err ? -1 : 0;
}

int
registry_clone_all (struct registry *r, const struct registry_clone *clone,
                    size_t n, const struct disk_options *options,
                    enum if_exists if_exists, size_t *bad)
{
  struct registry_new *new = calloc (n + 1, sizeof *new);
  struct disk **disk = calloc (2 * n + 1, sizeof *disk);
  struct named_disk **d = calloc (n + 1, sizeof *d);
  size_t held = 0, i;
  int ret = -1, err;

  if (new && disk && d) {
    for (; held < n; held++) {
      *bad = held;
      d[held] = registry_hold (r, clone[held].from);
      if (d[held] == NULL)
        goto out;
      begin_cloning (r, d[held]);
      disk[held] = d[held]->disk;
    }
    if (disk_clone_together (disk, disk + n, n) == -1)
      goto out;
    for (i = 0; i < n; i++)
      new[i] = (struct registry_new) {
        .name = clone[i].to, .disk = disk[n + i], .source = d[i],
        .readonly = options->readonly, .quota = options->quota,
      };
    ret = registry_add_all (r, new, n, if_exists, options->if_open, bad);
  }
 out:
  err = errno;
  while (held > 0)
    end_cloning (r, d[--held]);
  free (new);
  free (disk);
  free (d);
  errno = err;
  return ret;
}

int
registry_create (struct registry *r, const char *name,
                 const struct disk_options *options, enum if_exists if_exists,
                 enum made *made)
{
  struct entry *e;

  /* An invalid size is refused even if the name exists. */
  e = make (r, name, options->size, options->sector_size, options->origin);
  if (e == NULL)
    return -1;
  disk_set (e->d.disk, options->readonly, options->quota);
  return publish (r, e, NULL, options, if_exists, made);
}

int
registry_add (struct registry *r, const char *name, struct disk *disk,
              const struct disk_options *options, enum if_exists if_exists,
              enum made *made)
{
  struct entry *e;

  if (registry_check_name (name) != NULL) {
    int err = errno;

    disk_free (disk);
    errno = err;
    return -1;
  }
  e = entry_new (r, name, disk);
  if (e == NULL)
    return -1;
  disk_set (e->d.disk, options->readonly, options->quota);
  return publish (r, e, NULL, options, if_exists, made);
}

/* A disk that is made by opening its name gets it.  There must be room. */
static void
add_opened_locked (struct registry *r, struct entry *e, const char *from)
  REQUIRES (r->lock)
{
  e->ephemeral = true;
  e->auto_destroy = r->o.auto_destroy;
  e->used = true;
  keep_parent_locked (e);
  link_locked (r, e, NULL);
  insert_locked (r, e);
  registry_report_locked (r, from ? CHANGE_CLONED : CHANGE_CREATED, e, from, 0);
}

/* A clone of the template that no name leads to yet.  *held: the template, for
 * end_cloning, or NULL.
 */
static struct entry *
clone_template (struct registry *r, const char *name, struct named_disk **held)
{
  struct named_disk *src;
  struct entry *e;

  *held = NULL;
  if (registry_check_name (name) != NULL)
    return NULL;
  if (strcmp (name, r->o.template_name) == 0) {
    errno = ENOENT;
    return NULL;
  }
  src = registry_hold (r, r->o.template_name);
  if (src == NULL)
    return NULL;
  *held = src;
  begin_cloning (r, src);
  e = entry_new (r, name, disk_clone (src->disk));
  if (e) {
    descend (r, e, src);
    disk_set (e->d.disk, false, r->o.template_quota);
    /* Until a client writes to it, it is as good as not there (G3). */
    atomic_store_explicit (&e->d.disk->written, false, memory_order_relaxed);
  }
  return e;
}

static void
open_locked (struct entry *e, bool by_filter)
{
  e->handles++;
  e->opens++;
  e->filters += by_filter;
}

/* Open a name that is not there, with a clone of the template.  A clone may
 * wait, so it is made without the lock: if the name is there by then, the disk
 * that it means is opened instead.
 */
static struct named_disk *
open_clone (struct registry *r, const char *name, bool by_filter)
{
  struct named_disk *src;
  struct entry *made = clone_template (r, name, &src), *e = NULL;
  int err = errno;

  if (made == NULL)
    goto out;
  err = 0;
  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e == NULL && room_locked (r) == -1)
    err = errno;
  else if (e == NULL) {
    e = made;
    add_opened_locked (r, e, r->o.template_name);
  }
  if (e)
    open_locked (e, by_filter);
  mutex_unlock (&r->lock);
  if (e != made)
    entry_free (r, made);
 out:
  if (src)
    end_cloning (r, src);
  errno = err;
  return e ? &e->d : NULL;
}

static struct named_disk *
open_or_make (struct registry *r, const char *name, bool by_filter)
{
  struct entry *e;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e)
    ;
  else if (!r->o.auto_create)
    errno = ENOENT;
  else if (r->o.template_name) {
    mutex_unlock (&r->lock);
    return open_clone (r, name, by_filter);
  }
  else if (room_locked (r) == 0) {
    e = make (r, name, r->o.default_size, r->o.sector_size, NULL);
    if (e)
      add_opened_locked (r, e, NULL);
  }
  if (e)
    open_locked (e, by_filter);
  mutex_unlock (&r->lock);
  return e ? &e->d : NULL;
}

struct named_disk *
registry_open (struct registry *r, const char *name)
{
  return open_or_make (r, name, false);
}

struct named_disk *
registry_open_for_filter (struct registry *r, const char *name)
{
  return open_or_make (r, name, true);
}

struct named_disk *
registry_open_existing (struct registry *r, const char *name)
{
  struct entry *e;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e)
    open_locked (e, false);
  mutex_unlock (&r->lock);
  return e ? &e->d : NULL;
}

void
registry_end (struct registry *r)
{
  mutex_lock (&r->lock);
  r->ended = true;
  mutex_unlock (&r->lock);
}

static bool
is_ephemeral_locked (const struct entry *e)
{
  return e->ephemeral && e->cloning == 0 &&
    !atomic_load_explicit (&e->d.disk->written, memory_order_relaxed);
}

/* Does a disk that nobody has opened lose its name (G3, G7)? */
static bool
is_finished_locked (const struct registry *r, const struct entry *e)
  REQUIRES (r->lock)
{
  bool outlasts = r->ended && record_is_linked (e->d.disk->tree.record);

  return (e->auto_destroy && e->used && !outlasts) || is_ephemeral_locked (e);
}

bool
registry_is_ephemeral (struct registry *r, struct named_disk *d)
{
  bool is;

  mutex_lock (&r->lock);
  is = is_ephemeral_locked (registry_entry (d));
  mutex_unlock (&r->lock);
  return is;
}

/* One handle less.  Returns whether the entry is to be freed. */
static bool
close_locked (struct registry *r, struct entry *e) REQUIRES (r->lock)
{
  assert (e->handles > 0);
  e->handles--;
  if (e->opens > e->handles)
    e->opens = e->handles;
  if (e->filters > e->opens)
    e->filters = e->opens;
  if (e->opens == 0 && e->listed && is_finished_locked (r, e)) {
    remove_locked (r, e);
    registry_report_locked (r, CHANGE_DESTROYED, e, NULL, 0);
  }
  else if (e->handles == 0 && !e->listed)
    unbury_locked (r, e);
  return e->handles == 0 && !e->listed;
}

void
registry_close (struct registry *r, struct named_disk *d)
{
  struct entry *e = registry_entry (d);
  bool last;

  mutex_lock (&r->lock);
  last = close_locked (r, e);
  mutex_unlock (&r->lock);
  if (last)
    entry_free (r, e);
}

/* Close what begin_cloning was called for. */
static void
end_cloning (struct registry *r, struct named_disk *d)
{
  struct entry *e = registry_entry (d);
  bool last;

  mutex_lock (&r->lock);
  e->cloning--;
  last = close_locked (r, e);
  mutex_unlock (&r->lock);
  if (last)
    entry_free (r, e);
}

void
entry_left_locked (struct entry *e, bool by_filter)
{
  if (e->opens > 0)
    e->opens--;
  if (e->filters > 0)
    e->filters -= by_filter;
}

void
registry_leave (struct registry *r, struct named_disk *d, bool by_filter)
{
  struct entry *e = registry_entry (d);
  bool last;

  mutex_lock (&r->lock);
  entry_left_locked (e, by_filter);
  last = close_locked (r, e);
  mutex_unlock (&r->lock);
  if (last)
    entry_free (r, e);
}

int
registry_destroy_if (struct registry *r, const char *name,
                     enum if_open if_open)
{
  struct entry *e;
  int err = 0;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e == NULL)
    err = ENOENT;
  else if (is_in_use_locked (e, if_open)) {
    err = errno;
    e = NULL;
  }
  else {
    bool open = remove_locked (r, e);

    registry_report_locked (r, CHANGE_DESTROYED, e, NULL, 0);
    if (open)
      e = NULL;                 /* its last handle frees it */
  }
  mutex_unlock (&r->lock);
  entry_free (r, e);
  errno = err;
  return err ? -1 : 0;
}

int
registry_destroy (struct registry *r, const char *name)
{
  return registry_destroy_if (r, name, IF_OPEN_KEEP);
}

int
registry_clone_held (struct registry *r, struct named_disk *src,
                     const char *from, const char *to,
                     const struct disk_options *options,
                     enum if_exists if_exists, enum made *made)
{
  struct entry *e;
  int ret = -1, err;

  if (is_taken (r, to, if_exists)) {
    registry_close (r, src);
    return taken (if_exists, made);
  }
  begin_cloning (r, src);
  e = entry_new (r, to, disk_clone (src->disk));
  if (e) {
    descend (r, e, src);
    disk_set (e->d.disk, options->readonly, options->quota);
    ret = publish (r, e, from, options, if_exists, made);
  }
  err = errno;
  end_cloning (r, src);
  errno = err;
  return ret;
}

int
registry_clone (struct registry *r, const char *from, const char *to,
                const struct disk_options *options, enum if_exists if_exists,
                enum made *made)
{
  struct named_disk *src;

  if (registry_check_name (to) != NULL)
    return -1;
  src = registry_hold (r, from);
  if (src == NULL)
    return -1;
  return registry_clone_held (r, src, from, to, options, if_exists, made);
}

int
registry_resize (struct registry *r, const char *name, uint64_t size,
                 uint64_t *old)
{
  struct named_disk *d;
  struct entry *e;
  int ret, err;

  if (size > r->o.max_size) {
    errno = EFBIG;
    return -1;
  }
  d = registry_hold (r, name);
  if (d == NULL)
    return -1;
  e = registry_entry (d);
  mutex_lock (&e->resizing);
  *old = disk_size (d->disk);
  ret = disk_resize (d->disk, size);
  err = errno;
  if (ret == 0) {
    mutex_lock (&r->lock);
    registry_keep_locked (e);
    /* By now the name may be another disk's; or the last client has left, and
     * an ephemeral disk with it.
     */
    if (e->listed)
      registry_report_locked (r, CHANGE_RESIZED, e, NULL, *old);
    else if (e->opens == 0 && registry_find_locked (r, name) == NULL) {
      ret = -1;
      err = ENOENT;
    }
    mutex_unlock (&r->lock);
  }
  mutex_unlock (&e->resizing);
  registry_close (r, d);
  errno = err;
  return ret;
}

int
registry_set (struct registry *r, const char *name, const bool *readonly,
              const uint64_t *quota, struct disk_options *now)
{
  struct entry *e;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e) {
    if (readonly || quota)
      disk_set (e->d.disk, readonly ? *readonly : disk_is_readonly (e->d.disk),
                quota ? *quota : disk_quota (e->d.disk));
    now->readonly = disk_is_readonly (e->d.disk);
    now->quota = disk_quota (e->d.disk);
    now->size = disk_size (e->d.disk);
    now->sector_size = e->d.disk->sector_size;
    if (readonly || quota) {
      registry_keep_locked (e);
      registry_report_locked (r, CHANGE_SET, e, NULL, 0);
    }
  }
  mutex_unlock (&r->lock);
  if (e == NULL) {
    errno = ENOENT;
    return -1;
  }
  return 0;
}

void
registry_quota_reached (struct registry *r, struct named_disk *d)
{
  struct entry *e = registry_entry (d);
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  mutex_lock (&r->lock);
  if (e->quota_reported != now.tv_sec) {
    e->quota_reported = now.tv_sec;
    registry_report_locked (r, CHANGE_QUOTA, e, NULL, 0);
  }
  mutex_unlock (&r->lock);
}
