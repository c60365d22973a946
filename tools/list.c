/* SPDX-License-Identifier: BSD-3-Clause */
/* The command list: disks as a table, as a tree, or as names. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "disk-clients.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "server-stats.h"
#include "table.h"
#include "text.h"

/* -------------------------------------------------------------- columns */

enum kind { NAME, SIZE, SECTOR, COUNT, MODE, PARENT, ORIGIN };

/* All columns.  A table has the last one only if a disk has an origin. */
static const struct list_column {
  const char *word;             /* for --columns and --sort */
  const char *key;              /* in the server's answer */
  enum kind kind;
  struct column column;
} all_columns[] = {
  { "name", "name", NAME, { .title = "NAME", .elastic = true, .name = true } },
  { "size", "size", SIZE, { .title = "SIZE", .right = true } },
  { "mapped", "mapped", SIZE, { .title = "MAPPED", .right = true } },
  { "owned", "owned", SIZE, { .title = "OWNED", .right = true, .drop = 3 } },
  { "quota", "quota", SIZE, { .title = "QUOTA", .right = true, .drop = 2 } },
  { "sector", "sector_size", SECTOR,
    { .title = "SECTOR", .right = true, .drop = 5 } },
  { "clients", "connections", COUNT,
    { .title = "CLIENTS", .right = true, .drop = 1 } },
  { "mode", "readonly", MODE, { .title = "MODE" } },
  { "parent", "parent", PARENT, { .title = "PARENT", .drop = 4 } },
  { "origin", "origin", ORIGIN,
    { .title = "ORIGIN", .right = true, .drop = 6 } },
};
#define COLUMNS (sizeof all_columns / sizeof *all_columns)

const char *
list_column_word (size_t i)
{
  return i < COLUMNS ? all_columns[i].word : NULL;
}

static const struct list_column *
find_column (const char *option, const char *typed, const char *word,
             size_t len)
{
  size_t i;

  for (i = 0; i < COLUMNS; i++)
    if (strlen (all_columns[i].word) == len &&
        strncmp (all_columns[i].word, word, len) == 0)
      return &all_columns[i];
  fail (USAGE, "%s %s: expected name, size, mapped, owned, quota, sector, "
        "clients, mode, parent or origin", option, text_name (typed));
}

/* The columns that --columns names, or those of a plain list.  What programs
 * read has the same ones whatever the disks are.  Returns how many.
 */
static size_t
choose_columns (const struct list_column *c[COLUMNS], const json_t *disks)
{
  bool origins = !flag ("no-header") && stats_have_origin (disks);
  const char *s = option ("columns");
  size_t n = 0;

  if (s == NULL)
    for (; n < COLUMNS && (all_columns[n].kind != ORIGIN || origins); n++)
      c[n] = &all_columns[n];
  while (s) {
    size_t len = strcspn (s, ",");

    if (n == COLUMNS)
      fail (USAGE, "--columns: expected at most %zu columns", COLUMNS);
    c[n++] = find_column ("--columns", option ("columns"), s, len);
    s = s[len] ? s + len + 1 : NULL;
  }
  return n;
}

static char *
parent_text (const json_t *d)
{
  const char *s = json_string_value (json_object_get (d, "parent"));
  char *name, *r;

  if (s == NULL)
    return text_format ("-");
  name = text_name (s);
  r = text_format ("%s%s", name, json_is_false (json_object_get (d,
    "parent_exists")) ? " (deleted)" : "");
  free (name);
  return r;
}

static char *
size_cell (const json_t *d, const char *key)
{
  const json_t *v = json_object_get (d, key);

  return json_is_integer (v)
    ? text_size (get_size (d, key)) : text_format ("-");
}

/* indent: two columns for each generation of a tree. */
static char *
cell (const struct list_column *c, const json_t *d, unsigned indent)
{
  char *name, *r;

  switch (c->kind) {
  case NAME:
    name = text_name (need_string (d, c->key));
    r = text_format ("%*s%s", (int) (2 * indent), "", name);
    free (name);
    return r;
  case SIZE:
    return size_cell (d, c->key);
  case SECTOR:
    return get_size (d, c->key) > 1 ? text_size (get_size (d, c->key))
      : text_format ("any");
  case COUNT:
    return text_format ("%" PRIu64, get_size (d, c->key));
  case MODE:
    return text_format (get_bool (d, c->key) ? "ro" : "rw");
  case PARENT:
    return parent_text (d);
  case ORIGIN:
    return stats_origin_text (d);
  }
  abort ();
}

/* ----------------------------------------------------------------- sort */

static const struct list_column *sort_by;

static int
by_column (const void *a, const void *b)
{
  const json_t *x = *(json_t *const *) a, *y = *(json_t *const *) b;
  const char *p, *q;
  uint64_t m, n;

  switch (sort_by->kind) {
  case SIZE:
  case SECTOR:
  case COUNT:                   /* the largest first */
    m = get_size (x, sort_by->key);
    n = get_size (y, sort_by->key);
    if (m != n)
      return m > n ? -1 : 1;
    break;
  case MODE:
    if (get_bool (x, sort_by->key) != get_bool (y, sort_by->key))
      return get_bool (x, sort_by->key) ? -1 : 1;
    break;
  case PARENT:
    p = json_string_value (json_object_get (x, sort_by->key));
    q = json_string_value (json_object_get (y, sort_by->key));
    if (select_compare (p ? p : "", q ? q : "") != 0)
      return select_compare (p ? p : "", q ? q : "");
    break;
  case ORIGIN:                  /* the most that is there first */
    m = get_size (json_object_get (x, sort_by->key), "known");
    n = get_size (json_object_get (y, sort_by->key), "known");
    if (m != n)
      return m > n ? -1 : 1;
    break;
  case NAME:
    break;
  }
  return select_compare (need_string (x, "name"), need_string (y, "name"));
}

static void
sort (json_t *disks)
{
  const char *key = option ("sort") ? option ("sort") : "name";
  size_t i, n = json_array_size (disks);
  json_t **d = calloc (n + 1, sizeof *d);

  if (d == NULL)
    abort ();
  sort_by = find_column ("--sort", key, key, strlen (key));
  for (i = 0; i < n; i++)
    d[i] = json_incref (json_array_get (disks, i));
  qsort (d, n, sizeof *d, by_column);
  for (i = 0; i < n; i++)
    json_array_set_new (disks, flag ("reverse") ? n - 1 - i : i, d[i]);
  free (d);
}

/* ---------------------------------------------------------------- print */

/* Print names unchanged, for other programs; but make them safe for a terminal.
 */
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

struct listing {
  const struct list_column *column[COLUMNS];
  size_t n;
  struct table *table;
  const json_t *disks;
};

static void
add_row (struct listing *l, const json_t *d, unsigned indent)
{
  size_t i;

  for (i = 0; i < l->n; i++)
    table_add (l->table, cell (l->column[i], d, indent));
}

/* The name of the disk below which a tree shows d, if that is listed; or NULL.
 * No name identifies a destroyed disk: several can have the same, and a parent
 * that exists is not destroyed.
 */
static const char *
tree_parent (const json_t *d)
{
  if (flag ("deleted") || !get_bool (d, "parent_exists"))
    return NULL;
  return json_string_value (json_object_get (d, "parent"));
}

/* For each name, the indexes of the disks below it. */
static json_t *
find_children (const json_t *disks)
{
  json_t *children = json_object ();
  const char *parent;
  const json_t *d;
  size_t i;

  if (children == NULL)
    abort ();
  json_array_foreach (disks, i, d)
    json_object_set_new (children, need_string (d, "name"), json_array ());
  json_array_foreach (disks, i, d)
    if ((parent = tree_parent (d)) != NULL)
      json_array_append_new (json_object_get (children, parent),
                             json_integer (i));
  return children;
}

/* added: the disks that are in the table.  Each is added once, so this ends
 * even if a disk is its own ancestor.
 */
static void
add_family (struct listing *l, size_t i, const json_t *children, bool *added,
            unsigned indent)
{
  const json_t *d = json_array_get (l->disks, i), *child;
  size_t j;

  if (added[i])
    return;
  added[i] = true;
  add_row (l, d, indent);
  json_array_foreach (json_object_get (children, need_string (d, "name")), j,
                      child)
    add_family (l, json_integer_value (child), children, added, indent + 1);
}

static void
add_tree (struct listing *l)
{
  json_auto_t *children = find_children (l->disks);
  bool *added = calloc (json_array_size (l->disks) + 1, sizeof *added);
  const char *parent;
  const json_t *d;
  size_t i;

  if (added == NULL)
    abort ();
  json_array_foreach (l->disks, i, d) {
    parent = tree_parent (d);
    if (parent == NULL || !json_object_get (children, parent))
      add_family (l, i, children, added, 0);
  }
  /* In a circle of parents, none is below a disk that was added. */
  json_array_foreach (l->disks, i, d)
    add_family (l, i, children, added, 0);
  free (added);
}

/* For programs: exact, separated by tabs. */
static void
print_plain (struct listing *l)
{
  const json_t *d;
  size_t i, j;

  settings.bytes = true;
  json_array_foreach (l->disks, i, d)
    for (j = 0; j < l->n; j++) {
      char *s = cell (l->column[j], d, 0);

      printf ("%s%c", s, j + 1 < l->n ? '\t' : '\n');
      free (s);
    }
}

static void
print_list (const json_t *disks)
{
  struct listing l = { .disks = disks };
  struct column columns[COLUMNS];
  const json_t *d;
  size_t i;

  l.n = choose_columns (l.column, disks);
  if (flag ("no-header")) {
    print_plain (&l);
    return;
  }
  for (i = 0; i < l.n; i++) {
    columns[i] = l.column[i]->column;
    if (flag ("columns"))
      columns[i].drop = 0;      /* the user asked for them */
  }
  l.table = table_new (columns, l.n);
  if (flag ("tree"))
    add_tree (&l);
  else
    json_array_foreach (disks, i, d)
      add_row (&l, d, 0);
  table_print (l.table);
  table_free (l.table);
}

/* Print each disk that lives on without its name, and the clients that keep it.
 */
static void
print_deleted (const json_t *disks)
{
  json_auto_t *clients = json_array ();
  uint64_t owned = 0;
  const json_t *d;
  size_t i, n;
  char *size;

  json_array_foreach (disks, i, d) {
    owned += get_size (d, "owned");
    json_array_extend (clients, need_array (d, "clients"));
  }
  n = json_array_size (disks);
  if (n == 0) {
    if (!settings.quiet)
      puts ("No destroyed disk is open.");
    return;
  }
  print_list (disks);
  putchar ('\n');
  clients_print (clients);
  size = text_size (owned);
  printf ("\n%zu destroyed disk%s own%s %s until the last client closes.\n", n,
          n == 1 ? "" : "s", n == 1 ? "s" : "", size);
  free (size);
}

/* Warn of disks that own nearly all of their quotas, and of the memory. */
#define MOST_WARNED 5           /* names in one line */
static void
warn_nearly_full (const json_t *disks)
{
  json_auto_t *stats = rpc_call ("stats", json_pack ("{s:i}", "limit", 1));
  const json_t *arena = json_object_get (stats, "arena"), *d;
  uint64_t used = get_size (arena, "used"), limit = get_size (arena, "limit");
  size_t i, n = 0;

  json_array_foreach (disks, i, d)
    if (stats_disk_nearly_full (d) && n++ < MOST_WARNED) {
      char *name = text_name (need_string (d, "name"));

      printf ("%s%s", n == 1 ? "\nNearly full, by quota: " : ", ", name);
      free (name);
    }
  if (n > MOST_WARNED)
    printf (" and %zu more", n - MOST_WARNED);
  if (n > 0)
    putchar ('\n');
  if (stats_nearly_full (used, limit)) {
    char *u = text_size (used), *l = text_size (limit);

    printf ("%sThe memory is nearly full: %s of %s (max-memory) are in use.\n",
            n > 0 ? "" : "\n", u, l);
    free (u);
    free (l);
  }
}

static int
run_list (int argc, char **argv)
{
  const struct list_column *columns[COLUMNS];
  json_auto_t *all = NULL, *unmatched = NULL;
  json_t *disks, *error;
  int status = DONE;

  if (settings.json && (flag ("names") || flag ("null")))
    fail (USAGE, "expected only one of --json, --names and --null");
  if (flag ("tree") && (flag ("no-header") || flag ("names") || flag ("null")))
    fail (USAGE,
          "--tree: expected no --no-header, --names or --null with it");
  select_check (argc, argv);
  choose_columns (columns, NULL);       /* complains, also with --json */
  all = rpc_all_pages (flag ("deleted") ? &pages_deleted : &pages_list, NULL);
  disks = need_array (all, "disks");
  unmatched = select_filter (disks, "name", argc, argv);
  sort (disks);
  error = select_no_match (unmatched, "disk");
  if (error) {
    json_object_set_new (all, "error", error);
    status = REFUSED;
  }
  if (settings.json)
    print_json (all);
  else if (argc > 0 && json_array_size (disks) == 0)
    ;                           /* nothing to add to the error */
  else if (flag ("names") || flag ("null"))
    print_names (disks, flag ("null"));
  else if (flag ("deleted") && !flag ("no-header"))
    print_deleted (disks);
  else {
    print_list (disks);
    if (!settings.quiet && !flag ("no-header"))
      warn_nearly_full (disks);
  }
  return status;
}

static const struct option_def list_options[] = {
  { 0, "sort", "COLUMN", "sort by a column: names in natural order, amounts\n"
    "largest first (default: name)" },
  { 'r', "reverse", NULL, "reverse the order" },
  { 0, "columns", "LIST", "print these columns, such as name,size,clients" },
  { 'H', "no-header", NULL, "for programs: no header, tabs, exact bytes" },
  { 0, "tree", NULL, "print clones below the disk they come from" },
  { 0, "deleted", NULL, "list destroyed disks that clients still have open" },
  { 'n', "names", NULL, "print only names, one per line" },
  { '0', "null", NULL, "print only names, each terminated by a NUL byte" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_list = {
  "list", "[NAME|PATTERN...]", "list disks",
  "PATTERN is a shell pattern, such as 'vm-*'; put it in quotes.  If an\n"
  "argument matches no disk, the exit code is 1.\n"
  "\n"
  "SIZE is the size that clients see, MAPPED the data that the disk holds\n"
  "(shared or not), OWNED the part of it that was written since the disk was\n"
  "created or last cloned, QUOTA the limit of OWNED, SECTOR the unit of\n"
  "requests, CLIENTS the number of open connections, MODE rw or ro, PARENT\n"
  "the disk that it was cloned from, and ORIGIN how much of its origin is there;\n"
  "it is missing if no disk has an origin.  Disks that own at least 90% of their\n"
  "quotas are named below the table.\n"
  "\n"
  "Examples:\n"
  "  mblockctl list --sort owned\n"
  "  mblockctl list 'vm-*' --columns name,owned,clients\n"
  "  mblockctl list 'vm-*' --json | jq '.disks[].mapped'\n",
  list_options, 0, -1, run_list
};
