/* SPDX-License-Identifier: BSD-3-Clause */
/* How much memory the process may use. */

#ifndef MRAMDISK_MEMLIMIT_H
#define MRAMDISK_MEMLIMIT_H

#include <stdint.h>

/* The smaller of the machine's memory and the limits of the process's control
 * groups, in bytes.  For version 2 groups, all ancestors count too (cgroups(7),
 * memory.max); for version 1, memory.limit_in_bytes.  Never 0.
 *
 * proc_cgroup: normally "/proc/self/cgroup"; cgroup_root: "/sys/fs/cgroup".
 * A file that cannot be read sets no limit.  Thread-safe.
 */
uint64_t memory_limit (const char *proc_cgroup, const char *cgroup_root);

#endif /* MRAMDISK_MEMLIMIT_H */
