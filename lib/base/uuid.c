/* SPDX-License-Identifier: BSD-3-Clause */
/* UUIDs.  uuid.h has the contract. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/uuid.h"

/* What comes before the UUID in a description. */
#define WORD "UUID "

int
uuid_new (struct uuid *u)
{
  ssize_t r;

  /* So few bytes come at once, or, before the system has any, not at all. */
  do
    r = getrandom (u->byte, sizeof u->byte, 0);
  while (r == -1 && errno == EINTR);
  if (r != sizeof u->byte)
    return -1;
  u->byte[6] = (u->byte[6] & 0x0f) | 0x40;      /* version 4 */
  u->byte[8] = (u->byte[8] & 0x3f) | 0x80;      /* the RFC's variant */
  return 0;
}

bool
uuid_equal (const struct uuid *a, const struct uuid *b)
{
  return memcmp (a->byte, b->byte, sizeof a->byte) == 0;
}

bool
uuid_is_set (const struct uuid *u)
{
  static const struct uuid none;

  return !uuid_equal (u, &none);
}

bool
uuid_differ (const struct uuid *a, const struct uuid *b)
{
  return uuid_is_set (a) && uuid_is_set (b) && !uuid_equal (a, b);
}

/* Whether a hyphen comes before this byte. */
static bool
follows_hyphen (unsigned i)
{
  return i == 4 || i == 6 || i == 8 || i == 10;
}

const char *
uuid_format (const struct uuid *u, char buf[UUID_STRING])
{
  char *p = buf;
  unsigned i;

  for (i = 0; i < UUID_BYTES; i++)
    p += sprintf (p, "%s%02x", follows_hyphen (i) ? "-" : "", u->byte[i]);
  return buf;
}

/* The value of a hexadecimal digit in any locale, or -1. */
static int
digit (char c)
{
  static const char digits[] = "0123456789abcdefABCDEF";
  const char *p = c ? strchr (digits, c) : NULL;

  if (p == NULL)
    return -1;
  return p - digits < 16 ? p - digits : p - digits - 6;
}

bool
uuid_parse (const char *text, struct uuid *u)
{
  unsigned i;

  memset (u, 0, sizeof *u);
  for (i = 0; i < UUID_BYTES; i++) {
    int high, low;

    if (follows_hyphen (i) && *text++ != '-')
      break;
    high = digit (text[0]);
    low = high == -1 ? -1 : digit (text[1]);
    if (low == -1)
      break;
    u->byte[i] = high << 4 | low;
    text += 2;
  }
  if (i == UUID_BYTES && digit (*text) == -1 && *text != '-' &&
      uuid_is_set (u))
    return true;
  memset (u, 0, sizeof *u);
  return false;
}

bool
uuid_find (const char *description, struct uuid *u)
{
  const char *p = description;

  for (; (p = strstr (p, WORD)) != NULL; p++)
    if ((p == description || p[-1] == ' ') &&
        uuid_parse (p + strlen (WORD), u))
      return true;
  memset (u, 0, sizeof *u);
  return false;
}
