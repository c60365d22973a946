/* SPDX-License-Identifier: BSD-3-Clause */
/* Records: what the arena's file stores of a disk besides its tree.  An origin
 * has one too: that of its cache (disk-origin.h).
 *
 * Each disk of an arena in a file has a record from disk_new to disk_free.  If
 * the memory is anonymous, there are no records, and the functions do nothing.
 * A record is valid from record_link to record_unlink, which the registry calls
 * when it gives a disk its name and when it takes it away; an origin's is valid
 * as long as the origin.  arena-layout.h has the invariants.
 *
 * Thread-safety: all functions may be called from any thread.  For disks,
 * record_link and record_unlink need the registry's lock, which orders them.
 *   takes records_lock and those of the arena: record_new, record_free,
 *                                              record_set_name, record_link
 *   takes no lock:                             the rest
 */

#ifndef MRAMDISK_RECORDS_H
#define MRAMDISK_RECORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ramdisk/arena-layout.h"
#include "ramdisk/arena.h"
#include "ramdisk/crash-point.h"

/* Allocate a record for a new disk, in *r; NULL if there is no file.  Returns
 * 0, or -1 with errno ENOSPC or ENOMEM.
 */
int record_new (struct arena *a, struct layout_record **r);

/* Free the record of a disk that is freed. */
void record_free (struct arena *a, struct layout_record *r);

/* Store the name and the UUID, or an origin's URI (without a UUID: NULL), for
 * record_link.  Once for each record.  Returns 0, or -1 with errno ENOSPC or
 * ENAMETOOLONG (over LAYOUT_MAX_NAME).
 */
int record_set_name (struct arena *a, struct layout_record *r,
                     const char *name, const struct uuid *uuid);

/* Make the record valid, and in the same step the record that it replaces, if
 * any, invalid.  flags, of a disk: with LAYOUT_EPHEMERAL, recovery drops the
 * disk unless record_keep is called; with LAYOUT_AUTO_DESTROY, it goes with its
 * next last client unless record_stay is.
 */
void record_link (struct arena *a, struct layout_record *r, uint32_t flags,
                  struct layout_record *replaces);

/* Make the record invalid. */
void record_unlink (struct layout_record *r);

/* The number of pages that records and their names take. */
uint64_t record_pages (struct arena *a);

/* Is the record valid?  NULL is not. */
static inline bool
record_is_linked (const struct layout_record *r)
{
  return r && atomic_load_explicit (&r->seq, memory_order_relaxed) != 0;
}

static inline bool
record_has_flag (const struct layout_record *r, uint32_t flag)
{
  return r && atomic_load_explicit (&r->flags, memory_order_relaxed) & flag;
}

static inline void
record_set_flag (struct layout_record *r, uint32_t flag)
{
  if (r) {
    atomic_fetch_or_explicit (&r->flags, flag, memory_order_release);
    CRASH_POINT ();
  }
}

static inline void
record_clear_flag (struct layout_record *r, uint32_t flag)
{
  if (r && atomic_load_explicit (&r->flags, memory_order_relaxed) & flag) {
    atomic_fetch_and_explicit (&r->flags, ~flag, memory_order_release);
    CRASH_POINT ();
  }
}

/* The disk was written, or named. */
static inline void
record_keep (struct layout_record *r)
{
  record_clear_flag (r, LAYOUT_EPHEMERAL);
}

/* The disk does not go with its last client any more. */
static inline void
record_stay (struct layout_record *r)
{
  record_clear_flag (r, LAYOUT_AUTO_DESTROY);
}

static inline void
record_store_root (struct layout_record *r, uint64_t root)
{
  if (r) {
    atomic_store_explicit (&r->root, root, memory_order_release);
    CRASH_POINT ();
  }
}

static inline void
record_store_size (struct layout_record *r, uint64_t size)
{
  if (r) {
    atomic_store_explicit (&r->size, size, memory_order_release);
    CRASH_POINT ();
  }
}

static inline void
record_store_origin_end (struct layout_record *r, uint64_t end)
{
  if (r) {
    atomic_store_explicit (&r->origin_end, end, memory_order_release);
    CRASH_POINT ();
  }
}

/* The disk of a record that is not linked yet is over an origin, that with this
 * record; NULL: none.
 */
static inline void
record_set_origin (struct layout_record *r, const struct layout_record *origin)
{
  if (r)
    r->origin = origin ? origin->id : 0;
}

/* It is a clone of the disk with this record. */
static inline void
record_set_parent (struct layout_record *r, const struct layout_record *parent)
{
  if (r)
    r->parent = parent ? parent->id : 0;
}

/* Let a new record of a disk be as its old one, whose disk does not change
 * meanwhile, but for name, flags and seq.
 */
void record_copy (struct layout_record *to, const struct layout_record *from);

/* quota: bytes; LAYOUT_NO_QUOTA and more mean none. */
static inline void
record_store_settings (struct layout_record *r, bool readonly, uint64_t quota)
{
  if (r) {
    if (quota > LAYOUT_NO_QUOTA)
      quota = LAYOUT_NO_QUOTA;
    atomic_store_explicit (&r->settings,
                           quota | (readonly ? LAYOUT_READONLY : 0),
                           memory_order_release);
    CRASH_POINT ();
  }
}

/* The bytes of the name. */
static inline char *
record_name (struct arena *a, struct layout_record *r)
{
  return r->name_page < PAGE_FIRST ? r->name : arena_addr (a, r->name_page);
}

#endif /* MRAMDISK_RECORDS_H */
