/* SPDX-License-Identifier: BSD-3-Clause */
/* Which export a plugin is asked to open, and which disk it is. */

#include <config.h>

#include <stddef.h>

#include "plugins/common/export-name.h"
#include "plugins/common/modules.h"

/* The symbol that a filter exports for the plugins. */
const char *mblock_export_name (void);
bool mblock_export_finds_disk (uint64_t number, const struct cuts *cuts);

/* ------------------------------------------------------- the filter's part */

static _Thread_local struct {
  const char *name;
  uint64_t wanted;
  struct export_disk opened;
} announced;

static const char *(*of_disk) (const char *name);
static void (*forsake) (const char *name);

__attribute__ ((__visibility__ ("default"))) const char *
mblock_export_name (void)
{
  return announced.name;
}

__attribute__ ((__visibility__ ("default"))) bool
mblock_export_finds_disk (uint64_t number, const struct cuts *cuts)
{
  if (announced.wanted && announced.wanted != number)
    return false;
  announced.opened = (struct export_disk) { number, *cuts };
  return true;
}

void
export_name_find_plugin (void)
{
  void *symbol;

  if (modules_find (MODULE_PLUGIN, "mblock_export_name_of_disk", &symbol, 1))
    of_disk = (const char *(*) (const char *)) symbol;
  if (modules_find (MODULE_PLUGIN, "mblock_export_forsake", &symbol, 1))
    forsake = (void (*) (const char *)) symbol;
}

void
export_name_announce (const char *name, uint64_t disk)
{
  announced.name = name;
  announced.wanted = disk;
}

struct export_disk
export_name_opened (void)
{
  struct export_disk disk = announced.opened;

  announced.opened = (struct export_disk) { .number = 0 };
  return disk;
}

const char *
export_name_of_disk (const char *name)
{
  return of_disk ? of_disk (name) : NULL;
}

void
export_name_forsake (const char *name)
{
  if (forsake)
    forsake (name);
}

/* ------------------------------------------------------- the plugin's part */

/* As many filters as may be stacked. */
#define MOST_FILTERS 8

static void *name_of[MOST_FILTERS], *opens[MOST_FILTERS];
static size_t nnames, nopens;

void
export_name_find_filters (void)
{
  nnames = modules_find (MODULE_FILTER, "mblock_export_name", name_of,
                         MOST_FILTERS);
  nopens = modules_find (MODULE_FILTER, "mblock_export_finds_disk", opens,
                         MOST_FILTERS);
}

const char *
export_name_announced (void)
{
  const char *name = NULL;
  size_t i;

  for (i = 0; i < nnames && name == NULL; i++)
    name = ((const char *(*) (void)) name_of[i]) ();
  return name;
}

bool
export_name_opens (struct export_disk disk)
{
  bool wanted = true;
  size_t i;

  for (i = 0; i < nopens; i++)
    wanted &= ((bool (*) (uint64_t, const struct cuts *)) opens[i])
      (disk.number, &disk.cuts);
  return wanted;
}
