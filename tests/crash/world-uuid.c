/* SPDX-License-Identifier: BSD-3-Clause */
/* The UUIDs of the disks in world.h: they follow from the operation that makes
 * the disk, so that the model has them as well.  The linker puts this in the
 * place of uuid_new (--wrap).
 */

#include <config.h>

#include <string.h>

#include "base/uuid.h"
#include "tests/crash/world.h"

/* The operation that this thread performs, or none. */
static _Thread_local const struct op *doing;

int __real_uuid_new (struct uuid *u);
int __wrap_uuid_new (struct uuid *u);

static struct uuid
uuid_of (unsigned world, uint64_t id)
{
  struct uuid u = { .byte = { [UUID_BYTES - 1] = 1 + world } };

  memcpy (u.byte, &id, sizeof id);
  return u;
}

int
__wrap_uuid_new (struct uuid *u)
{
  if (doing == NULL)
    return __real_uuid_new (u);
  *u = uuid_of (doing->world, doing->id);
  return 0;
}

void
world_uuid_for (const struct op *op)
{
  doing = op;
}

bool
world_uuid_is (const struct uuid *u, unsigned world, uint64_t maker)
{
  struct uuid wanted = uuid_of (world, maker);

  return uuid_equal (u, &wanted);
}
