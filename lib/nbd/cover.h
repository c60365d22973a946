/* SPDX-License-Identifier: BSD-3-Clause */
/* Which bytes of a read have arrived.
 *
 * The chunks of a structured reply come in any order.  A reply answers the read
 * only if they cover it, and no byte twice; counting the bytes does not tell.
 *
 * Thread-safety: one thread at a time uses a struct cover.
 */

#ifndef MNBD_COVER_H
#define MNBD_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many separate pieces there may be at a time.  A server that reads its
 * disk in order has one; 16,384 of them take 128 KiB.
 */
#define COVER_MOST_PIECES 16384

struct cover_piece {
  uint32_t begin, end;
};

/* All zeros: nothing has arrived. */
struct cover {
  struct cover_piece *piece;    /* in order, with gaps; NULL: only `first` */
  size_t n, room;
  struct cover_piece first;
};

/* These bytes arrived, counted from the read's begin; count > 0, and both are
 * inside of the read.  Returns 0, or -1 with errno: EEXIST: some had arrived
 * before; E2BIG: there are too many pieces; ENOMEM.
 */
int cover_add (struct cover *c, uint32_t begin, uint32_t count);

/* Have all bytes arrived? */
bool cover_whole (const struct cover *c, uint32_t count);

/* Free it; nothing has arrived then. */
void cover_reset (struct cover *c);

#endif /* MNBD_COVER_H */
