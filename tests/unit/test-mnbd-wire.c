/* SPDX-License-Identifier: BSD-3-Clause */
/* The replies of an NBD server: honest ones of all kinds in pieces of all
 * sizes, and all that a hostile one may send.
 */

#include "unit.h"

#include <endian.h>

#include "wire.h"

#define FUA 1                   /* LIBNBD_CMD_FLAG_FUA */

enum { READ = 1, BIG, WRITE, EXTENTS, NCOMMANDS };
#define BIG_COUNT 100000

/* What happened to a command. */
struct result {
  struct upstream_command c;
  unsigned answers;
  uint32_t pairs[64];
  size_t npairs;
};

struct client {
  struct wire *wire;
  struct result r[NCOMMANDS];
};

static struct upstream_command *
find (void *opaque, uint64_t cookie)
{
  struct client *k = opaque;

  if (cookie == 0 || cookie >= NCOMMANDS || k->r[cookie].answers)
    return NULL;
  return &k->r[cookie].c;
}

static void
answered (void *opaque, struct upstream_command *c)
{
  struct client *k = opaque;
  struct result *r = (struct result *) c;

  (void) k;
  r->answers++;
}

static const struct wire_owner owner = { .find = find, .answered = answered };

static int
extents (void *opaque, uint64_t offset, const uint32_t *pairs, size_t n)
{
  struct result *r = opaque;

  (void) offset;
  if (r->npairs + 2 * n > 64) {
    errno = ENOMEM;
    return -1;
  }
  memcpy (r->pairs + r->npairs, pairs, 8 * n);
  r->npairs += 2 * n;
  return 0;
}

/* Buffers are malloc's, so AddressSanitizer sees what goes beyond (W1). */
static void
client_init (struct client *k, bool structured)
{
  memset (k, 0, sizeof *k);
  k->wire = malloc (sizeof *k->wire);
  wire_init (k->wire, structured, &owner, k);
  k->r[READ].c = (struct upstream_command) {
    .op = UPSTREAM_READ, .offset = 1000, .count = 100, .read = calloc (1, 100),
  };
  k->r[BIG].c = (struct upstream_command) {
    .op = UPSTREAM_READ, .offset = 0, .count = BIG_COUNT,
    .read = calloc (1, BIG_COUNT),
  };
  k->r[WRITE].c = (struct upstream_command) {
    .op = UPSTREAM_WRITE, .count = 512,
  };
  k->r[EXTENTS].c = (struct upstream_command) {
    .op = UPSTREAM_EXTENTS, .offset = 4096, .count = 65536,
    .extents = extents, .opaque = &k->r[EXTENTS],
  };
}

static void
client_free (struct client *k)
{
  free (k->r[READ].c.read);
  free (k->r[BIG].c.read);
  free (k->wire);
}

/* -------------------------------------------------- what a server sends */

struct bytes {
  unsigned char b[400000];
  size_t n;
};

static void
number (struct bytes *s, uint64_t v, size_t size)
{
  v = htobe64 (v);
  memcpy (s->b + s->n, (char *) &v + 8 - size, size);
  s->n += size;
}

static void
fill (struct bytes *s, int byte, size_t n)
{
  memset (s->b + s->n, byte, n);
  s->n += n;
}

static void
simple (struct bytes *s, uint32_t error, uint64_t cookie)
{
  number (s, 0x67446698, 4);
  number (s, error, 4);
  number (s, cookie, 8);
}

static void
chunk (struct bytes *s, bool last, unsigned type, uint64_t cookie,
       uint32_t length)
{
  number (s, 0x668e33ef, 4);
  number (s, last, 2);
  number (s, type, 2);
  number (s, cookie, 8);
  number (s, length, 4);
}

static void
data (struct bytes *s, bool last, uint64_t cookie, uint64_t offset, int byte,
      size_t n)
{
  chunk (s, last, 1, cookie, 8 + n);
  number (s, offset, 8);
  fill (s, byte, n);
}

static void
hole (struct bytes *s, bool last, uint64_t cookie, uint64_t offset, uint32_t n)
{
  chunk (s, last, 2, cookie, 12);
  number (s, offset, 8);
  number (s, n, 4);
}

static void
error (struct bytes *s, bool last, uint64_t cookie, uint32_t value,
       const char *message)
{
  chunk (s, last, 0x8001, cookie, 6 + strlen (message));
  number (s, value, 4);
  number (s, strlen (message), 2);
  memcpy (s->b + s->n, message, strlen (message));
  s->n += strlen (message);
}

static void
status (struct bytes *s, bool last, uint64_t cookie, uint32_t context,
        unsigned n)
{
  unsigned i;

  chunk (s, last, 5, cookie, 4 + 8 * n);
  number (s, context, 4);
  for (i = 0; i < n; i++) {
    number (s, 512 * (i + 1), 4);
    number (s, i % 4, 4);
  }
}

/* Let the client receive it, at most `step` bytes at a time. */
static int
feed (struct client *k, const void *bytes, size_t n, size_t step)
{
  const char *b = bytes;

  while (n) {
    struct iovec piece[2];
    size_t left = step < n ? step : n, took = 0;
    bool all;
    int pieces = wire_room (k->wire, piece, &all), i;

    assert_in_range (pieces, 1, 2);
    assert_true (piece[0].iov_len > 0);
    for (i = 0; i < pieces && left; i++) {
      size_t m = left < piece[i].iov_len ? left : piece[i].iov_len;

      memcpy (piece[i].iov_base, b, m);
      b += m;
      left -= m;
      took += m;
    }
    n -= took;
    if (wire_took (k->wire, took) == -1) {
      assert_non_null (k->wire->wrong);
      return -1;
    }
  }
  assert_null (k->wire->wrong);
  return 0;
}

static const size_t steps[] = { 1, 2, 7, 28, 1000, 70000, 1000000 };
#define NSTEPS (sizeof steps / sizeof steps[0])

static bool
all_are (const void *p, int byte, size_t n)
{
  const unsigned char *b = p;

  while (n && *b == byte)
    b++, n--;
  return n == 0;
}

/* ---------------------------------------------------------- honest ones */

static void
test_request (void **state)
{
  static const unsigned char expected[WIRE_REQUEST] = {
    0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
    0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0x10, 0,
  };
  struct upstream_command c = { .op = UPSTREAM_WRITE, .flags = FUA,
                                .offset = (UINT64_C (1) << 40) + 2,
                                .count = 4096 };
  unsigned char header[WIRE_REQUEST];

  (void) state;
  wire_request (header, &c, UINT64_C (0x0102030405060708));
  assert_memory_equal (expected, header, WIRE_REQUEST);
}

static void
test_simple (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  size_t i;

  (void) state;
  simple (s, 0, WRITE);
  simple (s, 0, BIG);
  fill (s, 'b', BIG_COUNT);
  simple (s, 0, READ);
  fill (s, 'r', 100);
  simple (s, 28, EXTENTS);
  for (i = 0; i < NSTEPS; i++) {
    struct client k;
    int id;

    client_init (&k, false);
    assert_int_equal (0, feed (&k, s->b, s->n, steps[i]));
    for (id = 1; id < NCOMMANDS; id++) {
      assert_int_equal (1, k.r[id].answers);
      assert_int_equal (id == EXTENTS ? ENOSPC : 0, k.r[id].c.error);
    }
    assert_true (all_are (k.r[READ].c.read, 'r', 100));
    assert_true (all_are (k.r[BIG].c.read, 'b', BIG_COUNT));
    client_free (&k);
  }
  free (s);
}

static void
test_structured (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  size_t i;

  (void) state;
  /* The chunks of two reads, mixed and in no order. */
  data (s, false, BIG, 50000, 'y', 50000);
  data (s, false, READ, 1090, 'c', 10);
  hole (s, false, BIG, 40000, 10000);
  data (s, false, READ, 1000, 'a', 50);
  data (s, true, BIG, 0, 'x', 40000);
  chunk (s, true, 0, WRITE, 0);
  status (s, false, EXTENTS, 17, 20);
  hole (s, false, READ, 1050, 40);
  chunk (s, true, 0, READ, 0);
  chunk (s, true, 0, EXTENTS, 0);
  for (i = 0; i < NSTEPS; i++) {
    struct client k;
    const char *b;
    int id;

    client_init (&k, true);
    b = k.r[BIG].c.read;
    memset (k.r[BIG].c.read, 'o', BIG_COUNT);
    assert_int_equal (0, feed (&k, s->b, s->n, steps[i]));
    for (id = 1; id < NCOMMANDS; id++) {
      assert_int_equal (1, k.r[id].answers);
      assert_int_equal (0, k.r[id].c.error);
    }
    assert_true (all_are (b, 'x', 40000));
    assert_true (all_are (b + 40000, 0, 10000));
    assert_true (all_are (b + 50000, 'y', 50000));
    assert_true (all_are (k.r[READ].c.read, 'a', 50));
    assert_int_equal (40, k.r[EXTENTS].npairs);
    assert_int_equal (512 * 20, k.r[EXTENTS].pairs[38]);
    assert_int_equal (3, k.r[EXTENTS].pairs[39]);
    client_free (&k);
  }
  free (s);
}

static void
test_errors (void **state)
{
  static const struct { uint32_t wire; int error; } map[] = {
    { 1, EPERM }, { 5, EIO }, { 12, ENOMEM }, { 22, EINVAL }, { 28, ENOSPC },
    { 75, EOVERFLOW }, { 95, ENOTSUP }, { 108, ESHUTDOWN }, { 0, EIO },
    { 13, EINVAL }, { 0xffffffff, EINVAL },
  };
  size_t i, j;

  (void) state;
  for (i = 0; i < sizeof map / sizeof map[0]; i++)
    for (j = 0; j < NSTEPS; j++) {
      struct bytes *s = calloc (1, sizeof *s);
      struct client k;

      client_init (&k, true);
      error (s, true, WRITE, map[i].wire, "because");
      /* The first error counts; data may have come before. */
      data (s, false, READ, 1000, 'a', 50);
      error (s, false, READ, map[i].wire, "");
      error (s, true, READ, 5, "again");
      /* An error at an offset, and one of a kind that we do not know. */
      chunk (s, false, 0x8002, BIG, 6 + 3 + 8);
      number (s, map[i].wire, 4);
      number (s, 3, 2);
      fill (s, 'm', 3);
      number (s, 77, 8);
      chunk (s, true, 0, BIG, 0);
      chunk (s, true, 0xffff, EXTENTS, 6 + 90);
      number (s, map[i].wire, 4);
      number (s, 0, 2);
      fill (s, '?', 90);
      assert_int_equal (0, feed (&k, s->b, s->n, steps[j]));
      assert_int_equal (map[i].error, k.r[WRITE].c.error);
      assert_int_equal (map[i].error, k.r[READ].c.error);
      assert_int_equal (map[i].error, k.r[BIG].c.error);
      assert_int_equal (map[i].error, k.r[EXTENTS].c.error);
      client_free (&k);
      free (s);
    }
}

/* W3 */
static void
test_incomplete (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  struct client k;

  (void) state;
  client_init (&k, true);
  data (s, true, READ, 1000, 'a', 99);
  chunk (s, true, 0, BIG, 0);
  chunk (s, true, 0, EXTENTS, 0);
  assert_int_equal (0, feed (&k, s->b, s->n, s->n));
  assert_int_equal (EIO, k.r[READ].c.error);
  assert_int_equal (EIO, k.r[BIG].c.error);
  assert_int_equal (EIO, k.r[EXTENTS].c.error);
  client_free (&k);
  free (s);
}

/* --------------------------------------------------------- hostile ones */

static void
refuse (bool structured, const struct bytes *s)
{
  size_t i;

  for (i = 0; i < NSTEPS; i++) {
    struct client k;

    client_init (&k, structured);
    assert_int_equal (-1, feed (&k, s->b, s->n, steps[i]));
    client_free (&k);
  }
}

#define REFUSE(structured, statements)          \
  do {                                          \
    struct bytes *s = calloc (1, sizeof *s);    \
    statements;                                 \
    refuse (structured, s);                     \
    free (s);                                   \
  } while (0)

static void
test_wrong (void **state)
{
  (void) state;
  /* No reply at all. */
  REFUSE (true, fill (s, 'x', 4));
  REFUSE (false, fill (s, 0, 500));
  REFUSE (false, chunk (s, true, 0, WRITE, 0));
  /* Nobody asked. */
  REFUSE (false, simple (s, 0, 99));
  REFUSE (true, simple (s, 5, 0));
  REFUSE (true, chunk (s, true, 0, 99, 0));
  REFUSE (false, simple (s, 0, WRITE); simple (s, 0, WRITE));
  REFUSE (true, chunk (s, true, 0, WRITE, 0); chunk (s, true, 0, WRITE, 0));
  /* Simple where it may not be. */
  REFUSE (true, simple (s, 0, READ));
  REFUSE (false, simple (s, 0, EXTENTS));
  /* Kinds, flags and lengths of chunks. */
  REFUSE (true, chunk (s, true, 3, WRITE, 0));
  REFUSE (true, chunk (s, true, 0x7fff, WRITE, 8));
  REFUSE (true, chunk (s, false, 0, WRITE, 0));
  REFUSE (true, chunk (s, true, 0, WRITE, 1));
  REFUSE (true, chunk (s, true, 0, WRITE, UINT32_MAX));
  REFUSE (true, chunk (s, true, 0x8001, WRITE, 5); fill (s, 0, 50));
  REFUSE (true, chunk (s, true, 0x8001, WRITE, UINT32_MAX); fill (s, 0, 50));
  REFUSE (true, chunk (s, true, 0x8001, WRITE, 6); number (s, 5, 4);
          number (s, 1, 2));
  REFUSE (true, chunk (s, true, 0x8002, WRITE, 13); number (s, 5, 4);
          number (s, 0, 2); fill (s, 0, 50));
  REFUSE (true, chunk (s, true, 2, READ, 11); fill (s, 0, 50));
  REFUSE (true, chunk (s, true, 2, READ, 13); number (s, 1000, 8);
          number (s, 1, 4); fill (s, 0, 50));
  REFUSE (true, chunk (s, true, 1, READ, 7); fill (s, 0, 50));
  /* Data that was not asked for. */
  REFUSE (true, data (s, true, READ, 1000, 'a', 0));
  REFUSE (true, data (s, true, READ, 1000, 'a', 101));
  REFUSE (true, data (s, true, READ, 999, 'a', 1));
  REFUSE (true, data (s, true, READ, 1099, 'a', 2));
  REFUSE (true, data (s, true, READ, 1101, 'a', 1));
  REFUSE (true, data (s, true, READ, UINT64_MAX, 'a', 1));
  REFUSE (true, data (s, true, READ, UINT64_MAX - 10, 'a', 99));
  REFUSE (true, chunk (s, true, 1, READ, UINT32_MAX); number (s, 1000, 8));
  REFUSE (true, data (s, true, WRITE, 0, 'a', 10));
  REFUSE (true, data (s, true, EXTENTS, 4096, 'a', 10));
  REFUSE (true, hole (s, true, READ, 1000, 0));
  REFUSE (true, hole (s, true, READ, 1000, 101));
  REFUSE (true, hole (s, true, READ, 1001, UINT32_MAX));
  REFUSE (true, hole (s, true, READ, UINT64_MAX, 2));
  REFUSE (true, hole (s, true, WRITE, 0, 2));
  REFUSE (true, data (s, false, READ, 1000, 'a', 60);
          data (s, true, READ, 1000, 'a', 60));
  REFUSE (true, hole (s, false, READ, 1000, 100);
          hole (s, true, READ, 1000, 1));
  /* Extents. */
  REFUSE (true, status (s, true, READ, 1, 1));
  REFUSE (true, status (s, true, EXTENTS, 1, 0));
  REFUSE (true, chunk (s, true, 5, EXTENTS, 3); fill (s, 1, 50));
  REFUSE (true, chunk (s, true, 5, EXTENTS, 13); fill (s, 1, 50));
  REFUSE (true, chunk (s, true, 5, EXTENTS, UINT32_MAX); fill (s, 1, 50));
  REFUSE (true, chunk (s, true, 5, EXTENTS, 12); number (s, 1, 4);
          number (s, 0, 8));
  REFUSE (true, status (s, false, EXTENTS, 1, 2);
          status (s, true, EXTENTS, 1, 2));
  REFUSE (true, status (s, false, EXTENTS, 1, 2);
          status (s, true, EXTENTS, 2, 2));
}

/* Whoever keeps the extents may fail: that is no fault of the server. */
static void
test_many_extents (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  struct client k;

  (void) state;
  client_init (&k, true);
  status (s, true, EXTENTS, 1, 10000);
  chunk (s, true, 0, WRITE, 0);
  assert_int_equal (0, feed (&k, s->b, s->n, 1000));
  assert_int_equal (ENOMEM, k.r[EXTENTS].c.error);
  assert_int_equal (1, k.r[WRITE].answers);
  client_free (&k);
  free (s);
}

/* Honest replies with some bytes changed: whatever comes of it, the sanitizers
 * have nothing to say, and what is answered is answered once.
 */
static void
test_mutations (void **state)
{
  struct bytes *s = calloc (1, sizeof *s), *t = calloc (1, sizeof *t);
  unsigned random = 1, i, j;

  (void) state;
  status (s, false, EXTENTS, 1, 3);
  data (s, false, READ, 1050, 'a', 50);
  error (s, true, EXTENTS, 5, "no");
  hole (s, false, BIG, 0, 60000);
  data (s, true, READ, 1000, 'b', 50);
  data (s, false, BIG, 60000, 'c', 35000);
  simple (s, 0, WRITE);
  data (s, true, BIG, 95000, 'd', 5000);
  for (i = 0; i < 20000; i++) {
    struct client k;
    unsigned n = 1 + rand_r (&random) % 3;

    *t = *s;
    for (j = 0; j < n; j++) {
      static const unsigned char values[] = { 0, 1, 0x7f, 0x80, 0xff };
      /* Headers are where the harm is. */
      size_t at = rand_r (&random) % (j % 2 ? s->n : 300);

      t->b[at] = rand_r (&random) % 2 ? values[rand_r (&random) % 5]
        : rand_r (&random);
    }
    client_init (&k, true);
    feed (&k, t->b, t->n, steps[rand_r (&random) % 3 + 3]);
    for (j = 1; j < NCOMMANDS; j++)
      assert_true (k.r[j].answers <= 1);
    client_free (&k);
  }
  free (s);
  free (t);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_request),
    cmocka_unit_test (test_simple),
    cmocka_unit_test (test_structured),
    cmocka_unit_test (test_errors),
    cmocka_unit_test (test_incomplete),
    cmocka_unit_test (test_wrong),
    cmocka_unit_test (test_many_extents),
    cmocka_unit_test (test_mutations),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
