/* SPDX-License-Identifier: BSD-3-Clause */
/* How a pool gets its connections, loses them and gets them back; pool.h draws
 * the states.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "clock.h"
#include "pool.h"
#include "pool-private.h"
#include "printable.h"

/* The time between attempts to connect; doubled each time, and half of it is
 * random.  Short at first, for a server that is only restarted; the longest is
 * what a client waits at the end of an outage, on average half of it.
 */
#define FIRST_BACKOFF (20 * NS_PER_MS)
#define LAST_BACKOFF (1000 * NS_PER_MS)

/* For the second and further connections to a server that has just answered:
 * one that takes fewer clients may not refuse us but let us wait.
 */
#define EXTRA_CONNECT_TIME (2 * NS_PER_S)

/* How many writes of the log are in flight at a time, and how many bytes. */
#define REPLAY_BATCH 32
#define REPLAY_BATCH_BYTES (UINT64_C (16) << 20)

/* How long each write of a batch may take if there is no request-timeout. */
#define REPLAY_TIME (10 * NS_PER_S)

/* ------------------------------------------------------------ messages */

/* Room for what a target is called: its name, and a port. */
#define TARGET_NAME (PRINTABLE_STRING + 64)

static const char *
target_name (const struct upstream_target *t, char buf[TARGET_NAME])
{
  char name[PRINTABLE_STRING], port[PRINTABLE_STRING];

  if (t->kind == UPSTREAM_TCP)
    snprintf (buf, TARGET_NAME, "%s port %.48s", printable (t->name, name),
              printable (t->port, port));
  else if (t->kind == UPSTREAM_VSOCK)
    snprintf (buf, TARGET_NAME, "vsock %" PRIu32 " port %" PRIu32, t->cid,
              t->vport);
  else if (t->kind == UPSTREAM_SOCKET_FD)
    snprintf (buf, TARGET_NAME, "socket-fd %d", t->fd);
  else
    snprintf (buf, TARGET_NAME, "%s", printable (t->name, name));
  return buf;
}

/* In an outage the same thing goes wrong again and again: say it once. */
static void
complain (struct pool *p, const struct upstream_target *t, const char *why)
{
  char name[TARGET_NAME], text[POOL_ERROR_SIZE];

  snprintf (text, sizeof text, "upstream %s: %s", target_name (t, name), why);
  mutex_lock (&p->lock);
  if (strcmp (text, p->said) != 0) {
    memcpy (p->said, text, sizeof text);
    pool_wrong (p, "%s", text);
  }
  mutex_unlock (&p->lock);
}

/* -------------------------------------------------------------- losing */

/* Spread the attempts of many clients of one server: between half and all of
 * the time.
 */
static int64_t
jitter (struct pool *p, int64_t time) REQUIRES (&p->lock)
{
  return time / 2 + time / 2 * (rand_r (&p->random) & 0xffff) / 0xffff;
}

/* An attempt came to nothing: the next one after a longer time. */
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
    upstream_retire (p->link[i].upstream, until);
}

void
pool_cut_off (struct pool *p)
{
  if (clock_now () >= p->parting)
    retire_links (p, p->parting);
}

/* Once for each connection. */
static void
say_what_is_wrong (struct pool *p) REQUIRES (&p->lock)
{
  const char *wrong;
  unsigned i;

  for (i = 0; i < p->nlinks; i++) {
    wrong = upstream_take_wrong (p->link[i].upstream);
    if (wrong)
      pool_wrong (p, "the upstream does not keep to the protocol: %s",
                  wrong);
  }
}

void
pool_lost_writes (struct pool *p)
{
  p->losses++;
  replay_forget (p->log);
  /* If it fails fast, all fail, and whoever uses it knows. */
  if (p->o.fail_fast || p->told == p->incarnation)
    return;
  p->told = p->incarnation;
  pool_say (p, POOL_ERROR, "the upstream connection was lost with writes that "
            "were not flushed: the next flush will fail");
}

void
pool_lose (struct pool *p, uint64_t incarnation)
{
  if (incarnation != p->incarnation ||
      (p->state != POOL_UP && p->state != POOL_RESEND))
    return;
  p->state = POOL_DOWN;
  p->incarnation++;
  p->figures.outages++;
  p->parting = p->given_up || p->settling ? 0
    : clock_now () + p->o.upstream.parting_time;
  say_what_is_wrong (p);
  retire_links (p, p->parting);
  if (p->outage == 0) {
    clock_gettime (CLOCK_REALTIME, &p->outage_time);
    p->outage = p->next_try = clock_now ();
    p->backoff = FIRST_BACKOFF;
  }
  else
    back_off (p);
  if (p->info.can_flush && p->o.replay_buffer == 0 && replay_dirty (p->log))
    pool_lost_writes (p);
  pool_note (p, "the upstream connection was lost");
  pthread_cond_broadcast (&p->changed);
}

void
pool_progress (struct pool *p, uint64_t incarnation)
{
  if (p->progress || incarnation != p->incarnation)
    return;
  p->progress = true;
  p->shutdowns = 0;
  p->outage = 0;
}

/* --------------------------------------------------------- connecting */

/* M6.  Returns NULL if the new server keeps what the first one promised. */
static const char *
broken_promise (const struct pool *p, const struct upstream_info *now,
                char buf[UPSTREAM_WHY])
{
  const struct upstream_info *was = &p->info;
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
    snprintf (buf, UPSTREAM_WHY, "its size is %" PRIi64 " bytes now, and was "
              "%" PRIi64, now->size, was->size);
    return buf;
  }
  if (now->readonly && !was->readonly)
    return "it is read-only now";
  for (i = 0; i < sizeof capability / sizeof capability[0]; i++)
    if (capability[i].was && !capability[i].now) {
      snprintf (buf, UPSTREAM_WHY, "it no longer offers %s",
                capability[i].name);
      return buf;
    }
  if (now->block_min > (was->block_min ? was->block_min : 1)) {
    snprintf (buf, UPSTREAM_WHY, "its minimum block size is %" PRIu32 " now, "
              "and was %" PRIu32, now->block_min, was->block_min);
    return buf;
  }
  if (now->payload_max < was->payload_max) {
    snprintf (buf, UPSTREAM_WHY, "its maximum block size is %" PRIu32 " now, "
              "and was %" PRIu32, now->block_max, was->block_max);
    return buf;
  }
  return NULL;
}

/* The next entries of the log that may be in flight together. */
static unsigned
next_batch (struct pool *p, uint64_t *seq, struct upstream_command *c)
{
  static const enum upstream_op ops[] = {
    [REPLAY_WRITE] = UPSTREAM_WRITE,
    [REPLAY_ZERO] = UPSTREAM_ZERO,
    [REPLAY_TRIM] = UPSTREAM_TRIM,
  };
  struct replay_item item;
  uint64_t here = *seq, bytes = 0;
  unsigned n = 0, i;

  mutex_lock (&p->lock);
  while (n < REPLAY_BATCH && bytes < REPLAY_BATCH_BYTES &&
         replay_next (p->log, &here, &item)) {
    for (i = 0; i < n; i++)
      if (item.offset < c[i].offset + c[i].count &&
          c[i].offset < item.offset + item.count)
        goto out;
    c[n++] = (struct upstream_command) {
      .op = ops[item.type], .flags = item.flags, .count = item.count,
      .offset = item.offset, .write = item.data,
    };
    bytes += item.data ? item.count : 0;
    *seq = here;
  }
 out:
  mutex_unlock (&p->lock);
  return n;
}

/* How an attempt to connect may end early. */
struct haste {
  int64_t deadline;             /* NEVER: none */
  const struct upstream_ending *ending; /* or NULL */
};

static int64_t
sooner (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

static int
send_log (struct pool *p, const struct haste *haste, char why[UPSTREAM_WHY])
{
  int64_t limit = p->o.request_timeout ? p->o.request_timeout : REPLAY_TIME;
  struct upstream_command c[REPLAY_BATCH];
  struct upstream *u = p->link[0].upstream;
  uint64_t seq = 0, replays = 0, bytes = 0;
  unsigned n, i;

  while ((n = next_batch (p, &seq, c)) > 0) {
    int64_t until = sooner (clock_now () + n * limit, haste->deadline);
    struct upstream_waiter w;

    upstream_waiter_init (&w);
    w.ending = haste->ending;
    for (i = 0; i < n; i++)
      upstream_issue (u, &c[i], &w, until);
    upstream_wait (u, &w, until);
    for (i = 0; i < n; i++) {
      if (c[i].error) {
        snprintf (why, UPSTREAM_WHY, "sending a write of %" PRIu32 " bytes at "
                  "%" PRIu64 " again failed: %s", c[i].count, c[i].offset,
                  strerror (c[i].error));
        errno = c[i].error;
        return -1;
      }
      replays++;
      bytes += c[i].count;
    }
  }
  if (replays)
    pool_note (p, "sent %" PRIu64 " writes of %" PRIu64 " bytes again",
               replays, bytes);
  mutex_lock (&p->lock);
  p->figures.replays += replays;
  p->figures.replay_bytes += bytes;
  mutex_unlock (&p->lock);
  return 0;
}

static int
connect_first (struct pool *p, const struct upstream_target *t, bool again,
               const struct haste *haste, char why[UPSTREAM_WHY])
{
  int64_t until = sooner (clock_now () + p->o.connect_timeout,
                          haste->deadline);
  char promise[UPSTREAM_WHY];
  const char *broken;
  struct upstream *u;

  if (again && t->kind == UPSTREAM_SOCKET_FD) {
    snprintf (why, UPSTREAM_WHY, "the connection is lost, and an open socket "
              "cannot be connected again");
    errno = ESHUTDOWN;
    return -1;
  }
  u = upstream_connect (t, &p->o.upstream, p->o.export_name, false, until,
                        haste->ending, why);
  if (u == NULL)
    return -1;
  if (again) {
    broken = broken_promise (p, upstream_info (u), promise);
    if (broken) {
      upstream_close (u);
      snprintf (why, UPSTREAM_WHY, "refused, for it has changed: %.200s",
                broken);
      errno = ESHUTDOWN;
      return -1;
    }
  }
  else {
    p->info = *upstream_info (u);
    free (p->description);
    p->description = upstream_description (u);
  }
  p->link[0] = (struct link) { .upstream = u };
  p->nlinks = 1;
  p->local = upstream_is_local (u);
  return 0;
}

/* As many as are wanted and possible.
 *
 * Should the server be replaced meanwhile, the first connections lead to the
 * old process and the last to the new one.  That does no harm: the old one can
 * acknowledge nothing any more, since all connections are made before the log
 * or any request is sent, and using its connection ends the incarnation.
 */
static void
connect_more (struct pool *p, const struct upstream_target *t,
              const struct haste *haste)
{
  bool multi = upstream_info (p->link[0].upstream)->can_multi_conn &&
    t->kind != UPSTREAM_COMMAND && t->kind != UPSTREAM_SOCKET_FD;
  /* The first connection answers for extents; the others need only read and
   * write.  Over a network holes in structured replies may save more than
   * system calls cost.
   */
  bool simple = p->local;
  char why[UPSTREAM_WHY];

  while (multi && p->nlinks < p->o.connections) {
    int64_t time = sooner (p->o.connect_timeout, EXTRA_CONNECT_TIME);
    struct upstream *u = upstream_connect (t, &p->o.upstream,
                                           p->o.export_name, simple,
                                           sooner (clock_now () + time,
                                                   haste->deadline),
                                           haste->ending, why);
    struct upstream_info info;
    const char *broken = NULL;

    if (u) {
      info = *upstream_info (u);
      info.can_extents |= simple;
      broken = broken_promise (p, &info, why);
    }
    if (u == NULL || broken) {
      pool_note (p, "using %u connections, another one failed: %s", p->nlinks,
                 broken ? broken : why);
      upstream_close (u);
      return;
    }
    p->link[p->nlinks++] = (struct link) { .upstream = u };
  }
}

static int
connect_set (struct pool *p, const struct upstream_target *t, bool again,
             const struct haste *haste)
{
  char why[UPSTREAM_WHY];
  int err;

  if (connect_first (p, t, again, haste, why) == -1)
    goto error;
  connect_more (p, t, haste);
  if (again && send_log (p, haste, why) == -1)
    goto error;
  return 0;

 error:
  err = errno;
  complain (p, t, why);
  retire_links (p, haste->deadline);
  pool_close_links (p);
  errno = err;
  return -1;
}

void
pool_close_links (struct pool *p)
{
  while (p->nlinks)
    upstream_close (p->link[--p->nlinks].upstream);
}

int
pool_become_connector (struct pool *p, int64_t deadline)
{
  const struct haste haste = {
    .deadline = deadline ? deadline : NEVER,
    .ending = deadline ? NULL : &p->o.ending,
  };
  bool again = p->was_connected;
  int64_t outage = p->outage;
  char name[TARGET_NAME];
  int r = -1, err = 0;
  size_t i;

  p->state = POOL_CONNECTING;
  say_what_is_wrong (p);        /* since the loss */
  if (again)
    p->figures.attempts++;
  mutex_unlock (&p->lock);
  pool_close_links (p);
  for (i = 0; i < p->o.ntargets && r == -1; i++) {
    r = connect_set (p, &p->o.target[i], again, &haste);
    err = errno;
  }
  mutex_lock (&p->lock);

  if (r == 0) {
    pool_note (p, "%u connection%s to %s%s", p->nlinks,
               p->nlinks == 1 ? "" : "s",
               target_name (&p->o.target[i - 1], name),
               again ? ", again" : "");
    if (again && *p->said) {
      pool_say (p, POOL_ERROR, "upstream %s: connected again after "
                "%.1f seconds", name,
                (double) (clock_now () - outage) / NS_PER_S);
      *p->said = '\0';
    }
    p->was_connected = true;
    p->progress = false;
    p->figures.reconnects += again;
    p->figures.connections = p->nlinks;
    p->state = p->interrupted ? POOL_RESEND : POOL_UP;
  }
  else {
    p->state = again ? POOL_DOWN : POOL_NEW;
    p->figures.connections = 0;
    back_off (p);
  }
  pthread_cond_broadcast (&p->changed);
  errno = err;
  return r;
}
