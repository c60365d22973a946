/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD protocol after the handshake; wire.h says how it is used. */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "wire.h"

#define REQUEST_MAGIC UINT32_C (0x25609513)
#define SIMPLE_MAGIC UINT32_C (0x67446698)
#define CHUNK_MAGIC UINT32_C (0x668e33ef)

/* Headers, in bytes. */
#define SIMPLE_HEADER 16
#define CHUNK_HEADER 20

#define CHUNK_DONE 1            /* flag */

enum chunk_type {
  CHUNK_NONE = 0,
  CHUNK_OFFSET_DATA = 1,
  CHUNK_OFFSET_HOLE = 2,
  CHUNK_BLOCK_STATUS = 5,
  CHUNK_ERROR = 0x8001,
  CHUNK_ERROR_OFFSET = 0x8002,
};
#define CHUNK_IS_ERROR 0x8000

#define COMMAND_DISCONNECT 2

/* The most that a chunk may have that is not data, in bytes: 8 million extents,
 * as libnbd has it.
 */
#define MOST_CHUNK (UINT32_C (64) << 20)

/* From this size on what is left of a payload is worth a system call of its
 * own, rather than a copy; in bytes.
 */
#define LARGE 32768

/* What is received in front of a large payload, in bytes. */
#define BEFORE_LARGE 256

/* How many extents are handed on at a time. */
#define EXTENTS_AT_ONCE 256

/* ----------------------------------------------------------- requests */

static void
put16 (unsigned char *p, uint16_t v)
{
  v = htobe16 (v);
  memcpy (p, &v, sizeof v);
}

static void
put32 (unsigned char *p, uint32_t v)
{
  v = htobe32 (v);
  memcpy (p, &v, sizeof v);
}

static void
put64 (unsigned char *p, uint64_t v)
{
  v = htobe64 (v);
  memcpy (p, &v, sizeof v);
}

static uint16_t
get16 (const unsigned char *p)
{
  uint16_t v;

  memcpy (&v, p, sizeof v);
  return be16toh (v);
}

static uint32_t
get32 (const unsigned char *p)
{
  uint32_t v;

  memcpy (&v, p, sizeof v);
  return be32toh (v);
}

static uint64_t
get64 (const unsigned char *p)
{
  uint64_t v;

  memcpy (&v, p, sizeof v);
  return be64toh (v);
}

/* The flags of libnbd have the protocol's values. */
void
wire_request (unsigned char header[WIRE_REQUEST],
              const struct upstream_command *c, uint64_t cookie)
{
  static const uint16_t type[UPSTREAM_OPS] = {
    [UPSTREAM_READ] = 0, [UPSTREAM_WRITE] = 1, [UPSTREAM_FLUSH] = 3,
    [UPSTREAM_TRIM] = 4, [UPSTREAM_CACHE] = 5, [UPSTREAM_ZERO] = 6,
    [UPSTREAM_EXTENTS] = 7,
  };

  put32 (header, REQUEST_MAGIC);
  put16 (header + 4, c->flags);
  put16 (header + 6, type[c->op]);
  put64 (header + 8, cookie);
  put64 (header + 16, c->offset);
  put32 (header + 24, c->count);
}

void
wire_disconnect (unsigned char header[WIRE_REQUEST])
{
  memset (header, 0, WIRE_REQUEST);
  put32 (header, REQUEST_MAGIC);
  put16 (header + 6, COMMAND_DISCONNECT);
}

/* ------------------------------------------------------------- replies */

void
wire_init (struct wire *w, bool structured, const struct wire_owner *owner,
           void *opaque)
{
  /* All but the stage. */
  memset (w, 0, offsetof (struct wire, stage));
  w->structured = structured;
  w->owner = owner;
  w->opaque = opaque;
}

static int
wrong (struct wire *w, const char *what)
{
  w->wrong = what;
  return -1;
}

static int
errno_of (uint32_t error)
{
  switch (error) {
  case 1: return EPERM;
  case 0:                       /* an error that is none */
  case 5: return EIO;
  case 12: return ENOMEM;
  case 28: return ENOSPC;
  case 75: return EOVERFLOW;
  case 95: return ENOTSUP;
  case 108: return ESHUTDOWN;
  default: return EINVAL;
  }
}

/* The chunk was taken in. */
static void
end_chunk (struct wire *w)
{
  struct upstream_command *c = w->c;

  w->state = WIRE_HEADER;
  w->c = NULL;
  if (!w->last)
    return;
  if (c->op == UPSTREAM_READ && c->error == 0 && c->got != c->count)
    c->error = EIO;
  w->owner->answered (w->opaque, c);
}

static void
begin_data (struct wire *w, void *data, size_t count)
{
  w->state = WIRE_DATA;
  w->data = data;
  w->rest = count;
  w->large = count >= LARGE;
}

static int
simple_reply (struct wire *w, const unsigned char *p)
{
  struct upstream_command *c = w->c;
  uint32_t error = get32 (p + 4);

  w->last = true;
  w->large = false;
  if (error)
    c->error = errno_of (error);
  else if (c->op == UPSTREAM_READ) {
    if (w->structured)
      return wrong (w, "it answered a read with a simple reply, though "
                    "structured replies were agreed on");
    c->got = c->count;
    begin_data (w, c->read, c->count);
    return 0;
  }
  else if (c->op == UPSTREAM_EXTENTS)
    return wrong (w, "it answered a block status request without extents");
  end_chunk (w);
  return 0;
}

/* Data or a hole lies inside of the read, and not too much came before. */
static int
check_range (struct wire *w, uint64_t offset, uint32_t count)
{
  struct upstream_command *c = w->c;

  if (c->op != UPSTREAM_READ)
    return wrong (w, "it sent data for a request that is no read");
  if (count == 0)
    return wrong (w, "it sent a piece of data without length");
  if (offset < c->offset || offset - c->offset > c->count ||
      count > c->count - (offset - c->offset))
    return wrong (w, "it sent data that was not asked for");
  if (count > c->count - c->got)
    return wrong (w, "it sent the same data twice");
  c->got += count;
  return 0;
}

static int
begin_extents (struct wire *w, const unsigned char *p, uint32_t length)
{
  struct upstream_command *c = w->c;
  uint32_t context = get32 (p);

  if (c->op != UPSTREAM_EXTENTS)
    return wrong (w, "it sent extents for a request that did not ask for "
                  "them");
  if (length < 4 + 8 || (length - 4) % 8 != 0)
    return wrong (w, "it sent extents of an impossible length");
  if (w->context_known && w->context != context)
    return wrong (w, "it sent extents of a context that was not agreed on");
  if (c->got)
    return wrong (w, "it sent the extents twice");
  w->context_known = true;
  w->context = context;
  c->got = 1;
  w->state = WIRE_EXTENTS;
  w->rest = length - 4;
  w->extent = c->offset;
  return 0;
}

static int
begin_error (struct wire *w, const unsigned char *p, enum chunk_type type,
             uint32_t length)
{
  uint32_t fixed = type == CHUNK_ERROR_OFFSET ? 14 : 6;

  if (length < fixed || get16 (p + 4) > length - fixed)
    return wrong (w, "it sent an error of an impossible length");
  if (w->c->error == 0)
    w->c->error = errno_of (get32 (p));
  w->state = WIRE_SKIP;
  w->rest = length - 6;
  return 0;
}

/* What follows the header of a chunk and is needed to begin with it. */
static size_t
chunk_fields (enum chunk_type type)
{
  switch (type) {
  case CHUNK_NONE: return 0;
  case CHUNK_OFFSET_DATA: return 8;
  case CHUNK_OFFSET_HOLE: return 12;
  case CHUNK_BLOCK_STATUS: return 4;
  default: return 6;            /* errors */
  }
}

/* p: the fields behind the header. */
static int
chunk (struct wire *w, const unsigned char *p, enum chunk_type type,
       uint32_t length)
{
  struct upstream_command *c = w->c;
  uint64_t offset;

  w->large = false;
  switch (type) {
  case CHUNK_NONE:
    if (length || !w->last)
      return wrong (w, "it sent an empty chunk that is not empty, or not the "
                    "last");
    if (c->op == UPSTREAM_EXTENTS && c->error == 0 && c->got == 0)
      c->error = EIO;
    end_chunk (w);
    return 0;
  case CHUNK_OFFSET_DATA:
    offset = get64 (p);
    if (check_range (w, offset, length - 8) == -1)
      return -1;
    begin_data (w, (char *) c->read + (offset - c->offset), length - 8);
    return 0;
  case CHUNK_OFFSET_HOLE:
    offset = get64 (p);
    if (length != 12)
      return wrong (w, "it sent a hole of an impossible length");
    if (check_range (w, offset, get32 (p + 8)) == -1)
      return -1;
    memset ((char *) c->read + (offset - c->offset), 0, get32 (p + 8));
    end_chunk (w);
    return 0;
  case CHUNK_BLOCK_STATUS:
    return begin_extents (w, p, length);
  default:
    return begin_error (w, p, type, length);
  }
}

static int
structured_reply (struct wire *w, const unsigned char *p, size_t n,
                  size_t *used)
{
  enum chunk_type type = get16 (p + 6);
  uint32_t length = get32 (p + 16);
  size_t fields;

  if (!(type & CHUNK_IS_ERROR) && type != CHUNK_NONE &&
      type != CHUNK_OFFSET_DATA && type != CHUNK_OFFSET_HOLE &&
      type != CHUNK_BLOCK_STATUS)
    return wrong (w, "it sent a chunk of an unknown type");
  fields = chunk_fields (type);
  if (length < fields ||
      (type != CHUNK_OFFSET_DATA && length > MOST_CHUNK))
    return wrong (w, "it sent a chunk of an impossible length");
  if (n < CHUNK_HEADER + fields)
    return 0;
  w->c = w->owner->find (w->opaque, get64 (p + 8));
  if (w->c == NULL)
    return wrong (w, "it answered a request that was not sent");
  w->last = get16 (p + 4) & CHUNK_DONE;
  *used = CHUNK_HEADER + fields;
  return chunk (w, p + CHUNK_HEADER, type, length);
}

/* Take in a header if all of it is there; *used says how long it was. */
static int
header (struct wire *w, const unsigned char *p, size_t n, size_t *used)
{
  uint32_t magic;

  if (n < 4)
    return 0;
  magic = get32 (p);
  if (magic == CHUNK_MAGIC && w->structured)
    return n < CHUNK_HEADER ? 0 : structured_reply (w, p, n, used);
  if (magic != SIMPLE_MAGIC)
    return wrong (w, "it sent something that is no reply");
  if (n < SIMPLE_HEADER)
    return 0;
  w->c = w->owner->find (w->opaque, get64 (p + 8));
  if (w->c == NULL)
    return wrong (w, "it answered a request that was not sent");
  *used = SIMPLE_HEADER;
  return simple_reply (w, p);
}

/* Hand on the extents that are there. */
static int
take_extents (struct wire *w, const unsigned char *p, size_t n, size_t *used)
{
  struct upstream_command *c = w->c;
  uint32_t pair[2 * EXTENTS_AT_ONCE];
  uint64_t begin = w->extent;
  size_t pairs = (n < w->rest ? n : w->rest) / 8, i;

  if (pairs > EXTENTS_AT_ONCE)
    pairs = EXTENTS_AT_ONCE;
  for (i = 0; i < pairs; i++) {
    pair[2 * i] = get32 (p + 8 * i);
    pair[2 * i + 1] = get32 (p + 8 * i + 4);
    if (pair[2 * i] == 0)
      return wrong (w, "it sent an extent without length");
    w->extent += pair[2 * i];
  }
  *used = pairs * 8;
  w->rest -= pairs * 8;
  if (pairs && c->error == 0 &&
      c->extents (c->opaque, begin, pair, pairs) == -1)
    c->error = errno;
  if (w->rest == 0)
    end_chunk (w);
  return 0;
}

/* Take in what is in the stage. */
static int
parse (struct wire *w)
{
  for (;;) {
    const unsigned char *p = w->stage + w->begin;
    size_t n = w->end - w->begin, used = 0;

    switch (w->state) {
    case WIRE_HEADER:
      if (header (w, p, n, &used) == -1)
        return -1;
      if (used == 0)
        return 0;
      break;
    case WIRE_EXTENTS:
      if (take_extents (w, p, n, &used) == -1)
        return -1;
      if (used == 0)
        return 0;
      break;
    case WIRE_DATA:
    case WIRE_SKIP:
      used = n < w->rest ? n : w->rest;
      if (w->state == WIRE_DATA) {
        memcpy (w->data, p, used);
        w->data += used;
      }
      w->rest -= used;
      if (w->rest) {
        w->begin += used;
        return 0;
      }
      end_chunk (w);
      break;
    }
    w->begin += used;
  }
}

int
wire_room (struct wire *w, struct iovec piece[2], bool *all)
{
  size_t room = w->large ? BEFORE_LARGE : WIRE_STAGE;
  int n = 0;

  if (w->begin) {
    memmove (w->stage, w->stage + w->begin, w->end - w->begin);
    w->end -= w->begin;
    w->begin = 0;
  }
  *all = false;
  if (w->state == WIRE_DATA) {
    piece[n++] = (struct iovec) { w->data, w->rest };
    if (w->rest >= LARGE) {
      *all = true;
      return n;
    }
  }
  piece[n++] = (struct iovec) { w->stage + w->end, room - w->end };
  return n;
}

int
wire_took (struct wire *w, size_t n)
{
  if (w->state == WIRE_DATA) {
    size_t direct = n < w->rest ? n : w->rest;

    w->data += direct;
    w->rest -= direct;
    n -= direct;
    if (w->rest)
      return 0;
    end_chunk (w);
  }
  w->end += n;
  return parse (w);
}
