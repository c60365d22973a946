/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's copying: what the secondary has already is not sent.
 *
 * A secondary that is a clone of the same image, or an older copy, differs from
 * the primary in some places only.  The job reads it before it writes, and
 * sends the blocks that are different.  The bytes themselves are compared, so
 * nothing is trusted.  On an mramdisk, a page that nobody writes stays shared.
 *
 * Both reads happen while the range is held, or on trial, when only the job
 * writes to the secondary (Y10).  So what was equal is equal still, or is
 * copied again.  Blocks that were not sent become unflushed like the others of
 * their window: an earlier connection may have left them so.
 *
 * Reading costs as many bytes as it may save.  So it ends if it does not pay,
 * except for a sample now and then, and it is done only for a secondary that
 * has a UUID: mramdisk, which answers reads from memory.
 */

#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/uuid.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* What is compared and sent: a page of mramdisk, or the secondary's block. */
#define UNIT 4096u

/* Equal bytes between two different units that are sent with them: a request
 * costs more.
 */
#define GAP (16u << 10)

/* How much is compared before it must have paid, and after how much only half
 * of what was found counts, in bytes.  If it does not pay, one piece in
 * SAMPLE_OF is compared all the same.
 */
#define FIRST_LOOK (UINT64_C (4) << 20)
#define LONG_AGO (UINT64_C (64) << 20)
#define SAMPLE_OF 16

bool
mirror_compares (struct mirror *m)
{
  bool r;

  if (!uuid_is_set (&m->secondary->info.uuid))
    return false;
  mutex_lock (&m->lock);
  r = m->compared < FIRST_LOOK || m->same * 2 >= m->compared ||
    m->pieces++ % SAMPLE_OF == 0;
  mutex_unlock (&m->lock);
  return r;
}

void
mirror_compared (struct mirror *m, uint64_t n, uint64_t same)
{
  mutex_lock (&m->lock);
  m->compared += n;
  m->same += same;
  m->bytes_same += same;
  if (m->compared >= LONG_AGO) {
    m->compared /= 2;
    m->same /= 2;
  }
  mutex_unlock (&m->lock);
}

/* Whether the unit at `at` is different. */
static bool
unit_differs (const char *ours, const char *theirs, uint32_t n, uint32_t unit,
              uint32_t at)
{
  return memcmp (ours + at, theirs + at, least (unit, n - at)) != 0;
}

bool
mirror_next_difference (struct mirror *m, const char *ours, const char *theirs,
                        uint32_t n, uint32_t *from, uint32_t *to)
{
  uint32_t unit = m->secondary->info.block_min > UNIT
    ? m->secondary->info.block_min : UNIT;
  uint32_t at = *to;

  while (at < n && !unit_differs (ours, theirs, n, unit, at))
    at += unit;
  if (at >= n)
    return false;
  *from = at;
  *to = least (at + unit, n);
  for (at = *to; at < n && at - *to < GAP; at += unit)
    if (unit_differs (ours, theirs, n, unit, at))
      *to = least (at + unit, n);
  return true;
}
