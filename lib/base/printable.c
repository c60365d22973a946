/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and values that others chose, in messages of one line. */

#include <config.h>

#include <string.h>

#include "printable.h"

static const char digits[] = "0123456789abcdef";
static const char cut[] = "…";

/* Does a byte continue a UTF-8 sequence? */
static int
continues (char c)
{
  return ((unsigned char) c & 0xc0) == 0x80;
}

const char *
printable (const char *s, char buf[PRINTABLE_STRING])
{
  size_t n = 0;                 /* bytes in buf */
  size_t fits = 0;              /* where cut[] can be put */

  for (; *s; s++) {
    unsigned char c = *s;
    char out[5] = { *s };

    if (c < 0x20 || c == 0x7f) {
      out[0] = '\\';
      out[1] = 'x';
      out[2] = digits[c >> 4];
      out[3] = digits[c & 15];
    }
    if (!continues (*s) && n + sizeof cut <= PRINTABLE_STRING)
      fits = n;
    if (n + strlen (out) >= PRINTABLE_STRING) {
      strcpy (buf + fits, cut);
      return buf;
    }
    strcpy (buf + n, out);
    n += strlen (out);
  }
  buf[n] = '\0';
  return buf;
}
