/* SPDX-License-Identifier: BSD-3-Clause */
/* A Unix socket that a server listens on.  unix-socket.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "message.h"
#include "unix-socket.h"

/* How long a start waits for another one that has the folder's lock. */
#define LOCK_TRIES 100
#define LOCK_WAIT_NS (20 * 1000 * 1000)

size_t
unix_socket_max_path (void)
{
  return sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;
}

/* Open and lock the folder of a path.  -1: see errno. */
static int
lock_folder (const char *path)
{
  const struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };
  CLEANUP_FREE char *folder = strdup (path);
  char *slash;
  unsigned i;
  int fd, err;

  if (folder == NULL)
    return -1;
  slash = strrchr (folder, '/');
  assert (slash != NULL);
  slash[slash == folder] = '\0';
  fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd == -1)
    return -1;
  for (i = 0; flock (fd, LOCK_EX | LOCK_NB) == -1; i++) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || i == LOCK_TRIES) {
      err = errno;
      close (fd);
      errno = err;
      return -1;
    }
    nanosleep (&wait, NULL);
  }
  return fd;
}

/* Remove what is in the way of the socket, if it is nobody's any more. */
static char *
remove_stale (const struct sockaddr_un *addr)
{
  const char *path = addr->sun_path;
  CLEANUP_CLOSE int fd = -1;
  struct stat st;

  if (lstat (path, &st) == -1) {
    if (errno == ENOENT)
      return NULL;
    return message ("cannot look at it: %m");
  }
  if (!S_ISSOCK (st.st_mode))
    return message ("there is something that is not a socket: expected a "
                    "socket or nothing there");
  /* Not to be held up by a server whose queue is full. */
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return message ("socket: %m");
  if (connect (fd, (const struct sockaddr *) addr, sizeof *addr) == 0 ||
      errno == EAGAIN || errno == EINPROGRESS)
    return message ("a server is live on it already: expected a socket that "
                    "nobody listens on, or nothing there");
  if (errno != ECONNREFUSED)
    return message ("cannot see whether a server is live on it: %m");
  if (unlink (path) == -1)
    return message ("cannot remove the socket that was left there: %m");
  return NULL;
}

char *
unix_socket_listen (struct unix_socket *s, const char *path, mode_t mode)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  CLEANUP_CLOSE int folder = -1;
  struct stat st;
  char *wrong;

  s->fd = -1;
  s->ino = 0;
  s->path = path;
  if (strlen (path) > unix_socket_max_path ())
    return message ("the path is too long: expected at most %zu bytes",
                    unix_socket_max_path ());
  strcpy (addr.sun_path, path);

  folder = lock_folder (path);
  if (folder == -1)
    return errno == ENOENT || errno == ENOTDIR
      ? message ("there is no such folder")
      : message ("cannot lock its folder: %m");
  wrong = remove_stale (&addr);
  if (wrong)
    return wrong;

  s->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd == -1)
    return message ("socket: %m");
  /* On Linux this is the most that bind(2) gives the file; nobody can connect
   * before listen(2) anyway.
   */
  (void) fchmod (s->fd, mode);
  if (bind (s->fd, (struct sockaddr *) &addr, sizeof addr) == -1)
    return message ("bind: %m");
  if (lstat (path, &st) == -1 || chmod (path, mode) == -1 ||
      listen (s->fd, SOMAXCONN) == -1) {
    wrong = message ("cannot make the socket: %m");
    unlink (path);
    return wrong;
  }
  s->dev = st.st_dev;
  s->ino = st.st_ino;
  return NULL;
}

int
unix_socket_remove (struct unix_socket *s)
{
  CLEANUP_CLOSE int folder = -1;
  struct stat st;
  int r = 0;

  if (s->ino == 0)
    return 0;
  folder = lock_folder (s->path);
  if (lstat (s->path, &st) == 0 && S_ISSOCK (st.st_mode) &&
      st.st_dev == s->dev && st.st_ino == s->ino)
    r = unlink (s->path);
  s->ino = 0;
  return r;
}
