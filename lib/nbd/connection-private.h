/* SPDX-License-Identifier: BSD-3-Clause */
/* What connect.c and the two ways to the server share of a connection. */

#ifndef MNBD_UPSTREAM_PRIVATE_H
#define MNBD_UPSTREAM_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "clock.h"
#include "crew.h"
#include "upstream.h"

struct nbd_handle;

/* A way to the server, after the handshake: it keeps U1 to U3. */
struct upstream_way {
  void (*issue) (struct upstream *u, struct upstream_command *c,
                 struct upstream_waiter *w, int64_t until);
  /* With the lock held, which is given up meanwhile: lead, or send, if that is
   * to be done by the thread of this waiter now.  Returns false if not.
   */
  bool (*work) (struct upstream *u, struct upstream_waiter *w, int64_t until);
  /* Say goodbye and wait for the server to close its end (upstream_await_end).
   * Returns whether it has.  Wants to be alone.
   */
  bool (*goodbye) (struct upstream *u, int64_t until);
};

struct upstream {
  const struct upstream_way *way;
  struct upstream_info info;    /* does not change */
  int fd;                       /* the socket, a descriptor of our own */
  struct nbd_handle *nbd;       /* over libnbd: guarded by the lock */
  int64_t parting_time;         /* struct upstream_options */
  const struct upstream_ending *ending;
  _Atomic bool lost;
  _Atomic int64_t cut_off;      /* when to, whatever is in flight, or NEVER */

  struct crew crew;
  bool killed GUARDED_BY (crew.lock);
  const char *wrong GUARDED_BY (crew.lock); /* what the server did, or NULL */

  /* over-libnbd.c */
  bool writing GUARDED_BY (crew.lock); /* somebody is in help_write */
  /* Reads that libnbd says are complete, but that we must ask about. */
  struct upstream_command *reads GUARDED_BY (crew.lock);

  struct socket_way *own;       /* over-socket.c */
};

/* Our own, for all but TLS.  Returns 0, or -1 with errno. */
int over_socket_init (struct upstream *u, bool structured);
void over_socket_free (struct upstream *u);

/* Through libnbd, which knows how to encrypt. */
void over_libnbd_init (struct upstream *u);
bool over_libnbd_goodbye (struct nbd_handle *nbd, int64_t until);

/* How often a thread that waits for an answer asks whether the program is about
 * to end, and one in a handshake.
 */
#define ENDING_TICK NS_PER_S
#define HANDSHAKE_ENDING_TICK (200 * NS_PER_MS)

static inline bool
upstream_ends (const struct upstream_ending *e)
{
  return e && e->fn && e->fn (e->opaque);
}

/* `until`, or when to look around before that. */
static inline int64_t
next_tick (int64_t tick, int64_t until)
{
  int64_t next = clock_now () + tick;

  return next < until ? next : until;
}

/* Wait for the server to close its end, but not for longer than `until`;
 * whatever it sends before is thrown away.  Returns whether it has.  Wants to
 * be alone.
 */
bool upstream_await_end (struct upstream *u, const struct upstream_ending *e,
                         int64_t until);

/* Make it lost.  Nothing more is sent; threads in a system call on the socket
 * return as soon as the server closes its end.  Without TLS they look every
 * ENDING_TICK, too; libnbd completes no command before it sees an end.
 */
void upstream_kill_locked (struct upstream *u) REQUIRES (&u->crew.lock);

/* The same, but they return at once, and the server's end is not waited for. */
void upstream_cut_locked (struct upstream *u) REQUIRES (&u->crew.lock);

/* Cut it off then, unless that is to be earlier.  From any thread. */
void upstream_cut_off_at (struct upstream *u, int64_t until);

/* Has the time come? */
static inline bool
upstream_cut_off (const struct upstream *u)
{
  int64_t t = atomic_load (&u->cut_off);

  return t != NEVER && clock_now () >= t;
}

#endif /* MNBD_UPSTREAM_PRIVATE_H */
