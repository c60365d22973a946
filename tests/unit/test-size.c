/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them. */

#include "unit.h"

#include "base/size.h"

static void
test_parse (void **state)
{
  static const struct { const char *s; uint64_t bytes; } good[] = {
    { "0", 0 }, { "1", 1 }, { "4096", 4096 }, { "1b", 1 }, { "2s", 1024 },
    { "1k", 1024 }, { "1K", 1024 }, { "10G", UINT64_C (10) << 30 },
    { "3m", 3 << 20 }, { "1T", UINT64_C (1) << 40 },
    { "2P", UINT64_C (2) << 50 }, { "15E", UINT64_C (15) << 60 },
    { "9223372036854775807", INT64_MAX },
    { "10GB", UINT64_C (10) << 30 }, { "10GiB", UINT64_C (10) << 30 },
    { "10gib", UINT64_C (10) << 30 }, { "1KB", 1024 }, { "5B", 5 },
    { "1.5G", UINT64_C (3) << 29 }, { "0.5k", 512 }, { "1.999k", 1536 },
    { "1.5GiB", UINT64_C (3) << 29 }, { "0.1M", 104448 }, { "2.0T",
      UINT64_C (2) << 40 }, { "15.5E", UINT64_C (31) << 59 },
    { "18446744073709551615", UINT64_MAX },
    /* Digits that no floating-point number has are rounded down, too. */
    { "1.99999999999999999999999999G", (UINT64_C (2) << 30) - 512 },
    { "15.99999999999999999999999E", UINT64_MAX - 511 },
    { "0.00000000000000000000000000E", 0 },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    uint64_t n = 99;

    assert_int_equal (0, size_parse (good[i].s, &n));
    assert_int_equal (good[i].bytes, n);
  }
}

static void
test_parse_bad (void **state)
{
  static const char *const bad[] = {
    "", " 1", "-1", "+1", "1 ", "1x", "1Gi", "1GBB", "0x10", "1.5", "1.5b", "1.5s",
    "1.G", ".5G", "1.5.5G", "1,5G", "1iB", "1BB", "1sB", "G", "1\n",
    "99999999999999999999x", "99999999999999999999.5",
  };
  uint64_t n = 99;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_errno (EINVAL, size_parse (bad[i], &n));
  assert_errno (ERANGE, size_parse ("16E", &n));
  assert_errno (ERANGE, size_parse ("16.5E", &n));
  assert_errno (ERANGE, size_parse ("18446744073709551616", &n));
  assert_errno (ERANGE, size_parse ("18014398509481984k", &n));
  assert_int_equal (99, n);
}

static void
test_format (void **state)
{
  static const struct { uint64_t bytes; const char *s; } cases[] = {
    { 0, "0" }, { 1023, "1023" }, { 1024, "1K" }, { 4097, "~4.0K" },
    { 16 << 20, "16M" }, { (UINT64_C (3) << 30) / 2, "~1.5G" },
    { UINT64_C (1) << 60, "1E" }, { INT64_MAX, "~8.0E" },
    /* Never "~1024.0K". */
    { (1 << 20) - 1, "~1.0M" }, { (1 << 20) - 51, "~1.0M" },
    { (1 << 20) - 52, "~1023.9K" }, { UINT64_MAX, "~16.0E" },
  };
  char buf[SIZE_STRING];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
    assert_string_equal (cases[i].s, size_format (cases[i].bytes, buf));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_parse),
    cmocka_unit_test (test_parse_bad),
    cmocka_unit_test (test_format),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
