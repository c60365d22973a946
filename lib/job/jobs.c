/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of jobs. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "job/jobs.h"

/* A rate is measured over the last seconds. */
#define SAMPLES 16
#define SAMPLE_EVERY (250 * NS_PER_MS)

/* After a pause, a job may send at once what the rate allows for this time. */
#define BURST (50 * NS_PER_MS)

/* How often a waiting thread asks whether to continue. */
#define ASK_EVERY (100 * NS_PER_MS)

struct sample {
  int64_t time;
  uint64_t done;
};

struct job {
  struct list link;             /* of jobs.all */
  struct jobs *jobs;
  uint64_t id;
  struct job_options o;
  char *disk, *target;
  pthread_t thread;
  atomic_bool cancelled;        /* set under the lock, read without */
  /* All below: under jobs.lock. */
  enum job_state state;
  uint64_t order;               /* 1: the first job to end, and so on.  0: it
                                 * runs; otherwise the thread is about to end */
  const char *phase;
  uint64_t done, total, sent;
  int64_t begun, ended;         /* clock.h */
  struct timespec started;
  struct sample sample[SAMPLES];
  unsigned nsamples;
  int64_t rate_next;            /* when the job may send next */
  char error[JOB_ERROR];
};

struct jobs {
  struct mutex lock;
  pthread_cond_t changed;       /* a job has ended, or was cancelled */
  struct list all GUARDED_BY (lock); /* in the order of ids */
  unsigned running GUARDED_BY (lock);
  uint64_t nended GUARDED_BY (lock); /* so far, forgotten ones too */
  bool stopped GUARDED_BY (lock);
};

static uint64_t
new_id (void)
{
  static _Atomic uint64_t last_id;

  return atomic_fetch_add_explicit (&last_id, 1, memory_order_relaxed) + 1;
}

static struct job *
job_of (struct list *link)
{
  return list_item (link, struct job, link);
}

struct jobs *
jobs_new (void)
{
  struct jobs *j = calloc (1, sizeof *j);
  pthread_condattr_t attr;

  if (j == NULL)
    return NULL;
  mutex_init (&j->lock);
  list_init (&j->all);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  if (pthread_cond_init (&j->changed, &attr))
    abort ();
  pthread_condattr_destroy (&attr);
  return j;
}

static void
wait_until (struct jobs *j, int64_t until) REQUIRES (&j->lock)
{
  struct timespec ts = clock_timespec (until);

  pthread_cond_timedwait (&j->changed, &j->lock.m, &ts);
}

/* ------------------------------------------------------------- the life */

static void
free_job (struct job *job)
{
  free (job->disk);
  free (job->target);
  free (job);
}

/* The first to end of the jobs that have ended, if they are more than that. */
static struct job *
first_ended (struct jobs *j, unsigned most) REQUIRES (&j->lock)
{
  struct job *first = NULL;
  struct list *link;
  unsigned n = 0;

  for (link = j->all.next; link != &j->all; link = link->next) {
    struct job *job = job_of (link);

    n += job->order > 0;
    if (job->order && (first == NULL || job->order < first->order))
      first = job;
  }
  return n > most ? first : NULL;
}

/* Forget those that were the first to end, until at most this many that have
 * ended are left.  Joining their threads takes no time: they only have to
 * release the lock.
 */
static void
forget_locked (struct jobs *j, unsigned most) REQUIRES (&j->lock)
{
  struct job *job;

  while ((job = first_ended (j, most)) != NULL) {
    list_remove (&job->link);
    mutex_unlock (&j->lock);
    pthread_join (job->thread, NULL);
    free_job (job);
    mutex_lock (&j->lock);
  }
}

static void *
run (void *opaque)
{
  struct job *job = opaque;
  struct jobs *j = job->jobs;
  int r = job->o.run (job, job->o.opaque);

  if (job->o.free)
    job->o.free (job->o.opaque);
  mutex_lock (&j->lock);
  job->state = r == 0 ? JOB_DONE
    : atomic_load (&job->cancelled) ? JOB_CANCELLED : JOB_FAILED;
  if (job->state == JOB_FAILED && *job->error == '\0')
    snprintf (job->error, sizeof job->error, "out of memory");
  if (job->state != JOB_FAILED)
    *job->error = '\0';
  job->ended = clock_now ();
  job->order = ++j->nended;
  j->running--;
  pthread_cond_broadcast (&j->changed);
  mutex_unlock (&j->lock);
  return NULL;
}

static struct job *
new_job (struct jobs *j, const struct job_options *options)
{
  struct job *job = calloc (1, sizeof *job);

  if (job == NULL)
    return NULL;
  job->jobs = j;
  job->o = *options;
  job->disk = strdup (options->disk);
  job->target = strdup (options->target);
  if (job->disk == NULL || job->target == NULL) {
    free_job (job);
    errno = ENOMEM;
    return NULL;
  }
  job->phase = "starting";
  job->begun = clock_now ();
  clock_gettime (CLOCK_REALTIME, &job->started);
  return job;
}

uint64_t
jobs_start (struct jobs *j, const struct job_options *options)
{
  struct job *job = new_job (j, options);
  int err = job ? 0 : errno;
  uint64_t id = 0;

  mutex_lock (&j->lock);
  forget_locked (j, JOBS_MOST_ENDED);
  if (err == 0 && j->stopped)
    err = ECANCELED;
  if (err == 0 && j->running >= JOBS_MOST_RUNNING)
    err = EBUSY;
  if (err == 0) {
    job->id = id = new_id ();
    list_append (&j->all, &job->link);
    j->running++;
    err = thread_start (&job->thread, "mblock-job", run, job);
    if (err) {
      list_remove (&job->link);
      j->running--;
    }
  }
  mutex_unlock (&j->lock);
  if (err == 0)
    return id;
  if (job)
    free_job (job);
  if (options->free)
    options->free (options->opaque);
  errno = err;
  return 0;
}

static struct job *
find_locked (struct jobs *j, uint64_t id) REQUIRES (&j->lock)
{
  struct list *link;

  for (link = j->all.next; link != &j->all; link = link->next)
    if (job_of (link)->id == id)
      return job_of (link);
  errno = ENOENT;
  return NULL;
}

int
jobs_cancel (struct jobs *j, uint64_t id)
{
  struct job *job;

  mutex_lock (&j->lock);
  job = find_locked (j, id);
  if (job) {
    atomic_store (&job->cancelled, true);
    pthread_cond_broadcast (&j->changed);
  }
  mutex_unlock (&j->lock);
  return job ? 0 : -1;
}

void
jobs_stop (struct jobs *j)
{
  struct list *link;

  if (j == NULL)
    return;
  mutex_lock (&j->lock);
  j->stopped = true;
  for (link = j->all.next; link != &j->all; link = link->next)
    atomic_store (&job_of (link)->cancelled, true);
  pthread_cond_broadcast (&j->changed);
  while (j->running > 0)
    wait_until (j, clock_now () + NS_PER_S);
  forget_locked (j, 0);
  mutex_unlock (&j->lock);
}

void
jobs_free (struct jobs *j)
{
  if (j == NULL)
    return;
  pthread_cond_destroy (&j->changed);
  mutex_destroy (&j->lock);
  free (j);
}

/* -------------------------------------------------------------- telling */

static uint64_t
rate_locked (const struct job *job)
{
  const struct sample *first =
    &job->sample[job->nsamples > SAMPLES ? job->nsamples % SAMPLES : 0];
  int64_t now = job->state == JOB_RUNNING ? clock_now () : job->ended;

  if (job->nsamples == 0 || now <= first->time)
    return 0;
  return (double) (job->done - first->done) * NS_PER_S / (now - first->time);
}

static void
tell_locked (const struct job *job, job_fn fn, void *opaque)
{
  bool runs = job->state == JOB_RUNNING;
  struct job_status s = {
    .id = job->id, .kind = job->o.kind, .disk = job->disk,
    .target = job->target, .state = job->state, .phase = job->phase,
    .done = job->done, .total = job->total, .sent = job->sent,
    .rate = rate_locked (job), .rate_limit = job->o.rate_limit, .to_go = -1,
    .seconds = (double) ((runs ? clock_now () : job->ended) - job->begun) /
    NS_PER_S,
    .started = job->started, .error = job->error,
  };

  if (s.total < s.done)         /* some work was done twice */
    s.total = s.done;
  if (runs && s.rate)
    s.to_go = (s.total - s.done) / s.rate;
  fn (opaque, &s);
}

int
jobs_look (struct jobs *j, uint64_t id, job_fn fn, void *opaque)
{
  return jobs_wait (j, id, 0, NULL, NULL, fn, opaque);
}

int
jobs_wait (struct jobs *j, uint64_t id, int64_t until,
           bool (*ends) (void *opaque), void *ends_opaque, job_fn fn,
           void *opaque)
{
  struct job *job;
  int64_t now;

  mutex_lock (&j->lock);
  /* It may be forgotten while nobody holds the lock. */
  while ((job = find_locked (j, id)) != NULL && job->state == JOB_RUNNING &&
         !j->stopped && (now = clock_now ()) < until) {
    wait_until (j, until - now > ASK_EVERY ? now + ASK_EVERY : until);
    if (ends) {
      bool stop;

      mutex_unlock (&j->lock);
      stop = ends (ends_opaque);
      mutex_lock (&j->lock);
      if (stop)
        until = 0;
    }
  }
  if (job)
    tell_locked (job, fn, opaque);
  mutex_unlock (&j->lock);
  return job ? 0 : -1;
}

void
jobs_each (struct jobs *j, job_fn fn, void *opaque)
{
  struct list *link;

  mutex_lock (&j->lock);
  forget_locked (j, JOBS_MOST_ENDED);
  for (link = j->all.next; link != &j->all; link = link->next)
    tell_locked (job_of (link), fn, opaque);
  mutex_unlock (&j->lock);
}

/* ------------------------------------------------ for a job's function */

bool
job_is_cancelled (const struct job *job)
{
  return atomic_load_explicit (&job->cancelled, memory_order_relaxed);
}

static void
sample_locked (struct job *job)
{
  int64_t now = clock_now ();

  if (job->nsamples &&
      now < job->sample[(job->nsamples - 1) % SAMPLES].time + SAMPLE_EVERY)
    return;
  job->sample[job->nsamples++ % SAMPLES] = (struct sample) { now, job->done };
}

void
job_phase (struct job *job, const char *phase, uint64_t total)
{
  mutex_lock (&job->jobs->lock);
  job->phase = phase;
  job->done = 0;
  job->total = total;
  job->nsamples = 0;
  sample_locked (job);
  mutex_unlock (&job->jobs->lock);
}

void
job_add (struct job *job, uint64_t bytes)
{
  mutex_lock (&job->jobs->lock);
  job->done += bytes;
  sample_locked (job);
  mutex_unlock (&job->jobs->lock);
}

void
job_sent (struct job *job, uint64_t bytes)
{
  mutex_lock (&job->jobs->lock);
  job->sent += bytes;
  mutex_unlock (&job->jobs->lock);
}

int
job_fail (struct job *job, const char *fmt, ...)
{
  char line[JOB_ERROR];
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (line, sizeof line, fmt, ap);
  va_end (ap);
  mutex_lock (&job->jobs->lock);
  if (*job->error == '\0')
    memcpy (job->error, line, sizeof line);
  mutex_unlock (&job->jobs->lock);
  return -1;
}

bool
job_rate_wait (struct job *job, uint64_t bytes)
{
  struct jobs *j = job->jobs;
  int64_t now = clock_now (), until;

  if (job->o.rate_limit == 0)
    return !job_is_cancelled (job);
  mutex_lock (&j->lock);
  /* Unused budget is lost, except for a moment's worth. */
  if (job->rate_next < now - BURST)
    job->rate_next = now - BURST;
  until = job->rate_next;
  job->rate_next += (double) bytes / job->o.rate_limit * NS_PER_S;
  while (!job_is_cancelled (job) && clock_now () < until)
    wait_until (j, until);
  mutex_unlock (&j->lock);
  return !job_is_cancelled (job);
}
