/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and their disks. */

#include "unit.h"

#include "engine-check.h"
#include "registry.h"

struct fixture {
  struct arena *a;
  struct registry *r;
};

static const struct registry_options options = {
  .default_size = 1 << 20,
  .max_size = 1 << 30,
  .sector_size = 1,
  .max_disks = 4,
  .auto_create = true,
};

static int
create (struct registry *r, const char *name, uint64_t size,
        uint32_t sector_size, bool readonly)
{
  return registry_create (r, name, &(struct disk_options) {
      .size = size, .sector_size = sector_size, .readonly = readonly,
      .quota = TREE_NO_QUOTA }, IF_EXISTS_ERROR, NULL);
}

static int
make_clone (struct registry *r, const char *from, const char *to, bool readonly,
            enum if_exists if_exists)
{
  return registry_clone (r, from, to, &(struct disk_options) {
      .readonly = readonly, .quota = TREE_NO_QUOTA }, if_exists, NULL);
}

static int
setup_with (void **state, const struct registry_options *o)
{
  struct fixture *f = calloc (1, sizeof *f);

  f->a = arena_create (16 << 20);
  f->r = registry_new (f->a, o);
  *state = f;
  return f->r == NULL;
}

static int
setup (void **state)
{
  return setup_with (state, &options);
}

static int
setup_no_auto_create (void **state)
{
  struct registry_options o = options;

  o.auto_create = false;
  return setup_with (state, &o);
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  registry_free (f->r);
  engine_check (f->a, NULL, 0);
  arena_destroy (f->a);
  free (f);
  return 0;
}

static void
test_same_name_same_disk (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a");
  struct named_disk *b = registry_open (f->r, "b");

  assert_ptr_equal (a, registry_open (f->r, "a"));
  assert_ptr_not_equal (a, b);
  assert_int_equal (1 << 20, disk_size (a->disk));
  registry_close (f->r, a);
  registry_close (f->r, a);
  registry_close (f->r, b);
}

static void
test_probe_leaves_nothing (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a");
  struct named_disk *b = registry_open (f->r, "a");

  registry_close (f->r, a);
  assert_int_equal (1, registry_count (f->r));
  registry_close (f->r, b);
  assert_int_equal (0, registry_count (f->r));
}

static void
test_written_stays (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a");
  char c = 'x';

  assert_int_equal (0, disk_write (a->disk, &c, 1, 100));
  registry_close (f->r, a);
  assert_int_equal (1, registry_count (f->r));
  a = registry_open (f->r, "a");
  c = 0;
  assert_int_equal (0, disk_read (a->disk, &c, 1, 100));
  assert_int_equal ('x', c);
  registry_close (f->r, a);
}

static void
test_named_stays (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d[4];
  struct disk_options now;
  uint64_t old;
  bool readonly = false;
  enum made made;
  unsigned i;

  for (i = 0; i < 4; i++)
    d[i] = registry_open (f->r, (char[]) { 'a' + i, '\0' });
  assert_int_equal (0, registry_set (f->r, "a", &readonly, NULL, &now));
  assert_int_equal (0, registry_resize (f->r, "b", 1 << 20, &old));
  assert_int_equal (0, registry_create (f->r, "c", &(struct disk_options) {
        .size = 0 }, IF_EXISTS_IGNORE, &made));
  assert_int_equal (MADE_NOTHING, made);
  for (i = 0; i < 4; i++)
    registry_close (f->r, d[i]);
  assert_int_equal (3, registry_count (f->r));
}

static void
test_looked_at_goes (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a"), *held;
  struct disk_options now;

  held = registry_hold (f->r, "a");
  assert_ptr_equal (a, held);
  registry_close (f->r, held);
  assert_int_equal (0, registry_set (f->r, "a", NULL, NULL, &now));
  registry_close (f->r, a);
  assert_int_equal (0, registry_count (f->r));
  assert_null (registry_hold (f->r, "a"));
}

static void
test_created_stays (void **state)
{
  struct fixture *f = *state;

  assert_int_equal (0, create (f->r, "a", 4096, 1, false));
  registry_close (f->r, registry_open (f->r, "a"));
  assert_int_equal (1, registry_count (f->r));
}

static void
test_limits (void **state)
{
  struct fixture *f = *state;
  char name[REGISTRY_MAX_NAME + 2];

  assert_int_equal (0, create (f->r, "a", 0, 1, false));
  assert_errno (EEXIST, create (f->r, "a", 0, 1, false));
  assert_errno (EFBIG, create (f->r, "b", (1 << 30) + 1, 1, false));
  assert_errno (EINVAL, create (f->r, "b", 1000, 512, false));
  assert_errno (EILSEQ, create (f->r, "\xff", 0, 1, false));
  assert_errno (EILSEQ, create (f->r, "\xed\xa0\x80", 0, 1, false));
  memset (name, 'n', sizeof name);
  name[REGISTRY_MAX_NAME + 1] = '\0';
  assert_errno (ENAMETOOLONG, create (f->r, name, 0, 1, false));
  name[REGISTRY_MAX_NAME] = '\0';
  assert_int_equal (0, create (f->r, name, 0, 1, false));
  assert_int_equal (0, create (f->r, "", 0, 1, false));
  assert_int_equal (0, create (f->r, "č", 0, 1, true));
  assert_errno (ENFILE, create (f->r, "e", 0, 1, false));
  assert_null (registry_open (f->r, "e"));
  assert_int_equal (ENFILE, errno);
}

static void
test_no_auto_create (void **state)
{
  struct fixture *f = *state;

  assert_null (registry_open (f->r, "a"));
  assert_int_equal (ENOENT, errno);
}

/* destroy ~name: as with unlink(2). */
static void
test_destroy_while_open (void **state)
{
  struct fixture *f = *state;
  struct named_disk *old = registry_open (f->r, "a"), *new;
  char c = 'x';

  assert_int_equal (0, disk_write (old->disk, &c, 1, 0));
  assert_int_equal (0, registry_destroy (f->r, "a"));
  assert_errno (ENOENT, registry_destroy (f->r, "a"));
  new = registry_open (f->r, "a");
  assert_ptr_not_equal (old, new);
  assert_int_equal (0, disk_read (old->disk, &c, 1, 0));
  assert_int_equal ('x', c);
  assert_int_equal (0, disk_read (new->disk, &c, 1, 0));
  assert_int_equal (0, c);
  registry_close (f->r, old);
  registry_close (f->r, new);
}

static void
test_clone_and_replace (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a"), *b, *c;
  char x = 'x';

  assert_int_equal (0, disk_write (a->disk, &x, 1, 0));
  assert_errno (ENOENT, make_clone (f->r, "none", "b", false, IF_EXISTS_ERROR));
  assert_int_equal (0, make_clone (f->r, "a", "b", true, IF_EXISTS_ERROR));
  assert_errno (EEXIST, make_clone (f->r, "a", "b", false, IF_EXISTS_ERROR));
  b = registry_open (f->r, "b");
  assert_errno (EROFS, disk_write (b->disk, &x, 1, 0));
  assert_int_equal (0, make_clone (f->r, "a", "b", false, IF_EXISTS_REPLACE));
  c = registry_open (f->r, "b");
  assert_ptr_not_equal (b, c);
  assert_int_equal (0, disk_write (c->disk, &x, 1, 0));
  assert_int_equal (2, registry_count (f->r));
  registry_close (f->r, a);
  registry_close (f->r, b);
  registry_close (f->r, c);
}

static int
collect (void *opaque, const struct named_disk *d)
{
  strcat (opaque, d->name);
  return 0;
}

static void
test_list_is_sorted (void **state)
{
  struct fixture *f = *state;
  char names[16] = "";

  create (f->r, "c", 0, 1, false);
  create (f->r, "a", 0, 1, false);
  create (f->r, "b", 0, 1, false);
  assert_int_equal (0, registry_each (f->r, NULL, collect, names));
  assert_string_equal ("abc", names);
  names[0] = '\0';
  assert_int_equal (0, registry_each (f->r, "a", collect, names));
  assert_string_equal ("bc", names);
  names[0] = '\0';
  assert_int_equal (0, registry_each (f->r, "aa", collect, names));
  assert_string_equal ("bc", names);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_same_name_same_disk),
    TEST (test_probe_leaves_nothing),
    TEST (test_written_stays),
    TEST (test_named_stays),
    TEST (test_looked_at_goes),
    TEST (test_created_stays),
    TEST (test_limits),
    cmocka_unit_test_setup_teardown (test_no_auto_create,
                                     setup_no_auto_create, teardown),
    TEST (test_destroy_while_open),
    TEST (test_clone_and_replace),
    TEST (test_list_is_sorted),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
