/* SPDX-License-Identifier: BSD-3-Clause */
/* mnbd's replay log: what it keeps, for how long, and in which order. */

#include "unit.h"

#include "nbd/replay.h"

#define LIMIT 65536

static struct replay_op
op (enum replay_type type, uint64_t offset, uint32_t count)
{
  return (struct replay_op) { .type = type, .offset = offset, .count = count };
}

/* A whole write that goes well, of bytes that are all the same. */
static void
write_bytes (struct replay *r, uint64_t offset, uint32_t count, int byte)
{
  struct replay_op o = op (REPLAY_WRITE, offset, count);
  char *data = malloc (count);

  memset (data, byte, count);
  assert_int_equal (0, replay_begin (r, &o));
  replay_store (&o, data);
  replay_end (r, &o, true);
  free (data);
  replay_check (r);
}

static unsigned
entries (const struct replay *r)
{
  struct replay_item item;
  uint64_t seq = 0, changed = 0;
  unsigned n = 0;

  while (replay_next (r, &seq, &item)) {
    changed += item.count;
    n++;
  }
  assert_int_equal (n, replay_usage (r).entries);
  assert_int_equal (changed, replay_usage (r).changed);
  return n;
}

static void
test_order (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op trim = op (REPLAY_TRIM, 100, 10);
  struct replay_op zero = op (REPLAY_ZERO, 105, 10);
  struct replay_item item;
  uint64_t seq = 0;

  (void) state;
  write_bytes (r, 0, 1000, 'a');
  trim.flags = 7;
  assert_int_equal (0, replay_begin (r, &trim));
  replay_end (r, &trim, true);
  assert_int_equal (0, replay_begin (r, &zero));
  replay_end (r, &zero, true);
  write_bytes (r, 999, 2, 'b');

  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (REPLAY_WRITE, item.type);
  assert_int_equal (1000, item.count);
  assert_int_equal ('a', ((const char *) item.data)[999]);
  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (REPLAY_TRIM, item.type);
  assert_int_equal (100, item.offset);
  assert_int_equal (7, item.flags);
  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (REPLAY_ZERO, item.type);
  assert_null (item.data);
  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (999, item.offset);
  assert_int_equal ('b', ((const char *) item.data)[0]);
  assert_false (replay_next (r, &seq, &item));
  replay_free (r);
}

/* L1 */
static void
test_overlap (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op a = op (REPLAY_WRITE, 100, 100);
  struct replay_op left = op (REPLAY_ZERO, 0, 100);
  struct replay_op right = op (REPLAY_TRIM, 200, 1);
  struct replay_op over = op (REPLAY_TRIM, 199, 2);

  (void) state;
  assert_int_equal (0, replay_begin (r, &a));
  assert_errno (EBUSY, replay_begin (r, &over));
  over.offset = 99;
  assert_errno (EBUSY, replay_begin (r, &over));
  assert_int_equal (0, replay_begin (r, &left));
  assert_int_equal (0, replay_begin (r, &right));
  replay_check (r);
  replay_end (r, &a, false);
  assert_errno (EBUSY, replay_begin (r, &over)); /* still left */
  replay_end (r, &left, true);
  assert_int_equal (0, replay_begin (r, &over));
  replay_end (r, &over, true);
  replay_end (r, &right, true);
  replay_check (r);
  assert_int_equal (3, entries (r));
  replay_free (r);
}

/* L2: only what was acknowledged before the mark leaves. */
static void
test_flush (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op late = op (REPLAY_WRITE, 5000, 100);
  struct replay_mark mark;
  struct replay_item item;
  uint64_t seq = 0;
  char data[100] = "late";

  (void) state;
  assert_false (replay_dirty (r));
  write_bytes (r, 0, 100, 'a');
  /* In the log before the next one, but acknowledged after the mark. */
  assert_int_equal (0, replay_begin (r, &late));
  write_bytes (r, 200, 100, 'b');
  mark = replay_mark (r);
  replay_store (&late, data);
  replay_end (r, &late, true);
  write_bytes (r, 400, 100, 'c');
  assert_int_equal (4, entries (r));
  replay_flushed (r, mark);
  replay_check (r);
  assert_int_equal (2, entries (r));
  assert_true (replay_dirty (r));
  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (5000, item.offset);
  assert_string_equal ("late", item.data);
  assert_true (replay_next (r, &seq, &item));
  assert_int_equal (400, item.offset);
  replay_flushed (r, replay_mark (r));
  assert_int_equal (0, entries (r));
  assert_false (replay_dirty (r));
  assert_int_equal (0, replay_usage (r).bytes);
  replay_free (r);
}

/* The bytes that would be lost with the log are those that were acknowledged,
 * zeros and trims too; the log also takes room for the rest.
 */
static void
test_usage (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op zero = op (REPLAY_ZERO, 1 << 20, 64 << 20);
  struct replay_op later = op (REPLAY_WRITE, 8192, 512);
  struct replay_mark mark;

  (void) state;
  write_bytes (r, 0, 4096, 'a');
  assert_int_equal (4096, replay_usage (r).changed);
  mark = replay_mark (r);
  assert_int_equal (0, replay_begin (r, &zero));
  replay_end (r, &zero, true);
  assert_int_equal (0, replay_begin (r, &later));
  assert_int_equal (2, entries (r));
  assert_int_equal (4096 + (64 << 20), replay_usage (r).changed);
  assert_int_equal (4096 + 512 + 3 * REPLAY_ENTRY_COST,
                    replay_usage (r).bytes);
  replay_flushed (r, mark);
  assert_int_equal (1, entries (r));
  assert_int_equal (64 << 20, replay_usage (r).changed);
  replay_end (r, &later, false);
  replay_flushed (r, replay_mark (r));
  assert_int_equal (0, replay_usage (r).changed);
  replay_free (r);
}

/* What was not acknowledged is not replayed. */
static void
test_failure (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op a = op (REPLAY_WRITE, 0, 1000);

  (void) state;
  assert_int_equal (0, replay_begin (r, &a));
  assert_int_equal (0, entries (r));
  replay_end (r, &a, false);
  assert_int_equal (0, entries (r));
  assert_false (replay_dirty (r));
  assert_int_equal (0, replay_usage (r).bytes);
  replay_free (r);
}

/* L3 */
static void
test_fua (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op fua = op (REPLAY_WRITE, 50, 100);

  (void) state;
  fua.fua = true;
  assert_int_equal (0, replay_begin (r, &fua));
  replay_end (r, &fua, true);
  assert_int_equal (0, entries (r)); /* safe already */
  assert_false (replay_dirty (r));

  write_bytes (r, 0, 100, 'a');
  assert_errno (ENOBUFS, replay_begin (r, &fua));
  fua.offset = 100;
  assert_int_equal (0, replay_begin (r, &fua));
  replay_end (r, &fua, true);
  assert_int_equal (1, entries (r));
  fua.offset = 50;
  replay_flushed (r, replay_mark (r));
  assert_int_equal (0, replay_begin (r, &fua));
  replay_end (r, &fua, true);
  replay_free (r);
}

/* L4 */
static void
test_full (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op o = op (REPLAY_WRITE, 1 << 20, 16384);
  uint32_t i;

  (void) state;
  for (i = 0; i < 4; i++) {
    assert_int_equal (i >= 2, replay_half_full (r));
    write_bytes (r, i * 16384, 16384, i);
  }
  assert_errno (ENOBUFS, replay_begin (r, &o));
  o.count = 1;
  assert_errno (ENOBUFS, replay_begin (r, &o));
  replay_flushed (r, replay_mark (r));
  assert_int_equal (0, replay_begin (r, &o));
  replay_end (r, &o, true);
  replay_free (r);

  /* Zeroes take no data, but are bounded too. */
  r = replay_new (LIMIT);
  for (i = 0; i < LIMIT / REPLAY_ENTRY_COST; i++) {
    o = op (REPLAY_ZERO, i, 1);
    assert_int_equal (0, replay_begin (r, &o));
    replay_end (r, &o, true);
  }
  o = op (REPLAY_TRIM, i, 1);
  assert_errno (ENOBUFS, replay_begin (r, &o));
  replay_check (r);
  replay_free (r);
}

static void
test_too_large (void **state)
{
  struct replay *r = replay_new (LIMIT);
  struct replay_op o = op (REPLAY_WRITE, 0, LIMIT / 2 + 1);

  (void) state;
  assert_int_equal (0, replay_begin (r, &o));
  assert_true (o.through);
  assert_false (o.logged);
  replay_end (r, &o, true);
  assert_int_equal (0, entries (r));
  assert_false (replay_dirty (r));
  o.count--;
  assert_int_equal (0, replay_begin (r, &o));
  assert_false (o.through);
  assert_true (o.logged);
  replay_end (r, &o, false);
  replay_free (r);
}

static void
test_no_copies (void **state)
{
  struct replay *r = replay_new (0);
  struct replay_op a = op (REPLAY_WRITE, 0, 1 << 20);
  struct replay_op b = op (REPLAY_WRITE, 1, 1);

  (void) state;
  assert_int_equal (0, replay_begin (r, &a));
  assert_errno (EBUSY, replay_begin (r, &b));
  replay_store (&a, "not read, for there is no copy");
  assert_false (replay_dirty (r));
  replay_end (r, &a, true);
  assert_true (replay_dirty (r));
  assert_int_equal (0, entries (r));
  replay_flushed (r, replay_mark (r));
  assert_false (replay_dirty (r));
  assert_int_equal (0, replay_begin (r, &b));
  replay_end (r, &b, true);
  replay_forget (r);
  assert_false (replay_dirty (r));
  replay_free (r);
}

/* A disk whose server keeps everything in memory until a flush, and crashes
 * now and then: with the log it is always what it should be.
 */
#define DISK 4096
#define FLYING 4

struct model {
  struct replay *log;
  unsigned char wanted[DISK];   /* what the client was told */
  unsigned char server[DISK], safe[DISK];
  struct replay_op o[FLYING];
  unsigned char byte[FLYING];
  bool used[FLYING];
  struct replay_mark mark;      /* of a flush in flight */
  unsigned char at_mark[DISK];
  bool flushing;
  unsigned flushes, crashes, refused;
};

static void
apply (unsigned char *disk, enum replay_type type, uint64_t offset,
       uint32_t count, const void *data)
{
  if (type == REPLAY_WRITE)
    memcpy (disk + offset, data, count);
  else
    memset (disk + offset, 0, count);
}

static void
begin_some (struct model *m, unsigned i)
{
  uint32_t count = 1 + rand () % 600;
  uint64_t offset = rand () % (DISK - count);

  m->o[i] = op (rand () % 3, offset, count);
  m->o[i].fua = rand () % 16 == 0;
  m->byte[i] = rand ();
  if (replay_begin (m->log, &m->o[i]) == -1) {
    m->refused++;
    if (errno == ENOBUFS) {
      memcpy (m->safe, m->server, DISK);
      replay_flushed (m->log, replay_mark (m->log));
      m->flushing = false;
    }
    return;
  }
  m->used[i] = true;
}

static void
end_some (struct model *m, unsigned i)
{
  struct replay_op *o = &m->o[i];
  unsigned char data[DISK];

  memset (data, m->byte[i], o->count);
  replay_store (o, data);
  apply (m->server, o->type, o->offset, o->count, data);
  apply (m->wanted, o->type, o->offset, o->count, data);
  if (o->fua) {
    apply (m->safe, o->type, o->offset, o->count, data);
    apply (m->at_mark, o->type, o->offset, o->count, data);
  }
  replay_end (m->log, o, true);
  m->used[i] = false;
}

static void
crash (struct model *m)
{
  struct replay_item item;
  uint64_t seq = 0;
  unsigned i;

  m->crashes++;
  m->flushing = false;
  /* Any part of what was not flushed may be lost: here all or none, and the
   * writes in flight have been done or not.
   */
  if (rand () % 4)
    memcpy (m->server, m->safe, DISK);
  for (i = 0; i < FLYING; i++)
    if (m->used[i] && rand () % 2)
      memset (m->server + m->o[i].offset, m->byte[i] + 1, m->o[i].count);
  while (replay_next (m->log, &seq, &item))
    apply (m->server, item.type, item.offset, item.count, item.data);
  for (i = 0; i < FLYING; i++)
    if (m->used[i])
      end_some (m, i);
  assert_memory_equal (m->wanted, m->server, DISK);
}

static void
flush_some (struct model *m)
{
  if (!m->flushing) {
    m->mark = replay_mark (m->log);
    memcpy (m->at_mark, m->server, DISK);
    m->flushing = true;
    return;
  }
  /* It made safe what was there when it was sent, or more. */
  memcpy (m->safe, rand () % 2 ? m->server : m->at_mark, DISK);
  replay_flushed (m->log, m->mark);
  m->flushing = false;
  m->flushes++;
}

static void
test_model (void **state)
{
  static struct model m;
  unsigned step;

  (void) state;
  srand (20261122);
  m.log = replay_new (8192);
  for (step = 0; step < 300000; step++) {
    unsigned i = rand () % FLYING;

    if (m.used[i])
      end_some (&m, i);
    else
      begin_some (&m, i);
    if (rand () % 32 == 0)
      flush_some (&m);
    if (rand () % 64 == 0)
      crash (&m);
    if (step % 16 == 0)
      replay_check (m.log);
  }
  assert_true (m.flushes > 1000);
  assert_true (m.crashes > 1000);
  assert_true (m.refused > 1000);
  replay_free (m.log);
}

/* The ring of a log that is gone serves the next one, of whatever size, but
 * never two.
 */
static void
test_rings (void **state)
{
  struct replay *a = replay_new (LIMIT), *b, *c, *d;
  struct replay_item item;
  uint64_t seq = 0;

  (void) state;
  write_bytes (a, 0, 1000, 'a');
  replay_free (a);
  b = replay_new (LIMIT);
  c = replay_new (LIMIT);
  d = replay_new (2 * LIMIT);
  write_bytes (b, 0, 1000, 'b');
  write_bytes (c, 0, 1000, 'c');
  write_bytes (d, 0, LIMIT, 'd');
  assert_true (replay_next (b, &seq, &item));
  assert_int_equal ('b', *(const char *) item.data);
  replay_free (b);
  replay_free (d);
  a = replay_new (LIMIT);
  write_bytes (a, 0, LIMIT / 2, 'a');
  seq = 0;
  assert_true (replay_next (c, &seq, &item));
  assert_int_equal ('c', *(const char *) item.data);
  replay_free (a);
  replay_free (c);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_order),
    cmocka_unit_test (test_overlap),
    cmocka_unit_test (test_flush),
    cmocka_unit_test (test_usage),
    cmocka_unit_test (test_failure),
    cmocka_unit_test (test_fua),
    cmocka_unit_test (test_full),
    cmocka_unit_test (test_too_large),
    cmocka_unit_test (test_no_copies),
    cmocka_unit_test (test_rings),
    cmocka_unit_test (test_model),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
