/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: its start, with the disks in an arena's file; valid names; and
 * the listener.  registry.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#include "base/cleanup.h"
#include "base/mutex.h"
#include "base/utf8.h"
#include "ramdisk/disk-origin.h"
#include "ramdisk/disk.h"
#include "ramdisk/records.h"
#include "ramdisk/recover.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

uint64_t
registry_new_id (void)
{
  static _Atomic uint64_t last_id;

  return atomic_fetch_add_explicit (&last_id, 1, memory_order_relaxed) + 1;
}

const char *
registry_check_name (const char *name)
{
  if (strlen (name) > REGISTRY_MAX_NAME) {
    errno = ENAMETOOLONG;
    return "at most 4096 bytes";
  }
  if (!utf8_is_valid (name)) {
    errno = EILSEQ;
    return "valid UTF-8";
  }
  return NULL;
}

void
registry_listen (struct registry *r,
                 void (*fn) (void *opaque, const struct change_report *),
                 void *opaque)
{
  r->listener = fn;
  r->listener_opaque = opaque;
}

/* A disk that has lost its name can still be written and resized, but that must
 * not be reported for the disk that has the name now.
 */
void
registry_report_locked (struct registry *r, enum change change,
                        const struct entry *e, const char *from,
                        uint64_t other)
{
  struct change_report report = {
    .change = change, .name = e->d.name, .disk = e->d.disk, .from = from,
    .gone = change == CHANGE_DESTROYED ? e->d.id
    : change == CHANGE_REPLACED ? other : 0,
    .old_size = change == CHANGE_RESIZED ? other : 0,
  };

  if (r->listener && (e->listed || change == CHANGE_DESTROYED))
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
  /* Who chooses names must not know the priorities. */
  if (getrandom (&r->random, sizeof r->random, GRND_NONBLOCK) == -1 ||
      r->random == 0)
    r->random = 1;
  mutex_init (&r->lock);
  return r;
}

/* An entry for a recovered disk, which it takes over.  NULL: no memory. */
static struct entry *
recovered_entry (struct registry *r, struct recovered_disk *d)
{
  struct entry *e = calloc (1, sizeof *e);

  if (e)
    e->self = lineage_new (d->name);
  if (e == NULL || e->self == NULL) {
    free (e);
    return NULL;
  }
  e->d = (struct named_disk) {
    .disk = d->disk, .id = registry_new_id (), .name = d->name,
    .uuid = d->disk->tree.record->uuid,
    .was_pushed_since = record_has_flag (d->disk->tree.record,
                                         LAYOUT_PUSHED_SINCE),
  };
  d->disk = NULL;
  d->name = NULL;
  mutex_init (&e->resizing);
  e->listed = true;
  e->auto_destroy = record_has_flag (e->d.disk->tree.record,
                                     LAYOUT_AUTO_DESTROY);
  e->self->entry = e;
  e->d.disk->detect_same = !r->o.keep_same;
  return e;
}

static int
take_disks_locked (struct registry *r, const struct recovered *rec)
  REQUIRES (r->lock)
{
  size_t n = rec->ndisks, i;
  CLEANUP_FREE struct entry **entry = calloc (n + 1, sizeof *entry);

  if (entry == NULL)
    return -1;
  for (i = 0; i < n; i++) {
    entry[i] = recovered_entry (r, &rec->disk[i]);
    if (entry[i] == NULL)
      return -1;
    registry_insert_locked (r, entry[i]);
  }
  for (i = 0; i < n; i++)
    if (rec->disk[i].parent != RECOVERED_NONE) {
      entry[i]->parent = entry[rec->disk[i].parent]->self;
      entry[i]->parent->refs++;
    }
  return 0;
}

/* Make the origins, and give each disk its own. */
static int
take_origins (struct origins *set, const struct recovered *rec)
{
  struct origin **o = calloc (rec->norigins + 1, sizeof *o);
  size_t i, made = 0;

  for (; o && set && made < rec->norigins; made++) {
    struct disk *cache = rec->origin[made].disk;

    rec->origin[made].disk = NULL;
    o[made] = origin_restore (set, cache, rec->origin[made].name);
    if (o[made] == NULL)
      break;
  }
  if (o && made == rec->norigins)
    for (i = 0; i < rec->ndisks; i++)
      if (rec->disk[i].origin != RECOVERED_NONE)
        disk_restore_over (rec->disk[i].disk, o[rec->disk[i].origin]);
  /* Without a disk over it, an origin ends here (P8). */
  for (i = 0; i < made; i++) {
    if (made < rec->norigins)
      origin_stays (o[i]);
    origin_put (o[i]);
  }
  free (o);
  return o && made == rec->norigins ? 0 : -1;
}

int
registry_recover (struct registry *r, struct origins *origins, bool salvage,
                  void (*warn) (void *opaque, const char *line), void *opaque,
                  struct recovery *result, char **error)
{
  const struct recover_options o = {
    .salvage = salvage, .check_name = registry_check_name, .warn = warn,
    .opaque = opaque
  };
  struct recovered rec;
  int ret = arena_recover (r->arena, &o, &rec, result, error);
  size_t i;

  if (ret == 0)
    ret = take_origins (origins, &rec);
  if (ret == 0) {
    mutex_lock (&r->lock);
    ret = take_disks_locked (r, &rec);
    mutex_unlock (&r->lock);
  }
  for (i = 0; i < rec.ndisks + rec.norigins; i++) {
    disk_free (rec.disk[i].disk);       /* if it was not taken */
    free (rec.disk[i].name);
  }
  free (rec.disk);
  return ret;
}
