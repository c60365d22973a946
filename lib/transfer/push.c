/* SPDX-License-Identifier: BSD-3-Clause */
/* Push: copies a disk's content to a block device elsewhere. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "transfer/pass.h"
#include "transfer/push.h"

/* How many bytes are sent between two flushes. */
#define FLUSH_EVERY (UINT64_C (512) << 20)

/* How many flushes in a row may fail because of an outage. */
#define MOST_RETURNS 20

/* How many places are compared to check that a device has the content of
 * `since`: within its data, and anywhere.
 */
#define DATA_SAMPLES 48
#define ANY_SAMPLES 16
#define SAMPLES (DATA_SAMPLES + ANY_SAMPLES)
#define SAMPLE_BYTES 4096

/* How many of them may differ if an unfinished push may have written anywhere:
 * a device of other content would differ in most of those within data.
 */
#define MOST_DIFFERING (DATA_SAMPLES / 2)

/* When the device may have anything (Q3), what differs is sent in units of
 * this, or of a larger block.
 */
#define COMPARE_BYTES 4096

struct push {
  struct job *job;
  struct push_options o;
  uint64_t size;                /* of the disk */
  uint64_t ours;                /* beyond it the device is not changed (Q2) */
  uint64_t cut;                 /* where a plan's extents are cut off */
  struct spans again;           /* what unfinished pushes may have written … */
  size_t at_again;              /* … and how much of it is planned */
  _Atomic unsigned differing;   /* samples, with compares */
  struct plan plan;
};

static uint64_t
least (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static uint64_t
round_down (uint64_t n, uint64_t block)
{
  return n - n % block;
}

static uint64_t
round_up (uint64_t n, uint64_t block)
{
  return round_down (n + block - 1, block);
}

/* A request to the device failed.  Keeps errno. */
static int
failed (struct push *p, const char *what, uint64_t length, uint64_t offset)
{
  int err = errno;

  if (err != ESHUTDOWN && err != ECANCELED)
    job_fail (p->job, "cannot %s %" PRIu64 " bytes at %" PRIu64 " of the "
              "destination: %s", what, length, offset, strerror (err));
  errno = err;
  return -1;
}

static bool
is_cancelled (void *opaque)
{
  struct push *p = opaque;

  return job_is_cancelled (p->job);
}

/* ------------------------------------------------------------- the disk */

/* The disk's bytes, followed by zeros beyond its end. */
static int
read_disk (struct push *p, struct disk *d, char *buf, uint64_t length,
           uint64_t offset)
{
  uint64_t size = disk_size (d);
  uint64_t inside = offset < size ? least (length, size - offset) : 0;
  uint64_t sector = d->sector_size, from, to;
  int r = 0, err;

  memset (buf + inside, 0, length - inside);
  if (inside == 0)
    return 0;
  from = round_down (offset, sector);
  to = least (round_up (offset + inside, sector), size);
  if (from == offset && to == offset + inside)
    r = disk_read (d, buf, inside, offset);
  else {
    CLEANUP_FREE char *sectors = malloc (to - from);

    if (sectors == NULL)
      return -1;
    r = disk_read (d, sectors, to - from, from);
    if (r == 0)
      memcpy (buf, sectors + (offset - from), inside);
  }
  if (r == -1) {
    err = errno;
    job_fail (p->job, "cannot read %" PRIu64 " bytes at %" PRIu64 " of the "
              "disk: %s", inside, offset, strerror (err));
    errno = err;
  }
  return r;
}

static int
plan_extent (void *opaque, uint64_t offset, uint64_t length,
             enum extent_type type)
{
  struct push *p = opaque;

  /* The request was for whole sectors, so the first extent may begin before the
   * range.
   */
  if (offset + length <= p->plan.next)
    return 0;
  if (offset < p->plan.next) {
    length -= p->plan.next - offset;
    offset = p->plan.next;
  }
  if (offset >= p->cut)
    return 0;
  return plan_add (&p->plan, offset, least (length, p->cut - offset),
                   type == EXTENT_ZERO || type == EXTENT_HOLE);
}

/* What is in a range of the disk, and beyond it. */
static int
plan_range (struct push *p, uint64_t offset, uint64_t end)
{
  uint64_t sector = p->o.disk->sector_size, from, to;
  int r = 0;

  if (p->plan.next < offset)
    p->plan.next = offset;
  if (offset < p->size) {
    p->cut = least (end, p->size);
    from = round_down (offset, sector);
    to = least (round_up (least (end, p->size), sector), p->size);
    r = disk_extents (p->o.disk, to - from, from, plan_extent, p);
  }
  if (r == 0 && end > p->size) {
    if (offset < p->size)
      offset = p->size;
    end = least (end, p->o.dest->info.size);
    if (offset < end)
      r = plan_add (&p->plan, offset, end - offset, true);
  }
  return r;
}

/* Plan what is to be sent again, as far as it begins before end. */
static int
plan_again (struct push *p, uint64_t end)
{
  const struct span *a;
  int r = 0;

  for (; p->at_again < p->again.n && r == 0; p->at_again++) {
    a = &p->again.span[p->at_again];
    if (a->offset >= end)
      break;
    if (a->end > p->plan.next)
      r = plan_range (p, a->offset > p->plan.next ? a->offset : p->plan.next,
                      a->end);
  }
  return r;
}

/* Extents may go beyond the requested range: the caller continues where they
 * end.
 */
static int
plan_difference (void *opaque, uint64_t offset, uint64_t length)
{
  struct push *p = opaque;
  int r = plan_again (p, offset);

  if (r != 0 || offset + length <= p->plan.next)
    return r;
  if (offset < p->plan.next) {
    length -= p->plan.next - offset;
    offset = p->plan.next;
  }
  return plan_range (p, offset, offset + length);
}

/* Plan the next window, from plan.next on.  Returns 0, or -1 with errno. */
static int
plan_window (struct push *p, uint64_t offset)
{
  int r;

  plan_begin (&p->plan, offset);
  p->cut = p->size;
  p->at_again = 0;
  if (p->o.since) {
    r = disk_diff (p->o.since, p->o.disk, offset, plan_difference,
                   is_cancelled, p);
    if (r == 0)
      r = plan_again (p, UINT64_MAX);
  }
  else
    r = offset < p->size
      ? disk_extents (p->o.disk, p->size - offset, offset, plan_extent, p) : 0;
  return r == -1 ? -1 : 0;
}

/* ------------------------------------------------------------ the device */

static int
read_dest (struct push *p, char *buf, uint64_t length, uint64_t offset)
{
  if (bdev_read (p->o.dest, buf, length, offset) == 0)
    return 0;
  return failed (p, "read", length, offset);
}

/* Leave out what the device has already, at both ends of a range of whole
 * blocks.  Returns 0, or -1 with errno.
 */
static int
skip_same (struct push *p, char **buf, uint64_t *offset, uint64_t *end)
{
  uint64_t block = p->o.dest->info.block_min, n = *end - *offset, first = 0;
  uint64_t unit = block > COMPARE_BYTES ? block : COMPARE_BYTES;
  CLEANUP_FREE char *there = malloc (n);

  if (there == NULL || read_dest (p, there, n, *offset) == -1)
    return -1;
  while (first < n &&
         memcmp (*buf + first, there + first, least (unit, n - first)) == 0)
    first += least (unit, n - first);
  while (n > first) {
    uint64_t last = first + (n - first - 1) / unit * unit;

    if (memcmp (*buf + last, there + last, n - last) != 0)
      break;
    n = last;
  }
  *buf += first;
  *end = *offset + n;
  *offset += first;
  return 0;
}

/* Send a range as data, in whole blocks of the device. */
static int
send_data (struct push *p, char *buf, uint64_t offset, uint64_t end)
{
  struct bdev *dest = p->o.dest;
  uint64_t block = dest->info.block_min, whole, inside;

  if (offset >= end)
    return 0;
  offset = round_down (offset, block);
  whole = least (round_up (end, block), dest->info.size);
  inside = least (whole, p->ours) - offset;
  if (read_disk (p, p->o.disk, buf, inside, offset) == -1)
    return -1;
  /* Q2: the last block contains bytes that belong to the device. */
  if (offset + inside < whole) {
    CLEANUP_FREE char *last = malloc (block);
    uint64_t from = round_down (offset + inside, block);

    if (last == NULL || read_dest (p, last, whole - from, from) == -1)
      return -1;
    memcpy (buf + inside, last + (offset + inside - from),
            whole - offset - inside);
  }
  if (p->o.compares && skip_same (p, &buf, &offset, &whole) == -1)
    return -1;
  if (offset == whole)
    return 0;
  if (bdev_write (dest, buf, whole - offset, offset, 0) == -1)
    return failed (p, "write", whole - offset, offset);
  job_sent (p->job, whole - offset);
  return 0;
}

/* Zero whole blocks.  If the device cannot zero, zeros are written. */
static int
zero_blocks (struct push *p, char *buf, uint64_t offset, uint64_t end)
{
  struct bdev *dest = p->o.dest;

  if (offset >= end)
    return 0;
  if (dest->info.can_zero) {
    if (bdev_zero (dest, end - offset, offset, BDEV_MAY_TRIM) == -1)
      return failed (p, "zero", end - offset, offset);
    return 0;
  }
  for (; offset < end; offset += PASS_DATA) {
    uint64_t n = least (PASS_DATA, end - offset);

    if (job_is_cancelled (p->job)) {
      errno = ECANCELED;
      return -1;
    }
    memset (buf, 0, n);
    if (bdev_write (dest, buf, n, offset, 0) == -1)
      return failed (p, "write", n, offset);
  }
  return 0;
}

/* Zero what the device does not report as zeros already. */
struct zeroing {
  struct push *p;
  char *buf;
  uint64_t at, end;
  int err;
};

static int
zero_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct zeroing *z = opaque;

  if (offset >= z->end)
    return 0;
  length = bdev_extent_cut (offset, length, z->end);
  z->at = offset + length;
  if (!(type & BDEV_ZERO) &&
      zero_blocks (z->p, z->buf, offset, offset + length) == -1) {
    z->err = errno;
    return -1;
  }
  return 0;
}

static int
make_zeros (struct push *p, char *buf, uint64_t offset, uint64_t end)
{
  struct bdev *dest = p->o.dest;
  struct zeroing z = { .p = p, .buf = buf, .at = offset, .end = end };

  /* What since has may differ from what the destination has.  Beyond its end,
   * the destination knows best where it has zeros.
   */
  if (!dest->info.can_extents ||
      (p->o.since && !p->o.compares && offset < disk_size (p->o.since)))
    return zero_blocks (p, buf, offset, end);
  while (z.at < end) {
    uint64_t from = z.at;

    if (bdev_extents (dest, end - from, from, 0, zero_extent, &z) == -1) {
      if (z.err) {
        errno = z.err;
        return -1;
      }
      return failed (p, "map", end - from, from);
    }
    if (z.at == from) {         /* no extents: this would never end */
      errno = EIO;
      return failed (p, "map", end - from, from);
    }
  }
  return 0;
}

static int
send_part (void *opaque, char *buf, uint64_t offset, uint32_t length, bool zero)
{
  struct push *p = opaque;
  uint64_t block = p->o.dest->info.block_min, end = offset + length;
  uint64_t from = round_up (offset, block);
  uint64_t to = end == p->o.dest->info.size ? end : round_down (end, block);

  if (!zero)
    return send_data (p, buf, offset, end);
  if (from >= to)               /* less than a block */
    return send_data (p, buf, offset, end);
  if (send_data (p, buf, offset, from) == -1 ||
      make_zeros (p, buf, from, to) == -1)
    return -1;
  return send_data (p, buf, to, end);
}

/* -------------------------------------------------------------- copying */

static uint64_t
outages (const struct push *p)
{
  return p->o.outages ? p->o.outages (p->o.opaque) : 0;
}

/* How much there is to send. */
static int
count_data (struct push *p, uint64_t *bytes)
{
  uint64_t at = 0;

  *bytes = 0;
  if (p->o.since == NULL) {
    *bytes = disk_mapped (p->o.disk);
    return 0;
  }
  do {
    if (plan_window (p, at) == -1)
      return -1;
    *bytes += p->plan.data;
    at = p->plan.next;
  } while (p->plan.full);
  return 0;
}

/* Flush.  Returns 0; 1 if everything sent since the last flush must be sent
 * again; or -1.
 */
static int
flush (struct push *p, uint64_t outages_before)
{
  int err;

  if (!p->o.dest->info.can_flush)
    return outages (p) != outages_before;
  if (bdev_flush (p->o.dest) == 0)
    return 0;
  err = errno;
  if (err == EIO && outages (p) != outages_before)
    return 1;
  if (err != ESHUTDOWN)
    job_fail (p->job, "cannot flush the destination: %s", strerror (err));
  errno = err;
  return -1;
}

/* What is in the plan is about to be written. */
static int
remember (struct push *p)
{
  const struct piece *piece = p->plan.piece;
  uint64_t block = p->o.dest->info.block_min, end;
  size_t i;
  int r = 0;

  if (p->o.unfinished == NULL || p->o.compares)
    return 0;                   /* the next one compares, too */
  if (p->o.since == NULL)
    return unfinished_add (p->o.unfinished, 0, p->o.target, 0, p->size);
  /* Whole blocks of the device are written. */
  for (i = 0; i < p->plan.n && r == 0; i++) {
    end = round_up (piece[i].offset + piece[i].length, block);
    r = unfinished_add (p->o.unfinished, p->o.since_id, p->o.target,
                        round_down (piece[i].offset, block),
                        least (end, p->ours));
  }
  return r;
}

static int
copy (struct push *p)
{
  uint64_t checkpoint = 0, at = 0, unflushed = 0, before = outages (p);
  unsigned returns = 0;
  int r;

  do {
    if (plan_window (p, at) == -1 || remember (p) == -1 ||
        pass_run (p->job, &p->plan, false, send_part, p) == -1)
      return -1;
    at = p->plan.next;
    unflushed += p->plan.data;
    if (p->plan.full &&
        (unflushed < FLUSH_EVERY || !p->o.dest->info.can_flush))
      continue;
    r = flush (p, before);
    if (r == -1)
      return -1;
    before = outages (p);
    unflushed = 0;
    if (r == 1) {
      if (++returns == MOST_RETURNS)
        return job_fail (p->job, "the destination was lost %u times before it "
                         "could be flushed", returns);
      at = checkpoint;
      p->plan.full = true;
    }
    else {
      returns = 0;
      checkpoint = at;
    }
  } while (p->plan.full);
  return 0;
}

/* ------------------------------------------------------------ comparing */

/* Read a range of the device, which need not be whole blocks.  length is at
 * most PASS_DATA, and buf has PASS_SLACK more.  *at: where the range begins in
 * buf.
 */
static int
read_blocks (struct push *p, char *buf, uint64_t length, uint64_t offset,
             char **at)
{
  uint64_t block = p->o.dest->info.block_min;
  uint64_t from = round_down (offset, block);
  uint64_t to = least (round_up (offset + length, block),
                       p->o.dest->info.size);

  *at = buf + (offset - from);
  return read_dest (p, buf, to - from, from);
}

/* Compares bytes, not extents: what the device does not report as zeros is
 * read.
 */
static int
verify_bytes (struct push *p, char *buf, uint64_t offset, uint64_t length)
{
  CLEANUP_FREE char *ours = malloc (length);
  uint64_t i = 0;
  char *theirs;

  if (ours == NULL || read_blocks (p, buf, length, offset, &theirs) == -1 ||
      read_disk (p, p->o.disk, ours, length, offset) == -1)
    return -1;
  if (memcmp (ours, theirs, length) == 0)
    return 0;
  while (ours[i] == theirs[i])
    i++;
  job_fail (p->job, "verification failed: the destination differs at byte "
            "%" PRIu64, offset + i);
  errno = EILSEQ;
  return -1;
}

static int
verify_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct zeroing *z = opaque;
  uint64_t end;

  if (offset >= z->end)
    return 0;
  z->at = end = offset + bdev_extent_cut (offset, length, z->end);
  for (; !(type & BDEV_ZERO) && offset < end; offset += PASS_DATA)
    if (job_is_cancelled (z->p->job) ||
        verify_bytes (z->p, z->buf, offset,
                      least (PASS_DATA, end - offset)) == -1) {
      z->err = job_is_cancelled (z->p->job) ? ECANCELED : errno;
      return -1;
    }
  return 0;
}

static int
verify_part (void *opaque, char *buf, uint64_t offset, uint32_t length,
             bool zero)
{
  struct push *p = opaque;
  struct bdev *dest = p->o.dest;
  uint64_t block = dest->info.block_min, end = offset + length;
  struct zeroing z = { .p = p, .buf = buf, .at = offset, .end = end };

  if (!zero || !dest->info.can_extents) {
    verify_extent (&z, offset, length, 0);
    errno = z.err;
    return z.err ? -1 : 0;
  }
  while (z.at < end) {
    uint64_t from = round_down (z.at, block), was = z.at;
    uint64_t to = least (round_up (end, block), dest->info.size);

    z.at = from;
    if (bdev_extents (dest, least (to - from, UINT32_C (1) << 31), from, 0,
                      verify_extent, &z) == -1) {
      errno = z.err ? z.err : errno;
      return z.err ? -1 : failed (p, "map", to - from, from);
    }
    if (z.at <= was) {
      errno = EIO;
      return failed (p, "map", to - from, from);
    }
  }
  return 0;
}

static int
verify (struct push *p)
{
  struct disk *since = p->o.since;
  uint64_t at = 0;
  int r = 0;

  job_phase (p->job, PUSH_VERIFYING, p->size);
  p->o.since = NULL;            /* all of it */
  do {
    r = plan_window (p, at);
    if (r == 0)
      r = pass_run (p->job, &p->plan, true, verify_part, p);
    at = p->plan.next;
  } while (r == 0 && p->plan.full);
  p->o.since = since;
  return r;
}

/* -------------------------------------------------------------- samples */

struct samples {
  uint64_t data, next, every;   /* bytes of data; the next sample's */
  uint64_t offset[SAMPLES];
  unsigned n;
};

static int
sample_extent (void *opaque, uint64_t offset, uint64_t length,
               enum extent_type type)
{
  struct samples *s = opaque;

  if (type != EXTENT_DATA)
    return 0;
  for (; s->n < DATA_SAMPLES && s->next < s->data + length;
       s->next += s->every)
    s->offset[s->n++] = offset + (s->next - s->data);
  s->data += length;
  return s->n == DATA_SAMPLES;
}

/* Does the device have there the bytes of the older disk, or those that the
 * push will write?
 */
static int
compare_sample (void *opaque, char *buf, uint64_t offset, uint32_t length,
                bool zero)
{
  struct push *p = opaque;
  char then[SAMPLE_BYTES], now[SAMPLE_BYTES], *there;
  size_t i;

  (void) zero;
  if (read_blocks (p, buf, length, offset, &there) == -1 ||
      read_disk (p, p->o.since, then, length, offset) == -1 ||
      read_disk (p, p->o.disk, now, length, offset) == -1)
    return -1;
  for (i = 0; i < p->again.n && !p->o.compares; i++)
    if (p->again.span[i].offset < offset + length &&
        p->again.span[i].end > offset)
      return 0;                 /* anything may be there */
  if (memcmp (there, then, length) == 0 || memcmp (there, now, length) == 0)
    return 0;
  if (p->o.compares && atomic_fetch_add (&p->differing, 1) < MOST_DIFFERING)
    return 0;
  job_fail (p->job, "since: the destination does not have the content of that "
            "snapshot: it differs at %" PRIu64, offset);
  errno = EILSEQ;
  return -1;
}

static int
compare_samples (struct push *p)
{
  struct disk *d = p->o.since;
  uint64_t size = least (disk_size (d), p->o.dest->info.size);
  struct samples s = { .every = 1 + disk_mapped (d) / DATA_SAMPLES };
  struct piece piece[SAMPLES];
  struct plan plan = { .piece = piece };
  unsigned i;

  if (size == 0)
    return 0;
  if (disk_extents (d, round_down (size, d->sector_size), 0, sample_extent,
                    &s) == -1)
    return -1;
  for (i = 0; i < ANY_SAMPLES; i++)
    s.offset[s.n++] = size / ANY_SAMPLES * i;
  for (i = 0; i < s.n; i++) {
    uint64_t offset = round_down (s.offset[i], SAMPLE_BYTES);

    if (offset < size)
      plan.piece[plan.n++] = (struct piece) {
        offset, least (SAMPLE_BYTES, size - offset), true
      };
  }
  return pass_run (p->job, &plan, false, compare_sample, p);
}

/* -------------------------------------------------------------- the whole */

static int
check (struct push *p)
{
  const struct bdev_info *info = &p->o.dest->info;
  int r;

  if (info->readonly)
    return job_fail (p->job, "the destination is read-only: expected one that "
                     "can be written");
  if (info->size < p->size)
    return job_fail (p->job, "the destination has %" PRIu64 " bytes: expected "
                     "at least the disk's size, %" PRIu64, info->size,
                     p->size);
  if (p->o.since == NULL)
    return 0;
  job_phase (p->job, PUSH_COMPARING, 0);
  /* No disk is related to an empty one, or every disk is. */
  if (p->o.since->origin || disk_mapped (p->o.since) > 0) {
    r = disk_shares (p->o.since, p->o.disk, is_cancelled, p);
    if (r == -1)
      return -1;
    if (r == 0)
      return job_fail (p->job, "since: that disk shares no data with the one "
                       "to push: expected a snapshot of it");
  }
  return compare_samples (p);
}

int
push_run (struct job *job, const struct push_options *options)
{
  struct push p = { .job = job, .o = *options,
                    .size = disk_size (options->disk) };
  uint64_t bytes = 0;
  int r, err;

  p.ours = p.size;
  if (p.o.since && disk_size (p.o.since) > p.ours)
    p.ours = disk_size (p.o.since);
  r = p.o.since && p.o.unfinished
    ? unfinished_get (p.o.unfinished, p.o.since_id, p.o.target, &p.again) : 0;
  if (r == 0 && p.o.compares)
    r = spans_add (&p.again, 0, p.ours);
  /* Beyond the end of `since`, the device has whatever it had (Q2). */
  if (r == 0 && p.o.since && disk_size (p.o.since) < p.size)
    r = spans_add (&p.again, disk_size (p.o.since), p.size);
  if (p.again.n && p.again.span[p.again.n - 1].end > p.ours)
    p.ours = least (p.again.span[p.again.n - 1].end, p.o.dest->info.size);
  if (r == 0)
    r = check (&p);
  if (r == 0)
    r = count_data (&p, &bytes);
  if (r == 0) {
    job_phase (job, PUSH_COPYING, bytes);
    r = copy (&p);
  }
  if (r == 0 && p.o.verify)
    r = verify (&p);
  if (r == 0 && p.o.unfinished)
    unfinished_done (p.o.unfinished, p.o.since ? p.o.since_id : 0,
                     p.o.target);
  err = errno;
  spans_free (&p.again);
  plan_free (&p.plan);
  errno = err;
  return r;
}
