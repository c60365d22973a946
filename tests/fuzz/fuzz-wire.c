/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz what mnbd takes in from an NBD server: replies of any bytes, in pieces
 * of any size, while requests of all kinds are in flight.  For libFuzzer;
 * run-fuzz.sh builds it.
 *
 * An input is (numbers are big-endian)
 *
 *   1 byte    bit 0: structured replies were agreed on; bit 3: extended headers
 *             were; bits 1 and 2: how many runs there are; bits 4 to 7: how
 *             many cuts
 *   5 bytes   for each run: where in the replies it goes (2 bytes), and how
 *             long it is (3), so that a short input has large payloads
 *   2 bytes   for each cut: how many bytes arrive at a time, in turn; 0 is as
 *             many as there is room for
 *   the rest  the replies
 *
 * What must hold (W1 to W5 are wire.h's):
 *
 *   W1  Each place to receive lies in the stage, or in a read in flight.
 *       Buffers are malloc's, so that AddressSanitizer sees what is written
 *       beyond.
 *   W2  An answered command and its buffer are freed at once, so it sees that
 *       they are used again, too.
 *   W3  A read without an error has each byte that it asked for, once.
 *   W5  If there is an error, at most one command is to blame.
 *   F1  After an error nothing more is answered.
 *   F2  It makes no difference how the replies are cut: the same commands are
 *       answered in the same order, with the same errors, data and extents.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/wire.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define MAX_RUN (256 * 1024)
#define MAX_RUNS 3
#define MAX_CUTS 15

/* What is in flight.  The cookie is the place in the table, but for the last
 * one.
 */
static const struct nbd_command requests[] = {
  { .op = NBD_WRITE, .count = 512 },
  { .op = NBD_READ, .offset = 1000, .count = 100 },
  { .op = NBD_READ, .offset = 0, .count = 100000 },
  /* It ends where NBD does. */
  { .op = NBD_READ, .offset = INT64_MAX - 40000, .count = 40000 },
  { .op = NBD_READ, .offset = 5, .count = 1 },
  { .op = NBD_EXTENTS, .offset = 4096, .count = 65536 },
  { .op = NBD_EXTENTS, .offset = 0, .count = UINT32_MAX },
  { .op = NBD_FLUSH },
  { .op = NBD_ZERO, .offset = 4096, .count = UINT32_MAX },
};
#define REQUESTS (sizeof requests / sizeof requests[0])
#define LAST_COOKIE UINT64_MAX

/* The recipient of these extents has no memory for more; in pairs. */
#define FAILING 6
#define MOST_PAIRS 3

struct client {
  struct wire *wire;
  struct request {
    struct nbd_command *c;      /* NULL: answered */
    uint64_t next_extent;
    uint64_t pairs;
    uint64_t sum;               /* of data or extents */
    int error;
    unsigned turn;              /* 0, or when it was answered, from 1 on */
  } r[REQUESTS];
  unsigned answers;
};

static void
require (int what, const char *text)
{
  if (!what) {
    fprintf (stderr, "fuzz: %s\n", text);
    abort ();
  }
}

/* FNV-1a */
#define SUM_OF_NOTHING UINT64_C (0xcbf29ce484222325)
static uint64_t
sum (uint64_t h, const void *p, size_t n)
{
  const unsigned char *b = p;

  while (n--)
    h = (h ^ *b++) * UINT64_C (0x100000001b3);
  return h;
}

/* ---------------------------------------------------------- the client */

static struct nbd_command *
find (void *opaque, uint64_t cookie)
{
  struct client *k = opaque;

  if (cookie == REQUESTS - 1)
    return NULL;
  if (cookie == LAST_COOKIE)
    cookie = REQUESTS - 1;
  return cookie < REQUESTS ? k->r[cookie].c : NULL;
}

static void
answered (void *opaque, struct nbd_command *c)
{
  struct client *k = opaque;
  struct request *r = c->opaque;

  require (k->wire->protocol_error == NULL, "F1: an answer after an error");
  require (r->c == c, "W2: answered twice");
  r->turn = ++k->answers;
  r->error = c->error;
  if (c->op == NBD_READ) {
    require (c->error || cover_whole (&c->cover, c->count),
             "W3: a read got too little");
    if (c->error == 0)
      r->sum = sum (r->sum, c->read, c->count);
  }
  else if (c->op == NBD_EXTENTS)
    require (c->error || r->pairs, "extents without one");
  require (!c->violated, "W5: an answer that is none");
  cover_reset (&c->cover);
  free (c->read);
  free (c);
  r->c = NULL;
}

static const struct wire_owner owner = { .find = find, .answered = answered };

static int
extents (void *opaque, uint64_t offset, const struct nbd_status *status,
         size_t n)
{
  struct request *r = opaque;
  size_t i;

  require (r->c && r->c->op == NBD_EXTENTS, "extents of no request");
  require (n > 0 && offset == r->next_extent, "extents of elsewhere");
  for (i = 0; i < n; i++) {
    require (status[i].length > 0, "an extent without length");
    require (status[i].length <= INT64_MAX - r->next_extent,
             "an extent that ends beyond what there can be");
    if (r->c->count == requests[FAILING].count && r->pairs == MOST_PAIRS) {
      errno = ENOMEM;
      return -1;
    }
    r->pairs++;
    r->next_extent += status[i].length;
    r->sum = sum (r->sum, &status[i], sizeof *status);
  }
  return 0;
}

static void
client_init (struct client *k, enum wire_headers headers)
{
  size_t i;

  memset (k, 0, sizeof *k);
  k->wire = malloc (sizeof *k->wire);
  require (k->wire != NULL, "no memory");
  wire_init (k->wire, headers, &owner, k);
  for (i = 0; i < REQUESTS; i++) {
    struct nbd_command *c = malloc (sizeof *c);

    require (c != NULL, "no memory");
    *c = requests[i];
    c->extents = extents;
    c->opaque = &k->r[i];
    if (c->op == NBD_READ) {
      c->read = calloc (1, c->count);
      require (c->read != NULL, "no memory");
    }
    k->r[i].c = c;
    k->r[i].next_extent = c->offset;
    k->r[i].sum = SUM_OF_NOTHING;
  }
}

static void
client_free (struct client *k)
{
  unsigned blamed = 0;
  size_t i;

  for (i = 0; i < REQUESTS; i++)
    if (k->r[i].c) {
      blamed += k->r[i].c->violated;
      cover_reset (&k->r[i].c->cover);
      free (k->r[i].c->read);
      free (k->r[i].c);
    }
  require (blamed <= (k->wire->protocol_error != NULL),
           "W5: too many to blame");
  free (k->wire);
}

/* ------------------------------------------------------------ receiving */

static bool
lies_in (const struct iovec *piece, const void *buffer, size_t n)
{
  uintptr_t p = (uintptr_t) piece->iov_base, b = (uintptr_t) buffer;

  return p >= b && p - b <= n && piece->iov_len <= n - (p - b);
}

/* W1 */
static void
check_room (const struct client *k, const struct iovec *piece, int n)
{
  size_t room = 0, i;
  int j;

  require (n == 1 || n == 2, "how many pieces?");
  for (j = 0; j < n; j++) {
    bool good = lies_in (&piece[j], k->wire->stage, WIRE_STAGE);

    for (i = 0; i < REQUESTS && !good; i++)
      good = k->r[i].c && k->r[i].c->read &&
        lies_in (&piece[j], k->r[i].c->read, k->r[i].c->count);
    require (good, "W1: room where none is");
    room += piece[j].iov_len;
  }
  require (room > 0, "no room for what comes");
}

struct stream {
  unsigned char *bytes;
  size_t size;
  unsigned cuts;
  uint16_t cut[MAX_CUTS];
};

/* Take in all of it, or up to what is wrong. */
static void
receive (struct client *k, const struct stream *s, bool cut)
{
  const unsigned char *b = s->bytes;
  size_t n = s->size, turn = 0;

  while (n) {
    size_t left = n, took = 0;
    struct iovec piece[2];
    int pieces, i;
    bool all;

    pieces = wire_room (k->wire, piece, &all);
    check_room (k, piece, pieces);
    if (cut && s->cuts) {
      size_t limit = s->cut[turn++ % s->cuts];

      if (limit && limit < left)
        left = limit;
    }
    for (i = 0; i < pieces && left; i++) {
      size_t m = left < piece[i].iov_len ? left : piece[i].iov_len;

      memcpy (piece[i].iov_base, b, m);
      b += m;
      left -= m;
      took += m;
    }
    n -= took;
    if (wire_took (k->wire, took) == -1) {
      require (k->wire->protocol_error != NULL,
               "F1: an error without a reason");
      return;
    }
    require (k->wire->protocol_error == NULL, "F1: a reason without an error");
  }
}

/* F2 */
static void
compare (const struct client *a, const struct client *b)
{
  size_t i;

  require (a->wire->protocol_error == b->wire->protocol_error,
           "F2: another error");
  require (a->answers == b->answers, "F2: other answers");
  for (i = 0; i < REQUESTS; i++) {
    const struct request *p = &a->r[i], *q = &b->r[i];

    require (p->turn == q->turn, "F2: another order");
    /* Of extents in flight, those in front of a wrong one may be handed on. */
    if (p->turn)
      require (p->error == q->error && p->sum == q->sum && p->pairs == q->pairs,
               "F2: another answer");
  }
}

/* -------------------------------------------------------------- the input */

/* Read a number of so many bytes; missing ones are 0. */
static uint32_t
number (const uint8_t **data, size_t *size, unsigned bytes)
{
  uint32_t v = 0;

  while (bytes--) {
    v <<= 8;
    if (*size) {
      v |= *(*data)++;
      --*size;
    }
  }
  return v;
}

static void
make_stream (struct stream *s, unsigned runs, unsigned cuts,
             const uint8_t *data, size_t size)
{
  struct { size_t at, n; } run[MAX_RUNS];
  size_t from = 0;
  unsigned i;

  s->size = 0;
  for (i = 0; i < runs; i++) {
    run[i].at = number (&data, &size, 2);
    run[i].n = number (&data, &size, 3) % MAX_RUN;
    s->size += run[i].n;
  }
  s->cuts = cuts;
  for (i = 0; i < cuts; i++)
    s->cut[i] = number (&data, &size, 2);
  s->bytes = malloc (s->size + size + 1);
  require (s->bytes != NULL, "no memory");
  s->size = 0;
  for (i = 0; i <= runs; i++) {
    size_t to = i < runs && run[i].at < size ? run[i].at : size;

    if (to > from) {
      memcpy (s->bytes + s->size, data + from, to - from);
      s->size += to - from;
      from = to;
    }
    if (i < runs) {
      memset (s->bytes + s->size, 'a' + i, run[i].n);
      s->size += run[i].n;
    }
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  uint32_t how = number (&data, &size, 1);
  enum wire_headers headers = how & 8 ? WIRE_EXTENDED
    : how & 1 ? WIRE_STRUCTURED : WIRE_SIMPLE;
  struct client whole, pieces;
  struct stream s;

  make_stream (&s, how >> 1 & 3, how >> 4, data, size);
  client_init (&whole, headers);
  client_init (&pieces, headers);
  receive (&whole, &s, false);
  receive (&pieces, &s, true);
  compare (&whole, &pieces);
  client_free (&whole);
  client_free (&pieces);
  free (s.bytes);
  return 0;
}
