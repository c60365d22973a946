/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables for people: each column is as wide as its content.  If the width is
 * limited, the columns that are least needed are dropped first; then the titles
 * get brief, the next columns are dropped, and the one elastic column is cut.
 */

#ifndef MBLOCKCTL_TABLE_H
#define MBLOCKCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Rather than drop these columns, shorten the titles. */
#define TABLE_KEEP 4

struct column {
  const char *title;
  const char *brief;            /* a short title for a narrow table, or NULL */
  bool right;                   /* right-aligned, for numbers */
  bool elastic;                 /* may be cut; one column at most … */
  bool name;                    /* … and this one in the middle */
  unsigned drop;                /* 0: stays; the highest goes first, down to
                                 * TABLE_KEEP with all titles at full length */
  size_t least;                 /* minimum width, so that a table that is drawn
                                 * again does not jump */
};

struct table;

struct table *table_new (const struct column *columns, size_t n);
void table_free (struct table *t);

/* Add the next cell, row by row.  Takes over the string, which must come from
 * text_name or another function of text.h.
 */
void table_add (struct table *t, char *cell);

/* As text_format. */
void table_addf (struct table *t, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* width: 0 for no limit.  Sets the column widths; after that the header and
 * rows can be printed, each followed by end.
 */
void table_fit (struct table *t, size_t width);
void table_print_header (const struct table *t, FILE *fp, const char *end);
void table_print_row (const struct table *t, size_t row, FILE *fp,
                      const char *end);

/* Print the whole table to stdout: with bold titles on a terminal, and no wider
 * than it.
 */
void table_print (struct table *t);

#endif /* MBLOCKCTL_TABLE_H */
