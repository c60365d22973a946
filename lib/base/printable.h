/* SPDX-License-Identifier: BSD-3-Clause */
/* Foreign text, made safe for a log, a message or a terminal.
 *
 * This is the only escaper.  Whatever a client, a server, a file or the command
 * line supplies is escaped here before it is printed: names, values, paths, and
 * messages that may quote them.
 *
 * What is escaped:
 *
 *   control characters         \xNN  C0 and DEL: no line can be forged
 *   bytes that are not UTF-8   \xNN
 *   C1 controls                \u{85}
 *   invisible characters       \u{202e}  direction marks, line separators,
 *                              joiners, zero-width blanks, byte order marks,
 *                              and private use in planes 14 to 16
 *
 * Everything else stays unchanged.  Inside quotes (printable_name), a quote and
 * a backslash are preceded by a backslash, so the end of the name is
 * unambiguous.
 *
 * printable and printable_line do not change their own output: a message that
 * quotes an escaped name may be escaped again.
 *
 * Thread-safe, and independent of the locale.
 */

#ifndef MBLOCK_PRINTABLE_H
#define MBLOCK_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough for any likely text, and not enough to flood a terminal. */
#define PRINTABLE_STRING 256

/* Escape a value that is not in quotes, as in KEY=VALUE.  What does not fit is
 * cut off at a character, and replaced by "…".  Returns buf; errno stays
 * unchanged.
 */
const char *printable (const char *s, char buf[PRINTABLE_STRING]);

/* The same for a name that the message puts in double quotes. */
const char *printable_name (const char *s, char buf[PRINTABLE_STRING]);

/* As printable, with a buffer of another size, at least 16 bytes. s and buf
 * must not overlap.
 */
const char *printable_text (const char *s, char *buf, size_t size);

/* As printable, for any length.  Returns memory that the caller frees, or NULL
 * with errno.
 */
char *printable_line (const char *s);

/* Room for one character, escaped or not, and its NUL. */
#define PRINTABLE_CHAR 16

/* Take one character off s, and store what to print for it in out.  If ascii is
 * set, everything that is not ASCII is escaped.  Returns its code point, or
 * UTF8_INVALID (utf8.h).
 */
int32_t printable_char (const char **s, bool ascii, char out[PRINTABLE_CHAR]);

#endif /* MBLOCK_PRINTABLE_H */
