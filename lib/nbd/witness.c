/* SPDX-License-Identifier: BSD-3-Clause */
/* The witness of a pool; witness.h has the design. */

#include <config.h>

#include <string.h>

#include "nbd/witness.h"

void
witness_reset (struct witness *w, bool on, uint64_t size)
{
  unsigned writing = w->writing;

  memset (w, 0, sizeof *w);
  w->writing = writing;
  if (!on || size < WITNESS_BLOCK)
    return;
  for (w->shift = 12; (size - 1) >> w->shift >= WITNESS_PARTS; w->shift++)
    ;
}

static unsigned
part_of (const struct witness *w, uint64_t offset)
{
  return offset >> w->shift;
}

static bool
overlaps (const struct witness_block *b, uint64_t count, uint64_t offset)
{
  return b->offset < offset + count && offset < b->offset + WITNESS_BLOCK;
}

void
witness_change_begins (struct witness *w, uint64_t count, uint64_t offset,
                       bool trim)
{
  unsigned i, last;

  w->begun++;
  w->writing++;
  if (w->shift == 0 || count == 0)
    return;
  last = part_of (w, offset + count - 1);
  for (i = part_of (w, offset); i <= last && i < WITNESS_PARTS; i++) {
    if (overlaps (&w->part[i].counts, count, offset))
      w->part[i].counts.digest = 0;
    if (overlaps (&w->part[i].pending, count, offset))
      w->part[i].pending.digest = 0;
    w->part[i].trimmed |= trim;
  }
}

void
witness_change_ended (struct witness *w, bool ok)
{
  w->writing--;
  if (!ok)
    w->tainted = ++w->acks;
}

/* The first whole block within these bytes, if there is one. */
static bool
first_block (const struct witness *w, uint64_t count, uint64_t offset,
             uint64_t *block)
{
  if (w->shift == 0)
    return false;
  *block = (offset + WITNESS_BLOCK - 1) & ~(uint64_t) (WITNESS_BLOCK - 1);
  return *block + WITNESS_BLOCK <= offset + count &&
    part_of (w, *block) < WITNESS_PARTS;
}

bool
witness_wants_write (const struct witness *w, uint64_t count, uint64_t offset,
                     uint64_t *block)
{
  return first_block (w, count, offset, block) &&
    w->part[part_of (w, *block)].pending.digest == 0;
}

bool
witness_wants_read (const struct witness *w, uint64_t count, uint64_t offset,
                    uint64_t *block)
{
  return w->writing == 0 && first_block (w, count, offset, block) &&
    !w->part[part_of (w, *block)].trimmed &&
    w->part[part_of (w, *block)].pending.digest == 0 &&
    w->part[part_of (w, *block)].counts.digest == 0;
}

uint64_t
witness_digest (const void *data)
{
  const unsigned char *p = data;
  uint64_t digest = UINT64_C (0x9e3779b97f4a7c15), any = 0, word;
  unsigned i;

  for (i = 0; i < WITNESS_BLOCK; i += sizeof word) {
    memcpy (&word, p + i, sizeof word);
    any |= word;
    digest = (digest ^ word) * UINT64_C (0xff51afd7ed558ccd);
    digest ^= digest >> 32;
  }
  if (any == 0)
    return 0;
  return digest ? digest : 1;
}

void
witness_wrote (struct witness *w, uint64_t block, uint64_t digest)
{
  unsigned i = part_of (w, block);

  if (w->shift == 0 || digest == 0)
    return;
  w->part[i].pending = (struct witness_block) { block, digest };
  w->part[i].ack = ++w->acks;
}

void
witness_read (struct witness *w, uint64_t block, uint64_t digest, bool safe)
{
  if (w->shift && digest && (safe || (w->flushed && w->tainted == 0)))
    w->part[part_of (w, block)].counts =
      (struct witness_block) { block, digest };
  else
    witness_wrote (w, block, digest);
}

void
witness_flushed (struct witness *w, uint64_t acks)
{
  unsigned i;

  w->flushed = true;
  if (w->tainted <= acks)
    w->tainted = 0;
  for (i = 0; i < WITNESS_PARTS && w->acks; i++)
    if (w->part[i].pending.digest && w->part[i].ack <= acks) {
      w->part[i].counts = w->part[i].pending;
      w->part[i].pending.digest = 0;
    }
}

void
witness_lost (struct witness *w)
{
  unsigned i;

  for (i = 0; i < WITNESS_PARTS; i++)
    w->part[i].pending.digest = 0;
  w->tainted = ++w->acks;
}

unsigned
witness_list (const struct witness *w, struct witness_block list[WITNESS_PARTS])
{
  unsigned i, n = 0;

  for (i = 0; i < WITNESS_PARTS; i++)
    if (w->part[i].counts.digest)
      list[n++] = w->part[i].counts;
  return n;
}
