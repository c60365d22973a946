/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD protocol after the handshake: requests into bytes, bytes into
 * replies.
 *
 * Design
 *
 * The receiver asks where the next bytes should go (wire_room), puts them
 * there, and says how many there were (wire_took).  Most go to the stage, a
 * buffer for the headers and small payloads of several replies at once.  The
 * rest of a large payload goes straight to its destination.
 *
 * A server may send anything.  Each length and offset is checked before it is
 * used.  A protocol error is final, because the beginning of the next reply is
 * unknown.
 *
 * Invariants
 *
 *   W1  Bytes go only to the stage, or into the buffer of a read in flight,
 *       inside of what that read asked for.
 *   W2  A command is answered at most once, and not accessed after that.
 *   W3  A read that is answered without an error has received each of its bytes
 *       exactly once.
 *   W4  The cost of a reply is bounded: its chunks, its separate pieces of data
 *       (cover.h), its extents and the bytes of its errors.  The time that it
 *       may take is up to the receiver.
 *   W5  If a reply breaks the protocol, the command that it names is marked as
 *       `violated`, so that it is not sent again for ever.
 *
 * Thread-safety: one thread at a time uses a struct wire.
 *
 * Knows no sockets, no locks and nothing of libnbd.
 */

#ifndef MNBD_WIRE_H
#define MNBD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/uio.h>

#include "nbd/connection.h"

/* The most that a request takes without the payload of a write, in bytes. */
#define WIRE_REQUEST 32

/* What was agreed on in the handshake.  With WIRE_STRUCTURED, replies may be
 * either simple or structured.  With WIRE_EXTENDED, requests and replies have
 * 64-bit lengths, and there are no other replies.
 */
enum wire_headers { WIRE_SIMPLE, WIRE_STRUCTURED, WIRE_EXTENDED };

/* The most that one reply may have: chunks; extents, of which nbdkit sends half
 * as many at most; and bytes of all its errors' payloads.
 */
#define WIRE_MOST_CHUNKS (UINT32_C (1) << 20)
#define WIRE_MOST_EXTENTS (UINT32_C (1) << 21)
#define WIRE_MOST_ERROR_BYTES (UINT32_C (1) << 20)

/* For the headers and small payloads of several replies, in bytes. */
#define WIRE_STAGE (64 * 1024)

struct wire_owner {
  /* The command in flight with this cookie, or NULL. */
  struct nbd_command *(*find) (void *opaque, uint64_t cookie);
  /* The reply is complete; command->error is set. */
  void (*answered) (void *opaque, struct nbd_command *c);
};

struct wire {
  /* Set by wire_init. */
  const struct wire_owner *owner;
  void *opaque;
  enum wire_headers headers;

  /* NULL, or how the server broke the protocol. */
  const char *protocol_error;

  /* Private. */
  enum { WIRE_HEADER, WIRE_DATA, WIRE_EXTENTS, WIRE_SKIP } state;
  struct nbd_command *c;        /* the reply is for this one */
  bool last;                    /* nothing follows this chunk */
  bool large;                   /* the last payload was */
  char *data;                   /* WIRE_DATA: where the rest goes */
  size_t rest;                  /* of the chunk */
  uint64_t extent;              /* WIRE_EXTENTS: where the next one begins */
  size_t pair;                  /* … and how long its description is */
  bool context_known;
  uint32_t context;             /* base:allocation, as the server calls it */
  size_t begin, end;            /* of what is in the stage */
  unsigned char stage[WIRE_STAGE];
};

void wire_init (struct wire *w, enum wire_headers headers,
                const struct wire_owner *owner, void *opaque);

/* Where to receive: up to 2 pieces, of which the number is returned.
 * *all: to wait until all of it is there saves system calls.
 */
int wire_room (struct wire *w, struct iovec piece[2], bool *all);

/* n bytes were received, into the pieces in order.
 * Returns 0, or -1: see w->protocol_error, and receive no more.
 */
int wire_took (struct wire *w, size_t n);

/* The protocol errors of a reply that sends a part of a read twice, or not at
 * all, or in too many pieces.
 */
extern const char wire_twice[], wire_gap[], wire_pieces[],
  wire_chunks[], wire_extents[];

/* How this extent in the reply to that command breaks the protocol; or NULL. */
const char *wire_extent_error (const struct nbd_command *c,
                               uint64_t begin, uint64_t length);

/* A request's header.  Returns its length. */
size_t wire_request (unsigned char header[WIRE_REQUEST],
                     enum wire_headers headers, const struct nbd_command *c,
                     uint64_t cookie);

/* The same for NBD_CMD_DISC. */
size_t wire_disconnect (unsigned char header[WIRE_REQUEST],
                        enum wire_headers headers);

#endif /* MNBD_WIRE_H */
