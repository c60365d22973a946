/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool that is given up while it connects, and what it keeps for clients that
 * come later, against a server in a process of its own (else it is a loop): the
 * handshake of old, one connection at a time, and a disk that loses what was
 * not flushed when the connection ends.
 */

#include "unit.h"
#include "all-of.h"

#include <assert.h>
#include <endian.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <libnbd.h>

#include "base/clock.h"
#include "nbd/pool.h"

#define SIZE 65536

/* Shared with its process. */
struct server {
  char path[64];
  int listener;
  pid_t pid;
  atomic_bool ends;
  atomic_bool holds;            /* accepts, and says nothing … */
  atomic_bool held;             /* … to somebody */
  atomic_bool drop;             /* ends the connection */
  atomic_bool silent;           /* answers no write */
  atomic_bool zero_dies;        /* zeroes, then ends the connection */
  atomic_bool no_zero;          /* ENOTSUP */
  atomic_uint writes;
  _Atomic uint64_t size;        /* that it announces, at most SIZE */
  char disk[SIZE], flushed[SIZE];
};

static void
short_sleep (void)
{
  poll (NULL, 0, 5);
}

/* "Oldstyle": the server says all there is to say. */
static bool
greet (struct server *s, int fd)
{
  struct {
    uint64_t magic, oldstyle, size;
    uint16_t global, flags;
    char zeros[124];
  } __attribute__ ((packed)) hello = {
    .magic = htobe64 (UINT64_C (0x4e42444d41474943)),
    .oldstyle = htobe64 (UINT64_C (0x00420281861253)),
    .flags = htobe16 (1 | 1 << 2 | 1 << 6 | 1 << 11), /* flush, fast zero */
  };

  while (atomic_load (&s->holds) && !atomic_load (&s->ends)) {
    atomic_store (&s->held, true);
    short_sleep ();
  }
  hello.size = htobe64 (atomic_load (&s->size));
  return all_of (fd, &hello, sizeof hello, true);
}

static bool
answer (struct server *s, int fd)
{
  unsigned char h[28], reply[16] = { 0x67, 0x44, 0x66, 0x98 };
  uint64_t offset;
  uint32_t count;

  if (!all_of (fd, h, sizeof h, false))
    return false;
  memcpy (reply + 8, h + 8, 8);
  memcpy (&offset, h + 16, 8);
  memcpy (&count, h + 24, 4);
  offset = be64toh (offset);
  count = be32toh (count);
  assert (offset + count <= SIZE);
  switch (h[7]) {
  case 0:
    return all_of (fd, reply, sizeof reply, true) &&
      all_of (fd, s->disk + offset, count, true);
  case 1:
    if (!all_of (fd, s->disk + offset, count, false))
      return false;
    atomic_fetch_add (&s->writes, 1);
    while (atomic_load (&s->silent) && !atomic_load (&s->ends))
      short_sleep ();
    break;
  case 3:
    memcpy (s->flushed, s->disk, SIZE);
    break;
  case 6:
    if (atomic_load (&s->zero_dies)) {
      atomic_store (&s->zero_dies, false);
      return false;
    }
    if (atomic_load (&s->no_zero))
      reply[7] = 95;            /* NBD_ENOTSUP */
    else
      memset (s->disk + offset, 0, count);
    break;
  default:
    return false;
  }
  return all_of (fd, reply, sizeof reply, true);
}

static void
serve (struct server *s)
{
  while (!atomic_load (&s->ends)) {
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    int fd;

    if (poll (&p, 1, 5) != 1)
      continue;
    fd = accept (s->listener, NULL, NULL);
    assert (fd >= 0);
    if (greet (s, fd))
      while (!atomic_load (&s->ends) && !atomic_load (&s->drop)) {
        p.fd = fd;
        if (poll (&p, 1, 5) == 1 && !answer (s, fd))
          break;
      }
    atomic_store (&s->drop, false);
    memcpy (s->disk, s->flushed, SIZE);
    close (fd);
  }
}

static const char *
server_path (unsigned number)
{
  static char path[2][64];

  snprintf (path[number], sizeof path[number], "/tmp/mblock-pool-%ld-%u.sock",
            (long) getpid (), number);
  return path[number];
}

static struct server *
start_numbered (unsigned number, uint64_t size)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  struct server *s = mmap (NULL, sizeof *s, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid;

  assert_true (s != MAP_FAILED);
  atomic_store (&s->size, size);
  strcpy (s->path, server_path (number));
  memcpy (a.sun_path, s->path, sizeof s->path);
  unlink (s->path);
  s->listener = socket (AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal (bind (s->listener, (void *) &a, sizeof a), 0);
  assert_int_equal (listen (s->listener, 8), 0);
  pid = fork ();
  assert_true (pid >= 0);
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    serve (s);
    _exit (0);
  }
  s->pid = pid;
  close (s->listener);
  return s;
}

static struct server *
start_server (void)
{
  return start_numbered (0, SIZE);
}

static void
end_server (struct server *s)
{
  int status;

  atomic_store (&s->ends, true);
  assert_int_equal (waitpid (s->pid, &status, 0), s->pid);
  assert_int_equal (status, 0);
  unlink (s->path);
  munmap (s, sizeof *s);
}

static void
drop (struct server *s)
{
  atomic_store (&s->drop, true);
  while (atomic_load (&s->drop))
    short_sleep ();
}

static atomic_uint refusals;

static void
log_it (void *opaque, enum pool_log level, const char *message)
{
  (void) opaque;
  (void) level;
  if (strstr (message, "refused because"))
    atomic_fetch_add (&refusals, 1);
  fprintf (stderr, "%s\n", message);
}

/* For the pools that are made next. */
static int64_t request_timeout;

static struct connection_target targets[2];
static struct pool_options o;

static void
set_options (struct server *s, uint64_t replay_buffer)
{
  targets[0] = (struct connection_target) { .kind = TARGET_UNIX,
                                            .name = s->path };
  o = (struct pool_options) {
    .target = targets, .ntargets = 1, .export_name = "", .connections = 1,
    .connection = { .tls_verify = -1 },
    .reconnect = 60 * NS_PER_S, .connect_timeout = 60 * NS_PER_S,
    .request_timeout = request_timeout, .replay_buffer = replay_buffer,
    .log = log_it,
  };
}

static struct pool *
new_pool (struct server *s, uint64_t replay_buffer)
{
  set_options (s, replay_buffer);
  return pool_new (&o);
}

/* What a thread does while another gives the pool up. */
struct work {
  struct pool *pool;
  bool reads;
  int r, err;
};

static void *
work (void *opaque)
{
  struct work *w = opaque;
  char b;

  w->r = w->reads ? pool_read (w->pool, &b, 1, 0) : pool_open (w->pool);
  w->err = errno;
  return NULL;
}

/* Give up while a thread connects.  Should the server then answer it after all,
 * that is no reason to go on.
 */
static void
give_up_meanwhile (struct server *s, struct work *w)
{
  pthread_t thread;

  assert_int_equal (pthread_create (&thread, NULL, work, w), 0);
  while (!atomic_load (&s->held))
    short_sleep ();
  pool_give_up (w->pool);
  atomic_store (&s->holds, false);
  pthread_join (thread, NULL);
  assert_int_equal (w->r, -1);
}

static void
test_given_up_at_first (void **state)
{
  struct server *s = start_server ();
  struct work w = { .reads = false };

  (void) state;
  atomic_store (&s->holds, true);
  w.pool = new_pool (s, SIZE);
  give_up_meanwhile (s, &w);
  assert_int_equal (pool_open (w.pool), -1);
  assert_int_equal (errno, ESHUTDOWN);
  pool_free (w.pool);
  end_server (s);
}

static void
test_given_up_in_an_outage (void **state)
{
  struct server *s = start_server ();
  struct work w = { .reads = true };
  struct pool_client client;
  struct pool_legacy legacy;
  char b;

  (void) state;
  w.pool = new_pool (s, SIZE);
  assert_int_equal (pool_open (w.pool), 0);
  pool_client_init (w.pool, &client, NULL);
  assert_int_equal (pool_read (w.pool, &b, 1, 0), 0);
  atomic_store (&s->holds, true);
  drop (s);
  give_up_meanwhile (s, &w);
  assert_int_equal (w.err, ESHUTDOWN);
  assert_int_equal (pool_read (w.pool, &b, 1, 0), -1);
  assert_int_equal (errno, ESHUTDOWN);
  pool_client_end (w.pool, &client, &legacy);
  assert_int_equal (pool_open (w.pool), -1);
  assert_int_equal (errno, ESHUTDOWN);
  pool_free (w.pool);
  end_server (s);
}

/* M9: something would be lost with the pool. */
static bool
is_needed (struct pool *p)
{
  return pool_is_dirty (p) || pool_owed (p) > 0;
}

static void
come_and_write (struct pool *p, struct pool_client *c,
                const struct pool_legacy *legacy)
{
  assert_int_equal (pool_open (p), 0);
  pool_client_init (p, c, legacy);
  pool_client_writes (c);
  assert_int_equal (pool_write (p, "x", 1, 7, 0), 0);
}

/* M9: what clients left is sent again and flushed without any. */
static void
test_kept (void **state)
{
  struct server *s = start_server ();
  struct pool *p;
  struct pool_client c;
  struct pool_legacy legacy;
  bool told;

  (void) state;
  p = new_pool (s, SIZE);
  come_and_write (p, &c, NULL);
  assert_false (pool_wants_keeper (p));
  pool_client_end (p, &c, &legacy);
  assert_true (legacy.dirty);
  assert_true (pool_wants_keeper (p));
  assert_true (is_needed (p));
  drop (s);
  assert_true (pool_keep (p));
  assert_int_equal (atomic_load (&s->writes), 2);
  assert_int_equal (s->flushed[7], 'x');
  assert_false (is_needed (p));
  assert_int_equal (pool_open (p), 0);
  pool_client_init (p, &c, &legacy);
  assert_int_equal (pool_flush (p, &c, &told), 0);
  assert_false (told);
  pool_client_end (p, &c, &legacy);
  assert_false (legacy.dirty || legacy.owed);
  pool_free (p);
  end_server (s);
}

/* M9: a loss is told to those that come in place of those that left. */
static void
test_owed (void **state)
{
  struct server *s = start_server ();
  struct pool *p;
  struct pool_client a, b, c;
  struct pool_legacy left_a, left_b, left_c;
  bool told;

  (void) state;
  p = new_pool (s, 0);
  come_and_write (p, &a, NULL);
  come_and_write (p, &b, NULL);
  pool_client_end (p, &a, &left_a);
  pool_client_end (p, &b, &left_b);
  drop (s);
  assert_true (pool_keep (p));
  assert_true (is_needed (p));
  assert_false (pool_wants_keeper (p));
  pool_disconnect (p);

  /* One that has nothing to do with it takes its turn … */
  assert_int_equal (pool_open (p), 0);
  pool_client_init (p, &c, NULL);
  assert_int_equal (pool_flush (p, &c, &told), -1);
  assert_true (told);
  assert_int_equal (pool_flush (p, &c, &told), 0);
  /* … and one that leaves before it is told leaves it to the next. */
  pool_client_init (p, &a, &left_a);
  pool_client_end (p, &a, &left_a);
  assert_true (left_a.owed);
  pool_client_init (p, &b, NULL);
  assert_int_equal (pool_flush (p, &b, &told), -1);
  assert_false (is_needed (p));
  /* It is told, too, if it is known who it is. */
  pool_client_init (p, &a, &left_a);
  assert_int_equal (pool_flush (p, &a, &told), -1);
  assert_true (told);
  assert_int_equal (pool_flush (p, &a, &told), 0);
  pool_client_end (p, &a, &left_a);
  pool_client_end (p, &b, &left_b);
  pool_client_end (p, &c, &left_c);
  assert_false (left_a.owed || left_b.owed || left_c.owed);
  assert_false (is_needed (p));
  pool_free (p);
  end_server (s);
}

/* As a mirror's secondary, and a client that came for a switch that failed:
 * nobody is told of anything when the pool rides out outages later.
 */
static void
test_fails_fast (void **state)
{
  struct server *s = start_server ();
  struct pool_client own, c;
  struct pool_legacy legacy;
  struct pool *p;

  (void) state;
  set_options (s, 0);
  o.fail_fast = true;
  p = pool_new (&o);
  come_and_write (p, &own, NULL);
  pool_client_init (p, &c, NULL);
  pool_client_writes (&c);
  pool_client_end (p, &c, &legacy);
  assert_false (legacy.dirty || legacy.owed);
  pool_client_init (p, &c, NULL);
  pool_client_writes (&c);
  drop (s);
  assert_int_equal (pool_flush (p, &own, NULL), -1);
  assert_int_equal (pool_owed (p), 0);
  pool_client_end (p, &c, &legacy);
  assert_false (legacy.dirty || legacy.owed);
  pool_client_end (p, &own, &legacy);
  assert_int_equal (pool_owed (p), 0);
  pool_free (p);
  end_server (s);
}

static int64_t keep_until;

static bool
no_time (void *opaque)
{
  (void) opaque;
  return clock_now () >= keep_until;
}

static void *
keep (void *opaque)
{
  return pool_keep (opaque) ? opaque : NULL;
}

/* M6: what a server offers counts only once it is known to be the right one. */
static void
test_larger_is_wrong (void **state)
{
  struct server *s = start_numbered (0, SIZE / 2);
  static char data[4096];
  struct pool_client c;
  struct pool_legacy legacy;
  struct pool *p;
  pthread_t thread;
  void *kept;

  (void) state;
  memset (data, 'd', sizeof data);
  set_options (s, SIZE);
  o.witness = true;
  o.give_up = no_time;
  p = pool_new (&o);
  keep_until = clock_now () + 60 * NS_PER_S;
  assert_int_equal (pool_open (p), 0);
  pool_client_init (p, &c, NULL);
  pool_client_writes (&c);
  assert_int_equal (pool_write (p, data, sizeof data, 0, 0), 0);
  assert_int_equal (pool_flush (p, &c, NULL), 0);
  assert_int_equal (pool_write (p, "x", 1, 5000, 0), 0);
  pool_client_end (p, &c, &legacy);
  assert_true (legacy.dirty);

  atomic_store (&s->holds, true);
  drop (s);
  atomic_store (&s->size, SIZE);
  memset (s->disk, 0, SIZE);
  memset (s->flushed, 0, SIZE);
  atomic_store (&refusals, 0);
  atomic_store (&s->holds, false);
  assert_int_equal (pthread_create (&thread, NULL, keep, p), 0);
  while (atomic_load (&refusals) == 0)
    short_sleep ();
  assert_int_equal (atomic_load (&s->writes), 2);
  /* The right one again. */
  atomic_store (&s->size, SIZE / 2);
  memcpy (s->flushed, data, sizeof data);
  memcpy (s->disk, data, sizeof data);
  pthread_join (thread, &kept);
  assert_non_null (kept);
  assert_int_equal (s->flushed[5000], 'x');
  assert_false (is_needed (p));
  pool_free (p);
  end_server (s);
}

/* M6: the log is given up only if it can be sent to no server. */
static void
test_next_target_is_right (void **state)
{
  struct server *right = start_numbered (1, SIZE), *wrong;
  struct pool_client c;
  struct pool_legacy legacy;
  struct pool *p;

  (void) state;
  set_options (right, SIZE);
  targets[0].name = server_path (0);
  targets[1] = targets[0];
  targets[1].name = server_path (1);
  o.ntargets = 2;
  o.connect_timeout = 3 * NS_PER_S; /* is_up_to_date waits for it */
  p = pool_new (&o);
  come_and_write (p, &c, NULL);
  pool_client_end (p, &c, &legacy);
  wrong = start_numbered (0, SIZE / 2);
  assert_int_equal (pool_open (p), 0);
  assert_int_equal (pool_info (p)->size, SIZE);
  assert_int_equal (pool_owed (p), 0);
  assert_true (pool_is_dirty (p));
  assert_int_equal (atomic_load (&right->writes), 2);

  end_server (right);
  assert_int_equal (pool_open (p), 0);
  assert_int_equal (pool_info (p)->size, SIZE / 2);
  assert_int_equal (pool_owed (p), 1);
  assert_false (pool_is_dirty (p));
  pool_free (p);
  end_server (wrong);
}

/* The server has a write that was started before anybody waits for it. */
static void
test_started (void **state)
{
  struct server *s = start_server ();
  struct pool_client c;
  struct pool_legacy legacy;
  struct pool_write w;
  struct work reader = { .reads = true };
  pthread_t thread;
  struct pool *p;

  (void) state;
  p = reader.pool = new_pool (s, SIZE);
  come_and_write (p, &c, NULL);
  pool_write_start (p, &w, "ab", 2, 9, 0);
  while (atomic_load (&s->writes) < 2)
    short_sleep ();
  /* Others do not need its thread. */
  assert_int_equal (pthread_create (&thread, NULL, work, &reader), 0);
  pthread_join (thread, NULL);
  assert_int_equal (reader.r, 0);
  assert_int_equal (pool_write_wait (p, &w), 0);
  assert_memory_equal (s->disk + 9, "ab", 2);

  /* The connection is lost between the two: the write is not. */
  atomic_store (&s->drop, true);
  pool_write_start (p, &w, "cd", 2, 20, 0);
  while (atomic_load (&s->drop))
    short_sleep ();
  assert_int_equal (pool_write_wait (p, &w), 0);
  assert_int_equal (pool_flush (p, &c, NULL), 0);
  assert_memory_equal (s->flushed + 9, "ab", 2);
  assert_memory_equal (s->flushed + 20, "cd", 2);
  pool_client_end (p, &c, &legacy);
  pool_free (p);
  end_server (s);
}

/* What was started ends when the pool is given up; so does what is started
 * then.
 */
static void
test_started_and_given_up (void **state)
{
  struct server *s = start_server ();
  struct pool_client c;
  struct pool_legacy legacy;
  struct pool_write w;
  struct pool_stats stats;
  struct pool *p;

  (void) state;
  p = new_pool (s, SIZE);
  come_and_write (p, &c, NULL);
  atomic_store (&s->holds, true);
  drop (s);
  pool_give_up (p);
  pool_write_start (p, &w, "ab", 2, 9, 0);
  assert_int_equal (pool_write_wait (p, &w), -1);
  assert_int_equal (errno, ESHUTDOWN);
  pool_stats (p, &stats);
  assert_int_equal (stats.requests[NBD_WRITE], 2);
  assert_int_equal (stats.errors, 1);
  pool_client_end (p, &c, &legacy);
  pool_free (p);
  atomic_store (&s->holds, false);

  p = new_pool (s, SIZE);
  come_and_write (p, &c, NULL);
  atomic_store (&s->silent, true);
  pool_write_start (p, &w, "ab", 2, 9, 0);
  pool_give_up (p);
  assert_int_equal (pool_write_wait (p, &w), -1);
  assert_int_equal (errno, ESHUTDOWN);
  pool_client_end (p, &c, &legacy);
  pool_free (p);
  atomic_store (&s->silent, false);
  end_server (s);
}

/* A new pool, its only client, and "abcd" at 0, flushed. */
static struct pool *
pool_with_data (struct server *s, struct pool_client *c)
{
  struct pool *p = new_pool (s, SIZE);

  assert_int_equal (pool_open (p), 0);
  pool_client_init (p, c, NULL);
  pool_client_writes (c);
  assert_int_equal (pool_write (p, "abcd", 4, 0, 0), 0);
  assert_int_equal (pool_flush (p, c, NULL), 0);
  return p;
}

static void
end_pool (struct pool *p, struct pool_client *c)
{
  struct pool_legacy legacy;

  pool_client_end (p, c, &legacy);
  pool_free (p);
}

/* ENOTSUP for a fast zero says that nothing was changed.  When the request was
 * sent before, nobody knows that: it is done in another way.
 */
static void
test_fast_zero_again (void **state)
{
  const uint32_t fast = LIBNBD_CMD_FLAG_FAST_ZERO;
  struct server *s = start_server ();
  struct pool_client c;
  struct pool *p = pool_with_data (s, &c);
  char b[4];

  (void) state;
  atomic_store (&s->no_zero, true);
  assert_int_equal (pool_zero (p, 2, 0, fast), -1);
  assert_int_equal (errno, ENOTSUP);
  atomic_store (&s->zero_dies, true);
  assert_int_equal (pool_zero (p, 2, 1, fast), 0);
  assert_false (atomic_load (&s->zero_dies));
  assert_int_equal (pool_read (p, b, 4, 0), 0);
  assert_memory_equal (b, "a\0\0d", 4);
  end_pool (p, &c);
  end_server (s);
}

/* A zero is in the log, and the server that comes back refuses to zero. */
static void
test_zero_replayed (void **state)
{
  struct server *s = start_server ();
  struct pool_client c;
  struct pool *p = pool_with_data (s, &c);
  char b[4];

  (void) state;
  assert_int_equal (pool_zero (p, 2, 1, 0), 0);
  atomic_store (&s->no_zero, true);
  drop (s);
  assert_int_equal (pool_read (p, b, 4, 0), 0);
  assert_memory_equal (b, "a\0\0d", 4);
  end_pool (p, &c);
  end_server (s);
}

/* It was answered in time, but its thread comes late to hear of it. */
static void
test_started_long_ago (void **state)
{
  struct server *s = start_server ();
  struct pool_client c;
  struct pool_legacy legacy;
  struct pool_write w;
  struct pool_stats stats;
  struct pool *p;
  int64_t until;

  (void) state;
  request_timeout = 3 * NS_PER_S;
  p = new_pool (s, 0);
  request_timeout = 0;
  come_and_write (p, &c, NULL);
  pool_write_start (p, &w, "ab", 2, 9, 0);
  until = clock_now () + 3 * NS_PER_S + NS_PER_S / 4;
  while (clock_now () < until)
    short_sleep ();
  assert_int_equal (pool_write_wait (p, &w), 0);
  pool_stats (p, &stats);
  assert_int_equal (stats.timeouts, 0);
  assert_int_equal (stats.outages, 0);
  pool_client_end (p, &c, &legacy);
  pool_free (p);
  end_server (s);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_given_up_at_first),
    cmocka_unit_test (test_given_up_in_an_outage),
    cmocka_unit_test (test_kept),
    cmocka_unit_test (test_owed),
    cmocka_unit_test (test_fails_fast),
    cmocka_unit_test (test_larger_is_wrong),
    cmocka_unit_test (test_next_target_is_right),
    cmocka_unit_test (test_started),
    cmocka_unit_test (test_started_and_given_up),
    cmocka_unit_test (test_fast_zero_again),
    cmocka_unit_test (test_zero_replayed),
    cmocka_unit_test (test_started_long_ago),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
