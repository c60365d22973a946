/* SPDX-License-Identifier: BSD-3-Clause */
/* What the methods and the events of the control socket work on. */

#ifndef MRAMDISK_SERVICE_H
#define MRAMDISK_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "ramdisk/arena.h"
#include "ramdisk/registry.h"
#include "rpc/server.h"

struct jobs;
struct origins;
struct remote_host;
struct saves;
struct unfinished;

struct service {
  struct arena *arena;
  struct registry *registry;
  struct control *control;      /* set once it listens */
  const char *default_name;     /* what NBD's empty export name means */
  const char *arena_path;       /* the file that the arena is in, or NULL */
  struct recovery recovery;     /* how it was recovered */
  uint64_t started;             /* CLOCK_MONOTONIC, seconds */
  /* Disconnect the client with that socket (registry.h).  Returns false if
   * that cannot be done.
   */
  bool (*disconnect) (uint64_t socket, bool at_once);
  struct jobs *jobs;
  const struct remote_host *remote_host; /* for remotes */
  struct origins *origins;
  struct saves *saves;
  struct unfinished *unfinished;        /* pushes */
  /* Used by the control thread: memory is low; a client has subscribed, and
   * shall hear again of the quotas of which little is left.
   */
  bool low, quotas_again;
};

#endif /* MRAMDISK_SERVICE_H */
