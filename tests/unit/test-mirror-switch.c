/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's switch-over, with block devices in memory that fail on purpose.
 */

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "mirror-fixture.h"

#define SIZE SWITCH_SIZE

static void
put_at (struct bdev *b, uint64_t offset, uint32_t count, int byte,
        uint32_t flags)
{
  char *buf = malloc (count);

  memset (buf, byte, count);
  assert_int_equal (0, bdev_write (b, buf, count, offset, flags));
  free (buf);
}

static int
get (struct bdev *b, uint64_t offset)
{
  unsigned char byte;

  assert_int_equal (0, bdev_read (b, &byte, 1, offset));
  return byte;
}

static void
switch_over (struct fixture *f)
{
  struct mirror_switched s;
  char why[MIRROR_WHY] = "";

  if (mirror_switch (f->m, &s, why) == -1)
    fail_msg ("%s", why);
  assert_true (s.pause > 0);
}

static void
not_switched (struct fixture *f, const char *expected)
{
  struct mirror_switched s;
  char why[MIRROR_WHY] = "";

  assert_int_equal (-1, mirror_switch (f->m, &s, why));
  if (strstr (why, expected) == NULL)
    fail_msg ("got \"%s\", expected \"%s\"", why, expected);
  assert_int_equal (0, shares);
  /* Clients go on with the primary. */
  put_at (f->client, 0, 1, 'p', 0);
  assert_int_equal ('p', f->primary->data[0]);
  assert_int_equal ('p', get (f->client, 0));
}

/* Any request that reaches the primary ends the test. */
static void
end_primary (struct fixture *f)
{
  memory_crash (f->primary, LOSE_ALL, true);
}

static int
sum_extents (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  (void) offset;
  *(uint64_t *) opaque += type ? 0 : length;
  return 0;
}

static void
test_switch (void **state)
{
  struct fixture f;
  struct mirror_status s;
  struct mirror_stopped stopped;
  struct bdev *later;
  char why[MIRROR_WHY];
  uint64_t data = 0;

  (void) state;
  prepare_switch (&f);
  start_synchronised (&f);
  put_at (f.client, MIB, 5000, 'a', 0);
  switch_over (&f);
  end_primary (&f);
  assert_int_equal (1, rides);
  assert_int_equal ('a', f.secondary->stable[MIB]); /* it was flushed */
  assert_int_equal ('a', get (f.client, MIB + 4999));
  put_at (f.client, 2 * MIB, 4096, 'b', BDEV_FUA);
  assert_int_equal ('b', f.secondary->stable[2 * MIB]);
  assert_int_equal (0, bdev_zero (f.client, 4096, MIB, BDEV_FAST_ZERO));
  assert_int_equal (0, get (f.client, MIB));
  assert_int_equal (0, bdev_trim (f.client, 4096, 2 * MIB, 0));
  assert_int_equal (0, bdev_cache (f.client, 4096, 0));
  assert_int_equal (0, bdev_flush (f.client));
  put_at (f.client, 3 * MIB, 4096, 'c', 0);
  assert_int_equal (0, bdev_extents (f.client, MIB, 3 * MIB, 0, sum_extents,
                                     &data));
  assert_int_equal (4096, data);

  later = mirror_client (f.m, NULL);
  assert_non_null (later);
  assert_int_equal (SIZE, later->info.size);
  assert_int_equal ('c', get (later, 3 * MIB));
  put_at (later, 3 * MIB, 1, 'd', 0);
  bdev_close (later);
  assert_int_equal ('d', get (f.client, 3 * MIB));

  mirror_status (f.m, &s);
  assert_int_equal (MIRROR_SWITCHED, s.state);
  assert_int_equal (1, s.switched.writes);
  assert_int_equal (-1, mirror_stop (f.m, true, &stopped, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  assert_int_equal (-1, mirror_start (f.m, false, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  assert_int_equal (-1, mirror_verify (f.m, false, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  assert_int_equal (-1, mirror_switch (f.m, &s.switched, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  finish_switch (&f);
}

/* After the switch, another disk has the primary's name. */
static bool replaced;
static unsigned looks;

static enum instance_now
look (const struct instance *instance, uint64_t *size)
{
  (void) instance;
  *size = SIZE;
  looks++;
  return replaced ? INSTANCE_REPLACED : INSTANCE_SAME;
}

static void
not_stopped (struct fixture *f)
{
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];

  assert_int_equal (-1, mirror_stop (f->m, true, &stopped, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  assert_int_equal (MIRROR_SWITCHED, state_of (f));
}

static void
test_name_after_switch (void **state)
{
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare_switch (&f);
  f.instance.look = look;
  replaced = false;
  start_synchronised (&f);
  switch_over (&f);
  end_primary (&f);
  replaced = true;
  looks = 0;
  assert_int_equal (-1, mirror_verify (f.m, false, why));
  assert_non_null (strstr (why, "the mirror has switched"));
  not_stopped (&f);
  assert_int_equal (0, looks);
  put_at (f.client, 0, 1, 'a', 0);
  assert_int_equal ('a', f.secondary->data[0]);
  finish_switch (&f);
}

/* A stop waits for the instance, which the switch holds. */
static struct fixture *switching;

static void
hold (const struct instance *instance)
{
  struct fixture *f = switching;

  (void) instance;
  switching = NULL;
  if (f) {
    switch_over (f);
    replaced = true;
  }
}

static void
release (const struct instance *instance)
{
  (void) instance;
}

static void
test_stop_behind_switch (void **state)
{
  struct fixture f;

  (void) state;
  prepare_switch (&f);
  f.instance.look = look;
  f.instance.hold = hold;
  f.instance.release = release;
  replaced = false;
  start_synchronised (&f);
  switching = &f;
  not_stopped (&f);
  finish_switch (&f);
}

/* What the secondary cannot is done by other means. */
static void
test_lesser_secondary (void **state)
{
  struct fixture f;
  uint64_t data = 0;
  unsigned flushes;

  (void) state;
  prepare_switch (&f);
  f.secondary->bdev.info.can_fua = f.secondary->bdev.info.can_zero = false;
  f.secondary->bdev.info.can_trim = f.secondary->bdev.info.can_cache = false;
  f.secondary->bdev.info.can_fast_zero = false;
  f.secondary->bdev.info.can_extents = false;
  start_synchronised (&f);
  switch_over (&f);
  end_primary (&f);
  flushes = f.secondary->flushes;
  put_at (f.client, 0, 100, 'a', BDEV_FUA);
  assert_int_equal ('a', f.secondary->stable[0]);
  assert_int_equal (flushes + 1, f.secondary->flushes);
  put_at (f.client, MIB, MIB, 'b', 0);
  assert_int_equal (-1, bdev_zero (f.client, 10, MIB, BDEV_FAST_ZERO));
  assert_int_equal (ENOTSUP, errno);
  assert_int_equal (0, bdev_zero (f.client, MIB, MIB, BDEV_FUA));
  assert_int_equal (0, f.secondary->stable[2 * MIB - 1]);
  put_at (f.client, MIB, MIB, 'b', 0);
  assert_int_equal (0, bdev_trim (f.client, MIB, MIB, BDEV_FUA));
  assert_int_equal (0, f.secondary->stable[2 * MIB - 1]);
  assert_int_equal (0, bdev_cache (f.client, 10, 0));
  assert_int_equal (0, bdev_extents (f.client, MIB, 0, 0, sum_extents, &data));
  assert_int_equal (MIB, data);
  finish_switch (&f);
}

static void
test_refused (void **state)
{
  struct fixture f;
  unsigned i;

  (void) state;
  prepare_switch (&f);
  f.secondary->bdev.info.block_min = 512;
  start_synchronised (&f);
  not_switched (&f, "the secondary's minimum block size is 512 bytes, expected "
                "at most the primary's, 1");
  finish_switch (&f);

  prepare_switch (&f);
  f.secondary->bdev.info.can_flush = false;
  start_synchronised (&f);
  not_switched (&f, "the secondary does not offer flush");
  finish_switch (&f);

  /* FUA without flush */
  prepare_switch (&f);
  f.primary->bdev.info.can_flush = f.secondary->bdev.info.can_flush = false;
  start_synchronised (&f);
  not_switched (&f, "the secondary does not offer flush");
  finish_switch (&f);

  /* a flush that only the first secondary offered */
  prepare_switch (&f);
  f.primary->bdev.info.can_flush = f.primary->bdev.info.can_fua = false;
  start_synchronised (&f);
  assert_true (f.client->info.can_flush);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  wait_state (&f, MIRROR_DEGRADED);
  f.secondary->bdev.info.can_flush = false;
  memory_up (f.secondary);
  wait_state (&f, MIRROR_SYNCHRONISED);
  not_switched (&f, "the secondary does not offer flush");
  finish_switch (&f);

  /* nothing was promised */
  prepare_switch (&f);
  f.primary->bdev.info.can_flush = f.primary->bdev.info.can_fua = false;
  f.secondary->bdev.info.can_flush = false;
  start_synchronised (&f);
  switch_over (&f);
  finish_switch (&f);

  prepare_switch (&f);
  f.instance.ride_out = NULL;
  start_synchronised (&f);
  not_switched (&f, "cannot be switched to");
  finish_switch (&f);

  prepare_switch (&f);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  put_at (f.client, 0, 1, 'x', 0);
  for (i = 0; i < 60000 && state_of (&f) != MIRROR_DEGRADED; i++)
    nap ();
  not_switched (&f, "the mirror is degraded");
  memory_up (f.secondary);
  wait_state (&f, MIRROR_SYNCHRONISED);
  switch_over (&f);
  finish_switch (&f);
}

/* Each step that can fail does once, and then it succeeds. */
static void
test_fails_in_the_middle (void **state)
{
  struct fixture f;
  struct bdev *other;

  (void) state;
  prepare_switch (&f);
  start_synchronised (&f);
  other = mirror_client (f.m, &f.primary->bdev);
  shares_left = 1;              /* for one of two */
  not_switched (&f, "Cannot allocate memory");
  shares_left = 1000;

  wait_state (&f, MIRROR_SYNCHRONISED);
  put_at (f.client, MIB, 1, 'f', 0);
  memory_set (f.secondary, fail_flushes, 1);
  not_switched (&f, "the secondary was lost before the switch");
  wait_state (&f, MIRROR_SYNCHRONISED);

  rides_left = 0;
  not_switched (&f, "the secondary was lost before the switch");
  rides_left = 1000;
  wait_state (&f, MIRROR_SYNCHRONISED);
  assert_int_equal (SIZE, memory_difference (f.primary, f.secondary));

  switch_over (&f);
  end_primary (&f);
  assert_int_equal ('f', get (other, MIB));
  bdev_close (other);
  finish_switch (&f);
}

/* A request that does not end holds nobody for ever. */
static void *
slow_write (void *opaque)
{
  put_at (opaque, 3 * MIB, 1, 's', 0);
  return NULL;
}

static void
test_slow_primary (void **state)
{
  struct fixture f;
  pthread_t thread;

  (void) state;
  prepare_switch (&f);
  start_synchronised (&f);
  f.primary->hold_next = true;
  pthread_create (&thread, NULL, slow_write, f.client);
  for (;;) {
    struct mirror_status s;

    mirror_status (f.m, &s);
    if (s.in_flight)
      break;
    nap ();
  }
  not_switched (&f, "requests (1) did not end within 5 seconds");
  memory_set (f.primary, held, false);
  pthread_join (thread, NULL);
  wait_state (&f, MIRROR_SYNCHRONISED);
  switch_over (&f);
  assert_int_equal ('s', get (f.client, 3 * MIB));
  finish_switch (&f);
}

/* ------------------------------------------------------------- under load */

#define CLIENTS 4

struct load {
  struct bdev *client;
  unsigned number;
  uint64_t writes;
  pthread_t thread;
};

static atomic_bool end_load;

/* Each writes to bytes of its own, and reads what it has written. */
static void *
load (void *opaque)
{
  struct load *l = opaque;
  unsigned seed = l->number;
  char shadow[64] = "";

  while (!atomic_load (&end_load)) {
    unsigned i = rand_r (&seed) % 64;
    uint64_t offset = i * 65536 + l->number * 4096;

    if (rand_r (&seed) % 2) {
      shadow[i] = 1 + rand_r (&seed) % 255;
      put_at (l->client, offset, 4096, shadow[i],
           rand_r (&seed) % 8 ? 0 : BDEV_FUA);
      l->writes++;
    }
    else if (get (l->client, offset) != (unsigned char) shadow[i])
      fail_msg ("a stale read at %d", (int) offset);
    if (rand_r (&seed) % 32 == 0)
      assert_int_equal (0, bdev_flush (l->client));
  }
  for (unsigned i = 0; i < 64; i++)
    assert_int_equal ((unsigned char) shadow[i],
                      get (l->client, i * 65536 + l->number * 4096));
  return NULL;
}

static void
test_load (void **state)
{
  struct load l[CLIENTS];
  struct fixture f;
  unsigned i, k, round;

  (void) state;
  for (round = 0; round < 20; round++) {
    prepare_switch (&f);
    start_synchronised (&f);
    atomic_store (&end_load, false);
    for (i = 0; i < CLIENTS; i++) {
      l[i] = (struct load) { .number = i };
      l[i].client = mirror_client (f.m, &f.primary->bdev);
      pthread_create (&l[i].thread, NULL, load, &l[i]);
    }
    for (k = 0; k < 10; k++)
      nap ();
    if (round % 2) {
      struct mirror_switched s;
      char why[MIRROR_WHY];

      memory_set (f.secondary, fail_flushes, 1);
      mirror_switch (f.m, &s, why);
      memory_set (f.secondary, fail_flushes, 0);
      /* A write that was under way at the loss may end the synchronised state
       * once more.
       */
      for (k = 0; k < 60000 && state_of (&f) != MIRROR_SWITCHED; k++) {
        nap ();
        mirror_switch (f.m, &s, why);
      }
      assert_int_equal (MIRROR_SWITCHED, state_of (&f));
    }
    else
      switch_over (&f);
    end_primary (&f);
    for (k = 0; k < 10; k++)
      nap ();
    atomic_store (&end_load, true);
    for (i = 0; i < CLIENTS; i++) {
      pthread_join (l[i].thread, NULL);
      bdev_close (l[i].client);
    }
    finish_switch (&f);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_switch),
    cmocka_unit_test (test_name_after_switch),
    cmocka_unit_test (test_stop_behind_switch),
    cmocka_unit_test (test_lesser_secondary),
    cmocka_unit_test (test_refused),
    cmocka_unit_test (test_fails_in_the_middle),
    cmocka_unit_test (test_slow_primary),
    cmocka_unit_test (test_load),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
