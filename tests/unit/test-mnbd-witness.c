/* SPDX-License-Identifier: BSD-3-Clause */
/* The witness: a server that keeps its promises is never accused (N1), whatever
 * it loses, and one that does not is.
 */

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nbd/witness.h"

#define BLOCKS 256
#define SIZE (BLOCKS * (uint64_t) WITNESS_BLOCK)

/* A server with a volatile cache.  A block is full of one number. */
static unsigned stable[BLOCKS], cache[BLOCKS];
static struct witness w;
static unsigned seed;
/* The pool's: acknowledged and unflushed (replay_dirty). */
static bool dirty, keeps_log;

static const void *
content (unsigned number)
{
  static unsigned buf[WITNESS_BLOCK / sizeof (unsigned)];
  unsigned i;

  for (i = 0; i < sizeof buf / sizeof buf[0]; i++)
    buf[i] = number;
  return buf;
}

static unsigned
any (unsigned n)
{
  return rand_r (&seed) % n;
}

static unsigned
accusations (const unsigned *disk)
{
  struct witness_block list[WITNESS_PARTS];
  unsigned n = witness_list (&w, list), i, wrong = 0;

  for (i = 0; i < n; i++)
    wrong += witness_digest (content (disk[list[i].offset / WITNESS_BLOCK])) !=
      list[i].digest;
  return wrong;
}

/* It changes some blocks, or a part of what was asked for if it fails. */
static void
do_change (void)
{
  unsigned from = any (BLOCKS), n = 1 + any (4), number = any (5), i;
  bool ok = any (10) != 0, trim = any (8) == 0, watched;
  uint64_t block;

  if (from + n > BLOCKS)
    n = BLOCKS - from;
  witness_change_begins (&w, n * WITNESS_BLOCK, from * WITNESS_BLOCK, trim);
  watched = !trim && witness_wants_write (&w, n * WITNESS_BLOCK,
                                          from * WITNESS_BLOCK, &block);
  for (i = 0; i < n; i++)
    if (trim ? any (2) : ok || any (2))
      cache[from + i] = trim ? 0 : number;
  witness_change_ended (&w, ok);
  dirty |= ok;
  if (ok && watched)
    witness_wrote (&w, block, witness_digest (content (number)));
}

static void
do_read (void)
{
  unsigned from = any (BLOCKS);
  uint64_t block;

  if (!dirty && witness_wants_read (&w, WITNESS_BLOCK, from * WITNESS_BLOCK,
                                    &block))
    witness_read (&w, block, witness_digest (content (cache[from])), false);
}

/* If it fails it may have dropped what it was to save. */
static void
do_flush (void)
{
  unsigned saved[BLOCKS], i;
  uint64_t acks = w.acks;
  bool more = any (2);

  memcpy (saved, cache, sizeof saved);
  if (more)
    do_change ();               /* which it does not cover */
  if (any (8)) {
    memcpy (stable, saved, sizeof stable);
    witness_flushed (&w, acks);
    dirty = more;
    return;
  }
  witness_lost (&w);
  if (!keeps_log)
    dirty = false;
  for (i = 0; i < BLOCKS; i++)
    if (any (2))
      cache[i] = stable[i];
}

/* The connection is lost, and perhaps what was not flushed. */
static void
do_outage (void)
{
  bool crash = any (2);
  unsigned i;

  witness_lost (&w);
  for (i = 0; crash && i < BLOCKS; i++)
    stable[i] = cache[i] = any (2) ? cache[i] : stable[i];
  if (!keeps_log)
    dirty = false;              /* each client is told */
  assert_int_equal (0, accusations (cache));
}

static void
test_right_server (void **state)
{
  unsigned round, i;

  (void) state;
  seed = time (NULL);
  print_message ("seed %u\n", seed);
  for (round = 0; round < 2000; round++) {
    keeps_log = round % 2;
    dirty = false;
    memset (&w, 0, sizeof w);
    witness_reset (&w, true, SIZE);
    /* Others may have left something unflushed. */
    for (i = 0; i < BLOCKS; i++) {
      stable[i] = any (5);
      cache[i] = any (5);
    }
    for (i = 0; i < 300; i++)
      switch (any (16)) {
      case 0: do_outage (); break;
      case 1: do_flush (); break;
      case 2: case 3: case 4: case 5: do_read (); break;
      default: do_change ();
      }
  }
}

static void
test_wrong_server (void **state)
{
  struct witness_block list[WITNESS_PARTS];
  unsigned other[BLOCKS] = { 0 }, i;

  (void) state;
  seed = 1;
  memset (&w, 0, sizeof w);
  witness_reset (&w, true, SIZE);
  for (i = 0; i < BLOCKS; i++)
    cache[i] = 1 + i;
  for (i = 0; i < BLOCKS; i++)
    witness_read (&w, i * (uint64_t) WITNESS_BLOCK,
                  witness_digest (content (cache[i])), false);
  assert_int_equal (0, witness_list (&w, list)); /* nothing was flushed */
  witness_flushed (&w, w.acks);
  assert_int_equal (WITNESS_PARTS, witness_list (&w, list));
  assert_int_equal (0, accusations (cache));
  assert_int_equal (WITNESS_PARTS, accusations (other));
}

static void
test_sizes (void **state)
{
  static const uint64_t sizes[] = {
    0, 1, 4095, 4096, 4097, 262144, 262145, UINT64_C (1) << 40,
    INT64_MAX,
  };
  uint64_t block;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    uint64_t size = sizes[i], last;

    witness_reset (&w, true, size);
    if (size < WITNESS_BLOCK) {
      assert_false (witness_wants_write (&w, WITNESS_BLOCK, 0, &block));
      continue;
    }
    last = (size - WITNESS_BLOCK) & ~(uint64_t) (WITNESS_BLOCK - 1);
    assert_true (witness_wants_write (&w, WITNESS_BLOCK, last, &block));
    assert_int_equal (last, block);
    assert_false (witness_wants_write (&w, WITNESS_BLOCK - 1, 0, &block));
    witness_change_begins (&w, size, 0, false);
    witness_change_ended (&w, true);
    witness_wrote (&w, last, 1);
    witness_flushed (&w, w.acks);
    witness_change_begins (&w, 1, last + 5, false);
    witness_change_ended (&w, true);
    assert_int_equal (0, witness_list (&w, (struct witness_block[64]) { { 0 } }));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_right_server),
    cmocka_unit_test (test_wrong_server),
    cmocka_unit_test (test_sizes),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
