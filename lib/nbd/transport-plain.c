/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on a connection without TLS: straight through the socket.
 *
 * Design
 *
 * One thread sends, one receives, and neither holds the lock meanwhile.  Who
 * issues a command while another sends leaves it in the queue and goes to wait;
 * the sender takes what has gathered there with its next system call.  So
 * nobody waits for his turn to send.  A sender that has done much for others
 * asks one of them to go on.
 *
 * A request that is alone costs two system calls, a sendmsg and a recvmsg.
 * Those that block return after ENDING_TICK, by an option of the socket, if
 * nothing happens, so that their threads can ask whether it is time to leave.
 *
 * Why sending may block: the server may be waiting for us to receive.  Its
 * replies are to commands that were sent as a whole.  The thread of such
 * a command waits, and then one of those leads (U1), or it is the sender, who
 * sends for a thread that waits.  Only the log (reconnect.c) is sent by
 * a thread that does not wait yet, and the replies to its writes fit into any
 * socket's buffer.
 *
 * Invariants, besides those of upstream.h
 *
 *   S1  Only the leader takes in replies.
 *   S2  While the sender uses a command, it is not complete.  If it is answered
 *       meanwhile, it is `settling`, and the sender completes it.
 *   S3  If commands are in the queue, somebody sends, or a thread that does not
 *       lead has been asked to.
 *   S4  After a loss the leader completes all commands, when the sender has
 *       ended.  shutdown(2) ends the sender's system call, unless it is
 *       a poll(2); the leader's ends when the server closes its end in answer.
 *       Both also look by themselves, every ENDING_TICK; but a server that
 *       reads slowly may keep a sender in one system call, which pool_cut_off
 *       ends.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "clock.h"
#include "upstream.h"
#include "upstream-private.h"
#include "wire.h"

/* How much is sent with one system call, if it is more than one command, and
 * before another thread is asked to go on; in commands and in bytes.
 */
#define BATCH 16
#define BATCH_BYTES 65536
#define TURN_BYTES 262144

/* Commands that were sent, by the low bits of their cookie. */
#define BUCKETS 64

struct socket_way {
  struct wire wire;             /* the leader's */

  /* Guarded by the crew's lock. */
  uint64_t cookie;              /* of the last command */
  struct upstream_command *bucket[BUCKETS];
  struct upstream_command *unsent; /* the first; the later ones are too */
  bool sending;                 /* somebody is in send_queued */
  pthread_cond_t sent;          /* that ended, after a loss */
};

/* -------------------------------------------------- commands in flight */

/* It is about to be sent, and may be answered from now on. */
static void
remember (struct socket_way *own, struct upstream_command *c)
{
  struct upstream_command **bucket;

  c->cookie = ++own->cookie;
  bucket = &own->bucket[c->cookie % BUCKETS];
  c->next_bucket = *bucket;
  *bucket = c;
}

static struct upstream_command **
look_up (struct socket_way *own, uint64_t cookie)
{
  struct upstream_command **c;

  for (c = &own->bucket[cookie % BUCKETS]; *c; c = &(*c)->next_bucket)
    if ((*c)->cookie == cookie)
      break;
  return c;
}

/* Nobody finds it any more. */
static void
forget (struct socket_way *own, struct upstream_command *c)
{
  *look_up (own, c->cookie) = c->next_bucket;
}

static struct upstream_command *
find (void *opaque, uint64_t cookie)
{
  struct upstream *u = opaque;
  struct upstream_command *c;

  mutex_lock (&u->crew.lock);
  c = *look_up (u->own, cookie);
  mutex_unlock (&u->crew.lock);
  return c;
}

static void
answered (void *opaque, struct upstream_command *c)
{
  struct upstream *u = opaque;

  mutex_lock (&u->crew.lock);
  forget (u->own, c);
  if (c->sending) {
    c->settling = true;
    c->waiter->settling++;
  }
  else
    crew_complete (&u->crew, c);
  /* We lead, so U1 holds; and who is done is told of it at the end. */
  mutex_unlock (&u->crew.lock);
}

/* The leader's, when nobody sends (S4). */
static void
fail_all (struct upstream *u) REQUIRES (&u->crew.lock)
{
  struct upstream_command *c, *next;

  while (u->own->sending)
    pthread_cond_wait (&u->own->sent, &u->crew.lock.m);
  u->own->unsent = NULL;
  memset (u->own->bucket, 0, sizeof u->own->bucket);
  for (c = u->crew.first; c; c = next) {
    next = c->next;
    c->error = ENOTCONN;
    crew_complete (&u->crew, c);
  }
}

/* ------------------------------------------------------------- sending */

/* The pieces of up to BATCH commands. */
struct batch {
  unsigned n;
  size_t bytes;
  struct upstream_command *c[BATCH];
  unsigned char header[BATCH][WIRE_REQUEST];
  struct iovec piece[2 * BATCH];
  unsigned pieces;
};

static void
gather (struct socket_way *own, struct batch *b)
{
  struct upstream_command *c;

  b->n = b->pieces = 0;
  b->bytes = 0;
  for (c = own->unsent; c && b->n < BATCH; c = c->next) {
    size_t payload = c->op == UPSTREAM_WRITE ? c->count : 0;

    if (b->n && b->bytes + payload > BATCH_BYTES)
      break;
    c->sending = true;
    remember (own, c);
    wire_request (b->header[b->n], c, c->cookie);
    b->piece[b->pieces++] = (struct iovec) { b->header[b->n], WIRE_REQUEST };
    if (payload)
      b->piece[b->pieces++] = (struct iovec) { (void *) c->write, payload };
    b->c[b->n++] = c;
    b->bytes += WIRE_REQUEST + payload;
  }
  own->unsent = c;
}

/* Nothing happens on the socket: is it time to leave? */
static bool
time_to_leave (struct upstream *u, const struct upstream_waiter *w)
{
  if (upstream_ends (w->ending))
    upstream_cut_off_at (u, 0);
  return upstream_cut_off (u);
}

static int
wait_for_room (struct upstream *u, const struct upstream_waiter *w,
               int64_t until)
{
  struct pollfd p = { .fd = u->fd, .events = POLLOUT };

  while (clock_now () < until) {
    if (poll (&p, 1, clock_poll_timeout (next_tick (ENDING_TICK, until))) > 0)
      return 0;
    if (atomic_load (&u->lost) || time_to_leave (u, w))
      break;
  }
  errno = ETIMEDOUT;
  return -1;
}

/* Send all of it, as the thread of this waiter; or return -1: the connection is
 * of no more use.
 */
static int
send_all (struct upstream *u, struct iovec *piece, unsigned n,
          const struct upstream_waiter *w, int64_t until)
{
  int flags = MSG_NOSIGNAL | (until == NEVER ? 0 : MSG_DONTWAIT);

  while (n) {
    struct msghdr m = { .msg_iov = piece, .msg_iovlen = n };
    ssize_t r = sendmsg (u->fd, &m, flags);

    if (r == -1) {
      if (errno != EINTR &&
          (errno != EAGAIN || wait_for_room (u, w, until) == -1))
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
      if (upstream_cut_off (u))
        return -1;
    }
  }
  return 0;
}

/* Who could go on to send.  Not the leader: he sleeps in a system call, perhaps
 * until his own command is sent.
 */
static struct upstream_waiter *
next_sender (struct upstream *u) REQUIRES (&u->crew.lock)
{
  struct upstream_command *c = u->own->unsent;

  while (c && c->waiter == u->crew.leader)
    c = c->next;
  return c ? c->waiter : NULL;
}

/* Send what is in the queue, as the thread of this waiter. */
static void
send_queued (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  struct socket_way *own = u->own;
  size_t bytes = 0;
  struct batch b;
  unsigned i;
  int r;

  own->sending = w->busy = true;
  if (u->crew.asked == w)
    u->crew.asked = NULL;
  while (own->unsent && !atomic_load (&u->lost) &&
         (bytes < TURN_BYTES || next_sender (u) == NULL)) {
    gather (own, &b);
    crew_unlock (&u->crew);
    r = send_all (u, b.piece, b.pieces, w, until);
    crew_lock (&u->crew);
    if (r == -1)
      upstream_kill_locked (u);
    for (i = 0; i < b.n; i++) {
      b.c[i]->sending = false;
      if (b.c[i]->settling) {
        b.c[i]->waiter->settling--;
        crew_complete (&u->crew, b.c[i]);
      }
    }
    bytes += b.bytes;
  }
  own->sending = w->busy = false;
  if (atomic_load (&u->lost))
    pthread_cond_broadcast (&own->sent);
  else if (own->unsent)
    crew_ask (next_sender (u));
}

static void
issue (struct upstream *u, struct upstream_command *c,
       struct upstream_waiter *w, int64_t until)
{
  c->sending = c->settling = false;
  c->got = 0;
  crew_lock (&u->crew);
  crew_add (&u->crew, c, w);
  if (atomic_load (&u->lost)) {
    c->error = ENOTCONN;
    crew_complete (&u->crew, c);
  }
  else {
    if (u->own->unsent == NULL)
      u->own->unsent = c;
    if (!u->own->sending)
      send_queued (u, w, until);
  }
  crew_unlock (&u->crew);
}

/* ------------------------------------------------------------- waiting */

/* Take in what there is, without the lock, as the thread of this waiter.
 * Returns 0; or -1 if the connection is of no more use.
 */
static int
receive (struct upstream *u, const struct upstream_waiter *w, int64_t until)
{
  struct wire *wire = &u->own->wire;
  struct iovec piece[2];
  struct msghdr m = { .msg_iov = piece };
  int flags = 0;
  ssize_t r;
  bool all;

  m.msg_iovlen = wire_room (wire, piece, &all);
  /* Until shortly before that the socket's own limit does. */
  if (until != NEVER && until - clock_now () <= ENDING_TICK) {
    struct pollfd p = { .fd = u->fd, .events = POLLIN };

    flags = MSG_DONTWAIT;
    if (poll (&p, 1, clock_poll_timeout (until)) <= 0)
      return time_to_leave (u, w) ? -1 : 0;
  }
  else if (all)
    flags = MSG_WAITALL;
  r = recvmsg (u->fd, &m, flags);
  if (r > 0)
    return wire_took (wire, r);
  if (r == -1 && errno == EAGAIN)
    return time_to_leave (u, w) ? -1 : 0;
  return r == -1 && errno == EINTR ? 0 : -1;
}

static void
lead (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  u->crew.leader = w;
  u->crew.asked = NULL;
  while (w->pending > w->settling) {
    int r;

    if (atomic_load (&u->lost)) {
      fail_all (u);
      break;
    }
    crew_unlock (&u->crew);
    r = receive (u, w, until);
    crew_lock (&u->crew);
    if (r == -1) {
      if (!u->killed)
        u->wrong = u->own->wire.wrong;
      upstream_kill_locked (u);
    }
    else if (upstream_cut_off (u))
      upstream_cut_locked (u);
    else if (until != NEVER && clock_now () >= until)
      break;
  }
  u->crew.leader = NULL;
}

static bool
work (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  if (u->own->unsent && !u->own->sending && !atomic_load (&u->lost))
    send_queued (u, w, until);
  else if (u->crew.leader == NULL && w->pending > w->settling)
    lead (u, w, until);
  else
    return false;
  return true;
}

static bool
goodbye (struct upstream *u, int64_t until)
{
  unsigned char header[WIRE_REQUEST];

  wire_disconnect (header);
  return send (u->fd, header, sizeof header, MSG_NOSIGNAL | MSG_DONTWAIT) ==
    sizeof header && upstream_await_end (u, NULL, until);
}

/* -------------------------------------------------------------- making */

static const struct wire_owner owner = { .find = find, .answered = answered };

static const struct upstream_way way = {
  .issue = issue, .work = work, .goodbye = goodbye,
};

int
over_socket_init (struct upstream *u, bool structured)
{
  const struct timeval tick = { .tv_sec = ENDING_TICK / NS_PER_S };

  if (setsockopt (u->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) == -1 ||
      setsockopt (u->fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof tick) == -1)
    return -1;
  u->own = calloc (1, sizeof *u->own);
  if (u->own == NULL)
    return -1;
  atomic_init (&u->cut_off, NEVER);
  wire_init (&u->own->wire, structured, &owner, u);
  if (pthread_cond_init (&u->own->sent, NULL))
    abort ();
  u->way = &way;
  return 0;
}

void
over_socket_free (struct upstream *u)
{
  if (u->own == NULL)
    return;
  pthread_cond_destroy (&u->own->sent);
  free (u->own);
}
