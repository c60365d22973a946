/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs: work that a request starts and that goes on after its answer.
 *
 * Design
 *
 * Each job has a thread of its own, in which its function runs once.  The table
 * keeps its visible state: its progress, its rate, and how it ended.  The
 * JOBS_MOST_ENDED jobs that were the last to end stay in the table for later
 * queries.
 *
 *     jobs_start ---> RUNNING ---+--> DONE        the function returned 0
 *                                +--> CANCELLED   it returned -1, and
 *                                |                jobs_cancel had been called
 *                                +--> FAILED      it returned -1
 *
 * Invariants
 *
 *   J1  No two jobs of a process have the same id; a later job has a larger
 *       one.
 *   J2  The status of a job that has ended no longer changes.
 *   J3  A job has ended when its function has returned.  The function first
 *       undoes what must not stay.  So whoever sees that a job was cancelled
 *       finds nothing left of it.
 *   J4  Cancelling is a request: a job that had almost finished may become
 *       DONE.
 *   J5  When jobs_stop has returned, no thread of a job runs, and none will.
 *
 * Thread-safety
 *   in the job's function, and in threads that it waits for, takes the lock
 *   inside:                  job_phase, job_add, job_sent, job_fail,
 *                            job_rate_wait
 *   the same, takes no lock: job_is_cancelled
 *   any thread, takes the lock inside: jobs_start, jobs_cancel, jobs_wait,
 *                            jobs_look, jobs_each
 *   wants to be alone:       jobs_new, jobs_stop, jobs_free
 *
 * Locking and lifetime.  One lock guards the table and the status of jobs.  It
 * is a leaf: while it is held, only the callbacks of jobs_look, jobs_each and
 * jobs_wait are called, and these take no lock.  jobs_start, jobs_each and
 * jobs_stop join the threads of jobs that have ended and free those jobs.
 *
 * Knows neither disks nor nbdkit.
 */

#ifndef MBLOCK_JOBS_H
#define MBLOCK_JOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* How many jobs may run at a time, and how many that have ended are remembered.
 */
#define JOBS_MOST_RUNNING 64
#define JOBS_MOST_ENDED 100

/* The size of the line that says why a job failed, in bytes. */
#define JOB_ERROR 1024

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

/* The status of a job.  Pointers are valid only during the callback that gets
 * it.
 */
struct job_status {
  uint64_t id;
  const char *kind;             /* "push" */
  const char *disk;             /* the disk's name, or text for several disks */
  const char *target;           /* the other side: a URI, a folder */
  enum job_state state;
  const char *phase;            /* its current activity: "copying" */
  uint64_t done, total;         /* bytes of the phase */
  uint64_t sent;                /* bytes of data that were moved, in all
                                 * phases */
  uint64_t rate;                /* bytes of done a second, recently */
  uint64_t rate_limit;          /* bytes a second; 0: none */
  int64_t to_go;                /* seconds; -1: unknown */
  double seconds;               /* how long it has run, or ran */
  struct timespec started;      /* CLOCK_REALTIME */
  const char *error;            /* one line, escaped; "": none */
};

struct jobs;
struct job;

struct job_options {
  const char *kind;             /* a literal */
  const char *disk, *target;    /* copied */
  uint64_t rate_limit;          /* for job_rate_wait; 0: none */
  /* The work.  Returns 0; or -1, usually after job_fail. */
  int (*run) (struct job *job, void *opaque);
  /* Called once, after run, or if jobs_start fails; may be NULL. */
  void (*free) (void *opaque);
  void *opaque;
};

/* NULL: no memory. */
struct jobs *jobs_new (void);

/* Cancel all jobs and wait until they have ended.  None can be started
 * afterwards.
 */
void jobs_stop (struct jobs *j);

/* After jobs_stop.  NULL is allowed. */
void jobs_free (struct jobs *j);

/* Returns the job's id; or 0 with errno EBUSY (JOBS_MOST_RUNNING), ECANCELED
 * (jobs_stop was called), ENOMEM or EAGAIN (no thread).
 */
uint64_t jobs_start (struct jobs *j, const struct job_options *options);

/* J4.  Returns 0, also if it has ended; or -1 with errno ENOENT. */
int jobs_cancel (struct jobs *j, uint64_t id);

typedef void (*job_fn) (void *opaque, const struct job_status *status);

/* Report one job.  Returns 0, or -1 with errno ENOENT. */
int jobs_look (struct jobs *j, uint64_t id, job_fn fn, void *opaque);

/* As jobs_look, but first waits until the job has ended, or for `until`
 * (clock.h), or for jobs_stop.  ends, which may be NULL, is polled: the wait
 * also ends soon after it returns true.
 */
int jobs_wait (struct jobs *j, uint64_t id, int64_t until,
               bool (*ends) (void *opaque), void *ends_opaque, job_fn fn,
               void *opaque);

/* Report all jobs, in the order of their ids. */
void jobs_each (struct jobs *j, job_fn fn, void *opaque);

/* ------------------------------------------------ for a job's function */

/* Was the job cancelled, or is the program ending?  A job asks at least once a
 * second.
 */
bool job_is_cancelled (const struct job *job);

/* Begin a phase with this many bytes to do.  The name is a literal. */
void job_phase (struct job *job, const char *phase, uint64_t total);

/* Count bytes: of the phase that are done (job_add), of data that were moved
 * (job_sent).
 */
void job_add (struct job *job, uint64_t bytes);
void job_sent (struct job *job, uint64_t bytes);

/* Say why the job fails, in one line; text from outside must be escaped
 * (base/printable.h).  Only the first call counts.  Returns -1.
 */
int job_fail (struct job *job, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Wait until the rate allows this many bytes.  Returns false if the job is
 * cancelled.
 */
bool job_rate_wait (struct job *job, uint64_t bytes);

#endif /* MBLOCK_JOBS_H */
