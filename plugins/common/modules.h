/* SPDX-License-Identifier: BSD-3-Clause */
/* The filters and plugins that nbdkit has loaded.
 *
 * Each is a module of its own; they find each other through the dynamic linker.
 * The look-up takes the linker's locks.  So it is done once, before clients
 * come, and not in a callback of dl_iterate_phdr, which holds one of these
 * locks.
 */

#ifndef MBLOCK_MODULES_H
#define MBLOCK_MODULES_H

#include <stdbool.h>
#include <stddef.h>

/* The symbol that every filter, or plugin, exports. */
#define MODULE_FILTER "filter_init"
#define MODULE_PLUGIN "plugin_init"

/* Find the symbol in up to n of the modules that export both it and init.
 * Returns the number found.
 */
size_t modules_find (const char *init, const char *name, void **symbol,
                     size_t n);

/* Is there such a module? */
bool modules_any (const char *init);

#endif /* MBLOCK_MODULES_H */
