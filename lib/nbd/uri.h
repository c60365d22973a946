/* SPDX-License-Identifier: BSD-3-Clause */
/* The URI of an NBD server, read before anybody connects.
 *
 * libnbd parses a URI only when it connects, and ignores the parts that it
 * does not know, which differ from version to version.  This parses the URI as
 * libnbd will, and refuses one that cannot work, or of which libnbd would
 * ignore a part: the wrong disk is worse than none.  The format is that of
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md.
 *
 * libnbd may still refuse a URI that is accepted here, so ask it as well.
 *
 * Thread-safe; knows neither nbdkit nor libnbd.
 */

#ifndef MBLOCK_NBD_URI_H
#define MBLOCK_NBD_URI_H

#include <stdbool.h>
#include <stddef.h>

struct nbd_uri {
  bool tls;                     /* nbds: TLS or nothing */
  char *user;                   /* NULL: none */
  char *export_name;            /* never NULL */
  char *socket;                 /* of nbd+unix, else NULL */

  /* The first part of the query that a URI cannot have here, or NULL: it may be
   * a parameter of another kind.
   */
  char *query_key, *query_value;
};

/* The longest name of an export, in bytes; the protocol's limit. */
#define NBD_MOST_NAME 4096

/* Returns NULL, or what was expected of the URI: a static string.  With NULL,
 * uri is to be cleared by nbd_uri_clear; else it need not be.
 */
const char *nbd_uri_parse (const char *s, struct nbd_uri *uri);

/* The URI, which has been parsed, with another path after socket=.  Returns
 * NULL, with errno, if there is no memory.
 */
char *nbd_uri_with_socket (const char *s, const char *path);

void nbd_uri_clear (struct nbd_uri *uri);

#endif /* MBLOCK_NBD_URI_H */
