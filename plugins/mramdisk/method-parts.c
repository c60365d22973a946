/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of methods share.  method-parts.h has the rules. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/printable.h"
#include "method-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"

static const struct { int err, code; const char *name; } errors[] = {
  { ENOENT, -32000, "ENOENT" },
  { EEXIST, -32001, "EEXIST" },
  { EINVAL, -32002, "EINVAL" },
  { EFBIG, -32003, "EFBIG" },
  { ENFILE, -32004, "ENFILE" },
  { ENOSPC, -32005, "ENOSPC" },
  { ENOMEM, -32006, "ENOMEM" },
  { ENAMETOOLONG, -32007, "ENAMETOOLONG" },
  { EILSEQ, -32007, "EILSEQ" },
  { EBUSY, -32009, "EBUSY" },
  { EDQUOT, -32010, "EDQUOT" },
  { ECHILD, -32011, "ECHILD" },
  { ESTALE, -32012, "ESTALE" },
  { EIO, -32013, "EIO" },
};

int
error_code (int err)
{
  size_t i;

  for (i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (errors[i].err == err)
      return errors[i].code;
  return JSONRPC_INTERNAL;
}

json_t *
error_data (int err)
{
  size_t i;

  for (i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (errors[i].err == err)
      return json_pack ("{s:s}", "errno", errors[i].name);
  return NULL;
}

json_t *
no_disk (struct jsonrpc_call *call, const char *param)
{
  char shown[PRINTABLE_STRING];

  return FAIL (call, ENOENT, "%s: there is no disk \"%s\"", param,
               printable_name (jsonrpc_string (call, param), shown));
}

/* So many clients are named in one message, and in its data. */
#define MOST_NAMED 3
#define MOST_PEERS 20

struct users {
  size_t n;
  json_t *peers;
  char named[MOST_NAMED * 64];
};

static int
add_user (void *opaque, const struct registry_client_info *info)
{
  struct users *u = opaque;
  char text[REGISTRY_ADDRESS + 48];

  if (info->peer.is_filter)
    return 0;
  peer_text (&info->peer, text, sizeof text);
  if (u->n < MOST_NAMED) {
    size_t len = strlen (u->named);

    snprintf (u->named + len, sizeof u->named - len, "%s%s", len ? "; " : "",
              text);
  }
  if (u->n < MOST_PEERS)
    json_array_append_new (u->peers, json_string (text));
  u->n++;
  return 0;
}

json_t *
in_use (struct jsonrpc_call *call, const char *name)
{
  struct service *s = service_of (call);
  struct named_disk *d = registry_hold (s->registry, name);
  struct users u = { .peers = json_array () };
  char shown[PRINTABLE_STRING];
  json_t *data;

  if (d) {
    registry_clients (s->registry, d, UINT64_MAX, add_user, &u);
    registry_close (s->registry, d);
  }
  data = json_pack ("{s:s, s:I, s:o}", "errno", "EBUSY", "clients",
                    (json_int_t) u.n, "peers", u.peers);
  if (u.n == 0)
    return jsonrpc_fail (call, error_code (EBUSY), data,
                         "name: the disk \"%s\" is in use: a client is "
                         "connecting, or a load keeps it",
                         printable_name (name, shown));
  return jsonrpc_fail (call, error_code (EBUSY), data,
                       "name: the disk \"%s\" is in use by %zu client%s (%s%s)",
                       printable_name (name, shown), u.n, u.n == 1 ? "" : "s",
                       u.named, u.n > MOST_NAMED ? "; ..." : "");
}

json_t *
failed (struct jsonrpc_call *call, int err, uint64_t size,
        uint32_t sector_size)
{
  const struct registry_options *o =
    registry_options (service_of (call)->registry);
  const char *name = jsonrpc_string (call, "name");
  char shown[PRINTABLE_STRING] = "", full[ARENA_NO_SPACE];

  if (name)
    printable_name (name, shown);
  switch (err) {
  case ENOENT:
    return no_disk (call, "name");
  case EEXIST:
    return FAIL (call, err, "name: there is a disk \"%s\" already", shown);
  case EINVAL:
    return FAIL (call, err, "size: %" PRIu64 ": expected a multiple of the "
                 "sector size, %" PRIu32, size, sector_size);
  case EFBIG:
    return FAIL (call, err, "size: %" PRIu64 ": expected at most "
                 "max-size=%" PRIu64, size, o->max_size);
  case ENFILE:
    return FAIL (call, err, "name: no room for the disk \"%s\": there are "
                 "max-disks=%zu disks already", shown, o->max_disks);
  case ENAMETOOLONG:
  case EILSEQ:
    return FAIL (call, err, "name: \"%s\": expected %s", shown,
                 registry_check_name (name));
  case ENOSPC:
    return FAIL (call, err, "%s",
                 arena_no_space (service_of (call)->arena, full));
  case EBUSY:
    return in_use (call, name);
  case ESTALE:
    return FAIL (call, err, "name: the disk \"%s\" was replaced in the "
                 "meantime", shown);
  case ECANCELED:
    return FAIL (call, err, "the server is shutting down");
  default:
    return FAIL (call, err, "%s", strerror (err));
  }
}

const char *const if_exists_words[] = {
  [IF_EXISTS_ERROR] = "error",
  [IF_EXISTS_IGNORE] = "ignore",
  [IF_EXISTS_REPLACE] = "replace",
  NULL
};

enum if_exists
if_exists (struct jsonrpc_call *call)
{
  const char *word = jsonrpc_string (call, "if_exists");
  unsigned i = 0;

  while (strcmp (if_exists_words[i], word) != 0)
    i++;
  return i;
}

const char *const if_open_words[] = {
  [IF_OPEN_KEEP] = "keep",
  [IF_OPEN_ERROR] = "error",
  NULL
};

enum if_open
if_open (struct jsonrpc_call *call)
{
  return strcmp (jsonrpc_string (call, "if_open"),
                 if_open_words[IF_OPEN_ERROR]) == 0
    ? IF_OPEN_ERROR : IF_OPEN_KEEP;
}

uint64_t
quota (struct jsonrpc_call *call)
{
  return jsonrpc_is_null (call, "quota")
    ? TREE_NO_QUOTA : (uint64_t) jsonrpc_integer (call, "quota");
}

json_t *
page_of_disks (struct jsonrpc_call *call,
               json_t *(*fn) (struct service *s, struct named_disk *d),
               json_t **next)
{
  struct service *s = service_of (call);
  struct named_disk *d[MOST_DISKS];
  const char *after = jsonrpc_string (call, "after");
  json_t *disks = json_array ();
  char last[REGISTRY_MAX_NAME + 1];
  bool more, ok = true;
  size_t i, n = registry_hold_page (s->registry, after,
                                    jsonrpc_integer (call, "limit"), d, &more,
                                    last);

  *next = NULL;
  for (i = 0; i < n && ok; i++)
    ok = json_array_append_new (disks, fn (s, d[i])) == 0;
  if (ok)
    *next = more ? json_string (last) : json_null ();
  for (i = 0; i < n; i++)
    registry_close (s->registry, d[i]);
  if (*next == NULL) {
    json_decref (disks);
    return NULL;
  }
  return disks;
}
