/* SPDX-License-Identifier: BSD-3-Clause */
/* The name of the export that a plugin is asked to open. */

#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>

#include "export-name.h"

/* What a filter exports for the plugins, and the plugins for a filter. */
#define NAME "mblock_export_name"
#define OF_DISK "mblock_export_name_of_disk"
const char *mblock_export_name (void);

/* The symbol, if the object has it and is such a module: a filter has
 * filter_init, a plugin plugin_init.
 */
static void *
symbol_of (const struct dl_phdr_info *info, const char *name, const char *init)
{
  void *dl, *symbol = NULL;

  if (info->dlpi_name == NULL || *info->dlpi_name == '\0')
    return NULL;                /* nbdkit itself */
  dl = dlopen (info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (dl == NULL)
    return NULL;
  if (dlsym (dl, init))
    symbol = dlsym (dl, name);
  dlclose (dl);
  return symbol;
}

/* ------------------------------------------------------- the filter's part */

static _Thread_local const char *announced;

__attribute__ ((__visibility__ ("default"))) const char *
mblock_export_name (void)
{
  return announced;
}

void
export_name_announce (const char *name)
{
  announced = name;
}

static int
find_of_disk (struct dl_phdr_info *info, size_t size, void *opaque)
{
  void **symbol = opaque;

  (void) size;
  *symbol = symbol_of (info, OF_DISK, "plugin_init");
  return *symbol != NULL;
}

const char *
export_name_of_disk (const char *name)
{
  void *symbol = NULL;

  if (!dl_iterate_phdr (find_of_disk, &symbol))
    return NULL;
  return ((const char *(*) (const char *)) symbol) (name);
}

/* ------------------------------------------------------- the plugin's part */

/* As many as may be loaded, one upon another. */
#define MOST_FILTERS 8

static const char *(*filter[MOST_FILTERS]) (void);
static size_t nfilters;

static int
look_into (struct dl_phdr_info *info, size_t size, void *opaque)
{
  void *symbol = symbol_of (info, NAME, "filter_init");

  (void) size;
  (void) opaque;
  if (symbol)
    filter[nfilters++] = (const char *(*) (void)) symbol;
  return nfilters == MOST_FILTERS;
}

static void
look (void)
{
  dl_iterate_phdr (look_into, NULL);
}

const char *
export_name_announced (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  const char *name = NULL;
  size_t i;

  pthread_once (&once, look);
  for (i = 0; i < nfilters && name == NULL; i++)
    name = filter[i] ();
  return name;
}
