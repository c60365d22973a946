/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server remembers of the folders that it has saved disks to, so that
 * another save looks only at what has changed.
 *
 * For each folder: the generation as it is there, and its disks as they were
 * frozen.  These share all that has not changed since with the disks of today,
 * so they take no memory at first; what they alone still have is the former
 * content of pages that were written since.  This memory is not worth a write
 * that fails, or an event that says that memory is low: then it is given up,
 * and the next save compares everything with the folder.
 *
 * Invariants
 *
 *   B1  What is remembered of a folder is used only if nobody has touched the
 *       folder since (saved_stamp).
 *   B2  A disk that has lost its name is not remembered: its memory is free as
 *       soon as nobody has it open.
 *   B3  Memory is given up at once and under any lock, as arena_set_pressure
 *       wants it; the disks that had it are freed later, without a lock.
 *
 * Thread-safety: any thread may call these, except saves_new and saves_free.
 * They take one lock inside, saves.lock, and with it those that arena_retire
 * takes.
 *   frees disks, so wants to be called without a lock: saves_reap, saves_put,
 *                                saves_take, saves_forget, saves_free,
 *                                kept_free
 *   with any lock down to a tree's: saves_forget_disk, saves_give_up
 */

#ifndef SAVE_KEPT_H
#define SAVE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "save/saved.h"

/* For how many folders; the one that was saved to longest ago is forgotten. */
#define SAVES_MOST_FOLDERS 64

struct kept_disk {
  uint64_t id;                  /* of the disk that was saved */
  struct disk *frozen;          /* NULL: it is not remembered any more */
  bool gone;                    /* nor will it be: it has lost its name while a
                                 * save had taken this */
};

/* What is remembered of a folder. */
struct kept {
  struct kept *next;
  struct saves *taken_from;     /* NULL: it is not taken, or taken away */
  uint64_t dev, ino;            /* of the folder */
  uint64_t stamp;               /* B1 */
  struct saved saved;
  struct kept_disk *disk;       /* of saved.disk */
  size_t *by_id;                /* indices of these, in the order of ids */
};

struct saves;

struct saves_stats {
  size_t folders, disks;
  uint64_t held;                /* bytes that nobody else has, without pages
                                 * that only several remembered disks share */
};

/* NULL: no memory. */
struct saves *saves_new (struct arena *arena);
void saves_free (struct saves *s);

/* Take what is remembered of a folder, or NULL.  It is the caller's then, to
 * give back with saves_put or to kept_free.  Until then others may look at it;
 * to change it, first call saves_take_away, after which only kept_free may
 * follow.
 */
struct kept *saves_take (struct saves *s, int dir);
void saves_take_away (struct kept *k);

/* Remember k, unless it is NULL; but not those of its disks that were forgotten
 * while it was taken.
 */
void saves_put (struct saves *s, struct kept *k);

/* Something to remember; takes over *saved and the frozen disks.  NULL: there
 * is no memory, or the folder cannot be looked at; then they are freed.
 */
struct kept *kept_new (int dir, struct saved *saved, struct kept_disk *disk);
void kept_free (struct kept *k);

/* The index of the disk with that id, or k->saved.ndisks. */
size_t kept_find (const struct kept *k, uint64_t id);

/* Forget everything. */
void saves_forget (struct saves *s);

/* Forget a disk by its id (B2). */
void saves_forget_disk (struct saves *s, uint64_t id);

/* Give up all memory.  Returns whether there was any to give up. */
bool saves_give_up (struct saves *s);

/* Free what was given up. */
void saves_reap (struct saves *s);

void saves_stats (struct saves *s, struct saves_stats *stats);

#endif /* SAVE_KEPT_H */
