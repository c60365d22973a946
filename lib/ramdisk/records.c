/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of disks in the arena's file.  records.h has the contract. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/records.h"

/* Allocate a page for the file itself. */
static int
new_page (struct arena *a, page_t *page)
{
  if (arena_reserve (a, 1, false) == -1)
    return -1;
  if (arena_alloc (a, 1, true, page) == 0) {
    arena_unreserve (a, 1);
    errno = ENOSPC;
    return -1;
  }
  return 0;
}

/* Make room for n free records. */
static int
room (struct arena_file *f, uint32_t n) REQUIRES (f->records_lock)
{
  uint32_t alloc = f->alloc ? f->alloc : 64;
  struct layout_record **free_list;

  if (n <= f->alloc)
    return 0;
  while (alloc < n)
    alloc *= 2;
  free_list = reallocarray (f->free, alloc, sizeof *free_list);
  if (free_list == NULL)
    return -1;
  f->free = free_list;
  f->alloc = alloc;
  return 0;
}

static int
new_table (struct arena *a, struct arena_file *f) REQUIRES (f->records_lock)
{
  struct layout_table *table;
  page_t page;
  unsigned i;

  /* Records in use may all become free: there must be room for them. */
  if (room (f, (f->tables + 1) * LAYOUT_TABLE_RECORDS) == -1 ||
      new_page (a, &page) == -1)
    return -1;
  table = arena_addr (a, page);
  table->magic = LAYOUT_TABLE_MAGIC;
  table->id = f->header->id;
  table->self = page;
  table->next = atomic_load (&f->header->tables);
  table->index = f->tables++;
  atomic_store_explicit (&f->header->tables, page, memory_order_release);
  CRASH_POINT ();
  for (i = LAYOUT_TABLE_RECORDS; i-- > 0; )
    f->free[f->nfree++] = &table->record[i];
  return 0;
}

int
record_new (struct arena *a, struct layout_record **r)
{
  struct arena_file *f = a->priv->file;
  uint64_t id = 0;
  int ret = 0;

  *r = NULL;
  if (f == NULL)
    return 0;
  mutex_lock (&f->records_lock);
  if (f->nfree == 0)
    ret = new_table (a, f);
  if (ret == 0)
    *r = f->free[--f->nfree];
  id = ++f->last_seq;
  mutex_unlock (&f->records_lock);
  if (*r) {
    (*r)->replaces = 0;
    (*r)->name_len = 0;
    (*r)->name_page = PAGE_HOLE;
    (*r)->id = id;
    (*r)->origin = (*r)->parent = 0;
    (*r)->kind = LAYOUT_DISK;
    (*r)->block = 0;
    atomic_store_explicit (&(*r)->origin_end, 0, memory_order_relaxed);
    atomic_store_explicit (&(*r)->flags, 0, memory_order_relaxed);
  }
  return ret;
}

void
record_free (struct arena *a, struct layout_record *r)
{
  struct arena_file *f = a->priv->file;

  if (r == NULL)
    return;
  /* When a registry is freed, its disks stay in the file. */
  if (atomic_load_explicit (&r->seq, memory_order_relaxed) != 0)
    return;
  if (r->name_page >= PAGE_FIRST) {
    arena_free_unlinked (a, r->name_page);
    arena_unreserve (a, 1);
  }
  mutex_lock (&f->records_lock);
  f->long_names -= r->name_page >= PAGE_FIRST;
  r->name_page = PAGE_HOLE;
  f->free[f->nfree++] = r;
  mutex_unlock (&f->records_lock);
}

int
record_set_name (struct arena *a, struct layout_record *r, const char *name,
                 const struct uuid *uuid)
{
  struct arena_file *f = a->priv->file;
  size_t len = strlen (name);

  if (r == NULL)
    return 0;
  if (len > LAYOUT_MAX_NAME) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (len > LAYOUT_INLINE_NAME) {
    page_t page;

    if (new_page (a, &page) == -1)
      return -1;
    r->name_page = page;
    mutex_lock (&f->records_lock);
    f->long_names++;
    mutex_unlock (&f->records_lock);
  }
  r->name_len = len;
  r->uuid = uuid ? *uuid : (struct uuid) { .byte = { 0 } };
  memcpy (record_name (a, r), name, len);
  return 0;
}

void
record_link (struct arena *a, struct layout_record *r, uint32_t flags,
             struct layout_record *replaces)
{
  struct arena_file *f = a->priv->file;
  uint64_t seq;

  if (r == NULL)
    return;
  mutex_lock (&f->records_lock);
  seq = ++f->last_seq;
  mutex_unlock (&f->records_lock);
  r->replaces = replaces
    ? atomic_load_explicit (&replaces->seq, memory_order_relaxed) : 0;
  r->checksum = layout_record_checksum (seq, r, record_name (a, r));
  atomic_store_explicit (&r->flags, flags, memory_order_relaxed);
  CRASH_POINT ();
  atomic_store_explicit (&r->seq, seq, memory_order_release);
  CRASH_POINT ();
  record_unlink (replaces);
}

void
record_copy (struct layout_record *to, const struct layout_record *from)
{
  to->sector_size = from->sector_size;
  to->uuid = from->uuid;
  to->id = from->id;
  to->origin = from->origin;
  to->parent = from->parent;
  to->kind = from->kind;
  to->block = from->block;
  atomic_store (&to->settings, atomic_load (&from->settings));
  record_store_size (to, atomic_load (&from->size));
  record_store_origin_end (to, atomic_load (&from->origin_end));
  record_store_root (to, atomic_load (&from->root));
}

void
record_unlink (struct layout_record *r)
{
  if (r) {
    atomic_store_explicit (&r->seq, 0, memory_order_release);
    CRASH_POINT ();
  }
}

uint64_t
record_pages (struct arena *a)
{
  struct arena_file *f = a->priv->file;
  uint64_t n = 0;

  if (f) {
    mutex_lock (&f->records_lock);
    n = f->tables + f->long_names;
    mutex_unlock (&f->records_lock);
  }
  return n;
}
