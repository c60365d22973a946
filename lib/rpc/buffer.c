/* SPDX-License-Identifier: BSD-3-Clause */
/* A byte queue. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "rpc/buffer.h"

int
buffer_room (struct buffer *b, size_t n)
{
  size_t len = buffer_len (b), alloc = b->alloc;
  char *data;

  if (b->alloc - b->end >= n)
    return 0;
  if (b->start > 0) {
    memmove (b->data, b->data + b->start, len);
    b->start = 0;
    b->end = len;
    if (b->alloc - b->end >= n)
      return 0;
  }
  while (alloc - len < n)
    alloc = alloc ? alloc * 2 : 1024;
  data = realloc (b->data, alloc);
  if (data == NULL)
    return -1;
  b->data = data;
  b->alloc = alloc;
  return 0;
}

int
buffer_add (struct buffer *b, const char *data, size_t n)
{
  if (buffer_room (b, n) == -1)
    return -1;
  memcpy (b->data + b->end, data, n);
  b->end += n;
  return 0;
}

void
buffer_take (struct buffer *b, size_t n)
{
  b->start += n;
  if (b->start == b->end) {
    free (b->data);
    memset (b, 0, sizeof *b);
  }
}
