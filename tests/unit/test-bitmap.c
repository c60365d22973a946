/* SPDX-License-Identifier: BSD-3-Clause */
/* The bitmap, beside an array of bool. */

#include "unit.h"

#include "bdev/bitmap.h"

#define BITS 100003             /* several blocks, and a part of a word */
#define ROUNDS 3000

static bool model[2][BITS];

static void
check (const struct bitmap *b, const bool *m, unsigned *seed)
{
  uint64_t from = rand_r (seed) % BITS, to, i, set = 0;

  for (i = 0; i < BITS; i++)
    set += m[i];
  assert_int_equal (set, b->set);
  to = from + rand_r (seed) % (BITS - from + 1);
  for (i = from; i < to && !m[i]; i++)
    ;
  assert_int_equal (i, bitmap_next_set (b, from, to));
  assert_int_equal (i != to, bitmap_any (b, from, to));
  for (i = from; i < to && m[i]; i++)
    ;
  assert_int_equal (i, bitmap_next_clear (b, from, to));
  assert_int_equal (i == to, bitmap_all (b, from, to));
}

static void
test_model (void **state)
{
  struct bitmap b[2];
  unsigned seed = 1, r, k;
  uint64_t i;

  (void) state;
  for (k = 0; k < 2; k++)
    assert_int_equal (0, bitmap_init (&b[k], BITS));
  for (r = 0; r < ROUNDS; r++) {
    uint64_t from = rand_r (&seed) % BITS;
    uint64_t most = rand_r (&seed) % 4 ? 200 : BITS;
    uint64_t to = from + rand_r (&seed) % most;
    bool value = rand_r (&seed) % 2;

    to = to < BITS ? to : BITS;
    k = rand_r (&seed) % 2;
    if (value)
      bitmap_set (&b[k], from, to);
    else
      bitmap_clear (&b[k], from, to);
    for (i = from; i < to; i++)
      model[k][i] = value;
    if (r % 100 == 50) {
      bitmap_or (&b[k], &b[!k]);
      for (i = 0; i < BITS; i++)
        model[k][i] |= model[!k][i];
    }
    if (r % 100 == 70)
      bitmap_swap (&b[0], &b[1]);
    if (r % 100 == 70)
      for (i = 0; i < BITS; i++) {
        bool t = model[0][i];

        model[0][i] = model[1][i];
        model[1][i] = t;
      }
    if (r % 300 == 90) {
      bitmap_clear_all (&b[k]);
      memset (model[k], 0, sizeof model[k]);
    }
    check (&b[0], model[0], &seed);
    check (&b[1], model[1], &seed);
  }
  bitmap_free (&b[0]);
  bitmap_free (&b[1]);
}

/* Empty, and as large as any: neither takes memory that is not used. */
static void
test_sizes (void **state)
{
  struct bitmap b;

  (void) state;
  assert_int_equal (0, bitmap_init (&b, 0));
  assert_int_equal (0, bitmap_next_set (&b, 0, 0));
  assert_true (bitmap_all (&b, 0, 0));
  bitmap_free (&b);
  assert_int_equal (0, bitmap_init (&b, UINT64_C (1) << 27));
  assert_int_equal (1 << 27, bitmap_next_set (&b, 0, 1 << 27));
  bitmap_set (&b, (1 << 27) - 1, 1 << 27);
  assert_int_equal ((1 << 27) - 1, bitmap_next_set (&b, 0, 1 << 27));
  assert_int_equal (1, b.set);
  bitmap_free (&b);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_model),
    cmocka_unit_test (test_sizes),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
