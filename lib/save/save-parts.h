/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of a save share: save.c, which chooses what each disk is
 * compared with, and save-pages.c, which moves pages.
 */

#ifndef SAVE_PARTS_H
#define SAVE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/jobs.h"
#include "ramdisk/disk.h"
#include "save/kept.h"
#include "save/save.h"
#include "save/saved.h"

/* How many pages are read for a comparison, or written, at a time. */
#define WINDOW 256

/* An entry of an open hash table that says where the folder has a page of the
 * arena.  At most half of the table is in use.
 */
struct place {
  const void *page;             /* NULL: free */
  uint32_t file;
  uint64_t at;
};

struct table {
  struct place *place;
  size_t n, size;               /* size: a power of two */
};

/* A file of an earlier generation, for comparisons. */
struct old_file {
  int fd;                       /* -1: no longer used */
  int sums;
  uint64_t first;               /* the window in buf and sum */
  uint64_t n;
  char *buf;
  uint64_t sum[WINDOW];
};

/* What a disk is compared with, instead of the folder: a disk with which it
 * shares much, and where the folder has its pages.
 */
struct relative {
  struct disk *frozen;
  const struct saved_disk *saved;
  bool kept;                    /* its pages are in files of base, some of which
                                 * may be given up */
};

enum state { WAITING, BEGUN, DONE };

struct save {
  struct job *job;
  struct saves *saves;
  int dir, lock;
  struct saved base, next;
  struct origin **origin;       /* those of the disks … */
  bool *whole;                  /* … whether their content is saved, or … */
  uint32_t *number;             /* … else their indices in next */
  size_t norigins;
  const struct save_disk *from; /* of next.disk */
  struct kept *kept;            /* of base, or NULL; then base is its saved */
  bool all_known;               /* the table has all pages of kept */
  enum state *state;            /* of each disk */
  size_t *sibling;              /* for each disk, the number of its parent; … */
  size_t *leader;               /* … for each number, the first such disk that
                                 * is done, or SIZE_MAX */
  struct old_file *old;         /* of base.file */
  size_t nold;
  struct table table;
  int data, sums;               /* the new file, -1: none yet */
  uint64_t pages;               /* in it */
  bool keep_all;                /* files of base … */
  bool gave_up;                 /* … or some of them are given up */
  unsigned n;                   /* of pages in buf */
  char *buf;
  uint64_t sum[WINDOW];
  char why[SAVED_WHY];

  /* The disk being saved. */
  struct saved_disk *disk;
  struct disk *frozen;
  const struct saved_disk *before; /* in base, for comparison, or NULL */
  size_t run;                   /* of before */
  struct relative like;         /* frozen NULL: none */
  size_t like_run;              /* of like.saved */
  uint64_t at;                  /* the first page of like that is not copied */
  uint64_t done;                /* bytes not yet reported to the job */
  uint64_t looked;              /* bytes of this disk that were looked at */
};

/* Write what append has collected.  Returns 0, or -1 and says in s->why. */
int save_write_out (struct save *s);

/* Report to the job that bytes were looked at.  Returns -1 if it is cancelled.
 */
int save_looked_at (struct save *s, uint64_t bytes);

/* The disk has the same as its relative from s->at to before end. */
int save_copy_runs (struct save *s, uint64_t end);

/* The disk has holes there, in which an origin may be seen that is saved whole.
 */
int save_hole (struct save *s, uint64_t index, uint64_t end);

/* Pages that differ from those of the relative (disk_changes); and pages of a
 * disk that has none (disk_pages).
 */
int save_change (void *opaque, uint64_t index, uint64_t n,
                 enum extent_type type, const void *page);
int save_own (void *opaque, uint64_t index, uint64_t n, const void *page);

/* Put all pages of what is remembered into the table. */
int save_fill_table (struct save *s);

#endif /* SAVE_PARTS_H */
