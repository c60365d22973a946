/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the engine of mramdisk: any operations on a family of disks, each of
 * which has a plain copy of its bytes beside it (tests/unit/disk-shadow.h).
 * For libFuzzer; run-fuzz.sh builds it.
 *
 * An input is a list of operations, each of 7 bytes (numbers are little-endian)
 *
 *   1 byte    the kind, modulo their number
 *   1 byte    bits 0 and 1: the disk; bits 2 and 3: another one; bits 4 and 5:
 *             where it begins; bit 6: whole pages; bit 7: a length in pages
 *   2 bytes   the offset, from the start of the disk, of the second leaf or of
 *             the last 64 KiB; or in pages, modulo the disk's size
 *   2 bytes   the length
 *   1 byte    what is written, or 0 for zeros
 *
 * What must hold: the disks show what their copies have; a request fails only
 * for a reason, and has then changed nothing (disk.h D4); and the engine's
 * invariants (engine-check.h).  The arena has less memory than the disks could
 * take.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "ramdisk/disk.h"
#include "ramdisk/rcu.h"
#include "tests/abort.h"
#include "tests/unit/disk-shadow.h"
#include "tests/unit/engine-check.h"

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define P ((uint64_t) PAGE_BYTES)
#define LEAF (NODE_SLOTS * P)
/* A leaf, and a little of the next one. */
#define MOST (LEAF + 40 * P + 1000)
#define LIMIT (UINT64_C (6) << 20)

#define OP_BYTES 7
/* Checking everything takes longer than an operation. */
#define CHECK_EVERY 64

/* Its memory is used for all inputs. */
static struct shadow shadow;

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  (void) argc;
  (void) argv;
  if (rcu_prepare () == -1)
    abort_with ("rcu");
  shadow_init (&shadow, MOST);
  return 0;
}

static uint64_t
least (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* Where it begins.  Only from the end may a request reach beyond it. */
static uint64_t
place (unsigned where, uint64_t n, uint64_t size)
{
  switch (where) {
  case 0:
    return least (n, size);
  case 1:
    return least (LEAF - 16 * P + n, size);
  case 2:
    return size - least (n, size);
  default:
    return size ? n * P % size : 0;
  }
}

static struct shadow_op
decode (const struct shadow *s, const uint8_t data[OP_BYTES])
{
  unsigned where = data[1] >> 4 & 3;
  struct shadow_op op = {
    .kind = data[0] % SHADOW_KINDS, .a = data[1] & 3, .b = data[1] >> 2 & 3,
    .value = data[6],
  };
  uint64_t n = data[2] | (uint64_t) data[3] << 8, size = s->size[op.a];

  op.offset = place (where, n, size);
  op.size = place (where, n, MOST);
  op.count = data[4] | (uint64_t) data[5] << 8;
  if (data[1] & 0x80)
    op.count = op.count % (MOST / P) * P;
  if (data[1] & 0x40) {
    op.offset &= -P;
    op.count &= -P;
  }
  if (where != 2)
    op.count = least (op.count, size - op.offset);
  return op;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const uint64_t sizes[SHADOW_DISKS] = {
    MOST, LEAF, 20 * P, 3 * P + 10
  };
  struct arena *a = arena_create (LIMIT);
  struct disk *disk[SHADOW_DISKS];
  unsigned n = 0, i;

  if (a == NULL)
    abort_with ("no memory");
  shadow_start (&shadow, a, disk, sizes);
  for (; size >= OP_BYTES; size -= OP_BYTES, data += OP_BYTES) {
    struct shadow_op op = decode (&shadow, data);

    shadow_do (&shadow, &op);
    if (++n % CHECK_EVERY == 0)
      engine_check (a, disk, SHADOW_DISKS);
  }
  shadow_check (&shadow);
  engine_check (a, disk, SHADOW_DISKS);
  for (i = 0; i < SHADOW_DISKS; i++)
    disk_free (disk[i]);
  engine_check (a, NULL, 0);
  arena_destroy (a);
  return 0;
}
