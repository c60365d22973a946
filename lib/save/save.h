/* SPDX-License-Identifier: BSD-3-Clause */
/* Save: writes disks, frozen at one instant, into a folder (saved.h).
 *
 * A page that several disks share is written once.  If the server remembers
 * what it saved to the folder last (kept.h), only what has changed since is
 * looked at; and of a clone only what it does not share with a relative.  All
 * else is compared with the folder, and written unless the folder has it at the
 * same place of a disk of the same name.  If nothing has changed, nothing is
 * written.  If less than half of a file is still in use, the file is given up,
 * and its used pages are written again.
 *
 * Thread-safety: one thread runs a save.  Knows nothing of nbdkit.
 */

#ifndef SAVE_SAVE_H
#define SAVE_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "job/jobs.h"
#include "ramdisk/disk.h"
#include "save/kept.h"

#define SAVE_PHASE "saving"

struct save_disk {
  const char *name;             /* in the order of strcmp(3) */
  uint64_t id;                  /* no other disk of this process has had it */
  struct disk *frozen;
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
  struct uuid uuid;
  const char *parent;           /* the name of what it was cloned from, or NULL;
                                 * … */
  size_t parent_index;          /* … which of these that is, or SIZE_MAX: it is
                                 * not among them */
};

/* saves: what is remembered, for this save and the next; or NULL.  With forget,
 * all is compared with the folder, and nothing is remembered of it.
 * Returns 0; or -1 after job_fail, or with errno ECANCELED.  After an error the
 * folder has its previous content.  Those disks that become NULL belong to
 * saves then.
 */
int save_run (struct job *job, const char *path, struct save_disk *disk,
              size_t n, struct saves *saves, bool forget);

#endif /* SAVE_SAVE_H */
