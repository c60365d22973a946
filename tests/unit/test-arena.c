/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: credit, allocation, reclamation, giving memory back. */

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ramdisk/arena.h"
#include "ramdisk/rcu.h"
#include "tests/unit/engine-check.h"

#define MIB (UINT64_C (1) << 20)
#define HUGE_BYTES (2 * MIB)

#ifndef MADV_COLLAPSE           /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

static int
setup (void **state)
{
  *state = arena_create (64 * MIB);
  return *state == NULL || rcu_prepare () == -1;
}

static int
teardown (void **state)
{
  arena_stop (*state);
  engine_check (*state, NULL, 0);
  arena_destroy (*state);
  return 0;
}

static uint64_t
used (struct arena *a)
{
  struct arena_stats s;

  arena_stats (a, &s);
  return s.used / PAGE_BYTES;
}

static void
retire_all (struct arena *a, const page_t *pages, unsigned n)
{
  struct retired r = { .n = 0 };
  unsigned i;

  for (i = 0; i < n; i++) {
    if (r.n == RETIRE_MAX)
      arena_retire (a, &r);
    retire (&r, pages[i], 0);
  }
  arena_retire (a, &r);
}

static void
test_limits (void **state)
{
  (void) state;
  assert_null (arena_create (ARENA_MIN_LIMIT - 1));
  assert_int_equal (EINVAL, errno);
  assert_null (arena_create (ARENA_MAX_LIMIT + 1));
  assert_int_equal (EINVAL, errno);
}

/* A1: the limit is exact. */
static void
test_reserve_to_the_limit (void **state)
{
  struct arena *a = *state;
  uint64_t all = 64 * MIB / PAGE_BYTES;

  assert_errno (ENOSPC, arena_reserve (a, all + 1, false));
  assert_int_equal (0, arena_reserve (a, all - 1, false));
  assert_int_equal (0, arena_reserve (a, 1, false));
  assert_errno (ENOSPC, arena_reserve (a, 1, false));
  assert_int_equal (0, arena_reserve (a, 0, false));
  assert_int_equal (0, arena_reserve (a, ARENA_OVERDRAFT_PAGES, true));
  assert_errno (ENOSPC, arena_reserve (a, 1, true));
  arena_unreserve (a, all + ARENA_OVERDRAFT_PAGES);
  assert_int_equal (0, used (a));
  assert_errno (ENOSPC, arena_reserve (a, UINT64_MAX, false));
  assert_errno (ENOSPC, arena_reserve (a, UINT64_MAX, true));
}

/* Every page up to the limit can be allocated, is distinct, and is zero on
 * request.
 */
static void
test_alloc_all (void **state)
{
  struct arena *a = *state;
  unsigned all = 64 * MIB / PAGE_BYTES, round, i;
  page_t *pages = calloc (all, sizeof *pages);
  static const char zero[PAGE_BYTES];

  for (round = 0; round < 3; round++) {
    assert_int_equal (0, arena_reserve (a, all, false));
    assert_int_equal (all, arena_alloc (a, all, round != 1, pages));
    for (i = 0; i < all; i++) {
      assert_true (pages[i] >= PAGE_FIRST);
      assert_int_equal (1, arena_refs (a, pages[i]));
      if (round != 1)
        assert_memory_equal (zero, arena_addr (a, pages[i]), PAGE_BYTES);
      /* A page that was allocated twice would contain the other number. */
      memcpy (arena_addr (a, pages[i]), &i, sizeof i);
    }
    for (i = 0; i < all; i++)
      assert_memory_equal (arena_addr (a, pages[i]), &i, sizeof i);
    retire_all (a, pages, all);
    arena_reclaim (a);
    assert_int_equal (0, used (a));
  }
  free (pages);
}

/* Retired pages make room on demand, without waiting for the reclaimer thread,
 * which does not run here.
 */
static void
test_reserve_reclaims (void **state)
{
  struct arena *a = *state;
  unsigned all = 64 * MIB / PAGE_BYTES;
  page_t *pages = calloc (all, sizeof *pages);

  assert_int_equal (0, arena_reserve (a, all, false));
  assert_int_equal (all, arena_alloc (a, all, false, pages));
  retire_all (a, pages, 10);
  assert_int_equal (0, arena_reserve (a, 10, false));
  assert_errno (ENOSPC, arena_reserve (a, 1, false));
  arena_unreserve (a, 10);
  retire_all (a, pages + 10, all - 10);
  arena_reclaim (a);
  free (pages);
}

struct reader {
  pthread_mutex_t m;
  pthread_cond_t c;
  int state;
};

static void
reader_wait (struct reader *r, int wanted)
{
  pthread_mutex_lock (&r->m);
  while (r->state != wanted)
    pthread_cond_wait (&r->c, &r->m);
  pthread_mutex_unlock (&r->m);
}

static void
reader_set (struct reader *r, int state)
{
  pthread_mutex_lock (&r->m);
  r->state = state;
  pthread_cond_broadcast (&r->c);
  pthread_mutex_unlock (&r->m);
}

static void *
reader_thread (void *vp)
{
  struct reader *r = vp;

  if (rcu_prepare () == -1)
    abort ();
  rcu_enter ();
  reader_set (r, 1);
  reader_wait (r, 2);
  rcu_exit ();
  return NULL;
}

static void *
reclaim_thread (void *vp)
{
  arena_reclaim (vp);
  return NULL;
}

/* A3: not before the reader is out. */
static void
test_grace_period (void **state)
{
  struct arena *a = *state;
  struct reader r = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0
  };
  pthread_t reader, reclaimer;
  page_t page;

  assert_int_equal (0, arena_reserve (a, 1, false));
  assert_int_equal (1, arena_alloc (a, 1, false, &page));
  pthread_create (&reader, NULL, reader_thread, &r);
  reader_wait (&r, 1);
  retire_all (a, &page, 1);
  pthread_create (&reclaimer, NULL, reclaim_thread, a);
  usleep (50000);               /* it has the time to do it wrong */
  assert_int_equal (1, arena_refs (a, page));
  reader_set (&r, 2);
  pthread_join (reader, NULL);
  pthread_join (reclaimer, NULL);
  assert_int_equal (0, arena_refs (a, page));
}

/* A4: a second reference is decremented, and the page is not freed. */
static void
test_references (void **state)
{
  struct arena *a = *state;
  page_t page;

  assert_int_equal (0, arena_reserve (a, 1, false));
  assert_int_equal (1, arena_alloc (a, 1, false, &page));
  assert_int_equal (1, arena_ref_add (a, page));
  retire_all (a, &page, 1);
  assert_int_equal (2, arena_refs (a, page));
  arena_reclaim (a);
  assert_int_equal (1, arena_refs (a, page));
  assert_int_equal (1, used (a));
  retire_all (a, &page, 1);
  arena_reclaim (a);
  assert_int_equal (0, used (a));
}

static void
test_free_unlinked (void **state)
{
  struct arena *a = *state;
  page_t pages[200];
  unsigned i;

  assert_int_equal (0, arena_reserve (a, 200, false));
  assert_int_equal (200, arena_alloc (a, 200, false, pages));
  for (i = 0; i < 200; i++)
    arena_free_unlinked (a, pages[199 - i]);
  assert_int_equal (200, arena_alloc (a, 200, true, pages));
  for (i = 0; i < 200; i++)
    arena_free_unlinked (a, pages[i]);
  arena_unreserve (a, 200);
}

static void *
alloc_thread (void *vp)
{
  struct arena *a = vp;
  page_t pages[100];
  unsigned i;

  for (i = 0; i < 50; i++) {
    if (arena_reserve (a, 100, false) == -1 ||
        arena_alloc (a, 100, false, pages) != 100)
      abort ();
    retire_all (a, pages, 100);
  }
  return NULL;
}

/* Pages in the cache of a thread are available again when it has ended. */
static void
test_threads_end (void **state)
{
  struct arena *a = *state;
  pthread_t t[8];
  unsigned i;

  assert_int_equal (0, arena_start (a));
  for (i = 0; i < 8; i++)
    pthread_create (&t[i], NULL, alloc_thread, a);
  for (i = 0; i < 8; i++)
    pthread_join (t[i], NULL);
  arena_reclaim (a);
  assert_int_equal (0, used (a));
}

/* How many pages of the arena are resident in a range. */
static uint64_t
resident (void)
{
  FILE *fp = fopen ("/proc/self/statm", "r");
  unsigned long size, rss;

  assert_non_null (fp);
  assert_int_equal (2, fscanf (fp, "%lu %lu", &size, &rss));
  fclose (fp);
  return rss;
}

/* Free memory is returned, as a whole and in pieces. */
static void
test_give_back (void **state)
{
  struct arena *a = *state;
  unsigned all = 64 * MIB / PAGE_BYTES, i, n;
  page_t *pages = calloc (all, sizeof *pages);
  page_t *some = calloc (all, sizeof *some);
  uint64_t before = resident (), full;
  struct arena_stats s;

  assert_int_equal (0, arena_reserve (a, all, false));
  assert_int_equal (all, arena_alloc (a, all, false, pages));
  for (i = 0; i < all; i++)
    memset (arena_addr (a, pages[i]), 'x', PAGE_BYTES);
  full = resident ();
  assert_true (full >= before + all);

  for (i = n = 0; i < all; i += 2)
    some[n++] = pages[i];
  retire_all (a, some, n);
  arena_reclaim (a);
  arena_give_back (a, 0);
  arena_stats (a, &s);
  assert_int_equal (0, s.cached);
#if !defined(__SANITIZE_ADDRESS__) && !defined(MBLOCK_TSAN)
  assert_true (resident () <= full - n + 512);
#endif
  for (i = 1; i < all; i += 2)
    assert_int_equal ('x', *(char *) arena_addr (a, pages[i]));

  for (i = 1, n = 0; i < all; i += 2)
    some[n++] = pages[i];
  retire_all (a, some, n);
  arena_reclaim (a);
  arena_give_back (a, MIB);
  arena_stats (a, &s);
  assert_true (s.cached <= MIB);
#if !defined(__SANITIZE_ADDRESS__) && !defined(MBLOCK_TSAN)
  assert_true (resident () <= before + 2 * MIB / PAGE_BYTES);
#endif
  free (pages);
  free (some);
}

/* How much of the arena is huge pages, in bytes. */
static uint64_t
huge (struct arena *a)
{
  uintptr_t base = (uintptr_t) arena_addr (a, 0);
  unsigned long start, end, kilobytes;
  bool inside = false;
  uint64_t total = 0;
  char line[512];
  FILE *fp = fopen ("/proc/self/smaps", "r");

  assert_non_null (fp);
  while (fgets (line, sizeof line, fp)) {
    if (sscanf (line, "%lx-%lx ", &start, &end) == 2)
      inside = start >= base && start < base + 64 * MIB;
    else if (inside && sscanf (line, "AnonHugePages: %lu", &kilobytes) == 1)
      total += kilobytes * UINT64_C (1024);
  }
  fclose (fp);
  return total;
}

/* Whether this system turns small pages into huge ones on request. */
static bool
collapses (void)
{
  char *p = mmap (NULL, 2 * HUGE_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *aligned = p + -(uintptr_t) p % HUGE_BYTES;
  bool does;

  assert_true (p != MAP_FAILED);
  assert_int_equal (0, madvise (p, 2 * HUGE_BYTES, MADV_NOHUGEPAGE));
  memset (aligned, 'x', HUGE_BYTES);
  does = madvise (aligned, HUGE_BYTES, MADV_HUGEPAGE) == 0 &&
    madvise (aligned, HUGE_BYTES, MADV_COLLAPSE) == 0;
  munmap (p, 2 * HUGE_BYTES);
  return does;
}

/* Small pages that are all in use become huge pages; the others do not. */
static void
test_gather (void **state)
{
  struct arena *a = *state;
  unsigned n = 3 * HUGE_BYTES / PAGE_BYTES, i;
  page_t *pages = calloc (n, sizeof *pages);

  if (!collapses ()) {
    free (pages);
    skip ();
  }
  assert_int_equal (0, arena_reserve (a, n, false));
  assert_int_equal (n, arena_alloc (a, n, false, pages));
  for (i = 0; i < n; i++)
    memset (arena_addr (a, pages[i]), i, PAGE_BYTES);
  assert_int_equal (0, huge (a));
  assert_int_equal (0, arena_start (a));
  for (i = 0; i < 6000 && huge (a) == 0; i++)
    usleep (10000);
  arena_stop (a);
  /* The system may have none for the others.  Numbers 0 and 1 are not pages, so
   * the last two are in a fourth chunk.
   */
  assert_in_range (huge (a), HUGE_BYTES, 3 * HUGE_BYTES);
  for (i = 0; i < n; i++) {
    char want[PAGE_BYTES];

    memset (want, i, PAGE_BYTES);
    assert_memory_equal (want, arena_addr (a, pages[i]), PAGE_BYTES);
  }
  retire_all (a, pages, n);
  free (pages);
  arena_reclaim (a);
  arena_give_back (a, 0);
  assert_int_equal (0, huge (a));
}

static uint64_t
granted (struct arena *a)
{
  struct arena_stats s;

  arena_stats (a, &s);
  return s.granted;
}

/* Cached pages of a thread that no longer allocates are taken back while it
 * lives.
 */
static void
test_idle_caches (void **state)
{
  struct arena *a = *state;
  page_t page, second;
  unsigned i;

  assert_int_equal (0, arena_reserve (a, 2, false));
  assert_int_equal (1, arena_alloc (a, 1, false, &page));
  assert_true (granted (a) > 0);
  assert_int_equal (0, arena_start (a));
  for (i = 0; i < 6000 && granted (a) > 0; i++)
    usleep (10000);
  assert_int_equal (0, granted (a));
  arena_stop (a);
  /* It gets another one, and keeps what it frees itself. */
  assert_int_equal (1, arena_alloc (a, 1, false, &second));
  assert_true (second != page && granted (a) > 0);
  arena_free_unlinked (a, page);
  arena_free_unlinked (a, second);
  arena_unreserve (a, 2);
  arena_check (a, 0);
}

/* Threads that sometimes allocate, while the reclaimer takes pages from them.
 */
static void *
now_and_then (void *vp)
{
  struct arena *a = vp;
  unsigned i, j;

  for (i = 0; i < 40; i++) {
    page_t pages[100];

    if (arena_reserve (a, 100, false) == -1 ||
        arena_alloc (a, 100, false, pages) != 100)
      abort ();
    for (j = 0; j < 100; j++)
      memset (arena_addr (a, pages[j]), i, PAGE_BYTES);
    for (j = 0; j < 100; j++) {
      if (*(char *) arena_addr (a, pages[j]) != (char) i)
        abort ();
      arena_free_unlinked (a, pages[j]);
    }
    arena_unreserve (a, 100);
    usleep (i % 4 * 30000);
  }
  return NULL;
}

static void
test_idle_caches_race (void **state)
{
  struct arena *a = *state;
  pthread_t t[4];
  unsigned i;

  assert_int_equal (0, arena_start (a));
  for (i = 0; i < 4; i++)
    assert_int_equal (0, pthread_create (&t[i], NULL, now_and_then, a));
  for (i = 0; i < 4; i++)
    pthread_join (t[i], NULL);
  arena_stop (a);
  arena_check (a, 0);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_limits),
    TEST (test_reserve_to_the_limit),
    TEST (test_alloc_all),
    TEST (test_reserve_reclaims),
    TEST (test_grace_period),
    TEST (test_references),
    TEST (test_free_unlinked),
    TEST (test_threads_end),
    TEST (test_give_back),
    TEST (test_gather),
    TEST (test_idle_caches),
    TEST (test_idle_caches_race),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
