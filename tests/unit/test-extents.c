/* SPDX-License-Identifier: BSD-3-Clause */
/* Extents in whole blocks, beside an array of bytes. */

#include "unit.h"

#include <errno.h>

#include "bdev/extents.h"

#define SIZE 70001              /* the last block is not whole */
#define ROUNDS 20000

static uint8_t type_of[SIZE];   /* as the bdev tells it */
static unsigned seed = 1;

struct seen {
  uint64_t block, offset, end;  /* asked for */
  uint64_t pos, told;           /* told: up to where the bdev has told */
  unsigned n;
};

/* All types that the bdev told of the block, or nothing if it did not tell all
 * of it.
 */
static uint32_t
type_of_block (const struct seen *s, uint64_t from)
{
  uint64_t to = from + s->block < SIZE ? from + s->block : SIZE, i;
  uint32_t type = BDEV_HOLE | BDEV_ZERO;

  for (i = from; i < to; i++)
    type &= i < s->told ? type_of[i] : 0;
  return type;
}

static int
check_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct seen *s = opaque;
  uint64_t i;

  assert_int_equal (s->pos, offset);
  assert_int_not_equal (0, length);
  assert_true (offset < s->end);
  s->pos += length;
  assert_true (s->pos == SIZE || s->pos % s->block == 0);
  for (i = offset; i < s->pos; i += s->block)
    assert_int_equal (type_of_block (s, i), type);
  s->n++;
  return 0;
}

static void
make_types (void)
{
  uint64_t i = 0, n;

  while (i < SIZE) {
    uint8_t type = rand_r (&seed) % 4;

    for (n = 1 + rand_r (&seed) % 5000; n > 0 && i < SIZE; n--)
      type_of[i++] = type;
  }
}

static void
test_model (void **state)
{
  unsigned round;

  (void) state;
  for (round = 0; round < ROUNDS; round++) {
    struct seen s = { .block = UINT64_C (1) << rand_r (&seed) % 14 };
    uint64_t blocks = (SIZE + s.block - 1) / s.block, pos, to;
    struct extents e;

    if (round % 100 == 0)
      make_types ();
    s.offset = s.pos = rand_r (&seed) % blocks * s.block;
    s.end = s.offset + (1 + rand_r (&seed) % 20) * s.block;
    if (s.end > SIZE)
      s.end = SIZE;
    /* It may tell less than was asked for, or more. */
    s.told = s.offset + 1 + rand_r (&seed) % (SIZE - s.offset);
    extents_init (&e, s.block, SIZE, s.offset, s.end - s.offset, check_extent,
                  &s);
    for (pos = s.offset; pos < s.told; pos = to) {
      for (to = pos + 1; to < s.told && type_of[to] == type_of[pos] &&
           rand_r (&seed) % 3000; to++)
        ;
      assert_int_equal (0, extents_add (&e, pos, to - pos, type_of[pos]));
    }
    assert_int_equal (0, extents_end (&e));
    /* A last block that it told only in part may be left out. */
    to = s.told == SIZE ? SIZE : s.told - s.told % s.block;
    assert_true (s.pos >= (to < s.end ? to : s.end));
    assert_true (s.n > 0);
  }
}

static int
refuse (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  (void) opaque;
  (void) offset;
  (void) length;
  (void) type;
  errno = ENOMEM;
  return -1;
}

static void
test_refused (void **state)
{
  struct extents e;

  (void) state;
  extents_init (&e, 512, SIZE, 0, 4096, refuse, NULL);
  assert_int_equal (0, extents_add (&e, 0, 1000, 0));
  assert_int_equal (-1, extents_add (&e, 1000, 1000, BDEV_ZERO));
  extents_init (&e, 512, SIZE, 0, 4096, refuse, NULL);
  assert_int_equal (0, extents_add (&e, 0, 4096, 0));
  assert_int_equal (-1, extents_end (&e));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_model),
    cmocka_unit_test (test_refused),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
