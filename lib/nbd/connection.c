/* SPDX-License-Identifier: BSD-3-Clause */
/* What both transports have in common; connection.h has the design. */

#include <config.h>

#include <errno.h>
#include <poll.h>

#include <sys/socket.h>

#include "nbd/connection-private.h"
#include "nbd/connection.h"

void
connection_issue (struct connection *conn, struct nbd_command *c,
                  struct lf_waiter *w, int64_t until)
{
  c->connection = conn;
  c->error = 0;
  c->violated = c->has_extents = false;
  c->cover = (struct cover) { .n = 0 };
  c->chunks = c->error_bytes = 0;
  conn->transport->issue (conn, c, w, until);
}

bool
connection_wait (struct connection *conn, struct lf_waiter *w, int64_t until)
{
  bool in_time = true, ends;

  lf_lock (&conn->lf);
  w->waits = true;
  while (w->pending) {
    if (until != NEVER && clock_now () >= until) {
      connection_kill_locked (conn);
      until = NEVER;
      in_time = false;
    }
    if (conn->transport->work (conn, w, until))
      continue;
    lf_unlock (&conn->lf);
    if (lf_follow (w, until, &ends))
      return in_time;
    lf_lock (&conn->lf);
    if (conn->lf.asked == w)
      conn->lf.asked = NULL;
    if (ends)
      connection_abort_locked (conn);
  }
  lf_unlock (&conn->lf);
  /* Who completed our command may not have stored DONE yet. */
  while (!lf_sleep (w, NEVER))
    ;
  return in_time;
}

void
connection_drain_until (struct connection *conn, int64_t until)
{
  int64_t old = atomic_load (&conn->drain_until);

  while (until < old &&
         !atomic_compare_exchange_weak (&conn->drain_until, &old, until))
    ;
}

void
connection_kill_locked (struct connection *conn)
{
  if (conn->killed)
    return;
  conn->killed = true;
  atomic_store (&conn->lost, true);
  connection_drain_until (conn, clock_now () + conn->drain_time);
  shutdown (conn->fd, SHUT_WR);
}

void
connection_kill (struct connection *conn)
{
  lf_lock (&conn->lf);
  connection_kill_locked (conn);
  lf_unlock (&conn->lf);
}

void
connection_abort_locked (struct connection *conn)
{
  conn->killed = true;
  atomic_store (&conn->lost, true);
  connection_drain_until (conn, 0);
  shutdown (conn->fd, SHUT_RDWR);
}

void
connection_retire (struct connection *conn, int64_t until)
{
  connection_drain_until (conn, until);
  /* Before the lock, which the leader may hold for long (watchdog.h). */
  if (connection_is_drained (conn))
    shutdown (conn->fd, SHUT_RDWR);
  lf_lock (&conn->lf);
  if (connection_is_drained (conn))
    connection_abort_locked (conn);
  lf_unlock (&conn->lf);
}

bool
connection_drain (struct connection *conn, const struct ending *e,
                  int64_t until)
{
  unsigned char rest[4096];

  while (clock_now () < until && !program_ends (e)) {
    struct pollfd p = { .fd = conn->fd, .events = POLLIN };
    ssize_t r;

    poll (&p, 1, clock_poll_timeout (next_tick (ENDING_TICK, until)));
    r = recv (conn->fd, rest, sizeof rest, MSG_DONTWAIT);
    if (r == 0 || (r == -1 && errno != EINTR && errno != EAGAIN))
      return true;
  }
  return false;
}

bool
connection_is_lost (const struct connection *conn)
{
  return atomic_load (&conn->lost);
}

const char *
connection_take_protocol_error (struct connection *conn)
{
  const char *error;

  lf_lock (&conn->lf);
  error = conn->protocol_error;
  conn->protocol_error = NULL;
  lf_unlock (&conn->lf);
  return error;
}

uint64_t
connection_extents_max (const struct connection *conn)
{
  return conn->extended ? INT64_MAX
    : UINT32_MAX & ~(uint64_t) (conn->info.block_min - 1);
}

const struct bdev_info *
connection_info (const struct connection *conn)
{
  return &conn->info;
}
