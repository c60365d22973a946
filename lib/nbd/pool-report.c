/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool's log messages and statistics. */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/printable.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* Each outage is logged in two lines, at its beginning and its end.  A server
 * that crashes repeatedly would fill the log.  So if there are more short
 * outages than this within this time, only their number is logged.
 */
#define OUTAGES_TO_SAY 20
#define OUTAGES_WINDOW (60 * NS_PER_S)
#define LONG_OUTAGE NS_PER_S

void
pool_say (struct pool *p, enum pool_log level, const char *fmt, ...)
{
  char message[CONNECTION_WHY + 512];
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (message, sizeof message, fmt, ap);
  va_end (ap);
  p->o.log (p->o.opaque, level, message);
}

void
pool_report (struct pool *p, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (p->error, sizeof p->error, fmt, ap);
  va_end (ap);
  pool_say (p, POOL_ERROR, "%s", p->error);
}

/* ------------------------------------------------------------- outages */

const char *
pool_target_name (const struct connection_target *t, char buf[POOL_TARGET_NAME])
{
  char name[PRINTABLE_STRING], port[PRINTABLE_STRING];

  if (t->kind == TARGET_TCP)
    snprintf (buf, POOL_TARGET_NAME, "%s port %.48s", printable (t->name, name),
              printable (t->port, port));
  else if (t->kind == TARGET_VSOCK)
    snprintf (buf, POOL_TARGET_NAME, "vsock %" PRIu32 " port %" PRIu32, t->cid,
              t->vport);
  else if (t->kind == TARGET_SOCKET_FD)
    snprintf (buf, POOL_TARGET_NAME, "socket-fd %d", t->fd);
  else
    snprintf (buf, POOL_TARGET_NAME, "%s", printable (t->name, name));
  return buf;
}

void
pool_say_once (struct pool *p, const char *text)
{
  if (strcmp (text, p->said) == 0)
    return;
  snprintf (p->said, sizeof p->said, "%s", text);
  pool_report (p, "%s", text);
}

void
pool_complain (struct pool *p, const struct connection_target *t,
               const char *why)
{
  char name[POOL_TARGET_NAME], text[POOL_ERROR_SIZE];

  snprintf (text, sizeof text, "upstream %s: %s", pool_target_name (t, name),
            why);
  mutex_lock (&p->lock);
  if (p->outage && !p->begin_said &&
      clock_now () < p->outage + LONG_OUTAGE)
    memcpy (p->error, text, sizeof text);
  else
    pool_say_once (p, text);
  mutex_unlock (&p->lock);
}

static void
say_unsaid (struct pool *p) REQUIRES (&p->lock)
{
  char name[POOL_TARGET_NAME];

  if (p->outages_unsaid)
    pool_say (p, POOL_ERROR, "upstream %s: the connection was lost and "
              "restored within a second, %u more times",
              pool_target_name (p->target, name), p->outages_unsaid);
  p->outages_unsaid = 0;
}

void
pool_say_outage_begins (struct pool *p)
{
  char name[POOL_TARGET_NAME];

  p->begin_said = false;
  p->before = p->stats;
  if (p->given_up || p->ends)
    return;
  if (p->outage >= p->window) {
    say_unsaid (p);
    p->window = p->outage + OUTAGES_WINDOW;
    p->outages_said = 0;
  }
  if (p->outages_said >= OUTAGES_TO_SAY)
    return;
  p->outages_said++;
  p->begin_said = true;
  pool_say (p, POOL_ERROR, "upstream %s: the connection was lost",
            pool_target_name (p->target, name));
}

void
pool_say_outage_ended (struct pool *p)
{
  int64_t time = clock_now () - p->outage;
  char name[POOL_TARGET_NAME];

  if (p->given_up || p->ends)
    return;
  if (!p->begin_said && time < LONG_OUTAGE) {
    p->outages_unsaid++;
    return;
  }
  pool_say (p, POOL_ERROR, "upstream %s: connected again after %.1f seconds; "
            "sent again: requests: %" PRIu64 ", unflushed writes: %" PRIu64
            " of %" PRIu64 " bytes", pool_target_name (p->target, name),
            (double) time / NS_PER_S,
            p->stats.retries - p->before.retries,
            p->stats.replays - p->before.replays,
            p->stats.replay_bytes - p->before.replay_bytes);
}

void
pool_say_outages (struct pool *p)
{
  char name[POOL_TARGET_NAME];

  say_unsaid (p);
  if (p->outage && p->begin_said && !p->o.fail_fast)
    pool_say (p, POOL_ERROR, "upstream %s: still not connected after %.1f "
              "seconds", pool_target_name (p->target, name),
              (double) (clock_now () - p->outage) / NS_PER_S);
}

/* ---------------------------------------------------------- statistics */

void
pool_stats (struct pool *p, struct pool_stats *stats)
{
  mutex_lock (&p->lock);
  *stats = p->stats;
  stats->awaited = p->in_flight || p->state == POOL_CONNECTING;
  if (p->log) {
    struct replay_usage usage = replay_usage (p->log);

    stats->log_entries = usage.entries;
    stats->log_bytes = usage.bytes;
  }
  mutex_unlock (&p->lock);
}

void
pool_outage (struct pool *p, struct pool_outage *outage)
{
  mutex_lock (&p->lock);
  outage->away = p->outage &&
    (p->state == POOL_DOWN || p->state == POOL_CONNECTING);
  outage->since = p->outage_time;
  memcpy (outage->error, p->error, sizeof outage->error);
  mutex_unlock (&p->lock);
}
