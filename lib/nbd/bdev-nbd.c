/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD client as a block device. */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "bdev/extents.h"
#include "nbd/bdev-nbd.h"

/* How long a request may take in a device that fails fast, if request-timeout=
 * is not set.
 */
#define FAIL_FAST_TIMEOUT (30 * NS_PER_S)

struct nbd {
  struct bdev bdev;
  struct pool *pool;            /* NULL: not connected */
  struct pool_client client;
  struct bdev_nbd_owner owner;
};

/* A device with its own pool. */
struct own {
  struct nbd nbd;
  char *name;                   /* of the export */
  struct pool_options given, o; /* o: the pool's */
  void (*disconnects) (const char *export_name, struct pool *pool);
  uint64_t owed;                /* by pools before this one (pool_owed) */
  char said[CONNECTION_WHY + 512]; /* the last complaint while connecting */

  /* For bdev_nbd_progress, bdev_nbd_outage and bdev_nbd_give_up: another thread
   * may replace the pool meanwhile.
   */
  struct mutex lock;
  /* Set under the lock.  Read without it, because libnbd asks during a
   * handshake, with its own locks held.
   */
  atomic_bool given_up;
  atomic_bool owner_ends;
};

static struct nbd *
nbd_of (struct bdev *b)
{
  return (struct nbd *) b;
}

static struct own *
own_of (struct bdev *b)
{
  return (struct own *) b;
}

/* ------------------------------------------------------------- requests */

/* Returns NULL, with errno, if there is no connection. */
static struct pool *
pool_of (struct bdev *b)
{
  struct pool *pool = nbd_of (b)->pool;

  if (pool == NULL)
    errno = ESHUTDOWN;
  return pool;
}

/* The pool, for a change. */
static struct pool *
pool_to_write (struct bdev *b)
{
  pool_client_writes (&nbd_of (b)->client);
  return pool_of (b);
}

/* The flags of a zero are the common ones and NO_HOLE. */
static uint32_t
nbd_flags (uint32_t flags)
{
  return (flags & BDEV_FUA ? LIBNBD_CMD_FLAG_FUA : 0) |
    (flags & BDEV_FAST_ZERO ? LIBNBD_CMD_FLAG_FAST_ZERO : 0) |
    (flags & BDEV_REQ_ONE ? LIBNBD_CMD_FLAG_REQ_ONE : 0);
}

static int
device_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  struct pool *pool = pool_of (b);

  return pool ? pool_read (pool, buf, count, offset) : -1;
}

static int
device_write (struct bdev *b, const void *buf, uint32_t count, uint64_t offset,
              uint32_t flags)
{
  struct pool *pool = pool_to_write (b);

  return pool ? pool_write (pool, buf, count, offset, nbd_flags (flags)) : -1;
}

_Static_assert (sizeof (struct pool_write) <= BDEV_WRITE_ROOM,
                "BDEV_WRITE_ROOM is too small");

static void
device_write_start (struct bdev *b, struct bdev_write *w, const void *buf,
                    uint32_t count, uint64_t offset, uint32_t flags)
{
  struct pool *pool = pool_to_write (b);

  w->error = pool ? 0 : errno;
  if (pool)
    pool_write_start (pool, (struct pool_write *) w->room, buf, count, offset,
                      nbd_flags (flags));
}

static int
device_write_wait (struct bdev *b, struct bdev_write *w)
{
  if (w->error == 0)
    return pool_write_wait (nbd_of (b)->pool, (struct pool_write *) w->room);
  errno = w->error;
  return -1;
}

static int
device_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct pool *pool = pool_to_write (b);
  uint32_t f = nbd_flags (flags) |
    (flags & BDEV_MAY_TRIM ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);

  return pool ? pool_zero (pool, count, offset, f) : -1;
}

static int
device_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct pool *pool = pool_to_write (b);

  return pool ? pool_trim (pool, count, offset, nbd_flags (flags)) : -1;
}

static int
device_flush (struct bdev *b)
{
  struct nbd *n = nbd_of (b);
  struct pool *pool = pool_of (b);
  bool told;
  int r, err;

  if (pool == NULL)
    return -1;
  r = pool_flush (pool, &n->client, &told);
  err = errno;
  if (n->owner.flushed)
    n->owner.flushed (n->owner.opaque, told);
  errno = err;
  return r;
}

static int
device_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  struct pool *pool = pool_of (b);

  return pool ? pool_cache (pool, count, offset) : -1;
}

static int
give_extent (void *opaque, uint64_t offset, uint64_t length, uint64_t type)
{
  uint32_t t = (type & LIBNBD_STATE_HOLE ? BDEV_HOLE : 0) |
    (type & LIBNBD_STATE_ZERO ? BDEV_ZERO : 0);

  return extents_add (opaque, offset, length, t);
}

static int
device_extents (struct bdev *b, uint64_t count, uint64_t offset, uint32_t flags,
                bdev_extent_fn fn, void *opaque)
{
  struct pool *pool = pool_of (b);
  struct extents e;

  extents_init (&e, b->info.block_min, b->info.size, offset, count, fn,
                opaque);
  if (pool == NULL || pool_extents (pool, count, offset, nbd_flags (flags),
                                    give_extent, &e) == -1)
    return -1;
  return extents_end (&e);
}

#define REQUESTS                                \
  .read = device_read,                          \
  .write = device_write,                        \
  .write_start = device_write_start,            \
  .write_wait = device_write_wait,              \
  .zero = device_zero,                          \
  .trim = device_trim,                          \
  .flush = device_flush,                        \
  .cache = device_cache,                        \
  .extents = device_extents

/* can_multi_conn does not depend on the server: all clients share a pool. */
static struct bdev_info
info_of (const struct pool *pool)
{
  struct bdev_info info = *pool_info (pool);

  info.can_multi_conn = true;
  return info;
}

struct pool *
bdev_nbd_pool (struct bdev *b)
{
  return nbd_of (b)->pool;
}

const char *
bdev_nbd_description (struct bdev *b)
{
  return pool_description (nbd_of (b)->pool);
}

/* ----------------------------------------------------- a client's device */

static void
client_close (struct bdev *b)
{
  struct nbd *n = nbd_of (b);
  struct pool_legacy legacy;

  pool_client_end (n->pool, &n->client, &legacy);
  if (n->owner.left)
    n->owner.left (n->owner.opaque, &legacy);
  free (n);
}

static const struct bdev_ops client_ops = {
  REQUESTS,
  .close = client_close,
};

struct bdev *
bdev_nbd_client (struct pool *pool, const struct pool_legacy *legacy,
                 const struct bdev_nbd_owner *owner)
{
  struct nbd *n = calloc (1, sizeof *n);

  if (n == NULL)
    return NULL;
  n->bdev.ops = &client_ops;
  n->pool = pool;
  if (owner)
    n->owner = *owner;
  pool_client_init (pool, &n->client, legacy);
  n->bdev.info = info_of (pool); /* which stays from now on */
  return &n->bdev;
}

void
bdev_nbd_writes (struct bdev *b)
{
  pool_client_writes (&nbd_of (b)->client);
}

/* --------------------------------------------------- with its own pool */

/* In an outage each attempt to connect fails in the same way: log it once. */
static void
log_once (void *opaque, enum pool_log level, const char *message)
{
  struct own *u = opaque;

  if (level == POOL_ERROR && u->nbd.pool == NULL) {
    if (strcmp (message, u->said) == 0)
      return;
    snprintf (u->said, sizeof u->said, "%s", message);
  }
  u->given.log (u->given.opaque, level, message);
}

/* A caller that only looks reports no errors. */
static void
log_note (void *opaque, enum pool_log level, const char *message)
{
  struct own *u = opaque;

  (void) level;
  u->given.log (u->given.opaque, POOL_NOTE, message);
}

static bool
gives_up (void *opaque)
{
  struct own *u = opaque;

  if (atomic_load (&u->given_up))
    return true;
  return !atomic_load (&u->owner_ends) && u->given.give_up &&
    u->given.give_up (u->given.opaque);
}

static bool
given_up (void *opaque)
{
  struct own *u = opaque;

  return atomic_load (&u->given_up) || program_ends (&u->given.ending);
}

static void
own_disconnect (struct bdev *b)
{
  struct own *u = own_of (b);
  struct pool *pool = u->nbd.pool;
  struct pool_legacy legacy;

  if (pool == NULL)
    return;
  if (!u->o.fail_fast && pool_is_dirty (pool))
    pool_final_flush (pool);
  if (u->disconnects)
    u->disconnects (u->name, pool);
  /* Losses owed to the device's own client do not count: there is nobody to
   * tell.  If the device fails fast, none count, because its user makes up for
   * what is lost.
   */
  if (!u->o.fail_fast)
    u->owed += pool_owed (pool);
  pool_client_end (pool, &u->nbd.client, &legacy);
  mutex_lock (&u->lock);
  u->nbd.pool = NULL;
  mutex_unlock (&u->lock);
  pool_free (pool);
}

static int
own_connect (struct bdev *b)
{
  struct own *u = own_of (b);
  struct pool *pool;
  int err = 0;

  own_disconnect (b);
  pool = pool_new (&u->o);
  if (pool == NULL)
    return -1;
  if (pool_open (pool) == -1)
    err = errno;
  mutex_lock (&u->lock);
  if (err == 0 && atomic_load (&u->given_up))
    err = ESHUTDOWN;
  if (err == 0) {
    u->nbd.pool = pool;
    pool_client_init (pool, &u->nbd.client, NULL);
    pool_owe (pool, u->owed);
    u->owed = 0;
    b->info = info_of (pool);
  }
  mutex_unlock (&u->lock);
  if (err == 0)
    return 0;
  pool_free (pool);
  errno = err;
  return -1;
}

bool
bdev_nbd_changed (struct bdev *b)
{
  struct own *u = own_of (b);
  struct pool_options o = u->o;
  const struct bdev_info *now;
  struct pool_outage outage;
  char why[CONNECTION_WHY];
  bool changed = false;
  struct pool *pool;

  pool_outage (u->nbd.pool, &outage);
  if (!outage.away && !pool_info (u->nbd.pool)->can_multi_conn)
    return false;
  o.log = log_note;
  o.fail_fast = true;
  o.connections = 1;
  o.retry = 0;
  o.reconnect = 0;
  o.replay_buffer = 0;
  pool = pool_new (&o);
  if (pool == NULL)
    return false;
  if (pool_open (pool) == 0) {
    now = pool_info (pool);
    changed = pool_broken_promise (&b->info, now, why) ||
      now->readonly != b->info.readonly ||
      now->block_min != b->info.block_min ||
      uuid_differ (&now->uuid, &b->info.uuid);
  }
  pool_free (pool);
  return changed;
}

void
bdev_nbd_accept_changed (struct bdev *b, bool accept)
{
  pool_accept_changed (nbd_of (b)->pool, accept);
}

int
bdev_nbd_ride_out (struct bdev *b)
{
  struct own *u = own_of (b);
  int r = -1, err = ESHUTDOWN;

  mutex_lock (&u->lock);
  if (u->nbd.pool && !atomic_load (&u->given_up)) {
    r = pool_ride_out (u->nbd.pool, &u->given);
    err = errno;
  }
  if (r == 0) {
    u->o.fail_fast = false;
    u->o.reconnect = u->given.reconnect;
    u->o.request_timeout = u->given.request_timeout;
    u->o.replay_buffer = u->given.replay_buffer;
  }
  mutex_unlock (&u->lock);
  errno = err;
  return r;
}

void
bdev_nbd_abandon (struct bdev *b)
{
  struct own *u = own_of (b);

  mutex_lock (&u->lock);
  if (u->nbd.pool)
    pool_abandon (u->nbd.pool);
  mutex_unlock (&u->lock);
}

bool
bdev_nbd_connected (struct bdev *b)
{
  return nbd_of (b)->pool != NULL;
}

bool
bdev_nbd_dirty (struct bdev *b)
{
  struct pool *pool = nbd_of (b)->pool;

  return pool && pool_is_dirty (pool);
}

uint64_t
bdev_nbd_progress (struct bdev *b, bool *awaited)
{
  struct own *u = own_of (b);
  struct pool_stats stats = { .attempts = 0 };
  uint64_t n;
  unsigned i;

  mutex_lock (&u->lock);
  if (u->nbd.pool)
    pool_stats (u->nbd.pool, &stats);
  mutex_unlock (&u->lock);
  *awaited = stats.awaited;
  n = stats.replays;
  for (i = 0; i < NBD_OPS; i++)
    n += stats.requests[i];
  return n;
}

uint64_t
bdev_nbd_outage (struct bdev *b, struct pool_outage *outage)
{
  struct own *u = own_of (b);
  struct pool_stats stats = { .outages = 0 };

  *outage = (struct pool_outage) { .away = false };
  mutex_lock (&u->lock);
  if (u->nbd.pool) {
    pool_stats (u->nbd.pool, &stats);
    pool_outage (u->nbd.pool, outage);
  }
  mutex_unlock (&u->lock);
  return stats.outages;
}

void
bdev_nbd_owner_ends (struct bdev *b)
{
  atomic_store (&own_of (b)->owner_ends, true);
}

void
bdev_nbd_give_up (struct bdev *b)
{
  struct own *u = own_of (b);

  mutex_lock (&u->lock);
  atomic_store (&u->given_up, true);
  if (u->nbd.pool)
    pool_give_up (u->nbd.pool);
  mutex_unlock (&u->lock);
}

static void
own_close (struct bdev *b)
{
  struct own *u = own_of (b);

  own_disconnect (b);
  mutex_destroy (&u->lock);
  free (u->name);
  free (u);
}

static const struct bdev_ops own_ops = {
  REQUESTS,
  .close = own_close,
  .connect = own_connect,
  .disconnect = own_disconnect,
};

struct bdev *
bdev_nbd_own (const struct pool_options *options,
              void (*disconnects) (const char *export_name,
                                   struct pool *pool))
{
  struct own *u = calloc (1, sizeof *u);

  if (u == NULL)
    return NULL;
  u->nbd.bdev.ops = &own_ops;
  u->name = strdup (options->export_name);
  if (u->name == NULL) {
    free (u);
    return NULL;
  }
  mutex_init (&u->lock);
  u->disconnects = disconnects;
  u->given = u->o = *options;
  u->o.export_name = u->name;
  u->o.log = log_once;
  u->o.give_up = gives_up;
  u->o.opaque = u;
  u->o.ending = (struct ending) { .fn = given_up, .opaque = u };
  if (u->o.fail_fast) {
    u->o.reconnect = u->o.replay_buffer = 0;
    /* A server that hangs must be given up, too. */
    if (u->o.request_timeout == 0)
      u->o.request_timeout = FAIL_FAST_TIMEOUT;
  }
  return &u->nbd.bdev;
}
