/* SPDX-License-Identifier: BSD-3-Clause */
/* A small world of named disks, operations on it, and a model of the result,
 * for the tests that end a process and recover its arena.
 *
 * Disks are treated as in the stress test (model.h): registers of one sector at
 * places where something can go wrong.  Each write stores a unique value.
 */

#ifndef CRASH_WORLD_H
#define CRASH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "ramdisk/disk-origin.h"
#include "ramdisk/registry.h"
#include "tests/stress/model.h"

#define WORLD_DISKS 4

struct world_disk {
  bool exists;
  bool readonly;
  bool ephemeral;               /* made by opening it, and still open */
  bool over;                    /* it is over the origin */
  bool pushed_since;            /* a push began that sends what changed since */
  uint64_t size;
  uint64_t quota;
  uint64_t maker;               /* the operation that its UUID follows from */
  uint64_t id[REGISTERS];
};

#define MOST_WORLDS 8

struct world {
  unsigned number;              /* its disks have their own names */
  struct world_disk disk[WORLD_DISKS];
  uint64_t last_id;
};

enum op_kind {
  OP_WRITE, OP_DETECT, OP_ZERO, OP_ALLOCATE, OP_TRIM,   /* data */
  OP_CREATE, OP_OVER, OP_DESTROY, OP_CLONE, OP_REPLACE, OP_CREATE_REPLACE,
  OP_RESIZE, OP_RENAME, OP_AUTO_KEPT, OP_SET, OP_PUSHED_SINCE,     /* control */
  OP_EPHEMERAL, OP_EPHEMERAL_WRITE,     /* open a name that does not exist */
  OP_AUTO_DESTROY,              /* the same, with auto-destroy */
  OP_FETCH, OP_EVICT, OP_COMPLETE,      /* of the disk's origin, if any */
  OP_RECLAIM,                   /* give memory back */
  OP_KINDS
};

extern const char *const op_names[OP_KINDS];

struct op {
  enum op_kind kind;
  unsigned world;
  unsigned a, b;                /* disks */
  unsigned first, last;         /* registers, in one cluster */
  uint64_t id;                  /* of the first; the others follow */
  uint64_t size, quota;
  bool readonly;
  bool prefetch;                /* OP_OVER */
};

/* The disk's name.  One is longer than a record has room for. */
const char *world_name (unsigned world, unsigned disk);

/* The one origin that all disks over an origin have: what its registers
 * contain, and how large it is.  It ends in a page.  Elsewhere it is zeros.
 */
#define WORLD_ORIGIN_ID (UINT64_C (1) << 40)
#define WORLD_ORIGIN_SIZE register_offset (REGISTERS - 21)

/* Its source, which any number of origins may have. */
struct origin_source world_source (void);

/* How many bytes were read from it in this process. */
uint64_t world_fetched (void);

/* Fetch all of it that is missing, and let go of the source. */
void world_complete (struct origin *o);

/* Deterministic random numbers. */
uint64_t world_random (uint64_t *state);

/* Choose an operation of this kind that makes sense now; if none does, the kind
 * is changed.
 */
struct op world_choose (const struct world *w, enum op_kind kind,
                        uint64_t *random);

/* Apply the operation to the model. */
void world_apply (struct world *w, const struct op *op);

/* Do it.  Aborts with a message if it fails. */
void world_do (struct registry *r, struct arena *a, const struct op *op);

/* Whether an operation that was interrupted leaves each register as in one of
 * the two worlds; else, it leaves all as in one of them.
 */
bool op_is_control (enum op_kind kind);

/* Compare the registry with the model; abort with what if they differ. */
void world_expect (struct registry *r, const struct world *w,
                   const char *what);

/* Whether the registry is like x, except that registers may contain what y
 * says.
 */
bool world_is (struct registry *r, const struct world *x,
               const struct world *y);

/* UUIDs that this thread makes follow from op (NULL: they are random). */
void world_uuid_for (const struct op *op);

/* Whether it is the UUID of a disk that an operation with this id made. */
bool world_uuid_is (const struct uuid *u, unsigned world, uint64_t maker);

/* Whether one of its disks exists and is as in the model. */
bool world_has (struct registry *r, const struct world *w, unsigned disk);

/* The difference that the last failed comparison found. */
const char *world_difference (void);

/* Use each disk of a registry in all ways, whatever its content, and check the
 * invariants.
 */
void world_exercise (struct registry *r, struct arena *a);

/* Check that a recovered registry is as before or after, depending on
 * op_is_control; else abort with what.  Grows the disks to see what is beyond
 * their ends, and checks the engine's invariants.
 */
void world_check (struct registry *r, struct arena *a,
                  const struct world *before, const struct world *after,
                  bool control, const char *what);

/* A set of origins for an arena, as world_open makes it, until world_close. */
struct origins *world_origins (struct arena *a);
struct origins *world_origins_now (void);

/* Recover an arena and its registry.  Aborts with a message. */
void world_open (const char *path, uint64_t limit, struct arena **a,
                 struct registry **r, struct recovery *recovery);
void world_close (struct arena *a, struct registry *r);

#endif /* CRASH_WORLD_H */
