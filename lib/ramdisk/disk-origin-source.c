/* SPDX-License-Identifier: BSD-3-Clause */
/* The source of an origin: connecting to it, if the origin was recovered from
 * an arena's file, using it, and closing it.  disk-origin.h has the design.
 */

#include <config.h>

#include <errno.h>

#include "base/clock.h"
#include "base/cond.h"
#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"

/* How long to wait after an attempt that has failed, before the next one. */
#define RETRY_NS (500 * NS_PER_MS)

void
origins_set_connector (struct origins *set,
                       const struct origin_connector *connector)
{
  set->connector = *connector;
}

static bool
not_needed (void *opaque)
{
  struct origin *o = opaque;

  return atomic_load_explicit (&o->unneeded, memory_order_relaxed);
}

/* Connect, once, without the lock: it may take seconds.  *source is the
 * caller's.  A source that is not what it was is refused.
 */
static bool
connect_once (struct origin *o, struct origin_source *source)
{
  const struct origin_connector *c = &o->set->connector;
  const struct origin_wanted wanted = {
    .size = o->size, .block_min = o->block << PAGE_SHIFT,
    .again = atomic_load_explicit (&o->away, memory_order_relaxed),
    .ends = not_needed, .opaque = o,
  };
  const struct bdev_info *info;

  if (c->connect == NULL ||
      c->connect (c->opaque, o->uri, &wanted, source) == -1)
    return false;
  info = &source->bdev->info;
  if (info->size == wanted.size && info->block_min <= wanted.block_min)
    return true;
  if (source->close)
    source->close (source->opaque);
  return false;
}

static void
try_locked (struct origin *o) REQUIRES (o->lock)
{
  struct origin_source source = { .bdev = NULL };
  bool ok;

  o->connecting = true;
  mutex_unlock (&o->lock);
  ok = connect_once (o, &source);
  if (!ok)
    atomic_fetch_add_explicit (&o->errors, 1, memory_order_relaxed);
  mutex_lock (&o->lock);
  if (ok && o->ending) {        /* nobody would make it give up */
    mutex_unlock (&o->lock);
    if (source.close)
      source.close (source.opaque);
    mutex_lock (&o->lock);
    ok = false;
  }
  if (ok)
    o->source = source;
  atomic_store_explicit (&o->away, !ok, memory_order_relaxed);
  o->next_try = clock_now () + RETRY_NS;
  o->connecting = false;
  pthread_cond_broadcast (&o->changed);
}

void
origin_source_connect (struct origin *o, bool wait)
{
  int64_t now = clock_now (), until = now + (wait ? o->set->connector.wait : 0);

  mutex_lock (&o->lock);
  while (!o->closed && !o->ending && o->source.bdev == NULL) {
    if (!o->connecting && now >= o->next_try)
      try_locked (o);
    else if (now >= until)
      break;
    else
      cond_wait_until (&o->changed, &o->lock, o->connecting ||
                       o->next_try > until ? until : o->next_try);
    now = clock_now ();
  }
  mutex_unlock (&o->lock);
}

bool
origin_source_begin (struct origin *o)
{
  bool open;

  mutex_lock (&o->lock);
  open = !o->closed && o->source.bdev;
  o->users += open;
  mutex_unlock (&o->lock);
  return open;
}

void
origin_source_end (struct origin *o)
{
  mutex_lock (&o->lock);
  o->users--;
  pthread_cond_broadcast (&o->changed);
  mutex_unlock (&o->lock);
}

/* Who comes after the last user finds it closed: both are seen in one step. */
void
origin_source_close (struct origin *o)
{
  bool closed;

  mutex_lock (&o->lock);
  while (o->users > 0 || o->connecting)
    pthread_cond_wait (&o->changed, &o->lock.m);
  closed = o->closed;
  o->closed = true;
  mutex_unlock (&o->lock);
  if (!closed && o->source.close)
    o->source.close (o->source.opaque);
}

bool
origin_complete (struct origin *o)
{
  struct origins *set = o->set;
  uint64_t first, end;
  bool complete;

  mutex_lock (&set->lock);
  complete = !origin_missing (o, 0, o->pages, &first, &end);
  if (complete) {
    record_set_flag (o->cache->tree.record, LAYOUT_COMPLETE);   /* P9 */
    atomic_store_explicit (&o->complete, true, memory_order_release);
  }
  mutex_unlock (&set->lock);
  if (!complete)
    return false;
  origin_source_close (o);
  return true;
}
