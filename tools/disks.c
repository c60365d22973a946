/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that make, change and remove disks. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "text.h"

/* Say what was done, unless --quiet.  name is shown safely. */
static void
say (const char *done, const char *name, const char *more)
{
  char *shown;

  if (settings.quiet)
    return;
  shown = text_name (name);
  printf ("%s %s%s\n", done, shown, more);
  free (shown);
}

/* --------------------------------------------- several disks in one command */

/* What a command did to several disks: it goes on after one was refused, and
 * --json prints one document for all of them.
 */
struct batch {
  const char *doing;
  json_t *results;
  int argc, n;
  int status;
};

static void
batch_begin (struct batch *b, const char *doing, int argc)
{
  *b = (struct batch) { doing, json_array (), argc, 0, DONE };
  if (argc > 1)
    progress_start (doing, argc, "disks");
}

/* The server refused one. */
static void
batch_refused (struct batch *b)
{
  char *s = text_line (rpc_client ()->error);

  complain ("%s", s);
  free (s);
  b->status = REFUSED;
  if (b->argc > 1)
    progress_start (b->doing, b->argc, "disks");
}

static int
batch_end (struct batch *b)
{
  progress_end ();
  if (settings.json && b->argc > 1)
    print_json (b->results);
  else if (settings.json && json_array_size (b->results) == 1)
    print_json (json_array_get (b->results, 0));
  json_decref (b->results);
  return b->status;
}

/* --------------------------------------------------------------- create */

/* The parameter if_exists, from --if-exists or its two short forms. */
static void
add_if_exists (json_t *params)
{
  const char *s = option ("if-exists");

  if (!!s + flag ("replace") + flag ("ignore") > 1)
    fail (USAGE, "expected only one of --replace, --ignore and --if-exists");
  if (flag ("replace"))
    s = "replace";
  if (flag ("ignore"))
    s = "ignore";
  if (s == NULL)
    return;
  if (strcmp (s, "error") != 0 && strcmp (s, "ignore") != 0 &&
      strcmp (s, "replace") != 0) {
    char *shown = text_name (s);

    fail (USAGE, "--if-exists %s: expected error, ignore or replace", shown);
  }
  json_object_set_new (params, "if_exists", json_string (s));
}

#define IF_EXISTS_OPTIONS                                                    \
  { 0, "replace", NULL, "put it in the place of a disk of that name" },      \
  { 0, "ignore", NULL, "leave a disk of that name as it is" },               \
  { 0, "if-exists", "WHAT", "error (the default), ignore or replace" }

static void
add_size_option (json_t *params, const char *name, const char *key)
{
  char what[32];

  if (!flag (name))
    return;
  snprintf (what, sizeof what, "--%s", name);
  json_object_set_new (params, key,
                       json_integer (argument_size (what, option (name))));
}

/* Say if a disk was made, replaced or left alone. */
static void
say_made (const char *done, const json_t *result, const char *name)
{
  if (get_bool (result, "replaced"))
    say ("replaced", name, "");
  else if (json_is_false (json_object_get (result, "created")))
    say ("left", name, " as it is: it exists already");
  else
    say (done, name, "");
}

static int
run_create (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  json_auto_t *result = NULL;

  if (argc > 1)
    json_object_set_new (params, "size",
                         json_integer (argument_size ("SIZE", argv[1])));
  add_size_option (params, "sector-size", "sector_size");
  add_size_option (params, "quota", "quota");
  if (flag ("readonly"))
    json_object_set_new (params, "readonly", json_true ());
  add_if_exists (params);

  result = rpc_call ("disk_create", params);
  if (settings.json)
    print_json (result);
  else
    say_made ("created", result, argv[0]);
  return DONE;
}

static const struct option_def create_options[] = {
  { 0, "sector-size", "SIZE", "512 to 64k: only whole sectors of that size" },
  { 'r', "readonly", NULL, "nobody may write to it" },
  { 0, "quota", "SIZE", "how much data it may own" },
  IF_EXISTS_OPTIONS,
  { 0 }
};

const struct command command_create = {
  "create", "NAME [SIZE]", "make an empty disk",
  "Without SIZE the disk has the server's default size.\n"
  "\n"
  "Examples:\n"
  "  mblockctl create scratch 10G\n"
  "  mblockctl create scratch 10G --quota 1G --replace\n",
  create_options, 1, 2, run_create
};

/* -------------------------------------------------------------- destroy */

static int
run_destroy (int argc, char **argv)
{
  struct batch b;
  int i;

  for (i = 0; i < argc; i++)
    json_decref (argument_name ("NAME", argv[i]));

  batch_begin (&b, "destroy", argc);
  for (i = 0; i < argc; i++) {
    json_t *result = rpc_try ("disk_destroy", json_pack ("{s:s}", "name",
                                                         argv[i]));

    if (result) {
      json_array_append_new (b.results, result);
      if (!settings.json)
        say ("destroyed", argv[i], "");
    }
    else if (!flag ("force") || rpc_client ()->code != RPC_NO_SUCH_DISK)
      batch_refused (&b);
    progress_at (i + 1);
  }
  return batch_end (&b);
}

static const struct option_def destroy_options[] = {
  { 'f', "force", NULL, "a disk that does not exist is no error" },
  { 0 }
};

const struct command command_destroy = {
  "destroy", "NAME...", "take disks away",
  "The name is free at once.  Who is connected keeps the old disk until the\n"
  "connection is closed; its memory goes with the last of them.\n"
  "\n"
  "Examples:\n"
  "  mblockctl destroy vm-1 vm-2\n"
  "  mblockctl list -0 'vm-*' | xargs -r0 mblockctl destroy --\n",
  destroy_options, 1, -1, run_destroy
};

/* --------------------------------------------------------------- resize */

/* What was done is said exactly: with a unit only if it is a whole number. */
static char *
unrounded (uint64_t bytes)
{
  char *s = text_size (bytes);

  if (*s != '~')
    return s;
  free (s);
  return text_format ("%" PRIu64, bytes);
}

/* The new size for "+1G" or "-1G". */
static uint64_t
relative_size (const char *name, const char *s)
{
  uint64_t by = argument_size (*s == '+' ? "+SIZE" : "-SIZE", s + 1);
  json_auto_t *stats = rpc_call ("stats", json_pack ("{s:s}", "name", name));
  uint64_t size = need_size (json_array_get (need_array (stats, "disks"), 0),
                             "size");
  char *is = unrounded (size);

  if (*s == '-' && by > size)
    fail (REFUSED, "the disk has a size of %s: cannot take %s away", is,
          s + 1);
  if (*s == '+' && by > INT64_MAX - size)
    fail (REFUSED, "the disk has a size of %s: with %s more it is over "
          "2^63-1 bytes", is, s + 1);
  free (is);
  return *s == '+' ? size + by : size - by;
}

static int
run_resize (int argc, char **argv)
{
  json_t *name = argument_name ("NAME", argv[0]);
  json_auto_t *result = NULL;
  uint64_t size;
  char *from, *to, *more;

  (void) argc;
  if (*argv[1] == '+' || *argv[1] == '-')
    size = relative_size (argv[0], argv[1]);
  else
    size = argument_size ("SIZE", argv[1]);

  result = rpc_call ("disk_resize", json_pack ("{s:o, s:I}", "name", name,
                                               "size", (json_int_t) size));
  if (settings.json) {
    print_json (result);
    return DONE;
  }
  from = unrounded (need_size (result, "old_size"));
  to = unrounded (need_size (result, "size"));
  more = text_format (" from %s to %s", from, to);
  say ("resized", argv[0], more);
  free (from);
  free (to);
  free (more);
  return DONE;
}

const struct command command_resize = {
  "resize", "NAME SIZE|+SIZE|-SIZE", "make a disk larger or smaller",
  "What is beyond a smaller size is lost.  Connections that are open keep the\n"
  "size they know; new ones see the new size.  With + or - the size is\n"
  "changed by so much.\n"
  "\n"
  "Examples:\n"
  "  mblockctl resize scratch 20G\n"
  "  mblockctl resize scratch +1G\n",
  NULL, 2, 2, run_resize
};

/* ---------------------------------------------------------------- clone */

static int
run_clone (int argc, char **argv)
{
  json_auto_t *params = json_pack ("{s:o}", "source",
                                   argument_name ("SOURCE", argv[0]));
  struct batch b;
  int i;

  for (i = 1; i < argc; i++)
    json_decref (argument_name ("NAME", argv[i]));
  if (flag ("readonly"))
    json_object_set_new (params, "readonly", json_true ());
  add_size_option (params, "quota", "quota");
  add_if_exists (params);

  batch_begin (&b, "clone", argc - 1);
  for (i = 1; i < argc; i++) {
    json_t *result;

    json_object_set_new (params, "name", json_string (argv[i]));
    result = rpc_try ("disk_clone", json_copy (params));
    if (result) {
      json_array_append_new (b.results, result);
      if (!settings.json)
        say_made ("cloned", result, argv[i]);
    }
    else
      batch_refused (&b);
    progress_at (i);
  }
  return batch_end (&b);
}

static const struct option_def clone_options[] = {
  { 'r', "readonly", NULL, "make a snapshot: nobody may write to it" },
  { 0, "quota", "SIZE", "how much data the clone may own" },
  IF_EXISTS_OPTIONS,
  { 0 }
};

const struct command command_clone = {
  "clone", "SOURCE NAME...", "make writable copies of a disk, or snapshots",
  "A clone has the content that SOURCE has at that instant, and shares its\n"
  "memory until one of them is written.  Its cost does not depend on the\n"
  "size. With --replace an existing disk is put back to SOURCE in one step.\n"
  "\n"
  "Examples:\n"
  "  mblockctl clone golden vm-1 vm-2 vm-3\n"
  "  mblockctl clone golden vm-1 --replace\n"
  "  mblockctl clone vm-1 before-upgrade --readonly\n",
  clone_options, 2, -1, run_clone
};

/* ------------------------------------------------------------------ set */

static int
run_set (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  const char *quota = option ("quota");
  json_auto_t *result = NULL;
  char *size, *more;

  (void) argc;
  if (flag ("readonly") && flag ("writable"))
    fail (USAGE, "expected only one of --readonly and --writable");
  if (!flag ("readonly") && !flag ("writable") && !quota)
    fail (USAGE, "expected --readonly, --writable or --quota");
  if (flag ("readonly") || flag ("writable"))
    json_object_set_new (params, "readonly",
                         json_boolean (flag ("readonly")));
  if (quota && strcmp (quota, "none") == 0)
    json_object_set_new (params, "quota", json_null ());
  else
    add_size_option (params, "quota", "quota");

  result = rpc_call ("disk_set", params);
  if (settings.json) {
    print_json (result);
    return DONE;
  }
  size = json_is_integer (json_object_get (result, "quota"))
    ? unrounded (get_size (result, "quota")) : text_format ("none");
  more = text_format (": %s, quota %s", need_bool (result, "readonly")
                      ? "read-only" : "writable", size);
  say ("set", argv[0], more);
  free (size);
  free (more);
  return DONE;
}

static const struct option_def set_options[] = {
  { 'r', "readonly", NULL, "nobody may write to it any more" },
  { 'w', "writable", NULL, "it may be written again" },
  { 0, "quota", "SIZE|none", "how much data it may own" },
  { 0 }
};

const struct command command_set = {
  "set", "NAME", "change a disk's quota, or who may write to it",
  "At least one option is needed.\n"
  "\n"
  "Examples:\n"
  "  mblockctl set golden --readonly\n"
  "  mblockctl set vm-1 --quota 2G\n",
  set_options, 1, 1, run_set
};
