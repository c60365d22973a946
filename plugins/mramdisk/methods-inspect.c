/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods that describe disks: what they are, what is where in them. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/uuid.h"
#include "events.h"
#include "json-origin.h"
#include "method-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"

/* The most extents that one answer has. */
#define MOST_EXTENTS 10000

#define PARAM_OFFSET \
  { .name = "offset", .type = JSONRPC_INTEGER, SIZE_RANGE, .fallback = "0", \
    .summary = "The offset at which to start." }
#define PARAM_LIMIT_EXTENTS \
  { .name = "limit", .type = JSONRPC_INTEGER, .min = 1,                 \
    .max = MOST_EXTENTS, .fallback = "1000",                            \
    .summary = "The maximum number of extents to return." }

/* ------------------------------------------------------------ list, info */

json_t *
json_disk (struct service *s, struct named_disk *d)
{
  CLEANUP_FREE char *parent = NULL;
  char uuid[UUID_STRING];
  bool exists;

  parent = registry_parent (s->registry, d, &exists);
  return json_pack ("{s:s, s:s, s:I, s:I, s:b, s:o, s:I, s:I, s:I, s:s?, s:b, s:o}",
                    "name", d->name,
                    "uuid", uuid_format (&d->uuid, uuid),
                    "size", (json_int_t) disk_size (d->disk),
                    "sector_size", (json_int_t) d->disk->sector_size,
                    "readonly", disk_is_readonly (d->disk),
                    "quota", json_quota (disk_quota (d->disk)),
                    "mapped", (json_int_t) disk_mapped (d->disk),
                    "owned", (json_int_t) disk_owned (d->disk),
                    "connections",
                    (json_int_t) registry_connections (s->registry, d),
                    "parent", parent, "parent_exists", exists,
                    "origin", json_origin (d->disk));
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

static const struct jsonrpc_param name_params[] = { PARAM_NAME, END };

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
                             json_integer (mapped - exclusive)) == -1) {
      json_decref (result);
      result = NULL;
    }
  }
  registry_close (s->registry, d);
  return result;
}

/* --------------------------------------------------------- extents, diff */

struct collection {
  struct control *control;      /* of a diff … */
  struct disk *b;               /* … the disk whose types are said, or NULL */
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
    .summary = "The length in bytes.  The default is to the end of the disk." },
  PARAM_LIMIT_EXTENTS,
  { .name = "sharing", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to report which data is shared with other disks." },
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
  return FAIL (call, err, "the disk was shrunk in the meantime");
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
    .summary = "The first disk." },
  { .name = "b", .type = JSONRPC_STRING, .required = true,
    .summary = "The second disk." },
  PARAM_OFFSET, PARAM_LIMIT_EXTENTS,
  { .name = "types", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to report where the second disk has data, zeros and "
    "holes there." },
  END
};

/* A part of a difference, which goes from `at` to `stop`. */
struct part {
  struct collection *c;
  uint64_t at, stop;
  uint64_t size;                /* of the disk: its last page counts as whole */
  int r;
};

static int
collect_part (void *opaque, uint64_t offset, uint64_t length,
              enum extent_type type)
{
  struct part *p = opaque;
  uint64_t end = offset + length, from = p->at;

  if (end <= p->at)
    return 0;
  p->at = end >= p->size || end > p->stop ? p->stop : end;
  p->r = collect_extent (p->c, from, p->at - from, type);
  return p->r ? p->r : p->at == p->stop;
}

/* What the second disk has in a range; beyond its end there are holes. */
static int
collect_types (struct collection *c, uint64_t offset, uint64_t stop)
{
  uint64_t size = disk_size (c->b), sector = c->b->sector_size;
  struct part p = { .c = c, .at = offset, .size = size };

  p.stop = (size + PAGE_BYTES - 1) & ~(uint64_t) (PAGE_BYTES - 1);
  if (p.stop > stop)
    p.stop = stop;
  if (offset < size) {
    uint64_t from = offset - offset % sector, to = p.stop + sector - 1;

    to -= to % sector;
    if (to > size)
      to = size;
    if (disk_extents (c->b, to - from, from, collect_part, &p) == -1 &&
        errno != EINVAL)        /* it was shrunk in the meantime */
      return -1;
  }
  if (p.r || p.at >= stop)
    return p.r;
  return collect_extent (c, p.at, stop - p.at, EXTENT_HOLE);
}

static int
collect_difference (void *opaque, uint64_t offset, uint64_t length)
{
  struct collection *c = opaque;

  if (c->b)
    return collect_types (c, offset, offset + length);
  return collect (c, offset + length,
                  json_pack ("{s:I, s:I}", "offset", (json_int_t) offset,
                             "length", (json_int_t) length));
}

/* All else that is slow takes a second or two for all the memory that there is;
 * this compares it, and must not keep the server from ending meanwhile.
 */
static bool
diff_ends (void *opaque)
{
  struct collection *c = opaque;

  return control_ending (c->control);
}

static json_t *
method_diff (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct collection c = {
    .control = s->control,
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
    c.b = jsonrpc_boolean (call, "types") ? b->disk : NULL;
    if (disk_diff (a->disk, b->disk, jsonrpc_integer (call, "offset"),
                   collect_difference, diff_ends, &c) == -1) {
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

/* ----------------------------------------------------------------- table */

const struct jsonrpc_method inspect_methods[] = {
  { .name = "disk_list", .params = list_params,
    .summary = "List disks, sorted by name.",
    .result = "{\"disks\": [{" DISK_RESULT "}], \"next\"}", .fn = method_list },
  { .name = "disk_info", .params = name_params,
    .summary = "Describe a disk, and count the data that it shares.",
    .result = "{" DISK_RESULT ", \"exclusive\", \"shared\"}",
    .blocking = true, .fn = method_info },
  { .name = "disk_extents", .params = extents_params,
    .summary = "List where a disk holds data, zeros and holes.",
    .result = "{\"extents\": [{\"offset\", \"length\", \"type\", "
    "\"shared\"}], \"next\"}", .blocking = true, .fn = method_extents },
  { .name = "disk_diff", .params = diff_params,
    .summary = "List the ranges in which two disks differ.",
    .result = "{\"extents\": [{\"offset\", \"length\", \"type\"}], \"next\"}",
    .blocking = true, .fn = method_diff },
  { .name = NULL }
};
