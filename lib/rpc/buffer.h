/* SPDX-License-Identifier: BSD-3-Clause */
/* A byte queue: bytes are appended at the end, and taken from the start.
 *
 * A buffer that is all zeros is empty.  Not thread-safe.
 */

#ifndef MBLOCK_BUFFER_H
#define MBLOCK_BUFFER_H

#include <stddef.h>

struct buffer {
  char *data;
  size_t start, end, alloc;     /* data[start] to data[end - 1] are in use */
};

static inline size_t
buffer_len (const struct buffer *b)
{
  return b->end - b->start;
}

/* Make room for n more bytes at data[end].  Returns 0, or -1: no memory. */
int buffer_room (struct buffer *b, size_t n);

/* Append.  Returns 0, or -1: no memory, and nothing was added. */
int buffer_add (struct buffer *b, const char *data, size_t n);

/* Remove n bytes from the start.  An empty buffer has no memory, so idle
 * clients cost little.
 */
void buffer_take (struct buffer *b, size_t n);

#endif /* MBLOCK_BUFFER_H */
