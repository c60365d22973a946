/* SPDX-License-Identifier: BSD-3-Clause */
/* Block sizes of servers, as they are told to clients: nbdkit lets no client in
 * where they are beyond its limits.
 */

#include "unit.h"

#include "nbd/block-size.h"

#define K 1024u
#define M (1024 * K)
#define ANY UINT32_MAX

struct sizes {
  uint32_t minimum, preferred, maximum;
};

static bool
power_of_two (uint32_t n)
{
  return n && (n & (n - 1)) == 0;
}

/* What nbdkit's backend asks for. */
static void
assert_allowed (struct sizes s)
{
  assert_true (power_of_two (s.minimum) && s.minimum <= 64 * K);
  assert_true (power_of_two (s.preferred));
  assert_in_range (s.preferred, 512, 32 * M);
  assert_true (s.maximum == ANY || s.maximum % s.minimum == 0);
  assert_in_range (s.preferred, s.minimum, s.maximum);
}

static void
test_for_clients (void **state)
{
  static const struct { struct sizes said, told; } table[] = {
    { { 1, 4 * K, 32 * M }, { 1, 4 * K, 32 * M } },
    { { 512, 4 * K, ANY }, { 512, 4 * K, ANY } },
    { { 64 * K, 32 * M, 64 * M }, { 64 * K, 32 * M, 64 * M } },
    /* A hint that is too large, too small, crooked, or not there. */
    { { 1, 64 * M, 64 * M }, { 1, 32 * M, 64 * M } },
    { { 1, 1u << 31, ANY }, { 1, 32 * M, ANY } },
    { { 1, 1, 1 * M }, { 1, 512, 1 * M } },
    { { 4 * K, 512, 1 * M }, { 4 * K, 4 * K, 1 * M } },
    { { 1, 5000, 1 * M }, { 1, 4 * K, 1 * M } },
    { { 1, ANY, ANY }, { 1, 32 * M, ANY } },
    { { 1, 0, 1 * M }, { 1, 4 * K, 1 * M } },
    { { 1, 64 * K, 5000 }, { 1, 4 * K, 5000 } },
    /* Minima. */
    { { 0, 4 * K, 1 * M }, { 1, 4 * K, 1 * M } },
    { { 3, 4 * K, 1 * M }, { 1, 4 * K, 1 * M } },
    { { 128 * K, 1 * M, 2 * M }, { 64 * K, 1 * M, 2 * M } },
    { { 4 * K, 0, 0 }, { 4 * K, 4 * K, ANY } },
    /* Maxima. */
    { { 1, 4 * K, 0 }, { 1, 4 * K, ANY } },
    { { 512, 512, 1000 }, { 512, 512, 512 } },
    { { 512, 4 * K, 300 }, { 512, 512, 512 } },
    { { 4 * K, 4 * K, 512 }, { 4 * K, 4 * K, 4 * K } },
    { { 1, 256, 256 }, { 1, 512, 512 } },
    { { 0, 0, 1 }, { 1, 512, 512 } },
    { { 4 * K, 4 * K, ANY - 1 }, { 4 * K, 4 * K, ANY - 4095 } },
    /* Nothing. */
    { { 0, 0, 0 }, { 0, 0, 0 } },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    struct sizes s = table[i].said;

    block_size_for_clients (&s.minimum, &s.preferred, &s.maximum);
    assert_int_equal (s.minimum, table[i].told.minimum);
    assert_int_equal (s.preferred, table[i].told.preferred);
    assert_int_equal (s.maximum, table[i].told.maximum);
  }
}

/* All that are near something, with each other. */
static void
test_any (void **state)
{
  uint32_t v[200];
  size_t n = 0, i, j, k;

  (void) state;
  for (i = 0; i < 32; i++) {
    v[n++] = (1u << i) - 1;
    v[n++] = 1u << i;
    v[n++] = (1u << i) + 1;
    v[n++] = (1u << i) / 3 * 4;
  }
  v[n++] = ANY;
  for (i = 0; i < n; i++)
    for (j = 0; j < n; j++)
      for (k = 0; k < n; k++) {
        struct sizes s = { v[i], v[j], v[k] }, server = s;

        block_size_for_clients (&s.minimum, &s.preferred, &s.maximum);
        if (v[i] || v[j] || v[k])
          assert_allowed (s);
        block_size_of_server (&server.minimum, &server.preferred,
                              &server.maximum);
        assert_true (server.minimum == 0 || power_of_two (server.minimum));
        assert_true (server.maximum == 0 || server.maximum == ANY ||
                     server.minimum == 0 ||
                     server.maximum % server.minimum == 0);
        assert_int_equal (server.preferred, v[j]);
      }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_for_clients),
    cmocka_unit_test (test_any),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
