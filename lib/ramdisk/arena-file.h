/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of an arena: opening and closing it (arena-file.c), and taking and
 * returning space in it (arena-space.c).  arena-layout.h describes its content
 * and has the invariants P1 to P7.  Only the arena, the records and recovery
 * use this header.
 *
 * Thread-safety: arena_file_retract and arena_file_punch need the locks that
 * they name; during the others, no other call may run.
 */

#ifndef MRAMDISK_ARENA_FILE_H
#define MRAMDISK_ARENA_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "ramdisk/arena-layout.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"

struct arena_file {
  int fd;
  struct layout_header *header; /* page 0 */
  uint64_t size;                /* bytes; guarded by space_lock */
  unsigned unit;                /* pages that get space together: 1 or 512 */
  bool in_memory;               /* tmpfs or hugetlbfs */
  bool is_new;                  /* new: nothing to recover */
  bool short_file;              /* shorter than header.chunks says */
  int64_t overdraft;            /* pages set aside (A7) */
  _Atomic int space_error;      /* errno; arena_space_error */

  struct mutex records_lock;    /* guards the rest */
  struct layout_record **free;  /* unused records */
  uint32_t nfree, alloc;
  uint32_t tables;              /* pages */
  uint32_t long_names;          /* pages */
  uint64_t last_seq;            /* P4 */
};

/* fallocate(2) for a run of pages, again if a signal interrupts it. */
int arena_file_allocate (struct arena_private *p, int mode, page_t page,
                         unsigned n);

/* A word of the bits of a chunk's pages. */
static inline _Atomic uint64_t *
arena_file_bits (const struct arena *a, uint32_t c, unsigned w)
{
  struct layout_map *map =
    arena_addr (a, layout_map_page (c / LAYOUT_GROUP_CHUNKS));

  return &map->chunk[c % LAYOUT_GROUP_CHUNKS][w];
}

/* Whether a page below header.chunks has space. */
static inline bool
arena_file_has (const struct arena *a, page_t page)
{
  return atomic_load_explicit (arena_file_bits (a, page / CHUNK_PAGES,
                                                page % CHUNK_PAGES / 64),
                               memory_order_relaxed) >> (page % 64) & 1;
}

/* Take space for a run of pages, and set their bits.  Returns 0; or -1 with
 * errno of fallocate(2), and then none of them has space.
 */
int arena_file_take (struct arena_private *p, page_t page, unsigned n);

/* Remove the free dirty pages of a chunk from what is promised, so that they
 * can be returned; they no longer count as backed.  Returns false if they are
 * needed.
 */
bool arena_file_retract (struct arena_private *p, uint32_t c)
  REQUIRES (p->lock);

/* Return the space of a run of pages.  Returns 0; or -1 with errno of
 * fallocate(2), and then they still have it.
 */
int arena_file_punch (struct arena_private *p, page_t page, unsigned n);

/* Begin to use the file: recovery has accepted its content, or it is used again
 * after a clean stop.  Returns 0, or -1 with errno of msync(2).
 */
int arena_file_use (struct arena_private *p);

/* Abort with a message if the map contradicts the arena. */
void arena_file_check (struct arena_private *p) REQUIRES (p->lock);

/* Unlock and close the file.  NULL is allowed. */
void arena_file_free (struct arena_file *f);

#endif /* MRAMDISK_ARENA_FILE_H */
