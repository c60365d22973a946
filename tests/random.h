/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers for the test programs: xorshift64 (G. Marsaglia, "Xorshift
 * RNGs", 2003).  The same seed gives the same numbers, so that a failure can be
 * repeated.
 */

#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

/* The next number.  *state must not be 0, and is the caller's: one for each
 * thread.
 */
static inline uint64_t
xorshift (uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* A number from 0 to n - 1. */
static inline uint64_t
xorshift_below (uint64_t *state, uint64_t n)
{
  return (xorshift (state) >> 11) % n;
}

#endif /* TESTS_RANDOM_H */
