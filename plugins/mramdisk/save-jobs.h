/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving disks in a folder and loading them: what is between lib/save and the
 * registry.
 *
 * The server itself reads and writes the files, with its own rights.  Whoever
 * can use the control socket can have it write into any folder that it may, so
 * the socket is its user's alone unless control-mode= says otherwise.
 *
 * Thread-safety: any thread may call these.  Knows nothing of nbdkit.
 */

#ifndef MRAMDISK_SAVE_JOBS_H
#define MRAMDISK_SAVE_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "ramdisk/registry.h"
#include "save/saved.h"
#include "service.h"

/* Save the disks whose names match one of the patterns, an array of strings, as
 * they are now; all if that is NULL.  forget: see save/save.h.  Returns the
 * job's id, or 0 with errno as jobs_start and disk_freeze, ENOENT (no disk
 * matches *missing, one of the patterns), or ESTALE (names change hands too
 * fast).
 */
uint64_t save_job_start (struct service *s, const char *path,
                         const json_t *patterns, bool forget,
                         const char **missing);

/* Load those.  Returns as jobs_start. */
uint64_t load_job_start (struct service *s, const char *path,
                         const json_t *patterns, enum if_exists if_exists,
                         enum if_open if_open);

/* Load all now, but keep disks that exist.  Returns 0, or -1 and says why. */
int load_now (struct service *s, const char *path, char why[SAVED_WHY]);

#endif /* MRAMDISK_SAVE_JOBS_H */
