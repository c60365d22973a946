/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the mirror share; mirror.h has the design. */

#ifndef MNBD_MIRROR_PRIVATE_H
#define MNBD_MIRROR_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "bitmap.h"
#include "clock.h"
#include "mirror.h"
#include "mutex.h"
#include "ranges.h"

/* One request of the job for data, in bytes; four of them at a time keep
 * a server busy.
 */
#define COPY_MOST (UINT32_C (256) << 10)
#define COPY_THREADS 4

/* What a thread of the job takes in one go, in bytes: the largest hole that
 * is zeroed, and locked, at once.
 */
#define REGION (UINT64_C (64) << 20)

/* How many samples of the copied bytes give the rate, and their distance. */
#define RATE_SAMPLES 16
#define RATE_EVERY (250 * NS_PER_MS)

/* How often the log says how far a copy is. */
#define LOG_EVERY (10 * NS_PER_S)

enum phase { PHASE_RUN, PHASE_STOPPED, PHASE_FAILED };

/* What was done by then. */
struct rate_sample {
  int64_t time;
  uint64_t sent, done;
};

struct mirror {
  struct mirror_options o;      /* does not change */
  struct side *primary, *secondary;
  uint64_t size;
  uint64_t granule;             /* bytes, a power of two */
  unsigned shift;               /* its logarithm */
  bool sec_can_flush;           /* at first */

  struct ranges ranges;
  /* How wide ranges are made: the secondary's minimum block.  Only grows. */
  _Atomic uint32_t align;

  struct mutex lock;
  pthread_cond_t job_wake;      /* the job has something to do */
  pthread_cond_t changed;       /* phase, users, a flush, the comparison */

  enum phase phase GUARDED_BY (lock);
  bool quit GUARDED_BY (lock);
  bool full GUARDED_BY (lock);  /* in a first copy, not a resync */
  bool settled GUARDED_BY (lock); /* flushed since the last pass (Y6) */

  /* The secondary. */
  bool connected GUARDED_BY (lock); /* requests may use it */
  bool attached GUARDED_BY (lock); /* side_connect has succeeded; the job's */
  uint64_t incarnation GUARDED_BY (lock); /* changes when it is lost */
  unsigned users GUARDED_BY (lock); /* requests that use it (Y7) */

  struct bitmap dirty GUARDED_BY (lock);
  struct bitmap unflushed GUARDED_BY (lock);
  struct bitmap flushing GUARDED_BY (lock); /* what a flush is to save */
  bool flush_runs GUARDED_BY (lock);
  uint64_t flushes_begun GUARDED_BY (lock), flushes_done GUARDED_BY (lock);

  /* The pass: where its threads take the next region, in granules. */
  uint64_t cursor GUARDED_BY (lock);
  int64_t rate_next GUARDED_BY (lock); /* when the job may send again */

  /* Figures. */
  uint64_t sent GUARDED_BY (lock), zeroed GUARDED_BY (lock);
  uint64_t cleaned GUARDED_BY (lock); /* bytes made clean in this resync … */
  uint64_t ever_cleaned GUARDED_BY (lock); /* … and since the start */
  struct rate_sample sample[RATE_SAMPLES] GUARDED_BY (lock);
  unsigned nsamples GUARDED_BY (lock); /* so far, in a ring */
  int64_t next_log GUARDED_BY (lock); /* when to log them again */
  unsigned in_flight GUARDED_BY (lock);
  uint64_t writes GUARDED_BY (lock), outages GUARDED_BY (lock);
  bool ever_stopped GUARDED_BY (lock);
  struct mirror_stopped stopped GUARDED_BY (lock);
  char error[MIRROR_WHY] GUARDED_BY (lock);

  pthread_t job;
  char *ours, *theirs;          /* the job's, COPY_MOST bytes each */
  bool verify_started;          /* verify_thread is to be joined */
  pthread_t verify_thread;
  struct mirror_verified verified GUARDED_BY (lock);
};

#define mirror_say(m, level, fmt, ...)                                  \
  (m)->o.pair->log (level, "mirror of export \"%s\": " fmt,             \
                    (m)->o.pair->export_name, __VA_ARGS__)

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

/* Granules in bytes; the last may be shorter. */
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

/* Mark what a change concerns, and see to it that the job hears of it. */
void mirror_dirty (struct mirror *m, uint64_t offset, uint64_t count)
  REQUIRES (&m->lock);

/* How many bytes are dirty. */
uint64_t mirror_dirty_bytes (const struct mirror *m) REQUIRES (&m->lock);

/* Use the secondary.  Returns false if it is not connected. */
bool mirror_get (struct mirror *m, uint64_t *incarnation) REQUIRES (&m->lock);

/* The end of the use.  error: the errno with which a request failed, or 0.
 * Returns true if it is still the same incarnation and no request failed.
 */
bool mirror_put (struct mirror *m, uint64_t incarnation, int error,
                 const char *what) REQUIRES (&m->lock);

/* Flush what the secondary has acknowledged.  Returns 0, or -1 with errno. */
int mirror_flush_secondary (struct mirror *m);

/* Remember and log an error. */
void mirror_failed (struct mirror *m, const char *fmt, ...)
  REQUIRES (&m->lock) __attribute__ ((format (printf, 2, 3)));

/* What has been sent of late, in bytes a second, and how long the rest will
 * take in seconds; -1: not known.
 */
uint64_t mirror_rate (const struct mirror *m, int64_t *seconds_to_go)
  REQUIRES (&m->lock);

enum mirror_state mirror_state (const struct mirror *m) REQUIRES (&m->lock);

/* Write zeros to the secondary, in whichever way it has. */
int mirror_zero_secondary (struct mirror *m, uint64_t count, uint64_t offset,
                           uint32_t flags);

/* -------------------------------------------------------- mirror-copy.c */

/* Copy what is dirty, until nothing is, or the secondary is lost, or the phase
 * has changed.
 */
void mirror_pass (struct mirror *m);

/* The extents of a side, from offset on for count bytes, merged: what reads as
 * zeros and what does not.  A side that cannot tell has only data.
 */
struct map {
  struct map_extent { uint64_t offset, end; bool zero; } *extent;
  size_t n, room;
};
int mirror_map (struct side *s, uint64_t offset, uint64_t count,
                struct map *map);
void mirror_map_free (struct map *map);
/* Does all of that read as zeros?  It lies within the map. */
bool mirror_map_zero (const struct map *map, uint64_t offset, uint64_t end);

/* Wait until so many more bytes may be sent.  Returns false when the phase
 * changed meanwhile.
 */
bool mirror_rate_wait (struct mirror *m, uint64_t bytes);

/* -------------------------------------------------------- mirror-job.c */

/* Is this secondary one that we can have?  If not, say why. */
bool mirror_suits (struct mirror *m, char why[MIRROR_WHY]);

void *mirror_job (void *opaque);

/* Until `until`, or until cond is signalled. */
void mirror_wait (struct mirror *m, pthread_cond_t *cond, int64_t until)
  REQUIRES (&m->lock);

#endif /* MNBD_MIRROR_PRIVATE_H */
