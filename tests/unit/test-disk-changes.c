/* SPDX-License-Identifier: BSD-3-Clause */
/* disk_changes: what a save writes of a disk that it has saved before. */

#include "unit.h"

#include "tests/random.h"
#include "tests/unit/disk-fixture.h"

#define PAGES ((uint64_t) 3000) /* more than two leaves */

/* What a frozen disk has in each page. */
struct content {
  uint8_t type[2 * PAGES];      /* an enum extent_type */
  const void *page[2 * PAGES];
};

static int
add_pages (void *opaque, uint64_t index, uint64_t n, const void *page)
{
  struct content *c = opaque;

  for (; n > 0; n--, index++) {
    c->type[index] = page ? EXTENT_DATA : EXTENT_ZERO;
    c->page[index] = page;
  }
  return 0;
}

static struct content *
content (struct disk *d)
{
  struct content *c = calloc (1, sizeof *c);
  uint64_t i;

  for (i = 0; i < 2 * PAGES; i++)
    c->type[i] = EXTENT_HOLE;
  assert_int_equal (0, disk_pages (d, 0, (disk_size (d) + P - 1) / P, add_pages,
                                   c));
  return c;
}

struct seen {
  const struct content *was, *is;
  uint64_t pages;               /* of the disk */
  uint64_t next;                /* everything before is checked */
  uint64_t data, rest;          /* pages that were reported */
};

static bool
same (const struct seen *s, uint64_t i)
{
  return s->was->type[i] == s->is->type[i] &&
    (s->is->type[i] != EXTENT_DATA ||
     memcmp (s->was->page[i], s->is->page[i], P) == 0);
}

static int
check_change (void *opaque, uint64_t index, uint64_t n, enum extent_type type,
              const void *page)
{
  struct seen *s = opaque;

  assert_true (index >= s->next && n > 0 && index + n <= s->pages);
  for (; s->next < index; s->next++)    /* what is not reported is as it was */
    assert_true (same (s, s->next));
  if (type == EXTENT_DATA) {
    assert_int_equal (1, n);
    assert_false (same (s, index));
    assert_memory_equal (s->is->page[index], page, P);
    s->data++;
  }
  else
    s->rest += n;
  for (; s->next < index + n; s->next++)
    assert_int_equal (type, s->is->type[s->next]);
  return 0;
}

/* Both disks must be ones that nobody changes. */
static struct seen
changes (struct disk *before, struct disk *d)
{
  struct content *was = content (before), *is = content (d);
  struct seen s = { .was = was, .is = is, .pages = (disk_size (d) + P - 1) / P };

  assert_int_equal (0, disk_changes (before, d, check_change, &s));
  for (; s.next < s.pages; s.next++)
    assert_true (same (&s, s.next));
  s.was = s.is = NULL;
  free (was);
  free (is);
  return s;
}

static void
freeze (struct fixture *f, unsigned slot, struct disk *d)
{
  disk_free (f->disk[slot]);
  f->disk[slot] = NULL;
  assert_int_equal (0, disk_freeze (&d, &f->disk[slot], 1));
}

/* A disk is compared with what it was before. */
static struct seen
changes_since (struct fixture *f, struct disk *d)
{
  freeze (f, 2, d);
  return changes (f->disk[1], f->disk[2]);
}

static void
test_each_kind (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, PAGES * P);
  struct seen s;

  put (d, 0, 100 * P, 'a');
  put (d, LEAF, 10 * P, 'b');
  freeze (f, 1, d);
  s = changes_since (f, d);
  assert_int_equal (0, s.data + s.rest);
  /* One byte of a page; the same bytes again; a new page. */
  put (d, 5 * P + 77, 1, 'x');
  put (d, 7 * P, 2 * P, 'a');
  put (d, 2 * LEAF, P, 'n');
  s = changes_since (f, d);
  assert_int_equal (2, s.data);
  assert_int_equal (0, s.rest);
  /* A hole and zeros, which are told apart. */
  assert_int_equal (0, disk_zero (d, 3 * P, 20 * P, false));
  assert_int_equal (0, disk_zero (d, 4 * P, LEAF, true));
  s = changes_since (f, d);
  assert_int_equal (2, s.data);
  assert_int_equal (7, s.rest);
  /* Everything goes. */
  assert_int_equal (0, disk_zero (d, PAGES * P, 0, true));
  s = changes_since (f, d);
  assert_int_equal (0, s.data);
  assert_true (s.rest >= 110);
}

/* The trees have different heights, or one disk is larger. */
static void
test_sizes (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 3 * P);
  struct seen s;

  put (d, 0, 3 * P, 'a');
  freeze (f, 1, d);
  assert_int_equal (0, disk_resize (d, PAGES * P + 100));
  s = changes_since (f, d);
  assert_int_equal (0, s.data);
  put (d, PAGES * P, 100, 'e');
  put (d, P, P, 'c');
  s = changes_since (f, d);
  assert_int_equal (2, s.data);
  freeze (f, 1, d);
  assert_int_equal (0, disk_resize (d, P + 10));
  s = changes_since (f, d);
  assert_true (s.data <= 1);
  assert_int_equal (0, s.rest);
}

/* Zeros up to different sizes are the same page in trees of another height. */
static void
test_zeros (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, LEAF);

  assert_int_equal (0, disk_zero (d, LEAF, 0, false));
  freeze (f, 1, d);
  assert_int_equal (0, disk_resize (d, 2 * LEAF));
  assert_int_equal (0, disk_zero (d, 2 * LEAF, 0, false));
  assert_true (changes_since (f, d).rest >= LEAF / P);
}

/* Nothing in common: all that there is. */
static void
test_no_relation (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, PAGES * P), *e = new_disk (f, 3, LEAF);

  put (d, 10 * P, 20 * P, 'a');
  put (e, 15 * P, P, 'a');      /* by chance */
  freeze (f, 1, e);
  assert_int_equal (19, changes_since (f, d).data);
}

static int
end_it (void *opaque, uint64_t index, uint64_t n, enum extent_type type,
        const void *page)
{
  (void) index; (void) n; (void) type; (void) page;
  return ++*(int *) opaque == 2 ? 42 : 0;
}

static void
test_ended (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, PAGES * P);
  int calls = 0;

  freeze (f, 1, d);
  put (d, 0, 5 * P, 'a');
  freeze (f, 2, d);
  assert_int_equal (42, disk_changes (f->disk[1], f->disk[2], end_it, &calls));
  assert_int_equal (2, calls);
}

static void
change_something (struct disk *d, uint64_t *seed)
{
  uint64_t size = disk_size (d), n, at;

  n = 1 + xorshift_below (seed, xorshift_below (seed, 4) ? 3 * P : 300 * P);
  n = n < size ? n : size;
  at = xorshift_below (seed, size - n + 1);
  switch (xorshift_below (seed, 4)) {
  case 0:
    assert_int_equal (0, disk_zero (d, n, at, true));
    break;
  case 1:
    assert_int_equal (0, disk_zero (d, n, at, false));
    break;
  default:
    put (d, at, n, 1 + xorshift_below (seed, 3));
  }
}

static void
test_random (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, PAGES * P);
  uint64_t seed = 3;
  unsigned round, i;

  freeze (f, 1, d);
  for (round = 0; round < 60; round++) {
    for (i = xorshift_below (&seed, 8); i > 0; i--)
      change_something (d, &seed);
    if (xorshift_below (&seed, 6) == 0)
      assert_int_equal (0, disk_resize (d, 1 + xorshift_below (&seed, PAGES
                                                               * P)));
    changes_since (f, d);
    if (xorshift_below (&seed, 3) == 0)
      freeze (f, 1, d);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_each_kind),
    TEST (test_sizes),
    TEST (test_zeros),
    TEST (test_no_relation),
    TEST (test_ended),
    TEST (test_random),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
