/* SPDX-License-Identifier: BSD-3-Clause */
/* The command metrics: the server's statistics in Prometheus' text format.
 *
 * All samples of a metric must stand together, after its HELP and TYPE, so the
 * disks are traversed once for each metric.  The same holds for the mirrors and
 * caches of a server with the mnbd filter, which has no disks.
 */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/printable.h"
#include "histogram.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "server-stats.h"

/* All histograms have the same buckets, so that they can be added up: powers of
 * two from 128 ns to 1.07 s.
 */
#define FIRST_BUCKET 7
#define LAST_BUCKET 30

static void
head (const char *name, const char *type, const char *help)
{
  printf ("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Print a label's value: only backslash, quote and newline are escaped.  For a
 * terminal it is made safe.
 */
static void
label (const char *value)
{
  char *safe = isatty (STDOUT_FILENO) ? printable_line (value) : NULL;
  const char *s = safe ? safe : value;

  putchar ('"');
  for (; *s; s++)
    switch (*s) {
    case '\\': fputs ("\\\\", stdout); break;
    case '"': fputs ("\\\"", stdout); break;
    case '\n': fputs ("\\n", stdout); break;
    default: putchar (*s);
    }
  putchar ('"');
  free (safe);
}

/* Print one sample's name and labels.  disk is NULL for the totals; a label
 * that is NULL is left out.
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
      "Limit of the memory of all disks." },
    { "used", "mblock_memory_used_bytes", "Memory in use by disks." },
    { "cached", "mblock_memory_cached_bytes",
      "Free memory that was not returned to the system." },
    { "disks", "mblock_disks", "Disks that have a name." },
    { "connections", "mblock_connections",
      "NBD connections to all disks." },
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

/* What the origins of disks have.  Disks that were cloned from each other have
 * one origin, and so the same values.
 */
static void
print_origins (const json_t *disks)
{
  static const struct {
    const char *key, *name, *type, *help;
  } metrics[] = {
    { "size", "mblock_disk_origin_size_bytes", "gauge",
      "Size of the disk's origin." },
    { "known", "mblock_disk_origin_known_bytes", "gauge",
      "Bytes of the origin that need not be fetched." },
    { "memory", "mblock_disk_origin_memory_bytes", "gauge",
      "Memory of what was fetched from the origin." },
    { "fetches", "mblock_disk_origin_fetches_total", "counter",
      "Requests to the origin." },
    { "fetched", "mblock_disk_origin_fetched_bytes_total", "counter",
      "Bytes that the origin has sent." },
    { "evicted", "mblock_disk_origin_evicted_bytes_total", "counter",
      "Fetched bytes that were evicted." },
    { "errors", "mblock_disk_origin_errors_total", "counter",
      "Requests to the origin that failed." },
  };
  static const char state[] = "mblock_disk_origin_state";
  static const char *const states[] = {
    "lazy", "prefetching", "complete", "away",
  };
  const json_t *d, *o;
  size_t i, k;

  for (k = 0; k < sizeof metrics / sizeof *metrics; k++) {
    head (metrics[k].name, metrics[k].type, metrics[k].help);
    json_array_foreach (disks, i, d) {
      o = json_object_get (d, "origin");
      if (json_is_object (o)) {
        sample (metrics[k].name, "", d, NULL, NULL, NULL);
        printf ("%" PRIu64 "\n", get_size (o, metrics[k].key));
      }
    }
  }
  head (state, "gauge", "1 for the state that the origin is in, else 0.");
  json_array_foreach (disks, i, d) {
    o = json_object_get (d, "origin");
    for (k = 0; json_is_object (o) && k < sizeof states / sizeof *states;
         k++) {
      sample (state, "", d, "state", states[k], NULL);
      printf ("%d\n", strcmp (need_string (o, "state"), states[k]) == 0);
    }
  }
}

/* ------------------------------------- what disks have, and all in total */

/* Call fn for each disk, or once for the totals.  disks: the array of disks, or
 * the object with the totals.
 */
typedef void (*print_fn) (const char *metric, const char *key,
                          const json_t *disk, const json_t *stats);

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
               const json_t *stats)
{
  unsigned i;

  for (i = 0; i < STATS_OPERATIONS; i++) {
    const json_t *op = stats_of (stats, stats_operations[i]);

    if (!json_is_integer (json_object_get (op, key)))
      continue;
    sample (metric, "", disk, "operation", stats_operations[i], NULL);
    printf ("%" PRIu64 "\n", get_size (op, key));
  }
}

static void
print_no_space (const char *metric, const char *key, const json_t *disk,
                const json_t *stats)
{
  static const char *const limits[][2] = {
    { "enospc_quota", "quota" }, { "enospc_memory", "memory" },
  };
  size_t i;

  (void) key;
  for (i = 0; i < 2; i++)
    if (json_is_integer (json_object_get (stats, limits[i][0]))) {
      sample (metric, "", disk, "limit", limits[i][1], NULL);
      printf ("%" PRIu64 "\n", get_size (stats, limits[i][0]));
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

/* Operations that a disk has not had yet are left out: most of ten thousand
 * clones are idle.
 */
static void
print_latency (const char *metric, const char *key, const json_t *disk,
               const json_t *stats)
{
  unsigned i;

  for (i = 0; i < STATS_OPERATIONS; i++) {
    const json_t *op = stats_of (stats, stats_operations[i]);

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
      "Requests, including those that failed.", print_counter },
    { "mblock_disk_bytes_total", "mblock_bytes_total", "counter", "bytes",
      "Bytes that requests read, wrote, zeroed or trimmed.", print_counter },
    { "mblock_disk_errors_total", "mblock_errors_total", "counter", "errors",
      "Requests that failed.", print_counter },
    { "mblock_disk_no_space_total", "mblock_no_space_total", "counter", NULL,
      "Requests that failed with ENOSPC, by the limit reached.",
      print_no_space },
    { "mblock_disk_latency_seconds", "mblock_latency_seconds", "histogram",
      "latency", "Time that the server spent on a request, for a sample of "
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

/* A statistic that each mirror, or each cache, has. */
struct export_metric {
  const char *key, *name, *type, *help;
};

static const struct export_metric mirror_metrics[] = {
  { "size", "mblock_mirror_size_bytes", "gauge", "Size of the mirrored disk." },
  { "bytes_out_of_sync", "mblock_mirror_out_of_sync_bytes", "gauge",
    "Bytes that the secondary may not have." },
  { "rate_limit", "mblock_mirror_rate_limit_bytes", "gauge",
    "Limit of copying in bytes per second, if there is one." },
  { "in_flight", "mblock_mirror_in_flight", "gauge",
    "Changes by clients that are in flight." },
  { "bytes_sent", "mblock_mirror_sent_bytes_total", "counter",
    "Bytes that copying has sent since the mirror was started." },
  { "bytes_zeroed", "mblock_mirror_zeroed_bytes_total", "counter",
    "Bytes that copying has zeroed without sending them." },
  { "bytes_same", "mblock_mirror_same_bytes_total", "counter",
    "Bytes that copying has not sent because they were there." },
  { "writes", "mblock_mirror_writes_total", "counter",
    "Changes by clients." },
  { "outages", "mblock_mirror_outages_total", "counter",
    "How often the secondary was lost." },
  { NULL, NULL, NULL, NULL }
};

static const struct export_metric cache_metrics[] = {
  { "size", "mblock_cache_size_bytes", "gauge", "Size of the upstream." },
  { "max_bytes", "mblock_cache_limit_bytes", "gauge",
    "Limit of the bytes in the cache, if there is one." },
  { "cached_bytes", "mblock_cache_cached_bytes", "gauge",
    "Bytes in the cache." },
  { "dirty_bytes", "mblock_cache_dirty_bytes", "gauge",
    "Bytes that wait to be written to the upstream." },
  { "hits", "mblock_cache_hits_total", "counter",
    "Reads that the cache served completely." },
  { "misses", "mblock_cache_misses_total", "counter", "All other reads." },
  { "hit_bytes", "mblock_cache_hit_bytes_total", "counter",
    "Bytes read from the cache." },
  { "miss_bytes", "mblock_cache_miss_bytes_total", "counter",
    "Bytes requested that were not in the cache." },
  { "fetched_bytes", "mblock_cache_fetched_bytes_total", "counter",
    "Bytes read from the upstream." },
  { "ahead_bytes", "mblock_cache_ahead_bytes_total", "counter",
    "Bytes read from the upstream before a client asked." },
  { "ahead_used_bytes", "mblock_cache_ahead_used_bytes_total", "counter",
    "Bytes read ahead that a client then asked for." },
  { "writes", "mblock_cache_writes_total", "counter",
    "Changes by clients." },
  { "written_bytes", "mblock_cache_written_bytes_total", "counter",
    "Bytes that clients wrote." },
  { "writeback_bytes", "mblock_cache_writeback_bytes_total", "counter",
    "Bytes written to the upstream after their write was acknowledged." },
  { "evicted_bytes", "mblock_cache_evicted_bytes_total", "counter",
    "Bytes evicted to make room for others." },
  { "uncached_bytes", "mblock_cache_uncached_bytes_total", "counter",
    "Bytes for which there was no room." },
  { "upstream_errors", "mblock_cache_upstream_errors_total", "counter",
    "Requests that failed in the upstream." },
  { "local_errors", "mblock_cache_local_errors_total", "counter",
    "Requests that failed in the plugin." },
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

/* Print all states, so that each one is a series that goes from 0 to 1 and
 * back.
 */
static void
print_states (const json_t *mirrors)
{
  static const char name[] = "mblock_mirror_state";
  static const char *const states[] = {
    "copying", "resyncing", "synchronised", "degraded", "stopped", "failed",
    "switched",
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

/* Statistics of the last comparison, if one has ended. */
static void
print_differing (const json_t *mirrors)
{
  static const char name[] = "mblock_mirror_differing_bytes";
  size_t i;
  json_t *m;

  head (name, "gauge", "Bytes that differed in the last comparison.");
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

/* Keep only the objects of an answer's array that the arguments mean, by the
 * name under key.  what: what they are.  Returns the exit code.
 */
static int
filter (json_t *answer, const char *array, const char *key, const char *what,
        int argc, char **argv)
{
  json_auto_t *unmatched = select_filter (need_array (answer, array), key, argc,
                                          argv);
  json_t *error = flag ("ignore-missing") ? NULL
    : select_no_match (unmatched, what);

  if (error)
    json_object_set_new (answer, "error", error);
  return error ? REFUSED : DONE;
}

static int
run_filter_metrics (const json_t *version, int argc, char **argv)
{
  bool mirror = strcmp (need_string (version, "mode"), "mirror") == 0;
  bool cache = strcmp (need_string (version, "mode"), "cache") == 0;
  json_auto_t *status = mirror ? rpc_call ("mirror_status", NULL)
    : cache ? rpc_call ("cache_status", NULL) : json_object ();
  int r = mirror || cache
    ? filter (status, mirror ? "mirrors" : "caches", "export", "export", argc,
              argv) : DONE;

  if (settings.json) {
    print_json (status);
    return r;
  }
  print_version (version);
  if (flag ("total"))
    return r;
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
  return r;
}

static int
run_disk_metrics (const json_t *version, int argc, char **argv)
{
  json_auto_t *stats = flag ("total")
    ? rpc_call ("stats", json_pack ("{s:i}", "limit", 1))
    : rpc_all_pages (&pages_stats, NULL);
  json_t *disks = need_array (stats, "disks");
  const json_t *total = json_object_get (stats, "total");
  int r = filter (stats, "disks", "name", "disk", argc, argv);

  if (settings.json) {
    print_json (stats);
    return r;
  }
  print_version (version);
  print_arena (json_object_get (stats, "arena"));
  if (total)
    print_counters (total, true);
  if (flag ("total"))
    return r;

  print_gauge (disks, "size", "mblock_disk_size_bytes", "Size of the disk.");
  print_gauge (disks, "mapped", "mblock_disk_mapped_bytes",
               "Data that the disk holds, shared or not.");
  print_gauge (disks, "owned", "mblock_disk_owned_bytes",
               "Data written since the disk was created or last cloned.");
  print_gauge (disks, "quota", "mblock_disk_quota_bytes",
               "Limit of the data that the disk may own.");
  print_gauge (disks, "connections", "mblock_disk_connections",
               "NBD connections to the disk.");
  print_origins (disks);
  print_counters (disks, false);
  return r;
}

static int
run_metrics (int argc, char **argv)
{
  json_auto_t *version = NULL;

  select_check_or_total (argc, argv);
  version = rpc_call ("version", NULL);
  return strcmp (need_string (version, "name"), "mnbd") == 0
    ? run_filter_metrics (version, argc, argv)
    : run_disk_metrics (version, argc, argv);
}

static const struct option_def metrics_options[] = {
  { 0, "total", NULL,
    "print only the totals, not each disk, mirror or cache" },
  { 0, "ignore-missing", NULL, "ignore arguments that match nothing" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_metrics = {
  "metrics", "[NAME|PATTERN...]", "print all statistics in Prometheus' text format",
  "With names or patterns, print only those disks, mirrors or caches besides the\n"
  "totals; if one matches nothing, the exit code is 1.  Use this with the\n"
  "textfile collector of the node exporter; mblockctl exporter serves the same\n"
  "over HTTP.  The manual lists the metrics.\n"
  "\n"
  "Example:\n"
  "  mblockctl metrics > /var/lib/node_exporter/mblock.prom.new &&\n"
  "    mv /var/lib/node_exporter/mblock.prom.new \\\n"
  "       /var/lib/node_exporter/mblock.prom\n",
  metrics_options, 0, -1, run_metrics
};
