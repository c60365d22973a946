/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the control socket. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "arena.h"
#include "cleanup.h"
#include "control.h"
#include "disk.h"
#include "events.h"
#include "figures.h"
#include "jsonrpc.h"
#include "methods.h"
#include "printable.h"
#include "registry.h"

/* The longest page of disks, and of extents, that one answer has. */
#define MOST_DISKS 1000
#define MOST_EXTENTS 10000

/* ---------------------------------------------------------------- errors */

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
};

static struct service *
service_of (struct jsonrpc_call *call)
{
  return call->service;
}

/* Fail for an errno value, with a message that the caller has made. */
#define FAIL(call, err, ...)                                            \
  jsonrpc_fail (call, error_code (err), error_data (err), __VA_ARGS__)

static int
error_code (int err)
{
  size_t i;

  for (i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (errors[i].err == err)
      return errors[i].code;
  return JSONRPC_INTERNAL;
}

static json_t *
error_data (int err)
{
  size_t i;

  for (i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (errors[i].err == err)
      return json_pack ("{s:s}", "errno", errors[i].name);
  return NULL;
}

static json_t *
no_disk (struct jsonrpc_call *call, const char *param)
{
  char shown[PRINTABLE_STRING];

  return FAIL (call, ENOENT, "%s: there is no disk \"%s\"", param,
               printable (jsonrpc_string (call, param), shown));
}

/* What went wrong with making or resizing the disk `name'. */
static json_t *
failed (struct jsonrpc_call *call, int err, uint64_t size,
        uint32_t sector_size)
{
  const struct registry_options *o =
    registry_options (service_of (call)->registry);
  const char *name = jsonrpc_string (call, "name");
  char shown[PRINTABLE_STRING] = "";

  if (name)
    printable (name, shown);
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
    return FAIL (call, err, "there are max-disks=%zu disks already",
                 o->max_disks);
  case ENAMETOOLONG:
  case EILSEQ:
    return FAIL (call, err, "name: \"%s\": expected %s", shown,
                 registry_check_name (name));
  case ENOSPC:
    return FAIL (call, err, "no memory is left: max-memory is reached");
  default:
    return FAIL (call, err, "%s", strerror (err));
  }
}

/* ------------------------------------------------------------ parameters */

#define SIZE_RANGE .min = 0, .max = INT64_MAX
#define END { .name = NULL }

#define PARAM_NAME \
  { .name = "name", .type = JSONRPC_STRING, .required = true,           \
    .summary = "The disk's name, which may be empty." }
#define PARAM_READONLY \
  { .name = "readonly", .type = JSONRPC_BOOLEAN, .fallback = "false",   \
    .summary = "Refuse writes to it." }
#define PARAM_QUOTA \
  { .name = "quota", .type = JSONRPC_INTEGER, .nullable = true, SIZE_RANGE, \
    .fallback = "null",                                                 \
    .summary = "How many bytes it may own; null: as many as there are." }
#define PARAM_IF_EXISTS \
  { .name = "if_exists", .type = JSONRPC_STRING, .words = if_exists_words, \
    .fallback = "\"error\"",                                            \
    .summary = "What to do if the name is taken." }
#define PARAM_AFTER \
  { .name = "after", .type = JSONRPC_STRING,                            \
    .summary = "Only disks whose names come later." }
#define PARAM_LIMIT_DISKS \
  { .name = "limit", .type = JSONRPC_INTEGER, .min = 1, .max = MOST_DISKS, \
    .fallback = "100", .summary = "At most so many disks." }
#define PARAM_OFFSET \
  { .name = "offset", .type = JSONRPC_INTEGER, SIZE_RANGE, .fallback = "0", \
    .summary = "Where to begin." }
#define PARAM_LIMIT_EXTENTS \
  { .name = "limit", .type = JSONRPC_INTEGER, .min = 1,                 \
    .max = MOST_EXTENTS, .fallback = "1000",                            \
    .summary = "At most so many extents." }

static const char *const if_exists_words[] = {
  [IF_EXISTS_ERROR] = "error",
  [IF_EXISTS_IGNORE] = "ignore",
  [IF_EXISTS_REPLACE] = "replace",
  NULL
};

static enum if_exists
if_exists (struct jsonrpc_call *call)
{
  const char *word = jsonrpc_string (call, "if_exists");
  unsigned i = 0;

  while (strcmp (if_exists_words[i], word) != 0)
    i++;
  return i;
}

static uint64_t
quota (struct jsonrpc_call *call)
{
  return jsonrpc_is_null (call, "quota")
    ? TREE_NO_QUOTA : (uint64_t) jsonrpc_integer (call, "quota");
}

/* ------------------------------------------------------- version, create */

static json_t *
method_version (struct jsonrpc_call *call)
{
  (void) call;
  return json_pack ("{s:s, s:s, s:i}", "name", "mramdisk",
                    "version", PACKAGE_VERSION, "protocol", METHODS_PROTOCOL);
}

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
    .summary = "Its size in bytes; else that of size= at the start." },
  { .name = "sector_size", .type = JSONRPC_INTEGER, .min = 1,
    .max = DISK_MAX_SECTOR,
    .summary = "1, or a power of two from 512; else that of sector-size=." },
  PARAM_READONLY, PARAM_QUOTA, PARAM_IF_EXISTS, END
};

/* A disk of the empty name, which no client could ever open. */
static bool
is_out_of_reach (const struct service *s, const char *name)
{
  return *name == '\0' && *s->default_name != '\0';
}

static json_t *
out_of_reach (struct jsonrpc_call *call)
{
  char shown[PRINTABLE_STRING];

  return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                       "name: \"\": expected another one, for clients get "
                       "\"%s\" when they ask for the empty name (default=)",
                       printable (service_of (call)->default_name, shown));
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
  };
  enum made made;

  if (is_out_of_reach (s, jsonrpc_string (call, "name")))
    return out_of_reach (call);
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
  if (registry_create (s->registry, jsonrpc_string (call, "name"), &options,
                       if_exists (call), &made) == -1)
    return failed (call, errno, options.size, options.sector_size);
  return json_made (call, made);
}

static const struct jsonrpc_param name_params[] = { PARAM_NAME, END };

static json_t *
method_destroy (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_string (call, "name");

  if (registry_destroy (service_of (call)->registry, name) == -1)
    return no_disk (call, "name");
  return json_pack ("{s:s}", "name", name);
}

static const struct jsonrpc_param resize_params[] = {
  PARAM_NAME,
  { .name = "size", .type = JSONRPC_INTEGER, .required = true, SIZE_RANGE,
    .summary = "The new size in bytes." },
  END
};

static json_t *
method_resize (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const char *name = jsonrpc_string (call, "name");
  uint64_t size = jsonrpc_integer (call, "size"), old;
  struct disk_options now;

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
    .summary = "The disk to be cloned." },
  { .name = "name", .type = JSONRPC_STRING, .required = true,
    .summary = "The clone's name, which may be empty." },
  PARAM_READONLY, PARAM_QUOTA, PARAM_IF_EXISTS, END
};

static json_t *
method_clone (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const char *source = jsonrpc_string (call, "source");
  struct disk_options options = {
    .readonly = jsonrpc_boolean (call, "readonly"),
    .quota = quota (call),
  };
  enum made made;

  if (is_out_of_reach (s, jsonrpc_string (call, "name")))
    return out_of_reach (call);
  if (registry_clone (s->registry, source, jsonrpc_string (call, "name"),
                      &options, if_exists (call), &made) == -1)
    return errno == ENOENT ? no_disk (call, "source")
      : failed (call, errno, 0, 1);
  return json_made (call, made);
}

static const struct jsonrpc_param set_params[] = {
  PARAM_NAME,
  { .name = "readonly", .type = JSONRPC_BOOLEAN,
    .summary = "Refuse writes to it; else as it was." },
  { .name = "quota", .type = JSONRPC_INTEGER, .nullable = true, SIZE_RANGE,
    .summary = "How many bytes it may own, null: as many as there are; "
    "else as it was." },
  END
};

static json_t *
method_set (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_string (call, "name");
  bool readonly = jsonrpc_boolean (call, "readonly");
  bool has_quota = jsonrpc_given (call, "quota") ||
    jsonrpc_is_null (call, "quota");
  uint64_t bytes = has_quota ? quota (call) : 0;
  struct disk_options now;

  if (registry_set (service_of (call)->registry, name,
                    jsonrpc_given (call, "readonly") ? &readonly : NULL,
                    has_quota ? &bytes : NULL, &now) == -1)
    return no_disk (call, "name");
  return json_pack ("{s:s, s:b, s:o}", "name", name,
                    "readonly", now.readonly, "quota", json_quota (now.quota));
}

/* ------------------------------------------------------------ list, info */

static json_t *
json_disk (struct service *s, struct named_disk *d)
{
  return json_pack ("{s:s, s:I, s:I, s:b, s:o, s:I, s:I}", "name", d->name,
                    "size", (json_int_t) disk_size (d->disk),
                    "sector_size", (json_int_t) d->disk->sector_size,
                    "readonly", disk_is_readonly (d->disk),
                    "quota", json_quota (disk_quota (d->disk)),
                    "mapped", (json_int_t) disk_mapped (d->disk),
                    "connections",
                    (json_int_t) registry_connections (s->registry, d));
}

/* An array of what fn makes of each disk of a page, and in *next the name to
 * go on with, or null.
 */
static json_t *
page_of_disks (struct jsonrpc_call *call,
               json_t *(*fn) (struct service *s, struct named_disk *d),
               json_t **next)
{
  struct service *s = service_of (call);
  struct named_disk *d[MOST_DISKS];
  const char *after = jsonrpc_string (call, "after");
  json_t *disks = json_array ();
  bool more, ok = true;
  size_t i, n = registry_hold_page (s->registry, after,
                                    jsonrpc_integer (call, "limit"), d, &more);

  *next = NULL;
  for (i = 0; i < n && ok; i++)
    ok = json_array_append_new (disks, fn (s, d[i])) == 0;
  if (ok)
    *next = more ? json_string (d[n - 1]->name) : json_null ();
  for (i = 0; i < n; i++)
    registry_close (s->registry, d[i]);
  if (*next == NULL) {
    json_decref (disks);
    return NULL;
  }
  return disks;
}

static const struct jsonrpc_param list_params[] = {
  PARAM_AFTER, PARAM_LIMIT_DISKS, END
};

static json_t *
method_list (struct jsonrpc_call *call)
{
  json_t *next, *disks = page_of_disks (call, json_disk, &next);

  return disks ? json_pack ("{s:o, s:o}", "disks", disks, "next", next) : NULL;
}

static json_t *
method_info (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct named_disk *d =
    registry_hold (s->registry, jsonrpc_string (call, "name"));
  uint64_t exclusive, mapped;
  json_t *result = NULL;

  if (d == NULL)
    return no_disk (call, "name");
  if (disk_exclusive (d->disk, &exclusive) == -1)
    failed (call, errno, 0, 1);
  else if ((result = json_disk (s, d)) != NULL) {
    mapped = json_integer_value (json_object_get (result, "mapped"));
    if (exclusive > mapped)     /* written to while we looked */
      exclusive = mapped;
    if (json_object_set_new (result, "exclusive",
                             json_integer (exclusive)) == -1 ||
        json_object_set_new (result, "shared",
                             json_integer (mapped - exclusive)) == -1 ||
        json_object_set_new (result, "owned",
                             json_integer (disk_owned (d->disk))) == -1) {
      json_decref (result);
      result = NULL;
    }
  }
  registry_close (s->registry, d);
  return result;
}

/* --------------------------------------------------------- extents, diff */

struct collection {
  json_t *extents;
  uint64_t end;                 /* of the range, or where it was cut off */
  json_int_t limit;
  bool sharing, cut;
};

static int
collect (struct collection *c, uint64_t end, json_t *extent)
{
  if (json_array_append_new (c->extents, extent) == -1) {
    errno = ENOMEM;
    return -1;
  }
  if ((json_int_t) json_array_size (c->extents) == c->limit && end < c->end) {
    c->end = end;
    c->cut = true;
    return 1;
  }
  return end >= c->end;
}

static int
collect_extent (void *opaque, uint64_t offset, uint64_t length,
                enum extent_type type)
{
  static const char *const names[] = {
    [EXTENT_DATA] = "data", [EXTENT_SHARED] = "data",
    [EXTENT_ZERO] = "zero", [EXTENT_HOLE] = "hole",
  };
  struct collection *c = opaque;
  json_t *extent;

  if (length > c->end - offset)
    length = c->end - offset;
  extent = json_pack ("{s:I, s:I, s:s}", "offset", (json_int_t) offset,
                      "length", (json_int_t) length, "type", names[type]);
  if (extent && c->sharing && (type == EXTENT_DATA || type == EXTENT_SHARED) &&
      json_object_set_new (extent, "shared",
                           json_boolean (type == EXTENT_SHARED)) == -1) {
    json_decref (extent);
    extent = NULL;
  }
  return collect (c, offset + length, extent);
}

static json_t *
json_collection (struct collection *c)
{
  return json_pack ("{s:o, s:o}", "extents", c->extents, "next",
                    c->cut ? json_integer (c->end) : json_null ());
}

static const struct jsonrpc_param extents_params[] = {
  PARAM_NAME, PARAM_OFFSET,
  { .name = "length", .type = JSONRPC_INTEGER, SIZE_RANGE,
    .summary = "How many bytes; else to the end of the disk." },
  PARAM_LIMIT_EXTENTS,
  { .name = "sharing", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Tell for data whether it is shared with other disks." },
  END
};

static json_t *
extents_of (struct jsonrpc_call *call, struct disk *d)
{
  uint64_t size = disk_size (d), offset = jsonrpc_integer (call, "offset");
  bool whole = !jsonrpc_given (call, "length");
  uint64_t length = whole ? (offset < size ? size - offset : 0)
    : (uint64_t) jsonrpc_integer (call, "length");
  struct collection c = {
    .end = offset + length,
    .limit = jsonrpc_integer (call, "limit"),
    .sharing = jsonrpc_boolean (call, "sharing"),
  };
  int r, err;

  if (offset > size || length > size - offset)
    return FAIL (call, EINVAL, "offset, length: %" PRIu64 ", %" PRIu64
                 ": expected a range in the disk of %" PRIu64 " bytes",
                 offset, length, size);
  c.extents = json_array ();
  r = (c.sharing ? disk_extents_sharing : disk_extents)
    (d, length, offset, collect_extent, &c);
  if (r != -1)
    return json_collection (&c);
  err = errno;
  json_decref (c.extents);
  if (err != EINVAL)
    return failed (call, err, 0, 1);
  if (d->sector_size > 1 && (offset | length) % d->sector_size)
    return FAIL (call, err, "offset, length: %" PRIu64 ", %" PRIu64
                 ": expected multiples of the sector size, %" PRIu32,
                 offset, length, d->sector_size);
  return FAIL (call, err, "the disk was made smaller meanwhile");
}

static json_t *
method_extents (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct named_disk *d =
    registry_hold (s->registry, jsonrpc_string (call, "name"));
  json_t *result;

  if (d == NULL)
    return no_disk (call, "name");
  result = extents_of (call, d->disk);
  registry_close (s->registry, d);
  return result;
}

static const struct jsonrpc_param diff_params[] = {
  { .name = "a", .type = JSONRPC_STRING, .required = true,
    .summary = "A disk." },
  { .name = "b", .type = JSONRPC_STRING, .required = true,
    .summary = "The disk to compare it with." },
  PARAM_OFFSET, PARAM_LIMIT_EXTENTS, END
};

static int
collect_difference (void *opaque, uint64_t offset, uint64_t length)
{
  struct collection *c = opaque;

  return collect (c, offset + length,
                  json_pack ("{s:I, s:I}", "offset", (json_int_t) offset,
                             "length", (json_int_t) length));
}

static json_t *
method_diff (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct collection c = {
    .end = UINT64_MAX, .limit = jsonrpc_integer (call, "limit"),
  };
  struct named_disk *a, *b;
  json_t *result = NULL;

  a = registry_hold (s->registry, jsonrpc_string (call, "a"));
  if (a == NULL)
    return no_disk (call, "a");
  b = registry_hold (s->registry, jsonrpc_string (call, "b"));
  if (b == NULL)
    result = no_disk (call, "b");
  else {
    c.extents = json_array ();
    if (disk_diff (a->disk, b->disk, jsonrpc_integer (call, "offset"),
                   collect_difference, &c) == -1) {
      json_decref (c.extents);
      failed (call, errno, 0, 1);
    }
    else
      result = json_collection (&c);
    registry_close (s->registry, b);
  }
  registry_close (s->registry, a);
  return result;
}

/* ----------------------------------------------------------------- stats */

static json_t *
json_latency (const struct figure_sum *f)
{
  json_t *latency = json_array ();
  unsigned i;

  for (i = 0; i < FIGURE_BUCKETS; i++)
    if (f->bucket[i] &&
        json_array_append_new (latency,
                               json_pack ("[I, I]",
                                          (json_int_t) (UINT64_C (1) << i),
                                          (json_int_t) f->bucket[i])) == -1) {
      json_decref (latency);
      return NULL;
    }
  return latency;
}

static json_t *
json_figure (const struct figure_sum *f)
{
  return json_pack ("{s:I, s:I, s:I, s:o}", "ops", (json_int_t) f->ops,
                    "bytes", (json_int_t) f->bytes,
                    "errors", (json_int_t) f->errors,
                    "latency", json_latency (f));
}

static json_t *
json_figures (const struct figures_sum *sum)
{
  const struct figure_sum *e = &sum->of[FIGURE_EXTENTS];

  return json_pack ("{s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:I, s:I}",
                    "read", json_figure (&sum->of[FIGURE_READ]),
                    "write", json_figure (&sum->of[FIGURE_WRITE]),
                    "zero", json_figure (&sum->of[FIGURE_ZERO]),
                    "trim", json_figure (&sum->of[FIGURE_TRIM]),
                    "extents", "ops", (json_int_t) e->ops,
                    "errors", (json_int_t) e->errors,
                    "enospc_quota", (json_int_t) sum->quota,
                    "enospc_memory", (json_int_t) sum->no_memory);
}

static json_t *
json_disk_stats (struct service *s, struct named_disk *d)
{
  struct figures_sum sum;
  size_t connections = registry_figures (s->registry, d, &sum);
  json_t *disk = json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o}", "name", d->name,
                            "connections", (json_int_t) connections,
                            "size", (json_int_t) disk_size (d->disk),
                            "mapped", (json_int_t) disk_mapped (d->disk),
                            "owned", (json_int_t) disk_owned (d->disk),
                            "quota", json_quota (disk_quota (d->disk)));
  json_t *figures = json_figures (&sum);

  if (json_object_update_missing (disk, figures) == -1) {
    json_decref (disk);
    disk = NULL;
  }
  json_decref (figures);
  return disk;
}

static uint64_t
now_seconds (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec;
}

void
methods_started (struct service *s)
{
  s->started = now_seconds ();
}

static json_t *
json_arena (struct service *s, size_t connections)
{
  struct arena_stats stats;

  arena_stats (s->arena, &stats);
  return json_pack ("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                    "limit", (json_int_t) stats.limit,
                    "used", (json_int_t) stats.used,
                    "cached", (json_int_t) stats.cached,
                    "retired", (json_int_t) stats.retired,
                    "grace_periods", (json_int_t) stats.grace_periods,
                    "disks", (json_int_t) registry_count (s->registry),
                    "connections", (json_int_t) connections,
                    "clients", (json_int_t) control_clients (s->control),
                    "uptime_seconds",
                    (json_int_t) (now_seconds () - s->started));
}

static const struct jsonrpc_param stats_params[] = {
  { .name = "name", .type = JSONRPC_STRING,
    .summary = "Only this disk; else a page of all." },
  PARAM_AFTER, PARAM_LIMIT_DISKS, END
};

static json_t *
method_stats (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct figures_sum total;
  json_t *disks, *next;
  size_t connections;

  if (jsonrpc_given (call, "name")) {
    struct named_disk *d =
      registry_hold (s->registry, jsonrpc_string (call, "name"));

    if (jsonrpc_given (call, "after")) {
      if (d)
        registry_close (s->registry, d);
      return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                           "after: expected only without name");
    }
    if (d == NULL)
      return no_disk (call, "name");
    disks = json_pack ("[o]", json_disk_stats (s, d));
    next = json_null ();
    registry_close (s->registry, d);
  }
  else
    disks = page_of_disks (call, json_disk_stats, &next);
  if (disks == NULL)
    return NULL;
  connections = registry_all_figures (s->registry, &total);
  return json_pack ("{s:o, s:o, s:i, s:o, s:o}",
                    "arena", json_arena (s, connections),
                    "total", json_figures (&total),
                    "latency_sample", FIGURES_SAMPLE,
                    "disks", disks, "next", next);
}

/* ------------------------------------------------------------- subscribe */

static const struct jsonrpc_param subscribe_params[] = {
  { .name = "events", .type = JSONRPC_STRINGS, .words = event_words,
    .summary = "Which; else all.  None ends it." },
  END
};

static json_t *
method_subscribe (struct jsonrpc_call *call)
{
  const json_t *events = json_object_get (call->params, "events");
  struct service *s = service_of (call);
  uint32_t kinds = events ? 0 : UINT32_MAX;
  json_t *names = json_array ();
  const json_t *event;
  size_t i, j;

  json_array_foreach (events, j, event)
    for (i = 0; event_words[i]; i++)
      if (strcmp (event_words[i], json_string_value (event)) == 0)
        kinds |= KIND (i);
  for (i = 0; event_words[i]; i++)
    if (kinds & KIND (i))
      json_array_append_new (names, json_string (event_words[i]));
  /* Who comes when memory is low already is to hear of it. */
  if (kinds & KIND (EVENT_MEMORY_LOW))
    s->low = false;
  if (call->client)
    control_subscribe (call->client, kinds);
  return json_pack ("{s:o}", "events", names);
}

/* ----------------------------------------------------------------- table */

#define DISK_RESULT \
  "\"name\", \"size\", \"sector_size\", \"readonly\", \"quota\", "      \
  "\"mapped\", \"connections\""
#define MADE_RESULT "{\"name\", \"created\", \"replaced\"}"

const struct jsonrpc_method mramdisk_methods[] = {
  { .name = "version",
    .summary = "Say what serves the socket.",
    .result = "{\"name\", \"version\", \"protocol\"}", .fn = method_version },
  JSONRPC_HELP_METHOD,
  { .name = "disk_create", .changes = true, .params = create_params,
    .summary = "Make an empty disk.", .result = MADE_RESULT,
    .fn = method_create },
  { .name = "disk_destroy", .changes = true, .params = name_params,
    .summary = "Take a disk's name away.  Who has it open keeps it.",
    .result = "{\"name\"}", .fn = method_destroy },
  { .name = "disk_resize", .changes = true, .params = resize_params,
    .summary = "Change a disk's size.",
    .result = "{\"name\", \"size\", \"old_size\"}", .fn = method_resize },
  { .name = "disk_clone", .changes = true, .params = clone_params,
    .summary = "Make a disk with the content that another has now.",
    .result = MADE_RESULT, .fn = method_clone },
  { .name = "disk_set", .changes = true, .params = set_params,
    .summary = "Change a disk's read-only flag or its quota.",
    .result = "{\"name\", \"readonly\", \"quota\"}", .fn = method_set },
  { .name = "disk_list", .params = list_params,
    .summary = "List disks in the order of their names.",
    .result = "{\"disks\": [{" DISK_RESULT "}], \"next\"}", .fn = method_list },
  { .name = "disk_info", .params = name_params,
    .summary = "Describe a disk, and count what it shares.",
    .result = "{" DISK_RESULT ", \"exclusive\", \"shared\", \"owned\"}",
    .slow = true, .fn = method_info },
  { .name = "disk_extents", .params = extents_params,
    .summary = "List where a disk has data, zeros and holes.",
    .result = "{\"extents\": [{\"offset\", \"length\", \"type\", "
    "\"shared\"}], \"next\"}", .slow = true, .fn = method_extents },
  { .name = "disk_diff", .params = diff_params,
    .summary = "List where two disks differ.",
    .result = "{\"extents\": [{\"offset\", \"length\"}], \"next\"}",
    .slow = true, .fn = method_diff },
  { .name = "stats", .params = stats_params,
    .summary = "Report the figures of the server and of disks.",
    .result = "{\"arena\", \"total\", \"latency_sample\", \"disks\", "
    "\"next\"}", .fn = method_stats },
  { .name = "subscribe", .params = subscribe_params,
    .summary = "Send events as they happen.",
    .result = "{\"events\"}", .fn = method_subscribe },
  { .name = NULL }
};
