/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: clients that behave, and those that do not. */

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rpc/server.h"
#include "tests/unit/control-fixture.h"

static void
test_answers_in_order (void **state)
{
  int fd = client (*state), i;
  char line[100], want[32];

  for (i = 0; i < 1000; i++) {
    snprintf (line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%d,"
              "\"method\":\"ping\",\"params\":{\"n\":%d}}\n", i, i);
    say (fd, line);
  }
  for (i = 0; i < 1000; i++) {
    snprintf (want, sizeof want, "\"pong\":%d}", i);
    expect (fd, want);
  }
  close (fd);
}

static void
test_a_byte_at_a_time (void **state)
{
  const char *s = PING (8);
  int a = client (*state), b = client (*state);

  for (; *s; s++) {
    say_n (a, s, 1);
    ping (b);
  }
  expect (a, "\"pong\":8");
  close (a);
  close (b);
}

static void
test_blank_lines (void **state)
{
  int fd = client (*state);

  say (fd, "\n\r\n  \t\n" PING (9));
  expect (fd, "\"pong\":9");
  close (fd);
}

static void
test_bad_input_keeps_the_connection (void **state)
{
  int fd = client (*state);

  say (fd, "nonsense\n[]\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n");
  expect (fd, "-32700");
  expect (fd, "-32600");
  expect (fd, "-32601");
  ping (fd);
  close (fd);
}

#define GATE(n) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"gate\"," \
  "\"params\":{\"n\":" #n "}}\n"

/* A blocking method: the next requests of its client wait, those of others do
 * not, and several such methods run at once.
 */
static void
test_slow (void **state)
{
  int a = client (*state), b = client (*state), c = client (*state);

  say (a, GATE (1) PING (7) "{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n");
  say (b, GATE (2) GATE (3));
  ping (c);
  open_gate (2);
  expect (b, "\"pong\":2");
  open_gate (1);
  expect (a, "\"pong\":1");
  expect (a, "\"pong\":7");
  ping (c);
  open_gate (3);
  expect (b, "\"pong\":3");
  ping (a);
  wait_for_log ("gate {\"n\":3}: done");
  /* An invalid call needs no thread. */
  say (c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"gate\","
       "\"params\":{\"n\":\"x\"}}\n");
  expect (c, "-32602");
  close (a);
  close (b);
  close (c);
}

static void *
open_gate_4 (void *opaque)
{
  (void) opaque;
  nanosleep (&(struct timespec) { .tv_nsec = 50000000 }, NULL);
  open_gate (4);
  return NULL;
}

static void *
stop_control (void *vp)
{
  struct fixture *f = vp;

  control_close (f->c);
  return NULL;
}

/* The end begins while methods run, and they can see it. */
static void
test_close_with_a_slow_one (void **state)
{
  struct fixture *f = *state;
  int a = client (f);
  pthread_t thread;

  say (a, GATE (5) PING (7));
  wait_for_gate (5);
  assert_false (control_ending (f->c));
  pthread_create (&thread, NULL, stop_control, f);
  pthread_join (thread, NULL);
  assert_true (control_ending (f->c));
  assert_false (control_is_idle (f->c));
  assert_int_equal (-1, try_connect (f));
  open_gate (5);
  control_stop (f->c);
  assert_true (control_is_idle (f->c));
  expect (a, "\"pong\":5");
  expect_end (a);               /* the ping never began */
}

/* Its client disconnects, or sends no more; and the end waits for the method.
 */
static void
test_slow_and_gone (void **state)
{
  struct fixture *f = *state;
  int a = client (f), b = client (f), c = client (f);
  pthread_t thread;

  say (a, GATE (1));
  close (a);
  say (b, GATE (2));
  assert_int_equal (0, shutdown (b, SHUT_WR));
  ping (c);
  open_gate (1);
  wait_for_log ("gate {\"n\":1}: done");
  open_gate (2);
  expect (b, "\"pong\":2");
  expect_end (b);
  say (c, GATE (4));
  wait_for_gate (4);
  pthread_create (&thread, NULL, open_gate_4, NULL);
  control_stop (f->c);
  pthread_join (thread, NULL);
  expect (c, "\"pong\":4");
  expect_end (c);
}

static void
test_longest_line (void **state)
{
  int fd = client (*state);
  char *line = malloc (CONTROL_MAX_LINE + 2);
  size_t n = strlen (PING (3)) - 1;

  memset (line, ' ', CONTROL_MAX_LINE);
  memcpy (line, PING (3), n);
  line[CONTROL_MAX_LINE] = '\n';
  say_n (fd, line, CONTROL_MAX_LINE + 1);
  expect (fd, "\"pong\":3");

  line[CONTROL_MAX_LINE] = ' ';
  line[CONTROL_MAX_LINE + 1] = '\n';
  say_n (fd, line, CONTROL_MAX_LINE + 2);
  expect (fd, "too long");
  expect_end (fd);
  wait_for_log ("a line of over 1048576 bytes");
  free (line);
}

static void
test_line_without_end (void **state)
{
  int fd = client (*state), other = client (*state);
  char block[4096];
  ssize_t n = 1;
  unsigned i;

  memset (block, 'x', sizeof block);
  for (i = 0; i < 2048 && n > 0; i++)   /* 8 MiB, but it is closed before */
    n = send (fd, block, sizeof block, MSG_NOSIGNAL);
  assert_true (n <= 0);
  wait_for_log ("a line of over");
  ping (other);
  close (fd);
  close (other);
}

/* More requests than one turn answers, from clients that do not wait: nothing
 * of them stays in a list.
 */
static void
test_pipelines_and_vanishes (void **state)
{
  int fd, other = client (*state), i, k;

  for (i = 0; i < 200; i++) {
    fd = client (*state);
    for (k = 0; k < 10 + i % 40; k++)
      say (fd, PING (1));
    close (fd);
    if (i % 8 == 0)
      ping (other);
  }
  ping (other);
  close (other);
}

static void
test_gone_in_mid_line (void **state)
{
  int fd = client (*state), other = client (*state);

  say (fd, "{\"jsonrpc\":");
  close (fd);
  wait_for_log ("gone in the middle of a line");
  ping (other);
  close (other);
}

static void
test_half_closed (void **state)
{
  int fd = client (*state);

  say (fd, PING (1) PING (2));
  shutdown (fd, SHUT_WR);
  expect (fd, "\"pong\":1");
  expect (fd, "\"pong\":2");
  expect_end (fd);
}

static void
test_half_closed_subscriber_goes_on (void **state)
{
  struct fixture *f = *state;
  int fd = client (f), other = client (f);

  say (fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\","
       "\"params\":{\"n\":1}}\n");
  expect (fd, "result");
  shutdown (fd, SHUT_WR);
  ping (other);
  control_publish (f->c, 1, strdup ("event\n"), 6);
  expect (fd, "event");
  close (fd);
  close (other);
}

/* A client that sends for ever and reads nothing: its requests are no longer
 * answered, and after a while it is closed.
 */
static void
test_never_reads (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  const char *big = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\","
    "\"params\":{\"n\":1000000}}\n";
  int fd, other;
  unsigned i;

  o.stall_ms = 200;
  start (f, &o);
  fd = client (f);
  other = client (f);
  for (i = 0; i < 20; i++)
    say (fd, big);
  ping (other);
  wait_for_log ("it does not read its answers");
  ping (other);
  close (fd);
  close (other);
}

/* A client that reads late, but does read. */
static void
test_reads_late (void **state)
{
  int fd = client (*state);
  unsigned i;
  char *line;

  for (i = 0; i < 12; i++)
    say (fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\","
         "\"params\":{\"n\":1000000}}\n");
  for (i = 0; i < 12; i++) {
    line = hear (fd);
    assert_true (strlen (line) > 1000000);
    free (line);
  }
  ping (fd);
  close (fd);
}

/* Who leaves little unread may take as long as it likes. */
static void
test_reads_after_the_limit (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  unsigned i;
  char *line;
  int fd;

  o.stall_ms = 100;
  start (f, &o);
  fd = client (f);
  for (i = 0; i < 3; i++)
    say (fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\","
         "\"params\":{\"n\":1000000}}\n");
  nanosleep (&(struct timespec) { .tv_nsec = 500000000 }, NULL);
  for (i = 0; i < 3; i++) {
    line = hear (fd);
    assert_true (strlen (line) > 1000000);
    free (line);
  }
  ping (fd);
  close (fd);
}

static void
test_subscriber_never_reads (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  char *text;
  int fd, other;
  unsigned i;

  o.stall_ms = 0;               /* so that it is not this that closes it */
  start (f, &o);
  fd = client (f);
  other = client (f);

  say (fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\","
       "\"params\":{\"n\":2}}\n");
  expect (fd, "result");
  assert_true (control_wanted (f->c, 2));
  assert_false (control_wanted (f->c, 1));
  for (i = 0; i < 100; i++) {
    text = malloc (100000);
    memset (text, 'x', 100000);
    text[99999] = '\n';
    control_publish (f->c, 2, text, 100000);
  }
  wait_for_log ("it does not read its events");
  ping (other);
  assert_false (control_wanted (f->c, 2));
  close (fd);
  close (other);
}

static void *
publisher (void *vp)
{
  struct fixture *f = vp;
  unsigned i;

  for (i = 0; i < 1000; i++) {
    char *line;
    int n = asprintf (&line, "%u\n", i);

    control_publish (f->c, 1 + i % 2, line, n);
  }
  return NULL;
}

static void
test_events_in_order (void **state)
{
  struct fixture *f = *state;
  int all = client (f), odd = client (f);
  pthread_t thread;
  char want[16];
  unsigned i;

  say (all, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\","
       "\"params\":{\"n\":3}}\n");
  expect (all, "result");
  say (odd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\","
       "\"params\":{\"n\":2}}\n");
  expect (odd, "result");
  pthread_create (&thread, NULL, publisher, f);
  for (i = 0; i < 1000; i++) {
    snprintf (want, sizeof want, "%u\n", i);
    expect (all, want);
    if (i % 2)
      expect (odd, want);
  }
  pthread_join (thread, NULL);
  ping (odd);
  close (all);
  close (odd);
}

static void
test_too_many (void **state)
{
  struct fixture *f = *state;
  struct control_options o = options (f);
  int fd[3], i;

  o.max_clients = 2;
  start (f, &o);
  for (i = 0; i < 2; i++) {
    fd[i] = client (f);
    ping (fd[i]);
  }
  fd[2] = client (f);
  expect (fd[2], "-32008");
  expect_end (fd[2]);
  wait_for_log ("too many");
  close (fd[0]);
  ping (fd[1]);
  for (i = 0; i < 1000; i++) {
    char *line;

    fd[2] = client (f);
    send (fd[2], PING (5), strlen (PING (5)), MSG_NOSIGNAL);
    line = hear (fd[2]);
    close (fd[2]);
    if (strstr (line, "\"pong\":5"))
      i = 1000;
    free (line);
  }
  assert_int_equal (1001, i);
  close (fd[1]);
}

static void
test_a_thousand_idle (void **state)
{
  enum { N = 1000 };
  static int fd[N];
  struct rlimit rl;
  int i, other;

  getrlimit (RLIMIT_NOFILE, &rl);
  rl.rlim_cur = rl.rlim_max < 4096 ? rl.rlim_max : 4096;
  setrlimit (RLIMIT_NOFILE, &rl);
  if (rl.rlim_cur < 2 * N + 100)
    skip ();
  for (i = 0; i < N; i++)
    fd[i] = client (*state);
  other = client (*state);
  ping (other);
  ping (fd[N - 1]);
  close (other);
  for (i = 0; i < N; i++)
    close (fd[i]);
}

/* No file descriptor is left for one more client, which is told so. */
static void
test_no_descriptors (void **state)
{
  int fd = client (*state), other, last, i, n = 0;
  static int filler[8192];
  struct rlimit rl, low;

  ping (fd);
  getrlimit (RLIMIT_NOFILE, &rl);
  low = rl;
  low.rlim_cur = 256;
  other = socket (AF_UNIX, SOCK_STREAM, 0);
  setrlimit (RLIMIT_NOFILE, &low);
  while ((last = open ("/dev/null", O_RDONLY)) >= 0)
    filler[n++] = last;
  connect (other, (struct sockaddr *) &((struct fixture *) *state)->addr,
           sizeof (struct sockaddr_un));
  expect (other, "-32008");
  expect_end (other);
  ping (fd);
  for (i = 0; i < n; i++)
    close (filler[i]);
  setrlimit (RLIMIT_NOFILE, &rl);
  wait_for_log ("no file descriptors");
  close (fd);
  fd = client (*state);         /* and it goes on */
  ping (fd);
  close (fd);
}

static void
test_changes_are_logged (void **state)
{
  int fd = client (*state);
  char want[100];

  ping (fd);
  snprintf (want, sizeof want, "(pid %ld, uid %ld): ping {\"n\":7}: done",
            (long) getpid (), (long) getuid ());
  wait_for_log (want);
  close (fd);
}

static void
test_stop_with_clients (void **state)
{
  struct fixture *f = *state;
  int fd = client (f);

  ping (fd);
  say (fd, "{\"half\":");
  control_stop (f->c);
  expect_end (fd);
  assert_int_equal (-1, try_connect (f));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_answers_in_order),
    TEST (test_a_byte_at_a_time),
    TEST (test_blank_lines),
    TEST (test_bad_input_keeps_the_connection),
    TEST (test_slow),
    TEST (test_slow_and_gone),
    TEST (test_close_with_a_slow_one),
    TEST (test_longest_line),
    TEST (test_line_without_end),
    TEST (test_pipelines_and_vanishes),
    TEST (test_gone_in_mid_line),
    TEST (test_half_closed),
    TEST (test_half_closed_subscriber_goes_on),
    PLAIN (test_never_reads),
    PLAIN (test_reads_after_the_limit),
    TEST (test_reads_late),
    PLAIN (test_subscriber_never_reads),
    TEST (test_events_in_order),
    PLAIN (test_too_many),
    TEST (test_a_thousand_idle),
    TEST (test_no_descriptors),
    TEST (test_changes_are_logged),
    TEST (test_stop_with_clients),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
