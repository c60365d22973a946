/* SPDX-License-Identifier: BSD-3-Clause */
/* The sockets of the NBD clients of this process. */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <linux/filter.h>
#include <linux/vm_sockets.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "client-sockets.h"

struct address {
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_vm vm;
    struct sockaddr_storage storage;
  };
  socklen_t len;
};

/* Where the process listens.  Does not change after client_sockets_init. */
static struct address *listener;
static size_t nlisteners;

/* Guards the directory's position, and the one duplicate.  Both stay open, so
 * that a process that has run out of descriptors can still end.
 */
static struct mutex lock = MUTEX_INITIALIZER;
static DIR *descriptors GUARDED_BY (lock);      /* /proc/self/fd, or NULL */
static int duplicate GUARDED_BY (lock) = -1;

/* ------------------------------------------------------------ addresses */

static bool
is_internet (const struct address *a)
{
  return a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6;
}

static in_port_t
port_of (const struct address *a)
{
  return a->any.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port;
}

/* Was a socket with that local address accepted by that listener?  A socket
 * that the process connected itself never has a port on which the process
 * listens.
 */
static bool
was_accepted_by (const struct address *local, const struct address *from)
{
  if (is_internet (local) && is_internet (from))
    return port_of (local) == port_of (from);
  if (local->any.sa_family != from->any.sa_family)
    return false;
  switch (local->any.sa_family) {
  case AF_UNIX:
    return local->len > sizeof (sa_family_t) && local->len == from->len &&
      memcmp (&local->un, &from->un, local->len) == 0;
  case AF_VSOCK:
    return local->vm.svm_port == from->vm.svm_port;
  default:
    return false;
  }
}

static bool
was_accepted (const struct address *local)
{
  size_t i;

  for (i = 0; i < nlisteners; i++)
    if (was_accepted_by (local, &listener[i]))
      return true;
  return false;
}

/* The local address of a socket. */
static bool
local_address (int fd, struct address *a)
{
  memset (a, 0, sizeof *a);
  a->len = sizeof a->storage;
  return getsockname (fd, &a->any, &a->len) == 0 && a->len <= sizeof a->storage;
}

static bool
option_is (int fd, int option, int value)
{
  int v;
  socklen_t len = sizeof v;

  return getsockopt (fd, SOL_SOCKET, option, &v, &len) == 0 && v == value;
}

/* X1 */
static bool
is_client (int fd)
{
  struct address local;

  return option_is (fd, SO_TYPE, SOCK_STREAM) &&
    option_is (fd, SO_ACCEPTCONN, 0) &&
    (fcntl (fd, F_GETFL) & O_NONBLOCK) == 0 &&
    local_address (fd, &local) && was_accepted (&local);
}

/* ---------------------------------------------------------- descriptors */

/* The next descriptor of the process, or -1. */
static int
next_descriptor_locked (void) REQUIRES (&lock)
{
  struct dirent *entry;

  while ((entry = readdir (descriptors)) != NULL)
    if (*entry->d_name != '.')
      return atoi (entry->d_name);
  return -1;
}

/* The number of a socket, or 0. */
static client_socket
number_of (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISSOCK (st.st_mode) ? st.st_ino : 0;
}

/* X2: duplicate fd if it is a client's socket.  Returns the duplicate's number,
 * or 0.  Other files are not duplicated: closing any descriptor of a file would
 * release the process's locks on it (fcntl(2), F_SETLK).
 */
static client_socket
take_locked (int fd) REQUIRES (&lock)
{
  if (fd == duplicate || number_of (fd) == 0 ||
      dup3 (fd, duplicate, O_CLOEXEC) == -1)
    return 0;
  return is_client (duplicate) ? number_of (duplicate) : 0;
}

/* nbdkit's close of a socket must be the last one. */
static void
release_locked (void) REQUIRES (&lock)
{
  (void) dup3 (dirfd (descriptors), duplicate, O_CLOEXEC);
}

/* What to do with a client's socket.  Returns false to end the iteration. */
typedef bool visit (void *opaque, int fd, client_socket number);

static void
for_each_client_locked (visit *fn, void *opaque) REQUIRES (&lock)
{
  client_socket number;
  bool more = true;
  int fd;

  if (descriptors == NULL)
    return;
  rewinddir (descriptors);
  while (more && (fd = next_descriptor_locked ()) != -1) {
    number = take_locked (fd);
    if (number)
      more = fn (opaque, duplicate, number);
  }
  release_locked ();
}

static int
add_listener (int fd)
{
  struct address local, *more;

  if (!option_is (fd, SO_ACCEPTCONN, 1) || !local_address (fd, &local))
    return 0;
  more = reallocarray (listener, nlisteners + 1, sizeof *more);
  if (more == NULL)
    return -1;
  listener = more;
  listener[nlisteners++] = local;
  return 0;
}

int
client_sockets_init (void)
{
  int fd, r = 0;

  mutex_lock (&lock);
  descriptors = opendir ("/proc/self/fd");
  if (descriptors == NULL)
    r = -1;
  while (r == 0 && (fd = next_descriptor_locked ()) != -1)
    r = add_listener (fd);
  if (r == 0) {
    duplicate = fcntl (dirfd (descriptors), F_DUPFD_CLOEXEC, 0);
    r = duplicate == -1 ? -1 : 0;
  }
  if (r == -1 && descriptors) {
    closedir (descriptors);
    descriptors = NULL;
    nlisteners = 0;
  }
  mutex_unlock (&lock);
  return r;
}

/* ----------------------------------------------------------- disconnect */

/* TCP receives what the peer sends after SHUT_RD, and a client that goes on
 * sending never gets to the end of file.  So drop the data of all segments that
 * arrive from now on.  Their headers are needed: they acknowledge our replies.
 * Other sockets ignore such a filter, and need none.
 */
static void
receive_no_more (int fd)
{
  struct sock_filter header_only = BPF_STMT (BPF_RET | BPF_K, 1);
  const struct sock_fprog program = { 1, &header_only };

  (void) setsockopt (fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                     sizeof program);
}

struct ending {
  client_socket number;         /* 0: all */
  int how;
  unsigned found;
};

static bool
end_one (void *opaque, int fd, client_socket number)
{
  struct ending *e = opaque;

  if (e->number && e->number != number)
    return true;
  if (e->how == SHUT_RD)
    receive_no_more (fd);
  if (shutdown (fd, e->how) == 0)
    e->found++;
  return e->number == 0;
}

unsigned
client_sockets_shutdown (int how)
{
  struct ending e = { .how = how };

  mutex_lock (&lock);
  for_each_client_locked (end_one, &e);
  mutex_unlock (&lock);
  return e.found;
}

bool
client_socket_disconnect (client_socket socket, bool at_once)
{
  struct ending e = {
    .number = socket, .how = at_once ? SHUT_RDWR : SHUT_RD,
  };

  if (socket == 0)
    return false;
  mutex_lock (&lock);
  for_each_client_locked (end_one, &e);
  mutex_unlock (&lock);
  return e.found > 0;
}

/* ---------------------------------------------- a connection's own socket */

/* nbdkit_nanosleep also polls the connection's socket, so the socket is among
 * the arguments of the thread's ppoll(2).  Another thread reads these arguments
 * while this one waits: proc_pid_syscall(5) tells where the list of descriptors
 * is.
 */
struct asking {
  int thread;                   /* the thread that sleeps */
  uintptr_t stack;              /* its stack frames are below this */
  client_socket number;         /* the answer, or 0 */
  _Atomic bool answered;
};

/* How often to look, the pause between two looks, and the first sleep's length:
 * usually the first look finds the socket.  On a busy machine the thread is
 * seldom seen asleep, because it waits for a processor for much longer than it
 * sleeps.  So a look counts only if it was asleep, and each sleep is twice as
 * long as the one before, up to the longest.
 */
#define MOST_LOOKS 100
#define LOOK_PAUSE_NS 200000
#define SLEEP_NS 100000
#define LONGEST_SLEEP_NS (256 * SLEEP_NS)

/* Then the thread is not looked for any longer. */
#define LOOK_TIME (10 * NS_PER_S)

/* More descriptors than nbdkit polls at once, and the largest distance of its
 * stack frame from ours.
 */
#define MOST_POLLED 8
#define NEAR_STACK (64 << 10)

#define SYSCALL_LINE 256

/* The system call in which the thread waits. */
static bool
read_syscall (const struct asking *a, char line[SYSCALL_LINE])
{
  char path[64];
  int fd;
  ssize_t r;

  snprintf (path, sizeof path, "/proc/self/task/%d/syscall", a->thread);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd == -1)
    return false;
  r = read (fd, line, SYSCALL_LINE - 1);
  close (fd);
  line[r > 0 ? r : 0] = '\0';
  return r > 0;
}

/* Read what the thread polls.  Returns the number of descriptors; 0 if it waits
 * for something else; or -1 if it was not asleep all the time.
 */
static int
read_polled (const struct asking *a, struct pollfd fds[MOST_POLLED])
{
  char before[SYSCALL_LINE], after[SYSCALL_LINE];
  unsigned long at, n;
  struct iovec to, from;
  ssize_t r;

  if (!read_syscall (a, before))
    return 0;
  if (strncmp (before, "running", 7) == 0)
    return -1;
  /* Other system calls have no small number after a stack address, or are
   * detected below.
   */
  if (sscanf (before, "%*d %lx %lx", &at, &n) != 2 ||
      n == 0 || n > MOST_POLLED || at >= a->stack || a->stack - at > NEAR_STACK)
    return 0;
  to = (struct iovec) { fds, n * sizeof *fds };
  from = (struct iovec) { (void *) at, n * sizeof *fds };
  r = process_vm_readv (getpid (), &to, 1, &from, 1, 0);
  if (r != (ssize_t) (n * sizeof *fds) || !read_syscall (a, after))
    return 0;
  /* The descriptors are valid only if the thread is still in the same call. */
  return strcmp (before, after) == 0 ? (int) n : -1;
}

/* Exactly one descriptor must be a client's socket. */
static client_socket
only_client (const struct pollfd *fds, int n)
{
  client_socket number, found = 0;
  int i, clients = 0;

  mutex_lock (&lock);
  for (i = 0; i < n; i++) {
    number = fds[i].fd >= 0 && fds[i].events == POLLRDHUP
      ? take_locked (fds[i].fd) : 0;
    if (number) {
      found = number;
      clients++;
    }
  }
  release_locked ();
  mutex_unlock (&lock);
  return clients == 1 ? found : 0;
}

static void *
look (void *opaque)
{
  const struct timespec pause = { .tv_nsec = LOOK_PAUSE_NS };
  struct asking *a = opaque;
  int64_t until = clock_now () + LOOK_TIME;
  struct pollfd fds[MOST_POLLED];
  unsigned looks = 0;
  int n;

  while (looks < MOST_LOOKS && a->number == 0 && clock_now () < until) {
    n = read_polled (a, fds);
    if (n >= 0)
      looks++;
    if (n > 0)
      a->number = only_client (fds, n);
    if (a->number == 0)
      nanosleep (&pause, NULL);
  }
  atomic_store (&a->answered, true);
  return NULL;
}

client_socket
client_socket_own (void)
{
  struct asking a = {
    .thread = syscall (SYS_gettid),
    .stack = (uintptr_t) __builtin_frame_address (0),
  };
  unsigned sleep = SLEEP_NS;
  pthread_t thread;

  if (nlisteners == 0 || thread_start (&thread, "mblock-client", look, &a))
    return 0;
  while (!atomic_load (&a.answered)) {
    if (nbdkit_nanosleep (0, sleep) == -1)
      break;                    /* the client has gone, or nbdkit ends */
    if (sleep < LONGEST_SLEEP_NS)
      sleep *= 2;
  }
  pthread_join (thread, NULL);
  return a.number;
}
