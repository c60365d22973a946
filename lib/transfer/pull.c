/* SPDX-License-Identifier: BSD-3-Clause */
/* Pull: copies a block device's content into a new disk. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "transfer/pass.h"
#include "transfer/pull.h"

struct pull {
  struct job *job;
  struct bdev *source;
  struct disk *disk;
  uint64_t align;               /* bytes, a power of two, of which pieces are
                                 * multiples, except at the end */
  uint64_t map;                 /* what to ask about next (bdev_map_next) … */
  uint64_t extents;             /* … and how many the last reply had */
  struct plan plan;
};

static int
failed (struct pull *p, const char *what, uint64_t length, uint64_t offset)
{
  int err = errno;

  if (err != ESHUTDOWN && err != ECANCELED)
    job_fail (p->job, "cannot %s %" PRIu64 " bytes at %" PRIu64 " of the "
              "source: %s", what, length, offset, strerror (err));
  errno = err;
  return -1;
}

/* Extents consist of whole blocks of the source, which may be finer than the
 * disk's sectors.  Pieces consist of whole sectors and whole blocks: one that
 * is partly zeros is data.
 */
static int
plan_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct pull *p = opaque;
  uint64_t size = p->source->info.size, end, whole;
  uint64_t start = offset > p->plan.next ? offset : p->plan.next;
  int r = 0;

  p->extents++;
  if (offset >= size || p->plan.full)
    return 0;
  end = offset + bdev_extent_cut (offset, length, size);
  whole = end == size ? end : end - end % p->align;
  if (whole < end)
    end = size - whole < p->align ? size : whole + p->align;
  if (type & BDEV_ZERO && whole > start) {
    r = plan_add (&p->plan, start, whole - start, true);
    start = whole;
  }
  if (r == 0 && end > start)
    r = plan_add (&p->plan, start, end - start, false);
  return r == -1 ? -1 : 0;
}

/* Plan the next window.  plan.full: there is more. */
static int
plan_window (struct pull *p, uint64_t offset)
{
  uint64_t size = p->source->info.size;

  plan_begin (&p->plan, offset);
  if (!p->source->info.can_extents)
    return offset < size
      ? plan_add (&p->plan, offset, size - offset, false) == -1 ? -1 : 0 : 0;
  while (p->plan.next < size && !p->plan.full) {
    uint64_t at = p->plan.next;
    uint64_t n = size - at < p->map ? size - at : p->map;

    if (job_is_cancelled (p->job)) {
      errno = ECANCELED;
      return -1;
    }
    p->extents = 0;
    if (bdev_extents (p->source, n, at, 0, plan_extent, p) == -1)
      return failed (p, "map", n, at);
    p->map = bdev_map_next (p->map, p->extents);
    if (p->plan.next == at) {   /* no extents: this would never end */
      errno = EIO;
      return failed (p, "map", n, at);
    }
  }
  return 0;
}

static int
fetch_part (void *opaque, char *buf, uint64_t offset, uint32_t length,
            bool zero)
{
  struct pull *p = opaque;

  if (zero)
    return 0;                   /* the disk is empty there */
  if (bdev_read (p->source, buf, length, offset) == -1)
    return failed (p, "read", length, offset);
  /* Images store data in clusters, and most of a cluster may be zeros. */
  if (disk_write_detect (p->disk, buf, length, offset) == -1)
    return -1;
  job_sent (p->job, length);
  return 0;
}

int
pull_run (struct job *job, struct bdev *source, struct disk *disk)
{
  uint64_t block = source->info.block_min;
  struct pull p = {
    .job = job, .source = source, .disk = disk,
    .align = block > disk->sector_size ? block : disk->sector_size,
    .map = BDEV_MAP_LEAST,
  };
  uint64_t at = 0;
  int r, err;

  job_phase (job, PULL_COPYING, source->info.size);
  do {
    r = plan_window (&p, at);
    if (r == 0)
      r = pass_run (job, &p.plan, true, fetch_part, &p);
    at = p.plan.next;
  } while (r == 0 && p.plan.full);
  err = errno;
  plan_free (&p.plan);
  errno = err;
  return r;
}
