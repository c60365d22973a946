/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting to an upstream server: everything before the first command and
 * after the last one.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <libnbd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/printable.h"
#include "base/thread.h"
#include "base/uuid.h"
#include "nbd/block-size.h"
#include "nbd/connection-private.h"
#include "nbd/connection.h"
#include "nbd/newer-libnbd.h"
#include "nbd/self-connect.h"

bool
connection_has_extended_headers (void)
{
  return nbd_set_request_extended_headers != NULL &&
    nbd_get_extended_headers_negotiated != NULL &&
    nbd_aio_block_status_64 != NULL;
}

bool
connection_has_tls_hostname (void)
{
  return nbd_set_tls_hostname != NULL;
}

/* The kernel gives a Unix socket room for 208 KiB.  So a sender of 256 KiB must
 * wait for the receiver, and the two take turns on the processor again and
 * again.  In bytes; the kernel limits the value to net.core.wmem_max.
 */
#define UNIX_SNDBUF (2 << 20)

/* A silent TCP peer is dead after 15 + 3 * 5 seconds. */
static const struct { int name, value; } keepalive[] = {
  { TCP_KEEPIDLE, 15 },
  { TCP_KEEPINTVL, 5 },
  { TCP_KEEPCNT, 3 },
  { TCP_USER_TIMEOUT, 30000 },  /* milliseconds */
};

/* The most steps of libnbd's state machine that a handshake may take, and that
 * a list of exports may take.  A message takes three or four; a handshake takes
 * about 60 in all.  libnbd keeps some of what a server sends, for as long as
 * the server keeps sending.
 */
#define MOST_STEPS 10000
#define MOST_LIST_STEPS (8 * CONNECTION_MOST_EXPORTS)

const char *
connection_libnbd_error (void)
{
  const char *text = nbd_get_error ();
  size_t n;

  if (text == NULL)
    return "unknown error";
  if (strncmp (text, "nbd_", 4) != 0)
    return text;
  n = strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return strncmp (text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

/* Write down what libnbd says of its last error in this thread. */
static int
nbd_failed (char why[CONNECTION_WHY])
{
  int err = nbd_get_errno ();

  printable_text (connection_libnbd_error (), why, CONNECTION_WHY);
  errno = err ? err : EIO;
  return -1;
}

static int
failed (int err, char why[CONNECTION_WHY])
{
  snprintf (why, CONNECTION_WHY, "%s", strerror (err));
  errno = err;
  return -1;
}

/* A handshake under way, and its deadline.
 *
 * libnbd continues as long as there is something to receive.  A server that
 * sends without a pause would keep us inside one call, so checking the clock
 * between calls is not enough.  libnbd's debug messages report each step that
 * it takes (watch_step).
 */
struct handshake {
  int64_t until;
  const struct ending *ending;  /* or NULL */
  int64_t next_ask;             /* … when to ask for that */
  int fd;                       /* our duplicate of the socket, to shut it down:
                                 * libnbd may close its own; -1: none */
  unsigned steps, most_steps;
  bool debug;                   /* LIBNBD_DEBUG=1 */
  int option;                   /* the errno of the last one */
  const char *stopped;          /* why, or NULL */
  int error;                    /* the errno for that */
};

static struct handshake
handshake_begin (int64_t until, const struct ending *ending,
                 unsigned most_steps)
{
  return (struct handshake) {
    .until = until, .ending = ending, .fd = -1, .most_steps = most_steps,
  };
}

static void
stop (struct handshake *h, const char *why, int error)
{
  h->stopped = why;
  h->error = error;
}

/* Must the handshake end? */
static bool
must_stop (struct handshake *h)
{
  int64_t now;

  if (h->stopped)
    return true;
  now = clock_now ();
  if (now >= h->until)
    stop (h, "no answer in time", ETIMEDOUT);
  else if (h->steps > h->most_steps)
    stop (h, "the server keeps sending without completing its answer", EPROTO);
  else if (now >= h->next_ask) {
    h->next_ask = now + HANDSHAKE_ENDING_TICK;
    if (program_ends (h->ending))
      stop (h, "given up, because this server is shutting down", ESHUTDOWN);
  }
  return h->stopped;
}

/* libnbd calls this with its lock held, so it must not call libnbd. */
static int
watch_step (void *opaque, const char *context, const char *message)
{
  struct handshake *h = opaque;

  h->steps++;
  if (h->debug)
    fprintf (stderr, "libnbd: debug: %s: %s\n", context, message);
  if (must_stop (h) && h->fd >= 0)
    shutdown (h->fd, SHUT_RDWR);
  return 0;
}

static void
release_socket (struct handshake *h)
{
  if (h->fd >= 0)
    close (h->fd);
  h->fd = -1;
}

/* libnbd is about to be called, and may receive. */
static void
hold_socket (struct handshake *h, int fd)
{
  release_socket (h);
  h->fd = fcntl (fd, F_DUPFD_CLOEXEC, 0);
}

static int
watch (struct nbd_handle *nbd, struct handshake *h)
{
  h->debug = nbd_get_debug (nbd);
  if (nbd_set_debug_callback (nbd, (nbd_debug_callback) {
                                .callback = watch_step, .user_data = h }) == -1)
    return -1;
  return nbd_set_debug (nbd, true);
}

/* The handshake is over. */
static void
watch_no_more (struct nbd_handle *nbd, const struct handshake *h)
{
  nbd_set_debug (nbd, h->debug);
  nbd_clear_debug_callback (nbd);
}

static int
stopped (struct nbd_handle *nbd, const struct handshake *h,
         char why[CONNECTION_WHY])
{
  snprintf (why, CONNECTION_WHY, "%s (%s)", h->stopped,
            nbd_connection_state (nbd));
  errno = h->error;
  return -1;
}

/* Drive the handle until it has finished its current operation.  If *loop is
 * SELF_CONNECT_UNKNOWN, the answer is found and stored there.
 */
static int
drive (struct nbd_handle *nbd, struct handshake *h, enum self_connect *loop,
       char why[CONNECTION_WHY])
{
  while (nbd_aio_is_connecting (nbd)) {
    struct pollfd p = { .fd = nbd_aio_get_fd (nbd) };
    unsigned direction = nbd_aio_get_direction (nbd);
    int r = 0;

    if (p.fd == -1)
      return nbd_failed (why);
    if (must_stop (h))
      return stopped (nbd, h, why);
    if (*loop == SELF_CONNECT_UNKNOWN)
      *loop = self_connect_check (p.fd);
    if (*loop == SELF_CONNECT_YES) {
      snprintf (why, CONNECTION_WHY, "it is this server itself: a loop");
      errno = ELOOP;
      return -1;
    }
    if (direction & LIBNBD_AIO_DIRECTION_READ)
      p.events |= POLLIN;
    if (direction & LIBNBD_AIO_DIRECTION_WRITE)
      p.events |= POLLOUT;
    r = poll (&p, 1,
              clock_poll_timeout (next_tick (HANDSHAKE_ENDING_TICK,
                                             h->until)));
    if (r == -1 && errno != EINTR)
      return failed (errno, why);
    if (r <= 0)
      continue;
    hold_socket (h, p.fd);
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) &&
        (direction & LIBNBD_AIO_DIRECTION_READ))
      r = nbd_aio_notify_read (nbd);
    else if (direction & LIBNBD_AIO_DIRECTION_WRITE)
      r = nbd_aio_notify_write (nbd);
    release_socket (h);
    if (h->stopped)
      return stopped (nbd, h, why);
    if (r == -1)
      return nbd_failed (why);
  }
  if (!nbd_aio_is_ready (nbd) && !nbd_aio_is_negotiating (nbd)) {
    snprintf (why, CONNECTION_WHY, "the server closed the connection during "
              "the handshake");
    errno = ECONNRESET;
    return -1;
  }
  return 0;
}

/* The same for a handle that was connected before. */
static int
drive_on (struct nbd_handle *nbd, struct handshake *h,
          char why[CONNECTION_WHY])
{
  enum self_connect loop = SELF_CONNECT_NO;

  return drive (nbd, h, &loop, why);
}

static int
start (struct nbd_handle *nbd, const struct connection_target *t)
{
  sigset_t own;
  int fd, r;

  switch (t->kind) {
  case TARGET_URI:
    return nbd_aio_connect_uri (nbd, t->name);
  case TARGET_UNIX:
    return nbd_aio_connect_unix (nbd, t->name);
  case TARGET_TCP:
    return nbd_aio_connect_tcp (nbd, t->name, t->port);
  case TARGET_VSOCK:
    return nbd_aio_connect_vsock (nbd, t->cid, t->vport);
  case TARGET_COMMAND:
    thread_signals_open (&own);
    r = nbd_aio_connect_systemd_socket_activation (nbd, t->argv);
    thread_signals_restore (&own);
    return r;
  case TARGET_SOCKET_FD:
    fd = fcntl (t->fd, F_DUPFD_CLOEXEC, 0);
    /* If fd is -1, libnbd reports the error. */
    return nbd_aio_connect_socket (nbd, fd);
  }
  abort ();
}

/* Close a handle without waiting: if a command hangs or is stopped, nbd_close
 * would wait for it to end.
 */
static void
close_now (struct nbd_handle *nbd)
{
  if (nbd) {
    /* An error only means that there is no command. */
    nbd_kill_subprocess (nbd, SIGKILL);
    nbd_close (nbd);
  }
}

/* libnbd asks for extended headers unless told not to.  They come with
 * structured replies.
 */
static int
want_headers (struct nbd_handle *nbd, bool simple)
{
  return nbd_set_request_structured_replies (nbd, !simple) == -1 ||
    (nbd_set_request_extended_headers &&
     nbd_set_request_extended_headers
     (nbd, !simple && connection_has_extended_headers ()) == -1) ? -1 : 0;
}

/* Make a connected handle.  With opt_mode it is negotiating options, unless the
 * server is an oldstyle one; otherwise it is ready.
 */
static struct nbd_handle *
connected_handle (const struct connection_target *t,
                  const struct connection_options *o, const char *export_name,
                  bool simple, bool opt_mode, struct handshake *h,
                  char why[CONNECTION_WHY])
{
  struct nbd_handle *nbd = nbd_create ();
  /* Neither can be a loop: a command listens for our connection, and a socket
   * was opened by somebody else.
   */
  enum self_connect loop = t->kind == TARGET_COMMAND ||
    t->kind == TARGET_SOCKET_FD ? SELF_CONNECT_NO : SELF_CONNECT_UNKNOWN;
  int err;

  if (nbd == NULL || watch (nbd, h) == -1 ||
      nbd_set_export_name (nbd, export_name) == -1 ||
      nbd_add_meta_context (nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == -1 ||
      nbd_set_full_info (nbd, true) == -1 ||
      nbd_set_opt_mode (nbd, opt_mode) == -1 ||
      want_headers (nbd, simple) == -1 ||
      /* Our callers' buffers are initialized.  A reply that does not fill one
       * is treated as an error (wire.c, transport-tls.c).
       */
      nbd_set_pread_initialize (nbd, false) == -1 ||
      nbd_set_tls (nbd, o->tls) == -1 ||
      (o->tls_certificates &&
       nbd_set_tls_certificates (nbd, o->tls_certificates) == -1) ||
      (o->tls_verify >= 0 &&
       nbd_set_tls_verify_peer (nbd, o->tls_verify) == -1) ||
      (o->tls_username &&
       nbd_set_tls_username (nbd, o->tls_username) == -1) ||
      (o->tls_psk && nbd_set_tls_psk_file (nbd, o->tls_psk) == -1) ||
      (o->tls_hostname && connection_has_tls_hostname () &&
       nbd_set_tls_hostname (nbd, o->tls_hostname) == -1)) {
    nbd_failed (why);
    goto error;
  }
  if (t->kind == TARGET_SOCKET_FD)
    hold_socket (h, t->fd);     /* for other kinds libnbd makes one */
  if (start (nbd, t) == -1) {
    nbd_failed (why);
    goto error;
  }
  if (drive (nbd, h, &loop, why) == -1)
    goto error;
  release_socket (h);           /* drive has, if there was anything to do */
  return nbd;

 error:
  err = errno;
  release_socket (h);
  close_now (nbd);
  errno = err;
  return NULL;
}

/* The result of an option: 0, or the errno that libnbd maps the server's error
 * to.
 */
static int
option_done (void *opaque, int *error)
{
  int *result = opaque;

  *result = *error;
  return 1;
}

/* Use our export name rather than the URI's, and enter the data phase. */
static int
choose_export (struct nbd_handle *nbd, const char *export_name,
               struct handshake *h, char why[CONNECTION_WHY])
{
  const nbd_completion_callback done = { .callback = option_done,
                                         .user_data = &h->option };
  char shown[PRINTABLE_STRING];
  int r;

  if (!nbd_aio_is_negotiating (nbd))
    return 0;                   /* oldstyle */
  if (nbd_set_export_name (nbd, export_name) == -1)
    return nbd_failed (why);
  hold_socket (h, nbd_aio_get_fd (nbd));
  h->option = 0;
  r = nbd_aio_opt_go (nbd, done);
  release_socket (h);
  if (r == -1)
    return nbd_failed (why);
  if (drive_on (nbd, h, why) == -1)
    return -1;
  if (nbd_aio_is_ready (nbd))
    return 0;
  r = h->option ? h->option : ENOENT;
  snprintf (why, CONNECTION_WHY, "the server refused export \"%s\": %s",
            printable_name (export_name, shown), strerror (r));
  errno = r;
  return -1;
}

static uint32_t
block_size (struct nbd_handle *nbd, int which)
{
  int64_t n = nbd_get_block_size (nbd, which);

  return n < 0 || n > UINT32_MAX ? 0 : n;
}

static int
ask_info (struct nbd_handle *nbd, struct bdev_info *i,
          char why[CONNECTION_WHY])
{
  CLEANUP_FREE char *description = nbd_get_export_description (nbd);
  int64_t size = nbd_get_size (nbd);

  if (size == -1)
    return nbd_failed (why);
  if (description)
    uuid_find (description, &i->uuid);
  i->size = size;
  i->readonly = nbd_is_read_only (nbd) == 1;
  i->can_flush = nbd_can_flush (nbd) == 1;
  i->can_fua = nbd_can_fua (nbd) == 1;
  i->can_trim = nbd_can_trim (nbd) == 1;
  i->can_zero = nbd_can_zero (nbd) == 1;
  i->can_fast_zero = nbd_can_fast_zero (nbd) == 1;
  i->can_cache = nbd_can_cache (nbd) == 1;
  i->can_extents =
    nbd_can_meta_context (nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
  i->can_multi_conn = nbd_can_multi_conn (nbd) == 1;
  i->rotational = nbd_is_rotational (nbd) == 1;
  i->block_min = block_size (nbd, LIBNBD_SIZE_MINIMUM);
  i->block_preferred = block_size (nbd, LIBNBD_SIZE_PREFERRED);
  i->block_max = block_size (nbd, LIBNBD_SIZE_MAXIMUM);
  block_size_of_server (&i->block_min, &i->block_preferred, &i->block_max);
  if (i->block_min == 0)
    i->block_min = 1;
  return 0;
}

/* An error is harmless if the socket is of another kind. */
static void
set_socket_options (int fd)
{
  int family = 0, one = 1, sndbuf = UNIX_SNDBUF;
  socklen_t len = sizeof family;
  size_t i;

  if (getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == -1)
    return;
  if (family == AF_UNIX)
    setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
  if (family != AF_INET && family != AF_INET6)
    return;
  setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  for (i = 0; i < sizeof keepalive / sizeof keepalive[0]; i++)
    setsockopt (fd, IPPROTO_TCP, keepalive[i].name, &keepalive[i].value,
                sizeof keepalive[i].value);
}

/* The handshake is over.  Without TLS, libnbd no longer reads or writes: it
 * would need several system calls for each request.
 */
static int
choose_transport (struct connection *conn)
{
  int flags;

  conn->extended = connection_has_extended_headers () &&
    nbd_get_extended_headers_negotiated (conn->nbd) == 1;
  if (nbd_get_tls_negotiated (conn->nbd) == 1) {
    transport_tls_init (conn);
    return 0;
  }
  /* libnbd's reads were non-blocking. */
  flags = fcntl (conn->fd, F_GETFL);
  if (flags == -1 || fcntl (conn->fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
    return -1;
  return transport_plain_init
    (conn, nbd_get_structured_replies_negotiated (conn->nbd) == 1);
}

struct connection *
connection_open (const struct connection_target *target,
                 const struct connection_options *options,
                 const char *export_name, bool simple, int64_t until,
                 const struct ending *ending,
                 char why[CONNECTION_WHY])
{
  struct handshake h = handshake_begin (until, ending, MOST_STEPS);
  struct connection *conn = calloc (1, sizeof *conn);
  bool own_name = target->kind == TARGET_URI && options->override_export;
  int err;

  if (conn == NULL) {
    failed (errno, why);
    return NULL;
  }
  lf_init (&conn->lf);
  conn->nbd = connected_handle (target, options, export_name, simple, own_name,
                                &h, why);
  if (conn->nbd == NULL)
    goto error1;
  if (own_name && choose_export (conn->nbd, export_name, &h, why) == -1)
    goto error2;
  if (ask_info (conn->nbd, &conn->info, why) == -1)
    goto error2;
  /* A duplicate, because libnbd closes its descriptor when the connection is
   * lost, while other threads may still poll(2) it.
   */
  conn->fd = fcntl (nbd_aio_get_fd (conn->nbd), F_DUPFD_CLOEXEC, 0);
  if (conn->fd == -1) {
    failed (errno, why);
    goto error2;
  }
  set_socket_options (conn->fd);
  conn->drain_time = options->drain_time;
  conn->ending = options->ending;
  if (choose_transport (conn) == -1) {
    failed (errno, why);
    goto error3;
  }
  watch_no_more (conn->nbd, &h);
  return conn;

 error3:
  err = errno;
  close (conn->fd);
  errno = err;
 error2:
  err = errno;
  close_now (conn->nbd);
  errno = err;
 error1:
  err = errno;
  lf_destroy (&conn->lf);
  free (conn);
  errno = err;
  return NULL;
}

/* Returns whether the server has closed its end. */
static bool
disconnect_or_drain (struct connection *conn, int64_t until)
{
  /* Without the reset, the kernel would retransmit what we have sent, and it
   * would arrive when the network works again.
   */
  static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

  if (!connection_is_lost (conn))
    return conn->transport->disconnect (conn, until);
  if (!connection_drain (conn, conn->ending, atomic_load (&conn->drain_until)))
    setsockopt (conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return false;
}

void
connection_close (struct connection *conn, int64_t until)
{
  if (conn == NULL)
    return;
  /* A command that has closed its end may take a while to exit. */
  if (disconnect_or_drain (conn, until))
    nbd_close (conn->nbd);
  else
    close_now (conn->nbd);
  close (conn->fd);
  transport_plain_free (conn);
  transport_tls_free (conn);
  lf_destroy (&conn->lf);
  free (conn);
}

bool
connection_is_local (const struct connection *conn)
{
  int family = 0;
  socklen_t len = sizeof family;

  return getsockopt (conn->fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
    family == AF_UNIX;
}

char *
connection_description (struct connection *conn)
{
  return nbd_get_export_description (conn->nbd);
}

/* ------------------------------------------- without opening an export */

static void
leave_options (struct nbd_handle *nbd)
{
  if (nbd_aio_is_negotiating (nbd))
    nbd_aio_opt_abort (nbd);
  else
    transport_tls_disconnect (nbd, clock_now () + CONNECTION_CLOSE_TIME);
  close_now (nbd);              /* nothing was written */
}

struct list {
  connection_list_fn fn;
  void *opaque;
  struct handshake *h;
  size_t n, bytes;
  bool full;
};

/* libnbd calls this with its lock held, so it must not call libnbd. */
static int
list_one (void *opaque, const char *name, const char *description)
{
  struct list *l = opaque;

  l->bytes += strlen (name) + strlen (description);
  if (l->full || l->n == CONNECTION_MOST_EXPORTS ||
      l->bytes > CONNECTION_MOST_LIST_BYTES) {
    l->full = true;
    if (l->h->fd >= 0)
      shutdown (l->h->fd, SHUT_RDWR);
    return 0;
  }
  l->n++;
  l->fn (l->opaque, name, description);
  return 0;
}

static int
ask_list (struct nbd_handle *nbd, struct list *l, char why[CONNECTION_WHY])
{
  const nbd_completion_callback done = { .callback = option_done,
                                         .user_data = &l->h->option };
  int r;

  if (!nbd_aio_is_negotiating (nbd)) {
    snprintf (why, CONNECTION_WHY,
              "an oldstyle server cannot list its exports");
    errno = ENOTSUP;
    return -1;
  }
  hold_socket (l->h, nbd_aio_get_fd (nbd));
  l->h->option = 0;
  r = nbd_aio_opt_list (nbd, (nbd_list_callback) { list_one, l, NULL }, done);
  release_socket (l->h);
  if (r == -1)
    nbd_failed (why);
  else
    r = drive_on (nbd, l->h, why);
  if (l->full)
    return 0;                   /* so we ended it */
  if (r == -1 || l->h->option == 0)
    return r;
  snprintf (why, CONNECTION_WHY, "the server does not list its exports: %s",
            strerror (l->h->option));
  errno = l->h->option;
  return -1;
}

int
connection_list (const struct connection_target *target,
                 const struct connection_options *options, int64_t until,
                 const struct ending *ending, connection_list_fn fn,
                 void *opaque, char why[CONNECTION_WHY])
{
  struct handshake h = handshake_begin (until, ending, MOST_LIST_STEPS);
  struct list l = { .fn = fn, .opaque = opaque, .h = &h };
  struct nbd_handle *nbd = connected_handle (target, options, "", false, true,
                                             &h, why);
  int r, err;

  if (nbd == NULL)
    return -1;
  r = ask_list (nbd, &l, why);
  err = errno;
  if (r == 0 && l.full)
    snprintf (why, CONNECTION_WHY, "it is too long: the first %zu names are "
              "used", l.n);
  else if (r == 0)
    *why = '\0';
  leave_options (nbd);
  errno = err;
  return r;
}

char *
connection_default_export (const struct connection_target *target,
                           const struct connection_options *options,
                           int64_t until, const struct ending *ending)
{
  struct handshake h = handshake_begin (until, ending, MOST_STEPS);
  char why[CONNECTION_WHY], *name = NULL;
  struct nbd_handle *nbd = connected_handle (target, options, "", false, true,
                                             &h, why);

  if (nbd == NULL)
    return NULL;
  if (nbd_aio_is_negotiating (nbd) && nbd_set_export_name (nbd, "") == 0) {
    int r;

    hold_socket (&h, nbd_aio_get_fd (nbd));
    r = nbd_aio_opt_info (nbd, NBD_NULL_COMPLETION);
    release_socket (&h);
    if (r == 0 && drive_on (nbd, &h, why) == 0)
      name = nbd_get_canonical_export_name (nbd);
  }
  leave_options (nbd);
  return name;
}
