/* SPDX-License-Identifier: BSD-3-Clause */
/* Which bytes of a read have arrived; cover.h says what for. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/cover.h"

static struct cover_piece *
pieces (struct cover *c)
{
  return c->piece ? c->piece : &c->first;
}

/* The first piece that ends at `at` or behind it. */
static size_t
look_up (struct cover *c, uint32_t at)
{
  const struct cover_piece *p = pieces (c);
  size_t low = 0, high = c->n;

  /* Mostly the last one. */
  if (c->n && p[c->n - 1].begin <= at)
    low = p[c->n - 1].end >= at ? c->n - 1 : c->n;
  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (p[middle].end < at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
make_room (struct cover *c)
{
  size_t room = c->room ? c->room * 2 : 16;
  struct cover_piece *p;

  if (c->n < (c->piece ? c->room : 1))
    return 0;
  if (c->n >= COVER_MOST_PIECES) {
    errno = E2BIG;
    return -1;
  }
  p = reallocarray (c->piece, room, sizeof *p);
  if (p == NULL)
    return -1;
  if (c->piece == NULL)
    *p = c->first;
  c->piece = p;
  c->room = room;
  return 0;
}

int
cover_add (struct cover *c, uint32_t begin, uint32_t count)
{
  uint32_t end = begin + count;
  size_t i = look_up (c, begin);
  struct cover_piece *p = pieces (c);
  bool before = i < c->n && p[i].end == begin;
  size_t next = i + before;
  bool behind = next < c->n && p[next].begin == end;

  if (next < c->n && p[next].begin < end) {
    errno = EEXIST;
    return -1;
  }
  if (before && behind) {
    p[i].end = p[next].end;
    c->n--;
    memmove (p + next, p + next + 1, (c->n - next) * sizeof *p);
  }
  else if (before)
    p[i].end = end;
  else if (behind)
    p[next].begin = begin;
  else {
    if (make_room (c) == -1)
      return -1;
    p = pieces (c);
    memmove (p + i + 1, p + i, (c->n - i) * sizeof *p);
    p[i] = (struct cover_piece) { begin, end };
    c->n++;
  }
  return 0;
}

bool
cover_whole (const struct cover *c, uint32_t count)
{
  const struct cover_piece *p = c->piece ? c->piece : &c->first;

  return c->n == 1 && p->begin == 0 && p->end == count;
}

void
cover_reset (struct cover *c)
{
  free (c->piece);
  *c = (struct cover) { .n = 0 };
}
