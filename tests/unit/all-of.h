/* SPDX-License-Identifier: BSD-3-Clause */
/* What the servers of unit tests send and receive. */

#ifndef MBLOCK_ALL_OF_H
#define MBLOCK_ALL_OF_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/socket.h>

/* Send, or receive, exactly n bytes.  false: the other end has gone. */
static inline bool
all_of (int fd, void *buf, size_t n, bool out)
{
  char *b = buf;

  while (n) {
    ssize_t r = out ? send (fd, b, n, MSG_NOSIGNAL) : recv (fd, b, n, 0);

    if (r <= 0)
      return false;
    b += r;
    n -= r;
  }
  return true;
}

#endif /* MBLOCK_ALL_OF_H */
