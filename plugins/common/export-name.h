/* SPDX-License-Identifier: BSD-3-Clause */
/* The name of the export that a plugin is asked to open.
 *
 * A filter may open a context of the plugin beneath that belongs to no client.
 * nbdkit gives a plugin the export's name only as that of the client's export,
 * and so has none then.  mblock's filter says it here before it opens such
 * a context, and mblock's plugins look here first.  They also say which names
 * mean the same disk.
 *
 * Filter and plugin are different modules, which find each other through the
 * dynamic linker.  The name is the thread's own: the plugin's .open runs in the
 * thread that announced it.
 */

#ifndef MBLOCK_EXPORT_NAME_H
#define MBLOCK_EXPORT_NAME_H

/* For filters: contexts that this thread opens are of this export, until it
 * announces NULL.
 */
void export_name_announce (const char *name);

/* For filters: of names that mean the same disk of the plugin, the one by which
 * it goes; valid at least as long as name.  NULL: all names mean the same disk.
 */
const char *export_name_of_disk (const char *name);

/* For plugins, in .open: the name that was announced, or NULL: nbdkit knows. */
const char *export_name_announced (void);

/* For a plugin to define: what export_name_of_disk is about.  It is exported; a
 * plugin without it has only one disk.
 */
const char *mblock_export_name_of_disk (const char *name);

#endif /* MBLOCK_EXPORT_NAME_H */
