/* SPDX-License-Identifier: BSD-3-Clause */
/* A control server, and clients of it.  control-fixture.h says what for. */

#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/big-answer.h"
#include "tests/unit/control-fixture.h"

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

bool
logged (const char *text)
{
  bool found;

  pthread_mutex_lock (&log_lock);
  found = strstr (log_text, text) != NULL;
  pthread_mutex_unlock (&log_lock);
  return found;
}

void
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
method_subscribe (struct jsonrpc_call *call)
{
  control_subscribe (call->client, jsonrpc_integer (call, "n"));
  return json_pack ("{}");
}

/* Call n waits until gate n is open. */
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

void
wait_for_gate (unsigned n)
{
  pthread_mutex_lock (&gate_lock);
  while (!(gates_reached & UINT32_C (1) << n))
    pthread_cond_wait (&gate_changed, &gate_lock);
  pthread_mutex_unlock (&gate_lock);
}

void
open_gate (unsigned n)
{
  wait_for_gate (n);
  pthread_mutex_lock (&gate_lock);
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
  { .name = "gate", .params = n_params, .blocking = true, .changes = true,
    .fn = method_gate },
  { .name = NULL }
};

struct control_options
options (struct fixture *f)
{
  return (struct control_options) {
    .path = f->path, .mode = 0600, .methods = methods, .log = log_line,
    .stall_ms = STALL_MS,
  };
}

void
start (struct fixture *f, const struct control_options *o)
{
  char *error;

  f->c = control_listen (o, &error);
  if (f->c == NULL)
    fail_msg ("%s", error);
  assert_int_equal (0, control_start (f->c));
}

int
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

int
setup_and_start (void **state)
{
  struct control_options o;

  if (setup (state) == -1)
    return -1;
  o = options (*state);
  start (*state, &o);
  return 0;
}

int
teardown (void **state)
{
  struct fixture *f = *state;

  control_free (f->c);
  assert_int_equal (-1, access (f->path, F_OK));
  assert_int_equal (0, rmdir (f->dir));
  free (f);
  return 0;
}

int
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

int
client (struct fixture *f)
{
  int fd = try_connect (f);

  assert_true (fd >= 0);
  return fd;
}

void
say_n (int fd, const char *text, size_t len)
{
  while (len > 0) {
    ssize_t n = send (fd, text, len, MSG_NOSIGNAL);

    assert_true (n > 0);
    text += n;
    len -= n;
  }
}

void
say (int fd, const char *text)
{
  say_n (fd, text, strlen (text));
}

char *
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

void
expect (int fd, const char *want)
{
  char *line = hear (fd);

  if (strstr (line, want) == NULL)
    fail_msg ("got %.300s expected %s", line, want);
  free (line);
}

void
expect_end (int fd)
{
  char *line = hear (fd);

  assert_string_equal ("", line);
  free (line);
  close (fd);
}

void
ping (int fd)
{
  say (fd, PING (7));
  expect (fd, "\"pong\":7");
}
