/* SPDX-License-Identifier: BSD-3-Clause */
/* The upstream side: an export of the upstream server, over a pool
 * (plugins/mnbd/pool.h).
 *
 * Knows nothing of nbdkit.  What can go wrong while connecting is logged by the
 * pool.
 */

#ifndef MNBD_SIDE_UPSTREAM_H
#define MNBD_SIDE_UPSTREAM_H

#include "exports.h"
#include "side.h"

/* A client's way to an export that is only forwarded.  It shares the export's
 * pool with the other clients.  NULL: it could not be connected.
 */
struct side *side_forward (const char *export_name);

/* A pair's own way, which is not connected before side_connect; fail_fast as in
 * engine.h.  NULL: no memory.
 */
struct side *side_upstream (const char *export_name, bool fail_fast);

/* One more user of such a side that is connected, who is told on its own of
 * acknowledged writes that were lost (pool.h, M5).  To be closed before it.
 * NULL: no memory.
 */
struct side *side_upstream_share (struct side *s);

/* Of a pair's own way, from any thread: a number that changes whenever the
 * upstream has answered; and to wait for it no longer, now and later.
 */
uint64_t side_upstream_progress (struct side *s);
void side_upstream_give_up (struct side *s);

/* Of a pair's own way, from any thread: whether the upstream is there, and how
 * often it was lost so far.
 */
uint64_t side_upstream_outage (struct side *s, struct pool_outage *outage);

/* What the upstream says of the export, or NULL. */
const char *side_upstream_description (struct side *s);

#endif /* MNBD_SIDE_UPSTREAM_H */
