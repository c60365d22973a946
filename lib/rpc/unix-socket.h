/* SPDX-License-Identifier: BSD-3-Clause */
/* A Unix socket that a server listens on: how it is created, and removed at the
 * end.
 *
 * A socket that a server left behind is replaced; one that a server answers on
 * is not, and neither is any other file.  The socket has its mode before any
 * client can connect.
 *
 * Two servers that start at once must not replace each other's sockets.  A
 * server that creates one therefore holds a lock on a file beside it,
 * ".NAME.lock", which it creates for that and removes again.  In a folder that
 * others can write to (/tmp), no other user may be able to hold that lock, or
 * any user could block a start: the file must belong to us, and be closed to
 * others.  If something else has its name, the start continues without a lock,
 * and waits before it replaces a socket: a socket that has just been bound, and
 * does not listen yet, looks like one that was left behind.
 *
 * Removing the socket needs no lock: as long as it listens, nobody takes it for
 * one that was left behind.
 *
 * Symbolic links are not followed, neither for the lock nor for the socket.
 *
 * Thread-safety: no state but the struct's.
 */

#ifndef MBLOCK_UNIX_SOCKET_H
#define MBLOCK_UNIX_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

struct unix_socket {
  const char *path;             /* absolute; the caller's */
  int fd;                       /* non-blocking; the caller's to close, or -1 */
  dev_t dev;                    /* identify the file */
  ino_t ino;                    /* 0: no file */
};

/* The length of the longest possible path, in bytes. */
size_t unix_socket_max_path (void);

/* Listen on a socket with this path, mode and group ((gid_t) -1: unchanged).
 * Returns NULL, or a line that says what is wrong, which the caller frees.
 */
char *unix_socket_listen (struct unix_socket *s, const char *path,
                          mode_t mode, gid_t group);

/* Remove the file, unless another server has put its own there.  The socket
 * must still be listening.  Returns 0, or -1 with errno of unlink(2).
 */
int unix_socket_remove (struct unix_socket *s);

#endif /* MBLOCK_UNIX_SOCKET_H */
