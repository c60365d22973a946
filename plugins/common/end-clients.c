/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's shutdown: connected clients do not delay it. */

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

#include "base/clock.h"
#include "base/thread.h"
#include "client-sockets.h"
#include "end-clients.h"

/* How often to look for clients while nbdkit ends. */
#define EVERY_MS 20

/* The signals that may end nbdkit, and its handlers for them.  Our handler and
 * its data stay until the process has ended: the plugin is never unloaded.
 */
static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
#define SIGNALS (sizeof signals / sizeof *signals)
static struct sigaction nbdkits[SIGNALS];

static int event = -1;          /* an eventfd: a signal, or end_clients_stop */
static _Atomic bool stopped;    /* set by end_clients_stop, before it wakes the
                                 * thread */
static int64_t patience;        /* nanoseconds */
static pthread_t thread;
static bool started;

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

  for (i = 0; i < SIGNALS; i++)
    if (signals[i] == signal) {
      if (nbdkits[i].sa_flags & SA_SIGINFO)
        nbdkits[i].sa_sigaction (signal, info, context);
      else
        nbdkits[i].sa_handler (signal);
    }
  wake ();
  errno = saved;
}

/* Chain to nbdkit's handlers.  Signals that nbdkit ignores or leaves to the
 * kernel stay as they are.
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

/* Wait for wake.  Returns whether end_clients_stop called it. */
static bool
wait_for_event (int timeout_ms)
{
  struct pollfd fd = { .fd = event, .events = POLLIN };
  uint64_t n;
  ssize_t r;

  if (poll (&fd, 1, timeout_ms) > 0) {
    r = read (event, &n, sizeof n);
    (void) r;
  }
  return atomic_load (&stopped);
}

static void *
wait_and_end (void *opaque)
{
  int64_t cut;

  (void) opaque;
  if (wait_for_event (-1))
    return NULL;
  cut = clock_now () + patience;
  do
    client_sockets_shutdown (clock_now () < cut ? SHUT_RD : SHUT_RDWR);
  while (!wait_for_event (EVERY_MS));
  return NULL;
}

int
end_clients_start (unsigned seconds)
{
  int err;

  patience = seconds * NS_PER_S;
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
}
