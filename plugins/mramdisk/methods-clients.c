/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods about the clients of disks, and about disks that live on only
 * because clients have them open.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "method-parts.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"

/* The most clients that one answer has. */
#define MOST_CLIENTS 1000

/* --------------------------------------------------------------- clients */

const char *
peer_text (const struct registry_peer *peer, char *text, size_t size)
{
  int n = snprintf (text, size, "%s", *peer->address ? peer->address
                    : "unknown");

  if (peer->pid >= 0 && n < (int) size)
    n += snprintf (text + n, size - n, ", pid %" PRId32, peer->pid);
  if (peer->uid >= 0 && n < (int) size)
    snprintf (text + n, size - n, ", uid %" PRId64, peer->uid);
  return text;
}

static json_t *
integer_or_null (int64_t n, int64_t none)
{
  return n == none ? json_null () : json_integer (n);
}

json_t *
json_client (const struct registry_client_info *c)
{
  const struct timespec last = { .tv_sec = c->last };

  return json_pack ("{s:I, s:s, s:I, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
                    "s:o, s:o, s:I, s:I, s:I, s:I}",
                    "id", (json_int_t) c->id, "disk", c->disk,
                    "disk_id", (json_int_t) c->disk_id,
                    "deleted", !c->listed,
                    "address", jsonrpc_text_or_null (c->peer.address),
                    "pid", integer_or_null (c->peer.pid, -1),
                    "uid", integer_or_null (c->peer.uid, -1),
                    "gid", integer_or_null (c->peer.gid, -1),
                    "security_context",
                    jsonrpc_text_or_null (c->peer.security_context),
                    "tls_dn", jsonrpc_text_or_null (c->peer.tls_dn),
                    "tls_issuer_dn",
                    jsonrpc_text_or_null (c->peer.tls_issuer_dn),
                    "since", jsonrpc_time (&c->since),
                    "last_request",
                    c->last ? jsonrpc_time (&last) : json_null (),
                    "requests", (json_int_t) c->requests,
                    "errors", (json_int_t) c->errors,
                    "bytes_read", (json_int_t) c->bytes_read,
                    "bytes_written", (json_int_t) c->bytes_written);
}

struct page {
  json_t *clients;
  size_t limit;
  uint64_t last;                /* the id of the last one */
  bool more;
};

static int
add_client (void *opaque, const struct registry_client_info *info)
{
  struct page *p = opaque;

  if (json_array_size (p->clients) == p->limit) {
    p->more = true;
    return 1;
  }
  p->last = info->id;
  return json_array_append_new (p->clients, json_client (info));
}

static const struct jsonrpc_param client_list_params[] = {
  { .name = "name", .type = JSONRPC_STRING,
    .summary = "Return only clients of this disk.  The default is all "
    "clients." },
  { .name = "before", .type = JSONRPC_INTEGER, .min = 1, .max = INT64_MAX,
    .summary = "Return only clients with ids below this one." },
  { .name = "limit", .type = JSONRPC_INTEGER, .min = 1, .max = MOST_CLIENTS,
    .fallback = "100", .summary = "The maximum number of clients to return." },
  END
};

static json_t *
method_client_list (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct page p = {
    .clients = json_array (), .limit = jsonrpc_integer (call, "limit")
  };
  uint64_t before = jsonrpc_given (call, "before")
    ? (uint64_t) jsonrpc_integer (call, "before") : UINT64_MAX;
  struct named_disk *d = NULL;

  if (jsonrpc_given (call, "name")) {
    d = registry_hold (s->registry, jsonrpc_string (call, "name"));
    if (d == NULL) {
      json_decref (p.clients);
      return no_disk (call, "name");
    }
  }
  registry_clients (s->registry, d, before, add_client, &p);
  if (d)
    registry_close (s->registry, d);
  return json_pack ("{s:o, s:o}", "clients", p.clients, "next",
                    p.more ? json_integer (p.last) : json_null ());
}

static const struct jsonrpc_param client_disconnect_params[] = {
  { .name = "id", .type = JSONRPC_INTEGER, .required = true, .min = 1,
    .max = INT64_MAX, .summary = "The id of the client." },
  { .name = "at_once", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to give up requests in flight." },
  END
};

static json_t *
method_client_disconnect (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  uint64_t id = jsonrpc_integer (call, "id"), socket;
  bool at_once = jsonrpc_boolean (call, "at_once"), closed;

  if (registry_end_client (s->registry, id, at_once ? CLIENT_LEAVES_AT_ONCE
                           : CLIENT_LEAVES, &socket) == -1)
    return FAIL (call, ENOENT, "id: there is no client %" PRIu64, id);
  closed = s->disconnect && socket && s->disconnect (socket, at_once);
  return json_pack ("{s:I, s:b}", "id", (json_int_t) id, "closed", closed);
}

/* --------------------------------------------------------- deleted disks */

static const struct jsonrpc_param deleted_params[] = {
  { .name = "after", .type = JSONRPC_INTEGER, .min = 0, .max = INT64_MAX,
    .fallback = "0",
    .summary = "Return only disks with ids above this one." },
  PARAM_LIMIT_DISKS, END
};

/* One, with those who hold it. */
static json_t *
json_deleted (struct service *s, struct named_disk *d)
{
  struct page p = { .clients = json_array (), .limit = MOST_CLIENTS };
  json_t *disk = json_disk (s, d);

  registry_clients (s->registry, d, UINT64_MAX, add_client, &p);
  if (json_object_set_new (disk, "id", json_integer (d->id)) == -1 ||
      json_object_set (disk, "clients", p.clients) == -1) {
    json_decref (disk);
    disk = NULL;
  }
  json_decref (p.clients);
  return disk;
}

static json_t *
method_deleted (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct named_disk *d[MOST_DISKS];
  json_t *disks, *next;
  bool more;
  int i, n = registry_hold_deleted (s->registry,
                                    jsonrpc_integer (call, "after"),
                                    jsonrpc_integer (call, "limit"), d, &more);

  if (n == -1)
    return FAIL (call, ENOMEM, "no memory is left");
  disks = json_array ();
  next = more && n > 0 ? json_integer (d[n - 1]->id) : json_null ();
  for (i = 0; i < n; i++) {
    json_array_append_new (disks, json_deleted (s, d[i]));
    registry_close (s->registry, d[i]);
  }
  return json_pack ("{s:o, s:o}", "disks", disks, "next", next);
}

/* ----------------------------------------------------------------- table */

const struct jsonrpc_method client_methods[] = {
  { .name = "disk_deleted", .params = deleted_params,
    .summary = "List destroyed disks that clients still have open.",
    .result = "{\"disks\": [{" DISK_RESULT ", \"id\", \"clients\"}], "
    "\"next\"}", .fn = method_deleted },
  { .name = "client_list", .params = client_list_params,
    .summary = "List the clients that have disks open, newest first.",
    .result = "{\"clients\": [{" CLIENT_RESULT "}], \"next\"}",
    .fn = method_client_list },
  { .name = "client_disconnect", .changes = true,
    .params = client_disconnect_params,
    .summary = "Disconnect a client from its disk.",
    .result = "{\"id\", \"closed\"}", .fn = method_client_disconnect },
  { .name = NULL }
};
