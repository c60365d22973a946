/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's shutdown: connected clients do not delay it, and see no error.
 *
 * nbdkit ends on SIGTERM, SIGINT, SIGQUIT and SIGHUP.  From then on it answers
 * requests with ESHUTDOWN, which most clients take for an I/O error; and it
 * waits for its clients to leave, which an idle one never does.  So nbdkit gets
 * the signal only after the clients' sockets have been shut down
 * (client-sockets.h):
 *
 *   E1  With END_AT_ONCE, no request fails because nbdkit ends.  A client reads
 *       replies that were sent before, and then the end of the connection.
 *       What was not answered may or may not have been done, as if the server
 *       had been killed; a client that connects again sends it again.
 *   E2  Clients that come after the signal are turned away before the
 *       handshake.
 *   E3  Nothing is disconnected before a signal came.  When nbdkit ends for
 *       another reason (nbdkit_shutdown, which a filter may call), it waits for
 *       its clients.
 *   E4  Connections that end between the signal and nbdkit's end are closed in
 *       the usual way (.close), although their clients have not left
 *       (end_clients_began).
 *
 * Why E1 holds.  A connection that passed .preconnect before the signal has a
 * socket by then, so the thread, which begins after the signal, finds it.  Both
 * directions are shut down in one step, before nbdkit's handler runs.  So each
 * reply that nbdkit sends because it ends, or because one of its threads has
 * read the end of file, fails with EPIPE.
 *
 * With END_ANSWERED, only the receiving side is shut down.  nbdkit answers what
 * it has received, and gets the signal when all clients have gone, after a
 * second, or with the next signal.  A client that does not read its replies is
 * cut off after the time that end_clients_start was given.  A request fails if
 * nbdkit has not begun it within that second, or if it waits with
 * nbdkit_nanosleep; before nbdkit 1.34 also if one thread of the connection
 * reads the end of file while another is about to begin it.  This is for two
 * cases:
 *
 *   - A request in flight may change another server.  A client that lost its
 *     connection could send it again by another way, and write more, before the
 *     first one arrives.
 *   - Before 1.34, nbdkit fails an assertion if two of its threads reply to a
 *     client whose socket does not take replies (end_clients_how).
 *
 * Our handler takes the place of nbdkit's.  It only wakes a thread; when the
 * thread is done, it sends the signal again, and the handler passes it on.
 * Each plugin and filter of mblock in a process has such a handler and a
 * thread, one behind the other; they all know when the first has begun.
 *
 * Thread-safety: end_clients_meanwhile, end_clients_start and end_clients_stop
 * are called by nbdkit's main thread, the others by any.
 */

#ifndef MBLOCK_END_CLIENTS_H
#define MBLOCK_END_CLIENTS_H

#include <stdbool.h>

enum end_clients { END_AT_ONCE, END_ANSWERED };

/* How to end clients whose requests change nothing outside of this process.
 * parallel: nbdkit may have several threads for each connection.
 */
enum end_clients end_clients_how (bool parallel);

/* Call this in .after_fork, once.  seconds: how long a request may take after
 * the signal, with END_ANSWERED.  Returns 0, or -1 with the errno of
 * client_sockets_init, pthread_create(3) or eventfd(2).
 */
int end_clients_start (enum end_clients how, unsigned seconds);

/* Call this before end_clients_start: from nbdkit's signal until
 * end_clients_stop, the thread that disconnects the clients calls fn every 20
 * ms or so.
 */
void end_clients_meanwhile (void (*fn) (void));

/* Has a signal come?  A filter's .preconnect then refuses the client (E2), and
 * .close must not take it for one that has left (E4).
 */
bool end_clients_began (void);

/* A plugin's .preconnect (E2). */
int end_clients_preconnect (int readonly);

/* Call this in .cleanup, whether or not end_clients_start was called: the
 * clients have gone.
 */
void end_clients_stop (void);

#endif /* MBLOCK_END_CLIENTS_H */
