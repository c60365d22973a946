/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that are made now and said by somebody else.  Thread-safe. */

#ifndef MBLOCK_MESSAGE_H
#define MBLOCK_MESSAGE_H

/* A string for the caller to free; NULL if there is no memory for it. */
char *message (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

#endif /* MBLOCK_MESSAGE_H */
