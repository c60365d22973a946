/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's engine: start, stop, verify and what the instance decides, with
 * block devices in memory.
 */

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "mirror-fixture.h"
#include "mirror/mirror-private.h"

static void
test_stop_start (void **state)
{
  struct fixture f;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];
  unsigned connects;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  start_synchronised (&f);
  assert_int_equal (0, mirror_start (f.m, false, why));
  put (&f, 100, 100, 'a');
  assert_int_equal (0, mirror_stop (f.m, false, &stopped, why));
  assert_true (stopped.consistent);
  assert_int_equal (1, stopped.writes);
  assert_true (stopped.time.tv_sec > 0);
  assert_true (f.secondary->lost);      /* disconnected */
  assert_memory_equal (f.secondary->stable, f.primary->data, 8 * MIB);
  assert_int_equal (-1, mirror_stop (f.m, true, &stopped, why));
  assert_string_equal (why, "the mirror is already stopped");

  put (&f, 5 * MIB, 100, 'b');
  assert_int_equal (0, f.secondary->data[5 * MIB]);
  connects = f.secondary->connects;
  f.secondary->bytes_written = 0;
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);
  assert_int_equal (connects + 1, f.secondary->connects);
  assert_in_range (f.secondary->bytes_written, 4096, GRANULE);

  assert_int_equal (0, mirror_stop (f.m, false, &stopped, why));
  f.secondary->data[77] ^= 1;   /* somebody uses it */
  assert_int_equal (1, mirror_start (f.m, false, why));
  wait_equal (&f);

  memory_crash (f.secondary, LOSE_NOTHING, true);
  put (&f, 0, 1, 'c');
  assert_int_equal (-1, mirror_stop (f.m, false, &stopped, why));
  assert_string_equal (why, "the mirror is degraded, and 65536 bytes are out "
                       "of sync; expected synchronised, or force");
  assert_int_equal (0, mirror_stop (f.m, true, &stopped, why));
  assert_false (stopped.consistent);
  finish (&f);
}

/* It begins stopped, and the secondary need not be there. */
struct stopping {
  struct fixture *f;
  atomic_bool stopped;
  pthread_t thread;
};

static void *
stop_with_force (void *opaque)
{
  struct stopping *s = opaque;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];

  assert_int_equal (0, mirror_stop (s->f->m, true, &stopped, why));
  assert_false (stopped.consistent);
  atomic_store (&s->stopped, true);
  return NULL;
}

/* The secondary is free when the mirror has stopped, even if the mirror was
 * just connecting to it.
 */
static void
test_stop_while_connecting (void **state)
{
  struct fixture f;
  struct stopping s = { .f = &f };
  unsigned i;

  (void) state;
  prepare (&f, 8 * MIB);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  wait_state (&f, MIRROR_DEGRADED);
  put (&f, 0, 100, 'a');
  memory_set (f.secondary, hold_next_connect, true);
  memory_up (f.secondary);
  wait_until (memory_get (f.secondary, held));
  pthread_create (&s.thread, NULL, stop_with_force, &s);
  wait_state (&f, MIRROR_STOPPED);
  for (i = 0; i < 50; i++)
    nap ();
  assert_false (atomic_load (&s.stopped));
  memory_set (f.secondary, held, false);
  pthread_join (s.thread, NULL);
  assert_true (memory_get (f.secondary, lost));
  finish (&f);
}

/* The mirror was stopped and is started again.  It is stopped once more in the
 * middle of a request of the job, which *next holds.
 */
static void
stop_while_checking (struct fixture *f, bool *next)
{
  struct stopping stopping = { .f = f };
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];

  start_synchronised (f);
  assert_int_equal (0, mirror_stop (f->m, false, &stopped, why));
  f->secondary->extents = f->secondary->bytes_read = 0;
  *next = true;
  assert_int_equal (1, mirror_start (f->m, true, why));
  wait_until (memory_get (f->secondary, held));
  pthread_create (&stopping.thread, NULL, stop_with_force, &stopping);
  wait_state (f, MIRROR_STOPPED);
  memory_set (f->secondary, held, false);
  pthread_join (stopping.thread, NULL);
}

/* A job that looks for what the secondary has lost ends with the mirror,
 * however large the disk is.
 */
static void
test_stop_while_checking (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, 3 * 64 * MIB);   /* three regions */
  f.secondary->bdev.info.can_flush = false;
  stop_while_checking (&f, &f.secondary->hold_next_extents);
  assert_int_equal (1, f.secondary->extents);
  assert_int_equal (0, f.secondary->bytes_read);
  finish (&f);

  prepare (&f, 8 * MIB);
  f.secondary->bdev.info.can_extents = false;
  stop_while_checking (&f, &f.secondary->hold_next_read);
  assert_int_equal (GRANULE, f.secondary->bytes_read);
  finish (&f);
}

/* With fail, a mirror that is being started does not disturb its clients before
 * it has a secondary to lose.
 */
static void
test_start_with_fail (void **state)
{
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, MIB, 1);
  f.o.stopped = true;
  f.o.fail = true;
  start (&f);
  memory_set (f.secondary, hold_next_connect, true);
  assert_int_equal (1, mirror_start (f.m, false, why));
  wait_until (memory_get (f.secondary, held));
  put (&f, 0, 100, 'a');
  assert_int_equal (0, bdev_flush (f.client));
  memory_set (f.secondary, held, false);
  wait_equal (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  assert_errno (EIO, bdev_write (f.client, "b", 1, 1, 0));
  memory_up (f.secondary);
  wait_equal (&f);
  finish (&f);
}

static void
test_start_later (void **state)
{
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, ODD);
  fill (f.primary, 0, MIB, 1);
  f.o.stopped = true;
  f.secondary->down = true;
  f.secondary->lost = true;
  start (&f);
  assert_int_equal (MIRROR_STOPPED, state_of (&f));
  put (&f, 2 * MIB, 100, 'a');
  assert_int_equal (0, bdev_flush (f.client));
  assert_int_equal (-1, mirror_stop (f.m, false, &stopped, why));
  memory_up (f.secondary);
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);
  finish (&f);
}

static void
verify (struct fixture *f, bool repair, struct mirror_verified *v)
{
  char why[MIRROR_WHY];

  assert_int_equal (0, mirror_verify (f->m, repair, why));
  do {
    nap ();
    mirror_verified (f->m, v);
  } while (v->running);
}

static void
test_verify (void **state)
{
  static struct mirror_verified v;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, ODD);
  fill (f.primary, 0, MIB, 1);
  fill (f.primary, 4 * MIB, 100, 1);
  start_synchronised (&f);
  verify (&f, false, &v);
  assert_string_equal ("", v.error);
  assert_int_equal (0, v.bytes_differing);
  assert_int_equal (ODD, v.bytes_done);

  f.secondary->data[1000] ^= 1;
  f.secondary->data[1024] ^= 1;
  f.secondary->data[4 * MIB + 5] ^= 1;
  fill (f.secondary, ODD - 2, 2, 5);
  verify (&f, false, &v);
  assert_int_equal (3, v.nextents);
  assert_int_equal (512, v.extent[0].offset);
  assert_int_equal (1024, v.extent[0].length);
  assert_int_equal (4 * MIB, v.extent[1].offset);
  assert_int_equal (512, v.extent[1].length);
  assert_true (v.extent[2].offset <= ODD - 2);
  assert_int_equal (ODD, v.extent[2].offset + v.extent[2].length);
  assert_int_not_equal (ODD, memory_difference (f.primary, f.secondary));
  /* It is not synchronised then, and says so. */
  assert_int_equal (MIRROR_FAILED, state_of (&f));
  assert_int_equal (-1, mirror_verify (f.m, true, why));
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);

  f.secondary->data[1000] ^= 1;
  f.secondary->data[1024] ^= 1;
  f.secondary->data[4 * MIB + 5] ^= 1;
  f.secondary->data[ODD - 1] ^= 1;
  verify (&f, true, &v);
  assert_int_equal (3, v.nextents);
  wait_equal (&f);
  verify (&f, false, &v);
  assert_int_equal (0, v.bytes_differing);

  memory_set (f.primary, fail_reads, 1);
  verify (&f, false, &v);
  assert_non_null (strstr (v.error, "the primary cannot be read"));
  assert_int_equal (0, v.bytes_done);
  assert_int_equal (MIRROR_SYNCHRONISED, state_of (&f));
  assert_int_equal (0, mirror_stop (f.m, false, &stopped, why));
  assert_int_equal (-1, mirror_verify (f.m, false, why));
  assert_non_null (strstr (why, "the mirror is stopped"));
  finish (&f);
}

/* What a comparison has found counts before it is at its end. */
static void
test_stop_while_verifying (void **state)
{
  static struct mirror_verified v;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, 4 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  f.o.rate = 8 * MIB;
  start_synchronised (&f);
  f.secondary->data[1000] ^= 1;
  assert_int_equal (0, mirror_verify (f.m, false, why));
  do {
    nap ();
    mirror_verified (f.m, &v);
  } while (v.bytes_differing == 0);
  assert_int_equal (MIRROR_FAILED, state_of (&f));
  assert_int_equal (-1, mirror_stop (f.m, false, &stopped, why));
  assert_int_equal (0, mirror_stop (f.m, true, &stopped, why));
  assert_false (stopped.consistent);
  /* And it is remembered. */
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);
  finish (&f);
}

/* The mirror fails, and the comparison says so. */
static void
test_fail_while_verifying (void **state)
{
  static struct mirror_verified v;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  start_full (&f, 4 * MIB);
  assert_int_equal (0, mirror_set_rate (f.m, 1, why));
  assert_int_equal (0, mirror_verify (f.m, false, why));
  assert_int_equal (-1, mirror_admit (f.m, INSTANCE_REPLACED, 0, why));
  do {
    nap ();
    mirror_verified (f.m, &v);
  } while (v.running);
  assert_string_equal (v.error, "the mirror has failed");
  finish (&f);
}

/* What the instance finds when it looks. */
static struct memory_bdev *found;
static enum instance_now found_now;
static struct instance *looking;

static enum instance_now
look (const struct instance *instance, uint64_t *size)
{
  assert_ptr_equal (looking, instance);
  *size = found->bdev.info.size;
  return found_now;
}

static int
renew (const struct instance *instance, char *why)
{
  (void) why;
  assert_ptr_equal (looking, instance);
  looking->local = &found->bdev;
  return 0;
}

/* The primary is not replaced while the job may still use it. */
static atomic_uint renewals;

static int
count_renewal (const struct instance *instance, char *why)
{
  (void) instance;
  (void) why;
  atomic_fetch_add (&renewals, 1);
  return 0;
}

struct starting {
  struct fixture *f;
  int result;
  char why[MIRROR_WHY];
  pthread_t thread;
};

static void *
start_one (void *opaque)
{
  struct starting *s = opaque;

  s->result = mirror_start (s->f->m, true, s->why);
  return NULL;
}

static void *
end_one (void *opaque)
{
  mirror_end (opaque);
  return NULL;
}

/* The mirror is stopped, the job still tries to connect, and somebody starts
 * the mirror again.
 */
static void
start_behind_job (struct fixture *f, struct stopping *stopping,
                  struct starting *starting)
{
  unsigned i;

  *stopping = (struct stopping) { .f = f };
  *starting = (struct starting) { .f = f };
  atomic_store (&renewals, 0);
  prepare (f, 8 * MIB);
  f->o.stopped = true;
  f->instance.renew = count_renewal;
  start (f);
  memory_set (f->secondary, hold_next_connect, true);
  assert_int_equal (1, mirror_start (f->m, true, starting->why));
  assert_int_equal (1, atomic_load (&renewals));
  wait_until (memory_get (f->secondary, held));
  pthread_create (&stopping->thread, NULL, stop_with_force, stopping);
  wait_state (f, MIRROR_STOPPED);
  pthread_create (&starting->thread, NULL, start_one, starting);
  for (i = 0; i < 50; i++)
    nap ();
  assert_int_equal (1, atomic_load (&renewals));
}

static void
test_start_behind_job (void **state)
{
  struct stopping stopping;
  struct starting starting;
  struct fixture f;

  (void) state;
  start_behind_job (&f, &stopping, &starting);
  memory_set (f.secondary, held, false);
  pthread_join (stopping.thread, NULL);
  pthread_join (starting.thread, NULL);
  assert_int_equal (1, starting.result);
  assert_int_equal (2, atomic_load (&renewals));
  wait_equal (&f);
  finish (&f);
}

static void
test_end_while_starting (void **state)
{
  struct stopping stopping;
  struct starting starting;
  pthread_t thread;
  struct fixture f;

  (void) state;
  start_behind_job (&f, &stopping, &starting);
  pthread_create (&thread, NULL, end_one, f.m);
  pthread_join (starting.thread, NULL);
  assert_int_equal (-1, starting.result);
  assert_string_equal (starting.why, "the mirror was not started: the server "
                       "is shutting down");
  assert_int_equal (1, atomic_load (&renewals));
  pthread_join (stopping.thread, NULL);
  memory_set (f.secondary, held, false);
  pthread_join (thread, NULL);
  bdev_close (f.client);
  mirror_free (f.m);
  f.m = NULL;
  finish (&f);
}

/* Another disk, of another size, has the primary's name. */
static void
test_primary_changes (void **state)
{
  struct memory_bdev *other = memory_bdev (2 * MIB);
  struct bdev *new_client;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, 4 * MIB);
  f.primary->bdev.info.disk = 1;
  other->bdev.info.disk = 2;
  fill (f.primary, 0, MIB, 1);
  fill (other, 0, 2 * MIB, 2);
  found = f.primary;
  looking = &f.instance;
  f.instance.look = look;
  f.instance.renew = renew;
  start_synchronised (&f);

  found = other;
  found_now = INSTANCE_REPLACED;
  assert_true (mirror_relies (f.m));
  assert_int_equal (-1, mirror_stop (f.m, false, &stopped, why));
  assert_non_null (strstr (why, "was replaced"));
  assert_int_equal (MIRROR_FAILED, state_of (&f));
  assert_int_equal (-1, mirror_admit (f.m, INSTANCE_REPLACED, 2 * MIB, why));
  assert_int_equal (-1, mirror_start (f.m, false, why));
  assert_int_equal (-1, mirror_verify (f.m, true, why));
  put (&f, 2 * MIB, 100, 'a');
  assert_int_equal ('a', f.secondary->data[2 * MIB]);
  assert_int_equal (0, mirror_stop (f.m, true, &stopped, why));
  assert_false (stopped.consistent);
  assert_false (mirror_relies (f.m));

  f.secondary->bdev.info.size = 2 * MIB;
  assert_int_equal (1, mirror_start (f.m, true, why));
  new_client = mirror_client (f.m, &other->bdev);
  assert_non_null (new_client);
  /* The old client has its disk, which is larger and is not mirrored. */
  put (&f, MIB, 100, 'b');
  put (&f, 3 * MIB, 100, 'b');
  assert_int_equal ('b', f.primary->data[MIB]);
  assert_int_equal (0, bdev_flush (f.client));
  assert_int_equal (0, bdev_write (new_client, "new", 3, MIB, 0));
  wait_state (&f, MIRROR_SYNCHRONISED);
  assert_int_equal ('n', f.secondary->data[MIB]);
  assert_int_equal (0, memcmp (other->data, f.secondary->data, 2 * MIB));
  found_now = INSTANCE_SAME;
  assert_int_equal (0, mirror_stop (f.m, false, &stopped, why));
  assert_true (stopped.consistent);
  bdev_close (new_client);
  finish (&f);
  memory_free (other);
}

/* The primary is made smaller and larger again. */
static void
cut (struct fixture *f)
{
  struct memory_bdev *m = f->primary;

  pthread_mutex_lock (&m->lock);
  memset (m->data, 0, m->bdev.info.size);
  memset (m->mapped, 0, m->bdev.info.size / MEMORY_BLOCK);
  pthread_mutex_unlock (&m->lock);
  found_now = INSTANCE_SHRUNK;
}

static void
adopt (const struct instance *instance)
{
  assert_ptr_equal (looking, instance);
  cuts_add (&looking->local->info.cuts, 0);
  found_now = INSTANCE_SAME;
}

static void
prepare_cut (struct fixture *f)
{
  prepare (f, 8 * MIB);
  fill (f->primary, 0, 8 * MIB, 1);
  found = f->primary;
  found_now = INSTANCE_SAME;
  looking = &f->instance;
  f->instance.look = look;
  f->instance.adopt = adopt;
}

/* What is still under way to the secondary when a mirror that has failed is
 * started is not what the primary has by then.
 */
static void
copy_over_start (bool fail)
{
  struct fixture f;
  char why[MIRROR_WHY];

  prepare_cut (&f);
  f.o.fail = fail;              /* true: without a trial */
  memory_set (f.secondary, hold_next, true);
  start (&f);
  wait_until (memory_get (f.secondary, held));
  assert_int_equal (-1, mirror_admit (f.m, INSTANCE_REPLACED, 0, why));
  assert_int_equal (MIRROR_FAILED, state_of (&f));
  cut (&f);
  assert_int_equal (1, mirror_start (f.m, true, why));
  memory_set (f.secondary, held, false);
  wait_equal (&f);
  finish (&f);
}

static void
test_copy_over_start (void **state)
{
  (void) state;
  copy_over_start (false);
  copy_over_start (true);
}

/* A start that was refused has not forgotten what was cut off. */
static enum instance_now after_adoption;

static void
adopt_and_change (const struct instance *instance)
{
  adopt (instance);
  found_now = after_adoption;
}

static void
cut_before_refusal (bool stop)
{
  struct mirror_status s;
  struct fixture f;
  char why[MIRROR_WHY];

  prepare_cut (&f);
  f.instance.adopt = adopt_and_change;
  start_synchronised (&f);
  mirror_admit (f.m, INSTANCE_REPLACED, 0, why);
  assert_int_equal (MIRROR_FAILED, state_of (&f));
  cut (&f);
  after_adoption = INSTANCE_RESIZED;
  assert_int_equal (-1, mirror_start (f.m, true, why));
  found_now = INSTANCE_SAME;
  if (stop) {
    assert_int_equal (0, mirror_stop (f.m, true, &s.stopped, why));
    assert_false (s.stopped.consistent);
  }
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);

  /* And only once. */
  mirror_admit (f.m, INSTANCE_REPLACED, 0, why);
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);
  mirror_status (f.m, &s);
  assert_int_equal (0, s.bytes_total);
  finish (&f);
}

static void
test_cut_before_refusal (void **state)
{
  (void) state;
  cut_before_refusal (false);
  cut_before_refusal (true);
}

static void
test_rate (void **state)
{
  struct fixture f;
  struct mirror_status s;
  int64_t began = clock_now ();
  uint64_t most;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, 8 * MIB, 1);
  f.o.rate = 4 * MIB;
  start (&f);
  do {
    nap ();
    mirror_status (f.m, &s);
  } while (s.bytes_sent < MIB);
  /* However slow this machine is: what may be gone in that time, and a piece
   * that may be sent at once.
   */
  most = 4 * MIB * ((clock_now () - began) / NS_PER_MS + 51) / 1000 + 2 * MIB;
  assert_in_range (s.bytes_sent, MIB, most);
  assert_int_equal (4 * MIB, s.rate_limit);
  if (most < 8 * MIB) {
    assert_int_equal (MIRROR_COPYING, s.state);
    assert_true (s.seconds_to_go >= 0);
  }
  /* The end does not wait for the rate. */
  finish (&f);
}

/* A rate that would take days is lifted while the job waits for it. */
static void
test_set_rate (void **state)
{
  struct mirror_status s;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, 8 * MIB, 1);
  f.o.rate = 1;
  start (&f);
  do {
    nap ();
    mirror_status (f.m, &s);
  } while (s.bytes_sent == 0);
  assert_int_equal (MIRROR_COPYING, s.state);
  assert_int_equal (0, mirror_set_rate (f.m, 0, why));
  wait_equal (&f);
  mirror_status (f.m, &s);
  assert_int_equal (0, s.rate_limit);

  /* It stays over a stop, and limits the next copy. */
  assert_int_equal (0, mirror_stop (f.m, false, &s.stopped, why));
  assert_int_equal (0, mirror_set_rate (f.m, 1, why));
  assert_int_equal (1, mirror_start (f.m, false, why));
  do {
    nap ();
    mirror_status (f.m, &s);
  } while (s.bytes_sent == 0);
  assert_int_equal (1, s.rate_limit);
  assert_int_equal (MIRROR_COPYING, s.state);
  assert_int_equal (0, mirror_set_rate (f.m, INT64_MAX, why));
  wait_equal (&f);
  finish (&f);
}

/* How far the job is ahead of its rate, once it has left the secondary. */
static int64_t
debt (struct fixture *f)
{
  int64_t r;

  mutex_lock (&f->m->lock);
  while (f->m->attached)
    pthread_cond_wait (&f->m->changed, &f->m->lock.m);
  r = f->m->rate_next - clock_now ();
  mutex_unlock (&f->m->lock);
  return r;
}

/* What the job was to wait for when the secondary was lost, but has not sent,
 * does not count.
 */
static void
test_rate_after_outage (void **state)
{
  struct mirror_status s;
  struct fixture f;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, 8 * MIB, 1);
  f.o.rate = 1;
  f.o.fail = true;
  start (&f);
  do {
    nap ();
    mirror_status (f.m, &s);
  } while (s.bytes_sent == 0);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  assert_errno (EIO, bdev_write (f.client, "a", 1, 0, 0));
  assert_in_range (debt (&f), 0, s.bytes_sent * NS_PER_S);
  finish (&f);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_stop_start),
    cmocka_unit_test (test_stop_while_connecting),
    cmocka_unit_test (test_stop_while_checking),
    cmocka_unit_test (test_start_with_fail),
    cmocka_unit_test (test_start_later),
    cmocka_unit_test (test_verify),
    cmocka_unit_test (test_stop_while_verifying),
    cmocka_unit_test (test_fail_while_verifying),
    cmocka_unit_test (test_start_behind_job),
    cmocka_unit_test (test_end_while_starting),
    cmocka_unit_test (test_primary_changes),
    cmocka_unit_test (test_copy_over_start),
    cmocka_unit_test (test_cut_before_refusal),
    cmocka_unit_test (test_rate),
    cmocka_unit_test (test_set_rate),
    cmocka_unit_test (test_rate_after_outage),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
