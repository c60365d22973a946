/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks beside plain copies of their bytes.  disk-shadow.h has the contract. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/abort.h"
#include "tests/unit/disk-shadow.h"

#define P ((uint64_t) PAGE_BYTES)

static const char *const names[SHADOW_KINDS] = {
  "write", "write with detection", "read", "zero", "allocate zeros", "trim",
  "resize", "set the quota", "clone", "reset", "create", "extents", "sharing",
  "diff",
};

static void __attribute__ ((noreturn))
differs (const struct shadow_op *op, uint64_t offset)
{
  abort_with ("%s of disk %u, %" PRIu64 " bytes at %" PRIu64 ": wrong at %"
              PRIu64, names[op->kind], op->a, op->count, op->offset, offset);
}

static void *
get_memory (size_t n)
{
  void *p = calloc (1, n);

  if (p == NULL)
    abort_with ("no memory");
  return p;
}

static uint64_t
in_pages (uint64_t bytes)
{
  return (bytes + P - 1) / P;
}

void
shadow_init (struct shadow *s, uint64_t most)
{
  unsigned i;

  memset (s, 0, sizeof *s);
  s->most = most;
  for (i = 0; i < SHADOW_DISKS; i++)
    s->bytes[i] = get_memory (in_pages (most) * P);
}

void
shadow_start (struct shadow *s, struct arena *a, struct disk **disk,
              const uint64_t size[SHADOW_DISKS])
{
  unsigned i;

  s->arena = a;
  s->disk = disk;
  for (i = 0; i < SHADOW_DISKS; i++) {
    disk[i] = disk_new (a, size[i], 1);
    if (disk[i] == NULL)
      abort_with ("a new disk: %s", strerror (errno));
    memset (s->bytes[i], 0, s->size[i]);
    s->size[i] = size[i];
    s->parent[i] = i;
  }
}

void
shadow_free (struct shadow *s)
{
  unsigned i;

  for (i = 0; i < SHADOW_DISKS; i++)
    free (s->bytes[i]);
  free (s->buf);
}

/* --------------------------------------------------------------- requests */

/* What is written: bytes that differ from sector to sector, or zeros. */
static void
fill (char *buf, const struct shadow_op *op)
{
  uint64_t i, n;

  for (i = 0; i < op->count; i += n) {
    n = 512 - (op->offset + i) % 512;
    if (n > op->count - i)
      n = op->count - i;
    memset (buf + i, op->value
            ? (int) ((op->value + (op->offset + i) / 512) | 1) : 0, n);
  }
}

static bool
is_beyond (const struct shadow *s, const struct shadow_op *op)
{
  return op->offset > s->size[op->a] ||
    op->count > s->size[op->a] - op->offset;
}

/* Nodes that a request of a few MiB may have to copy or to create. */
#define MOST_NODES 16

/* The pages that a request touches. */
static uint64_t
touched (const struct shadow_op *op)
{
  return in_pages (op->offset % P + op->count);
}

/* Had the request a reason to fail with this error? */
static bool
may_fail (struct shadow *s, const struct shadow_op *op, int err)
{
  struct disk *d = s->disk[op->a];
  struct arena_stats st;

  arena_stats (s->arena, &st);
  switch (err) {
  case EINVAL:
    return op->kind == SHADOW_READ && is_beyond (s, op);
  case EDQUOT:
    return disk_owned (d) + touched (op) * P > disk_quota (d);
  case ENOSPC:
    return (op->kind != SHADOW_READ && is_beyond (s, op)) ||
      st.used + (touched (op) + MOST_NODES) * P > st.limit;
  default:
    return false;
  }
}

/* What a trim makes zero: whole pages, and the last one's rest. */
static void
trimmed (const struct shadow *s, const struct shadow_op *op, uint64_t *first,
         uint64_t *last)
{
  *first = in_pages (op->offset) * P;
  *last = (op->offset + op->count) & -P;
  if (op->offset + op->count == s->size[op->a])
    *last = s->size[op->a];
}

/* The last bytes of the buffer: what is written after them is found. */
static char *
request_buffer (struct shadow *s, uint64_t count)
{
  if (s->room < count || s->buf == NULL) {
    free (s->buf);
    s->room = count + 1;
    s->buf = get_memory (s->room);
  }
  return s->buf + s->room - count;
}

static void
request (struct shadow *s, const struct shadow_op *op)
{
  char *bytes = s->bytes[op->a], *buf = request_buffer (s, op->count);
  struct disk *d = s->disk[op->a];
  uint64_t first = op->offset, last = op->offset + op->count, i;
  bool writes = op->kind == SHADOW_WRITE || op->kind == SHADOW_DETECT;
  int r;

  if (writes)
    fill (buf, op);
  switch (op->kind) {
  case SHADOW_WRITE:
    r = disk_write (d, buf, op->count, op->offset);
    break;
  case SHADOW_DETECT:
    r = disk_write_detect (d, buf, op->count, op->offset);
    break;
  case SHADOW_READ:
    r = disk_read (d, buf, op->count, op->offset);
    break;
  case SHADOW_TRIM:
    r = disk_trim (d, op->count, op->offset);
    trimmed (s, op, &first, &last);
    break;
  default:
    r = disk_zero (d, op->count, op->offset, op->kind == SHADOW_ZERO);
  }
  if (r == -1 && !may_fail (s, op, errno))
    abort_with ("%s of disk %u, %" PRIu64 " bytes at %" PRIu64 ": %s",
                names[op->kind], op->a, op->count, op->offset,
                strerror (errno));
  if (r == 0 && is_beyond (s, op))
    abort_with ("%s of disk %u, %" PRIu64 " bytes at %" PRIu64 ": beyond the "
                "end", names[op->kind], op->a, op->count, op->offset);
  if (r == 0 && op->kind == SHADOW_READ) {
    if (memcmp (buf, bytes + op->offset, op->count) != 0) {
      for (i = 0; buf[i] == bytes[op->offset + i]; i++)
        ;
      differs (op, op->offset + i);
    }
  }
  else if (r == 0 && writes)
    memcpy (bytes + op->offset, buf, op->count);
  else if (r == 0 && first < last)
    memset (bytes + first, 0, last - first);
}

/* ------------------------------------------------------- extents and diff */

static bool
is_zero (const char *p, uint64_t n)
{
  return n == 0 || (*p == 0 && memcmp (p, p + 1, n - 1) == 0);
}

/* A walk over what the engine reports of one disk or of two. */
struct walk {
  const struct shadow *s;
  const struct shadow_op *op;
  uint64_t next;                /* where the next report begins, at least */
  uint64_t size;                /* where the last one ends, at most */
  int last;                     /* the type of the last extent, or -1 */
};

static int
one_extent (void *opaque, uint64_t offset, uint64_t length,
            enum extent_type type)
{
  struct walk *w = opaque;

  if (offset != w->next || length == 0 || length > w->size - offset ||
      (int) type == w->last ||
      (type == EXTENT_SHARED && w->op->kind != SHADOW_SHARING))
    differs (w->op, offset);
  if ((type == EXTENT_HOLE || type == EXTENT_ZERO) &&
      !is_zero (w->s->bytes[w->op->a] + offset, length))
    differs (w->op, offset);
  w->next += length;
  w->last = type;
  return 0;
}

static void
extents (const struct shadow *s, const struct shadow_op *op)
{
  struct walk w = {
    .s = s, .op = op, .next = op->offset, .size = s->size[op->a], .last = -1
  };
  struct disk *d = s->disk[op->a];

  if (is_beyond (s, op) || op->count == 0)
    return;
  if ((op->kind == SHADOW_SHARING
       ? disk_extents_sharing (d, op->count, op->offset, one_extent, &w)
       : disk_extents (d, op->count, op->offset, one_extent, &w)) != 0)
    abort_with ("extents: %s", strerror (errno));
  if (w.next < op->offset + op->count)
    differs (op, w.next);
}

static bool
page_is_same (const struct walk *w, uint64_t offset)
{
  return memcmp (w->s->bytes[w->op->a] + offset,
                 w->s->bytes[w->op->b] + offset, P) == 0;
}

/* Pages before this one are the same. */
static void
skip_same (struct walk *w, uint64_t offset)
{
  for (; w->next < offset; w->next += P)
    if (!page_is_same (w, w->next))
      differs (w->op, w->next);
}

static int
one_difference (void *opaque, uint64_t offset, uint64_t length)
{
  struct walk *w = opaque;
  uint64_t end = offset + length;

  if (offset % P || length == 0 || offset < w->next || end > w->size ||
      (end % P && end != w->size))
    differs (w->op, offset);
  skip_same (w, offset);
  for (; w->next < end; w->next += P)
    if (page_is_same (w, w->next))
      differs (w->op, w->next);
  return 0;
}

static void
diff (const struct shadow *s, const struct shadow_op *op)
{
  uint64_t a = s->size[op->a], b = s->size[op->b];
  struct walk w = {
    .s = s, .op = op, .next = op->offset & -P, .size = a > b ? a : b
  };

  if (op->offset >= w.size)
    return;
  if (disk_diff (s->disk[op->a], s->disk[op->b], op->offset, one_difference,
                 NULL, &w) != 0)
    abort_with ("diff: %s", strerror (errno));
  skip_same (&w, w.size);
}

/* ------------------------------------------------------------ whole disks */

static void
resize (struct shadow *s, const struct shadow_op *op)
{
  if (disk_resize (s->disk[op->a], op->size) == -1) {
    if (!may_fail (s, op, errno))
      abort_with ("resize to %" PRIu64 ": %s", op->size, strerror (errno));
    return;
  }
  if (op->size < s->size[op->a])
    memset (s->bytes[op->a] + op->size, 0, s->size[op->a] - op->size);
  s->size[op->a] = op->size;
}

/* A disk takes the place of another one. */
static void
take_place (struct shadow *s, unsigned i, struct disk *d, uint64_t size)
{
  if (d == NULL)
    abort_with ("a new disk: %s", strerror (errno));
  disk_free (s->disk[i]);
  s->disk[i] = d;
  if (size < s->size[i])
    memset (s->bytes[i] + size, 0, s->size[i] - size);
  s->size[i] = size;
}

static void
place_clone (struct shadow *s, unsigned from, unsigned to)
{
  if (from == to)
    return;
  take_place (s, to, disk_clone (s->disk[from]), s->size[from]);
  memcpy (s->bytes[to], s->bytes[from], s->size[from]);
  s->parent[to] = from;
}

void
shadow_do (struct shadow *s, const struct shadow_op *op)
{
  switch (op->kind) {
  case SHADOW_WRITE:
  case SHADOW_DETECT:
  case SHADOW_READ:
  case SHADOW_ZERO:
  case SHADOW_ALLOCATE:
  case SHADOW_TRIM:
    request (s, op);
    break;
  case SHADOW_RESIZE:
    resize (s, op);
    break;
  case SHADOW_QUOTA:
    disk_set_quota (s->disk[op->a], op->value ? TREE_NO_QUOTA : op->size);
    break;
  case SHADOW_CLONE:
    place_clone (s, op->a, op->b);
    break;
  case SHADOW_RESET:
    place_clone (s, s->parent[op->a], op->a);
    break;
  case SHADOW_NEW:
    take_place (s, op->a, disk_new (s->arena, op->size, 1), op->size);
    memset (s->bytes[op->a], 0, op->size);
    s->parent[op->a] = op->a;
    break;
  case SHADOW_EXTENTS:
  case SHADOW_SHARING:
    extents (s, op);
    break;
  case SHADOW_DIFF:
    diff (s, op);
    break;
  case SHADOW_KINDS:
    break;
  }
}

/* Bytes that are compared at a time. */
#define PIECE (64 * P)

void
shadow_check (struct shadow *s)
{
  unsigned i;

  for (i = 0; i < SHADOW_DISKS; i++) {
    struct shadow_op op = { .kind = SHADOW_READ, .a = i };

    if (disk_size (s->disk[i]) != s->size[i])
      abort_with ("disk %u: a size of %" PRIu64 ", not %" PRIu64, i,
                  disk_size (s->disk[i]), s->size[i]);
    for (; op.offset < s->size[i]; op.offset += op.count) {
      op.count = s->size[i] - op.offset;
      if (op.count > PIECE)
        op.count = PIECE;
      request (s, &op);
    }
  }
}
