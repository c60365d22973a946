/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them: "10G", "1.5GiB", "512k", "4096".  Thread-safe. */

#ifndef MBLOCK_SIZE_H
#define MBLOCK_SIZE_H

#include <stdint.h>

/* Read a size in bytes: decimal digits and at most one unit of
 *   b (bytes), s (sectors of 512), k, M, G, T, P, E (powers of 1024)
 * in upper or lower case, as nbdkit and qemu-img have them.  A power may be
 * written with B or iB too: 10G, 10GB and 10GiB are the same.  It may have a
 * fraction, 1.5G, which is rounded down to a multiple of 512 bytes.
 * Returns 0, or -1 with errno EINVAL (not of this form) or ERANGE (over
 * 2^64-1).
 */
int size_parse (const char *s, uint64_t *bytes);

/* Format a size for people: exactly if it is a whole number of a unit ("16M",
 * "4097"), else with one decimal of the largest unit that fits and a mark that
 * it is rounded ("~1.5G").
 */
#define SIZE_STRING 24
const char *size_format (uint64_t bytes, char buf[SIZE_STRING]);

#endif /* MBLOCK_SIZE_H */
