/* SPDX-License-Identifier: BSD-3-Clause */
/* The losses that are owed to clients; debts.h has the invariant. */

#include <config.h>

#include <string.h>

#include "nbd/debts.h"

/* FNV-1a. */
uint64_t
debts_hash (const char *export_name)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (; *export_name; export_name++)
    h = (h ^ (unsigned char) *export_name) * UINT64_C (0x100000001b3);
  return h;
}

/* Returns what was owed. */
static uint64_t
drop (struct debts *d, size_t i)
{
  uint64_t owed = d->debt[i].owed;

  d->n--;
  memmove (&d->debt[i], &d->debt[i + 1], (d->n - i) * sizeof *d->debt);
  return owed;
}

bool
debts_add (struct debts *d, const char *export_name, uint64_t owed)
{
  bool room = true;

  if (owed == 0)
    return true;
  owed += debts_take (d, export_name);
  if (d->n == DEBTS_MOST) {
    room = false;
    d->orphans += drop (d, 0);
  }
  d->debt[d->n++] = (struct debt) { debts_hash (export_name), owed };
  return room;
}

uint64_t
debts_take (struct debts *d, const char *export_name)
{
  uint64_t h = debts_hash (export_name);
  size_t i;

  for (i = 0; i < d->n; i++)
    if (d->debt[i].export_name == h)
      return drop (d, i);
  return 0;
}
