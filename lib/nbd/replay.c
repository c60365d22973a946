/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay log; replay.h says what it promises. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "base/copy-stream.h"
#include "base/mutex.h"
#include "nbd/replay.h"

/* How many entries there is room for at the start; doubled as needed. */
#define FIRST_ENTRIES 256

/* How much of the ring's beginning is in small pages, in bytes: a process may
 * have a log for each of many exports.
 */
#define SMALL_PAGES (UINT64_C (2) << 20)

enum state { IN_FLIGHT, ACKED, GONE };

struct entry {
  uint64_t offset;
  uint64_t pos;                 /* of the data in the ring */
  uint64_t ack;                 /* when it was acknowledged */
  uint32_t count;
  uint32_t flags;
  uint8_t type;
  uint8_t state;
};

struct replay {
  uint64_t limit;
  char *ring;                   /* limit bytes, if there are any */
  uint64_t ring_head;           /* where the oldest data begins … */
  uint64_t ring_tail;           /* … and the next goes, if it fits */
  uint64_t data_entries;        /* entries that have data in the ring */
  uint64_t data_bytes;

  struct entry *entry;          /* number seq lies at seq & mask */
  uint64_t mask;
  uint64_t head, tail;          /* the oldest entry, and the next; from 1 */
  uint64_t nacked;              /* entries that are ACKED … */
  uint64_t acked_bytes;         /* … what they count for (L4) … */
  uint64_t acked_count;         /* … and the sum of their counts */

  uint64_t acks;                /* acknowledged so far, with entry or without */
  uint64_t flushed;             /* as many of them are safe */
  struct replay_op *in_flight;
};

/* ----------------------------------------------------------------- rings */

/* The ring of the last log that was freed.  A pool lives as long as its
 * clients, and memory that is touched for the first time costs up to 10 µs for
 * each 4 KiB in a virtual machine: without this, each client that comes alone
 * would pay for a ring of its own, and its first writes of 256 KiB took three
 * times as long.
 */
static struct mutex spare_lock = MUTEX_INITIALIZER;
static char *spare GUARDED_BY (spare_lock);
static uint64_t spare_size GUARDED_BY (spare_lock);

/* Exchange the spare ring for this one, which may be NULL. */
static char *
exchange_spare (char *ring, uint64_t size, uint64_t *old_size)
{
  char *old;

  mutex_lock (&spare_lock);
  old = spare;
  *old_size = spare_size;
  spare = ring;
  spare_size = size;
  mutex_unlock (&spare_lock);
  return old;
}

static void
free_ring (char *ring, uint64_t size)
{
  /* The kernel may take its memory when it needs some. */
  madvise (ring, size, MADV_FREE);
  ring = exchange_spare (ring, size, &size);
  if (ring)
    munmap (ring, size);
}

static char *
new_ring (uint64_t size)
{
  uint64_t old_size;
  char *ring = exchange_spare (NULL, 0, &old_size);

  if (ring && old_size == size)
    return ring;
  if (ring)
    munmap (ring, old_size);
  /* Only what is used takes memory. */
  ring = mmap (NULL, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ring == MAP_FAILED)
    return NULL;
  /* In large pages, but for a client that flushes before it needs one. */
  if (size > SMALL_PAGES)
    madvise (ring + SMALL_PAGES, size - SMALL_PAGES, MADV_HUGEPAGE);
  return ring;
}

/* ------------------------------------------------------------------ logs */

struct replay *
replay_new (uint64_t limit)
{
  struct replay *r = calloc (1, sizeof *r);

  if (r == NULL)
    return NULL;
  r->limit = limit;
  r->head = r->tail = 1;
  if (limit == 0)
    return r;
  r->mask = FIRST_ENTRIES - 1;
  r->entry = calloc (FIRST_ENTRIES, sizeof *r->entry);
  r->ring = new_ring (limit);
  if (r->entry == NULL || r->ring == NULL) {
    replay_free (r);
    errno = ENOMEM;
    return NULL;
  }
  return r;
}

void
replay_free (struct replay *r)
{
  if (r == NULL)
    return;
  if (r->ring)
    free_ring (r->ring, r->limit);
  free (r->entry);
  free (r);
}

static struct entry *
entry_at (const struct replay *r, uint64_t seq)
{
  return &r->entry[seq & r->mask];
}

/* What an entry counts for. */
static uint64_t
cost (const struct entry *e)
{
  return REPLAY_ENTRY_COST + (e->type == REPLAY_WRITE ? e->count : 0);
}

static bool
overlap (uint64_t a, uint32_t a_count, uint64_t b, uint32_t b_count)
{
  return a < b + b_count && b < a + a_count;
}

static bool
overlaps_in_flight (const struct replay *r, const struct replay_op *op)
{
  const struct replay_op *o;

  for (o = r->in_flight; o; o = o->next)
    if (overlap (o->offset, o->count, op->offset, op->count))
      return true;
  return false;
}

/* Only asked for writes with FUA, which are few. */
static bool
overlaps_acked (const struct replay *r, const struct replay_op *op)
{
  uint64_t seq;

  for (seq = r->head; seq < r->tail; seq++) {
    const struct entry *e = entry_at (r, seq);

    if (e->state == ACKED &&
        overlap (e->offset, e->count, op->offset, op->count))
      return true;
  }
  return false;
}

/* Make room for one more entry in the array. */
static int
grow_entries (struct replay *r)
{
  uint64_t mask = r->mask * 2 + 1, seq;
  struct entry *entry;

  if (r->tail - r->head <= r->mask)
    return 0;
  entry = calloc (mask + 1, sizeof *entry);
  if (entry == NULL)
    return -1;
  for (seq = r->head; seq < r->tail; seq++)
    entry[seq & mask] = *entry_at (r, seq);
  free (r->entry);
  r->entry = entry;
  r->mask = mask;
  return 0;
}

/* Find count bytes in one piece.  What is left at the end of the ring when
 * they do not fit there stays unused until the ring comes around.
 */
static bool
find_room (const struct replay *r, uint32_t count, uint64_t *pos)
{
  if (r->data_entries == 0) {
    *pos = 0;
    return r->limit >= count;
  }
  if (r->ring_tail > r->ring_head) {
    if (r->limit - r->ring_tail >= count) {
      *pos = r->ring_tail;
      return true;
    }
    *pos = 0;
    return r->ring_head >= count;
  }
  *pos = r->ring_tail;
  return r->ring_head - r->ring_tail >= count;
}

static int
add_entry (struct replay *r, struct replay_op *op)
{
  uint32_t data = op->type == REPLAY_WRITE ? op->count : 0;
  uint64_t pos = 0;
  struct entry *e;

  if ((r->tail - r->head + 1) * REPLAY_ENTRY_COST > r->limit ||
      (data && !find_room (r, data, &pos))) {
    errno = ENOBUFS;
    return -1;
  }
  if (grow_entries (r) == -1)
    return -1;
  e = entry_at (r, r->tail);
  *e = (struct entry) { .offset = op->offset, .count = op->count, .pos = pos,
                        .type = op->type, .flags = op->flags,
                        .state = IN_FLIGHT };
  if (data) {
    if (r->data_entries++ == 0)
      r->ring_head = pos;
    r->ring_tail = pos + data;
    r->data_bytes += data;
    op->data = r->ring + pos;
  }
  op->seq = r->tail++;
  op->logged = true;
  return 0;
}

int
replay_begin (struct replay *r, struct replay_op *op)
{
  bool too_large = op->type == REPLAY_WRITE && op->count > r->limit / 2;

  op->through = op->logged = false;
  op->data = NULL;
  if (overlaps_in_flight (r, op)) {
    errno = EBUSY;
    return -1;
  }
  if (r->limit) {
    if (op->fua) {
      if (overlaps_acked (r, op)) {
        errno = ENOBUFS;
        return -1;
      }
    }
    else if (too_large)
      op->through = true;
    else if (add_entry (r, op) == -1)
      return -1;
  }
  op->prev = NULL;
  op->next = r->in_flight;
  if (op->next)
    op->next->prev = op;
  r->in_flight = op;
  return 0;
}

void
replay_store (struct replay_op *op, const void *data)
{
  if (!op->logged || op->data == NULL)
    return;
  if (op->count >= COPY_STREAM)
    copy_stream (op->data, data, op->count);
  else
    memcpy (op->data, data, op->count);
}

/* Free the entries at the old end that are GONE. */
static void
pop (struct replay *r)
{
  for (; r->head < r->tail; r->head++) {
    const struct entry *e = entry_at (r, r->head);

    if (e->state != GONE)
      break;
    if (e->type == REPLAY_WRITE) {
      r->data_entries--;
      r->data_bytes -= e->count;
      r->ring_head = e->pos + e->count;
    }
  }
  /* The next data may have begun at 0 again. */
  if (r->data_entries) {
    uint64_t seq = r->head;

    while (entry_at (r, seq)->type != REPLAY_WRITE)
      seq++;
    r->ring_head = entry_at (r, seq)->pos;
  }
}

void
replay_end (struct replay *r, struct replay_op *op, bool ok)
{
  struct entry *e;

  if (op->prev)
    op->prev->next = op->next;
  else
    r->in_flight = op->next;
  if (op->next)
    op->next->prev = op->prev;

  if (ok && !op->fua && !op->through)
    r->acks++;
  if (!op->logged)
    return;
  e = entry_at (r, op->seq);
  assert (e->state == IN_FLIGHT);
  if (ok) {
    e->state = ACKED;
    e->ack = r->acks;
    r->nacked++;
    r->acked_bytes += cost (e);
    r->acked_count += e->count;
  }
  else {
    e->state = GONE;
    pop (r);
  }
}

struct replay_mark
replay_mark (const struct replay *r)
{
  return (struct replay_mark) { .acks = r->acks };
}

void
replay_flushed (struct replay *r, struct replay_mark mark)
{
  uint64_t seq;

  if (mark.acks > r->flushed)
    r->flushed = mark.acks;
  for (seq = r->head; seq < r->tail; seq++) {
    struct entry *e = entry_at (r, seq);

    if (e->state == ACKED && e->ack <= mark.acks) {
      e->state = GONE;
      r->nacked--;
      r->acked_bytes -= cost (e);
      r->acked_count -= e->count;
    }
  }
  pop (r);
}

bool
replay_dirty (const struct replay *r)
{
  return r->acks > r->flushed;
}

void
replay_forget (struct replay *r)
{
  r->flushed = r->acks;
}

bool
replay_half_full (const struct replay *r)
{
  return r->acked_bytes > r->limit / 2;
}

bool
replay_next (const struct replay *r, uint64_t *seq, struct replay_item *item)
{
  uint64_t s = *seq < r->head ? r->head : *seq + 1;

  for (; s < r->tail; s++) {
    const struct entry *e = entry_at (r, s);

    if (e->state == ACKED) {
      *item = (struct replay_item) {
        .type = e->type, .flags = e->flags, .count = e->count,
        .offset = e->offset,
        .data = e->type == REPLAY_WRITE ? r->ring + e->pos : NULL,
      };
      *seq = s;
      return true;
    }
  }
  return false;
}

struct replay_usage
replay_usage (const struct replay *r)
{
  return (struct replay_usage) {
    .entries = r->nacked,
    .changed = r->acked_count,
    .bytes = r->data_bytes + (r->tail - r->head) * REPLAY_ENTRY_COST,
  };
}

static void
broken (const char *what)
{
  fprintf (stderr, "replay log: %s\n", what);
  abort ();
}

void
replay_check (const struct replay *r)
{
  const struct replay_op *a, *b;
  uint64_t seq, acked = 0, count = 0, n = 0, bytes = 0, end = 0;
  unsigned wraps = 0;

  for (a = r->in_flight; a; a = a->next)
    for (b = a->next; b; b = b->next)
      if (overlap (a->offset, a->count, b->offset, b->count))
        broken ("L1: two ops in flight overlap");
  for (seq = r->head; seq < r->tail; seq++) {
    const struct entry *e = entry_at (r, seq);

    acked += e->state == ACKED;
    count += e->state == ACKED ? e->count : 0;
    if (e->type != REPLAY_WRITE)
      continue;
    if (n++ && e->pos < end && wraps++)
      broken ("the data wraps around twice");
    if (wraps && e->pos + e->count > r->ring_head)
      broken ("new data lies over old data");
    end = e->pos + e->count;
    bytes += e->count;
    if (end > r->limit)
      broken ("L4: data beyond the ring");
  }
  if (acked != r->nacked || count != r->acked_count || n != r->data_entries ||
      bytes != r->data_bytes)
    broken ("the counts are wrong");
}
