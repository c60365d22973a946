/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods that start jobs, watch them and end them. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/pattern.h"
#include "base/printable.h"
#include "job/jobs.h"
#include "method-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "remote.h"
#include "rpc/jsonrpc.h"
#include "rpc/server.h"
#include "save-jobs.h"
#include "transfer-jobs.h"

/* The longest that a client may wait for a job at a time, in seconds. */
#define MOST_WAIT 3600

/* ------------------------------------------------------------------ jobs */

static json_t *
json_job (const struct job_status *s)
{
  static const char *const states[] = {
    [JOB_RUNNING] = "running", [JOB_DONE] = "done", [JOB_FAILED] = "failed",
    [JOB_CANCELLED] = "cancelled",
  };

  return json_pack ("{s:I, s:s, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:o, "
                    "s:o, s:f, s:o, s:o}",
                    "job", (json_int_t) s->id, "kind", s->kind,
                    "disk", jsonrpc_text (s->disk),
                    "target", jsonrpc_text (s->target),
                    "state", states[s->state], "phase", s->phase,
                    "bytes_done", (json_int_t) s->done,
                    "bytes_total", (json_int_t) s->total,
                    "bytes_sent", (json_int_t) s->sent,
                    "rate", (json_int_t) s->rate,
                    "rate_limit", s->rate_limit
                    ? json_integer (s->rate_limit) : json_null (),
                    "seconds_to_go", s->to_go >= 0
                    ? json_integer (s->to_go) : json_null (),
                    "seconds", s->seconds,
                    "started", jsonrpc_time (&s->started),
                    "error", jsonrpc_text_or_null (s->error));
}

static void
add_job (void *opaque, const struct job_status *status)
{
  json_array_append_new (opaque, json_job (status));
}

static void
put_job (void *opaque, const struct job_status *status)
{
  *(json_t **) opaque = json_job (status);
}

/* To ignore one that exists makes no sense where the content is the point. */
static const char *const replace_words[] = { "error", "replace", NULL };

static json_t *
no_job (struct jsonrpc_call *call)
{
  return FAIL (call, ENOENT, "job: there is no job %" PRIi64,
               jsonrpc_integer (call, "job"));
}

static json_t *
method_list (struct jsonrpc_call *call)
{
  json_t *list = json_array ();

  jobs_each (service_of (call)->jobs, add_job, list);
  return json_pack ("{s:o}", "jobs", list);
}

#define PARAM_JOB \
  { .name = "job", .type = JSONRPC_INTEGER, .required = true, .min = 1, \
    .max = INT64_MAX, .summary = "The number of the job." }

static const struct jsonrpc_param job_params[] = { PARAM_JOB, END };

static json_t *
method_cancel (struct jsonrpc_call *call)
{
  if (jobs_cancel (service_of (call)->jobs, jsonrpc_integer (call, "job")) ==
      -1)
    return no_job (call);
  return json_pack ("{s:I}", "job",
                    (json_int_t) jsonrpc_integer (call, "job"));
}

static const struct jsonrpc_param wait_params[] = {
  PARAM_JOB,
  { .name = "seconds", .type = JSONRPC_INTEGER, .min = 0, .max = MOST_WAIT,
    .fallback = "0",
    .summary = "How long to wait for the end of the job." },
  END
};

static bool
server_ends (void *opaque)
{
  return control_ending (opaque);
}

static json_t *
method_wait (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  int64_t until = clock_now () + jsonrpc_integer (call, "seconds") * NS_PER_S;
  json_t *job = NULL;

  if (jobs_wait (s->jobs, jsonrpc_integer (call, "job"), until, server_ends,
                 s->control, put_job, &job) == -1)
    return no_job (call);
  return job;
}

/* A job was started, or not. */
static json_t *
started (struct jsonrpc_call *call, uint64_t job)
{
  if (job)
    return json_pack ("{s:I}", "job", (json_int_t) job);
  if (errno == EBUSY)
    return FAIL (call, EBUSY, "%d jobs are running already: wait for one of "
                 "them", JOBS_MOST_RUNNING);
  return failed (call, errno, 0, 1);
}

/* -------------------------------------------------------- clone together */

/* The most clones of one call. */
#define MOST_CLONES 10000

static const struct jsonrpc_param together_params[] = {
  { .name = "sources", .type = JSONRPC_STRINGS, .required = true, .min = 1,
    .max = MOST_CLONES, .summary = "The disks to clone." },
  { .name = "names", .type = JSONRPC_STRINGS, .required = true, .min = 1,
    .max = MOST_CLONES,
    .summary = "The names of the clones, one for each source." },
  PARAM_READONLY, PARAM_QUOTA,
  { .name = "if_exists", .type = JSONRPC_STRING,
    .words = replace_words, .fallback = "\"error\"",
    .summary = "What to do if a disk of this name exists." },
  PARAM_IF_OPEN, END
};

/* What is wrong with the names, as an error; or NULL. */
static bool
check_names (struct jsonrpc_call *call, const json_t *sources,
             const json_t *names)
{
  json_auto_t *seen = json_object ();
  char shown[PRINTABLE_STRING];
  const json_t *v;
  size_t i;

  if (json_array_size (sources) != json_array_size (names)) {
    jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "names: there are %zu: "
                  "expected one for each of the %zu sources",
                  json_array_size (names), json_array_size (sources));
    return false;
  }
  json_array_foreach (names, i, v) {
    const char *name = json_string_value (v);

    if (*name == '\0' && *service_of (call)->default_name != '\0') {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "names: \"\": expected "
                    "another name: to clients, the empty name means another "
                    "disk (default=)");
      return false;
    }
    if (json_object_get (seen, name)) {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "names: \"%s\" is given "
                    "twice: expected different names",
                    printable_name (name, shown));
      return false;
    }
    json_object_set_new (seen, name, json_true ());
  }
  return true;
}

/* One of several names failed, or all of them. */
static json_t *
name_failed (struct jsonrpc_call *call, int err, const char *param,
             const char *name)
{
  char shown[PRINTABLE_STRING];

  printable_name (name, shown);
  if (err == ENOENT)
    return FAIL (call, err, "%s: there is no disk \"%s\"", param, shown);
  if (err == EEXIST)
    return FAIL (call, err, "%s: there is a disk \"%s\" already", param, shown);
  if (err == EBUSY)
    return in_use (call, name);
  if (err == ENAMETOOLONG || err == EILSEQ)
    return FAIL (call, err, "%s: \"%s\": expected %s", param, shown,
                 registry_check_name (name));
  if (err == ENFILE)
    return FAIL (call, err, "%s: no room for the disk \"%s\": there are "
                 "max-disks=%zu disks already", param, shown,
                 registry_options (service_of (call)->registry)->max_disks);
  return failed (call, err, 0, 1);
}

static json_t *
method_together (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  const json_t *sources = json_object_get (call->params, "sources");
  const json_t *names = json_object_get (call->params, "names");
  size_t n = json_array_size (names), bad = 0, i;
  CLEANUP_FREE struct registry_clone *clone = calloc (n, sizeof *clone);
  struct disk_options options = {
    .readonly = jsonrpc_boolean (call, "readonly"), .quota = quota (call),
    .if_open = if_open (call),
  };
  int err;

  if (!check_names (call, sources, names) || clone == NULL)
    return NULL;
  for (i = 0; i < n; i++)
    clone[i] = (struct registry_clone) {
      json_string_value (json_array_get (sources, i)),
      json_string_value (json_array_get (names, i)),
    };
  if (registry_clone_all (s->registry, clone, n, &options, if_exists (call),
                          &bad) == 0)
    return json_pack ("{s:O}", "names", names);
  err = errno;
  return err == ENOENT ? name_failed (call, err, "sources", clone[bad].from)
    : name_failed (call, err, "names", clone[bad].to);
}

/* ------------------------------------------------------------------ push */

#define PARAM_RATE \
  { .name = "rate", .type = JSONRPC_INTEGER, .min = 1, .max = INT64_MAX, \
    .summary = "The most data to move in a second, in bytes.  The default " \
    "is no limit." }

static uint64_t
rate (struct jsonrpc_call *call)
{
  return jsonrpc_given (call, "rate") ? jsonrpc_integer (call, "rate") : 0;
}

static const struct jsonrpc_param push_params[] = {
  PARAM_NAME,
  { .name = "uri", .type = JSONRPC_STRING, .required = true,
    .summary = "The NBD export to write to, as a URI." },
  { .name = "target", .type = JSONRPC_STRING,
    .summary = "A name for the export, the same whenever it is pushed to.  The "
    "default is uri." },
  { .name = "since", .type = JSONRPC_STRING,
    .summary = "A snapshot whose content the export has: only what has changed "
    "since is sent.  The default is to send everything." },
  { .name = "verify", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to read the export back and compare it." },
  PARAM_RATE, END
};

/* The contents at one instant of the disk, and of `since` if it is given. */
static int
freeze (struct jsonrpc_call *call, struct push_job_options *o)
{
  struct registry *r = service_of (call)->registry;
  struct named_disk *d[2] = { NULL, NULL };
  struct disk *disk[2];
  size_t n = 1, i;
  int ret = -1;

  d[0] = registry_hold (r, jsonrpc_string (call, "name"));
  if (d[0] == NULL) {
    no_disk (call, "name");
    return -1;
  }
  if (jsonrpc_given (call, "since")) {
    n = 2;
    d[1] = registry_hold (r, jsonrpc_string (call, "since"));
  }
  if (n == 2 && d[1] == NULL)
    no_disk (call, "since");
  else {
    for (i = 0; i < n; i++)
      disk[i] = d[i]->disk;
    if (n == 2) {
      o->since = d[1]->id;
      o->compares = d[1]->was_pushed_since;
      registry_pushed_since (r, d[1]);
    }
    ret = disk_freeze (disk, o->frozen, n);
    if (ret == -1)
      failed (call, errno, 0, 1);
  }
  for (i = 0; i < n; i++)
    if (d[i])
      registry_close (r, d[i]);
  return ret;
}

static json_t *
method_push (struct jsonrpc_call *call)
{
  struct push_job_options o = {
    .name = jsonrpc_string (call, "name"), .uri = jsonrpc_string (call, "uri"),
    .target = jsonrpc_string (call, jsonrpc_given (call, "target")
                              ? "target" : "uri"),
    .verify = jsonrpc_boolean (call, "verify"), .rate = rate (call),
  };
  char why[REMOTE_WHY];

  if (remote_check_uri (o.uri, why) == -1)
    return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "uri: %s", why);
  if (freeze (call, &o) == -1)
    return NULL;
  return started (call, push_job_start (service_of (call), &o));
}

/* ------------------------------------------------------------------ pull */

static const struct jsonrpc_param pull_params[] = {
  PARAM_NAME,
  { .name = "uri", .type = JSONRPC_STRING, .required = true,
    .summary = "The NBD export to read, as a URI." },
  { .name = "sector_size", .type = JSONRPC_INTEGER, .min = 1,
    .max = DISK_MAX_SECTOR,
    .summary = "1, or a power of two of at least 512.  The default is the "
    "plugin's sector-size=." },
  PARAM_READONLY, PARAM_QUOTA,
  { .name = "if_exists", .type = JSONRPC_STRING,
    .words = replace_words, .fallback = "\"error\"",
    .summary = "What to do if a disk of this name exists." },
  PARAM_IF_OPEN, PARAM_RATE, END
};

/* Can a disk of that name and sector size be made now? */
static bool
can_make (struct jsonrpc_call *call, const char *name, uint32_t sector_size,
          enum if_exists if_exists, enum if_open if_open)
{
  struct service *s = service_of (call);
  struct named_disk *old;

  if (*name == '\0' && *s->default_name != '\0')
    jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "name: \"\": expected "
                  "another name: to clients, the empty name means another disk "
                  "(default=)");
  else if (sector_size != 1 && (sector_size < DISK_MIN_SECTOR ||
                                sector_size & (sector_size - 1)))
    jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "sector_size: %" PRIu32
                  ": expected 1, or a power of two from %d to %d", sector_size,
                  DISK_MIN_SECTOR, DISK_MAX_SECTOR);
  else if (registry_check_name (name))
    failed (call, errno, 0, 1);
  else if ((old = registry_hold (s->registry, name)) != NULL) {
    if (if_exists == IF_EXISTS_ERROR)
      failed (call, EEXIST, 0, 1);
    else if (if_open == IF_OPEN_ERROR &&
             registry_is_in_use (s->registry, old))
      in_use (call, name);
    registry_close (s->registry, old);
  }
  return call->code == 0;
}

static json_t *
method_pull (struct jsonrpc_call *call)
{
  struct service *s = service_of (call);
  struct pull_options o = {
    .name = jsonrpc_string (call, "name"), .uri = jsonrpc_string (call, "uri"),
    .sector_size = registry_options (s->registry)->sector_size,
    .readonly = jsonrpc_boolean (call, "readonly"), .quota = quota (call),
    .if_exists = if_exists (call), .if_open = if_open (call),
    .rate = rate (call),
  };
  char why[REMOTE_WHY];

  if (remote_check_uri (o.uri, why) == -1)
    return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "uri: %s", why);
  if (jsonrpc_given (call, "sector_size"))
    o.sector_size = jsonrpc_integer (call, "sector_size");
  /* The job finds out what exists as well, but this is sooner. */
  if (!can_make (call, o.name, o.sector_size, o.if_exists, o.if_open))
    return NULL;
  return started (call, pull_job_start (s, &o));
}

/* ------------------------------------------------------------ save, load */

#define MOST_PATTERNS 10000

#define PARAM_PATH \
  { .name = "path", .type = JSONRPC_STRING, .required = true,           \
    .summary = "The folder: an absolute path." }
#define PARAM_PATTERNS \
  { .name = "patterns", .type = JSONRPC_STRINGS, .min = 1,              \
    .max = MOST_PATTERNS,                                               \
    .summary = "Patterns of names, as in a shell, such as vm-*, each of "    \
    "which must match a disk.  The default is all disks." }

/* Are they what they have to be? */
static bool
check_folder (struct jsonrpc_call *call)
{
  const char *path = jsonrpc_string (call, "path"), *wrong;
  const json_t *v, *patterns = json_object_get (call->params, "patterns");
  char shown[PRINTABLE_STRING];
  size_t i;

  if (*path != '/') {
    jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "path: \"%s\": expected an "
                  "absolute path", printable_name (path, shown));
    return false;
  }
  json_array_foreach (patterns, i, v) {
    wrong = pattern_check (json_string_value (v));
    if (wrong) {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "patterns: \"%s\": "
                    "expected %s", printable_name (json_string_value (v),
                                                   shown), wrong);
      return false;
    }
  }
  return true;
}

static const struct jsonrpc_param save_params[] = {
  PARAM_PATH, PARAM_PATTERNS,
  { .name = "forget", .type = JSONRPC_BOOLEAN, .fallback = "false",
    .summary = "Whether to compare everything with the folder, and remember "
    "nothing for the next save." },
  END
};

static json_t *
method_save (struct jsonrpc_call *call)
{
  const json_t *patterns = json_object_get (call->params, "patterns");
  char shown[PRINTABLE_STRING];
  const char *missing = NULL;
  uint64_t job;

  if (!check_folder (call))
    return NULL;
  job = save_job_start (service_of (call), jsonrpc_string (call, "path"),
                        patterns, jsonrpc_boolean (call, "forget"), &missing);
  if (job == 0 && errno == ENOENT)
    return FAIL (call, ENOENT, "patterns: no disk matches \"%s\"",
                 printable_name (missing, shown));
  if (job == 0 && errno == ESTALE)
    return FAIL (call, EBUSY, "the names of disks change too fast: try again");
  return started (call, job);
}

static const struct jsonrpc_param load_params[] = {
  PARAM_PATH, PARAM_PATTERNS,
  { .name = "if_exists", .type = JSONRPC_STRING,
    .words = if_exists_words, .fallback = "\"error\"",
    .summary = "What to do about disks of the same names." },
  PARAM_IF_OPEN, END
};

static json_t *
method_load (struct jsonrpc_call *call)
{
  if (!check_folder (call))
    return NULL;
  return started (call, load_job_start (
                    service_of (call), jsonrpc_string (call, "path"),
                    json_object_get (call->params, "patterns"),
                    if_exists (call), if_open (call)));
}

/* ----------------------------------------------------------------- table */

#define JOB_RESULT \
  "{\"job\", \"kind\", \"disk\", \"target\", \"state\", \"phase\", "    \
  "\"bytes_done\", \"bytes_total\", \"bytes_sent\", \"rate\", "         \
  "\"rate_limit\", \"seconds_to_go\", \"seconds\", \"started\", \"error\"}"

const struct jsonrpc_method job_methods[] = {
  { .name = "disk_clone_together", .changes = true, .params = together_params,
    .summary = "Clone several disks as they are at one instant.",
    .result = "{\"names\"}", .blocking = true, .fn = method_together },
  { .name = "disk_push", .changes = true, .params = push_params,
    .summary = "Send a disk's content to another NBD server, as a job.",
    .result = "{\"job\"}", .blocking = true, .fn = method_push },
  { .name = "disk_pull", .changes = true, .params = pull_params,
    .summary = "Create a disk with the content of another server's export, as a "
    "job.",
    .result = "{\"job\"}", .fn = method_pull },
  { .name = "disk_save", .changes = true, .params = save_params,
    .summary = "Save disks in a folder as they are at one instant, as a job.",
    .result = "{\"job\"}", .blocking = true, .fn = method_save },
  { .name = "disk_load", .changes = true, .params = load_params,
    .summary = "Create the disks that were saved in a folder, as a job.",
    .result = "{\"job\"}", .fn = method_load },
  { .name = "job_list",
    .summary = "List the jobs that run, and the last that have ended.",
    .result = "{\"jobs\": [" JOB_RESULT "]}", .fn = method_list },
  { .name = "job_wait", .params = wait_params,
    .summary = "Report a job when it has ended, or after some time.",
    .result = JOB_RESULT, .blocking = true, .fn = method_wait },
  { .name = "job_cancel", .changes = true, .params = job_params,
    .summary = "Ask a job to end.",
    .result = "{\"job\"}", .fn = method_cancel },
  { .name = NULL }
};
