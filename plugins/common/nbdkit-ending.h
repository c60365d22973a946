/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's end, for threads that wait for a server.
 *
 * Thread-safety: any thread may call these functions; they take a lock inside.
 */

#ifndef MBLOCK_NBDKIT_ENDING_H
#define MBLOCK_NBDKIT_ENDING_H

#include <stdbool.h>

#include "nbd/ending.h"

/* Does nbdkit end, or has the client of this thread gone?  For threads that
 * wait for a server to come back (pool_options.give_up).
 */
bool ending_or_client_gone (void *opaque);

/* Does nbdkit end?  For threads that wait for an answer. */
extern const struct ending ending_of_nbdkit;

/* Before the module is unloaded: end the thread that ending_of_nbdkit needs.
 * From now on the answer is yes.  May be called several times.
 */
void ending_stop (void);

#endif /* MBLOCK_NBDKIT_ENDING_H */
