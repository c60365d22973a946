/* SPDX-License-Identifier: BSD-3-Clause */
/* Remotes that cannot be opened.  With a server:
 * tests/control/test-control-push.sh and others.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugins/mramdisk/remote.h"
#include "unit.h"

static void
expect_refused (const char *uri, int err, const char *expected)
{
  struct remote_options o = REMOTE_OPTIONS_INIT;
  char why[REMOTE_WHY];

  o.uri = uri;
  errno = 0;
  assert_null (remote_open (&o, why));
  assert_string_equal (why, expected);
  assert_int_equal (errno, err);
}

static void
test_bad_uris (void **state)
{
  (void) state;
  expect_refused ("/dev/null", EINVAL, "/dev/null: expected the URI of an NBD "
                  "server, such as nbd://HOST or nbd+unix:///?socket=PATH");
  expect_refused ("nbd://h/\n", EINVAL, "nbd://h/\\x0a: expected "
                  "percent-encoding of characters that a URI cannot have, such "
                  "as %20 for a space");
  expect_refused ("nbds://h/?tls-psk-file=/k", EINVAL, "nbds://h/?tls-psk-file="
                  "/k: expected no tls-psk-file= in the URI: only socket= is "
                  "supported");
}

static void
test_away (void **state)
{
  char why[REMOTE_WHY];
  struct remote_options o = REMOTE_OPTIONS_INIT;

  (void) state;
  o.uri = "nbd+unix:///x?socket=/nonexistent/s";
  assert_null (remote_open (&o, why));
  assert_int_equal (strncmp (why, o.uri, strlen (o.uri)), 0);
  assert_non_null (strstr (why, "No such file or directory"));
  assert_null (strchr (why, '\n'));
}

static void
test_itself (void **state)
{
  char folder[] = "/tmp/mblock-unit-XXXXXX", uri[256], expected[400];
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  (void) state;
  assert_non_null (mkdtemp (folder));
  snprintf (sun.sun_path, sizeof sun.sun_path, "%s/s", folder);
  assert_int_equal (bind (fd, (struct sockaddr *) &sun, sizeof sun), 0);
  assert_int_equal (listen (fd, 5), 0);
  snprintf (uri, sizeof uri, "nbd+unix:///?socket=%s", sun.sun_path);
  snprintf (expected, sizeof expected, "%s: it is this server itself: a loop",
            uri);
  expect_refused (uri, ELOOP, expected);
  close (fd);
  unlink (sun.sun_path);
  rmdir (folder);
}

/* nbdkit, with an export of 1 MiB on this socket.  Once it listens, it writes
 * the other file.  0: there is no nbdkit.
 */
static pid_t
start_nbdkit (const char *path, const char *pidfile)
{
  const struct timespec moment = { .tv_nsec = 10000000 };
  pid_t pid = fork ();

  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    execlp ("nbdkit", "nbdkit", "-f", "-U", path, "-P", pidfile, "null", "1M",
            (char *) NULL);
    _exit (127);
  }
  while (access (pidfile, F_OK) == -1) {
    if (waitpid (pid, NULL, WNOHANG) == pid)
      return 0;
    nanosleep (&moment, NULL);
  }
  return pid;
}

/* The server has connections, and answers nothing any more: not for ever does
 * a request wait.
 */
static void
test_hangs (void **state)
{
  char folder[] = "/tmp/mblock-unit-XXXXXX", path[64], pidfile[64], uri[128];
  struct remote_options o = REMOTE_OPTIONS_INIT;
  char why[REMOTE_WHY], page[4096];
  struct remote *r;
  pid_t pid;

  (void) state;
  assert_non_null (mkdtemp (folder));
  snprintf (path, sizeof path, "%s/s", folder);
  snprintf (pidfile, sizeof pidfile, "%s/pid", folder);
  snprintf (uri, sizeof uri, "nbd+unix:///?socket=%s", path);
  pid = start_nbdkit (path, pidfile);
  if (pid) {
    o.uri = uri;
    o.request_timeout = o.reconnect = 2 * NS_PER_S;
    r = remote_open (&o, why);
    assert_non_null (r);
    assert_int_equal (bdev_read (remote_bdev (r), page, sizeof page, 0), 0);
    kill (pid, SIGSTOP);
    waitpid (pid, NULL, WUNTRACED);
    alarm (300);                /* ends the test if the request does not end */
    assert_int_equal (bdev_read (remote_bdev (r), page, sizeof page, 0), -1);
    alarm (0);
    assert_int_equal (errno, ESHUTDOWN);
    assert_int_equal (remote_outages (r), 1);
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    remote_close (r);
    unlink (path);
    unlink (pidfile);
  }
  rmdir (folder);
  if (pid == 0)
    skip ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_bad_uris),
    cmocka_unit_test (test_away),
    cmocka_unit_test (test_itself),
    cmocka_unit_test (test_hangs),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
