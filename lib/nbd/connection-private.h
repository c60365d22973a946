/* SPDX-License-Identifier: BSD-3-Clause */
/* What connect.c and the two transports share of a connection. */

#ifndef MBLOCK_CONNECTION_PRIVATE_H
#define MBLOCK_CONNECTION_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "nbd/connection.h"
#include "nbd/leader-followers.h"
#include "nbd/watchdog.h"

struct nbd_handle;

/* How commands reach the server after the handshake; it keeps U1 to U3. */
struct transport {
  void (*issue) (struct connection *conn, struct nbd_command *c,
                 struct lf_waiter *w, int64_t until);
  /* With the lock held, which is given up meanwhile: lead, or send, if that is
   * to be done by the thread of this waiter now.  Returns false if not.
   */
  bool (*work) (struct connection *conn, struct lf_waiter *w, int64_t until);
  /* Send NBD_CMD_DISC and wait for the server to close its end
   * (connection_drain).  Returns whether it has.  Wants to be alone.
   */
  bool (*disconnect) (struct connection *conn, int64_t until);
};

struct connection {
  const struct transport *transport;
  struct bdev_info info;        /* does not change */
  bool extended;                /* it has extended headers; does not change */
  int fd;                       /* the socket, a descriptor of our own */
  struct nbd_handle *nbd;       /* over libnbd: guarded by the lock */
  int64_t drain_time;           /* struct connection_options */
  const struct ending *ending;
  _Atomic bool lost;
  _Atomic int64_t drain_until;  /* replies are awaited until then, or NEVER */

  struct leader_followers lf;
  bool killed GUARDED_BY (lf.lock);
  /* How the server broke the protocol, or NULL; and libnbd's words for it. */
  const char *protocol_error GUARDED_BY (lf.lock);
  char protocol_error_text[CONNECTION_WHY] GUARDED_BY (lf.lock);

  /* transport-tls.c */
  bool tls;
  bool writing GUARDED_BY (lf.lock); /* somebody is in help_write */
  struct watched watched;

  struct plain *plain;          /* transport-plain.c */
};

/* The command that has this part, or NULL. */
static inline struct nbd_command *
nbd_command_of (struct lf_command *c)
{
  return (struct nbd_command *) c;
}

/* The command is complete (lf_complete). */
static inline void
connection_complete (struct connection *conn, struct nbd_command *c)
  REQUIRES (&conn->lf.lock)
{
  cover_reset (&c->cover);
  lf_complete (&conn->lf, &c->lf);
}

/* Our own, for all but TLS.  Returns 0, or -1 with errno. */
int transport_plain_init (struct connection *conn, bool structured);
void transport_plain_free (struct connection *conn);

/* Through libnbd, which knows how to encrypt. */
void transport_tls_init (struct connection *conn);
void transport_tls_free (struct connection *conn);
bool transport_tls_disconnect (struct nbd_handle *nbd, int64_t until);

/* How often a thread in a handshake asks whether the program is about to end.
 */
#define HANDSHAKE_ENDING_TICK (200 * NS_PER_MS)

/* `until`, or when to look around before that. */
static inline int64_t
next_tick (int64_t tick, int64_t until)
{
  int64_t next = clock_now () + tick;

  return next < until ? next : until;
}

/* What libnbd says of its last error in this thread, without the name of its
 * function, "nbd_aio_connect_uri: ".  Only right after a call of libnbd that
 * has returned an error: libnbd forgets no error when a later call succeeds.
 * The text may quote the server, or a name.  Valid until the next call of
 * libnbd in this thread.
 */
const char *connection_libnbd_error (void);

/* Wait for the server to close its end, but not for longer than `until`;
 * whatever it sends before is thrown away.  Returns whether it has.  Wants to
 * be alone.
 */
bool connection_drain (struct connection *conn, const struct ending *e,
                       int64_t until);

/* Make it lost.  Nothing more is sent; threads in a system call on the socket
 * return as soon as the server closes its end.  Without TLS they look every
 * ENDING_TICK, too; libnbd completes no command before it sees an end.
 */
void connection_kill_locked (struct connection *conn) REQUIRES (&conn->lf.lock);

/* The same, but they return at once, and the server's end is not waited for. */
void connection_abort_locked (struct connection *conn)
  REQUIRES (&conn->lf.lock);

/* Await no reply after `until`; an earlier limit stays.  From any thread. */
void connection_drain_until (struct connection *conn, int64_t until);

/* Is the time for replies over? */
static inline bool
connection_is_drained (const struct connection *conn)
{
  int64_t t = atomic_load (&conn->drain_until);

  return t != NEVER && clock_now () >= t;
}

#endif /* MBLOCK_CONNECTION_PRIVATE_H */
