/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants of the engine, checked on a whole arena at rest. */

#ifndef MBLOCK_ENGINE_CHECK_H
#define MBLOCK_ENGINE_CHECK_H

#include <stddef.h>

#include "ramdisk/disk.h"
#include "ramdisk/registry.h"

/* Wait for reclamation.  Then check that the trees of the disks are whole, that
 * each page's reference count is the number of references to it, that no page
 * is in use that no disk can reach, and that the arena's counters add up.
 * Aborts with a message.  No other call may use the arena, and these must be
 * all its disks; NULLs are ignored.
 */
void engine_check (struct arena *a, struct disk *const *disks, size_t n);

/* The same with the disks of a registry and the caches of their origins. */
void engine_check_all (struct arena *a, struct registry *r);

#endif /* MBLOCK_ENGINE_CHECK_H */
