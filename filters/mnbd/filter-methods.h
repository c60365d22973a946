/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the filter's control socket, for which mblock-control(7) is
 * the reference.
 *
 * Thread-safety: the control socket's thread calls them, one at a time; but
 * each method that blocks runs in its own thread.
 */

#ifndef MNBD_METHODS_H
#define MNBD_METHODS_H

#include "rpc/jsonrpc.h"

/* Incremented on changes that break correct clients. */
#define FILTER_PROTOCOL 1

extern const struct jsonrpc_method filter_methods[];

#endif /* MNBD_METHODS_H */
