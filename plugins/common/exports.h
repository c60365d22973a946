/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream's exports that clients use, for the plugin and for the filter:
 * their pools, their list, and what is said about them.
 *
 * There is one pool for each export of the server that clients use.  It goes
 * with its last client; with shared=true it stays.
 *
 * Thread-safety: exports_start and exports_end are called by nbdkit's main
 * thread; the rest from any thread, and takes a lock inside.
 *
 * What fails is said with nbdkit_error, in one line.
 */

#ifndef MNBD_EXPORTS_H
#define MNBD_EXPORTS_H

#include <stdbool.h>

#include "pool.h"
#include "upstream.h"

struct entry {
  struct entry *next;
  char *name;                   /* of the export */
  unsigned users;
  bool settled;                 /* by exports_end */
  struct pool_options o;
  struct pool *pool;
};

/* Get the pool for an export, and connect it if it is not.  NULL: it cannot be
 * connected.
 */
struct entry *entry_get (const char *name);

/* The last user flushes before the entry goes: another pool for this export
 * must not begin while this one still has writes that it would send again.
 */
void entry_put (struct entry *e);

/* As with nbd: what is shared is connected before the first client comes, or
 * nbdkit does not start.  Returns 0 or -1.
 */
int exports_start (void);
/* What clients have left is flushed, for a limited time. */
void exports_end (void);

/* What the parameters say about the pool of that export, whose name must stay
 * as long as the pool.
 */
struct pool_options exports_options (const char *name);

/* For -v, or for -D mnbd.figures=1. */
void exports_log_figures (const char *name, struct pool *pool);

/* What the first server that answers lists.  Returns 0 or -1. */
int exports_list (upstream_list_fn fn, void *opaque);

/* What the empty name means; lives as long as the connection. */
const char *exports_default (void);

/* Say why a request failed, if it did; errno stays for nbdkit.  Returns r. */
int request_result (int r, const char *what, uint32_t count, uint64_t offset);

#endif /* MNBD_EXPORTS_H */
