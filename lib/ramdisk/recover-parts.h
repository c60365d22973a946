/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of recovery share.  recover.h has the design.
 *
 * Recovery runs in one thread, before any other that knows the arena.
 */

#ifndef MRAMDISK_RECOVER_PARTS_H
#define MRAMDISK_RECOVER_PARTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ramdisk/arena-file.h"
#include "ramdisk/arena-layout.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/recover.h"

/* The kind of a page: 0 unknown, or data; 1 to 6 a node of that level; or a
 * page of records.  For nodes, also whether something is wrong with them or
 * below them.
 */
#define KIND_LEVEL 0x0f
#define KIND_RECORDS 0x0f
#define KIND_DATA 0x10          /* only scan notes it */
#define KIND_CHECKED 0x40       /* leaves below lead to no node */
#define KIND_BAD 0x80

#define WHY_STRING 128

struct found {
  struct layout_record *record;
  uint64_t seq;
  char *name;                   /* or NULL: not known */
  bool damaged;
  bool is_origin;               /* known only if the checksum is right */
  bool lost;                    /* of an origin: what was fetched is damaged,
                                 * or too much, and nothing else is wrong */
  struct found *origin;         /* the disk's, once they are sorted */
  uint64_t mapped;              /* pages */
  char why[WHY_STRING];
};

/* What a tree has below a node, and the node itself.  What the node leads to
 * twice counts twice.
 */
struct below {
  uint32_t data;                /* pages */
  uint32_t nodes;
};

struct recoverer {
  struct arena_private *p;
  const struct recover_options *o;
  uint32_t chunks;
  uint64_t pages;               /* in these */
  uint8_t *kind;                /* for each page */
  struct below *below;          /* for each node */
  uint64_t effort;              /* nodes that may still be looked at */
  uint64_t backed;              /* pages that have a bit */
  page_t *table;                /* the tables, oldest first */
  uint32_t ntables, alloc_tables;
  bool tables_damaged;
  struct found *found;
  size_t nfound, alloc_found;
  struct found *current;        /* the disk that is being looked at */
  uint64_t used;                /* pages with a reference */
};

/* Set *error to a line, or NULL if there is no memory for it.  Returns -1. */
int recover_fail (char **error, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Mark a disk as damaged; the first reason stays. */
void recover_damage (struct found *d, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Whether a page may be linked. */
static inline bool
recover_is_page (const struct recoverer *r, page_t page)
{
  return page >= PAGE_FIRST && page < r->pages && !layout_is_fixed (page) &&
    arena_file_has (&r->p->a, page);
}

static inline struct layout_table *
recover_table (const struct recoverer *r, page_t page)
{
  return arena_addr (&r->p->a, page);
}

/* Add a reference.  Only a file that was made for it has so many that the count
 * would overflow; then the page is never freed.
 */
static inline void
recover_count_one (struct recoverer *r, page_t page)
{
  uint32_t refs = arena_refs (&r->p->a, page);

  if (refs == 0)
    r->used++;
  if (refs < UINT32_MAX / 2)
    atomic_store_explicit (&r->p->a.refs[page], refs + 1,
                           memory_order_relaxed);
}

/* recover-space.c.  Functions that return int return 0, or -1 with *error. */
int recover_take_maps (struct recoverer *r, char **error);
int recover_check_space (struct recoverer *r, char **error);
void recover_settle_pages (struct recoverer *r);
void recover_settle_space (struct recoverer *r);

/* A record whose checksum is wrong counts as a disk's: nobody knows better, and
 * a disk that is lost must be reported.
 */
static inline bool
recover_is_origin (const struct found *d)
{
  return d->is_origin;
}

/* Is it recovered?  What an origin has lost is not. */
static inline bool
recover_is_kept (const struct found *d)
{
  return !d->damaged || d->lost;
}

/* recover-records.c.  recover_find_records and recover_settle_records return 0,
 * or -1 with errno.
 */
int recover_find_tables (struct recoverer *r, char **error);
int recover_find_records (struct recoverer *r);
int recover_check_record (struct recoverer *r, struct found *d);
uint64_t recover_sort_out (struct recoverer *r);
int recover_settle_records (struct recoverer *r);

/* recover-origins.c.  recover_find_origins returns 0, or -1 with errno. */
int recover_find_origins (struct recoverer *r);
void recover_check_complete (struct recoverer *r);
void recover_spread_damage (struct recoverer *r);
bool recover_shed_fetched (struct recoverer *r, uint64_t pages);
void recover_report_lost (struct recoverer *r);
int recover_connect (struct recoverer *r, struct recovered *recovered);

/* recover-trees.c */
void recover_check_trees (struct recoverer *r);
void recover_count_again (struct recoverer *r);

#endif /* MRAMDISK_RECOVER_PARTS_H */
