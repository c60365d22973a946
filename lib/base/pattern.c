/* SPDX-License-Identifier: BSD-3-Clause */
/* Patterns of names. */

#include <config.h>

#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <wctype.h>

#include "base/pattern.h"
#include "base/utf8.h"

/* --------------------------------------------------------------- classes */

/* nbdkit may run in the locale C, whose character classes are ASCII only. */
static locale_t unicode;

static void
find_unicode (void)
{
  unicode = newlocale (LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
  if (unicode == (locale_t) 0)
    unicode = newlocale (LC_CTYPE_MASK, "C", (locale_t) 0);
}

static locale_t
unicode_locale (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, find_unicode);
  return unicode;
}

/* The class whose name ends at `end`, or 0 if there is none. */
static wctype_t
class_named (const char *name, const char *end)
{
  static const char *const names[] = {
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print",
    "punct", "space", "upper", "xdigit",
  };
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strlen (names[i]) == (size_t) (end - name) &&
        strncmp (names[i], name, end - name) == 0)
      return unicode_locale () == (locale_t) 0 ? 0
        : wctype_l (names[i], unicode_locale ());
  return 0;
}

/* -------------------------------------------------------------- brackets */

static const char no_end[] = "a ] after the [";
static const char no_class[] =
  "a class such as [:alpha:] or [:digit:] after the [";
static const char no_range[] =
  "a range from a smaller character to a larger one, such as a-z";
static const char no_char[] = "a character after the last \\";

static const char no_symbol[] =
  "one character between [. and .], or [= and =]";

/* The end, at its last punctuation character, of the [:class:], [.symbol.] or
 * [=equivalents=] at p; or NULL if there is none.
 */
static const char *
inner_end (const char *p, const char *kinds)
{
  const char end[] = { p[0] ? p[1] : '\0', ']', '\0' };

  if (*p != '[' || p[1] == '\0' || strchr (kinds, p[1]) == NULL)
    return NULL;
  return strstr (p + 2, end);
}

/* Take one character of a bracket, with its backslash if it has one.  Returns
 * NULL, or what was expected.
 */
static const char *
take_member (const char **p, int32_t *c)
{
  const char *end;

  if (**p == '\\' && (*p)[1])
    (*p)++;
  else if ((end = inner_end (*p, ".=")) != NULL) {
    /* No symbol has more than one character here. */
    *p += 2;
    if (*p == end)
      return no_symbol;
    *c = utf8_next (p);
    if (*p != end)
      return no_symbol;
    *p = end + 2;
    return NULL;
  }
  if (**p == '\0')
    return no_end;
  *c = utf8_next (p);
  return NULL;
}

/* Whether c is in a bracket.  *p points behind its [, and is moved behind its
 * ].  Returns NULL, or what was expected.
 */
static const char *
bracket (const char **p, int32_t c, bool *in)
{
  bool negated = **p == '!' || **p == '^', found = false;
  const char *first, *end, *wrong;
  int32_t from, to;
  wctype_t class;

  if (negated)
    (*p)++;
  for (first = *p; **p != ']' || *p == first;) {
    if ((end = inner_end (*p, ":")) != NULL) {
      class = class_named (*p + 2, end);
      if (class == 0)
        return no_class;
      found |= c != UTF8_INVALID && iswctype_l (c, class, unicode_locale ());
      *p = end + 2;
      continue;
    }
    wrong = take_member (p, &from);
    if (wrong)
      return wrong;
    to = from;
    if (**p == '-' && (*p)[1] != ']' && (*p)[1] != '\0') {
      (*p)++;
      if (inner_end (*p, ":"))
        return no_range;
      wrong = take_member (p, &to);
      if (wrong)
        return wrong;
      if (to < from)
        return no_range;
    }
    found |= c >= from && c <= to;
  }
  (*p)++;
  *in = found != negated;
  return NULL;
}

/* -------------------------------------------------------------- patterns */

const char *
pattern_check (const char *pattern)
{
  const char *p = pattern, *wrong;
  bool in;

  if (!utf8_is_valid (pattern))
    return "a pattern in UTF-8";
  while (*p)
    switch (*p++) {
    case '\\':
      if (*p++ == '\0')
        return no_char;
      break;
    case '[':
      wrong = bracket (&p, 0, &in);
      if (wrong)
        return wrong;
      break;
    }
  return NULL;
}

/* Whether the pattern, which is not at a *, matches one character.  Advances
 * both.
 */
static bool
one (const char **p, const char **s)
{
  int32_t c = utf8_next (s);
  bool in = false;

  switch (**p) {
  case '\0':
    return false;
  case '?':
    (*p)++;
    return true;
  case '[':
    (*p)++;
    return bracket (p, c, &in) == NULL && in;
  case '\\':
    (*p)++;
    if (**p == '\0')
      return false;
    break;
  }
  return utf8_next (p) == c && c != UTF8_INVALID;
}

bool
pattern_matches (const char *pattern, const char *name)
{
  const char *p = pattern, *s = name;
  /* Where to continue after a mismatch: the last * takes one character more.
   * Earlier ones need not, because the last can take what they would.
   */
  const char *after_star = NULL, *retry = NULL;

  for (;;) {
    while (*p == '*') {
      after_star = ++p;
      retry = s;
    }
    if (*s == '\0')
      return *p == '\0';
    if (one (&p, &s))
      continue;
    if (after_star == NULL)
      return false;
    p = after_star;
    utf8_next (&retry);
    s = retry;
  }
}

bool
pattern_is_plain (const char *pattern)
{
  return strpbrk (pattern, "*?[\\") == NULL;
}
