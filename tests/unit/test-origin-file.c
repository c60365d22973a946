/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks over an origin in an arena's file, and what a restart finds of them. */

#include "unit.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ramdisk/disk-origin.h"
#include "ramdisk/records.h"
#include "ramdisk/registry.h"
#include "tests/unit/be-client.h"
#include "tests/unit/engine-check.h"
#include "tests/unit/origin-bdev.h"

#define P ((uint64_t) PAGE_BYTES)
#define PAGES ((uint64_t) 2999)
#define SIZE (PAGES * P - 100)          /* the last page is not whole */

struct fixture {
  char path[64];
  struct arena *a;
  struct origins *set;
  struct registry *r;
  struct origin_bdev *b;        /* the source of this process */
  uint64_t offered;             /* size of the source to connect to; 0: none */
  unsigned refusals;            /* so many attempts fail, whatever is offered */
  unsigned attempts;
  int64_t wait;                 /* ns */
  uint64_t limit;               /* bytes, of the arena */
  bool salvage;
  unsigned warnings;
  struct recovery recovery;
  char *buf, *want;
};

static const struct registry_options options = {
  .default_size = 16 << 20, .max_size = DISK_MAX_SIZE, .sector_size = 1,
  .max_disks = 100, .auto_create = true,
};

static void
new_source (struct fixture *f, uint64_t size)
{
  if (f->b)
    origin_bdev_free (f->b);
  f->b = origin_bdev (size);
}

static int
reconnect (void *opaque, const char *uri, const struct origin_wanted *wanted,
           struct origin_source *source)
{
  struct fixture *f = opaque;

  assert_string_equal ("nbd://test", uri);
  assert_int_equal (SIZE, wanted->size);
  assert_int_equal (P, wanted->block_min);
  f->attempts++;
  if (f->offered == 0 || f->refusals > 0) {
    f->refusals -= f->refusals > 0;
    errno = ECONNREFUSED;
    return -1;
  }
  new_source (f, f->offered);
  *source = origin_bdev_source (f->b);
  return 0;
}

static void
warn (void *opaque, const char *line)
{
  struct fixture *f = opaque;

  assert_null (strchr (line, '\n'));
  f->warnings++;
}

/* Returns what registry_recover does. */
static int
try_start (struct fixture *f, bool auto_destroy, char **error)
{
  const struct arena_open_options o = {
    .path = f->path, .limit = f->limit, .salvage = f->salvage
  };
  const struct origin_connector connector = {
    .connect = reconnect, .opaque = f, .wait = f->wait,
  };
  struct registry_options ro = options;

  ro.auto_destroy = auto_destroy;
  f->warnings = 0;
  f->a = arena_open (&o, error);
  assert_non_null (f->a);
  f->set = origins_new (f->a, 0);
  origins_set_connector (f->set, &connector);
  f->r = registry_new (f->a, &ro);
  return registry_recover (f->r, f->set, f->salvage, warn, f, &f->recovery,
                           error);
}

static void
start (struct fixture *f, bool auto_destroy)
{
  char *error;

  if (try_start (f, auto_destroy, &error) == -1)
    fail_msg ("%s", error);
}

static int
collect (void *opaque, const struct named_disk *d)
{
  struct disk ***all = opaque;

  *(*all)++ = d->disk;
  return 0;
}

/* All disks, and one cache of theirs: there is only one origin. */
static void
check (struct fixture *f)
{
  struct disk *all[32] = { NULL }, **next = all, **d;
  struct disk *cache = NULL;

  registry_each (f->r, NULL, collect, &next);
  for (d = all; d < next; d++)
    if ((*d)->origin)
      cache = origin_cache ((*d)->origin);
  *next++ = cache;
  engine_check (f->a, all, next - all);
}

/* As if the process had been killed: nothing is told that it ends. */
static void
end (struct fixture *f)
{
  registry_free (f->r);
  origins_stop (f->set);
  origins_free (f->set);
  arena_destroy (f->a);
  f->attempts = 0;
}

static void
restart (struct fixture *f)
{
  check (f);
  end (f);
  start (f, false);
  check (f);
}

/* A restart that is refused, with a line that says this; then the arena is not
 * open.
 */
static void
assert_refused (struct fixture *f, const char *line)
{
  char *error;

  end (f);
  assert_int_equal (-1, try_start (f, false, &error));
  assert_non_null (strstr (error, line));
  free (error);
}

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);
  uint64_t i;
  int fd;

  *state = f;
  snprintf (f->path, sizeof f->path, "test-origin-file-XXXXXX");
  fd = mkstemp (f->path);
  assert_true (fd >= 0);
  close (fd);
  assert_int_equal (0, rcu_prepare ());
  f->offered = SIZE;
  f->limit = 64 << 20;
  f->buf = malloc (PAGES * P);
  f->want = calloc (PAGES, P);
  for (i = 0; i < PAGES; i++)
    origin_bdev_page (i, f->want + i * P);
  memset (f->want + SIZE, 0, PAGES * P - SIZE);
  start (f, false);
  return 0;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  check (f);
  end (f);
  if (f->b)
    origin_bdev_free (f->b);
  unlink (f->path);
  free (f->buf);
  free (f->want);
  free (f);
  return 0;
}

static void
create (struct fixture *f, const char *name, uint64_t size, bool prefetch)
{
  struct disk_options d = {
    .size = size, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct origin_options o = { .prefetch = prefetch };

  new_source (f, SIZE);
  o.source = origin_bdev_source (f->b);
  d.origin = origin_new (f->set, &o);
  assert_non_null (d.origin);
  assert_int_equal (0, registry_create (f->r, name, &d, IF_EXISTS_ERROR,
                                        NULL));
  origin_put (d.origin);
}

static void
make_clone (struct fixture *f, const char *from, const char *to)
{
  const struct disk_options o = { .quota = TREE_NO_QUOTA };

  assert_int_equal (0, registry_clone (f->r, from, to, &o, IF_EXISTS_ERROR,
                                       NULL));
}

static int
read_disk (struct fixture *f, const char *name, uint64_t offset,
           uint64_t count)
{
  struct named_disk *d = registry_hold (f->r, name);
  int r, err;

  assert_non_null (d);
  memset (f->buf, 0x55, count);
  r = disk_read (d->disk, f->buf, count, offset);
  err = errno;
  registry_close (f->r, d);
  errno = err;
  return r;
}

static void
assert_reads (struct fixture *f, const char *name, uint64_t offset,
              uint64_t count)
{
  assert_int_equal (0, read_disk (f, name, offset, count));
  assert_memory_equal (f->want + offset, f->buf, count);
}

static void
write_disk (struct fixture *f, const char *name, uint64_t offset,
            uint64_t count)
{
  struct named_disk *d = registry_hold (f->r, name);

  memset (f->buf, 'w', count);
  assert_int_equal (0, disk_write (d->disk, f->buf, count, offset));
  registry_close (f->r, d);
}

static struct origin_stats
stats (struct fixture *f, const char *name)
{
  struct named_disk *d = registry_hold (f->r, name);
  struct origin_stats s;

  assert_non_null (d->disk->origin);
  assert_string_equal ("nbd://test", origin_uri (d->disk->origin));
  origin_stats (d->disk->origin, &s);
  registry_close (f->r, d);
  return s;
}

static void
assert_parent (struct fixture *f, const char *name, const char *parent)
{
  struct named_disk *d = registry_hold (f->r, name);
  bool exists;
  char *is = registry_parent (f->r, d, &exists);

  registry_close (f->r, d);
  assert_int_equal (parent != NULL, exists);
  if (parent)
    assert_string_equal (parent, is);
  free (is);
}

/* ----------------------------------------------------------------- tests */

static void
test_what_was_fetched (void **state)
{
  struct fixture *f = *state;
  struct origin_stats before, after;
  uint64_t i;

  create (f, "golden", SIZE, false);
  make_clone (f, "golden", "vm");
  assert_reads (f, "golden", 0, 100 * P);
  assert_reads (f, "vm", 1500 * P, SIZE - 1500 * P);
  write_disk (f, "vm", 300 * P, 10 * P);
  before = stats (f, "vm");
  restart (f);
  assert_int_equal (2, f->recovery.disks);
  after = stats (f, "vm");
  assert_int_equal (before.size, after.size);
  assert_int_equal (before.known, after.known);
  assert_int_equal (before.memory, after.memory);
  assert_int_equal (ORIGIN_LAZY, after.state);
  /* None of it needs the source, also what the two did not read. */
  f->offered = 0;
  assert_reads (f, "vm", 0, 100 * P);
  assert_reads (f, "golden", 1500 * P, SIZE - 1500 * P);
  memset (f->want + 300 * P, 'w', 10 * P);
  assert_reads (f, "vm", 300 * P, 10 * P);
  assert_int_equal (0, f->attempts);
  /* The rest does, and is not there; then it is, and fetched once. */
  assert_errno (EIO, read_disk (f, "vm", 500 * P, P));
  assert_int_equal (1, f->attempts);
  assert_int_equal (ORIGIN_AWAY, stats (f, "vm").state);
  f->offered = SIZE;
  f->wait = 60 * NS_PER_S;
  restart (f);
  assert_reads (f, "vm", 0, SIZE);
  assert_int_equal (1, f->attempts);
  for (i = 0; i < 100; i++)
    assert_int_equal (0, f->b->reads[i]);
  for (i = 200; i < 280; i++)
    assert_int_equal (1, f->b->reads[i]);
  for (i = 1500; i < PAGES; i++)
    assert_int_equal (0, f->b->reads[i]);
}

static void
test_waits_for_the_source (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, false);
  f->wait = NS_PER_S / 100;
  f->offered = 0;
  restart (f);
  assert_errno (EIO, read_disk (f, "d", 0, P));
  assert_true (f->attempts >= 1);
  f->attempts = 0;
  /* What needs nothing of it does not wait. */
  write_disk (f, "d", 5 * P, P);
  assert_int_equal (0, read_disk (f, "d", 5 * P, P));
  assert_int_equal (0, f->attempts);
  f->wait = NEVER / 2;
  f->offered = SIZE;
  f->refusals = 2;
  restart (f);
  assert_reads (f, "d", 100 * P, P);
  assert_int_equal (3, f->attempts);
}

static void
test_another_size (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, false);
  f->offered = SIZE + P;
  restart (f);
  assert_errno (EIO, read_disk (f, "d", 0, P));
  assert_int_equal (1, f->attempts);
  assert_int_equal (1, f->b->closed);
}

static void
complete (struct fixture *f, const char *name)
{
  struct timespec ms = { .tv_nsec = 1000000 };

  origins_start (f->set);
  while (stats (f, name).state != ORIGIN_COMPLETE)
    nanosleep (&ms, NULL);
}

static void
test_complete (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, true);
  complete (f, "d");
  f->offered = 0;
  restart (f);
  assert_int_equal (ORIGIN_COMPLETE, stats (f, "d").state);
  assert_true (stats (f, "d").prefetch);
  origins_start (f->set);
  assert_reads (f, "d", 0, SIZE);
  assert_int_equal (0, f->attempts);
}

/* Prefetch goes on where it was. */
static void
test_prefetch_goes_on (void **state)
{
  struct fixture *f = *state;
  uint64_t i;

  create (f, "d", SIZE, true);
  assert_reads (f, "d", 0, 100 * P);
  restart (f);
  complete (f, "d");
  for (i = 0; i < 100; i++)
    assert_int_equal (0, f->b->reads[i]);
  assert_reads (f, "d", 0, SIZE);
}

/* What lies beyond the seam is zeros, for ever. */
static void
test_sizes (void **state)
{
  struct fixture *f = *state;
  uint64_t old;

  create (f, "d", SIZE, false);
  assert_int_equal (0, registry_resize (f->r, "d", 2000 * P + 77, &old));
  restart (f);
  assert_int_equal (0, registry_resize (f->r, "d", SIZE, &old));
  memset (f->want + 2000 * P + 77, 0, SIZE - 2000 * P - 77);
  assert_reads (f, "d", 0, SIZE);
  restart (f);
  assert_reads (f, "d", 0, SIZE);
  make_clone (f, "d", "clone");
  assert_int_equal (0, registry_rename (f->r, "d", "other"));
  restart (f);
  assert_reads (f, "clone", 0, SIZE);
  assert_reads (f, "other", 0, SIZE);
}

/* Also if the disk was larger again before the restart. */
static void
test_shrink_and_growth (void **state)
{
  struct fixture *f = *state;
  uint64_t old;

  create (f, "d", SIZE, false);
  assert_int_equal (0, registry_resize (f->r, "d", 2000 * P + 77, &old));
  assert_int_equal (0, registry_resize (f->r, "d", SIZE, &old));
  memset (f->want + 2000 * P + 77, 0, SIZE - 2000 * P - 77);
  restart (f);
  assert_reads (f, "d", 0, SIZE);
}

/* A shrink that ended after its first store. */
static void
test_half_a_shrink (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d;
  uint64_t old;

  create (f, "d", SIZE, false);
  d = registry_hold (f->r, "d");
  record_store_size (d->disk->tree.record, 2000 * P + 77);
  registry_close (f->r, d);
  end (f);
  start (f, false);
  assert_int_equal (0, registry_resize (f->r, "d", SIZE, &old));
  assert_int_equal (2000 * P + 77, old);
  memset (f->want + 2000 * P + 77, 0, SIZE - 2000 * P - 77);
  assert_reads (f, "d", 0, SIZE);
}

/* What eviction could give up does not keep a server from starting. */
static void
test_less_memory (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, false);
  assert_reads (f, "d", 0, SIZE);
  write_disk (f, "d", 300 * P, 10 * P);
  memset (f->want + 300 * P, 'w', 10 * P);
  f->limit = 6 << 20;
  restart (f);
  assert_int_equal (1, f->recovery.disks);
  assert_int_equal (0, f->recovery.damaged);
  assert_int_equal (1, f->warnings);
  assert_int_equal (0, stats (f, "d").memory);
  assert_int_equal (0, stats (f, "d").known);
  assert_reads (f, "d", 0, SIZE);
  assert_int_equal (1, f->attempts);
  restart (f);
  assert_int_equal (0, f->warnings);
  assert_true (stats (f, "d").memory > 0);
  assert_reads (f, "d", 0, SIZE);
}

static void
test_less_memory_complete (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, true);
  complete (f, "d");
  f->limit = 6 << 20;
  assert_refused (f, "more than max-memory= allows");
  f->limit = 64 << 20;
  end (f);
  start (f, false);
  f->offered = 0;
  assert_reads (f, "d", 0, SIZE);
}

/* Let a page of the cache be none that the file has. */
static void
bend_cache (struct fixture *f, const char *name)
{
  struct named_disk *d = registry_hold (f->r, name);
  struct tree *t = &origin_cache (d->disk->origin)->tree;
  uint64_t span;

  atomic_store (&node_at (f->a, tree_find (t, 0, &span))->slot[7], 999999);
  registry_close (f->r, d);
}

/* What was fetched can be fetched again, but is not given up unasked. */
static void
test_damaged_cache (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, false);
  assert_reads (f, "d", 0, 100 * P);
  write_disk (f, "d", 0, P);
  memset (f->want, 'w', P);
  bend_cache (f, "d");
  assert_refused (f, "what was fetched from its origin");
  f->salvage = true;
  end (f);
  start (f, false);
  assert_int_equal (1, f->recovery.disks);
  assert_int_equal (0, f->recovery.damaged);
  assert_int_equal (1, f->warnings);
  assert_reads (f, "d", 0, SIZE);
  assert_int_equal (1, f->attempts);
}

/* It may be all that there is. */
static void
test_damaged_complete_cache (void **state)
{
  struct fixture *f = *state;

  create (f, "d", SIZE, true);
  complete (f, "d");
  bend_cache (f, "d");
  f->salvage = true;
  end (f);
  start (f, false);
  assert_int_equal (0, f->recovery.disks);
  assert_int_equal (1, f->recovery.damaged);
  assert_int_equal (1, f->warnings);
}

/* A disk whose record says that it is an origin's is not lost in silence. */
static void
test_damaged_kind (void **state)
{
  const struct disk_options o = {
    .size = SIZE & ~(P - 1), .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct fixture *f = *state;
  struct named_disk *d;

  assert_int_equal (0, registry_create (f->r, "d", &o, IF_EXISTS_ERROR, NULL));
  d = registry_hold (f->r, "d");
  d->disk->tree.record->kind = LAYOUT_ORIGIN;
  registry_close (f->r, d);
  assert_refused (f, "disk \"d\" is damaged: the checksum");
  f->salvage = true;
  end (f);
  start (f, false);
  assert_int_equal (1, f->recovery.damaged);
  assert_int_equal (1, f->warnings);
}

/* A table of records is nobody's data. */
static void
test_table_as_data (void **state)
{
  const struct disk_options o = {
    .size = 100 * P, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct fixture *f = *state;
  struct named_disk *d;
  struct layout_record *r;
  uint64_t span;

  assert_int_equal (0, registry_create (f->r, "d", &o, IF_EXISTS_ERROR, NULL));
  write_disk (f, "d", 0, P);
  d = registry_hold (f->r, "d");
  r = d->disk->tree.record;
  atomic_store (&node_at (f->a, tree_find (&d->disk->tree, 0, &span))->slot[7],
                (page_t) (((char *) r - (char *) arena_addr (f->a, 0)) / P));
  registry_close (f->r, d);
  assert_refused (f, "as data, which is a node");
  f->salvage = true;
  end (f);
  start (f, false);
  assert_int_equal (1, f->recovery.damaged);
}

/* A number that a record refers to is not given to another disk. */
static void
test_high_number (void **state)
{
  struct fixture *f = *state;
  struct layout_record *r;
  struct named_disk *d;
  unsigned i;

  create (f, "a", SIZE, false);
  make_clone (f, "a", "b");
  d = registry_hold (f->r, "b");
  r = d->disk->tree.record;
  r->parent = atomic_load (&r->seq) + 3;
  r->checksum = layout_record_checksum (atomic_load (&r->seq), r, r->name);
  registry_close (f->r, d);
  end (f);
  start (f, false);
  for (i = 0; i < 8; i++)
    make_clone (f, "a", (char []) { 'c' + i, '\0' });
  restart (f);
  assert_parent (f, "b", NULL);
}

static uint64_t
used (struct fixture *f)
{
  struct arena_stats s;

  arena_reclaim (f->a);
  arena_stats (f->a, &s);
  return s.used;
}

static void
test_the_last_disk (void **state)
{
  struct fixture *f = *state;
  uint64_t before = used (f);

  create (f, "d", SIZE, false);
  assert_reads (f, "d", 0, 100 * P);
  make_clone (f, "d", "clone");
  assert_int_equal (0, registry_destroy (f->r, "d"));
  restart (f);
  assert_reads (f, "clone", 0, 100 * P);
  assert_int_equal (0, f->attempts);
  assert_int_equal (0, registry_destroy (f->r, "clone"));
  /* A table of records stays. */
  assert_true (used (f) <= before + P);
  restart (f);
  assert_int_equal (0, f->recovery.disks);
  assert_true (used (f) <= before + P);
}

static void
test_parents (void **state)
{
  struct fixture *f = *state;
  char *parent;

  create (f, "a", SIZE, false);
  make_clone (f, "a", "b");
  make_clone (f, "b", "c");
  make_clone (f, "b", "d");
  restart (f);
  assert_parent (f, "a", NULL);
  assert_parent (f, "b", "a");
  assert_parent (f, "c", "b");
  assert_int_equal (0, registry_rename (f->r, "b", "z"));
  restart (f);
  assert_parent (f, "z", "a");
  assert_parent (f, "c", "z");
  write_disk (f, "c", 0, P);
  assert_int_equal (0, registry_reset (f->r, "c", IF_OPEN_KEEP, &parent));
  assert_string_equal ("z", parent);
  free (parent);
  restart (f);
  assert_parent (f, "c", "z");
  assert_reads (f, "c", 0, P);
  /* One that comes later is not taken for one that was destroyed. */
  make_clone (f, "d", "last");
  assert_int_equal (0, registry_destroy (f->r, "d"));
  make_clone (f, "last", "of-last");
  assert_int_equal (0, registry_rename (f->r, "last", "l"));
  assert_int_equal (0, registry_destroy (f->r, "l"));
  restart (f);
  assert_parent (f, "of-last", NULL);
  make_clone (f, "a", "new");
  make_clone (f, "a", "newer");
  restart (f);
  assert_parent (f, "of-last", NULL);
  assert_parent (f, "newer", "a");
}

/* Another process does this with the file and then ends, as if it was killed.
 */
static void
do_and_end (struct fixture *f, bool auto_destroy,
            bool (*fn) (struct registry *r))
{
  int status;
  pid_t pid;

  end (f);
  fflush (NULL);
  pid = fork ();
  assert_true (pid >= 0);
  if (pid == 0) {
    start (f, auto_destroy);
    _exit (fn (f->r) ? 0 : 1);
  }
  assert_int_equal (pid, waitpid (pid, &status, 0));
  assert_int_equal (0, status);
  start (f, auto_destroy);
}

static bool
use_and_keep (struct registry *r)
{
  struct disk_options o = {
    .size = P, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct named_disk *used = registry_open (r, "auto");
  struct named_disk *kept = registry_open (r, "kept");

  return disk_write (used->disk, "x", 1, 0) == 0 &&
    disk_write (kept->disk, "x", 1, 0) == 0 &&
    registry_create (r, "kept", &o, IF_EXISTS_IGNORE, NULL) == 0;
}

/* Their clients are gone, and so are they, when another one has used them. */
static void
test_auto_destroy (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d;

  do_and_end (f, true, use_and_keep);
  assert_int_equal (2, f->recovery.disks);
  assert_int_equal (0, f->recovery.ephemeral);
  be_client (f->r, registry_open (f->r, "auto"), 0);       /* it only looks */
  d = registry_open (f->r, "auto");
  assert_true (atomic_load (&d->disk->written));
  be_client (f->r, d, 1);
  assert_null (registry_hold (f->r, "auto"));
  be_client (f->r, registry_open (f->r, "kept"), 1);
  d = registry_hold (f->r, "kept");
  assert_non_null (d);
  registry_close (f->r, d);
}

static bool
clone_and_fail (struct registry *r)
{
  static const struct registry_clone clones[] = {
    { "failed", "new" }, { "failed", "clone" }
  };
  const struct disk_options o = { .quota = TREE_NO_QUOTA };
  size_t bad;

  return registry_open (r, "cloned") && registry_open (r, "failed") &&
    registry_clone (r, "cloned", "clone", &o, IF_EXISTS_ERROR, NULL) == 0 &&
    registry_clone_all (r, clones, 2, &o, IF_EXISTS_ERROR, &bad) == -1;
}

/* A clone that failed has not made its source stay, in the file either. */
static void
test_failed_clone (void **state)
{
  struct fixture *f = *state;

  do_and_end (f, false, clone_and_fail);
  assert_int_equal (2, f->recovery.disks);
  assert_int_equal (1, f->recovery.ephemeral);
  assert_true (registry_exists (f->r, "cloned"));
}

/* A client is there when the process ends in order: it may come back. */
static void
test_auto_destroy_ends (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d;

  end (f);
  start (f, true);
  d = registry_open (f->r, "auto");
  assert_non_null (d);
  assert_int_equal (0, disk_write (d->disk, "x", 1, 0));
  registry_end (f->r);
  registry_close (f->r, d);
  end (f);
  start (f, true);
  assert_int_equal (1, f->recovery.disks);
  be_client (f->r, registry_open (f->r, "auto"), 1);
  assert_null (registry_hold (f->r, "auto"));
}

/* Somebody wants a recovered disk to stay. */
static void
test_auto_destroy_stays (void **state)
{
  struct fixture *f = *state;
  struct named_disk *d;

  end (f);
  start (f, true);
  d = registry_open (f->r, "auto");
  assert_int_equal (0, disk_write (d->disk, "x", 1, 0));
  registry_end (f->r);
  registry_close (f->r, d);
  end (f);
  start (f, true);
  assert_true (registry_stay (f->r, "auto"));
  assert_false (registry_stay (f->r, "none"));
  be_client (f->r, registry_open (f->r, "auto"), 1);
  assert_true (registry_exists (f->r, "auto"));
  end (f);
  start (f, true);
  be_client (f->r, registry_open (f->r, "auto"), 1);
  assert_true (registry_exists (f->r, "auto"));
  assert_false (registry_exists (f->r, "none"));
}

static void
test_long_uri (void **state)
{
  struct fixture *f = *state;
  char uri[5001];
  struct origin_options o = { .prefetch = false };

  memset (uri, 'u', 5000);
  uri[5000] = '\0';
  new_source (f, SIZE);
  o.source = origin_bdev_source (f->b);
  o.source.uri = uri;
  errno = 0;
  assert_null (origin_new (f->set, &o));
  assert_int_equal (ENAMETOOLONG, errno);
  strcpy (uri, "nbd://\xff");
  assert_null (origin_new (f->set, &o));
  assert_int_equal (EILSEQ, errno);
  memset (uri, 'u', 4096);
  uri[4096] = '\0';
  origin_put (origin_new (f->set, &o));
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_what_was_fetched),
    TEST (test_waits_for_the_source),
    TEST (test_another_size),
    TEST (test_complete),
    TEST (test_prefetch_goes_on),
    TEST (test_sizes),
    TEST (test_shrink_and_growth),
    TEST (test_half_a_shrink),
    TEST (test_less_memory),
    TEST (test_less_memory_complete),
    TEST (test_damaged_cache),
    TEST (test_damaged_complete_cache),
    TEST (test_damaged_kind),
    TEST (test_table_as_data),
    TEST (test_high_number),
    TEST (test_the_last_disk),
    TEST (test_parents),
    TEST (test_auto_destroy),
    TEST (test_failed_clone),
    TEST (test_auto_destroy_ends),
    TEST (test_auto_destroy_stays),
    TEST (test_long_uri),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
