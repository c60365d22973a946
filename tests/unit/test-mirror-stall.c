/* SPDX-License-Identifier: BSD-3-Clause */
/* How long a client's request waits for the secondary (mirror.h, Y11), with a
 * clock that is set forward.
 */

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "fake-clock.h"
#include "mirror-fixture.h"
#include "mirror/mirror-private.h"

/* No test takes as long. */
#define LIMIT (1000 * NS_PER_S)

/* Two of them are too much, one is not. */
#define WAIT (600 * NS_PER_S)

/* The secondary is given up: what it holds ends. */
static void
abandon (const struct instance *instance)
{
  struct memory_bdev *m = (struct memory_bdev *) instance->upstream;

  pthread_mutex_lock (&m->lock);
  m->lost = true;
  m->held = false;
  pthread_mutex_unlock (&m->lock);
}

static void
begin (struct fixture *f, int64_t limit)
{
  prepare_switch (f);
  f->instance.abandon = abandon;
  f->o.max_stall = limit;
  start_synchronised (f);
}

static uint64_t
outages (struct fixture *f)
{
  struct mirror_status s;

  mirror_status (f->m, &s);
  return s.outages;
}

static unsigned
blocked (struct fixture *f)
{
  unsigned n;

  mutex_lock (&f->m->lock);
  n = f->m->uses.blocked;
  mutex_unlock (&f->m->lock);
  return n;
}

/* Nobody may notice anything in this time. */
static void
not_lost (struct fixture *f)
{
  unsigned i;

  for (i = 0; i < 50; i++)
    nap ();
  assert_int_equal (0, outages (f));
}

static void
lost (struct fixture *f)
{
  wait_until (outages (f));
  assert_non_null (strstr (last_error, "longer than mnbd-max-stall allows"));
}

/* Requests in threads of their own. */
static void *
write_one (void *opaque)
{
  put (opaque, 3 * MIB, 1, 'w');
  return NULL;
}

struct switching {
  struct fixture *f;
  int result;
  char why[MIRROR_WHY];
  pthread_t thread;
};

static void *
switch_one (void *opaque)
{
  struct switching *s = opaque;
  struct mirror_switched switched;

  s->result = mirror_switch (s->f->m, &switched, s->why);
  return NULL;
}

static pthread_t
writes (struct fixture *f)
{
  pthread_t thread;

  pthread_create (&thread, NULL, write_one, f);
  return thread;
}

static void
switches (struct switching *s, struct fixture *f)
{
  memset (s, 0, sizeof *s);
  s->f = f;
  pthread_create (&s->thread, NULL, switch_one, s);
}

static void
not_switched (struct switching *s, const char *why)
{
  pthread_join (s->thread, NULL);
  assert_int_equal (-1, s->result);
  if (strstr (s->why, why) == NULL)
    fail_msg ("got \"%s\", expected \"%s\"", s->why, why);
}

/* The write has succeeded, and nothing of it is lost with the secondary. */
static void
wrote (struct fixture *f, pthread_t thread)
{
  pthread_join (thread, NULL);
  assert_int_equal ('w', f->primary->data[3 * MIB]);
  wait_equal (f);
}

/* A write waits for the secondary alone. */
static void
test_write (void **state)
{
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  memory_set (f.secondary, hold_next, true);
  thread = writes (&f);
  wait_until (memory_get (f.secondary, held));
  clock_skip (WAIT);
  not_lost (&f);
  clock_skip (WAIT);
  lost (&f);
  wrote (&f, thread);
  finish_switch (&f);
}

/* A switch flushes the secondary, and holds a write at the gate meanwhile. */
static void
flush_at_gate (struct fixture *f, struct switching *s, pthread_t *thread)
{
  memory_set (f->secondary, hold_next_flush, true);
  switches (s, f);
  wait_until (memory_get (f->secondary, held));
  *thread = writes (f);
  wait_until (blocked (f) == 1);
  clock_skip (WAIT);
  not_lost (f);
}

/* Then the secondary is given up, and the write goes on. */
static void
lost_before_switch (struct fixture *f, struct switching *s, pthread_t thread)
{
  lost (f);
  not_switched (s, "the secondary was lost before the switch");
  wrote (f, thread);
  finish_switch (f);
}

static void
test_gate (void **state)
{
  char why[MIRROR_WHY];
  struct switching s;
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  flush_at_gate (&f, &s, &thread);
  assert_int_equal (-1, mirror_verify (f.m, false, why));
  assert_string_equal (why, "the mirror is switching to the secondary");
  clock_skip (WAIT);
  lost_before_switch (&f, &s, thread);
}

/* The switch fails, and the write waits again, for the secondary's answer. */
static void
test_failed_switch (void **state)
{
  struct switching s;
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  rides_left = 0;
  flush_at_gate (&f, &s, &thread);
  memory_set (f.secondary, hold_next, true);
  memory_set (f.secondary, held, false);
  not_switched (&s, "lost before the switch");
  wait_until (memory_get (f.secondary, held));
  not_lost (&f);
  clock_skip (WAIT);
  lost (&f);
  wrote (&f, thread);
  finish_switch (&f);
}

/* The switch, and with it the write at the gate, waits for a read of the job.
 * This is short, because a switch itself waits for 5 seconds at most.
 */
static void
test_gate_behind_job (void **state)
{
  struct switching s;
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, 50 * NS_PER_MS);
  memory_set (f.secondary, hold_next_read, true);
  wait_until (memory_get (f.secondary, held));
  switches (&s, &f);
  wait_until (atomic_load (&f.m->gate) == GATE_CLOSED || outages (&f));
  thread = writes (&f);
  lost_before_switch (&f, &s, thread);
}

/* The job's read takes longer than a switch waits for it. */
static void
test_slow_job (void **state)
{
  struct switching s;
  struct fixture f;
  unsigned i;

  (void) state;
  begin (&f, LIMIT);
  memory_set (f.secondary, hold_next_read, true);
  wait_until (memory_get (f.secondary, held));
  switches (&s, &f);
  wait_until (atomic_load (&f.m->gate) == GATE_CLOSED);
  for (i = 0; i < 50; i++)
    nap ();
  clock_skip (6 * NS_PER_S);
  not_switched (&s, "the mirror's own requests did not end within 5 seconds");
  memory_set (f.secondary, held, false);
  wait_equal (&f);
  assert_int_equal (0, outages (&f));
  finish_switch (&f);
}

/* Waits for the primary do not count, at the gate either. */
static void
test_primary (void **state)
{
  struct switching s;
  struct fixture f;
  pthread_t first, second;

  (void) state;
  begin (&f, LIMIT);
  memory_set (f.primary, hold_next, true);
  first = writes (&f);
  wait_until (memory_get (f.primary, held));
  switches (&s, &f);
  wait_until (blocked (&f) == 1);
  second = writes (&f);
  wait_until (blocked (&f) == 2);
  clock_skip (2 * WAIT);
  not_switched (&s, "requests (1) did not end within 5 seconds");
  not_lost (&f);
  memory_set (f.primary, held, false);
  pthread_join (first, NULL);
  wrote (&f, second);
  assert_int_equal (0, outages (&f));
  finish_switch (&f);
}

/* What the thread of a stop does before it takes the mirror's lock again after
 * its flush.
 */
static __thread struct fixture *mine;
static __thread unsigned locks_after_flush;
static unsigned flushes_before;
static pthread_t flushing;

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);

static void *
flush_one (void *opaque)
{
  struct fixture *f = opaque;

  assert_int_equal (0, bdev_flush (f->client));
  return NULL;
}

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  /* The first one is for the result of the flush. */
  if (mine && m == &mine->m->lock.m &&
      memory_get (mine->secondary, flushes) > flushes_before &&
      ++locks_after_flush == 2) {
    memory_set (mine->secondary, hold_next_flush, true);
    pthread_create (&flushing, NULL, flush_one, mine);
    wait_until (memory_get (mine->secondary, held));
  }
  return __real_pthread_mutex_lock (m);
}

static void *
stop_one (void *opaque)
{
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];

  mine = opaque;
  locks_after_flush = 0;
  assert_int_equal (0, mirror_stop (mine->m, true, &stopped, why));
  assert_false (stopped.consistent);
  return NULL;
}

/* A client's flush begins just before the mirror stops, and is limited. */
static void
test_flush_at_stop (void **state)
{
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  flushes_before = memory_get (f.secondary, flushes);
  pthread_create (&thread, NULL, stop_one, &f);
  wait_until (memory_get (f.secondary, held));
  clock_skip (WAIT);
  not_lost (&f);
  clock_skip (WAIT);
  lost (&f);
  pthread_join (flushing, NULL);
  pthread_join (thread, NULL);
  assert_int_equal (MIRROR_STOPPED, state_of (&f));
  finish_switch (&f);
}

/* The connections are given up late: no new one may be there by then. */
static atomic_bool connected_meanwhile, abandoned;

static void
abandon_late (const struct instance *instance)
{
  struct memory_bdev *m = (struct memory_bdev *) instance->upstream;
  unsigned before = memory_get (m, connects), i;

  abandon (instance);
  for (i = 0; i < 500; i++)
    nap ();
  if (memory_get (m, connects) != before)
    atomic_store (&connected_meanwhile, true);
  atomic_store (&abandoned, true);
}

static void
test_abandon_late (void **state)
{
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  f.instance.abandon = abandon_late;
  memory_set (f.secondary, hold_next, true);
  thread = writes (&f);
  wait_until (memory_get (f.secondary, held));
  clock_skip (2 * WAIT);
  wait_until (atomic_load (&abandoned));
  assert_false (atomic_load (&connected_meanwhile));
  wrote (&f, thread);
  finish_switch (&f);
}

/* A switch took longer than the limit, and succeeded before anybody noticed.  A
 * request that was at the gate still is, as far as others can tell.
 */
static int
ride_out_slowly (const struct instance *instance)
{
  (void) instance;
  clock_skip (2 * WAIT);
  return 0;
}

static void
test_late_switch (void **state)
{
  struct mirror_use use;
  struct switching s;
  struct fixture f;

  (void) state;
  begin (&f, LIMIT);
  f.instance.ride_out = ride_out_slowly;
  mirror_use_init (&use, USE_OF_CLIENT);
  mutex_lock (&f.m->lock);
  mirror_use_block_all (f.m, &use);
  mutex_unlock (&f.m->lock);
  switches (&s, &f);
  pthread_join (s.thread, NULL);
  assert_int_equal (0, s.result);
  not_lost (&f);
  mutex_lock (&f.m->lock);
  assert_true (use.charged >= LIMIT);
  mirror_use_unblock (f.m, &use);
  mutex_unlock (&f.m->lock);
  finish_switch (&f);
}

/* After the switch the job flushes a write that ended while it was flushing. */
static bool
is_stable (struct fixture *f)
{
  bool r;

  pthread_mutex_lock (&f->secondary->lock);
  r = f->secondary->stable[3 * MIB] == 'w';
  pthread_mutex_unlock (&f->secondary->lock);
  return r;
}

static void
test_flush_after_switch (void **state)
{
  struct switching s;
  struct fixture f;
  pthread_t thread;

  (void) state;
  begin (&f, LIMIT);
  switches (&s, &f);
  pthread_join (s.thread, NULL);
  assert_int_equal (0, s.result);
  memory_set (f.secondary, hold_next, true);
  thread = writes (&f);
  wait_until (memory_get (f.secondary, held));
  /* With this clock, the job flushes in this time, if it wants to. */
  not_lost (&f);
  memory_set (f.secondary, held, false);
  pthread_join (thread, NULL);
  wait_until (is_stable (&f));
  finish_switch (&f);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_write),
    cmocka_unit_test (test_gate),
    cmocka_unit_test (test_failed_switch),
    cmocka_unit_test (test_gate_behind_job),
    cmocka_unit_test (test_slow_job),
    cmocka_unit_test (test_primary),
    cmocka_unit_test (test_flush_at_stop),
    cmocka_unit_test (test_abandon_late),
    cmocka_unit_test (test_late_switch),
    cmocka_unit_test (test_flush_after_switch),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
