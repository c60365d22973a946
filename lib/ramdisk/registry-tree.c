/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry's names: a treap (R. Seidel and C. Aragon, "Randomized search
 * trees", 1996).
 *
 * Sorted by name, and no node has a smaller priority than those below it.  The
 * priorities are random, so the tree is as one that is built in random order,
 * whatever the names: with 1,000,000 of them a path has 28 nodes on average.
 * The nodes are members of the entries, so adding one cannot fail.  A list
 * through all of them has the same order.
 *
 * In a sorted array, each new name among 100,000 would move 400 KB on average.
 */

#include <config.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mutex.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"

struct entry *
registry_find_locked (struct registry *r, const char *name)
{
  struct entry *e = r->root;
  int c;

  while (e && (c = strcmp (name, e->d.name)) != 0)
    e = c < 0 ? e->left : e->right;
  return e;
}

struct entry *
registry_next_locked (struct registry *r, const char *name)
{
  struct entry *e = r->root, *next = NULL;

  if (name == NULL)
    return r->least;
  while (e)
    if (strcmp (name, e->d.name) < 0) {
      next = e;
      e = e->left;
    }
    else
      e = e->right;
  return next;
}

/* xorshift; not 0. */
static uint32_t
next_priority_locked (struct registry *r) REQUIRES (r->lock)
{
  r->random ^= r->random << 13;
  r->random ^= r->random >> 7;
  r->random ^= r->random << 17;
  return r->random >> 32;
}

/* Continue the search for e below `at`, and note the neighbour there. */
static struct entry **
step (struct entry *at, struct entry *e)
{
  if (strcmp (e->d.name, at->d.name) < 0) {
    e->after = at;
    return &at->left;
  }
  e->before = at;
  return &at->right;
}

void
registry_insert_locked (struct registry *r, struct entry *e)
{
  struct entry **at = &r->root, **less = &e->left, **more = &e->right, *below;

  e->priority = next_priority_locked (r);
  e->before = e->after = NULL;
  while (*at && (*at)->priority >= e->priority)
    at = step (*at, e);
  /* What was there goes below it, those before its name to the left. */
  below = *at;
  *at = e;
  while (below) {
    struct entry **next = step (below, e);

    if (next == &below->right) {
      *less = below;
      less = next;
    }
    else {
      *more = below;
      more = next;
    }
    below = *next;
  }
  *less = *more = NULL;
  if (e->before)
    e->before->after = e;
  else
    r->least = e;
  if (e->after)
    e->after->before = e;
  r->n++;
}

void
registry_remove_locked (struct registry *r, struct entry *e)
{
  struct entry **at = &r->root, *less = e->left, *more = e->right;

  while (*at != e)
    at = strcmp (e->d.name, (*at)->d.name) < 0 ? &(*at)->left : &(*at)->right;
  while (less && more)
    if (less->priority >= more->priority) {
      *at = less;
      at = &less->right;
      less = *at;
    }
    else {
      *at = more;
      at = &more->left;
      more = *at;
    }
  *at = less ? less : more;
  if (e->before)
    e->before->after = e->after;
  else
    r->least = e->after;
  if (e->after)
    e->after->before = e->before;
  r->n--;
}
