/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery of arenas' files that were made to be wrong. */

#include "unit.h"

#include <unistd.h>

#include "ramdisk/disk-origin.h"
#include "ramdisk/records.h"
#include "ramdisk/registry.h"
#include "tests/unit/engine-check.h"

#define P ((uint64_t) PAGE_BYTES)

struct fixture {
  char path[64];
  struct arena *a;
  struct origins *set;
  struct registry *r;
  struct recovery recovery;
};

static void
warn (void *opaque, const char *line)
{
  (void) opaque;
  assert_null (strchr (line, '\n'));
}

/* Returns what registry_recover does. */
static int
try_start (struct fixture *f, bool salvage, char **error)
{
  const struct arena_open_options o = {
    .path = f->path, .limit = 64 << 20, .salvage = salvage
  };
  const struct registry_options ro = {
    .default_size = 16 << 20, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = 100,
  };

  f->a = arena_open (&o, error);
  assert_non_null (f->a);
  f->set = origins_new (f->a, 0);
  f->r = registry_new (f->a, &ro);
  return registry_recover (f->r, f->set, salvage, warn, NULL, &f->recovery,
                           error);
}

static void
start (struct fixture *f, bool salvage)
{
  char *error;

  if (try_start (f, salvage, &error) == -1)
    fail_msg ("%s", error);
}

/* As if the process had been killed. */
static void
end (struct fixture *f)
{
  registry_free (f->r);
  origins_stop (f->set);
  origins_free (f->set);
  arena_destroy (f->a);
}

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);
  int fd;

  *state = f;
  snprintf (f->path, sizeof f->path, "test-recover-XXXXXX");
  fd = mkstemp (f->path);
  assert_true (fd >= 0);
  close (fd);
  assert_int_equal (0, rcu_prepare ());
  start (f, false);
  return 0;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  engine_check_all (f->a, f->r);
  end (f);
  unlink (f->path);
  free (f);
  return 0;
}

/* The caller closes it. */
static struct named_disk *
create (struct fixture *f, const char *name, uint64_t size)
{
  const struct disk_options o = {
    .size = size, .sector_size = 1, .quota = TREE_NO_QUOTA
  };

  assert_int_equal (0, registry_create (f->r, name, &o, IF_EXISTS_ERROR,
                                        NULL));
  return registry_hold (f->r, name);
}

static void
write_pages (struct disk *d, uint64_t pages)
{
  char *buf = malloc (pages * P);

  memset (buf, 'w', pages * P);
  assert_int_equal (0, disk_write (d, buf, pages * P, 0));
  free (buf);
}

static page_t
slot (struct fixture *f, page_t node, unsigned i)
{
  return atomic_load (&node_at (f->a, node)->slot[i]);
}

static void
set_slot (struct fixture *f, page_t node, unsigned i, page_t page)
{
  atomic_store (&node_at (f->a, node)->slot[i], page);
}

static page_t
root (struct disk *d)
{
  return root_page (tree_record_root (&d->tree));
}

/* A damaged disk takes a page of others for a leaf, and is given up.  What this
 * leaf would have as a prefetch hint does not make the page the others' own
 * (T7).
 */
static void
test_leaf_that_is_data (void **state)
{
  const struct disk_options o = { .quota = TREE_NO_QUOTA };
  struct fixture *f = *state;
  struct named_disk *good = create (f, "good", 100 * P);
  struct named_disk *bad = create (f, "bad", 8 << 20);
  page_t leaf, data, generation, first;
  unsigned i;

  write_pages (good->disk, 100);
  write_pages (bad->disk, 1);
  assert_int_equal (0, registry_clone (f->r, "good", "good-2", &o,
                                       IF_EXISTS_ERROR, NULL));
  /* The next that is given to a tree. */
  generation = atomic_load (&good->disk->tree.generation) + 1;
  leaf = root (good->disk);
  data = slot (f, leaf, 0);
  first = slot (f, leaf, 10);
  memset (arena_addr (f->a, data), 0, P);
  for (i = 0; i < 2 * PREFETCH_RUN; i++) {
    assert_int_equal (first + i, slot (f, leaf, 10 + i));
    set_slot (f, data, first - generation + i, first + i);
  }
  set_slot (f, root (bad->disk), 0, data);
  set_slot (f, root (bad->disk), 1, UINT32_MAX);
  registry_close (f->r, good);
  registry_close (f->r, bad);

  end (f);
  start (f, true);
  assert_int_equal (1, f->recovery.damaged);
  good = registry_hold (f->r, "good");
  assert_int_equal (generation, atomic_load (&good->disk->tree.generation));
  registry_close (f->r, good);
  engine_check_all (f->a, f->r);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_leaf_that_is_data),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
