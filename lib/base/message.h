/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that are reported by other code than the one that makes them.
 * Thread-safe.
 */

#ifndef MBLOCK_MESSAGE_H
#define MBLOCK_MESSAGE_H

/* Format a string, which the caller frees.  NULL: no memory. */
char *message (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

#endif /* MBLOCK_MESSAGE_H */
