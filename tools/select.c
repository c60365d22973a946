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

/* With --literal no argument is a pattern. */
static bool
is_pattern (const char *s)
{
  return !pattern_is_plain (s) && !flag ("literal");
}

/* End with USAGE unless it is one. */
static void
check_pattern (const char *s)
{
  const char *expected = pattern_check (s);

  if (expected)
    fail (USAGE, "pattern %s: expected %s", text_name (s), expected);
}

void
select_check_patterns (int argc, char **argv)
{
  int i;

  for (i = 0; i < argc; i++)
    if (is_pattern (argv[i]))
      check_pattern (argv[i]);
}

void
select_check (int argc, char **argv)
{
  int i;

  for (i = 0; i < argc; i++)
    json_decref (argument_name ("NAME", argv[i]));
}

void
select_check_or_total (int argc, char **argv)
{
  if (argc > 0 && flag ("total"))
    fail (USAGE, "--total: expected no names or patterns with it");
  select_check (argc, argv);
}

void
select_add_names (json_t *names, const json_t *objects, const char *key)
{
  const json_t *o;
  size_t i;

  json_array_foreach (objects, i, o)
    json_object_set_new (names, need_string (o, key), json_true ());
}

/* Choose the names that one argument means.  Returns false if there is none. */
static bool
choose (json_t *chosen, const json_t *names, const char *argument)
{
  const char *name;
  bool found = false;
  json_t *v;

  if (json_object_get (names, argument)) {
    json_object_set_new (chosen, argument, json_true ());
    return true;
  }
  if (!is_pattern (argument))
    return false;
  check_pattern (argument);
  json_object_foreach ((json_t *) names, name, v)
    if (pattern_matches (argument, name)) {
      json_object_set (chosen, name, v);
      found = true;
    }
  return found;
}

json_t *
select_among (const json_t *names, int argc, char **argv, json_t *unmatched)
{
  json_t *chosen;
  int i;

  if (argc == 0)
    return json_copy ((json_t *) names);
  select_check (argc, argv);
  chosen = json_object ();
  for (i = 0; i < argc; i++)
    if (!choose (chosen, names, argv[i]))
      json_array_append_new (unmatched, json_string (argv[i]));
  return chosen;
}

void
select_keep (json_t *objects, const char *key, const json_t *chosen)
{
  json_auto_t *kept = json_array ();
  size_t i;
  json_t *o;

  json_array_foreach (objects, i, o)
    if (json_object_get (chosen, need_string (o, key)))
      json_array_append (kept, o);
  json_array_clear (objects);
  json_array_extend (objects, kept);
}

json_t *
select_filter (json_t *objects, const char *key, int argc, char **argv)
{
  json_auto_t *names = json_object (), *chosen = NULL;
  json_t *unmatched = json_array ();

  select_add_names (names, objects, key);
  chosen = select_among (names, argc, argv, unmatched);
  select_keep (objects, key, chosen);
  return unmatched;
}

static json_t *
refusal (const char *message)
{
  return json_pack ("{s:i, s:s}", "exit_code", REFUSED, "message", message);
}

json_t *
select_no_match (const json_t *unmatched, const char *what)
{
  size_t n = json_array_size (unmatched);
  char *shown, *message;
  json_t *error;

  if (n == 0)
    return NULL;
  shown = text_name (json_string_value (json_array_get (unmatched, 0)));
  message = n == 1 ? text_format ("no %s matches %s", what, shown)
    : text_format ("no %s matches %s or %zu more", what, shown, n - 1);
  error = refusal (message);
  complain ("%s", message);
  free (shown);
  free (message);
  return error;
}

void
select_add_failure (json_t *failures, const char *argument)
{
  char *shown = text_name (argument);
  char *message = text_format ("no disk matches %s", shown);

  complain ("%s", message);
  json_array_append_new (failures, json_pack ("{s:s, s:o}", "name", argument,
                                              "error", refusal (message)));
  free (shown);
  free (message);
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

/* seen: the names found so far, as keys. */
static void
add (json_t *names, json_t *seen, const char *name)
{
  if (json_object_get (seen, name) != NULL)
    return;
  json_object_set_new (seen, name, json_true ());
  json_array_append_new (names, json_string (name));
}

json_t *
select_names (int argc, char **argv, json_t *failures)
{
  json_auto_t *disks = NULL, *seen = json_object ();
  json_t *names = json_array ();
  const json_t *d;
  size_t i;
  int n;

  select_check (argc, argv);
  for (n = 0; n < argc; n++) {
    bool matched = false;

    if (is_pattern (argv[n]) && disks == NULL)
      disks = all_disks ();
    if (!is_pattern (argv[n]) || has_name (disks, argv[n])) {
      add (names, seen, argv[n]);
      continue;
    }
    check_pattern (argv[n]);
    json_array_foreach (disks, i, d)
      if (pattern_matches (argv[n], need_string (d, "name"))) {
        add (names, seen, need_string (d, "name"));
        matched = true;
      }
    if (!matched && failures)
      select_add_failure (failures, argv[n]);
  }
  return names;
}
