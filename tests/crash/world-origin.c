/* SPDX-License-Identifier: BSD-3-Clause */
/* The origin of the disks in world.h: a block device that follows from the
 * registers' numbers.
 */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "bdev/bdev.h"
#include "ramdisk/disk-origin-parts.h"
#include "tests/abort.h"
#include "tests/crash/world.h"

static _Atomic uint64_t fetched;

/* The first register that ends after that byte. */
static unsigned
first_after (uint64_t offset)
{
  unsigned reg = 0;

  while (reg < REGISTERS && register_offset (reg) + SECTOR <= offset)
    reg++;
  return reg;
}

static int
world_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  uint64_t end = offset + count, at, value;
  unsigned reg, i;

  if (end > b->info.size)
    abort_with ("a read beyond the end of the origin");
  atomic_fetch_add (&fetched, count);
  memset (buf, 0, count);
  for (reg = first_after (offset); reg < REGISTERS; reg++) {
    value = word (WORLD_ORIGIN_ID, reg);
    for (i = 0; i < SECTOR; i += sizeof value) {
      at = register_offset (reg) + i;
      if (at >= end)
        return 0;
      if (at >= offset)         /* requests are whole pages */
        memcpy ((char *) buf + (at - offset), &value, sizeof value);
    }
  }
  return 0;
}

/* Between the clusters there are zeros. */
static int
world_extents (struct bdev *b, uint64_t count, uint64_t offset, uint32_t flags,
               bdev_extent_fn fn, void *opaque)
{
  uint64_t end = offset + count, next;
  unsigned reg;
  bool data;

  (void) b;
  (void) flags;
  for (; offset < end; offset = next) {
    reg = first_after (offset);
    data = reg < REGISTERS && register_offset (reg) <= offset;
    next = reg == REGISTERS ? end : register_offset (reg) + (data ? SECTOR : 0);
    if (next > end)
      next = end;
    if (fn (opaque, offset, next - offset, data ? 0 : BDEV_ZERO) == -1)
      return -1;
  }
  return 0;
}

static const struct bdev_ops ops = {
  .read = world_read, .extents = world_extents,
};

struct origin_source
world_source (void)
{
  static struct bdev bdev;

  bdev.ops = &ops;
  bdev.info = (struct bdev_info) {
    .size = WORLD_ORIGIN_SIZE, .block_min = 1, .readonly = true,
    .can_extents = true,
  };
  return (struct origin_source) {
    .bdev = &bdev, .uri = "nbd://localhost/the-origin-of-a-world",
  };
}

uint64_t
world_fetched (void)
{
  return atomic_load (&fetched);
}

static int
ignore (void *opaque, uint64_t offset, uint64_t length, enum extent_type type)
{
  (void) opaque;
  (void) offset;
  (void) length;
  (void) type;
  return 0;
}

/* As the prefetch thread does.  Others may evict meanwhile. */
void
world_complete (struct origin *o)
{
  uint64_t first, end, next;

  while (!atomic_load (&o->complete) && !origin_complete (o)) {
    origin_extents (o, o->size, 0, ignore, NULL);
    while (origin_missing (o, 0, o->pages, &first, &end))
      if (origin_fetch_run (o, first, end, &next) == -1)
        abort_with ("fetch: %s", strerror (errno));
  }
}
