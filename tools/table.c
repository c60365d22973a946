/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables for people: each column is as wide as its content. */

#include <config.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mblockctl.h"
#include "table.h"
#include "terminal.h"
#include "text.h"

#define GAP 2                   /* between columns */
#define ELASTIC_LEAST 16        /* below this, rather drop a column */
#define ELASTIC_MIN 4           /* narrower names mean nothing */
#define ELASTIC_MOST 60         /* a longer cell pushes only its own row aside,
                                 * not all the others */

struct table {
  const struct column *column;
  size_t columns;
  char **cell;
  size_t cells, size;
  size_t *width;                /* of each column; 0: dropped */
  bool limited;                 /* cells may not be wider than their columns */
  bool brief;                   /* with the short titles */
};

static void *
must (void *p)
{
  if (p == NULL)
    abort ();
  return p;
}

struct table *
table_new (const struct column *columns, size_t n)
{
  struct table *t = must (calloc (1, sizeof *t));

  t->column = columns;
  t->columns = n;
  t->width = must (calloc (n, sizeof *t->width));
  return t;
}

void
table_free (struct table *t)
{
  size_t i;

  for (i = 0; i < t->cells; i++)
    free (t->cell[i]);
  free (t->cell);
  free (t->width);
  free (t);
}

void
table_add (struct table *t, char *cell)
{
  if (t->cells == t->size) {
    t->size = 2 * t->size + 64;
    t->cell = must (reallocarray (t->cell, t->size, sizeof *t->cell));
  }
  t->cell[t->cells++] = cell;
}

void
table_addf (struct table *t, const char *fmt, ...)
{
  va_list args;
  char *s;

  va_start (args, fmt);
  if (vasprintf (&s, fmt, args) == -1)
    abort ();
  va_end (args);
  table_add (t, s);
}

static size_t
total (const struct table *t)
{
  size_t i, n = 0;

  for (i = 0; i < t->columns; i++)
    if (t->width[i])
      n += (n ? GAP : 0) + t->width[i];
  return n;
}

/* The table's width if its elastic column is cut to that many columns. */
static size_t
total_cut (const struct table *t, size_t elastic)
{
  size_t i, n = total (t);

  for (i = 0; i < t->columns; i++)
    if (t->column[i].elastic && t->width[i] > elastic)
      n -= t->width[i] - elastic;
  return n;
}

static const char *
title (const struct table *t, size_t i)
{
  const struct column *c = &t->column[i];

  return t->brief && c->brief ? c->brief : c->title;
}

/* As wide as its title and its cells, unless it was dropped. */
static void
set_width (struct table *t, size_t i)
{
  size_t least = text_width (title (t, i)), j;

  if (least < t->column[i].least)
    least = t->column[i].least;
  t->width[i] = least;
  for (j = i; j < t->cells; j += t->columns) {
    size_t w = text_width (t->cell[j]);

    if (w > t->width[i])
      t->width[i] = w;
  }
}

static void
make_brief (struct table *t)
{
  size_t i;

  t->brief = true;
  for (i = 0; i < t->columns; i++)
    if (t->width[i])
      set_width (t, i);
}

/* Save some columns of the terminal.  Returns false if nothing is left to save.
 */
static bool
save_width (struct table *t)
{
  size_t i, which = t->columns;

  for (i = 0; i < t->columns; i++)
    if (t->width[i] && t->column[i].drop &&
        (which == t->columns || t->column[i].drop > t->column[which].drop))
      which = i;
  if (!t->brief && (which == t->columns || t->column[which].drop <= TABLE_KEEP))
    make_brief (t);
  else if (which == t->columns)
    return false;
  else
    t->width[which] = 0;
  return true;
}

void
table_fit (struct table *t, size_t width)
{
  size_t i;

  for (i = 0; i < t->columns; i++)
    set_width (t, i);
  t->limited = width > 0;
  if (!t->limited) {
    for (i = 0; i < t->columns; i++)
      if (t->column[i].elastic && t->width[i] > ELASTIC_MOST)
        t->width[i] = ELASTIC_MOST;
    return;
  }

  while (total_cut (t, ELASTIC_LEAST) > width && save_width (t))
    ;
  for (i = 0; i < t->columns; i++)
    if (t->column[i].elastic && total (t) > width) {
      size_t over = total (t) - width;

      t->width[i] = t->width[i] > over + ELASTIC_MIN ?
        t->width[i] - over : ELASTIC_MIN;
    }
}

static void
put (FILE *fp, size_t n)
{
  while (n-- > 0)
    putc (' ', fp);
}

/* No spaces at the end of a line: they would wrap on a terminal. */
static void
print_line (const struct table *t, char *const cell[], FILE *fp,
            const char *end)
{
  size_t i, pending = 0;

  for (i = 0; i < t->columns; i++)
    if (t->width[i]) {
      size_t most = t->limited ? t->width[i] : SIZE_MAX;
      char *s = t->column[i].name ? text_cut_middle (cell[i], most)
        : text_cut (cell[i], most);
      size_t w = text_width (s), pad = t->width[i] > w ? t->width[i] - w : 0;

      put (fp, pending + (t->column[i].right ? pad : 0));
      fputs (s, fp);
      pending = GAP + (t->column[i].right ? 0 : pad);
      free (s);
    }
  fputs (end, fp);
}

void
table_print_header (const struct table *t, FILE *fp, const char *end)
{
  char **cell = must (calloc (t->columns, sizeof *cell));
  size_t i;

  for (i = 0; i < t->columns; i++)
    cell[i] = (char *) title (t, i);
  print_line (t, cell, fp, end);
  free (cell);
}

void
table_print_row (const struct table *t, size_t row, FILE *fp, const char *end)
{
  print_line (t, t->cell + row * t->columns, fp, end);
}

void
table_print (struct table *t)
{
  size_t i;

  table_fit (t, isatty (STDOUT_FILENO) ? terminal_width () : 0);
  if (settings.color)
    fputs ("\033[1m", stdout);
  table_print_header (t, stdout, settings.color ? "\033[0m\n" : "\n");
  for (i = 0; i < t->cells / t->columns; i++)
    table_print_row (t, i, stdout, "\n");
}
