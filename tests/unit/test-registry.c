/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and their disks. */

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"
#include "tests/random.h"
#include "tests/unit/be-client.h"
#include "tests/unit/engine-check.h"

struct fixture {
  struct arena *a;
  struct registry *r;
  atomic_bool swapped;          /* test_reset_while_names_change */
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
setup_template (void **state)
{
  struct registry_options o = options;

  o.template_name = "golden";
  o.template_quota = TREE_NO_QUOTA;
  return setup_with (state, &o);
}

static int
setup_auto_destroy (void **state)
{
  struct registry_options o = options;

  o.template_name = "golden";
  o.template_quota = TREE_NO_QUOTA;
  o.auto_destroy = true;
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

static const struct disk_options clone_options = {
  .quota = TREE_NO_QUOTA, .if_open = IF_OPEN_ERROR
};

/* Each way in which a clone can fail leaves its source as it was (G3). */
static void
test_failed_clone_keeps_nothing (void **state)
{
  static const struct registry_clone missing[] = {
    { "src", "new" }, { "none", "new-2" }
  }, taken[] = {
    { "src", "new" }, { "src", "b" }
  };
  struct fixture *f = *state;
  struct named_disk *src, *open;
  size_t bad;

  assert_int_equal (0, create (f->r, "b", 0, 1, false));
  src = registry_open (f->r, "src");
  open = registry_open (f->r, "b");
  assert_errno (EBUSY, registry_clone (f->r, "src", "b", &clone_options,
                                       IF_EXISTS_REPLACE, NULL));
  assert_errno (ENOENT, registry_clone_all (f->r, missing, 2, &clone_options,
                                            IF_EXISTS_ERROR, &bad));
  assert_errno (EEXIST, registry_clone_all (f->r, taken, 2, &clone_options,
                                            IF_EXISTS_ERROR, &bad));
  registry_leave (f->r, open, false);
  assert_int_equal (0, create (f->r, "c", 0, 1, false));
  assert_int_equal (0, create (f->r, "d", 0, 1, false));
  assert_errno (ENFILE, registry_clone (f->r, "src", "e", &clone_options,
                                        IF_EXISTS_ERROR, NULL));
  assert_int_equal (4, registry_count (f->r));
  assert_true (registry_is_ephemeral (f->r, src));
  registry_leave (f->r, src, false);
  assert_int_equal (3, registry_count (f->r));
  assert_false (registry_exists (f->r, "src"));
}

/* A clone that succeeds makes it stay, also if another one then fails; and so
 * does a write.
 */
static void
test_cloned_stays (void **state)
{
  struct fixture *f = *state;
  struct named_disk *src = registry_open (f->r, "src");

  assert_int_equal (0, make_clone (f->r, "src", "b", false, IF_EXISTS_ERROR));
  assert_errno (EEXIST, make_clone (f->r, "src", "b", false, IF_EXISTS_ERROR));
  assert_false (registry_is_ephemeral (f->r, src));
  registry_leave (f->r, src, false);
  assert_true (registry_exists (f->r, "src"));

  src = registry_open (f->r, "written");
  assert_errno (EEXIST, make_clone (f->r, "written", "b", false,
                                    IF_EXISTS_ERROR));
  assert_int_equal (0, disk_write (src->disk, "x", 1, 0));
  registry_leave (f->r, src, false);
  assert_true (registry_exists (f->r, "written"));
}

struct cloning {
  struct fixture *f;
  const char *to;
  int err;
};

static void *
clone_it (void *opaque)
{
  struct cloning *c = opaque;

  c->err = registry_clone (c->f->r, "src", c->to, &clone_options,
                           IF_EXISTS_REPLACE, NULL) == -1 ? errno : 0;
  return NULL;
}

/* The last client of an ephemeral disk leaves while it is being cloned: its
 * name stays until it is known whether there is a clone.
 */
static void
test_left_while_cloned (void **state)
{
  struct fixture *f = *state;
  struct cloning c = { .f = f };
  struct named_disk *src, *open;
  pthread_t thread;
  uint32_t cloning;
  unsigned i;

  assert_int_equal (0, create (f->r, "b", 0, 1, false));
  open = registry_open (f->r, "b");
  for (i = 0; i < 2; i++) {
    c.to = i == 0 ? "b" : "new";
    src = registry_open (f->r, "src");
    mutex_lock (&src->disk->tree.lock);
    assert_int_equal (0, pthread_create (&thread, NULL, clone_it, &c));
    do {
      mutex_lock (&f->r->lock);
      cloning = registry_entry (src)->cloning;
      mutex_unlock (&f->r->lock);
    } while (cloning == 0);
    registry_leave (f->r, src, false);
    assert_true (registry_exists (f->r, "src"));
    mutex_unlock (&src->disk->tree.lock);
    pthread_join (thread, NULL);
    assert_int_equal (i == 0 ? EBUSY : 0, c.err);
    assert_int_equal (i == 1, registry_exists (f->r, "src"));
  }
  registry_leave (f->r, open, false);
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

/* What the listener hears, as "name:change " for each. */
static void
hear (void *opaque, const struct change_report *r)
{
  static const char letters[] = {
    [CHANGE_CREATED] = 'c', [CHANGE_DESTROYED] = 'd', [CHANGE_RESIZED] = 'z',
    [CHANGE_CLONED] = 'l', [CHANGE_REPLACED] = 'r', [CHANGE_SET] = 's',
    [CHANGE_QUOTA] = 'q',
  };
  char *text = opaque;

  sprintf (text + strlen (text), "%s:%c ", r->name, letters[r->change]);
}

/* G5: what happens to a disk that has lost its name is not told of the one that
 * has the name now.
 */
static void
test_no_events_without_name (void **state)
{
  const struct disk_options empty = {
    .sector_size = 1, .quota = TREE_NO_QUOTA,
  };
  struct fixture *f = *state;
  struct named_disk *replaced, *destroyed;
  char heard[256] = "";

  create (f->r, "a", 0, 1, false);
  replaced = registry_hold (f->r, "a");
  registry_listen (f->r, hear, heard);
  assert_int_equal (0, registry_create (f->r, "a", &empty,
                                        IF_EXISTS_REPLACE, NULL));
  destroyed = registry_hold (f->r, "a");
  registry_quota_reached (f->r, replaced);
  assert_int_equal (0, registry_destroy (f->r, "a"));
  registry_quota_reached (f->r, destroyed);
  assert_string_equal ("a:r a:d ", heard);
  registry_close (f->r, replaced);
  registry_close (f->r, destroyed);
  assert_string_equal ("a:r a:d ", heard);
}

/* ----------------------------------------------- names, clients, deletion */

static void
test_rename (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a, *b;
  const char *seen;

  create (f->r, "a", 4096, 1, false);
  create (f->r, "m", 4096, 1, false);
  a = registry_hold (f->r, "a");
  seen = a->name;
  assert_int_equal (0, registry_rename (f->r, "a", "z"));
  assert_string_equal ("z", a->name);
  assert_string_equal ("a", seen);      /* who looked may look on */
  assert_errno (ENOENT, registry_rename (f->r, "a", "b"));
  assert_errno (EEXIST, registry_rename (f->r, "z", "m"));
  assert_errno (EEXIST, registry_rename (f->r, "m", "m"));
  assert_errno (EILSEQ, registry_rename (f->r, "z", "\xff"));
  assert_int_equal (0, registry_rename (f->r, "z", "b"));
  b = registry_hold (f->r, "b");
  assert_ptr_equal (a, b);
  assert_int_equal (2, registry_count (f->r));
  registry_close (f->r, a);
  registry_close (f->r, b);
  assert_int_equal (0, registry_rename (f->r, "m", "a"));
  assert_int_equal (0, registry_destroy (f->r, "a"));
  assert_int_equal (0, registry_destroy (f->r, "b"));
}

static void
test_parent (void **state)
{
  struct fixture *f = *state;
  struct named_disk *c;
  char *parent, x = 'x';
  bool exists;

  create (f->r, "a", 4096, 1, false);
  make_clone (f->r, "a", "c", false, IF_EXISTS_ERROR);
  c = registry_hold (f->r, "c");
  parent = registry_parent (f->r, c, &exists);
  assert_string_equal ("a", parent);
  assert_true (exists);
  free (parent);
  registry_rename (f->r, "a", "b");
  disk_write (c->disk, &x, 1, 0);
  registry_close (f->r, c);

  assert_int_equal (0, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
  assert_string_equal ("b", parent);
  free (parent);
  c = registry_hold (f->r, "c");
  disk_read (c->disk, &x, 1, 0);
  assert_int_equal (0, x);
  registry_destroy (f->r, "b");
  parent = registry_parent (f->r, c, &exists);
  assert_string_equal ("b", parent);
  assert_false (exists);
  free (parent);
  /* Another disk of that name is not the parent. */
  create (f->r, "b", 4096, 1, false);
  assert_errno (ECHILD, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
  assert_errno (ECHILD, registry_reset (f->r, "b", IF_OPEN_KEEP, &parent));
  assert_errno (ENOENT, registry_reset (f->r, "z", IF_OPEN_KEEP, &parent));
  registry_close (f->r, c);
}

static void
test_reset_keeps_settings (void **state)
{
  struct fixture *f = *state;
  struct disk_options now;
  bool readonly = true;
  uint64_t limit = 8192;
  char *parent;

  create (f->r, "a", 4096, 1, false);
  make_clone (f->r, "a", "c", false, IF_EXISTS_ERROR);
  registry_set (f->r, "c", &readonly, &limit, &now);
  assert_int_equal (0, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
  free (parent);
  registry_set (f->r, "c", NULL, NULL, &now);
  assert_true (now.readonly);
  assert_int_equal (limit, now.quota);
}

static int
count_clients (void *opaque, const struct registry_client_info *info)
{
  struct registry_client_info *last = opaque;

  *last = *info;
  last->errors++;               /* how many there were */
  return 0;
}

static void
test_in_use (void **state)
{
  struct fixture *f = *state;
  const struct registry_peer peer = { .address = "unix", .pid = 7, .uid = 8,
                                      .gid = 9, .tls_dn = "CN=a" };
  struct registry_client_info info = { .errors = 0 };
  struct disk_options o = {
    .size = 4096, .sector_size = 1, .quota = TREE_NO_QUOTA,
    .if_open = IF_OPEN_ERROR
  };
  struct registry_client client;
  struct named_disk *a, *held;
  enum made made;
  char *parent;
  bool more;

  create (f->r, "m", 4096, 1, false);
  make_clone (f->r, "m", "a", false, IF_EXISTS_ERROR);
  /* Who only holds a disk for a moment is no client. */
  a = registry_hold (f->r, "a");
  assert_int_equal (0, registry_create (f->r, "a", &o, IF_EXISTS_REPLACE,
                                        &made));
  registry_close (f->r, a);
  make_clone (f->r, "m", "a", false, IF_EXISTS_REPLACE);

  a = registry_open (f->r, "a");
  assert_int_equal (0, registry_connect (f->r, &client, a, &peer));
  assert_errno (EBUSY, registry_destroy_if (f->r, "a", IF_OPEN_ERROR));
  assert_errno (EBUSY, registry_create (f->r, "a", &o, IF_EXISTS_REPLACE,
                                        &made));
  assert_errno (EBUSY, registry_clone (f->r, "m", "a", &o, IF_EXISTS_REPLACE,
                                       &made));
  assert_errno (EBUSY, registry_reset (f->r, "a", IF_OPEN_ERROR, &parent));
  assert_int_equal (0, registry_hold_deleted (f->r, 0, 1, &held, &more));

  assert_int_equal (0, registry_destroy_if (f->r, "a", IF_OPEN_KEEP));
  assert_int_equal (0, registry_clients (f->r, NULL, UINT64_MAX, count_clients,
                                         &info));
  assert_int_equal (1, info.errors);
  assert_string_equal ("a", info.disk);
  assert_false (info.listed);
  assert_int_equal (7, info.peer.pid);
  assert_int_equal (1, registry_hold_deleted (f->r, 0, 1, &held, &more));
  assert_ptr_equal (a, held);
  assert_false (more);
  registry_close (f->r, held);
  registry_disconnect (f->r, &client);
  registry_close (f->r, a);
  assert_int_equal (0, registry_hold_deleted (f->r, 0, 1, &held, &more));
}

/* ------------------------------------------------------ template's clones */

static void
make_golden (struct fixture *f)
{
  struct named_disk *golden;
  char x = 'x';

  create (f->r, "golden", 1 << 20, 1, false);
  golden = registry_hold (f->r, "golden");
  assert_int_equal (0, disk_write (golden->disk, &x, 1, 0));
  registry_close (f->r, golden);
}

static void
test_trimmed_clone_stays (void **state)
{
  struct fixture *f = *state;
  struct named_disk *c;
  char x;

  make_golden (f);
  c = registry_open (f->r, "c");
  assert_int_equal (0, disk_trim (c->disk, 1 << 20, 0));
  registry_close (f->r, c);
  assert_int_equal (2, registry_count (f->r));
  c = registry_open (f->r, "c");
  assert_int_equal (0, disk_read (c->disk, &x, 1, 0));
  assert_int_equal (0, x);
  registry_close (f->r, c);
}

/* There was nothing to trim. */
static void
test_trimmed_empty_goes (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a");

  assert_int_equal (0, disk_trim (a->disk, 1 << 20, 0));
  registry_close (f->r, a);
  assert_int_equal (0, registry_count (f->r));
}

/* G7: a reset disk goes with the first client that has used it. */
static void
test_reset_keeps_auto_destroy (void **state)
{
  struct fixture *f = *state;
  struct named_disk *c, *looked;
  char *parent, y = 'y';

  make_golden (f);
  c = registry_open (f->r, "c");
  assert_int_equal (0, disk_write (c->disk, &y, 1, 0));
  assert_int_equal (0, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
  free (parent);
  registry_close (f->r, c);
  looked = registry_hold (f->r, "c");
  assert_non_null (looked);
  registry_close (f->r, looked);
  assert_int_equal (2, registry_count (f->r));

  be_client (f->r, registry_open (f->r, "c"), 0);
  assert_int_equal (2, registry_count (f->r));
  be_client (f->r, registry_open (f->r, "c"), 1);
  assert_int_equal (1, registry_count (f->r));
}

/* Two disks, "p" with 'p' and "o" with 'o', change names all the time. */
static void *
swap_names (void *opaque)
{
  struct fixture *f = opaque;
  unsigned i;

  for (i = 0; i < 50000; i++) {
    (void) registry_rename (f->r, "p", "t");
    (void) registry_rename (f->r, "o", "p");
    (void) registry_rename (f->r, "p", "o");
    (void) registry_rename (f->r, "t", "p");
  }
  atomic_store (&f->swapped, true);
  return NULL;
}

/* A disk is reset to its parent, whatever that is called by then. */
static void
test_reset_while_names_change (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d;
  pthread_t thread;
  char *parent, x;
  unsigned i;

  assert_int_equal (0, rcu_prepare ());
  for (i = 0; i < 2; i++) {
    x = i ? 'p' : 'o';
    create (f->r, (char[]) { x, '\0' }, 4096, 1, false);
    d = registry_hold (f->r, (char[]) { x, '\0' });
    assert_int_equal (0, disk_write (d->disk, &x, 1, 0));
    registry_close (f->r, d);
  }
  make_clone (f->r, "p", "c", false, IF_EXISTS_ERROR);
  assert_int_equal (0, pthread_create (&thread, NULL, swap_names, f));
  while (!atomic_load (&f->swapped)) {
    assert_int_equal (0, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
    free (parent);
    d = registry_hold (f->r, "c");
    assert_int_equal (0, disk_read (d->disk, &x, 1, 0));
    registry_close (f->r, d);
    assert_int_equal ('p', x);
  }
  pthread_join (thread, NULL);
}

/* ------------------------------------------------- many names, in any order */

#define MANY 300
#define NAME_ROOM sizeof "n4294967295"

static int
setup_many (void **state)
{
  struct registry_options o = options;

  o.max_disks = MANY;
  return setup_with (state, &o);
}

static const char *
many_name (char name[NAME_ROOM], unsigned i)
{
  snprintf (name, NAME_ROOM, "n%03u", i);
  return name;
}

/* The names are those that there should be, in their order, whole and from any
 * name on, whether it is there or not.
 */
static void
assert_names (struct fixture *f, const bool *there, unsigned from)
{
  struct named_disk *d[MANY];
  bool more;
  char name[NAME_ROOM];
  size_t n = registry_hold_page (f->r, from ? many_name (name, from - 1) : NULL,
                                 MANY, d, &more, NULL), i = 0;
  unsigned k;

  assert_false (more);
  for (k = from; k < MANY; k++)
    if (there[k]) {
      assert_true (i < n);
      assert_string_equal (many_name (name, k), d[i]->name);
      registry_close (f->r, d[i++]);
    }
  assert_int_equal (n, i);
}

static void
test_many_names (void **state)
{
  struct fixture *f = *state;
  bool there[MANY] = { false };
  uint64_t random = 1;
  unsigned op, i, k;
  char a[NAME_ROOM], b[NAME_ROOM];
  int r;

  for (op = 0; op < 20000; op++) {
    i = xorshift_below (&random, MANY);
    k = xorshift_below (&random, MANY);
    many_name (a, i);
    many_name (b, k);
    switch (xorshift_below (&random, 4)) {
    case 0:
      r = create (f->r, a, 0, 1, false);
      assert_int_equal (there[i] ? -1 : 0, r);
      there[i] = true;
      break;
    case 1:
      r = registry_destroy (f->r, a);
      assert_int_equal (there[i] ? 0 : -1, r);
      there[i] = false;
      break;
    case 2:
      r = registry_rename (f->r, a, b);
      assert_int_equal (there[i] && !there[k] ? 0 : -1, r);
      if (r == 0) {
        there[i] = false;
        there[k] = true;
      }
      break;
    default:
      r = make_clone (f->r, a, b, false, IF_EXISTS_REPLACE);
      assert_int_equal (there[i] ? 0 : -1, r);
      there[k] = there[k] || r == 0;
    }
    if (op % 100 == 0) {
      assert_names (f, there, 0);
      assert_names (f, there, i + 1);
    }
  }
}

/* A disk goes with its last client, also while somebody else holds it; and who
 * has opened it counts before it is connected.
 */
static void
test_held_disk_goes (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a, *held, *again;
  uint64_t id;

  assert_int_equal (0, create (f->r, "golden", 8192, 1, false));
  a = registry_open (f->r, "a");
  assert_non_null (a);
  id = a->id;
  assert_int_equal (0, disk_write (a->disk, "x", 1, 0));
  held = registry_hold (f->r, "a");
  assert_int_equal (-1, registry_destroy_if (f->r, "a", IF_OPEN_ERROR));
  assert_int_equal (EBUSY, errno);
  be_client (f->r, a, 1);
  assert_false (registry_exists (f->r, "a"));
  again = registry_open (f->r, "a");
  assert_int_not_equal (id, again->id);
  registry_leave (f->r, again, false);
  registry_close (f->r, held);
}

/* A client that has disconnected, and a filter at any time, do not use a disk.
 */
static void
test_not_in_use (void **state)
{
  struct fixture *f = *state;
  struct registry_peer peer = { .address = "unix", .pid = -1 };
  struct registry_client client;
  struct named_disk *a;

  create (f->r, "a", 4096, 1, false);
  a = registry_open (f->r, "a");
  assert_int_equal (0, registry_connect (f->r, &client, a, &peer));
  assert_true (registry_is_in_use (f->r, a));
  registry_disconnect (f->r, &client);
  assert_false (registry_is_in_use (f->r, a));
  registry_close (f->r, a);

  peer.is_filter = true;
  a = registry_open_for_filter (f->r, "a");
  assert_false (registry_is_in_use (f->r, a));
  assert_int_equal (0, registry_connect (f->r, &client, a, &peer));
  assert_false (registry_is_in_use (f->r, a));
  registry_disconnect (f->r, &client);
  registry_close (f->r, a);
  a = registry_open_for_filter (f->r, "a");
  registry_leave (f->r, a, true);
  a = registry_open (f->r, "a");
  assert_errno (EBUSY, registry_destroy_if (f->r, "a", IF_OPEN_ERROR));
  registry_leave (f->r, a, false);
  assert_int_equal (0, registry_destroy_if (f->r, "a", IF_OPEN_ERROR));
}

static void *
resize_gone (void *opaque)
{
  uint64_t old;

  assert_errno (ENOENT, registry_resize (opaque, "a", 1 << 20, &old));
  return NULL;
}

/* The last client of an ephemeral disk leaves in the middle of a resize. */
static void
test_resize_gone (void **state)
{
  struct fixture *f = *state;
  struct named_disk *a = registry_open (f->r, "a");
  struct entry *e = registry_entry (a);
  pthread_t resizer;
  size_t handles = 0;

  mutex_lock (&e->resizing);
  assert_int_equal (0, pthread_create (&resizer, NULL, resize_gone, f->r));
  while (handles < 2) {
    mutex_lock (&f->r->lock);
    handles = e->handles;
    mutex_unlock (&f->r->lock);
  }
  be_client (f->r, a, 1);
  assert_false (registry_exists (f->r, "a"));
  mutex_unlock (&e->resizing);
  pthread_join (resizer, NULL);
}

/* A page ends with the name that its last disk had then, whatever becomes of it
 * before the next page.
 */
static void
test_page_renamed (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d[2];
  char last[REGISTRY_MAX_NAME + 1] = "";
  bool more;

  assert_int_equal (0, create (f->r, "a", 0, 1, false));
  assert_int_equal (0, create (f->r, "b", 0, 1, false));
  assert_int_equal (0, create (f->r, "c", 0, 1, false));
  assert_int_equal (2, registry_hold_page (f->r, NULL, 2, d, &more, last));
  assert_true (more);
  assert_int_equal (0, registry_rename (f->r, "b", "z"));
  assert_string_equal ("b", last);
  registry_close (f->r, d[0]);
  registry_close (f->r, d[1]);
  assert_int_equal (2, registry_hold_page (f->r, last, 2, d, &more, last));
  assert_false (more);
  assert_string_equal ("c", d[0]->name);
  assert_string_equal ("z", last);
  registry_close (f->r, d[0]);
  registry_close (f->r, d[1]);
}

/* ------------------------------------------------------------------- UUIDs */

static void
add_with_uuid (struct fixture *f, const char *const *names, size_t n,
               const struct uuid *uuid, enum if_exists if_exists)
{
  struct registry_new new[4];
  size_t i, bad;

  for (i = 0; i < n; i++)
    new[i] = (struct registry_new) {
      .name = names[i], .disk = disk_new (f->a, 4096, 1),
      .parent_index = SIZE_MAX, .quota = TREE_NO_QUOTA, .uuid = *uuid
    };
  assert_int_equal (0, registry_add_all (f->r, new, n, if_exists, IF_OPEN_KEEP,
                                         &bad));
}

static unsigned
bearers (struct fixture *f, const struct uuid *uuid)
{
  struct named_disk *d[MANY];
  size_t n, i;
  unsigned found = 0;
  bool more;

  n = registry_hold_page (f->r, NULL, MANY, d, &more, NULL);
  for (i = 0; i < n; i++) {
    found += uuid_equal (&d[i]->uuid, uuid);
    assert_true (uuid_is_set (&d[i]->uuid));
    registry_close (f->r, d[i]);
  }
  return found;
}

/* G8: of disks that bring a UUID, one has it at most. */
static void
test_uuids_are_unique (void **state)
{
  const char *const first[] = { "b", "a", "c" };
  const char *const again[] = { "d", "e" };
  const char *const replaced[] = { "a", "b", "c" };
  struct fixture *f = *state;
  struct uuid uuid;

  assert_int_equal (0, uuid_new (&uuid));
  add_with_uuid (f, first, 3, &uuid, IF_EXISTS_ERROR);
  assert_int_equal (1, bearers (f, &uuid));
  add_with_uuid (f, again, 2, &uuid, IF_EXISTS_ERROR);
  assert_int_equal (1, bearers (f, &uuid));
  /* Whichever has it is replaced, so it is free again. */
  add_with_uuid (f, replaced, 3, &uuid, IF_EXISTS_REPLACE);
  assert_int_equal (1, bearers (f, &uuid));
  assert_int_equal (5, registry_count (f->r));
}

/* ----------------------------------------------------- an arena in a file */

static void
open_file (struct fixture *f, const char *path)
{
  const struct arena_open_options o = { .path = path, .limit = 8 << 20 };
  struct recovery recovery;
  char *error;

  assert_int_equal (0, rcu_prepare ());
  f->a = arena_open (&o, &error);
  assert_non_null (f->a);
  f->r = registry_new (f->a, &options);
  assert_int_equal (0, registry_recover (f->r, NULL, false, NULL, NULL, &recovery,
                                         &error));
}

/* Write to one page after another until there is no memory. */
static void
fill (struct fixture *f, const char *name)
{
  struct named_disk *d = registry_hold (f->r, name);
  char page[4096];
  uint64_t i;

  memset (page, 'x', sizeof page);
  for (i = 0; disk_write (d->disk, page, sizeof page, i * sizeof page) == 0;
       i++)
    assert_true (i < 4096);
  assert_int_equal (ENOSPC, errno);
  registry_close (f->r, d);
}

static void
assert_size (struct fixture *f, const char *name, uint64_t size)
{
  struct named_disk *d = registry_hold (f->r, name);

  assert_non_null (d);
  assert_int_equal (size, disk_size (d->disk));
  registry_close (f->r, d);
}

/* A name that needs a page of its own, and there is none: the record that was
 * to get it becomes one disk's, not two.
 */
static void
test_rename_without_memory (void **state)
{
  char folder[] = "test-registry-XXXXXX", path[64], name[301], c = 'y';
  struct fixture f;
  struct named_disk *b;

  (void) state;
  assert_non_null (mkdtemp (folder));
  snprintf (path, sizeof path, "%s/arena", folder);
  open_file (&f, path);
  create (f.r, "a", 16 << 20, 1, false);
  create (f.r, "b", 1 << 20, 1, false);
  b = registry_hold (f.r, "b");
  assert_int_equal (0, disk_write (b->disk, &c, 1, 0));
  registry_close (f.r, b);
  fill (&f, "a");
  fill (&f, "b");               /* it has a leaf: to the last page */
  memset (name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_errno (ENOSPC, registry_rename (f.r, "b", name));
  assert_int_equal (0, create (f.r, "c", 4096, 1, false));
  assert_int_equal (0, create (f.r, "d", 8192, 1, false));

  registry_free (f.r);
  arena_destroy (f.a);
  open_file (&f, path);
  assert_int_equal (4, registry_count (f.r));
  assert_size (&f, "a", 16 << 20);
  assert_size (&f, "b", 1 << 20);
  assert_size (&f, "c", 4096);
  assert_size (&f, "d", 8192);
  registry_free (f.r);
  arena_destroy (f.a);
  unlink (path);
  rmdir (folder);
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
    TEST (test_failed_clone_keeps_nothing),
    TEST (test_cloned_stays),
    TEST (test_left_while_cloned),
    TEST (test_list_is_sorted),
    TEST (test_no_events_without_name),
    TEST (test_rename),
    TEST (test_parent),
    TEST (test_reset_keeps_settings),
    TEST (test_reset_while_names_change),
    TEST (test_in_use),
    TEST (test_not_in_use),
    TEST (test_resize_gone),
    cmocka_unit_test_setup_teardown (test_trimmed_clone_stays, setup_template,
                                     teardown),
    TEST (test_trimmed_empty_goes),
    cmocka_unit_test_setup_teardown (test_reset_keeps_auto_destroy,
                                     setup_auto_destroy, teardown),
    cmocka_unit_test_setup_teardown (test_many_names, setup_many, teardown),
    cmocka_unit_test_setup_teardown (test_page_renamed, setup, teardown),
    cmocka_unit_test_setup_teardown (test_held_disk_goes, setup_auto_destroy,
                                     teardown),
    cmocka_unit_test_setup_teardown (test_uuids_are_unique, setup_many,
                                     teardown),
    cmocka_unit_test (test_rename_without_memory),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
