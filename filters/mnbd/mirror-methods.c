/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the control socket that are about mirrors. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/printable.h"
#include "engines.h"
#include "filter-parameters.h"
#include "instances.h"
#include "mirror-methods.h"
#include "mirror/mirror.h"
#include "nbd/bdev-nbd.h"

/* As mblock-control(7) lists them. */
#define NO_MIRROR -32000, json_pack ("{s:s}", "errno", "ENOENT")
#define WRONG_STATE -32009, json_pack ("{s:s}", "errno", "EBUSY")

#define END { .name = NULL }
#define PARAM_EXPORT                                                    \
  { .name = "export", .type = JSONRPC_STRING,                           \
    .summary = "The mirror's export; required if there are several mirrors." }

const struct jsonrpc_param mirror_status_params[] = {
  { .name = "export", .type = JSONRPC_STRING,
    .summary = "Report only the mirror of this export." },
  END
};

const struct jsonrpc_param mirror_start_params[] = {
  PARAM_EXPORT,
  { .name = "resume", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Copy only what is known to differ.  Use this only if nobody "
    "else has written to the secondary." },
  END
};

const struct jsonrpc_param mirror_stop_params[] = {
  PARAM_EXPORT,
  { .name = "force", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Stop even if the secondary is not complete." },
  END
};

const struct jsonrpc_param mirror_rate_params[] = {
  PARAM_EXPORT,
  { .name = "rate", .type = JSONRPC_INTEGER, .nullable = true,
    .required = true, .min = 1, .max = INT64_MAX,
    .summary = "Copy at most this many bytes per second; null: no limit." },
  END
};

const struct jsonrpc_param mirror_switch_params[] = {
  PARAM_EXPORT,
  END
};

const struct jsonrpc_param mirror_verify_params[] = {
  PARAM_EXPORT,
  { .name = "repair", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Copy the ranges that differ again." },
  END
};

/* --------------------------------------------------------- which mirror */

static json_t *
no_mirror (struct jsonrpc_call *call)
{
  const char *name = jsonrpc_given (call, "export")
    ? jsonrpc_string (call, "export") : NULL;
  char shown[PRINTABLE_STRING];

  if (filter_config.engine != &mirror_engine)
    return jsonrpc_fail (call, NO_MIRROR, "there is no mirror: mnbd-mode "
                         "is %s", filter_config.mode);
  if (name)
    return jsonrpc_fail (call, NO_MIRROR, "export: there is no mirror of "
                         "export \"%s\"", printable_name (name, shown));
  return jsonrpc_fail (call, NO_MIRROR, "export: there is not one "
                       "mirror: expected the name of one");
}

/* Find the mirror that a method's parameters mean; *name is its name.  Returns
 * NULL if the call has failed.
 */
struct named {
  const char *wanted;           /* NULL: any */
  char *name;
  struct mirror *mirror;
  unsigned n;
};

static void
match (void *opaque, const char *export_name, void *engine)
{
  struct named *found = opaque;

  if (found->wanted && strcmp (found->wanted, export_name) != 0)
    return;
  if (found->n++ == 0) {
    found->name = strdup (export_name);
    found->mirror = engine;
  }
}

static struct mirror *
mirror_of (struct jsonrpc_call *call, char **name)
{
  struct named found = {
    .wanted = jsonrpc_given (call, "export") ? jsonrpc_string (call, "export")
      : NULL,
  };

  *name = NULL;
  if (filter_config.engine == &mirror_engine)
    instances_each (match, &found);
  if (found.n == 1 && found.name) {
    *name = found.name;
    return found.mirror;
  }
  free (found.name);
  no_mirror (call);
  return NULL;
}

/* -------------------------------------------------------------- status */

static json_t *
json_stopped (const struct mirror_stopped *stopped)
{
  return json_pack ("{s:b, s:o, s:I}", "consistent", stopped->consistent,
                    "time", jsonrpc_time (&stopped->time),
                    "writes", (json_int_t) stopped->writes);
}

static json_t *
json_switched (const struct mirror_switched *switched)
{
  return json_pack ("{s:o, s:I, s:I}", "time", jsonrpc_time (&switched->time),
                    "writes", (json_int_t) switched->writes,
                    "pause_us", (json_int_t) (switched->pause / NS_PER_US));
}

static json_t *
json_verified (struct mirror *m)
{
  struct mirror_verified *v = malloc (sizeof *v);
  json_t *extents = json_array (), *r = NULL;
  size_t i;

  if (v == NULL || extents == NULL)
    goto out;
  mirror_verified (m, v);
  if (!v->ever) {
    r = json_null ();
    goto out;
  }
  for (i = 0; i < v->nextents; i++)
    json_array_append_new (extents, json_pack ("{s:I, s:I}", "offset",
                                               (json_int_t) v->extent[i].offset,
                                               "length",
                                               (json_int_t)
                                               v->extent[i].length));
  r = json_pack ("{s:b, s:b, s:I, s:I, s:I, s:I, s:O, s:o}",
                 "running", v->running, "repair", v->repair,
                 "bytes_done", (json_int_t) v->bytes_done,
                 "bytes_total", (json_int_t) v->bytes_total,
                 "bytes_skipped", (json_int_t) v->bytes_skipped,
                 "bytes_differing", (json_int_t) v->bytes_differing,
                 "extents", extents, "error", jsonrpc_text_or_null (v->error));
 out:
  json_decref (extents);
  free (v);
  return r;
}

static json_t *
json_mirror (const char *name, struct mirror *m)
{
  struct pool_outage outage = { .away = false };
  struct mirror_status s;
  bool switched;

  mirror_status (m, &s);
  switched = s.state == MIRROR_SWITCHED;
  if (switched)
    s.outages += bdev_nbd_outage (mirror_options (m)->instance->upstream,
                                  &outage);
  return json_pack ("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                    "s:o, s:o, s:i, s:I, s:I, s:o, s:s, s:o, s:o, s:o, s:o}",
                    "export", jsonrpc_text (name),
                    "state", mirror_state_names[s.state],
                    "serving", switched ? "secondary" : "primary",
                    "size", (json_int_t) s.size,
                    "bytes_total", (json_int_t) s.bytes_total,
                    "bytes_done", (json_int_t) s.bytes_done,
                    "bytes_out_of_sync", (json_int_t) s.bytes_out_of_sync,
                    "bytes_sent", (json_int_t) s.bytes_sent,
                    "bytes_zeroed", (json_int_t) s.bytes_zeroed,
                    "bytes_same", (json_int_t) s.bytes_same,
                    "rate", (json_int_t) s.rate,
                    "rate_limit", s.rate_limit
                    ? json_integer (s.rate_limit) : json_null (),
                    "seconds_to_go", s.seconds_to_go >= 0
                    ? json_integer (s.seconds_to_go) : json_null (),
                    "in_flight", (int) s.in_flight,
                    "writes", (json_int_t) s.writes,
                    "outages", (json_int_t) s.outages,
                    "away_since", outage.away ? jsonrpc_time (&outage.since)
                    : json_null (),
                    "on_error", s.fail ? "fail" : "continue",
                    "last_error", jsonrpc_text_or_null (*outage.error
                                                        ? outage.error
                                                        : s.error),
                    "stopped", s.ever_stopped ? json_stopped (&s.stopped)
                    : json_null (),
                    "switched", switched ? json_switched (&s.switched)
                    : json_null (),
                    "verify", json_verified (m));
}

struct list {
  const char *wanted;           /* NULL: all */
  json_t *array;
};

static void
add_mirror (void *opaque, const char *export_name, void *engine)
{
  struct list *list = opaque;

  if (list->wanted == NULL || strcmp (list->wanted, export_name) == 0)
    json_array_append_new (list->array, json_mirror (export_name, engine));
}

json_t *
method_mirror_status (struct jsonrpc_call *call)
{
  struct list list = {
    .wanted = jsonrpc_given (call, "export") ? jsonrpc_string (call, "export")
      : NULL,
  };

  if (filter_config.engine != &mirror_engine)
    return no_mirror (call);
  list.array = json_array ();
  instances_each (add_mirror, &list);
  if (list.wanted && json_array_size (list.array) == 0) {
    json_decref (list.array);
    return no_mirror (call);
  }
  return json_pack ("{s:o}", "mirrors", list.array);
}

/* -------------------------------------------------------------- changes */

json_t *
method_mirror_start (struct jsonrpc_call *call)
{
  char why[MIRROR_WHY], *name;
  struct mirror *m = mirror_of (call, &name);
  json_t *r;
  int started;

  if (m == NULL)
    return NULL;
  started = mirror_start (m, jsonrpc_boolean (call, "resume"), why);
  if (started == -1)
    r = jsonrpc_fail (call, WRONG_STATE, "%s", why);
  else
    r = json_pack ("{s:o, s:b}", "export", jsonrpc_text (name), "started",
                   started);
  free (name);
  return r;
}

json_t *
method_mirror_stop (struct jsonrpc_call *call)
{
  struct mirror_stopped stopped;
  char why[MIRROR_WHY], *name;
  struct mirror *m = mirror_of (call, &name);
  json_t *r;

  if (m == NULL)
    return NULL;
  if (mirror_stop (m, jsonrpc_boolean (call, "force"), &stopped, why) == -1)
    r = jsonrpc_fail (call, WRONG_STATE, "%s", why);
  else {
    r = json_stopped (&stopped);
    json_object_set_new (r, "export", jsonrpc_text (name));
  }
  free (name);
  return r;
}

json_t *
method_mirror_rate (struct jsonrpc_call *call)
{
  uint64_t rate = jsonrpc_given (call, "rate")
    ? (uint64_t) jsonrpc_integer (call, "rate") : 0;
  char why[MIRROR_WHY], *name;
  struct mirror *m = mirror_of (call, &name);
  json_t *r;

  if (m == NULL)
    return NULL;
  if (mirror_set_rate (m, rate, why) == -1)
    r = jsonrpc_fail (call, WRONG_STATE, "%s", why);
  else
    r = json_pack ("{s:o, s:o}", "export", jsonrpc_text (name), "rate_limit",
                   rate ? json_integer (rate) : json_null ());
  free (name);
  return r;
}

json_t *
method_mirror_switch (struct jsonrpc_call *call)
{
  struct mirror_switched switched;
  char why[MIRROR_WHY], *name;
  struct mirror *m = mirror_of (call, &name);
  json_t *r;

  if (m == NULL)
    return NULL;
  if (mirror_switch (m, &switched, why) == -1)
    r = jsonrpc_fail (call, WRONG_STATE, "%s", why);
  else {
    r = json_switched (&switched);
    json_object_set_new (r, "export", jsonrpc_text (name));
  }
  free (name);
  return r;
}

json_t *
method_mirror_verify (struct jsonrpc_call *call)
{
  char why[MIRROR_WHY], *name;
  struct mirror *m = mirror_of (call, &name);
  json_t *r;

  if (m == NULL)
    return NULL;
  if (mirror_verify (m, jsonrpc_boolean (call, "repair"), why) == -1)
    r = jsonrpc_fail (call, WRONG_STATE, "%s", why);
  else
    r = json_pack ("{s:o}", "export", jsonrpc_text (name));
  free (name);
  return r;
}
