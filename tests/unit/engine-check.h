/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants of the engine, checked on a whole arena at rest. */

#ifndef MBLOCK_ENGINE_CHECK_H
#define MBLOCK_ENGINE_CHECK_H

#include <stddef.h>

#include "disk.h"

/* Wait for reclamation, then check that the disks' trees are whole, that each
 * page's reference count is the number of references there are to it, that no
 * page is in use which no disk can reach, and that the books of the arena add
 * up.  Aborts with a message.  Nobody else may use the arena, and these must be
 * all its disks (NULLs are passed over).
 */
void engine_check (struct arena *a, struct disk *const *disks, size_t n);

#endif /* MBLOCK_ENGINE_CHECK_H */
