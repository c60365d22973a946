/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror: two block devices that hold the same bytes.
 *
 * Design
 *
 * The local bdev is the primary: clients read from it, and it is always right.
 * The upstream is the secondary.  Clients' writes go to both.  A bitmap records
 * the dirty granules, which the secondary may not have, and a job in the
 * background copies them.  A first copy is the same work with all granules
 * dirty.  Granules that a lost secondary misses become dirty, too.
 *
 * If all granules of a write are dirty, the write goes to the primary only: the
 * job will copy them, and the write does not slow the copy down.  A clean
 * granule stays clean, so the job finishes however much clients write.
 *
 * What a secondary has already is not sent (compare.c).
 *
 * A secondary may hang even if it has just been connected.  So it is on trial
 * first: the job copies to it and flushes it, and clients do not use it (Y10).
 * After some MiB of a first copy, or when it has almost caught up in a resync,
 * it is proved.  From then on a client waits for it, but for a limited time
 * (Y11).
 *
 * The secondary may lose what it has not flushed.  A second bitmap records the
 * unflushed granules, written since its last flush; they become dirty when the
 * secondary is lost.  A secondary that returns may even have lost flushed data,
 * as a restarted RAM disk has.  If it is another disk, by its UUID, the whole
 * disk becomes dirty.  Otherwise, ranges that it reports as zeros where the
 * primary has data become dirty.  The job also compares samples of clean
 * granules; if some differ, the whole disk becomes dirty.
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
 * mirror_stop with force leads to STOPPED from everywhere.  In FAILED the job
 * rests, but writes to clean granules still go to both sides.
 *
 * mirror_switch leads from SYNCHRONISED to SWITCHED, which is the end: clients'
 * requests go to the secondary alone, through outages (engine.h, ride_out).
 * Neither the primary nor what its name means matters any more.
 *
 * The primary is a disk, not a name.  While the mirror is not stopped, all
 * clients use the disk that it copies, at the size that it has promised the
 * secondary.  If the name leads a client to something else, the client is
 * refused.  If the name means another disk, the mirror becomes FAILED, because
 * it copies the wrong one.  A stopped mirror does not affect clients: each uses
 * the disk that its name means.  mirror_start then makes the disk that the name
 * means the primary.  If the disk or its size has changed, everything is
 * copied.  Clients that still use another disk stay outside the mirror.
 *
 * Invariants
 *
 *   Y1  If a granule is clean and nobody holds a range in it, both sides have
 *       the same bytes.  For the secondary this holds as long as it is
 *       connected.
 *   Y2  Unless the secondary acknowledged a write in its current incarnation,
 *       the write's granules are marked dirty before the client gets its
 *       result.  So are those of a write that failed on the primary, because it
 *       may have been done in part.
 *   Y3  An acknowledged write to the secondary stays in `unflushed` or
 *       `flushing` until a flush that began after the acknowledgement succeeds
 *       in the same incarnation.
 *   Y4  A thread that changes bytes of the primary holds their range
 *       exclusively, widened to the secondary's blocks.  A thread that copies
 *       or compares holds the range shared.  So overlapping writes reach the
 *       secondary in the same order as the primary, and no copy undoes one.
 *   Y5  Only a thread that holds the range of a whole granule makes it clean,
 *       but see Y10; and only if mirror_start has not marked the whole disk
 *       since the thread began to copy.
 *   Y6  The mirror reports "synchronised" only if no granule is dirty and a
 *       flush has succeeded since the last one was copied.
 *   Y7  No request begins to wait for the secondary unless it is connected.
 *       The first request that fails marks it lost.  bdev_connect is called
 *       only when no request uses it (users is 0).  A request may use it for as
 *       long as the pool waits for answers (pool.h, POOL_DRAIN_TIME).
 *   Y8  The primary, its size and the bitmaps are replaced only in STOPPED, by
 *       a thread that holds all ranges, the instance (engine.h) and m->lock,
 *       while neither the job nor a comparison runs.  A client's change counts
 *       only if its disk is the primary.
 *
 *   Y9  The gate decides where requests go.  A thread that holds the instance
 *       moves it from OPEN to CLOSED.  It leaves CLOSED for SWITCHED only when
 *       no request is let in (`active` of all clients is 0), nothing is dirty,
 *       and a flush has succeeded since it was closed.  So each request ends on
 *       the sides on which it began.  Each request that begins after the switch
 *       sees all changes acknowledged before it.  From then on no request
 *       reaches the primary.
 *   Y10 A newly connected secondary is not proved.  Until it is, clients'
 *       changes go to the primary only, only the job writes to the secondary,
 *       and no thread waits for it with a range held.  A change that goes to
 *       the primary only, whenever it began, is in `dirty` and `touched` when
 *       it ends, if not before: the trial may have begun meanwhile.  The job
 *       clears a granule's `touched` bit before it reads the granule.  It makes
 *       the granule clean only if the bit is still clear once the secondary has
 *       the data.  The job makes the secondary proved while nothing is being
 *       copied.
 *   Y11 What a client's request waits for the secondary, by itself, for its
 *       range, or at the gate of any number of switches, is added up.  When the
 *       sum exceeds max_stall and the request still waits, the secondary is
 *       lost (stall.c).
 *
 * Locking and lifetime.  The order is: the instance (engine.h), the range lock,
 * m->lock.  m->lock is held for bookkeeping only, never during a request.  The
 * secondary and the options outlive the mirror.  The primary stays until the
 * mirror is stopped.  A client's local bdev outlives the client.
 *
 * Thread-safety: any thread may call any function; the locks are taken inside.
 * mirror_new, mirror_end (once) and mirror_free (after it) must not run beside
 * other calls, except that requests may still be running in mirror_end.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_MIRROR_H
#define MNBD_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "bdev/bdev.h"
#include "bdev/engine.h"

/* The smallest granule of the bitmaps, in bytes. */
#define MIRROR_GRANULE (UINT64_C (64) << 10)

/* The maximum number of differences that a comparison remembers. */
#define MIRROR_MOST_EXTENTS 1000

/* The size of the text that says why something failed, in bytes. */
#define MIRROR_WHY ENGINE_WHY

struct mirror_options {
  const struct instance *instance;
  uint64_t rate;                /* bytes a second for the job, until
                                 * mirror_set_rate; 0: no limit */
  bool fail;                    /* clients' writes fail without a secondary */
  bool stopped;                 /* do not connect before mirror_start */
  int64_t max_stall;            /* ns: how long a client's request may wait for
                                 * the secondary (Y11); 0: no limit */
};

enum mirror_state {
  MIRROR_COPYING,
  MIRROR_RESYNCING,
  MIRROR_SYNCHRONISED,
  MIRROR_DEGRADED,
  MIRROR_STOPPED,
  MIRROR_FAILED,
  MIRROR_SWITCHED,              /* clients use the secondary alone */
};
extern const char *const mirror_state_names[];

struct mirror_extent {
  uint64_t offset, length;
};

/* The last comparison. */
struct mirror_verified {
  bool ever, running;           /* has one begun but not ended? */
  bool repair;
  uint64_t bytes_done, bytes_total;
  uint64_t bytes_skipped;       /* out of sync, so not compared */
  uint64_t bytes_differing;
  size_t nextents;
  struct mirror_extent extent[MIRROR_MOST_EXTENTS]; /* the first ones */
  char error[MIRROR_WHY];       /* "": none */
};

struct mirror_stopped {
  bool consistent;              /* the secondary has the primary's content … */
  struct timespec time;         /* … then (UTC) … */
  uint64_t writes;              /* … after this many changes by clients */
};

struct mirror_switched {
  struct timespec time;         /* UTC */
  uint64_t writes;              /* changes by clients until then */
  int64_t pause;                /* ns: for how long requests were held */
};

struct mirror_status {
  enum mirror_state state;
  uint64_t size;
  uint64_t bytes_total;         /* bytes that this copy or resync covers … */
  uint64_t bytes_done;          /* … and those that are done */
  uint64_t bytes_out_of_sync;
  uint64_t bytes_sent;          /* data that the job has sent … */
  uint64_t bytes_zeroed;        /* … and zeroed without … */
  uint64_t bytes_same;          /* … and found to be there, since started */
  uint64_t rate;                /* bytes a second, recently */
  int64_t seconds_to_go;        /* -1: not known */
  uint64_t rate_limit;          /* 0: none */
  unsigned in_flight;           /* clients' changes */
  uint64_t writes;              /* clients' changes so far */
  uint64_t outages;             /* how often the secondary was lost */
  bool fail;
  bool ever_stopped;
  struct mirror_stopped stopped; /* the last time, if ever */
  struct mirror_switched switched; /* in MIRROR_SWITCHED */
  char error[MIRROR_WHY];       /* the last one; "": none */
};

struct mirror;

/* Connect to the secondary and begin to copy, unless the mirror begins stopped.
 * Returns NULL with errno if that is impossible; the reason has been logged, in
 * one line.
 */
struct mirror *mirror_new (const struct mirror_options *options);

/* Make a bdev for a client that reaches the primary through local; bdev_close
 * frees it.  If the mirror has switched, local is not used and may be NULL.
 * Returns NULL with errno; the reason has been logged.
 */
struct bdev *mirror_client (struct mirror *m, struct bdev *local);

/* Does the mirror rely on the primary?  Not if it is stopped. */
bool mirror_relies (struct mirror *m);

/* Check what a client found by the name (engine.h).  Returns -1 and says why if
 * the client must be refused.
 */
int mirror_admit (struct mirror *m, enum instance_now now, uint64_t size,
                  char why[MIRROR_WHY]);

/* End the job, flush the secondary if possible, and disconnect from it.  From
 * then on requests fail with ESHUTDOWN.
 */
void mirror_end (struct mirror *m);
void mirror_free (struct mirror *m);

/* The options that the mirror was made with. */
const struct mirror_options *mirror_options (const struct mirror *m);

/* ------------------------------------------------------------- control */

void mirror_status (struct mirror *m, struct mirror_status *status);

/* Run again after STOPPED or FAILED.  With resume, copy only what is known to
 * differ; otherwise copy everything, because somebody may have used the
 * secondary.  Returns 1; 0 if the mirror ran already; or -1, and says why it
 * cannot run.
 */
int mirror_start (struct mirror *m, bool resume, char why[MIRROR_WHY]);

/* Change the limit for copying, in bytes a second; 0: no limit.  It holds at
 * once, also for a comparison, and when the mirror is started again.  Returns
 * 0, or -1 and says why: the mirror has switched.
 */
int mirror_set_rate (struct mirror *m, uint64_t rate, char why[MIRROR_WHY]);

/* Let the changes in flight end, flush the secondary and disconnect from it.
 * Refused unless SYNCHRONISED or force.  Returns 0, or -1 and says why.
 */
int mirror_stop (struct mirror *m, bool force, struct mirror_stopped *stopped,
                 char why[MIRROR_WHY]);

/* Let the requests in flight end, hold new ones, flush the secondary, and send
 * all requests to it from then on (Y9).  This cannot be undone.  Refused unless
 * SYNCHRONISED, and if the secondary cannot keep what clients were promised.
 * After an error the mirror is as it was.  Returns 0, or -1 and says why.
 */
int mirror_switch (struct mirror *m, struct mirror_switched *switched,
                   char why[MIRROR_WHY]);

/* Has the mirror switched?  Takes no lock. */
bool mirror_is_switched (struct mirror *m);

/* Begin to compare both sides in the background.  Differences become dirty.
 * With repair they are copied; otherwise the mirror is then FAILED until
 * mirror_start.  Returns 0, or -1 and says why.
 */
int mirror_verify (struct mirror *m, bool repair, char why[MIRROR_WHY]);

/* The result of the comparison so far.  It is large. */
void mirror_verified (struct mirror *m, struct mirror_verified *verified);

#endif /* MNBD_MIRROR_H */
