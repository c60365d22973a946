/* SPDX-License-Identifier: BSD-3-Clause */
/* How many file descriptors the process may have (getrlimit(2),
 * RLIMIT_NOFILE).
 */

#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stdint.h>

/* So many are about to be in use, and more are needed for the rest, as NBD
 * connections: raise the soft limit, if it is lower and may be raised.  Returns
 * UINT64_MAX if it is high enough now; else the limit.
 *
 * Thread-safety: two threads at once may leave the limit that the one of them
 * wanted that wanted less.
 */
uint64_t descriptors_want (uint64_t n);

#endif /* BASE_DESCRIPTORS_H */
