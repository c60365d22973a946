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

#include "base/printable.h"
#include "base/size.h"
#include "base/utf8.h"
#include "settings.h"
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

/* One character as it is shown (base/printable.h), but common escapes in their
 * usual form.  A character whose width the terminal does not know might be
 * shown as anything.
 */
static void
show_char (const char **s, char out[PRINTABLE_CHAR])
{
  static const char controls[] = "\n\r\t", letters[] = "nrt";
  const char *raw = *s, *control = strchr (controls, *raw);
  int32_t c = printable_char (s, !text_utf8, out);

  if (control) {
    out[1] = letters[control - controls];
    out[2] = '\0';
  }
  else if (c >= 0x80 && text_utf8 && wcwidth (c) < 0) {
    *s = raw;
    printable_char (s, true, out);
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
    char out[PRINTABLE_CHAR];

    if (name && (*s == '"' || *s == '\\'))
      fprintf (fp, "\\%c", *s++);
    else {
      show_char (&s, out);
      fputs (out, fp);
    }
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
    n += width_of (utf8_next (&s));
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

    n += width_of (utf8_next (&p));
    if (n > columns - 1)
      break;
    end = p;
  }
  return text_format ("%.*s%s", (int) (end - s), s, text_utf8 ? "…" : "~");
}

char *
text_cut_middle (const char *s, size_t columns)
{
  size_t width = text_width (s), tail = columns / 2;
  const char *next;
  char *head, *r;

  if (width <= columns || columns < 3)
    return text_cut (s, columns);
  head = text_cut (s, columns - tail);
  while (width > tail)
    width -= width_of (utf8_next (&s));
  /* No marks that belong to the last character that is left out. */
  for (next = s; *next && width_of (utf8_next (&next)) == 0; )
    s = next;
  r = text_format ("%s%s", head, s);
  free (head);
  return r;
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

/* A part greater than 0 is never "0%", and a part less than the whole never
 * "100%".
 */
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

char *
text_speed (uint64_t rate, const json_t *limit, const json_t *seconds_to_go)
{
  char *now = text_rate (rate), *r;
  char *most = json_is_integer (limit)
    ? text_rate (json_integer_value (limit)) : NULL;
  char *time = json_is_integer (seconds_to_go)
    ? text_duration (json_integer_value (seconds_to_go)) : NULL;

  r = text_format ("%s/s%s%s%s%s%s", now, most ? " of at most " : "",
                   most ? most : "", most ? "/s" : "",
                   time ? ", to go " : "", time ? time : "");
  free (now);
  free (most);
  free (time);
  return r;
}
