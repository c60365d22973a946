/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands save and load: write disks into a folder, and read them back. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job.h"
#include "mblockctl.h"
#include "rpc.h"
#include "text.h"

/* The server's working directory differs from ours. */
static json_t *
absolute (const char *path)
{
  char *cwd, *joined;
  json_t *r;

  if (*path == '\0')            /* and not the current folder */
    fail (USAGE, "DIR: expected the path of a folder");
  if (*path == '/')
    return argument_name ("DIR", path);
  cwd = getcwd (NULL, 0);
  if (cwd == NULL)
    fail (REFUSED, "the current directory: %s", strerror (errno));
  joined = text_format ("%s/%s", cwd, path);
  r = argument_name ("DIR", joined);
  free (joined);
  free (cwd);
  return r;
}

static json_t *
params_for (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "path", absolute (argv[0]));
  json_t *patterns = json_array ();
  int i;

  for (i = 1; i < argc; i++)
    json_array_append_new (patterns, argument_name ("PATTERN", argv[i]));
  if (argc > 1)
    json_object_set (params, "patterns", patterns);
  json_decref (patterns);
  return params;
}

static int
follow (const char *method, json_t *params, const char *what, const char *dir)
{
  json_t *job;
  char *shown, *sent;
  bool done;

  job_begin ();
  job = job_follow (rpc_call (method, params));
  done = job_is_done (job);
  if (settings.json)
    print_json (job);
  else if (done && !settings.quiet) {
    shown = text_line (dir);
    sent = text_size (need_size (job, "bytes_sent"));
    printf (what, shown, sent);
    free (shown);
    free (sent);
  }
  json_decref (job);
  return done ? DONE : REFUSED;
}

static int
run_save (int argc, char **argv)
{
  json_t *params = params_for (argc, argv);

  if (flag ("forget"))
    json_object_set_new (params, "forget", json_true ());
  return follow ("disk_save", params, "saved in %s: %s of new data\n", argv[0]);
}

static const struct option_def save_options[] = {
  { 0, "forget", NULL,
    "compare everything with DIR; remember nothing" },
  { 0 }
};

const struct command command_save = {
  "save", "DIR [PATTERN...]", "save disks in a folder",
  "The disks are saved as they are at one instant, all or those whose names\n"
  "match a PATTERN.  Data that disks share is written once; another save to\n"
  "the same DIR writes only what has changed.  The server writes the files,\n"
  "and remembers what is in them, so that it need not read them again.\n"
  "\n"
  "Examples:\n"
  "  mblockctl save /var/backups/disks\n"
  "  mblockctl save /var/backups/vms 'vm-*'\n",
  save_options, 1, -1, run_save
};

static int
run_load (int argc, char **argv)
{
  json_t *params = params_for (argc, argv);

  if (flag ("replace") && flag ("ignore"))
    fail (USAGE, "expected only one of --replace and --ignore");
  json_object_set_new (params, "if_exists",
                       json_string (flag ("replace") ? "replace"
                                    : flag ("ignore") ? "ignore" : "error"));
  json_object_set_new (params, "if_open",
                       json_string (flag ("force") ? "keep" : "error"));
  return follow ("disk_load", params, "loaded from %s: %s of data\n", argv[0]);
}

static const struct option_def load_options[] = {
  { 0, "replace", NULL, "replace existing disks of the same names" },
  { 0, "ignore", NULL, "keep existing disks of the same names" },
  { 'f', "force", NULL, "replace disks even if clients have them open" },
  { 0 }
};

const struct command command_load = {
  "load", "DIR [PATTERN...]", "create the disks that were saved in a folder",
  "All disks that \"save\" has written, or those whose names match a PATTERN,\n"
  "appear in one step, or none does.  The server reads the files.\n"
  "\n"
  "Examples:\n"
  "  mblockctl load /var/backups/disks\n"
  "  mblockctl load /var/backups/disks 'vm-*' --replace\n",
  load_options, 1, -1, run_load
};
