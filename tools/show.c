/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that look into disks: info, extents, diff. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "select.h"
#include "server-stats.h"
#include "table.h"
#include "text.h"

/* ----------------------------------------------------------------- info */

#define LABEL 14

static void
print_field (const char *label, char *value)
{
  printf ("%-*s%s\n", LABEL, label, value);
  free (value);
}

static char *
with_percent (uint64_t part, uint64_t whole)
{
  char *size = text_exact_size (part), *percent = text_percent (part, whole);
  char *r = text_format ("%s, %s", size, percent);

  free (size);
  free (percent);
  return r;
}

/* What the disk shows wherever it was not written. */
static void
print_origin (const json_t *o)
{
  if (!json_is_object (o))
    return;
  print_field ("Origin", text_line (need_string (o, "uri")));
  print_field ("  state", text_line (need_string (o, "state")));
  print_field ("  known", with_percent (get_size (o, "known"),
                                        get_size (o, "size")));
  print_field ("  in memory", text_exact_size (get_size (o, "memory")));
  print_field ("  fetched", text_exact_size (get_size (o, "fetched")));
  print_field ("  errors", text_format ("%" PRIu64, get_size (o, "errors")));
}

static void
print_info (const json_t *d)
{
  uint64_t size = need_size (d, "size"), sector = get_size (d, "sector_size");
  uint64_t quota = get_size (d, "quota"), own = get_size (d, "owned");
  const json_t *parent = json_object_get (d, "parent");

  print_field ("Name", text_name (need_string (d, "name")));
  if (json_is_string (json_object_get (d, "uuid")))
    print_field ("UUID", text_line (need_string (d, "uuid")));
  print_field ("Size", text_exact_size (size));
  if (sector > 1)
    print_field ("Sector size", text_exact_size (sector));
  else
    print_field ("Sector size", text_format ("any (requests of any bytes)"));
  print_field ("Mode", text_format (get_bool (d, "readonly") ? "read-only"
                                    : "read and write"));
  print_field ("Clients", text_format ("%" PRIu64, get_size (d,
                                                             "connections")));
  if (json_is_string (parent)) {
    char *name = text_name (json_string_value (parent));

    print_field ("Parent", text_format ("%s%s", name,
                                        get_bool (d, "parent_exists") ? ""
                                        : " (deleted)"));
    free (name);
  }
  print_field ("Mapped", with_percent (get_size (d, "mapped"), size));
  print_field ("  shared", text_exact_size (get_size (d, "shared")));
  print_field ("  exclusive", text_exact_size (get_size (d, "exclusive")));
  print_field ("Owned", text_exact_size (own));
  if (!json_is_integer (json_object_get (d, "quota")))
    print_field ("Quota", text_format ("none"));
  else if (quota == 0)
    print_field ("Quota", text_exact_size (quota));
  else {
    char *s = text_exact_size (quota), *used = text_percent (own, quota);

    print_field ("Quota", text_format ("%s, %s used%s", s, used,
                                       stats_disk_nearly_full (d)
                                       ? ": nearly full" : ""));
    free (s);
    free (used);
  }
  print_origin (json_object_get (d, "origin"));
}

static int
run_info (int argc, char **argv)
{
  json_auto_t *failures = json_array ();
  json_auto_t *names = select_names (argc, argv, failures);
  struct batch b;
  json_t *name;
  size_t i;

  batch_begin (&b, "describe", "described", json_array_size (names));
  batch_failures (&b, failures);
  json_array_foreach (names, i, name) {
    const char *s = json_string_value (name);
    json_t *d = rpc_try ("disk_info", json_pack ("{s:s}", "name", s));

    if (d == NULL) {
      batch_refused (&b, s);
      continue;
    }
    if (!settings.json) {
      progress_end ();
      if (b.changed > 0)
        putchar ('\n');
      print_info (d);
    }
    batch_result (&b, d);
  }
  return batch_end (&b);
}

static const struct option_def info_options[] = {
  LITERAL_OPTION,
  { 0 }
};

const struct command command_info = {
  "info", "NAME|PATTERN...", "print everything about disks",
  "Mapped data is shared with other disks, or exclusive: it would be freed\n"
  "with the disk.  These amounts are exact.  Counting them takes a moment if\n"
  "a disk holds much data.  Owned data was written since the disk was created\n"
  "or last cloned; the quota limits it.\n"
  "\n"
  "Examples:\n"
  "  mblockctl info vm-1\n"
  "  mblockctl info vm-1 --json | jq '.[].exclusive'\n",
  info_options, 1, -1, run_info
};

/* -------------------------------------------------------------- extents */

/* Sizes are exact: these numbers are for dd, nbdcopy and arithmetic. */
static char *
plain (uint64_t n)
{
  return text_format ("%" PRIu64, n);
}

static int
run_extents (int argc, char **argv)
{
  static const struct column columns[] = {
    { .title = "OFFSET", .right = true },
    { .title = "LENGTH", .right = true },
    { .title = "SIZE", .right = true, .drop = 1 },
    { .title = "TYPE" },
  };
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  json_auto_t *all = NULL;
  struct table *t;
  json_t *e;
  size_t i;

  (void) argc;
  if (flag ("offset"))
    json_object_set_new (params, "offset",
                         json_integer (argument_size ("--offset",
                                                      option ("offset"))));
  if (flag ("length"))
    json_object_set_new (params, "length",
                         json_integer (argument_size ("--length",
                                                      option ("length"))));
  if (flag ("sharing"))
    json_object_set_new (params, "sharing", json_true ());
  all = rpc_all_pages (&pages_extents, params);
  if (settings.json) {
    print_json (all);
    return DONE;
  }

  t = table_new (columns, sizeof columns / sizeof *columns);
  json_array_foreach (need_array (all, "extents"), i, e) {
    const json_t *shared = json_object_get (e, "shared");
    char *type = text_line (need_string (e, "type"));

    table_add (t, plain (need_size (e, "offset")));
    table_add (t, plain (need_size (e, "length")));
    table_add (t, text_size (need_size (e, "length")));
    table_addf (t, "%s%s", type, json_is_true (shared) ? ", shared" :
                json_is_false (shared) ? ", exclusive" : "");
    free (type);
  }
  table_print (t);
  table_free (t);
  return DONE;
}

static const struct option_def extents_options[] = {
  { 'o', "offset", "OFFSET", "start at this offset (default: 0)" },
  { 'l', "length", "LENGTH", "list this much (default: to the end)" },
  { 0, "sharing", NULL, "distinguish shared data from exclusive data" },
  { 0 }
};

const struct command command_extents = {
  "extents", "NAME", "list where a disk holds data, zeros and holes",
  "Holes take no memory.  Zeros are allocated, but take no memory either.\n"
  "OFFSET and LENGTH are in bytes.\n"
  "\n"
  "Example:\n"
  "  mblockctl extents vm-1 --sharing\n",
  extents_options, 1, 1, run_extents
};

/* ----------------------------------------------------------------- diff */

static int
run_diff (int argc, char **argv)
{
  static const struct column columns[] = {
    { .title = "OFFSET", .right = true },
    { .title = "LENGTH", .right = true },
    { .title = "SIZE", .right = true, .drop = 1 },
  };
  json_t *params = json_pack ("{s:o, s:o}", "a",
                              argument_name ("A", argv[0]), "b",
                              argument_name ("B", argv[1]));
  json_auto_t *all = NULL;
  json_t *extents, *e;
  uint64_t bytes = 0;
  struct table *t;
  size_t i;
  char *s;

  (void) argc;
  if (settings.json)
    json_object_set_new (params, "types", json_true ());
  all = rpc_all_pages (&pages_diff, params);
  if (settings.json) {
    print_json (all);
    return DONE;
  }

  extents = need_array (all, "extents");
  t = table_new (columns, sizeof columns / sizeof *columns);
  json_array_foreach (extents, i, e) {
    uint64_t length = need_size (e, "length");

    table_add (t, plain (need_size (e, "offset")));
    table_add (t, plain (length));
    table_add (t, text_size (length));
    bytes += length;
  }
  if (json_array_size (extents) > 0 && !flag ("summary"))
    table_print (t);
  table_free (t);
  if (settings.quiet)
    return DONE;
  s = text_exact_size (bytes);
  if (bytes == 0)
    puts ("The disks do not differ.");
  else
    printf ("The disks differ in %s, in %zu place%s.\n", s, i,
            i == 1 ? "" : "s");
  free (s);
  return DONE;
}

static const struct option_def diff_options[] = {
  { 0, "summary", NULL, "print only how much data differs" },
  { 0 }
};

const struct command command_diff = {
  "diff", "A B", "list the ranges in which two disks differ",
  "This is quick if one disk is a clone of the other, or both are clones of\n"
  "the same disk, because shared data is not read.  Differences may be\n"
  "rounded to whole pages of 4 KiB.  With --json, a type says whether B has\n"
  "data, zeros or a hole there.  The exit code is 0 even if the disks differ.\n"
  "\n"
  "Examples:\n"
  "  mblockctl diff golden vm-1\n"
  "  mblockctl diff golden vm-1 --json | jq '.extents[] | .type, .length'\n",
  diff_options, 2, 2, run_diff
};
