/* SPDX-License-Identifier: BSD-3-Clause */
/* The command metrics: the server's figures in Prometheus' text format.
 *
 * All samples of a metric stand together, after its HELP and TYPE, so the
 * disks are gone through once for each metric.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

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

static void
disk_label (const json_t *disk)
{
  fputs ("{disk=", stdout);
  label (need_string (disk, "name"));
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
      fputs (name, stdout);
      disk_label (d);
      printf ("} %" PRIu64 "\n", get_size (d, key));
    }
}

/* A counter that each operation has. */
static void
print_counter (const json_t *disks, const char *key, const char *name,
               const char *help)
{
  size_t i;
  unsigned j;
  json_t *d;

  head (name, "counter", help);
  json_array_foreach (disks, i, d)
    for (j = 0; j < STATS_OPERATIONS; j++) {
      const json_t *op = stats_of (d, stats_operations[j]);

      if (!json_is_integer (json_object_get (op, key)))
        continue;
      fputs (name, stdout);
      disk_label (d);
      printf (",operation=\"%s\"} %" PRIu64 "\n", stats_operations[j],
              get_size (op, key));
    }
}

static void
print_no_space (const json_t *disks)
{
  static const char *const reasons[][2] = {
    { "enospc_quota", "quota" }, { "enospc_memory", "memory" },
  };
  size_t i, j;
  json_t *d;

  head ("mblock_disk_no_space_total", "counter",
        "Requests that got ENOSPC, by the limit they ran into.");
  json_array_foreach (disks, i, d)
    for (j = 0; j < 2; j++)
      if (json_is_integer (json_object_get (d, reasons[j][0]))) {
        fputs ("mblock_disk_no_space_total", stdout);
        disk_label (d);
        printf (",limit=\"%s\"} %" PRIu64 "\n", reasons[j][1],
                get_size (d, reasons[j][0]));
      }
}

#define LATENCY "mblock_disk_latency_seconds"

static void
print_bucket (const json_t *disk, const char *operation, const char *le,
              uint64_t n)
{
  fputs (LATENCY "_bucket", stdout);
  disk_label (disk);
  printf (",operation=\"%s\",le=\"%s\"} %" PRIu64 "\n", operation, le, n);
}

static void
print_histogram (const json_t *disk, const char *operation, const json_t *op)
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
    snprintf (le, sizeof le, "%.9g", (double) (UINT64_C (1) << i) / 1e9);
    print_bucket (disk, operation, le, n);
  }
  n = histogram_total (&h);
  print_bucket (disk, operation, "+Inf", n);
  if (json_is_integer (sum)) {
    fputs (LATENCY "_sum", stdout);
    disk_label (disk);
    printf (",operation=\"%s\"} %.9f\n", operation,
            json_integer_value (sum) / 1e9);
  }
  fputs (LATENCY "_count", stdout);
  disk_label (disk);
  printf (",operation=\"%s\"} %" PRIu64 "\n", operation, n);
}

/* An operation that a disk has not had yet is left out: most of ten thousand
 * clones are idle.
 */
static void
print_latency (const json_t *disks)
{
  size_t i;
  unsigned j;
  json_t *d;

  head (LATENCY, "histogram", "Time that the server worked on a request.");
  json_array_foreach (disks, i, d)
    for (j = 0; j < STATS_OPERATIONS; j++) {
      const json_t *op = stats_of (d, stats_operations[j]);

      if (json_array_size (json_object_get (op, "latency")) > 0)
        print_histogram (d, stats_operations[j], op);
    }
}

static int
run_metrics (int argc, char **argv)
{
  json_auto_t *version = rpc_call ("version", NULL);
  json_auto_t *stats = rpc_all_pages (&pages_stats, NULL);
  const json_t *disks = need_array (stats, "disks");

  (void) argc;
  (void) argv;
  if (settings.json) {
    print_json (stats);
    return DONE;
  }
  print_version (version);
  print_arena (json_object_get (stats, "arena"));
  print_gauge (disks, "size", "mblock_disk_size_bytes", "Size of the disk.");
  print_gauge (disks, "mapped", "mblock_disk_mapped_bytes",
               "Data that the disk holds, shared or not.");
  print_gauge (disks, "owned", "mblock_disk_owned_bytes",
               "Memory that the disk holds alone.");
  print_gauge (disks, "quota", "mblock_disk_quota_bytes",
               "Memory that the disk may hold alone, if that is limited.");
  print_gauge (disks, "connections", "mblock_disk_connections",
               "NBD clients that have the disk open.");
  print_counter (disks, "ops", "mblock_disk_requests_total",
                 "Requests, also those that failed.");
  print_counter (disks, "bytes", "mblock_disk_bytes_total",
                 "Bytes that requests read, wrote, zeroed or trimmed.");
  print_counter (disks, "errors", "mblock_disk_errors_total",
                 "Requests that failed.");
  print_no_space (disks);
  print_latency (disks);
  return DONE;
}

const struct command command_metrics = {
  "metrics", "", "print all figures in Prometheus' text format",
  "For the textfile collector of the node exporter, or any program that serves\n"
  "a command's output over HTTP.  The manual lists the metrics.\n"
  "\n"
  "Example:\n"
  "  mblockctl metrics > /var/lib/node_exporter/mblock.prom.new &&\n"
  "    mv /var/lib/node_exporter/mblock.prom.new \\\n"
  "       /var/lib/node_exporter/mblock.prom\n",
  NULL, 0, 0, run_metrics
};
