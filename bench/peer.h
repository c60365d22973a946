/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer: one plugin in a process of its own, which does jobs when asked.
 *
 * Each has its own process, so that its memory can be measured, and so that no
 * peer is affected by what another did to the allocator.  Idle peers sleep, so
 * several can be kept and used in turn.
 */

#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host.h"

enum job_kind {
  /* Write the whole disk in order, and check samples of it. */
  JOB_FILL,
  /* Read or write blocks for some seconds.  value[0]: operations a second. */
  JOB_RUN,
  /* Write to n pages of an empty disk, at random, each once.
   * value[0]: writes a second; value[1]: memory used / (n * 4096).
   */
  JOB_MAP,
  /* Trim the whole disk.  value[0]: memory used before; value[1]: after one
   * second, as a part of that; value[2]: seconds until it was under 5 %.
   */
  JOB_TRIM,
  /* Write one page of every n, the last page of the disk too.  A page is
   * block bytes.
   */
  JOB_COMB,
  /* Walk over all extents for some seconds.  value[0]: seconds a walk;
   * value[1]: extents found.
   */
  JOB_EXTENTS,
};

struct job {
  enum job_kind kind;
  unsigned threads;
  uint32_t block;               /* bytes */
  bool write;
  bool random;
  double seconds;
  uint64_t n;
};

struct answer {
  bool ok;
  double value[3];
};

struct peer {
  const struct host_plugin *plugin;
  pid_t pid;
  int fd;
};

/* Start a process in which the plugin has a disk of this size.  Ends the
 * program with a message on failure; so do the next two.
 */
void peer_start (struct peer *p, const struct host_plugin *plugin,
                 uint64_t size);
void peer_stop (struct peer *p);
struct answer peer_do (struct peer *p, const struct job *job);

/* Start a peer for one job. */
struct answer peer_once (const struct host_plugin *plugin, uint64_t size,
                         const struct job *job);

/* Call fn in a process of its own, which fills in n values and returns 0. */
void in_child (int (*fn) (void *arg, double *values), void *arg,
               double *values, unsigned n);

/* This process's resident memory, in bytes. */
double resident (void);

/* Touch this much memory and return it, so that the hypervisor has made it
 * available: on a virtual machine, the very first touch of a page is far
 * slower.
 */
void warm_machine (uint64_t bytes);

/* A small random number generator; state not 0. */
static inline uint64_t
random_next (uint64_t *state)
{
  uint64_t x = *state;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  *state = x;
  return x * UINT64_C (0x2545f4914f6cdd1d);
}

/* 0 <= number < n; n < 2^32 */
static inline uint64_t
random_below (uint64_t *state, uint64_t n)
{
  return (random_next (state) >> 32) * n >> 32;
}

#endif /* BENCH_PEER_H */
