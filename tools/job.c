/* SPDX-License-Identifier: BSD-3-Clause */
/* The jobs of a server: those that a command starts, and the command jobs. */

#include <config.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "table.h"
#include "text.h"

/* How often to ask while a job runs, in milliseconds.  The first questions come
 * quickly, because the job may be short.
 */
#define ASK_FIRST 2
#define ASK_EVERY 200

/* How long the server may take to answer after a signal, in milliseconds, and
 * how often to look for the next signal meanwhile.
 */
#define LAST_ANSWER 10000
#define LOOK_EVERY 100

static volatile sig_atomic_t interrupted; /* how many signals, at most 2 */

static void
interrupt (int signal)
{
  (void) signal;
  interrupted = interrupted ? 2 : 1;
}

/* A server that hangs must not keep a user who has sent a signal.  The second
 * signal ends the program at once.
 */
static bool
wait_for (int fd, int64_t deadline)
{
  int64_t last = CLIENT_NEVER;

  for (;;) {
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    if (poll (&pfd, 1, LOOK_EVERY) > 0)
      return true;
    if (client_now () >= deadline)
      return false;
    if (interrupted && last == CLIENT_NEVER)
      last = client_now () + LAST_ANSWER;
    if (interrupted > 1 || client_now () >= last)
      fail (NO_SERVER, "interrupted, and the server does not answer");
  }
}

void
job_begin (void)
{
  const struct sigaction action = { .sa_handler = interrupt };
  struct sigaction hangup;

  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  /* With nohup(1), the job goes on. */
  if (sigaction (SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
    sigaction (SIGHUP, &action, NULL);
  signal (SIGPIPE, SIG_IGN);    /* there is something to clean up */
  rpc_client ()->wait = wait_for;
}

bool
job_interrupted (void)
{
  return interrupted;
}

bool
job_state_is (const json_t *job, const char *state)
{
  return strcmp (need_string (job, "state"), state) == 0;
}

/* "12M/s of at most 20M/s, to go 3m 5s" */
static char *
speed (const json_t *job)
{
  return text_speed (need_size (job, "rate"),
                     json_object_get (job, "rate_limit"),
                     json_object_get (job, "seconds_to_go"));
}

static void
show (const json_t *job, char **phase)
{
  const char *now = need_string (job, "phase");
  uint64_t done = need_size (job, "bytes_done");
  uint64_t total = need_size (job, "bytes_total");
  char *detail;

  if (*phase == NULL || strcmp (*phase, now) != 0) {
    progress_end ();
    free (*phase);
    *phase = text_line (now);
    progress_start (*phase, 1000, "");
  }
  detail = speed (job);
  progress_detail (detail);
  free (detail);
  progress_at (total ? 1000 * ((double) done / total) : 0);
}

static void
cancel (json_int_t id)
{
  json_decref (rpc_try ("job_cancel", json_pack ("{s:I}", "job", id)));
}

json_t *
job_follow (json_t *started)
{
  json_int_t id = need_size (started, "job");
  bool cancelled = false;
  int every = ASK_FIRST;
  char *phase = NULL;
  json_t *job;

  json_decref (started);
  for (;;) {
    job = rpc_call ("job_wait", json_pack ("{s:I}", "job", id));
    if (!job_state_is (job, "running"))
      break;
    show (job, &phase);
    json_decref (job);
    if (interrupted && !cancelled) {
      cancel (id);
      cancelled = true;
    }
    poll (NULL, 0, every);
    every = every * 2 < ASK_EVERY ? every * 2 : ASK_EVERY;
  }
  progress_end ();
  free (phase);
  return job;
}

bool
job_is_done (const json_t *job)
{
  const json_t *error = json_object_get (job, "error");
  char *why;

  if (job_state_is (job, "done"))
    return true;
  if (job_state_is (job, "cancelled"))
    complain ("the job was cancelled");
  else {
    why = text_line (json_is_string (error) ? json_string_value (error)
                     : "the job failed");
    complain ("%s", why);
    free (why);
  }
  return false;
}

/* ----------------------------------------------------------- the command */

static char *
percent_done (const json_t *job)
{
  uint64_t total = need_size (job, "bytes_total");

  if (!job_state_is (job, "running"))
    return text_format ("-");
  return text_percent (need_size (job, "bytes_done"), total ? total : 1);
}

static void
print_jobs (const json_t *jobs)
{
  static const struct column columns[] = {
    { .title = "JOB", .right = true }, { .title = "KIND" }, { .title = "DISK" },
    { .title = "STATE" }, { .title = "DONE", .right = true },
    { .title = "SENT", .right = true }, { .title = "RATE" },
    { .title = "TARGET" }, { .title = "ERROR" },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  json_t *job;
  size_t i;

  json_array_foreach (jobs, i, job) {
    const json_t *error = json_object_get (job, "error");
    bool is_running = job_state_is (job, "running");

    table_addf (t, "%" PRIu64, need_size (job, "job"));
    table_add (t, text_line (need_string (job, "kind")));
    table_add (t, text_name (need_string (job, "disk")));
    table_add (t, text_line (need_string (job, is_running ? "phase"
                                          : "state")));
    table_add (t, percent_done (job));
    table_add (t, text_size (need_size (job, "bytes_sent")));
    table_add (t, is_running ? speed (job) : text_format ("-"));
    table_add (t, text_line (need_string (job, "target")));
    table_add (t, text_line (json_is_string (error)
                             ? json_string_value (error) : ""));
  }
  table_print (t);
  table_free (t);
}

static int
run_list (void)
{
  json_auto_t *r = rpc_call ("job_list", NULL);
  const json_t *jobs = need_array (r, "jobs");

  if (settings.json)
    print_json (r);
  else if (json_array_size (jobs))
    print_jobs (jobs);
  else if (!settings.quiet)
    printf ("there are no jobs\n");
  return DONE;
}

/* Print the server's answers with --json.  Takes over the array. */
static int
end (json_t *results, int status)
{
  if (settings.json)
    print_json (results);
  json_decref (results);
  return status;
}

static json_int_t
job_number (const char *s)
{
  return argument_number ("JOB", s, 1, INT64_MAX);
}

/* Nothing is done if one is no number. */
static void
check_numbers (int argc, char **argv)
{
  int i;

  for (i = 0; i < argc; i++)
    (void) job_number (argv[i]);
}

/* Call a method of a job.  Returns the result, or NULL: it was refused, and
 * that is reported.
 */
static json_t *
try_job (const char *method, json_int_t job, json_t *results)
{
  json_t *r = rpc_try (method, json_pack ("{s:I}", "job", job));

  if (r)
    return r;
  rpc_complain ();
  json_array_append_new (results, json_pack ("{s:o}", "error", rpc_error ()));
  return NULL;
}

static int
run_cancel (int argc, char **argv)
{
  json_t *results = json_array ();
  int i, status = DONE;

  check_numbers (argc, argv);
  for (i = 0; i < argc; i++) {
    json_t *r = try_job ("job_cancel", job_number (argv[i]), results);

    if (r)
      json_array_append_new (results, r);
    else
      status = REFUSED;
  }
  return end (results, status);
}

/* Ctrl-C ends the waiting, not the jobs. */
static int
run_wait (int argc, char **argv)
{
  json_t *results = json_array ();
  int i, status = DONE;

  check_numbers (argc, argv);
  for (i = 0; i < argc; i++) {
    /* The server remembers only the last jobs that have ended. */
    json_t *job = try_job ("job_wait", job_number (argv[i]), results);

    if (job && job_state_is (job, "running"))
      job = job_follow (job);
    if (job == NULL || !job_is_done (job))
      status = REFUSED;
    if (job)
      json_array_append_new (results, job);
  }
  return end (results, status);
}

static int
run_jobs (int argc, char **argv)
{
  char *shown;

  if (argc == 0)
    return run_list ();
  if (argc > 1 && strcmp (argv[0], "cancel") == 0)
    return run_cancel (argc - 1, argv + 1);
  if (argc > 1 && strcmp (argv[0], "wait") == 0)
    return run_wait (argc - 1, argv + 1);
  shown = text_name (argv[0]);
  fail (USAGE, "%s: expected cancel JOB... or wait JOB...", shown);
}

const struct command command_jobs = {
  "jobs", "[cancel JOB... | wait JOB...]", "list, cancel and await jobs",
  "Without arguments, list the jobs that run and the last that have ended.\n"
  "cancel asks jobs to end.  wait returns when the jobs have ended; its exit\n"
  "code is 1 if one of them failed or was cancelled.\n"
  "\n"
  "Examples:\n"
  "  mblockctl jobs\n"
  "  mblockctl jobs wait 3\n"
  "  mblockctl jobs cancel 3\n",
  NULL, 0, -1, run_jobs
};
