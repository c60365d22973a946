/* SPDX-License-Identifier: BSD-3-Clause */
/* The next layer as a bdev: what the plugin beneath serves, through nbdkit's
 * nbdkit_next.
 *
 * A context of the plugin has one user if it belongs to a client whose export
 * the mode does not concern.  It has many if an instance's engine and its
 * clients share it, so that all of them use the same disk (instances.h).  Each
 * user has a bdev of its own.
 *
 * nbdkit keeps the plugin's thread model only for clients' requests (it locks
 * before it calls the first filter), and only for those of one connection on
 * its own context.  So a lock here does it where the model requires one; the
 * creator of the context chooses the lock.
 *
 * A filter beneath may open the plugin again in any request.  So a context
 * without a client announces the export's name, and the disk that it wants, in
 * each request (export-name.h).
 *
 * A failed flush may have covered writes of any user of the context.  So all of
 * them are told: each of them fails one flush.
 */

#ifndef MNBD_BDEV_NEXT_H
#define MNBD_BDEV_NEXT_H

#include <stdatomic.h>

#include <nbdkit-filter.h>

#include "base/mutex.h"
#include "bdev/bdev.h"

struct next_context {
  nbdkit_next *next;
  struct mutex *lock;           /* held around each request, or NULL */
  const char *name;             /* announced for each request, unless NULL */
  uint64_t disk;                /* reported by the plugin; 0: not reported … */
  struct cuts cuts;             /* … with these */
  /* The number of failed flushes so far, and the errno of the last one. */
  _Atomic unsigned failures;
  _Atomic int error;
};

struct bdev_next {
  struct bdev bdev;
  struct next_context *context;
  _Atomic unsigned seen;        /* of its failures */
};

/* Make a bdev of a context that is prepared; info.disk is the plugin's number.
 * It need not be ended.  Returns 0; or -1, and the plugin has reported the
 * error.
 */
int bdev_next_init (struct bdev_next *l, struct next_context *context);

/* Add a user to a context. */
void bdev_next_share (struct bdev_next *l, const struct bdev_next *of);

#endif /* MNBD_BDEV_NEXT_H */
