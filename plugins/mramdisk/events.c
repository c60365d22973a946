/* SPDX-License-Identifier: BSD-3-Clause */
/* Events for the clients of the control socket. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "events.h"
#include "json-origin.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"
#include "save/kept.h"
#include "service.h"

/* Memory, or what is left of a quota, is low at the first, and no longer low
 * below the second.
 */
#define LOW_PERCENT 90
#define LOW_OVER_PERCENT 85

json_t *
json_quota (uint64_t bytes)
{
  return bytes == TREE_NO_QUOTA ? json_null () : json_integer (bytes);
}

/* In the order of enum change. */
const char *const event_words[] = {
  [CHANGE_CREATED] = "created",
  [CHANGE_DESTROYED] = "destroyed",
  [CHANGE_RESIZED] = "resized",
  [CHANGE_CLONED] = "cloned",
  [CHANGE_REPLACED] = "replaced",
  [CHANGE_SET] = "set",
  [CHANGE_QUOTA] = "quota",
  [CHANGE_RENAMED] = "renamed",
  [CHANGE_QUOTA_LOW] = "quota_low",
  "memory_low",
  "origin",
  NULL
};
const uint32_t events_tick_kinds =
  KIND (EVENT_MEMORY_LOW) | KIND (EVENT_ORIGIN) | KIND (CHANGE_QUOTA_LOW);

/* Steals params, and adds what all events have. */
static void
publish (struct service *s, unsigned event, json_t *params)
{
  struct timespec now;
  char *line;
  size_t len = 0;

  clock_gettime (CLOCK_REALTIME, &now);
  if (json_object_set_new (params, "event",
                           json_string (event_words[event])) == -1 ||
      json_object_set_new (params, "time",
                           json_real (now.tv_sec + now.tv_nsec / 1e9)) == -1) {
    json_decref (params);
    params = NULL;
  }
  line = params ? jsonrpc_notification ("event", params, &len) : NULL;
  control_publish (s->control, KIND (event), line, len);
}

void
events_report (void *service, const struct change_report *r)
{
  struct service *s = service;
  json_t *params = NULL;

  if (!control_wanted (s->control, KIND (r->change)))
    return;
  switch (r->change) {
  case CHANGE_CREATED:
    params = json_pack ("{s:s, s:I}", "name", r->name,
                        "size", (json_int_t) disk_size (r->disk));
    break;
  case CHANGE_DESTROYED:
    params = json_pack ("{s:s}", "name", r->name);
    break;
  case CHANGE_RESIZED:
    params = json_pack ("{s:s, s:I, s:I}", "name", r->name,
                        "size", (json_int_t) disk_size (r->disk),
                        "old_size", (json_int_t) r->old_size);
    break;
  case CHANGE_CLONED:
  case CHANGE_REPLACED:
    params = json_pack ("{s:s, s:s?, s:I}", "name", r->name,
                        "source", r->from,
                        "size", (json_int_t) disk_size (r->disk));
    break;
  case CHANGE_SET:
    params = json_pack ("{s:s, s:b, s:o}", "name", r->name,
                        "readonly", disk_is_readonly (r->disk),
                        "quota", json_quota (disk_quota (r->disk)));
    break;
  case CHANGE_RENAMED:
    params = json_pack ("{s:s, s:s}", "name", r->name, "source", r->from);
    break;
  case CHANGE_QUOTA:
  case CHANGE_QUOTA_LOW:
    params = json_pack ("{s:s, s:o, s:I}", "name", r->name,
                        "quota", json_quota (disk_quota (r->disk)),
                        "owned", (json_int_t) disk_owned (r->disk));
    break;
  }
  publish (s, r->change, params);
}

/* An origin is complete, away, or there again. */
static void
report_origin (void *service, struct origin *o, enum origin_state state)
{
  publish (service, EVENT_ORIGIN,
           json_pack ("{s:o, s:s}", "uri", json_uri (origin_uri (o)),
                      "state", origin_states[state]));
}

/* What saves remember is no reason for an alarm (kept.h): it is given up, and
 * if memory is still low after that, the next tick says so.
 */
static void
check_memory (struct service *s)
{
  struct arena_stats stats;

  arena_stats (s->arena, &stats);
  if (stats.used < stats.limit / 100 * LOW_OVER_PERCENT)
    s->low = false;
  else if (stats.used >= stats.limit / 100 * LOW_PERCENT && !s->low &&
           !saves_give_up (s->saves)) {
    s->low = true;
    publish (s, EVENT_MEMORY_LOW,
             json_pack ("{s:I, s:I}", "limit", (json_int_t) stats.limit,
                        "used", (json_int_t) stats.used));
  }
}

void
events_tick (void *service)
{
  struct service *s = service;

  saves_reap (s->saves);
  if (control_wanted (s->control, KIND (EVENT_MEMORY_LOW)))
    check_memory (s);
  if (control_wanted (s->control, KIND (CHANGE_QUOTA_LOW)))
    registry_check_quotas (s->registry, LOW_PERCENT, LOW_OVER_PERCENT,
                           s->quotas_again);
  s->quotas_again = false;
  origins_changed (s->origins, report_origin, s);
}
