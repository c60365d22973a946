/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods that create, change and destroy disks. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "events.h"
#include "method-parts.h"
#include "open-origin.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"

static json_t *
json_made (struct jsonrpc_call *call, enum made made)
{
  return json_pack ("{s:s, s:b, s:b}", "name", jsonrpc_string (call, "name"),
                    "created", made != MADE_NOTHING,
                    "replaced", made == MADE_REPLACEMENT);
}

static const struct jsonrpc_param create_params[] = {
  PARAM_NAME,
  { .name = "size", .type = JSONRPC_INTEGER, SIZE_RANGE,
    .summary = "The size in bytes.  The default is the plugin's size=." },
  { .name = "sector_size", .type = JSONRPC_INTEGER, .min = 1,
    .max = DISK_MAX_SECTOR,
    .summary = "1, or a power of two of at least 512.  The default is the "
    "plugin's sector-size=." },
  PARAM_READONLY, PARAM_QUOTA, PARAM_IF_EXISTS, PARAM_IF_OPEN,
  { .name = "origin", .type = JSONRPC_STRING,
    .summary = "The URI of an NBD export whose content the disk shows where it "
    "was not written.  The default is no origin." },
  { .name = "prefetch", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to fetch all of the origin in the background." },
  { .name = "prefetch_rate", .type = JSONRPC_INTEGER,
    .min = LEAST_PREFETCH_RATE, .max = INT64_MAX,
    .summary = "The most that is fetched so, in bytes a second.  The default "
    "is no limit." },
  END
};

/* A disk of the empty name, which no client could ever open. */
static bool
is_out_of_reach (const struct service *s, const char *name)
{
  return *name == '\0' && *s->default_name != '\0';
}

static json_t *
out_of_reach (struct jsonrpc_call *call, const char *param)
{
  char shown[PRINTABLE_STRING];

  return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                       "%s: \"\": expected another name: to clients, the "
                       "empty name means \"%s\" (default=)", param,
                       printable_name (service_of (call)->default_name, shown));
}

/* Connect to the origin, if there is to be one, and take its size if none was
 * given.  Returns 0; or -1 after jsonrpc_fail.
 */
static int
find_origin (struct jsonrpc_call *call, struct disk_options *options)
{
  const struct origin_request request = {
    .uri = jsonrpc_string (call, "origin"),
    .prefetch = jsonrpc_boolean (call, "prefetch"),
    .prefetch_rate = jsonrpc_given (call, "prefetch_rate")
      ? jsonrpc_integer (call, "prefetch_rate") : 0,
  };
  struct service *s = service_of (call);
  char why[REMOTE_WHY];
  int err;

  if (request.uri == NULL && (request.prefetch || request.prefetch_rate)) {
    jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                  "prefetch, prefetch_rate: expected origin as well");
    return -1;
  }
  if (request.uri == NULL)
    return 0;
  options->origin = open_origin (s, &request, why);
  if (options->origin == NULL) {
    err = errno;
    if (err == ENOMEM || err == ENOSPC)
      failed (call, err, 0, 1);
    else
      FAIL (call, EIO, "origin: %s", why);
    return -1;
  }
  if (!jsonrpc_given (call, "size"))
    options->size = origin_size (options->origin);
  return 0;
}

static json_t *
method_create (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const struct registry_options *o = registry_options (s->registry);
  struct disk_options options = {
    .size = o->default_size,
    .sector_size = o->sector_size,
    .readonly = jsonrpc_boolean (call, "readonly"),
    .quota = quota (call),
    .if_open = if_open (call),
  };
  enum made made;
  int r, err;

  if (is_out_of_reach (s, jsonrpc_string (call, "name")))
    return out_of_reach (call, "name");
  if (jsonrpc_given (call, "size"))
    options.size = jsonrpc_integer (call, "size");
  if (jsonrpc_given (call, "sector_size"))
    options.sector_size = jsonrpc_integer (call, "sector_size");
  if (options.sector_size != 1 &&
      (options.sector_size < DISK_MIN_SECTOR ||
       options.sector_size & (options.sector_size - 1)))
    return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                         "sector_size: %" PRIu32 ": expected 1, or a power of "
                         "two from %d to %d", options.sector_size,
                         DISK_MIN_SECTOR, DISK_MAX_SECTOR);
  if (find_origin (call, &options) == -1)
    return NULL;
  r = registry_create (s->registry, jsonrpc_string (call, "name"), &options,
                       if_exists (call), &made);
  err = errno;
  origin_put (options.origin);
  return r == -1 ? failed (call, err, options.size, options.sector_size)
    : json_made (call, made);
}

#define PARAM_DRY_RUN                                                   \
  { .name = "dry_run", .type = JSONRPC_BOOLEAN, .fallback = "false",    \
    .summary = "Whether to change nothing, and only succeed or fail as the " \
    "call would now." }

static bool
is_dry_run (struct jsonrpc_call *call)
{
  return jsonrpc_boolean (call, "dry_run");
}

/* Would if_open let this disk be destroyed or replaced?  Gives up d. */
static bool
is_free_to_go (struct jsonrpc_call *call, struct named_disk *d)
{
  struct registry *r = service_of (call)->registry;
  bool used = if_open (call) == IF_OPEN_ERROR && registry_is_in_use (r, d);

  registry_close (r, d);
  return !used;
}

static const struct jsonrpc_param destroy_params[] = {
  PARAM_NAME, PARAM_IF_OPEN, PARAM_DRY_RUN, END
};

static json_t *
would_destroy (struct jsonrpc_call *call, const char *name)
{
  struct named_disk *d = registry_hold (service_of (call)->registry, name);

  if (d == NULL)
    return no_disk (call, "name");
  return is_free_to_go (call, d) ? json_pack ("{s:s}", "name", name)
    : in_use (call, name);
}

static json_t *
method_destroy (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_string (call, "name");

  if (is_dry_run (call))
    return would_destroy (call, name);
  if (registry_destroy_if (service_of (call)->registry, name,
                           if_open (call)) == -1)
    return errno == EBUSY ? in_use (call, name) : no_disk (call, "name");
  return json_pack ("{s:s}", "name", name);
}

static const struct jsonrpc_param resize_params[] = {
  PARAM_NAME,
  { .name = "size", .type = JSONRPC_INTEGER, .required = true, SIZE_RANGE,
    .summary = "The new size in bytes." },
  { .name = "if_open", .type = JSONRPC_STRING, .words = if_open_words,
    .fallback = "\"keep\"",
    .summary = "What to do if the disk would shrink and clients have it open." },
  END
};

/* Would the disk shrink under clients?  A client that connects later sees the
 * new size, or is one that connected while this was asked.
 */
static bool
shrinks_in_use (struct service *s, const char *name, uint64_t size)
{
  struct named_disk *d = registry_hold (s->registry, name);
  bool r = d && size < disk_size (d->disk) &&
    registry_is_in_use (s->registry, d);

  if (d)
    registry_close (s->registry, d);
  return r;
}

static json_t *
method_resize (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const char *name = jsonrpc_string (call, "name");
  uint64_t size = jsonrpc_integer (call, "size"), old;
  struct disk_options now;

  if (if_open (call) == IF_OPEN_ERROR && shrinks_in_use (s, name, size))
    return in_use (call, name);
  if (registry_resize (s->registry, name, size, &old) == -1) {
    int err = errno;

    if (err == EINVAL &&
        registry_set (s->registry, name, NULL, NULL, &now) == -1)
      return no_disk (call, "name");
    return failed (call, err, size, err == EINVAL ? now.sector_size : 1);
  }
  return json_pack ("{s:s, s:I, s:I}", "name", name,
                    "size", (json_int_t) size, "old_size", (json_int_t) old);
}

static const struct jsonrpc_param clone_params[] = {
  { .name = "source", .type = JSONRPC_STRING, .required = true,
    .summary = "The disk to clone." },
  { .name = "name", .type = JSONRPC_STRING, .required = true,
    .summary = "The name of the clone; may be empty." },
  PARAM_READONLY, PARAM_QUOTA, PARAM_IF_EXISTS, PARAM_IF_OPEN, END
};

static json_t *
method_clone (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const char *source = jsonrpc_string (call, "source");
  struct disk_options options = {
    .readonly = jsonrpc_boolean (call, "readonly"),
    .quota = quota (call),
    .if_open = if_open (call),
  };
  enum made made;

  if (is_out_of_reach (s, jsonrpc_string (call, "name")))
    return out_of_reach (call, "name");
  if (registry_clone (s->registry, source, jsonrpc_string (call, "name"),
                      &options, if_exists (call), &made) == -1)
    return errno == ENOENT ? no_disk (call, "source")
      : failed (call, errno, 0, 1);
  return json_made (call, made);
}

static const char *const if_exceeded_words[] = { "keep", "error", NULL };

static const struct jsonrpc_param set_params[] = {
  PARAM_NAME,
  { .name = "readonly", .type = JSONRPC_BOOLEAN,
    .summary = "Whether the disk refuses writes.  The default is no change." },
  { .name = "quota", .type = JSONRPC_INTEGER, .nullable = true, SIZE_RANGE,
    .summary = "How many bytes the disk may own; null means no limit.  The "
    "default is no change." },
  { .name = "if_exceeded", .type = JSONRPC_STRING, .words = if_exceeded_words,
    .fallback = "\"keep\"",
    .summary = "What to do if the disk owns more than the quota already." },
  PARAM_DRY_RUN, END
};

/* The disk owns more than a quota allows.  Returns 1 then, with how much in
 * *owned; 0; or -1: there is no such disk.
 */
static int
exceeds (struct service *s, const char *name, uint64_t bytes, uint64_t *owned)
{
  struct named_disk *d = registry_hold (s->registry, name);

  if (d == NULL)
    return -1;
  *owned = disk_owned (d->disk);
  registry_close (s->registry, d);
  return *owned > bytes;
}

static json_t *
quota_exceeded (struct jsonrpc_call *call, uint64_t bytes, uint64_t owned)
{
  char shown[PRINTABLE_STRING];

  return jsonrpc_fail (call, error_code (EDQUOT),
                       json_pack ("{s:s, s:I}", "errno", "EDQUOT", "owned",
                                  (json_int_t) owned),
                       "quota: %" PRIu64 ": the disk \"%s\" owns %" PRIu64
                       " bytes already", bytes,
                       printable_name (jsonrpc_string (call, "name"), shown),
                       owned);
}

static json_t *
method_set (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_string (call, "name");
  bool readonly = jsonrpc_boolean (call, "readonly");
  bool has_quota = jsonrpc_given (call, "quota") ||
    jsonrpc_is_null (call, "quota");
  bool dry = is_dry_run (call);
  uint64_t bytes = has_quota ? quota (call) : 0, owned;
  struct disk_options now;

  if (has_quota && strcmp (jsonrpc_string (call, "if_exceeded"), "error") == 0
      && exceeds (service_of (call), name, bytes, &owned) == 1)
    return quota_exceeded (call, bytes, owned);
  if (registry_set (service_of (call)->registry, name,
                    jsonrpc_given (call, "readonly") && !dry ? &readonly : NULL,
                    has_quota && !dry ? &bytes : NULL, &now) == -1)
    return no_disk (call, "name");
  if (dry && jsonrpc_given (call, "readonly"))
    now.readonly = readonly;
  if (dry && has_quota)
    now.quota = bytes;
  return json_pack ("{s:s, s:b, s:o}", "name", name,
                    "readonly", now.readonly, "quota", json_quota (now.quota));
}

/* --------------------------------------------------------- rename, reset */

static const struct jsonrpc_param rename_params[] = {
  PARAM_NAME,
  { .name = "new_name", .type = JSONRPC_STRING, .required = true,
    .summary = "The name that the disk gets." },
  END
};

static json_t *
method_rename (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const char *name = jsonrpc_string (call, "name");
  const char *new_name = jsonrpc_string (call, "new_name");
  char shown[PRINTABLE_STRING];

  if (is_out_of_reach (s, new_name))
    return out_of_reach (call, "new_name");
  if (registry_rename (s->registry, name, new_name) == 0)
    return json_pack ("{s:s, s:s}", "name", new_name, "old_name", name);
  printable_name (new_name, shown);
  if (errno == EEXIST)
    return FAIL (call, EEXIST, "new_name: there is a disk \"%s\" already",
                 shown);
  if (errno == ENAMETOOLONG || errno == EILSEQ)
    return FAIL (call, errno, "new_name: \"%s\": expected %s", shown,
                 registry_check_name (new_name));
  return failed (call, errno, 0, 1);
}

static const struct jsonrpc_param reset_params[] = {
  PARAM_NAME, PARAM_IF_OPEN, PARAM_DRY_RUN, END
};

static json_t *
reset_to (const char *name, const char *parent)
{
  return json_pack ("{s:s, s:s}", "name", name, "parent", parent);
}

static json_t *
no_parent (struct jsonrpc_call *call, const char *name)
{
  char shown[PRINTABLE_STRING];

  return FAIL (call, ECHILD, "name: the disk \"%s\" has no parent: it is not "
               "a clone, or the disk it was cloned from is gone",
               printable_name (name, shown));
}

static json_t *
would_reset (struct jsonrpc_call *call, const char *name)
{
  struct registry *r = service_of (call)->registry;
  struct named_disk *d = registry_hold (r, name);
  CLEANUP_FREE char *parent = NULL;
  bool exists = false, is_free;

  if (d == NULL)
    return no_disk (call, "name");
  parent = registry_parent (r, d, &exists);
  is_free = is_free_to_go (call, d);
  if (parent == NULL || !exists)
    return no_parent (call, name);
  return is_free ? reset_to (name, parent) : in_use (call, name);
}

static json_t *
method_reset (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_string (call, "name");
  CLEANUP_FREE char *parent = NULL;

  if (is_dry_run (call))
    return would_reset (call, name);
  if (registry_reset (service_of (call)->registry, name, if_open (call),
                      &parent) == 0)
    return reset_to (name, parent);
  return errno == ECHILD ? no_parent (call, name) : failed (call, errno, 0, 1);
}

#define MADE_RESULT "{\"name\", \"created\", \"replaced\"}"

const struct jsonrpc_method change_methods[] = {
  { .name = "disk_create", .changes = true, .params = create_params,
    .summary = "Create an empty disk, or one over an origin.",
    .result = MADE_RESULT, .blocking_with = "origin",
    .fn = method_create },
  { .name = "disk_destroy", .changes = true, .params = destroy_params,
    .summary = "Destroy a disk.  Open connections keep it until they close.",
    .result = "{\"name\"}", .fn = method_destroy },
  { .name = "disk_resize", .changes = true, .params = resize_params,
    .summary = "Change the size of a disk.",
    .result = "{\"name\", \"size\", \"old_size\"}",
    .blocking = true, .fn = method_resize },
  { .name = "disk_clone", .changes = true, .params = clone_params,
    .summary = "Create a disk with the current content of another.",
    .result = MADE_RESULT, .blocking = true, .fn = method_clone },
  { .name = "disk_set", .changes = true, .params = set_params,
    .summary = "Change a disk's read-only flag or its quota.",
    .result = "{\"name\", \"readonly\", \"quota\"}", .fn = method_set },
  { .name = "disk_rename", .changes = true, .params = rename_params,
    .summary = "Give a disk another name.  Open connections keep the disk.",
    .result = "{\"name\", \"old_name\"}", .blocking = true,
    .fn = method_rename },
  { .name = "disk_reset", .changes = true, .params = reset_params,
    .summary = "Replace a clone by a new clone of the disk it was cloned from.",
    .result = "{\"name\", \"parent\"}", .blocking = true,
    .fn = method_reset },
  { .name = NULL }
};
