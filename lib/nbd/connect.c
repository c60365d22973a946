/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting to an upstream server: all that happens before the first command,
 * and after the last.
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

#include "clock.h"
#include "loop.h"
#include "upstream.h"
#include "upstream-private.h"

/* The largest read or write when the server does not say one, in bytes: what
 * the protocol lets a client assume.
 */
#define DEFAULT_PAYLOAD (UINT32_C (32) << 20)

/* The most that libnbd takes, in bytes. */
#define LIBNBD_MOST_PAYLOAD (UINT32_C (64) << 20)

/* How long a server with which nothing is wrong may take to answer our
 * goodbye.
 */
#define GOODBYE_TIME (500 * NS_PER_MS)

/* The kernel gives a Unix socket room for 208 KiB: a sender of 256 KiB has to
 * wait for the receiver, and both change places on the processor again and
 * again.  In bytes; the kernel takes as much of it as net.core.wmem_max says.
 */
#define UNIX_SNDBUF (2 << 20)

/* A silent TCP peer is dead after 15 + 3 * 5 seconds. */
static const struct { int name, value; } keepalive[] = {
  { TCP_KEEPIDLE, 15 },
  { TCP_KEEPINTVL, 5 },
  { TCP_KEEPCNT, 3 },
  { TCP_USER_TIMEOUT, 30000 },  /* milliseconds */
};

/* Write down what libnbd says of its last error in this thread. */
static int
nbd_failed (char why[UPSTREAM_WHY])
{
  int err = nbd_get_errno ();
  const char *text = nbd_get_error ();

  snprintf (why, UPSTREAM_WHY, "%s", text ? text : "unknown error");
  errno = err ? err : EIO;
  return -1;
}

/* For how long a handshake is waited for. */
struct patience {
  int64_t until;
  const struct upstream_ending *ending; /* or NULL */
};

/* Drive the handle until it has done what it was asked to.  If *loop is
 * LOOP_UNKNOWN it becomes known.
 */
static int
drive (struct nbd_handle *nbd, struct patience patience, enum loop *loop,
       char why[UPSTREAM_WHY])
{
  while (nbd_aio_is_connecting (nbd)) {
    struct pollfd p = { .fd = nbd_aio_get_fd (nbd) };
    unsigned direction = nbd_aio_get_direction (nbd);
    int r = 0;

    if (p.fd == -1)
      return nbd_failed (why);
    if (*loop == LOOP_UNKNOWN)
      *loop = loop_check (p.fd);
    if (*loop == LOOP_YES) {
      snprintf (why, UPSTREAM_WHY, "it is this server itself: a loop");
      errno = ELOOP;
      return -1;
    }
    if (direction & LIBNBD_AIO_DIRECTION_READ)
      p.events |= POLLIN;
    if (direction & LIBNBD_AIO_DIRECTION_WRITE)
      p.events |= POLLOUT;
    r = poll (&p, 1,
              clock_poll_timeout (next_tick (HANDSHAKE_ENDING_TICK,
                                             patience.until)));
    if (r == -1 && errno != EINTR) {
      snprintf (why, UPSTREAM_WHY, "poll: %s", strerror (errno));
      return -1;
    }
    if (r <= 0) {
      if (upstream_ends (patience.ending)) {
        snprintf (why, UPSTREAM_WHY, "not waited for any longer (%s): this "
                  "server ends", nbd_connection_state (nbd));
        errno = ESHUTDOWN;
        return -1;
      }
      if (clock_now () < patience.until)
        continue;
      snprintf (why, UPSTREAM_WHY, "no answer in time (%s)",
                nbd_connection_state (nbd));
      errno = ETIMEDOUT;
      return -1;
    }
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) &&
        (direction & LIBNBD_AIO_DIRECTION_READ))
      r = nbd_aio_notify_read (nbd);
    else if (direction & LIBNBD_AIO_DIRECTION_WRITE)
      r = nbd_aio_notify_write (nbd);
    if (r == -1)
      return nbd_failed (why);
  }
  if (nbd_aio_is_dead (nbd) || nbd_aio_is_closed (nbd)) {
    snprintf (why, UPSTREAM_WHY, "the server closed the connection during "
              "the handshake");
    errno = ECONNRESET;
    return -1;
  }
  return 0;
}

/* The same for a handle that was connected before. */
static int
drive_on (struct nbd_handle *nbd, struct patience patience,
          char why[UPSTREAM_WHY])
{
  enum loop loop = LOOP_NO;

  return drive (nbd, patience, &loop, why);
}

static int
start (struct nbd_handle *nbd, const struct upstream_target *t)
{
  int fd, r;

  switch (t->kind) {
  case UPSTREAM_URI:
    return nbd_aio_connect_uri (nbd, t->name);
  case UPSTREAM_UNIX:
    return nbd_aio_connect_unix (nbd, t->name);
  case UPSTREAM_TCP:
    return nbd_aio_connect_tcp (nbd, t->name, t->port);
  case UPSTREAM_VSOCK:
    return nbd_aio_connect_vsock (nbd, t->cid, t->vport);
  case UPSTREAM_COMMAND:
    return nbd_aio_connect_systemd_socket_activation (nbd, t->argv);
  case UPSTREAM_SOCKET_FD:
    fd = fcntl (t->fd, F_DUPFD_CLOEXEC, 0);
    if (fd == -1)
      break;
    r = nbd_aio_connect_socket (nbd, fd);
    return r;
  }
  return -1;
}

/* Close a handle without waiting for anybody: a command that hangs, or that is
 * stopped, would keep nbd_close waiting for its end.
 */
static void
close_now (struct nbd_handle *nbd)
{
  if (nbd) {
    /* An error only says that there is no command. */
    nbd_kill_subprocess (nbd, SIGKILL);
    nbd_close (nbd);
  }
}

/* A handle that is connected, and at the point where options are negotiated if
 * opt_mode is set and the server is not an oldstyle one, else ready.
 */
static struct nbd_handle *
connected_handle (const struct upstream_target *t,
                  const struct upstream_options *o, const char *export_name,
                  bool simple, bool opt_mode, struct patience patience,
                  char why[UPSTREAM_WHY])
{
  struct nbd_handle *nbd = nbd_create ();
  /* A command listens for us, and a socket was opened by somebody else. */
  enum loop loop = t->kind == UPSTREAM_COMMAND ||
    t->kind == UPSTREAM_SOCKET_FD ? LOOP_NO : LOOP_UNKNOWN;
  int err;

  if (nbd == NULL ||
      nbd_set_export_name (nbd, export_name) == -1 ||
      nbd_add_meta_context (nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == -1 ||
      nbd_set_full_info (nbd, true) == -1 ||
      nbd_set_opt_mode (nbd, opt_mode) == -1 ||
      nbd_set_request_structured_replies (nbd, !simple) == -1 ||
      /* Our callers' buffers are initialized, and a reply that does not fill
       * one is an error (wire.c, over-libnbd.c).
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
      start (nbd, t) == -1) {
    nbd_failed (why);
    goto error;
  }
  if (drive (nbd, patience, &loop, why) == -1)
    goto error;
  return nbd;

 error:
  err = errno;
  close_now (nbd);
  errno = err;
  return NULL;
}

/* Take the name for the export from us rather than from the URI, and go on to
 * the data phase.
 */
static int
choose_export (struct nbd_handle *nbd, const char *export_name,
               struct patience patience, char why[UPSTREAM_WHY])
{
  if (!nbd_aio_is_negotiating (nbd))
    return 0;                   /* oldstyle */
  if (nbd_set_export_name (nbd, export_name) == -1 ||
      nbd_aio_opt_go (nbd, NBD_NULL_COMPLETION) == -1)
    return nbd_failed (why);
  if (drive_on (nbd, patience, why) == -1)
    return -1;
  if (nbd_aio_is_ready (nbd))
    return 0;
  snprintf (why, UPSTREAM_WHY, "the server refused export \"%s\"",
            export_name);
  errno = ENOENT;
  return -1;
}

static uint32_t
block_size (struct nbd_handle *nbd, int which)
{
  int64_t n = nbd_get_block_size (nbd, which);

  return n < 0 || n > UINT32_MAX ? 0 : n;
}

static int
ask_info (struct nbd_handle *nbd, struct upstream_info *i,
          char why[UPSTREAM_WHY])
{
  i->size = nbd_get_size (nbd);
  if (i->size == -1)
    return nbd_failed (why);
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
  i->payload_max = i->block_max ? i->block_max : DEFAULT_PAYLOAD;
  if (i->payload_max > LIBNBD_MOST_PAYLOAD)
    i->payload_max = LIBNBD_MOST_PAYLOAD;
  if (i->block_min > 1)
    i->payload_max -= i->payload_max % i->block_min;
  if (i->payload_max == 0) {
    snprintf (why, UPSTREAM_WHY, "the server's block sizes are impossible: "
              "minimum %u, maximum %u", i->block_min, i->block_max);
    errno = EPROTO;
    return -1;
  }
  return 0;
}

/* None is an error if the socket is of another kind. */
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

/* The handshake is over.  Without TLS libnbd is not asked to read or write any
 * more: it would need several system calls for each request.
 */
static int
choose_way (struct upstream *u)
{
  int flags;

  if (nbd_get_tls_negotiated (u->nbd) == 1) {
    over_libnbd_init (u);
    return 0;
  }
  /* libnbd's reads did not block. */
  flags = fcntl (u->fd, F_GETFL);
  if (flags == -1 || fcntl (u->fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
    return -1;
  return over_socket_init (u, nbd_get_structured_replies_negotiated (u->nbd)
                           == 1);
}

struct upstream *
upstream_connect (const struct upstream_target *target,
                  const struct upstream_options *options,
                  const char *export_name, bool simple, int64_t until,
                  const struct upstream_ending *ending,
                  char why[UPSTREAM_WHY])
{
  const struct patience patience = { until, ending };
  struct upstream *u = calloc (1, sizeof *u);
  bool own_name = target->kind == UPSTREAM_URI && options->override_export;
  int err;

  if (u == NULL) {
    snprintf (why, UPSTREAM_WHY, "%s", strerror (errno));
    return NULL;
  }
  crew_init (&u->crew);
  u->nbd = connected_handle (target, options, export_name, simple, own_name,
                             patience, why);
  if (u->nbd == NULL)
    goto error1;
  if (own_name && choose_export (u->nbd, export_name, patience, why) == -1)
    goto error2;
  if (ask_info (u->nbd, &u->info, why) == -1)
    goto error2;
  /* Our own, because libnbd closes its descriptor when the connection is lost
   * and other threads may still be in poll(2).
   */
  u->fd = fcntl (nbd_aio_get_fd (u->nbd), F_DUPFD_CLOEXEC, 0);
  if (u->fd == -1) {
    snprintf (why, UPSTREAM_WHY, "%s", strerror (errno));
    goto error2;
  }
  set_socket_options (u->fd);
  u->parting_time = options->parting_time;
  u->ending = options->ending;
  if (choose_way (u) == -1) {
    snprintf (why, UPSTREAM_WHY, "%s", strerror (errno));
    goto error3;
  }
  return u;

 error3:
  err = errno;
  close (u->fd);
  errno = err;
 error2:
  err = errno;
  close_now (u->nbd);
  errno = err;
 error1:
  err = errno;
  crew_destroy (&u->crew);
  free (u);
  errno = err;
  return NULL;
}

/* Returns whether the server has closed its end. */
static bool
part (struct upstream *u)
{
  /* What we have sent would else be sent again and again, and arrive when the
   * network works again.
   */
  static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

  if (!upstream_is_lost (u))
    return u->way->goodbye (u, clock_now () + GOODBYE_TIME);
  if (!upstream_await_end (u, u->ending, atomic_load (&u->cut_off)))
    setsockopt (u->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return false;
}

void
upstream_close (struct upstream *u)
{
  if (u == NULL)
    return;
  /* A command that has answered the goodbye may take its time to end. */
  if (part (u))
    nbd_close (u->nbd);
  else
    close_now (u->nbd);
  close (u->fd);
  over_socket_free (u);
  crew_destroy (&u->crew);
  free (u);
}

bool
upstream_is_local (const struct upstream *u)
{
  int family = 0;
  socklen_t len = sizeof family;

  return getsockopt (u->fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
    family == AF_UNIX;
}

char *
upstream_description (struct upstream *u)
{
  return nbd_get_export_description (u->nbd);
}

/* ------------------------------------------- without opening an export */

static void
leave_options (struct nbd_handle *nbd)
{
  if (nbd_aio_is_negotiating (nbd))
    nbd_aio_opt_abort (nbd);
  else
    over_libnbd_goodbye (nbd, clock_now () + GOODBYE_TIME);
  close_now (nbd);              /* nothing was written */
}

struct list {
  upstream_list_fn fn;
  void *opaque;
  int error;
};

static int
list_one (void *opaque, const char *name, const char *description)
{
  struct list *l = opaque;

  l->fn (l->opaque, name, description);
  return 0;
}

static int
list_done (void *opaque, int *error)
{
  struct list *l = opaque;

  l->error = *error;
  return 1;
}

int
upstream_list (const struct upstream_target *target,
               const struct upstream_options *options, int64_t until,
               const struct upstream_ending *ending, upstream_list_fn fn,
               void *opaque, char why[UPSTREAM_WHY])
{
  const struct patience patience = { until, ending };
  struct list l = { .fn = fn, .opaque = opaque };
  struct nbd_handle *nbd = connected_handle (target, options, "", false, true,
                                             patience, why);
  int r = -1, err;

  if (nbd == NULL)
    return -1;
  if (!nbd_aio_is_negotiating (nbd)) {
    snprintf (why, UPSTREAM_WHY, "an oldstyle server has no list of exports");
    errno = ENOTSUP;
  }
  else if (nbd_aio_opt_list (nbd,
                             (nbd_list_callback) { list_one, &l, NULL },
                             (nbd_completion_callback)
                             { list_done, &l, NULL }) == -1)
    nbd_failed (why);
  else if (drive_on (nbd, patience, why) == 0) {
    r = l.error ? -1 : 0;
    if (l.error)
      snprintf (why, UPSTREAM_WHY, "the server gives no list of exports: %s",
                strerror (l.error));
    errno = l.error;
  }
  err = errno;
  leave_options (nbd);
  errno = err;
  return r;
}

char *
upstream_default_export (const struct upstream_target *target,
                         const struct upstream_options *options,
                         int64_t until, const struct upstream_ending *ending)
{
  const struct patience patience = { until, ending };
  char why[UPSTREAM_WHY], *name = NULL;
  struct nbd_handle *nbd = connected_handle (target, options, "", false, true,
                                             patience, why);

  if (nbd == NULL)
    return NULL;
  if (nbd_aio_is_negotiating (nbd) &&
      nbd_set_export_name (nbd, "") == 0 &&
      nbd_aio_opt_info (nbd, NBD_NULL_COMPLETION) == 0 &&
      drive_on (nbd, patience, why) == 0)
    name = nbd_get_canonical_export_name (nbd);
  leave_options (nbd);
  return name;
}
