/* SPDX-License-Identifier: BSD-3-Clause */
/* Origins in results and events.
 *
 * Thread-safety: any thread may call these.
 */

#ifndef MRAMDISK_JSON_ORIGIN_H
#define MRAMDISK_JSON_ORIGIN_H

#include <jansson.h>

#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"

/* The words for states. */
extern const char *const origin_states[];

/* A URI need not be UTF-8, and is escaped. */
json_t *json_uri (const char *uri);

/* The disk's origin, or null. */
json_t *json_origin (const struct disk *d);

#endif /* MRAMDISK_JSON_ORIGIN_H */
