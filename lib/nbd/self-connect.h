/* SPDX-License-Identifier: BSD-3-Clause */
/* Does a connection lead back to this process?
 *
 * A server that forwards to itself would open one connection after the other,
 * or, while it starts, wait for itself.  The connection's other end is compared
 * with this process' own listening sockets.  A loop through a second server, or
 * through a translated address, is not detected.
 *
 * Thread-safe.
 */

#ifndef MNBD_SELF_CONNECT_H
#define MNBD_SELF_CONNECT_H

#include <stdbool.h>

enum self_connect {
  SELF_CONNECT_UNKNOWN,                 /* it is not connected yet */
  SELF_CONNECT_NO,
  SELF_CONNECT_YES,
};

enum self_connect self_connect_check (int fd);

#endif /* MNBD_SELF_CONNECT_H */
