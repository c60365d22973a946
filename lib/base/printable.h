/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and values that others chose, as they can stand in a message of one
 * line.  Thread-safe.
 */

#ifndef MBLOCK_PRINTABLE_H
#define MBLOCK_PRINTABLE_H

/* Enough for all that is likely, and for a terminal not to be flooded. */
#define PRINTABLE_STRING 256

/* Copy s with control characters, a newline among them, written as \xNN.  What
 * does not fit is cut, between characters, and "…" stands for it.  Returns buf;
 * errno stays as it is.
 */
const char *printable (const char *s, char buf[PRINTABLE_STRING]);

#endif /* MBLOCK_PRINTABLE_H */
