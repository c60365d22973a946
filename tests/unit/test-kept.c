/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server remembers of saves: whose memory it is, and how it is given up.
 */

#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "save/kept.h"
#include "tests/unit/disk-fixture.h"
#include "tests/unit/engine-check.h"

#define MOST_FOLDERS (SAVES_MOST_FOLDERS + 1)
#define DISKS 3                 /* in a folder */

struct world {
  struct fixture *f;            /* its first disks are those that are saved */
  struct saves *s;
  char path[32];
  int dir[MOST_FOLDERS];        /* folders that have a manifest */
};

static struct saved
saved (unsigned generation)
{
  struct saved s = { .generation = generation, .ndisks = DISKS };
  unsigned i;

  s.disk = calloc (DISKS, sizeof *s.disk);
  for (i = 0; i < DISKS; i++)
    s.disk[i] = (struct saved_disk) {
      .name = strdup ((char[]) { 'a' + i, '\0' }), .size = LEAF,
      .sector_size = 1, .quota = UINT64_MAX, .origin = SAVED_NO_ORIGIN,
    };
  return s;
}

static int
open_folder (struct world *w, unsigned i)
{
  struct saved s = saved (1);
  char path[64], why[SAVED_WHY] = "";
  int dir;

  snprintf (path, sizeof path, "%s/%u", w->path, i);
  dir = saved_open (path, true, why);
  assert_string_equal ("", why);
  assert_int_equal (0, saved_write (dir, &s, why));
  saved_free (&s);
  return dir;
}

static int
setup_world (void **state)
{
  struct world *w = calloc (1, sizeof *w);
  void *f;
  unsigned i;

  if (setup (&f) != 0)
    return 1;
  w->f = f;
  for (i = 0; i < DISKS; i++)
    put (new_disk (w->f, i, LEAF), 0, 16 * P, 'a' + i);
  w->s = saves_new (w->f->a);
  strcpy (w->path, "kept-XXXXXX");
  if (w->s == NULL || mkdtemp (w->path) == NULL)
    return 1;
  for (i = 0; i < MOST_FOLDERS; i++)
    w->dir[i] = -1;
  w->dir[0] = open_folder (w, 0);
  w->dir[1] = open_folder (w, 1);
  *state = w;
  return 0;
}

static int
teardown_world (void **state)
{
  struct world *w = *state;
  void *f = w->f;
  char path[64];
  unsigned i;

  saves_free (w->s);
  for (i = 0; i < MOST_FOLDERS; i++) {
    if (w->dir[i] == -1)
      continue;
    unlinkat (w->dir[i], SAVED_MANIFEST, 0);
    unlinkat (w->dir[i], "mblock-map-1", 0);
    close (w->dir[i]);
    snprintf (path, sizeof path, "%s/%u", w->path, i);
    assert_int_equal (0, rmdir (path));
  }
  assert_int_equal (0, rmdir (w->path));
  free (w);
  return teardown (&f);         /* nothing was lost, and nothing is left */
}

/* Disks as they are now, with ids in no order. */
static struct kept *
keep (struct world *w, int dir)
{
  static const uint64_t id[DISKS] = { 30, 10, 20 };
  struct kept_disk *disk = calloc (DISKS, sizeof *disk);
  struct disk *frozen[DISKS];
  struct saved s = saved (1);
  unsigned i;

  assert_int_equal (0, disk_freeze (w->f->disk, frozen, DISKS));
  for (i = 0; i < DISKS; i++)
    disk[i] = (struct kept_disk) { .id = id[i], .frozen = frozen[i] };
  return kept_new (dir, &s, disk);
}

static void
put_kept (struct world *w, unsigned folder)
{
  struct kept *k = keep (w, w->dir[folder]);

  assert_non_null (k);
  saves_put (w->s, k);
}

static void
assert_stats (struct world *w, size_t folders, size_t disks, uint64_t pages)
{
  struct saves_stats stats;

  saves_stats (w->s, &stats);
  assert_int_equal (folders, stats.folders);
  assert_int_equal (disks, stats.disks);
  assert_int_equal (pages, stats.held / P);
}

/* Each folder has its own, which is the caller's when it was taken. */
static void
test_take (void **state)
{
  struct world *w = *state;
  struct kept *k;

  assert_null (saves_take (w->s, w->dir[0]));
  put_kept (w, 0);
  assert_null (saves_take (w->s, w->dir[1]));
  k = saves_take (w->s, w->dir[0]);
  assert_non_null (k);
  assert_int_equal (saved_stamp (w->dir[0], &k->saved), k->stamp);
  assert_int_equal (0, kept_find (k, 30));
  assert_int_equal (1, kept_find (k, 10));
  assert_int_equal (2, kept_find (k, 20));
  assert_int_equal (DISKS, kept_find (k, 15));
  assert_int_equal (DISKS, kept_find (k, 31));
  assert_null (saves_take (w->s, w->dir[0]));
  /* What was taken is out of reach for those who want memory. */
  assert_false (saves_give_up (w->s));
  saves_forget_disk (w->s, 10);
  assert_non_null (k->disk[1].frozen);
  saves_put (w->s, k);
  assert_null (k->disk[1].frozen); /* B2 */
  assert_non_null (k->disk[0].frozen);
  saves_put (w->s, NULL);
  assert_ptr_equal (k, saves_take (w->s, w->dir[0]));
  kept_free (k);
}

/* Somebody has written to the folder, or there is nothing in it (B1). */
static void
test_stamp (void **state)
{
  struct world *w = *state;
  struct kept *k = keep (w, w->dir[0]);
  uint64_t before = used (w->f);
  int fd = openat (w->dir[0], "mblock-map-1", O_WRONLY);

  assert_int_equal (1, write (fd, "x", 1));
  close (fd);
  assert_int_not_equal (saved_stamp (w->dir[0], &k->saved), k->stamp);
  kept_free (k);
  assert_int_equal (0, unlinkat (w->dir[0], SAVED_MANIFEST, 0));
  assert_null (keep (w, w->dir[0]));
  assert_true (used (w->f) <= before);
}

/* A disk that has lost its name takes no memory (B2). */
static void
test_forget_disk (void **state)
{
  struct world *w = *state;
  uint64_t before = used (w->f), more;
  struct kept *k;

  put_kept (w, 0);
  put_kept (w, 1);
  put (w->f->disk[1], 0, 16 * P, 'x');
  more = used (w->f) - before;
  assert_true (more >= 16);
  saves_forget_disk (w->s, 99);
  saves_forget_disk (w->s, 10);
  saves_forget_disk (w->s, 10);
  assert_int_equal (before, used (w->f));
  assert_stats (w, 2, 2 * (DISKS - 1), 0);
  k = saves_take (w->s, w->dir[0]);
  assert_non_null (k->disk[0].frozen);
  assert_null (k->disk[1].frozen);
  assert_int_equal (1, kept_find (k, 10));
  kept_free (k);
}

static void
test_give_up (void **state)
{
  struct world *w = *state;
  uint64_t before = used (w->f);

  put_kept (w, 0);
  put (w->f->disk[0], 0, 16 * P, 'x');
  put_kept (w, 1);
  assert_int_equal (before + 17, used (w->f));  /* and a leaf */
  assert_stats (w, 2, 2 * DISKS, 16);
  assert_true (saves_give_up (w->s));
  assert_int_equal (before, used (w->f));
  assert_false (saves_give_up (w->s));
  assert_stats (w, 2, 0, 0);
  /* There is room for more than was given up and not freed yet. */
  put_kept (w, 0);
  assert_true (saves_give_up (w->s));
  saves_reap (w->s);
  saves_forget (w->s);
  assert_stats (w, 0, 0, 0);
}

/* A write gets the memory before it fails (B3). */
static void
test_pressure (void **state)
{
  struct world *w = *state;
  struct disk *d = new_disk (w->f, DISKS, 64 * MIB);
  uint64_t n;
  char page[P];

  put (w->f->disk[0], 0, LEAF, 'a');
  put_kept (w, 0);
  put (w->f->disk[0], 0, LEAF, 'b');
  memset (page, 'p', sizeof page);
  for (n = 0; disk_write (d, page, P, n * P) == 0; n++)
    ;
  assert_int_equal (ENOSPC, errno);
  /* Not even the former content of that disk is left. */
  assert_true (used (w->f) >= n + LEAF / P);
  assert_true ((n + LEAF / P) * P > 64 * MIB - LEAF);
  assert_stats (w, 1, 0, 0);
  expect (w->f->disk[0], 0, LEAF, 'b');
}

/* Of too many folders the one that was saved to longest ago is forgotten. */
static void
test_many_folders (void **state)
{
  struct world *w = *state;
  unsigned i;

  for (i = 0; i < MOST_FOLDERS; i++) {
    if (i > 1)
      w->dir[i] = open_folder (w, i);
    put_kept (w, i);
  }
  assert_stats (w, SAVES_MOST_FOLDERS, SAVES_MOST_FOLDERS * DISKS, 0);
  assert_null (saves_take (w->s, w->dir[0]));
  for (i = 1; i < MOST_FOLDERS; i++)
    kept_free (saves_take (w->s, w->dir[i]));
  assert_stats (w, 0, 0, 0);
}

/* Saves, disks that go, and a lack of memory at the same time. */
static atomic_bool over;

static void *
give_up (void *opaque)
{
  struct world *w = opaque;
  struct saves_stats stats;
  unsigned i;

  for (i = 0; !atomic_load (&over); i++) {
    if (i % 3 == 0)
      saves_give_up (w->s);
    saves_forget_disk (w->s, 10 * (1 + i % 3));
    saves_stats (w->s, &stats);
    if (i % 5 == 0)
      saves_reap (w->s);
  }
  return NULL;
}

static void *
write_disks (void *opaque)
{
  struct world *w = opaque;
  unsigned i;

  for (i = 0; !atomic_load (&over); i++)
    put (w->f->disk[i % DISKS], i % 16 * P, P, i);
  return NULL;
}

static void *
save (void *opaque)
{
  struct world *w = opaque;
  static atomic_uint number;
  int dir = w->dir[atomic_fetch_add (&number, 1) % 2];
  struct kept *k;
  unsigned i;

  for (i = 0; i < 100; i++) {
    k = saves_take (w->s, dir);
    if (k && i % 4)
      saves_put (w->s, k);
    else {
      kept_free (k);
      saves_put (w->s, keep (w, dir));
    }
    if (i % 50 == 49)
      saves_forget (w->s);
  }
  return NULL;
}

static void
test_threads (void **state)
{
  void *(*const fn[]) (void *) = { save, save, give_up, write_disks };
  pthread_t t[4];
  unsigned i;

  atomic_store (&over, false);
  for (i = 0; i < 4; i++)
    assert_int_equal (0, pthread_create (&t[i], NULL, fn[i], *state));
  for (i = 0; i < 4; i++) {
    pthread_join (t[i], NULL);
    if (i == 1)
      atomic_store (&over, true);
  }
}

#undef TEST
#define TEST(name)                                                      \
  cmocka_unit_test_setup_teardown (name, setup_world, teardown_world)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_take),
    TEST (test_stamp),
    TEST (test_forget_disk),
    TEST (test_give_up),
    TEST (test_pressure),
    TEST (test_many_folders),
    TEST (test_threads),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
