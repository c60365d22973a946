/* SPDX-License-Identifier: BSD-3-Clause */
/* The model against which the stress test checks the engine.
 *
 * A disk is treated as a set of registers, each a sector of 512 bytes at a
 * place where something can go wrong: on both sides of the boundaries of pages,
 * leaves and the node above.  Every write stores a value that was never written
 * before; zero stands for zeros of any origin.
 *
 * While the threads run, they only record what they did and saw, with the time
 * before and after, from one counter.  When all have ended, the history is
 * judged:
 *
 *   reads      A value that was read must have been written by an operation
 *              that began before the read ended, and must not certainly have
 *              been overwritten: by an operation that began after that one had
 *              ended, and ended before the read began (D1, D2, D3).
 *   snapshots  There must be one instant between the call and the return of
 *              the clone at which all its registers could have had the values
 *              that it shows (D5): no write that was acknowledged before is
 *              missing, and none that began later is included.
 *   sizes      A request succeeds or fails according to one of the sizes that
 *              the disk may have had while it ran.  A shrink zeroes everything
 *              beyond the new end.  A write there fails until the disk has
 *              grown again, so each one that succeeded, and ended before that,
 *              came before the shrink.
 *
 * An operation that failed for lack of memory may have been done in part: it
 * can explain a value, but does not certainly overwrite one.
 *
 * A "life" is what the content of a disk descends from.  It begins with the
 * epoch, or when a disk is replaced.
 *
 * The counter is relaxed on purpose: for ThreadSanitizer, it must not order the
 * threads' accesses.
 */

#ifndef STRESS_MODEL_H
#define STRESS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR 512u
#define CLUSTERS 4
#define CLUSTER_PAGES 6
#define CLUSTER_SECTORS (CLUSTER_PAGES * 8)
#define REGISTERS (CLUSTERS * CLUSTER_SECTORS)
#define MOST_LIVES 256

/* The offset on the disk of each cluster's first byte. */
extern const uint64_t cluster_offset[CLUSTERS];

/* The size of a disk that holds all registers. */
#define FULL_SIZE (cluster_offset[CLUSTERS - 1] + CLUSTER_SECTORS * SECTOR)

static inline uint64_t
register_offset (unsigned reg)
{
  return cluster_offset[reg / CLUSTER_SECTORS] +
    reg % CLUSTER_SECTORS * SECTOR;
}

/* The number of registers before an end. */
unsigned registers_before (uint64_t size);

uint64_t now (void);

/* A write (id > 0) or zeroing (id 0) of registers first to last. */
struct event {
  uint64_t begin, end, id;
  uint64_t beats;               /* writes that ended before this are gone */
  uint16_t first, last;
  uint16_t life;
  bool sure;                    /* it succeeded, and changed the range */
};

struct seen {
  uint64_t begin, end, id;
  uint16_t reg;
  uint16_t life;
};

struct resize {
  uint64_t begin, end, size;
  uint16_t life;
};

/* A request up to a byte, and whether it succeeded. */
struct outcome {
  uint64_t begin, end, stop;
  uint16_t life;
  bool ok;
};

/* The content of a register at rest.  If two writes met there, it may have
 * words of both (D2); each of the two values must be explained.
 */
struct content {
  uint64_t id, other;           /* the same if all words are */
  uint64_t hash;                /* of all words */
};

struct snapshot {
  uint64_t begin, end;
  struct content is[REGISTERS];
  unsigned n;                   /* registers it has */
  uint16_t life;
};

/* What one thread recorded.  Only that thread uses it, until it has ended. */
struct history {
  struct event *event;
  struct seen *seen;
  struct resize *resize;
  struct outcome *outcome;
  struct snapshot *snapshot;
  size_t nevent, nseen, nresize, noutcome, nsnapshot;
};

void history_event (struct history *h, struct event e);
void history_seen (struct history *h, struct seen s);
void history_resize (struct history *h, struct resize r);
void history_outcome (struct history *h, struct outcome o);
struct snapshot *history_snapshot (struct history *h);
void history_clear (struct history *h);

struct life {
  struct content is[REGISTERS]; /* at its beginning */
  uint64_t size;
};

/* Judge the histories of n threads; abort with a message at the first
 * impossible event.
 */
void judge (const struct history *h, size_t n, const struct life *life,
            size_t nlives);

/* The word that is stored 64 times in a sector. */
static inline uint64_t
word (uint64_t id, unsigned reg)
{
  return id ? id << 16 | reg : 0;
}

#endif /* STRESS_MODEL_H */
