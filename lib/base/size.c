/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them. */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
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
 * off.
 */
static uint64_t
fraction (const char *digits, unsigned shift)
{
  const char *end = digits;
  long double f = 0;

  while (isdigit ((unsigned char) *end))
    end++;
  while (end > digits)
    f = (f + (*--end - '0')) / 10;
  return (uint64_t) (f * (UINT64_C (1) << shift)) & ~UINT64_C (511);
}

int
size_parse (const char *s, uint64_t *bytes)
{
  const char *digits = NULL;
  char *end;
  uint64_t n, part;
  int shift;

  if (!isdigit ((unsigned char) *s)) {
    errno = EINVAL;
    return -1;
  }
  errno = 0;
  n = strtoull (s, &end, 10);
  if (errno)
    return -1;
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
  if (n > UINT64_MAX >> shift || (n << shift) > UINT64_MAX - part) {
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
    char name = "KMGTPE"[unit - 1];

    if (bytes % one == 0)
      snprintf (buf, SIZE_STRING, "%" PRIu64 "%c", bytes / one, name);
    else
      snprintf (buf, SIZE_STRING, "~%.1f%c", (double) bytes / one, name);
  }
  return buf;
}
