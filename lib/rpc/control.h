/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: a thread that serves JSON-RPC on a Unix socket.
 *
 * Design
 *
 * One thread serves all clients with epoll.  Each has an input buffer of one
 * line and an output buffer; requests are answered in the order in which they
 * came, a few of one client at a time, so that none waits for another's
 * thousand.  The service is a table of methods (jsonrpc.h).  Nothing here knows
 * of disks, nor of nbdkit.  A method that may take long (jsonrpc.h, slow) has
 * a thread for each call: its client's next requests wait for it, others do
 * not.
 *
 * unix-socket.h says how the socket itself is made and removed.
 *
 * What a client can do to others is limited:
 *   - a line of more than CONTROL_MAX_LINE bytes is answered with an error, and
 *     the client is closed;
 *   - while it leaves more than CONTROL_MAX_OUTPUT bytes unread its requests
 *     wait, and if it reads nothing for stall_ms it is closed;
 *   - a subscriber who leaves that much unread is closed, for events cannot
 *     wait;
 *   - over max_clients a new one gets one error (CONTROL_BUSY) and is closed.
 * Each closing that the client did not ask for is logged.
 *
 * Events.  Any thread may publish a line under a kind (a bit); it goes to each
 * client that subscribed to that kind, in the order of control_publish.
 *
 * Thread-safety
 *   from any thread, takes a lock inside:  control_publish
 *   from any thread, takes no lock:        control_wanted
 *   only from methods and from tick:       control_subscribe, control_clients,
 *                                          control_kinds
 *   one at a time, from one thread:        the rest
 */

#ifndef MBLOCK_CONTROL_H
#define MBLOCK_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "jsonrpc.h"

/* The longest line that a client may send, in bytes, its end not counted. */
#define CONTROL_MAX_LINE (1u << 20)

/* How many bytes a client may leave unread before its requests wait. */
#define CONTROL_MAX_OUTPUT (4u << 20)

#define CONTROL_DEFAULT_CLIENTS 1024
#define CONTROL_DEFAULT_STALL_MS 30000

/* The error that a client gets who is one too many. */
#define CONTROL_BUSY -32008

enum control_log {
  CONTROL_INFO,                 /* what a client changed */
  CONTROL_WARNING,              /* what the operator should know */
};

struct control_options {
  const char *path;             /* absolute */
  mode_t mode;                  /* of the socket */
  unsigned max_clients;         /* 0: CONTROL_DEFAULT_CLIENTS */
  unsigned stall_ms;            /* 0: CONTROL_DEFAULT_STALL_MS */
  const struct jsonrpc_method *methods;
  void *service;                /* for the methods: call->service */
  void (*log) (void *opaque, enum control_log level, const char *line);
  /* Called every tick_ms while anyone is subscribed to one of tick_kinds. */
  void (*tick) (void *opaque);
  unsigned tick_ms;
  uint32_t tick_kinds;
  void *opaque;                 /* for log and tick */
};

struct control;
struct control_client;

/* Make the socket.  Returns NULL with one line that says why in *error, to be
 * freed by the caller (NULL: no memory).
 */
struct control *control_listen (const struct control_options *options,
                                char **error);

/* Start and stop the thread that serves it.  control_stop waits for the methods
 * that run, closes all clients and removes the socket.  control_start returns
 * 0, or -1 with errno.
 */
int control_start (struct control *c);
void control_stop (struct control *c);
void control_free (struct control *c);

/* Is anyone subscribed to that kind?  If not there is no need to make a line.
 */
bool control_wanted (struct control *c, uint32_t kind);

/* Send a line (it has its "\n") to those who subscribed.  Takes it over. */
void control_publish (struct control *c, uint32_t kind, char *line, size_t len);

/* A method's client (call->client) wants events of these kinds from now on. */
void control_subscribe (struct control_client *client, uint32_t kinds);
uint32_t control_kinds (const struct control_client *client);

/* How many clients there are. */
unsigned control_clients (const struct control *c);

#endif /* MBLOCK_CONTROL_H */
