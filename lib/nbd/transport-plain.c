/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on a connection without TLS: straight through the socket.
 *
 * Design
 *
 * One thread sends and one receives, and neither holds the lock while it does.
 * If another thread is sending, a thread that issues a command leaves it in the
 * queue and waits; the sender's next system call sends everything in the queue.
 * So no thread waits for its turn to send.  A sender that has sent much for
 * others asks one of them to continue.
 *
 * A lone request costs two system calls, a sendmsg and a recvmsg.  The socket
 * has a time limit, so the recvmsg returns after ENDING_TICK, and its thread
 * can check whether it has to leave.  It checks by the clock, because a server
 * may send a byte now and then.  The sendmsg does not block: a server that
 * reads a little now and then could keep its thread for ever.  So a thread that
 * must wait for room does so in poll(2).
 *
 * A sender may wait for room.  That cannot deadlock with a server that waits
 * for us to receive: its replies are to commands that were sent in full.  The
 * thread of such a command waits, so some thread leads (U1); or it is the
 * sender itself, which sends for a thread that waits.  Only the log
 * (pool-replay.c) and a write that was started (pool.h) are sent by a thread
 * that does not wait yet, and the replies to writes fit into any socket's
 * buffer.
 *
 * Invariants, besides those of connection.h
 *
 *   S1  Only the leader receives.
 *   S2  While the sender uses a command, it is not complete.  If its reply
 *       comes in that time, it is `answered`, and the sender completes it.
 *   S3  If commands are in the queue, some thread sends, or a thread that waits
 *       and does not lead has been asked to.  If another thread that issues, or
 *       waits without leading, comes first, it sends.
 *   S4  After a loss, the leader completes all commands once the sender has
 *       ended.  The leader's system call ends when the server closes its end in
 *       response.  Both also check by themselves: the leader every ENDING_TICK,
 *       a sender that waits for room every SENDER_TICK.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "base/clock.h"
#include "nbd/connection-private.h"
#include "nbd/connection.h"
#include "nbd/wire.h"

/* The limits of one system call's data, unless it is a single command, and of
 * what one thread sends before it asks another to continue; in commands and in
 * bytes.
 */
#define BATCH 16
#define BATCH_BYTES 65536
#define TURN_BYTES 262144

/* How often a sender that waits for room checks whether the connection is lost:
 * shutdown(2) does not wake a poll(2) for room in a Unix socket.
 */
#define SENDER_TICK (100 * NS_PER_MS)

/* Commands that were sent, indexed by the low bits of their cookie. */
#define BUCKETS 64

struct plain {
  struct wire wire;             /* the leader's */

  /* Guarded by lf.lock. */
  uint64_t cookie;              /* of the last command */
  struct nbd_command *bucket[BUCKETS];
  struct nbd_command *unsent;   /* the first; the later ones are too */
  bool sending;                 /* a thread is in send_queued */
  pthread_cond_t sent;          /* that ended, after a loss */
};

/* -------------------------------------------------- commands in flight */

/* The command is about to be sent, and may be answered from now on. */
static void
remember (struct plain *plain, struct nbd_command *c)
{
  struct nbd_command **bucket;

  c->cookie = ++plain->cookie;
  bucket = &plain->bucket[c->cookie % BUCKETS];
  c->next_bucket = *bucket;
  *bucket = c;
}

static struct nbd_command **
look_up (struct plain *plain, uint64_t cookie)
{
  struct nbd_command **c;

  for (c = &plain->bucket[cookie % BUCKETS]; *c; c = &(*c)->next_bucket)
    if ((*c)->cookie == cookie)
      break;
  return c;
}

/* Nobody can find this command any more. */
static void
forget (struct plain *plain, struct nbd_command *c)
{
  *look_up (plain, c->cookie) = c->next_bucket;
}

static struct nbd_command *
find (void *opaque, uint64_t cookie)
{
  struct connection *conn = opaque;
  struct nbd_command *c;

  mutex_lock (&conn->lf.lock);
  c = *look_up (conn->plain, cookie);
  mutex_unlock (&conn->lf.lock);
  return c;
}

static void
answered (void *opaque, struct nbd_command *c)
{
  struct connection *conn = opaque;

  mutex_lock (&conn->lf.lock);
  forget (conn->plain, c);
  if (c->sending) {
    c->answered = true;
    c->lf.waiter->answered++;
  }
  else
    connection_complete (conn, c);
  /* We lead, so U1 holds.  The waiters whose commands are complete are told at
   * the end.
   */
  mutex_unlock (&conn->lf.lock);
}

/* For the leader, when nobody sends (S4). */
static void
fail_all (struct connection *conn) REQUIRES (&conn->lf.lock)
{
  struct nbd_command *c, *next;

  while (conn->plain->sending)
    pthread_cond_wait (&conn->plain->sent, &conn->lf.lock.m);
  conn->plain->unsent = NULL;
  memset (conn->plain->bucket, 0, sizeof conn->plain->bucket);
  for (c = nbd_command_of (conn->lf.first); c; c = next) {
    next = nbd_command_of (c->lf.next);
    c->error = ENOTCONN;
    connection_complete (conn, c);
  }
}

/* ------------------------------------------------------------- sending */

/* The pieces of up to BATCH commands. */
struct batch {
  unsigned n;
  size_t bytes;
  struct nbd_command *c[BATCH];
  unsigned char header[BATCH][WIRE_REQUEST];
  struct iovec piece[2 * BATCH];
  unsigned pieces;
};

static void
gather (struct plain *plain, struct batch *b)
{
  struct nbd_command *c;

  b->n = b->pieces = 0;
  b->bytes = 0;
  for (c = plain->unsent; c && b->n < BATCH;
       c = nbd_command_of (c->lf.next)) {
    size_t payload = c->op == NBD_WRITE ? c->count : 0, header;

    if (b->n && b->bytes + payload > BATCH_BYTES)
      break;
    c->sending = true;
    remember (plain, c);
    header = wire_request (b->header[b->n], plain->wire.headers, c, c->cookie);
    b->piece[b->pieces++] = (struct iovec) { b->header[b->n], header };
    if (payload)
      b->piece[b->pieces++] = (struct iovec) { (void *) c->write, payload };
    b->c[b->n++] = c;
    b->bytes += header + payload;
  }
  plain->unsent = c;
}

/* Must the thread leave, whatever the server does? */
static bool
time_to_leave (struct connection *conn, struct lf_waiter *w)
{
  if (lf_ask_ending (w))
    connection_drain_until (conn, 0);
  return connection_is_drained (conn);
}

static int
wait_for_room (struct connection *conn, struct lf_waiter *w, int64_t until)
{
  struct pollfd p = { .fd = conn->fd, .events = POLLOUT };

  while (!atomic_load (&conn->lost) && !time_to_leave (conn, w) &&
         (until == NEVER || clock_now () < until))
    if (poll (&p, 1, clock_poll_timeout (next_tick (SENDER_TICK, until))) > 0)
      return 0;
  return -1;
}

/* Send everything, as the thread of this waiter.  Returns -1 if the connection
 * can no longer be used.
 */
static int
send_all (struct connection *conn, struct iovec *piece, unsigned n,
          struct lf_waiter *w, int64_t until)
{
  while (n) {
    struct msghdr m = { .msg_iov = piece, .msg_iovlen = n };
    ssize_t r = sendmsg (conn->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (r == -1) {
      if (errno != EINTR &&
          (errno != EAGAIN || wait_for_room (conn, w, until) == -1))
        return -1;
      continue;
    }
    while (n && (size_t) r >= piece->iov_len) {
      r -= piece->iov_len;
      piece++;
      n--;
    }
    if (n) {
      piece->iov_base = (char *) piece->iov_base + r;
      piece->iov_len -= r;
    }
  }
  return 0;
}

/* The waiter that could continue to send, or NULL.  Not the leader, which
 * sleeps in a system call, perhaps until its own command is sent; nor a thread
 * that does not wait yet.
 */
static struct lf_waiter *
next_sender (struct connection *conn) REQUIRES (&conn->lf.lock)
{
  struct nbd_command *c = conn->plain->unsent;

  while (c && (!c->lf.waiter->waits || c->lf.waiter == conn->lf.leader))
    c = nbd_command_of (c->lf.next);
  return c ? c->lf.waiter : NULL;
}

/* Send the queued commands, as the thread of this waiter. */
static void
send_queued (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  struct plain *plain = conn->plain;
  size_t bytes = 0;
  struct batch b;
  unsigned i;
  int r;

  plain->sending = w->busy = true;
  if (conn->lf.asked == w)
    conn->lf.asked = NULL;
  while (plain->unsent && !atomic_load (&conn->lost) &&
         (bytes < TURN_BYTES || next_sender (conn) == NULL)) {
    gather (plain, &b);
    lf_unlock (&conn->lf);
    r = send_all (conn, b.piece, b.pieces, w, until);
    lf_lock (&conn->lf);
    if (r == -1)
      connection_kill_locked (conn);
    for (i = 0; i < b.n; i++) {
      b.c[i]->sending = false;
      if (b.c[i]->answered) {
        b.c[i]->lf.waiter->answered--;
        connection_complete (conn, b.c[i]);
      }
    }
    bytes += b.bytes;
  }
  plain->sending = w->busy = false;
  if (atomic_load (&conn->lost))
    pthread_cond_broadcast (&plain->sent);
  else if (plain->unsent)
    lf_ask (next_sender (conn));
}

static void
issue (struct connection *conn, struct nbd_command *c,
       struct lf_waiter *w, int64_t until)
{
  c->sending = c->answered = false;
  lf_lock (&conn->lf);
  lf_add (&conn->lf, &c->lf, w);
  if (atomic_load (&conn->lost)) {
    c->error = ENOTCONN;
    connection_complete (conn, c);
  }
  else {
    if (conn->plain->unsent == NULL)
      conn->plain->unsent = c;
    if (!conn->plain->sending)
      send_queued (conn, w, until);
  }
  lf_unlock (&conn->lf);
}

/* ------------------------------------------------------------- waiting */

/* Receive what has arrived, without the lock.  This takes at most ENDING_TICK,
 * even with MSG_WAITALL.  Returns 0; or -1 if the connection can no longer be
 * used.
 */
static int
receive (struct connection *conn, int64_t until)
{
  struct wire *wire = &conn->plain->wire;
  struct iovec piece[2];
  struct msghdr m = { .msg_iov = piece };
  int flags = 0;
  ssize_t r;
  bool all;

  m.msg_iovlen = wire_room (wire, piece, &all);
  /* While `until` is further away, the socket's own time limit suffices. */
  if (until != NEVER && until - clock_now () <= ENDING_TICK) {
    struct pollfd p = { .fd = conn->fd, .events = POLLIN };

    flags = MSG_DONTWAIT;
    if (poll (&p, 1, clock_poll_timeout (until)) <= 0)
      return 0;
  }
  else if (all)
    flags = MSG_WAITALL;
  r = recvmsg (conn->fd, &m, flags);
  if (r > 0)
    return wire_took (wire, r);
  return r == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* The server has broken the protocol.  If the reply names no command and only
 * one is in flight, that command is blamed.
 */
static void
note_protocol_error (struct connection *conn) REQUIRES (&conn->lf.lock)
{
  conn->protocol_error = conn->plain->wire.protocol_error;
  if (conn->lf.first && conn->lf.first == conn->lf.last)
    nbd_command_of (conn->lf.first)->violated = true;
}

static void
lead (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  conn->lf.leader = w;
  conn->lf.asked = NULL;
  while (w->pending > w->answered) {
    bool leave;
    int r;

    if (atomic_load (&conn->lost)) {
      fail_all (conn);
      break;
    }
    lf_unlock (&conn->lf);
    r = receive (conn, until);
    leave = time_to_leave (conn, w);
    lf_lock (&conn->lf);
    if (r == -1) {
      if (!conn->killed && conn->plain->wire.protocol_error)
        note_protocol_error (conn);
      connection_kill_locked (conn);
    }
    else if (leave)
      connection_abort_locked (conn);
    else if (until != NEVER && clock_now () >= until)
      break;
  }
  conn->lf.leader = NULL;
}

static bool
work (struct connection *conn, struct lf_waiter *w, int64_t until)
  REQUIRES (&conn->lf.lock)
{
  if (conn->plain->unsent && !conn->plain->sending &&
      !atomic_load (&conn->lost))
    send_queued (conn, w, until);
  else if (conn->lf.leader == NULL && w->pending > w->answered)
    lead (conn, w, until);
  else
    return false;
  return true;
}

static bool
disconnect (struct connection *conn, int64_t until)
{
  unsigned char header[WIRE_REQUEST];
  size_t n = wire_disconnect (header, conn->plain->wire.headers);

  return send (conn->fd, header, n, MSG_NOSIGNAL | MSG_DONTWAIT) ==
    (ssize_t) n && connection_drain (conn, NULL, until);
}

/* -------------------------------------------------------------- making */

static const struct wire_owner owner = { .find = find, .answered = answered };

static const struct transport transport = {
  .issue = issue, .work = work, .disconnect = disconnect,
};

int
transport_plain_init (struct connection *conn, bool structured)
{
  const struct timeval tick = { .tv_sec = ENDING_TICK / NS_PER_S };

  if (setsockopt (conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) == -1)
    return -1;
  conn->plain = calloc (1, sizeof *conn->plain);
  if (conn->plain == NULL)
    return -1;
  atomic_init (&conn->drain_until, NEVER);
  wire_init (&conn->plain->wire, conn->extended ? WIRE_EXTENDED
             : structured ? WIRE_STRUCTURED : WIRE_SIMPLE, &owner, conn);
  if (pthread_cond_init (&conn->plain->sent, NULL))
    abort ();
  conn->transport = &transport;
  return 0;
}

void
transport_plain_free (struct connection *conn)
{
  if (conn->plain == NULL)
    return;
  pthread_cond_destroy (&conn->plain->sent);
  free (conn->plain);
}
