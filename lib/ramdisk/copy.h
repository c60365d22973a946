/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies between a client's buffer and the arena, and comparing the two.
 *
 * Other threads may store to the same page at the same time.  Overlapping
 * requests may tear (D2); that is all that can happen.  For ThreadSanitizer,
 * and by the letter of C11, each byte is a relaxed atomic.
 */

#ifndef MRAMDISK_COPY_H
#define MRAMDISK_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/copy-stream.h"
#include "ramdisk/crash-point.h"
#include "ramdisk/rcu.h"

#ifdef MBLOCK_TSAN
static inline void
copy_out (void *dst, const void *src, size_t len)
{
  char *d = dst;
  const char *s = src;
  size_t i = 0;

  for (; i < len && (uintptr_t) (s + i) % 8 != 0; i++)
    d[i] = __atomic_load_n (s + i, __ATOMIC_RELAXED);
  for (; len - i >= 8; i += 8) {
    uint64_t v = __atomic_load_n ((const uint64_t *) (s + i), __ATOMIC_RELAXED);
    memcpy (d + i, &v, 8);
  }
  for (; i < len; i++)
    d[i] = __atomic_load_n (s + i, __ATOMIC_RELAXED);
}

static inline void
copy_in (void *dst, const void *src, size_t len)
{
  char *d = dst;
  const char *s = src;
  size_t i = 0;

  for (; i < len && (uintptr_t) (d + i) % 8 != 0; i++)
    __atomic_store_n (d + i, s[i], __ATOMIC_RELAXED);
  for (; len - i >= 8; i += 8) {
    uint64_t v;
    memcpy (&v, s + i, 8);
    __atomic_store_n ((uint64_t *) (d + i), v, __ATOMIC_RELAXED);
  }
  for (; i < len; i++)
    __atomic_store_n (d + i, s[i], __ATOMIC_RELAXED);
}

/* Does the arena hold these bytes? */
static inline bool
copy_is_same (const void *arena, const void *buf, size_t len)
{
  char part[256];
  size_t n;

  for (; len > 0; len -= n) {
    n = len < sizeof part ? len : sizeof part;
    copy_out (part, arena, n);
    if (memcmp (part, buf, n) != 0)
      return false;
    arena = (const char *) arena + n;
    buf = (const char *) buf + n;
  }
  return true;
}
#else /* !MBLOCK_TSAN */

static inline bool
copy_is_same (const void *arena, const void *buf, size_t len)
{
  return memcmp (arena, buf, len) == 0;
}

static inline void
copy_out (void *dst, const void *src, size_t len)
{
  memcpy (dst, src, len);
}

static inline void
copy_in_part (void *dst, const void *src, size_t len)
{
  if (len >= COPY_STREAM)
    copy_stream (dst, src, len);
  else
    memcpy (dst, src, len);
}

static inline void
copy_in (void *dst, const void *src, size_t len)
{
#ifdef MBLOCK_CRASH
  /* Half of it may be there. */
  copy_in_part (dst, src, len / 2);
  CRASH_POINT ();
  copy_in_part ((char *) dst + len / 2, (const char *) src + len / 2,
                len - len / 2);
  CRASH_POINT ();
#else
  copy_in_part (dst, src, len);
#endif
}

#endif /* !MBLOCK_TSAN */
#endif /* MRAMDISK_COPY_H */
