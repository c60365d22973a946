/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: clients that behave, and those that do not. */

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

#define WAIT_MS 20000
#define STALL_MS 200

struct fixture {
  struct control *c;
  char dir[64], path[96];
  struct sockaddr_un addr;
};

/* The log, in one piece. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1 << 16];

static void
log_line (void *opaque, enum control_log level, const char *line)
{
  (void) opaque;
  (void) level;
  pthread_mutex_lock (&log_lock);
  if (strlen (log_text) + strlen (line) + 2 < sizeof log_text) {
    strcat (log_text, line);
    strcat (log_text, "\n");
  }
  pthread_mutex_unlock (&log_lock);
}

static bool
logged (const char *text)
{
  bool found;

  pthread_mutex_lock (&log_lock);
  found = strstr (log_text, text) != NULL;
  pthread_mutex_unlock (&log_lock);
  return found;
}

static void
wait_for_log (const char *text)
{
  unsigned i;

  for (i = 0; i < WAIT_MS / 10 && !logged (text); i++)
    nanosleep (&(struct timespec) { .tv_nsec = 10000000 }, NULL);
  if (!logged (text))
    fail_msg ("the log does not say \"%s\" but: %s", text, log_text);
}

static json_t *
method_ping (struct jsonrpc_call *call)
{
  return json_pack ("{s:o}", "pong",
                    json_deep_copy (json_object_get (call->params, "n")));
}

static json_t *
method_big (struct jsonrpc_call *call)
{
  size_t n = jsonrpc_integer (call, "n");
  char *text = malloc (n + 1);
  json_t *result;

  memset (text, 'x', n);
  text[n] = '\0';
  result = json_pack ("{s:s}", "text", text);
  free (text);
  return result;
}

static json_t *
method_subscribe (struct jsonrpc_call *call)
{
  control_subscribe (call->client, jsonrpc_integer (call, "n"));
  return json_pack ("{}");
}

/* Call n waits until the gate is open for n. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static uint32_t gates_open, gates_reached;

static json_t *
method_gate (struct jsonrpc_call *call)
{
  uint32_t gate = UINT32_C (1) << jsonrpc_integer (call, "n");

  assert_null (call->client);
  pthread_mutex_lock (&gate_lock);
  gates_reached |= gate;
  pthread_cond_broadcast (&gate_changed);
  while (!(gates_open & gate))
    pthread_cond_wait (&gate_changed, &gate_lock);
  gates_open &= ~gate;
  gates_reached &= ~gate;
  pthread_mutex_unlock (&gate_lock);
  return method_ping (call);
}

static void
open_gate (unsigned n)
{
  pthread_mutex_lock (&gate_lock);
  while (!(gates_reached & UINT32_C (1) << n))
    pthread_cond_wait (&gate_changed, &gate_lock);
  gates_open |= UINT32_C (1) << n;
  pthread_cond_broadcast (&gate_changed);
  pthread_mutex_unlock (&gate_lock);
}

static const struct jsonrpc_param n_params[] = {
  { .name = "n", .type = JSONRPC_INTEGER, .min = 0, .max = 1 << 30,
    .fallback = "0", .summary = "A number." },
  { .name = NULL }
};

static const struct jsonrpc_method methods[] = {
  { .name = "ping", .params = n_params, .changes = true, .fn = method_ping },
  { .name = "big", .params = n_params, .fn = method_big },
  { .name = "subscribe", .params = n_params, .fn = method_subscribe },
  { .name = "gate", .params = n_params, .slow = true, .changes = true,
    .fn = method_gate },
  { .name = NULL }
};

static struct control_options
options (struct fixture *f)
{
  return (struct control_options) {
    .path = f->path, .mode = 0600, .methods = methods, .log = log_line,
    .stall_ms = STALL_MS,
  };
}

static void
start (struct fixture *f, const struct control_options *o)
{
  char *error;

  f->c = control_listen (o, &error);
  if (f->c == NULL)
    fail_msg ("%s", error);
  assert_int_equal (0, control_start (f->c));
}

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  strcpy (f->dir, "/tmp/mblock-test-XXXXXX");
  if (mkdtemp (f->dir) == NULL)
    return -1;
  sprintf (f->path, "%s/s", f->dir);
  f->addr.sun_family = AF_UNIX;
  strcpy (f->addr.sun_path, f->path);
  log_text[0] = '\0';
  *state = f;
  return 0;
}

static int
setup_and_start (void **state)
{
  struct control_options o;

  if (setup (state) == -1)
    return -1;
  o = options (*state);
  start (*state, &o);
  return 0;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  control_free (f->c);
  assert_int_equal (-1, access (f->path, F_OK));
  assert_int_equal (0, rmdir (f->dir));
  free (f);
  return 0;
}

/* --------------------------------------------------------------- clients */

static int
try_connect (struct fixture *f)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  assert_true (fd >= 0);
  if (connect (fd, (struct sockaddr *) &f->addr, sizeof f->addr) == -1) {
    close (fd);
    return -1;
  }
  return fd;
}

static int
client (struct fixture *f)
{
  int fd = try_connect (f);

  assert_true (fd >= 0);
  return fd;
}

static void
say_n (int fd, const char *text, size_t len)
{
  while (len > 0) {
    ssize_t n = send (fd, text, len, MSG_NOSIGNAL);

    assert_true (n > 0);
    text += n;
    len -= n;
  }
}

static void
say (int fd, const char *text)
{
  say_n (fd, text, strlen (text));
}

/* Read a line; "" at the end.  The caller frees it. */
static char *
hear (int fd)
{
  size_t n = 0;
  char *line = calloc (1, 1);

  for (;;) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char part[1 << 16], *end;
    ssize_t got;

    assert_int_equal (1, poll (&p, 1, WAIT_MS));
    got = recv (fd, part, sizeof part, MSG_PEEK);
    if (got <= 0)
      return line;
    end = memchr (part, '\n', got);
    if (end)
      got = end - part + 1;
    assert_int_equal (got, recv (fd, part, got, 0));
    line = realloc (line, n + got + 1);
    memcpy (line + n, part, got);
    n += got;
    line[n] = '\0';
    if (end)
      return line;
  }
}

static void
expect (int fd, const char *want)
{
  char *line = hear (fd);

  if (strstr (line, want) == NULL)
    fail_msg ("got %.300s expected %s", line, want);
  free (line);
}

static void
expect_end (int fd)
{
  char *line = hear (fd);

  assert_string_equal ("", line);
  free (line);
  close (fd);
}

#define PING(n) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"," \
  "\"params\":{\"n\":" #n "}}\n"

static void
ping (int fd)
{
  say (fd, PING (7));
  expect (fd, "\"pong\":7");
}

/* ----------------------------------------------------------------- tests */

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

/* A slow method: its client's next requests wait for it, others do not; and
 * several run at once.
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
  /* What cannot be needs no thread. */
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

/* Its client goes, or says no more; and the end waits for it. */
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
  pthread_mutex_lock (&gate_lock);
  while (!(gates_reached & 16))
    pthread_cond_wait (&gate_changed, &gate_lock);
  pthread_mutex_unlock (&gate_lock);
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

/* It sends for ever and reads nothing: its requests stop being answered, and
 * after a while it is closed.
 */
static void
test_never_reads (void **state)
{
  int fd = client (*state), other = client (*state);
  const char *big = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\","
    "\"params\":{\"n\":1000000}}\n";
  unsigned i;

  for (i = 0; i < 20; i++)
    say (fd, big);
  ping (other);
  wait_for_log ("it does not read its answers");
  ping (other);
  close (fd);
  close (other);
}

/* It reads late, but it does read. */
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

/* No file descriptor is left for one more client: it is told so. */
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
  assert_non_null (strstr (error, "a server is live on it"));
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

/* Of many that start on a stale socket at once exactly one gets it. */
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

static void
test_one_of_many (void **state)
{
  struct fixture *f = *state;
  pthread_t thread[STARTERS];
  int fd, round, i;

  for (round = 0; round < 20; round++) {
    struct control *winner = NULL;
    void *c;

    fd = socket (AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal (0, bind (fd, (struct sockaddr *) &f->addr,
                               sizeof f->addr));
    close (fd);
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
    assert_int_equal (0, control_start (winner));
    fd = client (f);
    ping (fd);
    close (fd);
    control_free (winner);
    assert_int_equal (-1, access (f->path, F_OK));
  }
}

/* What another server put there is not removed. */
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

#define PLAIN(t) cmocka_unit_test_setup_teardown (t, setup, teardown)
#define TEST(t) cmocka_unit_test_setup_teardown (t, setup_and_start, teardown)

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
    TEST (test_longest_line),
    TEST (test_line_without_end),
    TEST (test_gone_in_mid_line),
    TEST (test_half_closed),
    TEST (test_half_closed_subscriber_goes_on),
    TEST (test_never_reads),
    TEST (test_reads_late),
    PLAIN (test_subscriber_never_reads),
    TEST (test_events_in_order),
    PLAIN (test_too_many),
    TEST (test_a_thousand_idle),
    TEST (test_no_descriptors),
    TEST (test_changes_are_logged),
    PLAIN (test_mode),
    TEST (test_live_socket_is_refused),
    PLAIN (test_stale_socket_is_replaced),
    PLAIN (test_other_files_are_refused),
    PLAIN (test_one_of_many),
    PLAIN (test_removes_only_its_own),
    TEST (test_stop_with_clients),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
