/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer's process and its jobs. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "program.h"
#include "report.h"

#define MOST_THREADS 64

/* The share of a run that precedes the measurement. */
#define WARM_UP 0.1

static void *
buffer (size_t len)
{
  char *p = aligned_alloc (PAGE, (len + PAGE - 1) / PAGE * PAGE);

  if (p == NULL)
    fail ("buffer");
  memset (p, 0x5a, len);
  return p;
}

static void
host_read (struct host *h, void *buf, uint32_t len, uint64_t offset)
{
  if (h->p.pread (h->handle, buf, len, offset, 0) == -1)
    fail ("pread");
}

static void
host_write (struct host *h, const void *buf, uint32_t len, uint64_t offset)
{
  if (h->p.pwrite (h->handle, buf, len, offset, 0) == -1)
    fail ("pwrite");
}

double
resident (void)
{
  FILE *f = fopen ("/proc/self/smaps_rollup", "r");
  char line[256];
  double kib = -1;

  while (f && kib < 0 && fgets (line, sizeof line, f))
    if (strncmp (line, "Rss:", 4) == 0)
      kib = atof (line + 4);
  if (f)
    fclose (f);
  if (kib < 0)
    fail ("/proc/self/smaps_rollup");
  return kib * 1024;
}

/* ----------------------------------------------------------------- jobs */

static void
job_fill (struct host *h)
{
  char *buf = buffer (BIG), *back = buffer (PAGE);
  uint64_t offset, state = 1, i;

  for (offset = 0; offset < (uint64_t) h->size; offset += BIG) {
    for (i = 0; i < BIG; i += PAGE)
      *(uint64_t *) (buf + i) = offset + i + 1;
    host_write (h, buf, BIG, offset);
  }
  for (i = 0; i < 1000; i++) {
    offset = random_below (&state, h->size / PAGE) * PAGE;
    host_read (h, back, PAGE, offset);
    if (*(uint64_t *) back != offset + 1) {
      errno = EIO;
      fail ("what was written was not read back");
    }
  }
  free (buf);
  free (back);
}

enum state { WARM, MEASURE, STOP };

struct run {
  struct host *h;
  const struct job *job;
  atomic_int state;
  pthread_barrier_t barrier;
};

struct worker {
  struct run *run;
  pthread_t thread;
  unsigned number;
  double rate;
};

struct place {
  uint64_t blocks, at, state;
  bool random;
};

static inline void
one_op (struct host *h, const struct job *job, struct place *place, char *buf)
{
  uint64_t i = place->random
    ? random_below (&place->state, place->blocks)
    : place->at < place->blocks ? place->at++ : (place->at = 1, 0);

  if (job->write)
    host_write (h, buf, job->block, i * job->block);
  else
    host_read (h, buf, job->block, i * job->block);
}

static void *
work (void *vp)
{
  struct worker *w = vp;
  struct run *run = w->run;
  const struct job *job = run->job;
  char *buf = buffer (job->block);
  uint64_t blocks = run->h->size / job->block, n = 0;
  struct place place = {
    .blocks = blocks,
    .at = blocks / job->threads * w->number,
    .state = UINT64_C (0x9e3779b97f4a7c15) * (w->number + 1),
    .random = job->random,
  };
  double begin;

  pthread_barrier_wait (&run->barrier);
  while (atomic_load_explicit (&run->state, memory_order_relaxed) == WARM)
    one_op (run->h, job, &place, buf);
  begin = now ();
  while (atomic_load_explicit (&run->state, memory_order_relaxed) == MEASURE) {
    one_op (run->h, job, &place, buf);
    n++;
  }
  w->rate = n / (now () - begin);
  free (buf);
  return NULL;
}

static void
doze (double seconds)
{
  usleep (seconds * 1e6);
}

static void
job_run (struct host *h, const struct job *job, struct answer *a)
{
  struct run run = { .h = h, .job = job };
  struct worker w[MOST_THREADS];
  unsigned i;

  pthread_barrier_init (&run.barrier, NULL, job->threads + 1);
  for (i = 0; i < job->threads; i++) {
    w[i] = (struct worker) { .run = &run, .number = i };
    start_thread (&w[i].thread, work, &w[i]);
  }
  pthread_barrier_wait (&run.barrier);
  doze (job->seconds * WARM_UP);
  atomic_store (&run.state, MEASURE);
  doze (job->seconds);
  atomic_store (&run.state, STOP);
  for (i = 0; i < job->threads; i++) {
    pthread_join (w[i].thread, NULL);
    a->value[0] += w[i].rate;
  }
  pthread_barrier_destroy (&run.barrier);
}

/* n different numbers below the number of pages, in random order. */
static uint32_t *
random_pages (uint64_t pages, uint64_t n)
{
  uint32_t *p = malloc (pages * sizeof *p), t;
  uint64_t i, j, state = 1;

  if (p == NULL)
    fail ("malloc");
  for (i = 0; i < pages; i++)
    p[i] = i;
  for (i = 0; i < n; i++) {
    j = i + random_below (&state, pages - i);
    t = p[i];
    p[i] = p[j];
    p[j] = t;
  }
  return p;
}

static void
job_map (struct host *h, const struct job *job, struct answer *a)
{
  uint32_t *page = random_pages (h->size / PAGE, job->n);
  char *buf = buffer (PAGE);
  double before = resident (), begin = now ();
  uint64_t i;

  for (i = 0; i < job->n; i++)
    host_write (h, buf, PAGE, (uint64_t) page[i] * PAGE);
  a->value[0] = job->n / (now () - begin);
  a->value[1] = (resident () - before) / (job->n * (double) PAGE);
  free (buf);
  free (page);
}

static void
job_trim (struct host *h, struct answer *a)
{
  const uint64_t step = 1 << 30;
  double base, peak, begin, at, used;
  uint64_t offset;

  base = resident ();
  job_fill (h);
  peak = resident () - base;
  begin = now ();
  for (offset = 0; offset < (uint64_t) h->size; offset += step) {
    uint64_t len = h->size - offset < step ? h->size - offset : step;

    if (h->p.trim (h->handle, len, offset, 0) == -1)
      fail ("trim");
  }
  a->value[0] = peak;
  a->value[2] = -1;
  do {
    doze (0.01);
    used = resident () - base;
    at = now () - begin;
    if (a->value[2] < 0 && used < 0.05 * peak)
      a->value[2] = at;
  } while (at < 1);
  a->value[1] = used / peak;
}

/* What the extents of a comb must add up to. */
static uint64_t comb_bytes;

static void
job_comb (struct host *h, const struct job *job)
{
  char *buf = buffer (job->block);
  uint64_t i, pages = h->size / job->block;

  for (i = 0; i < pages; i += job->n)
    host_write (h, buf, job->block, i * job->block);
  host_write (h, buf, job->block, (pages - 1) * job->block);
  comb_bytes = ((pages - 1) / job->n + 1 + ((pages - 1) % job->n != 0)) *
    job->block;
  free (buf);
}

/* As nbdkit does for a client that requests everything in the largest requests.
 */
static void
walk (struct host *h, struct nbdkit_extents *e)
{
  const uint64_t most = (UINT64_C (1) << 32) - PAGE;
  uint64_t offset = 0;

  e->n = e->data = e->end = 0;
  while (offset < (uint64_t) h->size) {
    uint64_t rest = h->size - offset;

    if (h->p.extents (h->handle, rest < most ? rest : most, offset, 0,
                      e) == -1 || e->end <= offset)
      fail ("extents");
    offset = e->end;
  }
}

static void
job_extents (struct host *h, const struct job *job, struct answer *a)
{
  struct nbdkit_extents e;
  double begin, end;
  uint64_t n = 0;

  walk (h, &e);
  if (e.data != comb_bytes) {
    errno = EIO;
    fail ("the extents do not cover what was written");
  }
  begin = now ();
  do {
    walk (h, &e);
    n++;
    end = now ();
  } while (end < begin + job->seconds);
  a->value[0] = (end - begin) / n;
  a->value[1] = e.n;
}

static struct answer
do_job (struct host *h, const struct job *job)
{
  struct answer a = { .ok = true };

  switch (job->kind) {
  case JOB_FILL:
    job_fill (h);
    break;
  case JOB_RUN:
    job_run (h, job, &a);
    break;
  case JOB_MAP:
    job_map (h, job, &a);
    break;
  case JOB_TRIM:
    job_trim (h, &a);
    break;
  case JOB_COMB:
    job_comb (h, job);
    break;
  case JOB_EXTENTS:
    job_extents (h, job, &a);
    break;
  }
  return a;
}

/* ------------------------------------------------------------ processes */

/* Fork a process that dies with this one.  Returns true in the child. */
static bool
start_process (pid_t *pid)
{
  pid_t parent = getpid ();

  fflush (NULL);
  *pid = fork ();
  if (*pid == -1)
    fail ("fork");
  if (*pid > 0)
    return false;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (EXIT_FAILURE);
  return true;
}

static void
end_process (pid_t pid, const char *name)
{
  int status;

  while (waitpid (pid, &status, 0) == -1)
    if (errno != EINTR)
      fail ("waitpid");
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0) {
    fprintf (stderr, "%s: its process failed (status 0x%x)\n", name, status);
    exit (EXIT_FAILURE);
  }
}

static void
serve (const struct host_plugin *plugin, uint64_t size, int fd)
{
  struct host h;
  struct job job;
  struct answer a;

  if (host_start (&h, plugin, size) == -1)
    exit (EXIT_FAILURE);
  while (read (fd, &job, sizeof job) == sizeof job) {
    a = do_job (&h, &job);
    if (write (fd, &a, sizeof a) != sizeof a)
      break;
  }
  /* Plugins may leave threads behind; ending them is not measured here. */
  _exit (EXIT_SUCCESS);
}

void
peer_start (struct peer *p, const struct host_plugin *plugin, uint64_t size)
{
  int fd[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == -1)
    fail ("socketpair");
  p->plugin = plugin;
  p->fd = fd[0];
  if (start_process (&p->pid)) {
    close (fd[0]);
    serve (plugin, size, fd[1]);
  }
  close (fd[1]);
}

void
peer_stop (struct peer *p)
{
  /* Peers that were started later hold copies of this end. */
  shutdown (p->fd, SHUT_RDWR);
  close (p->fd);
  end_process (p->pid, p->plugin->name);
}

struct answer
peer_do (struct peer *p, const struct job *job)
{
  struct answer a = { .ok = false };

  if (send (p->fd, job, sizeof *job, MSG_NOSIGNAL) != sizeof *job ||
      recv (p->fd, &a, sizeof a, MSG_WAITALL) != sizeof a || !a.ok) {
    fprintf (stderr, "%s: its process ended early\n", p->plugin->name);
    exit (EXIT_FAILURE);
  }
  return a;
}

struct answer
peer_once (const struct host_plugin *plugin, uint64_t size,
           const struct job *job)
{
  struct answer a;
  struct peer p;

  peer_start (&p, plugin, size);
  a = peer_do (&p, job);
  peer_stop (&p);
  return a;
}

void
in_child (int (*fn) (void *arg, double *values), void *arg, double *values,
          unsigned n)
{
  double *shared = mmap (NULL, n * sizeof *shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid;

  if (shared == MAP_FAILED)
    fail ("mmap");
  if (start_process (&pid))
    _exit (fn (arg, shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
  end_process (pid, "measurement");
  memcpy (values, shared, n * sizeof *shared);
  munmap (shared, n * sizeof *shared);
}

static int
touch (void *arg, double *values)
{
  uint64_t bytes = *(uint64_t *) arg, i;
  volatile char *p = mmap (NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  (void) values;
  if (p == MAP_FAILED)
    return -1;
  /* Free memory is then in large blocks, which suit all. */
  (void) madvise ((void *) p, bytes, MADV_HUGEPAGE);
  for (i = 0; i < bytes; i += PAGE)
    p[i] = 1;
  return 0;
}

void
warm_machine (uint64_t bytes)
{
  double unused;

  in_child (touch, &bytes, &unused, 1);
}
