/* SPDX-License-Identifier: BSD-3-Clause */
/* The witness: what a server must still have when it comes back.
 *
 * An export's size does not identify it.  Without a check, a RAM disk that was
 * restarted empty, or another image of the same size, would be served as if
 * nothing had happened.  So a pool remembers digests of some blocks, one for
 * each part of the disk, and compares them on each reconnect.
 *
 * A server may lose what it has not flushed, and is not wrong then.  So a block
 * counts only when it is known to be on stable storage, unchanged since:
 *
 *   write  --- witness_wrote ---> pending --- witness_flushed ---> counts
 *   read   --- witness_read ----> pending, or counts if a flush has succeeded
 *                                 before, or the export is read-only
 *   a write, zero or trim begins: what it overlaps is forgotten
 *   the connection is lost, or a flush failed: what is pending is forgotten
 *
 * After a loss or a failed write, the server may have unflushed data that
 * nobody knows about.  Then a block that is read stays pending until the next
 * flush.  A trimmed range may read differently from one time to the next, so
 * there only written blocks are used.  Blocks of zeros are not used, because an
 * empty disk has them, too.
 *
 * Invariants
 *
 *   N1  A block that counts was on stable storage when it began to count, and
 *       no change of it by this pool has begun since.
 *   N2  A digest is taken of bytes that no write in flight overlapped, from
 *       before they were sent or asked for until the answer.
 *
 * Assumption: nobody else writes to the export (pool.h).
 *
 * Thread-safety: none; the pool's lock guards a witness.  witness_digest needs
 * no lock.  Knows nothing of libnbd, nor of nbdkit.
 */

#ifndef MBLOCK_WITNESS_H
#define MBLOCK_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/* The size and alignment of a block, in bytes. */
#define WITNESS_BLOCK UINT32_C (4096)

/* The most parts of equal size into which a disk is divided. */
#define WITNESS_PARTS 64

struct witness_block {
  uint64_t offset;
  uint64_t digest;              /* 0: there is none */
};

struct witness {
  unsigned shift;               /* log2 of a part's size; 0: off */
  uint64_t acks;                /* pending blocks so far */
  uint64_t begun;               /* changes so far … */
  unsigned writing;             /* … and those that have not ended */
  bool flushed;                 /* a flush has succeeded */
  uint64_t tainted;             /* acks while there was unflushed data that
                                 * nobody knows about; 0: flushed since */
  struct {
    struct witness_block counts, pending;
    uint64_t ack;               /* acks when pending was set */
    bool trimmed;
  } part[WITNESS_PARTS];
};

/* Forget everything.  on: watch a disk of that size, from its first flush on.
 */
void witness_reset (struct witness *w, bool on, uint64_t size);

/* A change begins, or has ended. */
void witness_change_begins (struct witness *w, uint64_t count, uint64_t offset,
                            bool trim);
void witness_change_ended (struct witness *w, bool ok);

/* Is a block within these bytes wanted?  If so, *block is its offset. */
bool witness_wants_write (const struct witness *w, uint64_t count,
                          uint64_t offset, uint64_t *block);
bool witness_wants_read (const struct witness *w, uint64_t count,
                         uint64_t offset, uint64_t *block);

/* The digest of WITNESS_BLOCK bytes; 0 if they are all zero. */
uint64_t witness_digest (const void *data);

/* A write of that block was acknowledged.  Or the block was read while nothing
 * was being written (w->writing is 0 and w->begun unchanged) and nothing was
 * unflushed.  safe: nobody else could have left it unflushed.
 */
void witness_wrote (struct witness *w, uint64_t block, uint64_t digest);
void witness_read (struct witness *w, uint64_t block, uint64_t digest,
                   bool safe);

/* A flush has succeeded; before it, w->acks was `acks`. */
void witness_flushed (struct witness *w, uint64_t acks);

/* Pending blocks may be lost, and unflushed data may remain that nobody knows
 * about.
 */
void witness_lost (struct witness *w);

/* List the blocks that count; returns how many. */
unsigned witness_list (const struct witness *w,
                       struct witness_block list[WITNESS_PARTS]);

#endif /* MBLOCK_WITNESS_H */
