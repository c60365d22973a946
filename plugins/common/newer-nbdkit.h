/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions that newer versions of nbdkit have.
 *
 * They are weak, so that a binary built with an older nbdkit can call them in a
 * newer one, and one built with a newer nbdkit tells whether an older one has
 * them: the address is NULL if not.  Include this after nbdkit-plugin.h.
 */

#ifndef MBLOCK_NEWER_NBDKIT_H
#define MBLOCK_NEWER_NBDKIT_H

/* Since 1.34: end the connection that the calling thread works for. */
extern void nbdkit_disconnect (int force) __attribute__ ((weak));

/* Since 1.36. */
extern char *nbdkit_peer_security_context (void) __attribute__ ((weak));

/* Since 1.40. */
extern char *nbdkit_peer_tls_dn (void) __attribute__ ((weak));
extern char *nbdkit_peer_tls_issuer_dn (void) __attribute__ ((weak));

#endif /* MBLOCK_NEWER_NBDKIT_H */
