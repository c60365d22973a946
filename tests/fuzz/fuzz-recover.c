/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the recovery of an arena's file.  For libFuzzer; run-fuzz.sh builds it.
 *
 * The file is a good one, with a few disks, clones and an origin, to which an
 * input makes changes.  Each is (numbers are little-endian)
 *
 *   4 bytes   where, counted from the start of what is chosen by
 *   1 byte    bits 0 to 2: the header, a map, the newest table, a root of a
 *             disk, its first child, any page that is in use, or the end of the
 *             file, which is then cut off; bits 3 to 7: which disk
 *   1 byte    how many bytes follow, or, from 128 on, how often less 127 the
 *             next 4 are repeated
 *   the bytes
 *
 * What must hold: recovery ends, with an error that is one line, or with disks
 * that can be used in all ways and keep the engine's invariants.  The first try
 * is without salvage, the second with it.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ramdisk/arena-layout.h"
#include "ramdisk/node.h"
#include "tests/crash/world.h"

#define LIMIT (UINT64_C (8) << 20)

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char path[64];
static int fd;
static char *good;
static size_t good_size;

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  static const enum op_kind kinds[] = {
    OP_CREATE, OP_WRITE, OP_WRITE, OP_CLONE, OP_WRITE, OP_OVER, OP_FETCH,
    OP_ALLOCATE, OP_CLONE, OP_WRITE, OP_FETCH,
  };
  static struct world world;
  struct registry *r;
  struct arena *a;
  struct stat st;
  uint64_t random = 4;
  unsigned i;

  (void) argc;
  (void) argv;
  /* An arena that others may write to is refused, and Linux makes a memfd with
     mode 777. */
  fd = memfd_create ("arena", 0);
  if (fd == -1 || fchmod (fd, 0600) == -1)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  world_open (path, LIMIT, &a, &r, NULL);
  for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct op op = world_choose (&world, kinds[i], &random);

    op.readonly = false;
    world_apply (&world, &op);
    world_do (r, a, &op);
  }
  if (arena_close_clean (a) == -1)
    abort ();
  world_close (a, r);
  if (fstat (fd, &st) == -1)
    abort ();
  good_size = st.st_size;
  good = malloc (good_size);
  if (pread (fd, good, good_size, 0) != (ssize_t) good_size)
    abort ();
  return 0;
}

/* Where what is to be changed begins in the file. */
static uint64_t
place (uint8_t what, uint32_t where)
{
  struct layout_header *h = (struct layout_header *) good;
  page_t page = atomic_load (&h->tables);
  struct layout_table *t =
    (struct layout_table *) (good + (uint64_t) page * PAGE_BYTES);

  switch (what & 7) {
  case 0:
    page = 0;
    break;
  case 1:
    page = layout_map_page (0);
    break;
  case 2:
    break;
  case 3:
  case 4:
    page = (page_t) atomic_load (&t->record[(what >> 3) %
                                            LAYOUT_TABLE_RECORDS].root);
    if ((what & 7) == 4 && page >= PAGE_FIRST) {
      struct node *n = (struct node *) (good + (uint64_t) page * PAGE_BYTES);
      unsigned i = 0;

      while (i < NODE_SLOTS && atomic_load (&n->slot[i]) < PAGE_FIRST)
        i++;
      page = i < NODE_SLOTS ? atomic_load (&n->slot[i]) : page;
    }
    break;
  default:
    return where % good_size;
  }
  return (uint64_t) page * PAGE_BYTES + where % PAGE_BYTES;
}

/* Make the file what the input says. */
static void
change (const uint8_t *data, size_t size)
{
  uint64_t end = good_size;
  char *file;

  if (ftruncate (fd, 0) == -1 || ftruncate (fd, good_size) == -1 ||
      pwrite (fd, good, good_size, 0) != (ssize_t) good_size)
    abort ();
  file = mmap (NULL, good_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (file == MAP_FAILED)
    abort ();
  while (size >= 6) {
    uint32_t where;
    uint64_t at;
    size_t n = data[5], i;

    memcpy (&where, data, 4);
    at = place (data[4], where);
    if ((data[4] & 7) == 7)
      end = at;
    data += 6;
    size -= 6;
    if (n >= 128) {
      for (i = 0; size >= 4 && i < (n - 127) * 4 && at + i < good_size; i++)
        file[at + i] = data[i % 4];
      n = size < 4 ? size : 4;
    }
    else {
      n = n < size ? n : size;
      for (i = 0; i < n && at + i < good_size; i++)
        file[at + i] = data[i];
    }
    data += n;
    size -= n;
  }
  munmap (file, good_size);
  if (end < good_size && ftruncate (fd, end) == -1)
    abort ();
}

static void
warn (void *opaque, const char *line)
{
  (void) opaque;
  if (strchr (line, '\n'))
    abort ();
}

static void
recover (bool salvage)
{
  const struct arena_open_options o = {
    .path = path, .limit = LIMIT, .salvage = salvage
  };
  const struct registry_options ro = {
    .default_size = 16 << 20, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = 100,
  };
  struct recovery recovery;
  struct registry *r;
  char *error;
  struct arena *a = arena_open (&o, &error);

  if (a) {
    r = registry_new (a, &ro);
    if (registry_recover (r, world_origins (a), salvage, warn, NULL, &recovery,
                          &error) == 0)
      world_exercise (r, a);
    world_close (a, r);
  }
  if (error && strchr (error, '\n'))
    abort ();
  free (error);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  change (data, size);
  recover (false);
  change (data, size);
  recover (true);
  return 0;
}
