/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them. */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

static const char units[] = "kmgtpe";

/* How many bits a unit shifts by; -1: it is none. */
static int
unit_shift (const char *s)
{
  int c = tolower ((unsigned char) *s);
  const char *unit;

  if (c == '\0' || strcasecmp (s, "b") == 0)
    return 0;
  if (strcasecmp (s, "s") == 0)
    return 9;
  unit = strchr (units, c);
  if (unit == NULL || (s[1] && strcasecmp (s + 1, "b") != 0 &&
                       strcasecmp (s + 1, "ib") != 0))
    return -1;
  return 10 * (unit - units + 1);
}

/* The digits behind a point, as a part of 2^shift: what is below 512 is cut
 * off.  From the last digit to the first, the rest of each division would not
 * change the next one, so the result is exact.
 */
static uint64_t
fraction (const char *digits, unsigned shift)
{
  const char *end = digits + strspn (digits, "0123456789");
  uint64_t part = 0;

  while (end > digits)
    part = (((uint64_t) (*--end - '0') << (shift - 9)) + part) / 10;
  return part << 9;
}

int
size_parse (const char *s, uint64_t *bytes)
{
  const char *digits = NULL;
  char *end;
  uint64_t n, part;
  bool too_much;
  int shift;

  if (!isdigit ((unsigned char) *s)) {
    errno = EINVAL;
    return -1;
  }
  errno = 0;
  n = strtoull (s, &end, 10);
  too_much = errno == ERANGE;
  if (*end == '.') {
    digits = end + 1;
    end += 1 + strspn (digits, "0123456789");
  }
  shift = unit_shift (end);
  if (shift == -1 || (digits && (end == digits || shift < 10))) {
    errno = EINVAL;
    return -1;
  }
  part = digits ? fraction (digits, shift) : 0;
  if (too_much || n > UINT64_MAX >> shift ||
      (n << shift) > UINT64_MAX - part) {
    errno = ERANGE;
    return -1;
  }
  *bytes = (n << shift) + part;
  return 0;
}

const char *
size_format (uint64_t bytes, char buf[SIZE_STRING])
{
  unsigned unit = 0;

  while (unit < 6 && bytes >> 10 * (unit + 1))
    unit++;
  if (unit == 0)
    snprintf (buf, SIZE_STRING, "%" PRIu64, bytes);
  else {
    uint64_t one = UINT64_C (1) << 10 * unit;
    const char *name = &"KMGTPE"[unit - 1];
    double n = (double) bytes / one;

    if (bytes % one == 0)
      snprintf (buf, SIZE_STRING, "%" PRIu64 "%c", bytes / one, *name);
    else if (n >= 1023.95 && unit < 6)  /* it would be rounded to 1024.0 */
      snprintf (buf, SIZE_STRING, "~1.0%c", name[1]);
    else
      snprintf (buf, SIZE_STRING, "~%.1f%c", n, *name);
  }
  return buf;
}
