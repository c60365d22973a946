/* SPDX-License-Identifier: BSD-3-Clause */
/* Patterns for names, as in a shell.  They match characters of UTF-8, not
 * bytes.
 *
 *   *          any number of characters
 *   ?          one character
 *   [abc]      one of these; ] stands for itself if it is first
 *   [a-z]      one from a to z, in code point order
 *   [!abc]     none of these; the same as [^abc]
 *   [[:alpha:]]  one of a class: alnum, alpha, blank, cntrl, digit, graph,
 *              lower, print, punct, space, upper or xdigit, as in Unicode
 *   \c         c itself, also in brackets
 *
 * A character is a code point: "é" may be one or two.  The whole name must
 * match.  A byte of the name that is not UTF-8 is matched by *, ? and [!...] as
 * if it were one character.
 *
 * Independent of the locale.  Thread-safe.  The time is at most proportional to
 * the product of both lengths.
 */

#ifndef MBLOCK_PATTERN_H
#define MBLOCK_PATTERN_H

#include <stdbool.h>

/* Returns NULL if it is a valid pattern, else what was expected. */
const char *pattern_check (const char *pattern);

/* The pattern must be valid: text that pattern_check refuses matches nothing.
 */
bool pattern_matches (const char *pattern, const char *name);

/* Whether the pattern matches only itself. */
bool pattern_is_plain (const char *pattern);

#endif /* MBLOCK_PATTERN_H */
