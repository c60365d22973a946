/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket's server.  server.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/message.h"
#include "base/thread.h"
#include "rpc/clients.h"
#include "rpc/event-queue.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"
#include "rpc/unix-socket.h"

#define EPOLL_EVENTS 64

/* How long to wait until the next accept(2) if there is no free descriptor. */
#define ACCEPT_AGAIN_MS 200

/* How often clients that do not read are looked for. */
#define STALL_CHECK_MS 1000

/* Refused clients are logged at most this often. */
#define REFUSED_LOG_MS 1000

struct control {
  struct control_options o;
  char *path;
  struct unix_socket socket;
  int epoll_fd, wake_fd, spare_fd;
  bool started;
  pthread_t thread;
  atomic_bool stop;
  struct event_queue events;

  /* The rest belongs to the thread. */
  struct clients clients;
  uint64_t accept_again_ms;     /* 0: the socket is being listened to */
  uint64_t tick_ms, stall_ms;   /* when the next is due */
  uint64_t refused_ms;          /* when it was last logged */
};

/* ---------------------------------------------------------------- accept */

/* Tell a client that it is one too many.  A new socket's buffer has room for a
 * line.
 */
static void
refuse (int fd)
{
  size_t len;
  CLEANUP_FREE char *line =
    jsonrpc_error_line (CONTROL_BUSY, "the server is busy: too many clients",
                        &len);

  if (line)
    (void) !send (fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  close (fd);
}

static void
warn_refused (struct control *c, const char *why)
{
  uint64_t now = clock_now_ms ();

  if (now - c->refused_ms < REFUSED_LOG_MS)
    return;
  c->refused_ms = now;
  control_say (&c->o, CONTROL_WARNING,
               "control socket: a client was refused: %s", why);
}

static void
listen_to_socket (struct control *c, bool on)
{
  struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.ptr = c };

  (void) epoll_ctl (c->epoll_fd, EPOLL_CTL_MOD, c->socket.fd, &ev);
  c->accept_again_ms = on ? 0 : clock_now_ms () + ACCEPT_AGAIN_MS;
}

/* accept(2) failed for lack of descriptors: use the one that was reserved. */
static void
accept_without_fds (struct control *c)
{
  int fd;

  if (c->spare_fd >= 0) {
    close (c->spare_fd);
    fd = accept4 (c->socket.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
      refuse (fd);
    c->spare_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  warn_refused (c, "no file descriptors are left");
  listen_to_socket (c, false);
}

static void
accept_clients (struct control *c)
{
  for (;;) {
    int fd = accept4 (c->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
      if (control_clients (c) >= c->o.max_clients) {
        warn_refused (c, "there are too many already");
        refuse (fd);
      }
      else if (clients_add (&c->clients, fd) == -1)
        refuse (fd);
    }
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
             errno == ENOMEM) {
      accept_without_fds (c);
      return;
    }
    else if (errno != EINTR && errno != ECONNABORTED)
      return;
  }
}

/* ---------------------------------------------------------------- events */

bool
control_wanted (struct control *c, uint32_t kind)
{
  return c && clients_wanted (&c->clients, kind);
}

void
control_publish (struct control *c, uint32_t kind, char *line, size_t len)
{
  event_queue_add (&c->events, kind, line, len);
  clients_wake (&c->clients);
}

static void
deliver_events (struct control *c)
{
  uint64_t dropped = event_queue_dropped (&c->events);
  struct event *e, *next;

  if (dropped)
    control_say (&c->o, CONTROL_WARNING, "control socket: %llu events were "
                 "lost: out of memory", (unsigned long long) dropped);
  for (e = event_queue_take (&c->events); e; e = next) {
    next = e->next;
    clients_publish (&c->clients, e->kind, e->line, e->len);
    event_free (e);
  }
  clients_send_events (&c->clients);
}

unsigned
control_clients (const struct control *c)
{
  return c ? clients_count (&((struct control *) c)->clients) : 0;
}

/* ---------------------------------------------------------------- thread */

static bool
tick_wanted (struct control *c)
{
  return c->o.tick && control_wanted (c, c->o.tick_kinds);
}

/* How long to sleep, in milliseconds; -1: until an event. */
static int
sleep_ms (struct control *c)
{
  uint64_t now = clock_now_ms (), until = UINT64_MAX;

  if (!list_is_empty (&c->clients.ready))
    return 0;
  if (tick_wanted (c))
    until = c->tick_ms;
  if (c->accept_again_ms && c->accept_again_ms < until)
    until = c->accept_again_ms;
  if (c->stall_ms < until && clients_have_output (&c->clients))
    until = c->stall_ms;
  if (until == UINT64_MAX)
    return -1;
  return until > now ? (int) (until - now) : 0;
}

static void
do_timers (struct control *c)
{
  uint64_t now = clock_now_ms ();

  if (c->accept_again_ms && now >= c->accept_again_ms)
    listen_to_socket (c, true);
  if (now >= c->tick_ms) {
    c->tick_ms = now + c->o.tick_ms;
    if (tick_wanted (c))
      c->o.tick (c->o.opaque);
  }
  if (now >= c->stall_ms) {
    unsigned check = c->o.stall_ms < STALL_CHECK_MS
      ? c->o.stall_ms : STALL_CHECK_MS;

    c->stall_ms = now + check;
    clients_check_stalled (&c->clients, now);
  }
}

static void *
serve (void *vp)
{
  struct control *c = vp;
  struct epoll_event ev[EPOLL_EVENTS];

  while (!atomic_load (&c->stop)) {
    int i, n;

    clients_free_closed (&c->clients);
    n = epoll_wait (c->epoll_fd, ev, EPOLL_EVENTS, sleep_ms (c));
    for (i = 0; i < n; i++) {
      if (ev[i].data.ptr == c)
        accept_clients (c);
      else if (ev[i].data.ptr == &c->wake_fd) {
        uint64_t count;

        (void) !read (c->wake_fd, &count, sizeof count);
      }
      else
        client_event (ev[i].data.ptr, ev[i].events);
    }
    clients_end_calls (&c->clients);
    clients_turn (&c->clients);
    deliver_events (c);
    do_timers (c);
  }
  return NULL;
}

int
control_start (struct control *c)
{
  int err;

  assert (!c->started);
  atomic_store (&c->stop, false);
  err = thread_start (&c->thread, "mblock-control", serve, c);
  if (err) {
    errno = err;
    return -1;
  }
  c->started = true;
  return 0;
}

/* ----------------------------------------------------- start and stop */

/* Clients must not take the descriptors that NBD connections need. */
static void
want_fds (struct control *c)
{
  uint64_t limit = descriptors_want (c->o.max_clients);

  if (c->o.max_clients > limit / 2)
    c->o.max_clients = limit / 2;
}

static char *
prepare (struct control *c)
{
  struct epoll_event ev = { .events = EPOLLIN };
  char *wrong = unix_socket_listen (&c->socket, c->path, c->o.mode,
                                    c->o.has_group ? c->o.group : (gid_t) -1);

  if (wrong)
    return wrong;
  want_fds (c);
  c->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  c->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  c->spare_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  c->clients.epoll_fd = c->epoll_fd;
  c->clients.wake_fd = c->wake_fd;
  if (c->epoll_fd == -1 || c->wake_fd == -1)
    return message ("cannot create an epoll instance: %m");
  ev.data.ptr = c;
  if (epoll_ctl (c->epoll_fd, EPOLL_CTL_ADD, c->socket.fd, &ev) == -1)
    return message ("epoll_ctl: %m");
  ev.data.ptr = &c->wake_fd;
  if (epoll_ctl (c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &ev) == -1)
    return message ("epoll_ctl: %m");
  return NULL;
}

struct control *
control_listen (const struct control_options *options, char **error)
{
  struct control *c = calloc (1, sizeof *c);

  *error = NULL;
  if (c == NULL)
    return NULL;
  c->o = *options;
  if (c->o.max_clients == 0)
    c->o.max_clients = CONTROL_DEFAULT_CLIENTS;
  if (c->o.stall_ms == 0)
    c->o.stall_ms = CONTROL_DEFAULT_STALL_MS;
  c->socket.fd = c->epoll_fd = c->wake_fd = c->spare_fd = -1;
  event_queue_init (&c->events);
  clients_init (&c->clients, &c->o);
  c->path = strdup (options->path);
  if (c->path) {
    assert (c->path[0] == '/');
    *error = prepare (c);
  }
  if (c->path == NULL || *error) {
    control_free (c);
    return NULL;
  }
  return c;
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* First the file, then the descriptor: as long as the socket listens, nobody
 * else removes it.  Clients in its queue, which nobody will serve, see its end.
 */
static void
remove_socket (struct control *c)
{
  if (unix_socket_remove (&c->socket) == -1)
    control_say (&c->o, CONTROL_WARNING,
                 "control socket %s: cannot remove it: %s", c->path,
                 strerror (errno));
  close_fd (&c->socket.fd);
}

void
control_close (struct control *c)
{
  if (c == NULL)
    return;
  atomic_store (&c->stop, true);
  if (c->started) {
    clients_wake (&c->clients);
    pthread_join (c->thread, NULL);
    c->started = false;
  }
  remove_socket (c);
}

bool
control_ending (const struct control *c)
{
  return c && atomic_load (&((struct control *) c)->stop);
}

bool
control_is_idle (struct control *c)
{
  assert (c == NULL || !c->started);
  if (c == NULL)
    return true;
  clients_end_calls (&c->clients);
  return list_is_empty (&c->clients.blocking);
}

void
control_stop (struct control *c)
{
  if (c == NULL)
    return;
  control_close (c);
  clients_wait_calls (&c->clients);
  deliver_events (c);
  clients_close_all (&c->clients);
  clients_free_closed (&c->clients);
}

void
control_free (struct control *c)
{
  if (c == NULL)
    return;
  control_stop (c);
  event_queue_end (&c->events);
  clients_end (&c->clients);
  close_fd (&c->epoll_fd);
  close_fd (&c->wake_fd);
  close_fd (&c->spare_fd);
  free (c->path);
  free (c);
}
