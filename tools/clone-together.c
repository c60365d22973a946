/* SPDX-License-Identifier: BSD-3-Clause */
/* The command clone-together: clones of several disks as of one instant. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "mblockctl.h"
#include "rpc.h"
#include "text.h"

static int
run_together (int argc, char **argv)
{
  json_t *sources = json_array (), *names = json_array ();
  json_auto_t *result = NULL;
  json_t *params;
  int i;

  if (argc % 2)
    fail (USAGE, "expected pairs of SOURCE and NAME");
  for (i = 0; i < argc; i += 2) {
    json_array_append_new (sources, argument_name ("SOURCE", argv[i]));
    json_array_append_new (names, argument_disk ("NAME", argv[i + 1]));
  }
  params = json_pack ("{s:o, s:o, s:s, s:s}", "sources", sources,
                      "names", names,
                      "if_exists", flag ("replace") ? "replace" : "error",
                      "if_open", flag ("force") ? "keep" : "error");
  if (flag ("readonly"))
    json_object_set_new (params, "readonly", json_true ());
  if (flag ("quota"))
    json_object_set_new (params, "quota", json_integer (
                           argument_size ("--quota", option ("quota"))));
  result = rpc_call ("disk_clone_together", params);
  if (settings.json)
    print_json (result);
  for (i = 0; i < argc && !settings.json && !settings.quiet; i += 2) {
    char *shown = text_name (argv[i + 1]);

    printf ("cloned %s\n", shown);
    free (shown);
  }
  return DONE;
}

static const struct option_def together_options[] = {
  { 'r', "readonly", NULL, "make snapshots, which are read-only" },
  { 0, "quota", "SIZE", "limit the data that each clone may own" },
  { 0, "replace", NULL, "replace existing disks of these names" },
  { 'f', "force", NULL, "replace disks even if clients have them open" },
  { 0 }
};

const struct command command_clone_together = {
  "clone-together", "SOURCE NAME [SOURCE NAME]...",
  "clone several disks at one instant",
  "All clones have the content of the same instant: a write to one disk that\n"
  "a client made after a write to another one is in the clones only if that\n"
  "other one is.  Either all clones are created or none.\n"
  "\n"
  "Examples:\n"
  "  mblockctl clone-together db-data data-1 db-log log-1 --readonly\n",
  together_options, 2, -1, run_together
};
