/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: bytes on top of the tree.  disk.h has the contract.
 *
 * How a write goes
 *
 * It is cut into sections, of one leaf and at most DISK_SECTION_PAGES each.
 * For each one the writer enters a reader section, checks the size, goes down
 * the tree and stores into the pages that are exclusive (write_mapped).  Where
 * he meets holes he leaves the section, fills fresh pages with the data, and
 * comes back to link them with one compare and swap each (write_holes).  What
 * needs new nodes or un-sharing is done by write_locked under the tree's lock,
 * to the end of the section, so that no storm of clones can starve a writer.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "copy.h"
#include "disk.h"
#include "mutex.h"
#include "node.h"
#include "radix.h"
#include "rcu.h"

static const char zero_page[PAGE_BYTES];

static inline uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* What a leaf has for a page of the disk. */
static inline page_t
leaf_load (struct node *leaf, uint64_t index)
{
  return slot_load (leaf, slot_index (index, 1));
}

/* Link a page, or unlink one, in a leaf that is exclusive.  Release: the
 * page's content goes before it (T1).
 */
static inline bool
leaf_swap (struct node *leaf, uint64_t index, page_t old, page_t new)
{
  return atomic_compare_exchange_strong_explicit (
    &leaf->slot[slot_index (index, 1)], &old, new,
    memory_order_acq_rel, memory_order_acquire);
}

/* How much of a request belongs to the section that begins at offset. */
static size_t
section_len (uint64_t offset, uint64_t count)
{
  const uint64_t bytes = DISK_SECTION_PAGES * PAGE_BYTES;

  static_assert (NODE_SLOTS % DISK_SECTION_PAGES == 0,
                 "a section does not cross a leaf");
  return min (count, bytes - offset % bytes);
}

/* How much of it lies in the page of offset. */
static size_t
page_len (uint64_t offset, uint64_t count)
{
  return min (count, PAGE_BYTES - offset % PAGE_BYTES);
}

/* Is offset to offset+count inside the disk as it is now?  A change of the
 * size is seen by each reader section that begins after it.
 */
static inline bool
in_range (const struct disk *d, uint64_t count, uint64_t offset)
{
  uint64_t size = disk_size (d);

  return offset <= size && count <= size - offset;
}

static inline int
begin (struct disk *d, uint64_t count, uint64_t offset, bool write)
{
  if (rcu_prepare () == -1)
    return -1;
  if (write && disk_is_readonly (d)) {
    errno = EROFS;
    return -1;
  }
  if (d->sector_size > 1 && (offset | count) & (d->sector_size - 1)) {
    errno = EINVAL;
    return -1;
  }
  if (!in_range (d, count, offset)) {
    errno = write ? ENOSPC : EINVAL;
    return -1;
  }
  return 0;
}

/* ---------------------------------------------------------- life cycle */

static bool
size_is_valid (uint64_t size, uint32_t sector_size)
{
  return size <= DISK_MAX_SIZE && (size & (sector_size - 1)) == 0;
}

static uint64_t
size_in_pages (uint64_t size)
{
  return (size + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

struct disk *
disk_new (struct arena *arena, uint64_t size, uint32_t sector_size)
{
  struct disk *d;

  if (sector_size == 0)
    sector_size = 1;
  if ((sector_size != 1 && (sector_size < DISK_MIN_SECTOR ||
                            sector_size > DISK_MAX_SECTOR ||
                            sector_size & (sector_size - 1))) ||
      !size_is_valid (size, sector_size)) {
    errno = EINVAL;
    return NULL;
  }
  d = aligned_alloc (_Alignof (struct disk), sizeof *d);
  if (d == NULL)
    return NULL;
  tree_init (&d->tree, arena, size_in_pages (size));
  atomic_init (&d->size, size);
  d->sector_size = sector_size;
  atomic_init (&d->readonly, false);
  atomic_init (&d->written, false);
  return d;
}

void
disk_free (struct disk *d)
{
  if (d == NULL)
    return;
  tree_destroy (&d->tree);
  free (d);
}

static void
mark_written (struct disk *d)
{
  if (!atomic_load_explicit (&d->written, memory_order_relaxed))
    atomic_store_explicit (&d->written, true, memory_order_relaxed);
}

/* ---------------------------------------------------------------- read */

/* Read a part of one leaf, neighbours in the arena with one copy. */
static void
read_leaf (struct disk *d, struct node *leaf, char *buf, size_t len,
           uint64_t offset)
{
  struct arena *a = d->tree.arena;
  uint64_t index = offset >> PAGE_SHIFT;
  page_t page = leaf_load (leaf, index);

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
    if (leaf >= PAGE_FIRST) {
      tree_prefetch (&d->tree, leaf, slot_index (offset >> PAGE_SHIFT, 1),
                     offset % PAGE_BYTES, len);
      read_leaf (d, node_at (d->tree.arena, leaf), buf, len, offset);
    }
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

/* What ended write_mapped before the end of the section. */
enum stop {
  STOP_END,                     /* nothing did */
  STOP_HOLES,                   /* a hole, or several */
  STOP_LOCK,                    /* something that needs the lock */
  STOP_SIZE,                    /* the disk has been made smaller */
};

/* Store into exclusive pages, as far as there are any.  Returns how many bytes
 * were stored; in *holes how many pages that are not mapped follow.
 * In a reader section.
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

/* Fill fresh pages of our own with data, zeros around it. */
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

/* Write to so many holes that write_mapped has met.  Returns how many bytes
 * were stored, perhaps 0 if others came first, or -1 with errno ENOSPC.
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
  if (tree_op_charge (op, &d->tree, holes) == -1 ||
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
      tree_give_birth (&d->tree, pages[i]);
      if (!leaf_swap (leaf, index + i, old, pages[i]))
        break;
    }
    if (i > 0 && pages[i - 1] - pages[0] == i - 1)
      tree_note_run (&d->tree, page, slot_index (index, 1), pages[0], i);
    tree_count (&d->tree, i, i);
    tree_op_charge_spent (op, i);
  }
  rcu_exit ();

  done = i == 0 ? 0 : min (len, i * PAGE_BYTES - offset % PAGE_BYTES);
  while (i < holes)
    tree_op_unalloc (op, pages[i++]);
  return done;
}

/* Store to one page, whatever its state, in a leaf that is exclusive. */
static int
write_page_locked (struct tree_op *op, struct disk *d, struct node *leaf,
                   const char *buf, size_t len, uint64_t offset)
  REQUIRES (d->tree.lock)
{
  struct arena *a = d->tree.arena;
  uint64_t index = offset >> PAGE_SHIFT;
  size_t off = offset % PAGE_BYTES;
  page_t spare = PAGE_HOLE, old;
  bool linked = false, charged = false, owned;

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
    owned = old >= PAGE_FIRST && tree_owns (&d->tree, old);
    if (spare == PAGE_HOLE || (!owned && !charged)) {
      rcu_exit ();
      if (!owned && tree_op_charge (op, &d->tree, 1) == -1)
        goto error;
      charged |= !owned;
      if (spare == PAGE_HOLE && tree_op_alloc (op, 1, false, &spare) == -1)
        goto error;
      continue;
    }
    if (old < PAGE_FIRST)
      fill_pages (a, &spare, 1, buf, len, offset);
    else {
      /* While a part of the old page is still needed nobody may store to it:
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
    tree_give_birth (&d->tree, spare);
    linked = leaf_swap (leaf, index, old, spare);
    if (linked) {
      if (old >= PAGE_FIRST)
        retire (&op->retired, old, 0);
      tree_count (&d->tree, old < PAGE_FIRST, !owned);
      if (!owned)
        tree_op_charge_spent (op, 1);
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
    if (stop == STOP_LOCK)
      return write_locked (op, d, buf, len, offset);
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

static int
write_bytes (struct tree_op *op, struct disk *d, const char *buf,
             uint64_t count, uint64_t offset)
{
  uint64_t first = offset >> PAGE_SHIFT;
  uint64_t last = (offset + count - 1) >> PAGE_SHIFT;

  if (disk_quota (d) != TREE_NO_QUOTA &&
      tree_op_charge (op, &d->tree,
                      tree_not_owned (&d->tree, first, last)) == -1)
    return -1;
  /* For D4.  One page alone cannot be done by halves. */
  if (last > first && tree_op_reserve (op, tree_cost (&d->tree, first,
                                                      last)) == -1)
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

int
disk_write (struct disk *d, const void *buf, uint64_t count, uint64_t offset)
{
  struct tree_op op;
  int r;

  if (begin (d, count, offset, true) == -1)
    return -1;
  if (count == 0)
    return 0;
  tree_op_begin (&op, d->tree.arena, false);
  r = write_bytes (&op, d, buf, count, offset);
  tree_op_end (&op);
  if (r == 0)
    mark_written (d);
  return r;
}

/* ------------------------------------------------------- zero and trim */

/* The whole pages of a zero or trim request, and what they become. */
struct fill {
  uint64_t first, stop;         /* pages, stop not included */
  uint64_t end;                 /* first byte after the request */
  page_t with;                  /* PAGE_HOLE or PAGE_ZERO */
  bool emptied;                 /* the leaf is now, and might go */
};

static void
fill_init (struct fill *f, uint64_t count, uint64_t offset, page_t with)
{
  f->first = (offset + PAGE_BYTES - 1) >> PAGE_SHIFT;
  f->stop = (offset + count) >> PAGE_SHIFT;
  f->end = offset + count;
  f->with = with;
  f->emptied = false;
}

/* How many leaves does the rest of the range cover as a whole? */
static int64_t
whole_leaves (const struct fill *f)
{
  return (int64_t) (f->stop / NODE_SLOTS) -
    (int64_t) ((f->first + NODE_SLOTS - 1) / NODE_SLOTS);
}

/* Is there nothing in a leaf?  Begins to look where something is likeliest,
 * after what was just trimmed.
 */
static bool
leaf_is_empty (struct node *leaf, uint64_t from)
{
  uint64_t i;

  for (i = 0; i < NODE_SLOTS; i++)
    if (leaf_load (leaf, from + i) != PAGE_HOLE)
      return false;
  return true;
}

/* Go on without the lock.  Returns how many pages are as they should be; 0 if
 * the lock is needed, or better because whole subtrees can go at once.
 * In a reader section.
 */
static uint64_t
fill_fast (struct tree_op *op, struct disk *d, struct fill *f)
{
  uint64_t want = f->stop - f->first, span, i;
  page_t page = tree_find (&d->tree, f->first, &span), old;
  struct node *leaf;

  if (page == f->with)
    return min (want, span);
  if (whole_leaves (f) >= 2)
    return 0;
  page = tree_find_exclusive (&d->tree, f->first, &span);
  if (page == WRITER_MUST_LOCK || page < PAGE_FIRST)
    return 0;
  STRESS_POINT ();
  leaf = node_at (d->tree.arena, page);
  want = min (min (want, span), DISK_SECTION_PAGES);
  for (i = 0; i < want; i++) {
    do
      old = leaf_load (leaf, f->first + i);
    while (old != f->with && !leaf_swap (leaf, f->first + i, old, f->with));
    if (old >= PAGE_FIRST) {
      retire (&op->retired, old, 0);
      tree_count (&d->tree, -1, -(int64_t) tree_owns (&d->tree, old));
    }
  }
  f->emptied = f->with == PAGE_HOLE && leaf_is_empty (leaf, f->first + want);
  return want;
}

/* Do the rest under the lock.  If the request reaches the end of the disk, the
 * last page counts as whole, and *tail says that it was done: only here can
 * the end not move.
 */
static int
fill_locked (struct tree_op *op, struct disk *d, const struct fill *f,
             bool *tail)
{
  uint64_t stop = f->stop;
  int r = -1;

  tree_lock (&d->tree);
  if (f->end > disk_size (d))
    errno = ENOSPC;
  else {
    *tail = f->end == disk_size (d);
    if (*tail)
      stop = f->with == PAGE_HOLE ? UINT64_MAX : size_in_pages (f->end);
    r = f->first < stop
      ? tree_fill_locked (&d->tree, op, f->first, stop - 1, f->with) : 0;
  }
  tree_unlock (&d->tree);
  return r;
}

static int
fill_range (struct tree_op *op, struct disk *d, struct fill *f, bool *tail)
{
  *tail = false;
  if (f->first == 0 && f->end == disk_size (d))
    return fill_locked (op, d, f, tail);        /* the nodes go too */
  while (f->first < f->stop) {
    uint64_t n = 0;
    bool in;

    tree_op_room (op, DISK_SECTION_PAGES);
    rcu_enter ();
    in = in_range (d, 0, f->end);
    if (in)
      n = fill_fast (op, d, f);
    rcu_exit ();
    if (!in) {
      errno = ENOSPC;
      return -1;
    }
    if (n == 0)
      return fill_locked (op, d, f, tail);
    if (f->emptied) {
      tree_lock (&d->tree);
      tree_prune_locked (&d->tree, op, f->first);
      tree_unlock (&d->tree);
      f->emptied = false;
    }
    f->first += n;
  }
  if (f->end % PAGE_BYTES && f->end == disk_size (d))
    return fill_locked (op, d, f, tail);
  return 0;
}

/* Turn a hole into an allocated zero, if it is still one. */
static int
allocate_zero (struct tree_op *op, struct disk *d, uint64_t offset)
{
  struct node *leaf;

  tree_lock (&d->tree);
  /* Past the end there is nothing to allocate. */
  if (in_range (d, 1, offset)) {
    leaf = tree_leaf_locked (&d->tree, op, offset >> PAGE_SHIFT);
    if (leaf == NULL) {
      tree_unlock (&d->tree);
      return -1;
    }
    leaf_swap (leaf, offset >> PAGE_SHIFT, PAGE_HOLE, PAGE_ZERO);
  }
  tree_unlock (&d->tree);
  return 0;
}

/* Zero a part of a page. */
static int
zero_part (struct tree_op *op, struct disk *d, size_t len, uint64_t offset,
           page_t with)
{
  uint64_t span;
  page_t page;

  if (len == 0)
    return 0;
  rcu_enter ();
  page = tree_find (&d->tree, offset >> PAGE_SHIFT, &span);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (d->tree.arena, page), offset >> PAGE_SHIFT);
  rcu_exit ();
  if (page >= PAGE_FIRST)
    return write_bytes (op, d, zero_page, len, offset);
  if (page == PAGE_HOLE && with == PAGE_ZERO)
    return allocate_zero (op, d, offset);
  return 0;
}

/* What a request to zero or trim costs at its two ends, the most it can. */
static uint64_t
fill_cost (struct disk *d, uint64_t count, uint64_t offset, page_t with)
{
  uint64_t end = offset + count;
  uint64_t first = offset >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;

  return tree_fill_cost (&d->tree, first, with, offset % PAGE_BYTES) +
    (first < last
     ? tree_fill_cost (&d->tree, last, with, end % PAGE_BYTES) : 0);
}

static int
zero_bytes (struct tree_op *op, struct disk *d, uint64_t count,
            uint64_t offset, page_t with)
{
  size_t head = min (-offset % PAGE_BYTES, count);
  size_t tail = (offset + count) % PAGE_BYTES;
  struct fill f;
  bool tail_done;

  /* For D4. */
  if (tree_op_reserve (op, fill_cost (d, count, offset, with)) == -1)
    return -1;
  if (zero_part (op, d, head, offset, with) == -1)
    return -1;
  if (head == count)
    return 0;
  fill_init (&f, count, offset, with);
  if (fill_range (op, d, &f, &tail_done) == -1)
    return -1;
  return tail_done ? 0 : zero_part (op, d, tail, f.end - tail, with);
}

int
disk_zero (struct disk *d, uint64_t count, uint64_t offset, bool hole)
{
  struct tree_op op;
  int r;

  if (begin (d, count, offset, true) == -1)
    return -1;
  if (count == 0)
    return 0;
  tree_op_begin (&op, d->tree.arena, true);
  r = zero_bytes (&op, d, count, offset, hole ? PAGE_HOLE : PAGE_ZERO);
  tree_op_end (&op);
  if (r == 0)
    mark_written (d);
  return r;
}

int
disk_trim (struct disk *d, uint64_t count, uint64_t offset)
{
  struct tree_op op;
  struct fill f;
  bool tail_done;
  int r;

  if (begin (d, count, offset, true) == -1)
    return -1;
  if (count == 0)
    return 0;
  tree_op_begin (&op, d->tree.arena, true);
  fill_init (&f, count, offset, PAGE_HOLE);
  r = tree_op_reserve (&op, fill_cost (d, count, offset, PAGE_HOLE));
  if (r == -1)
    r = 0;      /* what takes memory frees none: it is shared.  A hint, only */
  else
    r = fill_range (&op, d, &f, &tail_done);
  tree_op_end (&op);
  return r;
}

/* -------------------------------------------------------- detect zeroes */

static bool
is_zero_page (const char *buf)
{
  return memcmp (buf, zero_page, PAGE_BYTES) == 0;
}

/* How much of a request, from its start, is pages of zeros (*zero), or not. */
static uint64_t
zero_run (const char *buf, uint64_t count, uint64_t offset, bool *zero)
{
  uint64_t n = 0;

  do {
    uint64_t part = page_len (offset + n, count - n);
    bool is_zero = part == PAGE_BYTES && is_zero_page (buf + n);

    if (n == 0)
      *zero = is_zero;
    else if (is_zero != *zero)
      break;
    n += part;
  } while (n < count);
  return n;
}

int
disk_write_detect (struct disk *d, const void *vbuf, uint64_t count,
                   uint64_t offset)
{
  const char *buf = vbuf;
  uint64_t cost = 0, charge = 0, i, n;
  struct tree_op op;
  bool zero;
  int r;

  if (begin (d, count, offset, true) == -1)
    return -1;
  if (count == 0)
    return 0;
  tree_op_begin (&op, d->tree.arena, false);
  /* For D4: the whole request, before the first change. */
  for (i = 0; i < count; i += n) {
    uint64_t first = (offset + i) >> PAGE_SHIFT, last;

    n = zero_run (buf + i, count - i, offset + i, &zero);
    last = (offset + i + n - 1) >> PAGE_SHIFT;
    if (zero)
      cost += fill_cost (d, n, offset + i, PAGE_HOLE);
    else {
      cost += tree_cost (&d->tree, first, last);
      if (disk_quota (d) != TREE_NO_QUOTA)
        charge += tree_not_owned (&d->tree, first, last);
    }
  }
  r = tree_op_charge (&op, &d->tree, charge);
  if (r == 0)
    r = tree_op_reserve (&op, cost);
  for (i = 0; i < count && r == 0; i += n) {
    n = zero_run (buf + i, count - i, offset + i, &zero);
    r = zero ? zero_bytes (&op, d, n, offset + i, PAGE_HOLE)
      : write_bytes (&op, d, buf + i, n, offset + i);
  }
  tree_op_end (&op);
  if (r == 0)
    mark_written (d);
  return r;
}

/* -------------------------------------------------------------- resize */

/* Zero the last page from a new end on.  With the gate closed. */
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
  if (page < PAGE_FIRST)
    return 0;
  leaf = tree_leaf_locked (&d->tree, op, index);
  if (leaf == NULL)
    return -1;
  return write_page_locked (op, d, leaf, zero_page,
                            PAGE_BYTES - size % PAGE_BYTES, size);
}

/* Two paths at the most are copied: to the last page and, for what lies beyond
 * it, to the next.
 */
#define SHRINK_COST (2 * TREE_MAX_HEIGHT + 1)

static int
shrink_locked (struct tree_op *op, struct disk *d, uint64_t size)
  REQUIRES (d->tree.lock)
{
  uint64_t old = disk_size (d);
  int r;

  if (tree_op_reserve (op, SHRINK_COST) == -1)
    return -1;
  atomic_store_explicit (&d->size, size, memory_order_release);
  tree_close_locked (&d->tree);
  r = zero_tail_locked (op, d, size);
  if (r == 0)
    r = tree_fill_locked (&d->tree, op, size_in_pages (size), UINT64_MAX,
                          PAGE_HOLE);
  if (r == 0)
    r = tree_set_height_locked (&d->tree, op, size_in_pages (size));
  if (r == -1)
    atomic_store_explicit (&d->size, old, memory_order_release);
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
  if (size < disk_size (d))
    r = shrink_locked (&op, d, size);
  else {
    r = tree_set_height_locked (&d->tree, &op, size_in_pages (size));
    if (r == 0)
      atomic_store_explicit (&d->size, size, memory_order_release);
  }
  tree_unlock (&d->tree);
  tree_op_end (&op);
  return r;
}

/* ------------------------------------------------------- clone and diff */

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
  tree_unlock (&d->tree);
  tree_adopt (&clone->tree, root, mapped);
  mark_written (clone);
  return clone;
}

struct diff {
  struct arena *a;
  uint64_t size;                /* of the larger disk */
  uint64_t start;               /* the first page that matters */
  uint64_t offset, length;      /* found and not yet reported */
  diff_fn fn;
  void *opaque;
};

/* A subtree in the walk: a page, and the height of the tree it is the root of.
 * Above its own height a tree is thought of as the first child of a node that
 * has only holes besides.
 */
struct side {
  page_t page;
  unsigned height;
};

static struct side
side_child (struct arena *a, struct side s, unsigned level, unsigned i)
{
  if (s.page < PAGE_FIRST)
    return (struct side) { s.height < level && i > 0 ? PAGE_HOLE : s.page,
                           level - 1 };
  if (s.height < level)
    return i == 0 ? s : (struct side) { PAGE_HOLE, level - 1 };
  return (struct side) {
    slot_load (node_at (a, s.page), i), level - 1
  };
}

static const char *
side_data (struct arena *a, struct side s)
{
  return s.page < PAGE_FIRST ? zero_page : arena_addr (a, s.page);
}

static int
diff_found (struct diff *c, uint64_t offset)
{
  uint64_t length = min (PAGE_BYTES, c->size - offset);
  int r = 0;

  if (c->length > 0 && c->offset + c->length == offset) {
    c->length += length;
    return 0;
  }
  if (c->length > 0)
    r = c->fn (c->opaque, c->offset, c->length);
  c->offset = offset;
  c->length = length;
  return r;
}

static int
diff_below (struct diff *c, struct side a, struct side b, unsigned level,
            uint64_t index)
{
  uint64_t i = 0;
  int r = 0;

  if ((a.page == b.page && a.height == b.height) ||
      (a.page < PAGE_FIRST && b.page < PAGE_FIRST))
    return 0;
  if (level == 0)
    return memcmp (side_data (c->a, a), side_data (c->a, b), PAGE_BYTES) == 0
      ? 0 : diff_found (c, index << PAGE_SHIFT);
  if (c->start > index)
    i = (c->start - index) / slot_span (level);
  for (; i < NODE_SLOTS && r == 0; i++)
    r = diff_below (c, side_child (c->a, a, level, i),
                    side_child (c->a, b, level, i), level - 1,
                    index + i * slot_span (level));
  return r;
}

int
disk_diff (struct disk *a, struct disk *b, uint64_t offset, diff_fn fn,
           void *opaque)
{
  struct disk *disk[2] = { a, b };
  struct diff c = {
    .a = a->tree.arena, .start = offset >> PAGE_SHIFT, .fn = fn,
    .opaque = opaque
  };
  uint64_t root[2];
  struct side side[2];
  unsigned i, level = 0;
  int64_t unused;
  int r;

  if (rcu_prepare () == -1)
    return -1;
  /* With a reference of our own both stay as they are while we look. */
  for (i = 0; i < 2; i++) {
    tree_lock_first (&disk[i]->tree);
    tree_share_locked (&disk[i]->tree, &root[i], &unused);
    if (c.size < disk_size (disk[i]))
      c.size = disk_size (disk[i]);
    tree_unlock (&disk[i]->tree);
    side[i].page = root_page (root[i]);
    side[i].height = root_height (root[i]);
    if (level < side[i].height)
      level = side[i].height;
  }
  r = diff_below (&c, side[0], side[1], level, 0);
  if (r == 0 && c.length > 0)
    r = fn (opaque, c.offset, c.length);
  for (i = 0; i < 2; i++)
    tree_unshare (a->tree.arena, root[i]);
  return r;
}

/* ------------------------------------------------------------- extents */

#define EXTENT_BUFFER 128

struct extents {
  struct disk *d;
  uint64_t offset;              /* where the request begins */
  uint64_t size;                /* of the disk */
  uint64_t index;               /* page where the walk is */
  bool sharing;                 /* tell shared data from the disk's own */
  unsigned n;
  struct { uint64_t index; page_t type; } found[EXTENT_BUFFER + 1];
};

/* Types, while the walk goes on: PAGE_HOLE, PAGE_ZERO and these. */
#define TYPE_DATA PAGE_FIRST
#define TYPE_SHARED (PAGE_FIRST + 1)

static inline page_t
extent_type (const struct extents *e, page_t page, bool shared)
{
  if (page < PAGE_FIRST)
    return page;
  if (!e->sharing)
    return TYPE_DATA;
  return shared || arena_refs (e->d->tree.arena, page) != 1
    ? TYPE_SHARED : TYPE_DATA;
}

/* Where the run of slots of one type ends that begins before i. */
static unsigned
run_end (const struct extents *e, struct node *leaf, unsigned i, unsigned end,
         page_t type, bool shared)
{
  if (type == TYPE_DATA && !e->sharing)
    while (i < end && leaf_load (leaf, i) >= PAGE_FIRST)
      i++;
  else if (type < PAGE_FIRST)
    while (i < end && leaf_load (leaf, i) == type)
      i++;
  else
    while (i < end && extent_type (e, leaf_load (leaf, i), shared) == type)
      i++;
  return i;
}

/* Note that from index on the type is another. */
static inline void
extent_begins (struct extents *e, uint64_t index, page_t type)
{
  if (e->n == 0 || e->found[e->n - 1].type != type) {
    e->found[e->n].index = index;
    e->found[e->n++].type = type;
  }
}

/* Look at one leaf, or at something uniform, until last or until the buffer is
 * full.  In a reader section.
 */
static void
extents_step (struct extents *e, uint64_t last)
{
  uint64_t span, base;
  bool shared;
  page_t page = tree_find_sharing (&e->d->tree, e->index, &span, &shared);
  struct node *leaf;
  unsigned i, end;

  if (page < PAGE_FIRST) {
    extent_begins (e, e->index, page);
    e->index = span > UINT64_MAX - e->index ? UINT64_MAX : e->index + span;
    return;
  }
  leaf = node_at (e->d->tree.arena, page);
  base = e->index & ~(uint64_t) (NODE_SLOTS - 1);
  end = last - base < NODE_SLOTS ? last - base + 1 : NODE_SLOTS;
  for (i = e->index - base; i < end && e->n < EXTENT_BUFFER; ) {
    page_t type = extent_type (e, leaf_load (leaf, i), shared);

    extent_begins (e, base + i, type);
    i = run_end (e, leaf, i + 1, end, type, shared);
  }
  e->index = base + i;
}

static int
extents_report (struct extents *e, uint64_t from, uint64_t to, page_t type,
                extent_fn fn, void *opaque)
{
  static const enum extent_type types[] = {
    [PAGE_HOLE] = EXTENT_HOLE,
    [PAGE_ZERO] = EXTENT_ZERO,
    [TYPE_DATA] = EXTENT_DATA,
    [TYPE_SHARED] = EXTENT_SHARED,
  };
  uint64_t offset = from << PAGE_SHIFT > e->offset
    ? from << PAGE_SHIFT : e->offset;
  uint64_t end = to > e->size >> PAGE_SHIFT ? e->size : to << PAGE_SHIFT;

  return fn (opaque, offset, end - offset, types[type]);
}

static int
walk_extents (struct disk *d, uint64_t count, uint64_t offset, bool sharing,
              extent_fn fn, void *opaque)
{
  struct extents e;
  uint64_t last;
  unsigned i;
  int r = 0;

  if (begin (d, count, offset, false) == -1)
    return -1;
  if (count == 0)
    return 0;
  e.d = d;
  e.sharing = sharing;
  e.offset = offset;
  e.index = offset >> PAGE_SHIFT;
  e.n = 0;
  last = (offset + count - 1) >> PAGE_SHIFT;
  while (e.index <= last) {
    bool in;

    rcu_enter ();
    e.size = disk_size (d);
    in = e.size >= offset + count;
    if (in)
      extents_step (&e, last);
    rcu_exit ();
    if (!in) {
      errno = EINVAL;
      return -1;
    }
    /* All but the last are complete; that one may go on in the next step. */
    for (i = 0; i + 1 < e.n; i++) {
      r = extents_report (&e, e.found[i].index, e.found[i + 1].index,
                          e.found[i].type, fn, opaque);
      if (r)
        return r;
    }
    e.found[0] = e.found[e.n - 1];
    e.n = 1;
  }
  return extents_report (&e, e.found[0].index, e.index, e.found[0].type, fn,
                         opaque);
}

int
disk_extents (struct disk *d, uint64_t count, uint64_t offset, extent_fn fn,
              void *opaque)
{
  return walk_extents (d, count, offset, false, fn, opaque);
}

int
disk_extents_sharing (struct disk *d, uint64_t count, uint64_t offset,
                      extent_fn fn, void *opaque)
{
  return walk_extents (d, count, offset, true, fn, opaque);
}

int
disk_exclusive (struct disk *d, uint64_t *bytes)
{
  uint64_t pages = 0, index = 0, span;

  if (rcu_prepare () == -1)
    return -1;
  for (; index < size_in_pages (disk_size (d)); index += span) {
    rcu_enter ();
    pages += tree_exclusive (&d->tree, index, &span);
    rcu_exit ();
    if (span > UINT64_MAX - index)
      break;
  }
  *bytes = pages << PAGE_SHIFT;
  return 0;
}
