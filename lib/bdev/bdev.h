/* SPDX-License-Identifier: BSD-3-Clause */
/* A side: a disk that requests can be made of, wherever it is.
 *
 * Design
 *
 * The filter puts two disks together: what the plugin beneath serves (the local
 * side) and an export of the upstream server.  The engines that do so, and
 * their tests, see both through this one interface.  What an engine offers to
 * a client is a side again, and so is an export that is only forwarded:
 * filter.c knows how to serve a side, and nothing else.
 *
 *     client -> filter.c -> side of the engine -> local side    -> plugin
 *                                              -> upstream side -> server
 *
 * A side is embedded in a structure of whoever implements it.  `info` is filled
 * in before anybody else sees the side and does not change while it is in use;
 * but see side_connect.
 *
 * Requests.  count is at least 1, and offset + count at most info.size; both
 * are multiples of info.block_min.  Reads and writes are of at most SIDE_MOST
 * bytes; a side cuts what is too large for its server or plugin by itself.
 * What info says that a side cannot do is not asked of it.  Without can_fua no
 * SIDE_FUA is sent, without can_fast_zero no SIDE_FAST_ZERO; who needs to zero
 * a side that cannot writes zeros.
 *
 * Thread-safety: the requests of one side may run on any threads, at the same
 * time.  The local side of a client is for the thread of that client's request
 * (side-local.h).  side_connect, side_disconnect and side_close want to be
 * alone with the side.
 *
 * Errors: -1 with errno.  ESHUTDOWN: the upstream is away.  A side does not log
 * the errors of requests; who makes the request decides that.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_SIDE_H
#define MNBD_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of one read or write: nbdkit's own limit. */
#define SIDE_MOST (UINT32_C (64) << 20)

/* Flags of requests. */
#define SIDE_FUA 1u             /* write, zero, trim: and on stable storage */
#define SIDE_MAY_TRIM 2u        /* zero: may leave a hole */
#define SIDE_FAST_ZERO 4u       /* zero: fail with ENOTSUP rather than write */
#define SIDE_REQ_ONE 8u         /* extents: one extent will do */

/* What an extent is. */
#define SIDE_HOLE 1u
#define SIDE_ZERO 2u            /* reads as zeros */

struct side_info {
  uint64_t size;                /* bytes */
  bool readonly;
  bool can_flush, can_fua, can_trim, can_zero, can_fast_zero, can_cache;
  bool can_extents, can_multi_conn;
  bool rotational;
  uint32_t block_min;           /* bytes; a power of two, at least 1 */
  uint32_t block_preferred, block_max; /* bytes; 0: nobody said */
};

/* Gets one extent at a time, in order and without gaps, from the offset that
 * was asked for and not beyond its end; the last may end before that.
 * Called without any lock.  Returns 0, or -1 with errno.
 */
typedef int (*side_extent_fn) (void *opaque, uint64_t offset, uint64_t length,
                               uint32_t type);

struct side;

struct side_ops {
  int (*read) (struct side *s, void *buf, uint32_t count, uint64_t offset);
  int (*write) (struct side *s, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags);
  int (*zero) (struct side *s, uint32_t count, uint64_t offset,
               uint32_t flags);
  int (*trim) (struct side *s, uint32_t count, uint64_t offset,
               uint32_t flags);
  int (*flush) (struct side *s);
  int (*cache) (struct side *s, uint32_t count, uint64_t offset);
  int (*extents) (struct side *s, uint32_t count, uint64_t offset,
                  uint32_t flags, side_extent_fn fn, void *opaque);
  void (*close) (struct side *s);       /* and free it */
  /* Write, and call meanwhile once, in this thread: while the server works, or
   * at the end.  NULL for a side that cannot.
   */
  int (*write_while) (struct side *s, const void *buf, uint32_t count,
                      uint64_t offset, uint32_t flags,
                      void (*meanwhile) (void *opaque), void *opaque);
  /* Of an upstream side that a pair owns, else NULL. */
  int (*connect) (struct side *s);
  void (*disconnect) (struct side *s);
};

struct side {
  const struct side_ops *ops;
  struct side_info info;
};

static inline int
side_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  return s->ops->read (s, buf, count, offset);
}

static inline int
side_write (struct side *s, const void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  return s->ops->write (s, buf, count, offset, flags);
}

static inline int
side_zero (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  return s->ops->zero (s, count, offset, flags);
}

static inline int
side_trim (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  return s->ops->trim (s, count, offset, flags);
}

static inline int
side_flush (struct side *s)
{
  return s->ops->flush (s);
}

static inline int
side_cache (struct side *s, uint32_t count, uint64_t offset)
{
  return s->ops->cache (s, count, offset);
}

static inline int
side_extents (struct side *s, uint32_t count, uint64_t offset,
              uint32_t flags, side_extent_fn fn, void *opaque)
{
  return s->ops->extents (s, count, offset, flags, fn, opaque);
}

static inline void
side_close (struct side *s)
{
  if (s)
    s->ops->close (s);
}

/* Connect to the upstream, or connect anew: what was there before is dropped.
 * Fills in info with what the server offers now.
 * Returns 0, or -1 with errno; what happened has been logged.
 */
static inline int
side_connect (struct side *s)
{
  return s->ops->connect (s);
}

/* Leave the upstream: all requests fail with ESHUTDOWN until it is connected
 * again.
 */
static inline void
side_disconnect (struct side *s)
{
  s->ops->disconnect (s);
}

#endif /* MNBD_SIDE_H */
