/* SPDX-License-Identifier: BSD-3-Clause */
/* How much memory the process may use. */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ramdisk/memlimit.h"

/* The number in a file; no limit if it is "max" or missing. */
static uint64_t
read_limit (const char *root, const char *controller, const char *group,
            const char *file)
{
  CLEANUP_FREE char *path = NULL;
  char line[64];
  uint64_t limit = UINT64_MAX;
  FILE *fp;

  if (asprintf (&path, "%s%s%s/%s", root, controller, group, file) == -1)
    return limit;
  fp = fopen (path, "re");
  if (fp == NULL)
    return limit;
  if (fgets (line, sizeof line, fp) && isdigit ((unsigned char) line[0]))
    limit = strtoull (line, NULL, 10);
  fclose (fp);
  return limit;
}

/* The smallest limit of a group and its ancestors.  Truncates the path. */
static uint64_t
group_limit (const char *root, const char *controller, char *group,
             const char *file)
{
  uint64_t limit = UINT64_MAX;

  for (;;) {
    uint64_t here = read_limit (root, controller, group, file);
    char *slash;

    if (here > 0 && here < limit)
      limit = here;
    slash = strrchr (group, '/');
    if (slash == NULL)
      return limit;
    *slash = '\0';
  }
}

/* Whether "memory" is in a list of names with commas. */
static bool
has_memory (const char *list)
{
  size_t n;

  for (; *list; list += n + (list[n] == ',')) {
    n = strcspn (list, ",");
    if (n == strlen ("memory") && strncmp (list, "memory", n) == 0)
      return true;
  }
  return false;
}

uint64_t
memory_limit (const char *proc_cgroup, const char *cgroup_root)
{
  uint64_t limit =
    (uint64_t) sysconf (_SC_PHYS_PAGES) * (uint64_t) sysconf (_SC_PAGESIZE);
  CLEANUP_FREE char *line = NULL;
  size_t alloc = 0;
  FILE *fp = fopen (proc_cgroup, "re");

  if (fp == NULL)
    return limit;
  /* Each line is hierarchy:controllers:path; version 2 is "0::path". */
  while (getline (&line, &alloc, fp) != -1) {
    uint64_t here = UINT64_MAX;
    char *controllers, *path;

    line[strcspn (line, "\n")] = '\0';
    controllers = strchr (line, ':');
    if (controllers == NULL)
      continue;
    *controllers++ = '\0';
    path = strchr (controllers, ':');
    if (path == NULL)
      continue;
    *path++ = '\0';
    if (*controllers == '\0')
      here = group_limit (cgroup_root, "", path, "memory.max");
    else if (has_memory (controllers))
      here = group_limit (cgroup_root, "/memory", path,
                          "memory.limit_in_bytes");
    if (here < limit)
      limit = here;
  }
  fclose (fp);
  return limit;
}
