/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket to use if the user names none. */

#ifndef MBLOCKCTL_FIND_SOCKET_H
#define MBLOCKCTL_FIND_SOCKET_H

/* Find the only socket in the usual places.  The caller frees its path.  Ends
 * the program with USAGE if there is no socket, or more than one.
 */
char *find_socket (void);

#endif /* MBLOCKCTL_FIND_SOCKET_H */
