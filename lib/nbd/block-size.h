/* SPDX-License-Identifier: BSD-3-Clause */
/* Block sizes that others have chosen, made such as can be used and announced.
 * In bytes; 0 says that there is none.
 */

#ifndef MNBD_BLOCK_SIZE_H
#define MNBD_BLOCK_SIZE_H

#include <stdint.h>

/* What a server has said.  A minimum that is no power of two is none.
 * A maximum that cannot be one is none; else it is cut to a multiple of the
 * minimum.  The preferred size is left alone.
 */
void block_size_of_server (uint32_t *minimum, uint32_t *preferred,
                           uint32_t *maximum);

/* What clients may be told: within the limits of nbdkit, which lets no client
 * in otherwise.  The preferred size is a hint, so it gives way to the others.
 * Too small a maximum is raised: what is larger than the server's is split.  If
 * none of the three is given, none is told.
 */
void block_size_for_clients (uint32_t *minimum, uint32_t *preferred,
                             uint32_t *maximum);

#endif /* MNBD_BLOCK_SIZE_H */
