/* SPDX-License-Identifier: BSD-3-Clause */
/* Text that others chose: UTF-8, what is shown of it, and patterns. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "unit.h"

/* ----------------------------------------------------------------- UTF-8 */

static void
utf8 (void **state)
{
  static const struct { const char *s; int32_t c; } good[] = {
    { "a", 'a' }, { "\x7f", 0x7f }, { "\xc2\x80", 0x80 }, { "\xdf\xbf", 0x7ff },
    { "\xe0\xa0\x80", 0x800 }, { "\xed\x9f\xbf", 0xd7ff },
    { "\xee\x80\x80", 0xe000 }, { "\xef\xbf\xbf", 0xffff },
    { "\xf0\x90\x80\x80", 0x10000 }, { "\xf4\x8f\xbf\xbf", 0x10ffff },
  };
  static const char *const bad[] = {
    "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2x", "\xe0\x80\x80",
    "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
    "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80",
    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    const char *s = good[i].s;

    assert_int_equal (utf8_next (&s), good[i].c);
    assert_int_equal (*s, '\0');
    assert_true (utf8_is_valid (good[i].s));
  }
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const char *s = bad[i];

    assert_int_equal (utf8_next (&s), UTF8_INVALID);
    assert_ptr_equal (s, bad[i] + 1);
    assert_false (utf8_is_valid (bad[i]));
  }
  assert_true (utf8_is_valid (""));
}

static void
mend (void **state)
{
  char s[] = "a\xff\xc3\xa9\xe2\x82z\xc3";

  (void) state;
  assert_string_equal (utf8_mend (s), "a?\xc3\xa9??z?");
}

/* ------------------------------------------------------------- printable */

static void
escapes (void **state)
{
  static const struct { const char *s, *shown; } table[] = {
    { "", "" },
    { "plain caf\u00e9 \u65e5\u672c \U0001f600", NULL },
    { "a\nb\r\t\x1b[31m\x7f", "a\\x0ab\\x0d\\x09\\x1b[31m\\x7f" },
    { "\xc2\x80\xc2\x85\xc2\x9b" "31m\u00a0",
      "\\u{80}\\u{85}\\u{9b}31m\u00a0" },
    { "\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069",
      "\\u{200b}\\u{200e}\\u{200f}\\u{2028}\\u{2029}\\u{202a}\\u{202e}"
      "\\u{2066}\\u{2069}" },
    { "\ufeff\u00ad\u061c\u2060\u180e\U000e0041\u034f\ufe0f",
      "\\u{feff}\\u{ad}\\u{61c}\\u{2060}\\u{180e}\\u{e0041}\\u{34f}\\u{fe0f}" },
    { "\xff\xc3(\x9b\xed\xa0\x80", "\\xff\\xc3(\\x9b\\xed\\xa0\\x80" },
    { "\u2027\u202f\u206f\u2070\u00ae", "\u2027\u202f\\u{206f}\u2070\u00ae" },
    { "a\\x0a\"b\"", NULL },
  };
  char buf[PRINTABLE_STRING], again[PRINTABLE_STRING];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    const char *shown = table[i].shown ? table[i].shown : table[i].s;
    char *line = printable_line (table[i].s);

    assert_string_equal (printable (table[i].s, buf), shown);
    assert_string_equal (printable (buf, again), shown);
    assert_string_equal (line, shown);
    free (line);
  }
  assert_string_equal (printable_name ("a\\n\"\n\"", buf),
                       "a\\\\n\\\"\\x0a\\\"");
}

/* It is cut between characters and between escapes, whatever comes. */
static void
cuts (void **state)
{
  static const char *const units[] = { "a", "\n", "\u00e9", "\u202e",
                                       "\U0001f600", "\"", "\xff" };
  char s[2 * PRINTABLE_STRING * 4 + 16], buf[PRINTABLE_STRING], small[16];
  size_t i, n, first;

  (void) state;
  for (i = 0; i < sizeof units / sizeof units[0]; i++)
    for (first = 0; first < 12; first++) {
      memset (s, 'x', first);
      s[first] = '\0';
      for (n = 0; n < 2 * PRINTABLE_STRING; n++)
        strcat (s, units[i]);
      printable_name (s, buf);
      n = strlen (buf);
      assert_true (n < PRINTABLE_STRING && n > PRINTABLE_STRING - 16);
      assert_string_equal (buf + n - 3, "\u2026");
      assert_true (utf8_is_valid (buf));
      if (strchr (buf, '\\'))   /* no half of an escape */
        assert_true (strcmp (buf + n - 5, "ff\u2026") == 0 ||
                     strcmp (buf + n - 5, "0a\u2026") == 0 ||
                     strcmp (buf + n - 5, "\\\"\u2026") == 0 ||
                     strcmp (buf + n - 5, "e}\u2026") == 0);
      n = strlen (printable_text (s, small, sizeof small));
      assert_true (n < sizeof small && utf8_is_valid (small));
    }
}

static void
keeps_errno (void **state)
{
  char buf[PRINTABLE_STRING];

  (void) state;
  errno = ENFILE;
  printable ("\xff\n\u202e", buf);
  assert_int_equal (errno, ENFILE);
}

/* -------------------------------------------------------------- patterns */

static void
matches (void **state)
{
  static const struct { const char *pattern, *name; bool match; } table[] = {
    { "", "", true }, { "", "a", false }, { "a", "a", true },
    { "a", "b", false }, { "a", "ab", false }, { "ab", "a", false },
    { "*", "", true }, { "*", "\u00e9", true }, { "**", "abc", true },
    { "a*", "a", true }, { "*a", "ba", true }, { "*a", "ab", false },
    { "a*b*c", "axbxbyc", true }, { "a*b*c", "axbxby", false },
    { "*ab", "aab", true }, { "*aab", "aaab", true },
    { "?", "", false }, { "?", "a", true }, { "?", "ab", false },
    { "?", "\u00e9", true }, { "??", "\u00e9", false },
    { "caf?", "caf\u00e9", true }, { "caf??", "caf\u00e9", false },
    { "?", "\u65e5", true }, { "?", "\U0001f600", true },
    { "e?", "e\u0301", true },
    { "caf[\u00e9]", "caf\u00e9", true }, { "caf[\u00e9]", "cafe", false },
    { "[\u00e9\u00e8]*", "\u00e8x", true },
    { "[\u0430-\u044f]", "\u0436", true },
    { "[\u0430-\u044f]", "\u0416", false },
    { "[\u0430-\u044f]", "\u0451", false },
    { "[!\u0430-\u044f]", "x", true }, { "[^\u0430-\u044f]", "\u0436", false },
    { "[!\u00e9]", "\u00e8", true }, { "[!a]", "", false },
    { "[a-c]", "b", true }, { "[a-c]", "d", false }, { "[a-]", "-", true },
    { "[-a]", "-", true }, { "[!-a]", "-", false }, { "[a-]", "b", false },
    { "[]]", "]", true }, { "[!]]", "]", false }, { "[!]]", "a", true },
    { "[]-a]", "^", true }, { "[]a]", "a", true }, { "[[]", "[", true },
    { "[a\\]b]", "]", true }, { "[a\\]b]", "b", true },
    { "[\\a-\\c]", "b", true }, { "[\\!a]", "!", true },
    { "[a!]", "!", true }, { "[!!]", "!", false }, { "[!!]", "a", true },
    { "\\*", "*", true }, { "\\*", "a", false }, { "\\[a]", "[a]", true },
    { "\\\\", "\\", true }, { "\\\u00e9", "\u00e9", true },
    { "a\\?", "a?", true }, { "]", "]", true },
    { "[[:alpha:]]", "a", true }, { "[[:alpha:]]", "1", false },
    { "[[:digit:][:upper:]_]*", "_x", true }, { "[[:digit:]]", "x", false },
    { "[![:digit:]]", "x", true }, { "[![:digit:]]", "7", false },
    { "[[.-.]a]", "-", true }, { "[[=a=]]", "a", true },
    { "[[:a]", ":", true },
    { "*.qcow2", ".qcow2", true }, { "*", ".hidden", true },
    { "a*b", "a/b", true }, { "[/]", "/", true },
    { "?", "\xff", true }, { "?", "\xc3", true }, { "*x", "\xffx", true },
    { "[!a]", "\xff", true }, { "\u00e9", "\xe9", false },
    { "[\u00e9]", "\xe9", false },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    const char *p = table[i].pattern;

    if (pattern_check (p))
      fail_msg ("%s: expected %s", p, pattern_check (p));
    if (pattern_matches (p, table[i].name) != table[i].match)
      fail_msg ("%s %s", p, table[i].name);
  }
}

static void
refused (void **state)
{
  static const struct { const char *pattern, *expected; } table[] = {
    { "[", "a ] " }, { "[a", "a ] " }, { "x[", "a ] " }, { "[]", "a ] " },
    { "[!]a", "a ] " }, { "[[:alpha:]", "a ] " }, { "a[b\\]", "a ] " },
    { "[a][", "a ] " }, { "[a-", "a ] " }, { "[\\", "a ] " },
    { "a\\", "a character " }, { "[[:nosuch:]]", "a class " },
    { "[[::]]", "a class " },
    { "[z-a]", "a range " }, { "[\u044f-\u0430]", "a range " },
    { "[a-[:digit:]]", "a range " }, { "[[.ab.]]", "one character " },
    { "[[==]]", "one character " },
    { "\xff", "a pattern in UTF-8" }, { "[\xe9]", "a pattern in UTF-8" },
    { "caf\xc3", "a pattern in UTF-8" },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    const char *wrong = pattern_check (table[i].pattern);

    if (wrong == NULL ||
        strncmp (wrong, table[i].expected, strlen (table[i].expected)) != 0)
      fail_msg ("%s: %s", table[i].pattern, wrong);
    /* No harm is done if it is used nevertheless. */
    pattern_matches (table[i].pattern, "ab\u00e9");
  }
}

/* A matcher that tries all ways would not come to an end. */
static void
quick (void **state)
{
  char pattern[401], name[4097];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof pattern - 1; i += 2)
    memcpy (pattern + i, "*a", 2);
  pattern[sizeof pattern - 1] = '\0';
  memset (name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_true (pattern_matches (pattern, name));
  name[sizeof name - 2] = 'b';
  assert_false (pattern_matches (pattern, name));
}

/* Against the obvious way to say it, with all short patterns and names. */
static bool
slowly (const char *p, const char *s)
{
  if (*p == '\0')
    return *s == '\0';
  if (*p == '*')
    return slowly (p + 1, s) || (*s && slowly (p, s + 1));
  return *s && (*p == '?' || *p == *s) && slowly (p + 1, s + 1);
}

static void
same_as_slowly (void **state)
{
  static const char signs[] = "\0*?ab", letters[] = "\0ab";
  unsigned i, j, n, k;

  (void) state;
  for (i = 0; i < 5 * 5 * 5 * 5 * 5; i++) {
    char p[6] = "", s[6];

    for (n = i, k = 0; k < 5; n /= 5)
      p[k++] = signs[n % 5];
    for (j = 0; j < 3 * 3 * 3 * 3 * 3; j++) {
      memset (s, 0, sizeof s);
      for (n = j, k = 0; k < 5; n /= 3)
        s[k++] = letters[n % 3];
      if (pattern_matches (p, s) != slowly (p, s))
        fail_msg ("%s %s", p, s);
    }
  }
}

static void
plain (void **state)
{
  (void) state;
  assert_true (pattern_is_plain (""));
  assert_true (pattern_is_plain ("caf\u00e9]!-"));
  assert_false (pattern_is_plain ("a*"));
  assert_false (pattern_is_plain ("a?"));
  assert_false (pattern_is_plain ("[a]"));
  assert_false (pattern_is_plain ("\\a"));
}

/* ----------------------------------------------------------------- UUIDs */

static void
uuids (void **state)
{
  static const char text[] = "01234567-89ab-cdef-fedc-ba9876543210";
  static const char *const bad[] = {
    "", "01234567", "0123456789ab-cdef-fedc-ba9876543210",
    "01234567-89ab-cdef-fedc-ba987654321",
    "01234567-89ab-cdef-fedc-ba98765432100",
    "01234567-89ab-cdef-fedc-ba9876543210-", " 01234567-89ab-cdef-fedc-",
    "01234567-89ab-cdef-fedc-ba987654321g",
    "00000000-0000-0000-0000-000000000000",
  };
  static const char *const found[] = {
    "UUID 01234567-89ab-cdef-fedc-ba9876543210",
    "a disk, UUID 01234567-89AB-cdef-fedc-ba9876543210, and more",
    "UUID unknown, UUID 01234567-89ab-cdef-fedc-ba9876543210.",
    ("UUID 01234567-89ab-cdef-fedc-ba9876543210 "
     "UUID 11234567-89ab-cdef-fedc-ba9876543210"),
  };
  static const char *const none[] = {
    "", "UUID", "UUID ", "a UUID of a disk",
    "nUUID 01234567-89ab-cdef-fedc-ba9876543210",
    "uuid 01234567-89ab-cdef-fedc-ba9876543210",
    "01234567-89ab-cdef-fedc-ba9876543210",
  };
  char buf[UUID_STRING];
  struct uuid u, v;
  size_t i;

  (void) state;
  assert_true (uuid_parse (text, &u));
  assert_int_equal (u.byte[0], 0x01);
  assert_int_equal (u.byte[15], 0x10);
  assert_string_equal (uuid_format (&u, buf), text);
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_false (uuid_parse (bad[i], &v));
    assert_false (uuid_is_set (&v));
  }
  for (i = 0; i < sizeof found / sizeof found[0]; i++) {
    assert_true (uuid_find (found[i], &v));
    assert_true (uuid_equal (&u, &v));
  }
  for (i = 0; i < sizeof none / sizeof none[0]; i++) {
    assert_false (uuid_find (none[i], &v));
    assert_false (uuid_is_set (&v));
  }
  assert_int_equal (uuid_new (&u), 0);
  assert_int_equal (uuid_new (&v), 0);
  assert_true (uuid_is_set (&u));
  assert_false (uuid_equal (&u, &v));
  assert_true (uuid_differ (&u, &v));
  assert_false (uuid_differ (&u, &u));
  memset (&v, 0, sizeof v);
  assert_false (uuid_differ (&u, &v));
  assert_false (uuid_differ (&v, &u));
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
    cmocka_unit_test (utf8),
    cmocka_unit_test (uuids),
    cmocka_unit_test (mend),
    cmocka_unit_test (escapes),
    cmocka_unit_test (cuts),
    cmocka_unit_test (keeps_errno),
    cmocka_unit_test (matches),
    cmocka_unit_test (refused),
    cmocka_unit_test (quick),
    cmocka_unit_test (same_as_slowly),
    cmocka_unit_test (plain),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
