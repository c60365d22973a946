/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device to be an origin: its content follows from the page numbers, it
 * counts how often each page was read, and it fails, is away and keeps requests
 * waiting on demand.
 */

#ifndef MBLOCK_ORIGIN_BDEV_H
#define MBLOCK_ORIGIN_BDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "ramdisk/disk-origin.h"

struct origin_bdev {
  struct bdev bdev;             /* info may be changed before it is used */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  unsigned *reads;              /* of each page */
  unsigned requests;
  pthread_t reader;             /* set it to count … */
  unsigned reads_of_reader;     /* … the requests of this thread */
  uint64_t bad;                 /* page that cannot be read, or UINT64_MAX */
  bool away;                    /* requests fail with ESHUTDOWN */
  bool all_zeros;               /* block status says so, of all of it */
  bool holds;                   /* requests wait */
  unsigned waiting;             /* requests that do */
  unsigned fail_percent;        /* of requests, at random */
  unsigned seed;
  bool gave_up;
  unsigned closed;              /* how often */
};

struct origin_bdev *origin_bdev (uint64_t size);
void origin_bdev_free (struct origin_bdev *b);

/* What is to be read in a page; each seventh and a run of 40 are zeros. */
void origin_bdev_page (uint64_t page, char *buf);

void origin_bdev_hold (struct origin_bdev *b, bool holds);

/* Wait until so many requests wait. */
void origin_bdev_await (struct origin_bdev *b, unsigned waiting);

/* The source for an origin. */
struct origin_source origin_bdev_source (struct origin_bdev *b);

/* Abort unless what is counted of the origin (O7), which is the only one of its
 * set, is what its cache has.  No other thread may use it.
 */
void origin_check (struct origin *o);

#endif /* MBLOCK_ORIGIN_BDEV_H */
