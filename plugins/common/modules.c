/* SPDX-License-Identifier: BSD-3-Clause */
/* The filters and plugins that nbdkit has loaded. */

#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/common/modules.h"

/* The paths of all loaded modules. */
struct paths {
  char **path;
  size_t n;
};

static int
add_path (struct dl_phdr_info *info, size_t size, void *opaque)
{
  struct paths *all = opaque;
  char **more;

  (void) size;
  if (info->dlpi_name == NULL || *info->dlpi_name == '\0')
    return 0;                   /* nbdkit itself */
  more = reallocarray (all->path, all->n + 1, sizeof *more);
  if (more == NULL)
    return 1;
  all->path = more;
  all->path[all->n] = strdup (info->dlpi_name);
  return all->path[all->n] == NULL ? 1 : (all->n++, 0);
}

/* Look up a symbol of that object, which stays loaded as long as nbdkit needs
 * it.
 */
static void *
symbol_of (const char *path, const char *init, const char *name)
{
  void *dl = dlopen (path, RTLD_LAZY | RTLD_NOLOAD), *symbol = NULL;

  if (dl == NULL)
    return NULL;
  if (dlsym (dl, init))
    symbol = dlsym (dl, name);
  dlclose (dl);
  return symbol;
}

size_t
modules_find (const char *init, const char *name, void **symbol, size_t n)
{
  struct paths all = { NULL, 0 };
  size_t found = 0, i;
  void *s;

  dl_iterate_phdr (add_path, &all);
  for (i = 0; i < all.n; i++) {
    s = found < n ? symbol_of (all.path[i], init, name) : NULL;
    if (s)
      symbol[found++] = s;
    free (all.path[i]);
  }
  free (all.path);
  return found;
}

bool
modules_any (const char *init)
{
  void *symbol;

  return modules_find (init, init, &symbol, 1) > 0;
}
