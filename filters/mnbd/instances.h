/* SPDX-License-Identifier: BSD-3-Clause */
/* The instances, one for each export that the mode concerns; engine.h describes
 * their life.  Forwarded exports have no instance.
 *
 * One disk for all.  What the export's name means may change: a disk is
 * replaced, a file is renamed over another, one is resized.  If the engine and
 * the clients of an instance each resolved it, they could have different disks.
 * So the name is resolved once, by a context of the plugin that belongs to no
 * client, and all requests of the instance go there.  A client's own context is
 * opened, too, and stays open as long as the client.  So the plugin sees its
 * clients and may refuse them, and the context shows what the name means now.
 * If that is not the instance's disk, the engine decides about the client.
 * While the engine relies on the instance's disk, the client is refused.
 * Otherwise the instance reopens the name, and connected clients keep the old
 * disk.
 *
 * nbdkit 1.32 does not tell the plugin the export's name of a context without a
 * client.  mblock's own plugins learn it all the same, and mramdisk tells its
 * disks apart (export-name.h).  With any other plugin, a disk counts as the
 * same as long as its size is the same.
 *
 * Thread-safety: instances_start, instances_stop, instances_give_up and
 * instances_free are called by nbdkit's main thread; any thread may call the
 * rest, which take a lock inside.
 */

#ifndef MNBD_INSTANCES_H
#define MNBD_INSTANCES_H

#include <nbdkit-filter.h>

#include "base/mutex.h"
#include "bdev-next.h"
#include "bdev/bdev.h"

struct live_instance;
struct opened;

/* Called when the plugin and nbdkit's thread model for clients are known.
 * Returns 0, or -1 if instances are impossible.
 */
int instances_get_ready (int thread_model);

/* The lock for a client's next-layer bdev, or NULL. */
struct mutex *instances_client_lock (void);

/* Take that lock, if there is one, around other calls into the plugin. */
void instances_lock_plugin (void);
void instances_unlock_plugin (void);

/* Begin the instance that exists from the start, if there is one. */
int instances_start (nbdkit_backend *backend);

/* While nbdkit ends and waits for its clients' requests, call this again and
 * again, in one thread: it ends the requests that wait for a silent upstream.
 */
void instances_clients_end (void);

/* The end, in three steps.  instances_stop makes the engines write back what
 * must not be lost and end their threads.  A control socket method that waits
 * in an engine then returns, unless its request is in flight and the upstream
 * does not answer.  instances_give_up ends such requests.  instances_free frees
 * the instances; no method may still use one.
 */
void instances_stop (void);
void instances_give_up (void);
void instances_free (void);

/* The name of the instance for this export, if the mode concerns it; otherwise
 * NULL.  A client must not bypass the engine by using another name for the same
 * disk.
 */
const char *instance_name (const char *export_name);

/* Get the instance of that name, and begin it if necessary.  Returns NULL if
 * that fails, and the reason has been logged.
 */
struct live_instance *instance_get (nbdkit_backend *backend, const char *name);
void instance_put (struct live_instance *p);

/* Are the instance's clients served from the upstream alone (engine.h)?  Then a
 * client does not need the plugin's context, and instance_client gets NULL for
 * the other arguments.
 */
bool instance_is_switched (struct live_instance *p);

/* The upstream's description of the export, or NULL. */
const char *instance_upstream_description (struct live_instance *p);

/* The bdev for a client that found this disk by the name.  *local becomes the
 * client's bdev for *opened.  Both must outlive the client's bdev; afterwards
 * pass *opened to instance_leave.  After a switch *opened is unchanged.
 * Returns NULL on failure; the reason has been logged.
 */
struct bdev *instance_client (struct live_instance *p,
                              const struct bdev_info *found,
                              struct bdev_next *local, struct opened **opened);
void instance_leave (struct opened *opened);

/* Call fn with the name and the engine of each instance.  Instances stay until
 * instances_free, so until all methods have returned.
 */
void instances_each (void (*fn) (void *opaque, const char *export_name,
                                 void *engine),
                     void *opaque);

#endif /* MNBD_INSTANCES_H */
