/* SPDX-License-Identifier: BSD-3-Clause */
/* The replies of an NBD server: honest ones of all kinds in pieces of all
 * sizes, and all that a hostile one may send.
 */

#include "unit.h"

#include <endian.h>

#include "nbd/wire.h"

#define FUA 1                   /* LIBNBD_CMD_FLAG_FUA */

enum { READ = 1, BIG, WRITE, EXTENTS, NCOMMANDS };
#define BIG_COUNT 100000
#define EXTENTS_COUNT (64 << 20)

/* Where the requests are. */
static const uint64_t offset_of[NCOMMANDS] = {
  [READ] = 1000, [EXTENTS] = 4096,
};

/* What happened to a command. */
struct result {
  struct nbd_command c;
  unsigned answers;
  struct nbd_status status[32];
  size_t n;                     /* of these */
};

struct client {
  struct wire *wire;
  struct result r[NCOMMANDS];
};

static struct nbd_command *
find (void *opaque, uint64_t cookie)
{
  struct client *k = opaque;

  if (cookie == 0 || cookie >= NCOMMANDS || k->r[cookie].answers)
    return NULL;
  return &k->r[cookie].c;
}

static void
answered (void *opaque, struct nbd_command *c)
{
  struct client *k = opaque;
  struct result *r = (struct result *) c;

  (void) k;
  r->answers++;
}

static const struct wire_owner owner = { .find = find, .answered = answered };

static int
extents (void *opaque, uint64_t offset, const struct nbd_status *status,
         size_t n)
{
  struct result *r = opaque;

  (void) offset;
  if (r->n + n > 32) {
    errno = ENOMEM;
    return -1;
  }
  memcpy (r->status + r->n, status, n * sizeof *status);
  r->n += n;
  return 0;
}

/* Buffers are malloc's, so AddressSanitizer sees what goes beyond (W1). */
static void
client_init (struct client *k, enum wire_headers headers)
{
  memset (k, 0, sizeof *k);
  k->wire = malloc (sizeof *k->wire);
  wire_init (k->wire, headers, &owner, k);
  k->r[READ].c = (struct nbd_command) {
    .op = NBD_READ, .offset = offset_of[READ], .count = 100,
    .read = calloc (1, 100),
  };
  k->r[BIG].c = (struct nbd_command) {
    .op = NBD_READ, .offset = 0, .count = BIG_COUNT,
    .read = calloc (1, BIG_COUNT),
  };
  k->r[WRITE].c = (struct nbd_command) {
    .op = NBD_WRITE, .count = 512,
  };
  k->r[EXTENTS].c = (struct nbd_command) {
    .op = NBD_EXTENTS, .offset = offset_of[EXTENTS], .count = EXTENTS_COUNT,
    .extents = extents, .opaque = &k->r[EXTENTS],
  };
}

static void
client_free (struct client *k)
{
  int id;

  for (id = 1; id < NCOMMANDS; id++) {
    cover_reset (&k->r[id].c.cover);
    free (k->r[id].c.read);
  }
  free (k->wire);
}

/* -------------------------------------------------- what a server sends */

struct bytes {
  unsigned char b[400000];
  size_t n;
  bool extended;                /* chunks have extended headers */
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
       uint64_t length)
{
  number (s, s->extended ? 0x6e8a278c : 0x668e33ef, 4);
  number (s, last, 2);
  number (s, type, 2);
  number (s, cookie, 8);
  if (s->extended)
    number (s, cookie < NCOMMANDS ? offset_of[cookie] : 0, 8);
  number (s, length, s->extended ? 8 : 4);
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
    number (s, 512 * (i % 20 + 1), 4);
    number (s, i % 4, 4);
  }
}

/* Extents with lengths of 64 bits. */
static void
status_ext (struct bytes *s, bool last, uint64_t cookie, uint32_t count,
            unsigned n, const uint64_t *length)
{
  unsigned i;

  chunk (s, last, 6, cookie, 8 + 16 * (uint64_t) n);
  number (s, 1, 4);
  number (s, count, 4);
  for (i = 0; i < n; i++) {
    number (s, length[i], 8);
    number (s, i % 4, 8);
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
      assert_non_null (k->wire->protocol_error);
      return -1;
    }
  }
  assert_null (k->wire->protocol_error);
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
  static const unsigned char expected[] = {
    0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
    0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0x10, 0,
  };
  /* The length of a write is that of its payload, and says so. */
  static const unsigned char extended[] = {
    0x21, 0xe4, 0x1c, 0x71, 0, 33, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
    0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x10, 0,
  };
  static const unsigned char status_of_much[] = {
    0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0,
  };
  static const unsigned char farewell[] = {
    0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  };
  const struct nbd_command much = { .op = NBD_EXTENTS,
                                    .count = UINT64_C (1) << 42 };
  struct nbd_command c = { .op = NBD_WRITE, .flags = FUA,
                                .offset = (UINT64_C (1) << 40) + 2,
                                .count = 4096 };
  unsigned char header[WIRE_REQUEST];

  (void) state;
  assert_int_equal (sizeof expected,
                    wire_request (header, WIRE_STRUCTURED, &c,
                                  UINT64_C (0x0102030405060708)));
  assert_memory_equal (expected, header, sizeof expected);
  assert_int_equal (sizeof extended,
                    wire_request (header, WIRE_EXTENDED, &c,
                                  UINT64_C (0x0102030405060708)));
  assert_memory_equal (extended, header, sizeof extended);
  assert_int_equal (sizeof status_of_much,
                    wire_request (header, WIRE_EXTENDED, &much, 1));
  assert_memory_equal (status_of_much, header, sizeof status_of_much);
  assert_int_equal (sizeof farewell, wire_disconnect (header, WIRE_EXTENDED));
  assert_memory_equal (farewell, header, sizeof farewell);
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

    client_init (&k, WIRE_SIMPLE);
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

    client_init (&k, WIRE_STRUCTURED);
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
    assert_int_equal (20, k.r[EXTENTS].n);
    assert_int_equal (512 * 20, k.r[EXTENTS].status[19].length);
    assert_int_equal (3, k.r[EXTENTS].status[19].type);
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

      client_init (&k, WIRE_STRUCTURED);
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

static void
test_extended (void **state)
{
  static const uint64_t lengths[] = {
    512, UINT64_C (5) << 40, 65536, INT64_MAX - 4096 - 512 - 65536 -
    (INT64_C (5) << 40),
  };
  struct bytes *s = calloc (1, sizeof *s);
  size_t i;

  (void) state;
  s->extended = true;
  data (s, false, BIG, 50000, 'y', 50000);
  data (s, false, READ, 1000, 'a', 50);
  hole (s, false, READ, 1050, 50);
  hole (s, false, BIG, 0, 10000);
  data (s, true, BIG, 10000, 'x', 40000);
  error (s, true, WRITE, 28, "there is no room");
  status_ext (s, true, EXTENTS, 4, 4, lengths);
  chunk (s, true, 0, READ, 0);
  for (i = 0; i < NSTEPS; i++) {
    struct client k;
    const char *b;
    int id;

    client_init (&k, WIRE_EXTENDED);
    k.r[EXTENTS].c.count = UINT64_C (1) << 62;
    b = k.r[BIG].c.read;
    memset (k.r[BIG].c.read, 'o', BIG_COUNT);
    assert_int_equal (0, feed (&k, s->b, s->n, steps[i]));
    for (id = 1; id < NCOMMANDS; id++) {
      assert_int_equal (1, k.r[id].answers);
      assert_int_equal (id == WRITE ? ENOSPC : 0, k.r[id].c.error);
    }
    assert_true (all_are (b, 0, 10000));
    assert_true (all_are (b + 10000, 'x', 40000));
    assert_true (all_are (b + 50000, 'y', 50000));
    assert_true (all_are (k.r[READ].c.read, 'a', 50));
    assert_int_equal (4, k.r[EXTENTS].n);
    for (id = 0; id < 4; id++) {
      assert_int_equal (lengths[id], k.r[EXTENTS].status[id].length);
      assert_int_equal (id, k.r[EXTENTS].status[id].type);
    }
    client_free (&k);
  }
  free (s);
}

/* --------------------------------------------------------- hostile ones */

/* W5: the command whose reply it was, or 0, is marked. */
static void
refuse (enum wire_headers headers, const struct bytes *s, int blamed)
{
  size_t i;

  for (i = 0; i < NSTEPS; i++) {
    struct client k;
    int id;

    client_init (&k, headers);
    assert_int_equal (-1, feed (&k, s->b, s->n, steps[i]));
    for (id = 1; id < NCOMMANDS; id++)
      assert_int_equal (id == blamed, k.r[id].c.violated);
    client_free (&k);
  }
}

#define REFUSE(headers, blamed, statements)     \
  do {                                          \
    struct bytes *s = calloc (1, sizeof *s);    \
    statements;                                 \
    refuse (headers, s, blamed);                \
    free (s);                                   \
  } while (0)

static void
test_protocol_errors (void **state)
{
  (void) state;
  /* No reply at all. */
  REFUSE (WIRE_STRUCTURED, 0, fill (s, 'x', 4));
  REFUSE (WIRE_SIMPLE, 0, fill (s, 0, 500));
  REFUSE (WIRE_SIMPLE, 0, chunk (s, true, 0, WRITE, 0));
  /* Nobody asked. */
  REFUSE (WIRE_SIMPLE, 0, simple (s, 0, 99));
  REFUSE (WIRE_STRUCTURED, 0, simple (s, 5, 0));
  REFUSE (WIRE_STRUCTURED, 0, chunk (s, true, 0, 99, 0));
  REFUSE (WIRE_SIMPLE, 0, simple (s, 0, WRITE); simple (s, 0, WRITE));
  REFUSE (WIRE_STRUCTURED, 0, chunk (s, true, 0, WRITE, 0);
          chunk (s, true, 0, WRITE, 0));
  REFUSE (WIRE_STRUCTURED, 0, data (s, true, READ, 1000, 'a', 100);
          data (s, true, READ, 1000, 'a', 100));
  /* Simple where it may not be. */
  REFUSE (WIRE_STRUCTURED, READ, simple (s, 0, READ));
  REFUSE (WIRE_SIMPLE, EXTENTS, simple (s, 0, EXTENTS));
  /* Kinds, flags and lengths of chunks. */
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, true, 3, WRITE, 0));
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, true, 0x7fff, WRITE, 8));
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, false, 0, WRITE, 0));
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, true, 0, WRITE, 1));
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, true, 0, WRITE, UINT32_MAX));
  REFUSE (WIRE_STRUCTURED, WRITE,
          chunk (s, true, 0x8001, WRITE, 5); fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, WRITE, chunk (s, true, 0x8001, WRITE, UINT32_MAX);
          fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, WRITE,
          chunk (s, true, 0x8001, WRITE, 6); number (s, 5, 4);
          number (s, 1, 2));
  REFUSE (WIRE_STRUCTURED, WRITE,
          chunk (s, true, 0x8002, WRITE, 13); number (s, 5, 4);
          number (s, 0, 2); fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, READ, chunk (s, true, 2, READ, 11); fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, READ,
          chunk (s, true, 2, READ, 13); number (s, 1000, 8);
          number (s, 1, 4); fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, READ, chunk (s, true, 1, READ, 7); fill (s, 0, 50));
  /* Data that was not asked for. */
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1000, 'a', 0));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1000, 'a', 101));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 999, 'a', 1));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1099, 'a', 2));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1101, 'a', 1));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, UINT64_MAX, 'a', 1));
  REFUSE (WIRE_STRUCTURED, READ,
          data (s, true, READ, UINT64_MAX - 10, 'a', 99));
  REFUSE (WIRE_STRUCTURED, READ, chunk (s, true, 1, READ, UINT32_MAX);
          number (s, 1000, 8));
  REFUSE (WIRE_STRUCTURED, WRITE, data (s, true, WRITE, 0, 'a', 10));
  REFUSE (WIRE_STRUCTURED, EXTENTS, data (s, true, EXTENTS, 4096, 'a', 10));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, true, READ, 1000, 0));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, true, READ, 1000, 101));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, true, READ, 1001, UINT32_MAX));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, true, READ, UINT64_MAX, 2));
  REFUSE (WIRE_STRUCTURED, WRITE, hole (s, true, WRITE, 0, 2));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 60);
          data (s, true, READ, 1000, 'a', 60));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, false, READ, 1000, 100);
          hole (s, true, READ, 1000, 1));
  /* Extents. */
  REFUSE (WIRE_STRUCTURED, READ, status (s, true, READ, 1, 1));
  REFUSE (WIRE_STRUCTURED, EXTENTS, status (s, true, EXTENTS, 1, 0));
  REFUSE (WIRE_STRUCTURED, EXTENTS,
          chunk (s, true, 5, EXTENTS, 3); fill (s, 1, 50));
  REFUSE (WIRE_STRUCTURED, EXTENTS,
          chunk (s, true, 5, EXTENTS, 13); fill (s, 1, 50));
  REFUSE (WIRE_STRUCTURED, EXTENTS, chunk (s, true, 5, EXTENTS, UINT32_MAX);
          fill (s, 1, 50));
  REFUSE (WIRE_STRUCTURED, EXTENTS,
          chunk (s, true, 5, EXTENTS, 12); number (s, 1, 4);
          number (s, 0, 8));
  REFUSE (WIRE_STRUCTURED, EXTENTS, status (s, false, EXTENTS, 1, 2);
          status (s, true, EXTENTS, 1, 2));
  REFUSE (WIRE_STRUCTURED, EXTENTS, status (s, false, EXTENTS, 1, 2);
          status (s, true, EXTENTS, 2, 2));
  /* nbdkit sends one that begins where the request ended, but not two. */
  REFUSE (WIRE_STRUCTURED, EXTENTS, chunk (s, true, 5, EXTENTS, 4 + 3 * 8);
          number (s, 1, 4); number (s, EXTENTS_COUNT, 4); number (s, 0, 4);
          number (s, 1, 4); number (s, 0, 4); number (s, 1, 4);
          number (s, 0, 4));
}

/* The same with extended headers, and what only they can do. */
#define REFUSE_EXT(blamed, statements)                          \
  REFUSE (WIRE_EXTENDED, blamed, s->extended = true; statements)

static void
test_extended_errors (void **state)
{
  static const uint64_t fits[] = { 4096, 8192 }, empty[] = { 4096, 0 };
  static const uint64_t far[] = { INT64_MAX, 1 }, wraps[] = { UINT64_MAX };
  static const uint64_t behind[] = { EXTENTS_COUNT, 1, 1 };

  (void) state;
  /* Other headers than those that were agreed on. */
  REFUSE (WIRE_EXTENDED, 0, chunk (s, true, 0, WRITE, 0));
  REFUSE (WIRE_EXTENDED, 0, simple (s, 0, WRITE));
  REFUSE (WIRE_STRUCTURED, 0, s->extended = true; chunk (s, true, 0, WRITE, 0));
  REFUSE (WIRE_SIMPLE, 0, s->extended = true; chunk (s, true, 0, WRITE, 0));
  REFUSE_EXT (EXTENTS, status (s, true, EXTENTS, 1, 2));
  REFUSE (WIRE_STRUCTURED, EXTENTS, status_ext (s, true, EXTENTS, 2, 2, fits));
  /* Requests, offsets and lengths. */
  REFUSE_EXT (0, chunk (s, true, 0, 99, 0));
  REFUSE_EXT (WRITE, number (s, 0x6e8a278c, 4); number (s, 1, 2);
              number (s, 0, 2); number (s, WRITE, 8); number (s, 1, 8);
              number (s, 0, 8));
  REFUSE_EXT (WRITE, chunk (s, true, 0, WRITE, UINT64_C (1) << 32));
  REFUSE_EXT (READ, chunk (s, true, 1, READ, (UINT64_C (1) << 32) + 108);
              number (s, 1000, 8); fill (s, 'a', 100));
  REFUSE_EXT (READ, chunk (s, true, 1, READ, UINT64_MAX); fill (s, 0, 50));
  REFUSE_EXT (WRITE, chunk (s, true, 0x8001, WRITE, UINT64_MAX);
              fill (s, 0, 50));
  REFUSE_EXT (READ, data (s, true, READ, 1000, 'a', 101));
  REFUSE_EXT (READ, data (s, true, READ, 1000, 'a', 99));
  REFUSE_EXT (READ, data (s, false, READ, 1000, 'a', 50);
              data (s, true, READ, 1000, 'a', 50));
  REFUSE_EXT (READ, hole (s, true, READ, 1000, UINT32_MAX));
  /* Extents. */
  REFUSE_EXT (READ, status_ext (s, true, READ, 1, 1, fits));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 0, 0, fits));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 1, 2, fits));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, UINT32_MAX, 2, fits));
  REFUSE_EXT (EXTENTS, chunk (s, true, 6, EXTENTS, 7); fill (s, 1, 50));
  REFUSE_EXT (EXTENTS, chunk (s, true, 6, EXTENTS, 8 + 15); number (s, 1, 4);
              number (s, 1, 4); fill (s, 1, 50));
  REFUSE_EXT (EXTENTS, chunk (s, true, 6, EXTENTS, 8 + 16 *
                              (uint64_t) (WIRE_MOST_EXTENTS + 1));
              number (s, 1, 4); number (s, WIRE_MOST_EXTENTS + 1, 4);
              fill (s, 1, 50));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 2, 2, empty));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 2, 2, far));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 1, 1, wraps));
  REFUSE_EXT (EXTENTS, status_ext (s, true, EXTENTS, 3, 3, behind));
  REFUSE_EXT (EXTENTS, status_ext (s, false, EXTENTS, 2, 2, fits);
              status_ext (s, true, EXTENTS, 2, 2, fits));
  REFUSE_EXT (EXTENTS, chunk (s, true, 0, EXTENTS, 0));
}

/* W3: each byte once. */
static void
test_cover (void **state)
{
  (void) state;
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 50);
          data (s, true, READ, 1000, 'a', 50));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1050, 'a', 50);
          data (s, true, READ, 1050, 'a', 50));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 51);
          data (s, true, READ, 1050, 'a', 50));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 49);
          data (s, true, READ, 1050, 'a', 50));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 10);
          data (s, false, READ, 1020, 'a', 10);
          data (s, false, READ, 1040, 'a', 60);
          data (s, true, READ, 1005, 'a', 20));
  REFUSE (WIRE_STRUCTURED, READ, hole (s, false, READ, 1010, 80);
          data (s, true, READ, 1000, 'a', 100));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 100);
          hole (s, true, READ, 1099, 1));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1000, 'a', 99));
  REFUSE (WIRE_STRUCTURED, READ, data (s, true, READ, 1001, 'a', 99));
  REFUSE (WIRE_STRUCTURED, READ, data (s, false, READ, 1000, 'a', 99);
          chunk (s, true, 0, READ, 0));
  REFUSE (WIRE_STRUCTURED, BIG, chunk (s, true, 0, BIG, 0));
  REFUSE (WIRE_STRUCTURED, EXTENTS, chunk (s, true, 0, EXTENTS, 0));
  /* W4 */
  REFUSE (WIRE_STRUCTURED, READ, chunk (s, true, 0x8001, READ,
                             WIRE_MOST_ERROR_BYTES + 1); fill (s, 0, 50));
  REFUSE (WIRE_STRUCTURED, EXTENTS, chunk (s, true, 5, EXTENTS,
                                4 + 8 * (WIRE_MOST_EXTENTS + 1));
          fill (s, 1, 50));
}

/* In any order, and in as many pieces as there can be. */
static void
test_pieces (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  unsigned order[100], random = 1, i, j;

  (void) state;
  for (i = 0; i < 100; i++)
    order[i] = i;
  for (i = 0; i < 200; i++) {
    struct client k;

    for (j = 99; i && j > 0; j--) {
      unsigned other = rand_r (&random) % (j + 1), t = order[j];

      order[j] = order[other];
      order[other] = t;
    }
    s->n = 0;
    for (j = 0; j < 100; j++)
      data (s, j == 99, READ, 1000 + order[j], order[j], 1);
    client_init (&k, WIRE_STRUCTURED);
    assert_int_equal (0, feed (&k, s->b, s->n, 1000));
    assert_int_equal (0, k.r[READ].c.error);
    for (j = 0; j < 100; j++)
      assert_int_equal (j, ((char *) k.r[READ].c.read)[j]);
    client_free (&k);
  }
  free (s);
}

/* W4.  Each of these would go on for ever. */
static void
test_bounds (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  struct client k;
  uint32_t i;

  (void) state;
  /* Every other byte: the pieces. */
  client_init (&k, WIRE_STRUCTURED);
  for (i = 0; i <= COVER_MOST_PIECES; i++) {
    s->n = 0;
    data (s, false, BIG, 2 * i, 'a', 1);
    assert_int_equal (i < COVER_MOST_PIECES ? 0 : -1,
                      feed (&k, s->b, s->n, s->n));
  }
  assert_string_equal (wire_pieces, k.wire->protocol_error);
  client_free (&k);

  client_init (&k, WIRE_STRUCTURED);
  s->n = 0;
  error (s, false, READ, 5, "");
  for (i = 0; feed (&k, s->b, s->n, s->n) == 0; i++)
    assert_true (i < WIRE_MOST_CHUNKS);
  assert_int_equal (i, WIRE_MOST_ERROR_BYTES / 6);
  assert_true (k.r[READ].c.violated);
  client_free (&k);
  free (s);
}

/* Whoever keeps the extents may fail: that is no fault of the server. */
static void
test_many_extents (void **state)
{
  struct bytes *s = calloc (1, sizeof *s);
  struct client k;

  (void) state;
  client_init (&k, WIRE_STRUCTURED);
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
mutate (enum wire_headers headers)
{
  static const uint64_t lengths[] = { 4096, UINT64_C (1) << 40, 512 };
  struct bytes *s = calloc (1, sizeof *s), *t = calloc (1, sizeof *t);
  unsigned random = 1, i, j;

  s->extended = headers == WIRE_EXTENDED;
  if (s->extended)
    status_ext (s, false, EXTENTS, 3, 3, lengths);
  else
    status (s, false, EXTENTS, 1, 3);
  data (s, false, READ, 1050, 'a', 50);
  error (s, true, EXTENTS, 5, "no");
  hole (s, false, BIG, 0, 60000);
  data (s, true, READ, 1000, 'b', 50);
  data (s, false, BIG, 60000, 'c', 35000);
  if (s->extended)
    chunk (s, true, 0, WRITE, 0);
  else
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
    client_init (&k, headers);
    feed (&k, t->b, t->n, steps[rand_r (&random) % 3 + 3]);
    for (j = 1; j < NCOMMANDS; j++)
      assert_true (k.r[j].answers <= 1);
    client_free (&k);
  }
  free (s);
  free (t);
}

static void
test_mutations (void **state)
{
  (void) state;
  mutate (WIRE_STRUCTURED);
  mutate (WIRE_EXTENDED);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_request),
    cmocka_unit_test (test_simple),
    cmocka_unit_test (test_structured),
    cmocka_unit_test (test_extended),
    cmocka_unit_test (test_errors),
    cmocka_unit_test (test_protocol_errors),
    cmocka_unit_test (test_extended_errors),
    cmocka_unit_test (test_cover),
    cmocka_unit_test (test_pieces),
    cmocka_unit_test (test_bounds),
    cmocka_unit_test (test_many_extents),
    cmocka_unit_test (test_mutations),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
