/* SPDX-License-Identifier: BSD-3-Clause */
/* The local side: what the plugin beneath serves, over nbdkit's nbdkit_next.
 *
 * Each of a plugin's contexts is a local side of its own: a client's, for the
 * thread that nbdkit serves its request with, and one of each pair, for the
 * engine's threads.  nbdkit keeps the plugin's thread model only for clients'
 * requests (it locks before it calls the first filter).  So a lock does it here
 * where the model asks for it; who asks which lock is local_init's caller.
 */

#ifndef MNBD_SIDE_LOCAL_H
#define MNBD_SIDE_LOCAL_H

#include <nbdkit-filter.h>

#include "mutex.h"
#include "side.h"

struct local {
  struct side side;
  nbdkit_next *next;
  struct mutex *lock;           /* held around each request, or NULL */
};

/* Make a local side of a context that is prepared.  It needs no end.
 * Returns 0, or -1 when the plugin has said what is wrong.
 */
int local_init (struct local *l, nbdkit_next *next, struct mutex *lock);

#endif /* MNBD_SIDE_LOCAL_H */
