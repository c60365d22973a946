/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror as its operator sees it: status, start, stop. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

const char *const mirror_state_names[] = {
  [MIRROR_COPYING] = "copying",
  [MIRROR_RESYNCING] = "resyncing",
  [MIRROR_SYNCHRONISED] = "synchronised",
  [MIRROR_DEGRADED] = "degraded",
  [MIRROR_STOPPED] = "stopped",
  [MIRROR_FAILED] = "failed",
  [MIRROR_SWITCHED] = "switched",
};

/* Has a running comparison without repair found differences?  It marks them
 * only when it ends; otherwise the job would copy them.  Until then only this
 * function tells that the sides are not equal.
 */
static bool
found_differences (const struct mirror *m) REQUIRES (&m->lock)
{
  return m->verified.running && !m->verified.repair &&
    m->verified.bytes_differing;
}

enum mirror_state
mirror_state (const struct mirror *m)
{
  if (m->phase == PHASE_STOPPED)
    return MIRROR_STOPPED;
  if (m->phase == PHASE_SWITCHED)
    return MIRROR_SWITCHED;
  if (m->phase == PHASE_FAILED || found_differences (m))
    return MIRROR_FAILED;
  if (!m->connected)
    return MIRROR_DEGRADED;
  if (m->synced && m->dirty.set == 0)
    return MIRROR_SYNCHRONISED; /* Y6 */
  return m->full ? MIRROR_COPYING : MIRROR_RESYNCING;
}

/* The rate from the oldest sample to now. */
uint64_t
mirror_rate (const struct mirror *m, int64_t *seconds_to_go)
{
  uint64_t left = mirror_dirty_bytes (m);
  const struct rate_sample *oldest;
  double seconds, done;

  *seconds_to_go = left ? -1 : 0;
  if (m->nsamples == 0 || m->phase != PHASE_RUN || !m->connected ||
      m->synced)
    return 0;
  oldest = &m->sample[m->nsamples < RATE_SAMPLES ? 0
                      : m->nsamples % RATE_SAMPLES];
  seconds = (double) (clock_now () - oldest->time) / NS_PER_S;
  if (seconds <= 0)
    return 0;
  done = (m->cleaned - oldest->done) / seconds;
  if (done >= 1 && left / done < 1e9)
    *seconds_to_go = left / done + 0.5;
  return (m->sent - oldest->sent) / seconds;
}

const struct mirror_options *
mirror_options (const struct mirror *m)
{
  return &m->o;
}

void
mirror_status (struct mirror *m, struct mirror_status *s)
{
  memset (s, 0, sizeof *s);
  mutex_lock (&m->lock);
  s->state = mirror_state (m);
  s->size = m->size;
  s->bytes_out_of_sync = mirror_dirty_bytes (m);
  s->bytes_done = m->cleaned;
  s->bytes_total = m->cleaned + s->bytes_out_of_sync;
  s->bytes_sent = m->sent;
  s->bytes_zeroed = m->zeroed;
  s->bytes_same = m->bytes_same;
  s->rate_limit = m->rate;
  s->rate = mirror_rate (m, &s->seconds_to_go);
  s->in_flight = m->in_flight;
  s->writes = m->writes;
  s->outages = m->outages;
  s->fail = m->o.fail;
  s->ever_stopped = m->ever_stopped;
  s->stopped = m->stopped;
  s->switched = m->switched;
  memcpy (s->error, m->error, sizeof s->error);
  mutex_unlock (&m->lock);
}

void
mirror_hold (const struct mirror *m)
{
  if (m->o.instance->hold)
    m->o.instance->hold (m->o.instance);
}

void
mirror_release (const struct mirror *m)
{
  if (m->o.instance->release)
    m->o.instance->release (m->o.instance);
}

enum instance_now
mirror_look_held (struct mirror *m, uint64_t *size)
{
  enum instance_now now;

  *size = m->size;
  now = m->o.instance->look ? m->o.instance->look (m->o.instance, size)
                            : INSTANCE_SAME;
  mirror_found (m, now);
  return now;
}

enum instance_now
mirror_look (struct mirror *m, uint64_t *size)
{
  enum instance_now now;

  mirror_hold (m);
  now = mirror_look_held (m, size);
  mirror_release (m);
  return now;
}

/* Everything is to be copied, what is being copied now, too: the primary may
 * have had something else when it was read.
 */
static void
mark_all (struct mirror *m) REQUIRES (&m->lock)
{
  bitmap_set (&m->dirty, 0, m->dirty.bits);
  bitmap_set (&m->touched, 0, m->touched.bits);
}

/* Begin to copy, with the lock held. */
static void
run (struct mirror *m, bool resume) REQUIRES (&m->lock)
{
  m->phase = PHASE_RUN;
  m->cleaned = m->sent = m->zeroed = m->bytes_same = 0;
  m->compared = m->same = 0;
  m->nsamples = 0;
  m->rate_next = 0;
  m->synced = false;
  m->full = !resume;
  m->replaced = false;
  *m->error = '\0';
  if (!resume)
    mark_all (m);
  pthread_cond_broadcast (&m->job_wake);
}

/* The mirror has failed: it keeps its current primary. */
static int
go_on (struct mirror *m, bool *resume, char why[MIRROR_WHY])
{
  uint64_t size;
  enum instance_now now = mirror_look_held (m, &size);
  int r = 0;

  /* What was cut off is zeros now, and is copied.  Nobody will find it again,
   * so it must be marked even if the mirror cannot start.
   */
  if (now == INSTANCE_SHRUNK && size == m->size) {
    m->o.instance->adopt (m->o.instance);
    mutex_lock (&m->lock);
    m->cuts = m->primary->info.cuts.n;
    mark_all (m);
    mutex_unlock (&m->lock);
    *resume = false;
    now = mirror_look_held (m, &size);
  }
  if (now != INSTANCE_SAME && now != INSTANCE_GONE) {
    mirror_admit (m, now, size, why);
    return -1;
  }
  mutex_lock (&m->lock);
  if (m->phase == PHASE_FAILED) {
    run (m, *resume);
    r = 1;
  }
  mutex_unlock (&m->lock);
  return r;
}

/* Wait until the job has left the secondary and no comparison runs: they use
 * the primary.  Returns 0, or -1 and says why that will not be.
 */
static int
wait_idle (struct mirror *m, char why[MIRROR_WHY])
{
  bool quit;

  mutex_lock (&m->lock);
  while ((m->attached || m->verified.running) && !m->quit)
    pthread_cond_wait (&m->changed, &m->lock.m);
  quit = m->quit;
  mutex_unlock (&m->lock);
  if (quit)
    snprintf (why, MIRROR_WHY, "the mirror was not started: the server is "
              "shutting down");
  return quit ? -1 : 0;
}

/* The mirror was stopped: the primary becomes what its name means now (Y8). */
static int
start_anew (struct mirror *m, bool resume, char why[MIRROR_WHY])
{
  const struct instance *instance = m->o.instance;
  struct mirror_bitmaps b, old;
  struct bdev *primary;
  struct range all;
  bool other;

  if (wait_idle (m, why) == -1 ||
      (instance->renew && instance->renew (instance, why) == -1))
    return -1;
  primary = instance->local;
  if (primary->info.readonly) {
    snprintf (why, MIRROR_WHY, "the primary is read-only: expected a writable "
              "disk");
    return -1;
  }
  other = primary->info.disk != m->disk || primary->info.size != m->size ||
    cuts_least (&primary->info.cuts, m->cuts) < m->size;
  if (other && mirror_bitmaps_init (&b, primary->info.size) == -1) {
    snprintf (why, MIRROR_WHY, "%s", strerror (errno));
    return -1;
  }
  ranges_lock (&m->ranges, &all, 0, RANGES_ALL, RANGE_EXCLUSIVE);
  mutex_lock (&m->lock);
  m->primary = primary;
  if (other) {
    old = (struct mirror_bitmaps) { m->dirty, m->touched, m->unflushed,
                                    m->flushing, 0, 0 };
    m->dirty = b.dirty;
    m->touched = b.touched;
    m->unflushed = b.unflushed;
    m->flushing = b.flushing;
    m->granule = b.granule;
    m->shift = b.shift;
    m->disk = primary->info.disk;
    m->cuts = primary->info.cuts.n;
    m->size = primary->info.size;
    mirror_bitmaps_free (&old);
    if (resume)
      mirror_say (m, ENGINE_NOTE, "%s", "the primary is another disk, or was "
                  "resized: copying everything");
  }
  m->starting = true;
  run (m, resume && !other);
  mutex_unlock (&m->lock);
  ranges_unlock (&m->ranges, &all);
  return 1;
}

int
mirror_start (struct mirror *m, bool resume, char why[MIRROR_WHY])
{
  enum phase phase;
  int r = 0;

  mirror_hold (m);
  mutex_lock (&m->lock);
  phase = m->phase;
  mutex_unlock (&m->lock);
  /* Only a thread that holds the instance leaves these three phases, except to
   * STOPPED.
   */
  if (phase == PHASE_STOPPED)
    r = start_anew (m, resume, why);
  else if (phase == PHASE_FAILED)
    r = go_on (m, &resume, why);
  else if (phase == PHASE_SWITCHED) {
    snprintf (why, MIRROR_WHY, MIRROR_HAS_SWITCHED);
    r = -1;
  }
  mirror_release (m);
  if (r == 1)
    mirror_say (m, ENGINE_NOTE, "%s", resume ? "started, with what differs"
                : "started, with a full copy");
  return r;
}

int
mirror_set_rate (struct mirror *m, uint64_t rate, char why[MIRROR_WHY])
{
  bool switched;

  mutex_lock (&m->lock);
  switched = m->phase == PHASE_SWITCHED;
  if (!switched) {
    m->rate = rate;
    /* What was to be waited for at the old rate is forgotten. */
    m->rate_next = clock_now ();
    m->rate_changes++;
    pthread_cond_broadcast (&m->changed);
  }
  mutex_unlock (&m->lock);
  if (switched)
    snprintf (why, MIRROR_WHY, MIRROR_HAS_SWITCHED);
  return switched ? -1 : 0;
}

bool
mirror_may_stop (struct mirror *m, bool force, char why[MIRROR_WHY])
{
  enum mirror_state state = mirror_state (m);

  if (m->quit) {
    snprintf (why, MIRROR_WHY, "the mirror was not stopped: the server is "
              "shutting down");
    return false;
  }
  if (state == MIRROR_STOPPED) {
    snprintf (why, MIRROR_WHY, "the mirror is already stopped");
    return false;
  }
  if (state == MIRROR_SWITCHED) {
    snprintf (why, MIRROR_WHY, MIRROR_HAS_SWITCHED);
    return false;
  }
  if (state == MIRROR_SYNCHRONISED || force)
    return true;
  if (m->replaced) {
    snprintf (why, MIRROR_WHY, MIRROR_REPLACED "; expected force");
    return false;
  }
  snprintf (why, MIRROR_WHY, "the mirror is %s, and %" PRIu64 " bytes are out "
            "of sync; expected synchronised, or force",
            mirror_state_names[state], mirror_dirty_bytes (m));
  return false;
}

static bool
may_stop_now (struct mirror *m, bool force, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  if (!mirror_may_stop (m, force, why))
    return false;
  if (m->switching)
    snprintf (why, MIRROR_WHY, MIRROR_IS_SWITCHING);
  return !m->switching;
}

/* Clients wait for their ranges meanwhile, so max_stall limits the flush; and
 * no thread waits for a secondary on trial with a range held (Y10).
 */
static bool
flush_here (struct mirror *m, struct mirror_use *use) REQUIRES (&m->lock)
{
  uint64_t incarnation = m->incarnation;
  bool flushed = false;

  mirror_use_begin (m, use);
  mirror_waits (use);
  if (m->proved) {
    mutex_unlock (&m->lock);
    flushed = mirror_flush_secondary (m, incarnation) == 0;
    mutex_lock (&m->lock);
  }
  /* A flush needs no range.  If the mirror stopped during a client's, max_stall
   * would not limit it any more.
   */
  while (m->proved && m->flush_runs && !m->quit)
    pthread_cond_wait (&m->changed, &m->lock.m);
  mirror_use_end (m, use);
  return flushed;
}

/* Called with all ranges held: no change is in flight, and the job copies
 * nothing. now: what the primary's name means.
 */
static int
stop_here (struct mirror *m, struct mirror_use *use, bool force,
           enum instance_now now, struct mirror_stopped *stopped,
           char why[MIRROR_WHY])
{
  bool flushed;
  int r = -1;

  mutex_lock (&m->lock);
  flushed = may_stop_now (m, force, why) && flush_here (m, use);
  if (may_stop_now (m, force, why)) {
    memset (stopped, 0, sizeof *stopped);
    /* If the phase is failed and yet nothing is dirty, the sides are equal,
     * too.
     */
    stopped->consistent = flushed && m->connected && m->dirty.set == 0 &&
      !found_differences (m) && !m->replaced && now != INSTANCE_RESIZED &&
      now != INSTANCE_SHRUNK;
    stopped->writes = m->writes;
    clock_gettime (CLOCK_REALTIME, &stopped->time);
    m->stopped = *stopped;
    m->ever_stopped = true;
    m->phase = PHASE_STOPPED;
    if (m->connected) {
      m->connected = m->proved = false;
      m->incarnation++;
    }
    /* Either it was flushed, or it must not be trusted. */
    if (!flushed) {
      bitmap_or (&m->dirty, &m->unflushed);
      bitmap_or (&m->dirty, &m->flushing);
    }
    bitmap_clear_all (&m->unflushed);
    bitmap_clear_all (&m->flushing);
    pthread_cond_broadcast (&m->changed);
    pthread_cond_broadcast (&m->job_wake);
    r = 0;
  }
  mutex_unlock (&m->lock);
  return r;
}

int
mirror_stop (struct mirror *m, bool force, struct mirror_stopped *stopped,
             char why[MIRROR_WHY])
{
  enum instance_now now;
  struct mirror_use use;
  struct range all;
  uint64_t size;
  bool may;
  int r;

  mutex_lock (&m->lock);
  may = may_stop_now (m, force, why);
  mutex_unlock (&m->lock);
  if (!may)
    return -1;
  /* If a thread finds another disk from here on, it tells the mirror. */
  now = mirror_look (m, &size);
  mirror_use_init (&use, USE_OF_JOB);
  mirror_lock_range (m, &use, &all, 0, RANGES_ALL, RANGE_EXCLUSIVE);
  r = stop_here (m, &use, force, now, stopped, why);
  ranges_unlock (&m->ranges, &all);
  if (r == -1)
    return -1;
  mirror_say (m, ENGINE_NOTE, "stopped, the secondary is %s",
              stopped->consistent ? "consistent" : "not consistent");
  /* The secondary may accept only one user, so it must be free when we report
   * that the mirror has stopped.
   */
  mutex_lock (&m->lock);
  while ((m->attached || m->verified.running) &&
         m->phase == PHASE_STOPPED && !m->quit)
    pthread_cond_wait (&m->changed, &m->lock.m);
  mutex_unlock (&m->lock);
  return 0;
}
