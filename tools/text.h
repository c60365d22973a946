/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for people: names made safe to show, widths in columns, numbers.
 *
 * A disk's name may hold any UTF-8, so also what would move the cursor, clear
 * the screen or turn the line around.  Nothing that the server sent reaches a
 * terminal but through text_name or text_line.
 */

#ifndef MBLOCKCTL_TEXT_H
#define MBLOCKCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does the locale say that the terminal takes UTF-8? */
extern bool text_utf8;

/* Read the locale. */
void text_init (void);

/* As printf(3), into memory that the caller frees; ends the program if there
 * is none.
 */
char *text_format (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

/* A name as it is shown: as it is, or in double quotes with escapes if it is
 * empty or holds anything that could mislead.  The caller frees it.
 */
char *text_name (const char *name);

/* The same for a message: escapes only, no quotes. */
char *text_line (const char *s);

/* How many columns a string takes that text_name or text_line made. */
size_t text_width (const char *s);

/* Cut it to so many columns; if that loses anything the last one says so. */
char *text_cut (const char *s, size_t columns);

/* The caller frees these.  A size follows --bytes. */
char *text_size (uint64_t bytes);
char *text_exact_size (uint64_t bytes); /* "1073741824 bytes (1G)" */
char *text_count (double n);            /* "12.3k" */
char *text_rate (double bytes);         /* "12.3M" */
char *text_latency (double ns);         /* "12.3us" */
char *text_duration (double seconds);   /* "3h 12m" */
char *text_percent (uint64_t part, uint64_t whole);

#endif /* MBLOCKCTL_TEXT_H */
