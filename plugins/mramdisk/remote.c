/* SPDX-License-Identifier: BSD-3-Clause */
/* An export of another NBD server as a block device. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "base/printable.h"
#include "nbd/bdev-nbd.h"
#include "nbd/pool.h"
#include "nbd/uri.h"
#include "remote.h"

struct remote {
  struct bdev *bdev;
  char *uri;
  struct connection_target target;
  const struct remote_host *host;
  /* While it connects, in the thread of remote_open: where to say why it does
   * not.  Afterwards NULL.
   */
  char *why;
};

static const struct remote_host no_host;

/* The pool's lines begin with "upstream URI: ". */
static const char *
without_prefix (const char *message)
{
  static const char prefix[] = "upstream ";

  return strncmp (message, prefix, sizeof prefix - 1) == 0
    ? message + sizeof prefix - 1 : message;
}

static void
say (void *opaque, enum pool_log level, const char *message)
{
  struct remote *r = opaque;

  if (r->why == NULL) {
    if (r->host->log)
      r->host->log (r->host->opaque, level == POOL_ERROR, message);
  }
  else if (level == POOL_ERROR)
    snprintf (r->why, REMOTE_WHY, "%s", without_prefix (message));
}

static bool
gives_up (void *opaque)
{
  struct remote *r = opaque;

  return r->host->give_up && r->host->give_up (r->host->opaque);
}

/* What libnbd says of it, with no transport allowed: then it parses the URI and
 * connects to nothing.
 */
static const char *
ask_libnbd (const char *uri, bool tls)
{
  struct nbd_handle *nbd = nbd_create ();
  const char *wrong = NULL;

  if (nbd == NULL)
    return "enough memory for it";
  if (!nbd_supports_uri (nbd))
    wrong = "a libnbd that was compiled with support for URIs";
  else if (tls && !nbd_supports_tls (nbd))
    wrong = "a URI without TLS: libnbd was compiled without support for TLS";
  else if (nbd_set_uri_allow_transports (nbd, 0) != -1 &&
           nbd_aio_connect_uri (nbd, uri) == -1 && nbd_get_errno () == EINVAL)
    wrong = "the URI of an NBD server, such as nbd://HOST or "
      "nbd+unix:///?socket=PATH";
  nbd_close (nbd);
  return wrong;
}

int
remote_check_uri (const char *uri, char why[REMOTE_WHY])
{
  char shown[PRINTABLE_STRING], key[PRINTABLE_STRING];
  struct nbd_uri u = { .query_key = NULL };
  const char *wrong = nbd_uri_parse (uri, &u);
  bool query = wrong == NULL && u.query_key;

  printable (uri, shown);
  if (query)
    snprintf (why, REMOTE_WHY, "%s: expected no %s= in the URI: only socket= "
              "is supported", shown, printable (u.query_key, key));
  else if (wrong == NULL)
    wrong = ask_libnbd (uri, u.tls);
  if (wrong)
    snprintf (why, REMOTE_WHY, "%s: expected %s", shown, wrong);
  nbd_uri_clear (&u);
  errno = EINVAL;
  return wrong || query ? -1 : 0;
}

static struct pool_options
pool_options (struct remote *r, const struct remote_options *o)
{
  return (struct pool_options) {
    .target = &r->target, .ntargets = 1,
    .connection = { .tls = LIBNBD_TLS_DISABLE, .tls_verify = -1 },
    .export_name = "",          /* the URI has it */
    .connections = o->connections,
    .reconnect = o->reconnect, .request_timeout = o->request_timeout,
    .witness = o->witness, .identity = true,
    .witness_hint = "nobody else may write to it meanwhile, and it must keep "
    "what it has flushed",
    .connect_timeout = REMOTE_CONNECT_TIMEOUT,
    .log = say, .give_up = gives_up, .opaque = r,
    .ending = r->host->ending,
  };
}

struct remote *
remote_open (const struct remote_options *options, char why[REMOTE_WHY])
{
  char shown[PRINTABLE_STRING];
  struct pool_options o;
  struct remote *r;
  int err;

  if (remote_check_uri (options->uri, why) == -1)
    return NULL;
  snprintf (why, REMOTE_WHY, "%s: out of memory",
            printable (options->uri, shown));
  r = calloc (1, sizeof *r);
  if (r == NULL)
    return NULL;
  r->host = options->host ? options->host : &no_host;
  r->why = why;
  r->uri = strdup (options->uri);
  r->target = (struct connection_target) { TARGET_URI, .name = r->uri };
  o = pool_options (r, options);
  if (r->uri)
    r->bdev = bdev_nbd_own (&o, NULL);
  if (r->bdev && bdev_connect (r->bdev) == 0) {
    r->why = NULL;
    *why = '\0';
    return r;
  }
  err = r->bdev ? errno : ENOMEM;
  remote_close (r);
  errno = err;
  return NULL;
}

struct bdev *
remote_bdev (struct remote *r)
{
  return r->bdev;
}

uint64_t
remote_outages (struct remote *r)
{
  struct pool_outage unused;

  return bdev_nbd_outage (r->bdev, &unused);
}

void
remote_give_up (struct remote *r)
{
  bdev_nbd_give_up (r->bdev);
}

void
remote_last_error (struct remote *r, char why[REMOTE_WHY])
{
  struct pool_outage outage;

  bdev_nbd_outage (r->bdev, &outage);
  snprintf (why, REMOTE_WHY, "%s", without_prefix (outage.error));
}

void
remote_close (struct remote *r)
{
  if (r == NULL)
    return;
  bdev_close (r->bdev);
  free (r->uri);
  free (r);
}
