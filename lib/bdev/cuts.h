/* SPDX-License-Identifier: BSD-3-Clause */
/* How a disk was made smaller.  What is cut off is lost, and reads as zeros
 * when the disk is larger again.  Whoever relies on the content remembers how
 * many cuts there were, and can later tell whether one since then has hit what
 * it relies on.
 *
 * Thread-safety: the caller's lock.
 */

#ifndef MBLOCK_CUTS_H
#define MBLOCK_CUTS_H

#include <stdint.h>

/* So many are remembered. */
#define CUTS_KEPT 8

struct cuts {
  uint64_t n;                   /* so many there were */
  uint64_t size[CUTS_KEPT];     /* bytes that were left, of the last ones */
};

static inline void
cuts_add (struct cuts *c, uint64_t size)
{
  c->size[c->n++ % CUTS_KEPT] = size;
}

/* The least size in bytes that was left by a cut since there were so many;
 * UINT64_MAX if there was none, 0 if there were more than are remembered.
 */
static inline uint64_t
cuts_least (const struct cuts *c, uint64_t since)
{
  uint64_t least = UINT64_MAX, i;

  if (c->n > since && c->n - since > CUTS_KEPT)
    return 0;
  for (i = since; i < c->n; i++)
    if (c->size[i % CUTS_KEPT] < least)
      least = c->size[i % CUTS_KEPT];
  return least;
}

#endif /* MBLOCK_CUTS_H */
