/* SPDX-License-Identifier: BSD-3-Clause */
/* The world of disks for tests that end a process. world.h has the contract. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/rcu.h"
#include "ramdisk/records.h"
#include "ramdisk/registry-parts.h"
#include "tests/abort.h"
#include "tests/crash/world.h"
#include "tests/unit/engine-check.h"

#define WORDS (SECTOR / 8)

/* Of the arena that is open. */
static struct origins *set;

const char *const op_names[OP_KINDS] = {
  "write", "write with detection", "zero", "allocate zeros", "trim", "create",
  "create over an origin", "destroy", "clone", "replace by a clone",
  "replace by a new disk", "resize", "rename",
  "create what auto-destroy would destroy", "set", "push since it",
  "open a new name", "write to an ephemeral disk", "write with auto-destroy",
  "fetch", "evict", "complete an origin", "reclaim",
};

/* Made before there are threads. */
static char names[MOST_WORLDS][WORLD_DISKS][LAYOUT_INLINE_NAME + 110];

static void __attribute__ ((constructor))
make_names (void)
{
  unsigned w, d;

  for (w = 0; w < MOST_WORLDS; w++)
    for (d = 0; d < WORLD_DISKS; d++) {
      names[w][d][0] = '0' + w;
      memset (&names[w][d][1], 'a' + d, d == WORLD_DISKS - 1
              ? LAYOUT_INLINE_NAME + 100 : d + 1);
    }
}

const char *
world_name (unsigned world, unsigned disk)
{
  return names[world][disk];
}

uint64_t
world_random (uint64_t *state)
{
  uint64_t x = *state += UINT64_C (0x9e3779b97f4a7c15);

  x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
  return x ^ x >> 31;
}

static uint64_t
below (uint64_t *random, uint64_t n)
{
  return world_random (random) % n;
}

/* ------------------------------------------------------------- operations */

bool
op_is_control (enum op_kind kind)
{
  return kind >= OP_CREATE && kind <= OP_SET;
}

static bool
is_data (enum op_kind kind)
{
  return kind <= OP_TRIM;
}

static int
pick (const struct world *w, bool exists, uint64_t *random)
{
  unsigned start = below (random, WORLD_DISKS), i;

  for (i = 0; i < WORLD_DISKS; i++) {
    unsigned d = (start + i) % WORLD_DISKS;

    if (w->disk[d].exists == exists && !w->disk[d].ephemeral)
      return d;
  }
  return -1;
}

/* One over the origin, or -1. */
static int
pick_over (const struct world *w, uint64_t *random)
{
  unsigned start = below (random, WORLD_DISKS), i;

  for (i = 0; i < WORLD_DISKS; i++)
    if (w->disk[(start + i) % WORLD_DISKS].over)
      return (start + i) % WORLD_DISKS;
  return -1;
}

/* Does it make a disk, named by op.a? */
static bool
makes_disk (enum op_kind kind)
{
  return kind == OP_CREATE || kind == OP_OVER || kind == OP_EPHEMERAL ||
    kind == OP_EPHEMERAL_WRITE || kind == OP_AUTO_DESTROY ||
    kind == OP_AUTO_KEPT;
}

/* Does it write to a disk that it has made by opening its name? */
static bool
opens_and_writes (enum op_kind kind)
{
  return kind == OP_EPHEMERAL_WRITE || kind == OP_AUTO_DESTROY ||
    kind == OP_AUTO_KEPT;
}

static uint64_t
random_size (uint64_t *random)
{
  uint64_t size = register_offset (below (random, REGISTERS)) +
    below (random, 2) * SECTOR;

  return below (random, 4) ? size : FULL_SIZE;
}

struct op
world_choose (const struct world *w, enum op_kind kind, uint64_t *random)
{
  struct op op = {
    .kind = kind, .world = w->number, .id = w->last_id + 1,
    .size = random_size (random),
    .readonly = below (random, 8) == 0,
    .quota = below (random, 2) ? TREE_NO_QUOTA : below (random, 1 << 30),
    .prefetch = below (random, 4) == 0,
  };
  int there = pick (w, true, random), free = pick (w, false, random);
  unsigned most;

  if (kind == OP_RECLAIM || kind == OP_EVICT)
    return op;
  if ((makes_disk (kind) || kind == OP_CLONE || kind == OP_RENAME) &&
      free == -1)
    return world_choose (w, OP_DESTROY, random);
  if (there == -1 && !makes_disk (kind))
    op.kind = OP_CREATE;
  op.a = makes_disk (op.kind) ? free : there;
  op.b = free == -1 ? (int) op.a : free;
  if (op.kind == OP_REPLACE) {
    op.b = pick (w, true, random);
    if (op.a == op.b)           /* a clone of itself is one more case */
      op.b = op.a;
  }
  most = opens_and_writes (op.kind) ? registers_before (16 << 20)
    : registers_before (w->disk[op.a].size);
  if (op.kind >= OP_FETCH && op.kind <= OP_COMPLETE) {
    int over = pick_over (w, random);

    if (over != -1)
      op.a = over;
    most = registers_before (w->disk[op.a].size);
  }
  if (op.kind == OP_FETCH && most > 0)
    op.first = op.last = below (random, most);
  else if (op.kind == OP_FETCH)
    op.kind = OP_EVICT;
  if (is_data (op.kind) || opens_and_writes (op.kind)) {
    unsigned end;

    if (most == 0 || w->disk[op.a].readonly) {
      op.kind = OP_RESIZE;
      op.size = FULL_SIZE;
      if (w->disk[op.a].readonly) {
        op.kind = OP_SET;
        op.readonly = false;
        op.quota = TREE_NO_QUOTA;
      }
      return op;
    }
    op.first = below (random, most);
    end = (op.first / CLUSTER_SECTORS + 1) * CLUSTER_SECTORS;
    if (end > most)
      end = most;
    op.last = op.first + below (random, end - op.first);
  }
  return op;
}

void
world_apply (struct world *w, const struct op *op)
{
  struct world_disk *a = &w->disk[op->a], *b = &w->disk[op->b];
  unsigned reg;

  w->last_id += REGISTERS;
  switch (op->kind) {
  case OP_EPHEMERAL_WRITE:
  case OP_AUTO_DESTROY:         /* its client may come back */
  case OP_AUTO_KEPT:
    memset (a, 0, sizeof *a);
    a->exists = true;
    a->size = 16 << 20;
    a->quota = TREE_NO_QUOTA;
    a->maker = op->id;
    /* fall through */
  case OP_WRITE:
  case OP_DETECT:
  case OP_ZERO:
  case OP_ALLOCATE:
    for (reg = op->first; reg <= op->last; reg++)
      a->id[reg] = op->kind == OP_ZERO || op->kind == OP_ALLOCATE
        ? 0 : op->id + reg - op->first;
    break;
  case OP_TRIM:                 /* whole pages, and the last one's rest */
    for (reg = op->first; reg <= op->last; reg++) {
      unsigned page = reg - reg % 8;

      if (page >= op->first &&
          (page + 7 <= op->last ||
           register_offset (op->last) + SECTOR == a->size))
        a->id[reg] = 0;
    }
    break;
  case OP_CREATE:
  case OP_OVER:
  case OP_CREATE_REPLACE:
    memset (a, 0, sizeof *a);
    a->exists = true;
    a->size = op->size;
    a->readonly = op->readonly;
    a->quota = op->quota;
    a->maker = op->id;
    a->over = op->kind == OP_OVER;
    for (reg = 0; a->over && reg < registers_before (op->size) &&
           register_offset (reg) < WORLD_ORIGIN_SIZE; reg++)
      a->id[reg] = WORLD_ORIGIN_ID;
    break;
  case OP_DESTROY:
    memset (a, 0, sizeof *a);
    break;
  case OP_CLONE:
  case OP_REPLACE:
    *b = *a;
    b->readonly = op->readonly;
    b->quota = op->quota;
    b->maker = op->id;
    b->pushed_since = false;
    break;
  case OP_RENAME:
    *b = *a;
    memset (a, 0, sizeof *a);
    break;
  case OP_RESIZE:
    for (reg = registers_before (op->size); reg < REGISTERS; reg++)
      a->id[reg] = 0;
    a->size = op->size;
    break;
  case OP_SET:
    a->readonly = op->readonly;
    a->quota = op->quota;
    break;
  case OP_PUSHED_SINCE:
    a->pushed_since = true;
    break;
  case OP_EPHEMERAL:
  case OP_FETCH:
  case OP_EVICT:
  case OP_COMPLETE:
  case OP_RECLAIM:
  case OP_KINDS:
    break;
  }
}

static int
do_data (struct disk *d, const struct op *op)
{
  uint64_t count = (op->last - op->first + 1) * SECTOR;
  uint64_t offset = register_offset (op->first), quota = disk_quota (d);
  uint64_t *buf = malloc (count);
  unsigned reg, i;
  int r;

  for (reg = op->first; reg <= op->last; reg++)
    for (i = 0; i < WORDS; i++)
      buf[(reg - op->first) * WORDS + i] =
        word (op->id + reg - op->first, reg);
  /* The quota is checked; what it refuses is covered by another test. */
  atomic_store (&d->tree.quota, TREE_NO_QUOTA);
  switch (op->kind) {
  case OP_DETECT:
    r = disk_write_detect (d, buf, count, offset);
    break;
  case OP_ZERO:
    r = disk_zero (d, count, offset, true);
    break;
  case OP_ALLOCATE:
    r = disk_zero (d, count, offset, false);
    break;
  case OP_TRIM:
    r = disk_trim (d, count, offset);
    break;
  default:
    r = disk_write (d, buf, count, offset);
  }
  atomic_store (&d->tree.quota, quota);
  free (buf);
  return r;
}

static int
do_over (struct registry *r, const char *name, struct disk_options *options,
         bool prefetch)
{
  const struct origin_options o = {
    .source = world_source (), .prefetch = prefetch
  };
  int ret;

  options->origin = origin_new (set, &o);
  if (options->origin == NULL)
    return -1;
  ret = registry_create (r, name, options, IF_EXISTS_ERROR, NULL);
  origin_put (options->origin);
  return ret;
}

static int
do_origin (struct disk *d, const struct op *op)
{
  char buf[SECTOR];

  if (op->kind == OP_FETCH)
    return disk_read (d, buf, sizeof buf, register_offset (op->first));
  if (d->origin)
    world_complete (d->origin);
  return 0;
}

/* With OP_AUTO_DESTROY its client stays. */
static int
do_auto (struct registry *r, const char *name, const struct op *op)
{
  const struct disk_options options = {
    .size = 16 << 20, .sector_size = 1, .quota = TREE_NO_QUOTA
  };
  struct named_disk *d;

  r->o.auto_destroy = true;
  d = registry_open (r, name);
  r->o.auto_destroy = false;
  if (d == NULL || do_data (d->disk, op) == -1)
    return -1;
  if (op->kind == OP_AUTO_DESTROY)
    return 0;
  if (registry_create (r, name, &options, IF_EXISTS_IGNORE, NULL) == -1)
    return -1;
  registry_close (r, d);
  return 0;
}

void
world_do (struct registry *r, struct arena *a, const struct op *op)
{
  const char *a_name = world_name (op->world, op->a);
  const char *b_name = world_name (op->world, op->b);
  struct disk_options options = {
    .size = op->size, .sector_size = 1, .readonly = op->readonly,
    .quota = op->quota
  };
  struct disk_options now;
  struct named_disk *d;
  uint64_t old;
  int ret = 0;

  world_uuid_for (op);
  switch (op->kind) {
  case OP_WRITE:
  case OP_DETECT:
  case OP_ZERO:
  case OP_ALLOCATE:
  case OP_TRIM:
  case OP_FETCH:
  case OP_COMPLETE:
    d = registry_hold (r, a_name);
    ret = d == NULL ? -1 : is_data (op->kind) ? do_data (d->disk, op)
      : do_origin (d->disk, op);
    if (d)
      registry_close (r, d);
    break;
  case OP_PUSHED_SINCE:
    d = registry_hold (r, a_name);
    ret = d ? 0 : -1;
    if (d) {
      registry_pushed_since (r, d);
      registry_close (r, d);
    }
    break;
  case OP_OVER:
    ret = do_over (r, a_name, &options, op->prefetch);
    break;
  case OP_CREATE:
  case OP_CREATE_REPLACE:
    ret = registry_create (r, a_name, &options,
                           op->kind == OP_CREATE ? IF_EXISTS_ERROR
                           : IF_EXISTS_REPLACE, NULL);
    break;
  case OP_DESTROY:
    ret = registry_destroy (r, a_name);
    break;
  case OP_CLONE:
  case OP_REPLACE:
    ret = registry_clone (r, a_name, b_name, &options,
                          op->kind == OP_CLONE ? IF_EXISTS_ERROR
                          : IF_EXISTS_REPLACE, NULL);
    break;
  case OP_RENAME:
    ret = registry_rename (r, a_name, b_name);
    break;
  case OP_RESIZE:
    ret = registry_resize (r, a_name, op->size, &old);
    break;
  case OP_SET:
    ret = registry_set (r, a_name, &op->readonly, &op->quota,
                        &now);
    break;
  case OP_EPHEMERAL:
  case OP_EPHEMERAL_WRITE:
    d = registry_open (r, a_name);
    ret = d ? 0 : -1;
    if (d && op->kind == OP_EPHEMERAL_WRITE)
      ret = do_data (d->disk, op);
    if (d && op->kind == OP_EPHEMERAL_WRITE)
      registry_close (r, d);
    break;
  case OP_AUTO_DESTROY:
  case OP_AUTO_KEPT:
    ret = do_auto (r, a_name, op);
    break;
  case OP_EVICT:
    origin_evict (set, 1 << 20);
    break;
  case OP_RECLAIM:
    arena_reclaim (a);
    arena_give_back (a, 0);
    break;
  case OP_KINDS:
    break;
  }
  world_uuid_for (NULL);
  if (ret == -1)
    abort_with ("%s: %s", op_names[op->kind], strerror (errno));
}

/* ----------------------------------------------------------------- checks */

/* The last difference that was found, for the message. */
static char difference[160];

/* Whether a register contains one of the two values or, if both are possible,
 * words of both.
 */
static bool
register_is (struct disk *d, unsigned reg, uint64_t x, uint64_t y)
{
  uint64_t buf[WORDS];
  unsigned i;

  if (disk_read (d, buf, SECTOR, register_offset (reg)) == -1)
    abort_with ("read: %s", strerror (errno));
  for (i = 0; i < WORDS; i++)
    if (buf[i] != word (x, reg) && buf[i] != word (y, reg)) {
      snprintf (difference, sizeof difference, "register %u, word %u, has %"
                PRIx64 ", not %" PRIx64 " or %" PRIx64, reg, i, buf[i],
                word (x, reg), word (y, reg));
      return false;
    }
  return true;
}

static bool
disk_is (const struct named_disk *named, unsigned world,
         const struct world_disk *x, const struct world_disk *y)
{
  char uuid[UUID_STRING];
  struct disk *d = named->disk;
  unsigned reg;

  if (!world_uuid_is (&named->uuid, world, x->maker)) {
    snprintf (difference, sizeof difference, "UUID %s, not that of operation %"
              PRIx64, uuid_format (&named->uuid, uuid), x->maker);
    return false;
  }
  if (disk_size (d) != x->size || disk_is_readonly (d) != x->readonly ||
      disk_quota (d) != x->quota) {
    snprintf (difference, sizeof difference, "size %" PRIu64 ", read-only %d, "
              "quota %" PRIu64 "; not %" PRIu64 ", %d, %" PRIu64,
              disk_size (d), disk_is_readonly (d), disk_quota (d), x->size,
              x->readonly, x->quota);
    return false;
  }
  if (record_has_flag (d->tree.record, LAYOUT_PUSHED_SINCE) !=
      x->pushed_since) {
    snprintf (difference, sizeof difference, "%spushed since it",
              x->pushed_since ? "not " : "");
    return false;
  }
  for (reg = 0; reg < registers_before (x->size); reg++)
    if (!register_is (d, reg, x->id[reg], y->id[reg]))
      return false;
  return true;
}

const char *
world_difference (void)
{
  return difference;
}

bool
world_has (struct registry *r, const struct world *w, unsigned disk)
{
  struct named_disk *d = registry_hold (r, world_name (w->number, disk));
  bool ok = d && disk_is (d, w->number, &w->disk[disk], &w->disk[disk]);

  if (d)
    registry_close (r, d);
  return ok;
}

bool
world_is (struct registry *r, const struct world *x, const struct world *y)
{
  unsigned i;

  for (i = 0; i < WORLD_DISKS; i++) {
    struct named_disk *d = registry_hold (r, world_name (x->number, i));
    bool ok = d ? x->disk[i].exists : !x->disk[i].exists;

    if (!ok)
      snprintf (difference, sizeof difference, "disk %u: %s", i,
                d ? "is there" : "is not there");
    if (d && ok)
      ok = disk_is (d, x->number, &x->disk[i],
                    y->disk[i].exists ? &y->disk[i] : &x->disk[i]);
    if (d)
      registry_close (r, d);
    if (!ok)
      return false;
  }
  return true;
}

/* Nothing may be left beyond the end. */
static void
check_beyond (struct disk *d, const char *what)
{
  unsigned reg = registers_before (disk_size (d));
  bool readonly = disk_is_readonly (d);

  disk_set_readonly (d, false);
  if (disk_resize (d, FULL_SIZE) == -1)
    abort_with ("%s: resize: %s", what, strerror (errno));
  for (; reg < REGISTERS; reg++)
    if (!register_is (d, reg, 0, 0))
      abort_with ("%s: register %u, beyond the end, is not zero", what, reg);
  disk_set_readonly (d, readonly);
}

void
world_expect (struct registry *r, const struct world *w, const char *what)
{
  if (!world_is (r, w, w))
    abort_with ("%s: %s", what, difference);
}

void
world_check (struct registry *r, struct arena *a, const struct world *before,
             const struct world *after, bool control, const char *what)
{
  unsigned i, n = 0;

  if (!(control
        ? world_is (r, before, before) || world_is (r, after, after)
        : world_is (r, before, after) || world_is (r, after, before)))
    abort_with ("%s: what was recovered is neither what was before nor after: "
                "%s", what, difference);
  engine_check_all (a, r);
  for (i = 0; i < WORLD_DISKS; i++) {
    struct named_disk *d = registry_hold (r, world_name (before->number, i));

    if (d) {
      n++;
      check_beyond (d->disk, what);
      registry_close (r, d);
    }
  }
  if (n != registry_count (r))
    abort_with ("%s: there are %zu disks, not %u", what, registry_count (r), n);
  engine_check_all (a, r);
}

static int
look (void *opaque, uint64_t offset, uint64_t length, enum extent_type type)
{
  unsigned *left = opaque;

  (void) offset;
  (void) length;
  (void) type;
  return --*left == 0;
}

static void
exercise_disk (struct registry *r, const char *name)
{
  static char buf[128 * 1024];
  const struct disk_options options = { .quota = TREE_NO_QUOTA };
  struct named_disk *d = registry_hold (r, name);
  uint64_t size = disk_size (d->disk), at, old;
  unsigned i, left = 50;
  bool no = false;

  registry_set (r, name, &no, &options.quota,
                &(struct disk_options) { .size = 0 });
  disk_extents_sharing (d->disk, size, 0, look, &left);
  for (i = 0; i < 8; i++) {
    size_t n = size < sizeof buf ? size : sizeof buf;

    at = i == 0 || size == n ? 0
      : i == 1 ? size - n : (size - n) / (i + 1) & ~UINT64_C (65535);
    disk_read (d->disk, buf, n, at);
    disk_write (d->disk, buf, n, at);
  }
  registry_clone (r, name, "exercise", &options, IF_EXISTS_REPLACE, NULL);
  disk_write (d->disk, buf, size < 65536 ? size : 65536, 0);
  disk_trim (d->disk, size / 2 & ~UINT64_C (65535), 0);
  registry_resize (r, name, size / 3 & ~UINT64_C (65535), &old);
  registry_resize (r, name, size, &old);
  registry_destroy (r, "exercise");
  registry_close (r, d);
}

void
world_exercise (struct registry *r, struct arena *a)
{
  struct named_disk *d[64];
  size_t n, i;
  bool more;

  engine_check_all (a, r);
  n = registry_hold_page (r, NULL, 64, d, &more, NULL);
  for (i = 0; i < n; i++)
    exercise_disk (r, d[i]->name);
  engine_check_all (a, r);
  for (i = 0; i < n; i++) {
    if (i % 2)
      registry_destroy (r, d[i]->name);
    registry_close (r, d[i]);
  }
  engine_check_all (a, r);
}

static int
connect_world (void *opaque, const char *uri, const struct origin_wanted *wanted,
               struct origin_source *source)
{
  (void) opaque;
  (void) wanted;
  *source = world_source ();
  if (strcmp (uri, source->uri) == 0)
    return 0;
  errno = ENOENT;
  return -1;
}

struct origins *
world_origins (struct arena *a)
{
  static const struct origin_connector connector = { .connect = connect_world };

  set = origins_new (a, 0);
  if (set == NULL)
    abort_with ("origins: no memory");
  origins_set_connector (set, &connector);
  return set;
}

struct origins *
world_origins_now (void)
{
  return set;
}

void
world_open (const char *path, uint64_t limit, struct arena **a,
            struct registry **r, struct recovery *recovery)
{
  const struct arena_open_options o = { .path = path, .limit = limit };
  const struct registry_options ro = {
    .default_size = 16 << 20, .max_size = DISK_MAX_SIZE, .sector_size = 1,
    .max_disks = 100000, .auto_create = true,
  };
  struct recovery unused;
  char *error;

  if (rcu_prepare () == -1)
    abort_with ("rcu");
  *a = arena_open (&o, &error);
  if (*a == NULL)
    abort_with ("%s: %s", path, error);
  *r = registry_new (*a, &ro);
  if (registry_recover (*r, world_origins (*a), false, NULL, NULL,
                        recovery ? recovery : &unused, &error) == -1)
    abort_with ("%s: %s", path, error);
}

void
world_close (struct arena *a, struct registry *r)
{
  registry_free (r);
  origins_stop (set);
  origins_free (set);
  set = NULL;
  arena_destroy (a);
}
