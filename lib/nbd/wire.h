/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD protocol after the handshake: requests into bytes, bytes into
 * replies.
 *
 * Design
 *
 * Who receives asks where the next bytes should go (wire_room), puts them
 * there, and says how many there were (wire_took).  Most go to the stage,
 * a buffer that takes the headers and small payloads of several replies at
 * once.  The rest of a large payload goes straight to where it is wanted.
 *
 * A server may send anything.  Each length and offset is checked before it is
 * used; what makes no sense is an error for good, since nobody knows where the
 * next reply begins.
 *
 * Invariants
 *
 *   W1  Bytes go only to the stage, or into the buffer of a read in flight,
 *       inside of what that read asked for.
 *   W2  A command is answered at most once, and not looked at after that.
 *   W3  A read that is answered without an error has got as many bytes as it
 *       asked for.
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

#include "upstream.h"

/* A request, without the payload of a write, in bytes. */
#define WIRE_REQUEST 28

/* For the headers and small payloads of several replies, in bytes. */
#define WIRE_STAGE (64 * 1024)

struct wire_owner {
  /* The command in flight with this cookie, or NULL. */
  struct upstream_command *(*find) (void *opaque, uint64_t cookie);
  /* The reply is complete; command->error is set. */
  void (*answered) (void *opaque, struct upstream_command *c);
};

struct wire {
  /* Set by wire_init. */
  const struct wire_owner *owner;
  void *opaque;
  bool structured;              /* the server may send structured replies */

  /* NULL, or what the server has done wrong. */
  const char *wrong;

  /* Private. */
  enum { WIRE_HEADER, WIRE_DATA, WIRE_EXTENTS, WIRE_SKIP } state;
  struct upstream_command *c;   /* the reply is for this one */
  bool last;                    /* nothing follows this chunk */
  bool large;                   /* the last payload was */
  char *data;                   /* WIRE_DATA: where the rest goes */
  size_t rest;                  /* of the chunk */
  uint64_t extent;              /* WIRE_EXTENTS: where the next one begins */
  bool context_known;
  uint32_t context;             /* base:allocation, as the server calls it */
  size_t begin, end;            /* of what is in the stage */
  unsigned char stage[WIRE_STAGE];
};

void wire_init (struct wire *w, bool structured,
                const struct wire_owner *owner, void *opaque);

/* Where to receive: up to 2 pieces, of which the number is returned.
 * *all: to wait until all of it is there saves system calls.
 */
int wire_room (struct wire *w, struct iovec piece[2], bool *all);

/* So many bytes came, and lie in the pieces in order.
 * Returns 0, or -1: see w->wrong, and receive no more.
 */
int wire_took (struct wire *w, size_t n);

void wire_request (unsigned char header[WIRE_REQUEST],
                   const struct upstream_command *c, uint64_t cookie);

/* To say goodbye. */
void wire_disconnect (unsigned char header[WIRE_REQUEST]);

#endif /* MNBD_WIRE_H */
