/* SPDX-License-Identifier: BSD-3-Clause */
/* The command's only connection to the server. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "find-socket.h"
#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "text.h"

const struct pages pages_list =
  { "disk_list", "disks", "after", 1000, "disks", false };
const struct pages pages_stats =
  { "stats", "disks", "after", 1000, "disks", false };
const struct pages pages_extents =
  { "disk_extents", "extents", "offset", 10000, "extents", false };
const struct pages pages_diff =
  { "disk_diff", "extents", "offset", 10000, "extents", false };
const struct pages pages_clients =
  { "client_list", "clients", "before", 1000, "clients", true };
const struct pages pages_deleted =
  { "disk_deleted", "disks", "after", 1000, "disks", false };

/* JSON-RPC's code. */
#define NO_METHOD -32601
/* From here up, codes are about disks; below, about calls. */
#define LEAST_OF_DISKS -32099

static struct client client = CLIENT_INIT;

/* The disk that the last call was about, or NULL. */
static json_t *last_name;

const char *
rpc_socket (void)
{
  if (settings.socket == NULL || *settings.socket == '\0')
    settings.socket = find_socket ();   /* kept to the end */
  return settings.socket;
}

int64_t
rpc_deadline (void)
{
  return settings.timeout_ms < 0
    ? CLIENT_NEVER : client_now () + settings.timeout_ms;
}

/* A server's error begins with the wrong parameter's name.  This table has the
 * user's name for it.  Where that was only a name or a URI, the message has it
 * already.
 */
static const struct { const char *param, *typed; } typed[] = {
  { "name", "" }, { "new_name", "" }, { "source", "" }, { "a", "" },
  { "b", "" }, { "sources", "" }, { "names", "" }, { "patterns", "" },
  { "job", "" }, { "export", "" }, { "uri", "" }, { "size", "SIZE" },
  { "sector_size", "--sector-size" }, { "quota", "--quota" },
  { "offset, length", "--offset, --length" }, { "rate", "--rate" },
  { "since", "--since:" }, { "origin", "--origin:" },
  { "prefetch_rate", "--prefetch-rate" },
};

/* create --from --lazy sends what other options do, too. */
static const char *
typed_for (size_t i)
{
  bool lazy = has_option ("lazy") && flag ("lazy");

  if (lazy && strcmp (typed[i].param, "origin") == 0)
    return "--lazy:";
  if (lazy && strcmp (typed[i].param, "prefetch_rate") == 0)
    return "--rate";
  return typed[i].typed;
}

/* Show a size as the user typed it: "1.5k" for "1536".  Returns the text after
 * the size in the error, or NULL if the error does not begin with a size.
 */
static const char *
after_size (const char *error, const char **size)
{
  char *end;
  uint64_t n = strtoull (error, &end, 10);

  if (end == error || *end != ':')
    return NULL;
  *size = typed_size (n);
  return *size ? end : NULL;
}

/* An error about a size or the memory names no disk; then this is what goes
 * before it, else "".  The caller frees it.
 */
static char *
disk_of_error (const char *error)
{
  char quoted[PRINTABLE_STRING + 2], shown[PRINTABLE_STRING], *name, *r;

  if (last_name == NULL || !client.refused ||
      client.code < LEAST_OF_DISKS || strstr (error, "disk \"") != NULL)
    return text_format ("%s", "");
  printable (json_string_value (last_name), shown);
  snprintf (quoted, sizeof quoted, "\"%s\"", shown);
  if (strstr (error, quoted) != NULL)
    return text_format ("%s", "");
  name = text_name (json_string_value (last_name));
  r = text_format ("%s: ", name);
  free (name);
  return r;
}

/* The error in the user's words, with the wrong argument first. */
static char *
argument_first (const char *error)
{
  const char *size, *rest, *words;
  size_t i, len;

  for (i = 0; i < sizeof typed / sizeof *typed; i++) {
    len = strlen (typed[i].param);
    if (strncmp (error, typed[i].param, len) != 0 ||
        strncmp (error + len, ": ", 2) != 0)
      continue;
    error += len + 2;
    rest = after_size (error, &size);
    words = typed_for (i);
    return text_format ("%s%s%s%s", words, *words ? " " : "",
                        rest ? size : "", rest ? rest : error);
  }
  return text_format ("%s", error);
}

/* The error in the user's words; the caller frees it. */
static char *
in_typed_words (const char *error)
{
  char *disk = disk_of_error (error), *words = argument_first (error);
  char *r = text_format ("%s%s", disk, words);

  free (disk);
  free (words);
  return r;
}

/* Does the command copy something into a new disk, and wait for that? */
static bool
fills (void)
{
  return has_option ("from") && flag ("from") && !flag ("lazy");
}

/* A hint that helps against the error, or "". */
static const char *
hint (void)
{
  if (!client.refused)
    return "";
  switch (client.code) {
  case RPC_IN_USE:
    /* A state that force does not help against has the same code. */
    return has_option ("force") && (json_object_get (client.data, "clients") ||
                                    strstr (client.error, "force"))
      ? "; --force does it all the same" : "";
  case RPC_OVER_QUOTA:
    return has_option ("force") ? "; --force sets it all the same" : "";
  case RPC_EXISTS:
    return !has_option ("replace") ? "" : has_option ("ignore") && !fills ()
      ? "; --replace replaces it, --ignore keeps it"
      : "; --replace replaces it";
  case RPC_NO_SUCH_DISK:
    return has_option ("ignore-missing")
      ? "; --ignore-missing goes on without" : "";
  default:
    return "";
  }
}

void
rpc_complain (void)
{
  char *words = in_typed_words (client.error), *s = text_line (words);

  complain ("%s%s", s, hint ());
  free (s);
  free (words);
}

json_t *
rpc_error (void)
{
  char *words = in_typed_words (client.error);
  json_t *text = json_string (words);
  json_t *error = json_pack ("{s:i, s:o}", "exit_code", client.refused
                             ? REFUSED : NO_SERVER, "message",
                             text ? text : json_string ("not UTF-8"));

  if (client.refused) {
    json_object_set_new (error, "code", json_integer (client.code));
    if (client.data)
      json_object_set (error, "data", client.data);
  }
  free (words);
  return error;
}

void
rpc_fail (void)
{
  rpc_complain ();
  print_json_error (rpc_error ());
  exit (finish_output (client.refused ? REFUSED : NO_SERVER));
}

struct client *
rpc_client (void)
{
  if (client.fd == -1 &&
      client_open (&client, rpc_socket (), rpc_deadline ()) == -1)
    rpc_fail ();
  return &client;
}

static bool
begins_with (const char *s, const char *start)
{
  return strncmp (s, start, strlen (start)) == 0;
}

/* The server does not know the method.  It may be a server of the other kind;
 * its version tells.  If so, say that instead of the server's error.
 */
static void
explain_no_method (const char *method)
{
  bool of_filter = begins_with (method, "mirror_") ||
    begins_with (method, "cache_");
  bool of_disks = begins_with (method, "disk_") ||
    begins_with (method, "job_") ||
    begins_with (method, "client_") ||
    strcmp (method, "stats") == 0 || strcmp (method, "subscribe") == 0;
  json_auto_t *version = NULL;
  char said[sizeof client.error];
  const char *name = NULL;

  if (!of_filter && !of_disks)
    return;
  memcpy (said, client.error, sizeof said);
  if (client_call (&client, "version", NULL, rpc_deadline (), &version) == 0)
    name = json_string_value (json_object_get (version, "name"));
  memcpy (client.error, said, sizeof said);
  client.refused = true;
  if (name && of_filter && strcmp (name, "mramdisk") == 0)
    snprintf (client.error, sizeof client.error, "this server has no mirrors "
              "or caches: expected the socket of the mnbd filter's "
              "mnbd-control=");
  if (name && of_disks && strcmp (name, "mnbd") == 0)
    snprintf (client.error, sizeof client.error, "this server has no disks: "
              "expected the socket of mramdisk's control=");
}

json_t *
rpc_try (const char *method, json_t *params)
{
  json_t *result;

  rpc_client ();
  json_decref (last_name);
  last_name = json_object_get (params, "name");
  if (json_is_string (last_name))
    json_incref (last_name);
  else
    last_name = NULL;
  if (client_call (&client, method, params, rpc_deadline (), &result) == 0)
    return result;
  if (!client.refused)
    rpc_fail ();
  if (client.code == NO_METHOD)
    explain_no_method (method);
  return NULL;
}

json_t *
rpc_call (const char *method, json_t *params)
{
  json_t *result = rpc_try (method, params);

  if (result == NULL)
    rpc_fail ();
  return result;
}

/* A server whose pages repeat in a circle must not keep us for ever. */
static void
check_advance (const struct pages *p, json_t *items, json_t *next,
               json_t *last)
{
  bool ahead;

  if (json_is_string (next))
    ahead = !json_equal (next, last);
  else if (p->down)
    ahead = json_is_integer (next) &&
      (last == NULL || json_integer_value (next) < json_integer_value (last));
  else
    ahead = json_is_integer (next) &&
      json_integer_value (next) > json_integer_value (last);
  if (!ahead || json_array_size (items) == 0)
    fail (NO_SERVER, "the server's answers do not advance");
}

/* The next page begins later, so what is left of the length is less. */
static void
shorten (json_t *params, const json_t *next, const json_t *last)
{
  json_t *length = json_object_get (params, "length");

  if (length && json_is_integer (next))
    json_integer_set (length, json_integer_value (length) +
                      json_integer_value (last) - json_integer_value (next));
}

void
rpc_each_page (const struct pages *p, json_t *params,
               void (*fn) (void *opaque, json_t *page), void *opaque)
{
  json_auto_t *last = NULL;

  if (params == NULL)
    params = json_object ();
  json_object_set_new (params, "limit", json_integer (p->limit));
  last = json_incref (json_object_get (params, p->cursor));
  for (;;) {
    json_t *page = rpc_call (p->method, json_copy (params));
    json_t *next = json_object_get (page, "next");
    json_t *items = need_array (page, p->items);

    if (next && !json_is_null (next))
      check_advance (p, items, next, last);
    shorten (params, next, last);
    json_decref (last);
    last = json_incref (next);
    fn (opaque, page);
    json_decref (page);
    if (last == NULL || json_is_null (last))
      break;
    json_object_set (params, p->cursor, last);
  }
  json_decref (params);
}

struct merge {
  const struct pages *p;
  json_t *all;
};

static void
merge_page (void *opaque, json_t *page)
{
  struct merge *m = opaque;

  if (m->all == NULL)
    m->all = json_incref (page);
  else
    json_array_extend (json_object_get (m->all, m->p->items),
                       json_object_get (page, m->p->items));
  progress_at (json_array_size (json_object_get (m->all, m->p->items)));
}

json_t *
rpc_all_pages (const struct pages *p, json_t *params)
{
  struct merge m = { p, NULL };

  progress_start ("reading", 0, p->unit);
  rpc_each_page (p, params, merge_page, &m);
  progress_end ();
  json_object_set_new (m.all, "next", json_null ());
  return m.all;
}

static void __attribute__ ((noreturn))
lacks (const char *key)
{
  fail (NO_SERVER, "the server's answer has no valid \"%s\"", key);
}

json_t *
need_array (const json_t *object, const char *key)
{
  json_t *r = json_object_get (object, key);

  if (!json_is_array (r))
    lacks (key);
  return r;
}

const char *
need_string (const json_t *object, const char *key)
{
  const char *r = json_string_value (json_object_get (object, key));

  if (r == NULL)
    lacks (key);
  return r;
}

uint64_t
need_size (const json_t *object, const char *key)
{
  const json_t *r = json_object_get (object, key);

  if (!json_is_integer (r) || json_integer_value (r) < 0)
    lacks (key);
  return json_integer_value (r);
}

bool
need_bool (const json_t *object, const char *key)
{
  const json_t *r = json_object_get (object, key);

  if (!json_is_boolean (r))
    lacks (key);
  return json_is_true (r);
}

uint64_t
get_size (const json_t *object, const char *key)
{
  json_int_t n = json_integer_value (json_object_get (object, key));

  return n < 0 ? 0 : n;
}

bool
get_bool (const json_t *object, const char *key)
{
  return json_is_true (json_object_get (object, key));
}
