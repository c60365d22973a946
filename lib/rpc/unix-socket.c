/* SPDX-License-Identifier: BSD-3-Clause */
/* A Unix socket that a server listens on.  unix-socket.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/message.h"
#include "rpc/unix-socket.h"

/* How long a start waits for another one that holds the lock. */
#define LOCK_TRIES 250
#define LOCK_WAIT_NS (20 * 1000 * 1000)

/* How often a socket must look stale if there is no lock, and the wait in
 * between.
 */
#define STALE_LOOKS 25

size_t
unix_socket_max_path (void)
{
  return sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;
}

static void
pause_a_moment (void)
{
  const struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };

  nanosleep (&wait, NULL);
}

/* ------------------------------------------------------------------ lock */

struct lock {
  char *path;
  int fd;                       /* -1: it is not held */
};

static void
unlock (struct lock *l)
{
  /* Before the lock is released: another start that waits for it sees that the
   * file has gone (lock_is_current), and creates another.
   */
  if (l->fd >= 0) {
    unlink (l->path);
    close (l->fd);
  }
  free (l->path);
}

#define CLEANUP_UNLOCK __attribute__ ((cleanup (unlock)))

/* Whether no other user can open it.  A link to another file of ours, which
 * others may open, is no lock either.
 */
static bool
lock_is_ours (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_nlink <= 1 &&
    st.st_uid == geteuid () && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Whether it is still the file of that name. */
static bool
lock_is_current (const struct lock *l)
{
  struct stat ours, there;

  return fstat (l->fd, &ours) == 0 && lstat (l->path, &there) == 0 &&
    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static void
lock_close (struct lock *l)
{
  close (l->fd);
  l->fd = -1;
}

/* Returns a line that says what is wrong; or NULL: the lock is held, or is
 * impossible for some reason (l->fd is -1).
 */
static char *
lock (struct lock *l, const char *path)
{
  const char *slash = strrchr (path, '/');
  unsigned i;

  assert (slash != NULL);
  if (asprintf (&l->path, "%.*s/.%s.lock", (int) (slash - path), path,
                slash + 1) == -1) {
    l->path = NULL;
    return message ("%s", strerror (ENOMEM));
  }
  for (i = 0; i < LOCK_TRIES; i++) {
    /* Non-blocking: it may be a FIFO. */
    l->fd = open (l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
                  O_NOCTTY | O_CLOEXEC, 0600);
    if (l->fd == -1)
      return errno == ENOENT || errno == ENOTDIR
        ? message ("there is no such folder") : NULL;
    if (!lock_is_ours (l->fd)) {
      lock_close (l);
      return NULL;
    }
    if (flock (l->fd, LOCK_EX | LOCK_NB) == 0) {
      if (lock_is_current (l))
        return NULL;
      lock_close (l);
      continue;
    }
    lock_close (l);
    pause_a_moment ();
  }
  return message ("%s is locked: another server is starting on this socket",
                  l->path);
}

/* ---------------------------------------------------------------- listen */

/* Whether the file at the socket's path is stale.  Returns NULL if it is, or if
 * there is none (*ino is then 0); else what is wrong.
 */
static char *
look_at (const struct sockaddr_un *addr, ino_t *ino)
{
  CLEANUP_CLOSE int fd = -1;
  struct stat st;

  *ino = 0;
  if (lstat (addr->sun_path, &st) == -1) {
    if (errno == ENOENT)
      return NULL;
    return message ("cannot access it: %m");
  }
  if (!S_ISSOCK (st.st_mode))
    return message ("it exists and is not a socket: expected a socket, or a "
                    "path that does not exist");
  /* So that a server whose queue is full does not block us. */
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return message ("socket: %m");
  if (connect (fd, (const struct sockaddr *) addr, sizeof *addr) == 0 ||
      errno == EAGAIN || errno == EINPROGRESS)
    return message ("a server is listening on it: expected a stale socket, or "
                    "a path that does not exist");
  if (errno == ENOENT)          /* it has just gone */
    return NULL;
  if (errno != ECONNREFUSED)
    return message ("cannot tell whether a server is listening on it: %m");
  *ino = st.st_ino;
  return NULL;
}

/* Remove a stale file at the path of the socket. */
static char *
remove_stale (const struct sockaddr_un *addr, bool locked)
{
  unsigned i, looks = locked ? 1 : STALE_LOOKS;
  ino_t first, ino;
  char *wrong = look_at (addr, &first);

  if (wrong || first == 0)
    return wrong;
  for (i = 1; i < looks; i++) {
    pause_a_moment ();
    wrong = look_at (addr, &ino);
    if (wrong || ino == 0)
      return wrong;
    if (ino != first) {         /* another one: start again */
      first = ino;
      i = 0;
    }
  }
  if (unlink (addr->sun_path) == -1)
    return message ("cannot remove the stale socket: %m");
  return NULL;
}

/* Set the group and the mode of the socket's file, and remember its identity.
 * Returns 0, or -1 with errno.
 */
static int
set_mode (struct unix_socket *s, mode_t mode, gid_t group)
{
  CLEANUP_CLOSE int fd = open (s->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  char self[64];
  struct stat st;

  if (fd == -1 || fstat (fd, &st) == -1)
    return -1;
  /* In a folder without the sticky bit, anyone could have replaced it by now.
   */
  if (!S_ISSOCK (st.st_mode) || st.st_uid != geteuid ()) {
    errno = ESTALE;
    return -1;
  }
  s->dev = st.st_dev;
  s->ino = st.st_ino;
  if (group != (gid_t) -1 && group != st.st_gid &&
      fchownat (fd, "", -1, group, AT_EMPTY_PATH) == -1)
    return -1;
  if ((st.st_mode & ALLPERMS) == mode)
    return 0;
  /* There is no fchmod for this kind of descriptor. */
  snprintf (self, sizeof self, "/proc/self/fd/%d", fd);
  return chmod (self, mode);
}

char *
unix_socket_listen (struct unix_socket *s, const char *path, mode_t mode,
                    gid_t group)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  CLEANUP_UNLOCK struct lock l = { .fd = -1 };
  char *wrong;

  s->fd = -1;
  s->ino = 0;
  s->path = path;
  if (strlen (path) > unix_socket_max_path ())
    return message ("the path is too long: expected at most %zu bytes",
                    unix_socket_max_path ());
  strcpy (addr.sun_path, path);

  wrong = lock (&l, path);
  if (wrong == NULL)
    wrong = remove_stale (&addr, l.fd >= 0);
  if (wrong)
    return wrong;

  s->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd == -1)
    return message ("socket: %m");
  /* On Linux this limits the mode that bind(2) gives the file; nobody can
   * connect before listen(2) anyway.
   */
  (void) fchmod (s->fd, group == (gid_t) -1 ? mode : mode & S_IRWXU);
  if (bind (s->fd, (struct sockaddr *) &addr, sizeof addr) == -1)
    return errno == EADDRINUSE
      ? message ("another server has just created its socket there")
      : message ("bind: %m");
  if (set_mode (s, mode, group) == -1 || listen (s->fd, SOMAXCONN) == -1) {
    wrong = message ("cannot create the socket: %m");
    if (s->ino)
      unlink (path);
    s->ino = 0;
    return wrong;
  }
  return NULL;
}

int
unix_socket_remove (struct unix_socket *s)
{
  struct stat st;
  int r = 0;

  if (s->ino == 0)
    return 0;
  if (lstat (s->path, &st) == 0 && S_ISSOCK (st.st_mode) &&
      st.st_dev == s->dev && st.st_ino == s->ino)
    r = unlink (s->path);
  s->ino = 0;
  return r;
}
