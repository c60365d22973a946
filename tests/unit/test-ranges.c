/* SPDX-License-Identifier: BSD-3-Clause */
/* The range lock: who waits for whom, and in which order. */

#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "bdev/ranges.h"

/* A thread that takes a range, says so, and gives it back when it is told. */
struct taker {
  struct ranges *r;
  uint64_t offset, count;
  enum range_mode mode;
  atomic_bool has, let_go;
  pthread_t thread;
};

static void
nap (void)
{
  nanosleep (&(struct timespec) { .tv_nsec = 200000 }, NULL);
}

static void *
take (void *opaque)
{
  struct taker *t = opaque;
  struct range range;

  ranges_lock (t->r, &range, t->offset, t->count, t->mode);
  atomic_store (&t->has, true);
  while (!atomic_load (&t->let_go))
    nap ();
  ranges_unlock (t->r, &range);
  return NULL;
}

static unsigned
in_list (struct ranges *r)
{
  unsigned granted, waiting;

  ranges_check (r);
  ranges_count (r, &granted, &waiting);
  return granted + waiting;
}

/* Start a taker and wait until it has its range or stands in the queue. */
static void
start (struct taker *t)
{
  unsigned before = in_list (t->r);

  atomic_store (&t->has, false);
  atomic_store (&t->let_go, false);
  assert_int_equal (0, pthread_create (&t->thread, NULL, take, t));
  while (in_list (t->r) == before)
    nap ();
}

static void
wait_for (struct taker *t)
{
  while (!atomic_load (&t->has))
    nap ();
}

static void
end (struct taker *t)
{
  wait_for (t);
  atomic_store (&t->let_go, true);
  pthread_join (t->thread, NULL);
}

static bool
waits (struct taker *t)
{
  unsigned granted, waiting, i;

  /* A range that was granted wrongly would soon say so. */
  for (i = 0; i < 10 && !atomic_load (&t->has); i++)
    nap ();
  ranges_count (t->r, &granted, &waiting);
  return !atomic_load (&t->has) && waiting > 0;
}

static void
test_overlap (void **state)
{
  struct ranges r;
  struct range a, b, c;

  (void) state;
  ranges_init (&r);
  ranges_lock (&r, &a, 100, 100, RANGE_EXCLUSIVE);
  assert_false (ranges_try_lock (&r, &b, 99, 2, RANGE_EXCLUSIVE));
  assert_false (ranges_try_lock (&r, &b, 199, 1, RANGE_SHARED));
  assert_false (ranges_try_lock (&r, &b, 0, RANGES_ALL, RANGE_SHARED));
  assert_false (ranges_try_lock (&r, &b, 150, RANGES_ALL, RANGE_EXCLUSIVE));
  assert_true (ranges_try_lock (&r, &b, 0, 100, RANGE_EXCLUSIVE));
  assert_true (ranges_try_lock (&r, &c, 200, RANGES_ALL, RANGE_EXCLUSIVE));
  assert_int_equal (3, in_list (&r));
  ranges_unlock (&r, &a);
  ranges_unlock (&r, &c);
  ranges_unlock (&r, &b);
  assert_int_equal (0, in_list (&r));
  ranges_destroy (&r);
}

static void
test_shared (void **state)
{
  struct ranges r;
  struct range a, b, c;

  (void) state;
  ranges_init (&r);
  ranges_lock (&r, &a, 0, 100, RANGE_SHARED);
  ranges_lock (&r, &b, 50, 100, RANGE_SHARED);
  assert_false (ranges_try_lock (&r, &c, 90, 1, RANGE_EXCLUSIVE));
  ranges_unlock (&r, &a);
  assert_false (ranges_try_lock (&r, &c, 90, 1, RANGE_EXCLUSIVE));
  ranges_unlock (&r, &b);
  assert_true (ranges_try_lock (&r, &c, 90, 1, RANGE_EXCLUSIVE));
  ranges_unlock (&r, &c);
  ranges_destroy (&r);
}

/* R2 */
static void
test_order (void **state)
{
  struct ranges r;
  struct taker a = { .r = &r, .offset = 0, .count = 10,
                     .mode = RANGE_EXCLUSIVE };
  struct taker all = { .r = &r, .offset = 0, .count = RANGES_ALL,
                       .mode = RANGE_EXCLUSIVE };
  struct taker b = { .r = &r, .offset = 100, .count = 10,
                     .mode = RANGE_EXCLUSIVE };
  struct range c;

  (void) state;
  ranges_init (&r);
  start (&a);
  wait_for (&a);
  start (&all);
  assert_true (waits (&all));
  start (&b);                   /* behind all, though it is free */
  assert_true (waits (&b));
  assert_false (ranges_try_lock (&r, &c, 500, 1, RANGE_SHARED));
  end (&a);
  wait_for (&all);
  assert_true (waits (&b));
  end (&all);
  end (&b);
  assert_int_equal (0, in_list (&r));
  ranges_destroy (&r);
}

/* Who waits for several goes on only when the last has left. */
static void
test_several (void **state)
{
  struct ranges r;
  struct range a, b;
  struct taker t = { .r = &r, .offset = 0, .count = 100,
                     .mode = RANGE_EXCLUSIVE };

  (void) state;
  ranges_init (&r);
  ranges_lock (&r, &a, 0, 10, RANGE_SHARED);
  ranges_lock (&r, &b, 90, 100, RANGE_EXCLUSIVE);
  start (&t);
  assert_true (waits (&t));
  ranges_unlock (&r, &b);
  assert_true (waits (&t));
  ranges_unlock (&r, &a);
  end (&t);
  ranges_destroy (&r);
}

/* R1 and R3, by plain memory that ThreadSanitizer watches. */

#define CELLS 64
#define STRESS_THREADS 4
#define ROUNDS 4000

static struct {
  struct ranges r;
  volatile uint64_t cell[CELLS];        /* each read is one */
  uint64_t sum[STRESS_THREADS];
} stress;

/* Whether cells stay as they are.  yield: while others run, which takes time on
 * a busy machine.
 */
static bool
cells_stay (unsigned offset, unsigned count, bool yield)
{
  uint64_t seen[CELLS];
  unsigned k;

  for (k = 0; k < count; k++)
    seen[k] = stress.cell[offset + k];
  if (yield)
    sched_yield ();
  for (k = 0; k < count; k++)
    if (stress.cell[offset + k] != seen[k])
      return false;
  return true;
}

static void *
stress_thread (void *opaque)
{
  uint64_t *sum = opaque;
  unsigned seed = sum - stress.sum + 1, i, k;

  for (i = 0; i < ROUNDS; i++) {
    unsigned offset = rand_r (&seed) % CELLS;
    unsigned count = 1 + rand_r (&seed) % (CELLS - offset);
    bool write = rand_r (&seed) % 2;
    struct range range;

    if (rand_r (&seed) % 2)
      count = 1;
    ranges_lock (&stress.r, &range, offset, count,
                 write ? RANGE_EXCLUSIVE : RANGE_SHARED);
    for (k = offset; write && k < offset + count; k++) {
      stress.cell[k]++;
      ++*sum;
    }
    if (!write && !cells_stay (offset, count, i % 32 == 0))
      abort ();
    if (i % 64 == 0)
      ranges_check (&stress.r);
    ranges_unlock (&stress.r, &range);
  }
  return NULL;
}

static void
test_stress (void **state)
{
  pthread_t thread[STRESS_THREADS];
  uint64_t written = 0, found = 0;
  unsigned i;

  (void) state;
  ranges_init (&stress.r);
  for (i = 0; i < STRESS_THREADS; i++)
    assert_int_equal (0, pthread_create (&thread[i], NULL, stress_thread,
                                         &stress.sum[i]));
  for (i = 0; i < STRESS_THREADS; i++) {
    pthread_join (thread[i], NULL);
    written += stress.sum[i];
  }
  for (i = 0; i < CELLS; i++)
    found += stress.cell[i];
  assert_int_equal (written, found);
  assert_int_equal (0, in_list (&stress.r));
  ranges_destroy (&stress.r);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_overlap),
    cmocka_unit_test (test_shared),
    cmocka_unit_test (test_order),
    cmocka_unit_test (test_several),
    cmocka_unit_test (test_stress),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
