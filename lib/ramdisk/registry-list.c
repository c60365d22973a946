/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: finding and listing names.  registry.h has the design. */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/mutex.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

size_t
registry_find_locked (struct registry *r, const char *name, bool *found)
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

struct named_disk *
registry_hold (struct registry *r, const char *name)
{
  struct entry *e = NULL;
  bool found;
  size_t i;

  mutex_lock (&r->lock);
  i = registry_find_locked (r, name, &found);
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
    i = registry_find_locked (r, after, &found) + found;
  for (held = 0; held < n && i < r->n; held++, i++) {
    r->entry[i]->handles++;
    d[held] = &r->entry[i]->d;
  }
  *more = i < r->n;
  mutex_unlock (&r->lock);
  return held;
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
    i = registry_find_locked (r, after, &found) + found;
  for (; i < r->n && ret == 0; i++)
    ret = fn (opaque, &r->entry[i]->d);
  mutex_unlock (&r->lock);
  return ret;
}

void
registry_check_quotas (struct registry *r, unsigned low, unsigned over,
                       bool again)
{
  size_t i;

  mutex_lock (&r->lock);
  for (i = 0; i < r->n; i++) {
    struct entry *e = r->entry[i];
    uint64_t quota = disk_quota (e->d.disk), owned = disk_owned (e->d.disk);

    if (again || quota == TREE_NO_QUOTA || quota == 0 ||
        owned < (double) quota / 100 * over)
      e->quota_low = false;
    if (quota == TREE_NO_QUOTA || quota == 0 || e->quota_low ||
        owned < (double) quota / 100 * low)
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
