/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery of arenas' files that were made to be wrong. */

#include "unit.h"

#include <unistd.h>

#include "ramdisk/disk-origin.h"
#include "ramdisk/records.h"
#include "ramdisk/registry.h"
#include "tests/unit/engine-check.h"
#include "tests/unit/origin-bdev.h"

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
    .max_disks = 1000,
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

/* Let the records of all disks, or of the caches of all origins, have the tree
 * of this one.
 */
struct sharing {
  struct disk *of;
  bool caches;
  uint64_t size;                /* of the disks */
};

static int
share (void *opaque, const struct named_disk *d)
{
  const struct sharing *s = opaque;
  struct layout_record *record = s->caches
    ? origin_cache (d->disk->origin)->tree.record : d->disk->tree.record;

  atomic_store (&record->root, tree_record_root (&s->of->tree));
  if (!s->caches)
    atomic_store (&record->size, s->size);
  return 0;
}

/* Restart without salvage, which is refused with a line that has this, and then
 * with it.
 */
static void
refused_and_salvaged (struct fixture *f, const char *line)
{
  char *error;

  end (f);
  assert_int_equal (-1, try_start (f, false, &error));
  assert_non_null (error);
  assert_null (strchr (error, '\n'));
  if (strstr (error, line) == NULL)
    fail_msg ("%s", error);
  free (error);
  end (f);
  start (f, true);
  engine_check_all (f->a, f->r);
}

#define BIG ((uint64_t) 3000)   /* pages: nearly all of the arena's first 6
                                 * chunks */

/* n disks share a tree, and each of them was cut short in a shrink. */
static void
cut_short (struct fixture *f, unsigned n)
{
  struct sharing s = { .size = P };
  struct named_disk *first = NULL;
  char name[16];
  unsigned i;

  for (i = 0; i < n; i++) {
    struct named_disk *d;

    snprintf (name, sizeof name, "%02u", i);
    d = create (f, name, BIG * P);
    if (i == 0)
      write_pages (d->disk, BIG);
    if (first == NULL)
      first = d;
    else
      registry_close (f->r, d);
  }
  s.of = first->disk;
  registry_each (f->r, NULL, share, &s);
  registry_close (f->r, first);
}

static int
is_cut (void *opaque, const struct named_disk *d)
{
  (void) opaque;
  assert_int_equal (P, disk_size (d->disk));
  assert_int_equal (P, disk_mapped (d->disk));
  return 0;
}

static void
test_few_cut_short (void **state)
{
  struct fixture *f = *state;

  cut_short (f, 100);
  end (f);
  start (f, false);
  assert_int_equal (100, f->recovery.disks);
  registry_each (f->r, NULL, is_cut, NULL);
}

/* Each would be walked, and a file has room for thousands. */
static void
test_many_cut_short (void **state)
{
  struct fixture *f = *state;

  cut_short (f, 900);
  refused_and_salvaged (f, "beyond its end");
  assert_in_range (f->recovery.disks, 256, 700);
  assert_int_equal (900, f->recovery.disks + f->recovery.damaged);
  registry_each (f->r, NULL, is_cut, NULL);
}

/* Disks whose trees end where they should may share what they like. */
static void
test_many_share (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d = create (f, "00", BIG * P);
  char name[16];
  unsigned i;

  write_pages (d->disk, BIG);
  registry_close (f->r, d);
  for (i = 1; i < 90; i++) {
    snprintf (name, sizeof name, "%02u", i);
    assert_int_equal (0, registry_clone (f->r, "00", name,
                                         &(struct disk_options) {
                                           .quota = TREE_NO_QUOTA },
                                         IF_EXISTS_ERROR, NULL));
  }
  end (f);
  start (f, false);
  assert_int_equal (90, f->recovery.disks);
}

/* The cache of an origin is walked for each record, too.  Only those are given
 * up that are too many.
 */
static void
test_origins_share (void **state)
{
  struct fixture *f = *state;
  struct sharing s = { .caches = true };
  struct origin_bdev *b[8];
  struct origin *first = NULL;
  char name[2] = "a", *buf = malloc (BIG * P);
  unsigned i;

  for (i = 0; i < 8; i++) {
    struct disk_options o = { .size = BIG * P, .sector_size = 1,
      .quota = TREE_NO_QUOTA };
    struct origin_options oo = { .prefetch = false };

    b[i] = origin_bdev (BIG * P);
    oo.source = origin_bdev_source (b[i]);
    o.origin = origin_new (f->set, &oo);
    assert_non_null (o.origin);
    name[0] = 'a' + i;
    assert_int_equal (0, registry_create (f->r, name, &o, IF_EXISTS_ERROR,
                                          NULL));
    if (i == 0) {
      first = o.origin;
      assert_int_equal (0, origin_read (first, buf, BIG * P, 0, 0));
    }
    origin_put (o.origin);
  }
  s.of = origin_cache (first);
  registry_each (f->r, NULL, share, &s);
  free (buf);
  refused_and_salvaged (f, "shares pages with another origin");
  /* What was fetched can be fetched again. */
  assert_int_equal (8, f->recovery.disks);
  assert_int_equal (0, f->recovery.damaged);
  for (i = 0; i < 8; i++)
    origin_bdev_free (b[i]);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_leaf_that_is_data),
    TEST (test_few_cut_short),
    TEST (test_many_cut_short),
    TEST (test_many_share),
    TEST (test_origins_share),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
