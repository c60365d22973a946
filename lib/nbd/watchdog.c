/* SPDX-License-Identifier: BSD-3-Clause */
/* The watchdog of connections that libnbd drives; watchdog.h says when it
 * aborts one.
 */

#include <config.h>

#include <sys/socket.h>

#include "base/cond.h"
#include "base/thread.h"
#include "nbd/watchdog.h"

/* Held while the thread is started or joined; before list_lock. */
static struct mutex thread_lock = MUTEX_INITIALIZER;
static pthread_t thread GUARDED_BY (thread_lock);
static bool started GUARDED_BY (thread_lock);
static pthread_cond_t changed;  /* made with the thread */

static struct mutex list_lock = MUTEX_INITIALIZER;
static struct watched *list GUARDED_BY (list_lock);

/* Must this connection's call be aborted? */
static bool
is_over (struct watched *w) REQUIRES (&w->lock)
{
  int64_t now = clock_now ();

  if (!w->in_call)
    return false;
  if (w->calls != w->seen) {
    w->seen = w->calls;
    w->since = now;
    return false;
  }
  if (now - w->since < WATCHDOG_TICK)
    return false;
  if (now - w->since >= WATCHDOG_MOST)
    atomic_store (&w->flooded, true);
  return atomic_load (&w->flooded) || now >= atomic_load (w->drain_until) ||
    now >= w->until || program_ends (w->ending);
}

/* Receive nothing more.  After shutdown(2) a TCP socket still accepts incoming
 * data, and stays readable while data arrives.  Connecting it to AF_UNSPEC
 * resets it.  On other sockets that connect fails and changes nothing.
 */
static void
hang_up (int fd)
{
  static const struct sockaddr nothing = { .sa_family = AF_UNSPEC };

  shutdown (fd, SHUT_RDWR);
  connect (fd, &nothing, sizeof nothing);
}

static void
look (struct watched *w)
{
  mutex_lock (&w->lock);
  /* The thread in the libnbd call does the rest (connection_abort_locked). */
  if (is_over (w)) {
    atomic_store (w->drain_until, 0);
    hang_up (w->fd);
  }
  mutex_unlock (&w->lock);
}

static void *
watch (void *opaque)
{
  struct watched *w;

  (void) opaque;
  mutex_lock (&list_lock);
  while (list) {
    cond_wait_until (&changed, &list_lock, clock_now () + WATCHDOG_TICK);
    for (w = list; w; w = w->next)
      look (w);
  }
  mutex_unlock (&list_lock);
  return NULL;
}

void
watchdog_add (struct watched *w, int fd, _Atomic int64_t *drain_until)
{
  w->fd = fd;
  w->drain_until = drain_until;
  w->in_call = false;
  w->calls = w->seen = 0;
  atomic_init (&w->flooded, false);
  mutex_init (&w->lock);
  mutex_lock (&thread_lock);
  mutex_lock (&list_lock);
  w->prev = NULL;
  w->next = list;
  if (list)
    list->prev = w;
  list = w;
  mutex_unlock (&list_lock);
  if (!started) {
    cond_init (&changed);
    started = thread_start (&thread, "mblock-watchdog", watch, NULL) == 0;
    if (!started)
      pthread_cond_destroy (&changed);
  }
  mutex_unlock (&thread_lock);
}

void
watchdog_remove (struct watched *w)
{
  bool last;

  mutex_lock (&thread_lock);
  mutex_lock (&list_lock);
  if (w->prev)
    w->prev->next = w->next;
  else
    list = w->next;
  if (w->next)
    w->next->prev = w->prev;
  last = list == NULL;
  if (last && started)
    pthread_cond_signal (&changed);
  mutex_unlock (&list_lock);
  if (last && started) {
    pthread_join (thread, NULL);
    pthread_cond_destroy (&changed);
    started = false;
  }
  mutex_unlock (&thread_lock);
  mutex_destroy (&w->lock);
}
