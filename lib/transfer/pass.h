/* SPDX-License-Identifier: BSD-3-Clause */
/* A plan of ranges, and threads that carry it out.
 *
 * A disk may have millions of ranges.  So a plan covers a window: it ends when
 * it has PLAN_MOST_PIECES ranges, or PLAN_MOST_DATA bytes of data.
 *
 * Thread-safety: only a plan's owner uses it.  pass_run lends it to threads,
 * which have ended when it returns.
 */

#ifndef TRANSFER_PASS_H
#define TRANSFER_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/jobs.h"

#define PLAN_MOST_PIECES 65536
#define PLAN_MOST_DATA (UINT64_C (256) << 20)

/* The most that a thread takes at a time, in bytes: of data, and of zeros. */
#define PASS_DATA (UINT32_C (512) << 10)
#define PASS_ZERO (UINT32_C (1) << 30)

/* How many requests are under way at a time. */
#define PASS_THREADS 8

struct piece {
  uint64_t offset, length;
  bool zero;                    /* it reads as zeros */
};

struct plan {
  struct piece *piece;
  size_t n, room;
  uint64_t data;                /* bytes of data in it */
  uint64_t next;                /* where the next plan begins */
  bool full;                    /* there may be more from next on */
};

void plan_begin (struct plan *plan, uint64_t offset);

/* Append a range, joined to the last piece if possible.  Returns 0; 1 if the
 * plan is full and took only a part of the range or nothing; or -1 with errno
 * ENOMEM.
 */
int plan_add (struct plan *plan, uint64_t offset, uint64_t length, bool zero);

void plan_free (struct plan *plan);

/* Handles a part of a piece.  buf belongs to the thread and has PASS_DATA bytes
 * and PASS_SLACK more.  Returns 0; or -1, with errno unless it has called
 * job_fail for its own reason.
 */
#define PASS_SLACK (UINT32_C (128) << 10)
typedef int (*pass_fn) (void *opaque, char *buf, uint64_t offset,
                        uint32_t length, bool zero);

/* Call fn for the whole plan, in threads.  Counts what is done (job_add): the
 * data and, with count_zeros, the rest as well.  Waits as the job's rate
 * demands.  Returns 0; or -1 with the errno of the first fn that failed, or
 * ECANCELED.
 */
int pass_run (struct job *job, const struct plan *plan, bool count_zeros,
              pass_fn fn, void *opaque);

#endif /* TRANSFER_PASS_H */
