/* SPDX-License-Identifier: BSD-3-Clause */
/* How a pool makes its connections, loses them and reconnects; pool.h draws the
 * states.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

/* The time between attempts to connect.  It is doubled each time, and half of
 * it is random.  It is short at first, for a server that is only restarted.  At
 * the end of an outage a client waits for half of the longest time on average.
 */
#define FIRST_BACKOFF (20 * NS_PER_MS)
#define LAST_BACKOFF (1000 * NS_PER_MS)

/* How long second and further connections to a server that has just answered
 * may take: a server with a client limit may keep them waiting instead of
 * refusing them.
 */
#define EXTRA_CONNECT_TIME (2 * NS_PER_S)

/* -------------------------------------------------------------- losing */

/* Spread the attempts of many clients of one server: returns a time between
 * half of the given one and all of it.
 */
static int64_t
jitter (struct pool *p, int64_t time) REQUIRES (&p->lock)
{
  return time / 2 + time / 2 * (rand_r (&p->random) & 0xffff) / 0xffff;
}

/* An attempt failed: wait longer before the next one. */
static void
back_off (struct pool *p) REQUIRES (&p->lock)
{
  p->failures++;
  p->next_try = clock_now () + jitter (p, p->backoff);
  p->backoff = p->backoff * 2 < LAST_BACKOFF ? p->backoff * 2 : LAST_BACKOFF;
}

static void
retire_links (struct pool *p, int64_t until)
{
  unsigned i;

  for (i = 0; i < p->nlinks; i++)
    connection_retire (p->link[i].connection, until);
}

void
pool_end_drain (struct pool *p)
{
  if (clock_now () >= p->drain_until)
    retire_links (p, p->drain_until);
}

static void
say_protocol_errors (struct pool *p) REQUIRES (&p->lock)
{
  char text[POOL_ERROR_SIZE];
  const char *error;
  unsigned i;

  for (i = 0; i < p->nlinks; i++) {
    error = connection_take_protocol_error (p->link[i].connection);
    if (error) {
      snprintf (text, sizeof text, "the upstream broke the protocol: %s",
                error);
      pool_say_once (p, text);
    }
  }
}

void
pool_count_loss (struct pool *p)
{
  p->losses++;
  p->owed += p->departed;
  p->departed = 0;
}

void
pool_lost_writes (struct pool *p)
{
  pool_count_loss (p);
  replay_forget (p->log);
  /* If the pool fails fast, all requests fail, and so its user knows. */
  if (p->o.fail_fast || p->told == p->incarnation)
    return;
  p->told = p->incarnation;
  pool_say (p, POOL_ERROR, "the upstream connection was lost with unflushed "
            "writes: the next flush will fail");
}

void
pool_lose (struct pool *p, uint64_t incarnation)
{
  if (incarnation != p->incarnation ||
      (p->state != POOL_UP && p->state != POOL_RESEND))
    return;
  p->state = POOL_DOWN;
  p->incarnation++;
  p->stats.outages++;
  witness_lost (&p->witness);
  p->drain_until = p->given_up || p->final_flushes ? 0
    : clock_now () + p->o.connection.drain_time;
  /* First, for it ends what a leader waits for with the connection's lock. */
  retire_links (p, p->drain_until);
  say_protocol_errors (p);
  if (p->outage == 0) {
    clock_gettime (CLOCK_REALTIME, &p->outage_time);
    p->outage = p->next_try = clock_now ();
    p->backoff = FIRST_BACKOFF;
    pool_say_outage_begins (p);
  }
  else {
    back_off (p);
    pool_note (p, "the upstream connection was lost again");
  }
  if (p->info.can_flush && p->o.replay_buffer == 0 && replay_dirty (p->log))
    pool_lost_writes (p);
  pthread_cond_broadcast (&p->changed);
}

void
pool_retire (struct pool *p)
{
  p->state = POOL_DOWN;
  p->incarnation++;
  witness_lost (&p->witness);
  p->drain_until = clock_now () + p->o.connection.drain_time;
  p->next_try = clock_now ();
  p->backoff = FIRST_BACKOFF;
  retire_links (p, p->drain_until);
  pthread_cond_broadcast (&p->changed);
}

void
pool_progress (struct pool *p, uint64_t incarnation)
{
  if (p->progress || incarnation != p->incarnation)
    return;
  p->progress = true;
  p->shutdowns = 0;
  if (p->outage)
    pool_say_outage_ended (p);
  p->outage = 0;
  *p->said = '\0';
}

/* --------------------------------------------------------- connecting */

const char *
pool_broken_promise (const struct bdev_info *was, const struct bdev_info *now,
                     char buf[CONNECTION_WHY])
{
  const struct {
    bool was, now;
    const char *name;
  } capability[] = {
    { was->can_flush, now->can_flush, "flush" },
    { was->can_fua, now->can_fua, "FUA" },
    { was->can_trim, now->can_trim, "trim" },
    { was->can_zero, now->can_zero, "write-zeroes" },
    { was->can_fast_zero, now->can_fast_zero, "fast zero" },
    { was->can_cache, now->can_cache, "cache" },
    { was->can_extents, now->can_extents, "block status" },
  };
  size_t i;

  if (now->size != was->size) {
    snprintf (buf, CONNECTION_WHY, "its size is now %" PRIu64 " bytes, but was "
              "%" PRIu64, now->size, was->size);
    return buf;
  }
  if (now->readonly && !was->readonly)
    return "it is now read-only";
  for (i = 0; i < sizeof capability / sizeof capability[0]; i++)
    if (capability[i].was && !capability[i].now) {
      snprintf (buf, CONNECTION_WHY, "it no longer offers %s",
                capability[i].name);
      return buf;
    }
  if (now->block_min > was->block_min) {
    snprintf (buf, CONNECTION_WHY, "its minimum block size is now %" PRIu32
              ", but was %" PRIu32, now->block_min, was->block_min);
    return buf;
  }
  return NULL;
}

bool
pool_wants_log (const struct bdev_info *info)
{
  return info->can_flush && !info->readonly;
}

/* M6: from now on this server's offer is what clients are promised.  Returns 0,
 * or -1 with errno.
 */
static int
adopt (struct pool *p, struct connection *conn) REQUIRES (&p->lock)
{
  const struct bdev_info *now = connection_info (conn);

  if (p->log && pool_wants_log (now) != pool_wants_log (&p->info)) {
    struct replay *log = replay_new (pool_wants_log (now)
                                     ? p->o.replay_buffer : 0);

    if (log == NULL)
      return -1;
    replay_free (p->log);
    p->log = log;
  }
  p->info = *now;
  /* Nobody relies on the old disk, except for the log. */
  if (!pool_dirty_locked (p)) {
    pool_reset_witness (p);
    atomic_store_explicit (&p->relied, false, memory_order_relaxed);
  }
  free (p->description);
  p->description = connection_description (conn);
  return 0;
}

/* Has this target the disk that it had (M6)?  Returns NULL if it has, or nobody
 * knows, or it does not matter.
 */
static const char *
broken_identity (struct pool *p, const struct connection_target *t,
                 const struct bdev_info *now, char buf[CONNECTION_WHY])
  REQUIRES (&p->lock)
{
  const struct uuid *was = &p->uuid[t - p->o.target];
  char text[UUID_STRING];

  if (!p->o.identity || !uuid_differ (was, &now->uuid) ||
      !(atomic_load_explicit (&p->relied, memory_order_relaxed) ||
        pool_dirty_locked (p)))
    return NULL;
  /* Not the new one: a server that makes a disk for each connection has another
   * one each time, and each line is logged once.
   */
  snprintf (buf, CONNECTION_WHY, "its UUID is no longer %s (see identity=)",
            uuid_format (was, text));
  return pool_nobody_relies (p, buf) ? NULL : buf;
}

/* Does this server break a promise that somebody relies on (M6)?  Returns NULL
 * if not; otherwise the promise.
 */
static const char *
broken_promise (struct pool *p, const struct bdev_info *now,
                char buf[CONNECTION_WHY]) REQUIRES (&p->lock)
{
  const char *broken = pool_broken_promise (&p->info, now, buf);

  return broken && p->accepts_changed && pool_can_replay (p, now) ? NULL
    : broken;
}

/* May this server be used (M6)?  Returns NULL if so; otherwise the reason why
 * not.
 */
static const char *
check_server (struct pool *p, const struct connection_target *t,
              struct connection *conn, char buf[CONNECTION_WHY])
{
  const struct bdev_info *now = connection_info (conn);
  const char *broken = NULL;

  mutex_lock (&p->lock);
  if (p->was_connected)
    broken = broken_promise (p, now, buf);
  if (broken && p->clients == 0) {
    if (!pool_dirty_locked (p) || pool_can_replay (p, now))
      broken = NULL;
    else if (now->size < p->info.size && pool_may_lose_log (p)) {
      pool_lose_log (p, broken);
      broken = NULL;
    }
  }
  if (broken == NULL && p->was_connected)
    broken = broken_identity (p, t, now, buf);
  mutex_unlock (&p->lock);
  return broken;
}

static int
refuse (const char *broken, char why[CONNECTION_WHY])
{
  snprintf (why, CONNECTION_WHY, "refused because it has changed: %.200s",
            broken);
  errno = ESHUTDOWN;
  return -1;
}

/* The server is the right one, and has the log.  A client may have come since
 * it was checked.
 */
static int
accept_server (struct pool *p, const struct connection_target *t,
               char why[CONNECTION_WHY])
{
  struct connection *conn = p->link[0].connection;
  char promise[CONNECTION_WHY];
  const char *broken = NULL;

  mutex_lock (&p->lock);
  if (p->clients)
    broken = broken_promise (p, connection_info (conn), promise);
  else if (adopt (p, conn) == -1)
    broken = "out of memory";
  if (broken == NULL && uuid_is_set (&connection_info (conn)->uuid))
    p->uuid[t - p->o.target] = connection_info (conn)->uuid;
  mutex_unlock (&p->lock);
  return broken ? refuse (broken, why) : 0;
}

static int
connect_first (struct pool *p, const struct connection_target *t, bool again,
               const struct pool_time_limit *time_limit,
               char why[CONNECTION_WHY])
{
  int64_t until = pool_sooner (clock_now () + p->o.connect_timeout,
                               time_limit->deadline);
  char promise[CONNECTION_WHY];
  const char *broken;
  struct connection *conn;

  if (again && t->kind == TARGET_SOCKET_FD) {
    snprintf (why, CONNECTION_WHY, "the connection is lost, and socket-fd= "
              "cannot be reconnected");
    errno = ESHUTDOWN;
    return -1;
  }
  conn = connection_open (t, &p->o.connection, p->o.export_name, false, until,
                          time_limit->ending, why);
  if (conn == NULL)
    return -1;
  broken = check_server (p, t, conn, promise);
  if (broken) {
    connection_close (conn, clock_now () + CONNECTION_CLOSE_TIME);
    return refuse (broken, why);
  }
  p->link[0] = (struct link) { .connection = conn };
  p->nlinks = 1;
  p->local = connection_is_local (conn);
  return 0;
}

/* Make the other connections, as many as the options and the server allow.
 *
 * If the server is replaced meanwhile, the first connections lead to the old
 * process and the last to the new one.  That does no harm: all connections are
 * made before the witness is asked on each of them, and before the log or any
 * request is sent.  So the old process acknowledges nothing, and a request on
 * its connection ends the incarnation.
 */
static void
connect_more (struct pool *p, const struct connection_target *t,
              const struct pool_time_limit *time_limit)
{
  const struct bdev_info *first = connection_info (p->link[0].connection);
  bool multi = first->can_multi_conn && t->kind != TARGET_COMMAND &&
    t->kind != TARGET_SOCKET_FD;
  /* Only the first connection needs structured replies, for extents.  Over a
   * network all connections use them: the holes in structured replies may save
   * more than the additional system calls cost.
   */
  bool simple = p->local;
  char why[CONNECTION_WHY];

  while (multi && p->nlinks < p->o.connections) {
    int64_t time = pool_sooner (p->o.connect_timeout, EXTRA_CONNECT_TIME);
    int64_t until = pool_sooner (clock_now () + time, time_limit->deadline);
    struct connection *conn = connection_open (t, &p->o.connection,
                                               p->o.export_name, simple, until,
                                               time_limit->ending, why);
    struct bdev_info info;
    const char *broken = NULL;

    if (conn) {
      info = *connection_info (conn);
      info.can_extents |= simple;
      broken = uuid_differ (&first->uuid, &info.uuid)
        ? "it leads to another disk" : pool_broken_promise (first, &info, why);
    }
    if (conn == NULL || broken) {
      pool_note (p, "using %u connections, another one failed: %s", p->nlinks,
                 broken ? broken : why);
      connection_close (conn, clock_now () + CONNECTION_CLOSE_TIME);
      return;
    }
    p->link[p->nlinks++] = (struct link) { .connection = conn };
  }
}

static int
ask_all (struct pool *p, const struct pool_time_limit *time_limit,
         char why[CONNECTION_WHY])
{
  unsigned i;

  for (i = 0; i < p->nlinks; i++)
    if (pool_ask_witness (p, p->link[i].connection, time_limit, why) == -1)
      return -1;
  return 0;
}

static int
connect_set (struct pool *p, const struct connection_target *t, bool again,
             const struct pool_time_limit *time_limit)
{
  char why[CONNECTION_WHY];
  int err;

  if (connect_first (p, t, again, time_limit, why) == -1)
    goto error;
  connect_more (p, t, time_limit);
  if (again && (ask_all (p, time_limit, why) == -1 ||
                pool_replay (p, time_limit, why) == -1))
    goto error;
  if (accept_server (p, t, why) == -1)
    goto error;
  return 0;

 error:
  err = errno;
  pool_complain (p, t, why);
  retire_links (p, time_limit->deadline);
  pool_close_links (p);
  errno = err;
  return -1;
}

bool
pool_server_has_changed (struct pool *p)
{
  int64_t time = pool_sooner (p->o.connect_timeout, EXTRA_CONNECT_TIME);
  int64_t until = 0;
  char why[CONNECTION_WHY], promise[CONNECTION_WHY];
  const struct connection_target *t = NULL;
  struct connection *conn = NULL;
  bool changed = false;
  size_t i;

  mutex_unlock (&p->lock);
  for (i = 0; i < p->o.ntargets && conn == NULL; i++) {
    t = &p->o.target[i];
    until = clock_now () + time;
    conn = connection_open (t, &p->o.connection, p->o.export_name, false, until,
                            &p->o.ending, why);
  }
  mutex_lock (&p->lock);
  if (conn == NULL)
    p->one_client = clock_now () >= until;
  else {
    const struct bdev_info *now = connection_info (conn);

    changed = uuid_differ (&p->uuid[t - p->o.target], &now->uuid) ||
      pool_broken_promise (&p->info, now, promise) ||
      pool_broken_promise (now, &p->info, promise) ||
      connection_payload_max (now) != connection_payload_max (&p->info);
  }
  mutex_unlock (&p->lock);
  connection_close (conn, clock_now () + CONNECTION_CLOSE_TIME);
  mutex_lock (&p->lock);
  return changed;
}

/* The largest payload that all connections accept. */
static uint32_t
payload_max (const struct pool *p)
{
  uint32_t max = CONNECTION_MOST_PAYLOAD, n;
  unsigned i;

  for (i = 0; i < p->nlinks; i++) {
    n = connection_payload_max (connection_info (p->link[i].connection));
    max = n < max ? n : max;
  }
  return max;
}

void
pool_close_links (struct pool *p)
{
  /* One limit for all: a server that hangs does so on each. */
  int64_t until = clock_now () + CONNECTION_CLOSE_TIME;

  while (p->nlinks)
    connection_close (p->link[--p->nlinks].connection, until);
}

/* For connector_ends. */
struct connector {
  struct pool *p;
  const struct ending *ending;  /* or NULL */
};

/* pool_give_up ends an attempt even if the attempt has a deadline. */
static bool
connector_ends (void *opaque)
{
  const struct connector *c = opaque;

  return atomic_load (&c->p->given_up) ||
    (c->ending && c->ending->fn && c->ending->fn (c->ending->opaque));
}

/* Connect to the first target that can be used.  Returns it, or NULL with
 * errno.
 */
static const struct connection_target *
connect_any (struct pool *p, bool again,
             const struct pool_time_limit *time_limit)
{
  size_t i;

  for (i = 0; i < p->o.ntargets; i++)
    if (connect_set (p, &p->o.target[i], again, time_limit) == 0)
      return &p->o.target[i];
  return NULL;
}

/* The same.  The log is given up only if it can be sent to no target (M6). */
static const struct connection_target *
connect_best (struct pool *p, bool again,
              const struct pool_time_limit *time_limit)
{
  const struct connection_target *t;
  int err;

  mutex_lock (&p->lock);
  p->log_yields = p->renewing && p->o.ntargets == 1;
  p->log_in_the_way = false;
  mutex_unlock (&p->lock);
  t = connect_any (p, again, time_limit);
  if (t)
    return t;
  err = errno;
  mutex_lock (&p->lock);
  p->log_yields = p->renewing && p->o.ntargets > 1 && p->log_in_the_way;
  again = again && p->log_yields;
  mutex_unlock (&p->lock);
  if (again)
    return connect_any (p, again, time_limit);
  errno = err;
  return NULL;
}

int
pool_become_connector (struct pool *p, int64_t deadline)
{
  struct connector connector = { p, deadline ? NULL : &p->o.ending };
  const struct ending ending = {
    .fn = connector_ends, .opaque = &connector,
  };
  const struct pool_time_limit time_limit = {
    .deadline = deadline ? deadline : NEVER, .ending = &ending,
  };
  bool again = p->was_connected;
  const struct connection_target *t;
  char name[POOL_TARGET_NAME];
  int r, err;

  p->state = POOL_CONNECTING;
  say_protocol_errors (p);      /* since the loss */
  if (again)
    p->stats.attempts++;
  mutex_unlock (&p->lock);
  pool_close_links (p);
  t = connect_best (p, again, &time_limit);
  err = errno;
  r = t ? 0 : -1;
  mutex_lock (&p->lock);
  if (p->given_up && r == 0) {
    /* Nobody may use these connections meanwhile. */
    mutex_unlock (&p->lock);
    retire_links (p, clock_now ());
    pool_close_links (p);
    mutex_lock (&p->lock);
    r = -1;
    err = ESHUTDOWN;
  }

  if (r == 0) {
    pool_note (p, "%u connection%s to %s%s", p->nlinks,
               p->nlinks == 1 ? "" : "s",
               pool_target_name (t, name),
               again ? ", again" : "");
    p->target = t;
    *p->said = '\0';
    p->was_connected = true;
    p->one_client = false;
    p->progress = false;
    p->stats.reconnects += again;
    p->stats.connections = p->nlinks;
    p->payload_max = payload_max (p);
    p->state = p->interrupted ? POOL_RESEND : POOL_UP;
  }
  else {
    p->state = again ? POOL_DOWN : POOL_NEW;
    p->stats.connections = 0;
    if (again && p->outage == 0) {
      /* Without clients, nobody had noticed the loss. */
      clock_gettime (CLOCK_REALTIME, &p->outage_time);
      p->outage = clock_now ();
      p->backoff = FIRST_BACKOFF;
      pool_say_outage_begins (p);
    }
    back_off (p);
  }
  pthread_cond_broadcast (&p->changed);
  errno = err;
  return r;
}
