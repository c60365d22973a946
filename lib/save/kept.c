/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server remembers of saves.  kept.h has the design. */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "ramdisk/radix.h"
#include "save/kept.h"

/* How long a figure of memory is good for, in the time that it took. */
#define HELD_AGE 20

struct saves {
  struct arena *arena;
  struct mutex lock;
  struct kept *first GUARDED_BY (lock);         /* the latest */
  struct kept *taken GUARDED_BY (lock);         /* by saves that run */
  /* Disks that have no content any more, to be freed. */
  struct disk **reap GUARDED_BY (lock);
  size_t nreap GUARDED_BY (lock), room GUARDED_BY (lock);
  /* A figure, and until when it is good enough. */
  uint64_t held GUARDED_BY (lock);
  int64_t held_until GUARDED_BY (lock);
};

static uint64_t
press (void *opaque, uint64_t n)
{
  return saves_give_up (opaque) ? n : 0;
}

struct saves *
saves_new (struct arena *arena)
{
  struct saves *s = calloc (1, sizeof *s);

  if (s) {
    s->arena = arena;
    mutex_init (&s->lock);
    arena_set_pressure (arena, PRESSURE_FIRST, press, s);
  }
  return s;
}

void
saves_free (struct saves *s)
{
  if (s == NULL)
    return;
  arena_set_pressure (s->arena, PRESSURE_FIRST, NULL, NULL);
  saves_forget (s);
  mutex_destroy (&s->lock);
  free (s->reap);
  free (s);
}

static void
take_away_locked (struct saves *s, struct kept *k) REQUIRES (s->lock)
{
  struct kept **at = &s->taken;

  if (k->taken_from == NULL)
    return;
  while (*at != k)
    at = &(*at)->next;
  *at = k->next;
  k->taken_from = NULL;
}

void
saves_take_away (struct kept *k)
{
  struct saves *s = k->taken_from;

  if (s == NULL)
    return;
  mutex_lock (&s->lock);
  take_away_locked (s, k);
  mutex_unlock (&s->lock);
}

void
kept_free (struct kept *k)
{
  size_t i;

  if (k == NULL)
    return;
  saves_take_away (k);
  for (i = 0; i < k->saved.ndisks; i++)
    if (k->disk[i].frozen)
      disk_free (k->disk[i].frozen);
  free (k->disk);
  free (k->by_id);
  saved_free (&k->saved);
  free (k);
}

static int
compare_ids (const void *a, const void *b, void *opaque)
{
  const struct kept *k = opaque;
  uint64_t x = k->disk[*(const size_t *) a].id;
  uint64_t y = k->disk[*(const size_t *) b].id;

  return (x > y) - (x < y);
}

struct kept *
kept_new (int dir, struct saved *saved, struct kept_disk *disk)
{
  struct kept *k = calloc (1, sizeof *k);
  size_t *by_id = malloc ((saved->ndisks + 1) * sizeof *by_id), i;
  struct stat st;

  if (k == NULL || by_id == NULL) {
    for (i = 0; i < saved->ndisks; i++)
      disk_free (disk[i].frozen);
    free (disk);
    saved_free (saved);
    free (by_id);
    free (k);
    return NULL;
  }
  k->saved = *saved;
  *saved = (struct saved) { .generation = 0 };
  k->disk = disk;
  k->by_id = by_id;
  k->stamp = saved_stamp (dir, &k->saved);
  if (k->stamp == 0 || fstat (dir, &st) == -1) {
    kept_free (k);
    return NULL;
  }
  k->dev = st.st_dev;
  k->ino = st.st_ino;
  for (i = 0; i < k->saved.ndisks; i++)
    by_id[i] = i;
  qsort_r (by_id, k->saved.ndisks, sizeof *by_id, compare_ids, k);
  return k;
}

size_t
kept_find (const struct kept *k, uint64_t id)
{
  size_t low = 0, high = k->saved.ndisks;

  while (low < high) {
    size_t mid = (low + high) / 2, i = k->by_id[mid];

    if (k->disk[i].id == id)
      return i;
    if (id < k->disk[i].id)
      high = mid;
    else
      low = mid + 1;
  }
  return k->saved.ndisks;
}

/* Give up the content of a remembered disk at once (B3). */
static void
give_up_locked (struct saves *s, struct kept_disk *d) REQUIRES (s->lock)
{
  struct tree *t;

  if (d->frozen == NULL)
    return;
  /* There is room: saves_put has made it. */
  t = &d->frozen->tree;
  tree_unshare (s->arena, root_load (t));
  atomic_store_explicit (&t->root, 0, memory_order_relaxed);
  s->reap[s->nreap++] = d->frozen;
  d->frozen = NULL;
  s->held_until = 0;
}

void
saves_reap (struct saves *s)
{
  struct disk *d;

  for (;;) {
    mutex_lock (&s->lock);
    d = s->nreap > 0 ? s->reap[--s->nreap] : NULL;
    mutex_unlock (&s->lock);
    if (d == NULL)
      return;
    disk_free (d);
  }
}

struct kept *
saves_take (struct saves *s, int dir)
{
  struct kept **at, *k = NULL;
  struct stat st;

  saves_reap (s);
  if (fstat (dir, &st) == -1)
    return NULL;
  mutex_lock (&s->lock);
  for (at = &s->first; *at; at = &(*at)->next)
    if ((*at)->dev == st.st_dev && (*at)->ino == st.st_ino) {
      k = *at;
      *at = k->next;
      k->next = s->taken;
      k->taken_from = s;
      s->taken = k;
      break;
    }
  s->held_until = 0;
  mutex_unlock (&s->lock);
  return k;
}

/* How many disks are remembered, and may have to be freed. */
static size_t
count_locked (const struct saves *s) REQUIRES (s->lock)
{
  const struct kept *k;
  size_t n = 0;

  for (k = s->first; k; k = k->next)
    n += k->saved.ndisks;
  return n;
}

void
saves_put (struct saves *s, struct kept *k)
{
  struct kept *old = NULL, **at;
  unsigned n = 0;
  size_t need, i;
  void *p;

  if (k == NULL)
    return;
  mutex_lock (&s->lock);
  take_away_locked (s, k);
  need = count_locked (s) + k->saved.ndisks + s->nreap;
  if (need > s->room) {
    p = reallocarray (s->reap, need, sizeof *s->reap);
    if (p) {
      s->reap = p;
      s->room = need;
    }
    else
      old = k;
  }
  if (old == NULL) {
    for (i = 0; i < k->saved.ndisks; i++)
      if (k->disk[i].gone)      /* B2 */
        give_up_locked (s, &k->disk[i]);
    k->next = s->first;
    s->first = k;
    for (at = &s->first; *at && n < SAVES_MOST_FOLDERS; at = &(*at)->next)
      n++;
    old = *at;
    *at = NULL;
  }
  s->held_until = 0;
  mutex_unlock (&s->lock);
  kept_free (old);
}

void
saves_forget (struct saves *s)
{
  struct kept *k, *next;

  mutex_lock (&s->lock);
  k = s->first;
  s->first = NULL;
  s->held_until = 0;
  mutex_unlock (&s->lock);
  for (; k; k = next) {
    next = k->next;
    kept_free (k);
  }
  saves_reap (s);
}

void
saves_forget_disk (struct saves *s, uint64_t id)
{
  struct kept *k;
  size_t i;

  mutex_lock (&s->lock);
  for (k = s->first; k; k = k->next) {
    i = kept_find (k, id);
    if (i < k->saved.ndisks)
      give_up_locked (s, &k->disk[i]);
  }
  for (k = s->taken; k; k = k->next) {
    i = kept_find (k, id);
    if (i < k->saved.ndisks)
      k->disk[i].gone = true;
  }
  mutex_unlock (&s->lock);
}

bool
saves_give_up (struct saves *s)
{
  bool any = false;
  struct kept *k;
  size_t i;

  mutex_lock (&s->lock);
  for (k = s->first; k; k = k->next)
    for (i = 0; i < k->saved.ndisks; i++) {
      any |= k->disk[i].frozen != NULL;
      give_up_locked (s, &k->disk[i]);
    }
  mutex_unlock (&s->lock);
  return any;
}

void
saves_stats (struct saves *s, struct saves_stats *stats)
{
  int64_t begin = clock_now (), end;
  const struct kept *k;
  uint64_t bytes;
  bool count;
  size_t i;

  *stats = (struct saves_stats) { .folders = 0 };
  mutex_lock (&s->lock);
  count = begin >= s->held_until;
  if (count)
    s->held = 0;
  for (k = s->first; k; k = k->next) {
    stats->folders++;
    for (i = 0; i < k->saved.ndisks; i++) {
      stats->disks += k->disk[i].frozen != NULL;
      if (count && k->disk[i].frozen &&
          disk_exclusive (k->disk[i].frozen, &bytes) == 0)
        s->held += bytes;
    }
  }
  stats->held = s->held;
  end = clock_now ();
  if (count)
    s->held_until = end + HELD_AGE * (end - begin);
  mutex_unlock (&s->lock);
}
