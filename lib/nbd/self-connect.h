/* SPDX-License-Identifier: BSD-3-Clause */
/* Does a connection lead back to this process?
 *
 * A server that forwards to itself would open one connection after the other,
 * or, while it starts, wait for itself.  It is known by its own listening
 * sockets.  A loop over a second server, or one whose address is translated on
 * the way, is not found.
 *
 * Thread-safe.
 */

#ifndef MNBD_LOOP_H
#define MNBD_LOOP_H

#include <stdbool.h>

enum loop {
  LOOP_UNKNOWN,                 /* it is not connected yet */
  LOOP_NO,
  LOOP_YES,
};

enum loop loop_check (int fd);

#endif /* MNBD_LOOP_H */
