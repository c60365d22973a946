/* SPDX-License-Identifier: BSD-3-Clause */
/* The stress test of the engine.  For an epoch, threads read, write, zero,
 * trim, clone, shrink, grow, snapshot, reset, rename, replace and destroy a few
 * disks.  Then everything that they saw is checked against the model (model.h),
 * and so are the engine's invariants.  Then the next epoch begins, with new
 * threads.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "tests/abort.h"
#include "tests/random.h"
#include "tests/unit/engine-check.h"

#define NAMES 3
#define WORKERS 4
#define SNAPSHOTS 2             /* how many a snapshot thread keeps */
#define OPS_A_HANDLE 40         /* then a worker opens the name anew */

/* In even epochs, memory is ample.  In odd ones, a thread continuously fills
 * and trims a disk of ballast, so that the others get ENOSPC.
 */
#define MEMORY (UINT64_C (24) << 20)
#define BALLAST_SIZE (UINT64_C (1) << 30)

static uint64_t seconds = 10, seed = 1, ops = 3000;
static bool verbose;

static struct arena *arena;
static struct registry *registry;

/* The options of new disks.  The quota is never reached, but counted. */
static struct disk_options options = { .sector_size = 1 };

/* The life of each disk in the registry.  Locked for writing while a disk is
 * replaced, and for reading while one is opened, but not while it is used.
 */
static pthread_rwlock_t lives_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct life life[MOST_LIVES];
static unsigned nlives;
static unsigned name_life[NAMES];
static struct life golden;

/* One thread at a time changes the size of a name, so that sizes are ordered.
 */
static pthread_mutex_t resize_lock[NAMES] = {
  PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
  PTHREAD_MUTEX_INITIALIZER
};

static atomic_uint busy;        /* workers that are still running */

/* Calls of the engine that have returned: by this thread, and by all threads
 * that have ended.
 */
static __thread uint64_t calls;
static _Atomic uint64_t operations;
static bool tight;              /* the ballast thread runs */

struct thread {
  pthread_t t;
  void (*run) (struct thread *);
  struct history h;
  uint64_t seed, next_id;
  unsigned number;
};

/* Called by the engine where it is most sensitive: usually continues, sometimes
 * lets another thread run, rarely lets many run.
 */
void stress_point (void);

void
stress_point (void)
{
  static __thread uint32_t x;

  if (x == 0)
    x = (uint32_t) seed * 2654435761u + (uint32_t) now () + 1;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  if (x % 32 == 0)
    sched_yield ();
  else if (x % 1021 == 0)
    nanosleep (&(struct timespec) { 0, x % 2000000 }, NULL);
}

static void __attribute__ ((noreturn))
fail (const char *what)
{
  abort_with ("%s: %s", what, strerror (errno));
}

static uint64_t
rnd (struct thread *t, uint64_t n)
{
  return xorshift_below (&t->seed, n);
}

/* A value that was never written, of 48 bits. */
static uint64_t
new_id (struct thread *t)
{
  return t->next_id++ << 6 | t->number;
}

/* -------------------------------------------------------------- handles */

struct handle {
  struct named_disk *d;
  unsigned name;
  unsigned life;
};

static struct handle
open_name (unsigned name)
{
  struct handle h = { .name = name };

  pthread_rwlock_rdlock (&lives_lock);
  h.d = registry_open (registry, (char[]) { '0' + name, '\0' });
  h.life = name_life[name];
  pthread_rwlock_unlock (&lives_lock);
  if (h.d == NULL)
    fail ("open");
  return h;
}

static void
close_name (struct handle h)
{
  registry_close (registry, h.d);
}

/* ---------------------------------------------------- reading and writing */

static void
fill (char *buf, unsigned first, unsigned last, uint64_t id)
{
  uint64_t *w = (uint64_t *) buf;
  unsigned reg, i;

  for (reg = first; reg <= last; reg++)
    for (i = 0; i < SECTOR / 8; i++)
      *w++ = word (id, reg);
}

/* The value in a word; it must have been written to that register. */
static uint64_t
value (uint64_t w, unsigned reg)
{
  if (w != 0 && (w & 0xffff) != reg) {
    fprintf (stderr, "stress: register %u has a word of register %u: %#"
             PRIx64 "\n", reg, (unsigned) (w & 0xffff), w);
    abort ();
  }
  return w >> 16;
}

/* Registers of one cluster. */
struct range {
  unsigned first, last;
};

static struct range
some_range (struct thread *t)
{
  unsigned cluster = rnd (t, CLUSTERS) * CLUSTER_SECTORS;
  unsigned first = rnd (t, CLUSTER_SECTORS);
  unsigned most = rnd (t, 4) ? 8 : CLUSTER_SECTORS;
  unsigned n = rnd (t, most) + 1;

  if (first + n > CLUSTER_SECTORS)
    n = CLUSTER_SECTORS - first;
  return (struct range) { cluster + first, cluster + first + n - 1 };
}

static uint64_t
range_offset (struct range r)
{
  return register_offset (r.first);
}

static uint64_t
range_stop (struct range r)
{
  return register_offset (r.last) + SECTOR;
}

/* Record what a request did.  hint: it may have left what is there, for lack of
 * memory.
 */
static void
note (struct thread *t, struct handle h, int r, uint64_t begin,
      struct range range, uint64_t id, bool hint)
{
  uint64_t end = now ();

  if (r == -1 && errno != ENOSPC)
    fail ("write");
  history_event (&t->h, (struct event) {
      begin, end, id, begin, range.first, range.last, h.life,
      r == 0 && !(hint && tight) });
  if (r == 0 || !tight)
    history_outcome (&t->h, (struct outcome) {
        begin, end, range_stop (range), h.life, r == 0 });
}

static void
do_write (struct thread *t, struct handle h)
{
  char buf[CLUSTER_SECTORS * SECTOR] __attribute__ ((aligned (8)));
  struct range range = some_range (t);
  uint64_t id = new_id (t), begin;
  int r;

  fill (buf, range.first, range.last, id);
  begin = now ();
  r = disk_write (h.d->disk, buf, range_stop (range) - range_offset (range),
                  range_offset (range));
  calls++;
  note (t, h, r, begin, range, id, false);
}

static void
do_read (struct thread *t, struct handle h)
{
  uint64_t buf[CLUSTER_SECTORS * SECTOR / 8], *w = buf;
  struct range range = some_range (t);
  uint64_t begin = now (), end;
  int r = disk_read (h.d->disk, buf,
                     range_stop (range) - range_offset (range),
                     range_offset (range));
  unsigned reg, i;

  if (r == -1 && errno != EINVAL)
    fail ("read");
  calls++;
  end = now ();
  history_outcome (&t->h, (struct outcome) {
      begin, end, range_stop (range), h.life, r == 0 });
  if (r == -1)
    return;
  for (reg = range.first; reg <= range.last; reg++) {
    uint64_t last = UINT64_MAX;

    /* A read that meets a write may see some words of each. */
    for (i = 0; i < SECTOR / 8; i++, w++)
      if (*w != last) {
        last = *w;
        history_seen (&t->h, (struct seen) {
            begin, end, value (*w, reg), reg, h.life });
      }
  }
}

static void
do_zero (struct thread *t, struct handle h)
{
  struct range range = some_range (t);
  uint64_t begin = now ();
  int r = disk_zero (h.d->disk, range_stop (range) - range_offset (range),
                     range_offset (range), rnd (t, 2));

  calls++;
  note (t, h, r, begin, range, 0, false);
}

/* Whole pages, in one cluster, or over several and everything in between. */
static void
do_trim (struct thread *t, struct handle h, bool wide)
{
  struct range range = some_range (t);
  uint64_t begin, offset, stop;
  bool hint = rnd (t, 2);
  int r;

  range.first &= ~7u;
  range.last |= 7;
  if (wide) {
    struct range other = some_range (t);

    if ((other.last | 7) > range.last)
      range.last = other.last | 7;
    else
      range.first = range.first < (other.first & ~7u)
        ? range.first : other.first & ~7u;
  }
  offset = range_offset (range);
  stop = range_stop (range);
  begin = now ();
  if (hint)
    r = disk_trim (h.d->disk, stop - offset, offset);
  else
    r = disk_zero (h.d->disk, stop - offset, offset, rnd (t, 2));
  calls++;
  note (t, h, r, begin, range, 0, hint);
}

static void
worker (struct thread *t)
{
  uint64_t i;

  for (i = 0; i < ops; i += OPS_A_HANDLE) {
    struct handle h = open_name (rnd (t, NAMES));
    unsigned j;

    for (j = 0; j < OPS_A_HANDLE; j++) {
      unsigned op = rnd (t, 100);

      if (op < 50)
        do_write (t, h);
      else if (op < 80)
        do_read (t, h);
      else if (op < 90)
        do_zero (t, h);
      else
        do_trim (t, h, op >= 97);
    }
    close_name (h);
  }
  busy--;
}

/* --------------------------------------------------------------- clones */

static struct content
content_of (const uint64_t *w, unsigned reg)
{
  struct content is = { value (w[0], reg), value (w[0], reg), 0 };
  unsigned i;

  for (i = 0; i < SECTOR / 8; i++) {
    if (value (w[i], reg) != is.id)
      is.other = value (w[i], reg);
    is.hash = (is.hash ^ w[i]) * UINT64_C (0x100000001b3);
  }
  return is;
}

/* Read a disk that is not written to.  Returns the number of its registers. */
static unsigned
read_all (struct disk *d, struct content *is)
{
  unsigned n = registers_before (disk_size (d)), reg;
  uint64_t buf[SECTOR / 8];

  for (reg = 0; reg < n; reg++) {
    if (disk_read (d, buf, SECTOR, register_offset (reg)) == -1)
      fail ("read of a clone");
    is[reg] = content_of (buf, reg);
  }
  calls += n;
  return n;
}

static void
check_same (struct disk *d, const struct content *is, unsigned n)
{
  struct content again[REGISTERS];
  unsigned reg;

  if (read_all (d, again) != n)
    fail ("a clone has changed its size");
  for (reg = 0; reg < n; reg++)
    if (again[reg].hash != is[reg].hash) {
      fprintf (stderr, "stress: register %u of a clone was %#" PRIx64
               " and is %#" PRIx64 "\n", reg, is[reg].id, again[reg].id);
      abort ();
    }
}

static struct disk *
cloned (struct disk *d)
{
  struct disk *c = disk_clone (d);

  if (c == NULL)
    fail ("clone");
  calls++;
  return c;
}

/* A snapshot of a disk: a clone without a name; or, as "mblockctl snapshot"
 * makes it, a read-only disk in the registry.
 */
struct kept {
  struct disk *d;               /* NULL: none */
  struct named_disk *named;     /* NULL: d has no name */
  struct snapshot s;
};

static void
drop_snapshot (struct kept *k)
{
  if (k->d == NULL)
    return;
  check_same (k->d, k->s.is, k->s.n);
  if (k->named) {
    if (registry_destroy (registry, k->named->name) == -1)
      fail ("destroy a snapshot");
    registry_close (registry, k->named);
  }
  else
    disk_free (k->d);
  k->d = NULL;
  k->named = NULL;
}

/* Take a snapshot of a disk by its name, under the given one. */
static void
named_snapshot (struct thread *t, struct kept *k, const char *snapshot)
{
  unsigned name = rnd (t, NAMES);
  const char source[] = { '0' + name, '\0' };
  struct disk_options o = options;
  int r;

  o.readonly = true;
  pthread_rwlock_rdlock (&lives_lock);
  k->s.life = name_life[name];
  k->s.begin = now ();
  r = registry_clone (registry, source, snapshot, &o, IF_EXISTS_ERROR, NULL);
  k->s.end = now ();
  pthread_rwlock_unlock (&lives_lock);
  if (r == -1)
    fail ("snapshot");
  calls++;
  k->named = registry_open (registry, snapshot);
  if (k->named == NULL || !disk_is_readonly (k->named->disk))
    fail ("open a snapshot");
  k->d = k->named->disk;
}

/* Clones that are not written to keep their content. */
static void
snapshots (struct thread *t)
{
  struct kept kept[SNAPSHOTS] = { 0 };
  unsigned i, next = 0;

  while (busy) {
    struct kept *k = &kept[next];
    char snapshot[32];

    drop_snapshot (k);
    if (rnd (t, 2)) {
      snprintf (snapshot, sizeof snapshot, "snapshot-%u-%u", t->number, next);
      named_snapshot (t, k, snapshot);
    }
    else {
      struct handle h = open_name (rnd (t, NAMES));

      k->s.life = h.life;
      k->s.begin = now ();
      k->d = cloned (h.d->disk);
      k->s.end = now ();
      close_name (h);
    }
    k->s.n = read_all (k->d, k->s.is);
    *history_snapshot (&t->h) = k->s;
    next = (next + 1) % SNAPSHOTS;
  }
  for (i = 0; i < SNAPSHOTS; i++)
    drop_snapshot (&kept[i]);
}

/* Clones that only this thread writes to contain what it wrote, and otherwise
 * what they had.  Clones of clones, too.
 */
static void
scratch (struct thread *t)
{
  while (busy) {
    struct handle h = open_name (rnd (t, NAMES));
    struct disk *c = cloned (h.d->disk), *old;
    struct content is[REGISTERS];
    unsigned n, i, reg;

    close_name (h);
    n = read_all (c, is);
    for (i = 0; i < 30 && n > 0; i++) {
      char buf[CLUSTER_SECTORS * SECTOR] __attribute__ ((aligned (8)));
      struct range r = some_range (t);
      uint64_t v = rnd (t, 3) ? new_id (t) : 0, len;

      if (r.last >= n)
        continue;
      fill (buf, r.first, r.last, v);
      len = range_stop (r) - range_offset (r);
      if ((v ? disk_write (c, buf, len, range_offset (r))
             : disk_zero (c, len, range_offset (r), rnd (t, 2))) == -1) {
        if (errno != ENOSPC || !tight)
          fail ("write to a clone");
        break;
      }
      calls++;
      for (reg = r.first; reg <= r.last; reg++)
        is[reg] = content_of ((uint64_t *) buf + (reg - r.first) * SECTOR / 8,
                              reg);
      if (rnd (t, 10) == 0) {
        old = c;
        c = cloned (old);
        disk_free (old);
      }
    }
    if (i == 30)
      check_same (c, is, n);
    disk_free (c);
  }
}

/* -------------------------------------------------- resize and replace */

static void
resizer (struct thread *t)
{
  while (busy) {
    unsigned name = rnd (t, NAMES);
    struct handle h;
    uint64_t begin, size = FULL_SIZE;

    pthread_mutex_lock (&resize_lock[name]);
    h = open_name (name);
    if (rnd (t, 2)) {
      unsigned n = rnd (t, REGISTERS + 1);

      size = n < REGISTERS ? register_offset (n) : FULL_SIZE;
    }
    begin = now ();
    if (disk_resize (h.d->disk, size) == 0) {
      uint64_t end = now ();

      calls++;
      history_resize (&t->h, (struct resize) { begin, end, size, h.life });
    }
    else if (errno != ENOSPC || !tight)
      fail ("resize");
    close_name (h);
    pthread_mutex_unlock (&resize_lock[name]);
    nanosleep (&(struct timespec) { 0, rnd (t, 2000000) }, NULL);
  }
}

/* Give a name the golden disk's content, or an empty disk: a life begins. */
static void
begin_life (struct thread *t, unsigned name)
{
  const char s[] = { '0' + name, '\0' };
  char *parent;

  life[nlives] = golden;
  if (rnd (t, 3) == 0) {
    if (registry_destroy (registry, s) == -1 ||
        registry_create (registry, s, &options, IF_EXISTS_ERROR, NULL) == -1)
      fail ("destroy and create");
    memset (&life[nlives], 0, sizeof life[nlives]);
    life[nlives].size = FULL_SIZE;
  }
  /* A disk that is no clone cannot be reset. */
  else if (rnd (t, 2) == 0 ||
           registry_reset (registry, s, IF_OPEN_KEEP, &parent) == -1) {
    if (registry_clone (registry, "golden", s, &options, IF_EXISTS_REPLACE,
                        NULL) == -1)
      fail ("replace");
  }
  else {
    if (strcmp (parent, "golden") != 0)
      abort_with ("%s was reset to %s", s, parent);
    free (parent);
  }
  calls++;
  name_life[name] = nlives++;
}

static void
rename_to (const char *name, const char *new_name)
{
  if (registry_rename (registry, name, new_name) == -1)
    fail ("rename");
  calls++;
}

/* Two disks exchange their names: their lives go on under the other's name. */
static void
exchange (unsigned a, unsigned b)
{
  const char x[] = { '0' + a, '\0' }, y[] = { '0' + b, '\0' };
  unsigned of_a = name_life[a];

  rename_to (x, "third");
  rename_to (y, x);
  rename_to ("third", y);
  name_life[a] = name_life[b];
  name_life[b] = of_a;
}

/* Reset, replace and rename disks.  Threads that have a disk open continue with
 * it.
 */
static void
replacer (struct thread *t)
{
  while (busy) {
    unsigned a = rnd (t, NAMES), b = rnd (t, NAMES);

    nanosleep (&(struct timespec) { 0, rnd (t, 20000000) }, NULL);
    if (a > b)
      continue;                 /* the lower number is locked first */
    pthread_mutex_lock (&resize_lock[a]);
    if (a < b)
      pthread_mutex_lock (&resize_lock[b]);
    pthread_rwlock_wrlock (&lives_lock);
    if (a < b)
      exchange (a, b);
    else if (nlives < MOST_LIVES)
      begin_life (t, a);
    pthread_rwlock_unlock (&lives_lock);
    if (a < b)
      pthread_mutex_unlock (&resize_lock[b]);
    pthread_mutex_unlock (&resize_lock[a]);
  }
}

/* ------------------------------------------------------------- the pond */

/* A disk of two pages.  In the second page, two threads have a sector each, and
 * nothing else is written there.  A third thread shares both pages with a
 * clone, un-shares the node by a write to the first page, and drops the clone.
 * Then, while the clone's reference is counted down, the owners write.  They
 * must find what they have stored (D3).  Without the pin of T5, one of them
 * copies the page while the other finds it exclusive again and stores into the
 * old one.
 */
static struct disk *pond;
static pthread_barrier_t pond_barrier;
static bool pond_ends;          /* the barrier orders it */

static void
owner (struct thread *t)
{
  uint64_t offset = PAGE_BYTES + t->number % 2 * SECTOR;
  uint64_t buf[SECTOR / 8], v;

  for (;;) {
    pthread_barrier_wait (&pond_barrier);
    if (pond_ends)
      break;
    v = new_id (t);
    fill ((char *) buf, 1, 1, v);
    v = buf[0];
    for (unsigned n = rnd (t, 200); n > 0; n--)
      atomic_signal_fence (memory_order_seq_cst);
    if (disk_write (pond, buf, SECTOR, offset) == -1) {
      if (errno != ENOSPC || !tight)
        fail ("write to the pond");
      v = 0;
    }
    pthread_barrier_wait (&pond_barrier);
    if (disk_read (pond, buf, SECTOR, offset) == -1)
      fail ("read of the pond");
    calls += 2;
    if (v && (buf[0] != v || buf[SECTOR / 8 - 1] != v)) {
      fprintf (stderr, "stress: a write got lost: %#" PRIx64 " instead of %#"
               PRIx64 "\n", buf[0], v);
      abort ();
    }
  }
}

static void
sharer (struct thread *t)
{
  for (;;) {
    struct disk *c = cloned (pond);
    uint64_t v = new_id (t);

    if (disk_write (pond, &v, sizeof v, 0) == -1 && (errno != ENOSPC || !tight))
      fail ("write to the pond");
    disk_free (c);
    calls += 2;
    pond_ends = !busy;
    pthread_barrier_wait (&pond_barrier);
    if (pond_ends)
      break;
    arena_reclaim (arena);
    pthread_barrier_wait (&pond_barrier);
  }
}

/* ------------------------------------------------------------- the rest */

static int
expect_next (void *opaque, uint64_t offset, uint64_t length,
             enum extent_type type)
{
  uint64_t *next = opaque;

  (void) type;
  if (offset != *next || length == 0) {
    fprintf (stderr, "stress: an extent at %" PRIu64 " instead of %" PRIu64
             "\n", offset, *next);
    abort ();
  }
  *next += length;
  return 0;
}

static int
count_diff (void *opaque, uint64_t offset, uint64_t length)
{
  (void) offset;
  *(uint64_t *) opaque += length;
  return 0;
}

/* Walk the trees while they change. */
static void
walker (struct thread *t)
{
  while (busy) {
    struct handle a = open_name (rnd (t, NAMES));
    struct handle b = open_name (rnd (t, NAMES));
    uint64_t next = 0, size = disk_size (a.d->disk);

    if (disk_extents (a.d->disk, size, 0, expect_next, &next) == -1) {
      if (errno != EINVAL)
        fail ("extents");
    }
    else if (next < size)
      fail ("extents end too early");
    next = 0;
    if (disk_diff (a.d->disk, b.d->disk, 0, count_diff, NULL, &next) == -1)
      fail ("diff");
    if (a.d == b.d && next > FULL_SIZE)
      fail ("diff");
    calls += 2;
    close_name (a);
    close_name (b);
  }
}

static void
ballast (struct thread *t)
{
  struct disk *d = disk_new (arena, BALLAST_SIZE, 1);
  static char buf[64 * PAGE_BYTES];
  uint64_t i, n;

  if (d == NULL)
    fail ("ballast");
  while (busy) {
    for (i = 0; disk_write (d, buf, sizeof buf, i * sizeof buf) == 0; i++)
      calls++;
    if (errno != ENOSPC)
      fail ("write of ballast");
    for (n = rnd (t, 20); n > 0; n--)
      if (disk_write (d, buf, PAGE_BYTES, i * sizeof buf) == -1 &&
          errno != ENOSPC)
        fail ("write of ballast");
    if (disk_trim (d, BALLAST_SIZE, 0) == -1)
      fail ("trim of ballast");
  }
  disk_free (d);
}

/* At rest: what extents report as hole or zero reads as zeros, what a clone
 * shares does not differ, and what differs is found.
 */
static int
check_extent (void *opaque, uint64_t offset, uint64_t length,
              enum extent_type type)
{
  struct disk *d = opaque;
  uint64_t buf[SECTOR / 8];
  unsigned reg, i;

  for (reg = 0; reg < registers_before (disk_size (d)); reg++)
    if (type != EXTENT_DATA && register_offset (reg) >= offset &&
        register_offset (reg) < offset + length) {
      if (disk_read (d, buf, SECTOR, register_offset (reg)) == -1)
        fail ("read");
      for (i = 0; i < SECTOR / 8; i++)
        if (buf[i] != 0)
          fail ("a hole that is not zero");
    }
  return 0;
}

static void
check_at_rest (struct disk *d)
{
  struct disk *c = cloned (d);
  uint64_t different = 0, buf[SECTOR / 8], size = disk_size (d);

  if (disk_extents (d, size, 0, check_extent, d) == -1)
    fail ("extents");
  if (disk_diff (c, d, 0, count_diff, NULL, &different) == -1 ||
      different != 0)
    fail ("a clone differs");
  if (size >= SECTOR) {
    if (disk_read (d, buf, SECTOR, 0) == -1)
      fail ("read");
    buf[0] = ~buf[0];
    if (disk_write (c, buf, SECTOR, 0) == -1)
      fail ("write to a clone");
    if (disk_diff (d, c, 0, count_diff, NULL, &different) == -1 ||
        different == 0 || different > PAGE_BYTES)
      fail ("a difference was not found");
  }
  disk_free (c);
}

/* ------------------------------------------------------------ the epochs */

static struct disk *every_disk[NAMES + 2];     /* golden, the pond */
static size_t nevery_disk;

static int
collect (void *opaque, const struct named_disk *d)
{
  (void) opaque;
  every_disk[nevery_disk++] = d->disk;
  return 0;
}

static void
begin_epoch (void)
{
  unsigned i;

  nlives = 0;
  for (i = 0; i < NAMES; i++) {
    struct handle h = open_name (i);

    memset (&life[nlives], 0, sizeof life[nlives]);
    read_all (h.d->disk, life[nlives].is);
    life[nlives].size = disk_size (h.d->disk);
    name_life[i] = nlives++;
    close_name (h);
  }
}

/* The content at the end was seen by the history, too. */
static void
end_epoch (struct thread *t)
{
  unsigned i, reg, n;

  for (i = 0; i < NAMES; i++) {
    struct handle h = open_name (i);
    struct content is[REGISTERS];
    uint64_t begin = now ();

    n = read_all (h.d->disk, is);
    for (reg = 0; reg < n; reg++) {
      history_seen (&t->h, (struct seen) {
          begin, now (), is[reg].id, reg, h.life });
      history_seen (&t->h, (struct seen) {
          begin, now (), is[reg].other, reg, h.life });
    }
    check_at_rest (h.d->disk);
    close_name (h);
  }
  every_disk[0] = pond;
  nevery_disk = 1;
  registry_each (registry, NULL, collect, NULL);
  engine_check (arena, every_disk, nevery_disk);
}

static void *
start (void *vp)
{
  struct thread *t = vp;

  t->run (t);
  operations += calls;
  return NULL;
}

static void
epoch (unsigned number)
{
  static void (*const others[]) (struct thread *) = {
    owner, owner, sharer, snapshots, snapshots, scratch, resizer, replacer,
    walker, ballast
  };
  enum { OTHERS = sizeof others / sizeof others[0] };
  struct thread thread[WORKERS + OTHERS];
  struct history h[WORKERS + OTHERS];
  size_t n = WORKERS + OTHERS, i, events = 0, reads = 0, snaps = 0;

  tight = number % 2;
  if (!tight)
    n--;
  begin_epoch ();
  busy = WORKERS;
  memset (thread, 0, sizeof thread);
  for (i = 0; i < n; i++) {
    thread[i].run = i < WORKERS ? worker : others[i - WORKERS];
    thread[i].number = i;
    thread[i].next_id = (uint64_t) number << 22 | 1;
    thread[i].seed = (seed * 1000003 + number) * 1000003 + i + 1;
    if (pthread_create (&thread[i].t, NULL, start, &thread[i]))
      fail ("pthread_create");
  }
  for (i = 0; i < n; i++)
    pthread_join (thread[i].t, NULL);
  end_epoch (&thread[0]);

  for (i = 0; i < n; i++) {
    h[i] = thread[i].h;
    events += h[i].nevent;
    reads += h[i].nseen;
    snaps += h[i].nsnapshot;
  }
  judge (h, n, life, nlives);
  if (verbose)
    printf ("epoch %u%s: %zu writes and zeroings, %zu values read, "
            "%zu snapshots, %u lives; %" PRIu64 " operations so far\n", number,
            tight ? ", tight" : "", events, reads, snaps, nlives, operations);
  fflush (stdout);
  for (i = 0; i < n; i++)
    history_clear (&h[i]);
}

static void
make_golden (void)
{
  struct named_disk *d;
  char buf[CLUSTER_SECTORS * SECTOR] __attribute__ ((aligned (8)));
  unsigned c, reg;

  if (registry_create (registry, "golden", &options, IF_EXISTS_ERROR,
                       NULL) == -1)
    fail ("golden");
  d = registry_open (registry, "golden");
  for (c = 0; c < CLUSTERS; c += 2) {
    unsigned first = c * CLUSTER_SECTORS, last = first + CLUSTER_SECTORS - 1;

    fill (buf, first, last, 63);
    if (disk_write (d->disk, buf, sizeof buf, cluster_offset[c]) == -1)
      fail ("golden");
    for (reg = first; reg <= last; reg++)
      golden.is[reg] =
        content_of ((uint64_t *) buf + (reg - first) * SECTOR / 8, reg);
  }
  golden.size = FULL_SIZE;
  disk_set_readonly (d->disk, true);
  registry_close (registry, d);
}

static volatile sig_atomic_t stopped;

static void
stop (int sig)
{
  (void) sig;
  stopped = 1;
}

static const char usage[] =
  "Usage: stress [--seconds N] [--operations N] [--seed N] [--ops N]"
  " [--verbose]\n"
  "  --seconds N     stop after the first epoch that ends later than this;\n"
  "                  0: go on until something breaks (default: 10)\n"
  "  --operations N  stop after the first epoch that ends with this many calls\n"
  "                  of the engine; without --seconds, however long it takes\n"
  "  --seed N        where random numbers begin (default: the time)\n"
  "  --ops N         operations of each worker in an epoch (default: 3000)\n"
  "SIGTERM and SIGINT end it after the epoch.\n";

int
main (int argc, char *argv[])
{
  static const struct option arguments[] = {
    { "seconds", required_argument, NULL, 's' },
    { "operations", required_argument, NULL, 'n' },
    { "seed", required_argument, NULL, 'r' },
    { "ops", required_argument, NULL, 'o' },
    { "verbose", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 }
  };
  const struct registry_options o = {
    .max_size = DISK_MAX_SIZE, .sector_size = 1, .max_disks = 100,
  };
  time_t began = time (NULL);
  uint64_t enough = UINT64_MAX;
  bool timed = false;
  unsigned i, number;
  int c;

  seed = began;
  while ((c = getopt_long (argc, argv, "", arguments, NULL)) != -1)
    switch (c) {
    case 's': seconds = strtoull (optarg, NULL, 10); timed = true; break;
    case 'n': enough = strtoull (optarg, NULL, 10); break;
    case 'r': seed = strtoull (optarg, NULL, 10); break;
    case 'o': ops = strtoull (optarg, NULL, 10); break;
    case 'v': verbose = true; break;
    case 'h': fputs (usage, stdout); return 0;
    default: fputs (usage, stderr); return 2;
    }
  if (enough < UINT64_MAX && !timed)
    seconds = 0;
  printf ("stress --seed %" PRIu64 "\n", seed);
  fflush (stdout);

  signal (SIGTERM, stop);
  signal (SIGINT, stop);
  arena = arena_create (MEMORY);
  registry = arena ? registry_new (arena, &o) : NULL;
  if (registry == NULL || rcu_prepare () == -1 || arena_start (arena) == -1)
    fail ("start");
  options.size = FULL_SIZE;
  options.quota = 4 * FULL_SIZE;
  for (i = 0; i < NAMES; i++)
    if (registry_create (registry, (char[]) { '0' + i, '\0' }, &options,
                         IF_EXISTS_ERROR, NULL) == -1)
      fail ("create");
  make_golden ();
  pond = disk_new (arena, 2 * PAGE_BYTES, 1);
  if (pond == NULL || pthread_barrier_init (&pond_barrier, NULL, 3))
    fail ("create");

  for (number = 0;
       number < 2 || (!stopped && operations < enough &&
                      (seconds == 0 ||
                       (uint64_t) (time (NULL) - began) < seconds));
       number++)
    epoch (number);

  disk_free (pond);
  registry_free (registry);
  arena_stop (arena);
  engine_check (arena, NULL, 0);
  arena_destroy (arena);
  printf ("%u epochs, %" PRIu64 " operations\n", number, operations + calls);
  return 0;
}
