/* SPDX-License-Identifier: BSD-3-Clause */
/* The space of an arena's file, during recovery.  recover.h has the design. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/crash-point.h"
#include "ramdisk/recover-parts.h"

/* Maps that a copy of the file has lost as holes must not be touched before
 * there is space for them.
 */
int
recover_take_maps (struct recoverer *r, char **error)
{
  unsigned unit = r->p->file->unit;
  uint32_t g;

  /* A huge page is asked for from its start on: the map of group 0 is not
   * there, and two would be taken.
   */
  for (g = 0; g * LAYOUT_GROUP_CHUNKS < r->chunks; g++)
    if (arena_file_allocate (r->p, 0, unit > 1 ? g * LAYOUT_GROUP_PAGES
                             : layout_map_page (g), unit) == -1)
      return recover_fail (error, "cannot take space in it: %s",
                           strerror (errno));
  return 0;
}

/* The bits of a word; those of the header and of maps count for nothing. */
static uint64_t
bits (const struct recoverer *r, uint32_t c, unsigned w)
{
  uint64_t word = atomic_load_explicit (arena_file_bits (&r->p->a, c, w),
                                        memory_order_relaxed);

  return w == 0 ? word & UINT64_MAX << fixed_pages (r->p, c) : word;
}

/* Call fn for each run of pages with a bit (or without) in a chunk. */
static int
each_run (struct recoverer *r, uint32_t c, bool set,
          int (*fn) (struct recoverer *r, page_t page, unsigned n))
{
  unsigned first = fixed_pages (r->p, c), i, j;

  for (i = first; i < CHUNK_PAGES; i = j) {
    bool is = bits (r, c, i / 64) >> (i % 64) & 1;

    for (j = i + 1; j < CHUNK_PAGES; j++) {
      if (j % 64 == 0 && CHUNK_PAGES - j >= 64 &&
          bits (r, c, j / 64) == (is ? UINT64_MAX : 0)) {
        j += 63;
        continue;
      }
      if ((bits (r, c, j / 64) >> (j % 64) & 1) != is)
        break;
    }
    if (is == set && fn (r, c * CHUNK_PAGES + i, j - i) == -1)
      return -1;
  }
  return 0;
}

static int
take_run (struct recoverer *r, page_t page, unsigned n)
{
  return arena_file_allocate (r->p, 0, page, n);
}

static int
punch_run (struct recoverer *r, page_t page, unsigned n)
{
  (void) arena_file_allocate (r->p, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              page, n);
  return 0;
}

/* Does each page that has a bit really have space?  Copying a file turns zeros
 * into holes.  In memory the number of blocks tells; elsewhere it is cheap to
 * ask for it again.
 */
int
recover_check_space (struct recoverer *r, char **error)
{
  struct arena_file *f = r->p->file;
  struct stat st;
  uint64_t fixed = 0;
  uint32_t c;
  unsigned w;

  for (c = 0; c < r->chunks; c++) {
    fixed += fixed_pages (r->p, c);
    for (w = 0; w < CHUNK_WORDS; w++)
      r->backed += __builtin_popcountll (bits (r, c, w));
  }
  if (f->in_memory && fstat (f->fd, &st) == 0 &&
      (uint64_t) st.st_blocks * 512 / PAGE_BYTES >= r->backed + fixed)
    return 0;
  for (c = 0; c < r->chunks; c++)
    if (each_run (r, c, true, take_run) == -1)
      return recover_fail (error, "has %" PRIu64 " pages in use, for which its "
                           "file system has no room: %s", r->backed,
                           strerror (errno));
  return 0;
}

/* Pages that are not in use are free; those that have space are promised to
 * nobody yet.
 */
void
recover_settle_pages (struct recoverer *r)
{
  struct arena_private *p = r->p;
  int64_t promised;
  uint32_t c;
  unsigned i;

  mutex_lock (&p->lock);
  for (c = 0; c < r->chunks; c++) {
    struct chunk *ch = &p->chunk[arena_new_chunk (p)];

    for (i = 0; i < CHUNK_WORDS; i++) {
      uint64_t used = 0;
      unsigned j;

      for (j = 0; j < 64; j++)
        used |= (uint64_t)
          (atomic_load_explicit (&p->a.refs[c * CHUNK_PAGES + i * 64 + j],
                                 memory_order_relaxed) != 0) << j;
      ch->free[i] &= ~used;
      ch->nfree -= __builtin_popcountll (used);
      for (j = 0; j < 64; j++)
        if (ch->free[i] >> j & 1)
          POISON (chunk_addr (p, c) + (i * 64 + j) * PAGE_BYTES, PAGE_BYTES);
      ch->dirty[i] = ch->free[i] & bits (r, c, i);
      ch->ndirty += __builtin_popcountll (ch->dirty[i]);
      p->free_dirty += __builtin_popcountll (ch->dirty[i]);
    }
    arena_chunk_put (p, c, 0, 0, 0);    /* on its list */
  }
  p->backed = r->backed;
  promised = r->used < p->limit ? r->used : p->limit;
  atomic_store (&p->promised, promised);
  atomic_store (&p->credit, promised - (int64_t) r->used);
  mutex_unlock (&p->lock);
}

/* Space that the map knows nothing of is given back. */
void
recover_settle_space (struct recoverer *r)
{
  struct arena_file *f = r->p->file;
  uint64_t size = r->chunks * CHUNK_BYTES;
  uint32_t c;

  if (f->size > size && size > 0 && ftruncate (f->fd, size) == 0)
    f->size = size;
  CRASH_POINT ();
  if (f->unit > 1)
    return;
  for (c = 0; c < r->chunks; c++)
    each_run (r, c, false, punch_run);
  CRASH_POINT ();
}
