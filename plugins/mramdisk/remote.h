/* SPDX-License-Identifier: BSD-3-Clause */
/* An export of another NBD server as a block device (bdev.h), by its URI: where
 * a job sends a disk, or what it reads one from.
 *
 * It is a device with a pool of its own (nbd/bdev-nbd.h), so its requests ride
 * out the server's outages.  Writes are not kept to be replayed: whoever writes
 * still has the data, and is told by a flush that fails that it must send it
 * again (pool.h, M5).
 *
 * A server that is this very process is refused (nbd/self-connect.h).
 *
 * There is no thread here, so a remote may be opened before nbdkit forks and be
 * used afterwards.  But a listening socket of nbdkit is known only once it
 * listens: only from .after_fork on is this very server recognised.
 *
 * Thread-safety: remote_open and remote_close want to be alone with the remote;
 * any thread may call remote_give_up while it is open.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MRAMDISK_REMOTE_H
#define MRAMDISK_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "bdev/bdev.h"
#include "nbd/ending.h"

#define REMOTE_DEFAULT_CONNECTIONS 4
#define REMOTE_DEFAULT_RECONNECT (60 * NS_PER_S)

/* How long one attempt to connect may take. */
#define REMOTE_CONNECT_TIMEOUT (10 * NS_PER_S)

/* What the program lends to remotes; each may be NULL. */
struct remote_host {
  /* Say what happens once the remote is open, in one line: an error, or for
   * those who look for one.  May be called with the pool's lock held, so it
   * calls nothing of this file; so with give_up.
   */
  void (*log) (void *opaque, bool error, const char *message);
  /* Should this thread stop waiting for a server that is away? */
  bool (*give_up) (void *opaque);
  /* The program's end, for threads that wait for an answer. */
  struct ending ending;
  void *opaque;                 /* for log and give_up */
};

struct remote_options {
  const char *uri;              /* copied */
  unsigned connections;         /* at most, if the server offers multi-conn;
                                 * 1 to 64 */
  int64_t reconnect;            /* ns that a request waits for a server that is
                                 * away */
  int64_t request_timeout;      /* ns; a server that does not answer a request
                                 * for so long counts as away; 0: it never does
                                 */
  bool witness;                 /* refuse a server that returns with other data
                                 * than it had on stable storage; not if others
                                 * write to the export */
  const struct remote_host *host; /* stays longer than the remote */
};

/* The request_timeout of a remote that is only read, in ns.  It is no harm if
 * reads and block status are asked again of a server that was only slow.
 */
#define REMOTE_READ_TIMEOUT (30 * NS_PER_S)

#define REMOTE_OPTIONS_INIT                                             \
  { .connections = REMOTE_DEFAULT_CONNECTIONS,                          \
    .reconnect = REMOTE_DEFAULT_RECONNECT }

/* Room for the line that says why a remote cannot be opened, in bytes. */
#define REMOTE_WHY 1024

struct remote;

/* Can that be the URI of a remote?  Connects to nothing.  Returns 0, or -1 with
 * errno EINVAL, and says in why what was expected of it: one line, escaped,
 * that begins with the URI.
 */
int remote_check_uri (const char *uri, char why[REMOTE_WHY]);

/* Connect; tries once.  Returns NULL with errno, and says in why what happened:
 * one line, escaped, that begins with the URI.  EINVAL: the URI; ELOOP: it is
 * this very server.
 */
struct remote *remote_open (const struct remote_options *options,
                            char why[REMOTE_WHY]);

/* The device, which is connected until remote_close. */
struct bdev *remote_bdev (struct remote *r);

/* How often the server has been lost so far. */
uint64_t remote_outages (struct remote *r);

/* Wait for the server no longer: all requests, now and later, fail with
 * ESHUTDOWN.
 */
void remote_give_up (struct remote *r);

/* What went wrong with the connection last, as a line that is escaped, or "".
 */
void remote_last_error (struct remote *r, char why[REMOTE_WHY]);

/* Disconnect, and free it.  NULL is allowed.  No request is under way. */
void remote_close (struct remote *r);

#endif /* MRAMDISK_REMOTE_H */
