/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: who has which disk open, and disks that only they keep.
 * registry.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mutex.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"

static void
describe (const struct registry_client *c, struct registry_client_info *info)
{
  const struct entry *e = registry_entry (c->d);
  struct stats_sum sum = { .quota = 0 };
  unsigned i;

  *info = (struct registry_client_info) {
    .id = c->id, .disk_id = e->d.id, .disk = e->d.name, .listed = e->listed,
    .peer = c->peer, .since = c->since, .last = stats_last (c->stats),
  };
  stats_add (c->stats, &sum);
  for (i = 0; i < NSTATS; i++) {
    info->requests += sum.of[i].ops;
    info->errors += sum.of[i].errors;
  }
  info->bytes_read = sum.of[STAT_READ].bytes;
  info->bytes_written = sum.of[STAT_WRITE].bytes;
}

int
registry_clients (struct registry *r, struct named_disk *d, uint64_t before,
                  int (*fn) (void *opaque,
                             const struct registry_client_info *info),
                  void *opaque)
{
  const struct registry_client *c;
  int ret = 0;

  mutex_lock (&r->lock);
  c = d ? registry_entry (d)->first : r->first;
  for (; c && ret == 0; c = d ? c->next : c->all_next)
    if (c->id < before) {
      struct registry_client_info info;

      describe (c, &info);
      ret = fn (opaque, &info);
    }
  mutex_unlock (&r->lock);
  return ret;
}

void
registry_client_socket (struct registry *r, struct registry_client *c,
                        uint64_t socket)
{
  mutex_lock (&r->lock);
  c->socket = socket;
  mutex_unlock (&r->lock);
}

int
registry_end_client (struct registry *r, uint64_t id, enum registry_end how,
                     uint64_t *socket)
{
  struct registry_client *c;

  mutex_lock (&r->lock);
  for (c = r->first; c && c->id != id; c = c->all_next)
    ;
  if (c) {
    /* No data is handed over by this: the next request sees it, or one later.
     */
    atomic_store_explicit (&c->ended, how, memory_order_relaxed);
    *socket = c->socket;
  }
  mutex_unlock (&r->lock);
  errno = ENOENT;
  return c ? 0 : -1;
}

static int
by_id (const void *a, const void *b)
{
  const struct named_disk *const *x = a, *const *y = b;

  return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

int
registry_hold_deleted (struct registry *r, uint64_t after, size_t n,
                       struct named_disk **d, bool *more)
{
  struct named_disk **all;
  struct entry *e;
  size_t i, found = 0;

  mutex_lock (&r->lock);
  all = calloc (r->ndeleted + 1, sizeof *all);
  if (all == NULL) {
    mutex_unlock (&r->lock);
    return -1;
  }
  for (e = r->deleted; e; e = e->deleted_next)
    if (e->d.id > after)
      all[found++] = &e->d;
  qsort (all, found, sizeof *all, by_id);
  *more = found > n;
  if (found > n)
    found = n;
  for (i = 0; i < found; i++) {
    registry_entry (all[i])->handles++;
    d[i] = all[i];
  }
  mutex_unlock (&r->lock);
  free (all);
  return found;
}
