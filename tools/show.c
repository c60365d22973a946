/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that look at disks and print tables: list, info, extents, diff.
 */

#include <config.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mblockctl.h"
#include "rpc.h"
#include "table.h"
#include "text.h"

/* ----------------------------------------------------------------- list */

static bool
wanted (const char *name, int argc, char **argv)
{
  int i;

  if (argc == 0)
    return true;
  for (i = 0; i < argc; i++)
    if (fnmatch (argv[i], name, 0) == 0)
      return true;
  return false;
}

/* Keep only the disks that match a pattern. */
static void
filter (json_t *disks, int argc, char **argv)
{
  json_auto_t *kept = json_array ();
  size_t i;
  json_t *d;

  if (argc == 0)
    return;
  json_array_foreach (disks, i, d)
    if (wanted (need_string (d, "name"), argc, argv))
      json_array_append (kept, d);
  json_array_clear (disks);
  json_array_extend (disks, kept);
}

/* Names for other programs, as they are; but a terminal gets them safe. */
static void
print_names (const json_t *disks, bool nul)
{
  bool safe = isatty (STDOUT_FILENO);
  size_t i;
  json_t *d;

  json_array_foreach (disks, i, d) {
    const char *name = need_string (d, "name");

    if (safe) {
      char *shown = text_name (name);

      puts (shown);
      free (shown);
    }
    else
      printf ("%s%c", name, nul ? '\0' : '\n');
  }
}

static char *
size_or_dash (const json_t *disk, const char *key)
{
  const json_t *v = json_object_get (disk, key);

  return json_is_integer (v)
    ? text_size (get_size (disk, key)) : text_format ("-");
}

static void
print_list (const json_t *disks)
{
  static const struct column columns[] = {
    { .title = "NAME", .elastic = true },
    { .title = "SIZE", .right = true },
    { .title = "MAPPED", .right = true },
    { .title = "QUOTA", .right = true, .drop = 2 },
    { .title = "SECTOR", .right = true, .drop = 3 },
    { .title = "CLIENTS", .right = true, .drop = 1 },
    { .title = "MODE" },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *d;

  json_array_foreach (disks, i, d) {
    uint64_t sector = get_size (d, "sector_size");

    table_add (t, text_name (need_string (d, "name")));
    table_add (t, text_size (need_size (d, "size")));
    table_add (t, text_size (get_size (d, "mapped")));
    table_add (t, size_or_dash (d, "quota"));
    if (sector > 1)
      table_add (t, text_size (sector));
    else
      table_addf (t, "any");
    table_addf (t, "%" PRIu64, get_size (d, "connections"));
    table_addf (t, get_bool (d, "readonly") ? "ro" : "rw");
  }
  table_print (t);
  table_free (t);
}

static int
run_list (int argc, char **argv)
{
  json_auto_t *all = NULL;
  json_t *disks;

  if (settings.json && (flag ("names") || flag ("null")))
    fail (USAGE, "expected only one of --json, --names and --null");
  all = rpc_all_pages (&pages_list, NULL);
  disks = need_array (all, "disks");
  filter (disks, argc, argv);
  if (settings.json)
    print_json (all);
  else if (flag ("names") || flag ("null"))
    print_names (disks, flag ("null"));
  else
    print_list (disks);
  return DONE;
}

static const struct option_def list_options[] = {
  { 'n', "names", NULL, "print only the names, one a line" },
  { '0', "null", NULL, "print only the names, each ended by a NUL byte" },
  { 0 }
};

const struct command command_list = {
  "list", "[PATTERN...]", "list disks",
  "A PATTERN is one of the shell's, such as 'vm-*'; put it in quotes.\n"
  "\n"
  "SIZE is what clients see, MAPPED what is stored (shared or not), QUOTA\n"
  "what the disk may own, SECTOR the unit of requests, CLIENTS the\n"
  "open connections, MODE rw or ro.\n"
  "\n"
  "Examples:\n"
  "  mblockctl list\n"
  "  mblockctl list 'vm-*' --json | jq '.disks[].mapped'\n",
  list_options, 0, -1, run_list
};

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

static void
print_info (const json_t *d)
{
  uint64_t size = need_size (d, "size"), sector = get_size (d, "sector_size");
  uint64_t quota = get_size (d, "quota"), own = get_size (d, "exclusive");

  print_field ("Name", text_name (need_string (d, "name")));
  print_field ("Size", text_exact_size (size));
  if (sector > 1)
    print_field ("Sector size", text_exact_size (sector));
  else
    print_field ("Sector size", text_format ("any (requests of any bytes)"));
  print_field ("Mode", text_format (get_bool (d, "readonly") ? "read-only"
                                    : "read and write"));
  print_field ("Clients", text_format ("%" PRIu64, get_size (d,
                                                             "connections")));
  print_field ("Mapped", with_percent (get_size (d, "mapped"), size));
  print_field ("  shared", text_exact_size (get_size (d, "shared")));
  print_field ("  its own", text_exact_size (own));
  if (!json_is_integer (json_object_get (d, "quota")))
    print_field ("Quota", text_format ("none"));
  else if (quota == 0)
    print_field ("Quota", text_exact_size (quota));
  else {
    char *s = text_exact_size (quota), *used = text_percent (own, quota);

    print_field ("Quota", text_format ("%s, %s used", s, used));
    free (s);
    free (used);
  }
}

static int
run_info (int argc, char **argv)
{
  json_auto_t *all = json_array ();
  int i;

  for (i = 0; i < argc; i++)
    json_decref (argument_name ("NAME", argv[i]));
  for (i = 0; i < argc; i++) {
    json_auto_t *d = rpc_call ("disk_info", json_pack ("{s:s}", "name",
                                                       argv[i]));

    if (settings.json) {
      json_array_append (all, d);
      continue;
    }
    if (i > 0)
      putchar ('\n');
    print_info (d);
  }
  if (settings.json)
    print_json (argc > 1 ? all : json_array_get (all, 0));
  return DONE;
}

const struct command command_info = {
  "info", "NAME...", "tell all about disks",
  "Shared and own memory are counted exactly, which takes a moment on a disk\n"
  "with much data.\n"
  "\n"
  "Examples:\n"
  "  mblockctl info vm-1\n"
  "  mblockctl info vm-1 --json | jq .exclusive\n",
  NULL, 1, -1, run_info
};

/* -------------------------------------------------------------- extents */

/* Sizes as they are: these numbers are for dd, nbdcopy and arithmetic. */
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
                json_is_false (shared) ? ", own" : "");
    free (type);
  }
  table_print (t);
  table_free (t);
  return DONE;
}

static const struct option_def extents_options[] = {
  { 'o', "offset", "OFFSET", "begin there (default: 0)" },
  { 'l', "length", "LENGTH", "so much of the disk (default: to its end)" },
  { 0, "sharing", NULL, "tell shared data from the disk's own" },
  { 0 }
};

const struct command command_extents = {
  "extents", "NAME", "list where a disk holds data, zeros and holes",
  "A hole takes no memory; zeros are allocated and take none either.\n"
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
  { 0, "summary", NULL, "print only how much differs" },
  { 0 }
};

const struct command command_diff = {
  "diff", "A B", "list where two disks differ",
  "Quick for disks of which one is a clone of the other, or which are clones\n"
  "of the same disk: what they share is not read.  What differs may be listed\n"
  "in whole pages of 4 KiB.  The exit code is 0 whether they differ or not.\n"
  "\n"
  "Examples:\n"
  "  mblockctl diff golden vm-1\n"
  "  mblockctl diff golden vm-1 --json | jq '.extents | length'\n",
  diff_options, 2, 2, run_diff
};
