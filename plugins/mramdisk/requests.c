/* SPDX-License-Identifier: BSD-3-Clause */
/* mramdisk: the data path, from nbdkit's callbacks to the engine. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/printable.h"
#include "base/size.h"
#include "buffers.h"
#include "loglimit.h"
#include "parameters.h"
#include "plugin-parts.h"
#include "plugins/common/newer-nbdkit.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"

struct log_limit log_limit;

void
log_missed (uint64_t n)
{
  if (n > 0)
    nbdkit_error ("%" PRIu64 " more failures: at most %d a second are logged",
                  n, LOG_LIMIT_LINES);
}

static const char *const stat_names[] = {
  [STAT_READ] = "read", [STAT_WRITE] = "write", [STAT_ZERO] = "zero",
  [STAT_TRIM] = "trim", [STAT_FLUSH] = "flush", [STAT_CACHE] = "cache",
  [STAT_EXTENTS] = "block status",
};

const char *
error_text (int err, char buf[ERROR_STRING])
{
  if (err != ENOSPC)
    return strerror (err);
  err = arena_space_error (arena);
  if (err)
    snprintf (buf, ERROR_STRING, "no space for arena=: %s", strerror (err));
  else
    snprintf (buf, ERROR_STRING, "max-memory=%s is reached", max_memory);
  return buf;
}

/* The reason for the log, of a request that failed with this errno. */
static const char *
reason (int err, bool inside, char buf[ERROR_STRING])
{
  if (err == EDQUOT)
    return "the disk's quota is reached";
  if (err == EMSGSIZE) {
    char size[SIZE_STRING];

    snprintf (buf, ERROR_STRING, "over max-request=%s, and no memory is "
              "left for the excess", size_format (config.max_request, size));
    return buf;
  }
  if ((err == ENOSPC || err == EINVAL) && !inside)
    return "past the end of the disk";
  if (err == EINVAL)
    return "not a multiple of the sector size";
  if (err == EIO)
    return "the origin cannot be read";
  return error_text (err, buf);
}

/* Log why a request failed, and set errno for nbdkit. */
static int
failed (struct stats_timer *timer, struct named_disk *d, enum stat_kind what,
        uint32_t count, uint64_t offset)
{
  int err = errno;
  bool inside = offset + count <= disk_size (d->disk);
  char name[PRINTABLE_STRING], why[ERROR_STRING];
  enum stat_error error = STAT_OTHER;
  uint64_t missed;

  if (err == EDQUOT) {
    error = STAT_QUOTA;
    registry_quota_reached (registry, d);
  }
  else if (err == ENOSPC && inside)
    error = STAT_NO_MEMORY;
  if (log_limit_line (&log_limit, &missed)) {
    log_missed (missed);
    nbdkit_error ("disk \"%s\": %s of %" PRIu32 " bytes at %" PRIu64 ": %s",
                  printable_name (d->name, name), stat_names[what], count,
                  offset, reason (err, inside, why));
  }
  stats_done (timer, what, count, error);
  errno = err == EDQUOT ? ENOSPC : err == EMSGSIZE ? EINVAL : err;
  return -1;
}

/* Count a request that has ended. */
static int
done (struct stats_timer *timer, struct named_disk *d, enum stat_kind what,
      uint32_t count, uint64_t offset, int r)
{
  if (r == -1)
    return failed (timer, d, what, count, offset);
  stats_done (timer, what, count, STAT_OK);
  return 0;
}

/* Return the whole pages of a buffer to the system: its content is no longer
 * needed.
 */
static void
drop_buffer (const void *buf, uint32_t count)
{
  uintptr_t page = sysconf (_SC_PAGESIZE);
  uintptr_t start = ((uintptr_t) buf + page - 1) & -page;
  uintptr_t end = ((uintptr_t) buf + count) & -page;

  if (start < end)
    (void) madvise ((void *) start, end - start, MADV_DONTNEED);
}

/* A request that is larger than announced is refused if there are too many of
 * them.  Returns 0, or -1 with errno EMSGSIZE.
 */
static int __attribute__ ((noinline))
take_large (struct registry_client *c, struct stats_timer *timer, uint32_t count,
            const void *buf, bool write)
{
  if (timer->shard &&
      buffers_grant (&buffers, count, &timer->shard->excess, &c->excess))
    return 0;
  /* After an error, the content of a read buffer is undefined.  A filter may
   * still need the content of a write.
   */
  if (!write || !filtered)
    drop_buffer (buf, count);
  errno = EMSGSIZE;
  return -1;
}

/* Where the client's socket could not be shut down (client-sockets.h), nbdkit
 * ends the connection, if it has a function for that.  It works only in a
 * thread that serves a request of the client.  With an older nbdkit, the
 * requests fail.
 */
static void __attribute__ ((noinline))
end_client (enum registry_end how)
{
  if (nbdkit_disconnect)
    nbdkit_disconnect (how == CLIENT_LEAVES_AT_ONCE);
  errno = ESHUTDOWN;
}

/* Has an operator disconnected the client? */
static inline bool
is_ended (struct registry_client *c)
{
  enum registry_end how = atomic_load_explicit (&c->ended,
                                                memory_order_relaxed);

  if (__builtin_expect (how == CLIENT_STAYS, true))
    return false;
  end_client (how);
  return true;
}

static inline int
check_size (struct registry_client *c, struct stats_timer *timer, uint32_t count,
            const void *buf, bool write)
{
  if (is_ended (c))
    return -1;
  if (__builtin_expect (count > config.max_request, false))
    return take_large (c, timer, count, buf, write);
  return 0;
}

int
mramdisk_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
                uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;
  int r;

  (void) flags;
  stats_start (c->stats, &timer);
  r = check_size (c, &timer, count, buf, false);
  if (r == 0)
    r = disk_read (c->d->disk, buf, count, offset);
  return done (&timer, c->d, STAT_READ, count, offset, r);
}

int
mramdisk_pwrite (void *handle, const void *buf, uint32_t count,
                 uint64_t offset, uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;
  int r;

  (void) flags;                 /* FUA: there is nothing more durable */
  stats_start (c->stats, &timer);
  r = check_size (c, &timer, count, buf, true);
  if (r == -1)
    ;
  else if (config.detect_zeroes)
    r = disk_write_detect (c->d->disk, buf, count, offset);
  else
    r = disk_write (c->d->disk, buf, count, offset);
  return done (&timer, c->d, STAT_WRITE, count, offset, r);
}

int
mramdisk_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;

  stats_start (c->stats, &timer);
  return done (&timer, c->d, STAT_ZERO, count, offset, is_ended (c) ? -1 :
               disk_zero (c->d->disk, count, offset,
                          flags & NBDKIT_FLAG_MAY_TRIM));
}

int
mramdisk_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;

  (void) flags;
  stats_start (c->stats, &timer);
  return done (&timer, c->d, STAT_TRIM, count, offset, is_ended (c) ? -1 :
               disk_trim (c->d->disk, count, offset));
}

/* Everything is in memory: just count it. */
int
mramdisk_flush (void *handle, uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;

  (void) flags;
  stats_start (c->stats, &timer);
  return done (&timer, c->d, STAT_FLUSH, 0, 0, is_ended (c) ? -1 : 0);
}

int
mramdisk_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct registry_client *c = handle;
  struct stats_timer timer;

  (void) flags;
  stats_start (c->stats, &timer);
  return done (&timer, c->d, STAT_CACHE, count, offset, is_ended (c) ? -1 :
               disk_fetch (c->d->disk, count, offset));
}

struct extents_request {
  struct nbdkit_extents *extents;
  uint64_t end;                 /* where extents are cut */
  bool one;
};

static int
add_extent (void *opaque, uint64_t offset, uint64_t length,
            enum extent_type type)
{
  static const uint32_t types[] = {
    [EXTENT_DATA] = 0,
    [EXTENT_ZERO] = NBDKIT_EXTENT_ZERO,
    [EXTENT_HOLE] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
  };
  struct extents_request *req = opaque;

  if (offset >= req->end)
    return 1;
  if (length > req->end - offset)
    length = req->end - offset;
  if (nbdkit_add_extent (req->extents, offset, length, types[type]) == -1)
    return -1;
  return req->one;
}

int
mramdisk_extents (void *handle, uint32_t count, uint64_t offset,
                  uint32_t flags, struct nbdkit_extents *extents)
{
  struct registry_client *c = handle;
  uint32_t sector = c->d->disk->sector_size;
  struct extents_request req = {
    extents, UINT64_MAX, flags & NBDKIT_FLAG_REQ_ONE
  };
  struct stats_timer timer;

  /* Extents continue beyond the range as far as they are known, so that a hole
   * of 2^60 bytes is one extent for filters.  There are two exceptions.  An
   * extent of 4 GiB or more is sent as one of 2^32-1 bytes, which is not a
   * multiple of a sector; a client that continued there would be refused.  And
   * one in the reply to a request for exactly 2^32-1 bytes fails an assertion
   * of nbdkit 1.32, which ends the server.
   */
  if (sector > 1 || count == UINT32_MAX)
    req.end = offset + UINT32_MAX / sector * sector;

  stats_start (c->stats, &timer);
  return done (&timer, c->d, STAT_EXTENTS, count, offset, is_ended (c) ? -1 :
               disk_extents (c->d->disk, count, offset, add_extent, &req));
}
