/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on a connection with TLS: through libnbd, which knows how to
 * encrypt.
 *
 * The leader sleeps in poll(2), because nbd_poll(3) would hold libnbd's lock of
 * the handle while it waits.  If the socket takes only a part of a command, the
 * issuer stays to write the rest while another leads (help_write).
 *
 * libnbd checks each data chunk alone, not all chunks together: if two chunks
 * carry the same half, it reports that the read has succeeded.  So we check the
 * chunks ourselves (cover.h).
 *
 * A protocol error that libnbd finds itself ends its connection, and libnbd
 * does not say which command's reply it was.  So a command is blamed for it
 * only if no other was in flight.
 *
 * libnbd must be told of a readable socket only when it is readable: after
 * a futile receive it would queue commands rather than write them.
 *
 * A receiving call of libnbd lasts as long as the server keeps sending.  The
 * watchdog aborts the connection if the call takes too long (watchdog.h).
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <libnbd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/printable.h"
#include "nbd/connection-private.h"
#include "nbd/connection.h"
#include "nbd/newer-libnbd.h"
#include "nbd/wire.h"

/* -------------------------------------------------------- completion */

/* libnbd calls these from inside our calls, so the lock is held. */

/* The reply to this command is invalid.  The connection is given up as soon as
 * libnbd has returned (notice_loss).
 */
static void
violated (struct nbd_command *c, const char *what) NO_TSA
{
  c->violated = true;
  if (!c->connection->killed)
    c->connection->protocol_error = what;
}

/* Has libnbd given up a connection that the server still holds? */
static bool
socket_is_well (struct connection *conn)
{
  char c;
  ssize_t r = recv (conn->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

  return r > 0 || (r == -1 && (errno == EAGAIN || errno == EINTR));
}

static int
completed (void *opaque, int *error) NO_TSA
{
  struct nbd_command *c = opaque;
  struct connection *conn = c->connection;

  c->error = *error;
  /* The server may have begun to send an error; the reply was not complete. */
  if (c->error && (conn->killed || connection_is_drained (conn)))
    c->error = ENOTCONN;
  if (c->op == NBD_READ && c->error == 0 &&
      !cover_whole (&c->cover, c->count))
    violated (c, wire_gap);
  if (c->op == NBD_EXTENTS && c->error == 0 && !c->has_extents)
    violated (c, "it answered a block status request without extents");
  /* Not an NBD error: since 1.18 libnbd uses this errno for a chunk that does
   * not fit the command.  Older versions give the connection up.
   */
  if (c->error == EPROTO && !c->violated)
    violated (c, "it sent an answer that does not fit the request");
  if (c->violated)
    c->error = ENOTCONN;
  else if (c->error == ENOTCONN && !conn->killed &&
           conn->lf.first == conn->lf.last && socket_is_well (conn))
    c->violated = true;
  connection_complete (conn, c);
  return 1;                     /* libnbd may forget it */
}

/* A part of a read has arrived. */
static int
chunk (void *opaque, const void *data, size_t count, uint64_t offset,
       unsigned status, int *error)
{
  struct nbd_command *c = opaque;

  (void) data;                  /* it is already in its place */
  if (status == LIBNBD_READ_ERROR)
    return 0;
  if (++c->chunks > WIRE_MOST_CHUNKS)
    violated (c, wire_chunks);
  else if (count == 0 || offset < c->offset || offset - c->offset > c->count ||
      count > c->count - (offset - c->offset))
    violated (c, "it sent data that was not asked for");
  else if (cover_add (&c->cover, offset - c->offset, count) == 0)
    return 0;
  else if (errno != ENOMEM)
    violated (c, errno == EEXIST ? wire_twice : wire_pieces);
  *error = c->violated ? EPROTO : ENOMEM;
  return -1;
}

static int
extents (void *opaque, const char *metacontext, uint64_t offset,
         const struct nbd_status *status, size_t n, int *error)
{
  struct nbd_command *c = opaque;
  uint64_t begin = offset;
  const char *what = NULL;
  size_t i;

  if (strcmp (metacontext, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
    what = "it sent extents of a context that was not agreed on";
  else if (c->has_extents)
    what = "it sent the extents twice";
  else if (n > WIRE_MOST_EXTENTS)
    what = wire_extents;
  for (i = 0; i < n && what == NULL; i++) {
    what = wire_extent_error (c, begin, status[i].length);
    begin += status[i].length;
  }
  if (what) {
    violated (c, what);
    *error = EPROTO;
    return -1;
  }
  c->has_extents = true;
  if (c->extents (c->opaque, offset, status, n) == -1) {
    *error = errno;
    return -1;
  }
  return 0;
}

_Static_assert (sizeof (struct nbd_status) == sizeof (nbd_extent) &&
                offsetof (struct nbd_status, type) ==
                offsetof (nbd_extent, flags), "libnbd's extents are ours");

static int
extents_64 (void *opaque, const char *metacontext, uint64_t offset,
            nbd_extent *entries, size_t n, int *error)
{
  return extents (opaque, metacontext, offset,
                  (const struct nbd_status *) entries, n, error);
}

/* The same with compact headers: pairs of length and flags. */
static int
extents_32 (void *opaque, const char *metacontext, uint64_t offset,
            uint32_t *entries, size_t n, int *error)
{
  size_t i, most = n / 2 > WIRE_MOST_EXTENTS ? 0 : n / 2; /* too many: none */
  CLEANUP_FREE struct nbd_status *status = calloc (most + 1, sizeof *status);

  if (status == NULL) {
    *error = ENOMEM;
    return -1;
  }
  for (i = 0; i < most; i++)
    status[i] = (struct nbd_status) { entries[2 * i], entries[2 * i + 1] };
  return extents (opaque, metacontext, offset, status, n / 2, error);
}

/* failed: the last call of libnbd has, so it says why. */
static void
notice_loss (struct connection *conn, bool failed) REQUIRES (&conn->lf.lock)
{
  char shown[PRINTABLE_STRING];

  if (atomic_load (&conn->watched.flooded) && conn->protocol_error == NULL)
    conn->protocol_error = "it keeps sending without completing a reply";
  if (!atomic_load (&conn->lost) &&
      (conn->protocol_error || nbd_aio_is_dead (conn->nbd) ||
       nbd_aio_is_closed (conn->nbd))) {
    if (failed && conn->protocol_error == NULL && !conn->killed &&
        socket_is_well (conn)) {
      snprintf (conn->protocol_error_text, sizeof conn->protocol_error_text,
                "%s", printable (connection_libnbd_error (), shown));
      conn->protocol_error = conn->protocol_error_text;
    }
    /* Our duplicate keeps the socket open, so shut it down to tell the server.
     */
    connection_kill_locked (conn);
  }
}

/* ------------------------------------------------------------- issuing */

static int64_t
call_libnbd (struct connection *conn, struct nbd_command *c)
  REQUIRES (&conn->lf.lock)
{
  nbd_completion_callback done = { .callback = completed, .user_data = c };

  switch (c->op) {
  case NBD_READ:
    return nbd_aio_pread_structured (conn->nbd, c->read, c->count, c->offset,
                                     (nbd_chunk_callback) {
                                       .callback = chunk, .user_data = c },
                                     done, c->flags);
  case NBD_WRITE:
    return nbd_aio_pwrite (conn->nbd, c->write, c->count, c->offset, done,
                           c->flags);
  case NBD_ZERO:
    return nbd_aio_zero (conn->nbd, c->count, c->offset, done, c->flags);
  case NBD_TRIM:
    return nbd_aio_trim (conn->nbd, c->count, c->offset, done, c->flags);
  case NBD_FLUSH:
    return nbd_aio_flush (conn->nbd, done, c->flags);
  case NBD_CACHE:
    return nbd_aio_cache (conn->nbd, c->count, c->offset, done, c->flags);
  case NBD_EXTENTS:
    if (conn->extended)
      return nbd_aio_block_status_64 (conn->nbd, c->count, c->offset,
                                      (nbd_extent64_callback) {
                                        .callback = extents_64,
                                        .user_data = c },
                                      done, c->flags);
    return nbd_aio_block_status (conn->nbd, c->count, c->offset,
                                 (nbd_extent_callback) {
                                   .callback = extents_32, .user_data = c },
                                 done, c->flags);
  }
  abort ();
}

static void
issue (struct connection *conn, struct nbd_command *c,
       struct lf_waiter *w, int64_t until)
{
  (void) until;                 /* libnbd does not block */

  lf_lock (&conn->lf);
  lf_add (&conn->lf, &c->lf, w);
  if (conn->killed || atomic_load (&conn->lost)) {
    c->error = ENOTCONN;
    connection_complete (conn, c);
  }
  else {
    int64_t cookie = call_libnbd (conn, c);

    c->cookie = cookie;
    if (cookie == -1) {
      int err = nbd_get_errno ();

      notice_loss (conn, true);
      c->error = atomic_load (&conn->lost) ? ENOTCONN : err ? err : EIO;
      connection_complete (conn, c);
    }
    else
      notice_loss (conn, false);
  }
  lf_unlock (&conn->lf);
}

/* ------------------------------------------------------------- waiting */

/* Tell libnbd what poll(2) returned, as the thread of this waiter. */
static void
dispatch (struct connection *conn, struct lf_waiter *w, short revents,
          int64_t until) REQUIRES (&conn->lf.lock)
{
  unsigned direction = nbd_aio_get_direction (conn->nbd);
  int r = 0;

  watchdog_begin (&conn->watched, until, w->ending);
  if ((direction & LIBNBD_AIO_DIRECTION_READ) && (revents & ~POLLOUT))
    r = nbd_aio_notify_read (conn->nbd);
  else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) && (revents & ~POLLIN))
    r = nbd_aio_notify_write (conn->nbd);
  watchdog_end (&conn->watched);
  notice_loss (conn, r == -1);
}

/* Sleep in poll(2) without the lock, as the thread of this waiter, and check
 * for the program's end.
 */
static short
wait_for_socket (struct connection *conn, struct lf_waiter *w,
                 short events, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  struct pollfd p = { .fd = conn->fd, .events = events };
  bool leave;
  int r;

  lf_unlock (&conn->lf);
  r = poll (&p, 1, clock_poll_timeout (next_tick (ENDING_TICK, until)));
  leave = connection_is_drained (conn) || lf_ask_ending (w);
  lf_lock (&conn->lf);
  if (leave)
    connection_abort_locked (conn);
  return r > 0 ? p.revents : 0;
}

static void
lead (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  conn->lf.leader = w;
  conn->lf.asked = NULL;
  while (w->pending) {
    short events = POLLIN, revents;

    if (nbd_aio_get_direction (conn->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
      events |= POLLOUT;
    revents = wait_for_socket (conn, w, events, until);
    if (revents)
      dispatch (conn, w, revents, until);
    /* Checked by the clock, whatever has arrived. */
    if (until != NEVER && clock_now () >= until)
      break;
  }
  conn->lf.leader = NULL;
}

/* The socket did not accept all issued data, and the leader may sleep until it
 * can be read.
 */
static void
help_write (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  conn->writing = w->busy = true;
  if (conn->lf.asked == w)
    conn->lf.asked = NULL;
  while (!atomic_load (&conn->lost) &&
         (nbd_aio_get_direction (conn->nbd) & LIBNBD_AIO_DIRECTION_WRITE)) {
    short revents = wait_for_socket (conn, w, POLLOUT, until);

    if (revents & POLLOUT)
      dispatch (conn, w, POLLOUT, until);
    else if (revents)
      break;
    if (until != NEVER && clock_now () >= until)
      break;
  }
  conn->writing = w->busy = false;
}

static bool
work (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  if (conn->lf.leader == NULL)
    lead (conn, w, until);
  else if (!conn->writing && !atomic_load (&conn->lost) &&
           (nbd_aio_get_direction (conn->nbd) & LIBNBD_AIO_DIRECTION_WRITE))
    help_write (conn, w, until);
  else
    return false;
  return true;
}

bool
transport_tls_disconnect (struct nbd_handle *nbd, int64_t until)
{
  if (!nbd_aio_is_ready (nbd) || nbd_aio_disconnect (nbd, 0) == -1)
    return false;
  while (!nbd_aio_is_dead (nbd) && !nbd_aio_is_closed (nbd) &&
         clock_now () < until)
    if (nbd_poll (nbd, clock_poll_timeout (until)) == -1)
      break;
  return nbd_aio_is_dead (nbd) || nbd_aio_is_closed (nbd);
}

static bool
disconnect (struct connection *conn, int64_t until)
{
  return transport_tls_disconnect (conn->nbd, until);
}

static const struct transport transport = {
  .issue = issue, .work = work, .disconnect = disconnect,
};

void
transport_tls_init (struct connection *conn)
{
  atomic_init (&conn->drain_until, NEVER);
  watchdog_add (&conn->watched, conn->fd, &conn->drain_until);
  conn->tls = true;
  conn->transport = &transport;
}

void
transport_tls_free (struct connection *conn)
{
  if (conn->tls)
    watchdog_remove (&conn->watched);
}
