/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of a disk of the registry, for tests without a server. */

#ifndef MBLOCK_UNIT_BE_CLIENT_H
#define MBLOCK_UNIT_BE_CLIENT_H

#include "ramdisk/registry.h"
#include "ramdisk/stats.h"

/* Be the client of a disk that registry_open has opened, for some requests, and
 * close it.
 */
static inline void
be_client (struct registry *r, struct named_disk *d, unsigned requests)
{
  const struct registry_peer peer = { .address = "unix", .pid = -1 };
  struct registry_client c;
  struct stats_timer t;

  assert_non_null (d);
  assert_int_equal (0, registry_connect (r, &c, d, &peer));
  for (; requests > 0; requests--) {
    stats_start (c.stats, &t);
    stats_done (&t, STAT_READ, 1, STAT_OK);
  }
  registry_disconnect (r, &c);
  registry_close (r, d);
}

#endif /* MBLOCK_UNIT_BE_CLIENT_H */
