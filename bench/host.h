/* SPDX-License-Identifier: BSD-3-Clause */
/* A small stand-in for nbdkit: loads a plugin and lets its callbacks be called
 * directly, so that any two plugins are measured by the same code.
 */

#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <stdint.h>

#ifndef NBDKIT_API_VERSION
#define NBDKIT_API_VERSION 2
#endif
#include <nbdkit-plugin.h>

/* A plugin to be loaded.  path NULL: the yardstick, a plugin built in here
 * that is nothing but a memcpy from and to plain anonymous memory.
 */
struct host_plugin {
  const char *name;             /* for the tables */
  const char *path;             /* of the shared object */
};

/* One connection to one plugin. */
struct host {
  struct nbdkit_plugin p;
  void *handle;
  int64_t size;                 /* bytes */
};

/* What a walk over extents found.  Neighbours of one type count as one, as in
 * nbdkit.
 */
struct nbdkit_extents {
  uint64_t n;                   /* extents */
  uint64_t data;                /* bytes that are neither hole nor zero */
  uint64_t end;                 /* where the last one ends */
  uint32_t type;                /* of the last one */
};

/* Start a plugin with a disk of that size and open it.
 * Returns 0; or -1, and has said why on standard error.
 */
int host_start (struct host *h, const struct host_plugin *plugin,
                uint64_t size);

/* The version that the plugin states; it is loaded for that. */
const char *host_version (const struct host_plugin *plugin);

#endif /* BENCH_HOST_H */
