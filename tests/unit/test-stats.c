/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of requests. */

#include "unit.h"

#include <pthread.h>

#include "ramdisk/stats.h"

#define THREADS 4
#define EACH 10000

static void
count (struct stats *f, enum stat_kind what, uint64_t bytes,
       enum stat_error error)
{
  struct stats_timer t;

  stats_start (f, &t);
  stats_done (&t, what, bytes, error);
}

static uint64_t
timed (const struct stat_sum *s)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < STAT_BUCKETS; i++)
    n += s->bucket[i];
  return n;
}

static void
test_what_is_counted (void **state)
{
  struct stats *f = stats_new ();
  struct stats_sum s = { .no_memory = 0 };

  (void) state;
  count (f, STAT_READ, 4096, STAT_OK);
  count (f, STAT_READ, 4096, STAT_OTHER);
  count (f, STAT_WRITE, 512, STAT_QUOTA);
  count (f, STAT_WRITE, 512, STAT_NO_MEMORY);
  count (f, STAT_WRITE, 512, STAT_OK);
  stats_add (f, &s);
  assert_int_equal (2, s.of[STAT_READ].ops);
  assert_int_equal (4096, s.of[STAT_READ].bytes);
  assert_int_equal (1, s.of[STAT_READ].errors);
  assert_int_equal (3, s.of[STAT_WRITE].ops);
  assert_int_equal (2, s.of[STAT_WRITE].errors);
  assert_int_equal (1, s.quota);
  assert_int_equal (1, s.no_memory);
  assert_int_equal (0, s.of[STAT_TRIM].ops);
  stats_free (f);
}

static void
test_first_is_timed_and_one_in_sixteen (void **state)
{
  struct stats *f = stats_new ();
  struct stats_sum s = { .no_memory = 0 };
  unsigned i;

  (void) state;
  count (f, STAT_ZERO, 1, STAT_OK);
  stats_add (f, &s);
  assert_int_equal (1, timed (&s.of[STAT_ZERO]));
  for (i = 0; i < EACH; i++)
    count (f, STAT_TRIM, 1, STAT_OK);
  memset (&s, 0, sizeof s);
  stats_add (f, &s);
  assert_in_range (timed (&s.of[STAT_TRIM]), EACH / STATS_SAMPLE * 8 / 10,
                   EACH / STATS_SAMPLE * 12 / 10);
  stats_free (f);
}

/* An address may come again; the counters of before must not. */
static void
test_one_connection_after_another (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 100; i++) {
    struct stats *f = stats_new ();
    struct stats_sum s = { .no_memory = 0 };

    count (f, STAT_READ, 1, STAT_OK);
    stats_add (f, &s);
    assert_int_equal (1, s.of[STAT_READ].ops);
    stats_free (f);
  }
}

static void *
counting (void *f)
{
  unsigned i;

  for (i = 0; i < EACH; i++)
    count (f, STAT_READ, 3, STAT_OK);
  return NULL;
}

static void
test_threads (void **state)
{
  struct stats *f = stats_new ();
  struct stats_sum s = { .no_memory = 0 }, sum = { .no_memory = 0 };
  pthread_t thread[THREADS];
  unsigned i;

  (void) state;
  for (i = 0; i < THREADS; i++)
    pthread_create (&thread[i], NULL, counting, f);
  stats_add (f, &s);          /* while they count */
  for (i = 0; i < THREADS; i++)
    pthread_join (thread[i], NULL);
  stats_add (f, &sum);
  assert_int_equal (THREADS * EACH, sum.of[STAT_READ].ops);
  assert_int_equal (3 * THREADS * EACH, sum.of[STAT_READ].bytes);
  assert_true (s.of[STAT_READ].ops <= sum.of[STAT_READ].ops);
  stats_sum_add (&sum, &sum);
  assert_int_equal (2 * THREADS * EACH, sum.of[STAT_READ].ops);
  stats_free (f);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_what_is_counted),
    cmocka_unit_test (test_first_is_timed_and_one_in_sixteen),
    cmocka_unit_test (test_one_connection_after_another),
    cmocka_unit_test (test_threads),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
