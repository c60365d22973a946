/* SPDX-License-Identifier: BSD-3-Clause */
/* A plan of ranges, and threads that carry it out. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "transfer/pass.h"

void
plan_begin (struct plan *plan, uint64_t offset)
{
  plan->n = 0;
  plan->data = 0;
  plan->next = offset;
  plan->full = false;
}

int
plan_add (struct plan *plan, uint64_t offset, uint64_t length, bool zero)
{
  struct piece *last = plan->n ? &plan->piece[plan->n - 1] : NULL;
  uint64_t taken = length;

  if (plan->full)
    return 1;
  if (!zero && taken > PLAN_MOST_DATA - plan->data)
    taken = PLAN_MOST_DATA - plan->data;
  if (last && last->zero == zero && last->offset + last->length == offset)
    last->length += taken;
  else {
    if (plan->n == PLAN_MOST_PIECES) {
      plan->full = true;
      return 1;
    }
    if (plan->n == plan->room) {
      size_t room = plan->room ? plan->room * 2 : 64;
      void *p = reallocarray (plan->piece, room, sizeof *plan->piece);

      if (p == NULL)
        return -1;
      plan->piece = p;
      plan->room = room;
    }
    plan->piece[plan->n++] = (struct piece) { offset, taken, zero };
  }
  if (!zero)
    plan->data += taken;
  plan->next = offset + taken;
  plan->full = taken < length || plan->data == PLAN_MOST_DATA;
  return plan->full;
}

void
plan_free (struct plan *plan)
{
  free (plan->piece);
  *plan = (struct plan) { .n = 0 };
}

/* ------------------------------------------------------------- the threads */

struct pass {
  struct job *job;
  const struct plan *plan;
  bool count_zeros;
  pass_fn fn;
  void *opaque;
  struct mutex lock;
  size_t at GUARDED_BY (lock);  /* the piece, and how much of it is taken */
  uint64_t within GUARDED_BY (lock);
  int error GUARDED_BY (lock);  /* of the first that failed */
};

static void
failed (struct pass *p, int err)
{
  mutex_lock (&p->lock);
  if (p->error == 0)
    p->error = err ? err : EIO;
  mutex_unlock (&p->lock);
}

/* Take the next part of the plan for a thread. */
static bool
take (struct pass *p, uint64_t *offset, uint32_t *length, bool *zero)
{
  const struct plan *plan = p->plan;
  bool found = false;

  mutex_lock (&p->lock);
  if (p->error == 0 && p->at < plan->n) {
    const struct piece *piece = &plan->piece[p->at];
    uint64_t left = piece->length - p->within;
    uint64_t end;

    *zero = piece->zero;
    *offset = piece->offset + p->within;
    /* Cut at multiples of the size, so that the other side's blocks stay whole.
     */
    end = *offset - *offset % PASS_DATA + (*zero ? PASS_ZERO : PASS_DATA);
    *length = end - *offset < left ? end - *offset : left;
    p->within += *length;
    if (p->within == piece->length) {
      p->at++;
      p->within = 0;
    }
    found = true;
  }
  mutex_unlock (&p->lock);
  return found;
}

static void *
work (void *opaque)
{
  struct pass *p = opaque;
  CLEANUP_FREE char *buf = malloc (PASS_DATA + PASS_SLACK);
  uint64_t offset;
  uint32_t length;
  bool zero;

  if (buf == NULL)
    failed (p, ENOMEM);
  else
    while (take (p, &offset, &length, &zero)) {
      if (!job_rate_wait (p->job, zero ? 0 : length)) {
        failed (p, ECANCELED);
        break;
      }
      if (p->fn (p->opaque, buf, offset, length, zero) == -1) {
        failed (p, job_is_cancelled (p->job) ? ECANCELED : errno);
        break;
      }
      if (!zero || p->count_zeros)
        job_add (p->job, length);
    }
  return NULL;
}

/* How many threads are useful. */
static unsigned
threads (const struct plan *plan)
{
  uint64_t n = plan->n + plan->data / PASS_DATA;

  return n < PASS_THREADS ? n : PASS_THREADS;
}

int
pass_run (struct job *job, const struct plan *plan, bool count_zeros,
          pass_fn fn, void *opaque)
{
  struct pass p = {
    .job = job, .plan = plan, .count_zeros = count_zeros, .fn = fn,
    .opaque = opaque,
  };
  pthread_t thread[PASS_THREADS];
  unsigned n = threads (plan), i;

  mutex_init (&p.lock);
  for (i = 1; i < n; i++)
    if (thread_start (&thread[i], "mblock-transfer", work, &p))
      break;
  n = i;
  work (&p);
  for (i = 1; i < n; i++)
    pthread_join (thread[i], NULL);
  mutex_destroy (&p.lock);
  errno = p.error;
  return p.error ? -1 : 0;
}
