/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of the control socket: its mode, stale sockets, and the lock beside
 * it.
 */

#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rpc/server.h"
#include "tests/unit/control-fixture.h"

static void
test_mode (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  struct stat st;
  mode_t old = umask (0);

  start (f, &o);
  assert_int_equal (0, stat (f->path, &st));
  assert_int_equal (0600, st.st_mode & 07777);
  control_free (f->c);
  umask (077);
  o.mode = 0666;
  start (f, &o);
  assert_int_equal (0, stat (f->path, &st));
  assert_int_equal (0666, st.st_mode & 07777);
  umask (old);
}

static void
test_live_socket_is_refused (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  char *error;
  int fd;

  assert_null (control_listen (&o, &error));
  assert_non_null (strstr (error, "a server is listening on it"));
  assert_null (strchr (error, '\n'));
  free (error);
  fd = client (f);
  ping (fd);                    /* it was left alone */
  close (fd);
}

static void
test_stale_socket_is_replaced (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);

  assert_int_equal (0, bind (fd, (struct sockaddr *) &f->addr,
                             sizeof f->addr));
  assert_int_equal (0, listen (fd, 1));
  close (fd);
  start (f, &o);
  fd = client (f);
  ping (fd);
  close (fd);
}

static void
test_other_files_are_refused (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  char *error;
  int fd = open (f->path, O_CREAT | O_WRONLY, 0600);

  assert_int_equal (1, write (fd, "x", 1));
  close (fd);
  assert_null (control_listen (&o, &error));
  assert_non_null (strstr (error, "not a socket"));
  free (error);
  assert_int_equal (0, unlink (f->path));       /* it was still there */
  assert_int_equal (0, symlink ("elsewhere", f->path));
  assert_null (control_listen (&o, &error));
  assert_non_null (strstr (error, "not a socket"));
  free (error);
  assert_int_equal (0, unlink (f->path));
  o.path = "/no/such/folder/s";
  assert_null (control_listen (&o, &error));
  assert_non_null (strstr (error, "folder"));
  free (error);
}

/* If many servers start on a stale socket at once, exactly one gets it. */
#define STARTERS 8

static void *
starter (void *vp)
{
  struct fixture *f = vp;
  struct control_options o = options (f);
  char *error;
  struct control *c = control_listen (&o, &error);

  free (error);
  return c;
}

static struct control *
winner_of_many (struct fixture *f)
{
  pthread_t thread[STARTERS];
  struct control *winner = NULL;
  void *c;
  int i;

  for (i = 0; i < STARTERS; i++)
    pthread_create (&thread[i], NULL, starter, f);
  for (i = 0; i < STARTERS; i++) {
    pthread_join (thread[i], &c);
    if (c) {
      assert_null (winner);
      winner = c;
    }
  }
  assert_non_null (winner);
  return winner;
}

static void
test_one_of_many (void **state)
{
  struct fixture *f = *state;
  struct control *winner;
  int fd, round;

  for (round = 0; round < 20; round++) {
    fd = socket (AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal (0, bind (fd, (struct sockaddr *) &f->addr,
                               sizeof f->addr));
    close (fd);
    winner = winner_of_many (f);
    assert_int_equal (0, control_start (winner));
    fd = client (f);
    ping (fd);
    close (fd);
    control_free (winner);
    assert_int_equal (-1, access (f->path, F_OK));
  }
}

/* The lock's file, of which a test may see only what it has put there. */
static const char *
lock_path (const struct fixture *f)
{
  static char path[128];

  snprintf (path, sizeof path, "%s/.s.lock", f->dir);
  return path;
}

static void
start_and_ping (struct fixture *f)
{
  struct control_options o = options (f);
  int fd;

  start (f, &o);
  fd = client (f);
  ping (fd);
  close (fd);
  control_free (f->c);
  f->c = NULL;
}

static void
leave_stale_socket (struct fixture *f)
{
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);

  assert_int_equal (0, bind (fd, (struct sockaddr *) &f->addr,
                             sizeof f->addr));
  close (fd);
}

/* Anyone who can read a folder can lock it. */
static void
test_locked_folder (void **state)
{
  struct fixture *f = *state;
  int fd = open (f->dir, O_RDONLY | O_DIRECTORY);

  assert_int_equal (0, flock (fd, LOCK_EX));
  start_and_ping (f);
  leave_stale_socket (f);
  start_and_ping (f);
  close (fd);
}

/* A file that is not our lock does not prevent the start, and stays. */
static void
test_name_of_the_lock_is_taken (void **state)
{
  struct fixture *f = *state;
  const char *lock = lock_path (f);
  char other[128];
  int fd;

  snprintf (other, sizeof other, "%s/other", f->dir);
  fd = open (other, O_RDWR | O_CREAT, 0600);
  assert_int_equal (0, flock (fd, LOCK_EX));

  assert_int_equal (0, symlink ("other", lock));
  start_and_ping (f);
  leave_stale_socket (f);
  start_and_ping (f);
  assert_int_equal (0, unlink (lock));

  assert_int_equal (0, link (other, lock));
  start_and_ping (f);
  assert_int_equal (0, unlink (other));
  /* The same file, open to others. */
  assert_int_equal (0, fchmod (fd, 0644));
  start_and_ping (f);
  leave_stale_socket (f);
  start_and_ping (f);
  assert_int_equal (0, unlink (lock));
  close (fd);

  assert_int_equal (0, mkfifo (lock, 0600));
  start_and_ping (f);
  assert_int_equal (0, unlink (lock));

  assert_int_equal (0, mkdir (lock, 0700));
  leave_stale_socket (f);
  start_and_ping (f);
  assert_int_equal (0, rmdir (lock));
}

static void *
unlock_soon (void *vp)
{
  nanosleep (&(struct timespec) { .tv_nsec = 100000000 }, NULL);
  close (*(int *) vp);
  return NULL;
}

/* Our own lock is waited for, whether its holder removes it or was killed; a
 * leftover is removed.
 */
static void
test_lock_of_ours (void **state)
{
  struct fixture *f = *state;
  const char *lock = lock_path (f);
  int fd = open (lock, O_RDWR | O_CREAT, 0600);
  pthread_t thread;

  close (fd);
  start_and_ping (f);
  assert_int_equal (-1, access (lock, F_OK));

  fd = open (lock, O_RDWR | O_CREAT, 0600);
  assert_int_equal (0, flock (fd, LOCK_EX));
  pthread_create (&thread, NULL, unlock_soon, &fd);
  start_and_ping (f);
  pthread_join (thread, NULL);
  assert_int_equal (-1, access (lock, F_OK));
}

/* Even without a lock, no server replaces the socket of another. */
static void
test_one_of_many_without_lock (void **state)
{
  struct fixture *f = *state;
  int round;

  assert_int_equal (0, mkdir (lock_path (f), 0700));
  for (round = 0; round < 5; round++)
    control_free (winner_of_many (f));
  assert_int_equal (0, rmdir (lock_path (f)));
}

/* A socket of another server is not removed. */
static void
test_removes_only_its_own (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  int fd;

  start (f, &o);
  unlink (f->path);
  fd = open (f->path, O_CREAT | O_WRONLY, 0600);
  close (fd);
  control_stop (f->c);
  assert_int_equal (0, access (f->path, F_OK));
  unlink (f->path);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    PLAIN (test_mode),
    TEST (test_live_socket_is_refused),
    PLAIN (test_stale_socket_is_replaced),
    PLAIN (test_other_files_are_refused),
    PLAIN (test_one_of_many),
    PLAIN (test_one_of_many_without_lock),
    PLAIN (test_locked_folder),
    PLAIN (test_name_of_the_lock_is_taken),
    PLAIN (test_lock_of_ours),
    PLAIN (test_removes_only_its_own),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
