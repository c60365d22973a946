/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: bytes on top of the tree.  disk.h has the contract.
 *
 * How a write works
 *
 * It is cut into sections, each in one leaf and of at most DISK_SECTION_PAGES.
 * For each section, the writer enters a reader section, checks the size,
 * descends the tree and stores into the pages that are exclusive
 * (write_mapped).  At holes, it leaves the reader section, fills new pages with
 * the data, and comes back to link each with one compare and swap
 * (write_holes).  What needs new nodes or un-sharing is done under the tree's
 * lock, to the end of the section (write_locked), so that no number of clones
 * can starve a writer.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/copy.h"
#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"

const char disk_zero_page[PAGE_BYTES];

/* ---------------------------------------------------------- life cycle */

static bool
size_is_valid (uint64_t size, uint32_t sector_size)
{
  return size <= DISK_MAX_SIZE && (size & (sector_size - 1)) == 0;
}

static bool
sector_size_is_valid (uint32_t sector_size)
{
  return sector_size == 1 ||
    (sector_size >= DISK_MIN_SECTOR && sector_size <= DISK_MAX_SECTOR &&
     (sector_size & (sector_size - 1)) == 0);
}

static void
init (struct disk *d, struct arena *arena, uint64_t size, uint32_t sector_size)
{
  tree_init (&d->tree, arena, size_in_pages (size));
  atomic_init (&d->size, size);
  d->sector_size = sector_size;
  atomic_init (&d->readonly, false);
  atomic_init (&d->written, false);
  d->detect_same = true;
  d->zeros = PAGE_HOLE;
  d->origin = NULL;
  atomic_init (&d->origin_end, 0);
  d->cuts.n = 0;
}

struct disk *
disk_new_unnamed (struct arena *arena, uint64_t size, uint32_t sector_size)
{
  struct disk *d;

  if (sector_size == 0)
    sector_size = 1;
  if (!sector_size_is_valid (sector_size) ||
      !size_is_valid (size, sector_size)) {
    errno = EINVAL;
    return NULL;
  }
  d = aligned_alloc (_Alignof (struct disk), sizeof *d);
  if (d == NULL)
    return NULL;
  init (d, arena, size, sector_size);
  return d;
}

struct disk *
disk_new (struct arena *arena, uint64_t size, uint32_t sector_size)
{
  struct disk *d = disk_new_unnamed (arena, size, sector_size);

  if (d && record_new (arena, &d->tree.record) == -1) {
    tree_destroy (&d->tree);
    free (d);
    return NULL;
  }
  if (d && d->tree.record) {
    d->tree.record->sector_size = d->sector_size;
    record_store_size (d->tree.record, size);
    record_store_root (d->tree.record, tree_record_root (&d->tree));
    record_store_settings (d->tree.record, false, TREE_NO_QUOTA);
  }
  return d;
}

struct disk *
disk_restore (struct arena *arena, struct layout_record *record,
              uint64_t mapped)
{
  uint64_t size = atomic_load_explicit (&record->size, memory_order_relaxed);
  uint64_t settings = atomic_load_explicit (&record->settings,
                                            memory_order_relaxed);
  struct disk *d = aligned_alloc (_Alignof (struct disk), sizeof *d);
  uint64_t end;

  if (d == NULL)
    return NULL;
  init (d, arena, size, record->sector_size);
  tree_restore (&d->tree, record, mapped >> PAGE_SHIFT);
  atomic_init (&d->readonly, (settings & LAYOUT_READONLY) != 0);
  settings &= ~LAYOUT_READONLY;
  atomic_init (&d->tree.quota,
               settings == LAYOUT_NO_QUOTA ? TREE_NO_QUOTA : settings);
  atomic_init (&d->written, true);
  /* A shrink may have been cut short before it lowered it (O6). */
  end = atomic_load_explicit (&record->origin_end, memory_order_relaxed);
  if (end > size) {
    end = size;
    record_store_origin_end (record, end);
  }
  atomic_init (&d->origin_end, end);
  return d;
}

void
disk_set (struct disk *d, bool readonly, uint64_t quota)
{
  record_store_settings (d->tree.record, readonly, quota);
  atomic_store_explicit (&d->readonly, readonly, memory_order_relaxed);
  atomic_store_explicit (&d->tree.quota, quota, memory_order_relaxed);
}

int
disk_set_sector_size (struct disk *d, uint32_t sector_size)
{
  if (!sector_size_is_valid (sector_size) ||
      !size_is_valid (disk_size (d), sector_size)) {
    errno = EINVAL;
    return -1;
  }
  d->sector_size = sector_size;
  if (d->tree.record)
    d->tree.record->sector_size = sector_size;
  return 0;
}

void
disk_free (struct disk *d)
{
  struct layout_record *record;
  bool stays;

  if (d == NULL)
    return;
  record = d->tree.record;
  /* A record that is still linked stays in the file when the process ends. */
  stays = record_is_linked (record);
  if (stays)
    atomic_store_explicit (&d->tree.root, 0, memory_order_relaxed);
  tree_destroy (&d->tree);
  record_free (d->tree.arena, record);
  disk_leave_origin (d, stays);
  free (d);
}

/* ---------------------------------------------------------------- read */

/* Read from one leaf; pages that are adjacent in the arena with one copy.
 *
 * The slot is loaded before the prefetches: otherwise its cache miss would wait
 * until most of theirs are over.
 */
static void
read_leaf (struct disk *d, page_t number, char *buf, size_t len,
           uint64_t offset)
{
  struct arena *a = d->tree.arena;
  struct node *leaf = node_at (a, number);
  uint64_t index = offset >> PAGE_SHIFT;
  page_t page = leaf_load (leaf, index);

  tree_prefetch (&d->tree, number, slot_index (index, 1), offset % PAGE_BYTES,
                 len);
  while (len > 0) {
    page_t first = page, next = page;
    size_t n = page_len (offset, len);

    while (n < len) {
      page = leaf_load (leaf, ++index);
      if (first >= PAGE_FIRST ? page != ++next : page >= PAGE_FIRST)
        break;
      n += min (PAGE_BYTES, len - n);
    }
    STRESS_POINT ();
    if (first >= PAGE_FIRST)
      copy_out (buf, (char *) arena_addr (a, first) + offset % PAGE_BYTES, n);
    else
      memset (buf, 0, n);
    buf += n;
    len -= n;
    offset += n;
  }
}

int
disk_read (struct disk *d, void *vbuf, uint64_t count, uint64_t offset)
{
  char *buf = vbuf;

  if (begin (d, count, offset, false) == -1)
    return -1;
  if (__builtin_expect (d->origin != NULL, false))
    return disk_read_over (d, buf, count, offset);

  while (count > 0) {
    size_t len = section_len (offset, count);
    uint64_t span;
    page_t leaf;

    rcu_enter ();
    if (!in_range (d, len, offset)) {
      rcu_exit ();
      errno = EINVAL;
      return -1;
    }
    leaf = tree_find (&d->tree, offset >> PAGE_SHIFT, &span);
    if (leaf >= PAGE_FIRST)
      read_leaf (d, leaf, buf, len, offset);
    rcu_exit ();
    if (leaf < PAGE_FIRST)
      memset (buf, 0, len);

    buf += len;
    count -= len;
    offset += len;
  }
  return 0;
}

/* --------------------------------------------------------------- write */

/* Why write_mapped ended before the end of the section. */
enum stop {
  STOP_END,                     /* it did not */
  STOP_HOLES,                   /* one or more holes */
  STOP_LOCK,                    /* something that needs the lock */
  STOP_SIZE,                    /* the disk was shrunk */
};

/* Store into exclusive pages, as long as there are any.  Returns how many bytes
 * were stored; *holes: how many unmapped pages follow.  In a reader section.
 */
static size_t
write_mapped (struct disk *d, const char *buf, size_t len, uint64_t offset,
              enum stop *stop, unsigned *holes)
{
  struct arena *a = d->tree.arena;
  uint64_t index = offset >> PAGE_SHIFT, span;
  size_t done = 0, n;
  struct node *leaf;
  page_t page, first, next;

  if (!in_range (d, len, offset)) {
    *stop = STOP_SIZE;
    return 0;
  }
  page = tree_find_exclusive (&d->tree, index, &span);
  if (page == WRITER_MUST_LOCK || page < PAGE_FIRST) {
    *stop = STOP_LOCK;
    return 0;
  }
  leaf = node_at (a, page);
  page = leaf_load (leaf, index);
  while (page >= PAGE_FIRST && arena_refs (a, page) == 1) {
    first = next = page;
    n = page_len (offset, len - done);
    while (done + n < len) {
      page = leaf_load (leaf, ++index);
      if (page != ++next || arena_refs (a, page) != 1)
        break;
      n += min (PAGE_BYTES, len - done - n);
    }
    STRESS_POINT ();
    copy_in ((char *) arena_addr (a, first) + offset % PAGE_BYTES,
             buf + done, n);
    STRESS_POINT ();
    done += n;
    offset += n;
    if (done == len) {
      *stop = STOP_END;
      return done;
    }
  }
  *stop = STOP_LOCK;
  if (page < PAGE_FIRST) {
    uint64_t last = (offset + (len - done) - 1) >> PAGE_SHIFT;

    *stop = STOP_HOLES;
    for (*holes = 1; index < last; ++*holes)
      if (leaf_load (leaf, ++index) >= PAGE_FIRST)
        break;
  }
  return done;
}

/* Fill new pages of our own with data, and zeros around it. */
static void
fill_pages (struct arena *a, const page_t *pages, unsigned n, const char *buf,
            size_t len, uint64_t offset)
{
  unsigned i, j;

  for (i = 0; i < n; i = j) {
    size_t off = offset % PAGE_BYTES, part = page_len (offset, len);
    char *addr = arena_addr (a, pages[i]);
    size_t end;

    for (j = i + 1; j < n && pages[j] == pages[j - 1] + 1; j++)
      part += min (PAGE_BYTES, len - part);
    memset (addr, 0, off);
    copy_in (addr + off, buf, part);
    end = (off + part) % PAGE_BYTES;
    if (end)
      memset (addr + off + part, 0, PAGE_BYTES - end);
    buf += part;
    len -= part;
    offset += part;
  }
}

/* Write to the holes that write_mapped has found.  Returns how many bytes were
 * stored, which is 0 if others were first; or -1 with errno ENOSPC or EDQUOT.
 */
static ssize_t
write_holes (struct tree_op *op, struct disk *d, const char *buf, size_t len,
             uint64_t offset, unsigned holes)
{
  struct arena *a = d->tree.arena;
  uint64_t index = offset >> PAGE_SHIFT, span;
  page_t pages[DISK_SECTION_PAGES], page;
  unsigned i = 0;
  size_t done;

  assert (holes <= DISK_SECTION_PAGES);
  len = min (len, holes * PAGE_BYTES - offset % PAGE_BYTES);
  if (tree_op_reserve_quota (op, &d->tree, holes) == -1 ||
      tree_op_alloc (op, holes, false, pages) == -1)
    return -1;
  fill_pages (a, pages, holes, buf, len, offset);
  STRESS_POINT ();

  rcu_enter ();
  page = tree_find_exclusive (&d->tree, index, &span);
  if (in_range (d, len, offset) &&
      page != WRITER_MUST_LOCK && page >= PAGE_FIRST) {
    struct node *leaf = node_at (a, page);

    for (; i < holes; i++) {
      page_t old = leaf_load (leaf, index + i);

      STRESS_POINT ();
      if (old >= PAGE_FIRST)
        break;
      tree_set_owner_generation (&d->tree, pages[i]);
      if (!leaf_swap (leaf, index + i, old, pages[i]))
        break;
    }
    if (i > 0 && pages[i - 1] - pages[0] == i - 1)
      tree_note_run (&d->tree, page, slot_index (index, 1), pages[0], i);
    tree_count (&d->tree, i, i);
    tree_op_quota_spent (op, i);
  }
  rcu_exit ();

  done = i == 0 ? 0 : min (len, i * PAGE_BYTES - offset % PAGE_BYTES);
  while (i < holes)
    tree_op_unalloc (op, pages[i++]);
  return done;
}

/* Does a page already hold what is written to it?  In a reader section. */
static bool
page_is_same (const struct arena *a, page_t page, const char *buf, size_t len,
              uint64_t offset)
{
  return copy_is_same ((char *) arena_addr (a, page) + offset % PAGE_BYTES,
                       buf, len);
}

/* How many bytes from offset on are written over themselves in shared pages,
 * which then stay shared; all before the end of a section.  A page counts as
 * shared if its path is.
 *
 * Nobody stores to a shared page (T3), so the bytes that were compared are
 * those that any reader sees at that time.  If the page ceases to be shared
 * meanwhile, another request to this disk may store to it.  That request
 * overlaps this one, and may as well come after it (D2).
 */
static size_t
same_section (struct disk *d, const char *buf, size_t len, uint64_t offset)
{
  struct arena *a = d->tree.arena;
  uint64_t span;
  bool shared;
  size_t done = 0;
  page_t page;

  rcu_enter ();
  if (in_range (d, len, offset)) {
    page = tree_find_sharing (&d->tree, offset >> PAGE_SHIFT, &span, &shared);
    if (page >= PAGE_FIRST) {
      struct node *leaf = node_at (a, page);

      while (done < len) {
        size_t n = page_len (offset + done, len - done);

        page = leaf_load (leaf, (offset + done) >> PAGE_SHIFT);
        if (page < PAGE_FIRST || (!shared && arena_refs (a, page) == 1) ||
            !page_is_same (a, page, buf + done, n, offset + done))
          break;
        done += n;
      }
    }
  }
  rcu_exit ();
  return done;
}

/* The same for a whole request. */
static uint64_t
same_bytes (struct disk *d, const char *buf, uint64_t count, uint64_t offset)
{
  uint64_t done = 0;

  while (done < count) {
    size_t len = section_len (offset + done, count - done);
    size_t n = same_section (d, buf + done, len, offset + done);

    done += n;
    if (n < len)
      break;
  }
  return done;
}

/* Store to one page in any state, in a leaf that is exclusive. */
static int
write_page_locked (struct tree_op *op, struct disk *d, struct node *leaf,
                   const char *buf, size_t len, uint64_t offset)
  REQUIRES (d->tree.lock)
{
  struct arena *a = d->tree.arena;
  uint64_t index = offset >> PAGE_SHIFT;
  size_t off = offset % PAGE_BYTES;
  page_t spare = PAGE_HOLE, old;
  bool linked = false, reserved = false, owned;

  while (!linked) {
    tree_op_room (op, 2);
    rcu_enter ();
    old = leaf_load (leaf, index);
    if (old >= PAGE_FIRST && arena_refs (a, old) == 1) {
      copy_in ((char *) arena_addr (a, old) + off, buf, len);
      rcu_exit ();
      if (spare)
        tree_op_unalloc (op, spare);
      return 0;
    }
    if (old >= PAGE_FIRST && d->detect_same &&
        page_is_same (a, old, buf, len, offset)) {
      rcu_exit ();
      if (spare)
        tree_op_unalloc (op, spare);
      return 0;
    }
    owned = old >= PAGE_FIRST && tree_owns (&d->tree, old);
    if (spare == PAGE_HOLE || (!owned && !reserved)) {
      rcu_exit ();
      if (!owned && tree_op_reserve_quota (op, &d->tree, 1) == -1)
        goto error;
      reserved |= !owned;
      if (spare == PAGE_HOLE && tree_op_alloc (op, 1, false, &spare) == -1) {
        /* The search for memory may have freed those that shared the page. */
        if (old >= PAGE_FIRST && arena_refs (a, old) == 1)
          continue;
        goto error;
      }
      continue;
    }
    if (old < PAGE_FIRST)
      fill_pages (a, &spare, 1, buf, len, offset);
    else {
      /* While a part of the old page is still needed, nobody may store to it:
       * the pin (T5).
       */
      if (len < PAGE_BYTES) {
        if (arena_ref_add (a, old) == 1) {
          arena_ref_undo (a, old);      /* the others have just gone */
          rcu_exit ();
          continue;
        }
        copy_out (arena_addr (a, spare), arena_addr (a, old), PAGE_BYTES);
        retire (&op->retired, old, 0);
      }
      memcpy ((char *) arena_addr (a, spare) + off, buf, len);
    }
    STRESS_POINT ();
    tree_set_owner_generation (&d->tree, spare);
    linked = leaf_swap (leaf, index, old, spare);
    if (linked) {
      if (old >= PAGE_FIRST)
        retire (&op->retired, old, 0);
      tree_count (&d->tree, old < PAGE_FIRST, !owned);
      if (!owned)
        tree_op_quota_spent (op, 1);
    }
    rcu_exit ();
  }
  return 0;

 error:
  if (spare)
    tree_op_unalloc (op, spare);
  return -1;
}

static int
write_locked (struct tree_op *op, struct disk *d, const char *buf, size_t len,
              uint64_t offset)
{
  struct node *leaf;
  int r = -1;

  tree_lock (&d->tree);
  if (!in_range (d, len, offset)) {
    errno = ENOSPC;
    goto out;
  }
  leaf = tree_leaf_locked (&d->tree, op, offset >> PAGE_SHIFT);
  if (leaf == NULL)
    goto out;
  while (len > 0) {
    size_t n = page_len (offset, len);

    if (write_page_locked (op, d, leaf, buf, n, offset) == -1)
      goto out;
    buf += n;
    len -= n;
    offset += n;
  }
  r = 0;
 out:
  tree_unlock (&d->tree);
  return r;
}

static int
write_section (struct tree_op *op, struct disk *d, const char *buf, size_t len,
               uint64_t offset)
{
  while (len > 0) {
    unsigned holes = 0;
    enum stop stop;
    ssize_t n;

    rcu_enter ();
    n = write_mapped (d, buf, len, offset, &stop, &holes);
    rcu_exit ();
    if (stop == STOP_SIZE) {
      errno = ENOSPC;
      return -1;
    }
    buf += n;
    len -= n;
    offset += n;
    if (stop == STOP_LOCK) {
      n = d->detect_same ? same_section (d, buf, len, offset) : 0;
      if (n == 0)
        return write_locked (op, d, buf, len, offset);
      buf += n;
      len -= n;
      offset += n;
    }
    if (stop == STOP_HOLES) {
      n = write_holes (op, d, buf, len, offset, holes);
      if (n == -1)
        return -1;
      buf += n;
      len -= n;
      offset += n;
    }
  }
  return 0;
}

/* edges: what disk_fetch_edges has found, or NULL. */
static int
write_bytes (struct tree_op *op, struct disk *d, const char *buf,
             uint64_t count, uint64_t offset, struct edges *edges)
{
  uint64_t first = offset >> PAGE_SHIFT;
  uint64_t last = (offset + count - 1) >> PAGE_SHIFT;
  uint64_t owed = 0, cost = 0, less, same;

  if (disk_quota (d) != TREE_NO_QUOTA)
    owed = tree_not_owned (&d->tree, first, last);
  /* For D4.  One page alone cannot be done by halves, unless it is an edge. */
  if (last > first || edges)
    cost = tree_cost (&d->tree, first, last);
  /* What changes nothing needs neither quota nor memory. */
  if ((owed || cost) && d->detect_same &&
      (same = same_bytes (d, buf, count, offset)) > 0) {
    if (same == count)
      return 0;
    buf += same;
    count -= same;
    offset += same;
    /* Edges are not among them: these are holes. */
    return write_bytes (op, d, buf, count, offset, edges);
  }
  if (owed && tree_op_reserve_quota (op, &d->tree, owed) == -1)
    return -1;
  while (cost && tree_op_reserve (op, cost) == -1) {
    /* The search for memory may have freed those that shared the pages. */
    less = tree_cost (&d->tree, first, last);
    if (less >= cost)
      return -1;
    cost = less;
  }
  if (edges && disk_own_edges (op, d, edges) == -1)
    return -1;
  while (count > 0) {
    size_t len = section_len (offset, count);

    if (write_section (op, d, buf, len, offset) == -1)
      return -1;
    buf += len;
    count -= len;
    offset += len;
  }
  return 0;
}

static int __attribute__ ((noinline))
write_edges (struct tree_op *op, struct disk *d, const char *buf,
             uint64_t count, uint64_t offset)
{
  struct edges edges;

  if (disk_fetch_edges (d, count, offset, &edges) == -1)
    return -1;
  return write_bytes (op, d, buf, count, offset, edges.n ? &edges : NULL);
}

int
disk_write_bytes (struct tree_op *op, struct disk *d, const char *buf,
                  uint64_t count, uint64_t offset)
{
  return has_edges (d, count, offset)
    ? write_edges (op, d, buf, count, offset)
    : write_bytes (op, d, buf, count, offset, NULL);
}

int
disk_write (struct disk *d, const void *buf, uint64_t count, uint64_t offset)
{
  struct tree_op op;
  int r = change_begin (d, &op, count, offset, false);

  if (r != 1)
    return r;
  return change_end (d, &op, disk_write_bytes (&op, d, buf, count, offset));
}

/* -------------------------------------------------------------- resize */

static bool
is_zero (const char *p, size_t len)
{
  return memcmp (p, disk_zero_page, len) == 0;
}

/* Zero the last page from the new end on.  The gate is closed. */
static int
zero_tail_locked (struct tree_op *op, struct disk *d, uint64_t size)
  REQUIRES (d->tree.lock)
{
  uint64_t span, index = size >> PAGE_SHIFT;
  page_t page;
  struct node *leaf;

  if (size % PAGE_BYTES == 0)
    return 0;
  rcu_enter ();
  page = tree_find (&d->tree, index, &span);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (d->tree.arena, page), index);
  rcu_exit ();
  if (page < PAGE_FIRST || is_zero ((char *) arena_addr (d->tree.arena, page) +
                                    size % PAGE_BYTES,
                                    PAGE_BYTES - size % PAGE_BYTES))
    return 0;
  leaf = tree_leaf_locked (&d->tree, op, index);
  if (leaf == NULL)
    return -1;
  return write_page_locked (op, d, leaf, disk_zero_page,
                            PAGE_BYTES - size % PAGE_BYTES, size);
}

static void
set_size (struct disk *d, uint64_t size) REQUIRES (d->tree.lock)
{
  record_store_size (d->tree.record, size);     /* P5 */
  atomic_store_explicit (&d->size, size, memory_order_release);
}

static void
set_origin_end (struct disk *d, uint64_t end) REQUIRES (d->tree.lock)
{
  record_store_origin_end (d->tree.record, end);
  atomic_store_explicit (&d->origin_end, end, memory_order_release);
}

/* At most two paths are copied: to the last page and, for what lies beyond it,
 * to the next.
 */
#define SHRINK_COST (2 * TREE_MAX_HEIGHT + 1)

static int
shrink_locked (struct tree_op *op, struct disk *d, uint64_t size, uint64_t cost)
  REQUIRES (d->tree.lock)
{
  uint64_t old = disk_size (d);
  uint64_t old_end = atomic_load_explicit (&d->origin_end,
                                           memory_order_relaxed);
  int r;

  if (tree_op_reserve (op, cost) == -1)
    return -1;
  set_size (d, size);
  if (size < old_end)           /* O6 */
    set_origin_end (d, size);
  tree_close_locked (&d->tree);
  r = zero_tail_locked (op, d, size);
  if (r == 0)
    r = tree_fill_locked (&d->tree, op, size_in_pages (size), UINT64_MAX,
                          PAGE_HOLE);
  if (r == 0)
    r = tree_set_height_locked (&d->tree, op, size_in_pages (size));
  if (r == -1) {
    if (size < old_end)
      set_origin_end (d, old_end);
    set_size (d, old);
  }
  tree_open_locked (&d->tree);
  return r;
}

int
disk_resize (struct disk *d, uint64_t size)
{
  struct tree_op op;
  int r = 0;

  if (rcu_prepare () == -1)
    return -1;
  if (!size_is_valid (size, d->sector_size)) {
    errno = EINVAL;
    return -1;
  }
  tree_op_begin (&op, d->tree.arena, true);
  op.unlimited = true;
  tree_lock_first (&d->tree);
  if (size < disk_size (d)) {
    r = shrink_locked (&op, d, size, SHRINK_COST);
    if (r == 0)
      cuts_add (&d->cuts, size);
  }
  else {
    r = tree_set_height_locked (&d->tree, &op, size_in_pages (size));
    if (r == 0)
      set_size (d, size);
  }
  tree_unlock (&d->tree);
  tree_op_end (&op);
  return r;
}

struct cuts
disk_cuts (struct disk *d)
{
  struct cuts cuts;

  tree_lock (&d->tree);
  cuts = d->cuts;
  tree_unlock (&d->tree);
  return cuts;
}

int
disk_settle (struct disk *d)
{
  uint64_t size = disk_size (d), span, index = size >> PAGE_SHIFT;
  struct tree_op op;
  page_t page;
  int r;

  page = tree_find (&d->tree, index, &span);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (d->tree.arena, page), index);
  if (tree_ends_at (d->tree.arena, root_load (&d->tree),
                    size_in_pages (size)) &&
      (size % PAGE_BYTES == 0 || page < PAGE_FIRST ||
       is_zero ((char *) arena_addr (d->tree.arena, page) + size % PAGE_BYTES,
                PAGE_BYTES - size % PAGE_BYTES)))
    return 0;
  if (rcu_prepare () == -1)
    return -1;
  tree_op_begin (&op, d->tree.arena, true);
  op.unlimited = true;
  tree_lock_first (&d->tree);
  r = shrink_locked (&op, d, size, SHRINK_COST);
  /* Where memory is full, it may do without: a root that is only too high,
   * after a growth was cut short, takes nothing.
   */
  if (r == -1 && errno == ENOSPC)
    r = shrink_locked (&op, d, size, 0);
  tree_unlock (&d->tree);
  tree_op_end (&op);
  return r;
}

/* --------------------------------------------------------------- clone */

struct disk *
disk_clone (struct disk *d)
{
  struct disk *clone = disk_new (d->tree.arena, 0, d->sector_size);
  uint64_t root;
  int64_t mapped;

  if (clone == NULL)
    return NULL;
  tree_lock_first (&d->tree);
  tree_share_locked (&d->tree, &root, &mapped);
  tree_disown_locked (&d->tree);
  atomic_store_explicit (&clone->size, disk_size (d), memory_order_relaxed);
  disk_share_origin (clone, d);
  tree_unlock (&d->tree);
  record_store_size (clone->tree.record, disk_size (clone));
  tree_adopt (&clone->tree, root, mapped);
  mark_written (clone);
  return clone;
}
