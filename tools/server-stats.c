/* SPDX-License-Identifier: BSD-3-Clause */
/* The command stats: what the server and its disks have done so far. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "server-stats.h"
#include "table.h"
#include "text.h"

const char *const stats_operations[STATS_OPERATIONS] = {
  "read", "write", "zero", "trim", "flush", "cache", "extents"
};

json_t *
stats_of (const json_t *disk, const char *operation)
{
  return json_object_get (disk, operation);
}

bool
stats_nearly_full (uint64_t used, uint64_t limit)
{
  return limit > 0 && used >= 0.9 * limit;
}

bool
stats_disk_nearly_full (const json_t *disk)
{
  return stats_nearly_full (get_size (disk, "owned"), get_size (disk, "quota"));
}

uint64_t
stats_errors (const json_t *disk)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < STATS_OPERATIONS; i++)
    n += get_size (stats_of (disk, stats_operations[i]), "errors");
  return n;
}

char *
stats_origin_text (const json_t *disk)
{
  const json_t *o = json_object_get (disk, "origin");
  const char *state;

  if (!json_is_object (o))
    return text_format ("-");
  state = need_string (o, "state");
  if (strcmp (state, "complete") == 0 || strcmp (state, "away") == 0)
    return text_format ("%s", state);
  return text_percent (get_size (o, "known"), get_size (o, "size"));
}

bool
stats_have_origin (const json_t *disks)
{
  const json_t *d;
  size_t i;

  json_array_foreach (disks, i, d)
    if (json_is_object (json_object_get (d, "origin")))
      return true;
  return false;
}

/* ------------------------------------------------------------- one disk */

static void
print_operations (const json_t *disk)
{
  static const struct column columns[] = {
    { .title = "OPERATION" },
    { .title = "REQUESTS", .right = true },
    { .title = "BYTES", .right = true },
    { .title = "ERRORS", .right = true },
    { .title = "p50", .right = true },
    { .title = "p99", .right = true },
    { .title = "p99.9", .right = true },
  };
  static const double parts[] = { 0.5, 0.99, 0.999 };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  unsigned i, j;

  for (i = 0; i < STATS_OPERATIONS; i++) {
    const json_t *op = stats_of (disk, stats_operations[i]);
    const json_t *bytes = json_object_get (op, "bytes");
    struct histogram h = { { 0 } };

    histogram_add (&h, json_object_get (op, "latency"), 1);
    table_addf (t, "%s", stats_operations[i]);
    table_addf (t, "%" PRIu64, get_size (op, "ops"));
    table_add (t, json_is_integer (bytes)
               ? text_size (get_size (op, "bytes")) : text_format ("-"));
    table_addf (t, "%" PRIu64, get_size (op, "errors"));
    for (j = 0; j < sizeof parts / sizeof *parts; j++)
      table_add (t, histogram_total (&h)
                 ? text_latency (histogram_quantile (&h, parts[j]))
                 : text_format ("-"));
  }
  table_print (t);
  table_free (t);
}

/* If not every request was timed, say so. */
static void
print_sample (const json_t *stats)
{
  uint64_t sample = get_size (stats, "latency_sample");

  if (sample > 1)
    printf ("Times are taken of one request in %" PRIu64 ".\n", sample);
}

static void
print_origin (const json_t *o)
{
  char *state, *known, *memory, *fetched, *evicted;

  if (!json_is_object (o))
    return;
  state = text_line (need_string (o, "state"));
  known = text_percent (get_size (o, "known"), get_size (o, "size"));
  memory = text_size (get_size (o, "memory"));
  fetched = text_size (get_size (o, "fetched"));
  evicted = text_size (get_size (o, "evicted"));
  printf ("Origin: %s, %s there, %s in memory, %s fetched, %s evicted, "
          "%" PRIu64 " errors\n", state, known, memory, fetched, evicted,
          get_size (o, "errors"));
  free (state);
  free (known);
  free (memory);
  free (fetched);
  free (evicted);
}

static void
print_disk (const json_t *d)
{
  char *name = text_name (need_string (d, "name"));
  char *size = text_size (get_size (d, "size"));
  char *mapped = text_size (get_size (d, "mapped"));
  char *owned = text_size (get_size (d, "owned"));
  char *quota = json_is_integer (json_object_get (d, "quota"))
    ? text_size (get_size (d, "quota")) : text_format ("none");
  uint64_t clients = get_size (d, "connections");
  uint64_t by_quota = get_size (d, "enospc_quota");
  uint64_t by_memory = get_size (d, "enospc_memory");

  printf ("%s: %s, %s mapped, %s own, quota %s, %" PRIu64 " client%s\n",
          name, size, mapped, owned, quota, clients, clients == 1 ? "" : "s");
  if (by_quota || by_memory)
    printf ("Writes refused: %" PRIu64 " by the quota, %" PRIu64
            " by max-memory\n", by_quota, by_memory);
  print_origin (json_object_get (d, "origin"));
  putchar ('\n');
  print_operations (d);
  free (name);
  free (size);
  free (mapped);
  free (owned);
  free (quota);
}

/* ------------------------------------------------------------- all disks */

/* The arena's path, if it is a file. */
static void
print_recovery (const json_t *arena)
{
  const char *file = json_string_value (json_object_get (arena, "file"));
  const json_t *recovery = json_object_get (arena, "recovery");
  const char *from = json_string_value (json_object_get (recovery, "from"));
  char *shown;

  if (file == NULL || from == NULL)
    return;
  shown = text_line (file);
  printf ("Arena: %s, ", shown);
  free (shown);
  if (strcmp (from, "new") == 0)
    puts ("new\n");
  else
    printf ("%s: %" PRIu64 " disks recovered in %.1f ms\n\n",
            strcmp (from, "clean") == 0 ? "after a clean stop"
            : "after a crash", get_size (recovery, "disks"),
            get_size (recovery, "microseconds") / 1000.0);
}

/* What the server remembers of saves, if anything. */
static void
print_saves (const json_t *stats)
{
  const json_t *saves = json_object_get (stats, "saves");
  uint64_t folders = get_size (saves, "folders");
  uint64_t disks = get_size (saves, "disks");
  char *held;

  if (folders == 0)
    return;
  held = text_size (get_size (saves, "held"));
  printf ("Remembered for the next save: %" PRIu64 " disk%s in %" PRIu64
          " folder%s, with %s of former content\n\n", disks,
          disks == 1 ? "" : "s", folders, folders == 1 ? "" : "s", held);
  free (held);
}

static void
print_arena (const json_t *stats)
{
  const json_t *arena = json_object_get (stats, "arena");
  uint64_t limit = get_size (arena, "limit"), used = get_size (arena, "used");
  char *u = text_size (used), *l = text_size (limit);
  char *percent = text_percent (used, limit);
  char *cached = text_size (get_size (arena, "cached"));
  double uptime =
    json_number_value (json_object_get (arena, "uptime_seconds"));
  char *up = text_duration (uptime);

  printf ("Memory: %s of %s (%s), and %s ready for reuse\n"
          "Disks: %" PRIu64 "   Clients: %" PRIu64
          "   Control clients: %" PRIu64 "   Up: %s\n\n", u, l, percent,
          cached, get_size (arena, "disks"), get_size (arena, "connections"),
          get_size (arena, "clients"), up);
  print_recovery (arena);
  print_saves (stats);
  free (u);
  free (l);
  free (percent);
  free (cached);
  free (up);
}

static void
add_ops (struct table *t, const json_t *op, bool with_bytes)
{
  table_add (t, text_count (get_size (op, "ops")));
  if (with_bytes)
    table_add (t, text_rate (get_size (op, "bytes")));
}

static void
print_disks (const json_t *disks)
{
  static const struct column columns[] = {
    { .title = "NAME", .elastic = true, .name = true },
    { .title = "SIZE", .right = true, .drop = 5 },
    { .title = "MAPPED", .right = true, .drop = 3 },
    { .title = "OWNED", .right = true },
    { .title = "READS", .right = true },
    { .title = "BYTES", .right = true, .drop = 1 },
    { .title = "WRITES", .right = true },
    { .title = "BYTES", .right = true, .drop = 2 },
    { .title = "ZEROES", .right = true, .drop = 4 },
    { .title = "TRIMS", .right = true, .drop = 4 },
    { .title = "FLUSHES", .right = true, .drop = 6 },
    { .title = "ERRORS", .right = true },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *d;

  json_array_foreach (disks, i, d) {
    table_add (t, text_name (need_string (d, "name")));
    table_add (t, text_size (get_size (d, "size")));
    table_add (t, text_size (get_size (d, "mapped")));
    table_add (t, text_size (get_size (d, "owned")));
    add_ops (t, stats_of (d, "read"), true);
    add_ops (t, stats_of (d, "write"), true);
    add_ops (t, stats_of (d, "zero"), false);
    add_ops (t, stats_of (d, "trim"), false);
    add_ops (t, stats_of (d, "flush"), false);
    table_add (t, text_count (stats_errors (d)));
  }
  table_print (t);
  table_free (t);
}

static int
run_stats (int argc, char **argv)
{
  json_auto_t *stats = NULL;
  json_t *disks, *total;

  if (argc)
    stats = rpc_call ("stats", json_pack ("{s:o}", "name",
                                          argument_name ("NAME", argv[0])));
  else
    stats = rpc_all_pages (&pages_stats, NULL);
  if (settings.json) {
    print_json (stats);
    return DONE;
  }
  disks = need_array (stats, "disks");
  total = json_object_get (stats, "total");
  if (argc) {
    if (json_array_size (disks) != 1)
      fail (NO_SERVER, "the server's answer does not hold one disk");
    print_disk (json_array_get (disks, 0));
    print_sample (stats);
    return DONE;
  }
  select_sort (disks);
  print_arena (stats);
  if (total) {
    print_operations (total);
    print_sample (stats);
    putchar ('\n');
  }
  print_disks (disks);
  return DONE;
}

const struct command command_stats = {
  "stats", "[NAME]", "print statistics: memory, requests, errors, latencies",
  "Without NAME, print the server's memory, its work since it started, and a\n"
  "line for each disk.  With NAME, print all statistics of one disk since it\n"
  "was created.  OWNED is the data that was written to a disk since it was\n"
  "created or last cloned, which is what its quota counts.  A latency is the\n"
  "time that the server spent on a request, without the network, rounded up\n"
  "to a power of two nanoseconds.\n"
  "\n"
  "Examples:\n"
  "  mblockctl stats\n"
  "  mblockctl stats vm-1\n",
  NULL, 0, 1, run_stats
};
