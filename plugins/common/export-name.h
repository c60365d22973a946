/* SPDX-License-Identifier: BSD-3-Clause */
/* The export that a plugin is asked to open, and the identity of its disk.
 *
 * Names.  A filter may open a context of the plugin beneath that belongs to no
 * client. nbdkit knows the export's name only from the client, so it has none
 * for that context. mblock's filter therefore announces the name here whenever
 * it calls into such a context, because a filter in between may reopen the
 * plugin at any time (nbdkit's retry filter does); mblock's plugins look here
 * first.  They also tell which names refer to the same disk.
 *
 * Disks.  A name may refer to another disk from one moment to the next.  So a
 * plugin with such names reports here, whenever it opens one, which disk it
 * is, by a number that no other disk of this process has or had, and how that
 * was made smaller (cuts.h).  A filter reads both, and may announce that it
 * wants that disk or none.  This works through any filters in between, because
 * .open runs in the thread that asked for it.
 *
 * Filter and plugin are different modules (modules.h).  What they pass to each
 * other is thread-local.
 */

#ifndef MBLOCK_EXPORT_NAME_H
#define MBLOCK_EXPORT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/cuts.h"

/* ---------------------------------------------------------- for filters */

/* Find the plugin.  Called once, in .get_ready. */
void export_name_find_plugin (void);

/* Announce the export for contexts that this thread opens, and, unless disk is
 * 0, the disk.  Valid until the thread announces NULL.
 */
void export_name_announce (const char *name, uint64_t disk);

struct export_disk {
  uint64_t number;              /* 0: none, or the plugin does not report it */
  struct cuts cuts;
};

/* The disk that this thread has opened since its last call. */
struct export_disk export_name_opened (void);

/* The canonical name among the names that refer to the same disk of the plugin;
 * valid at least as long as name.  NULL: all names refer to the same disk.
 */
const char *export_name_of_disk (const char *name);

/* Tell the plugin that nobody needs this export any more, so that it does not
 * try to save what was written to it.
 */
void export_name_forsake (const char *name);

/* ---------------------------------------------------------- for plugins */

/* Find filters.  Called once, in .get_ready. */
void export_name_find_filters (void);

/* In .open: the name that was announced; or NULL: ask nbdkit. */
const char *export_name_announced (void);

/* In .open: report the disk.  Returns false if a filter wants another one. */
bool export_name_opens (struct export_disk disk);

/* Defined by a plugin, for export_name_of_disk.  It is exported; a plugin
 * without it has only one disk.
 */
const char *mblock_export_name_of_disk (const char *name);

/* Defined and exported by a plugin that keeps writes, for export_name_forsake.
 */
void mblock_export_forsake (const char *name);

#endif /* MBLOCK_EXPORT_NAME_H */
