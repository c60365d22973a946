/* SPDX-License-Identifier: BSD-3-Clause */
/* The command watch: follow the server's events, one a line. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "complete.h"
#include "mblockctl.h"
#include "rpc.h"
#include "text.h"

const char *
watch_event_word (size_t i)
{
  static const char *const events[] = {
    "created", "destroyed", "resized", "cloned", "replaced", "set", "renamed",
    "quota", "quota_low", "memory_low", "origin",
  };

  return i < sizeof events / sizeof *events ? events[i] : NULL;
}

/* Parameters of events that are sizes. */
static bool
is_size (const char *key)
{
  static const char *const sizes[] = {
    "size", "old_size", "quota", "used", "limit", "owned", "mapped",
  };
  size_t i;

  for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (strcmp (key, sizes[i]) == 0)
      return true;
  return false;
}

static void
print_time (double t)
{
  time_t seconds = t;
  struct tm tm;
  char buf[32];

  localtime_r (&seconds, &tm);
  strftime (buf, sizeof buf, "%Y-%m-%d %H:%M:%S", &tm);
  printf ("%s.%03d", buf, (int) ((t - seconds) * 1000));
}

static void
print_detail (const char *key, const json_t *v)
{
  char *k = text_line (key), *s;

  if (json_is_integer (v) && json_integer_value (v) >= 0 && is_size (key))
    s = text_size (json_integer_value (v));
  else if (json_is_string (v))
    s = text_name (json_string_value (v));
  else
    s = json_dumps (v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
  printf ("  %s=%s", k, s ? s : "");
  free (k);
  free (s);
}

static void
print_event (const json_t *event)
{
  const char *name = json_string_value (json_object_get (event, "name"));
  char *kind = text_line (need_string (event, "event"));
  const char *key;
  json_t *v;

  print_time (json_number_value (json_object_get (event, "time")));
  printf ("  %-10s", kind);
  free (kind);
  if (name) {
    char *shown = text_name (name);

    printf ("  %s", shown);
    free (shown);
  }
  json_object_foreach ((json_t *) event, key, v)
    if (strcmp (key, "event") != 0 && strcmp (key, "name") != 0 &&
        strcmp (key, "time") != 0)
      print_detail (key, v);
  putchar ('\n');
}

/* Wait until the server sends something.  Returns false if the reader of our
 * output has gone, as in "mblockctl watch | head".
 */
static bool
wait_for_event (void)
{
  struct pollfd pfd[2] = {
    { .fd = rpc_client ()->fd, .events = POLLIN },
    { .fd = STDOUT_FILENO, .events = 0 },
  };

  while (poll (pfd, 2, -1) == -1 && errno == EINTR)
    ;
  return !(pfd[1].revents & (POLLERR | POLLNVAL));
}

static void
subscribe (int argc, char **argv)
{
  json_t *events = json_array ();
  int i;

  for (i = 0; i < argc; i++)
    json_array_append_new (events, argument_name ("EVENT", argv[i]));
  json_decref (rpc_call ("subscribe", argc ? json_pack ("{s:O}", "events",
                                                        events) : NULL));
  json_decref (events);
}

static bool
is_event (const char *word)
{
  const char *event;
  size_t i;

  for (i = 0; (event = watch_event_word (i)) != NULL; i++)
    if (strcmp (event, word) == 0)
      return true;
  return false;
}

static int
run_watch (int argc, char **argv)
{
  int i;
  uint64_t most = flag ("count")
    ? argument_number ("--count", option ("count"), 1, UINT64_MAX)
    : UINT64_MAX, n = 0;

  for (i = 0; i < argc; i++)
    if (!is_event (argv[i]))
      bad_argument ("EVENT", argv[i], "created, destroyed, resized, cloned, "
                    "replaced, set, renamed, quota, quota_low, memory_low or "
                    "origin");
  /* If the reader of our output ends, we end, too; that is not an error. */
  signal (SIGPIPE, SIG_IGN);
  subscribe (argc, argv);
  while (n < most) {
    json_t *message, *event;
    int r = client_poll (rpc_client (), &message);

    if (r == -1)
      rpc_fail ();
    if (r == 0) {
      if (!wait_for_event ())
        _exit (DONE);
      continue;
    }
    event = json_object_get (message, "params");
    if (json_is_object (event)) {
      if (settings.json)
        print_json_line (event);
      else
        print_event (event);
      n++;
    }
    json_decref (message);
    if (fflush (stdout) == EOF) {
      if (errno == EPIPE)
        _exit (DONE);
      break;                    /* main says why */
    }
  }
  return DONE;
}

static const struct option_def watch_options[] = {
  { 'n', "count", "N", "exit after this many events" },
  { 0 }
};

const struct command command_watch = {
  "watch", "[EVENT...]", "print events as they happen, one per line",
  "EVENT is created, destroyed, resized, cloned, replaced, set, renamed, quota,\n"
  "quota_low, memory_low or origin.  The default is all events.  With --json,\n"
  "each line is a JSON object.  The command exits when it is interrupted, or\n"
  "when its reader exits.\n"
  "\n"
  "Examples:\n"
  "  mblockctl watch\n"
  "  mblockctl watch quota_low memory_low --json\n",
  watch_options, 0, -1, run_watch
};
