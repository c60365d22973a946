/* SPDX-License-Identifier: BSD-3-Clause */
/* The command exporter: serves the metrics over HTTP, for Prometheus to scrape.
 *
 * Each scrape runs "mblockctl metrics" in its own process.  So if the server
 * restarts or does not answer in time, one scrape fails, but the exporter
 * continues.
 *
 * HTTP is libmicrohttpd's, with one thread.  It must not wait, so another
 * thread scrapes, and the connections that want the metrics are suspended
 * meanwhile.  All that wait when a scrape begins get its text: one response,
 * which libmicrohttpd keeps until the last of them has read it.
 *
 * A client that reads slowly keeps such a text.  When there are MOST_TEXTS of
 * them, the readers of the oldest one are disconnected.  So are clients that
 * take too long for a request or for its answer.
 *
 * Locking.  "lock" guards the connections and their state.  While it is held,
 * only MHD_suspend_connection of libmicrohttpd is called.
 */

#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/thread.h"
#include "client.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "text.h"

extern char **environ;

#define DEFAULT_LISTEN "127.0.0.1:9842"
#define MOST_METRICS (256u << 20)       /* bytes of one scrape */
#define MOST_CONNECTIONS 64
#define MOST_TEXTS 4                    /* of scrapes that are being read */
#define IDLE_SECONDS 30                 /* then a connection is closed */
#define BUSY_SECONDS 60                 /* for a request, and for its answer */

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define UP_HELP "# HELP mblock_up Whether the server answered the exporter.\n" \
  "# TYPE mblock_up gauge\n"

static char **metrics_argv;             /* the command of a scrape */

/* The text of one scrape, and how many use it. */
struct text {
  struct MHD_Response *response;
  uint64_t number;              /* of the scrape */
  unsigned users;
};

/* A request for the metrics makes a connection WAITING; its scrape, SCRAPED. */
enum state { IDLE, WAITING, SCRAPED };

struct connection {
  struct MHD_Connection *mhd;
  int fd;
  enum state state;
  struct text *text;            /* of SCRAPED; NULL: out of memory */
  int64_t deadline;             /* ms: then its time is up, unless WAITING */
  struct connection *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct connection *connections;
static bool ending;
static pid_t scraper;           /* the process of a scrape; 0: none */

/* -------------------------------------------------------------- scraping */

static int
start_metrics (int fd, pid_t *pid)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  sigset_t none;
  int err;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, fd, STDOUT_FILENO);
  /* Our threads block the signals that end the process. */
  sigemptyset (&none);
  posix_spawnattr_init (&attr);
  posix_spawnattr_setsigmask (&attr, &none);
  posix_spawnattr_setflags (&attr, POSIX_SPAWN_SETSIGMASK);
  err = posix_spawn (pid, "/proc/self/exe", &actions, &attr, metrics_argv,
                     environ);
  posix_spawnattr_destroy (&attr);
  posix_spawn_file_actions_destroy (&actions);
  errno = err;
  return err ? -1 : 0;
}

/* Read fd to its end; leave room for the text of "up". */
static char *
read_all (int fd, size_t *len)
{
  size_t size = 65536;
  char *buf = malloc (size), *more;

  *len = 0;
  while (buf) {
    ssize_t n;

    if (size - *len < 4096 && size < MOST_METRICS) {
      more = realloc (buf, size *= 2);
      if (more == NULL)
        break;
      buf = more;
    }
    n = read (fd, buf + *len, size - *len - 1024);
    if (n == 0)
      return buf;
    if (n > 0)
      *len += n;
    else if (errno != EINTR)
      break;
  }
  free (buf);
  return NULL;
}

/* From now on the end of the program ends the process, too. */
static void
note_scraper (pid_t pid)
{
  pthread_mutex_lock (&lock);
  scraper = pid > 0 ? pid : 0;
  if (scraper && ending)
    kill (scraper, SIGTERM);
  pthread_mutex_unlock (&lock);
}

/* The process is not reaped before nobody can signal it any more. */
static void
wait_scraper (pid_t pid, int *status)
{
  siginfo_t info;

  while (waitid (P_PID, pid, &info, WEXITED | WNOWAIT) == -1 && errno == EINTR)
    ;
  note_scraper (0);
  while (waitpid (pid, status, 0) == -1 && errno == EINTR)
    ;
}

/* The text of one scrape, with mblock_up at its end.  The caller frees it. */
static char *
scrape (size_t *len)
{
  char *text = NULL, *more;
  int fd[2], status = -1;
  pid_t pid;

  if (pipe2 (fd, O_CLOEXEC) == -1)
    return NULL;
  if (start_metrics (fd[1], &pid) == -1)
    pid = -1;
  close (fd[1]);
  note_scraper (pid);
  if (pid > 0) {
    text = read_all (fd[0], len);
    /* A process whose output is not read to its end gets SIGPIPE. */
    close (fd[0]);
    wait_scraper (pid, &status);
  }
  else
    close (fd[0]);
  /* Discard incomplete output: half of the metrics would look as if disks were
   * gone.
   */
  if (text && status != 0)
    *len = 0;
  if (text == NULL)
    return NULL;
  *len += sprintf (text + *len, "%smblock_up %d\n", UP_HELP, status == 0);
  more = realloc (text, *len);  /* a slow reader keeps it */
  return more ? more : text;
}

/* ----------------------------------------------------- slow connections */

static void text_put (struct text *t);

/* Disconnect.  libmicrohttpd notices, and closes the socket. */
static void
disconnect (struct connection *c)
{
  shutdown (c->fd, SHUT_RDWR);
}

/* The clients that still read a text that is older than the newest ones. */
static void
drop_old_texts (uint64_t newest)
{
  struct connection *c;

  pthread_mutex_lock (&lock);
  for (c = connections; c; c = c->next)
    if (c->text && c->text->number + MOST_TEXTS <= newest)
      disconnect (c);
  pthread_mutex_unlock (&lock);
}

/* The clients that have taken too long. */
static void
drop_late (void)
{
  int64_t now = client_now ();
  struct connection *c;

  pthread_mutex_lock (&lock);
  for (c = connections; c; c = c->next)
    if (c->state != WAITING && now >= c->deadline)
      disconnect (c);
  pthread_mutex_unlock (&lock);
}

static void
opened_or_closed (void *opaque, struct MHD_Connection *mhd, void **context,
                  enum MHD_ConnectionNotificationCode what)
{
  struct connection *c = *context, **p;

  (void) opaque;
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    c = calloc (1, sizeof *c);
    if (c == NULL)
      abort ();
    c->mhd = mhd;
    c->fd = MHD_get_connection_info (mhd, MHD_CONNECTION_INFO_CONNECTION_FD)
      ->connect_fd;
    c->deadline = client_now () + BUSY_SECONDS * 1000;
    pthread_mutex_lock (&lock);
    c->next = connections;
    connections = c;
    pthread_mutex_unlock (&lock);
    *context = c;
    return;
  }
  pthread_mutex_lock (&lock);
  for (p = &connections; *p != c; p = &(*p)->next)
    ;
  *p = c->next;
  text_put (c->text);
  pthread_mutex_unlock (&lock);
  free (c);
}

static struct connection *
connection_of (struct MHD_Connection *mhd)
{
  return MHD_get_connection_info (mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
    ->socket_context;
}

/* A request has been answered, or has failed.  The next one has its time. */
static void
completed (void *opaque, struct MHD_Connection *mhd, void **state,
           enum MHD_RequestTerminationCode why)
{
  struct connection *c = connection_of (mhd);

  (void) opaque;
  (void) state;
  (void) why;
  pthread_mutex_lock (&lock);
  text_put (c->text);
  c->text = NULL;
  c->state = IDLE;
  c->deadline = client_now () + BUSY_SECONDS * 1000;
  pthread_mutex_unlock (&lock);
}

/* ------------------------------------------------------ the scraping thread */

/* With the lock held. */
static void
text_put (struct text *t)
{
  if (t == NULL || --t->users > 0)
    return;
  MHD_destroy_response (t->response);
  free (t);
}

/* Takes over the memory.  NULL: out of memory. */
static struct text *
text_new (char *memory, size_t len)
{
  struct text *t = memory ? calloc (1, sizeof *t) : NULL;

  if (t)
    t->response = MHD_create_response_from_buffer (len, memory,
                                                   MHD_RESPMEM_MUST_FREE);
  if (t == NULL || t->response == NULL) {
    free (memory);
    free (t);
    return NULL;
  }
  MHD_add_response_header (t->response, MHD_HTTP_HEADER_CONTENT_TYPE,
                           CONTENT_TYPE);
  t->users = 1;
  return t;
}

/* Wait for connections that want a scrape, and take them all.  They are
 * suspended, so they stay until they are resumed.  Returns their number, or 0
 * at the end.
 */
static size_t
next_waiting (struct connection **taken)
{
  struct connection *c;
  size_t n = 0;

  pthread_mutex_lock (&lock);
  while (n == 0 && !ending) {
    for (c = connections; c && n < MOST_CONNECTIONS; c = c->next)
      if (c->state == WAITING)
        taken[n++] = c;
    if (n == 0)
      pthread_cond_wait (&wake, &lock);
  }
  pthread_mutex_unlock (&lock);
  return n;
}

/* Give them the text, which may be NULL.  The thread of libmicrohttpd sends
 * it.
 */
static void
hand_out (struct connection **taken, size_t n, struct text *t)
{
  size_t i;

  pthread_mutex_lock (&lock);
  for (i = 0; i < n; i++) {
    taken[i]->state = SCRAPED;
    taken[i]->text = t;
    taken[i]->deadline = client_now () + BUSY_SECONDS * 1000;
    if (t)
      t->users++;
  }
  text_put (t);
  pthread_mutex_unlock (&lock);
  for (i = 0; i < n; i++)
    MHD_resume_connection (taken[i]->mhd);
}

static void *
scrape_all (void *opaque)
{
  static struct connection *taken[MOST_CONNECTIONS];
  uint64_t number = 0;
  size_t n, len = 0;

  (void) opaque;
  while ((n = next_waiting (taken)) > 0) {
    char *memory = scrape (&len);
    struct text *t = text_new (memory, len);

    if (t)
      t->number = ++number;
    hand_out (taken, n, t);
    drop_old_texts (number);
  }
  return NULL;
}

/* End the scrape that runs, and the thread; let go those that wait. */
static void
end_scraping (pthread_t thread)
{
  static struct connection *left[MOST_CONNECTIONS];
  struct connection *c;
  size_t n = 0;

  pthread_mutex_lock (&lock);
  ending = true;
  if (scraper)
    kill (scraper, SIGTERM);
  pthread_cond_signal (&wake);
  pthread_mutex_unlock (&lock);
  pthread_join (thread, NULL);
  pthread_mutex_lock (&lock);
  for (c = connections; c && n < MOST_CONNECTIONS; c = c->next)
    if (c->state == WAITING)
      left[n++] = c;
  pthread_mutex_unlock (&lock);
  hand_out (left, n, NULL);
}

/* ------------------------------------------------------------------ HTTP */

static enum MHD_Result
answer_line (struct MHD_Connection *connection, unsigned code, const char *line)
{
  struct MHD_Response *response =
    MHD_create_response_from_buffer (strlen (line), (char *) line,
                                     MHD_RESPMEM_PERSISTENT);
  enum MHD_Result r;

  if (response == NULL)
    return MHD_NO;
  MHD_add_response_header (response, MHD_HTTP_HEADER_CONTENT_TYPE,
                           "text/plain; charset=utf-8");
  if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
    MHD_add_response_header (response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  r = MHD_queue_response (connection, code, response);
  MHD_destroy_response (response);
  return r;
}

/* Called when a request has arrived, and again when its scrape has ended. */
static enum MHD_Result
answer_metrics (struct connection *c)
{
  struct MHD_Response *response;

  pthread_mutex_lock (&lock);
  if (c->state == IDLE && !ending) {
    c->state = WAITING;
    MHD_suspend_connection (c->mhd);
    pthread_cond_signal (&wake);
    pthread_mutex_unlock (&lock);
    return MHD_YES;
  }
  response = c->text ? c->text->response : NULL;
  pthread_mutex_unlock (&lock);
  /* The connection's use of the text keeps the response. */
  return response ? MHD_queue_response (c->mhd, MHD_HTTP_OK, response)
    : answer_line (c->mhd, MHD_HTTP_INTERNAL_SERVER_ERROR,
                   "out of memory or processes\n");
}

static enum MHD_Result
handle (void *opaque, struct MHD_Connection *connection, const char *url,
        const char *method, const char *version, const char *data,
        size_t *data_len, void **state)
{
  (void) opaque;
  (void) version;
  (void) data;
  (void) data_len;
  (void) state;
  if (strcmp (method, MHD_HTTP_METHOD_GET) != 0 &&
      strcmp (method, MHD_HTTP_METHOD_HEAD) != 0)
    return answer_line (connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                        "expected GET\n");
  if (strcmp (url, "/") == 0)
    return answer_line (connection, MHD_HTTP_OK,
                        "The metrics of mblock are at /metrics.\n");
  if (strcmp (url, "/metrics") != 0)
    return answer_line (connection, MHD_HTTP_NOT_FOUND,
                        "expected /metrics\n");
  return answer_metrics (connection_of (connection));
}

/* --------------------------------------------------------------- command */

union address {
  struct sockaddr sa;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
};

/* "127.0.0.1:9842" or "[::1]:9842". */
static void
parse_listen (const char *s, union address *a)
{
  const char *colon = strrchr (s, ':');
  char host[INET6_ADDRSTRLEN + 2] = "";
  size_t len = colon ? (size_t) (colon - s) : 0;
  uint16_t port;

  memset (a, 0, sizeof *a);
  if (colon == NULL || len == 0 || len >= sizeof host)
    fail (USAGE, "--listen %s: expected ADDRESS:PORT, such as "
          DEFAULT_LISTEN " or [::1]:9842", text_name (s));
  memcpy (host, s, len);
  port = htons (argument_number ("--listen PORT", colon + 1, 0, 65535));
  if (inet_pton (AF_INET, host, &a->in.sin_addr) == 1) {
    a->in.sin_family = AF_INET;
    a->in.sin_port = port;
    return;
  }
  if (host[0] == '[' && host[len - 1] == ']') {
    host[len - 1] = '\0';
    if (inet_pton (AF_INET6, host + 1, &a->in6.sin6_addr) == 1) {
      a->in6.sin6_family = AF_INET6;
      a->in6.sin6_port = port;
      return;
    }
  }
  fail (USAGE, "--listen %s: expected a numeric address before the port, such "
        "as " DEFAULT_LISTEN " or [::1]:9842", text_name (s));
}

/* The command of a scrape: this program, with the same server and disks. */
static void
prepare_metrics (int argc, char **argv)
{
  static char timeout[32];
  int i, n = 0;

  metrics_argv = calloc (argc + 12, sizeof *metrics_argv);
  if (metrics_argv == NULL)
    abort ();
  if (settings.timeout_ms < 0)
    strcpy (timeout, "0");
  else
    snprintf (timeout, sizeof timeout, "%" PRId64 ".%03" PRId64,
              settings.timeout_ms / 1000, settings.timeout_ms % 1000);
  metrics_argv[n++] = (char *) "mblockctl";
  metrics_argv[n++] = (char *) "--socket";
  metrics_argv[n++] = (char *) rpc_socket ();
  metrics_argv[n++] = (char *) "--timeout";
  metrics_argv[n++] = timeout;
  metrics_argv[n++] = (char *) "metrics";
  metrics_argv[n++] = (char *) "--ignore-missing";
  if (flag ("total"))
    metrics_argv[n++] = (char *) "--total";
  if (flag ("literal"))
    metrics_argv[n++] = (char *) "--literal";
  metrics_argv[n++] = (char *) "--";
  for (i = 0; i < argc; i++)
    metrics_argv[n++] = argv[i];
}

/* Listen.  Returns a socket, or -1 with errno, which microhttpd would lose. */
static int
listen_on (const union address *a)
{
  socklen_t len = a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
  int fd = socket (a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                   0);
  int one = 1, err;

  if (fd == -1)
    return -1;
  if (setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
      bind (fd, &a->sa, len) == 0 && listen (fd, MOST_CONNECTIONS) == 0)
    return fd;
  err = errno;
  close (fd);
  errno = err;
  return -1;
}

static struct MHD_Daemon *
serve (int fd, const union address *a)
{
  unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
    (a->sa.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0);

  return MHD_start_daemon (flags, 0, NULL, NULL, handle, NULL,
                           MHD_OPTION_LISTEN_SOCKET, fd,
                           MHD_OPTION_CONNECTION_LIMIT, MOST_CONNECTIONS,
                           MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
                           MHD_OPTION_NOTIFY_CONNECTION, opened_or_closed, NULL,
                           MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                           MHD_OPTION_END);
}

static int
run_exporter (int argc, char **argv)
{
  const char *given = flag ("listen") ? option ("listen") : DEFAULT_LISTEN;
  const struct timespec second = { 1, 0 };
  struct MHD_Daemon *daemon;
  union address a;
  pthread_t thread;
  sigset_t end;
  int fd;

  if (settings.json)
    fail (USAGE, "--json: expected none here; Prometheus reads no JSON");
  select_check_or_total (argc, argv);
  select_check_patterns (argc, argv);   /* before there is a server */
  parse_listen (given, &a);
  prepare_metrics (argc, argv);
  /* The threads inherit the mask, so only sigtimedwait sees them. */
  sigemptyset (&end);
  sigaddset (&end, SIGINT);
  sigaddset (&end, SIGTERM);
  sigprocmask (SIG_BLOCK, &end, NULL);
  fd = listen_on (&a);
  daemon = fd == -1 ? NULL : serve (fd, &a);
  if (daemon == NULL ||
      (errno = thread_start (&thread, "scrape", scrape_all, NULL)) != 0)
    fail (REFUSED, "--listen %s: cannot listen there: %s", text_name (given),
          strerror (errno));
  if (!settings.quiet) {
    const char *colon = strrchr (given, ':');
    socklen_t len = sizeof a;

    if (getsockname (fd, &a.sa, &len) == -1)
      abort ();
    printf ("serving http://%.*s:%u/metrics\n", (int) (colon - given), given,
            ntohs (a.sa.sa_family == AF_INET6 ? a.in6.sin6_port
                   : a.in.sin_port));
    fflush (stdout);
  }
  while (sigtimedwait (&end, NULL, &second) == -1)
    drop_late ();
  end_scraping (thread);
  MHD_stop_daemon (daemon);
  return DONE;
}

static const struct option_def exporter_options[] = {
  { 0, "listen", "ADDR:PORT", "where to serve (default: " DEFAULT_LISTEN ")" },
  { 0, "total", NULL, "serve only the totals, not each disk" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_exporter = {
  "exporter", "[NAME|PATTERN...]", "serve the metrics over HTTP for Prometheus",
  "Prometheus scrapes http://ADDRESS:PORT/metrics.  The metric mblock_up is 0\n"
  "while the server does not answer.  Anyone who can connect can read the names\n"
  "of all disks; there is no encryption and no password, so only programs on\n"
  "this machine can connect by default.\n"
  "\n"
  "Examples:\n"
  "  mblockctl exporter\n"
  "  mblockctl exporter --listen '[::1]:9900' --timeout 5\n",
  exporter_options, 0, -1, run_exporter
};
