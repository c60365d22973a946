/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the answers of the method stats. */

#ifndef MBLOCKCTL_STATS_H
#define MBLOCKCTL_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* The operations that are counted. */
#define STATS_OPERATIONS 7
extern const char *const stats_operations[STATS_OPERATIONS];

/* The statistics of one operation of a disk, or NULL. */
json_t *stats_of (const json_t *disk, const char *operation);

/* Is little of a quota, or of the memory, left: less than a tenth, as for the
 * events quota_low and memory_low?
 */
bool stats_nearly_full (uint64_t used, uint64_t limit);

/* The same for a disk and its quota. */
bool stats_disk_nearly_full (const json_t *disk);

/* How much of a disk's origin is there, as a string to be freed: a percentage,
 * "complete", "away", or "-" if it has none.
 */
char *stats_origin_text (const json_t *disk);

/* Has any of these disks an origin? */
bool stats_have_origin (const json_t *disks);

/* Errors of all operations. */
uint64_t stats_errors (const json_t *disk);

#endif /* MBLOCKCTL_STATS_H */
