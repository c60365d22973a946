/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the plugin's callbacks share: plugin.c has the table, and
 * the life of a connection, startup.c the server's start and end, requests.c
 * the data path.
 *
 * Thread-safety: all is set in .get_ready, before any connection, and not
 * changed after that, except inside buffers and log_limit, which may be used
 * from any thread.
 */

#ifndef MRAMDISK_PLUGIN_PARTS_H
#define MRAMDISK_PLUGIN_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/size.h"
#include "buffers.h"
#include "loglimit.h"
#include "ramdisk/arena.h"
#include "ramdisk/registry.h"
#include "service.h"

/* Nothing of this is freed at the end: nbdkit's detached threads may still run
 * their destructors, and the process is about to exit.
 */
extern struct arena *arena;
extern struct registry *registry;
extern struct service service;

/* The value of max-memory=, for messages. */
extern char max_memory[SIZE_STRING];

/* Limits what nbdkit's buffers may take. */
extern struct buffers buffers;

/* A filter is above us (.thread_model). */
extern bool filtered;

/* Requests that fail are logged, but no client may flood the log. */
extern struct log_limit log_limit;

/* Say how many failures were not logged, if any. */
void log_missed (uint64_t n);

/* An errno as text; of ENOSPC, what there is no space in. */
#define ERROR_STRING 64
const char *error_text (int err, char buf[ERROR_STRING]);

/* Whether requests of one connection run concurrently. */
bool is_parallel (void);

/* startup.c */
int mramdisk_get_ready (void);
int mramdisk_after_fork (void);
void mramdisk_cleanup (void);

/* Free disks that have gone, but were remembered for saves: with them goes what
 * only they held of an origin.
 */
void mramdisk_free_given_up (void);

/* requests.c; handle is a struct registry_client (registry.h). */
int mramdisk_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
                    uint32_t flags);
int mramdisk_pwrite (void *handle, const void *buf, uint32_t count,
                     uint64_t offset, uint32_t flags);
int mramdisk_zero (void *handle, uint32_t count, uint64_t offset,
                   uint32_t flags);
int mramdisk_trim (void *handle, uint32_t count, uint64_t offset,
                   uint32_t flags);
int mramdisk_flush (void *handle, uint32_t flags);
int mramdisk_cache (void *handle, uint32_t count, uint64_t offset,
                    uint32_t flags);
int mramdisk_extents (void *handle, uint32_t count, uint64_t offset,
                      uint32_t flags, struct nbdkit_extents *extents);

#endif /* MRAMDISK_PLUGIN_PARTS_H */
