/* SPDX-License-Identifier: BSD-3-Clause */
/* The losses that mnbd owes to clients: none is lost, and those of other
 * exports always find room.
 */

#include "unit.h"

#include "nbd/debts.h"

static struct debts debts;

static const char *
name (unsigned i)
{
  static char buf[16];

  snprintf (buf, sizeof buf, "e%u", i);
  return buf;
}

static void
test_take (void **state)
{
  (void) state;
  debts = (struct debts) { .n = 0 };
  assert_int_equal (0, debts_take (&debts, "a"));
  assert_true (debts_add (&debts, "a", 0));
  assert_int_equal (0, debts.n);
  assert_true (debts_add (&debts, "a", 1));
  assert_true (debts_add (&debts, "", 7));
  assert_true (debts_add (&debts, "a", 2));
  assert_int_equal (2, debts.n);
  assert_int_equal (3, debts_take (&debts, "a"));
  assert_int_equal (0, debts_take (&debts, "a"));
  assert_int_equal (7, debts_take (&debts, ""));
  assert_int_equal (0, debts.n);
}

/* The oldest debts make room, and somebody can still be told of them. */
static void
test_full (void **state)
{
  unsigned i;

  (void) state;
  debts = (struct debts) { .n = 0 };
  for (i = 0; i < DEBTS_MOST; i++)
    assert_true (debts_add (&debts, name (i), i + 1));
  /* This makes the first one the newest. */
  assert_true (debts_add (&debts, name (0), 10));
  assert_int_equal (0, debts.orphans);
  assert_false (debts_add (&debts, "new", 5));
  assert_false (debts_add (&debts, "newer", 6));
  assert_int_equal (DEBTS_MOST, debts.n);
  assert_int_equal (2 + 3, debts.orphans);
  assert_int_equal (0, debts_take (&debts, name (1)));
  assert_int_equal (0, debts_take (&debts, name (2)));
  assert_int_equal (11, debts_take (&debts, name (0)));
  assert_int_equal (5, debts_take (&debts, "new"));
  assert_int_equal (6, debts_take (&debts, "newer"));
  for (i = 3; i < DEBTS_MOST; i++)
    assert_int_equal (i + 1, debts_take (&debts, name (i)));
  assert_int_equal (0, debts.n);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_take),
    cmocka_unit_test (test_full),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
