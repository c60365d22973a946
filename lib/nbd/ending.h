/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's end, for threads that wait for a server. */

#ifndef MBLOCK_ENDING_H
#define MBLOCK_ENDING_H

#include <stdbool.h>

/* A check whether the program is about to end: then threads no longer wait for
 * a server that does not answer.  Waiting threads call it now and then, with no
 * lock of a connection held.  fn may be NULL.
 */
struct ending {
  bool (*fn) (void *opaque);
  void *opaque;
};

static inline bool
program_ends (const struct ending *e)
{
  return e && e->fn && e->fn (e->opaque);
}

#endif /* MBLOCK_ENDING_H */
