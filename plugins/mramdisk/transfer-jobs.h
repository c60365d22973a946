/* SPDX-License-Identifier: BSD-3-Clause */
/* The jobs that move disks between mramdisk and other servers: what is between
 * lib/transfer, remotes and the registry.
 *
 * Thread-safety: any thread may start one.  Knows nothing of nbdkit.
 */

#ifndef MRAMDISK_TRANSFER_JOBS_H
#define MRAMDISK_TRANSFER_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "service.h"

/* Send a disk, of which frozen[0] is the content (disk_freeze) and frozen[1]
 * the content of `since`, whose id is since, or NULL, to an NBD URI that
 * remote_check_uri takes.
 * Takes over both.  Returns the job's id, or 0 with errno as jobs_start.
 */
uint64_t push_job_start (struct service *s, const char *name,
                         struct disk *const frozen[2], uint64_t since,
                         const char *uri, bool verify, uint64_t rate);

/* What a disk that is filled from elsewhere is to be. */
struct pull_options {
  const char *name, *uri;       /* copied */
  uint32_t sector_size;
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
  enum if_exists if_exists;     /* error or replace */
  enum if_open if_open;
  uint64_t rate;                /* bytes a second; 0: no limit */
};

/* Fill a new disk from an NBD URI that remote_check_uri takes.  It gets its name
 * when it is complete, and in one step (registry_add): before that there is no
 * such disk, or the old one.  Returns as push_job_start.
 */
uint64_t pull_job_start (struct service *s, const struct pull_options *options);

#endif /* MRAMDISK_TRANSFER_JOBS_H */
