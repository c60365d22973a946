/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8. */

#include <config.h>

#include "base/utf8.h"

/* The first byte says how many follow.  No other byte begins a character. */
static const struct {
  unsigned char first, last;
  unsigned following;
  int32_t least;                /* smaller ones are overlong */
} forms[] = {
  { 0x00, 0x7f, 0, 0 },
  { 0xc2, 0xdf, 1, 0x80 },
  { 0xe0, 0xef, 2, 0x800 },
  { 0xf0, 0xf4, 3, 0x10000 },
};

int32_t
utf8_next (const char **s)
{
  const unsigned char *p = (const unsigned char *) (*s)++;
  unsigned form, i;
  int32_t c;

  for (form = 0; form < sizeof forms / sizeof forms[0]; form++)
    if (*p >= forms[form].first && *p <= forms[form].last)
      break;
  if (form == sizeof forms / sizeof forms[0])
    return UTF8_INVALID;
  if (form == 0)
    return *p;
  c = *p & (0x3f >> forms[form].following);
  /* The terminating NUL ends the loop: it is no continuation byte. */
  for (i = 1; i <= forms[form].following; i++) {
    if ((p[i] & 0xc0) != 0x80)
      return UTF8_INVALID;
    c = c << 6 | (p[i] & 0x3f);
  }
  if (c < forms[form].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
    return UTF8_INVALID;
  *s += forms[form].following;
  return c;
}

bool
utf8_is_valid (const char *s)
{
  while (*s)
    if (utf8_next (&s) == UTF8_INVALID)
      return false;
  return true;
}

char *
utf8_mend (char *s)
{
  const char *p = s;

  while (*p) {
    char *at = s + (p - s);

    if (utf8_next (&p) == UTF8_INVALID)
      *at = '?';
  }
  return s;
}
