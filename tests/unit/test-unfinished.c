/* SPDX-License-Identifier: BSD-3-Clause */
/* What unfinished pushes may have written: nothing of it is lost (Z1), however
 * many there are (Z2).
 */

#include "unit.h"

#include <pthread.h>

#include "tests/random.h"
#include "transfer/unfinished.h"

/* ---------------------------------------------------------------- spans */

static void
assert_in_order (const struct spans *s)
{
  size_t i;

  assert_true (s->n <= SPANS_MOST);
  for (i = 0; i < s->n; i++) {
    assert_true (s->span[i].offset < s->span[i].end);
    if (i > 0)
      assert_true (s->span[i - 1].end < s->span[i].offset);
  }
}

static bool
has (const struct spans *s, uint64_t at)
{
  size_t i;

  for (i = 0; i < s->n; i++)
    if (at >= s->span[i].offset && at < s->span[i].end)
      return true;
  return false;
}

/* Ranges that overlap, touch and contain each other, against a table. */
static void
test_spans_model (void **state)
{
  enum { CELLS = 300, ROUNDS = 200, ADDS = 20 };
  uint64_t seed = 1, at, end, i;
  unsigned round, add;

  (void) state;
  for (round = 0; round < ROUNDS; round++) {
    struct spans s = { .n = 0 };
    bool cell[CELLS] = { false };

    for (add = 0; add < ADDS; add++) {
      at = xorshift_below (&seed, CELLS);
      end = at + 1 + xorshift_below (&seed, round % 2 ? 3 : 40);
      end = end < CELLS ? end : CELLS;
      assert_int_equal (0, spans_add (&s, at, end));
      for (i = at; i < end; i++)
        cell[i] = true;
      assert_in_order (&s);
      for (i = 0; i < CELLS; i++)
        assert_int_equal (cell[i], has (&s, i));
    }
    spans_free (&s);
    assert_int_equal (0, s.n);
  }
}

/* More ranges than fit, in two orders: all of them are still in it. */
static void
test_spans_many (void **state)
{
  const uint64_t n = 3 * SPANS_MOST;      /* even */
  struct spans s = { .n = 0 };
  uint64_t i, at, sum;
  size_t j;

  (void) state;
  for (i = 0; i < n; i++) {
    at = i % 2 ? n - i : i;
    assert_int_equal (0, spans_add (&s, 10 * at, 10 * at + 1));
  }
  assert_in_order (&s);
  for (i = 0; i < n; i++)
    assert_true (has (&s, 10 * i));
  /* Half of them were joined, and not everything with everything. */
  for (j = 0, sum = 0; j < s.n; j++)
    sum += s.span[j].end - s.span[j].offset;
  assert_true (s.n > SPANS_MOST / 4);
  assert_true (sum <= 10 * n);
  spans_free (&s);
}

/* ----------------------------------------------------------- unfinished */

#define MONDAY 7
#define TUESDAY 8

static int
setup (void **state)
{
  *state = unfinished_new ();
  return *state == NULL;
}

static int
teardown (void **state)
{
  unfinished_free (*state);
  return 0;
}

static void
add (struct unfinished *u, uint64_t since, const char *target, uint64_t offset,
     uint64_t end)
{
  assert_int_equal (0, unfinished_add (u, since, target, offset, end));
}

/* What a push has to send is as the text says: "offset-end " for each range. */
static void
expect (struct unfinished *u, uint64_t since, const char *target,
        const char *want)
{
  char text[1024] = "";
  struct spans s;
  size_t i;

  assert_int_equal (0, unfinished_get (u, since, target, &s));
  assert_in_order (&s);
  for (i = 0; i < s.n; i++)
    sprintf (text + strlen (text), "%d-%d ", (int) s.span[i].offset,
             (int) s.span[i].end);
  spans_free (&s);
  assert_string_equal (want, text);
}

/* The same device may have another name, so any target counts. */
static void
test_any_target (void **state)
{
  struct unfinished *u = *state;

  expect (u, MONDAY, "x", "");
  add (u, MONDAY, "x", 10, 20);
  add (u, MONDAY, "x", 40, 50);
  add (u, MONDAY, "y", 15, 30);
  expect (u, MONDAY, "x", "10-30 40-50 ");
  expect (u, MONDAY, "z", "10-30 40-50 ");
  expect (u, TUESDAY, "x", "");
}

/* A push that has succeeded matters to its own target, until that is
 * unfinished again.
 */
static void
test_done (void **state)
{
  struct unfinished *u = *state;

  add (u, MONDAY, "x", 10, 20);
  add (u, MONDAY, "y", 30, 40);
  unfinished_done (u, MONDAY, "x");
  expect (u, MONDAY, "x", "10-20 30-40 ");
  expect (u, MONDAY, "y", "30-40 ");
  expect (u, MONDAY, "z", "30-40 ");
  add (u, MONDAY, "x", 50, 60);
  expect (u, MONDAY, "z", "10-20 30-40 50-60 ");
}

/* A push without since counts for its target, whatever the next since is; and
 * replaces all that was known of it.
 */
static void
test_whole (void **state)
{
  struct unfinished *u = *state;

  add (u, 0, "x", 0, 100);
  expect (u, MONDAY, "x", "0-100 ");
  expect (u, TUESDAY, "x", "0-100 ");
  expect (u, MONDAY, "y", "");
  add (u, MONDAY, "x", 150, 160);
  unfinished_done (u, MONDAY, "x");
  expect (u, TUESDAY, "x", "");
  expect (u, MONDAY, "x", "150-160 ");
  add (u, MONDAY, "y", 5, 6);
  add (u, 0, "x", 0, 100);
  unfinished_done (u, 0, "x");
  expect (u, MONDAY, "x", "5-6 ");
  expect (u, TUESDAY, "x", "");
}

static void
test_forget (void **state)
{
  struct unfinished *u = *state;

  add (u, MONDAY, "x", 1, 2);
  add (u, MONDAY, "y", 3, 4);
  add (u, TUESDAY, "x", 5, 6);
  unfinished_forget (u, MONDAY);
  expect (u, MONDAY, "x", "");
  expect (u, TUESDAY, "x", "5-6 ");
  unfinished_forget (u, MONDAY);
}

/* More targets of one since than are told apart: what they may have written
 * stays, even if one of them succeeds.
 */
static void
test_many_targets (void **state)
{
  struct unfinished *u = *state;
  struct spans s;
  char name[20];
  uint64_t i;

  for (i = 0; i < 3 * UNFINISHED_MOST; i++) {
    sprintf (name, "%d", (int) i);
    add (u, MONDAY, name, 10 * i, 10 * i + 1);
  }
  unfinished_done (u, MONDAY, "0");
  unfinished_done (u, MONDAY, "20");
  assert_int_equal (0, unfinished_get (u, MONDAY, "other", &s));
  for (i = 0; i < 3 * UNFINISHED_MOST; i++)
    assert_true (has (&s, 10 * i));
  spans_free (&s);
  unfinished_forget (u, MONDAY);
  expect (u, MONDAY, "other", "");
}

/* Of pushes without since the oldest are forgotten, and only these. */
static void
test_many_whole (void **state)
{
  struct unfinished *u = *state;
  char name[20];
  unsigned i;

  for (i = 0; i <= UNFINISHED_MOST_WHOLE; i++) {
    sprintf (name, "%u", i);
    add (u, 0, name, 0, 9);
  }
  expect (u, MONDAY, "0", "");
  for (i = 1; i <= UNFINISHED_MOST_WHOLE; i++) {
    sprintf (name, "%u", i);
    expect (u, MONDAY, name, "0-9 ");
  }
}

/* Pushes from several threads, each with its own since. */
struct pusher {
  struct unfinished *u;
  uint64_t since;
  pthread_t thread;
};

static void *
push (void *opaque)
{
  const struct pusher *p = opaque;
  uint64_t i;

  for (i = 0; i < 300; i++) {
    add (p->u, p->since, "x", 10 * i, 10 * i + 5);
    add (p->u, 0, "whole", 0, 1);
    if (i % 10 == 9) {
      struct spans s;

      assert_int_equal (0, unfinished_get (p->u, p->since, "y", &s));
      assert_true (has (&s, 10 * i) && has (&s, 10 * (i - 5)));
      spans_free (&s);
      unfinished_done (p->u, 0, "other");
      unfinished_forget (p->u, p->since);
    }
  }
  return NULL;
}

static void
test_threads (void **state)
{
  struct pusher p[4];
  unsigned i;

  for (i = 0; i < 4; i++) {
    p[i] = (struct pusher) { .u = *state, .since = MONDAY + i };
    assert_int_equal (0, pthread_create (&p[i].thread, NULL, push, &p[i]));
  }
  for (i = 0; i < 4; i++)
    pthread_join (p[i].thread, NULL);
  expect (*state, MONDAY, "x", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_spans_model),
    cmocka_unit_test (test_spans_many),
    TEST (test_any_target),
    TEST (test_done),
    TEST (test_whole),
    TEST (test_forget),
    TEST (test_many_targets),
    TEST (test_many_whole),
    TEST (test_threads),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
