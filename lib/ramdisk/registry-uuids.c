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
  struct uuid uuid;
  struct entry *e;              /* without a name yet; NULL: it has one */
};

/* By UUID; of those that have the same, first the one that keeps it. */
static int
by_uuid (const void *a, const void *b)
{
  const struct bearer *x = a, *y = b;
  int c = memcmp (x->uuid.byte, y->uuid.byte, UUID_BYTES);

  return c ? c : (x->e > y->e) - (x->e < y->e);
}

int
registry_unique_uuids_locked (struct registry *r, struct entry **e, size_t n,
                              enum if_exists if_exists)
{
  CLEANUP_FREE struct bearer *bearer = calloc (r->n + n + 1, sizeof *bearer);
  CLEANUP_FREE bool *replaced = calloc (r->n + 1, sizeof *replaced);
  size_t i, m = 0;
  bool found;

  if (bearer == NULL || replaced == NULL)
    return ENOMEM;
  for (i = 0; i < n; i++) {
    size_t at = registry_find_locked (r, e[i]->d.name, &found);

    if (found && if_exists == IF_EXISTS_REPLACE)
      replaced[at] = true;
    bearer[m++] = (struct bearer) { .uuid = e[i]->d.uuid, .e = e[i] };
  }
  for (i = 0; i < r->n; i++)
    if (!replaced[i])
      bearer[m++] = (struct bearer) { .uuid = r->entry[i]->d.uuid };
  qsort (bearer, m, sizeof *bearer, by_uuid);
  for (i = 1; i < m; i++)
    if (bearer[i].e && uuid_equal (&bearer[i].uuid, &bearer[i - 1].uuid)) {
      struct uuid uuid;

      if (uuid_new (&uuid) == -1)
        return errno;
      registry_set_uuid (bearer[i].e, &uuid);
    }
  return 0;
}
