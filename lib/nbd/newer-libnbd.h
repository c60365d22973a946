/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions that newer versions of libnbd have.
 *
 * They are weak, so that a binary built with an older libnbd can call them in a
 * newer one, and one built with a newer libnbd tells whether an older one has
 * them: the address is NULL if not.
 */

#ifndef MBLOCK_NEWER_LIBNBD_H
#define MBLOCK_NEWER_LIBNBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

/* Since 1.18: extended headers.  libnbd asks for them unless told not to. */
#ifndef LIBNBD_HAVE_NBD_EXTENT64_CALLBACK
typedef struct {
  uint64_t length;
  uint64_t flags;
} nbd_extent;

typedef struct {
  int (*callback) (void *user_data, const char *metacontext, uint64_t offset,
                   nbd_extent *entries, size_t nr_entries, int *error);
  void *user_data;
  void (*free) (void *user_data);
} nbd_extent64_callback;
#endif

extern int nbd_set_request_extended_headers (struct nbd_handle *nbd,
                                             bool request)
  __attribute__ ((weak));
extern int nbd_get_extended_headers_negotiated (struct nbd_handle *nbd)
  __attribute__ ((weak));
extern int64_t nbd_aio_block_status_64 (struct nbd_handle *nbd, uint64_t count,
                                        uint64_t offset,
                                        nbd_extent64_callback extents,
                                        nbd_completion_callback done,
                                        uint32_t flags)
  __attribute__ ((weak));

/* Since 1.22. */
extern int nbd_set_tls_hostname (struct nbd_handle *nbd, const char *name)
  __attribute__ ((weak));

#endif /* MBLOCK_NEWER_LIBNBD_H */
