/* SPDX-License-Identifier: BSD-3-Clause */
/* The watchdog: a thread that is held in a call which receives for ever gets
 * out of it when it has to; others are left alone.
 */

#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "nbd/watchdog.h"

/* A connection, and a thread in a call. */
struct held {
  struct watched watched;
  int fd, peer;
  _Atomic int64_t drain_until;
  int64_t until;
  struct ending ending;
  pthread_t thread;
};

static void
connect_unix (int fd[2])
{
  assert_int_equal (0, socketpair (AF_UNIX, SOCK_STREAM, 0, fd));
}

static void
connect_tcp (int fd[2])
{
  struct sockaddr_in a = { .sin_family = AF_INET };
  socklen_t len = sizeof a;
  int listener = socket (AF_INET, SOCK_STREAM, 0);

  a.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  assert_int_equal (0, bind (listener, (void *) &a, sizeof a));
  assert_int_equal (0, listen (listener, 1));
  assert_int_equal (0, getsockname (listener, (void *) &a, &len));
  fd[0] = socket (AF_INET, SOCK_STREAM, 0);
  assert_int_equal (0, connect (fd[0], (void *) &a, sizeof a));
  fd[1] = accept (listener, NULL, NULL);
  assert_true (fd[1] >= 0);
  close (listener);
}

/* As libnbd does. */
static void *
receive (void *opaque)
{
  struct held *h = opaque;
  char buf[4096];

  watchdog_begin (&h->watched, h->until, &h->ending);
  while (recv (h->fd, buf, sizeof buf, 0) > 0)
    ;
  watchdog_end (&h->watched);
  return NULL;
}

static struct held *
hold (void (*make) (int fd[2]), int64_t until)
{
  struct held *h = calloc (1, sizeof *h);
  int fd[2];

  make (fd);
  h->fd = fd[0];
  h->peer = fd[1];
  h->until = until;
  atomic_init (&h->drain_until, NEVER);
  watchdog_add (&h->watched, h->fd, &h->drain_until);
  return h;
}

static void
start (struct held *h)
{
  assert_int_equal (0, pthread_create (&h->thread, NULL, receive, h));
}

static void
end (struct held *h)
{
  pthread_join (h->thread, NULL);
  watchdog_remove (&h->watched);
  close (h->fd);
  close (h->peer);
  free (h);
}

static bool
yes (void *opaque)
{
  (void) opaque;
  return true;
}

/* All at once, for each takes a second or two. */
static void
test_held (void **state)
{
  struct held *ends = hold (connect_unix, NEVER);
  struct held *late = hold (connect_unix, clock_now ());
  struct held *drained = hold (connect_unix, NEVER);
  struct held *well = hold (connect_unix, NEVER);
  char c = 'c';

  (void) state;
  ends->ending.fn = yes;
  atomic_store (&drained->drain_until, 0);
  start (ends);
  start (late);
  start (drained);
  start (well);
  end (ends);
  end (late);
  end (drained);

  /* This one has no reason to end. */
  assert_int_equal (1, send (well->peer, &c, 1, MSG_NOSIGNAL));
  assert_true (atomic_load (&well->drain_until) == NEVER);
  shutdown (well->peer, SHUT_RDWR);
  end (well);
}

static void *
flood (void *opaque)
{
  static const char zeros[65536];
  const int *fd = opaque;

  while (send (*fd, zeros, sizeof zeros, MSG_NOSIGNAL) > 0)
    ;
  return NULL;
}

/* There is always something to receive. */
static void
test_flood (void **state)
{
  struct held *h = hold (connect_tcp, clock_now ());
  int peer = h->peer;
  pthread_t thread;

  (void) state;
  assert_int_equal (0, pthread_create (&thread, NULL, flood, &peer));
  start (h);
  pthread_join (thread, NULL);
  end (h);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_held),
    cmocka_unit_test (test_flood),
  };

  alarm (300);                  /* a test that hangs must fail */
  return cmocka_run_group_tests (tests, NULL, NULL);
}
