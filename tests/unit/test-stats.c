/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of requests. */

#include "unit.h"

#include <pthread.h>

#include "figures.h"

#define THREADS 4
#define EACH 10000

static void
count (struct figures *f, enum figure what, uint64_t bytes,
       enum figure_error error)
{
  struct figures_timer t;

  figures_start (f, &t);
  figures_done (&t, what, bytes, error);
}

static uint64_t
timed (const struct figure_sum *s)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < FIGURE_BUCKETS; i++)
    n += s->bucket[i];
  return n;
}

static void
test_what_is_counted (void **state)
{
  struct figures *f = figures_new ();
  struct figures_sum s = { .no_memory = 0 };

  (void) state;
  count (f, FIGURE_READ, 4096, FIGURE_OK);
  count (f, FIGURE_READ, 4096, FIGURE_OTHER);
  count (f, FIGURE_WRITE, 512, FIGURE_QUOTA);
  count (f, FIGURE_WRITE, 512, FIGURE_NO_MEMORY);
  count (f, FIGURE_WRITE, 512, FIGURE_OK);
  figures_add (f, &s);
  assert_int_equal (2, s.of[FIGURE_READ].ops);
  assert_int_equal (4096, s.of[FIGURE_READ].bytes);
  assert_int_equal (1, s.of[FIGURE_READ].errors);
  assert_int_equal (3, s.of[FIGURE_WRITE].ops);
  assert_int_equal (2, s.of[FIGURE_WRITE].errors);
  assert_int_equal (1, s.quota);
  assert_int_equal (1, s.no_memory);
  assert_int_equal (0, s.of[FIGURE_TRIM].ops);
  figures_free (f);
}

static void
test_first_is_timed_and_one_in_sixteen (void **state)
{
  struct figures *f = figures_new ();
  struct figures_sum s = { .no_memory = 0 };
  unsigned i;

  (void) state;
  count (f, FIGURE_ZERO, 1, FIGURE_OK);
  figures_add (f, &s);
  assert_int_equal (1, timed (&s.of[FIGURE_ZERO]));
  for (i = 0; i < EACH; i++)
    count (f, FIGURE_TRIM, 1, FIGURE_OK);
  memset (&s, 0, sizeof s);
  figures_add (f, &s);
  assert_in_range (timed (&s.of[FIGURE_TRIM]), EACH / FIGURES_SAMPLE * 8 / 10,
                   EACH / FIGURES_SAMPLE * 12 / 10);
  figures_free (f);
}

/* An address may come again; the counters of before must not. */
static void
test_one_connection_after_another (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 100; i++) {
    struct figures *f = figures_new ();
    struct figures_sum s = { .no_memory = 0 };

    count (f, FIGURE_READ, 1, FIGURE_OK);
    figures_add (f, &s);
    assert_int_equal (1, s.of[FIGURE_READ].ops);
    figures_free (f);
  }
}

static void *
counting (void *f)
{
  unsigned i;

  for (i = 0; i < EACH; i++)
    count (f, FIGURE_READ, 3, FIGURE_OK);
  return NULL;
}

static void
test_threads (void **state)
{
  struct figures *f = figures_new ();
  struct figures_sum s = { .no_memory = 0 }, sum = { .no_memory = 0 };
  pthread_t thread[THREADS];
  unsigned i;

  (void) state;
  for (i = 0; i < THREADS; i++)
    pthread_create (&thread[i], NULL, counting, f);
  figures_add (f, &s);          /* while they count */
  for (i = 0; i < THREADS; i++)
    pthread_join (thread[i], NULL);
  figures_add (f, &sum);
  assert_int_equal (THREADS * EACH, sum.of[FIGURE_READ].ops);
  assert_int_equal (3 * THREADS * EACH, sum.of[FIGURE_READ].bytes);
  assert_true (s.of[FIGURE_READ].ops <= sum.of[FIGURE_READ].ops);
  figures_sum_add (&sum, &sum);
  assert_int_equal (2 * THREADS * EACH, sum.of[FIGURE_READ].ops);
  figures_free (f);
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
