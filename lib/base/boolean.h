/* SPDX-License-Identifier: BSD-3-Clause */
/* Booleans, in the words that nbdkit accepts.  Thread-safe. */

#ifndef MBLOCK_BOOLEAN_H
#define MBLOCK_BOOLEAN_H

#include <stdbool.h>

/* Parse yes, y, 1, on, true or t, and no, n, 0, off, false or f, in upper or
 * lower case.  Returns 0, or -1 if it is none of these.
 */
int boolean_parse (const char *s, bool *r);

#endif /* MBLOCK_BOOLEAN_H */
