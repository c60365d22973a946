/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device: a disk, wherever it is, and the requests to it.
 *
 * Design
 *
 * The filter combines two disks: the one that the plugin beneath serves, and an
 * export of the upstream server.  The engines that do so, and their tests, see
 * both through this interface.  What an engine offers to a client is a device
 * again, and so is an export that is only forwarded.
 *
 *     client -> glue -> device of an engine -> next layer   -> plugin
 *                                           -> NBD client   -> server
 *
 * A struct bdev is the first member of the structure of its implementation,
 * which also creates it: there is no common way to open one.  `info` is filled
 * in before anyone else sees the device, and does not change while it is in
 * use, except in bdev_connect.
 *
 * What all requests have in common
 *
 *   Ranges.  count is in bytes and at least 1, offset in bytes from the disk's
 *   beginning, and offset + count at most info.size.  Both are multiples of
 *   info.block_min.  Reads and writes are of at most BDEV_MOST bytes, the
 *   others of any count; a device cuts by itself what is too large for its
 *   server or plugin.
 *
 *   Capabilities.  Callers ask only for what info offers.  Without can_fua they
 *   send no BDEV_FUA, without can_fast_zero no BDEV_FAST_ZERO, and to a
 *   readonly device no write, zero or trim.  To zero a device that cannot zero,
 *   the caller writes zeros.
 *
 *   Zeros.  A zero request fails with ENOTSUP only if it has BDEV_FAST_ZERO,
 *   and then has changed nothing.  Otherwise, if the server or plugin turns out
 *   to be unable to zero, the device itself writes zeros.
 *
 *   Errors.  Functions return 0, or -1 with errno.  ESHUTDOWN means that the
 *   server is away.  ENOSPC, EIO and others are those of the server or plugin.
 *   A request that failed may have been carried out in part.  A device does not
 *   log errors of requests; its caller decides about that.
 *
 *   Buffers belong to the caller.  The device uses them until the request
 *   returns, or until bdev_write_wait does.
 *
 *   Overlap.  Any number of requests may be in flight.  If two of them concern
 *   the same bytes and one is a write, their order is undefined, and a read may
 *   see the old bytes, the new ones, or some of each.  Callers for whom this
 *   matters keep them apart (ranges.h).  A request that begins after another
 *   has returned sees its effect.
 *
 *   Durability.  A write, zero or trim that has succeeded is on stable storage
 *   if it had BDEV_FUA, or once a flush has succeeded that began after its end.
 *   If a flush fails, everything written since the last successful one may be
 *   lost.
 *
 * Thread-safety
 *   takes no lock:                 bdev_extent_cut; reading info
 *   takes locks inside:            the requests, which any thread may make at
 *                                  any time, on any number of threads
 *   in the thread that started it: bdev_write_wait
 *   no other call at that time:    bdev_connect, bdev_disconnect, bdev_close
 *
 * An implementation may be stricter and say so: a client's device for the next
 * layer may be used only in the thread of that client's request (bdev-next.h).
 * No caller holds a lock during a request that another request might need.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MBLOCK_BDEV_H
#define MBLOCK_BDEV_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "bdev/cuts.h"

/* The most bytes of one read or write: nbdkit's own limit. */
#define BDEV_MOST (UINT32_C (64) << 20)

/* Flags of requests. */
#define BDEV_FUA 1u             /* write, zero, trim: and on stable storage */
#define BDEV_MAY_TRIM 2u        /* zero: may leave a hole */
#define BDEV_FAST_ZERO 4u       /* zero: fail with ENOTSUP rather than write */
#define BDEV_REQ_ONE 8u         /* extents: one extent will do */

/* What an extent is. */
#define BDEV_HOLE 1u
#define BDEV_ZERO 2u            /* reads as zeros */

struct bdev_info {
  uint64_t disk;                /* the same number, the same disk; 0: who
                                 * knows */
  struct cuts cuts;             /* how that was made smaller */
  struct uuid uuid;             /* the same for mramdisk's disks elsewhere;
                                 * none: the server gives none */
  uint64_t size;                /* bytes */
  bool readonly;
  bool can_flush, can_fua, can_trim, can_zero, can_fast_zero, can_cache;
  bool can_extents;
  bool can_multi_conn;          /* a flush of one device of the disk is one of
                                 * all */
  bool rotational;
  uint32_t block_min;           /* bytes; a power of two, at least 1 */
  uint32_t block_preferred, block_max; /* bytes; 0: nobody said */
};

/* Receives one extent at a time, in order and without gaps, from the requested
 * offset on. offset and length are in bytes; type is a set of BDEV_HOLE and
 * BDEV_ZERO.  Extents are whole blocks of info.block_min, except at the end of
 * the disk.  The last one may end before the end of the request, or after it; a
 * caller for whom that would be wrong cuts it (bdev_extent_cut).  Called in the
 * thread of the request, without any lock.  Returns 0, or -1 with errno, which
 * becomes the result of the request.
 */
typedef int (*bdev_extent_fn) (void *opaque, uint64_t offset, uint64_t length,
                               uint32_t type);

/* How much of a device one block status request asks about.  While replies are
 * short it grows, so that a device with few extents is asked seldom, however
 * large it is; and a reply has no more than some thousands of extents more than
 * the one before.
 */
#define BDEV_MAP_LEAST (UINT64_C (1) << 30) /* bytes; whole blocks */
#define BDEV_MAP_MOST (UINT64_C (1) << 62)
#define BDEV_MAP_SHORT 1024     /* extents */

/* The next value after a reply with n extents. */
static inline uint64_t
bdev_map_next (uint64_t bytes, uint64_t n)
{
  if (n > BDEV_MAP_SHORT)
    return BDEV_MAP_LEAST;
  return bytes < BDEV_MAP_MOST ? bytes * 2 : bytes;
}

/* The length of the part of an extent that lies before end.  The extent begins
 * before end.
 */
static inline uint64_t
bdev_extent_cut (uint64_t offset, uint64_t length, uint64_t end)
{
  return length < end - offset ? length : end - offset;
}

/* A write between its start and its end, in the caller's memory, usually on the
 * stack.  It needs no initialisation.
 */
#define BDEV_WRITE_ROOM 1024

struct bdev_write {
  int error;                    /* what is known of it; the device's */
  _Alignas (max_align_t) unsigned char room[BDEV_WRITE_ROOM]; /* likewise */
};

struct bdev;

/* The operations of a device.  The functions below, which call them, say what
 * they mean.
 */
struct bdev_ops {
  int (*read) (struct bdev *b, void *buf, uint32_t count, uint64_t offset);
  int (*write) (struct bdev *b, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags);
  /* Both or neither.  If NULL, the start performs the write and the wait
   * returns its result.
   */
  void (*write_start) (struct bdev *b, struct bdev_write *w, const void *buf,
                       uint32_t count, uint64_t offset, uint32_t flags);
  int (*write_wait) (struct bdev *b, struct bdev_write *w);
  int (*zero) (struct bdev *b, uint32_t count, uint64_t offset,
               uint32_t flags);
  int (*trim) (struct bdev *b, uint32_t count, uint64_t offset,
               uint32_t flags);
  int (*flush) (struct bdev *b);
  int (*cache) (struct bdev *b, uint32_t count, uint64_t offset);
  int (*extents) (struct bdev *b, uint64_t count, uint64_t offset,
                  uint32_t flags, bdev_extent_fn fn, void *opaque);
  void (*close) (struct bdev *b);
  /* NULL if the device is always connected. */
  int (*connect) (struct bdev *b);
  void (*disconnect) (struct bdev *b);
};

struct bdev {
  const struct bdev_ops *ops;
  struct bdev_info info;
};

/* Read count bytes at offset into buf.  After an error, the content of buf is
 * undefined.
 */
static inline int
bdev_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  return b->ops->read (b, buf, count, offset);
}

/* Write.  flags: 0 or BDEV_FUA. */
static inline int
bdev_write (struct bdev *b, const void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  return b->ops->write (b, buf, count, offset, flags);
}

/* bdev_write in two steps, so that one thread can have writes to two devices in
 * flight.  The start returns as soon as the device works on the write or knows
 * that it fails, or when it is done, if the device has no other way.  Like any
 * request, it may have to wait first.  Errors are returned by the wait.
 *
 * Each start is followed by one wait.  In between
 *   - w does not move, and buf stays as it is;
 *   - the thread makes no other request to this device, nor to one that shares
 *     its connections: a request that overlaps the write may wait for it.
 * Requests of other threads do not wait for this thread, however late it calls
 * the wait.
 */
static inline void
bdev_write_start (struct bdev *b, struct bdev_write *w, const void *buf,
                  uint32_t count, uint64_t offset, uint32_t flags)
{
  if (b->ops->write_start)
    b->ops->write_start (b, w, buf, count, offset, flags);
  else
    w->error = bdev_write (b, buf, count, offset, flags) == -1 ? errno : 0;
}

/* Wait until the write has ended, and return its result. */
static inline int
bdev_write_wait (struct bdev *b, struct bdev_write *w)
{
  if (b->ops->write_wait)
    return b->ops->write_wait (b, w);
  errno = w->error;
  return w->error ? -1 : 0;
}

/* Zero the bytes. flags: BDEV_FUA, BDEV_MAY_TRIM, BDEV_FAST_ZERO.  With the
 * last, ENOTSUP or EOPNOTSUPP means that nothing was done.
 */
static inline int
bdev_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  return b->ops->zero (b, count, offset, flags);
}

/* The bytes are no longer needed: the device chooses what they read as
 * afterwards. flags: 0 or BDEV_FUA.
 */
static inline int
bdev_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  return b->ops->trim (b, count, offset, flags);
}

/* When this returns 0, everything whose write had ended before it began is on
 * stable storage.
 */
static inline int
bdev_flush (struct bdev *b)
{
  return b->ops->flush (b);
}

/* Prefetch: the bytes will be read soon. */
static inline int
bdev_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  return b->ops->cache (b, count, offset);
}

/* Block status. flags: 0 or BDEV_REQ_ONE. fn is called for at least one extent,
 * unless there is an error; it may have been called even then.  A device
 * reports as much of a large request as it can ask for at a time.
 */
static inline int
bdev_extents (struct bdev *b, uint64_t count, uint64_t offset,
              uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  return b->ops->extents (b, count, offset, flags, fn, opaque);
}

/* Close a device, and free it if it was allocated separately.  NULL is allowed.
 * No request may be in flight.
 */
static inline void
bdev_close (struct bdev *b)
{
  if (b)
    b->ops->close (b);
}

/* Only for devices that have these two.
 *
 * Connect to the server, or reconnect: an existing connection is dropped.
 * Fills in info with what the server offers now.  Returns 0, or -1 with errno;
 * the reason has been logged.
 */
static inline int
bdev_connect (struct bdev *b)
{
  return b->ops->connect (b);
}

/* Disconnect from the server: all requests fail with ESHUTDOWN until
 * bdev_connect.
 */
static inline void
bdev_disconnect (struct bdev *b)
{
  b->ops->disconnect (b);
}

#endif /* MBLOCK_BDEV_H */
