/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of mramdisk's control socket, for which mblock-control(7) is the
 * reference.  Knows nothing of nbdkit.
 *
 * Thread-safety: the control socket's thread calls them, one at a time; but
 * those that are slow have threads of their own.
 */

#ifndef MRAMDISK_METHODS_H
#define MRAMDISK_METHODS_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "control.h"
#include "jsonrpc.h"
#include "registry.h"

/* Goes up when a client that was right before may be wrong. */
#define METHODS_PROTOCOL 1

/* What the methods work on. */
struct service {
  struct arena *arena;
  struct registry *registry;
  struct control *control;      /* set once it listens */
  const char *default_name;     /* what NBD's empty export name means */
  uint64_t started;             /* CLOCK_MONOTONIC, seconds */
  bool low;                     /* memory is; the control thread's */
};

extern const struct jsonrpc_method mramdisk_methods[];

/* Put the time of the start into it. */
void methods_started (struct service *s);

#endif /* MRAMDISK_METHODS_H */
