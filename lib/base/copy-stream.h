/* SPDX-License-Identifier: BSD-3-Clause */
/* Large copies that bypass the processor's caches.  Otherwise data that is
 * probably not read again soon would displace the sockets' and the client's
 * buffers, which are needed next.
 */

#ifndef MBLOCK_COPY_STREAM_H
#define MBLOCK_COPY_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The size from which this pays off, in bytes.  Writes of 256 KiB through
 * mramdisk gain 15 %; writes of 64 KiB gain nothing (bench/server-bench).
 */
#define COPY_STREAM (128u << 10)

#ifdef __SSE2__
static inline void
copy_stream (char *dst, const char *src, size_t len)
{
  size_t head = -(uintptr_t) dst % 64, i;

  if (head > len)
    head = len;
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
  /* These stores are not ordered, neither among themselves nor before the store
   * that publishes them.
   */
  _mm_sfence ();
}
#else
#define copy_stream memcpy
#endif

#endif /* MBLOCK_COPY_STREAM_H */
