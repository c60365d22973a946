/* SPDX-License-Identifier: BSD-3-Clause */
/* The pairs, one for each export that the mode concerns; engine.h has their
 * life.  Forwarded exports are no pairs.
 *
 * What is opened here in the plugin beneath is a context without a client, of
 * which nbdkit 1.32 does not tell the plugin the export's name.  mblock's own
 * plugins learn it all the same (export-name.h).
 *
 * Thread-safety: pairs_start and pairs_stop are called by nbdkit's main thread;
 * the rest from any thread, and takes a lock inside.
 */

#ifndef MNBD_PAIRS_H
#define MNBD_PAIRS_H

#include <nbdkit-filter.h>

#include "mutex.h"
#include "side.h"

struct live_pair;

/* The plugin is known, and the model under which nbdkit serves clients.
 * Returns 0, or -1 if there can be no pairs.
 */
int pairs_get_ready (int thread_model);

/* The lock for the local side of a client, or NULL. */
struct mutex *pairs_client_lock (void);

/* Take that lock, if there is one, around what the plugin does otherwise. */
void pairs_lock_plugin (void);
void pairs_unlock_plugin (void);

/* Begin the pair that there is from the start, if there is one. */
int pairs_start (nbdkit_backend *backend);
void pairs_stop (void);

/* By which name the pair of this export goes, if the mode concerns it; else
 * NULL.  A client that says another name for the same disk must not come to it
 * past the engine.
 */
const char *pair_name (const char *export_name);

/* Get the pair of that name; it begins if it has not.  NULL: it cannot be,
 * which has been logged.
 */
struct live_pair *pair_get (nbdkit_backend *backend, const char *name);
void pair_put (struct live_pair *p);

/* What the upstream says of the export, or NULL. */
const char *pair_upstream_description (struct live_pair *p);

/* What a client talks to; local is its own.  NULL: why has been logged. */
struct side *pair_client (struct live_pair *p, struct side *local);

/* The engine of a pair for the control socket: of that export, or with NULL the
 * only one there is.  It stays at least as long as the socket.  NULL: there is
 * none, or there are several.
 */
void *pairs_engine (const char *export_name);

/* Call fn with the name and the engine of each pair. */
void pairs_each (void (*fn) (void *opaque, const char *export_name,
                             void *engine), void *opaque);

#endif /* MNBD_PAIRS_H */
