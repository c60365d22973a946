/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay log: the writes that the upstream has acknowledged but not yet
 * been made to keep, and those that are in flight.
 *
 * Design
 *
 * Until a flush succeeds, a server may lose what it acknowledged.  The log
 * keeps a copy of each write (zeroes and trims count as writes here) from
 * before it is sent until a later flush has succeeded, so that it can be sent
 * again if the server comes back without it.
 *
 * The copies lie in a ring of the size that replay-buffer= gives, and leave it
 * in the order in which they came.  When a flush empties the log the ring
 * starts again at its beginning, so that a client that flushes often works in
 * memory that is warm.  An array of entries, itself a ring, says what lies
 * where; an entry goes through
 *
 *             replay_begin          replay_end (ok)        replay_flushed
 *    (free) ---------------> IN_FLIGHT -----------> ACKED ----------------+
 *                                |                                        |
 *                                | replay_end (not ok)                    v
 *                                +------------------------------------> GONE
 *
 * and the entries that are GONE at the old end are free again.
 *
 * The sender of a request keeps a struct replay_op for it while it is in
 * flight.  Some requests have no entry, only an op:
 *   - with a limit of 0 there are no copies.  Then the log only knows whether
 *     acknowledged writes are unflushed (replay_dirty);
 *   - a write with FUA is safe when it is acknowledged;
 *   - a write too large for the log has `through` set: the caller flushes
 *     before it acknowledges it.
 *
 * Invariants
 *
 *   L1  Ops in flight do not overlap: replay_begin refuses with EBUSY.  So
 *       overlapping entries stand in the log in the order in which the server
 *       did them, and to do them again in that order gives the same bytes.
 *   L2  An entry that is ACKED leaves only when replay_flushed is given a mark
 *       that was taken after it was acknowledged.
 *   L3  No entry overlaps a FUA write that was done after it, else a replay
 *       would put older bytes over those that the client knows to be safe:
 *       replay_begin refuses such a write with ENOBUFS until a flush.
 *   L4  The copies take at most `limit` bytes, and so do the entries at
 *       REPLAY_ENTRY_COST each.
 *
 * Thread-safety: none; the caller's lock guards the log.  Only replay_store
 * and the reading of the data that replay_next gives need no lock.
 *
 * Knows nothing of libnbd, nor of nbdkit.
 */

#ifndef MNBD_REPLAY_H
#define MNBD_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an entry counts for besides its data, in bytes: a limit bounds
 * zeroes and trims too.
 */
#define REPLAY_ENTRY_COST 64

enum replay_type { REPLAY_WRITE, REPLAY_ZERO, REPLAY_TRIM };

/* A write in flight; the caller's, who fills in the first block. */
struct replay_op {
  enum replay_type type;
  bool fua;
  uint32_t flags;               /* the caller's, given back by replay_next */
  uint32_t count;
  uint64_t offset;

  bool through;                 /* flush before this is acknowledged */
  bool logged;                  /* has an entry */
  uint64_t seq;                 /* of the entry */
  void *data;                   /* where the entry's copy goes */
  struct replay_op *prev, *next; /* the ops in flight */
};

/* What replay_next gives. */
struct replay_item {
  enum replay_type type;
  uint32_t flags;
  uint32_t count;
  uint64_t offset;
  const void *data;             /* for REPLAY_WRITE */
};

/* The moment at which a flush was sent. */
struct replay_mark {
  uint64_t acks;
};

struct replay;

/* limit: bytes, 0 for a log without copies.
 * NULL with errno ENOMEM.
 */
struct replay *replay_new (uint64_t limit);
void replay_free (struct replay *r);

/* Announce a write before it is sent.  Returns 0, or -1 with errno
 *   EBUSY    it overlaps one in flight: try again when that has ended
 *   ENOBUFS  there is no room, or L3 forbids it: try again after a flush
 *   ENOMEM
 */
int replay_begin (struct replay *r, struct replay_op *op);

/* Copy the data of a write into its entry, before replay_end.  May be called
 * without the lock, while the request is in flight.
 */
void replay_store (struct replay_op *op, const void *data);

/* The request ended.  ok: it was done and may be acknowledged.  If not, it may
 * have been done or not, and nothing was promised.
 */
void replay_end (struct replay *r, struct replay_op *op, bool ok);

/* To be taken before a flush is sent, and handed back if it succeeded. */
struct replay_mark replay_mark (const struct replay *r);
void replay_flushed (struct replay *r, struct replay_mark mark);

/* Are there acknowledged writes that no flush has covered? */
bool replay_dirty (const struct replay *r);

/* With a limit of 0, after the loss was reported: start again. */
void replay_forget (struct replay *r);

/* Do acknowledged writes take more than half of the log? */
bool replay_half_full (const struct replay *r);

/* Walk over the ACKED entries, oldest first: *seq is 0 at the start.
 * Returns false at the end.
 */
bool replay_next (const struct replay *r, uint64_t *seq,
                  struct replay_item *item);

struct replay_usage {
  uint64_t entries;             /* that are ACKED … */
  uint64_t changed;             /* … and the bytes of the disk that they change,
                                 * counted for each */
  uint64_t bytes;               /* that the log takes, for all its entries */
};
struct replay_usage replay_usage (const struct replay *r);

/* Check L1 and the ring's order; abort with a message if one is broken. */
void replay_check (const struct replay *r);

#endif /* MNBD_REPLAY_H */
