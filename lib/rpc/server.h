/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket's server: a thread that serves JSON-RPC on a Unix socket.
 *
 * Design
 *
 * One thread serves all clients with epoll.  Each client has an input buffer of
 * one line, and an output buffer.  Its requests are answered in the order of
 * their arrival, a few at a time, so that no client waits for a thousand
 * requests of another.  The service is a table of methods (jsonrpc.h).  Nothing
 * here knows of disks, or of nbdkit.  Each call of a method that may take long
 * (blocking, jsonrpc.h) has a thread of its own: the next requests of its
 * client wait for it, those of others do not.
 *
 * unix-socket.h describes how the socket is created and removed, clients.h what
 * may point to a client and for how long, event-queue.h how events get here.
 *
 * A client is limited in what it can do to others:
 *   - a line of more than CONTROL_MAX_LINE bytes is answered with an error, and
 *     the client is closed;
 *   - while it leaves more than CONTROL_MAX_OUTPUT bytes unread, its requests
 *     wait; if it reads nothing for stall_ms, it is closed;
 *   - a subscriber that leaves that much unread is closed, because events
 *     cannot wait;
 *   - a client beyond max_clients gets one error (CONTROL_BUSY), and is closed.
 *
 * Events.  Any thread may publish a line under a kind (a bit).  It is sent to
 * each client that subscribed to that kind, in the order of control_publish.
 *
 * The end.  control_close ends the control thread and removes the socket: from
 * then on, no request begins.  Methods that still run must return soon.  The
 * service wakes those that wait for something, between control_close and
 * control_stop; those that work for long check control_ending now and then.
 * control_stop waits for them, and sends their responses.
 *
 * Thread-safety
 *   from any thread, takes a lock inside:  control_publish
 *   from any thread, takes no lock:        control_wanted, control_ending
 *   only from methods and from tick:       control_clients
 *   one at a time, from one thread:        the rest
 */

#ifndef MBLOCK_SERVER_H
#define MBLOCK_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/control.h"

struct control;

/* Create the socket.  On error, returns NULL with one line in *error, which the
 * caller frees (NULL: no memory).
 */
struct control *control_listen (const struct control_options *options,
                                char **error);

/* Start and stop the thread that serves it. control_close ends it and removes
 * the socket, but does not wait for methods that run. control_stop does that
 * too, waits for those methods, and closes all clients. control_start returns
 * 0, or -1 with errno.
 */
int control_start (struct control *c);
void control_close (struct control *c);
void control_stop (struct control *c);
void control_free (struct control *c);

/* Whether control_close has been called.  A method that takes long then gives
 * up.
 */
bool control_ending (const struct control *c);

/* After control_close: whether all methods have returned. */
bool control_is_idle (struct control *c);

/* Whether any client is subscribed to this kind.  If not, no line is needed. */
bool control_wanted (struct control *c, uint32_t kind);

/* Send a line, which ends with "\n", to the subscribers.  Takes it over. */
void control_publish (struct control *c, uint32_t kind, char *line, size_t len);

/* How many clients there are. */
unsigned control_clients (const struct control *c);

#endif /* MBLOCK_SERVER_H */
