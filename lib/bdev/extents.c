/* SPDX-License-Identifier: BSD-3-Clause */
/* Extents in whole blocks. */

#include <config.h>

#include "bdev/extents.h"

void
extents_init (struct extents *e, uint64_t block, uint64_t size,
              uint64_t offset, uint64_t count, bdev_extent_fn fn,
              void *opaque)
{
  *e = (struct extents) {
    .fn = fn, .opaque = opaque, .block = block ? block : 1, .size = size,
    .begin = offset, .end = offset + count, .from = offset, .to = offset,
  };
}

static bool
is_whole (const struct extents *e, uint64_t offset)
{
  return offset == e->size || (offset & (e->block - 1)) == 0;
}

/* Report what is there up to the end of a block. */
static int
tell (struct extents *e, uint64_t to)
{
  uint64_t from = e->from;

  e->from = to;
  return from < to && from < e->end
    ? e->fn (e->opaque, from, to - from, e->type) : 0;
}

/* These bytes lie in one block, or are whole blocks. */
static int
add (struct extents *e, uint64_t to, uint32_t type)
{
  uint64_t whole;

  if (e->from == e->to)
    e->type = type;
  else if (type != e->type &&
           (is_whole (e, e->to) || (e->type & type) != e->type)) {
    whole = is_whole (e, e->to) ? e->to : e->to & ~(e->block - 1);
    if (tell (e, whole) == -1)
      return -1;
    /* The rest belongs to the block that these bytes are in, too. */
    e->type = e->from == e->to ? type : e->type & type;
  }
  e->to = to;
  return 0;
}

int
extents_add (struct extents *e, uint64_t offset, uint64_t length,
             uint32_t type)
{
  uint64_t end = offset + length, rest;

  if (length == 0 || e->from >= e->end)
    return 0;
  if (end > e->size)
    end = e->size;
  if (!is_whole (e, e->to)) {
    rest = (e->to | (e->block - 1)) + 1;
    if (add (e, rest < end ? rest : end, type) == -1)
      return -1;
  }
  return e->to < end ? add (e, end, type) : 0;
}

int
extents_end (struct extents *e)
{
  uint64_t to = e->to & ~(e->block - 1);

  if (!is_whole (e, e->to)) {
    /* The type of the rest of the block is unknown; a caller that needs it asks
     * again.
     */
    if (to > e->begin)
      return tell (e, to);
    to = (e->to | (e->block - 1)) + 1;
    if (add (e, to < e->size ? to : e->size, 0) == -1)
      return -1;
  }
  return tell (e, e->to);
}
