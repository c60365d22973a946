/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: UUIDs of disks that bring one with them (G8 in registry.h). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/uuid.h"
#include "ramdisk/disk.h"
#include "ramdisk/records.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

void
registry_set_uuid (struct entry *e, const struct uuid *uuid)
{
  e->d.uuid = *uuid;
  if (e->d.disk->tree.record)   /* which is not valid yet */
    e->d.disk->tree.record->uuid = *uuid;
}

struct bearer {
  struct entry *e;
  bool taken;
};

static int
by_uuid (const void *a, const void *b)
{
  const struct bearer *x = a, *y = b;

  return memcmp (x->e->d.uuid.byte, y->e->d.uuid.byte, UUID_BYTES);
}

static bool
same_uuid (const struct bearer *a, const struct bearer *b)
{
  return uuid_equal (&a->e->d.uuid, &b->e->d.uuid);
}

/* Mark those whose UUID this disk has. */
static void
mark_taken (struct bearer *bearer, size_t n, struct entry *e)
{
  const struct bearer key = { .e = e };
  struct bearer *b = bsearch (&key, bearer, n, sizeof *bearer, by_uuid);

  if (b == NULL)
    return;
  while (b > bearer && same_uuid (b - 1, &key))
    b--;
  for (; b < bearer + n && same_uuid (b, &key); b++)
    b->taken = true;
}

int
registry_unique_uuids_locked (struct registry *r, struct entry **e, size_t n,
                              enum if_exists if_exists)
{
  CLEANUP_FREE struct bearer *bearer = calloc (n + 1, sizeof *bearer);
  struct entry *old;
  struct uuid uuid;
  size_t i;

  if (bearer == NULL)
    return ENOMEM;
  for (i = 0; i < n; i++) {
    bearer[i].e = e[i];
    old = registry_find_locked (r, e[i]->d.name);
    if (old && if_exists == IF_EXISTS_REPLACE)
      old->replaced = true;
  }
  qsort (bearer, n, sizeof *bearer, by_uuid);
  for (i = 1; i < n; i++)
    bearer[i].taken = same_uuid (&bearer[i], &bearer[i - 1]);
  for (old = r->least; old; old = old->after) {
    if (!old->replaced)
      mark_taken (bearer, n, old);
    old->replaced = false;
  }
  for (i = 0; i < n; i++)
    if (bearer[i].taken) {
      if (uuid_new (&uuid) == -1)
        return errno;
      registry_set_uuid (bearer[i].e, &uuid);
    }
  return 0;
}
