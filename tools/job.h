/* SPDX-License-Identifier: BSD-3-Clause */
/* A job of the server that this command has started: its progress, and its end.
 *
 * From job_begin on, signals that would end the program (Ctrl-C) cancel the job
 * instead.  The command ends when the job has ended.
 */

#ifndef MBLOCKCTL_JOB_H
#define MBLOCKCTL_JOB_H

#include <stdbool.h>

#include <jansson.h>

/* From now on signals cancel the job. */
void job_begin (void);

/* Was there one? */
bool job_interrupted (void);

/* Show a progress bar until the job named in a method's result has ended.
 * Takes over the result.  Returns job_wait's result, a new reference.
 */
json_t *job_follow (json_t *started);

/* Is this its "state", one of those in mblock-control(7)? */
bool job_state_is (const json_t *job, const char *state);

/* Is the job done?  If not, complains. */
bool job_is_done (const json_t *job);

#endif /* MBLOCKCTL_JOB_H */
