/* SPDX-License-Identifier: BSD-3-Clause */
/* A Unix socket that a server listens on: made, and removed at the end.
 *
 * A socket that is left from a server that is no more is replaced; one that a
 * server answers on is not, nor is anything else.  Servers that use one folder
 * take turns at that: they hold flock(2) on the folder meanwhile, so that there
 * is no lock file to be left behind.  The socket has its mode before anyone can
 * connect.
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
  dev_t dev;                    /* of the file, to know it again */
  ino_t ino;                    /* 0: there is none */
};

/* The longest path there can be, in bytes. */
size_t unix_socket_max_path (void);

/* Listen on a socket of that path and mode.  Returns NULL, or a line that says
 * what is wrong, to be freed by the caller.
 */
char *unix_socket_listen (struct unix_socket *s, const char *path,
                          mode_t mode);

/* Remove the file, unless another server has put its own there.
 * Returns 0, or -1 with errno of unlink(2).
 */
int unix_socket_remove (struct unix_socket *s);

#endif /* MBLOCK_UNIX_SOCKET_H */
