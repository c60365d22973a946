/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for people: names made safe to show, widths in columns, numbers. */

#include <config.h>

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "mblockctl.h"
#include "size.h"
#include "text.h"

bool text_utf8;

void
text_init (void)
{
  setlocale (LC_CTYPE, "");
  text_utf8 = strcmp (nl_langinfo (CODESET), "UTF-8") == 0;
}

char *
text_format (const char *fmt, ...)
{
  va_list args;
  char *s;

  va_start (args, fmt);
  if (vasprintf (&s, fmt, args) == -1)
    abort ();
  va_end (args);
  return s;
}

/* Take one character off a UTF-8 string.  Returns its code point, or -1 for a
 * byte that begins none.  glibc's wchar_t is the code point in any locale, but
 * mbrtowc(3) reads UTF-8 only in some.
 */
static int32_t
next_char (const char **s)
{
  const unsigned char *p = (const unsigned char *) *s;
  unsigned more = *p < 0x80 ? 0 : *p < 0xc2 ? 4 : *p < 0xe0 ? 1 :
    *p < 0xf0 ? 2 : *p < 0xf5 ? 3 : 4;
  int32_t c;
  unsigned i;

  (*s)++;
  if (more == 0)
    return *p;
  if (more == 4)
    return -1;
  c = *p & (0x3f >> more);
  for (i = 1; i <= more; i++) {
    if ((p[i] & 0xc0) != 0x80)
      return -1;
    c = c << 6 | (p[i] & 0x3f);
  }
  *s += more;
  return c;
}

/* Characters of no width that change how their neighbours are shown: joiners,
 * marks of direction, invisible operators, the byte order mark.
 */
static bool
misleads (int32_t c)
{
  return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0xad || c == 0x61c ||
    (c >= 0xfff9 && c <= 0xfffb) || c >= 0xe0000;
}

static bool
shows (int32_t c)
{
  if (c < 0x80)
    return c >= 0x20 && c < 0x7f;
  return text_utf8 && wcwidth (c) >= 0 && !misleads (c);
}

static void
escape (FILE *fp, int32_t c, const char *raw)
{
  switch (c) {
  case '\n': fputs ("\\n", fp); break;
  case '\r': fputs ("\\r", fp); break;
  case '\t': fputs ("\\t", fp); break;
  case -1: fprintf (fp, "\\x%02x", (unsigned char) *raw); break;
  default:
    if (c < 0x80)
      fprintf (fp, "\\x%02x", (unsigned) c);
    else
      fprintf (fp, "\\u{%x}", (unsigned) c);
  }
}

static char *
escaped (const char *s, bool name)
{
  char *r = NULL;
  size_t len;
  FILE *fp = open_memstream (&r, &len);

  if (fp == NULL)
    abort ();
  while (*s) {
    const char *raw = s;
    int32_t c = next_char (&s);

    if (name && (c == '"' || c == '\\'))
      fprintf (fp, "\\%c", (int) c);
    else if (shows (c))
      fwrite (raw, 1, s - raw, fp);
    else
      escape (fp, c, raw);
  }
  if (fclose (fp) != 0)
    abort ();
  return r;
}

char *
text_line (const char *s)
{
  return escaped (s, false);
}

char *
text_name (const char *name)
{
  size_t len = strlen (name);
  char *e = escaped (name, true), *r;

  if (len > 0 && name[0] != ' ' && name[len - 1] != ' ' &&
      strcmp (e, name) == 0)
    return e;
  r = text_format ("\"%s\"", e);
  free (e);
  return r;
}

static size_t
width_of (int32_t c)
{
  int w = c < 0x80 ? 1 : wcwidth (c);

  return w > 0 ? w : 0;
}

size_t
text_width (const char *s)
{
  size_t n = 0;

  while (*s)
    n += width_of (next_char (&s));
  return n;
}

char *
text_cut (const char *s, size_t columns)
{
  const char *end = s;
  size_t n = 0;

  if (columns == 0)
    return text_format ("%s", "");
  if (text_width (s) <= columns)
    return text_format ("%s", s);
  for (;;) {
    const char *p = end;

    n += width_of (next_char (&p));
    if (n > columns - 1)
      break;
    end = p;
  }
  return text_format ("%.*s%s", (int) (end - s), s, text_utf8 ? "…" : "~");
}

char *
text_size (uint64_t bytes)
{
  char buf[SIZE_STRING];

  if (settings.bytes)
    return text_format ("%" PRIu64, bytes);
  return text_format ("%s", size_format (bytes, buf));
}

char *
text_exact_size (uint64_t bytes)
{
  char buf[SIZE_STRING];

  if (settings.bytes || bytes < 1024)
    return text_format ("%" PRIu64 " bytes", bytes);
  return text_format ("%" PRIu64 " bytes (%s)", bytes,
                      size_format (bytes, buf));
}

/* Three digits and a unit, so that columns stay narrow. */
static char *
scaled (double n, double step, const char *const units[])
{
  unsigned i = 0;

  while (n >= step * 0.9995 && units[i + 1]) {
    n /= step;
    i++;
  }
  return text_format ("%.*f%s", i > 0 && n < 99.95 ? 1 : 0, n, units[i]);
}

char *
text_count (double n)
{
  static const char *const units[] = { "", "k", "M", "G", "T", NULL };

  return scaled (n, 1000, units);
}

char *
text_rate (double bytes)
{
  static const char *const units[] = { "", "K", "M", "G", "T", NULL };

  if (settings.bytes)
    return text_format ("%.0f", bytes);
  return scaled (bytes, 1024, units);
}

char *
text_latency (double ns)
{
  static const char *const units[] = { "ns", "us", "ms", "s", NULL };

  return scaled (ns, 1000, units);
}

char *
text_duration (double seconds)
{
  uint64_t s = seconds > 0 ? seconds : 0;

  if (s < 60)
    return text_format ("%" PRIu64 "s", s);
  if (s < 3600)
    return text_format ("%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
  if (s < 86400)
    return text_format ("%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
  return text_format ("%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
}

/* What is there is never "0%", and what is not all never "100%". */
char *
text_percent (uint64_t part, uint64_t whole)
{
  double percent = whole ? 100.0 * part / whole : 0;

  if (part > 0 && percent < 1)
    return text_format ("<1%%");
  if (part < whole && percent > 99)
    return text_format (">99%%");
  return text_format ("%.0f%%", percent);
}
