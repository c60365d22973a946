/* SPDX-License-Identifier: BSD-3-Clause */
/* A JSON-RPC 2.0 client over a Unix socket. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client.h"

/* How long to wait, in ms, before the next attempt if the server's connection
 * queue is full: poll(2) cannot wait for that.
 */
#define QUEUE_FULL_WAIT 10

#define READ_CHUNK 65536

/* The first bytes that an NBD server sends. */
#define NBD_GREETING "NBDMAGIC"

int64_t
client_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int __attribute__ ((format (printf, 3, 4)))
broken (struct client *c, bool retry, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vsnprintf (c->error, sizeof c->error, fmt, args);
  va_end (args);
  c->retry = retry;
  c->refused = false;
  return -1;
}

/* Wait for the socket.  Returns 1, or 0 if the deadline has passed. */
static int
wait_for (struct client *c, short events, int64_t deadline)
{
  if (events == POLLIN && c->wait)
    return c->wait (c->fd, deadline);
  for (;;) {
    struct pollfd pfd = { .fd = c->fd, .events = events };
    int64_t left = -1;
    int r;

    if (deadline != CLIENT_NEVER) {
      left = deadline - client_now ();
      if (left < 0)
        left = 0;
      if (left > 3600 * 1000)
        left = 3600 * 1000;
    }
    r = poll (&pfd, 1, left);
    if (r > 0)
      return 1;
    if (r == 0 && client_now () >= deadline)
      return 0;
  }
}

static int
no_answer (struct client *c)
{
  return broken (c, true, "the server did not answer in time");
}

/* Connect, and wait while the server's queue is full. */
static int
connect_socket (struct client *c, const struct sockaddr_un *addr,
                int64_t deadline)
{
  while (connect (c->fd, (const struct sockaddr *) addr, sizeof *addr) == -1) {
    if (errno == EINTR)
      continue;
    if (errno != EAGAIN)
      return -1;
    if (client_now () >= deadline) {
      errno = ETIMEDOUT;
      return -1;
    }
    poll (NULL, 0, QUEUE_FULL_WAIT);
  }
  return 0;
}

int
client_open (struct client *c, const char *path, int64_t deadline)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const char *why;

  if (strlen (path) >= sizeof addr.sun_path)
    return broken (c, false, "the path of the socket is longer than %zu bytes",
                   sizeof addr.sun_path - 1);
  memcpy (addr.sun_path, path, strlen (path) + 1);

  c->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd == -1)
    return broken (c, false, "cannot make a socket: %s", strerror (errno));
  if (connect_socket (c, &addr, deadline) == 0)
    return 0;

  why = errno == ENOENT ? "there is no such socket; is the server running?" :
    errno == ECONNREFUSED ? "no server listens there" : strerror (errno);
  broken (c, errno == ENOENT || errno == ECONNREFUSED || errno == ETIMEDOUT,
          "cannot connect to %s: %s", path, why);
  close (c->fd);
  c->fd = -1;
  return -1;
}

void
client_close (struct client *c)
{
  if (c->fd >= 0)
    close (c->fd);
  free (c->buf);
  json_decref (c->data);
  *c = (struct client) CLIENT_INIT;
}

/* Send everything.  If the server has hung up, it may have said why first: then
 * the answer shows it.
 */
static int
send_all (struct client *c, const char *p, size_t len, int64_t deadline)
{
  while (len > 0) {
    ssize_t n = send (c->fd, p, len, MSG_NOSIGNAL);

    if (n >= 0) {
      p += n;
      len -= n;
    }
    else if (errno == EPIPE || errno == ECONNRESET)
      return 0;
    else if (errno == EAGAIN) {
      if (!wait_for (c, POLLOUT, deadline))
        return no_answer (c);
    }
    else if (errno != EINTR)
      return broken (c, true, "cannot send to the server: %s",
                     strerror (errno));
  }
  return 0;
}

int
client_send (struct client *c, const char *method, json_t *params,
             int64_t deadline)
{
  json_auto_t *request = json_pack ("{s:s, s:I, s:s}", "jsonrpc", "2.0",
                                    "id", ++c->last_id, "method", method);
  CLEANUP_FREE char *line = NULL;
  size_t len;

  if (request == NULL) {
    json_decref (params);
    return broken (c, false, "the method's name is not valid UTF-8");
  }
  if (params && json_object_set_new (request, "params", params) == -1)
    return broken (c, false, "no memory");
  line = json_dumps (request, JSON_COMPACT);
  if (line == NULL)
    return broken (c, false, "no memory");
  len = strlen (line);
  line[len] = '\n';             /* in place of the NUL */
  return send_all (c, line, len + 1, deadline);
}

/* Take a whole line out of the buffer. */
static int
take_line (struct client *c, json_t **message)
{
  char *end = c->len > c->scanned ?
    memchr (c->buf + c->scanned, '\n', c->len - c->scanned) : NULL;
  json_error_t err;
  size_t used;

  c->scanned = c->len;
  if (end == NULL)
    return 0;
  used = end - c->buf + 1;
  *message = json_loadb (c->buf, used - 1, 0, &err);
  c->len -= used;
  memmove (c->buf, end + 1, c->len);
  c->scanned = 0;
  if (*message == NULL)
    return broken (c, false, "the server's answer is not JSON (%s)", err.text);
  if (!json_is_object (*message)) {
    json_decref (*message);
    return broken (c, false, "the server's answer is not a JSON object");
  }
  return 1;
}

/* Returns 1 if something was read, 0 if there is nothing to read, or -1. */
static int
read_some (struct client *c)
{
  ssize_t n;

  if (c->len > CLIENT_MAX_LINE)
    return broken (c, false, "the server's answer is longer than %u MiB",
                   CLIENT_MAX_LINE >> 20);
  if (c->size - c->len < READ_CHUNK) {
    size_t size = 2 * c->size + READ_CHUNK;
    char *buf = realloc (c->buf, size);

    if (buf == NULL)
      return broken (c, false, "no memory for the server's answer");
    c->buf = buf;
    c->size = size;
  }
  do
    n = recv (c->fd, c->buf + c->len, c->size - c->len, 0);
  while (n == -1 && errno == EINTR);
  if (n > 0) {
    c->len += n;
    if (c->len >= strlen (NBD_GREETING) &&
        memcmp (c->buf, NBD_GREETING, strlen (NBD_GREETING)) == 0)
      return broken (c, false, "this is a socket for NBD clients: expected the "
                     "server's control socket");
    return 1;
  }
  if (n == -1 && errno == EAGAIN)
    return 0;
  if (n == -1 && errno != ECONNRESET)
    return broken (c, true, "cannot read from the server: %s",
                   strerror (errno));
  return broken (c, true, c->len ?
                 "the server closed the connection in mid-answer" :
                 "the server closed the connection");
}

int
client_poll (struct client *c, json_t **message)
{
  for (;;) {
    int r = take_line (c, message);

    if (r != 0)
      return r;
    r = read_some (c);
    if (r <= 0)
      return r;
  }
}

int
client_receive (struct client *c, int64_t deadline, json_t **message)
{
  for (;;) {
    int r = client_poll (c, message);

    if (r != 0)
      return r == 1 ? 0 : -1;
    if (!wait_for (c, POLLIN, deadline))
      return no_answer (c);
  }
}

static int
refusal (struct client *c, const json_t *error)
{
  const char *text = json_string_value (json_object_get (error, "message"));
  const json_t *data = json_object_get (error, "data");
  const char *name = json_string_value (json_object_get (data, "errno"));

  if (text == NULL)
    return broken (c, false, "the server's error has no message");
  c->code = json_integer_value (json_object_get (error, "code"));
  json_decref (c->data);
  c->data = json_deep_copy (data);
  broken (c, false, "%s%s%s%s", text, name ? " (" : "", name ? name : "",
          name ? ")" : "");
  c->refused = true;
  return -1;
}

int
client_result (struct client *c, const json_t *message, json_t **result)
{
  json_t *id = json_object_get (message, "id");
  json_t *error = json_object_get (message, "error");

  if (json_object_get (message, "method"))
    return 0;
  /* If the server could not read our request, or is too busy, it answers with a
   * null id.
   */
  if (error && (id == NULL || json_is_null (id) ||
                json_integer_value (id) == c->last_id))
    return refusal (c, error);
  if (!json_is_integer (id) || json_integer_value (id) != c->last_id)
    return broken (c, false, "the server answered another request than ours");
  *result = json_incref (json_object_get (message, "result"));
  if (*result == NULL)
    return broken (c, false, "the server's answer has no result");
  return 1;
}

int
client_call (struct client *c, const char *method, json_t *params,
             int64_t deadline, json_t **result)
{
  int r;

  if (client_send (c, method, params, deadline) == -1)
    return -1;
  do {
    json_t *message;

    if (client_receive (c, deadline, &message) == -1)
      return -1;
    r = client_result (c, message, result);
    json_decref (message);
  } while (r == 0);
  return r == 1 ? 0 : -1;
}
