/* SPDX-License-Identifier: BSD-3-Clause */
/* An NBD server for the tests whose cache is volatile: only what was flushed
 * is in its file, and so only that survives SIGKILL.
 *
 * Design
 *
 * The whole disk is in memory; for each block of 512 bytes a mask says which
 * connections wrote it since it was last put into the file.  A flush writes
 * those blocks with pwrite(2), FUA writes the blocks of its own request.
 * SIGKILL ends the process but not the system, so what pwrite has taken stays.
 *
 * A flush that is cut short has stored some of its blocks.  That is what a
 * disk may do at any time of its own accord, and so needs no journal: nothing
 * that an earlier flush promised is undone by it, because every block of the
 * file holds either its last flushed bytes or later ones.
 *
 * It is as strict as the protocol lets a server be:
 * - Without --multi-conn a flush covers only what its own connection wrote.
 *   What a connection left behind when it closed is covered by no later flush.
 * - With --writeback=N, one write in N is put into the file at once, so that
 *   a crash loses an arbitrary subset of what was not flushed, and keeps
 *   later writes while it loses earlier ones.
 * With --lie a flush stores nothing, for the tests of the tests.
 *
 * Signals: USR1 loses the cache and drops all connections, as a power cut that
 * is over at once, and says "lost".  USR2 only drops the connections.  TERM
 * ends it and loses the cache too.
 *
 * Invariants
 *
 * 1. A block whose mask is 0 has the same bytes in memory and in the file.
 * 2. A reply to a flush or a FUA request is sent only after pwrite returned
 *    for every block that it covers.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/random.h"

#define BLOCK 512
#define MAX_CONNECTIONS 63
/* The bit of what closed connections left behind. */
#define ORPHAN 63
#define MAX_REQUEST (32 << 20)

#define NBDMAGIC UINT64_C (0x4e42444d41474943)
#define IHAVEOPT UINT64_C (0x49484156454F5054)
#define REP_MAGIC UINT64_C (0x3e889045565a9)
#define REQUEST_MAGIC 0x25609513
#define REPLY_MAGIC 0x67446698

enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_LIST = 3, OPT_INFO = 6,
       OPT_GO = 7 };
enum { REP_ACK = 1, REP_SERVER = 2, REP_INFO = 3 };
#define REP_ERR_UNSUP (UINT32_C (0x80000001))
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE,
       CMD_ZERO };
#define CMD_FLAG_FUA 1

struct request {
  uint32_t magic;
  uint16_t flags, type;
  uint64_t cookie, offset;
  uint32_t length;
} __attribute__ ((packed));

struct reply {
  uint32_t magic, error;
  uint64_t cookie;
} __attribute__ ((packed));

struct connection {
  int sock;                     /* -1: the slot is free */
  unsigned slot;
  bool dropped;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All below is guarded by lock. */
static uint8_t *cache;
static uint64_t *dirty;
static struct connection connections[MAX_CONNECTIONS];
static uint64_t counts[8], losses, lost_blocks;
static uint64_t random_state = 88172645463325252;

/* Set at start and not changed. */
static uint64_t size = 16 << 20;
static int image = -1;
static bool multi_conn, no_fua, lie;
static unsigned writeback;
static const char *sock_path;

static void
die (const char *what)
{
  fprintf (stderr, "nbd-volatile-server: %s: %s\n", what, strerror (errno));
  exit (1);
}

static bool
recv_all (int sock, void *buf, size_t n)
{
  char *p = buf;

  while (n > 0) {
    ssize_t r = recv (sock, p, n, 0);

    if (r == -1 && errno == EINTR)
      continue;
    if (r <= 0)
      return false;
    p += r;
    n -= r;
  }
  return true;
}

static bool
send_all (int sock, const void *buf, size_t n, int flags)
{
  const char *p = buf;

  while (n > 0) {
    ssize_t r = send (sock, p, n, flags | MSG_NOSIGNAL);

    if (r == -1 && errno == EINTR)
      continue;
    if (r <= 0)
      return false;
    p += r;
    n -= r;
  }
  return true;
}

/* Called with the lock held. */
static uint64_t
next_random_locked (void)
{
  return xorshift (&random_state);
}

/* Put the blocks from first to before last whose mask meets MASK into the
 * file, neighbours in one call. */
static void
store_locked (uint64_t first, uint64_t last, uint64_t mask)
{
  while (first < last) {
    uint64_t end;

    if (!(dirty[first] & mask)) {
      first++;
      continue;
    }
    for (end = first; end < last && (dirty[end] & mask); ++end)
      dirty[end] = 0;
    for (uint64_t at = first * BLOCK; at < end * BLOCK; ) {
      ssize_t r = pwrite (image, cache + at, end * BLOCK - at, at);

      if (r <= 0)
        die ("pwrite");
      at += r;
    }
    first = end;
  }
}

/* Lose what is not in the file. */
static void
lose_cache_locked (void)
{
  for (uint64_t i = 0; i < size / BLOCK; ++i)
    if (dirty[i]) {
      if (pread (image, cache + i * BLOCK, BLOCK, i * BLOCK) != BLOCK)
        die ("pread");
      dirty[i] = 0;
      lost_blocks++;
    }
  losses++;
  fprintf (stderr, "lost\n");
}

static void
drop_connections_locked (void)
{
  for (unsigned i = 0; i < MAX_CONNECTIONS; ++i)
    if (connections[i].sock != -1) {
      connections[i].dropped = true;
      shutdown (connections[i].sock, SHUT_RDWR);
    }
}

static void
change_locked (struct connection *conn, const struct request *req,
               const uint8_t *data)
{
  const uint64_t first = req->offset / BLOCK;
  const uint64_t last = (req->offset + req->length + BLOCK - 1) / BLOCK;

  if (data)
    memcpy (cache + req->offset, data, req->length);
  else
    memset (cache + req->offset, 0, req->length);
  for (uint64_t i = first; i < last; ++i)
    dirty[i] |= UINT64_C (1) << conn->slot;
  if ((req->flags & CMD_FLAG_FUA) ||
      (writeback && next_random_locked () % writeback == 0))
    store_locked (first, last, ~UINT64_C (0));
}

static bool
send_option_reply (int sock, uint32_t opt, uint32_t type,
                   const void *data, uint32_t length)
{
  struct {
    uint64_t magic;
    uint32_t opt, type, length;
  } __attribute__ ((packed)) head = {
    htobe64 (REP_MAGIC), htobe32 (opt), htobe32 (type), htobe32 (length)
  };

  return send_all (sock, &head, sizeof head, length ? MSG_MORE : 0) &&
         send_all (sock, data, length, 0);
}

/* Every export name means the one disk. */
static bool
handshake (int sock)
{
  const uint16_t export_flags =
    1 | 1 << 2 | (no_fua ? 0 : 1 << 3) | 1 << 5 | 1 << 6 |
    (multi_conn ? 1 << 8 : 0);
  struct {
    uint64_t magic, ihaveopt;
    uint16_t flags;
  } __attribute__ ((packed)) greeting = {
    htobe64 (NBDMAGIC), htobe64 (IHAVEOPT), htobe16 (3)
  };
  uint32_t client_flags;

  if (!send_all (sock, &greeting, sizeof greeting, 0) ||
      !recv_all (sock, &client_flags, sizeof client_flags))
    return false;
  for (;;) {
    struct {
      uint64_t magic;
      uint32_t opt, length;
    } __attribute__ ((packed)) head;
    struct {
      uint16_t type;
      uint64_t size;
      uint16_t flags;
    } __attribute__ ((packed)) info = {
      0, htobe64 (size), htobe16 (export_flags)
    };
    static const char zeroes[124];
    char data[8192];

    if (!recv_all (sock, &head, sizeof head))
      return false;
    head.opt = be32toh (head.opt);
    head.length = be32toh (head.length);
    if (be64toh (head.magic) != IHAVEOPT || head.length > sizeof data ||
        !recv_all (sock, data, head.length))
      return false;
    switch (head.opt) {
    case OPT_EXPORT_NAME:
      return send_all (sock, &info.size, 10, 0) &&
             ((be32toh (client_flags) & 2) ||
              send_all (sock, zeroes, sizeof zeroes, 0));
    case OPT_ABORT:
      send_option_reply (sock, head.opt, REP_ACK, NULL, 0);
      return false;
    case OPT_LIST:
      if (!send_option_reply (sock, head.opt, REP_SERVER, "\0\0\0", 4) ||
          !send_option_reply (sock, head.opt, REP_ACK, NULL, 0))
        return false;
      break;
    case OPT_INFO:
    case OPT_GO:
      if (!send_option_reply (sock, head.opt, REP_INFO, &info, sizeof info) ||
          !send_option_reply (sock, head.opt, REP_ACK, NULL, 0))
        return false;
      if (head.opt == OPT_GO)
        return true;
      break;
    default:
      if (!send_option_reply (sock, head.opt, REP_ERR_UNSUP, NULL, 0))
        return false;
    }
  }
}

/* The error of a request, as NBD numbers it, or 0 after carrying it out.
 * BUF holds what a write brought, or takes what a read gets. */
static uint32_t
execute (struct connection *conn, const struct request *req, uint8_t *buf)
{
  uint32_t error = 0;

  if (req->type != CMD_FLUSH && (req->offset > size ||
                                 req->length > size - req->offset))
    return req->type == CMD_READ ? EINVAL : ENOSPC;
  pthread_mutex_lock (&lock);
  /* What a dropped connection still had queued dies with it.  Carried out
   * now, it could undo what the client has sent since on a new connection. */
  if (conn->dropped) {
    pthread_mutex_unlock (&lock);
    return ESHUTDOWN;
  }
  counts[req->type & 7]++;
  switch (req->type) {
  case CMD_READ:
    memcpy (buf, cache + req->offset, req->length);
    break;
  case CMD_WRITE:
    change_locked (conn, req, buf);
    break;
  case CMD_ZERO:
  case CMD_TRIM:
    change_locked (conn, req, NULL);
    break;
  case CMD_FLUSH:
    if (!lie)
      store_locked (0, size / BLOCK, multi_conn ? ~UINT64_C (0) :
                    UINT64_C (1) << conn->slot);
    break;
  default:
    error = EINVAL;
  }
  pthread_mutex_unlock (&lock);
  return error;
}

static void
serve (struct connection *conn, uint8_t *buf)
{
  struct request req;

  if (!handshake (conn->sock))
    return;
  while (recv_all (conn->sock, &req, sizeof req) &&
         be32toh (req.magic) == REQUEST_MAGIC) {
    struct reply reply = { htobe32 (REPLY_MAGIC), 0, req.cookie };
    size_t payload;

    req.flags = be16toh (req.flags);
    req.type = be16toh (req.type);
    req.offset = be64toh (req.offset);
    req.length = be32toh (req.length);
    if (req.type == CMD_DISC ||
        (req.type <= CMD_WRITE && req.length > MAX_REQUEST) ||
        (req.type == CMD_WRITE && !recv_all (conn->sock, buf, req.length)))
      return;
    reply.error = htobe32 (execute (conn, &req, buf));
    payload = req.type == CMD_READ && !reply.error ? req.length : 0;
    if (!send_all (conn->sock, &reply, sizeof reply,
                   payload ? MSG_MORE : 0) ||
        !send_all (conn->sock, buf, payload, 0))
      return;
  }
}

static void *
connection_thread (void *opaque)
{
  struct connection *conn = opaque;
  uint8_t *buf = malloc (MAX_REQUEST);

  if (buf == NULL)
    die ("malloc");
  serve (conn, buf);
  free (buf);
  pthread_mutex_lock (&lock);
  for (uint64_t i = 0; i < size / BLOCK; ++i)
    if (dirty[i] & UINT64_C (1) << conn->slot) {
      dirty[i] &= ~(UINT64_C (1) << conn->slot);
      dirty[i] |= UINT64_C (1) << ORPHAN;
    }
  close (conn->sock);
  conn->sock = -1;
  pthread_mutex_unlock (&lock);
  return NULL;
}

static void *
accept_thread (void *opaque)
{
  const int listener = *(int *) opaque;

  for (;;) {
    int sock = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *conn = NULL;
    pthread_t thread;

    if (sock == -1)
      continue;
    pthread_mutex_lock (&lock);
    for (unsigned i = 0; i < MAX_CONNECTIONS && conn == NULL; ++i)
      if (connections[i].sock == -1)
        conn = &connections[i];
    if (conn) {
      conn->sock = sock;
      conn->dropped = false;
    }
    pthread_mutex_unlock (&lock);
    if (conn == NULL)
      close (sock);
    else if (pthread_create (&thread, NULL, connection_thread, conn))
      die ("pthread_create");
    else
      pthread_detach (thread);
  }
  return NULL;
}

static int
listen_unix (void)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  /* Bound under another name and renamed when it listens, so that nobody
   * meets a socket that refuses. */
  char *name;
  int listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (asprintf (&name, "%s.new", sock_path) == -1)
    die ("asprintf");
  if (strlen (name) >= sizeof addr.sun_path) {
    errno = ENAMETOOLONG;
    die (name);
  }
  strcpy (addr.sun_path, name);
  unlink (name);
  if (listener == -1 ||
      bind (listener, (struct sockaddr *) &addr, sizeof addr) == -1 ||
      listen (listener, 64) == -1 || rename (name, sock_path) == -1)
    die (sock_path);
  free (name);
  return listener;
}

static void
load_image (const char *path)
{
  struct stat st;

  image = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (image == -1 || fstat (image, &st) == -1)
    die (path);
  if (st.st_size == 0 && ftruncate (image, size) == -1)
    die (path);
  if (st.st_size > 0)
    size = st.st_size / BLOCK * BLOCK;
  cache = mmap (NULL, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  dirty = calloc (size / BLOCK, sizeof *dirty);
  if (cache == MAP_FAILED || dirty == NULL)
    die ("memory");
  for (uint64_t at = 0; at < size; ) {
    ssize_t r = pread (image, cache + at, size - at, at);

    if (r <= 0)
      die ("pread");
    at += r;
  }
}

static void
usage (void)
{
  fputs ("usage: nbd-volatile-server --unix=SOCKET --image=FILE"
         " [--size=BYTES]\n"
         "  [--multi-conn] [--no-fua] [--lie] [--writeback=N]"
         " [--pidfile=FILE]\n", stderr);
  exit (2);
}

int
main (int argc, char *argv[])
{
  static const struct option options[] = {
    { "unix", required_argument, NULL, 'u' },
    { "image", required_argument, NULL, 'i' },
    { "size", required_argument, NULL, 's' },
    { "multi-conn", no_argument, NULL, 'm' },
    { "no-fua", no_argument, NULL, 'f' },
    { "lie", no_argument, NULL, 'l' },
    { "writeback", required_argument, NULL, 'w' },
    { "pidfile", required_argument, NULL, 'p' },
    { NULL, 0, NULL, 0 }
  };
  const char *image_path = NULL, *pidfile = NULL;
  sigset_t signals;
  pthread_t thread;
  int c, listener, sig;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'u': sock_path = optarg; break;
    case 'i': image_path = optarg; break;
    case 's': size = strtoull (optarg, NULL, 0) / BLOCK * BLOCK; break;
    case 'm': multi_conn = true; break;
    case 'f': no_fua = true; break;
    case 'l': lie = true; break;
    case 'w': writeback = strtoul (optarg, NULL, 0); break;
    case 'p': pidfile = optarg; break;
    default: usage ();
    }
  if (optind < argc || sock_path == NULL || image_path == NULL || size == 0)
    usage ();

  /* The server goes with the test that started it. */
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  random_state ^= (uint64_t) getpid () << 32;
  sigemptyset (&signals);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGUSR1);
  sigaddset (&signals, SIGUSR2);
  pthread_sigmask (SIG_BLOCK, &signals, NULL);
  load_image (image_path);
  for (unsigned i = 0; i < MAX_CONNECTIONS; ++i)
    connections[i] = (struct connection) { .sock = -1, .slot = i };
  listener = listen_unix ();
  if (pthread_create (&thread, NULL, accept_thread, &listener))
    die ("pthread_create");
  if (pidfile) {
    FILE *f = fopen (pidfile, "w");

    if (f == NULL || fprintf (f, "%d\n", (int) getpid ()) < 0 || fclose (f))
      die (pidfile);
  }

  for (;;) {
    sigwait (&signals, &sig);
    pthread_mutex_lock (&lock);
    if (sig == SIGTERM || sig == SIGINT)
      break;
    if (sig == SIGUSR1)
      lose_cache_locked ();
    drop_connections_locked ();
    pthread_mutex_unlock (&lock);
  }
  /* The lock is kept, so nothing changes any more. */
  fprintf (stderr, "read %" PRIu64 ", write %" PRIu64 ", zero %" PRIu64
           ", trim %" PRIu64 ", flush %" PRIu64 ", losses %" PRIu64
           " (%" PRIu64 " blocks)\n", counts[CMD_READ], counts[CMD_WRITE],
           counts[CMD_ZERO], counts[CMD_TRIM], counts[CMD_FLUSH],
           losses, lost_blocks);
  unlink (sock_path);
  _exit (0);
}
