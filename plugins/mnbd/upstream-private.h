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
  /* Say goodbye and wait for the server to close its end, but not for longer
   * than `until`.  Returns whether it has.  Wants to be alone.
   */
  bool (*goodbye) (struct upstream *u, int64_t until);
};

struct upstream {
  const struct upstream_way *way;
  struct upstream_info info;    /* does not change */
  int fd;                       /* the socket, a descriptor of our own */
  struct nbd_handle *nbd;       /* over libnbd: guarded by the lock */
  _Atomic bool lost;

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

/* `until`, or when to ask before that. */
static inline int64_t
ending_tick (const struct upstream_ending *e, int64_t tick, int64_t until)
{
  int64_t next;

  if (e == NULL || e->fn == NULL)
    return until;
  next = clock_now () + tick;
  return next < until ? next : until;
}

/* Make it lost; threads in a system call on the socket return. */
void upstream_kill_locked (struct upstream *u) REQUIRES (&u->crew.lock);

#endif /* MNBD_UPSTREAM_PRIVATE_H */
