/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream side. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "clock.h"
#include "mutex.h"
#include "side-upstream.h"

/* How long a request may take where nothing may wait for a server that is
 * away, if mnbd-request-timeout= does not say it.
 */
#define FAIL_FAST_TIMEOUT (30 * NS_PER_S)

struct upstream_side {
  struct side side;
  struct pool *pool;            /* NULL: not connected */
  struct pool_client client;
  struct entry *entry;          /* whose pool it is, or NULL */
  char *name;                   /* the export of a pool of its own, or NULL */
  struct pool_options o;
  void (*log) (void *opaque, enum pool_log level, const char *message);
  char said[UPSTREAM_WHY + 512]; /* the last complaint while connecting */

  /* For side_upstream_progress, side_upstream_outage and side_upstream_give_up:
   * the pool may be replaced meanwhile.
   */
  struct mutex lock;
  bool given_up GUARDED_BY (lock);
};

static struct upstream_side *
side_of (struct side *s)
{
  return (struct upstream_side *) s;
}

/* Returns NULL, with errno, if there is no connection. */
static struct pool *
pool_of (struct side *s)
{
  struct pool *pool = side_of (s)->pool;

  if (pool == NULL)
    errno = ESHUTDOWN;
  return pool;
}

static uint32_t
fua (uint32_t flags)
{
  return flags & SIDE_FUA ? LIBNBD_CMD_FLAG_FUA : 0;
}

static int
upstream_side_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  struct pool *pool = pool_of (s);

  return pool ? pool_read (pool, buf, count, offset) : -1;
}

static int
upstream_side_write (struct side *s, const void *buf, uint32_t count,
                     uint64_t offset, uint32_t flags)
{
  struct pool *pool = pool_of (s);

  return pool ? pool_write (pool, buf, count, offset, fua (flags)) : -1;
}

static int
upstream_side_write_while (struct side *s, const void *buf, uint32_t count,
                           uint64_t offset, uint32_t flags,
                           void (*meanwhile) (void *opaque), void *opaque)
{
  struct pool *pool = pool_of (s);
  int err = errno;

  if (pool)
    return pool_write_while (pool, buf, count, offset, fua (flags), meanwhile,
                             opaque);
  meanwhile (opaque);
  errno = err;
  return -1;
}

static int
upstream_side_zero (struct side *s, uint32_t count, uint64_t offset,
                    uint32_t flags)
{
  struct pool *pool = pool_of (s);
  uint32_t f = fua (flags);

  if (!(flags & SIDE_MAY_TRIM))
    f |= LIBNBD_CMD_FLAG_NO_HOLE;
  if (flags & SIDE_FAST_ZERO)
    f |= LIBNBD_CMD_FLAG_FAST_ZERO;
  return pool ? pool_zero (pool, count, offset, f) : -1;
}

static int
upstream_side_trim (struct side *s, uint32_t count, uint64_t offset,
                    uint32_t flags)
{
  struct pool *pool = pool_of (s);

  return pool ? pool_trim (pool, count, offset, fua (flags)) : -1;
}

static int
upstream_side_flush (struct side *s)
{
  struct pool *pool = pool_of (s);

  return pool ? pool_flush (pool, &side_of (s)->client) : -1;
}

static int
upstream_side_cache (struct side *s, uint32_t count, uint64_t offset)
{
  struct pool *pool = pool_of (s);

  return pool ? pool_cache (pool, count, offset) : -1;
}

struct extents {
  side_extent_fn fn;
  void *opaque;
};

static int
give_extent (void *opaque, uint64_t offset, uint32_t length, uint32_t type)
{
  struct extents *e = opaque;
  uint32_t t = (type & LIBNBD_STATE_HOLE ? SIDE_HOLE : 0) |
    (type & LIBNBD_STATE_ZERO ? SIDE_ZERO : 0);

  return e->fn (e->opaque, offset, length, t);
}

static int
upstream_side_extents (struct side *s, uint32_t count, uint64_t offset,
                       uint32_t flags, side_extent_fn fn, void *opaque)
{
  struct pool *pool = pool_of (s);
  struct extents e = { fn, opaque };
  uint32_t f = flags & SIDE_REQ_ONE ? LIBNBD_CMD_FLAG_REQ_ONE : 0;

  return pool ? pool_extents (pool, count, offset, f, give_extent, &e) : -1;
}

static struct side_info
info_of (const struct upstream_info *i)
{
  /* Sizes that make no sense without each other. */
  bool sizes = i->block_min && i->block_preferred && i->block_max;

  return (struct side_info) {
    .size = i->size,
    .readonly = i->readonly,
    .can_flush = i->can_flush,
    .can_fua = i->can_fua,
    .can_trim = i->can_trim,
    .can_zero = i->can_zero,
    .can_fast_zero = i->can_fast_zero,
    .can_cache = i->can_cache,
    .can_extents = i->can_extents,
    .can_multi_conn = true,     /* all share one pool */
    .rotational = i->rotational,
    .block_min = sizes ? i->block_min : 1,
    .block_preferred = sizes ? i->block_preferred : 0,
    .block_max = sizes ? i->block_max : 0,
  };
}

/* In an outage each attempt to connect fails in the same way: say it once. */
static void
log_once (void *opaque, enum pool_log level, const char *message)
{
  struct upstream_side *u = opaque;

  if (level == POOL_ERROR && u->pool == NULL) {
    if (strcmp (message, u->said) == 0)
      return;
    snprintf (u->said, sizeof u->said, "%s", message);
  }
  u->log (NULL, level, message);
}

static bool
given_up (void *opaque)
{
  struct upstream_side *u = opaque;
  bool r;

  mutex_lock (&u->lock);
  r = u->given_up;
  mutex_unlock (&u->lock);
  return r;
}

static void
use_pool (struct upstream_side *u, struct pool *pool)
{
  u->pool = pool;
  u->side.info = info_of (pool_info (pool));
  pool_client_init (pool, &u->client);
}

static void
upstream_side_disconnect (struct side *s)
{
  struct upstream_side *u = side_of (s);
  struct pool *pool = u->pool;

  if (pool == NULL)
    return;
  if (!u->o.fail_fast && pool_is_dirty (pool))
    pool_settle (pool);
  exports_log_figures (u->o.export_name, pool);
  mutex_lock (&u->lock);
  u->pool = NULL;
  mutex_unlock (&u->lock);
  pool_free (pool);
}

static int
upstream_side_connect (struct side *s)
{
  struct upstream_side *u = side_of (s);
  struct pool *pool;
  int err = 0;

  upstream_side_disconnect (s);
  pool = pool_new (&u->o);
  if (pool == NULL)
    return -1;
  if (pool_open (pool) == -1)
    err = errno;
  mutex_lock (&u->lock);
  if (err == 0 && u->given_up)
    err = ESHUTDOWN;
  if (err == 0)
    use_pool (u, pool);
  mutex_unlock (&u->lock);
  if (err == 0)
    return 0;
  pool_free (pool);
  errno = err;
  return -1;
}

uint64_t
side_upstream_progress (struct side *s)
{
  struct upstream_side *u = side_of (s);
  struct pool_figures f = { .attempts = 0 };
  uint64_t n;
  unsigned i;

  mutex_lock (&u->lock);
  if (u->pool)
    pool_figures (u->pool, &f);
  mutex_unlock (&u->lock);
  n = f.replays;
  for (i = 0; i < UPSTREAM_OPS; i++)
    n += f.requests[i];
  return n;
}

uint64_t
side_upstream_outage (struct side *s, struct pool_outage *outage)
{
  struct upstream_side *u = side_of (s);
  struct pool_figures f = { .outages = 0 };

  *outage = (struct pool_outage) { .away = false };
  mutex_lock (&u->lock);
  if (u->pool) {
    pool_figures (u->pool, &f);
    pool_outage (u->pool, outage);
  }
  mutex_unlock (&u->lock);
  return f.outages;
}

void
side_upstream_give_up (struct side *s)
{
  struct upstream_side *u = side_of (s);

  mutex_lock (&u->lock);
  u->given_up = true;
  if (u->pool)
    pool_give_up (u->pool);
  mutex_unlock (&u->lock);
}

static void
upstream_side_close (struct side *s)
{
  struct upstream_side *u = side_of (s);

  if (u->entry)
    entry_put (u->entry);
  else if (u->name)
    upstream_side_disconnect (s);
  mutex_destroy (&u->lock);
  free (u->name);
  free (u);
}

#define REQUESTS                                \
  .read = upstream_side_read,                   \
  .write = upstream_side_write,                 \
  .zero = upstream_side_zero,                   \
  .trim = upstream_side_trim,                   \
  .flush = upstream_side_flush,                 \
  .cache = upstream_side_cache,                 \
  .extents = upstream_side_extents,             \
  .write_while = upstream_side_write_while,     \
  .close = upstream_side_close

static const struct side_ops shared_ops = { REQUESTS };

static const struct side_ops own_ops = {
  REQUESTS,
  .connect = upstream_side_connect,
  .disconnect = upstream_side_disconnect,
};

struct side *
side_forward (const char *export_name)
{
  struct upstream_side *u = calloc (1, sizeof *u);

  if (u == NULL)
    return NULL;
  u->side.ops = &shared_ops;
  mutex_init (&u->lock);
  u->entry = entry_get (export_name);
  if (u->entry == NULL) {
    free (u);
    return NULL;
  }
  use_pool (u, u->entry->pool);
  return &u->side;
}

struct side *
side_upstream (const char *export_name, bool fail_fast)
{
  struct upstream_side *u = calloc (1, sizeof *u);

  if (u == NULL)
    return NULL;
  u->side.ops = &own_ops;
  mutex_init (&u->lock);
  u->name = strdup (export_name);
  if (u->name == NULL) {
    free (u);
    return NULL;
  }
  u->o = exports_options (u->name);
  u->o.fail_fast = fail_fast;
  u->log = u->o.log;
  u->o.log = log_once;
  u->o.opaque = u;
  /* At its end a pair may still have much to send to a server that is slow. */
  u->o.ending = (struct upstream_ending) { .fn = given_up, .opaque = u };
  if (fail_fast) {
    u->o.reconnect = u->o.replay_buffer = 0;
    /* A server that hangs is to be lost, too. */
    if (u->o.request_timeout == 0)
      u->o.request_timeout = FAIL_FAST_TIMEOUT;
  }
  return &u->side;
}

struct side *
side_upstream_share (struct side *s)
{
  struct upstream_side *u = calloc (1, sizeof *u);

  if (u == NULL)
    return NULL;
  u->side.ops = &shared_ops;
  mutex_init (&u->lock);
  use_pool (u, side_of (s)->pool);
  return &u->side;
}

const char *
side_upstream_description (struct side *s)
{
  return pool_description (side_of (s)->pool);
}
