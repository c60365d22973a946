/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's engine, with block devices in memory that fail on purpose. */

#include "unit.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "mirror-fixture.h"

/* How many large allocations of the mirror succeed; -1: all. */
static atomic_int mallocs_left = -1;

extern void *__real_malloc (size_t n);
extern void *__wrap_malloc (size_t n);

void *
__wrap_malloc (size_t n)
{
  if (n < 100000 || atomic_load (&mallocs_left) < 0)
    return __real_malloc (n);
  if (atomic_load (&mallocs_left) == 0) {
    errno = ENOMEM;
    return NULL;
  }
  atomic_fetch_sub (&mallocs_left, 1);
  return __real_malloc (n);
}

/* ----------------------------------------------------------- first copy */

static void
test_copy (void **state)
{
  struct fixture f;
  struct mirror_status s;

  (void) state;
  prepare (&f, ODD);
  fill (f.primary, 0, 100000, 1);
  fill (f.primary, 2 * MIB + 5000, MIB, 2);
  fill (f.primary, ODD - 3, 3, 3);
  start (&f);
  wait_equal (&f);
  mirror_status (f.m, &s);
  assert_int_equal (0, s.bytes_out_of_sync);
  assert_int_equal (s.bytes_total, s.bytes_done);
  assert_int_equal (ODD, s.bytes_done);
  assert_int_equal (0, s.bytes_zeroed); /* the secondary was empty */
  finish (&f);
}

/* Holes are zeroed, not sent, and what is zero is not zeroed. */
static void
test_holes (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, 16 * MIB);
  fill (f.primary, MIB, 4096, 1);
  fill (f.secondary, 8 * MIB, 8192, 2);
  start (&f);
  wait_equal (&f);
  assert_int_equal (4096, f.secondary->bytes_written);
  assert_in_range (f.secondary->bytes_zeroed, 8192, 16 * MIB);
  finish (&f);

  prepare (&f, 16 * MIB);
  fill (f.secondary, 0, 3 * MIB, 2);
  f.secondary->bdev.info.can_zero = false;
  f.secondary->bdev.info.can_fast_zero = false;
  start (&f);
  wait_equal (&f);
  finish (&f);
}

/* Without block status on either side. */
static void
test_no_extents (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, ODD);
  fill (f.primary, 70000, 100000, 1);
  fill (f.secondary, 0, ODD, 2);
  f.primary->bdev.info.can_extents = false;
  f.secondary->bdev.info.can_extents = false;
  start (&f);
  wait_equal (&f);
  assert_in_range (f.secondary->bytes_written, 100000, MIB);
  finish (&f);
}

static void
test_sizes (void **state)
{
  static const uint64_t sizes[] = { 0, 1, 511, 4096, 65535, 65536, 65537,
                                    2 * 1024 * 1024 + 1 };
  struct fixture f;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    prepare (&f, sizes[i]);
    if (sizes[i])
      fill (f.primary, 0, sizes[i], i);
    start (&f);
    wait_equal (&f);
    if (sizes[i])
      put (&f, sizes[i] - 1, 1, 'z');
    assert_equal_sides (&f);
    finish (&f);
  }
}

static void
test_refused (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, ODD);
  f.secondary->bdev.info.size = ODD - 1;
  assert_null (mirror_new (&f.o));
  assert_string_equal (last_error, "mirror of export \"x\": the secondary's "
                       "size is 5255224 bytes, expected the primary's, "
                       "5255225");
  f.secondary->bdev.info.size = ODD;
  f.secondary->bdev.info.readonly = true;
  assert_null (mirror_new (&f.o));
  assert_non_null (strstr (last_error, "the secondary is read-only"));
  f.secondary->bdev.info.readonly = false;
  f.secondary->bdev.info.block_min = 512;
  assert_null (mirror_new (&f.o));
  assert_non_null (strstr (last_error, "expected a multiple of the "
                           "secondary's minimum block size, 512"));
  f.secondary->bdev.info.block_min = 1;
  f.secondary->down = true;
  assert_null (mirror_new (&f.o));
  f.secondary->down = false;
  f.primary->bdev.info.readonly = true;
  assert_null (mirror_new (&f.o));
  assert_non_null (strstr (last_error, "the primary is read-only"));
  finish (&f);
}

/* What a mirror needs for its life it has from the start, or there is none. */
static void
test_no_memory (void **state)
{
  struct fixture f;
  int n;

  (void) state;
  prepare (&f, ODD);
  for (n = 0; n < 2; n++) {
    atomic_store (&mallocs_left, n);
    assert_null (mirror_new (&f.o));
    assert_int_equal (ENOMEM, errno);
    assert_string_equal (last_error,
                         "mirror of export \"x\": Cannot allocate memory");
  }
  atomic_store (&mallocs_left, -1);
  start_synchronised (&f);
  finish (&f);
}

/* --------------------------------------------------------------- changes */

static void
test_changes (void **state)
{
  struct fixture f;

  (void) state;
  start_full (&f, ODD);
  put (&f, 1000, 3 * 65536, 'a');
  assert_int_equal (0, bdev_zero (f.client, 100001, 70001, 0));
  assert_int_equal (0, bdev_zero (f.client, 65536, 3 * MIB, BDEV_MAY_TRIM));
  assert_int_equal (0, bdev_trim (f.client, 9999, 4 * MIB, 0));
  assert_int_equal (0, bdev_zero (f.client, 10, 10, BDEV_FAST_ZERO));
  assert_equal_sides (&f);
  assert_int_equal (MIRROR_SYNCHRONISED, state_of (&f));
  /* FUA is on stable storage. */
  assert_int_equal (0, bdev_write (f.client, "xyz", 3, 5, BDEV_FUA));
  assert_memory_equal (f.secondary->stable + 5, "xyz", 3);
  f.secondary->bdev.info.can_fua = false;
  assert_int_equal (0, bdev_write (f.client, "abc", 3, 5, BDEV_FUA));
  assert_memory_equal (f.secondary->stable + 5, "abc", 3);
  put (&f, 0, ODD, 'q');
  assert_int_equal (0, bdev_flush (f.client));
  assert_memory_equal (f.secondary->stable, f.primary->data, ODD);
  assert_memory_equal (f.primary->stable, f.primary->data, ODD);
  finish (&f);
}

/* The secondary's blocks are larger than the clients'. */
static void
test_blocks (void **state)
{
  struct fixture f;
  unsigned i, seed = 1;

  (void) state;
  prepare (&f, 4 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  f.secondary->bdev.info.block_min = 4096;
  start_synchronised (&f);
  for (i = 0; i < 200; i++) {
    uint64_t offset = rand_r (&seed) % (4 * MIB - 20000);
    uint32_t count = 1 + rand_r (&seed) % 20000;

    if (i % 3)
      put (&f, offset, count, i);
    else
      assert_int_equal (0, bdev_zero (f.client, count, offset,
                                      BDEV_MAY_TRIM));
  }
  put (&f, 4 * MIB - 1, 1, 'e');
  assert_equal_sides (&f);
  assert_int_equal (MIRROR_SYNCHRONISED, state_of (&f));
  finish (&f);
}

/* The rest of a block cannot be read from the primary: the secondary is not
 * lost.
 */
static void
unread_block (bool fail)
{
  struct mirror_status s;
  struct fixture f;
  int r;

  prepare (&f, 4 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  f.secondary->bdev.info.block_min = 4096;
  f.o.fail = fail;
  start_synchronised (&f);
  memory_set (f.primary, fail_reads, 1);
  r = bdev_write (f.client, "abc", 3, 5000, BDEV_FUA);
  if (fail) {
    assert_int_equal (-1, r);
    assert_int_equal (EIO, errno);
  }
  else
    assert_int_equal (0, r);
  wait_equal (&f);
  assert_memory_equal (f.secondary->data + 5000, "abc", 3);
  mirror_status (f.m, &s);
  assert_int_equal (0, s.outages);
  finish (&f);
}

static void
test_unread_block (void **state)
{
  (void) state;
  unread_block (false);
  unread_block (true);
}

/* ---------------------------------------------------------------- faults */

static void
test_lost (void **state)
{
  struct fixture f;
  struct mirror_status s;

  (void) state;
  start_full (&f, 16 * MIB);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  put (&f, 5 * MIB, 10, 'a');
  assert_int_equal (MIRROR_DEGRADED, state_of (&f));
  put (&f, 6 * MIB, 10, 'b');
  assert_int_equal (0, bdev_flush (f.client));
  mirror_status (f.m, &s);
  assert_int_equal (2 * GRANULE, s.bytes_out_of_sync);
  assert_int_equal (1, s.outages);
  assert_non_null (strstr (s.error, "the secondary is lost"));
  f.secondary->bytes_written = 0;
  memory_up (f.secondary);
  wait_equal (&f);
  /* Only what was dirty was sent. */
  assert_int_equal (2 * GRANULE, f.secondary->bytes_written);
  finish (&f);
}

/* Without any request, the job sees that it is gone. */
static void
test_lost_idle (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, MIB);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  wait_state (&f, MIRROR_DEGRADED);
  memory_up (f.secondary);
  wait_state (&f, MIRROR_SYNCHRONISED);
  finish (&f);
}

/* The secondary returns with holes: only they are copied. */
static void
punch (struct memory_bdev *m, uint64_t offset, uint64_t count)
{
  pthread_mutex_lock (&m->lock);
  memset (m->data + offset, 0, count);
  memset (m->mapped + offset / MEMORY_BLOCK, 0, count / MEMORY_BLOCK);
  pthread_mutex_unlock (&m->lock);
}

static void
test_lost_holes (void **state)
{
  struct mirror_status s;
  struct fixture f;
  unsigned i;

  (void) state;
  prepare (&f, 8 * MIB);
  /* Data and holes by turns; every fourth granule is all data. */
  for (i = 0; i < 512; i++)
    if (i % 2 || i / 4 % 4 == 0)
      fill (f.primary, i * 4 * MEMORY_BLOCK, 4 * MEMORY_BLOCK, i);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  wait_state (&f, MIRROR_DEGRADED);
  punch (f.secondary, 5 * GRANULE, GRANULE);
  punch (f.secondary, 16 * GRANULE + MEMORY_BLOCK, MEMORY_BLOCK);
  punch (f.secondary, 18 * GRANULE, 4 * MEMORY_BLOCK); /* a hole anyway */
  punch (f.secondary, 8 * MIB - 4 * MEMORY_BLOCK, 4 * MEMORY_BLOCK);
  memory_up (f.secondary);
  wait_equal (&f);
  mirror_status (f.m, &s);
  assert_int_equal (3 * GRANULE, s.bytes_done);
  finish (&f);
}

/* Y3: what was not flushed is lost with a volatile cache. */
static void
test_volatile (void **state)
{
  struct fixture f;
  struct mirror_status s;

  (void) state;
  start_full (&f, 16 * MIB);
  put (&f, 0, 100, 'f');
  assert_int_equal (0, bdev_flush (f.client));
  /* The job flushes now and then: not before the crash. */
  memory_set (f.secondary, hold_next_flush, true);
  put (&f, 3 * MIB, 2 * GRANULE, 'u');
  put (&f, 7 * MIB, MIB, 'v');
  memory_crash (f.secondary, LOSE_UNFLUSHED, true);
  memory_set (f.secondary, hold_next_flush, false);
  memory_set (f.secondary, held, false);
  put (&f, 9 * MIB, 10, 'w');
  mirror_status (f.m, &s);
  assert_int_equal (MIRROR_DEGRADED, s.state);
  assert_int_equal ((2 + 16 + 1) * GRANULE, s.bytes_out_of_sync);
  memory_up (f.secondary);
  wait_equal (&f);

  /* A flush that fails has dropped something. */
  put (&f, 3 * MIB, 100, 'x');
  memory_set (f.secondary, fail_flushes, 1);
  assert_int_equal (0, bdev_flush (f.client));
  wait_equal (&f);
  finish (&f);
}

/* A RAM disk that was started anew. */
static void
test_back_empty (void **state)
{
  struct fixture f;

  (void) state;
  prepare (&f, 16 * MIB);
  fill (f.primary, MIB, 8 * MIB, 1);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_ALL, true);
  put (&f, 5 * MIB, 10, 'a');
  memory_up (f.secondary);
  wait_equal (&f);
  /* Without block status, samples tell. */
  f.secondary->bdev.info.can_extents = false;
  memory_crash (f.secondary, LOSE_ALL, true);
  put (&f, 5 * MIB, 10, 'b');
  memory_up (f.secondary);
  wait_equal (&f);
  finish (&f);
}

/* One that has changed is refused, until it is as it was. */
static void
test_back_other (void **state)
{
  struct fixture f;
  struct mirror_status s;
  unsigned i;

  (void) state;
  prepare (&f, MIB);
  start_synchronised (&f);
  memory_crash (f.secondary, LOSE_NOTHING, true);
  wait_state (&f, MIRROR_DEGRADED);
  f.secondary->bdev.info.readonly = true;
  memory_up (f.secondary);
  for (i = 0; i < 10000; i++) {
    mirror_status (f.m, &s);
    if (strstr (s.error, "read-only"))
      break;
    nap ();
  }
  assert_non_null (strstr (s.error, "read-only"));
  assert_int_equal (MIRROR_DEGRADED, s.state);
  memory_set (f.secondary, down, true);
  for (i = 0; i < 200; i++)
    nap ();
  f.secondary->bdev.info.readonly = false;
  memory_up (f.secondary);
  wait_state (&f, MIRROR_SYNCHRONISED);
  finish (&f);
}

static void
test_on_error_fail (void **state)
{
  struct fixture f;
  char c;

  (void) state;
  prepare (&f, MIB);
  f.o.fail = true;
  start_synchronised (&f);
  put (&f, 0, 1, 'a');
  memory_crash (f.secondary, LOSE_NOTHING, true);
  assert_errno (EIO, bdev_write (f.client, "b", 1, 1, 0));
  assert_errno (EIO, bdev_write (f.client, "c", 1, 2, 0));
  assert_errno (EIO, bdev_flush (f.client));
  assert_int_equal (0, bdev_read (f.client, &c, 1, 0));
  memory_up (f.secondary);
  wait_state (&f, MIRROR_SYNCHRONISED);
  assert_int_equal (0, bdev_write (f.client, "b", 1, 1, 0));
  assert_equal_sides (&f);
  finish (&f);
}

/* What the job has not copied yet is changed on both disks all the same. */
static void
test_on_error_fail_dirty (void **state)
{
  struct mirror_status s;
  char why[MIRROR_WHY];
  struct fixture f;

  (void) state;
  prepare (&f, 8 * MIB);
  fill (f.primary, 0, 8 * MIB, 1);
  f.o.fail = true;
  f.o.rate = 1;
  start (&f);
  do {
    nap ();
    mirror_status (f.m, &s);
  } while (s.bytes_sent == 0);
  assert_int_equal (0, bdev_write (f.client, "fua", 3, 6 * MIB + 5, BDEV_FUA));
  assert_memory_equal (f.secondary->stable + 6 * MIB + 5, "fua", 3);
  put (&f, 7 * MIB, 4096, 'z');
  memory_set (f.secondary, slow_zero, true);
  assert_int_equal (0, bdev_zero (f.client, 4096, 7 * MIB, BDEV_FAST_ZERO));
  assert_int_equal (0, f.secondary->data[7 * MIB]);
  mirror_status (f.m, &s);
  assert_int_equal (MIRROR_COPYING, s.state);
  assert_int_equal (0, mirror_set_rate (f.m, 0, why));
  wait_equal (&f);
  finish (&f);
}

/* A primary that fails: the client gets its error, the job tells. */
static void
test_primary_fails (void **state)
{
  struct fixture f;
  char why[MIRROR_WHY];
  struct mirror_status s;

  (void) state;
  prepare (&f, 4 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  f.primary->fail_with = ENOMEDIUM;
  start_synchronised (&f);
  memory_set (f.primary, fail_writes, 1);
  assert_errno (ENOMEDIUM, bdev_write (f.client, "abcdef", 6, 99, 0));
  wait_equal (&f);

  memory_set (f.primary, fail_reads, 1);
  memory_set (f.primary, fail_writes, 1);
  assert_errno (ENOMEDIUM, bdev_write (f.client, "abcdef", 6, 99, 0));
  wait_state (&f, MIRROR_FAILED);
  mirror_status (f.m, &s);
  assert_string_equal (s.error, "the primary cannot be read at 0: "
                       "No medium found");
  /* The rest of the disk is mirrored all the same. */
  put (&f, 2 * MIB, 100, 'm');
  assert_int_equal ('m', f.secondary->data[2 * MIB]);
  assert_int_equal (GRANULE, s.bytes_out_of_sync);
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_equal (&f);
  finish (&f);
}

static void *
slow_put (void *opaque)
{
  put (opaque, 100, 4096, 's');
  return NULL;
}

/* A write whose granules are all dirty goes to the primary only, and is slow
 * there.  Meanwhile the secondary is lost, comes back and is copied to (Y10).
 */
static void
test_slow_primary (void **state)
{
  struct fixture f;
  char why[MIRROR_WHY];
  pthread_t thread;
  int seconds;

  (void) state;
  start_full (&f, 4 * MIB);
  memory_set (f.primary, fail_reads, 1);
  memory_set (f.primary, fail_writes, 1);
  assert_int_equal (-1, bdev_write (f.client, "abcdef", 6, 99, 0));
  wait_state (&f, MIRROR_FAILED);
  memory_set (f.primary, slow_seconds, 2);
  pthread_create (&thread, NULL, slow_put, &f);
  do {
    nap ();
    pthread_mutex_lock (&f.primary->lock);
    seconds = f.primary->slow_seconds;
    pthread_mutex_unlock (&f.primary->lock);
  } while (seconds);
  memory_crash (f.secondary, LOSE_NOTHING, false);
  assert_int_equal (0, bdev_flush (f.client));
  assert_int_equal (1, mirror_start (f.m, true, why));
  wait_state (&f, MIRROR_SYNCHRONISED);
  pthread_join (thread, NULL);
  wait_equal (&f);
  assert_int_equal ('s', f.secondary->data[100]);
  finish (&f);
}

/* A client's write is started at the secondary, and only waited for after the
 * primary's; a device that cannot start a write does it at once.
 */
static void
test_overlap (void **state)
{
  struct fixture f;
  struct bdev_ops plain;

  (void) state;
  prepare (&f, 4 * MIB);
  fill (f.primary, 0, 4 * MIB, 1);
  start_synchronised (&f);
  put (&f, 100, 100, 'e');
  put (&f, 201, 101, 'o');
  assert_int_equal (f.secondary->started, 2);
  assert_int_equal (f.primary->started, 0);
  assert_equal_sides (&f);
  memory_set (f.primary, fail_writes, 1);
  assert_int_equal (-1, bdev_write (f.client, "abcdef", 6, 99, 0));
  assert_int_equal (f.secondary->started, 3);
  wait_equal (&f);
  finish (&f);

  prepare (&f, 4 * MIB);
  plain = *f.secondary->bdev.ops;
  plain.write_start = NULL;
  plain.write_wait = NULL;
  f.secondary->bdev.ops = &plain;
  start_synchronised (&f);
  put (&f, 300, 100, 'p');
  assert_int_equal (f.secondary->started, 0);
  assert_equal_sides (&f);
  memory_set (f.secondary, fail_writes, 1);
  put (&f, 400, 100, 'q');
  wait_equal (&f);
  finish (&f);
}

/* ------------------------------------------------------------ the stress */

#define STRESS_SIZE (3 * MIB + 5 * 512)
#define STRESS_CLIENTS 3

static struct {
  struct fixture f;
  atomic_bool end;
  unsigned block;
} stress;

static void *
stress_client (void *opaque)
{
  unsigned seed = (uintptr_t) opaque;
  struct bdev *c = mirror_client (stress.f.m, &stress.f.primary->bdev);
  char *buf = malloc (200000);

  while (!atomic_load (&stress.end)) {
    uint32_t most = rand_r (&seed) % 8 ? 20000 : 200000;
    uint32_t count = 1 + rand_r (&seed) % most;
    uint64_t offset = rand_r (&seed) % (STRESS_SIZE - count);
    uint32_t flags = rand_r (&seed) % 16 ? 0 : BDEV_FUA;
    int r = 0;

    switch (rand_r (&seed) % 12) {
    case 0:
      r = bdev_zero (c, count, offset,
                     flags | (rand_r (&seed) % 2 ? BDEV_MAY_TRIM : 0));
      break;
    case 1:
      r = bdev_trim (c, count, offset, flags);
      break;
    case 2:
      r = bdev_flush (c);
      break;
    case 3:
      r = bdev_read (c, buf, count, offset);
      break;
    default:
      memset (buf, rand_r (&seed), count);
      r = bdev_write (c, buf, count, offset, flags);
    }
    if (r == -1 && errno != ENOSPC)
      abort ();
    if (rand_r (&seed) % 8 == 0)
      nap ();
  }
  free (buf);
  bdev_close (c);
  return NULL;
}

static void
do_harm (struct fixture *f, unsigned *seed)
{
  static struct mirror_verified v;
  struct mirror_stopped stopped;
  char why[MIRROR_WHY];

  switch (rand_r (seed) % 9) {
  case 0:
  case 1:
    memory_crash (f->secondary, LOSE_UNFLUSHED, rand_r (seed) % 2);
    break;
  case 2:
    memory_crash (f->secondary, LOSE_ALL, rand_r (seed) % 2);
    break;
  case 3:
    memory_set (f->secondary, fail_writes, 1 + rand_r (seed) % 3);
    break;
  case 4:
    memory_set (f->secondary, fail_flushes, 1);
    break;
  case 5:
    memory_set (f->primary, fail_writes, 1 + rand_r (seed) % 2);
    break;
  case 6:
    if (mirror_stop (f->m, rand_r (seed) % 2, &stopped, why) == 0) {
      nap ();
      mirror_start (f->m, rand_r (seed) % 2, why);
    }
    break;
  case 7:
    mirror_verify (f->m, false, why);
    break;
  default:
    memory_crash (f->secondary, LOSE_NOTHING, true);
  }
  mirror_verified (f->m, &v);
  /* What is clean is the same, whatever happens (Y1). */
  if (v.bytes_differing)
    fail_msg ("%d bytes differ, the first at %d", (int) v.bytes_differing,
              (int) v.extent[0].offset);
}

static void
stress_epoch (unsigned seed)
{
  struct fixture *f = &stress.f;
  pthread_t thread[STRESS_CLIENTS];
  unsigned i, k;

  atomic_store (&stress.end, false);
  for (i = 0; i < STRESS_CLIENTS; i++)
    pthread_create (&thread[i], NULL, stress_client,
                    (void *) (uintptr_t) (seed * 10 + i));
  for (i = 0; i < 6; i++) {
    for (k = rand_r (&seed) % 100; k; k--)
      nap ();
    do_harm (f, &seed);
    for (k = rand_r (&seed) % 20; k; k--)
      nap ();
    memory_up (f->secondary);
  }
  /* With the clients at work it must come to an end, too. */
  if (seed % 2)
    wait_state (f, MIRROR_SYNCHRONISED);
  atomic_store (&stress.end, true);
  for (i = 0; i < STRESS_CLIENTS; i++)
    pthread_join (thread[i], NULL);
  memory_set (f->secondary, fail_writes, 0);
  memory_set (f->secondary, fail_flushes, 0);
  memory_set (f->primary, fail_writes, 0);
  /* A loss that nobody has noticed is noticed now, not with the next probe. */
  assert_int_equal (0, bdev_flush (f->client));
  wait_equal (f);
}

static void
test_stress (void **state)
{
  const char *text = getenv ("MBLOCK_TEST_SEED");
  unsigned seed = text ? (unsigned) atoi (text) : (unsigned) time (NULL);
  const char *rounds = getenv ("MBLOCK_TEST_ROUNDS");
  unsigned n = rounds ? (unsigned) atoi (rounds) : 6, i;

  (void) state;
  print_message ("MBLOCK_TEST_SEED=%u\n", seed);
  for (i = 0; i < 2; i++) {
    unsigned k;

    prepare (&stress.f, STRESS_SIZE);
    fill (stress.f.primary, 0, MIB, seed);
    stress.f.primary->fail_with = ENOSPC;
    stress.f.secondary->bdev.info.block_min = i ? 512 : 1;
    stress.f.secondary->slow = 20000;
    start (&stress.f);
    for (k = 0; k < n; k++)
      stress_epoch (seed + k);
    finish (&stress.f);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_copy),
    cmocka_unit_test (test_holes),
    cmocka_unit_test (test_no_extents),
    cmocka_unit_test (test_sizes),
    cmocka_unit_test (test_refused),
    cmocka_unit_test (test_no_memory),
    cmocka_unit_test (test_changes),
    cmocka_unit_test (test_blocks),
    cmocka_unit_test (test_unread_block),
    cmocka_unit_test (test_lost),
    cmocka_unit_test (test_lost_idle),
    cmocka_unit_test (test_lost_holes),
    cmocka_unit_test (test_volatile),
    cmocka_unit_test (test_back_empty),
    cmocka_unit_test (test_back_other),
    cmocka_unit_test (test_on_error_fail),
    cmocka_unit_test (test_on_error_fail_dirty),
    cmocka_unit_test (test_primary_fails),
    cmocka_unit_test (test_slow_primary),
    cmocka_unit_test (test_overlap),
    cmocka_unit_test (test_stress),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
