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

struct push_job_options {
  const char *name, *uri;       /* copied; remote_check_uri takes the URI */
  const char *target;           /* copied; push_options.target */
  struct disk *frozen[2];       /* the contents (disk_freeze) of the disk and of
                                 * `since`, or NULL; taken over */
  uint64_t since;               /* its id, or 0 */
  bool compares;                /* push_options.compares */
  bool verify;
  uint64_t rate;                /* bytes a second; 0: no limit */
};

/* Send a disk.  Returns the job's id, or 0 with errno as jobs_start. */
uint64_t push_job_start (struct service *s,
                         const struct push_job_options *options);

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

/* Fill a new disk from an NBD URI that remote_check_uri takes.  It gets its
 * name when it is complete, and in one step (registry_add): before that there
 * is no such disk, or the old one.  Returns as push_job_start.
 */
uint64_t pull_job_start (struct service *s, const struct pull_options *options);

#endif /* MRAMDISK_TRANSFER_JOBS_H */
