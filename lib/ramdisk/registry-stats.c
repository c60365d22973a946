/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: connections and their statistics.  registry.h has the design.
 */

#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mutex.h"
#include "ramdisk/registry-parts.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"

int
registry_connect (struct registry *r, struct registry_client *c,
                  struct named_disk *d, const struct registry_peer *peer)
{
  struct entry *e = registry_entry (d);
  struct stats_sum *closed = NULL;

  c->d = d;
  c->peer = *peer;
  c->socket = 0;
  atomic_init (&c->ended, CLIENT_STAYS);
  clock_gettime (CLOCK_REALTIME, &c->since);
  atomic_init (&c->excess, 0);
  c->stats = stats_new ();
  closed = calloc (1, sizeof *closed);
  if (c->stats == NULL || closed == NULL) {
    stats_free (c->stats);
    free (closed);
    return -1;
  }
  mutex_lock (&r->lock);
  c->id = ++r->last_client;     /* in the order of the list */
  if (e->closed == NULL) {
    e->closed = closed;
    closed = NULL;
  }
  c->prev = c->all_prev = NULL;
  c->next = e->first;
  if (c->next)
    c->next->prev = c;
  e->first = c;
  e->connections++;
  c->all_next = r->first;
  if (c->all_next)
    c->all_next->all_prev = c;
  r->first = c;
  r->connections++;
  mutex_unlock (&r->lock);
  free (closed);
  return 0;
}

void
registry_disconnect (struct registry *r, struct registry_client *c)
{
  struct entry *e = registry_entry (c->d);

  mutex_lock (&r->lock);
  if (stats_last (c->stats) != 0)       /* else it has only looked (G7) */
    e->used = true;
  stats_add (c->stats, e->closed);
  stats_add (c->stats, &r->closed);
  if (c->prev)
    c->prev->next = c->next;
  else
    e->first = c->next;
  if (c->next)
    c->next->prev = c->prev;
  e->connections--;
  entry_left_locked (e, c->peer.is_filter);
  if (c->all_prev)
    c->all_prev->all_next = c->all_next;
  else
    r->first = c->all_next;
  if (c->all_next)
    c->all_next->all_prev = c->all_prev;
  r->connections--;
  mutex_unlock (&r->lock);
  stats_free (c->stats);
}

size_t
registry_stats (struct registry *r, struct named_disk *d,
                struct stats_sum *sum)
{
  struct entry *e = registry_entry (d);
  struct registry_client *c;
  size_t n;

  memset (sum, 0, sizeof *sum);
  mutex_lock (&r->lock);
  if (e->closed)
    stats_sum_add (sum, e->closed);
  for (c = e->first; c; c = c->next)
    stats_add (c->stats, sum);
  n = e->connections;
  mutex_unlock (&r->lock);
  return n;
}

size_t
registry_all_stats (struct registry *r, struct stats_sum *sum)
{
  struct registry_client *c;
  size_t n;

  memset (sum, 0, sizeof *sum);
  mutex_lock (&r->lock);
  stats_sum_add (sum, &r->closed);
  for (c = r->first; c; c = c->all_next)
    stats_add (c->stats, sum);
  n = r->connections;
  mutex_unlock (&r->lock);
  return n;
}

size_t
registry_connections (struct registry *r, struct named_disk *d)
{
  size_t n;

  mutex_lock (&r->lock);
  n = registry_entry (d)->connections;
  mutex_unlock (&r->lock);
  return n;
}

bool
registry_is_in_use (struct registry *r, struct named_disk *d)
{
  bool is;

  mutex_lock (&r->lock);
  is = entry_has_clients (registry_entry (d));
  mutex_unlock (&r->lock);
  return is;
}
