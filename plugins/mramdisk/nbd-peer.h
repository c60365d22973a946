/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at the other end of an NBD connection. */

#ifndef MRAMDISK_NBD_PEER_H
#define MRAMDISK_NBD_PEER_H

#include "ramdisk/registry.h"

/* To be called once, in .config_complete. */
void peer_prepare (void);

/* Describe the client of the connection that this thread serves, in .open.
 * What the system does not tell stays empty.
 */
void peer_look (struct registry_peer *peer);

/* A peer of which nothing but this address is known. */
#define PEER_NONE(text)                                                 \
  ((struct registry_peer) { .address = text, .pid = -1, .uid = -1, .gid = -1 })

#endif /* MRAMDISK_NBD_PEER_H */
