/* SPDX-License-Identifier: BSD-3-Clause */
/* A doubly linked list whose links are members of its items.
 *
 * A head and a link are the same thing: a ring.  A link that is in no list is a
 * ring of its own, so removing it twice does no harm, and removing it needs no
 * head: a list may be moved to another head while its items come and go.
 *
 * Thread-safety: none; the owner of the list synchronises access.
 */

#ifndef MBLOCK_LIST_H
#define MBLOCK_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *prev, *next;
};

/* The struct of this type that has the link as this member. */
#define list_item(link, type, member)                           \
  ((type *) ((char *) (link) - offsetof (type, member)))

static inline void
list_init (struct list *l)
{
  l->prev = l->next = l;
}

static inline bool
list_is_empty (const struct list *l)
{
  return l->next == l;
}

/* Append to the list.  The link must be in no list. */
static inline void
list_append (struct list *head, struct list *link)
{
  link->prev = head->prev;
  link->next = head;
  head->prev->next = link;
  head->prev = link;
}

static inline void
list_remove (struct list *link)
{
  link->prev->next = link->next;
  link->next->prev = link->prev;
  list_init (link);
}

/* Move all items of a list to an empty one. */
static inline void
list_move (struct list *to, struct list *from)
{
  if (list_is_empty (from))
    return;
  *to = *from;
  to->next->prev = to->prev->next = to;
  list_init (from);
}

#endif /* MBLOCK_LIST_H */
