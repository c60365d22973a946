/* SPDX-License-Identifier: BSD-3-Clause */
/* A mirror between two block devices in memory, for the unit tests of mirrors.
 */

#ifndef TESTS_MIRROR_FIXTURE_H
#define TESTS_MIRROR_FIXTURE_H

#include <stdint.h>

#include "bdev/engine.h"
#include "memory-bdev.h"
#include "mirror/mirror.h"

#define MIB (UINT64_C (1) << 20)
#define GRANULE MIRROR_GRANULE

/* A size that is no multiple of a granule or a block. */
#define ODD (5 * MIB + 12345)

struct fixture {
  struct memory_bdev *primary, *secondary;
  struct instance instance;
  struct mirror_options o;
  struct mirror *m;
  struct bdev *client;
};

/* The last error that the engine logged. */
extern char last_error[1024];

void nap (void);

/* Until it is so; how long that takes is up to the machine. */
#define wait_until(condition)                                           \
  do {                                                                  \
    unsigned naps;                                                      \
                                                                        \
    for (naps = 0; naps < 30000 && !(condition); naps++)                \
      nap ();                                                           \
    if (!(condition))                                                   \
      fail_msg ("this did not happen: %s", #condition);                 \
  } while (0)

/* Make the two devices and the options, which a test may change then; start
 * a mirror, with one client; end and free everything.
 */
void prepare (struct fixture *f, uint64_t size);
void start (struct fixture *f);
void finish (struct fixture *f);

enum mirror_state state_of (struct fixture *f);
void wait_state (struct fixture *f, enum mirror_state state);

/* Start, and wait until it is synchronised.  start_full prepares first, with
 * a primary that is full of data.
 */
void start_synchronised (struct fixture *f);
void start_full (struct fixture *f, uint64_t size);

/* Fill a device with random bytes other than 0. */
void fill (struct memory_bdev *m, uint64_t offset, uint64_t count,
           unsigned seed);

/* Write bytes through the client. */
void put (struct fixture *f, uint64_t offset, uint32_t count, int byte);

/* Both sides must be equal; wait until the mirror is synchronised before. */
void assert_equal_sides (struct fixture *f);
void wait_equal (struct fixture *f);

/* A mirror that can switch: prepare it, finish it, and what the instance's
 * functions do.  shares and rides count their calls, and the others say how
 * many may succeed.
 */
#define SWITCH_SIZE (4 * MIB)

extern unsigned shares, shares_left, rides, rides_left;

void prepare_switch (struct fixture *f);
void finish_switch (struct fixture *f);

#endif /* TESTS_MIRROR_FIXTURE_H */
