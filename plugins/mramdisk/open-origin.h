/* SPDX-License-Identifier: BSD-3-Clause */
/* Origins by their URIs: a remote becomes the source of an origin.
 *
 * Thread-safety: any thread may call it.
 */

#ifndef MRAMDISK_OPEN_ORIGIN_H
#define MRAMDISK_OPEN_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "ramdisk/disk-origin.h"
#include "remote.h"
#include "service.h"

/* The slowest prefetch, in bytes a second. */
#define LEAST_PREFETCH_RATE (UINT64_C (64) << 10)

struct origin_request {
  const char *uri;
  bool prefetch;
  uint64_t prefetch_rate;       /* bytes a second; 0: no limit */
};

/* nbdkit serves clients from here on: .after_fork. */
void open_origin_serves (void);

/* Connect to the server; tries once.  Returns an origin with one reference, or
 * NULL with errno, and says in why what happened: one line, escaped, that
 * begins with the URI.
 */
struct origin *open_origin (struct service *s,
                            const struct origin_request *request,
                            char why[REMOTE_WHY]);

/* Have origins that are recovered from arena= connect when they are needed. */
void open_origin_later (struct service *s);

#endif /* MRAMDISK_OPEN_ORIGIN_H */
