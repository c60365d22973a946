/* SPDX-License-Identifier: BSD-3-Clause */
/* Which disks a command's arguments mean. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "complain.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "text.h"

void
select_check (int argc, char **argv)
{
  const char *expected;
  int i;

  for (i = 0; i < argc; i++)
    if ((expected = pattern_check (argv[i])) != NULL)
      fail (USAGE, "pattern %s: expected %s", text_name (argv[i]), expected);
}

bool
select_wants (const char *name, int argc, char **argv)
{
  int i;

  if (argc == 0)
    return true;
  for (i = 0; i < argc; i++)
    if (pattern_matches (argv[i], name))
      return true;
  return false;
}

json_t *
select_no_match (int argc, char **argv)
{
  char *shown = text_name (argv[0]);
  char *message = argc == 1 ? text_format ("no disk matches %s", shown)
    : text_format ("no disk matches %s or %d more", shown, argc - 1);
  json_t *error = json_pack ("{s:i, s:s}", "exit_code", REFUSED,
                             "message", message);

  complain ("%s", message);
  free (shown);
  free (message);
  return error;
}

int
select_compare (const char *a, const char *b)
{
  int c = strverscmp (a, b);

  return c ? c : strcmp (a, b);
}

static int
by_name (const void *a, const void *b)
{
  json_t *const *x = a, *const *y = b;

  return select_compare (need_string (*x, "name"), need_string (*y, "name"));
}

void
select_sort (json_t *disks)
{
  size_t i, n = json_array_size (disks);
  json_t **d = calloc (n + 1, sizeof *d);

  if (d == NULL)
    abort ();
  for (i = 0; i < n; i++)
    d[i] = json_incref (json_array_get (disks, i));
  qsort (d, n, sizeof *d, by_name);
  for (i = 0; i < n; i++)
    json_array_set_new (disks, i, d[i]);
  free (d);
}

/* With --literal no argument is a pattern. */
static bool
is_pattern (const char *s)
{
  return !pattern_is_plain (s) && !flag ("literal");
}

/* All disks, in the natural order. */
static json_t *
all_disks (void)
{
  json_t *all = rpc_all_pages (&pages_list, NULL);
  json_t *disks = json_incref (need_array (all, "disks"));

  json_decref (all);
  select_sort (disks);
  return disks;
}

static bool
has_name (const json_t *disks, const char *name)
{
  const json_t *d;
  size_t i;

  json_array_foreach (disks, i, d)
    if (strcmp (need_string (d, "name"), name) == 0)
      return true;
  return false;
}

bool
select_exists (int argc, char **argv)
{
  json_auto_t *disks = all_disks ();
  const json_t *d;
  size_t i;

  json_array_foreach (disks, i, d)
    if (select_wants (need_string (d, "name"), argc, argv))
      return true;
  return false;
}

/* seen: the names found so far, as keys. */
static void
add (json_t *names, json_t *seen, const char *name)
{
  if (json_object_get (seen, name) != NULL)
    return;
  json_object_set_new (seen, name, json_true ());
  json_array_append_new (names, json_string (name));
}

static void
unmatched (json_t *failures, const char *pattern)
{
  char *shown = text_name (pattern);
  char *message = text_format ("no disk matches the pattern %s", shown);

  complain ("%s", message);
  json_array_append_new (failures, json_pack ("{s:s, s:{s:i, s:s}}",
                                              "name", pattern, "error",
                                              "exit_code", REFUSED,
                                              "message", message));
  free (shown);
  free (message);
}

json_t *
select_names (int argc, char **argv, json_t *failures)
{
  json_auto_t *disks = NULL, *seen = json_object ();
  json_t *names = json_array ();
  const json_t *d;
  size_t i;
  int n;

  for (n = 0; n < argc; n++) {
    bool matched = false;

    json_decref (argument_name ("NAME", argv[n]));
    if (is_pattern (argv[n]) && disks == NULL)
      disks = all_disks ();
    if (!is_pattern (argv[n]) || has_name (disks, argv[n])) {
      add (names, seen, argv[n]);
      continue;
    }
    select_check (1, argv + n);
    json_array_foreach (disks, i, d)
      if (pattern_matches (argv[n], need_string (d, "name"))) {
        add (names, seen, need_string (d, "name"));
        matched = true;
      }
    if (!matched && failures)
      unmatched (failures, argv[n]);
  }
  return names;
}
