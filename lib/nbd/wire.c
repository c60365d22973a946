/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD protocol after the handshake; wire.h says how it is used. */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "nbd/wire.h"

#define REQUEST_MAGIC UINT32_C (0x25609513)
#define SIMPLE_MAGIC UINT32_C (0x67446698)
#define CHUNK_MAGIC UINT32_C (0x668e33ef)
#define EXTENDED_REQUEST_MAGIC UINT32_C (0x21e41c71)
#define EXTENDED_CHUNK_MAGIC UINT32_C (0x6e8a278c)

/* Headers, in bytes. */
#define COMPACT_REQUEST 28
#define EXTENDED_REQUEST 32
#define SIMPLE_HEADER 16
#define CHUNK_HEADER 20
#define EXTENDED_CHUNK_HEADER 32

/* A flag of extended requests: the length is that of the payload. */
#define REQUEST_PAYLOAD 32

#define CHUNK_DONE 1            /* flag */

enum chunk_type {
  CHUNK_NONE = 0,
  CHUNK_OFFSET_DATA = 1,
  CHUNK_OFFSET_HOLE = 2,
  CHUNK_BLOCK_STATUS = 5,
  CHUNK_BLOCK_STATUS_EXT = 6,
  CHUNK_ERROR = 0x8001,
  CHUNK_ERROR_OFFSET = 0x8002,
};
#define CHUNK_IS_ERROR 0x8000

#define COMMAND_DISCONNECT 2

/* Why a reply that does not cover its read, or covers a part twice, is refused.
 * The same words are used with TLS.
 */
const char wire_twice[] = "it sent the same data twice";
const char wire_gap[] = "it left out a part of the data";
const char wire_pieces[] = "it sent the data in too many pieces";
const char wire_chunks[] = "it sent too many chunks for one reply";
const char wire_extents[] = "it sent too many extents";

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

static size_t
put_request (unsigned char *p, enum wire_headers headers, uint16_t flags,
             uint16_t type, uint64_t cookie, uint64_t offset, uint64_t length)
{
  bool extended = headers == WIRE_EXTENDED;

  put32 (p, extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC);
  put16 (p + 4, flags);
  put16 (p + 6, type);
  put64 (p + 8, cookie);
  put64 (p + 16, offset);
  if (extended)
    put64 (p + 24, length);
  else
    put32 (p + 24, length);
  return extended ? EXTENDED_REQUEST : COMPACT_REQUEST;
}

/* The flags of libnbd have the protocol's values. */
size_t
wire_request (unsigned char header[WIRE_REQUEST], enum wire_headers headers,
              const struct nbd_command *c, uint64_t cookie)
{
  static const uint16_t type[NBD_OPS] = {
    [NBD_READ] = 0, [NBD_WRITE] = 1, [NBD_FLUSH] = 3,
    [NBD_TRIM] = 4, [NBD_CACHE] = 5, [NBD_ZERO] = 6,
    [NBD_EXTENTS] = 7,
  };

  uint16_t flags = c->flags;

  if (headers == WIRE_EXTENDED && c->op == NBD_WRITE)
    flags |= REQUEST_PAYLOAD;
  return put_request (header, headers, flags, type[c->op], cookie, c->offset,
                      c->count);
}

size_t
wire_disconnect (unsigned char header[WIRE_REQUEST], enum wire_headers headers)
{
  return put_request (header, headers, 0, COMMAND_DISCONNECT, 0, 0, 0);
}

/* ------------------------------------------------------------- replies */

void
wire_init (struct wire *w, enum wire_headers headers,
           const struct wire_owner *owner, void *opaque)
{
  /* All but the stage. */
  memset (w, 0, offsetof (struct wire, stage));
  w->headers = headers;
  w->owner = owner;
  w->opaque = opaque;
}

static int
protocol_error (struct wire *w, const char *what)
{
  w->protocol_error = what;
  if (w->c)
    w->c->violated = true;
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
static int
end_chunk (struct wire *w)
{
  struct nbd_command *c = w->c;

  if (w->last && c->op == NBD_READ && c->error == 0 &&
      !cover_whole (&c->cover, c->count))
    return protocol_error (w, wire_gap);
  w->state = WIRE_HEADER;
  w->c = NULL;
  if (w->last)
    w->owner->answered (w->opaque, c);
  return 0;
}

/* These bytes of a read are about to come. */
static int
covers (struct wire *w, uint32_t begin, uint32_t count)
{
  struct nbd_command *c = w->c;

  if (cover_add (&c->cover, begin, count) == 0)
    return 0;
  if (errno != ENOMEM)
    return protocol_error (w, errno == EEXIST ? wire_twice : wire_pieces);
  if (c->error == 0)
    c->error = ENOMEM;
  return 0;
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
  struct nbd_command *c = w->c;
  uint32_t error = get32 (p + 4);

  w->last = true;
  w->large = false;
  if (error)
    c->error = errno_of (error);
  else if (c->op == NBD_READ) {
    if (w->headers == WIRE_STRUCTURED)
      return protocol_error (w, "it answered a read with a simple reply, "
                             "though structured replies were agreed on");
    if (covers (w, 0, c->count) == -1)
      return -1;
    begin_data (w, c->read, c->count);
    return 0;
  }
  else if (c->op == NBD_EXTENTS)
    return protocol_error (w, "it answered a block status request without "
                           "extents");
  return end_chunk (w);
}

/* Data or a hole lies inside of the read, where nothing came before. */
static int
check_range (struct wire *w, uint64_t offset, uint32_t count)
{
  struct nbd_command *c = w->c;

  if (c->op != NBD_READ)
    return protocol_error (w, "it sent data for a request that is not a read");
  if (count == 0)
    return protocol_error (w, "it sent an empty piece of data");
  if (offset < c->offset || offset - c->offset > c->count ||
      count > c->count - (offset - c->offset))
    return protocol_error (w, "it sent data that was not asked for");
  return covers (w, offset - c->offset, count);
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
  case CHUNK_BLOCK_STATUS_EXT: return 8;
  default: return 6;            /* errors */
  }
}

static int
begin_extents (struct wire *w, const unsigned char *p, enum chunk_type type,
               uint32_t length)
{
  struct nbd_command *c = w->c;
  bool extended = type == CHUNK_BLOCK_STATUS_EXT;
  uint32_t context = get32 (p), rest = length - chunk_fields (type);
  uint32_t pair = extended ? 16 : 8;

  if (c->op != NBD_EXTENTS)
    return protocol_error (w, "it sent extents for a request that did not ask "
                           "for them");
  if (extended != (w->headers == WIRE_EXTENDED))
    return protocol_error (w, "it sent extents of the wrong kind for the "
                           "headers that were agreed on");
  if (rest == 0 || rest % pair != 0 ||
      (extended && get32 (p + 4) != rest / pair))
    return protocol_error (w, "it sent extents of an impossible length");
  if (w->context_known && w->context != context)
    return protocol_error (w, "it sent extents of a context that was not "
                           "agreed on");
  if (c->has_extents)
    return protocol_error (w, "it sent the extents twice");
  if (rest / pair > WIRE_MOST_EXTENTS)
    return protocol_error (w, wire_extents);
  w->context_known = true;
  w->context = context;
  c->has_extents = true;
  w->state = WIRE_EXTENTS;
  w->rest = rest;
  w->extent = c->offset;
  w->pair = pair;
  return 0;
}

static int
begin_error (struct wire *w, const unsigned char *p, enum chunk_type type,
             uint32_t length)
{
  uint32_t fixed = type == CHUNK_ERROR_OFFSET ? 14 : 6;

  if (length < fixed || get16 (p + 4) > length - fixed)
    return protocol_error (w, "it sent an error of an impossible length");
  if (length > WIRE_MOST_ERROR_BYTES - w->c->error_bytes)
    return protocol_error (w, "it sent too much error text in one reply");
  w->c->error_bytes += length;
  if (w->c->error == 0)
    w->c->error = errno_of (get32 (p));
  w->state = WIRE_SKIP;
  w->rest = length - 6;
  return 0;
}

/* p: the fields behind the header. */
static int
chunk (struct wire *w, const unsigned char *p, enum chunk_type type,
       uint32_t length)
{
  struct nbd_command *c = w->c;
  uint64_t offset;

  w->large = false;
  switch (type) {
  case CHUNK_NONE:
    if (length || !w->last)
      return protocol_error (w, "it sent an empty chunk that is not empty, or "
                             "not the last");
    if (c->op == NBD_EXTENTS && c->error == 0 && !c->has_extents)
      return protocol_error (w, "it answered a block status request without "
                             "extents");
    return end_chunk (w);
  case CHUNK_OFFSET_DATA:
    offset = get64 (p);
    if (check_range (w, offset, length - 8) == -1)
      return -1;
    begin_data (w, (char *) c->read + (offset - c->offset), length - 8);
    return 0;
  case CHUNK_OFFSET_HOLE:
    offset = get64 (p);
    if (length != 12)
      return protocol_error (w, "it sent a hole of an impossible length");
    if (check_range (w, offset, get32 (p + 8)) == -1)
      return -1;
    memset ((char *) c->read + (offset - c->offset), 0, get32 (p + 8));
    return end_chunk (w);
  case CHUNK_BLOCK_STATUS:
  case CHUNK_BLOCK_STATUS_EXT:
    return begin_extents (w, p, type, length);
  default:
    return begin_error (w, p, type, length);
  }
}

static int
structured_reply (struct wire *w, const unsigned char *p, size_t n,
                  size_t *used)
{
  bool extended = w->headers == WIRE_EXTENDED;
  enum chunk_type type = get16 (p + 6);
  uint64_t length = extended ? get64 (p + 24) : get32 (p + 16);
  size_t head = extended ? EXTENDED_CHUNK_HEADER : CHUNK_HEADER, fields;

  w->c = w->owner->find (w->opaque, get64 (p + 8));
  if (w->c == NULL)
    return protocol_error (w, "it answered a request that was not sent");
  if (extended && get64 (p + 16) != w->c->offset)
    return protocol_error (w, "it answered a request for another offset");
  if (!(type & CHUNK_IS_ERROR) && type != CHUNK_NONE &&
      type != CHUNK_OFFSET_DATA && type != CHUNK_OFFSET_HOLE &&
      type != CHUNK_BLOCK_STATUS && type != CHUNK_BLOCK_STATUS_EXT)
    return protocol_error (w, "it sent a chunk of an unknown type");
  fields = chunk_fields (type);
  if (length < fields || length > UINT32_MAX)
    return protocol_error (w, "it sent a chunk of an impossible length");
  if (n < head + fields) {
    w->c = NULL;                /* looked up again, then */
    return 0;
  }
  if (++w->c->chunks > WIRE_MOST_CHUNKS)
    return protocol_error (w, wire_chunks);
  w->last = get16 (p + 4) & CHUNK_DONE;
  *used = head + fields;
  return chunk (w, p + head, type, length);
}

/* Take in a header if all of it is there; *used says how long it was. */
static int
header (struct wire *w, const unsigned char *p, size_t n, size_t *used)
{
  uint32_t magic;

  if (n < 4)
    return 0;
  magic = get32 (p);
  if (w->headers == WIRE_EXTENDED && magic == EXTENDED_CHUNK_MAGIC)
    return n < EXTENDED_CHUNK_HEADER ? 0 : structured_reply (w, p, n, used);
  if (w->headers == WIRE_STRUCTURED && magic == CHUNK_MAGIC)
    return n < CHUNK_HEADER ? 0 : structured_reply (w, p, n, used);
  if (w->headers == WIRE_EXTENDED || magic != SIMPLE_MAGIC)
    return protocol_error (w, "it sent something that is not a reply");
  if (n < SIMPLE_HEADER)
    return 0;
  w->c = w->owner->find (w->opaque, get64 (p + 8));
  if (w->c == NULL)
    return protocol_error (w, "it answered a request that was not sent");
  *used = SIMPLE_HEADER;
  return simple_reply (w, p);
}

/* The last extent may go beyond what was asked for.  nbdkit also sends one that
 * begins there.
 */
const char *
wire_extent_error (const struct nbd_command *c, uint64_t begin,
                   uint64_t length)
{
  if (length == 0)
    return "it sent an empty extent";
  if (length > INT64_MAX - begin)
    return "it sent an extent of an impossible length";
  if (begin > c->offset + c->count)
    return "it sent extents beyond those that it was asked for";
  return NULL;
}

/* Hand on the extents that are there. */
static int
take_extents (struct wire *w, const unsigned char *p, size_t n, size_t *used)
{
  struct nbd_command *c = w->c;
  struct nbd_status status[EXTENTS_AT_ONCE];
  uint64_t begin = w->extent;
  size_t pairs = (n < w->rest ? n : w->rest) / w->pair, i;
  const char *what;

  if (pairs > EXTENTS_AT_ONCE)
    pairs = EXTENTS_AT_ONCE;
  for (i = 0; i < pairs; i++) {
    const unsigned char *e = p + i * w->pair;

    status[i] = w->pair == 16
      ? (struct nbd_status) { get64 (e), get64 (e + 8) }
      : (struct nbd_status) { get32 (e), get32 (e + 4) };
    what = wire_extent_error (c, w->extent, status[i].length);
    if (what)
      return protocol_error (w, what);
    w->extent += status[i].length;
  }
  *used = pairs * w->pair;
  w->rest -= *used;
  if (pairs && c->error == 0 &&
      c->extents (c->opaque, begin, status, pairs) == -1)
    c->error = errno;
  return w->rest == 0 ? end_chunk (w) : 0;
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
      if (end_chunk (w) == -1)
        return -1;
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
    if (end_chunk (w) == -1)
      return -1;
  }
  w->end += n;
  return parse (w);
}
