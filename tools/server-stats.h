/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the answers of the method stats. */

#ifndef MBLOCKCTL_STATS_H
#define MBLOCKCTL_STATS_H

#include <stdint.h>

#include <jansson.h>

/* The operations that are counted. */
#define STATS_OPERATIONS 5
extern const char *const stats_operations[STATS_OPERATIONS];

/* The figures of one operation of a disk, or NULL. */
json_t *stats_of (const json_t *disk, const char *operation);

/* Errors of all operations. */
uint64_t stats_errors (const json_t *disk);

#endif /* MBLOCKCTL_STATS_H */
