/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream's exports that clients use, for the plugin and for the filter:
 * their pools, their list, and their log messages.
 *
 * There is one pool for each export of the server that clients use.  It goes
 * with its last client; with shared=true it stays.  It also stays while it has
 * writes that were acknowledged but not flushed.  A separate thread, the
 * keeper, flushes them, however long the upstream is away.  If a client has yet
 * to be told of a loss (pool.h, M9), the export's next pool gets that debt
 * (debts.h).
 *
 * Beyond a number of pools without clients, or a size of their logs
 * (MOST_LEFT), no other export is opened, because it could add to them.  Those
 * that are open can do so all the same: each can add its log.
 *
 * A filter above that reopens (nbdkit-retry-filter) closes one client and opens
 * the next in the same thread, and nbdkit uses a thread for one connection
 * only.  So the next client in a thread inherits what the last one left (struct
 * pool_legacy).  An error that made the filter reopen has not reached anybody:
 * the next client is told again, until the filter gives up and passes the error
 * on.
 *
 * Lifetime.  `users` counts what holds an entry: clients, shared=true, the
 * keeper, exports_end.  An entry without users goes, unless its pool is dirty.
 *
 * Thread-safety: exports_start and exports_end are called by nbdkit's main
 * thread; any thread may call the rest, which take a lock inside.
 *
 * Failures are reported with nbdkit_error, in one line.
 */

#ifndef MNBD_EXPORTS_H
#define MNBD_EXPORTS_H

#include <stdbool.h>

#include "bdev/bdev.h"
#include "nbd/connection.h"

/* Add a client to an export, and connect the export if necessary.  The result
 * is a device over the export's pool.  bdev_close ends it, in the thread that
 * serves the client.  Returns NULL if the export cannot be connected.
 */
struct bdev *exports_open (const char *name);

/* Add a client to a connected device with its own pool (exports_own).  Close
 * the client before that device.  Its writes go through that device.  Returns
 * NULL if there is no memory.
 */
struct bdev *exports_share (struct bdev *own);

/* A device with its own pool, which is not connected.  fail_fast is an
 * argument; the parameters give all other options (bdev-nbd.h).  Returns NULL
 * if there is no memory.
 */
struct bdev *exports_own (const char *name, bool fail_fast);

/* Nobody needs the export any more: what its clients have written is neither
 * kept for them nor flushed at the end (pool_forsake).
 */
void exports_forsake (const char *name);

/* As in nbdkit's nbd plugin, shared=true connects before the first client
 * comes; if that fails, nbdkit does not start.  Returns 0 or -1.
 */
int exports_start (void);
/* Flush what clients have left, for a limited time. */
void exports_end (void);

/* The list of exports from the first server that answers.  Returns 0 or -1. */
int exports_list (connection_list_fn fn, void *opaque);

/* The export that the empty name means; the string lives as long as the
 * connection.
 */
const char *exports_default (void);

/* Call this with the result of each request of such a client: if the request
 * failed, it says why.  errno stays set for nbdkit.  Returns r.
 */
int request_result (int r, const char *what, uint32_t count, uint64_t offset);

#endif /* MNBD_EXPORTS_H */
