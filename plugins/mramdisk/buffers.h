/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits on nbdkit's own buffers.
 *
 * Design
 *
 * nbdkit has one buffer in each thread that serves a connection, for data
 * received or to be sent.  It grows to the largest request that the thread has
 * had, up to 64 MiB, and stays until the thread ends with its connection.
 * nbdkit allocates it before it calls the plugin, so there are two ways to
 * bound the total: few connections, and small requests.
 *
 * Clients are told a maximum request size, max_request, and each connection
 * counts towards max_connections.  A client that does not ask, or ignores the
 * maximum, may still send a larger request: it is granted while the excess over
 * max_request, of all threads together, is at most max_connections times
 * max_request.  Then, with T threads for each connection, the buffers of all
 * requests that were granted take at most
 *
 *     max_connections * (T + 1) * max_request
 *
 * If a request is not granted, its buffer is returned to the system (not here:
 * only the glue knows what it is).
 *
 * Thread-safety: all functions except buffers_init may be called from any
 * thread, and take no lock.
 */

#ifndef MRAMDISK_BUFFERS_H
#define MRAMDISK_BUFFERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* nbdkit itself refuses larger requests. */
#define BUFFERS_MAX_REQUEST (UINT32_C (64) << 20)

struct buffers {
  uint32_t max_request;         /* bytes */
  uint64_t max_connections;
  _Atomic uint64_t connections;
  _Atomic uint64_t excess;      /* bytes, of all threads together */
};

void buffers_init (struct buffers *b, uint32_t max_request,
                   uint64_t max_connections);

/* The upper bound of their size, in bytes, with this many threads for each
 * connection.
 */
uint64_t buffers_bound (uint32_t max_request, uint64_t max_connections,
                        unsigned threads);

/* Count a new connection.  Returns false if there are too many. */
bool buffers_connect (struct buffers *b);

/* A connection has ended, and its threads with it. excess: what buffers_grant
 * counted for them.
 */
void buffers_disconnect (struct buffers *b, uint64_t excess);

/* Whether a thread may have a request of count bytes, more than max_request.
 * *mine: the excess of this thread, initially 0, used only by it; it is added
 * to *all, that of its connection.
 */
bool buffers_grant (struct buffers *b, uint32_t count, uint32_t *mine,
                    _Atomic uint64_t *all);

#endif /* MRAMDISK_BUFFERS_H */
