/* SPDX-License-Identifier: BSD-3-Clause */
/* Pull: copies a block device's content into a new disk.
 *
 * Zeros become holes: both ranges that the device reports as zeros, and pages
 * of zeros within ranges that it reports as data.
 *
 * Thread-safety: one thread runs a pull.  Several threads use the device at a
 * time.  Nobody else uses the disk.
 *
 * Knows nothing of nbdkit.
 */

#ifndef TRANSFER_PULL_H
#define TRANSFER_PULL_H

#include "bdev/bdev.h"
#include "job/jobs.h"
#include "ramdisk/disk.h"

#define PULL_COPYING "copying"

/* Fill an empty disk of the device's size.  Returns 0; or -1 after job_fail, or
 * with errno ESHUTDOWN (the device's server stayed away; the caller knows
 * more), ENOSPC or EDQUOT (no memory for the disk) or ECANCELED.
 */
int pull_run (struct job *job, struct bdev *source, struct disk *disk);

#endif /* TRANSFER_PULL_H */
