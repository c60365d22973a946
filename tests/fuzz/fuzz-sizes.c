/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the sizes that people write, and those that are printed for them:
 * lib/base/size.h.  For libFuzzer; run-fuzz.sh builds it.
 *
 * An input is a text to be parsed.  Its last 8 bytes are also a number to be
 * printed.
 *
 * What must hold:
 *
 *   - What is accepted has the form that size.h says, and gives the number that
 *     128 bits make of it; what is not has the right errno, and changes
 *     nothing.
 *   - What is printed is parsed as the same number.  If it is marked as
 *     rounded, it may differ by half of the last digit, by the 512 bytes to
 *     which a fraction is rounded down, and by the rounding error of a double.
 *   - Nothing is printed in a unit that is too small for it.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "tests/abort.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

typedef unsigned __int128 uint128;

/* How many digits of a fraction have room, with 60 bits more. */
#define MOST_DIGITS 18

/* What a text means. */
struct meaning {
  bool form;                    /* it has the form of a size */
  uint128 least, most;          /* a long fraction is not known exactly */
};

static unsigned
digits (const char *s)
{
  return strspn (s, "0123456789");
}

/* How many bits a unit shifts by; -1: it is none. */
static int
unit (const char *s)
{
  static const char *const units[] = { "k", "m", "g", "t", "p", "e" };
  unsigned i;

  if (*s == '\0' || strcasecmp (s, "b") == 0)
    return 0;
  if (strcasecmp (s, "s") == 0)
    return 9;
  for (i = 0; i < 6; i++)
    if (strncasecmp (s, units[i], 1) == 0 &&
        (s[1] == '\0' || strcasecmp (s + 1, "b") == 0 ||
         strcasecmp (s + 1, "ib") == 0))
      return 10 * (i + 1);
  return -1;
}

static struct meaning
meaning (const char *s)
{
  struct meaning m = { .form = false };
  uint128 whole = 0, part = 0, one = 1;
  unsigned n = digits (s), more = 0, i;
  int shift;

  for (i = 0; i < n && whole <= UINT64_MAX; i++)
    whole = whole * 10 + (s[i] - '0');
  if (whole > UINT64_MAX)       /* too much, however much */
    whole = (uint128) 1 << 64;
  if (n > 0 && s[n] == '.') {
    more = digits (s + n + 1);
    for (i = 0; i < more && i < MOST_DIGITS; i++, one *= 10)
      part = part * 10 + (s[n + 1 + i] - '0');
    if (more == 0)
      return m;
    n += 1 + more;
  }
  shift = unit (s + n);
  if (n == 0 || shift == -1 || (more && shift < 10))
    return m;
  m.form = true;
  m.least = m.most = whole << shift;
  m.least += (part << shift) / one / 512 * 512;
  if (more > MOST_DIGITS)
    m.most += (((part + 1) << shift) - 1) / one / 512 * 512;
  else
    m.most = m.least;
  return m;
}

static void
check_parse (const char *s)
{
  const struct meaning m = meaning (s);
  uint64_t n = 99;
  int r = size_parse (s, &n), err = errno;

  if (r == 0 && (!m.form || n < m.least || n > m.most))
    abort_with ("%s: parsed as %" PRIu64, s, n);
  if (r == -1 && n != 99)
    abort_with ("%s: refused, and changed", s);
  if (r == -1 && m.form && m.most <= UINT64_MAX)
    abort_with ("%s: refused", s);
  if (r == -1 && err != (m.form ? ERANGE : EINVAL))
    abort_with ("%s: errno %d", s, err);
}

static void
check_format (uint64_t n)
{
  char buf[SIZE_STRING];
  const char *s = size_format (n, buf), *last;
  bool rounded = *s == '~';
  uint64_t parsed, off;

  if (size_parse (s + rounded, &parsed) == -1) {
    /* What was rounded up may be too much. */
    if (strcmp (s, "~16.0E") != 0)
      abort_with ("%" PRIu64 ": printed as %s", n, s);
    return;
  }
  off = parsed > n ? parsed - n : n - parsed;
  last = s + strlen (s) - 1;
  if (!rounded && off != 0)
    abort_with ("%" PRIu64 ": printed as %s", n, s);
  if (rounded && (off > (UINT64_C (1) << unit (last)) / 20 + 512 + (n >> 52) ||
                  (atoi (s + 1) >= 1024 && tolower (*last) != 'e')))
    abort_with ("%" PRIu64 ": printed as %s", n, s);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *s = strndup ((const char *) data, size);
  uint64_t n;

  if (s == NULL)
    abort_with ("no memory");
  check_parse (s);
  free (s);
  if (size >= sizeof n) {
    memcpy (&n, data + size - sizeof n, sizeof n);
    check_format (n);
  }
  return 0;
}
