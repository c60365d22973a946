/* SPDX-License-Identifier: BSD-3-Clause */
/* The command metrics: the server's figures in Prometheus' text format.
 *
 * All samples of a metric stand together, after its HELP and TYPE, so the
 * disks are gone through once for each metric.  So are the mirrors and the
 * caches of a server with the mnbd filter, which has no disks.
 */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "histogram.h"
#include "mblockctl.h"
#include "rpc.h"
#include "stats.h"

/* The same buckets for each histogram, or they could not be added up: powers
 * of two from 128 ns to 1.07 s.
 */
#define FIRST_BUCKET 7
#define LAST_BUCKET 30

static void
head (const char *name, const char *type, const char *help)
{
  printf ("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped, no more. */
static void
label (const char *value)
{
  putchar ('"');
  for (; *value; value++)
    switch (*value) {
    case '\\': fputs ("\\\\", stdout); break;
    case '"': fputs ("\\\"", stdout); break;
    case '\n': fputs ("\\n", stdout); break;
    default: putchar (*value);
    }
  putchar ('"');
}

/* One sample: the disk is NULL for the totals, and a label too is left out if
 * it is NULL.
 */
static void
sample (const char *metric, const char *suffix, const json_t *disk,
        const char *key, const char *value, const char *le)
{
  const char *before = "{";

  printf ("%s%s", metric, suffix);
  if (disk) {
    fputs ("{disk=", stdout);
    label (need_string (disk, "name"));
    before = ",";
  }
  if (key) {
    printf ("%s%s=\"%s\"", before, key, value);
    before = ",";
  }
  if (le)
    printf ("%sle=\"%s\"", before, le);
  fputs (disk || key || le ? "} " : " ", stdout);
}

/* ------------------------------------------------------------ the server */

static void
print_arena (const json_t *arena)
{
  static const struct {
    const char *key, *name, *help;
  } gauges[] = {
    { "limit", "mblock_memory_limit_bytes",
      "Memory that all disks together may take." },
    { "used", "mblock_memory_used_bytes", "Memory that the disks take." },
    { "cached", "mblock_memory_cached_bytes",
      "Memory that is free but was not given back to the system." },
    { "disks", "mblock_disks", "Disks that have a name." },
    { "connections", "mblock_connections",
      "NBD clients of all disks." },
    { "clients", "mblock_control_clients",
      "Clients of the control socket." },
    { "uptime_seconds", "mblock_uptime_seconds",
      "Time since the server started." },
  };
  size_t i;

  for (i = 0; i < sizeof gauges / sizeof *gauges; i++) {
    const json_t *v = json_object_get (arena, gauges[i].key);

    if (!json_is_number (v))
      continue;
    head (gauges[i].name, "gauge", gauges[i].help);
    if (json_is_integer (v))
      printf ("%s %" JSON_INTEGER_FORMAT "\n", gauges[i].name,
              json_integer_value (v));
    else
      printf ("%s %.17g\n", gauges[i].name, json_real_value (v));
  }
}

static void
print_version (const json_t *version)
{
  head ("mblock_info", "gauge", "The server; the value is always 1.");
  fputs ("mblock_info{name=", stdout);
  label (need_string (version, "name"));
  fputs (",version=", stdout);
  label (need_string (version, "version"));
  fputs ("} 1\n", stdout);
}

/* ------------------------------------------------------------- the disks */

static void
print_gauge (const json_t *disks, const char *key, const char *name,
             const char *help)
{
  size_t i;
  json_t *d;

  head (name, "gauge", help);
  json_array_foreach (disks, i, d)
    if (json_is_integer (json_object_get (d, key))) {
      sample (name, "", d, NULL, NULL, NULL);
      printf ("%" PRIu64 "\n", get_size (d, key));
    }
}

/* ------------------------------------- what disks have, and all in total */

/* Call fn for each disk, or once for the totals.  disks: the array, or the
 * object with the totals.
 */
typedef void (*print_fn) (const char *metric, const char *key,
                          const json_t *disk, const json_t *figures);

static void
print_each (const json_t *disks, print_fn fn, const char *metric,
            const char *key)
{
  size_t i;
  json_t *d;

  if (!json_is_array (disks)) {
    fn (metric, key, NULL, disks);
    return;
  }
  json_array_foreach (disks, i, d)
    fn (metric, key, d, d);
}

/* A counter that each operation has. */
static void
print_counter (const char *metric, const char *key, const json_t *disk,
               const json_t *figures)
{
  unsigned i;

  for (i = 0; i < STATS_OPERATIONS; i++) {
    const json_t *op = stats_of (figures, stats_operations[i]);

    if (!json_is_integer (json_object_get (op, key)))
      continue;
    sample (metric, "", disk, "operation", stats_operations[i], NULL);
    printf ("%" PRIu64 "\n", get_size (op, key));
  }
}

static void
print_no_space (const char *metric, const char *key, const json_t *disk,
                const json_t *figures)
{
  static const char *const limits[][2] = {
    { "enospc_quota", "quota" }, { "enospc_memory", "memory" },
  };
  size_t i;

  (void) key;
  for (i = 0; i < 2; i++)
    if (json_is_integer (json_object_get (figures, limits[i][0]))) {
      sample (metric, "", disk, "limit", limits[i][1], NULL);
      printf ("%" PRIu64 "\n", get_size (figures, limits[i][0]));
    }
}

static void
print_histogram (const char *metric, const json_t *disk,
                 const char *operation, const json_t *op)
{
  const json_t *sum = json_object_get (op, "latency_sum");
  struct histogram h = { { 0 } };
  uint64_t n = 0;
  unsigned i;

  histogram_add (&h, json_object_get (op, "latency"), 1);
  for (i = 0; i <= LAST_BUCKET; i++) {
    char le[32];

    n += h.count[i];
    if (i < FIRST_BUCKET)
      continue;
    snprintf (le, sizeof le, "%.10g", (double) (UINT64_C (1) << i) / 1e9);
    sample (metric, "_bucket", disk, "operation", operation, le);
    printf ("%" PRIu64 "\n", n);
  }
  n = histogram_total (&h);
  sample (metric, "_bucket", disk, "operation", operation, "+Inf");
  printf ("%" PRIu64 "\n", n);
  if (json_is_integer (sum)) {
    sample (metric, "_sum", disk, "operation", operation, NULL);
    printf ("%.9f\n", json_integer_value (sum) / 1e9);
  }
  sample (metric, "_count", disk, "operation", operation, NULL);
  printf ("%" PRIu64 "\n", n);
}

/* An operation that a disk has not had yet is left out: most of ten thousand
 * clones are idle.
 */
static void
print_latency (const char *metric, const char *key, const json_t *disk,
               const json_t *figures)
{
  unsigned i;

  for (i = 0; i < STATS_OPERATIONS; i++) {
    const json_t *op = stats_of (figures, stats_operations[i]);

    if (json_array_size (json_object_get (op, key)) > 0)
      print_histogram (metric, disk, stats_operations[i], op);
  }
}

static void
print_counters (const json_t *disks, bool total)
{
  static const struct {
    const char *disk, *total, *type, *key, *help;
    print_fn fn;
  } metrics[] = {
    { "mblock_disk_requests_total", "mblock_requests_total", "counter", "ops",
      "Requests, also those that failed.", print_counter },
    { "mblock_disk_bytes_total", "mblock_bytes_total", "counter", "bytes",
      "Bytes that requests read, wrote, zeroed or trimmed.", print_counter },
    { "mblock_disk_errors_total", "mblock_errors_total", "counter", "errors",
      "Requests that failed.", print_counter },
    { "mblock_disk_no_space_total", "mblock_no_space_total", "counter", NULL,
      "Requests that got ENOSPC, by the limit they ran into.",
      print_no_space },
    { "mblock_disk_latency_seconds", "mblock_latency_seconds", "histogram",
      "latency", "Time that the server worked on a request, of a sample of "
      "the requests.", print_latency },
  };
  size_t i;

  for (i = 0; i < sizeof metrics / sizeof *metrics; i++) {
    const char *name = total ? metrics[i].total : metrics[i].disk;

    head (name, metrics[i].type, metrics[i].help);
    print_each (disks, metrics[i].fn, name, metrics[i].key);
  }
}

/* ------------------------------------------------------ the mnbd filter */

/* A figure that each mirror has, or each cache. */
struct export_metric {
  const char *key, *name, *type, *help;
};

static const struct export_metric mirror_metrics[] = {
  { "size", "mblock_mirror_size_bytes", "gauge", "Size of both sides." },
  { "bytes_out_of_sync", "mblock_mirror_out_of_sync_bytes", "gauge",
    "What the secondary may not have." },
  { "rate_limit", "mblock_mirror_rate_limit_bytes", "gauge",
    "Bytes a second that the copying may send, if that is limited." },
  { "in_flight", "mblock_mirror_in_flight", "gauge",
    "Changes by clients that have not ended." },
  { "bytes_sent", "mblock_mirror_sent_bytes_total", "counter",
    "Bytes that the copying sent, since the mirror was started." },
  { "bytes_zeroed", "mblock_mirror_zeroed_bytes_total", "counter",
    "Bytes that it zeroed without sending them." },
  { "writes", "mblock_mirror_writes_total", "counter",
    "Changes by clients." },
  { "outages", "mblock_mirror_outages_total", "counter",
    "How often the secondary was lost." },
  { NULL, NULL, NULL, NULL }
};

static const struct export_metric cache_metrics[] = {
  { "size", "mblock_cache_size_bytes", "gauge", "Size of the upstream." },
  { "max_bytes", "mblock_cache_limit_bytes", "gauge",
    "What the cache may hold, if that is limited." },
  { "cached_bytes", "mblock_cache_cached_bytes", "gauge",
    "What the cache holds." },
  { "dirty_bytes", "mblock_cache_dirty_bytes", "gauge",
    "What waits to be written to the upstream." },
  { "hits", "mblock_cache_hits_total", "counter",
    "Reads of which the cache had all." },
  { "misses", "mblock_cache_misses_total", "counter", "All other reads." },
  { "hit_bytes", "mblock_cache_hit_bytes_total", "counter",
    "Bytes that were read from the cache." },
  { "miss_bytes", "mblock_cache_miss_bytes_total", "counter",
    "Bytes that clients asked for and the cache did not have." },
  { "fetched_bytes", "mblock_cache_fetched_bytes_total", "counter",
    "Bytes that were read from the upstream." },
  { "ahead_bytes", "mblock_cache_ahead_bytes_total", "counter",
    "Of these, what was read before a client asked." },
  { "ahead_used_bytes", "mblock_cache_ahead_used_bytes_total", "counter",
    "Of these, what a client then asked for." },
  { "writes", "mblock_cache_writes_total", "counter",
    "Changes by clients." },
  { "written_bytes", "mblock_cache_written_bytes_total", "counter",
    "Bytes that clients wrote." },
  { "writeback_bytes", "mblock_cache_writeback_bytes_total", "counter",
    "Bytes written to the upstream after their write was acknowledged." },
  { "evicted_bytes", "mblock_cache_evicted_bytes_total", "counter",
    "Bytes that made room for others." },
  { "uncached_bytes", "mblock_cache_uncached_bytes_total", "counter",
    "Bytes for which there was no room." },
  { "upstream_errors", "mblock_cache_upstream_errors_total", "counter",
    "Requests that the upstream failed." },
  { "local_errors", "mblock_cache_local_errors_total", "counter",
    "Requests that the plugin failed." },
  { "outages", "mblock_cache_outages_total", "counter",
    "How often the upstream was lost." },
  { NULL, NULL, NULL, NULL }
};

static void
export_sample (const char *metric, const json_t *e)
{
  printf ("%s{export=", metric);
  label (need_string (e, "export"));
}

static void
print_exports (const json_t *exports, const struct export_metric *m)
{
  size_t i;
  json_t *e;

  for (; m->key; m++) {
    head (m->name, m->type, m->help);
    json_array_foreach (exports, i, e)
      if (json_is_integer (json_object_get (e, m->key))) {
        export_sample (m->name, e);
        printf ("} %" PRIu64 "\n", get_size (e, m->key));
      }
  }
}

/* All states, so that each is a series that goes from 0 to 1 and back. */
static void
print_states (const json_t *mirrors)
{
  static const char name[] = "mblock_mirror_state";
  static const char *const states[] = {
    "copying", "resyncing", "synchronised", "degraded", "stopped", "failed",
  };
  size_t i, k;
  json_t *m;

  head (name, "gauge", "1 for the state that the mirror is in, else 0.");
  json_array_foreach (mirrors, i, m)
    for (k = 0; k < sizeof states / sizeof *states; k++) {
      export_sample (name, m);
      printf (",state=\"%s\"} %d\n", states[k],
              strcmp (need_string (m, "state"), states[k]) == 0);
    }
}

/* Of the last comparison, if one has ended. */
static void
print_differing (const json_t *mirrors)
{
  static const char name[] = "mblock_mirror_differing_bytes";
  size_t i;
  json_t *m;

  head (name, "gauge", "What differed in the last comparison.");
  json_array_foreach (mirrors, i, m) {
    const json_t *v = json_object_get (m, "verify");

    if (!json_is_object (v) || get_bool (v, "running"))
      continue;
    export_sample (name, m);
    printf ("} %" PRIu64 "\n", get_size (v, "bytes_differing"));
  }
}

static void
print_away (const json_t *caches)
{
  static const char name[] = "mblock_cache_upstream_away";
  size_t i;
  json_t *c;

  head (name, "gauge", "1 while the upstream is away, else 0.");
  json_array_foreach (caches, i, c) {
    export_sample (name, c);
    printf ("} %d\n", json_is_string (json_object_get (c, "away_since")));
  }
}

static int
run_filter_metrics (const json_t *version)
{
  bool mirror = strcmp (need_string (version, "mode"), "mirror") == 0;
  bool cache = strcmp (need_string (version, "mode"), "cache") == 0;
  json_auto_t *status = mirror ? rpc_call ("mirror_status", NULL)
    : cache ? rpc_call ("cache_status", NULL) : json_object ();

  if (settings.json) {
    print_json (status);
    return DONE;
  }
  print_version (version);
  if (flag ("total"))
    return DONE;
  if (mirror) {
    const json_t *mirrors = need_array (status, "mirrors");

    print_states (mirrors);
    print_exports (mirrors, mirror_metrics);
    print_differing (mirrors);
  }
  if (cache) {
    const json_t *caches = need_array (status, "caches");

    print_exports (caches, cache_metrics);
    print_away (caches);
  }
  return DONE;
}

static int
run_disk_metrics (const json_t *version)
{
  json_auto_t *stats = flag ("total")
    ? rpc_call ("stats", json_pack ("{s:i}", "limit", 1))
    : rpc_all_pages (&pages_stats, NULL);
  const json_t *disks = need_array (stats, "disks");
  const json_t *total = json_object_get (stats, "total");

  if (settings.json) {
    print_json (stats);
    return DONE;
  }
  print_version (version);
  print_arena (json_object_get (stats, "arena"));
  if (total)
    print_counters (total, true);
  if (flag ("total"))
    return DONE;

  print_gauge (disks, "size", "mblock_disk_size_bytes", "Size of the disk.");
  print_gauge (disks, "mapped", "mblock_disk_mapped_bytes",
               "Data that the disk holds, shared or not.");
  print_gauge (disks, "owned", "mblock_disk_owned_bytes",
               "Data written since it was made or last cloned.");
  print_gauge (disks, "quota", "mblock_disk_quota_bytes",
               "Data that the disk may own, if that is limited.");
  print_gauge (disks, "connections", "mblock_disk_connections",
               "NBD clients that have the disk open.");
  print_counters (disks, false);
  return DONE;
}

static int
run_metrics (int argc, char **argv)
{
  json_auto_t *version = rpc_call ("version", NULL);

  (void) argc;
  (void) argv;
  return strcmp (need_string (version, "name"), "mnbd") == 0
    ? run_filter_metrics (version) : run_disk_metrics (version);
}

static const struct option_def metrics_options[] = {
  { 0, "total", NULL, "only the server's figures, not those of each disk" },
  { 0 }
};

const struct command command_metrics = {
  "metrics", "", "print all figures in Prometheus' text format",
  "For the textfile collector of the node exporter, or any program that\n"
  "serves a command's output over HTTP.  The manual lists the metrics.\n"
  "\n"
  "Example:\n"
  "  mblockctl metrics > /var/lib/node_exporter/mblock.prom.new &&\n"
  "    mv /var/lib/node_exporter/mblock.prom.new \\\n"
  "       /var/lib/node_exporter/mblock.prom\n",
  metrics_options, 0, 0, run_metrics
};
