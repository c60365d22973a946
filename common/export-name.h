/* SPDX-License-Identifier: BSD-3-Clause */
/* The name of the export that a plugin is asked to open.
 *
 * A filter may open a context of the plugin beneath that belongs to no client.
 * nbdkit gives a plugin the export's name only as that of the client's export,
 * and so has none then.  mblock's filter says it here before it opens such
 * a context, and mblock's plugins look here first.
 *
 * Filter and plugin are different modules, which find each other through the
 * dynamic linker.  The name is the thread's own: the plugin's .open runs in the
 * thread that announced it.
 */

#ifndef MBLOCK_EXPORT_NAME_H
#define MBLOCK_EXPORT_NAME_H

#include <stdbool.h>

/* For filters: contexts that this thread opens are of this export, until it
 * announces NULL.
 */
void export_name_announce (const char *name);

/* For filters: does the plugin beneath look here? */
bool export_name_is_read (void);

/* For plugins, in .open: the name that was announced, or NULL: nbdkit knows. */
const char *export_name_announced (void);

#endif /* MBLOCK_EXPORT_NAME_H */
