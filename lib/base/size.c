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

#include "size.h"

static const char units[] = "kmgtpe";

int
size_parse (const char *s, uint64_t *bytes)
{
  unsigned shift = 0;
  char *end;
  uint64_t n;

  if (!isdigit ((unsigned char) *s)) {
    errno = EINVAL;
    return -1;
  }
  errno = 0;
  n = strtoull (s, &end, 10);
  if (errno)
    return -1;
  if (*end) {
    int c = tolower ((unsigned char) *end);
    const char *unit = strchr (units, c);

    if (end[1] || (unit == NULL && c != 'b' && c != 's')) {
      errno = EINVAL;
      return -1;
    }
    shift = c == 'b' ? 0 : c == 's' ? 9 : 10 * (unit - units + 1);
  }
  if (n > UINT64_MAX >> shift) {
    errno = ERANGE;
    return -1;
  }
  *bytes = n << shift;
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
