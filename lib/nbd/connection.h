/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to an upstream NBD server.
 *
 * Design
 *
 * A connection has no thread of its own: the threads that bring requests drive
 * it.  A thread issues a command (connection_issue), which sends it, or leaves
 * it to a thread that is already sending, and then waits for it
 * (connection_wait).  The first thread to wait becomes the leader: it sleeps
 * in a system call on the socket, receives all replies, and wakes the threads
 * whose commands they complete.  The others, the followers, sleep on a futex.
 * When the leader's own command is complete, it wakes one of them to lead, and
 * leaves.
 *
 *   connection_wait
 *        |  nobody leads                     somebody leads
 *        +------------------> LEADER   +--------------------> FOLLOWER
 *                               |  ^   |                        |    |
 *             own reply: resign |  +---(--- resign of another --+    |
 *                               v      |                             |
 *                             leaves   +------ reply: complete ----> leaves
 *
 * So a lone request costs a send and a receive; no thread is woken.
 *
 * libnbd connects and negotiates the export.  After that there are two
 * transports.  Without TLS, our own code drives the socket (transport-plain.c,
 * with the protocol in wire.h), because libnbd needs several system calls for
 * each reply.  With TLS, libnbd does (transport-tls.c).
 *
 * The first connection to a server asks for extended headers, so that one block
 * status request can cover more than 4 GiB.  Nothing else uses their longer
 * lengths.
 *
 * Invariants
 *
 *   U1  While threads wait for commands in flight, one of them leads or has
 *       been asked to; or the only one left is still sending, and will lead
 *       then.  A thread between the start and the wait of a write (pool.h) is
 *       not asked.  When it comes to wait, it leads if nobody does.
 *   U2  A command completes exactly once: with the server's answer, or with
 *       ENOTCONN when the connection is lost.  Its buffer is not used after
 *       that.
 *   U3  A lost connection stays lost.
 *   U4  The reply to a read that succeeds has sent each of its bytes exactly
 *       once.  A reply that breaks the protocol ends its connection.
 *
 * The end.  A server may carry out a request after the loss of its connection,
 * and so undo a later write on another one.  So connections are drained before
 * they are closed: a healthy connection until the replies have come
 * (connection_retire), any other until the server closes its end, which most
 * servers do when they have completed its requests (connection_close).
 *
 * Locking and lifetime.  Each connection has one lock, which is never held
 * while a thread waits for the network.  A waiter is on its thread's stack;
 * the last access of any other thread is to store DONE (leader-followers.h).
 * The owner frees a connection when no thread uses it (pool.h).
 *
 * Thread-safety: connection_issue, connection_wait, connection_retire,
 * connection_is_lost and connection_take_protocol_error may be called from any
 * thread, and take the lock inside; the rest wants to be alone.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MBLOCK_CONNECTION_H
#define MBLOCK_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "nbd/cover.h"
#include "nbd/ending.h"
#include "nbd/leader-followers.h"

/* ------------------------------------------------- where the server is */

enum target_kind {
  TARGET_URI,
  TARGET_UNIX,
  TARGET_TCP,
  TARGET_VSOCK,
  TARGET_COMMAND,
  TARGET_SOCKET_FD,
};

struct connection_target {
  enum target_kind kind;
  const char *name;             /* URI, path of the socket, host, program */
  const char *port;             /* TCP */
  uint32_t cid, vport;          /* vsock */
  char **argv;                  /* command, ends with NULL */
  int fd;                       /* socket; stays the caller's */
};

struct connection_options {
  int tls;                      /* LIBNBD_TLS_* */
  const char *tls_certificates; /* each NULL if not given */
  const char *tls_username;
  const char *tls_psk;
  const char *tls_hostname;     /* the name in the server's certificate */
  int tls_verify;               /* -1: not given */
  bool override_export;         /* the export's name replaces that of a URI */

  /* For connection_close: how long a server may take to end the requests of
   * a connection that is lost, in nanoseconds; and the program's end, or NULL.
   */
  int64_t drain_time;
  const struct ending *ending;
};

/* Room for the text that says why something failed, in bytes. */
#define CONNECTION_WHY 512

/* --------------------------------------------- what the server offers */

/* A struct bdev_info, in which can_multi_conn is what the server offers.
 *
 * The largest read or write to send, in bytes: the most that libnbd takes; and,
 * if the server announces no maximum, the most that the protocol lets a client
 * assume.
 */
#define CONNECTION_MOST_PAYLOAD (UINT32_C (64) << 20)
#define CONNECTION_DEFAULT_PAYLOAD (UINT32_C (32) << 20)

static inline uint32_t
connection_payload_max (const struct bdev_info *i)
{
  if (i->block_max == 0)
    return CONNECTION_DEFAULT_PAYLOAD;
  return i->block_max < CONNECTION_MOST_PAYLOAD ? i->block_max
    : CONNECTION_MOST_PAYLOAD;
}

/* ----------------------------------------------------------- commands */

enum nbd_op {
  NBD_READ,
  NBD_WRITE,
  NBD_ZERO,
  NBD_TRIM,
  NBD_FLUSH,
  NBD_CACHE,
  NBD_EXTENTS,
};
#define NBD_OPS (NBD_EXTENTS + 1)

/* An extent as libnbd's nbd_extent has it, which older versions lack. */
struct nbd_status {
  uint64_t length;              /* bytes, not 0 */
  uint64_t type;                /* LIBNBD_STATE_* */
};

/* Receives the n extents of a reply, from offset on.  It may be called several
 * times for one reply; a reply begins where the offset is the command's.  The
 * connection's lock may be held, so it must call nothing of this file.  Returns
 * 0, or -1 with errno.
 */
typedef int (*nbd_extents_fn) (void *opaque, uint64_t offset,
                               const struct nbd_status *status, size_t n);

struct nbd_command {
  struct lf_command lf;     /* private */
  enum nbd_op op;
  uint32_t flags;               /* LIBNBD_CMD_FLAG_* */
  uint64_t count;               /* up to UINT32_MAX; NBD_EXTENTS: up to
                                 * connection_extents_max */
  uint64_t offset;
  void *read;                   /* NBD_READ */
  const void *write;            /* NBD_WRITE */
  nbd_extents_fn extents;       /* NBD_EXTENTS */
  void *opaque;

  /* 0, or the errno that the server gave, or ENOTCONN: the connection was lost
   * and the command may have been done or not.
   */
  int error;
  bool violated;                /* lost, and it was the reply to this command
                                 * that broke the protocol */

  /* Private. */
  struct connection *connection;
  uint64_t cookie;
  struct nbd_command *next_bucket;
  struct cover cover;           /* of the reply so far: bytes of a read … */
  bool has_extents;             /* … the extents … */
  uint32_t chunks, error_bytes; /* … and what it has cost */
  bool sending;                 /* the sender uses it … */
  bool answered;                /* … and completes it */
};

/* ---------------------------------------------------------- functions */

struct connection;

/* Does the libnbd that runs have what extended headers need (1.18)?  Without it
 * connections have compact headers.  Takes no lock.
 */
bool connection_has_extended_headers (void);

/* Does the libnbd that runs have what tls_hostname needs (1.22)?  Without it
 * tls_hostname is passed over.  Takes no lock.
 */
bool connection_has_tls_hostname (void);

/* Connect, and negotiate the export.  Gives up at `until` (clock.h), or at the
 * program's end if `ending` is not NULL; except in the look-up of a host name,
 * which cannot be interrupted.
 * simple: without structured replies, so without extents, but a read takes one
 * system call less in the server.
 * Returns NULL with errno, and says in why what happened.
 */
struct connection *connection_open (const struct connection_target *target,
                                    const struct connection_options *options,
                                    const char *export_name, bool simple,
                                    int64_t until,
                                    const struct ending *ending,
                                    char why[CONNECTION_WHY]);

/* Is the server on this machine (a Unix socket)? */
bool connection_is_local (const struct connection *conn);

/* How long a healthy server may take to close its end after NBD_CMD_DISC. */
#define CONNECTION_CLOSE_TIME (500 * NS_PER_MS)

/* Disconnect, if the connection is not lost, and free it.  The server has until
 * this time to close its end.  A command's process is ended.
 * If commands were interrupted, this first waits for the server to close its
 * end: it has then done what it will ever do of them.  A server that does not
 * is waited for until drain_time after the loss, or what connection_retire
 * said, or the program's end.  Then a TCP connection is reset, so that nothing
 * is sent to the server any more; what its kernel has got it may still read.
 */
void connection_close (struct connection *conn, int64_t until);

const struct bdev_info *connection_info (const struct connection *conn);

/* The largest count of NBD_EXTENTS: whole blocks of up to 4 GiB, or, with
 * extended headers, any.  Takes no lock.
 */
uint64_t connection_extents_max (const struct connection *conn);

/* What the server calls this export, to be freed, or NULL. */
char *connection_description (struct connection *conn);

/* Start a command for this waiter, in the waiter's thread.  A waiter may have
 * several commands only while no other thread uses the connection.  The command
 * and its buffer must stay until connection_wait returns.  This may have to
 * wait for the server; at `until` it gives the connection up.
 */
void connection_issue (struct connection *conn, struct nbd_command *c,
                       struct lf_waiter *w, int64_t until);

/* Wait until all commands of the waiter, all of this connection, are complete.
 * At `until` the connection is given up, so that the commands end with
 * ENOTCONN, and this returns false.  At the program's end (w->ending) it is
 * given up, too.
 */
bool connection_wait (struct connection *conn, struct lf_waiter *w,
                      int64_t until);

/* No more commands will be issued; those in flight may still be answered until
 * `until`.  Then the connection is aborted, which is at once if that is
 * past.  The earliest of several calls counts.
 */
void connection_retire (struct connection *conn, int64_t until);

/* Give it up: nothing more is sent, and what is in flight ends with ENOTCONN
 * within ENDING_TICK (with TLS, when the server closes its end, or drain_time
 * is over).  connection_close still waits for the server's end.
 */
void connection_kill (struct connection *conn);

/* Is it known to be lost? */
bool connection_is_lost (const struct connection *conn);

/* How the server broke the protocol, so that the connection was given up; or
 * NULL.  It is told once.
 */
const char *connection_take_protocol_error (struct connection *conn);

/* ------------------------------------------- without opening an export */

typedef void (*connection_list_fn) (void *opaque, const char *name,
                                    const char *description);

/* Of a longer list the rest is left out: more than nbdkit passes on. */
#define CONNECTION_MOST_EXPORTS 10000
#define CONNECTION_MOST_LIST_BYTES (16 << 20) /* names and descriptions */

/* Ask for the list of exports.  Returns 0, and "" in why, or there how much of
 * the list was taken if it was too long; or -1 with errno and why.
 */
int connection_list (const struct connection_target *target,
                     const struct connection_options *options, int64_t until,
                     const struct ending *ending, connection_list_fn fn,
                     void *opaque, char why[CONNECTION_WHY]);

/* What the server calls its default export, to be freed, or NULL. */
char *connection_default_export (const struct connection_target *target,
                                 const struct connection_options *options,
                                 int64_t until,
                                 const struct ending *ending);

#endif /* MBLOCK_CONNECTION_H */
