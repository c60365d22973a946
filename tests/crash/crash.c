/* SPDX-License-Identifier: BSD-3-Clause */
/* The crash test: each operation is ended after each of its stores.
 *
 * A child performs some operations on an arena in a file, and then one more, in
 * which only the first N crash points are reached (crash-point.h): the last one
 * ends the process.  The parent recovers the file and compares its content with
 * the model: a control operation was done or not; after a request, each byte is
 * old or new; and nothing else has changed.  Then the child does it again with
 * N + 1, until the operation completes.
 *
 * Recovery has crash points, too: with --recovery, a second child recovers what
 * the first left, and is ended while it does so.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/abort.h"
#include "tests/crash/world.h"

#define LIMIT (UINT64_C (256) << 20)
#define PREPARE 12
#define CRASHED 42
#define SAMPLE 16

static atomic_long left;        /* crash points until the end; 0: none */
static atomic_long passed;

void crash_point (void);

void
crash_point (void)
{
  atomic_fetch_add (&passed, 1);
  if (atomic_load (&left) > 0 && atomic_fetch_sub (&left, 1) == 1)
    _exit (CRASHED);
}

static const char *path;

/* The operations for a seed and a kind. */
struct scene {
  struct world before, after;
  struct op prepare[PREPARE], op;
};

static bool
needs_origin (enum op_kind kind)
{
  return kind >= OP_FETCH && kind <= OP_COMPLETE;
}

/* What is prepared in the step i.  A kind that needs an origin gets one in the
 * end that is not complete; before that there must be room for its disk.
 */
static struct op
choose_step (const struct world *w, enum op_kind kind, unsigned i,
             uint64_t *random)
{
  enum op_kind k = world_random (random) % OP_KINDS;
  struct op op;

  if (i == 0)
    k = world_random (random) % 2 ? OP_OVER : OP_CREATE;
  if (needs_origin (kind) && i >= PREPARE - 2)
    k = i == PREPARE - 2 ? OP_DESTROY : OP_OVER;
  if (k == OP_EPHEMERAL)        /* it would keep its name while it is open */
    k = OP_EPHEMERAL_WRITE;
  if (k == OP_AUTO_DESTROY)
    k = OP_AUTO_KEPT;
  if (k == OP_COMPLETE && needs_origin (kind))
    k = OP_FETCH;
  op = world_choose (w, k, random);
  if (needs_origin (kind) && op.kind == OP_OVER)
    op.size = FULL_SIZE;
  return op;
}

static void
make_scene (struct scene *s, enum op_kind kind, uint64_t seed)
{
  uint64_t random = seed * OP_KINDS + kind;
  unsigned i;

  memset (s, 0, sizeof *s);
  for (i = 0; i < PREPARE; i++) {
    s->prepare[i] = choose_step (&s->before, kind, i, &random);
    world_apply (&s->before, &s->prepare[i]);
  }
  s->op = world_choose (&s->before, kind, &random);
  if (needs_origin (kind)) {
    s->op.a = s->prepare[PREPARE - 1].a;
    s->op.first %= registers_before (WORLD_ORIGIN_SIZE);
    s->op.last = s->op.first;
  }
  s->after = s->before;
  world_apply (&s->after, &s->op);
}

/* In a child: perform all operations, up to a crash point of the last one. */
static void
act (const struct scene *s, long crash)
{
  const struct op evict = { .kind = OP_EVICT };
  struct registry *r;
  struct arena *a;
  unsigned i;

  world_open (path, LIMIT, &a, &r, NULL);
  for (i = 0; i < PREPARE; i++)
    world_do (r, a, &s->prepare[i]);
  world_expect (r, &s->before, "before the crash");
  if (s->op.kind != OP_EVICT)
    world_do (r, a, &evict);    /* that has fetched everything */
  atomic_store (&left, crash);
  world_do (r, a, &s->op);
  _exit (0);
}

static void
recover_and_crash (long crash)
{
  struct registry *r;
  struct arena *a;

  atomic_store (&left, crash);
  world_open (path, LIMIT, &a, &r, NULL);
  _exit (0);
}

/* Returns whether the child crashed as intended. */
static bool
in_child (const struct scene *s, long crash)
{
  pid_t pid;
  int status;

  fflush (NULL);
  pid = fork ();
  if (pid == -1) {
    perror ("fork");
    exit (1);
  }
  if (pid == 0) {
    if (s)
      act (s, crash);
    else
      recover_and_crash (crash);
  }
  if (waitpid (pid, &status, 0) == -1 || !WIFEXITED (status) ||
      (WEXITSTATUS (status) != 0 && WEXITSTATUS (status) != CRASHED)) {
    fprintf (stderr, "crash: the child ended with status %#x\n", status);
    abort ();
  }
  return WEXITSTATUS (status) == CRASHED;
}

static void
check (const struct scene *s, bool crashed, const char *what)
{
  struct registry *r;
  struct arena *a;

  world_open (path, LIMIT, &a, &r, NULL);
  world_check (r, a, crashed ? &s->before : &s->after, &s->after,
               !crashed || op_is_control (s->op.kind), what);
  world_close (a, r);
}

/* Returns how many crashes were recovered.  Adds those of recovery to *again.
 */
static long
run_scene (enum op_kind kind, uint64_t seed, bool recovery, long *again)
{
  char what[128];
  struct scene s;
  long n, m, tested = 0;
  bool crashed = true;

  make_scene (&s, kind, seed);
  /* Fetching and evicting are the same for each page: of many, some. */
  for (n = 1; crashed; n += 1 + (needs_origin (kind) ? n / SAMPLE : 0)) {
    unlink (path);
    crashed = in_child (&s, n);
    snprintf (what, sizeof what, "%s, seed %" PRIu64 ", point %ld",
              op_names[s.op.kind], seed, n);
    for (m = 1; recovery && in_child (NULL, m); m++)
      ++*again;
    check (&s, crashed, what);
    tested++;
  }
  return tested;
}

int
main (int argc, char *argv[])
{
  static const struct option options[] = {
    { "file", required_argument, NULL, 'f' },
    { "seeds", required_argument, NULL, 's' },
    { "first", required_argument, NULL, '1' },
    { "kind", required_argument, NULL, 'k' },
    { "recovery", no_argument, NULL, 'r' },
    { NULL, 0, NULL, 0 }
  };
  uint64_t seeds = 1, first = 1, seed;
  int only = -1, c, kind;
  bool recovery = false;
  long tested = 0, again = 0;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'f': path = optarg; break;
    case 's': seeds = strtoull (optarg, NULL, 10); break;
    case '1': first = strtoull (optarg, NULL, 10); break;
    case 'k': only = atoi (optarg); break;
    case 'r': recovery = true; break;
    default: return 2;
    }
  if (path == NULL || optind < argc) {
    fputs ("Usage: crash --file=FILE [--seeds=N] [--first=N] [--kind=K] "
           "[--recovery]\n", stderr);
    return 2;
  }
  for (seed = first; seed < first + seeds; seed++)
    for (kind = 0; kind < OP_KINDS; kind++)
      if (only == -1 || only == kind) {
        long points = run_scene (kind, seed, recovery, &again);

        if (needs_origin (kind) && points < 2)
          abort_with ("%s, seed %" PRIu64 ": it has no store", op_names[kind],
                      seed);
        tested += points;
      }
  unlink (path);
  if (recovery && again == 0)
    abort_with ("recovery has no store");
  printf ("%ld crashes recovered\n", tested + again);
  return 0;
}
