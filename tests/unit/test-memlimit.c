/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory limit that control groups set, read from made-up files. */

#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "ramdisk/memlimit.h"

static char dir[] = "/tmp/test-memlimit.XXXXXX";

static int
setup (void **state)
{
  (void) state;
  strcpy (dir + sizeof dir - 7, "XXXXXX");
  return mkdtemp (dir) == NULL;
}

static int
teardown (void **state)
{
  char cmd[64];

  (void) state;
  snprintf (cmd, sizeof cmd, "rm -r %s", dir);
  return system (cmd);
}

static void
put (const char *name, const char *text)
{
  char path[128], *slash;
  FILE *fp;

  snprintf (path, sizeof path, "%s/%s", dir, name);
  for (slash = strchr (path + sizeof dir, '/'); slash;
       slash = strchr (slash + 1, '/')) {
    *slash = '\0';
    mkdir (path, 0700);
    *slash = '/';
  }
  fp = fopen (path, "w");
  assert_non_null (fp);
  fputs (text, fp);
  fclose (fp);
}

static uint64_t
limit (void)
{
  char proc[64];

  snprintf (proc, sizeof proc, "%s/proc", dir);
  return memory_limit (proc, dir);
}

static uint64_t
machine (void)
{
  return (uint64_t) sysconf (_SC_PHYS_PAGES) * sysconf (_SC_PAGESIZE);
}

static void
test_no_cgroup (void **state)
{
  (void) state;
  assert_int_equal (machine (), limit ());
}

static void
test_v2 (void **state)
{
  (void) state;
  put ("proc", "0::/a/b\n");
  put ("a/b/memory.max", "104857600\n");
  assert_int_equal (100 << 20, limit ());
}

static void
test_v2_ancestor_is_smaller (void **state)
{
  (void) state;
  put ("proc", "0::/a/b\n");
  put ("a/b/memory.max", "max\n");
  put ("a/memory.max", "52428800\n");
  assert_int_equal (50 << 20, limit ());
}

static void
test_v2_root_group (void **state)
{
  (void) state;
  put ("proc", "0::/\n");
  put ("memory.max", "31457280\n");     /* in a container's own root */
  assert_int_equal (30 << 20, limit ());
}

static void
test_v1 (void **state)
{
  (void) state;
  put ("proc", "9:cpu,cpuacct:/x\n5:memory:/a\n0::/\n");
  put ("memory/a/memory.limit_in_bytes", "20971520\n");
  assert_int_equal (20 << 20, limit ());
}

static void
test_no_more_than_the_machine (void **state)
{
  (void) state;
  put ("proc", "0::/a\n");
  put ("a/memory.max", "9223372036854771712\n");
  assert_int_equal (machine (), limit ());
}

static void
test_rubbish (void **state)
{
  (void) state;
  put ("proc", "rubbish\n0:\n0::\n0::/a\n");
  put ("a/memory.max", "rubbish\n");
  assert_int_equal (machine (), limit ());
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_no_cgroup),
    TEST (test_v2),
    TEST (test_v2_ancestor_is_smaller),
    TEST (test_v2_root_group),
    TEST (test_v1),
    TEST (test_no_more_than_the_machine),
    TEST (test_rubbish),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
