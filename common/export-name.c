/* SPDX-License-Identifier: BSD-3-Clause */
/* The name of the export that a plugin is asked to open. */

#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>

#include "export-name.h"

/* What mblock's filters export for its plugins. */
#define SYMBOL "mblock_export_name"
const char *mblock_export_name (void);

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

/* ------------------------------------------------------- the plugin's part */

/* As many as may be loaded, one upon another. */
#define MOST_FILTERS 8

static const char *(*filter[MOST_FILTERS]) (void);
static size_t nfilters;

static int
look_into (struct dl_phdr_info *info, size_t size, void *opaque)
{
  void *dl, *symbol;

  (void) size;
  (void) opaque;
  if (info->dlpi_name == NULL || *info->dlpi_name == '\0')
    return 0;                   /* nbdkit itself */
  dl = dlopen (info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (dl == NULL)
    return 0;
  symbol = dlsym (dl, SYMBOL);
  if (symbol && dlsym (dl, "filter_init"))
    filter[nfilters++] = (const char *(*) (void)) symbol;
  dlclose (dl);
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
