/* SPDX-License-Identifier: BSD-3-Clause */
/* What unfinished pushes may have written.
 *
 * A push with `since` sends what differs between the two disks, because the
 * device has the content of `since` everywhere else.  After a push that ended
 * too early that is no longer so: the device may have what that push has
 * written, even where the disk has returned to the content of `since`.  So the
 * ranges that it was about to write are remembered, and every later push with
 * the same `since` sends them, too.
 *
 * Invariants
 *
 *   Z1  Where a push with `since` sends nothing, no push of this process that
 *       had the same `since`, or the same target and none (one of the last
 *       UNFINISHED_MOST_WHOLE targets), has written without finishing.  (What
 *       an earlier process did: registry_pushed_since, push.h Q3.)
 *   Z2  Ranges may be joined with what is between them: to send more is right,
 *       too.  So a push is remembered in at most SPANS_MOST ranges.
 *
 * Targets are compared by their names, and the same device may have several.
 * So an unfinished push is remembered for its `since`, whatever the next one's
 * target is, until the disk goes.  One that has succeeded is remembered, too,
 * but for its own target: whoever started it may not know that, and start it
 * again.
 *
 * Thread-safety: struct spans is for one thread; of struct unfinished, any
 * thread may call all functions but unfinished_new and unfinished_free.  They
 * take a lock inside, which is a leaf.
 */

#ifndef TRANSFER_UNFINISHED_H
#define TRANSFER_UNFINISHED_H

#include <stddef.h>
#include <stdint.h>

#define SPANS_MOST 4096

/* How many pushes are remembered for one `since`, before they are joined; and
 * how many without, of which the oldest is then forgotten.
 */
#define UNFINISHED_MOST 8
#define UNFINISHED_MOST_WHOLE 256

struct span {
  uint64_t offset, end;         /* bytes */
};

/* Ranges in order, which neither overlap nor touch. */
struct spans {
  struct span *span;
  size_t n, room;
};

/* Add a range anywhere.  Returns 0, or -1: no memory, and nothing was changed.
 */
int spans_add (struct spans *r, uint64_t offset, uint64_t end);

void spans_free (struct spans *r);

struct unfinished;

struct unfinished *unfinished_new (void);
void unfinished_free (struct unfinished *u);

/* What a push to this target with that `since` (a disk's id) has to send
 * besides what differs, to be given to spans_free.  Returns 0, or -1: no
 * memory.
 */
int unfinished_get (struct unfinished *u, uint64_t since, const char *target,
                    struct spans *r);

/* A push is about to write this range, and is unfinished from here on.  since
 * 0: it has none.  Returns 0, or -1: no memory.
 */
int unfinished_add (struct unfinished *u, uint64_t since, const char *target,
                    uint64_t offset, uint64_t end);

/* The push has succeeded. */
void unfinished_done (struct unfinished *u, uint64_t since,
                      const char *target);

/* The disk with that id has lost its name. */
void unfinished_forget (struct unfinished *u, uint64_t since);

#endif /* TRANSFER_UNFINISHED_H */
