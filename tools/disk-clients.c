/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands about the clients of disks. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk-clients.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "table.h"
#include "text.h"

/* Format a result's time, "2026-11-29T15:04:05.000000Z", as the time that has
 * passed since then; "-" for null.
 */
static char *
age (const json_t *client, const char *key)
{
  const char *s = json_string_value (json_object_get (client, key));
  struct tm tm = { .tm_isdst = 0 };
  double ago;

  if (s == NULL || strptime (s, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
    return text_format ("-");
  ago = difftime (time (NULL), timegm (&tm));
  return text_duration (ago > 0 ? ago : 0);
}

static char *
number_or_dash (const json_t *client, const char *key)
{
  const json_t *v = json_object_get (client, key);

  return json_is_integer (v)
    ? text_format ("%" JSON_INTEGER_FORMAT, json_integer_value (v))
    : text_format ("-");
}

char *
client_address (const json_t *client)
{
  const char *s = json_string_value (json_object_get (client, "address"));

  return s ? text_line (s) : text_format ("-");
}

/* Whom the client's certificate names. */
static char *
certificate (const json_t *client)
{
  const char *s = json_string_value (json_object_get (client, "tls_dn"));

  return s ? text_line (s) : text_format ("-");
}

void
clients_print (const json_t *clients)
{
  static const struct column columns[] = {
    { .title = "ID", .right = true },
    { .title = "DISK", .elastic = true, .name = true },
    { .title = "ADDRESS" },
    { .title = "PID", .right = true, .drop = 1 },
    { .title = "UID", .right = true, .drop = 2 },
    { .title = "CONNECTED", .right = true, .drop = 3 },
    { .title = "IDLE", .right = true },
    { .title = "REQUESTS", .right = true, .drop = 4 },
    { .title = "READ", .right = true, .drop = 6 },
    { .title = "WRITTEN", .right = true, .drop = 5 },
    { .title = "CERTIFICATE" },
  };
  size_t ncolumns = sizeof columns / sizeof *columns - 1, i;
  struct table *t;
  const json_t *c;

  json_array_foreach (clients, i, c)
    if (json_is_string (json_object_get (c, "tls_dn")))
      ncolumns = sizeof columns / sizeof *columns;
  t = table_new (columns, ncolumns);
  json_array_foreach (clients, i, c) {
    char *name = text_name (need_string (c, "disk"));

    table_addf (t, "%" PRIu64, need_size (c, "id"));
    table_addf (t, "%s%s", name,
                get_bool (c, "deleted") ? " (deleted)" : "");
    free (name);
    table_add (t, client_address (c));
    table_add (t, number_or_dash (c, "pid"));
    table_add (t, number_or_dash (c, "uid"));
    table_add (t, age (c, "since"));
    table_add (t, age (c, "last_request"));
    table_add (t, text_count (get_size (c, "requests")));
    table_add (t, text_size (get_size (c, "bytes_read")));
    table_add (t, text_size (get_size (c, "bytes_written")));
    if (ncolumns == sizeof columns / sizeof *columns)
      table_add (t, certificate (c));
  }
  table_print (t);
  table_free (t);
}

/* Keep only the clients of the disks that the arguments mean.  A disk without
 * clients is one of them, and so is a destroyed disk that has some.  Returns
 * the arguments that mean none.
 */
static json_t *
filter_clients (json_t *clients, int argc, char **argv)
{
  json_auto_t *names = json_object (), *chosen = NULL, *disks = NULL;
  json_t *unmatched = json_array ();

  if (argc == 0)
    return unmatched;
  disks = rpc_all_pages (&pages_list, NULL);
  select_add_names (names, need_array (disks, "disks"), "name");
  select_add_names (names, clients, "disk");
  chosen = select_among (names, argc, argv, unmatched);
  select_keep (clients, "disk", chosen);
  return unmatched;
}

static int
run_clients (int argc, char **argv)
{
  json_auto_t *all = NULL, *unmatched = NULL;
  json_t *clients, *error;
  size_t n;

  select_check (argc, argv);
  all = rpc_all_pages (&pages_clients, NULL);
  clients = need_array (all, "clients");
  unmatched = filter_clients (clients, argc, argv);
  n = json_array_size (clients);
  error = select_no_match (unmatched, "disk");
  if (error)
    json_object_set_new (all, "error", error);
  if (settings.json)
    print_json (all);
  else if (n > 0)
    clients_print (clients);
  else if (!settings.quiet && argc == 0)
    puts ("No client has a disk open.");
  else if (!settings.quiet && !error)
    puts ("No client has such a disk open.");
  return error ? REFUSED : DONE;
}

/* ----------------------------------------------------------- disconnect */

/* The clients to disconnect: from --id, or all of the disks.  Complains about
 * arguments that mean no disk, and adds them to results.
 */
static json_t *
chosen_clients (int argc, char **argv, json_t *results)
{
  uint64_t id = flag ("id")
    ? argument_number ("--id", option ("id"), 1, INT64_MAX) : 0;
  json_auto_t *all = rpc_all_pages (&pages_clients, NULL), *unmatched = NULL;
  json_t *clients = json_incref (need_array (all, "clients"));
  const json_t *v;
  size_t i;

  if (id)
    for (i = json_array_size (clients); i-- > 0; ) {
      if (need_size (json_array_get (clients, i), "id") != id)
        json_array_remove (clients, i);
    }
  unmatched = filter_clients (clients, argc, argv);
  json_array_foreach (unmatched, i, v)
    select_add_failure (results, json_string_value (v));
  return clients;
}

static char *
client_text (const json_t *c)
{
  char *address = client_address (c), *pid = number_or_dash (c, "pid");
  char *disk = text_name (need_string (c, "disk"));
  char *r = text_format ("client %" PRIu64 " of %s (%s%s%s)",
                         need_size (c, "id"), disk, address,
                         *pid == '-' ? "" : ", pid ", *pid == '-' ? "" : pid);

  free (address);
  free (pid);
  free (disk);
  return r;
}

static void
disconnect_one (const json_t *c, json_t *results, int *status)
{
  json_t *result = rpc_try ("client_disconnect", json_pack ("{s:I, s:b}",
    "id", (json_int_t) need_size (c, "id"), "at_once", flag ("force")));
  char *text;

  if (result == NULL && rpc_client ()->code == RPC_NO_SUCH_DISK)
    return;                     /* it has already left */
  if (result == NULL) {
    rpc_complain ();
    *status = REFUSED;
    result = json_pack ("{s:I, s:o}", "id", (json_int_t) need_size (c, "id"),
                        "error", rpc_error ());
  }
  else if (!settings.quiet && !settings.json) {
    text = client_text (c);
    printf ("disconnected %s%s\n", text, get_bool (result, "closed") ? ""
            : ": its requests fail from now on");
    free (text);
  }
  json_array_append_new (results, result);
}

/* No client is left to disconnect. */
static void
nobody (int argc, char **argv, json_t *results)
{
  char *name = text_name (flag ("id") ? option ("id") : argv[0]);
  char *message = text_format (flag ("id") ? "there is no client %s"
                               : argc == 1 ? "no client has %s open"
                               : "no client has %s or the others open", name);

  complain ("%s", message);
  json_array_append_new (results, json_pack ("{s:{s:i, s:s}}", "error",
                                             "exit_code", REFUSED, "message",
                                             message));
  free (message);
  free (name);
}

static void
would_disconnect (json_t *c, json_t *results)
{
  char *text = client_text (c);

  if (!settings.json && !settings.quiet)
    printf ("would disconnect %s\n", text);
  json_object_set_new (c, "dry_run", json_true ());
  json_array_append (results, c);
  free (text);
}

static int
run_disconnect (int argc, char **argv)
{
  json_auto_t *results = json_array (), *clients = NULL;
  int status = DONE;
  json_t *c;
  size_t i;

  if ((argc == 0) == !flag ("id"))
    fail (USAGE, "expected disks, or --id ID");
  select_check (argc, argv);
  clients = chosen_clients (argc, argv, results);
  if (json_array_size (results) > 0)
    status = REFUSED;
  else if (json_array_size (clients) == 0) {
    nobody (argc, argv, results);
    status = REFUSED;
  }
  json_array_foreach (clients, i, c)
    if (flag ("dry-run"))
      would_disconnect (c, results);
    else
      disconnect_one (c, results, &status);
  if (settings.json)
    print_json (results);
  return status;
}

static const struct option_def disconnect_options[] = {
  { 0, "id", "ID", "disconnect this client; \"mblockctl clients\" shows ids" },
  { 'f', "force", NULL, "give up requests in flight" },
  { 'n', "dry-run", NULL, "only print which clients would be disconnected" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_disconnect = {
  "disconnect", "NAME|PATTERN...", "disconnect clients from disks",
  "Requests that a client has sent are answered first, unless --force is\n"
  "given.  A client may connect again at once; to keep it out, rename or\n"
  "destroy the disk.\n"
  "\n"
  "Examples:\n"
  "  mblockctl disconnect vm-1\n"
  "  mblockctl disconnect --id 12\n",
  disconnect_options, 0, -1, run_disconnect
};

static const struct option_def clients_options[] = {
  LITERAL_OPTION,
  { 0 }
};

const struct command command_clients = {
  "clients", "[NAME|PATTERN...]", "list who has disks open",
  "If an argument matches no disk, the exit code is 1.\n"
  "ADDRESS is the client's, or \"unix\" with the process and the user at the\n"
  "other end of the socket.  IDLE is the time since the last request.  A disk\n"
  "that was destroyed or replaced is marked as deleted: it takes memory until\n"
  "its last client closes.\n"
  "\n"
  "Examples:\n"
  "  mblockctl clients\n"
  "  mblockctl clients 'vm-*'\n"
  "  mblockctl clients vm-1 --json | jq '.clients[].pid'\n",
  clients_options, 0, -1, run_clients
};
