/* SPDX-License-Identifier: BSD-3-Clause */
/* The command mirror: the mirrors of the mnbd filter. */

#include <config.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "table.h"
#include "terminal.h"
#include "text.h"

/* How often to ask while an operation is in progress, in milliseconds. */
#define ASK_EVERY 200
#define ASK_SOON 20             /* for what is quick */

#define SHOW_EVERY 1000         /* ms: --watch, without a terminal */

static json_t *
params_for (const char *export_name)
{
  json_t *params = json_object ();

  if (export_name)
    json_object_set_new (params, "export", argument_name ("EXPORT",
                                                          export_name));
  return params;
}

/* The current status of the mirror that a command changed, a new reference. */
static json_t *
status_of (const char *export_name)
{
  json_auto_t *r = rpc_call ("mirror_status", params_for (export_name));
  json_t *mirrors = need_array (r, "mirrors");

  if (json_array_size (mirrors) != 1)
    fail (REFUSED, "there are %zu mirrors now, expected one",
          json_array_size (mirrors));
  return json_incref (json_array_get (mirrors, 0));
}

/* "12M/s of at most 20M/s, to go 3m 5s" */
static char *
speed_of (const json_t *mirror)
{
  return text_speed (need_size (mirror, "rate"),
                     json_object_get (mirror, "rate_limit"),
                     json_object_get (mirror, "seconds_to_go"));
}

/* --------------------------------------------------------------- waiting */

/* A bar for work whose total may change on the way. */
static void
show_progress (uint64_t done, uint64_t total)
{
  progress_at (total ? 1000 * ((double) done / total) : 1000);
}

static bool
is (const json_t *mirror, const char *state)
{
  return strcmp (need_string (mirror, "state"), state) == 0;
}

/* Is there nothing more to wait for? */
static bool
is_over (const json_t *mirror)
{
  return is (mirror, "synchronised") || is (mirror, "stopped") ||
    is (mirror, "failed") || is (mirror, "switched");
}

/* Wait until both sides are equal, or the mirror does not run. */
static json_t *
wait_synchronised (const char *export_name)
{
  json_t *m;

  progress_start ("copying", 1000, "");
  for (;;) {
    char *speed;

    m = status_of (export_name);
    if (is_over (m))
      break;
    speed = is (m, "degraded") ? text_format ("the secondary is away")
      : speed_of (m);
    progress_detail (speed);
    free (speed);
    show_progress (need_size (m, "bytes_done"), need_size (m, "bytes_total"));
    json_decref (m);
    poll (NULL, 0, ASK_EVERY);
  }
  progress_end ();
  return m;
}

/* Wait until the mirror has reached its secondary, or has failed to do so. */
static json_t *
wait_contact (const char *export_name)
{
  int64_t deadline = rpc_deadline ();
  json_t *m;

  progress_start ("waiting for the secondary", 0, "");
  for (;;) {
    m = status_of (export_name);
    if (!is (m, "degraded") ||
        json_is_string (json_object_get (m, "last_error")) ||
        client_now () >= deadline)
      break;
    json_decref (m);
    poll (NULL, 0, ASK_SOON);
  }
  progress_end ();
  return m;
}

static json_t *
wait_verified (const char *export_name)
{
  json_t *m, *v;

  progress_start ("comparing", 1000, "");
  for (;;) {
    m = status_of (export_name);
    v = json_object_get (m, "verify");
    if (!get_bool (v, "running"))
      break;
    show_progress (need_size (v, "bytes_done"), need_size (v, "bytes_total"));
    json_decref (m);
    poll (NULL, 0, ASK_EVERY);
  }
  progress_end ();
  return m;
}

/* --------------------------------------------------------------- showing */

static void
line (const char *key, char *value)
{
  printf ("  %-12s  %s\n", key, value);
  free (value);
}

/* A bar that shows the progress at a glance. */
static void
print_bar (const json_t *mirror)
{
  uint64_t done = need_size (mirror, "bytes_done");
  uint64_t total = need_size (mirror, "bytes_total");
  char bar[] = "..............................";
  size_t full = total ? (sizeof bar - 1) * ((double) done / total)
    : sizeof bar - 1;
  char *d = text_size (done), *t = text_size (total);
  char *percent = text_percent (done, total ? total : 1);

  memset (bar, '#', full);
  line ("done", text_format ("[%s] %s of %s, %s", bar, d, t,
                             total ? percent : "100%"));
  free (d);
  free (t);
  free (percent);
}

static void
print_stopped (const json_t *stopped)
{
  char *time = text_line (need_string (stopped, "time"));

  line ("stopped", text_format ("%s, after %" PRIu64 " writes, %s", time,
                                need_size (stopped, "writes"),
                                need_bool (stopped, "consistent")
                                ? "consistent" : "not consistent"));
  free (time);
}

static void
print_switched (const json_t *mirror, const json_t *switched)
{
  const json_t *away = json_object_get (mirror, "away_since");
  char *time = text_line (need_string (switched, "time"));

  line ("switched", text_format ("%s, after %" PRIu64 " writes; clients use "
                                 "the secondary", time,
                                 need_size (switched, "writes")));
  free (time);
  if (json_is_string (away))
    line ("away since", text_line (json_string_value (away)));
}

static void
print_verified (const json_t *v)
{
  const json_t *error = json_object_get (v, "error");
  char *done = text_size (need_size (v, "bytes_done"));
  char *total = text_size (need_size (v, "bytes_total"));
  char *differing = text_exact_size (need_size (v, "bytes_differing"));

  line ("compared", text_format ("%s of %s%s", done, total,
                                 need_bool (v, "running") ? ", running" : ""));
  if (need_size (v, "bytes_differing"))
    line ("differing", text_format ("%s%s", differing,
                                    need_bool (v, "repair")
                                    ? ", copied again" : ""));
  if (json_is_string (error))
    line ("comparison", text_line (json_string_value (error)));
  free (done);
  free (total);
  free (differing);
}

static void
print_mirror (const json_t *mirror)
{
  const json_t *error = json_object_get (mirror, "last_error");
  const json_t *stopped = json_object_get (mirror, "stopped");
  const json_t *switched = json_object_get (mirror, "switched");
  const json_t *verified = json_object_get (mirror, "verify");
  bool at_work = is (mirror, "copying") || is (mirror, "resyncing");
  char *name = text_name (need_string (mirror, "export"));
  char *state = text_line (need_string (mirror, "state"));

  printf ("%s  %s\n", name, state);
  free (name);
  free (state);
  line ("size", text_size (need_size (mirror, "size")));
  if (at_work || is (mirror, "degraded") || is (mirror, "failed"))
    print_bar (mirror);
  if (at_work)
    line ("rate", speed_of (mirror));
  line ("out of sync", text_size (need_size (mirror, "bytes_out_of_sync")));
  line ("sent", text_size (need_size (mirror, "bytes_sent")));
  line ("writes", text_format ("%" PRIu64 ", in flight %" PRIu64,
                               need_size (mirror, "writes"),
                               need_size (mirror, "in_flight")));
  line ("outages", text_format ("%" PRIu64, need_size (mirror, "outages")));
  if (json_is_string (error))
    line ("last error", text_line (json_string_value (error)));
  if (json_is_object (stopped))
    print_stopped (stopped);
  if (json_is_object (switched))
    print_switched (mirror, switched);
  if (json_is_object (verified))
    print_verified (verified);
}

/* -------------------------------------------------------------- watching */

/* One line about a mirror, such as
 * "disk  copying  12.3M of 64M, 19%  16.8M/s, to go 3s".
 */
static char *
watch_line (const json_t *mirror)
{
  uint64_t done = need_size (mirror, "bytes_done");
  uint64_t total = need_size (mirror, "bytes_total");
  const json_t *error = json_object_get (mirror, "last_error");
  char *name = text_name (need_string (mirror, "export"));
  char *state = text_line (need_string (mirror, "state"));
  char *d = text_size (done), *t = text_size (total), *more, *r;
  char *percent = text_percent (done, total ? total : 1);

  if (is (mirror, "copying") || is (mirror, "resyncing"))
    more = speed_of (mirror);
  else if (!is (mirror, "synchronised") && json_is_string (error))
    more = text_line (json_string_value (error));
  else
    more = text_format ("%s", "");
  r = text_format ("%s  %s  %s of %s, %s%s%s", name, state, d, t,
                   total ? percent : "100%", *more ? "  " : "", more);
  free (name);
  free (state);
  free (d);
  free (t);
  free (percent);
  free (more);
  return r;
}

/* On a terminal the lines are drawn over those of the last time. */
static void
draw_watched (const json_t *mirrors, size_t *drawn)
{
  size_t i, width = terminal_width ();
  json_t *m;

  if (*drawn)
    printf ("\033[%zuA\r", *drawn);
  json_array_foreach (mirrors, i, m) {
    char *s = watch_line (m), *cut = text_cut (s, width);

    printf ("%s%s\n", cut, text_width (cut) < width ? "\033[K" : "");
    free (cut);
    free (s);
  }
  printf ("\033[J");
  *drawn = json_array_size (mirrors);
}

/* Print each mirror whose line is another one than the last time. */
static void
print_watched (const json_t *mirrors, json_t *last)
{
  size_t i;
  json_t *m;

  json_array_foreach (mirrors, i, m) {
    const char *name = need_string (m, "export");
    char *s = watch_line (m);
    const char *old = json_string_value (json_object_get (last, name));

    if (old == NULL || strcmp (old, s) != 0)
      puts (s);
    json_object_set_new (last, name, json_string (s));
    free (s);
  }
}

static bool
all_over (const json_t *mirrors)
{
  size_t i;
  json_t *m;

  json_array_foreach (mirrors, i, m)
    if (!is_over (m))
      return false;
  return true;
}

/* Show the mirrors until each is synchronised or does not run.  Returns the
 * last answer.
 */
static json_t *
watch_mirrors (const char *export_name)
{
  bool live = isatty (STDOUT_FILENO) && !terminal_is_dumb ();
  json_auto_t *last = json_object ();
  size_t drawn = 0;

  for (;;) {
    json_t *r = rpc_call ("mirror_status", params_for (export_name));
    const json_t *mirrors = need_array (r, "mirrors");

    if (settings.json)
      print_json (r);
    else if (live)
      draw_watched (mirrors, &drawn);
    else
      print_watched (mirrors, last);
    if (finish_output (DONE) != DONE)
      exit (REFUSED);
    if (all_over (mirrors))
      return r;
    json_decref (r);
    poll (NULL, 0, live ? ASK_EVERY : SHOW_EVERY);
  }
}

/* --------------------------------------------------------------- actions */

/* After waiting: is the result the wanted one? */
static int
synchronised_or_not (const json_t *mirror)
{
  const json_t *error = json_object_get (mirror, "last_error");
  char *state, *why;

  if (is (mirror, "synchronised"))
    return DONE;
  state = text_line (need_string (mirror, "state"));
  why = text_line (json_is_string (error) ? json_string_value (error) : "");
  complain ("the mirror is %s%s%s", state, *why ? ": " : "", why);
  free (state);
  free (why);
  return REFUSED;
}

/* Is the secondary there, or was it until now? */
static int
reached_or_not (const json_t *mirror)
{
  const json_t *error = json_object_get (mirror, "last_error");
  char *why;

  if (!is (mirror, "degraded"))
    return is (mirror, "copying") || is (mirror, "resyncing")
      ? DONE : synchronised_or_not (mirror);
  why = text_line (json_is_string (error) ? json_string_value (error)
                   : "the secondary does not answer");
  complain ("%s; the mirror keeps trying, \"mblockctl mirror stop --force\" "
            "ends that", why);
  free (why);
  return REFUSED;
}

static int
run_status (const char *export_name)
{
  json_auto_t *r = NULL;
  int status = DONE;
  json_t *mirrors, *m;
  size_t i;

  if (flag ("wait") && flag ("watch"))
    fail (USAGE, "expected only one of --wait and --watch");
  if (flag ("watch")) {
    r = watch_mirrors (export_name);
    json_array_foreach (need_array (r, "mirrors"), i, m)
      if (synchronised_or_not (m) != DONE)
        status = REFUSED;
    return status;
  }
  if (flag ("wait")) {
    m = wait_synchronised (export_name);
    status = synchronised_or_not (m);
    r = json_pack ("{s:[o]}", "mirrors", m);
  }
  else
    r = rpc_call ("mirror_status", params_for (export_name));
  mirrors = need_array (r, "mirrors");
  if (settings.json)
    print_json (r);
  else
    json_array_foreach (mirrors, i, m)
      print_mirror (m);
  return status;
}

static int
run_start (const char *export_name)
{
  json_t *params = params_for (export_name);
  json_auto_t *r = NULL, *m = NULL;
  int status = DONE;

  if (flag ("wait") && flag ("no-wait"))
    fail (USAGE, "expected only one of --wait and --no-wait");
  if (flag ("resume"))
    json_object_set_new (params, "resume", json_true ());
  r = rpc_call ("mirror_start", params);
  if (!flag ("no-wait")) {
    m = wait_contact (export_name);
    status = reached_or_not (m);
  }
  if (flag ("wait") && status == DONE) {
    json_decref (m);
    m = wait_synchronised (export_name);
    status = synchronised_or_not (m);
  }
  if (settings.json)
    print_json (flag ("wait") || status != DONE ? m : r);
  else if (settings.quiet || status != DONE)
    return status;
  else if (flag ("wait"))
    printf ("synchronised\n");
  else
    printf ("%s\n", need_bool (r, "started") ? "started"
            : "the mirror runs already");
  return status;
}

static const char *rate_argument;

static int
run_rate (const char *export_name)
{
  json_t *params = params_for (export_name);
  bool none = strcmp (rate_argument, "none") == 0;
  uint64_t rate = none ? 0 : argument_size ("RATE", rate_argument);
  json_auto_t *r = NULL;
  char *limit;

  if (rate == 0 && !none)
    fail (USAGE, "RATE %s: expected at least 1 byte per second, or none",
          rate_argument);
  json_object_set_new (params, "rate",
                       none ? json_null () : json_integer (rate));
  r = rpc_call ("mirror_rate", params);
  if (settings.json)
    print_json (r);
  else if (!settings.quiet && json_is_integer (json_object_get (r,
    "rate_limit"))) {
    limit = text_size (need_size (r, "rate_limit"));
    printf ("the mirror copies at most %s/s\n", limit);
    free (limit);
  }
  else if (!settings.quiet)
    printf ("the mirror copies without limit\n");
  return DONE;
}

static int
run_stop (const char *export_name)
{
  json_t *params = params_for (export_name);
  json_auto_t *r = NULL;
  char *time;

  if (flag ("force"))
    json_object_set_new (params, "force", json_true ());
  r = rpc_call ("mirror_stop", params);
  if (settings.json)
    print_json (r);
  else if (!settings.quiet) {
    time = text_line (need_string (r, "time"));
    printf ("stopped at %s after %" PRIu64 " writes: the secondary is "
            "%sconsistent\n", time, need_size (r, "writes"),
            need_bool (r, "consistent") ? "" : "not ");
    free (time);
  }
  return DONE;
}

static int
run_switch (const char *export_name)
{
  json_auto_t *r = rpc_call ("mirror_switch", params_for (export_name));
  char *time;

  if (settings.json)
    print_json (r);
  else if (!settings.quiet) {
    time = text_line (need_string (r, "time"));
    printf ("switched at %s after %" PRIu64 " writes: clients use the "
            "secondary; requests were held for %.3f ms\n", time,
            need_size (r, "writes"), need_size (r, "pause_us") / 1e3);
    free (time);
  }
  return DONE;
}

static void
print_differences (const json_t *v)
{
  static const struct column columns[] = {
    { .title = "OFFSET", .right = true },
    { .title = "LENGTH", .right = true },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  uint64_t shown = 0;
  json_t *e;
  size_t i;

  json_array_foreach (need_array (v, "extents"), i, e) {
    table_addf (t, "%" PRIu64, need_size (e, "offset"));
    table_addf (t, "%" PRIu64, need_size (e, "length"));
    shown += need_size (e, "length");
  }
  table_print (t);
  table_free (t);
  if (shown < need_size (v, "bytes_differing"))
    printf ("and %" PRIu64 " bytes more\n",
            need_size (v, "bytes_differing") - shown);
}

static int
verified (const json_t *v)
{
  const json_t *error = json_object_get (v, "error");
  uint64_t differing = need_size (v, "bytes_differing");
  char *s;

  if (settings.json)
    print_json (v);
  else if (differing)
    print_differences (v);
  else if (!settings.quiet && !json_is_string (error))
    printf ("primary and secondary are identical\n");
  if (json_is_string (error)) {
    s = text_line (json_string_value (error));
    complain ("%s", s);
    free (s);
    return REFUSED;
  }
  if (differing)
    complain ("%" PRIu64 " bytes differ%s", differing,
              get_bool (v, "repair") ? "; they are copied again" : "");
  return differing ? REFUSED : DONE;
}

static int
run_verify (const char *export_name)
{
  json_t *params = params_for (export_name);
  json_auto_t *r = NULL, *m = NULL;

  if (flag ("repair"))
    json_object_set_new (params, "repair", json_true ());
  r = rpc_call ("mirror_verify", params);
  if (flag ("wait")) {
    m = wait_verified (export_name);
    return verified (json_object_get (m, "verify"));
  }
  if (settings.json)
    print_json (r);
  else if (!settings.quiet)
    printf ("comparing; \"mblockctl mirror status\" has the result\n");
  return DONE;
}

/* ------------------------------------------------------------ the command */

static const struct action {
  const char *name;
  int (*run) (const char *export_name);
  const char *options[4];       /* that it takes */
} actions[] = {
  { "status", run_status, { "wait", "watch", NULL } },
  { "start", run_start, { "wait", "no-wait", "resume", NULL } },
  { "stop", run_stop, { "force", NULL } },
  { "switch", run_switch, { NULL } },
  { "rate", run_rate, { NULL } },
  { "verify", run_verify, { "wait", "repair", NULL } },
};

static const struct option_def options[] = {
  { 'w', "wait", NULL, "status, start, verify: wait for completion, with a\n"
    "progress bar" },
  { 0, "watch", NULL, "status: show progress until nothing is left to copy" },
  { 0, "no-wait", NULL, "start: do not wait until the secondary answers" },
  { 0, "resume", NULL, "start: copy only what is known to differ" },
  { 'f', "force", NULL, "stop: stop even if the secondary is not complete" },
  { 0, "repair", NULL, "verify: copy the ranges that differ again" },
  { 0 }
};

static bool
takes (const struct action *a, const char *name)
{
  size_t i;

  for (i = 0; a->options[i]; i++)
    if (strcmp (a->options[i], name) == 0)
      return true;
  return false;
}

static const struct action *
find_action (const char *name)
{
  size_t i;

  for (i = 0; i < sizeof actions / sizeof *actions; i++)
    if (strcmp (actions[i].name, name) == 0)
      return &actions[i];
  return NULL;
}

const char mirror_forms[] =
  "status|start|stop|switch|verify [EXPORT] | rate RATE [EXPORT]";

bool
mirror_takes (const char *action, const char *option_name)
{
  const struct action *a = find_action (action);
  size_t i;

  for (i = 0; options[i].name; i++)
    if (strcmp (options[i].name, option_name) == 0)
      return a == NULL || takes (a, option_name);
  return true;
}

static int
run_mirror (int argc, char **argv)
{
  const struct action *a = find_action (argv[0]);
  size_t i;

  if (a == NULL) {
    char *shown = text_name (argv[0]);

    fail (USAGE, "%s: expected status, start, stop, switch, rate or verify",
          shown);
  }
  argc--;
  argv++;
  if (a->run == run_rate) {
    if (argc == 0)
      fail (USAGE, "expected: mblockctl mirror rate RATE [EXPORT]; RATE is a "
            "size, per second, or none");
    rate_argument = *argv++;
    argc--;
  }
  if (argc > 1)
    fail (USAGE, "%s: expected at most one EXPORT", a->name);
  for (i = 0; options[i].name; i++)
    if (flag (options[i].name) && !takes (a, options[i].name))
      fail (USAGE, "--%s: %s does not take it", options[i].name, a->name);
  take_only (a->options);
  return a->run (argc ? argv[0] : NULL);
}

const struct command command_mirror = {
  "mirror", "ACTION [RATE] [EXPORT]",
  "show and control the mirrors of the mnbd filter",
  "ACTION is status, start, stop, switch, rate or verify.\n"
  "\n"
  "status shows the state of the mirrors; with --watch, one line for each with\n"
  "rate and time to go, until all are synchronised.  start starts a mirror that\n"
  "is stopped or has failed; the exit code is 1 if the secondary is not there.\n"
  "With --wait it returns when primary and secondary are identical.  stop leaves\n"
  "the secondary complete, and prints as of when.  switch lets the clients use\n"
  "the secondary from now on, without connecting again.  verify compares\n"
  "primary and secondary; with --wait, the exit code is 1 if they differ.  rate\n"
  "limits copying to RATE bytes per second from now on; \"none\" lifts the limit.\n"
  "EXPORT is required if there are several mirrors.\n\n"
  "Examples:\n"
  "  mblockctl mirror start --wait\n"
  "  mblockctl mirror status --watch\n"
  "  mblockctl mirror rate 50M\n"
  "  mblockctl mirror switch\n"
  "  mblockctl mirror verify --wait --repair\n",
  options, 1, 3, run_mirror
};
