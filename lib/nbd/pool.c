/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a pool and of its clients; pool.h has the design and the
 * invariants.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/printable.h"
#include "nbd/debts.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* How long pool_final_flush may take. */
#define LAST_FLUSH_TIME (10 * NS_PER_S)

/* Between the attempts of pool_open, as in nbdkit's nbd plugin. */
#define RETRY_TIME NS_PER_S

/* Between the attempts of pool_keep when the server answers but fails to flush;
 * doubled each time.
 */
#define FIRST_KEEP_TIME NS_PER_S
#define LAST_KEEP_TIME (60 * NS_PER_S)

void
pool_wait_change (struct pool *p, int64_t until)
{
  cond_wait_until (&p->changed, &p->lock, until);
}

/* ----------------------------------------------------------- a pool's life */

/* Clients wait while connections are drained.  So this is not longer than they
 * would wait for a reply, and leaves time to reconnect.
 */
static int64_t
drain_time (const struct pool_options *o)
{
  int64_t time = POOL_DRAIN_TIME;

  if (o->request_timeout && o->request_timeout < time)
    time = o->request_timeout;
  if (!o->fail_fast && o->reconnect / 2 < time)
    time = o->reconnect / 2;
  return time;
}

struct pool *
pool_new (const struct pool_options *options)
{
  struct pool *p = calloc (1, sizeof *p);

  if (p == NULL)
    return NULL;
  p->uuid = calloc (options->ntargets, sizeof *p->uuid);
  if (p->uuid == NULL) {
    free (p);
    return NULL;
  }
  p->o = *options;
  p->o.connection.drain_time = drain_time (&p->o);
  p->o.connection.ending = &p->o.ending;
  p->random = clock_now ();
  mutex_init (&p->lock);
  cond_init (&p->changed);
  return p;
}

static int
make_log (struct pool *p) REQUIRES (&p->lock)
{
  p->log = replay_new (pool_wants_log (&p->info) ? p->o.replay_buffer : 0);
  return p->log ? 0 : -1;
}

int
pool_ride_out (struct pool *p, const struct pool_options *options)
{
  struct replay *log;
  int err = 0;

  mutex_lock (&p->lock);
  /* Nothing that was acknowledged is left for the new log to keep, and nobody
   * reads the options just now.
   */
  if (p->state != POOL_UP || p->given_up || p->log == NULL)
    err = ESHUTDOWN;
  else if (p->in_flight || p->queue || pool_dirty_locked (p))
    err = EBUSY;
  else {
    log = replay_new (pool_wants_log (&p->info) ? options->replay_buffer : 0);
    if (log == NULL)
      err = errno;
    else {
      replay_free (p->log);
      p->log = log;
      p->o.fail_fast = false;
      p->o.reconnect = options->reconnect;
      p->o.request_timeout = options->request_timeout;
      p->o.replay_buffer = options->replay_buffer;
      p->o.connection.drain_time = drain_time (&p->o);
      pool_reset_witness (p);
    }
  }
  mutex_unlock (&p->lock);
  errno = err;
  return err ? -1 : 0;
}

bool
pool_dirty_locked (const struct pool *p)
{
  return p->log && p->info.can_flush && !p->forsaken && replay_dirty (p->log);
}

/* Returns whether everything is flushed. */
static bool
wait_until_clean (struct pool *p, int64_t until) REQUIRES (&p->lock)
{
  while (pool_dirty_locked (p) && p->state == POOL_UP && clock_now () < until &&
         !p->given_up)
    pool_wait_change (p, until);
  return !pool_dirty_locked (p);
}

/* In UP, without clients: would new connections show the same disk?  Yes, if
 * there can be no others, or if others would lead to another server.
 */
static bool
is_up_to_date (struct pool *p) REQUIRES (&p->lock)
{
  uint64_t incarnation = p->incarnation;

  if (p->one_client || p->o.target->kind == TARGET_COMMAND ||
      p->o.target->kind == TARGET_SOCKET_FD || !pool_server_has_changed (p))
    return true;
  /* Without a log what was not flushed yet needs the connection. */
  if (!wait_until_clean (p, clock_now () + p->o.connect_timeout) &&
      p->o.replay_buffer == 0)
    return true;
  if (p->clients || p->state != POOL_UP || p->incarnation != incarnation)
    return true;                /* or another thread does it */
  return false;
}

/* No client relies on a promise, so promise the next one what the server offers
 * now (M6).  Returns 0, or -1 with errno.
 */
static int
renew (struct pool *p) REQUIRES (&p->lock)
{
  int r;

  for (;;) {
    if (p->given_up || (p->o.give_up && p->o.give_up (p->o.opaque))) {
      errno = ESHUTDOWN;
      return -1;
    }
    if (p->clients)
      return 0;
    if (p->state == POOL_UP) {
      if (is_up_to_date (p))
        return 0;
      pool_note (p, "reconnecting because the upstream has changed");
      pool_retire (p);
    }
    if (p->state == POOL_DOWN && p->in_flight == 0)
      break;
    if (p->state == POOL_DOWN)
      pool_end_drain (p);
    pool_wait_change (p, clock_now () + POOL_TICK);
  }
  /* Log the reason for this client, too. */
  *p->said = '\0';
  p->renewing = true;
  r = pool_become_connector (p, 0);
  p->renewing = false;
  return r;
}

int
pool_open (struct pool *p)
{
  unsigned retries = p->o.retry;
  int r = 0, err = 0;

  mutex_lock (&p->lock);
  if (p->log && p->clients == 0 && renew (p) == -1) {
    err = errno;
    r = -1;
  }
  while (p->log == NULL) {
    if (p->given_up) {
      err = ESHUTDOWN;
      r = -1;
      break;
    }
    if (p->state == POOL_CONNECTING) {
      pool_wait_change (p, clock_now () + POOL_TICK);
      continue;
    }
    if (p->state == POOL_NEW && pool_become_connector (p, 0) == -1) {
      err = errno;
      if (retries-- == 0 || (p->o.give_up && p->o.give_up (p->o.opaque))) {
        r = -1;
        break;
      }
      for (p->next_try = clock_now () + RETRY_TIME;
           clock_now () < p->next_try && !p->given_up;)
        pool_wait_change (p, p->next_try);
      continue;
    }
    if (p->log == NULL && make_log (p) == -1) {
      err = errno;
      r = -1;
      break;
    }
  }
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}

bool
pool_is_dirty (struct pool *p)
{
  bool dirty;

  mutex_lock (&p->lock);
  dirty = pool_dirty_locked (p);
  mutex_unlock (&p->lock);
  return dirty;
}

int
pool_final_flush (struct pool *p)
{
  char name[PRINTABLE_STRING];
  struct replay_usage usage;
  int r, err;

  mutex_lock (&p->lock);
  p->final_flushes++;
  pthread_cond_broadcast (&p->changed);
  r = pool_flush_locked (p, NULL, clock_now () + LAST_FLUSH_TIME);
  err = errno;
  p->final_flushes--;
  if (r == -1) {
    usage = replay_usage (p->log);
    pool_say (p, POOL_ERROR, "export \"%s\": the last acknowledged writes (%"
              PRIu64 " that are kept, %" PRIu64 " bytes) could not be flushed: "
              "%s", printable (p->o.export_name, name), usage.entries,
              usage.changed, err == ESHUTDOWN ? "the upstream is away"
              : strerror (err));
  }
  mutex_unlock (&p->lock);
  errno = err;
  return r;
}

void
pool_abandon (struct pool *p)
{
  unsigned i;

  mutex_lock (&p->lock);
  pool_lose (p, p->incarnation);
  /* In CONNECTING they are the connector's, and nobody waits for an answer. */
  if (p->state == POOL_DOWN)
    for (i = 0; i < p->nlinks; i++)
      connection_kill (p->link[i].connection);
  mutex_unlock (&p->lock);
}

void
pool_give_up (struct pool *p)
{
  mutex_lock (&p->lock);
  p->given_up = true;
  pool_lose (p, p->incarnation);
  p->drain_until = 0;
  if (p->state == POOL_DOWN)
    pool_end_drain (p);
  pthread_cond_broadcast (&p->changed);
  mutex_unlock (&p->lock);
}

void
pool_forsake (struct pool *p)
{
  mutex_lock (&p->lock);
  p->forsaken = true;
  p->owed = p->departed = 0;
  /* The keeper ends. */
  pthread_cond_broadcast (&p->changed);
  mutex_unlock (&p->lock);
}

void
pool_accept_changed (struct pool *p, bool accept)
{
  mutex_lock (&p->lock);
  p->accepts_changed = accept;
  mutex_unlock (&p->lock);
}

/* M9.  A socket that was open when the program started cannot be connected
 * again.
 */
static bool
wants_keeper (const struct pool *p) REQUIRES (&p->lock)
{
  return p->clients == 0 && pool_dirty_locked (p) && !p->final_flushes &&
    !p->given_up &&
    !(p->o.target->kind == TARGET_SOCKET_FD && p->state == POOL_DOWN);
}

bool
pool_wants_keeper (struct pool *p)
{
  bool r;

  mutex_lock (&p->lock);
  r = wants_keeper (p);
  mutex_unlock (&p->lock);
  return r;
}

/* Should the keeper go on? */
static bool
goes_on (struct pool *p, bool *ends) REQUIRES (&p->lock)
{
  *ends = *ends || (p->o.give_up && p->o.give_up (p->o.opaque));
  return !*ends && wants_keeper (p);
}

bool
pool_keep (struct pool *p)
{
  int64_t time = FIRST_KEEP_TIME, until;
  bool ends = false, answered;

  mutex_lock (&p->lock);
  while (goes_on (p, &ends)) {
    if (pool_flush_locked (p, NULL, 0) == 0)
      continue;
    answered = errno != ESHUTDOWN;
    for (until = clock_now () + time;
         clock_now () < until && goes_on (p, &ends);)
      pool_wait_change (p, clock_now () + POOL_TICK);
    if (answered && time < LAST_KEEP_TIME)
      time *= 2;
  }
  mutex_unlock (&p->lock);
  return !ends;
}

void
pool_disconnect (struct pool *p)
{
  mutex_lock (&p->lock);
  if (p->clients == 0 && (p->state == POOL_UP || p->state == POOL_DOWN) &&
      p->in_flight == 0 && !pool_dirty_locked (p)) {
    if (p->state == POOL_UP)
      pool_retire (p);
    /* No other thread connects, or closes these, in the meantime. */
    p->state = POOL_CONNECTING;
    mutex_unlock (&p->lock);
    pool_close_links (p);
    mutex_lock (&p->lock);
    p->stats.connections = 0;
    p->state = POOL_DOWN;
    pthread_cond_broadcast (&p->changed);
  }
  mutex_unlock (&p->lock);
}

uint64_t
pool_owed (struct pool *p)
{
  uint64_t owed;

  mutex_lock (&p->lock);
  owed = p->owed;
  mutex_unlock (&p->lock);
  return owed;
}

void
pool_owe (struct pool *p, uint64_t owed)
{
  mutex_lock (&p->lock);
  p->owed += owed;
  mutex_unlock (&p->lock);
}

uint64_t
pool_losses (struct pool *p)
{
  uint64_t losses;

  mutex_lock (&p->lock);
  losses = p->losses;
  mutex_unlock (&p->lock);
  return losses;
}

unsigned
pool_clients (struct pool *p)
{
  unsigned n;

  mutex_lock (&p->lock);
  n = p->clients;
  mutex_unlock (&p->lock);
  return n;
}

void
pool_free (struct pool *p)
{
  if (p == NULL)
    return;
  mutex_lock (&p->lock);
  pool_say_outages (p);
  mutex_unlock (&p->lock);
  pool_close_links (p);
  replay_free (p->log);
  free (p->description);
  free (p->uuid);
  pthread_cond_destroy (&p->changed);
  mutex_destroy (&p->lock);
  free (p);
}

const struct bdev_info *
pool_info (const struct pool *p)
{
  return &p->info;
}

const char *
pool_description (const struct pool *p)
{
  return p->description;
}

/* ------------------------------------------------------------- clients */

void
pool_client_init (struct pool *p, struct pool_client *client,
                  const struct pool_legacy *legacy)
{
  bool inherits = legacy &&
    legacy->export_name == debts_hash (p->o.export_name);
  bool owed = inherits && legacy->owed;

  mutex_lock (&p->lock);
  p->clients++;
  client->heir = p->owed > 0;
  /* A number other than p->losses: it will be told. */
  client->losses = owed || client->heir ? p->losses - 1 : p->losses;
  /* It is back. */
  if (inherits && legacy->dirty && p->departed)
    p->departed--;
  atomic_init (&client->wrote, owed || client->heir ||
               (inherits && legacy->dirty));
  mutex_unlock (&p->lock);
}

void
pool_client_end (struct pool *p, struct pool_client *client,
                 struct pool_legacy *legacy)
{
  bool wrote = atomic_load (&client->wrote);

  mutex_lock (&p->lock);
  /* If the pool fails fast, its user knows of each loss. */
  wrote = wrote && !p->o.fail_fast && !p->forsaken;
  *legacy = (struct pool_legacy) {
    .export_name = debts_hash (p->o.export_name),
    .dirty = wrote && pool_dirty_locked (p),
    .owed = wrote && client->losses != p->losses,
  };
  p->clients--;
  p->departed += legacy->dirty;
  /* An heir has taken nothing from `owed` yet. */
  p->owed += legacy->owed && !client->heir;
  mutex_unlock (&p->lock);
}
