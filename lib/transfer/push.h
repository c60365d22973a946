/* SPDX-License-Identifier: BSD-3-Clause */
/* Push: copies a disk's content to a block device elsewhere.
 *
 * Design
 *
 * The push sends a frozen clone, which nobody writes.  So the clone replaces a
 * log of writes: whatever a server loses with its cache is sent again.  Several
 * threads send one window at a time, which is then flushed.  That is the
 * checkpoint to which the push returns if a flush fails after an outage.
 *
 * Zeros are written with BDEV_MAY_TRIM, unless the device reports that the
 * range reads as zeros already.  They are sent as data only at the edges of the
 * device's blocks.
 *
 * Invariants
 *
 *   Q1  When push_run returns 0, the device has the disk's content on stable
 *       storage, as far as the device can flush.  With `since` this holds if
 *       the device had the content of `since`, but for what unfinished pushes
 *       have written since (Q3).  Beyond the end of `since` it may have had
 *       anything.
 *   Q2  Beyond the disk's end the device is not changed.  The exception, with
 *       `since`: what the older disk, or an unfinished push, had there becomes
 *       zeros.
 *   Q3  A push that failed or was cancelled may be run again, with whatever
 *       content the disk has by then: it sends, besides what differs, what the
 *       unfinished one may have written (unfinished.h).  What pushes of an
 *       earlier process have written is not known.  Then `compares` is set: all
 *       of the device is compared, and what differs is sent.
 *
 * Thread-safety: one thread runs a push.  It takes no locks of its own; several
 * threads use the device at a time.
 *
 * Knows nothing of nbdkit.
 */

#ifndef TRANSFER_PUSH_H
#define TRANSFER_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "job/jobs.h"
#include "ramdisk/disk.h"
#include "transfer/unfinished.h"

/* The names of phases. */
#define PUSH_COMPARING "comparing"
#define PUSH_COPYING "copying"
#define PUSH_VERIFYING "verifying"

struct push_options {
  struct disk *disk;            /* frozen */
  struct disk *since;           /* frozen; NULL: send everything */
  bool compares;                /* with since: the device may have anything */
  struct bdev *dest;            /* connected */
  bool verify;                  /* read everything back, and compare */
  /* What is to be remembered of pushes that do not finish; NULL: nothing. */
  struct unfinished *unfinished;
  uint64_t since_id;            /* a number for the disk of since, or 0 */
  const char *target;           /* a name for the device */
  /* How often has the device been lost so far?  May be NULL: never. */
  uint64_t (*outages) (void *opaque);
  void *opaque;
};

/* Returns 0; or -1 after job_fail, or with errno ESHUTDOWN (the device's server
 * stayed away; the caller knows more) or ECANCELED.
 */
int push_run (struct job *job, const struct push_options *options);

#endif /* TRANSFER_PUSH_H */
