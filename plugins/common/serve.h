/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's callbacks for a client that is served from a block device (bdev.h):
 * what the mnbd plugin and the filter have in common.
 *
 * The functions can be used directly as a plugin's callbacks, with a struct
 * serve as the handle.  Failures are reported with nbdkit_error, in one line,
 * and errno is left for nbdkit.
 *
 * Thread-safety: as for the device.
 */

#ifndef MBLOCK_SERVE_H
#define MBLOCK_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"

struct nbdkit_extents;

struct serve {
  struct bdev *bdev;
  bool quiet;                   /* the plugin beneath reports failures */
};

int64_t serve_get_size (void *serve);
int serve_block_size (void *serve, uint32_t *minimum, uint32_t *preferred,
                      uint32_t *maximum);
int serve_can_write (void *serve);
int serve_can_flush (void *serve);
int serve_can_trim (void *serve);
int serve_can_zero (void *serve);
int serve_can_fast_zero (void *serve);
int serve_can_extents (void *serve);
int serve_can_fua (void *serve);
int serve_can_cache (void *serve);
int serve_can_multi_conn (void *serve);
int serve_is_rotational (void *serve);

int serve_pread (void *serve, void *buf, uint32_t count, uint64_t offset,
                 uint32_t flags);
int serve_pwrite (void *serve, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags);
/* "Not fast" is an answer, not an error, so it is not reported.  If a server or
 * plugin turns out not to zero, the device itself writes zeros (bdev.h).
 */
int serve_zero (void *serve, uint32_t count, uint64_t offset, uint32_t flags);
int serve_trim (void *serve, uint32_t count, uint64_t offset, uint32_t flags);
int serve_flush (void *serve, uint32_t flags);
int serve_cache (void *serve, uint32_t count, uint64_t offset,
                 uint32_t flags);
int serve_extents (void *serve, uint32_t count, uint64_t offset,
                   uint32_t flags, struct nbdkit_extents *list);

#endif /* MBLOCK_SERVE_H */
