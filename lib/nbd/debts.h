/* SPDX-License-Identifier: BSD-3-Clause */
/* The losses that are owed to the clients of exports that nobody uses now.
 *
 * A pool that owes a loss to clients to come (pool.h, M9) need not stay for it:
 * its debt is kept here until the export gets its next pool.
 *
 * Invariant: no debt is lost.  If there is no room for one more export, the
 * oldest export's debts become orphans.  Whoever has clients for another export
 * lends it one of them, so that somebody is told of each.
 *
 * Thread-safety: none; the caller's lock guards the debts.
 */

#ifndef MNBD_DEBTS_H
#define MNBD_DEBTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many exports can have debts.  It bounds the memory (16 bytes for each)
 * and the time to look one up.
 */
#define DEBTS_MOST 10000

/* All zeros: nothing is owed. */
struct debts {
  size_t n;
  uint64_t orphans;
  struct debt {
    uint64_t export_name;       /* a hash */
    uint64_t owed;
  } debt[DEBTS_MOST];           /* the oldest first */
};

/* A hash of an export's name.  That two names have the same is not expected:
 * one would be told of the other's loss.
 */
uint64_t debts_hash (const char *export_name);

/* These losses are owed to clients of the export: that is its newest debt.
 * Returns false if the oldest export's debts became orphans.
 */
bool debts_add (struct debts *d, const char *export_name, uint64_t owed);

/* Take what is owed to the export's clients.  Returns 0 if nothing is. */
uint64_t debts_take (struct debts *d, const char *export_name);

#endif /* MNBD_DEBTS_H */
