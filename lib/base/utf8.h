/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8, as strict as RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF.  No function depends on the locale.  Thread-safe; none takes
 * a lock.
 */

#ifndef MBLOCK_UTF8_H
#define MBLOCK_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Returned by utf8_next for a byte that belongs to no character. */
#define UTF8_INVALID (-1)

/* Take one character off a string that is not empty, and return its code point.
 * A byte that begins no character is taken off alone: UTF8_INVALID.
 */
int32_t utf8_next (const char **s);

bool utf8_is_valid (const char *s);

/* Replace each invalid byte by "?".  Returns s. */
char *utf8_mend (char *s);

#endif /* MBLOCK_UTF8_H */
