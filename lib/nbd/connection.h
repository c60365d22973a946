/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to an upstream NBD server.
 *
 * Design
 *
 * A connection has no thread of its own: the threads that bring requests drive
 * it.  Who issues a command (upstream_issue) sends it, or leaves it to the
 * thread that is just sending, and then waits for it (upstream_wait).  The
 * first to wait becomes the leader: it sleeps in a system call on the socket,
 * takes in whatever replies arrive, and wakes the threads whose commands they
 * complete.  The others, the followers, sleep on a futex.  When the leader's
 * own command is complete it wakes one of them to lead, and leaves.
 *
 *   upstream_wait
 *        |  nobody leads                     somebody leads
 *        +------------------> LEADER   +--------------------> FOLLOWER
 *                               |  ^   |                        |    |
 *             own reply: resign |  +---(--- resign of another --+    |
 *                               v      |                             |
 *                             leaves   +------ reply: complete ----> leaves
 *
 * So a request that is alone costs a send and a receive: no thread is woken.
 *
 * libnbd connects and negotiates the export.  After that there are two ways to
 * the server.  Without TLS it is our own code on the socket (over-socket.c,
 * which reads and writes the protocol with wire.h): libnbd needs several
 * system calls for each reply.  With TLS it is libnbd (over-libnbd.c).
 *
 * Invariants
 *
 *   U1  While commands are in flight and their threads wait, one of them leads
 *       or has been asked to; or the only one left is still sending, and will
 *       lead then.
 *   U2  A command is complete exactly once: with the server's answer, or with
 *       ENOTCONN when the connection is lost.  Nobody has any more use for its
 *       buffer then.
 *   U3  A lost connection stays lost.
 *
 * The end.  A server may carry out a request after its connection was lost, and
 * so undo what is written later on another one.  So nothing is torn down that
 * may still be waited for: on a connection that is well, for the answers
 * (upstream_retire); on one that is not, for the server to close it, which most
 * do when they have ended its requests (upstream_close).
 *
 * Locking and lifetime.  Each connection has one lock, never held while waiting
 * for the network.  A waiter lies on its thread's stack: the last that anybody
 * else does to it is to store DONE (crew.h).  Whoever frees a connection knows
 * that nobody uses it (pool.h).
 *
 * Thread-safety: upstream_issue, upstream_wait, upstream_retire,
 * upstream_is_lost and upstream_take_wrong may be called from any thread, and
 * take the lock inside; the rest wants to be alone.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_UPSTREAM_H
#define MNBD_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ------------------------------------------------- where the server is */

enum upstream_kind {
  UPSTREAM_URI,
  UPSTREAM_UNIX,
  UPSTREAM_TCP,
  UPSTREAM_VSOCK,
  UPSTREAM_COMMAND,
  UPSTREAM_SOCKET_FD,
};

struct upstream_target {
  enum upstream_kind kind;
  const char *name;             /* URI, path of the socket, host, program */
  const char *port;             /* TCP */
  uint32_t cid, vport;          /* vsock */
  char **argv;                  /* command, ends with NULL */
  int fd;                       /* socket; stays the caller's */
};

/* Is the program about to end?  Then a server that does not answer is waited
 * for no longer.  Asked now and then by threads that wait, with no lock of
 * a connection held.  fn may be NULL.
 */
struct upstream_ending {
  bool (*fn) (void *opaque);
  void *opaque;
};

struct upstream_options {
  int tls;                      /* LIBNBD_TLS_* */
  const char *tls_certificates; /* each NULL if not given */
  const char *tls_username;
  const char *tls_psk;
  int tls_verify;               /* -1: not given */
  bool override_export;         /* the export's name replaces that of a URI */

  /* For upstream_close: how long a server may take to end the requests of
   * a connection that is lost, in nanoseconds; and the program's end, or NULL.
   */
  int64_t parting_time;
  const struct upstream_ending *ending;
};

/* Room for the text that says why something failed, in bytes. */
#define UPSTREAM_WHY 512

/* --------------------------------------------- what the server offers */

struct upstream_info {
  int64_t size;                 /* bytes */
  bool readonly;
  bool can_flush, can_fua, can_trim, can_zero, can_fast_zero, can_cache;
  bool can_extents, can_multi_conn;
  bool rotational;
  uint32_t block_min, block_preferred; /* bytes; 0: the server did not say */
  uint32_t block_max;
  uint32_t payload_max;         /* bytes; the largest read or write to send */
};

/* ----------------------------------------------------------- commands */

enum upstream_op {
  UPSTREAM_READ,
  UPSTREAM_WRITE,
  UPSTREAM_ZERO,
  UPSTREAM_TRIM,
  UPSTREAM_FLUSH,
  UPSTREAM_CACHE,
  UPSTREAM_EXTENTS,
};
#define UPSTREAM_OPS (UPSTREAM_EXTENTS + 1)

/* Gets the extents of a reply: n pairs of length and LIBNBD_STATE_* bits, from
 * offset on.  May be called several times for one reply; if the offset is the
 * command's, a reply begins.  The connection's lock may be held, so it calls
 * nothing of this file.  Returns 0, or -1 with errno.
 */
typedef int (*upstream_extents_fn) (void *opaque, uint64_t offset,
                                    const uint32_t *pairs, size_t n);

/* Who waits, for one command or for several. */
struct upstream_waiter {
  _Atomic unsigned state;
  unsigned pending;             /* commands that are not complete */
  unsigned settling;            /* of these, answered, but the sender's */
  bool busy;                    /* writes for others, cannot lead */
  struct upstream_waiter *next_done;

  /* If it is set and says so, the connection is killed; set by the caller. */
  const struct upstream_ending *ending;
};

struct upstream_command {
  enum upstream_op op;
  uint32_t flags;               /* LIBNBD_CMD_FLAG_* */
  uint32_t count;
  uint64_t offset;
  void *read;                   /* UPSTREAM_READ */
  const void *write;            /* UPSTREAM_WRITE */
  upstream_extents_fn extents;  /* UPSTREAM_EXTENTS */
  void *opaque;

  /* 0, or the errno that the server gave, or ENOTCONN: the connection was lost
   * and the command may have been done or not.
   */
  int error;

  /* Private. */
  struct upstream *upstream;
  struct upstream_waiter *waiter;
  uint64_t cookie;
  struct upstream_command *prev, *next; /* in flight */
  struct upstream_command *next_read, *next_bucket;
  uint32_t got;                 /* bytes of the reply, or whether there are
                                 * extents */
  bool sending;                 /* the sender uses it … */
  bool settling;                /* … and completes it */
};

/* ---------------------------------------------------------- functions */

struct upstream;

/* Connect, and negotiate the export.  Gives up at `until` (clock.h), or at the
 * program's end if `ending` is not NULL; except in the look-up of a host name,
 * which cannot be interrupted.
 * simple: without structured replies, so without extents, but a read takes one
 * system call less in the server.
 * Returns NULL with errno, and says in why what happened.
 */
struct upstream *upstream_connect (const struct upstream_target *target,
                                   const struct upstream_options *options,
                                   const char *export_name, bool simple,
                                   int64_t until,
                                   const struct upstream_ending *ending,
                                   char why[UPSTREAM_WHY]);

/* Is the server on this machine (a Unix socket)? */
bool upstream_is_local (const struct upstream *u);

/* Say goodbye, if there is somebody to say it to, and free the connection.
 * A command's process is ended.
 * If commands were interrupted, this first waits for the server to close its
 * end: it has then done what it will ever do of them.  A server that does not
 * is waited for until parting_time after the loss, or what upstream_retire
 * said, or the program's end.  Then a TCP connection is reset, so that nothing
 * is sent to the server any more; what its kernel has got it may still read.
 */
void upstream_close (struct upstream *u);

const struct upstream_info *upstream_info (const struct upstream *u);

/* What the server calls this export, to be freed, or NULL. */
char *upstream_description (struct upstream *u);

void upstream_waiter_init (struct upstream_waiter *w);

/* Start a command for this waiter; only one thread does so, and several for
 * one waiter only if no other thread uses the connection.  Its memory and
 * buffer must stay until upstream_wait says that the waiter has no commands
 * left.  May have to wait for the server, but not after `until`: then it kills
 * the connection.
 */
void upstream_issue (struct upstream *u, struct upstream_command *c,
                     struct upstream_waiter *w, int64_t until);

/* Wait until all commands of the waiter, which were issued on this connection,
 * are complete.  At `until` the connection is killed, so the commands end with
 * ENOTCONN.  Returns false in that case.  At the program's end it is killed,
 * too (w->ending).
 */
bool upstream_wait (struct upstream *u, struct upstream_waiter *w,
                    int64_t until);

/* Send nothing new on this connection; what is in flight may still be answered
 * until `until`, then it is cut off, which is at once if that is past.  The
 * earliest of several calls counts.
 */
void upstream_retire (struct upstream *u, int64_t until);

/* Is it known to be lost? */
bool upstream_is_lost (const struct upstream *u);

/* What the server did, against the protocol, for which the connection was
 * given up; or NULL.  It is told once.
 */
const char *upstream_take_wrong (struct upstream *u);

/* ------------------------------------------- without opening an export */

typedef void (*upstream_list_fn) (void *opaque, const char *name,
                                  const char *description);

/* Ask for the list of exports.  Returns 0, or -1 with errno and why. */
int upstream_list (const struct upstream_target *target,
                   const struct upstream_options *options, int64_t until,
                   const struct upstream_ending *ending, upstream_list_fn fn,
                   void *opaque, char why[UPSTREAM_WHY]);

/* What the server calls its default export, to be freed, or NULL. */
char *upstream_default_export (const struct upstream_target *target,
                               const struct upstream_options *options,
                               int64_t until,
                               const struct upstream_ending *ending);

#endif /* MNBD_UPSTREAM_H */
