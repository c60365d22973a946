/* SPDX-License-Identifier: BSD-3-Clause */
/* The layout of an arena in a file, and its state after a crash.
 *
 * Design
 *
 * The file is the arena's range of pages, mapped shared: page N is the 4 KiB at
 * offset 4096 * N. A disk's tree is the same as in anonymous memory (radix.h):
 * its nodes refer to pages by number, and each store that publishes something
 * leaves the tree whole (T1).  So the tree needs no journal.  The file adds
 * what a process would otherwise keep to itself and could not derive: where the
 * roots are, and which pages have space in the file system.
 *
 *   page 0                 the header
 *   page 1                 the map of the first group of chunks
 *   page 32768 * G, G > 0  the map of group G
 *   any other page         a data page, a node, a table of records, a long name
 *                          or URI, or free
 *
 *   header.tables -> table -> next table -> ... -> table 0
 *                     | 15 records: a root, a size, a name, ...
 *                     v
 *                    tree
 *
 * A record is a disk's or an origin's.  An origin (disk-origin.h) is in the
 * file as the disk that it has, its cache, whose tree is what was fetched; its
 * name is the URI, and it has settings of its own.  Records refer to each other
 * by ids, which a rename keeps: a disk to its origin, and to the disk that it
 * was cloned from.
 *
 * Everything else is derived: recovery walks each tree once, shared subtrees
 * once, and thus finds the reference counts, the free pages, and what is mapped
 * and owned.
 *
 * What a crash is.  The process ends after any of its instructions: by SIGKILL,
 * an abort, or the OOM killer.  The file's pages belong to the kernel, so they
 * contain all stores that were executed, each thread's in its own order.  A
 * crash of the machine is different: unless the file was closed cleanly, data
 * has reached the medium in an unknown order, and the file is refused (P7).
 *
 * Invariants
 *
 *   P1  A page is linked, in a node, a record or the list of tables, only after
 *       its bit in the map was set.  The bit is set only after fallocate(2) has
 *       given the page space.  It is cleared before the space is returned, and
 *       only for free pages.
 *   P2  header.chunks counts chunks that are completely inside the file and
 *       whose group has its map.  It grows after both are true.
 *   P3  A record is valid if and only if its seq is not 0.  The seq is stored
 *       last, when everything else in the record is complete.
 *   P4  No two records have the same seq, and later ones have higher ones.  A
 *       record whose seq is the replaces of another one is no longer valid,
 *       whatever its own seq.  A record's id is from the same numbers, and a
 *       rename keeps it; no two valid records have the same id, and none ever
 *       gets the id of another disk or origin that a valid record refers to.
 *   P5  A record's root is stored before the root in memory, so no thread can
 *       have stored below a root that the file does not lead to.  The same is
 *       true of its size.
 *   P6  The part of a page beyond the end of a disk, and pages beyond it,
 *       belong to nobody.  Recovery frees and zeroes them before it shows the
 *       disk.
 *   P7  The state is IN_USE, with the boot's id stored before it, while a
 *       process may store to the file; both are on the medium before any of
 *       these stores.  CLEAN follows only after fsync(2).
 *
 *   P8  The record of an origin is valid before that of any disk that refers
 *       to it, and until after all of them have ceased to be.  An origin to
 *       which no valid record refers is nobody's: recovery drops it.
 *   P9  In the cache of an origin with LAYOUT_COMPLETE no page is a hole.  The
 *       flag is stored before anybody relies on it, and never cleared.
 *
 * Versions.  A file of another version is refused, with one line that has both
 * numbers, and is left as it is.  To take disks along, save them with a program
 * that can read the file, and load them with this one.
 *   1  without UUIDs and origins: room for 192 bytes of name
 *   2  with UUIDs, without origins; 176 bytes of name
 *   3  this one
 *
 * Who writes what, and what a crash leaves
 *
 *   field          written by                under            alone?
 *   header.state   arena_file_open, _close   the file's lock  yes
 *   header.boot_id arena_file_open           the file's lock  before state
 *   header.chunks  arena_back                space_lock       after P2
 *   header.tables  record_new                records.lock     one store
 *   map bits       arena_back; give_back     atomic           P1
 *   record.root    root_store                tree.lock        one store
 *   record.size    disk_new, disk_resize     tree.lock        one store
 *   record.settings registry_set, _create    registry.lock    one store
 *   a new record    registry_rename          both locks       seq last (P3)
 *   record.seq     record_link, _unlink      registry.lock    one store
 *   record.uuid    record_set_name, registry while seq is 0   not seen yet
 *   record.flags   record_link, _keep,       registry.lock    one store
 *                  _stay; registry_          or tree.lock
 *                  pushed_since
 *   of an origin   record_set_flag           origins.lock     one store
 *   record.        disk_new_over, _clone,    tree.lock        after size; one
 *     origin_end   disk_resize, recovery                      store
 *   record.origin  disk_new_over, _clone     while seq is 0   not seen yet
 *   record.parent  registry_clone            while seq is 0   not seen yet
 *   kind, block;   origin_new                while seq is 0   not seen yet
 *     of an origin
 *     also size,
 *     settings
 *   the rest       record_new, record_link   while seq is 0   not seen yet
 *   slots of nodes radix.c, disk*.c          see radix.h T2   one store
 *
 * Operations of more than one store, and the state that is recovered after a
 * crash between two of them (tests/crash ends each operation after each of its
 * stores, and tests/models/arena.pml does so while other threads run):
 *
 *   operation       stores                        recovered
 *   write, a hole   map bits; data; node; slot    up to the slot: a hole, and
 *                                                 the pages are free
 *   write, shared   copies of nodes; root or      up to the slot: what was
 *                   slot; data copy; slot         before, whatever was copied
 *   write, in place bytes                         some of the new bytes
 *   zero, trim      slots, one after the other    some pages are done
 *   create          record; name, UUID; seq       up to seq: no disk
 *   clone           record; root, size; name,     up to seq: no disk; the
 *                   UUID; seq                     source is as it was
 *   create, over    the origin's record: URI;     up to the disk's seq: no
 *   an origin       seq; the disk's record; name; disk; the origin is dropped
 *                   seq                           (P8)
 *   clone, of such  record; origin, origin_end;   as clone: the origin has one
 *   a disk          root, size; name; seq         disk more, or not
 *   replace         as create or clone; seq, with up to seq: the old disk;
 *                   replaces; old seq = 0         then the new one (P4)
 *   destroy         seq = 0                       all or nothing; its clones
 *                                                 have no parent then
 *   destroy, of the seq = 0; the origin's seq = 0 up to the second: an origin
 *   last over an                                  without disks is dropped (P8)
 *   origin
 *   fetch           as write, a hole, for each    some pages are kept, and the
 *                   page, in the cache            others fetched again
 *   zeros of an     slots, one after the other    some are known, and others
 *   origin                                        asked for again
 *   write, a part   as write, a hole, with the    up to the second slot: what
 *   of a page over  origin's content; as write    was before, in a page of the
 *   an origin                                     disk's own
 *   complete        flags, with LAYOUT_COMPLETE   all or nothing: P9 was true
 *                                                 before, and the source is
 *                                                 closed after it
 *   evict           slots, one after the other;   some pages are fetched again;
 *                   nodes above, when they are    an empty node may stay
 *                   empty
 *   rename          a record: name, UUID; size,   up to seq: the old name; then
 *                   root, settings, flags; seq,   the new one (P4)
 *                   with replaces; old seq = 0
 *   set             settings; flags               all or nothing: a disk that
 *                                                 is still ephemeral is
 *                                                 dropped anyway
 *   grow            root, higher; size            up to size: the old size;
 *                                                 the root stays too high,
 *                                                 which recovery puts right
 *   grow, beyond    the same: origin_end stays    the new part is zeros
 *   an origin's end
 *   shrink          size; tail of the last page;  from size on: the new size,
 *                   slots; root                   recovery does the rest (P6)
 *   shrink, over an size; origin_end; tail, ...   from size on: the new size.
 *   origin          as above                      Nobody sees an origin_end
 *                                                 beyond the size: recovery
 *                                                 lowers it before a growth
 *                                                 could
 *   push, since a   flags, with                   all or nothing: before, the
 *   disk            LAYOUT_PUSHED_SINCE           push sends nothing
 *   first write to  data; flags                  as a write, or still
 *   an ephemeral                                  ephemeral: the disk is
 *   disk                                          dropped
 *   space taken     fallocate; map bits           space without a bit, which
 *                                                 recovery gives back
 *   space returned  map bits; punch a hole        the same
 *   a new chunk     file size; map page; chunks   up to chunks: recovery cuts
 *                                                 the file back
 *   a new table     table; header.tables          up to tables: a free page
 *   creation of     header, CREATING; space;      until chunks: begun again
 *   the file        IN_USE; chunks
 *   clean stop; and fsync; CLEAN; fsync           in use, or clean
 *   between start
 *   and first use
 *   recovery        state; salvage, ephemeral:    recovered again, with the
 *                   seq = 0; lost caches: root;   same result
 *                   punch; P6; origin_end;
 *                   origins without disks:
 *                   seq = 0
 *
 * A gate that was closed (radix.h) is only closed in memory.
 */

#ifndef MRAMDISK_ARENA_LAYOUT_H
#define MRAMDISK_ARENA_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "ramdisk/arena.h"

/* Incremented when a program with the older number could not read the file. */
#define LAYOUT_VERSION 3

#define LAYOUT_MAGIC "mblock RAM disks"         /* 16 bytes, without a NUL */
#define LAYOUT_BYTE_ORDER UINT32_C (0x01020304)
#define LAYOUT_TABLE_MAGIC UINT64_C (0x656c626174206273)

/* A group: the chunks whose pages are described by one page of bits. */
#define LAYOUT_CHUNK_PAGES 512u
#define LAYOUT_GROUP_CHUNKS 64u
#define LAYOUT_GROUP_PAGES (LAYOUT_GROUP_CHUNKS * LAYOUT_CHUNK_PAGES)

enum layout_state {
  LAYOUT_CREATING = 1,          /* still empty */
  LAYOUT_IN_USE,
  LAYOUT_CLEAN
};

struct layout_header {
  char magic[16];
  uint32_t byte_order;          /* LAYOUT_BYTE_ORDER, as the machine has it */
  uint32_t version;
  uint32_t page_size;           /* bytes */
  uint32_t chunk_pages;
  uint64_t id;                  /* random: no client can forge a table */
  uint64_t checksum;            /* of all above */
  /* The part that changes. */
  _Atomic uint32_t state;       /* enum layout_state */
  _Atomic uint32_t chunks;      /* P2 */
  _Atomic page_t tables;        /* the newest table, or PAGE_HOLE */
  uint32_t unused;
  char boot_id[40];             /* of the boot that state is about */
};

/* record.kind */
enum layout_kind {
  LAYOUT_DISK = 0,
  LAYOUT_ORIGIN = 1
};

/* record.settings of a disk: the quota in bytes, and the read-only flag,
 * together, so that one store changes both.  Of an origin: the rate of prefetch
 * in bytes a second, or 0.
 */
#define LAYOUT_READONLY (UINT64_C (1) << 63)
#define LAYOUT_NO_QUOTA (LAYOUT_READONLY - 1)

/* record.flags of a disk. */
#define LAYOUT_EPHEMERAL 1u     /* made by opening, and not kept: recovery drops
                                 * it */
#define LAYOUT_AUTO_DESTROY 2u  /* goes with its last client */
#define LAYOUT_PUSHED_SINCE 16u /* a push began that sends what has changed
                                 * since; only its process knows more */
/* … of an origin */
#define LAYOUT_PREFETCH 4u      /* all of it is to be fetched */
#define LAYOUT_COMPLETE 8u      /* all of it was (P9) */

#define LAYOUT_DISK_FLAGS \
  (LAYOUT_EPHEMERAL | LAYOUT_AUTO_DESTROY | LAYOUT_PUSHED_SINCE)
#define LAYOUT_ORIGIN_FLAGS (LAYOUT_PREFETCH | LAYOUT_COMPLETE)

/* The longest name or URI, in bytes. */
#define LAYOUT_MAX_NAME PAGE_BYTES
#define LAYOUT_INLINE_NAME 136

struct layout_record {
  _Atomic uint64_t seq;         /* P3, P4 */
  _Atomic uint64_t root;        /* as tree.root, with no gate */
  _Atomic uint64_t size;        /* bytes; an origin's need not be whole pages */
  _Atomic uint64_t settings;
  _Atomic uint32_t flags;       /* LAYOUT_EPHEMERAL, … */
  uint32_t sector_size;         /* bytes; 1: any */
  uint64_t replaces;            /* seq of a record, or 0 */
  uint32_t name_len;            /* bytes */
  page_t name_page;             /* the page with the name, or PAGE_HOLE: here */
  uint64_t checksum;            /* of seq, sector size, replaces, name, and the
                                 * rest except origin_end */
  struct uuid uuid;             /* of a disk (G8) */
  uint64_t id;                  /* P4 */
  uint64_t origin;              /* id of the disk's origin, or 0 */
  uint64_t parent;              /* id of the disk that it is a clone of, or 0;
                                 * that may be gone */
  _Atomic uint64_t origin_end;  /* as disk.origin_end, in bytes */
  uint32_t kind;                /* enum layout_kind */
  uint32_t block;               /* of an origin: pages, a power of two */
  char name[LAYOUT_INLINE_NAME];
};

#define LAYOUT_TABLE_RECORDS 15

struct layout_table {
  uint64_t magic;               /* LAYOUT_TABLE_MAGIC */
  uint64_t id;                  /* header.id */
  page_t self;
  page_t next;                  /* the table created before this one */
  uint32_t index;               /* 0 for the first one created */
  char unused[228];
  struct layout_record record[LAYOUT_TABLE_RECORDS];
};

/* A bit for each page of a group: whether it has space in the file (P1). */
struct layout_map {
  _Atomic uint64_t chunk[LAYOUT_GROUP_CHUNKS][LAYOUT_CHUNK_PAGES / 64];
};

static_assert (sizeof (struct layout_header) <= PAGE_BYTES, "in page 0");
static_assert (sizeof (struct layout_record) == 256, "15 in a table");
static_assert (sizeof (struct layout_table) == PAGE_BYTES, "a page");
static_assert (sizeof (struct layout_map) == PAGE_BYTES, "a page");

/* The page that contains the map of a group. */
static inline page_t
layout_map_page (uint32_t group)
{
  return group == 0 ? 1 : group * LAYOUT_GROUP_PAGES;
}

/* Whether a page is the header or a map. */
static inline bool
layout_is_fixed (page_t page)
{
  return page < PAGE_FIRST || page % LAYOUT_GROUP_PAGES == 0;
}

/* FNV-1a: detects damage, not forgery. */
static inline uint64_t
layout_checksum (uint64_t sum, const void *data, size_t len)
{
  const unsigned char *p = data;

  for (; len > 0; len--)
    sum = (sum ^ *p++) * UINT64_C (0x100000001b3);
  return sum;
}
#define LAYOUT_CHECKSUM_START UINT64_C (0xcbf29ce484222325)

static inline uint64_t
layout_header_checksum (const struct layout_header *h)
{
  return layout_checksum (LAYOUT_CHECKSUM_START, h,
                          offsetof (struct layout_header, checksum));
}

/* name: name_len bytes, inline or not. */
static inline uint64_t
layout_record_checksum (uint64_t seq, const struct layout_record *r,
                        const char *name)
{
  uint64_t sum = LAYOUT_CHECKSUM_START;

  sum = layout_checksum (sum, &seq, sizeof seq);
  sum = layout_checksum (sum, &r->sector_size, sizeof r->sector_size);
  sum = layout_checksum (sum, &r->replaces, sizeof r->replaces);
  sum = layout_checksum (sum, &r->name_len, sizeof r->name_len);
  sum = layout_checksum (sum, &r->name_page, sizeof r->name_page);
  sum = layout_checksum (sum, &r->uuid, sizeof r->uuid);
  sum = layout_checksum (sum, &r->id, sizeof r->id);
  sum = layout_checksum (sum, &r->origin, sizeof r->origin);
  sum = layout_checksum (sum, &r->parent, sizeof r->parent);
  sum = layout_checksum (sum, &r->kind, sizeof r->kind);
  sum = layout_checksum (sum, &r->block, sizeof r->block);
  return layout_checksum (sum, name, r->name_len);
}

#endif /* MRAMDISK_ARENA_LAYOUT_H */
