/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that make, change and remove disks. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "batch.h"
#include "create-from.h"
#include "image-server.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "text.h"

/* --------------------------------------------------------------- create */

/* The parameter if_exists, from --if-exists or one of its two short forms. */
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

/* The server refuses disks that clients have open, unless the user insists. */
static void
add_guard (json_t *params)
{
  json_object_set_new (params, "if_open",
                       json_string (flag ("force") ? "keep" : "error"));
}

#define FORCE_OPTION                                                         \
  { 'f', "force", NULL, "do it even if clients have the disk open" }

#define IF_EXISTS_OPTIONS                                                    \
  { 0, "replace", NULL, "replace an existing disk of the same name" },       \
  { 0, "ignore", NULL, "keep an existing disk of the same name" },           \
  { 0, "if-exists", "ACTION", "error (the default), ignore or replace" }

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

/* Was the disk made, replaced or left alone?  *more: text to print after its
 * name.
 */
static const char *
made (const char *done, const json_t *result, const char **more)
{
  *more = "";
  if (get_bool (result, "replaced"))
    return "replaced";
  if (!json_is_false (json_object_get (result, "created")))
    return done;
  *more = " as it is: it exists already";
  return "left";
}

static void
add_origin (json_t *params)
{
  if (!flag ("origin")) {
    if (flag ("prefetch") || flag ("prefetch-rate"))
      fail (USAGE, "expected --origin with --prefetch and --prefetch-rate");
    return;
  }
  json_object_set_new (params, "origin",
                       argument_name ("--origin", option ("origin")));
  if (flag ("prefetch") || flag ("prefetch-rate"))
    json_object_set_new (params, "prefetch", json_true ());
  add_size_option (params, "prefetch-rate", "prefetch_rate");
}

/* --from --lazy: an origin that is fetched in the background. */
static void
add_lazy (json_t *params)
{
  if (!image_is_uri (option ("from")))
    fail (USAGE, "--lazy: expected a URI as --from: the server of a file ends "
          "with this command");
  if (flag ("format"))
    fail (USAGE, "--format: expected a file as --from, not a URI");
  json_object_set_new (params, "origin",
                       argument_name ("--from", option ("from")));
  json_object_set_new (params, "prefetch", json_true ());
  add_size_option (params, "rate", "prefetch_rate");
}

static int
run_create (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "name",
                              argument_disk ("NAME", argv[0]));
  json_auto_t *result = NULL;
  const char *done, *more;

  if (argc > 1)
    json_object_set_new (params, "size",
                         json_integer (argument_size ("SIZE", argv[1])));
  add_size_option (params, "sector-size", "sector_size");
  add_size_option (params, "quota", "quota");
  if (flag ("readonly"))
    json_object_set_new (params, "readonly", json_true ());
  add_origin (params);
  add_if_exists (params);
  add_guard (params);
  if (flag ("from") && flag ("origin"))
    fail (USAGE, "expected only one of --from and --origin");
  if (flag ("from") && argc > 1)
    fail (USAGE, "--from: expected no SIZE: the disk gets the image's");
  if (!flag ("from") && (flag ("lazy") || flag ("rate") || flag ("format")))
    fail (USAGE, "--%s: expected --from as well", flag ("lazy") ? "lazy"
          : flag ("rate") ? "rate" : "format");
  if (flag ("lazy"))
    add_lazy (params);
  else if (flag ("from")) {
    add_size_option (params, "rate", "rate");
    return create_from (argv[0], params, option ("from"), option ("format"));
  }

  result = rpc_call ("disk_create", params);
  if (settings.json)
    print_json (result);
  done = made ("created", result, &more);
  say (done, argv[0], more);
  return DONE;
}

static const struct option_def create_options[] = {
  { 0, "sector-size", "SIZE",
    "accept only whole sectors of this size, 512 to 64k" },
  { 'r', "readonly", NULL, "make the disk read-only" },
  { 0, "quota", "SIZE", "limit the data that the disk may own" },
  { 0, "from", "SOURCE", "fill it from an NBD URI or an image file" },
  { 0, "lazy", NULL, "--from: do not wait for the content; URIs only" },
  { 0, "rate", "SIZE", "--from: read at most that much data per second" },
  { 0, "format", "FORMAT", "--from: the file's format: raw, qcow2, ...\n"
    "(default: as the file says)" },
  { 0, "origin", "URI", "show this NBD export where the disk is not written" },
  { 0, "prefetch", NULL, "fetch all of the origin in the background" },
  { 0, "prefetch-rate", "SIZE", "the same, at most so many bytes a second" },
  IF_EXISTS_OPTIONS,
  FORCE_OPTION,
  { 0 }
};

const struct command command_create = {
  "create", "NAME [SIZE]", "create an empty disk, or one from an image",
  "Without SIZE, the disk gets the server's default size.  With --from, it\n"
  "gets the size and the content of an NBD export or a local image; it exists\n"
  "when it is complete.  Interrupting the command leaves no disk.  With\n"
  "--origin, it gets the size of an NBD export and exists at once; its\n"
  "content is fetched when it is needed.  --replace refuses a disk that\n"
  "clients have open, unless --force is given.\n"
  "\n"
  "Examples:\n"
  "  mblockctl create scratch 10G\n"
  "  mblockctl create scratch 10G --quota 1G --replace\n"
  "  mblockctl create golden --from debian.qcow2 --readonly\n"
  "  mblockctl create golden --origin nbd://images/debian --readonly\n",
  create_options, 1, 2, run_create
};

/* -------------------------------------------------------------- destroy */

/* The default disk is destroyed only if that is meant. */
static json_t *
names_to_destroy (int argc, char **argv, json_t *failures)
{
  int i;

  for (i = 0; i < argc && !flag ("literal"); i++)
    if (*argv[i] == '\0')
      bad_argument ("NAME", argv[i], "--literal as well, to destroy the disk "
                    "with the empty name");
  return select_names (argc, argv, flag ("ignore-missing") ? NULL : failures);
}

static int
run_destroy (int argc, char **argv)
{
  json_auto_t *failures = json_array ();
  json_auto_t *names = names_to_destroy (argc, argv, failures);
  size_t i;
  struct batch b;
  json_t *name;

  batch_begin (&b, "destroy", "destroyed", json_array_size (names));
  batch_failures (&b, failures);
  json_array_foreach (names, i, name) {
    const char *s = json_string_value (name);
    json_t *params, *result;

    params = json_pack ("{s:s, s:b}", "name", s, "dry_run", flag ("dry-run"));
    add_guard (params);
    result = rpc_try ("disk_destroy", params);
    if (result && flag ("dry-run"))
      batch_would (&b, s, result);
    else if (result)
      batch_done (&b, s, result, NULL, NULL);
    else if (flag ("ignore-missing") &&
             rpc_client ()->code == RPC_NO_SUCH_DISK)
      batch_skip (&b);
    else
      batch_refused (&b, s);
  }
  return batch_end (&b);
}

static const struct option_def destroy_options[] = {
  FORCE_OPTION,
  { 0, "ignore-missing", NULL, "ignore disks that do not exist" },
  { 'n', "dry-run", NULL, "only print which disks would be destroyed or\n"
    "refused" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_destroy = {
  "destroy", "NAME|PATTERN...", "destroy disks",
  "A disk that clients have open is refused, unless --force is given.  Then\n"
  "the name is free immediately, those clients keep the old disk, and its\n"
  "memory is freed when the last of them closes.\n"
  "\n"
  "PATTERN is a shell pattern, such as 'vm-*'; put it in quotes.  More than 20\n"
  "disks are reported as a number, unless --verbose is given.\n"
  "\n"
  "Examples:\n"
  "  mblockctl destroy vm-1 vm-2\n"
  "  mblockctl destroy 'vm-*' --dry-run\n"
  "  mblockctl destroy 'vm-*' --ignore-missing\n",
  destroy_options, 1, -1, run_destroy
};

/* --------------------------------------------------------------- resize */

/* Results are printed exactly: with a unit only if that gives a whole number.
 */
static char *
unrounded (uint64_t bytes)
{
  char *s = text_size (bytes);

  if (*s != '~')
    return s;
  free (s);
  return text_format ("%" PRIu64, bytes);
}

/* Compute the new size for "+1G" or "-1G". */
static uint64_t
relative_size (const char *name, const char *s)
{
  uint64_t by = argument_size (*s == '+' ? "+SIZE" : "-SIZE", s + 1);
  json_auto_t *stats = rpc_call ("stats", json_pack ("{s:s}", "name", name));
  uint64_t size = need_size (json_array_get (need_array (stats, "disks"), 0),
                             "size");
  char *is = unrounded (size);

  if (*s == '-' && by > size) {
    char *shown = text_name (name);

    fail (REFUSED, "-SIZE %s: the disk %s has a size of %s: expected at most "
          "that", s + 1, shown, is);
  }
  if (*s == '+' && by > INT64_MAX - size)
    fail (REFUSED, "the disk has a size of %s: with %s more it is over "
          "2^63-1 bytes", is, s + 1);
  free (is);
  return *s == '+' ? size + by : size - by;
}

static int
run_resize (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  json_auto_t *result = NULL;
  uint64_t size;
  char *from, *to, *more;

  (void) argc;
  if (*argv[1] == '+' || *argv[1] == '-')
    size = relative_size (argv[0], argv[1]);
  else
    size = argument_size ("SIZE", argv[1]);

  json_object_set_new (params, "size", json_integer (size));
  add_guard (params);
  result = rpc_call ("disk_resize", params);
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

static const struct option_def resize_options[] = {
  { 'f', "force", NULL, "shrink the disk even if clients have it open" },
  { 0 }
};

const struct command command_resize = {
  "resize", "NAME SIZE|+SIZE|-SIZE", "grow or shrink a disk",
  "With + or -, change the size by that amount.  Data beyond a smaller size\n"
  "is lost, so shrinking a disk that clients have open needs --force.  Open\n"
  "connections keep the size that they negotiated; new ones see the new size.\n"
  "\n"
  "Examples:\n"
  "  mblockctl resize scratch 20G\n"
  "  mblockctl resize scratch +1G\n",
  resize_options, 2, 2, run_resize
};

/* ---------------------------------------------------------------- clone */

/* The protocol allows it, but it can only be a slip: it replaces a disk by what
 * the disk holds, and turns its clients away from the name.
 */
static void
refuse_clones_of_itself (json_t *params, int argc, char **argv)
{
  const char *if_exists =
    json_string_value (json_object_get (params, "if_exists"));
  char shown[PRINTABLE_STRING];
  int i;

  for (i = 1; i < argc; i++)
    if (if_exists && strcmp (if_exists, "replace") == 0 &&
        strcmp (argv[0], argv[i]) == 0) {
      printable (argv[i], shown);
      fail (USAGE, "clone \"%s\": expected another NAME than SOURCE: a disk "
            "cannot be replaced by a clone of itself", shown);
    }
}

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
  refuse_clones_of_itself (params, argc, argv);
  add_guard (params);

  batch_begin (&b, "clone", "cloned", argc - 1);
  for (i = 1; i < argc; i++) {
    json_t *result;

    json_object_set_new (params, "name", json_string (argv[i]));
    result = rpc_try ("disk_clone", json_copy (params));
    if (result) {
      const char *more, *done = made ("cloned", result, &more);

      batch_done (&b, argv[i], result, done, more);
    }
    else
      batch_refused (&b, argv[i]);
  }
  return batch_end (&b);
}

static const struct option_def clone_options[] = {
  { 'r', "readonly", NULL, "make a snapshot, which is read-only" },
  { 0, "quota", "SIZE", "limit the data that the clone may own" },
  IF_EXISTS_OPTIONS,
  FORCE_OPTION,
  { 0 }
};

const struct command command_clone = {
  "clone", "SOURCE NAME...", "create clones or snapshots of a disk",
  "A clone has the content of SOURCE at that instant, and shares its memory\n"
  "until one of them is written to.  The cost does not depend on the size.\n"
  "With --replace, an existing disk is reset to SOURCE in one step; one that\n"
  "clients have open is refused, unless --force is given.\n"
  "\n"
  "Examples:\n"
  "  mblockctl clone golden vm-1 vm-2 vm-3\n"
  "  mblockctl clone golden vm-1 --replace\n"
  "  mblockctl clone vm-1 before-upgrade --readonly\n",
  clone_options, 2, -1, run_clone
};

/* ------------------------------------------------------------------ set */

/* The parameters of disk_set, except for the name. */
static json_t *
settings_to_make (void)
{
  json_t *params = json_object ();
  const char *quota = option ("quota");

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
  if (quota && !flag ("force"))
    json_object_set_new (params, "if_exceeded", json_string ("error"));
  json_object_set_new (params, "dry_run", json_boolean (flag ("dry-run")));
  return params;
}

static void
set_one (struct batch *b, const char *name, json_t *params)
{
  json_t *result;
  char *size, *more;

  json_object_set_new (params, "name", json_string (name));
  result = rpc_try ("disk_set", json_copy (params));
  if (result == NULL) {
    batch_refused (b, name);
    return;
  }
  if (flag ("dry-run")) {
    batch_would (b, name, result);
    return;
  }
  size = json_is_integer (json_object_get (result, "quota"))
    ? unrounded (get_size (result, "quota")) : text_format ("none");
  more = text_format (": %s, quota %s", need_bool (result, "readonly")
                      ? "read-only" : "writable", size);
  batch_done (b, name, result, NULL, more);
  free (size);
  free (more);
}

static int
run_set (int argc, char **argv)
{
  json_auto_t *params = settings_to_make (), *failures = json_array ();
  json_auto_t *names = select_names (argc, argv, failures);
  struct batch b;
  json_t *name;
  size_t i;

  batch_begin (&b, "set", "set", json_array_size (names));
  batch_failures (&b, failures);
  json_array_foreach (names, i, name)
    set_one (&b, json_string_value (name), params);
  return batch_end (&b);
}

static const struct option_def set_options[] = {
  { 'r', "readonly", NULL, "make the disks read-only" },
  { 'w', "writable", NULL, "make the disks writable again" },
  { 0, "quota", "SIZE|none", "limit the data that each disk may own" },
  { 'f', "force", NULL, "set a quota even if the disk owns more already" },
  { 'n', "dry-run", NULL, "only print which disks would be changed or refused" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_set = {
  "set", "NAME|PATTERN...", "change the quota or the read-only flag of disks",
  "At least one of --readonly, --writable and --quota is required.  A quota\n"
  "below what a disk owns already is refused, unless --force is given: every\n"
  "further write of the disk would fail.\n"
  "\n"
  "Examples:\n"
  "  mblockctl set golden --readonly\n"
  "  mblockctl set 'vm-*' --quota 2G\n",
  set_options, 1, -1, run_set
};
