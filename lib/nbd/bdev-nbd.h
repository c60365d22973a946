/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD client as a block device (bdev.h): an export over a pool (pool.h).
 *
 * There are two kinds.  A client's device shares an open pool with others; the
 * pool tells each of them separately about acknowledged writes that were lost
 * (pool.h, M5).  A device with its own pool makes it in bdev_connect, and frees
 * it in bdev_disconnect.
 *
 * On the way from the server, extents are rounded to whole blocks only here
 * (extents.h).
 *
 * Thread-safety, beside bdev.h's
 *   takes no lock:         bdev_nbd_pool, bdev_nbd_description,
 *                          bdev_nbd_connected
 *   takes locks inside:    bdev_nbd_dirty, bdev_nbd_changed,
 *                          bdev_nbd_accept_changed, bdev_nbd_ride_out; and,
 *                          whatever another thread does with the device,
 *                          except close it: bdev_nbd_abandon,
 *                          bdev_nbd_progress, bdev_nbd_outage,
 *                          bdev_nbd_owner_ends, bdev_nbd_give_up
 *
 * Knows nothing of nbdkit.  The pool logs errors while connecting.
 */

#ifndef MBLOCK_BDEV_NBD_H
#define MBLOCK_BDEV_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "nbd/pool.h"

/* Callbacks to the owner of a client's device; functions may be NULL. */
struct bdev_nbd_owner {
  /* Called after each flush, in its thread: did it fail because of a loss,
   * which it reports to the client (pool_flush)?
   */
  void (*flushed) (void *opaque, bool told);
  /* Called in the thread of bdev_close: the client has left the pool, and
   * legacy is what it leaves (pool.h, M9).  The pool may be freed now.
   */
  void (*left) (void *opaque, const struct pool_legacy *legacy);
  void *opaque;
};

/* Add a client to an open pool, which outlives the device; legacy as for
 * pool_client_init.  owner may be NULL.  Returns NULL if there is no memory.
 */
struct bdev *bdev_nbd_client (struct pool *pool,
                              const struct pool_legacy *legacy,
                              const struct bdev_nbd_owner *owner);

/* A device with a pool of its own, which is not connected yet.  The options and
 * the export's name are copied; whatever else they point to must outlive the
 * device.  With fail_fast nothing waits for a server that is away or hangs,
 * whatever the other options say.  Besides the options' `ending`,
 * bdev_nbd_give_up ends requests that wait for an answer.  A caller that may
 * still have much to send to a slow server when the program ends gives no
 * `ending`.  disconnects, which may be NULL, is called before such a pool is
 * freed.  NULL: no memory.
 */
struct bdev *bdev_nbd_own (const struct pool_options *options,
                           void (*disconnects) (const char *export_name,
                                                struct pool *pool));

/* The client is about to write to the same pool by another way: tell it about
 * losses, too.
 */
void bdev_nbd_writes (struct bdev *client);

/* The pool, or NULL: not connected. */
struct pool *bdev_nbd_pool (struct bdev *b);

/* The server's description of the export, or NULL.  The device must be
 * connected.
 */
const char *bdev_nbd_description (struct bdev *b);

/* The remaining functions are for devices with their own pool. */

/* For a connected device that was made with fail_fast: from now on the other
 * options count, as if it had been made without fail_fast.  Only
 * bdev_disconnect or bdev_close then disconnects it.  No request may be under
 * way, and all writes must have been flushed.  Returns 0; or -1 with errno and
 * changes nothing (pool_ride_out).
 */
int bdev_nbd_ride_out (struct bdev *b);

/* The server does not answer in time: give up its connections (pool_abandon).
 */
void bdev_nbd_abandon (struct bdev *b);

/* Is the device connected, and does the pool hold unflushed writes? */
bool bdev_nbd_connected (struct bdev *b);
bool bdev_nbd_dirty (struct bdev *b);

/* For a connected device on whose size nobody relies: has the export changed
 * since?  This needs a new connection, so it does not ask a server that may
 * accept only one while the device is connected to it.  Returns false if nobody
 * knows.
 */
bool bdev_nbd_changed (struct bdev *b);

/* For a connected device: while `accept` is set, what was written to it goes
 * even to a server that has changed, if it has room for that
 * (pool_accept_changed).  The device itself stays as it was.
 */
void bdev_nbd_accept_changed (struct bdev *b, bool accept);

/* A number that changes whenever the server has answered.  *awaited: does it
 * owe an answer now?
 */
uint64_t bdev_nbd_progress (struct bdev *b, bool *awaited);

/* From now on, pool_options.give_up is not asked: requests wait for a server
 * that is away as long as their time limits say, or until bdev_nbd_give_up.
 * For the last writes of an owner, which is ending with the program and knows
 * how long they may take.
 */
void bdev_nbd_owner_ends (struct bdev *b);

/* Stop waiting for the server, now and later. */
void bdev_nbd_give_up (struct bdev *b);

/* Is the server there, and how often has it been lost so far? */
uint64_t bdev_nbd_outage (struct bdev *b, struct pool_outage *outage);

#endif /* MBLOCK_BDEV_NBD_H */
