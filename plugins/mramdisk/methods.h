/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of mramdisk's control socket, for which mblock-control(7) is the
 * reference.  Knows nothing of nbdkit.
 *
 * Thread-safety: the control socket's thread calls them, one at a time; but
 * those that block have threads of their own.
 */

#ifndef MRAMDISK_METHODS_H
#define MRAMDISK_METHODS_H

#include "rpc/jsonrpc.h"
#include "service.h"

/* Goes up when a client that was right before may be wrong. */
#define METHODS_PROTOCOL 1

/* The table of all methods, which a method without a name ends. */
const struct jsonrpc_method *mramdisk_methods (void);

/* Put the time of the start into it. */
void methods_started (struct service *s);

#endif /* MRAMDISK_METHODS_H */
