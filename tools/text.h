/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for people: names made safe to show, widths in columns, numbers.
 *
 * A disk's name may hold any UTF-8, including characters that move the cursor,
 * clear the screen or reverse the line.  So everything from the server goes
 * through text_name or text_line before it reaches a terminal.
 */

#ifndef MBLOCKCTL_TEXT_H
#define MBLOCKCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Does the locale say that the terminal takes UTF-8? */
extern bool text_utf8;

/* Read the locale. */
void text_init (void);

/* As printf(3), into memory that the caller frees.  Ends the program if there
 * is no memory.
 */
char *text_format (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

/* A name in a form that is safe to show: unchanged, or in double quotes with
 * escapes if it is empty or contains anything that could mislead.  The caller
 * frees it.
 */
char *text_name (const char *name);

/* The same for a message: with escapes, but no quotes. */
char *text_line (const char *s);

/* The width, in columns, of a string made by text_name or text_line. */
size_t text_width (const char *s);

/* Cut a string to that many columns.  If something is lost, the last column
 * shows it.
 */
char *text_cut (const char *s, size_t columns);

/* The same, but what is lost is in the middle, as names often differ at their
 * ends.
 */
char *text_cut_middle (const char *s, size_t columns);

/* The caller frees these.  Sizes depend on --bytes. */
char *text_size (uint64_t bytes);
char *text_exact_size (uint64_t bytes); /* "1073741824 bytes (1G)" */
char *text_count (double n);            /* "12.3k" */
char *text_rate (double bytes);         /* "12.3M" */
char *text_latency (double ns);         /* "12.3us" */
char *text_duration (double seconds);   /* "3h 12m" */
char *text_percent (uint64_t part, uint64_t whole);

/* "12M/s of at most 20M/s, to go 3m 5s".  limit, seconds_to_go: as the server
 * reports them; unless they are integers, they are left out.
 */
char *text_speed (uint64_t rate, const json_t *limit,
                  const json_t *seconds_to_go);

#endif /* MBLOCKCTL_TEXT_H */
