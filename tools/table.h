/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables for people: columns as wide as what is in them.
 *
 * Where the width is limited, first the columns that can be missed go, then
 * the one elastic column is cut.
 */

#ifndef MBLOCKCTL_TABLE_H
#define MBLOCKCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct column {
  const char *title;
  bool right;                   /* numbers stand at the right */
  bool elastic;                 /* may be cut; one column at most */
  unsigned drop;                /* 0: stays; else the highest goes first */
  size_t least;                 /* columns it takes at least, so that a table
                                   that is drawn again does not jump */
};

struct table;

struct table *table_new (const struct column *columns, size_t n);
void table_free (struct table *t);

/* Add the next cell, row by row; takes over the string, which text_name or
 * another function of text.h made.
 */
void table_add (struct table *t, char *cell);

/* As text_format. */
void table_addf (struct table *t, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* width: 0 for no limit.  Adapts the columns; then header and rows can be
 * printed, each ended by end.
 */
void table_fit (struct table *t, size_t width);
void table_print_header (const struct table *t, FILE *fp, const char *end);
void table_print_row (const struct table *t, size_t row, FILE *fp,
                      const char *end);

/* All of it, to stdout: bold titles on a terminal, no wider than it. */
void table_print (struct table *t);

#endif /* MBLOCKCTL_TABLE_H */
