/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods that monitor the server: statistics, and events. */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/printable.h"
#include "events.h"
#include "json-origin.h"
#include "method-parts.h"
#include "methods.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"
#include "save/kept.h"

static json_t *
json_latency (const struct stat_sum *f)
{
  json_t *latency = json_array ();
  unsigned i;

  for (i = 0; i < STAT_BUCKETS; i++)
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
json_stat (const struct stat_sum *f)
{
  return json_pack ("{s:I, s:I, s:I, s:o}", "ops", (json_int_t) f->ops,
                    "bytes", (json_int_t) f->bytes,
                    "errors", (json_int_t) f->errors,
                    "latency", json_latency (f));
}

static json_t *
json_stats (const struct stats_sum *sum)
{
  const struct stat_sum *e = &sum->of[STAT_EXTENTS];
  const struct stat_sum *f = &sum->of[STAT_FLUSH];

  return json_pack ("{s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:{s:I, s:I}, "
                    "s:I, s:I}",
                    "read", json_stat (&sum->of[STAT_READ]),
                    "write", json_stat (&sum->of[STAT_WRITE]),
                    "zero", json_stat (&sum->of[STAT_ZERO]),
                    "trim", json_stat (&sum->of[STAT_TRIM]),
                    "flush", "ops", (json_int_t) f->ops,
                    "errors", (json_int_t) f->errors,
                    "cache", json_stat (&sum->of[STAT_CACHE]),
                    "extents", "ops", (json_int_t) e->ops,
                    "errors", (json_int_t) e->errors,
                    "enospc_quota", (json_int_t) sum->quota,
                    "enospc_memory", (json_int_t) sum->no_memory);
}

static json_t *
json_disk_stats (struct service *s, struct named_disk *d)
{
  struct stats_sum sum;
  size_t connections = registry_stats (s->registry, d, &sum);
  json_t *disk = json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o}", "name", d->name,
                            "connections", (json_int_t) connections,
                            "size", (json_int_t) disk_size (d->disk),
                            "mapped", (json_int_t) disk_mapped (d->disk),
                            "owned", (json_int_t) disk_owned (d->disk),
                            "quota", json_quota (disk_quota (d->disk)));
  json_t *stats = json_stats (&sum);

  if (json_object_set_new (stats, "origin", json_origin (d->disk)) == -1 ||
      json_object_update_missing (disk, stats) == -1) {
    json_decref (disk);
    disk = NULL;
  }
  json_decref (stats);
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
json_recovery (const struct recovery *r)
{
  static const char *const from[] = {
    [RECOVERED_NEW] = "new", [RECOVERED_CLEAN] = "clean",
    [RECOVERED_CRASH] = "crash",
  };

  return json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I}", "from", from[r->from],
                    "disks", (json_int_t) r->disks,
                    "used", (json_int_t) r->used,
                    "ephemeral", (json_int_t) r->ephemeral,
                    "damaged", (json_int_t) r->damaged,
                    "microseconds", (json_int_t) r->microseconds);
}

static json_t *
json_arena (struct service *s, size_t connections)
{
  struct arena_stats stats;
  json_t *arena;

  arena_stats (s->arena, &stats);
  arena = json_pack ("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
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
  /* A path need not be UTF-8. */
  if (arena && s->arena_path) {
    char shown[PRINTABLE_STRING];

    json_object_set_new (arena, "file",
                         json_string (printable (s->arena_path, shown)));
    json_object_set_new (arena, "recovery", json_recovery (&s->recovery));
  }
  return arena;
}

/* What saves remember (save/kept.h). */
static json_t *
json_saves (struct service *s)
{
  struct saves_stats stats;

  saves_stats (s->saves, &stats);
  return json_pack ("{s:I, s:I, s:I}", "folders", (json_int_t) stats.folders,
                    "disks", (json_int_t) stats.disks,
                    "held", (json_int_t) stats.held);
}

static const struct jsonrpc_param stats_params[] = {
  { .name = "name", .type = JSONRPC_STRING,
    .summary = "Report only this disk.  The default is a page of all disks." },
  PARAM_AFTER, PARAM_LIMIT_DISKS, END
};

static json_t *
method_stats (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct stats_sum total;
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
  connections = registry_all_stats (s->registry, &total);
  return json_pack ("{s:o, s:o, s:o, s:i, s:o, s:o}",
                    "arena", json_arena (s, connections),
                    "saves", json_saves (s),
                    "total", json_stats (&total),
                    "latency_sample", STATS_SAMPLE,
                    "disks", disks, "next", next);
}

/* ------------------------------------------------------------- subscribe */

static const struct jsonrpc_param subscribe_params[] = {
  { .name = "events", .type = JSONRPC_STRINGS, .words = event_words,
    .summary = "The events to send.  The default is all events; an empty array "
    "ends the subscription." },
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
  if (kinds & KIND (CHANGE_QUOTA_LOW))
    s->quotas_again = true;
  if (call->client)
    control_subscribe (call->client, kinds);
  return json_pack ("{s:o}", "events", names);
}

/* ----------------------------------------------------------------- table */

const struct jsonrpc_method stats_methods[] = {
  { .name = "stats", .params = stats_params,
    .summary = "Report statistics of the server and its disks.",
    .result = "{\"arena\", \"saves\", \"total\", \"latency_sample\", "
    "\"disks\", \"next\"}", .fn = method_stats },
  { .name = "subscribe", .params = subscribe_params,
    .summary = "Subscribe to events.",
    .result = "{\"events\"}", .fn = method_subscribe },
  { .name = NULL }
};
