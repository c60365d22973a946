/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's shutdown: connected clients do not delay it.
 *
 * nbdkit ends on SIGTERM, SIGINT, SIGQUIT and SIGHUP, but first waits for its
 * clients to leave, and a client that is idle never does.  So a thread waits
 * for the signal, and then shuts down the clients' sockets (client-sockets.h):
 *
 *   E1  A request that nbdkit has begun is answered before its client is
 *       disconnected, unless the client does not read replies, or the request
 *       takes longer than the time that end_clients_start was given.  (From the
 *       signal on, nbdkit begins no request: what it still reads is answered
 *       with ESHUTDOWN, and what it does not read with the end of file.)
 *   E2  Clients that nbdkit accepts while it ends are disconnected too.
 *   E3  Nothing is disconnected before a signal came.  When nbdkit ends for
 *       another reason (nbdkit_shutdown, which a filter may call), it waits for
 *       its clients.
 *
 * nbdkit tells a plugin's thread about its shutdown only by an error that it
 * also logs (nbdkit_nanosleep).  So a handler that runs after nbdkit's own
 * tells the thread about the signal.  Each plugin and filter of mblock in a
 * process may have such a thread; they do the same.
 *
 * Thread-safety: both functions are called by nbdkit's main thread.
 */

#ifndef MBLOCK_END_CLIENTS_H
#define MBLOCK_END_CLIENTS_H

/* Call this in .after_fork, once.  seconds: how long a request may take after
 * the signal.  Returns 0, or -1 with the errno of client_sockets_init,
 * pthread_create(3) or eventfd(2).
 */
int end_clients_start (unsigned seconds);

/* Call this in .cleanup, whether or not end_clients_start was called: the
 * clients have gone.
 */
void end_clients_stop (void);

#endif /* MBLOCK_END_CLIENTS_H */
