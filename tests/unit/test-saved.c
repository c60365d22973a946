/* SPDX-License-Identifier: BSD-3-Clause */
/* Saved disks have the same bytes on every machine: the manual describes them,
 * and a folder that was saved on one kind of machine is loaded on another.
 */

#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "save/saved.h"

/* Two runs, whose every byte is another one. */
static const struct saved_run runs[] = {
  { UINT64_C (0x0000000000010203), UINT64_C (0x0000000000040506), 0x0708, 3 },
  { UINT64_C (0x00000a0b0c0d0e0f), 0, 0x10111213, 0 },
};
static const unsigned char map[] = {
  0x03, 0x02, 0x01, 0, 0, 0, 0, 0, 0x06, 0x05, 0x04, 0, 0, 0, 0, 0,
  0x08, 0x07, 0, 0, 3, 0, 0, 0,
  0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0x13, 0x12, 0x11, 0x10, 0, 0, 0, 0,
};

struct fixture {
  char path[64];
  int dir;
};

static int
setup (void **state)
{
  static struct fixture f;

  strcpy (f.path, "/tmp/mblock-saved-XXXXXX");
  if (mkdtemp (f.path) == NULL)
    return 1;
  f.dir = open (f.path, O_RDONLY | O_DIRECTORY);
  *state = &f;
  return f.dir == -1;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  unlinkat (f->dir, "manifest.json", 0);
  unlinkat (f->dir, "mblock-map-5", 0);
  unlinkat (f->dir, "mblock-data-3", 0);
  unlinkat (f->dir, "mblock-sums-3", 0);
  close (f->dir);
  return rmdir (f->path);
}

/* A file of this size, without data. */
static void
make_file (int dir, const char *name, off_t size)
{
  int fd = openat (dir, name, O_WRONLY | O_CREAT, 0600);

  assert_true (fd >= 0);
  assert_int_equal (0, ftruncate (fd, size));
  close (fd);
}

/* The sums come from a program of its own, in Python. */
static void
test_checksum (void **state)
{
  unsigned char page[SAVED_PAGE];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof page; i++)
    page[i] = i % 251;
  assert_true (saved_checksum ("", 0) == UINT64_C (0x9e3779b97f4a7c15));
  assert_true (saved_checksum ("mblock", 6) == UINT64_C (0xba7dbe283774ecce));
  assert_true (saved_checksum ("little-endian", 13) ==
               UINT64_C (0x5bc6d650724502f3));
  assert_true (saved_checksum (page, sizeof page) ==
               UINT64_C (0x972089898df69bc4));
}

static void
test_map (void **state)
{
  struct fixture *f = *state;
  char why[SAVED_WHY] = "", *found;
  struct saved_file file = { .number = 3, .pages = 0x50000, .live = 0x708 };
  struct saved_disk disk = {
    .name = (char *) "a", .size = UINT64_C (1) << 60, .sector_size = 1,
    .quota = UINT64_MAX, .origin = SAVED_NO_ORIGIN,
    .run = (struct saved_run *) runs, .n = 2, .room = 2,
  };
  const struct saved s = {
    .generation = 5, .file = &file, .nfiles = 1, .disk = &disk, .ndisks = 1,
  };
  struct saved read;
  size_t len, i;

  assert_int_equal (0, saved_write (f->dir, &s, why));
  found = saved_read_file (f->dir, "mblock-map-5", 1000, &len);
  assert_non_null (found);
  assert_int_equal (sizeof map, len);
  assert_memory_equal (map, found, len);
  free (found);

  make_file (f->dir, "mblock-data-3", (off_t) file.pages * SAVED_PAGE);
  make_file (f->dir, "mblock-sums-3", (off_t) file.pages * 8);
  memset (&read, 0, sizeof read);
  if (saved_read (f->dir, &read, why) == -1)
    fail_msg ("%s", why);
  assert_int_equal (5, read.generation);
  assert_int_equal (1, read.ndisks);
  assert_int_equal (2, read.disk[0].n);
  for (i = 0; i < 2; i++) {
    assert_true (read.disk[0].run[i].index == runs[i].index);
    assert_true (read.disk[0].run[i].page == runs[i].page);
    assert_int_equal (runs[i].n, read.disk[0].run[i].n);
    assert_int_equal (runs[i].file, read.disk[0].run[i].file);
  }
  saved_free (&read);
}

/* The sum of the map, as the manifest has it. */
static void
test_manifest (void **state)
{
  static const char expected[] = "\"checksum\": \"6268e3ed13a2114e\"";
  struct fixture *f = *state;
  char *found;
  size_t len;

  found = saved_read_file (f->dir, "manifest.json", 10000, &len);
  assert_non_null (found);
  found = realloc (found, len + 1);
  found[len] = 0;
  if (strstr (found, expected) == NULL)
    fail_msg ("expected %s in %s", expected, found);
  free (found);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_checksum),
    cmocka_unit_test (test_map),
    cmocka_unit_test (test_manifest),
  };

  return cmocka_run_group_tests_name ("saved", tests, setup, teardown);
}
