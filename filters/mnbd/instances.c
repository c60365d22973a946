/* SPDX-License-Identifier: BSD-3-Clause */
/* The instances. */

#include <config.h>

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/printable.h"
#include "base/thread.h"
#include "bdev-next.h"
#include "bdev/engine.h"
#include "filter-parameters.h"
#include "instances.h"
#include "nbd/bdev-nbd.h"
#include "plugins/common/export-name.h"
#include "plugins/common/exports.h"
#include "plugins/common/log.h"
#include "plugins/common/upstream-parameters.h"

/* A disk that an instance's name meant at some time: a context of the plugin
 * without a client.
 */
struct opened {
  struct opened *next;          /* of the same instance */
  struct live_instance *instance;
  struct next_context context;
  struct mutex lock;            /* for the context, if it needs its own */
  struct bdev_next local;       /* the engine's */
  unsigned users;               /* clients, and the instance; under
                                 * instances_lock */
};

struct live_instance {
  struct live_instance *next;
  struct instance instance;             /* what the engine knows */
  char *name;
  nbdkit_backend *backend;
  void *engine;

  /* Held while a client arrives, and while the engine looks up what the name
   * means (hold, release in engine.h); both may take a while.  Taken before the
   * engine's locks and instances_lock.
   */
  struct mutex hold_lock;
  struct opened *now GUARDED_BY (hold_lock); /* instance.local is its */

  struct opened *opened;        /* all that are in use; under instances_lock */
  unsigned clients;             /* under instances_lock */

  /* For is_silent. */
  uint64_t progress;            /* bdev_nbd_progress */
  int64_t silent_since;         /* 0: the upstream owes no answer */
};

static struct mutex instances_lock = MUTEX_INITIALIZER;
static struct live_instance *instances GUARDED_BY (instances_lock);
static bool ended GUARDED_BY (instances_lock);

/* Stopped instances.  Only the main thread uses them. */
static struct live_instance *stopped;

/* Held while an instance begins, which may take a while.  Taken before the
 * others.
 */
static struct mutex begin_lock = MUTEX_INITIALIZER;

static int thread_model = NBDKIT_THREAD_MODEL_PARALLEL;
static struct mutex all_requests_lock = MUTEX_INITIALIZER;

static void
log_line (enum engine_log level, const char *fmt, ...)
{
  char line[1024];
  va_list args;

  va_start (args, fmt);
  vsnprintf (line, sizeof line, fmt, args);
  va_end (args);
  if (level == ENGINE_ERROR)
    log_error_line (line);
  else
    log_debug_line (line);
}

int
instances_get_ready (int model)
{
  thread_model = model;
  export_name_find_plugin ();
  if (filter_config.engine &&
      model <= NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS) {
    nbdkit_error ("mnbd-mode=%s: the plugin accepts only one connection at a "
                  "time: expected a plugin that accepts several, because the "
                  "filter needs its own", filter_config.mode);
    return -1;
  }
  if (filter_config.engine && config.dynamic_export &&
      export_name_of_disk ("x") == NULL) {
    nbdkit_error ("mnbd-dynamic-export=true: cannot be used with mnbd-mode=%s "
                  "over this plugin, which does not know which export the "
                  "filter opens", filter_config.mode);
    return -1;
  }
  return 0;
}

/* nbdkit serialises clients' requests with each other, but not with an
 * instance's.
 */
struct mutex *
instances_client_lock (void)
{
  return filter_config.engine &&
    thread_model <= NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
    ? &all_requests_lock : NULL;
}

void
instances_lock_plugin (void) NO_TSA
{
  if (instances_client_lock ())
    mutex_lock (&all_requests_lock);
}

void
instances_unlock_plugin (void) NO_TSA
{
  if (instances_client_lock ())
    mutex_unlock (&all_requests_lock);
}

static struct mutex *
context_lock (struct opened *o)
{
  if (thread_model >= NBDKIT_THREAD_MODEL_PARALLEL)
    return NULL;
  return thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS
    ? &o->lock : &all_requests_lock;
}

/* ------------------------------------------------- what the name means */

#define NOT_OPENED \
  "the filter cannot open the plugin's export"

/* Marks the numbers that are made up here for disks that the plugin does not
 * identify.
 */
#define UNTOLD (UINT64_C (1) << 63)

static bool
is_told (uint64_t disk)
{
  return disk != 0 && !(disk & UNTOLD);
}

static void
close_opened (struct opened *o)
{
  nbdkit_next *next = o->context.next;

  if (next) {
    instances_lock_plugin ();
    next->finalize (next);
    nbdkit_next_context_close (next);
    instances_unlock_plugin ();
  }
  mutex_destroy (&o->lock);
  free (o);
}

/* Open what the name means now.  The result is in no list, and has one user. */
static struct opened *
open_now (struct live_instance *p)
{
  static _Atomic uint64_t untold;
  struct opened *o = calloc (1, sizeof *o);
  struct export_disk disk;
  nbdkit_next *next;

  if (o == NULL) {
    nbdkit_error ("calloc: %m");
    return NULL;
  }
  o->instance = p;
  o->users = 1;
  mutex_init (&o->lock);
  instances_lock_plugin ();
  export_name_announce (p->name, 0);
  export_name_opened ();
  next = nbdkit_next_context_open (p->backend, false, p->name, true);
  if (next && next->prepare (next) == -1) {
    nbdkit_next_context_close (next);
    next = NULL;
  }
  disk = export_name_opened ();
  o->context = (struct next_context) {
    .next = next, .lock = context_lock (o), .name = p->name,
    .disk = disk.number, .cuts = disk.cuts,
  };
  export_name_announce (NULL, 0);
  instances_unlock_plugin ();
  if (next == NULL || bdev_next_init (&o->local, &o->context) == -1) {
    close_opened (o);
    return NULL;
  }
  if (!is_told (o->context.disk))
    o->local.bdev.info.disk = UNTOLD | atomic_fetch_add (&untold, 1);
  return o;
}

static void
hold_opened (struct opened *o)
{
  mutex_lock (&instances_lock);
  o->users++;
  mutex_unlock (&instances_lock);
}

static void
let_go (struct opened *o)
{
  struct opened **at;
  bool last;

  mutex_lock (&instances_lock);
  last = --o->users == 0;
  if (last) {
    for (at = &o->instance->opened; *at && *at != o; at = &(*at)->next)
      ;
    if (*at)
      *at = o->next;
  }
  mutex_unlock (&instances_lock);
  if (last)
    close_opened (o);
}

/* The instance uses this disk from now on.  The caller's use becomes the
 * instance's.
 */
static void
use_opened (struct live_instance *p, struct opened *o) REQUIRES (&p->hold_lock)
{
  struct opened *old = p->now;

  mutex_lock (&instances_lock);
  o->next = p->opened;
  p->opened = o;
  mutex_unlock (&instances_lock);
  p->now = o;
  p->instance.local = &o->local.bdev;
  if (old)
    let_go (old);
}

/* Is the disk that somebody found by the name the one that the instance has
 * opened, and has it kept its content?  If the plugin does not identify disks,
 * disks of the same size count as the same.
 */
static enum instance_now
compare (const struct live_instance *p, const struct bdev_info *found)
  REQUIRES (&p->hold_lock)
{
  const struct bdev_info *ours = &p->now->local.bdev.info;

  if (is_told (found->disk) && is_told (ours->disk) &&
      found->disk != ours->disk)
    return INSTANCE_REPLACED;
  if (cuts_least (&found->cuts, ours->cuts.n) < ours->size)
    return INSTANCE_SHRUNK;
  return found->size != ours->size ? INSTANCE_RESIZED : INSTANCE_SAME;
}

/* Have the properties changed since it was opened? */
static bool
is_changed (const struct live_instance *p, const struct bdev_info *found)
  REQUIRES (&p->hold_lock)
{
  const struct bdev_info *ours = &p->now->local.bdev.info;

  return compare (p, found) != INSTANCE_SAME ||
    found->cuts.n > ours->cuts.n ||
    found->readonly != ours->readonly ||
    found->block_min != ours->block_min ||
    found->block_max != ours->block_max;
}

/* Do clients have another context open that may be the same disk as this one,
 * and nobody can tell?
 */
static bool
has_doubtful_clients (struct live_instance *p, const struct opened *o)
  REQUIRES (&p->hold_lock)
{
  const struct opened *other;
  bool r = false;

  if (is_told (o->local.bdev.info.disk))
    return false;
  mutex_lock (&instances_lock);
  for (other = p->opened; other; other = other->next)
    r |= other != o && other->users > (other == p->now);
  mutex_unlock (&instances_lock);
  return r;
}

static struct live_instance *
live (const struct instance *instance)
{
  return (struct live_instance *) ((const char *) instance -
                                   offsetof (struct live_instance, instance));
}

static void
hold (const struct instance *instance) NO_TSA
{
  mutex_lock (&live (instance)->hold_lock);
}

static void
release (const struct instance *instance) NO_TSA
{
  mutex_unlock (&live (instance)->hold_lock);
}

static enum instance_now
look (const struct instance *instance, uint64_t *size) NO_TSA
{
  struct live_instance *p = live (instance);
  struct opened *o = open_now (p);
  enum instance_now now;

  *size = 0;
  if (o == NULL)
    return INSTANCE_GONE;
  *size = o->local.bdev.info.size;
  now = compare (p, &o->local.bdev.info);
  close_opened (o);
  return now;
}

static void
adopt (const struct instance *instance) NO_TSA
{
  struct live_instance *p = live (instance);
  struct opened *o = open_now (p);

  if (o == NULL)
    return;
  /* Another disk may have the name since `look`, and has cuts of its own. */
  if (o->local.bdev.info.disk == p->now->local.bdev.info.disk)
    p->now->local.bdev.info.cuts = o->local.bdev.info.cuts;
  close_opened (o);
}

static int
renew (const struct instance *instance, char *why) NO_TSA
{
  struct live_instance *p = live (instance);
  struct opened *o = open_now (p);
  bool changed;

  if (o == NULL) {
    snprintf (why, ENGINE_WHY, NOT_OPENED);
    return -1;
  }
  changed = is_changed (p, &o->local.bdev.info);
  if (!has_doubtful_clients (p, changed ? o : p->now)) {
    if (changed)
      use_opened (p, o);
    else
      close_opened (o);
    return 0;
  }
  close_opened (o);
  snprintf (why, ENGINE_WHY, "the plugin's disk has changed, and clients are "
            "still connected to the old one: disconnect them first");
  return -1;
}

/* --------------------------------------------------------- the upstream */

static struct bdev *
share (const struct instance *instance)
{
  return exports_share (instance->upstream);
}

static int
ride_out (const struct instance *instance)
{
  return bdev_nbd_ride_out (instance->upstream);
}

static void
abandon (const struct instance *instance)
{
  bdev_nbd_abandon (instance->upstream);
}

/* ------------------------------------------------------------ the plugin */

static void
forsake (const struct instance *instance)
{
  export_name_forsake (instance->export_name);
}

/* -------------------------------------------------------------- the life */

static void
free_instance (struct live_instance *p) NO_TSA
{
  if (p->now)
    let_go (p->now);
  bdev_close (p->instance.upstream);
  mutex_destroy (&p->hold_lock);
  free (p->name);
  free (p);
}

static struct live_instance *
new_instance (nbdkit_backend *backend, const char *export_name) NO_TSA
{
  const struct engine *e = filter_config.engine;
  struct live_instance *p = calloc (1, sizeof *p);
  char shown[PRINTABLE_STRING];
  struct opened *o;

  if (p == NULL)
    goto no_memory;
  mutex_init (&p->hold_lock);
  p->backend = backend;
  p->name = strdup (export_name);
  if (p->name)
    p->instance.upstream =
      exports_own (config.dynamic_export ? p->name : config.export_name,
                   e->fail_fast);
  if (p->instance.upstream == NULL)
    goto no_memory;
  o = open_now (p);
  if (o == NULL) {
    nbdkit_error ("mnbd-mode=%s: the filter cannot open the plugin's export "
                  "\"%s\"", e->mode,
                  printable_name (export_name, shown));
    free_instance (p);
    return NULL;
  }
  use_opened (p, o);
  p->instance.export_name = p->name;
  p->instance.hold = hold;
  p->instance.release = release;
  p->instance.look = look;
  p->instance.adopt = adopt;
  p->instance.renew = renew;
  p->instance.share = share;
  p->instance.ride_out = ride_out;
  p->instance.abandon = abandon;
  p->instance.forsake = forsake;
  p->instance.log = log_line;
  p->engine = e->new (&p->instance);
  if (p->engine == NULL) {
    free_instance (p);
    return NULL;
  }
  return p;

 no_memory:
  nbdkit_error ("export \"%s\": out of memory",
                printable_name (export_name, shown));
  if (p)
    free_instance (p);
  return NULL;
}

static struct live_instance *
find (const char *export_name) REQUIRES (&instances_lock)
{
  struct live_instance *p;

  for (p = instances; p && strcmp (p->name, export_name) != 0; p = p->next)
    ;
  return p;
}

static struct live_instance *
find_and_hold (const char *export_name, unsigned clients)
{
  struct live_instance *p;

  mutex_lock (&instances_lock);
  p = find (export_name);
  if (p)
    p->clients += clients;
  mutex_unlock (&instances_lock);
  return p;
}

/* Make the instance visible to others.  Returns false if nbdkit is ending;
 * instances_stop will not stop this instance then.
 */
static bool
enter (struct live_instance *p, unsigned clients)
{
  bool r;

  mutex_lock (&instances_lock);
  r = !ended;
  if (r) {
    p->clients = clients;
    p->next = instances;
    instances = p;
  }
  mutex_unlock (&instances_lock);
  return r;
}

static struct live_instance *
get (nbdkit_backend *backend, const char *export_name, unsigned clients)
{
  struct live_instance *p = find_and_hold (export_name, clients);

  if (p)
    return p;
  mutex_lock (&begin_lock);
  p = find_and_hold (export_name, clients);
  if (p == NULL) {
    p = new_instance (backend, export_name);
    if (p && !enter (p, clients)) {
      nbdkit_error ("nbdkit is shutting down: no new clients are accepted");
      filter_config.engine->stop (p->engine);
      filter_config.engine->free (p->engine);
      free_instance (p);
      p = NULL;
    }
  }
  mutex_unlock (&begin_lock);
  return p;
}

const char *
instance_name (const char *export_name)
{
  const char *name = export_name_of_disk (export_name), *own;

  if (name == NULL)
    return filter_config.exports;
  if (filter_config_concerns (name))
    return name;
  own = export_name_of_disk (filter_config.exports);
  return filter_config_is_plain () && strcmp (name, own) == 0 ? name : NULL;
}

struct live_instance *
instance_get (nbdkit_backend *backend, const char *export_name)
{
  return get (backend, export_name, 1);
}

void
instance_put (struct live_instance *p)
{
  mutex_lock (&instances_lock);
  p->clients--;
  mutex_unlock (&instances_lock);
}

bool
instance_is_switched (struct live_instance *p)
{
  const struct engine *e = filter_config.engine;

  return e->switched && e->switched (p->engine);
}

const char *
instance_upstream_description (struct live_instance *p)
{
  return bdev_nbd_description (p->instance.upstream);
}

/* Choose the disk for a client that found this disk by the name.  Returns NULL
 * and says why if there is none.
 */
static struct opened *
choose (struct live_instance *p, const struct bdev_info *found,
        char why[ENGINE_WHY]) REQUIRES (&p->hold_lock)
{
  const struct engine *e = filter_config.engine;
  struct bdev_info *ours;
  enum instance_now now;
  struct opened *o;

  if (e->arrive && e->arrive (p->engine, why) == -1)
    return NULL;
  if (e->relies == NULL || e->relies (p->engine)) {
    ours = &p->now->local.bdev.info;
    now = compare (p, found);
    if (now != INSTANCE_SAME &&
        e->admit (p->engine, now, found->size,
                  cuts_least (&found->cuts, ours->cuts.n), why) == -1)
      return NULL;
    /* The engine has lost nothing by these cuts: only later ones count. */
    if (now != INSTANCE_REPLACED && found->cuts.n > ours->cuts.n)
      ours->cuts = found->cuts;
  }
  else if (is_changed (p, found)) {
    o = open_now (p);
    if (o == NULL) {
      snprintf (why, ENGINE_WHY, NOT_OPENED);
      return NULL;
    }
    use_opened (p, o);
  }
  return p->now;
}

struct bdev *
instance_client (struct live_instance *p, const struct bdev_info *found,
                 struct bdev_next *local, struct opened **opened) NO_TSA
{
  char why[ENGINE_WHY], shown[PRINTABLE_STRING];
  struct bdev *bdev = NULL;
  struct opened *o;

  mutex_lock (&p->hold_lock);
  if (instance_is_switched (p)) {
    bdev = filter_config.engine->client (p->engine, NULL);
    mutex_unlock (&p->hold_lock);
    return bdev;
  }
  o = choose (p, found, why);
  if (o) {
    bdev_next_share (local, &o->local);
    local->bdev.info.readonly |= found->readonly;
    bdev = filter_config.engine->client (p->engine, &local->bdev);
    if (bdev) {
      hold_opened (o);
      *opened = o;
    }
  }
  else
    nbdkit_error ("mnbd-mode=%s: export \"%s\": %s", filter_config.mode,
                  printable_name (p->name, shown), why);
  mutex_unlock (&p->hold_lock);
  return bdev;
}

void
instance_leave (struct opened *o)
{
  let_go (o);
}

int
instances_start (nbdkit_backend *backend)
{
  if (filter_config.engine == NULL || config.dynamic_export)
    return 0;
  return get (backend, instance_name (filter_config.exports), 0) ? 0 : -1;
}

/* ------------------------------------------------------------- the end */

/* How long the upstream may be silent while nbdkit ends, in seconds.  As
 * long as it answers, it is waited for, because much data may have to be
 * written back.
 */
#define SILENCE 10

static void
give_up (struct live_instance *p)
{
  log_line (ENGINE_ERROR, "the upstream has not answered for %d seconds: "
            "giving up", SILENCE);
  bdev_nbd_give_up (p->instance.upstream);
}

/* Has the upstream been silent for that long?  To be called about once a
 * second, by one thread at a time.
 */
static bool
is_silent (struct live_instance *p, bool even_if_idle)
{
  int64_t now = clock_now ();
  bool awaited;
  uint64_t progress = bdev_nbd_progress (p->instance.upstream, &awaited);

  if (!awaited && !even_if_idle)
    p->silent_since = 0;
  else if (p->silent_since == 0 || progress != p->progress)
    p->silent_since = now;
  p->progress = progress;
  return p->silent_since && now - p->silent_since >= SILENCE * NS_PER_S;
}

/* nbdkit cleans up when its clients' requests have ended, and one of them may
 * wait for a silent upstream.  While the upstream owes no answer, silence means
 * nothing, and what is to be written back needs the connection.
 */
void
instances_clients_end (void)
{
  struct live_instance *p;

  mutex_lock (&instances_lock);
  for (p = instances; p; p = p->next)
    if (is_silent (p, false)) {
      give_up (p);
      p->silent_since = 0;
    }
  mutex_unlock (&instances_lock);
}

struct watch {
  struct live_instance *p;
  struct mutex lock;
  pthread_cond_t changed;
  bool ended GUARDED_BY (lock);
};

static void *
watch (void *opaque)
{
  struct watch *w = opaque;

  w->p->silent_since = 0;
  mutex_lock (&w->lock);
  while (!w->ended && !is_silent (w->p, true))
    cond_wait_until (&w->changed, &w->lock, clock_now () + NS_PER_S);
  if (!w->ended)
    give_up (w->p);
  mutex_unlock (&w->lock);
  return NULL;
}

static void
stop_watched (struct live_instance *p)
{
  struct watch w = { .p = p, .lock = MUTEX_INITIALIZER };
  pthread_t thread;
  bool watched;

  cond_init (&w.changed);
  watched = thread_start (&thread, "mblock-watch", watch, &w) == 0;
  /* nbdkit is ending, but what is to be written back may wait for an upstream
   * that is just being restarted.  With fail_fast nothing is.
   */
  if (watched && !filter_config.engine->fail_fast)
    bdev_nbd_owner_ends (p->instance.upstream);
  filter_config.engine->stop (p->engine);
  if (watched) {
    mutex_lock (&w.lock);
    w.ended = true;
    pthread_cond_signal (&w.changed);
    mutex_unlock (&w.lock);
    pthread_join (thread, NULL);
  }
  pthread_cond_destroy (&w.changed);
}

void
instances_stop (void)
{
  struct live_instance *p;

  mutex_lock (&instances_lock);
  ended = true;
  stopped = instances;
  instances = NULL;
  mutex_unlock (&instances_lock);
  for (p = stopped; p; p = p->next)
    stop_watched (p);
}

void
instances_give_up (void)
{
  struct live_instance *p;

  for (p = stopped; p; p = p->next)
    bdev_nbd_give_up (p->instance.upstream);
}

void
instances_free (void)
{
  struct live_instance *p, *next;
  bool in_use;

  for (p = stopped; p; p = next) {
    next = p->next;
    /* nbdkit did not wait for this client's last request. */
    mutex_lock (&instances_lock);
    in_use = p->clients > 0;
    mutex_unlock (&instances_lock);
    if (in_use)
      continue;
    filter_config.engine->free (p->engine);
    free_instance (p);
  }
  stopped = NULL;
}

/* ---------------------------------------------- for the control socket */

void
instances_each (void (*fn) (void *opaque, const char *export_name,
                            void *engine),
                void *opaque)
{
  struct live_instance *p;

  mutex_lock (&instances_lock);
  for (p = instances; p; p = p->next)
    fn (opaque, p->name, p->engine);
  mutex_unlock (&instances_lock);
}
