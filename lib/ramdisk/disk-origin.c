/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of origins and of their threads.  disk-origin.h has the design. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"

/* -------------------------------------------------------------- the set */

struct origins *
origins_new (struct arena *arena, uint64_t limit)
{
  struct origins *set = calloc (1, sizeof *set);

  if (set == NULL)
    return NULL;
  set->arena = arena;
  set->limit = limit >> PAGE_SHIFT;
  if (limit && set->limit == 0)
    set->limit = 1;
  mutex_init (&set->lock);
  mutex_init (&set->work_lock);
  pthread_cond_init (&set->work, NULL);
  arena_set_pressure (arena, PRESSURE_SECOND, origin_evict, set);
  return set;
}

void
origins_free (struct origins *set)
{
  if (set == NULL)
    return;
  arena_set_pressure (set->arena, PRESSURE_SECOND, NULL, NULL);
  pthread_cond_destroy (&set->work);
  mutex_destroy (&set->work_lock);
  mutex_destroy (&set->lock);
  free (set);
}

static void *
work (void *opaque)
{
  struct origins *set = opaque;
  struct origin_job job;

  if (rcu_prepare () == -1)
    return NULL;
  mutex_lock (&set->work_lock);
  for (;;) {
    while (set->njobs == 0 && !set->ending)
      pthread_cond_wait (&set->work, &set->work_lock.m);
    if (set->njobs == 0)
      break;
    job = set->job[0];
    memmove (&set->job[0], &set->job[1], --set->njobs * sizeof set->job[0]);
    mutex_unlock (&set->work_lock);
    while (job.first < job.end &&
           origin_fetch_run (job.o, job.first, job.end, &job.first) == 0)
      ;
    origin_put (job.o);
    mutex_lock (&set->work_lock);
  }
  mutex_unlock (&set->work_lock);
  return NULL;
}

void
origin_read_ahead (struct origin *o, uint64_t first, uint64_t end)
{
  struct origins *set = o->set;

  mutex_lock (&set->work_lock);
  if (set->started && !set->ending && set->njobs < MOST_JOBS) {
    if (set->nworkers < WORKERS &&
        thread_start (&set->worker[set->nworkers], "mblock-ahead", work,
                      set) == 0)
      set->nworkers++;
    if (set->nworkers > 0) {
      set->job[set->njobs++] = (struct origin_job) {
        origin_ref (o), first, end
      };
      pthread_cond_broadcast (&set->work);
    }
  }
  mutex_unlock (&set->work_lock);
}

static void
start_prefetch (struct origin *o)
{
  mutex_lock (&o->lock);
  if (o->prefetch && !o->running && !o->ending && !o->closed)
    o->running = thread_start (&o->thread, "mblock-prefetch", origin_prefetch,
                               o) == 0;
  mutex_unlock (&o->lock);
}

void
origins_start (struct origins *set)
{
  struct origin *o;

  mutex_lock (&set->work_lock);
  set->started = true;
  mutex_unlock (&set->work_lock);
  mutex_lock (&set->lock);
  for (o = set->list; o; o = o->next)
    start_prefetch (o);
  mutex_unlock (&set->lock);
}

/* If both links are NULL and it is not the first, it is not in the list. */
static void
unlist_locked (struct origins *set, struct origin *o) REQUIRES (set->lock)
{
  if (o->prev)
    o->prev->next = o->next;
  else if (set->list == o)
    set->list = o->next;
  if (o->next)
    o->next->prev = o->prev;
  o->prev = o->next = NULL;
}

/* Make waiting for the source end, and end the prefetch thread. */
static void
stop (struct origin *o)
{
  bool running;

  mutex_lock (&o->lock);
  o->ending = true;
  atomic_store_explicit (&o->unneeded, true, memory_order_relaxed);
  running = o->running;
  o->running = false;
  if (!o->closed && o->source.give_up)
    o->source.give_up (o->source.opaque);
  pthread_cond_broadcast (&o->changed);
  mutex_unlock (&o->lock);
  if (running)
    pthread_join (o->thread, NULL);
}

void
origins_stop (struct origins *set)
{
  struct origin_job job[MOST_JOBS];
  unsigned i, njobs;
  struct origin *o;

  mutex_lock (&set->work_lock);
  set->ending = true;
  njobs = set->njobs;
  memcpy (job, set->job, njobs * sizeof job[0]);
  set->njobs = 0;
  pthread_cond_broadcast (&set->work);
  mutex_unlock (&set->work_lock);
  for (i = 0; i < njobs; i++)
    origin_put (job[i].o);

  /* Stop an origin without holding the lock, because its thread may need it. */
  mutex_lock (&set->lock);
  while (set->list) {
    o = origin_ref (set->list);
    mutex_unlock (&set->lock);
    stop (o);
    mutex_lock (&set->lock);
    unlist_locked (set, o);
    mutex_unlock (&set->lock);
    origin_put (o);
    mutex_lock (&set->lock);
  }
  mutex_unlock (&set->lock);

  for (i = 0; i < set->nworkers; i++)
    pthread_join (set->worker[i], NULL);
  set->nworkers = 0;
  mutex_lock (&set->work_lock);
  while (set->threads > 0)
    pthread_cond_wait (&set->work, &set->work_lock.m);
  mutex_unlock (&set->work_lock);
}

/* ------------------------------------------------------------ an origin */

static uint64_t
count_marks (uint64_t pages)
{
  uint64_t n = 1;

  while (n < MOST_MARKS && n * ORIGIN_CLUSTER < pages)
    n *= 2;
  return n;
}

/* An origin without a source.  Takes the cache over, also if it fails. */
static struct origin *
make (struct origins *set, const char *uri, uint64_t size, struct disk *cache)
{
  struct origin *o = cache ? calloc (1, sizeof *o) : NULL;
  int err;

  if (o) {
    o->set = set;
    o->size = size;
    o->pages = size_in_pages (size);
    o->nmarks = count_marks (o->pages);
    o->mark = calloc (o->nmarks, 1);
    o->uri = strdup (uri);
  }
  if (o == NULL || o->mark == NULL || o->uri == NULL) {
    err = errno;
    disk_free (cache);
    if (o) {
      free (o->uri);
      free ((void *) o->mark);
    }
    free (o);
    errno = err;
    return NULL;
  }
  o->cache = cache;
  o->cache->zeros = PAGE_ZERO;
  o->cache->detect_same = false;
  atomic_init (&o->refs, 1);
  mutex_init (&o->lock);
  cond_init (&o->changed);
  return o;
}

static void
destroy (struct origin *o)
{
  disk_free (o->cache);
  pthread_cond_destroy (&o->changed);
  mutex_destroy (&o->lock);
  free (o->uri);
  free ((void *) o->mark);
  free (o);
}

/* Have it in the arena's file (P8), if there is one. */
static int
store_in_file (struct origin *o)
{
  struct layout_record *r = o->cache->tree.record;

  if (r == NULL)
    return 0;
  if (!utf8_is_valid (o->uri)) {
    errno = EILSEQ;
    return -1;
  }
  if (record_set_name (o->set->arena, r, o->uri, NULL) == -1)
    return -1;
  r->kind = LAYOUT_ORIGIN;
  r->block = o->block;
  record_store_size (r, o->size);
  record_store_settings (r, false, o->rate);
  record_link (o->set->arena, r, o->prefetch ? LAYOUT_PREFETCH : 0, NULL);
  return 0;
}

static void
enlist (struct origins *set, struct origin *o)
{
  bool started;

  mutex_lock (&set->lock);
  o->next = set->list;
  if (o->next)
    o->next->prev = o;
  set->list = o;
  mutex_unlock (&set->lock);
  mutex_lock (&set->work_lock);
  started = set->started && !set->ending;
  mutex_unlock (&set->work_lock);
  if (started)
    start_prefetch (o);
}

struct origin *
origin_new (struct origins *set, const struct origin_options *options)
{
  const struct bdev_info *info = &options->source.bdev->info;
  struct disk *cache;
  struct origin *o;

  if (info->size > ORIGIN_MAX_SIZE) {
    errno = EFBIG;
    return NULL;
  }
  if (info->block_min > ORIGIN_MOST_RUN * PAGE_BYTES) {
    errno = EINVAL;
    return NULL;
  }
  if (rcu_prepare () == -1)
    return NULL;
  cache = disk_new (set->arena, size_in_pages (info->size) << PAGE_SHIFT, 1);
  o = make (set, options->source.uri, info->size, cache);
  if (o == NULL)
    return NULL;
  o->source = options->source;
  o->block = size_in_pages (info->block_min);
  o->prefetch = options->prefetch;
  o->rate = options->prefetch_rate;
  if (store_in_file (o) == -1) {
    int err = errno;

    destroy (o);
    errno = err;
    return NULL;
  }
  enlist (set, o);
  return o;
}

/* How many pages of the cache are not holes. */
static uint64_t
count_known (struct origin *o)
{
  uint64_t known = o->pages, i, first, end;

  for (i = 0; origin_missing (o, i, o->pages, &first, &end); i = end)
    known -= end - first;
  return known;
}

struct origin *
origin_restore (struct origins *set, struct disk *cache, const char *uri)
{
  const struct layout_record *r = cache->tree.record;
  struct origin *o = make (set, uri, disk_size (cache), cache);

  if (o == NULL)
    return NULL;
  if (rcu_prepare () == -1) {
    destroy (o);
    errno = ENOMEM;
    return NULL;
  }
  /* In memory, it has whole pages; and what its settings are in the file are
   * the origin's.
   */
  atomic_init (&cache->readonly, false);
  atomic_init (&cache->tree.quota, TREE_NO_QUOTA);
  atomic_store_explicit (&cache->size, o->pages << PAGE_SHIFT,
                         memory_order_relaxed);
  o->block = r->block;
  o->prefetch = record_has_flag (r, LAYOUT_PREFETCH);
  o->rate = atomic_load_explicit (&r->settings, memory_order_relaxed);
  o->closed = record_has_flag (r, LAYOUT_COMPLETE);
  atomic_init (&o->complete, o->closed);
  o->told = o->closed ? ORIGIN_COMPLETE : ORIGIN_LAZY;
  atomic_init (&o->known, count_known (o));
  atomic_fetch_add (&set->held, (int64_t) (disk_mapped (cache) >> PAGE_SHIFT));
  enlist (set, o);
  return o;
}

struct origin *
origin_ref (struct origin *o)
{
  if (o)
    atomic_fetch_add_explicit (&o->refs, 1, memory_order_relaxed);
  return o;
}

static void
origin_free (struct origin *o)
{
  struct origins *set = o->set;

  stop (o);
  origin_source_close (o);
  atomic_fetch_sub (&set->held,
                    (int64_t) (disk_mapped (o->cache) >> PAGE_SHIFT));
  if (!atomic_load (&o->stays))
    record_unlink (o->cache->tree.record);      /* P8 */
  destroy (o);
}

void
origin_stays (struct origin *o)
{
  atomic_store (&o->stays, true);
}

static void *
free_in_thread (void *opaque)
{
  struct origin *o = opaque;
  struct origins *set = o->set;

  origin_free (o);
  mutex_lock (&set->work_lock);
  set->threads--;
  pthread_cond_broadcast (&set->work);
  mutex_unlock (&set->work_lock);
  return NULL;
}

/* Disconnecting from a server may take a while, and so may ending a thread that
 * waits for one.  Whoever destroys the last disk must not wait for that.
 */
void
origin_put (struct origin *o)
{
  struct origins *set;
  pthread_t thread;
  bool started, last;
  unsigned refs;

  if (o == NULL)
    return;
  refs = atomic_load_explicit (&o->refs, memory_order_relaxed);
  /* Release: pairs with the acquire below, so that everything that other
   * threads did with the origin precedes its end.
   */
  while (refs > 1)
    if (atomic_compare_exchange_weak_explicit (&o->refs, &refs, refs - 1,
                                               memory_order_release,
                                               memory_order_relaxed))
      return;
  /* A thread that finds the origin in the list may still take a reference. */
  set = o->set;
  mutex_lock (&set->lock);
  last = atomic_fetch_sub_explicit (&o->refs, 1, memory_order_acq_rel) == 1;
  if (last)
    unlist_locked (set, o);
  mutex_unlock (&set->lock);
  if (!last)
    return;

  mutex_lock (&set->work_lock);
  started = set->started;
  set->threads += started;
  mutex_unlock (&set->work_lock);
  if (!started)
    origin_free (o);
  else if (thread_start (&thread, "mblock-origin", free_in_thread, o) == 0)
    pthread_detach (thread);
  else
    free_in_thread (o);
}

/* ----------------------------------------------------------- statistics */

uint64_t
origin_size (const struct origin *o)
{
  return o->size;
}

const char *
origin_uri (const struct origin *o)
{
  return o->uri;
}

struct disk *
origin_cache (struct origin *o)
{
  return o->cache;
}

static bool
is_away (struct origin *o)
{
  bool away = atomic_load_explicit (&o->away, memory_order_relaxed);

  /* A recovered origin may just be getting its source. */
  if (!away && origin_source_begin (o)) {
    if (o->source.is_away)
      away = o->source.is_away (o->source.opaque);
    origin_source_end (o);
  }
  return away;
}

static enum origin_state
state (struct origin *o)
{
  return atomic_load_explicit (&o->complete, memory_order_acquire)
    ? ORIGIN_COMPLETE : is_away (o) ? ORIGIN_AWAY
    : o->prefetch ? ORIGIN_PREFETCHING : ORIGIN_LAZY;
}

void
origins_changed (struct origins *set,
                 void (*fn) (void *opaque, struct origin *o,
                             enum origin_state state),
                 void *opaque)
{
  struct origin *o;

  mutex_lock (&set->lock);
  for (o = set->list; o; o = o->next) {
    enum origin_state now = state (o);

    if (now != o->told && (now >= ORIGIN_COMPLETE || o->told == ORIGIN_AWAY))
      fn (opaque, o, now);
    o->told = now;
    /* There may have been too many threads when it should have begun. */
    if (now == ORIGIN_PREFETCHING)
      start_prefetch (o);
  }
  mutex_unlock (&set->lock);
}

void
origin_stats (struct origin *o, struct origin_stats *s)
{
  uint64_t known = atomic_load_explicit (&o->known, memory_order_relaxed);

  s->state = state (o);
  s->prefetch = o->prefetch;
  s->prefetch_rate = o->rate;
  s->size = o->size;
  if (known > o->pages)         /* an eviction overtook a fetch */
    known = 0;
  s->known = known == o->pages ? o->size : known << PAGE_SHIFT;
  s->memory = disk_mapped (o->cache);
  s->fetches = atomic_load_explicit (&o->fetches, memory_order_relaxed);
  s->fetched = atomic_load_explicit (&o->fetched, memory_order_relaxed);
  s->evicted = atomic_load_explicit (&o->evicted,
                                     memory_order_relaxed) << PAGE_SHIFT;
  s->errors = atomic_load_explicit (&o->errors, memory_order_relaxed);
}
