/* SPDX-License-Identifier: BSD-3-Clause */
/* The kill test: a process under load is ended by SIGKILL at a random moment,
 * and its arena recovered, again and again.
 *
 * Each thread of the child has a few disks of its own, with a model of them in
 * memory that it shares with the parent.  Before each operation, it records
 * what it is about to do, and after it that it was done, each in one store.
 * The threads share one arena, and the thread that reclaims memory runs as
 * well.
 */

#include <config.h>

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ramdisk/rcu.h"
#include "tests/abort.h"
#include "tests/crash/world.h"
#include "tests/unit/engine-check.h"

#define LIMIT (UINT64_C (256) << 20)
#define THREADS 3
#define MOST_US 15000           /* of a round, at first */
#define MOST_US_EVER 1000000
#define FEW_ROUNDS 10           /* they may do nothing */

/* What a thread records. */
struct notes {
  _Atomic unsigned state;       /* which world holds; PENDING: or the other */
  struct world world[2];
  struct op op;
  uint64_t random;
  uint64_t operations;
};
#define PENDING 2u

static struct notes *notes;
static const char *path;
static struct arena *arena;
static struct registry *registry;

static void *
work (void *vp)
{
  struct notes *n = vp;

  if (rcu_prepare () == -1)
    abort ();
  for (;;) {
    unsigned now = atomic_load (&n->state);
    enum op_kind kind = world_random (&n->random) % OP_KINDS;

    /* They would keep the name, or change an option of all threads. */
    if (kind == OP_EPHEMERAL || kind == OP_AUTO_DESTROY || kind == OP_AUTO_KEPT)
      kind = OP_WRITE;
    n->op = world_choose (&n->world[now], kind, &n->random);
    n->world[!now] = n->world[now];
    world_apply (&n->world[!now], &n->op);
    atomic_store (&n->state, now | PENDING);
    world_do (registry, arena, &n->op);
    n->operations++;
    atomic_store (&n->state, !now);
  }
}

static void
child (void)
{
  pthread_t thread;
  unsigned i;

  world_open (path, LIMIT, &arena, &registry, NULL);
  if (arena_start (arena) == -1)
    abort ();
  origins_start (world_origins_now ());
  for (i = 0; i < THREADS; i++)
    if (pthread_create (&thread, NULL, work, &notes[i]))
      abort ();
  for (;;)
    pause ();
}

/* What a thread had completed holds; of what it was doing, all, nothing, or (of
 * a request) a part.  Then it continues from there.
 */
static void
judge_thread (struct notes *n)
{
  unsigned state = atomic_load (&n->state), now = state & 1;
  struct world *x = &n->world[now], *y = &n->world[!now];
  bool ok;

  if (!(state & PENDING))
    ok = world_is (registry, x, x);
  else if (op_is_control (n->op.kind)) {
    ok = world_is (registry, x, x);
    if (!ok && world_is (registry, y, y)) {
      ok = true;
      now = !now;
    }
  }
  else {
    ok = world_is (registry, x, y) || world_is (registry, y, x);
    /* A part of it may have been done: do it again. */
    if (ok && n->op.kind != OP_EPHEMERAL_WRITE) {
      world_do (registry, arena, &n->op);
      now = !now;
    }
    else if (ok)
      now = world_is (registry, x, x) ? now : !now;
  }
  if (!ok) {
    fprintf (stderr, "kill: after %s (%s) world %u is not as it was: %s\n",
             state & PENDING ? "an operation that was cut short"
             : "operations that were answered", op_names[n->op.kind],
             x->number, world_difference ());
    abort ();
  }
  atomic_store (&n->state, now);
}

static uint64_t
operations (void)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < THREADS; i++)
    n += notes[i].operations;
  return n;
}

/* On a slow machine, most_us is too short for a child to begin. */
static void
run_round (uint64_t *random)
{
  static uint64_t most_us = MOST_US;
  uint64_t us = world_random (random) % most_us, before = operations ();
  struct timespec ts = {
    .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000
  };
  pid_t pid;
  int status;
  unsigned i;

  fflush (NULL);
  pid = fork ();
  if (pid == -1) {
    perror ("fork");
    exit (1);
  }
  if (pid == 0)
    child ();
  nanosleep (&ts, NULL);
  kill (pid, SIGKILL);
  if (waitpid (pid, &status, 0) == -1 || !WIFSIGNALED (status) ||
      WTERMSIG (status) != SIGKILL) {
    fprintf (stderr, "kill: the child ended with status %#x\n", status);
    abort ();
  }
  if (operations () == before && us > most_us / 2 && most_us < MOST_US_EVER)
    most_us *= 2;
  world_open (path, LIMIT, &arena, &registry, NULL);
  for (i = 0; i < THREADS; i++)
    judge_thread (&notes[i]);
  engine_check_all (arena, registry);
  world_close (arena, registry);
}

int
main (int argc, char *argv[])
{
  static const struct option options[] = {
    { "file", required_argument, NULL, 'f' },
    { "rounds", required_argument, NULL, 'r' },
    { "seconds", required_argument, NULL, 's' },
    { "seed", required_argument, NULL, 'S' },
    { NULL, 0, NULL, 0 }
  };
  uint64_t rounds = 100, done, seed = time (NULL);
  time_t seconds = 0, start = time (NULL);
  unsigned i;
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'f': path = optarg; break;
    case 'r': rounds = strtoull (optarg, NULL, 10); break;
    case 's': seconds = atoi (optarg); break;
    case 'S': seed = strtoull (optarg, NULL, 10); break;
    default: return 2;
    }
  if (path == NULL || optind < argc) {
    fputs ("Usage: kill --file=FILE [--rounds=N] [--seconds=MOST] "
           "[--seed=N]\n", stderr);
    return 2;
  }
  printf ("seed %" PRIu64 "\n", seed);
  notes = mmap (NULL, THREADS * sizeof *notes, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (notes == MAP_FAILED)
    abort ();
  for (i = 0; i < THREADS; i++) {
    notes[i].world[0].number = notes[i].world[1].number = i;
    notes[i].random = seed * THREADS + i;
  }
  unlink (path);
  for (done = 0; done < rounds &&
         (seconds == 0 || time (NULL) - start < seconds); done++)
    run_round (&seed);
  unlink (path);
  printf ("%" PRIu64 " rounds, %" PRIu64 " operations\n", done, operations ());
  if (done >= FEW_ROUNDS && operations () < done)
    abort_with ("the children have done hardly anything");
  return 0;
}
