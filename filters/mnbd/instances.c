/* SPDX-License-Identifier: BSD-3-Clause */
/* The pairs. */

#include <config.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "engine.h"
#include "export-name.h"
#include "filter-parameters.h"
#include "pairs.h"
#include "parameters.h"
#include "printable.h"
#include "side-local.h"
#include "side-upstream.h"

struct live_pair {
  struct live_pair *next;
  struct pair pair;             /* what the engine knows */
  char *name;
  nbdkit_next *context;         /* of the plugin, for the engine's threads */
  struct mutex context_lock;
  struct local local;
  void *engine;
  unsigned clients;
};

static struct mutex pairs_lock = MUTEX_INITIALIZER;
static struct live_pair *pairs GUARDED_BY (pairs_lock);

/* Held while a pair begins, which may take its time.  Before pairs_lock. */
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
    nbdkit_error ("%s", line);
  else
    nbdkit_debug ("%s", line);
}

int
pairs_get_ready (int model)
{
  thread_model = model;
  if (filter_config.engine &&
      model <= NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS) {
    nbdkit_error ("mnbd-mode=%s: the plugin takes one connection at a time: "
                  "expected one that takes several, for the filter needs one "
                  "of its own", filter_config.mode);
    return -1;
  }
  if (filter_config.engine && config.dynamic_export &&
      export_name_of_disk ("x") == NULL) {
    nbdkit_error ("mnbd-dynamic-export=true: expected no mnbd-mode=%s with it "
                  "over a plugin that does not tell its exports apart for the "
                  "filter itself", filter_config.mode);
    return -1;
  }
  return 0;
}

/* nbdkit keeps clients' requests apart, but not a pair's from them. */
struct mutex *
pairs_client_lock (void)
{
  return filter_config.engine &&
    thread_model <= NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
    ? &all_requests_lock : NULL;
}

void
pairs_lock_plugin (void) NO_TSA
{
  if (pairs_client_lock ())
    mutex_lock (&all_requests_lock);
}

void
pairs_unlock_plugin (void) NO_TSA
{
  if (pairs_client_lock ())
    mutex_unlock (&all_requests_lock);
}

static struct mutex *
context_lock (struct live_pair *p)
{
  if (thread_model >= NBDKIT_THREAD_MODEL_PARALLEL)
    return NULL;
  return thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS
    ? &p->context_lock : &all_requests_lock;
}

/* ----------------------------------------------- the plugin's context */

static void
close_context (struct live_pair *p)
{
  if (p->context) {
    pairs_lock_plugin ();
    p->context->finalize (p->context);
    nbdkit_next_context_close (p->context);
    pairs_unlock_plugin ();
  }
  p->context = NULL;
}

static int
open_context (struct live_pair *p, nbdkit_backend *backend)
{
  pairs_lock_plugin ();
  export_name_announce (p->name);
  p->context = nbdkit_next_context_open (backend, false, p->name, true);
  if (p->context && p->context->prepare (p->context) == -1) {
    nbdkit_next_context_close (p->context);
    p->context = NULL;
  }
  export_name_announce (NULL);
  pairs_unlock_plugin ();
  if (p->context == NULL)
    return -1;
  if (local_init (&p->local, p->context, context_lock (p)) == 0)
    return 0;
  close_context (p);
  return -1;
}

/* -------------------------------------------------------------- the life */

static void
free_pair (struct live_pair *p)
{
  close_context (p);
  side_close (p->pair.upstream);
  mutex_destroy (&p->context_lock);
  free (p->name);
  free (p);
}

static struct live_pair *
new_pair (nbdkit_backend *backend, const char *export_name)
{
  const struct engine *e = filter_config.engine;
  struct live_pair *p = calloc (1, sizeof *p);
  char shown[PRINTABLE_STRING];

  if (p == NULL)
    goto no_memory;
  mutex_init (&p->context_lock);
  p->name = strdup (export_name);
  if (p->name)
    p->pair.upstream = side_upstream (config.dynamic_export ? p->name
                                      : config.export_name, e->fail_fast);
  if (p->pair.upstream == NULL)
    goto no_memory;
  if (open_context (p, backend) == -1) {
    nbdkit_error ("mnbd-mode=%s: the plugin does not open export \"%s\" for "
                  "the filter itself", e->mode,
                  printable (export_name, shown));
    free_pair (p);
    return NULL;
  }
  p->pair.export_name = p->name;
  p->pair.local = &p->local.side;
  p->pair.log = log_line;
  p->engine = e->new (&p->pair);
  if (p->engine == NULL) {
    free_pair (p);
    return NULL;
  }
  return p;

 no_memory:
  nbdkit_error ("export \"%s\": out of memory",
                printable (export_name, shown));
  if (p)
    free_pair (p);
  return NULL;
}

static struct live_pair *
find (const char *export_name) REQUIRES (&pairs_lock)
{
  struct live_pair *p;

  for (p = pairs; p && strcmp (p->name, export_name) != 0; p = p->next)
    ;
  return p;
}

static struct live_pair *
find_and_hold (const char *export_name, unsigned clients)
{
  struct live_pair *p;

  mutex_lock (&pairs_lock);
  p = find (export_name);
  if (p)
    p->clients += clients;
  mutex_unlock (&pairs_lock);
  return p;
}

static struct live_pair *
get (nbdkit_backend *backend, const char *export_name, unsigned clients)
{
  struct live_pair *p = find_and_hold (export_name, clients);

  if (p)
    return p;
  mutex_lock (&begin_lock);
  p = find_and_hold (export_name, clients);
  if (p == NULL) {
    p = new_pair (backend, export_name);
    if (p) {
      p->clients = clients;
      mutex_lock (&pairs_lock);
      p->next = pairs;
      pairs = p;
      mutex_unlock (&pairs_lock);
    }
  }
  mutex_unlock (&begin_lock);
  return p;
}

const char *
pair_name (const char *export_name)
{
  const char *name = export_name_of_disk (export_name), *own;

  if (name == NULL)
    return filter_config.exports;
  if (filter_config_concerns (name))
    return name;
  own = export_name_of_disk (filter_config.exports);
  return filter_config_is_plain () && strcmp (name, own) == 0 ? name : NULL;
}

struct live_pair *
pair_get (nbdkit_backend *backend, const char *export_name)
{
  return get (backend, export_name, 1);
}

void
pair_put (struct live_pair *p)
{
  mutex_lock (&pairs_lock);
  p->clients--;
  mutex_unlock (&pairs_lock);
}

const char *
pair_upstream_description (struct live_pair *p)
{
  return side_upstream_description (p->pair.upstream);
}

struct side *
pair_client (struct live_pair *p, struct side *local)
{
  return filter_config.engine->client (p->engine, local);
}

int
pairs_start (nbdkit_backend *backend)
{
  if (filter_config.engine == NULL || config.dynamic_export)
    return 0;
  return get (backend, pair_name (filter_config.exports), 0) ? 0 : -1;
}

/* ------------------------------------------------------------- the end */

/* For how long the upstream may be silent while a pair ends, in seconds.  As
 * long as it answers it is waited for: what is written back may be much.
 */
#define SILENCE 10

struct watch {
  struct live_pair *p;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool ended;
};

static void *
watch (void *opaque)
{
  struct watch *w = opaque;
  uint64_t seen = 0, now;
  unsigned silent = 0;
  struct timespec ts;

  pthread_mutex_lock (&w->lock);
  while (!w->ended && silent < SILENCE) {
    clock_gettime (CLOCK_REALTIME, &ts);
    ts.tv_sec++;
    pthread_cond_timedwait (&w->changed, &w->lock, &ts);
    now = side_upstream_progress (w->p->pair.upstream);
    silent = now == seen ? silent + 1 : 0;
    seen = now;
  }
  if (!w->ended) {
    log_line (ENGINE_ERROR, "the upstream has not answered for %d seconds: "
              "it is not waited for any longer", SILENCE);
    side_upstream_give_up (w->p->pair.upstream);
  }
  pthread_mutex_unlock (&w->lock);
  return NULL;
}

static void
stop_watched (struct live_pair *p)
{
  struct watch w = { .p = p, .lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER };
  pthread_t thread;
  bool watched = pthread_create (&thread, NULL, watch, &w) == 0;

  filter_config.engine->stop (p->engine);
  if (!watched)
    return;
  pthread_mutex_lock (&w.lock);
  w.ended = true;
  pthread_cond_signal (&w.changed);
  pthread_mutex_unlock (&w.lock);
  pthread_join (thread, NULL);
}

void
pairs_stop (void)
{
  const struct engine *e = filter_config.engine;
  struct live_pair *p, *next;

  mutex_lock (&pairs_lock);
  p = pairs;
  pairs = NULL;
  mutex_unlock (&pairs_lock);
  for (; p; p = next) {
    next = p->next;
    stop_watched (p);
    /* nbdkit did not wait for this client's last request. */
    if (p->clients)
      continue;
    e->free (p->engine);
    free_pair (p);
  }
}

/* ---------------------------------------------- for the control socket */

void *
pairs_engine (const char *export_name)
{
  struct live_pair *p;

  mutex_lock (&pairs_lock);
  if (export_name)
    p = find (export_name);
  else
    p = pairs && pairs->next == NULL ? pairs : NULL;
  mutex_unlock (&pairs_lock);
  return p ? p->engine : NULL;
}

void
pairs_each (void (*fn) (void *opaque, const char *export_name, void *engine),
            void *opaque)
{
  struct live_pair *p;

  mutex_lock (&pairs_lock);
  for (p = pairs; p; p = p->next)
    fn (opaque, p->name, p->engine);
  mutex_unlock (&pairs_lock);
}
