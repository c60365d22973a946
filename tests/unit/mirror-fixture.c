/* SPDX-License-Identifier: BSD-3-Clause */
/* A mirror between two block devices in memory. */

#include "unit.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#include "mirror-fixture.h"

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
char last_error[1024];

static void
log_line (enum engine_log level, const char *fmt, ...)
{
  va_list ap;

  if (level != ENGINE_ERROR)
    return;
  pthread_mutex_lock (&log_lock);
  va_start (ap, fmt);
  vsnprintf (last_error, sizeof last_error, fmt, ap);
  va_end (ap);
  pthread_mutex_unlock (&log_lock);
}

void
nap (void)
{
  nanosleep (&(struct timespec) { .tv_nsec = 1000000 }, NULL);
}

void
prepare (struct fixture *f, uint64_t size)
{
  memset (f, 0, sizeof *f);
  f->primary = memory_bdev (size);
  f->secondary = memory_bdev (size);
  f->instance = (struct instance) { .export_name = "x",
                                    .local = &f->primary->bdev,
                                    .upstream = &f->secondary->bdev,
                                    .log = log_line };
  f->o.instance = &f->instance;
}

void
start (struct fixture *f)
{
  f->m = mirror_new (&f->o);
  assert_non_null (f->m);
  f->client = mirror_client (f->m, &f->primary->bdev);
  assert_non_null (f->client);
}

void
finish (struct fixture *f)
{
  if (f->m) {
    bdev_close (f->client);
    mirror_end (f->m);
    mirror_free (f->m);
  }
  memory_free (f->primary);
  memory_free (f->secondary);
}

enum mirror_state
state_of (struct fixture *f)
{
  struct mirror_status s;

  mirror_status (f->m, &s);
  return s.state;
}

void
wait_state (struct fixture *f, enum mirror_state state)
{
  unsigned i;

  for (i = 0; i < 60000 && state_of (f) != state; i++)
    nap ();
  if (state_of (f) != state)
    fail_msg ("state %s, expected %s: %s", mirror_state_names[state_of (f)],
              mirror_state_names[state], last_error);
}

void
assert_equal_sides (struct fixture *f)
{
  assert_int_equal (f->primary->bdev.info.size,
                    memory_difference (f->primary, f->secondary));
}

void
fill (struct memory_bdev *m, uint64_t offset, uint64_t count, unsigned seed)
{
  char *buf = malloc (count);
  uint64_t i;

  for (i = 0; i < count; i++)
    buf[i] = 1 + rand_r (&seed) % 255;
  assert_int_equal (0, bdev_write (&m->bdev, buf, count, offset, 0));
  m->bytes_written -= count;
  free (buf);
}

void
put (struct fixture *f, uint64_t offset, uint32_t count, int byte)
{
  char *buf = malloc (count);

  memset (buf, byte, count);
  assert_int_equal (0, bdev_write (f->client, buf, count, offset, 0));
  free (buf);
}

void
wait_equal (struct fixture *f)
{
  wait_state (f, MIRROR_SYNCHRONISED);
  assert_equal_sides (f);
}

void
start_synchronised (struct fixture *f)
{
  start (f);
  wait_state (f, MIRROR_SYNCHRONISED);
}

void
start_full (struct fixture *f, uint64_t size)
{
  prepare (f, size);
  fill (f->primary, 0, size, 1);
  start_synchronised (f);
}

/* ---------------------------------------------------------- the switch */

unsigned shares, shares_left, rides, rides_left;

/* A client's way to the secondary. */
struct shared {
  struct bdev bdev;
  struct bdev *of;
};

static struct bdev *
of (struct bdev *b)
{
  return ((struct shared *) b)->of;
}

static int
shared_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  return bdev_read (of (b), buf, count, offset);
}

static int
shared_write (struct bdev *b, const void *buf, uint32_t count, uint64_t offset,
              uint32_t flags)
{
  return bdev_write (of (b), buf, count, offset, flags);
}

static int
shared_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  return bdev_zero (of (b), count, offset, flags);
}

static int
shared_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  return bdev_trim (of (b), count, offset, flags);
}

static int
shared_flush (struct bdev *b)
{
  return bdev_flush (of (b));
}

static int
shared_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  return bdev_cache (of (b), count, offset);
}

static int
shared_extents (struct bdev *b, uint64_t count, uint64_t offset, uint32_t flags,
                bdev_extent_fn fn, void *opaque)
{
  return bdev_extents (of (b), count, offset, flags, fn, opaque);
}

static void
shared_close (struct bdev *b)
{
  shares--;
  free (b);
}

static const struct bdev_ops shared_ops = {
  .read = shared_read,
  .write = shared_write,
  .zero = shared_zero,
  .trim = shared_trim,
  .flush = shared_flush,
  .cache = shared_cache,
  .extents = shared_extents,
  .close = shared_close,
};

static struct bdev *
share (const struct instance *instance)
{
  struct shared *s;

  if (shares_left == 0) {
    errno = ENOMEM;
    return NULL;
  }
  shares_left--;
  shares++;
  s = calloc (1, sizeof *s);
  s->bdev.ops = &shared_ops;
  s->bdev.info = instance->upstream->info;
  s->of = instance->upstream;
  return &s->bdev;
}

static int
ride_out (const struct instance *instance)
{
  (void) instance;
  if (rides_left == 0) {
    errno = ESHUTDOWN;
    return -1;
  }
  rides_left--;
  rides++;
  return 0;
}

void
prepare_switch (struct fixture *f)
{
  prepare (f, SWITCH_SIZE);
  f->instance.share = share;
  f->instance.ride_out = ride_out;
  shares = rides = 0;
  shares_left = rides_left = 1000;
}

void
finish_switch (struct fixture *f)
{
  finish (f);
  assert_int_equal (0, shares);
}
