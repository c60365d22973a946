/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's shutdown: connected clients do not delay it, and see no error. */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/clock.h"
#include "base/thread.h"
#include "client-sockets.h"
#include "end-clients.h"
#include "modules.h"
#include "newer-nbdkit.h"

/* How often to look for clients while they leave, and nbdkit ends. */
#define EVERY_MS 20

/* How long nbdkit is not told of the signal, so that requests are answered. */
#define LEAVE_TIME NS_PER_S

/* As many modules of mblock as may be stacked. */
#define MOST_MODULES 8

/* The signals that may end nbdkit, and its handlers for them.  Our handler and
 * its data stay until the process has ended: the plugin is never unloaded.
 */
static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
#define SIGNALS (sizeof signals / sizeof *signals)
static struct sigaction nbdkits[SIGNALS];

static int event = -1;          /* an eventfd: a signal, or end_clients_stop */
static _Atomic int caught;      /* the signal, or 0 */
static _Atomic bool passes;     /* signals go to nbdkit at once: its clients
                                 * have been disconnected */
static _Atomic bool stopped;    /* set by end_clients_stop, before it wakes the
                                 * thread */
static enum end_clients how_to_end;
static int64_t patience;        /* nanoseconds */
static void (*meanwhile) (void); /* or NULL */
static pthread_t thread;
static bool started;

/* ---------------------------------------------- the modules of a process */

/* The symbol that each of them exports for the others: where it has caught.  A
 * module must not call its own, because nbdkit's modules are in one name space,
 * and it could be another's.
 */
typedef const _Atomic int *clients_end (void);
clients_end mblock_clients_end;

static const _Atomic int *others[MOST_MODULES];
static size_t nothers;

__attribute__ ((__visibility__ ("default"))) const _Atomic int *
mblock_clients_end (void)
{
  return &caught;
}

static void
find_others (void)
{
  void *found[MOST_MODULES];
  const _Atomic int *one;
  size_t i, n;

  n = modules_find (MODULE_PLUGIN, "mblock_clients_end", found, 1);
  n += modules_find (MODULE_FILTER, "mblock_clients_end", found + n,
                     MOST_MODULES - n);
  for (i = 0; i < n; i++) {
    one = ((clients_end *) found[i]) ();
    if (one != &caught)
      others[nothers++] = one;
  }
}

static bool
others_began (void)
{
  size_t i;

  for (i = 0; i < nothers; i++)
    if (atomic_load (others[i]))
      return true;
  return false;
}

bool
end_clients_began (void)
{
  return atomic_load (&caught) || others_began ();
}

int
end_clients_preconnect (int readonly)
{
  (void) readonly;
  return end_clients_began () ? -1 : 0;
}

/* -------------------------------------------------------------- signals */

static void
wake (void)
{
  const uint64_t one = 1;
  ssize_t r = write (event, &one, sizeof one);

  (void) r;                     /* it cannot fail: the counter is 64 bits */
}

/* Runs in any of nbdkit's threads.  Only what signal-safety(7) allows. */
static void
on_signal (int signal, siginfo_t *info, void *context)
{
  int saved = errno;
  size_t i;

  for (i = 0; atomic_load (&passes) && i < SIGNALS; i++)
    if (signals[i] == signal) {
      if (nbdkits[i].sa_flags & SA_SIGINFO)
        nbdkits[i].sa_sigaction (signal, info, context);
      else
        nbdkits[i].sa_handler (signal);
    }
  atomic_store (&caught, signal);
  wake ();
  errno = saved;
}

/* Take the place of nbdkit's handlers.  Signals that nbdkit ignores or leaves
 * to the kernel stay as they are.
 */
static void
follow_signals (void)
{
  struct sigaction ours;
  size_t i;

  for (i = 0; i < SIGNALS; i++) {
    if (sigaction (signals[i], NULL, &nbdkits[i]) == -1 ||
        (!(nbdkits[i].sa_flags & SA_SIGINFO) &&
         (nbdkits[i].sa_handler == SIG_DFL ||
          nbdkits[i].sa_handler == SIG_IGN)))
      continue;
    ours = nbdkits[i];
    ours.sa_sigaction = on_signal;
    ours.sa_flags |= SA_SIGINFO;
    sigaction (signals[i], &ours, NULL);
  }
}

/* ------------------------------------------------------------ the thread */

/* Wait for wake.  Returns false if nobody called it in that time. */
static bool
wait_for_event (int timeout_ms)
{
  struct pollfd fd = { .fd = event, .events = POLLIN };
  uint64_t n;

  return poll (&fd, 1, timeout_ms) > 0 && read (event, &n, sizeof n) > 0;
}

/* Wait until the clients have left, for a while; but not if another module has
 * done so.
 */
static void
let_clients_leave (void)
{
  int64_t until = clock_now () + (others_began () ? 0 : LEAVE_TIME);

  while (client_sockets_shutdown (SHUT_RD) > 0 && clock_now () < until &&
         !wait_for_event (EVERY_MS))
    ;
}

static void *
wait_and_end (void *opaque)
{
  int64_t cut;

  (void) opaque;
  do
    wait_for_event (-1);
  while (!atomic_load (&stopped) && !atomic_load (&caught));
  if (atomic_load (&stopped))
    return NULL;
  cut = clock_now ();
  if (how_to_end == END_AT_ONCE)
    client_sockets_shutdown (SHUT_RDWR);
  else {
    cut += patience;
    let_clients_leave ();
  }
  atomic_store (&passes, true);
  kill (getpid (), atomic_load (&caught));
  while (!atomic_load (&stopped)) {
    client_sockets_shutdown (clock_now () < cut ? SHUT_RD : SHUT_RDWR);
    if (meanwhile)
      meanwhile ();
    wait_for_event (EVERY_MS);
  }
  return NULL;
}

enum end_clients
end_clients_how (bool parallel)
{
  return parallel && nbdkit_disconnect == NULL ? END_ANSWERED : END_AT_ONCE;
}

void
end_clients_meanwhile (void (*fn) (void))
{
  meanwhile = fn;
}

int
end_clients_start (enum end_clients how, unsigned seconds)
{
  int err;

  how_to_end = how;
  patience = seconds * NS_PER_S;
  find_others ();
  if (client_sockets_init () == -1)
    return -1;
  event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event == -1)
    return -1;
  err = thread_start (&thread, "mblock-clients", wait_and_end, NULL);
  if (err) {
    errno = err;
    return -1;
  }
  started = true;
  follow_signals ();
  return 0;
}

void
end_clients_stop (void)
{
  if (!started)
    return;
  started = false;
  atomic_store (&stopped, true);
  wake ();
  pthread_join (thread, NULL);
  atomic_store (&passes, true);
}
