/* SPDX-License-Identifier: BSD-3-Clause */
/* A small substitute for nbdkit: loads a plugin and calls its callbacks
 * directly, so that any two plugins are measured by the same code.
 */

#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <stdint.h>

#ifndef NBDKIT_API_VERSION
#define NBDKIT_API_VERSION 2
#endif
#include <nbdkit-plugin.h>

/* A plugin to load. path NULL: the yardstick, a built-in plugin that only
 * copies from and to anonymous memory.
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

/* The result of a walk over extents.  Neighbours of one type count as one, as
 * in nbdkit.
 */
struct nbdkit_extents {
  uint64_t n;                   /* extents */
  uint64_t data;                /* bytes that are neither hole nor zero */
  uint64_t end;                 /* where the last one ends */
  uint32_t type;                /* of the last one */
};

/* Start a plugin with a disk of this size, and open it.  Returns 0; or -1 after
 * it has reported the error on standard error.
 */
int host_start (struct host *h, const struct host_plugin *plugin,
                uint64_t size);

/* The version that the plugin reports; it is loaded for that. */
const char *host_version (const struct host_plugin *plugin);

#endif /* BENCH_HOST_H */
