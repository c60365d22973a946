/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands about names and parents of disks: rename, snapshot, reset. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "text.h"

/* --------------------------------------------------------------- rename */

static int
run_rename (int argc, char **argv)
{
  json_auto_t *result = NULL;
  char *to, *more;

  (void) argc;
  result = rpc_call ("disk_rename", json_pack ("{s:o, s:o}", "name",
    argument_name ("NAME", argv[0]), "new_name",
    argument_disk ("NEW-NAME", argv[1])));
  if (settings.json)
    print_json (result);
  to = text_name (argv[1]);
  more = text_format (" to %s", to);
  say ("renamed", argv[0], more);
  free (more);
  free (to);
  return DONE;
}

const struct command command_rename = {
  "rename", "NAME NEW-NAME", "give a disk another name",
  "Open connections keep the disk; new ones find it under its new name.\n"
  "There must be no disk of that name.\n"
  "\n"
  "Example:\n"
  "  mblockctl rename golden golden-old\n",
  NULL, 2, 2, run_rename
};

/* ------------------------------------------------------------- snapshot */

/* "vm-1@2026-11-29T15:04:05". */
static char *
dated (const char *name)
{
  time_t now = time (NULL);
  struct tm tm;
  char date[32];

  localtime_r (&now, &tm);
  strftime (date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
  return text_format ("%s@%s", name, date);
}

static int
run_snapshot (int argc, char **argv)
{
  json_auto_t *result = NULL;
  json_t *source = argument_name ("NAME", argv[0]);
  char *name = argc > 1 ? text_format ("%s", argv[1]) : dated (argv[0]);
  char *of, *more;

  result = rpc_call ("disk_clone", json_pack ("{s:o, s:o, s:b}",
    "source", source, "name", argument_disk ("SNAPSHOT", name),
    "readonly", true));
  if (settings.json)
    print_json (result);
  of = text_name (argv[0]);
  more = text_format (" of %s", of);
  say ("made the snapshot", name, more);
  free (more);
  free (of);
  free (name);
  return DONE;
}

const struct command command_snapshot = {
  "snapshot", "NAME [SNAPSHOT]", "keep the present content of a disk",
  "A snapshot is a read-only clone: it shares the disk's memory until the disk\n"
  "is written to.  Without SNAPSHOT its name is NAME, \"@\" and the local time.\n"
  "To go back to it: mblockctl clone SNAPSHOT NAME --replace\n"
  "\n"
  "Examples:\n"
  "  mblockctl snapshot vm-1\n"
  "  mblockctl snapshot vm-1 vm-1@before-upgrade\n",
  NULL, 1, 2, run_snapshot
};

/* ---------------------------------------------------------------- reset */

static void
reset_one (struct batch *b, const char *name)
{
  json_t *result = rpc_try ("disk_reset", json_pack ("{s:s, s:s, s:b}",
    "name", name, "if_open", flag ("force") ? "keep" : "error",
    "dry_run", flag ("dry-run")));
  char *parent, *more;

  if (result == NULL) {
    batch_refused (b, name);
    return;
  }
  if (flag ("dry-run")) {
    batch_would (b, name, result);
    return;
  }
  parent = text_name (need_string (result, "parent"));
  more = text_format (" to %s", parent);
  batch_done (b, name, result, NULL, more);
  free (parent);
  free (more);
}

static int
run_reset (int argc, char **argv)
{
  json_auto_t *failures = json_array ();
  json_auto_t *names = select_names (argc, argv, failures);
  size_t i;
  struct batch b;
  json_t *name;

  batch_begin (&b, "reset", "reset", json_array_size (names));
  batch_failures (&b, failures);
  json_array_foreach (names, i, name)
    reset_one (&b, json_string_value (name));
  return batch_end (&b);
}

static const struct option_def reset_options[] = {
  { 'f', "force", NULL, "do it even if clients have the disk open" },
  { 'n', "dry-run", NULL, "only print which disks would be reset or refused" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_reset = {
  "reset", "NAME|PATTERN...", "take clones back to the disk they come from",
  "What was written to the clone is dropped, in one step.  The clone gets the\n"
  "present content of its parent (see \"mblockctl list\"), and keeps its quota\n"
  "and its read-only flag.  Open connections keep the old content, so a disk\n"
  "that clients have open is refused, unless --force is given.\n"
  "\n"
  "Examples:\n"
  "  mblockctl reset vm-1\n"
  "  mblockctl reset 'vm-*' --dry-run\n",
  reset_options, 1, -1, run_reset
};
