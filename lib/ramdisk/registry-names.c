/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry's names: a disk gets another one, and what it was cloned from.
 * registry.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutex.h"
#include "ramdisk/disk.h"
#include "ramdisk/radix.h"
#include "ramdisk/records.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

/* --------------------------------------------------------------- lineage */

struct lineage *
lineage_new (const char *name)
{
  struct lineage *l = calloc (1, sizeof *l);

  if (l == NULL)
    return NULL;
  l->refs = 1;
  l->name = strdup (name);
  if (l->name == NULL) {
    free (l);
    return NULL;
  }
  return l;
}

void
lineage_unref (struct lineage *l)
{
  if (l && --l->refs == 0) {
    free (l->name);
    free (l);
  }
}

char *
registry_parent (struct registry *r, struct named_disk *d, bool *exists)
{
  const struct lineage *parent;
  char *name = NULL;

  mutex_lock (&r->lock);
  parent = registry_entry (d)->parent;
  if (parent)
    name = strdup (parent->name);
  *exists = parent && parent->entry;
  mutex_unlock (&r->lock);
  return name;
}

uint64_t
registry_parent_id (struct registry *r, struct named_disk *d)
{
  const struct lineage *parent;
  uint64_t id;

  mutex_lock (&r->lock);
  parent = registry_entry (d)->parent;
  id = parent && parent->entry ? parent->entry->d.id : 0;
  mutex_unlock (&r->lock);
  return id;
}

bool
registry_is_listed (struct registry *r, struct named_disk *d)
{
  bool listed;

  mutex_lock (&r->lock);
  listed = registry_entry (d)->listed;
  mutex_unlock (&r->lock);
  return listed;
}

/* What a disk is cloned from again. */
struct reset {
  struct named_disk *src;       /* the parent, held … */
  char *parent;                 /* … and its name when it was found */
  uint64_t id;                  /* of the disk */
  struct disk_options options;  /* that it keeps */
};

static int
look (struct registry *r, const char *name, struct reset *reset)
{
  const struct entry *e;
  int err = 0;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e == NULL)
    err = ENOENT;
  else if (e->parent == NULL || e->parent->entry == NULL)
    err = ECHILD;
  else {
    reset->parent = strdup (e->parent->name);
    reset->id = e->d.id;
    reset->options.readonly = disk_is_readonly (e->d.disk);
    reset->options.quota = disk_quota (e->d.disk);
    if (reset->parent == NULL)
      err = ENOMEM;
    else {
      reset->src = &e->parent->entry->d;
      e->parent->entry->handles++;
    }
  }
  mutex_unlock (&r->lock);
  errno = err;
  return err ? -1 : 0;
}

int
registry_reset (struct registry *r, const char *name, enum if_open if_open,
                char **parent)
{
  struct reset reset;
  enum made made;

  memset (&reset, 0, sizeof reset);
  if (look (r, name, &reset) == -1)
    return -1;
  reset.options.if_open = if_open;
  reset.options.replaces = reset.id;
  if (registry_clone_held (r, reset.src, reset.parent, name, &reset.options,
                           IF_EXISTS_REPLACE, &made) == -1) {
    int err = errno;

    free (reset.parent);
    errno = err;
    return -1;
  }
  *parent = reset.parent;
  return 0;
}

/* ---------------------------------------------------------------- rename */

/* A record with the new name, in which nothing else is set. */
static int
new_record (struct registry *r, const char *name, struct layout_record **rec)
{
  static const struct uuid none;
  int err;

  if (record_new (r->arena, rec) == -1)
    return -1;
  if (record_set_name (r->arena, *rec, name, &none) == 0)
    return 0;
  err = errno;
  record_free (r->arena, *rec);
  *rec = NULL;
  errno = err;
  return -1;
}

/* The disk's record is *rec from here on; *rec becomes the one that was.  In
 * the file the one replaces the other in one step (P4).  The tree's lock keeps
 * the root and the size from changing in between, and all else in a record
 * changes under the registry's.
 */
static void
move_record_locked (struct registry *r, struct entry *e,
                    struct layout_record **rec) REQUIRES (r->lock)
{
  struct layout_record *new = *rec, *old;
  struct tree *t = &e->d.disk->tree;

  if (new == NULL)
    return;
  tree_lock_first (t);
  old = t->record;
  record_copy (new, old);
  record_link (r->arena, new,
               (record_has_flag (old, LAYOUT_PUSHED_SINCE)
                ? LAYOUT_PUSHED_SINCE : 0) |
               (e->auto_destroy ? LAYOUT_AUTO_DESTROY : 0), old);
  t->record = new;
  tree_unlock (t);
  *rec = old;
}

/* What a rename needs memory for, made before anything changes. */
struct new_name {
  char *name, *lineage;
  struct former_name *former;
  struct layout_record *record;
};

static int
prepare (struct registry *r, const char *name, struct new_name *n)
{
  *n = (struct new_name) {
    .name = strdup (name), .lineage = strdup (name),
    .former = malloc (sizeof *n->former)
  };
  if (n->name && n->lineage && n->former)
    return new_record (r, name, &n->record);
  errno = ENOMEM;
  return -1;
}

/* What of it was not used, or has been replaced. */
static void
discard (struct registry *r, struct new_name *n)
{
  int err = errno;

  free (n->name);
  free (n->lineage);
  free (n->former);
  record_free (r->arena, n->record);
  errno = err;
}

static void
rename_locked (struct registry *r, struct entry *e, struct new_name *n)
  REQUIRES (r->lock)
{
  char *lineage = e->self->name;

  registry_keep_locked (e);
  move_record_locked (r, e, &n->record);        /* G6 */
  registry_remove_locked (r, e);
  n->former->name = e->d.name;
  n->former->next = e->former;
  e->former = n->former;
  e->d.name = n->name;
  e->self->name = n->lineage;
  registry_insert_locked (r, e);
  registry_report_locked (r, CHANGE_RENAMED, e, n->former->name, 0);
  n->former = NULL;
  n->name = NULL;
  n->lineage = lineage;
}

int
registry_rename (struct registry *r, const char *name, const char *new_name)
{
  struct new_name n;
  struct entry *e;
  int err = 0;

  if (registry_check_name (new_name) != NULL)
    return -1;
  if (prepare (r, new_name, &n) == -1)
    err = errno;
  if (err == 0) {
    mutex_lock (&r->lock);
    e = registry_find_locked (r, name);
    if (e == NULL)
      err = ENOENT;
    else if (registry_find_locked (r, new_name))
      err = EEXIST;
    else
      rename_locked (r, e, &n);
    mutex_unlock (&r->lock);
  }
  discard (r, &n);
  errno = err;
  return err ? -1 : 0;
}
