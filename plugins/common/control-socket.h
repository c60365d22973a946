/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket of the mramdisk plugin and of the filter: parameters, log
 * and start.
 *
 * Errors are reported with nbdkit_error, in one line that begins with
 * "KEY=VALUE: ".  Single-threaded: for callbacks before any connection.
 */

#ifndef MBLOCK_CONTROL_SOCKET_H
#define MBLOCK_CONTROL_SOCKET_H

#include <sys/types.h>

#include "rpc/control.h"

struct control;

/* Parse the path of the socket, and make it absolute.  Return value and *r are
 * as in value_path (values.h).
 */
int control_socket_path (const char *key, const char *value, char **r);

/* Parse its mode, in octal, from 0 to 777.  Returns 0 or -1. */
int control_socket_mode (const char *key, const char *value, mode_t *r);

/* Parse its group, a name or a number.  Returns 0 or -1. */
int control_socket_group (const char *key, const char *value, gid_t *r);

/* Create the socket that o describes.  Call this in .get_ready: errors are
 * still visible then, while nbdkit may go to the background later.  Sets
 * o->log.  key: the path's parameter, for the message.  Returns NULL after it
 * has reported an error.
 */
struct control *control_socket_listen (const char *key,
                                       struct control_options *o);

/* Start serving, in .after_fork. c may be NULL, if there is no socket.  Returns
 * 0 or -1.
 */
int control_socket_start (const char *key, const char *path,
                          struct control *c);

#endif /* MBLOCK_CONTROL_SOCKET_H */
