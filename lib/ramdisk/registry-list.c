/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: listing names, and what is done to all.  registry.h has the
 * design.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/mutex.h"
#include "ramdisk/records.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

struct named_disk *
registry_hold (struct registry *r, const char *name)
{
  struct entry *e;

  mutex_lock (&r->lock);
  e = registry_find_locked (r, name);
  if (e)
    e->handles++;
  mutex_unlock (&r->lock);
  if (e == NULL)
    errno = ENOENT;
  return e ? &e->d : NULL;
}

bool
registry_exists (struct registry *r, const char *name)
{
  bool exists;

  mutex_lock (&r->lock);
  exists = registry_find_locked (r, name) != NULL;
  mutex_unlock (&r->lock);
  return exists;
}

void
registry_pushed_since (struct registry *r, struct named_disk *d)
{
  mutex_lock (&r->lock);        /* a rename exchanges the record */
  record_set_flag (d->disk->tree.record, LAYOUT_PUSHED_SINCE);
  mutex_unlock (&r->lock);
}

size_t
registry_hold_page (struct registry *r, const char *after, size_t n,
                    struct named_disk **d, bool *more, char *last)
{
  struct entry *e;
  size_t held;

  mutex_lock (&r->lock);
  e = registry_next_locked (r, after);
  for (held = 0; held < n && e; held++, e = e->after) {
    e->handles++;
    d[held] = &e->d;
  }
  *more = e != NULL;
  if (last && held > 0)
    strcpy (last, d[held - 1]->name);
  mutex_unlock (&r->lock);
  return held;
}

int
registry_each (struct registry *r, const char *after,
               int (*fn) (void *opaque, const struct named_disk *d),
               void *opaque)
{
  struct entry *e;
  int ret = 0;

  mutex_lock (&r->lock);
  for (e = registry_next_locked (r, after); e && ret == 0; e = e->after)
    ret = fn (opaque, &e->d);
  mutex_unlock (&r->lock);
  return ret;
}

void
registry_check_quotas (struct registry *r, unsigned low, unsigned over,
                       bool again)
{
  struct entry *e;

  mutex_lock (&r->lock);
  for (e = r->least; e; e = e->after) {
    uint64_t quota = disk_quota (e->d.disk), owned;

    if (quota == TREE_NO_QUOTA || quota == 0) {
      e->quota_low = false;
      continue;
    }
    /* This looks at eight cache lines. */
    owned = disk_owned (e->d.disk);
    if (again || owned < (double) quota / 100 * over)
      e->quota_low = false;
    if (e->quota_low || owned < (double) quota / 100 * low)
      continue;
    e->quota_low = true;
    registry_report_locked (r, CHANGE_QUOTA_LOW, e, NULL, 0);
  }
  mutex_unlock (&r->lock);
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
