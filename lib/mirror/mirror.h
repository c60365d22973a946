/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror: two sides that hold the same bytes.
 *
 * Design
 *
 * The local side is the primary: clients read from it, and it is always right.
 * The upstream is the secondary.  Clients' writes go to both.  What the
 * secondary may not have is in a bitmap, the dirty granules, and a job in the
 * background copies these.  A first copy is nothing else: all granules are
 * dirty.  So is what a lost secondary misses.
 *
 * A write to granules that are all dirty goes to the primary only, since the
 * job will copy them: it does not slow down what is copied.  Since a granule
 * that is clean stays clean, the job comes to its end however much is written.
 *
 * The secondary may lose what it has not flushed.  What was written since it
 * last flushed is in a second bitmap, the unflushed granules, and becomes dirty
 * when the secondary is lost.  When it is back, it may even have lost what it
 * flushed, as a RAM disk that was started anew has.  What it says to read as
 * zeros where the primary has data becomes dirty, and if some samples of what
 * should be the same differ, all does.
 *
 *                  mirror_new, mirror_start
 *                            |
 *                            v        pass, flush: nothing dirty
 *   +----------> COPYING or RESYNCING -----------------> SYNCHRONISED
 *   |                 ^     |  |  ^                       |  |  |
 *   | job: connected  |     |  |  +-----------------------+  |  | mirror_stop
 *   |                 |     |  |    a write failed           |  |
 *   +----- DEGRADED <-|-----+--|-------- lose ---------------+  v
 *                     |        | a read of the primary failed STOPPED
 *                     |        | (or mirror_verify found differences)
 *       mirror_start  +------- v
 *                     +----- FAILED
 *
 * mirror_stop with force leads to STOPPED from everywhere.  In FAILED only the
 * job rests: writes to clean granules still go to both sides.
 *
 * Invariants
 *
 *   Y1  Of a granule that is clean and in which nobody holds a range, both
 *       sides have the same bytes; the secondary's, as long as it is connected.
 *   Y2  A write that the secondary did not acknowledge in the incarnation in
 *       which it still is marks its granules dirty before the client hears of
 *       its end.  So does one that the primary failed, for it may have been
 *       done in part.
 *   Y3  What the secondary acknowledged is in `unflushed`, or in `flushing`,
 *       until a flush has succeeded that began after the acknowledgement, in
 *       one incarnation.
 *   Y4  Who changes bytes of the primary holds their range exclusively, made
 *       wider to the secondary's blocks; who copies or compares holds it
 *       shared.  So the secondary gets overlapping writes in the order in which
 *       the primary did, and no copy undoes one.
 *   Y5  Only who holds the range of a whole granule makes it clean.
 *   Y6  "Synchronised" is said only when no granule is dirty and a flush has
 *       succeeded since the last was copied.
 *   Y7  No request begins to wait for the secondary when it is not connected,
 *       and it is lost with the first that fails.  side_connect is not called
 *       while a request uses it (users is 0), which may be for as long as the
 *       pool waits for answers (pool.h, POOL_PARTING_TIME).
 *
 * Locking and lifetime.  First the range lock, then m->lock, which is held for
 * bookkeeping only, never during a request.  The sides and the options stay
 * longer than the mirror; a client's local side stays longer than the client.
 *
 * Thread-safety: all may be called from any thread, and take the locks inside;
 * mirror_new, mirror_end (once) and mirror_free (after it) want to be alone,
 * but requests may still be running in mirror_end.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_MIRROR_H
#define MNBD_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "engine.h"
#include "side.h"

/* The least granule of the bitmaps, in bytes. */
#define MIRROR_GRANULE (UINT64_C (64) << 10)

/* The most differences that a comparison remembers. */
#define MIRROR_MOST_EXTENTS 1000

/* Room for the text that says why something failed, in bytes. */
#define MIRROR_WHY 512

struct mirror_options {
  const struct pair *pair;
  uint64_t rate;                /* bytes a second for the job; 0: no limit */
  bool fail;                    /* clients' writes fail without a secondary */
  bool stopped;                 /* do not connect before mirror_start */
};

enum mirror_state {
  MIRROR_COPYING,
  MIRROR_RESYNCING,
  MIRROR_SYNCHRONISED,
  MIRROR_DEGRADED,
  MIRROR_STOPPED,
  MIRROR_FAILED,
};
extern const char *const mirror_state_names[];

struct mirror_extent {
  uint64_t offset, length;
};

/* The last comparison. */
struct mirror_verified {
  bool ever, running;           /* has one begun, and not ended? */
  bool repair;
  uint64_t bytes_done, bytes_total;
  uint64_t bytes_skipped;       /* out of sync, so not compared */
  uint64_t bytes_differing;
  size_t nextents;
  struct mirror_extent extent[MIRROR_MOST_EXTENTS]; /* the first ones */
  char error[MIRROR_WHY];       /* "": none */
};

struct mirror_stopped {
  bool consistent;              /* the secondary is what the primary was … */
  struct timespec time;         /* … then (UTC) … */
  uint64_t writes;              /* … after so many changes by clients */
};

struct mirror_status {
  enum mirror_state state;
  uint64_t size;
  uint64_t bytes_total;         /* what this copy or resync is about … */
  uint64_t bytes_done;          /* … and of that, what is done */
  uint64_t bytes_out_of_sync;
  uint64_t bytes_sent;          /* data that the job has sent … */
  uint64_t bytes_zeroed;        /* … and zeroed without, since started */
  uint64_t rate;                /* bytes a second of late */
  int64_t seconds_to_go;        /* -1: not known */
  uint64_t rate_limit;          /* 0: none */
  unsigned in_flight;           /* clients' changes */
  uint64_t writes;              /* clients' changes so far */
  uint64_t outages;             /* how often the secondary was lost */
  bool fail;
  bool ever_stopped;
  struct mirror_stopped stopped; /* the last time, if ever */
  char error[MIRROR_WHY];       /* the last one; "": none */
};

struct mirror;

/* Connect to the secondary and begin to copy, unless it begins stopped.
 * NULL with errno: it cannot be; why has been logged, in one line.
 */
struct mirror *mirror_new (const struct mirror_options *options);

/* A side for a client whose way to the primary is local; side_close frees it.
 * NULL with errno; why has been logged.
 */
struct side *mirror_client (struct mirror *m, struct side *local);

/* End the job and leave the secondary, flushed if that is possible.  From then
 * on requests fail with ESHUTDOWN.
 */
void mirror_end (struct mirror *m);
void mirror_free (struct mirror *m);

/* ------------------------------------------------------------- control */

void mirror_status (struct mirror *m, struct mirror_status *status);

/* Run again after STOPPED or FAILED.  resume: copy only what is known to
 * differ; else all, for somebody may have used the secondary.
 * Returns true if it did not run before.
 */
bool mirror_start (struct mirror *m, bool resume);

/* Let the changes in flight end, flush the secondary and leave it.
 * Refused unless SYNCHRONISED, or force.
 * Returns 0, or -1 and says why.
 */
int mirror_stop (struct mirror *m, bool force, struct mirror_stopped *stopped,
                 char why[MIRROR_WHY]);

/* Begin to compare both sides in the background.  What differs becomes dirty;
 * with repair it is copied, else the mirror is then FAILED until mirror_start.
 * Returns 0, or -1 and says why.
 */
int mirror_verify (struct mirror *m, bool repair, char why[MIRROR_WHY]);

/* The result so far; it is large. */
void mirror_verified (struct mirror *m, struct mirror_verified *verified);

#endif /* MNBD_MIRROR_H */
