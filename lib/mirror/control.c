/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror as its operator sees it: status, start, stop. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror.h"
#include "mirror-private.h"

const char *const mirror_state_names[] = {
  [MIRROR_COPYING] = "copying",
  [MIRROR_RESYNCING] = "resyncing",
  [MIRROR_SYNCHRONISED] = "synchronised",
  [MIRROR_DEGRADED] = "degraded",
  [MIRROR_STOPPED] = "stopped",
  [MIRROR_FAILED] = "failed",
};

enum mirror_state
mirror_state (const struct mirror *m)
{
  if (m->phase == PHASE_STOPPED)
    return MIRROR_STOPPED;
  if (m->phase == PHASE_FAILED)
    return MIRROR_FAILED;
  if (!m->connected)
    return MIRROR_DEGRADED;
  if (m->settled && m->dirty.set == 0)
    return MIRROR_SYNCHRONISED; /* Y6 */
  return m->full ? MIRROR_COPYING : MIRROR_RESYNCING;
}

/* From the oldest sample to now. */
uint64_t
mirror_rate (const struct mirror *m, int64_t *seconds_to_go)
{
  uint64_t left = mirror_dirty_bytes (m);
  const struct rate_sample *oldest;
  double seconds, done;

  *seconds_to_go = left ? -1 : 0;
  if (m->nsamples == 0 || m->phase != PHASE_RUN || !m->connected ||
      m->settled)
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
  s->rate_limit = m->o.rate;
  s->rate = mirror_rate (m, &s->seconds_to_go);
  s->in_flight = m->in_flight;
  s->writes = m->writes;
  s->outages = m->outages;
  s->fail = m->o.fail;
  s->ever_stopped = m->ever_stopped;
  s->stopped = m->stopped;
  memcpy (s->error, m->error, sizeof s->error);
  mutex_unlock (&m->lock);
}

bool
mirror_start (struct mirror *m, bool resume)
{
  mutex_lock (&m->lock);
  if (m->phase == PHASE_RUN) {
    mutex_unlock (&m->lock);
    return false;
  }
  m->phase = PHASE_RUN;
  m->cleaned = m->sent = m->zeroed = 0;
  m->nsamples = 0;
  m->settled = false;
  m->full = !resume;
  *m->error = '\0';
  if (!resume)
    bitmap_set (&m->dirty, 0, m->dirty.bits);
  pthread_cond_broadcast (&m->job_wake);
  mutex_unlock (&m->lock);
  mirror_say (m, ENGINE_NOTE, "%s", resume ? "started, with what differs"
              : "started, with a full copy");
  return true;
}

/* May it be stopped now?  If not, say why. */
static bool
may_stop (struct mirror *m, bool force, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  enum mirror_state state = mirror_state (m);

  if (state == MIRROR_STOPPED) {
    snprintf (why, MIRROR_WHY, "the mirror is stopped already");
    return false;
  }
  if (state == MIRROR_SYNCHRONISED || force)
    return true;
  snprintf (why, MIRROR_WHY, "the mirror is %s, and %" PRIu64 " bytes are out "
            "of sync; expected synchronised, or force",
            mirror_state_names[state], mirror_dirty_bytes (m));
  return false;
}

/* With all ranges held: no change is in flight, and the job copies nothing. */
static int
stop_here (struct mirror *m, bool force, struct mirror_stopped *stopped,
           char why[MIRROR_WHY])
{
  bool flushed = mirror_flush_secondary (m) == 0;
  int r = -1;

  mutex_lock (&m->lock);
  if (may_stop (m, force, why)) {
    memset (stopped, 0, sizeof *stopped);
    /* Phase failed and yet nothing dirty: then they are equal, too. */
    stopped->consistent = flushed && m->connected && m->dirty.set == 0;
    stopped->writes = m->writes;
    clock_gettime (CLOCK_REALTIME, &stopped->time);
    m->stopped = *stopped;
    m->ever_stopped = true;
    m->phase = PHASE_STOPPED;
    if (m->connected) {
      m->connected = false;
      m->incarnation++;
    }
    /* It was flushed, or is not to be trusted. */
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
  struct range all;
  bool may;
  int r;

  mutex_lock (&m->lock);
  may = may_stop (m, force, why);
  mutex_unlock (&m->lock);
  if (!may)
    return -1;
  ranges_lock (&m->ranges, &all, 0, RANGES_ALL, RANGE_EXCLUSIVE);
  r = stop_here (m, force, stopped, why);
  ranges_unlock (&m->ranges, &all);
  if (r == -1)
    return -1;
  mirror_say (m, ENGINE_NOTE, "stopped, the secondary is %s",
              stopped->consistent ? "consistent" : "not consistent");
  /* The secondary may be for one user only: it is free when we say so. */
  mutex_lock (&m->lock);
  while (m->attached && m->phase == PHASE_STOPPED && !m->quit)
    pthread_cond_wait (&m->changed, &m->lock.m);
  mutex_unlock (&m->lock);
  return 0;
}
