/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded into a server: as long as the file $MBLOCK_SAME_NAMES exists, each
 * save finds that two disks have the same name, as if names had changed hands
 * while it looked.
 */

#include <config.h>

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "save/save.h"

void
qsort (void *base, size_t n, size_t size,
       int (*compare) (const void *a, const void *b))
{
  void (*next) (void *base, size_t n, size_t size,
                int (*compare) (const void *a, const void *b)) =
    (__typeof__ (next)) dlsym (RTLD_NEXT, "qsort");
  const char *file = getenv ("MBLOCK_SAME_NAMES");

  if (size == sizeof (struct save_disk) && n > 1 && file &&
      access (file, F_OK) == 0) {
    struct save_disk *disk = base;

    disk[0].name = disk[1].name;
  }
  next (base, n, size, compare);
}
