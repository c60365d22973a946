/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket.  control.h has the design. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "control.h"
#include "jsonrpc.h"
#include "message.h"
#include "mutex.h"
#include "unix-socket.h"

/* Requests of one client that are answered before others have their turn. */
#define TURN_REQUESTS 16

/* What is read of one client in one turn. */
#define READ_BYTES (64u << 10)

#define EPOLL_EVENTS 64

/* Without a free file descriptor, look again so much later. */
#define ACCEPT_AGAIN_MS 200

/* How often clients are looked at that do not read. */
#define STALL_CHECK_MS 1000

/* Clients that are refused are logged no more often. */
#define REFUSED_LOG_MS 1000

/* Descriptors that are wanted beside the clients': the NBD connections'. */
#define OTHER_FDS 1024

struct buffer {
  char *data;
  size_t start, end, alloc;
};

/* A call of a slow method, in a thread of its own. */
struct slow_call {
  struct control *c;
  struct slow_call *prev, *next; /* in c->slow */
  struct slow_call *next_ended; /* in c->slow_ended */
  struct control_client *client; /* NULL: it has gone */
  pid_t pid;
  uid_t uid;
  pthread_t thread;
  char *line;
  size_t len;

  /* The thread's, until it has ended. */
  int r;
  char *answer;
  size_t answer_len;
  struct jsonrpc_outcome outcome;
};

struct control_client {
  struct control *c;
  int fd;
  pid_t pid;
  uid_t uid;
  uint32_t kinds;               /* subscribed to */
  uint32_t epoll_events;        /* registered */
  struct buffer in, out;
  size_t scanned;               /* of in: has no end of line */
  bool ready;                   /* may have a whole line; in the ready list */
  bool eof;                     /* has sent all it will */
  bool closing;                 /* close it when its output is gone */
  bool dead;                    /* is freed at the end of the turn */
  struct slow_call *slow;       /* its requests wait for this one, or NULL */
  uint64_t progress_ms;         /* when it last read something */
  struct control_client *prev, *next;
  struct control_client *next_ready;
};

struct event {
  struct event *next;
  uint32_t kind;
  size_t len;
  char *line;
};

struct control {
  struct control_options o;
  char *path;
  struct unix_socket socket;
  int epoll_fd, wake_fd, spare_fd;
  bool started;
  pthread_t thread;
  atomic_bool stop;
  atomic_uint nclients;
  _Atomic uint32_t wanted;      /* union of the clients' kinds */
  _Atomic uint64_t dropped;     /* events, for want of memory */

  struct mutex lock;            /* for events from other threads */
  struct event *first GUARDED_BY (lock), **last GUARDED_BY (lock);
  struct slow_call *slow_ended GUARDED_BY (lock); /* about to be joined */

  /* The rest is the thread's. */
  struct control_client *clients;
  struct control_client *ready, **ready_last;
  struct slow_call *slow;
  uint64_t accept_again_ms;     /* 0: the socket is being listened to */
  uint64_t tick_ms, stall_ms;   /* when to do them next */
  uint64_t refused_ms;          /* when that was logged last */
};

static uint64_t
now_ms (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * UINT64_C (1000) + ts.tv_nsec / 1000000;
}

static void __attribute__ ((format (printf, 3, 4)))
control_log (struct control *c, enum control_log level, const char *fmt, ...)
{
  CLEANUP_FREE char *line = NULL;
  va_list args;

  va_start (args, fmt);
  if (vasprintf (&line, fmt, args) == -1)
    line = NULL;
  va_end (args);
  if (line)
    c->o.log (c->o.opaque, level, line);
}

/* --------------------------------------------------------------- buffers */

static size_t
buffer_len (const struct buffer *b)
{
  return b->end - b->start;
}

/* Make room for n bytes more. */
static int
buffer_room (struct buffer *b, size_t n)
{
  size_t len = buffer_len (b), alloc = b->alloc;
  char *data;

  if (b->alloc - b->end >= n)
    return 0;
  if (b->start > 0) {
    memmove (b->data, b->data + b->start, len);
    b->start = 0;
    b->end = len;
    if (b->alloc - b->end >= n)
      return 0;
  }
  while (alloc - len < n)
    alloc = alloc ? alloc * 2 : 1024;
  data = realloc (b->data, alloc);
  if (data == NULL)
    return -1;
  b->data = data;
  b->alloc = alloc;
  return 0;
}

static int
buffer_add (struct buffer *b, const char *data, size_t n)
{
  if (buffer_room (b, n) == -1)
    return -1;
  memcpy (b->data + b->end, data, n);
  b->end += n;
  return 0;
}

/* An empty buffer keeps no memory, so that idle clients cost little. */
static void
buffer_take (struct buffer *b, size_t n)
{
  b->start += n;
  if (b->start == b->end) {
    free (b->data);
    memset (b, 0, sizeof *b);
  }
}

/* --------------------------------------------------------------- clients */

static void
update_wanted (struct control *c)
{
  struct control_client *cl;
  uint32_t wanted = 0;

  for (cl = c->clients; cl; cl = cl->next)
    if (!cl->dead)
      wanted |= cl->kinds;
  atomic_store_explicit (&c->wanted, wanted, memory_order_relaxed);
}

static void
client_ready (struct control_client *cl)
{
  struct control *c = cl->c;

  if (cl->ready || cl->dead)
    return;
  cl->ready = true;
  cl->next_ready = NULL;
  *c->ready_last = cl;
  c->ready_last = &cl->next_ready;
}

/* Close it; the memory goes at the end of the turn, since lists and the events
 * of this turn may still name it.
 */
static void
client_close (struct control_client *cl)
{
  if (cl->dead)
    return;
  cl->dead = true;
  if (cl->slow)
    cl->slow->client = NULL;
  close (cl->fd);
  atomic_fetch_sub_explicit (&cl->c->nclients, 1, memory_order_relaxed);
  if (cl->kinds)
    update_wanted (cl->c);
}

static void
client_drop (struct control_client *cl, const char *why)
{
  if (cl->dead)
    return;
  control_log (cl->c, CONTROL_WARNING,
               "control client (pid %ld, uid %ld) closed: %s",
               (long) cl->pid, (long) cl->uid, why);
  client_close (cl);
}

static void
free_dead (struct control *c)
{
  struct control_client *cl, *next;

  for (cl = c->clients; cl; cl = next) {
    next = cl->next;
    if (!cl->dead)
      continue;
    if (cl->prev)
      cl->prev->next = cl->next;
    else
      c->clients = cl->next;
    if (cl->next)
      cl->next->prev = cl->prev;
    free (cl->in.data);
    free (cl->out.data);
    free (cl);
  }
}

/* May this client's requests be answered now? */
static bool
may_go_on (const struct control_client *cl)
{
  return !cl->dead && !cl->closing && cl->slow == NULL &&
    buffer_len (&cl->out) <= CONTROL_MAX_OUTPUT;
}

/* Listen to what matters for the state that the client is in. */
static void
client_poll (struct control_client *cl)
{
  struct epoll_event ev = { .data.ptr = cl };

  if (cl->dead)
    return;
  if (!cl->eof && may_go_on (cl) && buffer_len (&cl->in) <= CONTROL_MAX_LINE)
    ev.events |= EPOLLIN;
  if (buffer_len (&cl->out) > 0)
    ev.events |= EPOLLOUT;
  if (ev.events == cl->epoll_events)
    return;
  if (epoll_ctl (cl->c->epoll_fd, EPOLL_CTL_MOD, cl->fd, &ev) == -1)
    client_drop (cl, "epoll_ctl failed");
  cl->epoll_events = ev.events;
}

/* Send what can be sent.  Requests that waited for that go on. */
static void
client_send (struct control_client *cl)
{
  bool waited = !may_go_on (cl);

  while (!cl->dead && buffer_len (&cl->out) > 0) {
    ssize_t n = send (cl->fd, cl->out.data + cl->out.start,
                      buffer_len (&cl->out), MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0) {
      buffer_take (&cl->out, n);
      cl->progress_ms = now_ms ();
    }
    else if (n == -1 && errno == EINTR)
      continue;
    else if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
      break;
    else
      client_close (cl);        /* gone: nothing to tell anyone */
  }
  if (cl->closing && buffer_len (&cl->out) == 0)
    client_close (cl);
  if (waited && may_go_on (cl))
    client_ready (cl);
}

/* Queue output.  Takes the line over. */
static void
client_answer (struct control_client *cl, char *line, size_t len)
{
  if (buffer_len (&cl->out) == 0)
    cl->progress_ms = now_ms ();
  if (line == NULL || buffer_add (&cl->out, line, len) == -1)
    client_drop (cl, "out of memory");
  free (line);
}

static bool
is_blank (const char *line, size_t len)
{
  size_t i;

  for (i = 0; i < len; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
      return false;
  return true;
}

static void
wake (struct control *c)
{
  uint64_t one = 1;

  /* It can only fail when the counter is full, and then it is readable. */
  (void) !write (c->wake_fd, &one, sizeof one);
}

static void
log_change (struct control *c, pid_t pid, uid_t uid,
            const struct jsonrpc_outcome *outcome)
{
  if (outcome->method && outcome->method->changes)
    control_log (c, CONTROL_INFO, "control client (pid %ld, uid %ld): %s %s: "
                 "%s", (long) pid, (long) uid, outcome->method->name,
                 outcome->params, outcome->code ? outcome->message : "done");
}

static void *
run_slow (void *opaque)
{
  struct slow_call *s = opaque;
  struct control *c = s->c;

  s->r = jsonrpc_handle (c->o.methods, c->o.service, NULL, s->line, s->len,
                         &s->answer, &s->answer_len, &s->outcome);
  mutex_lock (&c->lock);
  s->next_ended = c->slow_ended;
  c->slow_ended = s;
  mutex_unlock (&c->lock);
  wake (c);
  return NULL;
}

static void
client_slow (struct control_client *cl, const char *line, size_t len)
{
  struct control *c = cl->c;
  struct slow_call *s = calloc (1, sizeof *s);

  if (s == NULL || (s->line = malloc (len)) == NULL) {
    free (s);
    client_drop (cl, "out of memory");
    return;
  }
  memcpy (s->line, line, len);
  s->len = len;
  s->c = c;
  s->client = cl;
  s->pid = cl->pid;
  s->uid = cl->uid;
  if (pthread_create (&s->thread, NULL, run_slow, s)) {
    free (s->line);
    free (s);
    client_drop (cl, "no thread can be made for what it asks");
    return;
  }
  cl->slow = s;
  s->next = c->slow;
  if (s->next)
    s->next->prev = s;
  c->slow = s;
}

/* Join the thread, and let the client go on. */
static void
end_slow (struct slow_call *s)
{
  struct control *c = s->c;
  struct control_client *cl;

  pthread_join (s->thread, NULL);
  if (s->prev)
    s->prev->next = s->next;
  else
    c->slow = s->next;
  if (s->next)
    s->next->prev = s->prev;
  log_change (c, s->pid, s->uid, &s->outcome);
  cl = s->client;
  if (cl) {
    cl->slow = NULL;
    if (s->r == -1)
      client_drop (cl, "out of memory");
    else if (s->answer)
      client_answer (cl, s->answer, s->answer_len);
    client_send (cl);
    client_ready (cl);
    client_poll (cl);
  }
  else
    free (s->answer);
  free (s->line);
  free (s);
}

static void
end_slow_calls (struct control *c)
{
  struct slow_call *s, *next;

  mutex_lock (&c->lock);
  s = c->slow_ended;
  c->slow_ended = NULL;
  mutex_unlock (&c->lock);
  for (; s; s = next) {
    next = s->next_ended;
    end_slow (s);
  }
}

static void
client_request (struct control_client *cl, const char *line, size_t len)
{
  struct control *c = cl->c;
  struct jsonrpc_outcome outcome;
  char *answer;
  size_t n;
  int r;

  if (is_blank (line, len))
    return;
  r = jsonrpc_handle_soon (c->o.methods, c->o.service, cl, line, len, &answer,
                           &n, &outcome);
  if (r == 1)
    client_slow (cl, line, len);
  else if (r == -1)
    client_drop (cl, "out of memory");
  else {
    log_change (c, cl->pid, cl->uid, &outcome);
    if (answer)
      client_answer (cl, answer, n);
  }
}

/* What arrived last has no end: it is too long, or all there will be. */
static void
client_unfinished (struct control_client *cl)
{
  if (buffer_len (&cl->in) > CONTROL_MAX_LINE) {
    char *line;
    size_t len;

    line = jsonrpc_error_line (JSONRPC_INVALID_REQUEST,
                               "the line is too long: expected at most "
                               "1048576 bytes", &len);
    control_log (cl->c, CONTROL_WARNING, "control client (pid %ld, uid %ld) "
                 "closed: a line of over %u bytes", (long) cl->pid,
                 (long) cl->uid, CONTROL_MAX_LINE);
    buffer_take (&cl->in, buffer_len (&cl->in));
    client_answer (cl, line, len);
    cl->closing = true;
  }
  else if (cl->eof) {
    if (buffer_len (&cl->in) > 0) {
      client_drop (cl, "gone in the middle of a line");
      return;
    }
    /* It may still listen to events. */
    cl->closing = cl->kinds == 0;
  }
}

/* Answer some of what a client has sent. */
static void
client_turn (struct control_client *cl)
{
  unsigned i;

  for (i = 0; i < TURN_REQUESTS && may_go_on (cl); i++) {
    char *start = cl->in.data + cl->in.start;
    size_t len = buffer_len (&cl->in);
    char *end = NULL;

    if (len > cl->scanned)
      end = memchr (start + cl->scanned, '\n', len - cl->scanned);
    if (end == NULL) {
      cl->scanned = len;
      client_unfinished (cl);
      break;
    }
    cl->scanned = 0;
    if ((size_t) (end - start) > CONTROL_MAX_LINE) {
      client_unfinished (cl);
      break;
    }
    client_request (cl, start, end - start);
    if (cl->dead)
      return;
    buffer_take (&cl->in, end - start + 1);
  }
  if (i == TURN_REQUESTS)
    client_ready (cl);
  client_send (cl);
  client_poll (cl);
}

static void
client_receive (struct control_client *cl)
{
  ssize_t n;

  if (buffer_room (&cl->in, READ_BYTES) == -1) {
    client_drop (cl, "out of memory");
    return;
  }
  do
    n = recv (cl->fd, cl->in.data + cl->in.end, READ_BYTES, MSG_DONTWAIT);
  while (n == -1 && errno == EINTR);
  if (n > 0)
    cl->in.end += n;
  else {
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      buffer_take (&cl->in, 0);
      return;
    }
    cl->eof = true;
  }
  client_ready (cl);
}

static void
client_event (struct control_client *cl, uint32_t events)
{
  if (cl->dead)
    return;
  if (events & EPOLLOUT)
    client_send (cl);
  if (!cl->dead && events & EPOLLIN)
    client_receive (cl);
  /* Gone altogether: what it sent before is still carried out if it was read,
   * but there is nobody to answer.
   */
  else if (!cl->dead && events & (EPOLLHUP | EPOLLERR))
    client_close (cl);
  client_poll (cl);
}

/* ---------------------------------------------------------------- accept */

/* Tell one client too many so.  A new socket's buffer takes a line. */
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
  uint64_t now = now_ms ();

  if (now - c->refused_ms < REFUSED_LOG_MS)
    return;
  c->refused_ms = now;
  control_log (c, CONTROL_WARNING, "control socket: a client was refused: %s",
               why);
}

static void
listen_to_socket (struct control *c, bool on)
{
  struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.ptr = c };

  (void) epoll_ctl (c->epoll_fd, EPOLL_CTL_MOD, c->socket.fd, &ev);
  c->accept_again_ms = on ? 0 : now_ms () + ACCEPT_AGAIN_MS;
}

/* accept(2) failed for want of descriptors: one was kept for this. */
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
add_client (struct control *c, int fd)
{
  struct ucred cred = { .pid = -1, .uid = -1 };
  socklen_t len = sizeof cred;
  struct control_client *cl = calloc (1, sizeof *cl);
  struct epoll_event ev = { .events = EPOLLIN, .data.ptr = cl };

  if (cl == NULL) {
    refuse (fd);
    return;
  }
  (void) getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
  cl->c = c;
  cl->fd = fd;
  cl->pid = cred.pid;
  cl->uid = cred.uid;
  cl->epoll_events = EPOLLIN;
  if (epoll_ctl (c->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == -1) {
    free (cl);
    refuse (fd);
    return;
  }
  cl->next = c->clients;
  if (cl->next)
    cl->next->prev = cl;
  c->clients = cl;
  atomic_fetch_add_explicit (&c->nclients, 1, memory_order_relaxed);
}

static void
accept_clients (struct control *c)
{
  for (;;) {
    int fd = accept4 (c->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
      if (control_clients (c) < c->o.max_clients)
        add_client (c, fd);
      else {
        warn_refused (c, "there are too many already");
        refuse (fd);
      }
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
  return c && atomic_load_explicit (&c->wanted, memory_order_relaxed) & kind;
}

void
control_publish (struct control *c, uint32_t kind, char *line, size_t len)
{
  struct event *e = line ? malloc (sizeof *e) : NULL;

  if (e == NULL) {
    atomic_fetch_add_explicit (&c->dropped, 1, memory_order_relaxed);
    free (line);
    return;
  }
  *e = (struct event) { .kind = kind, .line = line, .len = len };
  mutex_lock (&c->lock);
  *c->last = e;
  c->last = &e->next;
  mutex_unlock (&c->lock);
  wake (c);
}

static struct event *
take_events (struct control *c)
{
  struct event *e;

  mutex_lock (&c->lock);
  e = c->first;
  c->first = NULL;
  c->last = &c->first;
  mutex_unlock (&c->lock);
  return e;
}

static void
deliver_events (struct control *c)
{
  struct event *e, *next;
  struct control_client *cl;
  uint64_t dropped = atomic_exchange_explicit (&c->dropped, 0,
                                               memory_order_relaxed);

  if (dropped)
    control_log (c, CONTROL_WARNING, "control socket: %llu events were lost: "
                 "out of memory", (unsigned long long) dropped);
  for (e = take_events (c); e; e = next) {
    next = e->next;
    for (cl = c->clients; cl; cl = cl->next) {
      if (cl->dead || cl->closing || !(cl->kinds & e->kind))
        continue;
      if (buffer_len (&cl->out) + e->len > CONTROL_MAX_OUTPUT)
        client_send (cl);
      if (cl->dead)
        continue;
      if (buffer_len (&cl->out) + e->len > CONTROL_MAX_OUTPUT) {
        client_drop (cl, "it does not read its events");
        continue;
      }
      if (buffer_len (&cl->out) == 0)
        cl->progress_ms = now_ms ();
      if (buffer_add (&cl->out, e->line, e->len) == -1)
        client_drop (cl, "out of memory");
    }
    free (e->line);
    free (e);
  }
  for (cl = c->clients; cl; cl = cl->next)
    if (!cl->dead && cl->kinds && buffer_len (&cl->out) > 0) {
      client_send (cl);
      client_poll (cl);
    }
}

void
control_subscribe (struct control_client *client, uint32_t kinds)
{
  client->kinds = kinds;
  update_wanted (client->c);
}

uint32_t
control_kinds (const struct control_client *client)
{
  return client->kinds;
}

unsigned
control_clients (const struct control *c)
{
  return c ? atomic_load_explicit (&((struct control *) c)->nclients,
                                   memory_order_relaxed) : 0;
}

/* ---------------------------------------------------------------- thread */

static bool
tick_wanted (struct control *c)
{
  return c->o.tick && control_wanted (c, c->o.tick_kinds);
}

/* How long to sleep, in milliseconds; -1: until something happens. */
static int
sleep_ms (struct control *c)
{
  struct control_client *cl;
  uint64_t now = now_ms (), until = UINT64_MAX;
  bool waiting = false;

  if (c->ready)
    return 0;
  if (tick_wanted (c))
    until = c->tick_ms;
  if (c->accept_again_ms && c->accept_again_ms < until)
    until = c->accept_again_ms;
  for (cl = c->clients; cl && !waiting; cl = cl->next)
    waiting = buffer_len (&cl->out) > 0;
  if (waiting && c->stall_ms < until)
    until = c->stall_ms;
  if (until == UINT64_MAX)
    return -1;
  return until > now ? (int) (until - now) : 0;
}

static void
do_timers (struct control *c)
{
  struct control_client *cl;
  uint64_t now = now_ms ();

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
    for (cl = c->clients; cl; cl = cl->next)
      if (!cl->dead && buffer_len (&cl->out) > 0 &&
          now - cl->progress_ms >= c->o.stall_ms)
        client_drop (cl, "it does not read its answers");
  }
}

/* One turn for each client that has something to be answered. */
static void
do_ready (struct control *c)
{
  struct control_client *cl = c->ready, *next;

  c->ready = NULL;
  c->ready_last = &c->ready;
  for (; cl; cl = next) {
    next = cl->next_ready;
    cl->ready = false;
    if (!cl->dead)
      client_turn (cl);
  }
}

static void *
serve (void *vp)
{
  struct control *c = vp;
  struct epoll_event ev[EPOLL_EVENTS];

  while (!atomic_load (&c->stop)) {
    int i, n = epoll_wait (c->epoll_fd, ev, EPOLL_EVENTS, sleep_ms (c));

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
    end_slow_calls (c);
    do_ready (c);
    deliver_events (c);
    do_timers (c);
    free_dead (c);
  }
  return NULL;
}

int
control_start (struct control *c)
{
  sigset_t all, old;
  int err;

  assert (!c->started);
  atomic_store (&c->stop, false);
  /* Signals are for the program's own threads. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  err = pthread_create (&c->thread, NULL, serve, c);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (err) {
    errno = err;
    return -1;
  }
  c->started = true;
  return 0;
}

/* ----------------------------------------------------- start and stop */

/* The clients must not take the descriptors that NBD connections need. */
static void
want_fds (struct control *c)
{
  struct rlimit rl;
  rlim_t want = (rlim_t) c->o.max_clients + OTHER_FDS;

  if (getrlimit (RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur == RLIM_INFINITY ||
      rl.rlim_cur >= want)
    return;
  if (rl.rlim_max == RLIM_INFINITY || rl.rlim_max >= want)
    rl.rlim_cur = want;
  else
    rl.rlim_cur = rl.rlim_max;
  if (setrlimit (RLIMIT_NOFILE, &rl) == -1)
    getrlimit (RLIMIT_NOFILE, &rl);
  if (rl.rlim_cur < want && c->o.max_clients > rl.rlim_cur / 2)
    c->o.max_clients = rl.rlim_cur / 2;
}

static char *
prepare (struct control *c)
{
  struct epoll_event ev = { .events = EPOLLIN };
  char *wrong = unix_socket_listen (&c->socket, c->path, c->o.mode);

  if (wrong)
    return wrong;
  want_fds (c);
  c->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  c->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  c->spare_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (c->epoll_fd == -1 || c->wake_fd == -1)
    return message ("cannot make an event queue: %m");
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
  mutex_init (&c->lock);
  c->last = &c->first;
  c->ready_last = &c->ready;
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
remove_socket (struct control *c)
{
  if (unix_socket_remove (&c->socket) == -1)
    control_log (c, CONTROL_WARNING, "control socket %s: cannot remove it: %s",
                 c->path, strerror (errno));
}

void
control_stop (struct control *c)
{
  struct control_client *cl;

  if (c == NULL)
    return;
  if (c->started) {
    atomic_store (&c->stop, true);
    wake (c);
    pthread_join (c->thread, NULL);
    c->started = false;
  }
  while (c->slow)
    end_slow (c->slow);
  mutex_lock (&c->lock);
  c->slow_ended = NULL;
  mutex_unlock (&c->lock);
  deliver_events (c);
  for (cl = c->clients; cl; cl = cl->next)
    client_close (cl);
  free_dead (c);
  remove_socket (c);
}

static void
close_fd (int fd)
{
  if (fd >= 0)
    close (fd);
}

void
control_free (struct control *c)
{
  struct event *e, *next;

  if (c == NULL)
    return;
  control_stop (c);
  for (e = take_events (c); e; e = next) {
    next = e->next;
    free (e->line);
    free (e);
  }
  close_fd (c->socket.fd);
  close_fd (c->epoll_fd);
  close_fd (c->wake_fd);
  close_fd (c->spare_fd);
  mutex_destroy (&c->lock);
  free (c->path);
  free (c);
}
