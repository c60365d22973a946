/* SPDX-License-Identifier: BSD-3-Clause */
/* The command mirror: the mirrors of the mnbd filter. */

#include <config.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "table.h"
#include "text.h"

/* How often to ask while something goes on, in milliseconds. */
#define ASK_EVERY 200

static json_t *
params_for (const char *export_name)
{
  json_t *params = json_object ();

  if (export_name)
    json_object_set_new (params, "export", argument_name ("EXPORT",
                                                          export_name));
  return params;
}

/* The mirror that a change was about: what it is now, a new reference. */
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

/* --------------------------------------------------------------- waiting */

/* A bar for something whose size may change on the way. */
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

/* Wait until both sides are the same, or the mirror does not run. */
static json_t *
wait_synchronised (const char *export_name)
{
  json_t *m;

  progress_start ("copying", 1000, "");
  for (;;) {
    m = status_of (export_name);
    if (is (m, "synchronised") || is (m, "stopped") || is (m, "failed"))
      break;
    show_progress (need_size (m, "bytes_done"), need_size (m, "bytes_total"));
    json_decref (m);
    poll (NULL, 0, ASK_EVERY);
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

/* A bar, so that a look tells how far it is. */
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
print_rate (const json_t *mirror)
{
  const json_t *to_go = json_object_get (mirror, "seconds_to_go");
  const json_t *limit = json_object_get (mirror, "rate_limit");
  char *rate = text_rate (need_size (mirror, "rate"));
  char *most = json_is_integer (limit)
    ? text_rate (json_integer_value (limit)) : NULL;
  char *time = json_is_integer (to_go)
    ? text_duration (json_integer_value (to_go)) : NULL;

  line ("rate", text_format ("%s/s%s%s%s%s%s", rate, most ? " of at most " : "",
                             most ? most : "", most ? "/s" : "",
                             time ? ", to go " : "", time ? time : ""));
  free (rate);
  free (most);
  free (time);
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
    print_rate (mirror);
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
  if (json_is_object (verified))
    print_verified (verified);
}

/* --------------------------------------------------------------- actions */

/* After waiting: was that what was wanted? */
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

static int
run_status (const char *export_name)
{
  json_auto_t *r = NULL;
  int status = DONE;
  json_t *mirrors, *m;
  size_t i;

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

  if (flag ("resume"))
    json_object_set_new (params, "resume", json_true ());
  r = rpc_call ("mirror_start", params);
  if (flag ("wait")) {
    m = wait_synchronised (export_name);
    status = synchronised_or_not (m);
  }
  if (settings.json)
    print_json (m ? m : r);
  else if (!settings.quiet && m == NULL)
    printf ("%s\n", need_bool (r, "started") ? "started"
            : "the mirror runs already");
  else if (!settings.quiet && status == DONE)
    printf ("synchronised\n");
  return status;
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
    printf ("both sides are the same\n");
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
  const char *options[3];       /* that it takes */
} actions[] = {
  { "status", run_status, { "wait", NULL } },
  { "start", run_start, { "wait", "resume", NULL } },
  { "stop", run_stop, { "force", NULL } },
  { "verify", run_verify, { "wait", "repair", NULL } },
};

static const struct option_def options[] = {
  { 'w', "wait", NULL, "wait for the end, with a progress bar" },
  { 0, "resume", NULL, "start: copy only what is known to differ" },
  { 0, "force", NULL, "stop: even if the secondary is not complete" },
  { 0, "repair", NULL, "verify: copy what differs again" },
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

static int
run_mirror (int argc, char **argv)
{
  const struct action *a = NULL;
  size_t i;

  for (i = 0; i < sizeof actions / sizeof *actions; i++)
    if (strcmp (actions[i].name, argv[0]) == 0)
      a = &actions[i];
  if (a == NULL) {
    char *shown = text_name (argv[0]);

    fail (USAGE, "%s: expected status, start, stop or verify", shown);
  }
  for (i = 0; options[i].name; i++)
    if (flag (options[i].name) && !takes (a, options[i].name))
      fail (USAGE, "--%s: %s does not take it", options[i].name, a->name);
  return a->run (argc > 1 ? argv[1] : NULL);
}

const struct command command_mirror = {
  "mirror", "status|start|stop|verify [EXPORT]",
  "look at the mirrors of the mnbd filter, and control them",
  "status shows how they are.  start lets one run again that was stopped, or\n"
  "has failed; with --wait it ends when both sides are the same.  stop leaves\n"
  "the secondary complete, and says as of when.  verify compares both sides;\n"
  "with --wait the exit code is 1 if they differ.\n"
  "EXPORT is needed if there are several mirrors.\n\n"
  "Examples:\n"
  "  mblockctl mirror start --wait\n"
  "  mblockctl mirror stop\n"
  "  mblockctl mirror verify --wait --repair\n",
  options, 1, 2, run_mirror
};
