/* SPDX-License-Identifier: BSD-3-Clause */
/* Block sizes that others have chosen; block-size.h says what is made of
 * them.
 */

#include <config.h>

#include <stdbool.h>

#include "nbd/block-size.h"

/* The limits of nbdkit: its backend refuses any other. */
#define MOST_MINIMUM (UINT32_C (64) << 10)
#define LEAST_PREFERRED UINT32_C (512)
#define MOST_PREFERRED (UINT32_C (32) << 20)
#define NO_MAXIMUM UINT32_MAX

/* What the protocol suggests where nothing is said. */
#define DEFAULT_PREFERRED UINT32_C (4096)

static bool
is_power_of_two (uint32_t n)
{
  return n && (n & (n - 1)) == 0;
}

/* The largest power of two up to n, which is not 0. */
static uint32_t
power_of_two (uint32_t n)
{
  return UINT32_C (1) << (31 - __builtin_clz (n));
}

static uint32_t
most (uint32_t a, uint32_t b)
{
  return a > b ? a : b;
}

static uint32_t
least (uint32_t a, uint32_t b)
{
  return a < b ? a : b;
}

void
block_size_of_server (uint32_t *minimum, uint32_t *preferred,
                      uint32_t *maximum)
{
  (void) preferred;
  if (!is_power_of_two (*minimum))
    *minimum = 0;
  if (*minimum && *maximum != NO_MAXIMUM)
    *maximum -= *maximum % *minimum; /* 0 if it is below the minimum */
}

void
block_size_for_clients (uint32_t *minimum, uint32_t *preferred,
                        uint32_t *maximum)
{
  uint32_t smallest;            /* for the other two */

  if (*minimum == 0 && *preferred == 0 && *maximum == 0)
    return;
  *minimum = is_power_of_two (*minimum) ? least (*minimum, MOST_MINIMUM) : 1;
  smallest = most (*minimum, LEAST_PREFERRED);
  if (*maximum == 0)
    *maximum = NO_MAXIMUM;
  if (*maximum != NO_MAXIMUM)
    *maximum = most (*maximum - *maximum % *minimum, smallest);
  if (*preferred == 0)
    *preferred = DEFAULT_PREFERRED;
  *preferred = power_of_two (least (*preferred, least (MOST_PREFERRED,
                                                       *maximum)));
  *preferred = most (*preferred, smallest);
}
