/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients of the control socket.  clients.h has the invariants. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "rpc/buffer.h"
#include "rpc/clients.h"
#include "rpc/jsonrpc.h"

/* How many requests of one client are answered before the others have their
 * turn.
 */
#define TURN_REQUESTS 16

/* How much is read from one client in one turn. */
#define READ_BYTES (64u << 10)

/* A call of a blocking method, in a thread of its own. */
struct blocking_call {
  struct clients *set;
  struct list link;             /* in set->blocking */
  struct blocking_call *next_ended; /* in set->blocking_ended */
  struct control_client *client; /* NULL: it has gone (K4) */
  pid_t pid;
  uid_t uid;
  pthread_t thread;
  char *line;
  size_t len;

  /* Used by the thread until it has ended. */
  int r;
  char *answer;
  size_t answer_len;
  struct jsonrpc_outcome outcome;
};

struct control_client {
  struct clients *set;
  int fd;
  pid_t pid;
  uid_t uid;
  uint32_t kinds;               /* subscribed to */
  uint32_t epoll_events;        /* registered */
  struct buffer in, out;
  size_t scanned;               /* of in: contains no newline */
  bool eof;                     /* will send no more */
  bool closing;                 /* close it when its output is sent */
  bool closed;                  /* K1, K2 */
  struct blocking_call *blocking; /* its requests wait for this call; or NULL */
  uint64_t progress_ms;         /* when it last read something */
  struct list link;             /* in set->open; closed: in set->closed */
  struct list ready;            /* in set->ready, if it may have a whole line */
};

void
clients_init (struct clients *cs, const struct control_options *o)
{
  cs->o = o;
  cs->epoll_fd = cs->wake_fd = -1;
  mutex_init (&cs->lock);
  list_init (&cs->open);
  list_init (&cs->ready);
  list_init (&cs->closed);
  list_init (&cs->blocking);
}

void
clients_end (struct clients *cs)
{
  mutex_destroy (&cs->lock);
}

void
clients_wake (struct clients *cs)
{
  uint64_t one = 1;

  /* This fails only if the counter is full, and then it is readable. */
  (void) !write (cs->wake_fd, &one, sizeof one);
}

void
control_say (const struct control_options *o, enum control_log level,
             const char *fmt, ...)
{
  CLEANUP_FREE char *line = NULL;
  va_list args;

  va_start (args, fmt);
  if (vasprintf (&line, fmt, args) == -1)
    line = NULL;
  va_end (args);
  if (line)
    o->log (o->opaque, level, line);
}

/* ------------------------------------------------------- life of a client */

static struct control_client *
client_of (struct list *link)
{
  return list_item (link, struct control_client, link);
}

static void
update_wanted (struct clients *cs)
{
  struct list *l;
  uint32_t wanted = 0;

  for (l = cs->open.next; l != &cs->open; l = l->next)
    wanted |= client_of (l)->kinds;
  atomic_store_explicit (&cs->wanted, wanted, memory_order_relaxed);
}

static void
client_ready (struct control_client *cl)
{
  if (list_is_empty (&cl->ready) && !cl->closed)
    list_append (&cl->set->ready, &cl->ready);
}

/* Close a client, and remove it from everything that may lead to it (K1). */
static void
client_close (struct control_client *cl)
{
  if (cl->closed)
    return;
  cl->closed = true;
  list_remove (&cl->ready);
  list_remove (&cl->link);
  list_append (&cl->set->closed, &cl->link);
  if (cl->blocking)
    cl->blocking->client = NULL;
  cl->blocking = NULL;
  /* close(2) alone does not do that while a forked child, which has not
   * executed its program yet, has the descriptor too.
   */
  (void) epoll_ctl (cl->set->epoll_fd, EPOLL_CTL_DEL, cl->fd, NULL);
  close (cl->fd);
  atomic_fetch_sub_explicit (&cl->set->count, 1, memory_order_relaxed);
  if (cl->kinds)
    update_wanted (cl->set);
}

static void
client_drop (struct control_client *cl, const char *why)
{
  if (cl->closed)
    return;
  control_say (cl->set->o, CONTROL_WARNING,
               "control client (pid %ld, uid %ld) closed: %s",
               (long) cl->pid, (long) cl->uid, why);
  client_close (cl);
}

/* No pointer to a closed client may be in use (K2). */
void
clients_free_closed (struct clients *cs)
{
  while (!list_is_empty (&cs->closed)) {
    struct control_client *cl = client_of (cs->closed.next);

    list_remove (&cl->link);
    free (cl->in.data);
    free (cl->out.data);
    free (cl);
  }
}

int
clients_add (struct clients *cs, int fd)
{
  struct ucred cred = { .pid = -1, .uid = -1 };
  socklen_t len = sizeof cred;
  struct control_client *cl = calloc (1, sizeof *cl);
  struct epoll_event ev = { .events = EPOLLIN, .data.ptr = cl };

  if (cl == NULL)
    return -1;
  (void) getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
  cl->set = cs;
  cl->fd = fd;
  cl->pid = cred.pid;
  cl->uid = cred.uid;
  cl->epoll_events = EPOLLIN;
  if (epoll_ctl (cs->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == -1) {
    free (cl);
    return -1;
  }
  list_init (&cl->ready);
  list_append (&cs->open, &cl->link);
  atomic_fetch_add_explicit (&cs->count, 1, memory_order_relaxed);
  return 0;
}

void
clients_close_all (struct clients *cs)
{
  while (!list_is_empty (&cs->open))
    client_close (client_of (cs->open.next));
}

/* ---------------------------------------------------------------- output */

/* Whether this client's requests may be answered now. */
static bool
may_go_on (const struct control_client *cl)
{
  return !cl->closed && !cl->closing && cl->blocking == NULL &&
    buffer_len (&cl->out) <= CONTROL_MAX_OUTPUT;
}

/* Watch for the events that matter in the state of the client. */
static void
client_poll (struct control_client *cl)
{
  struct epoll_event ev = { .data.ptr = cl };

  if (cl->closed)
    return;
  if (!cl->eof && may_go_on (cl) && buffer_len (&cl->in) <= CONTROL_MAX_LINE)
    ev.events |= EPOLLIN;
  if (buffer_len (&cl->out) > 0)
    ev.events |= EPOLLOUT;
  if (ev.events == cl->epoll_events)
    return;
  if (epoll_ctl (cl->set->epoll_fd, EPOLL_CTL_MOD, cl->fd, &ev) == -1)
    client_drop (cl, "epoll_ctl failed");
  cl->epoll_events = ev.events;
}

/* Send as much as possible.  Requests that waited for that continue. */
static void
client_send (struct control_client *cl)
{
  bool waited = !may_go_on (cl);

  while (!cl->closed && buffer_len (&cl->out) > 0) {
    ssize_t n = send (cl->fd, cl->out.data + cl->out.start,
                      buffer_len (&cl->out), MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0) {
      buffer_take (&cl->out, n);
      cl->progress_ms = clock_now_ms ();
    }
    else if (n == -1 && errno == EINTR)
      continue;
    else if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
      break;
    else
      client_close (cl);        /* the client has gone: nothing to log */
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
    cl->progress_ms = clock_now_ms ();
  if (line == NULL || buffer_add (&cl->out, line, len) == -1)
    client_drop (cl, "out of memory");
  free (line);
}

bool
clients_have_output (const struct clients *cs)
{
  const struct list *l;

  for (l = cs->open.next; l != &cs->open; l = l->next)
    if (buffer_len (&list_item (l, struct control_client, link)->out) > 0)
      return true;
  return false;
}

void
clients_check_stalled (struct clients *cs, uint64_t now_ms)
{
  struct list *l, *next;

  for (l = cs->open.next; l != &cs->open; l = next) {
    struct control_client *cl = client_of (l);

    next = l->next;
    if ((cl->closing ? buffer_len (&cl->out) > 0
         : buffer_len (&cl->out) > CONTROL_MAX_OUTPUT) &&
        now_ms - cl->progress_ms >= cs->o->stall_ms)
      client_drop (cl, "it does not read its answers");
  }
}

/* --------------------------------------------------------------- methods */

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
log_change (struct clients *cs, pid_t pid, uid_t uid,
            const struct jsonrpc_outcome *outcome)
{
  if (outcome->method == NULL || !outcome->method->changes)
    return;
  control_say (cs->o, CONTROL_INFO, "control client (pid %ld, uid %ld): %s %s: "
               "%s", (long) pid, (long) uid, outcome->method->name,
               outcome->params, outcome->code ? outcome->message : "done");
  if (cs->o->changed)
    cs->o->changed (cs->o->opaque);
}

static void *
run_blocking (void *opaque)
{
  struct blocking_call *s = opaque;
  struct clients *cs = s->set;

  s->r = jsonrpc_handle (cs->o->methods, cs->o->service, NULL, s->line, s->len,
                         &s->answer, &s->answer_len, &s->outcome);
  mutex_lock (&cs->lock);
  s->next_ended = cs->blocking_ended;
  cs->blocking_ended = s;
  mutex_unlock (&cs->lock);
  clients_wake (cs);
  return NULL;
}

static void
client_blocking (struct control_client *cl, const char *line, size_t len)
{
  struct clients *cs = cl->set;
  struct blocking_call *s = calloc (1, sizeof *s);

  if (s == NULL || (s->line = malloc (len)) == NULL) {
    free (s);
    client_drop (cl, "out of memory");
    return;
  }
  memcpy (s->line, line, len);
  s->len = len;
  s->set = cs;
  s->client = cl;
  s->pid = cl->pid;
  s->uid = cl->uid;
  if (thread_start (&s->thread, "mblock-method", run_blocking, s)) {
    free (s->line);
    free (s);
    client_drop (cl, "no thread can be made for what it asks");
    return;
  }
  cl->blocking = s;
  list_append (&cs->blocking, &s->link);
}

/* Join the thread, and let the client continue. */
static void
end_blocking (struct blocking_call *s)
{
  struct clients *cs = s->set;
  struct control_client *cl;

  pthread_join (s->thread, NULL);
  list_remove (&s->link);
  log_change (cs, s->pid, s->uid, &s->outcome);
  cl = s->client;
  if (cl) {
    cl->blocking = NULL;
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

void
clients_end_calls (struct clients *cs)
{
  struct blocking_call *s, *next;

  mutex_lock (&cs->lock);
  s = cs->blocking_ended;
  cs->blocking_ended = NULL;
  mutex_unlock (&cs->lock);
  for (; s; s = next) {
    next = s->next_ended;
    end_blocking (s);
  }
}

void
clients_wait_calls (struct clients *cs)
{
  while (!list_is_empty (&cs->blocking))
    end_blocking (list_item (cs->blocking.next, struct blocking_call, link));
  mutex_lock (&cs->lock);
  cs->blocking_ended = NULL;
  mutex_unlock (&cs->lock);
}

static void
client_request (struct control_client *cl, const char *line, size_t len)
{
  struct clients *cs = cl->set;
  struct jsonrpc_outcome outcome;
  char *answer;
  size_t n;
  int r;

  if (is_blank (line, len))
    return;
  r = jsonrpc_handle_soon (cs->o->methods, cs->o->service, cl, line, len,
                           &answer, &n, &outcome);
  if (r == 1)
    client_blocking (cl, line, len);
  else if (r == -1)
    client_drop (cl, "out of memory");
  else {
    log_change (cs, cl->pid, cl->uid, &outcome);
    if (answer)
      client_answer (cl, answer, n);
  }
}

/* The last line has no end: it is too long, or the client sends no more. */
static void
client_unfinished (struct control_client *cl)
{
  if (buffer_len (&cl->in) > CONTROL_MAX_LINE) {
    char *line;
    size_t len;

    line = jsonrpc_error_line (JSONRPC_INVALID_REQUEST,
                               "the line is too long: expected at most "
                               "1048576 bytes", &len);
    control_say (cl->set->o, CONTROL_WARNING,
                 "control client (pid %ld, uid %ld) "
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
    /* The client may still receive events. */
    cl->closing = cl->kinds == 0;
  }
}

/* Answer some requests of a client. */
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
    if (cl->closed)
      return;
    buffer_take (&cl->in, end - start + 1);
  }
  if (i == TURN_REQUESTS)
    client_ready (cl);
  client_send (cl);
  client_poll (cl);
}

void
clients_turn (struct clients *cs)
{
  struct list now;

  list_init (&now);
  list_move (&now, &cs->ready);
  while (!list_is_empty (&now)) {
    struct list *first = now.next;

    list_remove (first);
    client_turn (list_item (first, struct control_client, ready));
  }
}

/* ----------------------------------------------------------------- input */

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

void
client_event (struct control_client *cl, uint32_t events)
{
  if (cl->closed)
    return;
  if (events & EPOLLOUT)
    client_send (cl);
  if (!cl->closed && events & EPOLLIN)
    client_receive (cl);
  /* The client has gone altogether: what was begun is finished, but not
   * answered, and the requests behind it are not begun.
   */
  else if (!cl->closed && events & (EPOLLHUP | EPOLLERR))
    client_close (cl);
  client_poll (cl);
}

/* ---------------------------------------------------------------- events */

/* Queue an event that the client subscribed to. */
static void
client_event_line (struct control_client *cl, const char *line, size_t len)
{
  if (buffer_len (&cl->out) + len > CONTROL_MAX_OUTPUT)
    client_send (cl);
  if (cl->closed)
    return;
  if (buffer_len (&cl->out) + len > CONTROL_MAX_OUTPUT) {
    client_drop (cl, "it does not read its events");
    return;
  }
  if (buffer_len (&cl->out) == 0)
    cl->progress_ms = clock_now_ms ();
  if (buffer_add (&cl->out, line, len) == -1)
    client_drop (cl, "out of memory");
}

void
clients_publish (struct clients *cs, uint32_t kind, const char *line,
                 size_t len)
{
  struct list *l, *next;

  for (l = cs->open.next; l != &cs->open; l = next) {
    struct control_client *cl = client_of (l);

    next = l->next;
    if (!cl->closing && cl->kinds & kind)
      client_event_line (cl, line, len);
  }
}

void
clients_send_events (struct clients *cs)
{
  struct list *l, *next;

  for (l = cs->open.next; l != &cs->open; l = next) {
    struct control_client *cl = client_of (l);

    next = l->next;
    if (cl->kinds && buffer_len (&cl->out) > 0) {
      client_send (cl);
      client_poll (cl);
    }
  }
}

void
control_subscribe (struct control_client *client, uint32_t kinds)
{
  client->kinds = kinds;
  update_wanted (client->set);
}
