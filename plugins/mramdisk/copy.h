/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies between a client's buffer and the arena.
 *
 * Others may store to the same page at the same time.  Overlapping requests may
 * tear (D2), that is all that can happen: for ThreadSanitizer, and in the letter
 * of C11, each byte is a relaxed atomic.
 */

#ifndef MRAMDISK_COPY_H
#define MRAMDISK_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "rcu.h"

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
#else /* !MBLOCK_TSAN */

static inline void
copy_out (void *dst, const void *src, size_t len)
{
  memcpy (dst, src, len);
}

/* So much at once goes around the caches: else it would drive out the socket's
 * buffers and the client's, which are needed next, for what is probably not.
 * 256 KiB writes through the server gain 15 %; with 64 KiB it makes no
 * difference (bench/server-bench).
 */
#define COPY_STREAM (128u << 10)

#ifdef __SSE2__
static inline void
copy_stream (char *dst, const char *src, size_t len)
{
  size_t head = -(uintptr_t) dst % 64, i;

  memcpy (dst, src, head);
  for (i = head; i + 64 <= len; i += 64) {
    const __m128i *s = (const __m128i *) (src + i);
    __m128i *d = (__m128i *) (dst + i);
    __m128i a = _mm_loadu_si128 (s), b = _mm_loadu_si128 (s + 1);
    __m128i c = _mm_loadu_si128 (s + 2), e = _mm_loadu_si128 (s + 3);

    _mm_stream_si128 (d, a);
    _mm_stream_si128 (d + 1, b);
    _mm_stream_si128 (d + 2, c);
    _mm_stream_si128 (d + 3, e);
  }
  memcpy (dst + i, src + i, len - i);
  /* Such stores do not wait for each other, nor for what publishes them. */
  _mm_sfence ();
}
#else
#define copy_stream memcpy
#endif

static inline void
copy_in (void *dst, const void *src, size_t len)
{
  if (len >= COPY_STREAM)
    copy_stream (dst, src, len);
  else
    memcpy (dst, src, len);
}

#endif /* !MBLOCK_TSAN */
#endif /* MRAMDISK_COPY_H */
