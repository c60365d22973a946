/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands about the server itself: version, methods, call, wait-ready. */

#include <config.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "table.h"
#include "text.h"

/* -------------------------------------------------------------- version */

static int
run_version (int argc, char **argv)
{
  json_auto_t *v = rpc_call ("version", NULL);
  char *name, *version;

  (void) argc;
  (void) argv;
  if (settings.json) {
    print_json (v);
    return DONE;
  }
  name = text_line (need_string (v, "name"));
  version = text_line (need_string (v, "version"));
  printf ("server     %s %s, protocol %d\n"
          "mblockctl  %s\n", name, version, (int) need_size (v, "protocol"),
          PACKAGE_VERSION);
  free (name);
  free (version);
  return DONE;
}

const struct command command_version = {
  "version", "", "print the versions of the server and of mblockctl",
  "Example:\n"
  "  mblockctl version --json\n",
  NULL, 0, 0, run_version
};

/* -------------------------------------------------------------- methods */

static void
add_text (struct table *t, const json_t *object, const char *key)
{
  const json_t *v = json_object_get (object, key);
  const char *s = json_string_value (v);

  if (s)
    table_add (t, text_line (s));
  else if (v) {
    char *json = json_dumps (v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

    table_addf (t, "%s", json ? json : "");
    free (json);
  }
  else
    table_addf (t, "%s", "");
}

static void
print_methods (const json_t *methods)
{
  static const struct column columns[] = {
    { .title = "METHOD" },
    { .title = "WHAT IT DOES", .elastic = true },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *m;

  json_array_foreach (methods, i, m) {
    add_text (t, m, "name");
    add_text (t, m, "summary");
  }
  table_print (t);
  table_free (t);
}

static void
print_method (const json_t *m)
{
  static const struct column columns[] = {
    { .title = "PARAMETER" },
    { .title = "TYPE" },
    { .title = "DEFAULT" },
    { .title = "MEANING", .elastic = true },
  };
  char *name = text_line (need_string (m, "name"));
  char *summary = text_line (need_string (m, "summary"));
  const json_t *result = json_object_get (m, "result");
  const json_t *params = json_object_get (m, "params");
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *p;

  printf ("%s: %s\n", name, summary);
  free (name);
  free (summary);
  json_array_foreach (params, i, p) {
    add_text (t, p, "name");
    add_text (t, p, "type");
    if (get_bool (p, "required"))
      table_addf (t, "(required)");
    else
      add_text (t, p, "default");
    add_text (t, p, "summary");
  }
  if (json_array_size (params) > 0) {
    putchar ('\n');
    table_print (t);
  }
  table_free (t);
  if (json_is_string (result)) {
    char *s = text_line (json_string_value (result));

    printf ("\nResult: %s\n", s);
    free (s);
  }
}

static int
run_methods (int argc, char **argv)
{
  json_auto_t *help = rpc_call ("help", argc ? json_pack ("{s:o}", "method",
    argument_name ("METHOD", argv[0])) : NULL);
  json_t *methods;

  if (settings.json) {
    print_json (help);
    return DONE;
  }
  methods = need_array (help, "methods");
  if (argc && json_array_size (methods) == 1)
    print_method (json_array_get (methods, 0));
  else
    print_methods (methods);
  return DONE;
}

const struct command command_methods = {
  "methods", "[METHOD]", "list the methods of the server",
  "With METHOD, list its parameters.  This is for programmers who use the\n"
  "control socket; mblock-control(7) describes the protocol.\n"
  "\n"
  "Examples:\n"
  "  mblockctl methods\n"
  "  mblockctl methods disk_clone\n",
  NULL, 0, 1, run_methods
};

/* ----------------------------------------------------------------- call */

static int
run_call (int argc, char **argv)
{
  json_t *method = argument_name ("METHOD", argv[0]);
  json_auto_t *result = NULL;
  json_t *params = NULL;
  json_error_t err;

  json_decref (method);
  if (argc > 1) {
    params = json_loads (argv[1], JSON_REJECT_DUPLICATES, &err);
    if (!json_is_object (params))
      fail (USAGE, "PARAMS: expected a JSON object%s%s%s",
            params ? "" : " (", params ? "" : text_line (err.text),
            params ? "" : ")");
  }
  result = rpc_call (argv[0], params);
  print_json (result);
  return DONE;
}

const struct command command_call = {
  "call", "METHOD [PARAMS]", "call any method and print its result as JSON",
  "PARAMS is a JSON object.\n"
  "\n"
  "Example:\n"
  "  mblockctl call disk_create '{\"name\": \"scratch\", \"size\": 1048576}'\n",
  NULL, 1, 2, run_call
};

/* ----------------------------------------------------------- wait-ready */

/* ms between attempts: short at first, for a server that has just been started.
 */
#define FIRST_PAUSE 10
#define LAST_PAUSE 250

static int
run_wait_ready (int argc, char **argv)
{
  int64_t start = client_now (), deadline = rpc_deadline ();
  struct client c = CLIENT_INIT;
  int pause = FIRST_PAUSE;
  json_t *version;
  char *s;

  (void) argc;
  (void) argv;
  progress_start ("waiting for the server", 0, "s");
  for (;;) {
    int64_t left;

    if (client_open (&c, rpc_socket (), deadline) == 0 &&
        client_call (&c, "version", NULL, deadline, &version) == 0)
      break;
    left = deadline - client_now ();
    if (left <= 0 || (!c.retry && !c.refused)) {
      s = text_line (c.error);
      fail (NO_SERVER, "%s%s", left <= 0 ? "not in time: " : "", s);
    }
    client_close (&c);
    progress_at ((client_now () - start) / 1000);
    poll (NULL, 0, left < pause ? left : pause);
    pause = 2 * pause < LAST_PAUSE ? 2 * pause : LAST_PAUSE;
  }
  progress_end ();
  if (settings.json)
    print_json (version);
  json_decref (version);
  client_close (&c);
  return DONE;
}

const struct command command_wait_ready = {
  "wait-ready", "", "wait until the server is ready",
  "Use this in scripts that start a server.  If the server does not respond\n"
  "within --timeout (60 seconds by default), the exit code is 3.\n"
  "\n"
  "Example:\n"
  "  nbdkit -U /tmp/nbd.sock mramdisk control=/tmp/mblock.sock\n"
  "  mblockctl -s /tmp/mblock.sock wait-ready --timeout 10\n",
  NULL, 0, 0, run_wait_ready
};
