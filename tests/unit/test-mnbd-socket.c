/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on one connection without TLS: leader and followers, sender and
 * queue, against a server on the other end of a socketpair.
 */

#include "unit.h"
#include "all-of.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <sys/socket.h>

#include "base/clock.h"
#include "nbd/connection-private.h"
#include "nbd/connection.h"
#include "nbd/wire.h"

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
  unsigned char h[28];          /* a compact header */

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

static struct connection *
start (struct server *s, enum manner manner)
{
  struct connection *conn = calloc (1, sizeof *conn);
  int fd[2];

  assert_int_equal (0, socketpair (AF_UNIX, SOCK_STREAM, 0, fd));
  memset (s, 0, sizeof *s);
  s->manner = manner;
  s->fd = fd[1];
  s->disk = calloc (THREADS, REGION);
  assert_int_equal (0, pthread_create (&s->thread, NULL, serve, s));
  conn->fd = fd[0];
  conn->drain_time = 60 * NS_PER_S;
  lf_init (&conn->lf);
  assert_int_equal (0, transport_plain_init (conn, false));
  return conn;
}

static void
stop (struct server *s, struct connection *conn)
{
  atomic_store (&s->stop, true);
  connection_retire (conn, 0);
  assert_true (connection_is_lost (conn));
  pthread_join (s->thread, NULL);
  close (conn->fd);
  close (s->fd);
  transport_plain_free (conn);
  lf_destroy (&conn->lf);
  free (conn);
  free (s->disk);
}

/* ---------------------------------------------------------- the clients */

struct client {
  struct connection *conn;
  unsigned number;
  bool hurried;                 /* has a deadline */
  pthread_t thread;
  unsigned lost, done;
  bool wrong;
};

/* Each in a buffer of its own, so that the sanitizers see who uses it late. */
static int
one (struct client *k, enum nbd_op op, uint64_t offset, uint32_t count,
     char *buf)
{
  int64_t until = k->hurried ? clock_now () + 60 * NS_PER_S : NEVER;
  struct nbd_command c = { .op = op, .offset = offset, .count = count };
  struct lf_waiter w;

  if (op == NBD_READ)
    c.read = buf;
  else
    c.write = buf;
  lf_waiter_init (&w);
  connection_issue (k->conn, &c, &w, until);
  connection_wait (k->conn, &w, until);
  return c.error;
}

static void *
work (void *opaque)
{
  struct client *k = opaque;
  unsigned random = k->number + 1, i;
  char *mine = calloc (1, REGION);

  one (k, NBD_WRITE, (uint64_t) k->number * REGION, REGION, mine);
  for (i = 0; i < ROUNDS; i++) {
    bool large = rand_r (&random) % 8 == 0;
    uint32_t count = 1 + rand_r (&random) % (large ? 400000 : 5000);
    uint32_t at = rand_r (&random) % (REGION - count);
    enum nbd_op op = rand_r (&random) % 2 ? NBD_READ
      : NBD_WRITE;
    char *buf = malloc (count);
    int r;

    memset (buf, i, count);
    r = one (k, op, (uint64_t) k->number * REGION + at, count, buf);
    if (r == ENOTCONN)
      k->lost++;
    else if (r)
      k->wrong = true;
    else if (op == NBD_WRITE)
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
run (struct connection *conn, enum manner manner, unsigned threads,
     bool hurried, int retire_after, int64_t patience)
{
  struct client k[THREADS];
  unsigned i, lost = 0;

  memset (k, 0, sizeof k);
  for (i = 0; i < threads; i++) {
    k[i].conn = conn;
    k[i].number = i;
    k[i].hurried = hurried;
    assert_int_equal (0, pthread_create (&k[i].thread, NULL, work, &k[i]));
  }
  if (retire_after) {
    usleep (retire_after);
    connection_retire (conn, clock_now () + patience);
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
      struct connection *conn = start (&s, manner);

      assert_int_equal (0, run (conn, manner, THREADS, hurried, 0, 0));
      assert_int_equal (0, run (conn, manner, 1, hurried, 0, 0));
      stop (&s, conn);
    }
}

static void
test_killed (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < 60; i++) {
    struct server s;
    struct connection *conn = start (&s, i % 3 ? HONEST : REORDERS);

    run (conn, HONEST, 1 + i % THREADS, i % 2, 1 + i * 150, 0);
    assert_null (connection_take_protocol_error (conn));
    stop (&s, conn);
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
    struct connection *conn = start (&s, i % 3 ? HONEST : REORDERS);

    assert_int_equal (0, run (conn, HONEST, 1 + i % THREADS, i % 2, 1 + i * 150,
                              60 * NS_PER_S));
    assert_false (connection_is_lost (conn));
    stop (&s, conn);
  }
}

/* Whatever the server does: all commands end. */
static void
test_protocol_errors (void **state)
{
  enum manner manner;
  int hurried;

  (void) state;
  for (manner = DIES; manner <= GUESSES; manner++)
    for (hurried = 0; hurried < 2; hurried++) {
      struct server s;
      struct connection *conn = start (&s, manner);

      assert_true (run (conn, manner, THREADS, hurried, 0, 0) > 0);
      assert_true (connection_is_lost (conn));
      if (manner == DIES)
        assert_null (connection_take_protocol_error (conn));
      else
        assert_non_null (connection_take_protocol_error (conn));
      stop (&s, conn);
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
    struct connection *conn = start (&s, HASTY);

    run (conn, HASTY, THREADS, hurried, 0, 0);
    stop (&s, conn);
  }
}

struct late {
  struct connection *conn;
  int64_t time;                 /* ns, for the command */
  unsigned pause;               /* us, before it waits … */
  atomic_bool held;             /* … which it does not while this is set */
  bool in_time;
  int error;
  pthread_t thread;
};

static void *
write_much (void *opaque)
{
  struct late *l = opaque;
  int64_t until = l->time == NEVER ? NEVER : clock_now () + l->time;
  struct nbd_command c = { .op = NBD_WRITE, .count = 2000000 };
  struct lf_waiter w;

  c.write = calloc (1, c.count);
  lf_waiter_init (&w);
  connection_issue (l->conn, &c, &w, until);
  usleep (l->pause);
  while (atomic_load (&l->held))
    usleep (1000);
  l->in_time = connection_wait (l->conn, &w, until);
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
    struct connection *conn = start (&s, DEAF);
    struct late a = { .conn = conn, .time = times[i].sender };
    struct late b = { .conn = conn, .time = times[i].other };

    pthread_create (&a.thread, NULL, write_much, &a);
    usleep (10000);
    pthread_create (&b.thread, NULL, write_much, &b);
    if (i >= 3) {
      usleep (20000);
      connection_retire (conn, i == 3 ? 0 : clock_now () + 50 * NS_PER_MS);
    }
    pthread_join (a.thread, NULL);
    pthread_join (b.thread, NULL);
    assert_int_equal (ENOTCONN, a.error);
    assert_int_equal (ENOTCONN, b.error);
    stop (&s, conn);
  }
}

/* A sender that has sent much asks another thread to go on, but not the leader,
 * who sleeps until there is something to receive.
 */
static void
test_turns (void **state)
{
  struct server s;
  struct connection *conn = start (&s, AWAKES);
  struct late a = { .conn = conn, .time = NEVER, .pause = 100000 };
  struct late b = { .conn = conn, .time = NEVER };

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
  stop (&s, conn);
}

/* Wait until a command is in flight whose thread has come to wait; it must not
 * be the leader.  Returns its waiter.
 */
static struct lf_waiter *
await_follower (struct connection *conn)
{
  struct lf_waiter *w = NULL;

  while (w == NULL) {
    struct lf_command *c;

    usleep (1000);
    lf_lock (&conn->lf);
    for (c = conn->lf.first; c && w == NULL; c = c->next)
      if (c->waiter->waits && c->waiter != conn->lf.leader)
        w = c->waiter;
    lf_unlock (&conn->lf);
  }
  return w;
}

static void
await_leader (struct connection *conn)
{
  bool leads = false;

  while (!leads) {
    usleep (1000);
    lf_lock (&conn->lf);
    leads = conn->lf.leader != NULL;
    lf_unlock (&conn->lf);
  }
}

/* Wait until some thread sends, or none does. */
static void
await_sender (struct connection *conn, bool wanted)
{
  bool sends = !wanted;

  while (sends != wanted) {
    struct lf_command *c;

    usleep (1000);
    sends = false;
    lf_lock (&conn->lf);
    for (c = conn->lf.first; c; c = c->next)
      sends |= c->waiter->busy;
    lf_unlock (&conn->lf);
  }
}

static void *
write_little (void *opaque)
{
  struct late *l = opaque;
  char buf[16] = "";
  struct nbd_command c = { .op = NBD_WRITE, .count = sizeof buf, .write = buf };
  struct lf_waiter w;

  lf_waiter_init (&w);
  connection_issue (l->conn, &c, &w, NEVER);
  connection_wait (l->conn, &w, NEVER);
  l->error = c.error;
  return NULL;
}

/* U1: a thread that has started a write and is still busy is not asked to lead,
 * though it issued last.
 */
static void
test_busy_does_not_lead (void **state)
{
  struct server s;
  struct connection *conn = start (&s, DEAF);
  struct late leader = { .conn = conn }, follower = { .conn = conn };
  char buf[16] = "";
  struct nbd_command c = { .op = NBD_WRITE, .count = sizeof buf, .write = buf };
  struct lf_waiter busy, *w;
  struct request r[3];
  int i;

  (void) state;
  pthread_create (&leader.thread, NULL, write_little, &leader);
  await_leader (conn);
  pthread_create (&follower.thread, NULL, write_little, &follower);
  w = await_follower (conn);
  lf_waiter_init (&busy);
  connection_issue (conn, &c, &busy, NEVER);

  for (i = 0; i < 3; i++)
    assert_true (take (&s, &r[i]));
  assert_true (reply (&s, &r[0]));
  pthread_join (leader.thread, NULL);
  lf_lock (&conn->lf);
  assert_true (conn->lf.leader == w || conn->lf.asked == w);
  lf_unlock (&conn->lf);

  assert_true (reply (&s, &r[1]) && reply (&s, &r[2]));
  assert_true (connection_wait (conn, &busy, NEVER));
  pthread_join (follower.thread, NULL);
  assert_int_equal (0, leader.error | follower.error | c.error);
  stop (&s, conn);
}

/* S3: nor is it asked to send on, though its write is the next. */
static void
test_busy_does_not_send (void **state)
{
  struct server s;
  struct connection *conn = start (&s, AWAKES);
  struct late leader = { .conn = conn }, last = { .conn = conn };
  struct late sender = { .conn = conn, .time = NEVER, .held = true };
  char buf[16] = "";
  struct nbd_command c = { .op = NBD_WRITE, .count = sizeof buf, .write = buf };
  struct lf_waiter busy;

  (void) state;
  /* One leads, one sends for as long as nobody reads, … */
  pthread_create (&leader.thread, NULL, write_little, &leader);
  await_leader (conn);
  pthread_create (&sender.thread, NULL, write_much, &sender);
  await_sender (conn, true);
  /* … and in the queue is the write of a busy thread before another one. */
  lf_waiter_init (&busy);
  connection_issue (conn, &c, &busy, NEVER);
  pthread_create (&last.thread, NULL, write_little, &last);
  await_follower (conn);
  atomic_store (&s.stop, true);
  await_sender (conn, false);
  assert_int_not_equal (LF_LOOK, atomic_load (&busy.state));
  pthread_join (last.thread, NULL);
  atomic_store (&sender.held, false);
  pthread_join (sender.thread, NULL);
  assert_true (connection_wait (conn, &busy, NEVER));
  pthread_join (leader.thread, NULL);
  assert_int_equal (0, leader.error | sender.error | last.error | c.error);
  stop (&s, conn);
}

/* As the log is sent: several commands of one thread. */
static void
test_one_waiter (void **state)
{
  struct nbd_command c[32];
  struct lf_waiter w;
  struct server s;
  struct connection *conn = start (&s, HONEST);
  char *data = malloc (70000);
  int i;

  (void) state;
  memset (data, 'x', 70000);
  lf_waiter_init (&w);
  for (i = 0; i < 32; i++) {
    c[i] = (struct nbd_command) {
      .op = NBD_WRITE, .offset = 70000 * i, .count = 70000, .write = data,
    };
    connection_issue (conn, &c[i], &w, NEVER);
  }
  assert_true (connection_wait (conn, &w, NEVER));
  for (i = 0; i < 32; i++)
    assert_int_equal (0, c[i].error);
  for (i = 0; i < 32; i++)
    assert_memory_equal (data, s.disk + 70000 * i, 70000);
  free (data);
  stop (&s, conn);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_data),
    cmocka_unit_test (test_killed),
    cmocka_unit_test (test_retired),
    cmocka_unit_test (test_protocol_errors),
    cmocka_unit_test (test_hasty),
    cmocka_unit_test (test_deaf),
    cmocka_unit_test (test_turns),
    cmocka_unit_test (test_busy_does_not_lead),
    cmocka_unit_test (test_busy_does_not_send),
    cmocka_unit_test (test_one_waiter),
  };

  alarm (300);                  /* a test that hangs must fail */
  return cmocka_run_group_tests (tests, NULL, NULL);
}
