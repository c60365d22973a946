/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them: "10G", "512k", "4096".  Thread-safe. */

#ifndef MBLOCK_SIZE_H
#define MBLOCK_SIZE_H

#include <stdint.h>

/* Read a size in bytes: decimal digits and at most one suffix of
 *   b (bytes), s (sectors of 512), k, M, G, T, P, E (powers of 1024)
 * in upper or lower case, as nbdkit and qemu-img have them.
 * Returns 0, or -1 with errno EINVAL (not of this form) or ERANGE (over
 * 2^64-1).
 */
int size_parse (const char *s, uint64_t *bytes);

/* Write a size for people to read: exact if it is a whole number of a unit
 * ("16M", "4097"), else with one decimal of the largest unit that fits, marked
 * as about ("~1.5G").
 */
#define SIZE_STRING 24
const char *size_format (uint64_t bytes, char buf[SIZE_STRING]);

#endif /* MBLOCK_SIZE_H */
