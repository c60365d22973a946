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

struct cuts {
  uint64_t n;                   /* so many there were */
  uint64_t size;                /* bytes that the last one has left */
};

static inline void
cuts_add (struct cuts *c, uint64_t size)
{
  c->n++;
  c->size = size;
}

/* The least size in bytes that a cut has left since there were so many;
 * UINT64_MAX if there was none, 0 if there were several: only the last one is
 * remembered.
 */
static inline uint64_t
cuts_least (const struct cuts *c, uint64_t since)
{
  return c->n <= since ? UINT64_MAX : c->n == since + 1 ? c->size : 0;
}

#endif /* MBLOCK_CUTS_H */
