/* SPDX-License-Identifier: BSD-3-Clause */
/* The damage test: files of arenas that were truncated or changed at random.
 *
 * Opening such a file results in disks or in one line.  Without salvage, the
 * file is then unchanged.  With salvage, everything that is left can be used in
 * all ways, and disks whose records and trees are intact have kept their
 * content.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ramdisk/arena-layout.h"
#include "ramdisk/rcu.h"
#include "ramdisk/records.h"
#include "tests/abort.h"
#include "tests/crash/world.h"

#define LIMIT (UINT64_C (32) << 20)

static const char *path;
static struct world world;
static char *good, *bent;
static size_t size;

static void __attribute__ ((noreturn))
wrong (const char *what, const char *why)
{
  abort_with ("%s: %s", what, why);
}

static void
write_file (const char *data, size_t len)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

  if (fd == -1 || write (fd, data, len) != (ssize_t) len)
    wrong (path, strerror (errno));
  close (fd);
}

static bool
file_is (const char *data, size_t len)
{
  char *is = malloc (len + 1);
  int fd = open (path, O_RDONLY);
  bool same = fd >= 0 && read (fd, is, len + 1) == (ssize_t) len &&
    memcmp (is, data, len) == 0;

  close (fd);
  free (is);
  return same;
}

static unsigned warnings;

static void
warn (void *opaque, const char *line)
{
  (void) opaque;
  if (*line == '\0' || strchr (line, '\n'))
    wrong ("a warning is not one line", line);
  warnings++;
}

/* Returns whether the file could be opened; then the caller closes *a and *r.
 */
static bool
try (bool salvage, struct arena **a, struct registry **r, char **error)
{
  const struct arena_open_options o = {
    .path = path, .limit = LIMIT, .salvage = salvage
  };
  const struct registry_options ro = {
    .default_size = 16 << 20, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = 100000,
  };
  struct recovery recovery;

  warnings = 0;
  *r = NULL;
  *a = arena_open (&o, error);
  if (*a) {
    *r = registry_new (*a, &ro);
    if (registry_recover (*r, world_origins (*a), salvage, warn, NULL, &recovery,
                          error) == 0)
      return true;
    world_close (*a, *r);
  }
  if (*error == NULL || strchr (*error, '\n'))
    wrong ("the error is not one line", *error ? *error : "(none)");
  return false;
}

/* Without salvage: everything is right, or there is an error and nothing has
 * changed. damaged: the file is known to be damaged.
 */
static void
without_salvage (const char *data, size_t len, bool damaged, const char *what)
{
  struct registry *r;
  struct arena *a;
  char *error;

  write_file (data, len);
  if (try (false, &a, &r, &error)) {
    if (damaged)
      wrong (what, "nobody has noticed");
    world_exercise (r, a);
    world_close (a, r);
  }
  else {
    if (!file_is (data, len))
      wrong (what, "the file has changed");
    free (error);
  }
}

static bool
is_there (struct registry *r, unsigned disk)
{
  struct named_disk *d = registry_hold (r, world_name (world.number, disk));

  if (d)
    registry_close (r, d);
  return d != NULL;
}

/* With salvage: only a damaged header may be refused. may_lose: how many disks
 * may be lost or changed. damaged: as above; then a disk is not lost without a
 * word.
 */
static void
with_salvage (const char *data, size_t len, unsigned may_lose, bool header,
              bool damaged, const char *what)
{
  struct registry *r;
  struct arena *a;
  unsigned i, kept = 0, all = 0, there = 0;
  char *error;

  write_file (data, len);
  if (!try (true, &a, &r, &error)) {
    if (!header)
      wrong (what, error);
    free (error);
    return;
  }
  for (i = 0; i < WORLD_DISKS; i++) {
    all += world.disk[i].exists;
    there += world.disk[i].exists && is_there (r, i);
    kept += world.disk[i].exists && world_has (r, &world, i);
  }
  if (all - kept > may_lose)
    wrong (what, world_difference ());
  if (damaged && there < all && warnings == 0)
    wrong (what, "a disk is gone, and there was no warning");
  world_exercise (r, a);
  world_close (a, r);
}

static void
make_good (uint64_t seed)
{
  static const enum op_kind kinds[] = {
    OP_CREATE, OP_WRITE, OP_WRITE, OP_ALLOCATE, OP_CLONE, OP_WRITE, OP_OVER,
    OP_FETCH, OP_WRITE, OP_WRITE, OP_CLONE, OP_WRITE, OP_FETCH, OP_ZERO,
  };
  struct registry *r;
  struct arena *a;
  struct stat st;
  struct op op;
  unsigned i;
  int fd;

  unlink (path);
  memset (&world, 0, sizeof world);
  world_open (path, LIMIT, &a, &r, NULL);
  for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    op = world_choose (&world, kinds[i], &seed);
    if (op.kind == OP_CREATE || op.kind == OP_OVER)
      op.size = FULL_SIZE;
    world_apply (&world, &op);
    world_do (r, a, &op);
  }
  world_close (a, r);
  fd = open (path, O_RDONLY);
  if (fd == -1 || fstat (fd, &st) == -1)
    wrong (path, strerror (errno));
  size = st.st_size;
  good = realloc (good, size);
  bent = realloc (bent, size);
  if (read (fd, good, size) != (ssize_t) size)
    wrong (path, "cannot read it");
  close (fd);
}

static struct layout_table *
table_in (char *data)
{
  struct layout_header *h = (struct layout_header *) data;

  return (struct layout_table *)
    (data + (uint64_t) atomic_load (&h->tables) * PAGE_BYTES);
}

/* How many disks are over the origin: make_good makes no second one. */
static unsigned
disks_over (void)
{
  unsigned i, n = 0;

  for (i = 0; i < WORLD_DISKS; i++)
    n += world.disk[i].exists && world.disk[i].over;
  return n;
}

/* Damage in one place of one record: the other disks are kept, except those
 * over an origin whose record it is.
 */
static void
one_record (uint64_t *random)
{
  struct layout_record *rec;
  char what[64];
  unsigned i, most;

  for (i = 0; i < LAYOUT_TABLE_RECORDS; i++) {
    memcpy (bent, good, size);
    rec = &table_in (bent)->record[i];
    if (atomic_load (&rec->seq) == 0)
      continue;
    most = rec->kind == LAYOUT_ORIGIN ? disks_over () : 1;
    switch (world_random (random) % 8) {
    case 0: atomic_store (&rec->root, world_random (random)); break;
    case 1: atomic_store (&rec->size, ~UINT64_C (0)); break;
    case 2: rec->name_len = 5000; break;
    case 3: rec->sector_size = 3; break;
    case 4: rec->checksum++; break;
    case 6: rec->kind ^= 1; break;
    case 7: rec->id ^= 1; break;
    case 5:
      *(rec->name_page == PAGE_HOLE ? rec->name
        : bent + (uint64_t) rec->name_page * PAGE_BYTES) ^= 0x80;
      break;
    }
    snprintf (what, sizeof what, "record %u", i);
    without_salvage (bent, size, true, what);
    with_salvage (bent, size, most, false, true, what);
  }
}

/* Flipped bits in pages of this kind. */
static void
random_bits (uint64_t *random, bool header)
{
  struct layout_header *h = (struct layout_header *) good;
  unsigned n = 1 + world_random (random) % 8;
  page_t page = world_random (random) % (size / PAGE_BYTES);
  char what[64];

  if (header)
    page = 0;
  else if (page < PAGE_FIRST || world_random (random) % 4 == 0)
    page = atomic_load (&h->tables);
  snprintf (what, sizeof what, "%u bits of page %u", n, page);
  memcpy (bent, good, size);
  while (n-- > 0) {
    uint64_t bit = world_random (random) %
      (header ? sizeof *h * 8 : PAGE_BYTES * 8);

    bent[(uint64_t) page * PAGE_BYTES + bit / 8] ^= 1 << bit % 8;
  }
  without_salvage (bent, size, false, what);
  with_salvage (bent, size, WORLD_DISKS, header, false, what);
}

/* Whole stretches of garbage, also in the map. */
static void
garbage (uint64_t *random)
{
  uint64_t at = PAGE_BYTES + world_random (random) % (size - 2 * PAGE_BYTES);
  uint64_t len = 1 + world_random (random) % 6000, i;
  char what[64];

  if (world_random (random) % 4 == 0)
    at = PAGE_BYTES;
  snprintf (what, sizeof what, "garbage at %" PRIu64, at);
  memcpy (bent, good, size);
  for (i = at; i < at + len && i < size; i++)
    bent[i] = world_random (random);
  without_salvage (bent, size, false, what);
  with_salvage (bent, size, WORLD_DISKS, false, false, what);
}

static void
truncations (void)
{
  char what[64];
  const size_t chunk = LAYOUT_CHUNK_PAGES * PAGE_BYTES;
  size_t len;

  for (len = 0; len < size; len += PAGE_BYTES) {
    struct registry *r;
    struct arena *a;
    struct stat st;
    char *error;

    snprintf (what, sizeof what, "%zu bytes of it", len);
    if (len == 0 || len % (128 * PAGE_BYTES) == 5 * PAGE_BYTES) {
      without_salvage (good, len, len > 0, what);
      /* In less than a chunk there is nothing to salvage. */
      with_salvage (good, len, WORLD_DISKS, len > 0 && len < chunk,
                    len >= chunk, what);
      continue;
    }
    if (len == PAGE_BYTES || len % (128 * PAGE_BYTES) == 6 * PAGE_BYTES)
      write_file (good, size - PAGE_BYTES);
    /* The same file, truncated more and more. */
    if (truncate (path, size - len) == -1)
      wrong (what, strerror (errno));
    if (try (false, &a, &r, &error))
      wrong (what, "a truncated file was opened");
    free (error);
    if (stat (path, &st) == -1 || st.st_size != (off_t) (size - len))
      wrong (what, "its size has changed");
  }
}

int
main (int argc, char *argv[])
{
  static const struct option options[] = {
    { "file", required_argument, NULL, 'f' },
    { "rounds", required_argument, NULL, 'r' },
    { "seed", required_argument, NULL, 'S' },
    { NULL, 0, NULL, 0 }
  };
  uint64_t rounds = 40, seed = 1, i;
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'f': path = optarg; break;
    case 'r': rounds = strtoull (optarg, NULL, 10); break;
    case 'S': seed = strtoull (optarg, NULL, 10); break;
    default: return 2;
    }
  if (path == NULL || optind < argc) {
    fputs ("Usage: damage --file=FILE [--rounds=N] [--seed=N]\n", stderr);
    return 2;
  }
  if (rcu_prepare () == -1)
    return 1;
  make_good (seed);
  truncations ();
  for (i = 0; i < rounds; i++) {
    if (i % 16 == 15)
      make_good (++seed);
    one_record (&seed);
    random_bits (&seed, false);
    random_bits (&seed, i % 4 == 0);
    garbage (&seed);
  }
  unlink (path);
  free (good);
  free (bent);
  return 0;
}
