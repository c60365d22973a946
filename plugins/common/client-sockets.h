/* SPDX-License-Identifier: BSD-3-Clause */
/* The sockets of the NBD clients of this process.
 *
 * nbdkit does not tell a plugin on which socket it serves a connection.  Its
 * own nbdkit_disconnect (since 1.34) works only in a thread that is serving a
 * request of that connection, so it cannot reach an idle client, and nbdkit
 * 1.32 lacks it.  It is the second choice (requests.c).  The sockets are
 * therefore found among the file descriptors of the process:
 *
 *   X1  A client's socket is a connected stream socket that was accepted on an
 *       address on which the process listened when client_sockets_init ran.
 *       Sockets that mblock accepts itself (the control socket's) never block;
 *       nbdkit's always do.  A socket that does not block is left alone.
 *   X2  A socket is checked and shut down through one duplicate of its file
 *       descriptor.  nbdkit may close the descriptor at any time, and the
 *       kernel may give its number to another file; the duplicate stays what it
 *       is.
 *   X3  Nothing is closed here.  A socket is shut down; nbdkit's thread then
 *       reads an end of file, answers what is in flight, and closes it.
 *
 * Shutting down SHUT_RD is the gentle way: a request that was received
 * completely is still answered, and what the client sends after that is never
 * received.  SHUT_RDWR also ends a thread that waits for a client which does
 * not read its replies.
 *
 * A connection between two processes that needs no listening socket (nbdkit -s)
 * is not found.
 *
 * One client.  A thread of nbdkit that works for a connection can ask which
 * socket is its own (client_socket_own).  Keep the resulting number in the
 * connection's handle; with it, any thread can call client_socket_disconnect to
 * disconnect that client.
 *
 * Thread-safety: client_sockets_init runs once, before nbdkit accepts clients.
 * The other functions may be called by any threads at any time after it; they
 * take a lock inside, which is a leaf, and do not wait for the network.
 */

#ifndef MBLOCK_CLIENT_SOCKETS_H
#define MBLOCK_CLIENT_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

/* Call this in .after_fork: by then nbdkit listens, and has its final process.
 * Returns 0; or -1 with errno ENOMEM, or open(2)'s errno for /proc/self/fd.
 * After an error the other functions find no sockets.
 */
int client_sockets_init (void);

/* Shut down the sockets of all clients that are connected now; how is
 * shutdown(2)'s argument.  Returns the number of these clients.
 */
unsigned client_sockets_shutdown (int how);

/* Identifies a client's socket by its number in the kernel (the inode).  0:
 * unknown.  No two sockets that exist at the same time have the same number,
 * and a number is not reused for billions of sockets.  So a number need not be
 * given back, and a client that has gone is not mistaken for another one.
 */
typedef uint64_t client_socket;

/* The socket of the connection that the calling thread works for.  Call this in
 * .open or in a request, but not in a context that a filter has opened without
 * a client (export_name_announced).  Takes about 0.2 ms, and longer on a busy
 * machine.
 *
 * Clients of a Unix socket have no names, and a process may have several
 * connections.  So this function finds out from nbdkit, by watching which
 * socket it waits for.  Returns 0 if that cannot be found out: the connection
 * needs no listening socket, there is no /proc, nbdkit is ending, or a later
 * nbdkit waits in another way.  Such a client cannot be disconnected from
 * outside, but by nbdkit when it sends a request.
 */
client_socket client_socket_own (void);

/* Disconnect the client: after the requests that it has sent are answered, or
 * at once.  Returns false if there is no such connection any more.
 */
bool client_socket_disconnect (client_socket socket, bool at_once);

#endif /* MBLOCK_CLIENT_SOCKETS_H */
