/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks that were saved in a folder: the format, which
 * nbdkit-mramdisk-plugin(1) describes too.
 *
 *   manifest.json     what is complete: the disks, the files, a checksum
 *   mblock-map-G      for each disk where its pages are, 24 bytes a run
 *   mblock-data-F     pages of 4 KiB
 *   mblock-sums-F     a checksum of 8 bytes for each of these pages
 *
 * G is the generation, F the generation that wrote the pages.  All numbers in
 * the files are little-endian.
 *
 * Invariants
 *
 *   V1  The manifest is replaced by rename(2), when all that it names is on
 *       stable storage.  So a crash leaves this generation or the one before.
 *   V2  A file that a manifest names is never changed again.
 *   V3  Nothing in the files is trusted: saved_read checks every number, and
 *       a page is used only if its checksum is right.
 *
 *   V4  Whoever saves holds a lock, flock(2) of mblock-lock, a file that only
 *       its owner can open: to lock the folder itself would need no more than
 *       the right to read it.  Whoever loads needs no lock: it opens all files
 *       that a manifest names, and begins anew if it does not find one of them
 *       and the manifest is another one by then.
 *
 * Thread-safety: each object is for one thread at a time.
 */

#ifndef SAVE_SAVED_H
#define SAVE_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

#define SAVED_MANIFEST "manifest.json"
#define SAVED_NEW_MANIFEST "mblock-manifest.new"
#define SAVED_LOCK "mblock-lock"
#define SAVED_VERSION 2         /* 1: no disk has an origin */
#define SAVED_PAGE 4096
#define SAVED_LAST (UINT32_MAX - 1) /* generation */

/* The size of the line that says what is wrong, in bytes. */
#define SAVED_WHY 512

/* A run of pages that are adjacent both in a disk and in a file.  File 0: the
 * pages are allocated and read as zeros.  Pages in no run are holes.
 */
struct saved_run {
  uint64_t index;               /* the first page of the disk */
  uint64_t page;                /* and of the file */
  uint32_t n;                   /* at least 1 */
  uint32_t file;
};

struct saved_disk {
  char *name;
  uint64_t size;                /* bytes */
  uint32_t sector_size;
  bool readonly;
  uint64_t quota;               /* bytes; UINT64_MAX: none */
  struct uuid uuid;             /* unset: a save from before there were UUIDs */
  char *parent;                 /* of what it was cloned, or NULL … */
  bool parent_exists;           /* … which is saved with it under this name */
  uint32_t origin;              /* what pages in no run are, up to … */
  uint64_t origin_end;          /* … there, in bytes; SAVED_NO_ORIGIN: holes */
  struct saved_run *run;        /* in the order of index */
  size_t n, room;
};

#define SAVED_NO_ORIGIN UINT32_MAX

/* An export that disks show where they were not written. */
struct saved_origin {
  char *uri;
  uint64_t size;                /* bytes */
  bool prefetch;
  uint64_t prefetch_rate;       /* bytes a second; 0: no limit */
};

struct saved_file {
  uint32_t number;
  uint64_t pages;
  uint64_t live;                /* of these, pages that a disk uses */
};

/* One generation. */
struct saved {
  uint32_t generation;          /* 0: none */
  struct saved_file *file;      /* in the order of number */
  size_t nfiles;
  struct saved_disk *disk;      /* in the order of names */
  size_t ndisks;
  struct saved_origin *origin;
  size_t norigins;
};

uint64_t saved_checksum (const void *data, size_t len);

/* Let a line that says what is wrong begin with the folder, unless it does. */
void saved_name_folder (const char *path, char why[SAVED_WHY]);

/* Open a folder.  create: create it with mode 0700 if it does not exist.
 * Returns a descriptor, or -1 and says why.
 */
int saved_open (const char *path, bool create, char why[SAVED_WHY]);

/* Lock a folder for saving (V4).  Returns a descriptor to be closed, or -1 and
 * says why.
 */
int saved_lock (int dir, char why[SAVED_WHY]);

/* What there is now of the files that s names: their inodes, sizes and times of
 * change.  If it is the same later, nobody has touched them.  0: they cannot be
 * looked at.
 */
uint64_t saved_stamp (int dir, const struct saved *s);

/* The name of a file: kind is "map", "data" or "sums". */
const char *saved_name (const char *kind, uint32_t number, char buf[40]);

/* Open one of them for reading, or -1 with errno.  Never blocks, even if that
 * is a FIFO.
 */
int saved_open_file (int dir, const char *name);

/* Read a whole file of at most so many bytes, to be freed.  NULL with errno:
 * EFBIG if it is larger, or no regular file.
 */
char *saved_read_file (int dir, const char *name, uint64_t most, size_t *len);

/* Read a folder.  Returns 0, with generation 0 if there is no manifest; or -1
 * and says why.  Call saved_free in any case.
 */
int saved_read (int dir, struct saved *s, char why[SAVED_WHY]);

/* The manifest's inode and time of change as one number, which is another one
 * after a save that has written something; 0: there is none.
 */
uint64_t saved_manifest_stamp (int dir);

/* The file of that number, which is one of s, as an index; or s->nfiles. */
size_t saved_find_file (const struct saved *s, uint32_t number);

/* The disk of that name, or NULL. */
struct saved_disk *saved_find_disk (const struct saved *s, const char *name);

/* Add pages to the end of a disk's runs.  Returns 0, or -1 (no memory). */
int saved_add (struct saved_disk *d, uint64_t index, uint64_t n, uint32_t file,
               uint64_t page);

/* Write map and manifest; refuses disks that are not in the order of names.  If
 * this returns 0, they are the folder's content.  Otherwise returns -1 and says
 * why, and the folder has its previous content.
 */
int saved_write (int dir, const struct saved *s, char why[SAVED_WHY]);

/* Remove what earlier generations and killed saves have left. */
void saved_clean (int dir, const struct saved *s);

/* Do both have the same disks, with the same pages? */
bool saved_equal (const struct saved *a, const struct saved *b);

void saved_free (struct saved *s);

#endif /* SAVE_SAVED_H */
