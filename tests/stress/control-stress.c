/* SPDX-License-Identifier: BSD-3-Clause */
/* The stress test of the control server, without disks and without nbdkit.
 *
 * Rude clients connect and do random things: they pipeline more requests than
 * one turn answers, stop reading, stop in the middle of a line, close one
 * direction, subscribe, call methods that run in threads, and vanish at any of
 * these steps.  Meanwhile events are published, some of them so large that they
 * overflow the clients' buffers.  Each epoch ends with requests in flight.
 *
 *   - The server survives; a sanitizer finds nothing (K1 to K4).
 *   - A polite client gets the responses to all its requests, in order.
 *   - A subscriber that reads gets the events of a kind in order, without gaps.
 *   - control_stop returns while methods are in flight, because they check
 *     control_ending.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"
#include "tests/abort.h"
#include "tests/big-answer.h"
#include "tests/random.h"

#define RUDE 6
#define MOST_PIPELINED 100      /* requests; one turn answers 16 */
#define MOST_BIG (1 << 20)      /* bytes of an answer */
#define MOST_EVENT (200 << 10)  /* bytes */
#define EPOCH (300 * NS_PER_MS)
#define STALL_MS 100            /* the rude are closed for not reading, too */
#define MOST_CLIENTS 24         /* sometimes there are more */
#define POLITE_TIME 60000       /* ms without an answer: the server hangs */

/* How much longer than requested the test may run, so that polite clients make
 * progress.
 */
#define PATIENCE (300 * NS_PER_S)

static uint64_t seconds = 5, seed = 1;

static struct control *control;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static atomic_bool epoch_ends;
static atomic_uint_fast64_t rounds, events_heard, slow_done, slow_gave_up;

#define fail(fmt, ...)                                                  \
  abort_with ("seed %" PRIu64 ": " fmt, seed, ## __VA_ARGS__)

struct actor {
  pthread_t t;
  uint64_t random;
};

static uint64_t
pick (struct actor *a, uint64_t n)
{
  return xorshift_below (&a->random, n);
}

static void
sleep_us (unsigned us)
{
  nanosleep (&(struct timespec) { .tv_nsec = us * 1000L }, NULL);
}

/* ------------------------------------------------------------ the service */

static json_t *
method_echo (struct jsonrpc_call *call)
{
  return json_pack ("{s:I}", "n", jsonrpc_integer (call, "n"));
}

/* In a thread of its own: takes n microseconds, or until the end. */
static json_t *
method_slow (struct jsonrpc_call *call)
{
  int64_t n = jsonrpc_integer (call, "n");

  if (n < 3000)
    sleep_us (n);
  else {
    while (!control_ending (control))
      sleep_us (500);
    atomic_fetch_add (&slow_gave_up, 1);
  }
  atomic_fetch_add (&slow_done, 1);
  return method_echo (call);
}

static json_t *
method_subscribe (struct jsonrpc_call *call)
{
  control_subscribe (call->client, jsonrpc_integer (call, "n"));
  return json_pack ("{}");
}

static const struct jsonrpc_param n_params[] = {
  { .name = "n", .type = JSONRPC_INTEGER, .min = 0, .max = 1 << 30,
    .required = true, .summary = "A number." },
  { .name = NULL }
};

static const struct jsonrpc_method methods[] = {
  { .name = "echo", .params = n_params, .fn = method_echo },
  { .name = "change", .params = n_params, .changes = true,
    .fn = method_echo },
  { .name = "big", .params = n_params, .fn = method_big },
  { .name = "slow", .params = n_params, .blocking = true, .changes = true,
    .fn = method_slow },
  { .name = "subscribe", .params = n_params, .fn = method_subscribe },
  { .name = NULL }
};

static void
log_line (void *opaque, enum control_log level, const char *line)
{
  (void) opaque;
  (void) level;
  if (strchr (line, '\n'))
    fail ("a line of the log has an end of line in it: %s", line);
}

static void
tick (void *opaque)
{
  char *line = strdup ("0 tick\n");

  (void) opaque;
  control_publish (control, 4, line, line ? strlen (line) : 0);
}

/* Kind 1: numbered, small.  Kind 2: large. */
static void *
publish_events (void *vp)
{
  struct actor *a = vp;
  uint64_t number = 0;

  while (!atomic_load (&epoch_ends)) {
    unsigned n = pick (a, 8);
    char *line;
    int len;

    for (; n > 0; n--) {
      len = asprintf (&line, "{\"event\":%" PRIu64 "}\n", number++);
      control_publish (control, 1, len == -1 ? NULL : line, len);
    }
    if (control_wanted (control, 2) && pick (a, 3) == 0) {
      len = 1 + pick (a, MOST_EVENT);
      line = malloc (len);
      if (line) {
        memset (line, 'e', len);
        line[len - 1] = '\n';
      }
      control_publish (control, 2, line, len);
    }
    sleep_us (pick (a, 500));
  }
  return NULL;
}

/* ---------------------------------------------------------------- clients */

/* -1: the server does not listen any more, or its queue is full. */
static int
try_connect (void)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd == -1)
    fail ("socket: %s", strerror (errno));
  if (connect (fd, (struct sockaddr *) &address, sizeof address) == 0)
    return fd;
  close (fd);
  return -1;
}

static const char *
request (char *line, size_t size, const char *method, uint64_t id, uint64_t n)
{
  snprintf (line, size, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
            ",\"method\":\"%s\",\"params\":{\"n\":%" PRIu64 "}}\n", id, method,
            n);
  return line;
}

/* Several requests in one piece; the last one is sometimes truncated.  Returns
 * the length.
 */
static size_t
pipeline (struct actor *a, char *text, size_t size)
{
  static const char *const small[] = { "echo", "change", "nonsense" };
  unsigned i, n = 1 + pick (a, MOST_PIPELINED);
  size_t len = 0;

  for (i = 0; i < n; i++) {
    unsigned what = pick (a, 40);
    const char *method = small[what % 3];
    uint64_t value = what;

    if (what == 10) {
      method = "slow";
      value = pick (a, 3100);
    }
    else if (what == 11) {
      method = "big";
      value = pick (a, MOST_BIG);
    }
    else if (what == 12) {
      method = "subscribe";
      value = pick (a, 8);
    }
    request (text + len, size - len, method, i, value);
    len += strlen (text + len);
  }
  return pick (a, 4) ? len : len - 1 - pick (a, 40);
}

static void
send_some (int fd, const char *text, size_t len)
{
  while (len > 0) {
    ssize_t n = send (fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n <= 0)
      return;
    text += n;
    len -= n;
  }
}

static void
read_some (struct actor *a, int fd)
{
  static _Thread_local char buf[64 << 10];
  unsigned i, n = 1 + pick (a, 20);

  for (i = 0; i < n; i++) {
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll (&p, 1, pick (a, 3)) != 1 ||
        recv (fd, buf, 1 + pick (a, sizeof buf), MSG_DONTWAIT) <= 0)
      return;
  }
}

static void
be_rude_once (struct actor *a)
{
  static _Thread_local char text[MOST_PIPELINED * 128];
  int fd = try_connect ();
  unsigned steps = pick (a, 6);

  if (fd == -1)
    return;
  for (; steps > 0; steps--)
    switch (pick (a, 8)) {
    case 0:
      send_some (fd, "{\"jsonrpc\":", 1 + pick (a, 10));
      break;
    case 1:
      shutdown (fd, pick (a, 4) ? SHUT_WR : SHUT_RD);
      break;
    case 2:
      request (text, sizeof text, "subscribe", 1, pick (a, 8));
      send_some (fd, text, strlen (text));
      break;
    case 3:
      request (text, sizeof text, "slow", 1, pick (a, 3100));
      send_some (fd, text, strlen (text));
      break;
    case 4:
      sleep_us (pick (a, 1000 * (pick (a, 16) ? 2 : STALL_MS)));
      break;
    case 5:
      read_some (a, fd);
      break;
    default:
      send_some (fd, text, pipeline (a, text, sizeof text));
    }
  close (fd);
}

static void *
be_rude (void *vp)
{
  while (!atomic_load (&epoch_ends))
    be_rude_once (vp);
  return NULL;
}

struct reader {
  int fd;
  char buf[8192];
  size_t start, end;
};

/* The next line, without its newline; NULL: the connection has ended. */
static char *
read_line (struct reader *r)
{
  for (;;) {
    char *line = r->buf + r->start;
    char *end = memchr (line, '\n', r->end - r->start);
    struct pollfd p = { .fd = r->fd, .events = POLLIN };
    ssize_t n;

    if (end) {
      *end = '\0';
      r->start = end + 1 - r->buf;
      return line;
    }
    memmove (r->buf, line, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
    if (r->end == sizeof r->buf)
      fail ("a line that nobody sends: %.100s", r->buf);
    if (poll (&p, 1, POLITE_TIME) != 1)
      fail ("no answer in %d ms", POLITE_TIME);
    n = recv (r->fd, r->buf + r->end, sizeof r->buf - r->end, 0);
    if (n <= 0)
      return NULL;
    r->end += n;
  }
}

static bool
is_busy (const char *line)
{
  return strstr (line, "-32008") != NULL;
}

/* Rounds of requests; the responses must come in order. */
static void *
be_polite (void *vp)
{
  struct actor *a = vp;
  uint64_t id = 0, first;
  char text[128], want[64], *line;

  while (!atomic_load (&epoch_ends)) {
    struct reader r = { .fd = try_connect () };

    for (line = ""; r.fd != -1 && line && !atomic_load (&epoch_ends); ) {
      unsigned i, n = 1 + pick (a, 50);

      first = id;
      for (i = 0; i < n; i++) {
        request (text, sizeof text, i % 16 ? "echo" : "slow", id, id % 2999);
        id++;
        send_some (r.fd, text, strlen (text));
      }
      for (i = 0; i < n && (line = read_line (&r)) != NULL; i++) {
        if (is_busy (line)) {
          line = NULL;
          break;
        }
        snprintf (want, sizeof want, "\"n\": %" PRIu64 "}",
                  (first + i) % 2999);
        if (strstr (line, "\"result\"") == NULL)
          fail ("an answer is no result: %s", line);
        /* jansson decides about blanks. */
        if (strstr (line, want) == NULL) {
          snprintf (want, sizeof want, "\"n\":%" PRIu64 "}",
                    (first + i) % 2999);
          if (strstr (line, want) == NULL)
            fail ("the answer is %s, expected %s", line, want);
        }
      }
      if (line)
        atomic_fetch_add (&rounds, 1);
    }
    if (r.fd != -1)
      close (r.fd);
    sleep_us (100);
  }
  return NULL;
}

/* Events of kind 1: each must be the successor of the one before. */
static void *
be_subscribed (void *vp)
{
  uint64_t number, last;
  char text[128], *line;

  (void) vp;
  while (!atomic_load (&epoch_ends)) {
    struct reader r = { .fd = try_connect () };
    bool any = false;

    if (r.fd == -1)
      continue;
    request (text, sizeof text, "subscribe", 1, 1);
    send_some (r.fd, text, strlen (text));
    while (!atomic_load (&epoch_ends) && (line = read_line (&r)) != NULL) {
      if (sscanf (line, "{\"event\":%" SCNu64 "}", &number) != 1)
        continue;
      if (any && number != last + 1)
        fail ("event %" PRIu64 " follows event %" PRIu64, number, last);
      any = true;
      last = number;
      atomic_fetch_add (&events_heard, 1);
    }
    close (r.fd);
  }
  return NULL;
}

/* ----------------------------------------------------------------- epochs */

static void
start_actor (struct actor *a, uint64_t number, void *(*fn) (void *))
{
  a->random = number * UINT64_C (0x9e3779b97f4a7c15) + 1;
  if (pthread_create (&a->t, NULL, fn, a))
    fail ("a thread cannot be made");
}

/* If a blocked method prevents the end, the test never ends. */
static void
run_epoch (uint64_t n)
{
  static const struct timespec epoch = { .tv_nsec = EPOCH };
  struct control_options o = {
    .path = address.sun_path, .mode = 0600, .max_clients = MOST_CLIENTS,
    .stall_ms = STALL_MS, .methods = methods, .log = log_line, .tick = tick,
    .tick_ms = 10, .tick_kinds = 4,
  };
  static struct actor publisher, rude[RUDE], polite, subscribed;
  uint64_t number = (seed + n) * 100;
  char *error;
  unsigned i;

  atomic_store (&epoch_ends, false);
  control = control_listen (&o, &error);
  if (control == NULL)
    fail ("%s", error ? error : "no memory");
  if (control_start (control) == -1)
    fail ("control_start: %s", strerror (errno));
  start_actor (&publisher, number++, publish_events);
  start_actor (&polite, number++, be_polite);
  start_actor (&subscribed, number++, be_subscribed);
  for (i = 0; i < RUDE; i++)
    start_actor (&rude[i], number++, be_rude);
  nanosleep (&epoch, NULL);
  /* In half of the epochs, the server ends while clients are connected. */
  if (n & 1)
    control_stop (control);
  else {
    control_close (control);
    (void) control_is_idle (control);
    control_stop (control);
  }
  atomic_store (&epoch_ends, true);
  pthread_join (publisher.t, NULL);
  pthread_join (polite.t, NULL);
  pthread_join (subscribed.t, NULL);
  for (i = 0; i < RUDE; i++)
    pthread_join (rude[i].t, NULL);
  if (control_clients (control) != 0)
    fail ("%u clients are left at the end", control_clients (control));
  control_free (control);
}

int
main (int argc, char **argv)
{
  static const struct option long_options[] = {
    { "seconds", required_argument, NULL, 't' },
    { "seed", required_argument, NULL, 's' },
    { NULL, 0, NULL, 0 }
  };
  char dir[] = "/tmp/mblock-stress-XXXXXX";
  uint64_t n = 0;
  int64_t until;
  int opt;

  while ((opt = getopt_long (argc, argv, "", long_options, NULL)) != -1)
    switch (opt) {
    case 't': seconds = strtoull (optarg, NULL, 10); break;
    case 's': seed = strtoull (optarg, NULL, 10); break;
    default:
      fprintf (stderr, "usage: control-stress [--seconds N] [--seed N]\n");
      return 2;
    }
  if (mkdtemp (dir) == NULL)
    fail ("%s: %s", dir, strerror (errno));
  snprintf (address.sun_path, sizeof address.sun_path, "%s/s", dir);
  until = clock_now () + (int64_t) seconds * NS_PER_S;
  do
    run_epoch (n++);
  while (clock_now () < until ||
         ((rounds == 0 || events_heard == 0 || slow_gave_up == 0) &&
          clock_now () < until + PATIENCE));
  if (rmdir (dir) == -1)
    fail ("%s: %s: something was left there", dir, strerror (errno));
  if (rounds == 0 || events_heard == 0 || slow_gave_up == 0)
    fail ("%" PRIu64 " polite rounds, %" PRIu64 " events heard, %" PRIu64
          " methods that gave up: expected some of each", rounds, events_heard,
          slow_gave_up);
  printf ("%" PRIu64 " epochs, %" PRIu64 " polite rounds, %" PRIu64 " events "
          "heard, %" PRIu64 " blocking methods, %" PRIu64 " of them gave up\n",
          n, rounds, events_heard, slow_done, slow_gave_up);
  return 0;
}
