/* SPDX-License-Identifier: BSD-3-Clause */
/* The one connection to the server that a command uses. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "text.h"

const struct pages pages_list =
  { "disk_list", "disks", "after", 1000, "disks" };
const struct pages pages_stats =
  { "stats", "disks", "after", 1000, "disks" };
const struct pages pages_extents =
  { "disk_extents", "extents", "offset", 10000, "extents" };
const struct pages pages_diff =
  { "disk_diff", "extents", "offset", 10000, "extents" };

/* JSON-RPC's code. */
#define NO_METHOD -32601

static struct client client = CLIENT_INIT;

const char *
rpc_socket (void)
{
  if (settings.socket == NULL || *settings.socket == '\0')
    fail (USAGE, "which server? give its control socket with -s SOCKET "
          "or in MBLOCK_SOCKET");
  return settings.socket;
}

int64_t
rpc_deadline (void)
{
  return settings.timeout_ms < 0
    ? CLIENT_NEVER : client_now () + settings.timeout_ms;
}

void
rpc_fail (void)
{
  char *s = text_line (client.error);

  complain ("%s", s);
  free (s);
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

/* The server does not know the method: it may be of the other kind, as its
 * version says.  Then say that in place of its error.
 */
static void
explain_no_method (const char *method)
{
  bool of_filter = begins_with (method, "mirror_") ||
    begins_with (method, "cache_");
  bool of_disks = begins_with (method, "disk_") ||
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

/* A server that sends us round in circles must not keep us for ever. */
static void
check_advance (json_t *items, json_t *next, json_t *last)
{
  bool ahead;

  if (json_is_string (next))
    ahead = !json_equal (next, last);
  else
    ahead = json_is_integer (next) &&
      json_integer_value (next) > json_integer_value (last);
  if (!ahead || json_array_size (items) == 0)
    fail (NO_SERVER, "the server's answers do not advance");
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
      check_advance (items, next, last);
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

  progress_start (p->method, 0, p->unit);
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
