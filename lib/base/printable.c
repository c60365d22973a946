/* SPDX-License-Identifier: BSD-3-Clause */
/* Foreign text, made safe to print. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "base/utf8.h"

static const char cut[] = "…";

/* Characters that are invisible, and change or hide what the reader sees of
 * their neighbours: Unicode's format controls, line separators, and characters
 * that are ignored by default.
 */
static const struct { int32_t first, last; } invisible[] = {
  { 0x80, 0x9f },               /* C1 */
  { 0xad, 0xad },               /* soft hyphen */
  { 0x34f, 0x34f },             /* grapheme joiner */
  { 0x600, 0x605 }, { 0x61c, 0x61c }, { 0x6dd, 0x6dd }, { 0x70f, 0x70f },
  { 0x115f, 0x1160 },           /* fillers that look like blanks */
  { 0x17b4, 0x17b5 },
  { 0x180b, 0x180f },
  { 0x200b, 0x200f },           /* no width; left to right, right to left */
  { 0x2028, 0x202e },           /* lines, paragraphs; embedding, override */
  { 0x2060, 0x206f },           /* no width; isolates */
  { 0x3164, 0x3164 },           /* fillers */
  { 0xfe00, 0xfe0f },           /* selectors of variants */
  { 0xfeff, 0xfeff },           /* byte order mark */
  { 0xffa0, 0xffa0 },
  { 0xfff0, 0xfffb },
  { 0xfffe, 0xffff },           /* no characters */
  { 0x1bca0, 0x1bca3 },
  { 0x1d173, 0x1d17a },
  { 0xe0000, 0x10ffff },        /* tags, selectors, private use */
};

static bool
is_invisible (int32_t c)
{
  size_t i;

  for (i = 0; i < sizeof invisible / sizeof invisible[0]; i++)
    if (c <= invisible[i].last)
      return c >= invisible[i].first;
  return false;
}

int32_t
printable_char (const char **s, bool ascii, char out[PRINTABLE_CHAR])
{
  const char *raw = *s;
  int32_t c = utf8_next (s);
  size_t n = *s - raw;

  if (c == UTF8_INVALID || c < 0x20 || c == 0x7f)
    snprintf (out, PRINTABLE_CHAR, "\\x%02x", (unsigned char) *raw);
  else if (c >= 0x80 && (ascii || is_invisible (c)))
    snprintf (out, PRINTABLE_CHAR, "\\u{%x}", (unsigned) c);
  else {
    memcpy (out, raw, n);
    out[n] = '\0';
  }
  return c;
}

static const char *
escape (const char *s, char *buf, size_t size, bool quoted)
{
  size_t n = 0;                 /* bytes in buf */
  size_t fits = 0;              /* where cut[] can be put */

  while (*s) {
    char out[PRINTABLE_CHAR];
    size_t len;

    if (n + sizeof cut <= size)
      fits = n;
    if (quoted && (*s == '"' || *s == '\\')) {
      out[0] = '\\';
      out[1] = *s++;
      out[2] = '\0';
    }
    else
      printable_char (&s, false, out);
    len = strlen (out);
    if (n + len >= size) {
      strcpy (buf + fits, cut);
      return buf;
    }
    memcpy (buf + n, out, len);
    n += len;
  }
  buf[n] = '\0';
  return buf;
}

const char *
printable (const char *s, char buf[PRINTABLE_STRING])
{
  return escape (s, buf, PRINTABLE_STRING, false);
}

const char *
printable_name (const char *s, char buf[PRINTABLE_STRING])
{
  return escape (s, buf, PRINTABLE_STRING, true);
}

const char *
printable_text (const char *s, char *buf, size_t size)
{
  return escape (s, buf, size, false);
}

char *
printable_line (const char *s)
{
  /* In the worst case each byte becomes \xNN.  A C1 control, two bytes, becomes
   * \u{NN}.
   */
  size_t size = strlen (s) * 4 + 1;
  char *line;

  if (size < PRINTABLE_CHAR)
    size = PRINTABLE_CHAR;
  line = malloc (size);
  if (line)
    escape (s, line, size, false);
  return line;
}
