/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on one connection without TLS: leader and followers, sender and
 * queue, against a server on the other end of a socketpair.
 */

#include "unit.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <sys/socket.h>

#include "clock.h"
#include "upstream.h"
#include "upstream-private.h"
#include "wire.h"

#define THREADS 8
#define REGION 600000           /* of each thread's disk, in bytes */
#define ROUNDS 300

/* ----------------------------------------------------------- the server */

enum manner {
  HONEST,
  REORDERS,                     /* answers in twos, the later first */
  HASTY,                        /* answers writes before it has their data */
  DEAF,                         /* reads nothing */
  AWAKES,                       /* reads nothing until told to */
  DIES,                         /* closes in the middle of a reply */
  LIES,                         /* answers what was not asked, at some time */
  GUESSES,                      /* answers what may be asked next */
};

struct server {
  enum manner manner;
  int fd;
  pthread_t thread;
  atomic_bool stop;
  char *disk;
  unsigned requests;
};

static bool
all_of (int fd, void *buf, size_t n, bool out)
{
  char *b = buf;

  while (n) {
    ssize_t r = out ? send (fd, b, n, MSG_NOSIGNAL) : recv (fd, b, n, 0);

    if (r <= 0)
      return false;
    b += r;
    n -= r;
  }
  return true;
}

struct request {
  unsigned type;
  uint64_t cookie, offset;
  uint32_t count;
};

static bool
reply (struct server *s, const struct request *r)
{
  unsigned char header[16];
  uint32_t magic = htobe32 (0x67446698);

  memset (header, 0, sizeof header);
  memcpy (header, &magic, 4);
  memcpy (header + 8, &r->cookie, 8);
  if (s->manner == LIES && ++s->requests == 500)
    header[12] ^= 0xff;
  if (s->manner == GUESSES && ++s->requests > 200) {
    uint64_t next = htobe64 (be64toh (r->cookie) + s->requests % 8);

    memcpy (header + 8, &next, 8);
  }
  if (!all_of (s->fd, header, sizeof header, true))
    return false;
  if (s->manner == DIES && s->requests == 500)
    return false;
  return r->type != 0 || all_of (s->fd, s->disk + r->offset, r->count, true);
}

static bool
take (struct server *s, struct request *r)
{
  unsigned char h[WIRE_REQUEST];

  if (!all_of (s->fd, h, sizeof h, false))
    return false;
  s->requests += s->manner == DIES;
  r->type = h[7];
  memcpy (&r->cookie, h + 8, 8);
  memcpy (&r->offset, h + 16, 8);
  memcpy (&r->count, h + 24, 4);
  r->offset = be64toh (r->offset);
  r->count = be32toh (r->count);
  assert (r->type <= 1 && r->offset + r->count <= THREADS * REGION);
  if (s->manner == HASTY && r->type == 1 && !reply (s, r))
    return false;
  return r->type == 0 ||
    all_of (s->fd, s->disk + r->offset, r->count, false);
}

static void *
serve (void *opaque)
{
  struct server *s = opaque;
  struct request held, r;
  bool holds = false;

  while ((s->manner == DEAF || s->manner == AWAKES) && !atomic_load (&s->stop))
    usleep (1000);
  while (s->manner != DEAF && take (s, &r)) {
    if (s->manner == HASTY && r.type == 1)
      continue;
    if (s->manner == REORDERS && !holds) {
      /* More may come, or not. */
      char c;

      usleep (100);
      if (recv (s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
        held = r;
        holds = true;
        continue;
      }
    }
    if (!reply (s, &r) || (holds && !reply (s, &held)))
      break;
    holds = false;
  }
  shutdown (s->fd, SHUT_RDWR);
  return NULL;
}

static struct upstream *
start (struct server *s, enum manner manner)
{
  struct upstream *u = calloc (1, sizeof *u);
  int fd[2];

  assert_int_equal (0, socketpair (AF_UNIX, SOCK_STREAM, 0, fd));
  memset (s, 0, sizeof *s);
  s->manner = manner;
  s->fd = fd[1];
  s->disk = calloc (THREADS, REGION);
  assert_int_equal (0, pthread_create (&s->thread, NULL, serve, s));
  u->fd = fd[0];
  u->parting_time = 60 * NS_PER_S;
  crew_init (&u->crew);
  assert_int_equal (0, over_socket_init (u, false));
  return u;
}

static void
stop (struct server *s, struct upstream *u)
{
  atomic_store (&s->stop, true);
  upstream_retire (u, 0);
  assert_true (upstream_is_lost (u));
  pthread_join (s->thread, NULL);
  close (u->fd);
  close (s->fd);
  over_socket_free (u);
  crew_destroy (&u->crew);
  free (u);
  free (s->disk);
}

/* ---------------------------------------------------------- the clients */

struct client {
  struct upstream *u;
  unsigned number;
  bool hurried;                 /* has a deadline */
  pthread_t thread;
  unsigned lost, done;
  bool wrong;
};

/* Each in a buffer of its own, so that the sanitizers see who uses it late. */
static int
one (struct client *k, enum upstream_op op, uint64_t offset, uint32_t count,
     char *buf)
{
  int64_t until = k->hurried ? clock_now () + 60 * NS_PER_S : NEVER;
  struct upstream_command c = { .op = op, .offset = offset, .count = count };
  struct upstream_waiter w;

  if (op == UPSTREAM_READ)
    c.read = buf;
  else
    c.write = buf;
  upstream_waiter_init (&w);
  upstream_issue (k->u, &c, &w, until);
  upstream_wait (k->u, &w, until);
  return c.error;
}

static void *
work (void *opaque)
{
  struct client *k = opaque;
  unsigned random = k->number + 1, i;
  char *mine = calloc (1, REGION);

  one (k, UPSTREAM_WRITE, (uint64_t) k->number * REGION, REGION, mine);
  for (i = 0; i < ROUNDS; i++) {
    bool large = rand_r (&random) % 8 == 0;
    uint32_t count = 1 + rand_r (&random) % (large ? 400000 : 5000);
    uint32_t at = rand_r (&random) % (REGION - count);
    enum upstream_op op = rand_r (&random) % 2 ? UPSTREAM_READ
      : UPSTREAM_WRITE;
    char *buf = malloc (count);
    int r;

    memset (buf, i, count);
    r = one (k, op, (uint64_t) k->number * REGION + at, count, buf);
    if (r == ENOTCONN)
      k->lost++;
    else if (r)
      k->wrong = true;
    else if (op == UPSTREAM_WRITE)
      memcpy (mine + at, buf, count);
    else if (memcmp (mine + at, buf, count) != 0)
      k->wrong = true;
    k->done += r == 0;
    free (buf);
  }
  free (mine);
  return NULL;
}

/* Returns how many commands were lost.  retire_after: in microseconds, 0:
 * never; then the server has `patience` left, in nanoseconds.
 */
static unsigned
run (struct upstream *u, enum manner manner, unsigned threads, bool hurried,
     int retire_after, int64_t patience)
{
  struct client k[THREADS];
  unsigned i, lost = 0;

  memset (k, 0, sizeof k);
  for (i = 0; i < threads; i++) {
    k[i].u = u;
    k[i].number = i;
    k[i].hurried = hurried;
    assert_int_equal (0, pthread_create (&k[i].thread, NULL, work, &k[i]));
  }
  if (retire_after) {
    usleep (retire_after);
    upstream_retire (u, clock_now () + patience);
  }
  for (i = 0; i < threads; i++) {
    pthread_join (k[i].thread, NULL);
    if (manner != GUESSES)
      assert_false (k[i].wrong);
    assert_int_equal (ROUNDS, k[i].done + k[i].lost);
    lost += k[i].lost;
  }
  return lost;
}

static void
test_data (void **state)
{
  enum manner manner;
  int hurried;

  (void) state;
  for (manner = HONEST; manner <= REORDERS; manner++)
    for (hurried = 0; hurried < 2; hurried++) {
      struct server s;
      struct upstream *u = start (&s, manner);

      assert_int_equal (0, run (u, manner, THREADS, hurried, 0, 0));
      assert_int_equal (0, run (u, manner, 1, hurried, 0, 0));
      stop (&s, u);
    }
}

static void
test_killed (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < 60; i++) {
    struct server s;
    struct upstream *u = start (&s, i % 3 ? HONEST : REORDERS);

    run (u, HONEST, 1 + i % THREADS, i % 2, 1 + i * 150, 0);
    assert_null (upstream_take_wrong (u));
    stop (&s, u);
  }
}

/* A server that is well gets the time to answer. */
static void
test_retired (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < 20; i++) {
    struct server s;
    struct upstream *u = start (&s, i % 3 ? HONEST : REORDERS);

    assert_int_equal (0, run (u, HONEST, 1 + i % THREADS, i % 2, 1 + i * 150,
                              60 * NS_PER_S));
    assert_false (upstream_is_lost (u));
    stop (&s, u);
  }
}

/* Whatever the server does: all commands end. */
static void
test_server_goes_wrong (void **state)
{
  enum manner manner;
  int hurried;

  (void) state;
  for (manner = DIES; manner <= GUESSES; manner++)
    for (hurried = 0; hurried < 2; hurried++) {
      struct server s;
      struct upstream *u = start (&s, manner);

      assert_true (run (u, manner, THREADS, hurried, 0, 0) > 0);
      assert_true (upstream_is_lost (u));
      if (manner == DIES)
        assert_null (upstream_take_wrong (u));
      else
        assert_non_null (upstream_take_wrong (u));
      stop (&s, u);
    }
}

/* A command may be answered while its data are still being sent. */
static void
test_hasty (void **state)
{
  int hurried;

  (void) state;
  for (hurried = 0; hurried < 2; hurried++) {
    struct server s;
    struct upstream *u = start (&s, HASTY);

    run (u, HASTY, THREADS, hurried, 0, 0);
    stop (&s, u);
  }
}

struct late {
  struct upstream *u;
  int64_t time;                 /* ns, for the command */
  unsigned pause;               /* us, before it waits */
  bool in_time;
  int error;
  pthread_t thread;
};

static void *
write_much (void *opaque)
{
  struct late *l = opaque;
  int64_t until = l->time == NEVER ? NEVER : clock_now () + l->time;
  struct upstream_command c = { .op = UPSTREAM_WRITE, .count = 2000000 };
  struct upstream_waiter w;

  c.write = calloc (1, c.count);
  upstream_waiter_init (&w);
  upstream_issue (l->u, &c, &w, until);
  usleep (l->pause);
  l->in_time = upstream_wait (l->u, &w, until);
  l->error = c.error;
  free ((void *) c.write);
  return NULL;
}

/* A server that reads nothing keeps the sender in its system call.  Its own
 * deadline ends that, and so does that of a thread in the queue.
 */
static void
test_deaf (void **state)
{
  static const struct { int64_t sender, other; } times[] = {
    { 50 * NS_PER_MS, NEVER },
    { NEVER, 50 * NS_PER_MS },
    { 50 * NS_PER_MS, 100 * NS_PER_MS },
    { NEVER, NEVER },           /* retired, at once … */
    { NEVER, NEVER },           /* … or soon */
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof times / sizeof times[0]; i++) {
    struct server s;
    struct upstream *u = start (&s, DEAF);
    struct late a = { .u = u, .time = times[i].sender };
    struct late b = { .u = u, .time = times[i].other };

    pthread_create (&a.thread, NULL, write_much, &a);
    usleep (10000);
    pthread_create (&b.thread, NULL, write_much, &b);
    if (i >= 3) {
      usleep (20000);
      upstream_retire (u, i == 3 ? 0 : clock_now () + 50 * NS_PER_MS);
    }
    pthread_join (a.thread, NULL);
    pthread_join (b.thread, NULL);
    assert_int_equal (ENOTCONN, a.error);
    assert_int_equal (ENOTCONN, b.error);
    stop (&s, u);
  }
}

/* A sender that has sent much asks another thread to go on, but not the leader,
 * who sleeps until there is something to receive.
 */
static void
test_turns (void **state)
{
  struct server s;
  struct upstream *u = start (&s, AWAKES);
  struct late a = { .u = u, .time = NEVER, .pause = 100000 };
  struct late b = { .u = u, .time = NEVER };

  (void) state;
  pthread_create (&a.thread, NULL, write_much, &a);
  usleep (20000);
  pthread_create (&b.thread, NULL, write_much, &b);
  usleep (20000);
  atomic_store (&s.stop, true);
  pthread_join (a.thread, NULL);
  pthread_join (b.thread, NULL);
  assert_int_equal (0, a.error);
  assert_int_equal (0, b.error);
  stop (&s, u);
}

/* As the log is sent: several commands of one thread. */
static void
test_one_waiter (void **state)
{
  struct upstream_command c[32];
  struct upstream_waiter w;
  struct server s;
  struct upstream *u = start (&s, HONEST);
  char *data = malloc (70000);
  int i;

  (void) state;
  memset (data, 'x', 70000);
  upstream_waiter_init (&w);
  for (i = 0; i < 32; i++) {
    c[i] = (struct upstream_command) {
      .op = UPSTREAM_WRITE, .offset = 70000 * i, .count = 70000, .write = data,
    };
    upstream_issue (u, &c[i], &w, NEVER);
  }
  assert_true (upstream_wait (u, &w, NEVER));
  for (i = 0; i < 32; i++)
    assert_int_equal (0, c[i].error);
  for (i = 0; i < 32; i++)
    assert_memory_equal (data, s.disk + 70000 * i, 70000);
  free (data);
  stop (&s, u);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_data),
    cmocka_unit_test (test_killed),
    cmocka_unit_test (test_retired),
    cmocka_unit_test (test_server_goes_wrong),
    cmocka_unit_test (test_hasty),
    cmocka_unit_test (test_deaf),
    cmocka_unit_test (test_turns),
    cmocka_unit_test (test_one_waiter),
  };

  alarm (300);                  /* a test that hangs must fail */
  return cmocka_run_group_tests (tests, NULL, NULL);
}
