/* SPDX-License-Identifier: BSD-3-Clause */
/* Yes and no, in the words that nbdkit takes.  Thread-safe. */

#ifndef MBLOCK_BOOLEAN_H
#define MBLOCK_BOOLEAN_H

#include <stdbool.h>

/* Read yes, y, 1, on, true or t, or no, n, 0, off, false or f, in upper or
 * lower case.  Returns 0, or -1 if it is none of them.
 */
int boolean_parse (const char *s, bool *r);

#endif /* MBLOCK_BOOLEAN_H */
