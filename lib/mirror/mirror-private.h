/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the mirror share; mirror.h has the design. */

#ifndef MNBD_MIRROR_PRIVATE_H
#define MNBD_MIRROR_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "bdev/bitmap.h"
#include "bdev/ranges.h"
#include "mirror/mirror.h"

/* The size of one data request of the job, in bytes.  Four in flight keep a
 * server busy.
 */
#define COPY_MOST (UINT32_C (256) << 10)
#define COPY_THREADS 4

/* What a thread of the job takes at once, in bytes.  This limits the hole that
 * is zeroed, and locked, in one step.
 */
#define REGION (UINT64_C (64) << 20)

/* The rate is computed from this many samples of the copied bytes, taken at
 * this interval.
 */
#define RATE_SAMPLES 16
#define RATE_EVERY (250 * NS_PER_MS)

/* How often the progress of a copy is logged. */
#define LOG_EVERY (10 * NS_PER_S)

/* How long the job leaves clients' writes unflushed after the switch. */
#define SWITCHED_FLUSH_EVERY (5 * NS_PER_S)

enum phase { PHASE_RUN, PHASE_STOPPED, PHASE_FAILED, PHASE_SWITCHED };

/* Where clients' requests go (Y9): OPEN, to the primary, and changes to both;
 * CLOSED, they wait; SWITCHED, to the secondary alone; ENDED, nowhere.
 */
enum gate { GATE_OPEN, GATE_CLOSED, GATE_SWITCHED, GATE_ENDED };

/* A client's bdev. */
struct mirror_client {
  struct bdev bdev;
  struct mirror *m;
  struct bdev *local;           /* NULL if the client came after the switch */
  /* The client's own connection to the secondary.  Set with m->lock held while
   * the gate is not SWITCHED; constant after that.
   */
  struct bdev *after;
  /* Requests that were let in while the gate was open.  Only the client's
   * threads write it, so clients share no cache line.
   */
  _Atomic unsigned active;
  struct mirror_client *prev, *next; /* in m->clients */
};

/* Whose requests max_stall limits: those of clients. */
enum use_of { USE_OF_CLIENT, USE_OF_JOB };

/* A client's request, or a step of the job that holds a range, that may wait
 * for the secondary (stall.c).
 */
struct mirror_use {
  /* Written by its own thread, read by others. */
  _Atomic int64_t since;        /* waiting since then; 0: not waiting */
  _Atomic int64_t waited;       /* the waits before that, in ns */

  /* Changed with m->lock held, or before others know of the use. */
  enum use_of of;
  bool blocked;                 /* it waits for its range, or … */
  bool at_gate;                 /* … at the gate, and then holds up nobody */
  uint64_t from, end;           /* the range that it holds or waits for */
  int64_t begun;                /* when it was blocked last */
  int64_t charged;              /* the time, in ns, for which the secondary kept
                                 * its range, or the gate, from it … */
  int64_t before;               /* … and how much of it before `begun`, … */
  uint64_t incarnation;         /* … in this incarnation */
  int64_t passed_on;            /* of its waits, in ns: charged to others */
  struct mirror_use *prev, *next; /* in m->uses */
};

/* In the order in which they were added. */
struct mirror_uses {
  struct mirror_use *first, *last;
  unsigned blocked;             /* how many are */
};

/* What was done by that time. */
struct rate_sample {
  int64_t time;
  uint64_t sent, done;
};

struct mirror {
  struct mirror_options o;      /* does not change */
  struct bdev *secondary;

  /* The primary, as it was when the mirror was begun or last started (Y8), and
   * what depends on its size.  primary may be used unless the mirror is
   * stopped.
   */
  struct bdev *primary;
  uint64_t disk, cuts, size;    /* its info's */
  uint64_t granule;             /* bytes, a power of two */
  unsigned shift;               /* its logarithm */
  bool sec_can_flush;           /* at first */
  struct uuid uuid;             /* the secondary's, the last that it gave; only
                                 * the job uses it */

  /* Changes with the lock held.  Read without it: a store pairs with the loads
   * in mirror_enter and mirror_leave.
   */
  _Atomic enum gate gate;
  /* After the switch: has a client written since the job's last flush? */
  atomic_bool wrote;

  struct ranges ranges;
  /* The alignment of ranges: the secondary's minimum block.  It only grows. */
  _Atomic uint32_t align;

  struct mutex lock;
  pthread_cond_t job_wake;      /* the job has something to do */
  pthread_cond_t changed;       /* phase, users, a flush, the comparison */

  enum phase phase GUARDED_BY (lock);
  bool quit GUARDED_BY (lock);
  bool full GUARDED_BY (lock);  /* in a first copy, not a resync */
  bool synced GUARDED_BY (lock); /* flushed since the last pass (Y6) */
  bool starting GUARDED_BY (lock); /* mirror_start: not connected yet */

  /* The secondary. */
  bool connected GUARDED_BY (lock); /* requests may use it */
  bool attached GUARDED_BY (lock); /* bdev_connect has succeeded, or is under
                                    * way; the job's */
  uint64_t incarnation GUARDED_BY (lock); /* changes when it is lost */
  unsigned users GUARDED_BY (lock); /* requests that use it (Y7) */
  bool proved GUARDED_BY (lock); /* clients' changes go to it, too (Y10) */
  unsigned passes GUARDED_BY (lock); /* since it was connected */
  uint64_t claimed GUARDED_BY (lock); /* bytes, by a pass on trial */

  /* Uses that may wait for the secondary (stall.c). */
  struct mirror_uses uses GUARDED_BY (lock);
  pthread_cond_t stall_wake;
  bool stall_started;           /* stall_thread is to be joined */
  pthread_t stall_thread;

  struct bitmap dirty GUARDED_BY (lock);
  /* Granules whose copies under way may be out of date: since the job began to
   * copy them, clients changed them on trial (Y10), or mirror_start marked
   * everything.
   */
  struct bitmap touched GUARDED_BY (lock);
  struct bitmap unflushed GUARDED_BY (lock);
  struct bitmap flushing GUARDED_BY (lock); /* by the current flush */
  bool flush_runs GUARDED_BY (lock);
  uint64_t flushes_begun GUARDED_BY (lock), flushes_done GUARDED_BY (lock);

  /* The pass: where its threads take the next region, in granules. */
  uint64_t cursor GUARDED_BY (lock);
  uint64_t rate GUARDED_BY (lock); /* bytes a second; 0: no limit */
  unsigned rate_changes GUARDED_BY (lock); /* how often it was set */
  int64_t rate_next GUARDED_BY (lock); /* when the job may send next */

  /* Statistics. */
  uint64_t sent GUARDED_BY (lock), zeroed GUARDED_BY (lock);
  uint64_t bytes_same GUARDED_BY (lock); /* not sent: they were there */
  /* compare.c: what was compared lately, and what of it was the same. */
  uint64_t compared GUARDED_BY (lock), same GUARDED_BY (lock);
  unsigned pieces GUARDED_BY (lock);
  uint64_t cleaned GUARDED_BY (lock); /* bytes made clean in this resync … */
  uint64_t ever_cleaned GUARDED_BY (lock); /* … and since the start */
  struct rate_sample sample[RATE_SAMPLES] GUARDED_BY (lock);
  unsigned nsamples GUARDED_BY (lock); /* so far, in a ring */
  int64_t next_log GUARDED_BY (lock); /* when to log them again */
  unsigned in_flight GUARDED_BY (lock);
  uint64_t writes GUARDED_BY (lock), outages GUARDED_BY (lock);
  bool replaced GUARDED_BY (lock); /* another disk has the primary's name */
  bool ever_stopped GUARDED_BY (lock);
  struct mirror_stopped stopped GUARDED_BY (lock);
  struct mirror_client *clients GUARDED_BY (lock);
  bool switching GUARDED_BY (lock); /* the job and other threads keep off */
  struct mirror_switched switched GUARDED_BY (lock);
  char error[MIRROR_WHY] GUARDED_BY (lock);

  pthread_t job;
  char *ours, *theirs;          /* the job's, COPY_MOST bytes each */
  bool verify_started;          /* verify_thread is to be joined */
  pthread_t verify_thread;
  struct mirror_verified verified GUARDED_BY (lock);
};

#define MIRROR_REPLACED                                                 \
  "the primary was replaced by another disk of its name, which is not " \
  "mirrored"

#define MIRROR_HAS_SWITCHED                                             \
  "the mirror has switched: its clients use the secondary alone"

#define MIRROR_IS_SWITCHING "the mirror is switching to the secondary"

#define mirror_say(m, level, fmt, ...)                                  \
  (m)->o.instance->log (level, "mirror of export \"%s\": " fmt,             \
                    (m)->o.instance->export_name, __VA_ARGS__)

/* ------------------------------------------------------------ granules */

static inline uint64_t
first_granule (const struct mirror *m, uint64_t offset)
{
  return offset >> m->shift;
}

/* The first one after `end`. */
static inline uint64_t
end_granule (const struct mirror *m, uint64_t end)
{
  return (end + m->granule - 1) >> m->shift;
}

/* The bytes of granules; the last may be shorter. */
static inline uint64_t
granule_bytes (const struct mirror *m, uint64_t granules)
{
  uint64_t bytes = granules << m->shift;

  return bytes < m->size ? bytes : m->size;
}

static inline uint64_t
round_down (uint64_t n, uint64_t to)
{
  return n & ~(to - 1);
}

static inline uint64_t
round_up (uint64_t n, uint64_t to)
{
  return (n + to - 1) & ~(to - 1);
}

static inline uint64_t
least (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* ------------------------------------------------------------ mirror.c */

/* Mark what a change covers, and make sure that the job notices. */
void mirror_dirty (struct mirror *m, uint64_t offset, uint64_t count)
  REQUIRES (&m->lock);

/* How many bytes are dirty. */
uint64_t mirror_dirty_bytes (const struct mirror *m) REQUIRES (&m->lock);

/* Begin to use the secondary.  Returns false if it is not connected. */
bool mirror_get (struct mirror *m, uint64_t *incarnation) REQUIRES (&m->lock);

/* The secondary failed a request, or does not answer: continue without it (Y3).
 */
void mirror_lose (struct mirror *m, int error, const char *what)
  REQUIRES (&m->lock);

/* End the use. error: the errno with which a request failed, or 0.  Returns
 * true if the incarnation is still the same and no request failed.
 */
bool mirror_put (struct mirror *m, uint64_t incarnation, int error,
                 const char *what) REQUIRES (&m->lock);

/* Make the secondary flush what it has acknowledged in this incarnation.
 * Returns 0, or -1 with errno.
 */
int mirror_flush_secondary (struct mirror *m, uint64_t incarnation);

/* Hold the instance, and release it (engine.h). */
void mirror_hold (const struct mirror *m);
void mirror_release (const struct mirror *m);

/* Zeros to write to a secondary that cannot zero. */
extern const char mirror_zeros[COPY_MOST];

/* Look up what the primary's name means now, and its size.  The instance may be
 * held or not.
 */
enum instance_now mirror_look_held (struct mirror *m, uint64_t *size)
  EXCLUDES (&m->lock);
enum instance_now mirror_look (struct mirror *m, uint64_t *size)
  EXCLUDES (&m->lock);

/* Somebody found this disk by the primary's name. */
void mirror_found (struct mirror *m, enum instance_now now) EXCLUDES (&m->lock);

/* Remember and log an error. */
void mirror_failed (struct mirror *m, const char *fmt, ...)
  REQUIRES (&m->lock) __attribute__ ((format (printf, 2, 3)));

/* The recent rate in bytes a second, and the estimated remaining time in
 * seconds; -1: not known.
 */
uint64_t mirror_rate (const struct mirror *m, int64_t *seconds_to_go)
  REQUIRES (&m->lock);

enum mirror_state mirror_state (const struct mirror *m) REQUIRES (&m->lock);

/* May the mirror be stopped now?  If not, say why. */
bool mirror_may_stop (struct mirror *m, bool force, char why[MIRROR_WHY])
  REQUIRES (&m->lock);

/* Make the bitmaps for a primary of that size. */
struct mirror_bitmaps {
  struct bitmap dirty, touched, unflushed, flushing;
  uint64_t granule;
  unsigned shift;
};
int mirror_bitmaps_init (struct mirror_bitmaps *b, uint64_t size);
void mirror_bitmaps_free (struct mirror_bitmaps *b);

/* Write zeros to the secondary, by whatever command it supports. */
int mirror_zero_secondary (struct mirror *m, uint64_t count, uint64_t offset,
                           uint32_t flags);

/* --------------------------------------------------------------- copy.c */

/* Copy dirty granules until none is left, the secondary is lost, or the phase
 * changes.
 */
void mirror_pass (struct mirror *m);

/* The extents of a bdev from offset on for count bytes, merged: what reads as
 * zeros and what does not.  If the bdev cannot report extents, all is data.
 */
struct map {
  struct map_extent { uint64_t offset, end; bool zero; } *extent;
  size_t n, room;
  uint64_t end;                 /* of what the map is of */
};
int mirror_map (struct bdev *b, uint64_t offset, uint64_t count,
                struct map *map);
void mirror_map_free (struct map *map);
/* Does the whole range read as zeros?  It must lie within the map. */
bool mirror_map_zero (const struct map *map, uint64_t offset, uint64_t end);

/* Wait until this many more bytes may be sent.  Returns false if the phase
 * changed meanwhile.
 */
bool mirror_rate_wait (struct mirror *m, uint64_t bytes);

/* More bytes were transferred than was known before: the next wait makes up for
 * them.
 */
void mirror_rate_charge (struct mirror *m, uint64_t bytes);

/* --------------------------------------------------------------- job.c */

/* Can this secondary be used?  If not, say why. */
bool mirror_suits (struct mirror *m, char why[MIRROR_WHY]);

void *mirror_job (void *opaque);

/* Wait until `until`, or until cond is signalled. */
void mirror_wait (struct mirror *m, pthread_cond_t *cond, int64_t until)
  REQUIRES (&m->lock);

/* -------------------------------------------------------------- stall.c */

/* The parts of a use, in this order:
 *
 *   init
 *   block_all, unblock it waits at the gate; any number of times
 *   lock_range         unless it needs no range
 *   begin              from here on the thread may wait for the secondary
 *   waits, goes_on     it does, and continues; any number of times
 *   end
 */
void mirror_use_init (struct mirror_use *use, enum use_of of);

void mirror_use_begin (struct mirror *m, struct mirror_use *use)
  REQUIRES (&m->lock);
void mirror_use_end (struct mirror *m, struct mirror_use *use)
  REQUIRES (&m->lock);

static inline void
mirror_waits (struct mirror_use *use)
{
  if (atomic_load_explicit (&use->since, memory_order_relaxed) == 0)
    atomic_store_explicit (&use->since, clock_now (), memory_order_relaxed);
}

static inline void
mirror_goes_on (struct mirror_use *use)
{
  int64_t since = atomic_load_explicit (&use->since, memory_order_relaxed);
  int64_t waited = atomic_load_explicit (&use->waited, memory_order_relaxed);

  atomic_store_explicit (&use->since, 0, memory_order_relaxed);
  /* Release: pairs with own_waits, so that no wait counts twice. */
  atomic_store_explicit (&use->waited, waited + clock_now () - since,
                         memory_order_release);
}

/* Lock a range for a use.  It may be called again after the range was unlocked.
 */
void mirror_lock_range (struct mirror *m, struct mirror_use *use,
                        struct range *range, uint64_t offset, uint64_t count,
                        enum range_mode mode) EXCLUDES (&m->lock);

/* The use waits for all others, and holds up none, until mirror_use_unblock: it
 * waits at the gate, or for the requests that were let in.
 */
void mirror_use_block_all (struct mirror *m, struct mirror_use *use)
  REQUIRES (&m->lock);
void mirror_use_unblock (struct mirror *m, struct mirror_use *use)
  REQUIRES (&m->lock);

/* Start and end the limit on waiting.  Nobody else uses the mirror at the
 * start; the end comes after m->quit.  Begin returns 0 or an errno.
 */
int mirror_stall_start (struct mirror *m);
void mirror_stall_end (struct mirror *m);

/* ------------------------------------------------------------- switch.c */

/* Where a request goes: nowhere, with errno; until mirror_leave, to the primary
 * (and the secondary); or to the client's `after`.
 */
enum way { WAY_NONE, WAY_BOTH, WAY_SECONDARY };

enum way mirror_enter_slowly (struct mirror_client *c, struct mirror_use *use);
void mirror_leave_slowly (struct mirror_client *c);

/* Let a request in.  It continues with this use, which has what it waited at
 * the gate, unless it goes the WAY_SECONDARY.
 */
static inline enum way
mirror_enter (struct mirror_client *c, struct mirror_use *use)
{
  /* Acquire: c->after was set before the switch. */
  if (atomic_load_explicit (&c->m->gate, memory_order_acquire) ==
      GATE_SWITCHED)
    return WAY_SECONDARY;
  return mirror_enter_slowly (c, use);
}

/* End a request that went the WAY_BOTH.  Leaves errno unchanged. */
static inline void
mirror_leave (struct mirror_client *c)
{
  atomic_fetch_sub (&c->active, 1);
  if (atomic_load (&c->m->gate) != GATE_OPEN)
    mirror_leave_slowly (c);
}

/* Requests of the WAY_SECONDARY. */
int mirror_after_write (struct mirror_client *c, const void *buf,
                        uint32_t count, uint64_t offset, uint32_t flags);
int mirror_after_zero (struct mirror_client *c, uint32_t count,
                       uint64_t offset, uint32_t flags);
int mirror_after_trim (struct mirror_client *c, uint32_t count,
                       uint64_t offset, uint32_t flags);
int mirror_after_flush (struct mirror_client *c);
int mirror_after_cache (struct mirror_client *c, uint32_t count,
                        uint64_t offset);
int mirror_after_extents (struct mirror_client *c, uint64_t count,
                          uint64_t offset, uint32_t flags, bdev_extent_fn fn,
                          void *opaque);

/* Note a change that has ended, for the job.  If it were noted earlier, a flush
 * of the job might not cover it, and the job would forget it.
 */
static inline void
mirror_wrote (struct mirror *m)
{
  if (!atomic_load_explicit (&m->wrote, memory_order_relaxed))
    atomic_store (&m->wrote, true);
}

/* For the job after the switch: one turn, and the end. */
void mirror_keep_secondary (struct mirror *m) REQUIRES (&m->lock);
void mirror_last_flush (struct mirror *m) REQUIRES (&m->lock);

/* -------------------------------------------------------- compare.c */

/* Should the next piece be compared before it is sent?  Takes the lock. */
bool mirror_compares (struct mirror *m);

/* Of n bytes that were looked at, so many were the same, and not sent.  Takes
 * the lock.
 */
void mirror_compared (struct mirror *m, uint64_t n, uint64_t same);

/* Find the next bytes of n that are to be sent, after *to, which is 0 at first.
 * Returns whether there are any; then they are in *from, *to.
 */
bool mirror_next_difference (struct mirror *m, const char *ours,
                             const char *theirs, uint32_t n, uint32_t *from,
                             uint32_t *to);

#endif /* MNBD_MIRROR_PRIVATE_H */
