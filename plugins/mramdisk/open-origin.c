/* SPDX-License-Identifier: BSD-3-Clause */
/* Origins by their URIs. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "nbd/bdev-nbd.h"
#include "open-origin.h"
#include "plugins/common/nbdkit-ending.h"

static bool
is_away (void *opaque)
{
  struct pool_outage outage;

  bdev_nbd_outage (remote_bdev (opaque), &outage);
  return outage.away;
}

static void
give_up (void *opaque)
{
  remote_give_up (opaque);
}

static void
close_remote (void *opaque)
{
  remote_close (opaque);
}

/* Before it serves, nbdkit cannot be asked whether it ends (and until 1.32
 * looks at its standard input if it is).
 */
static atomic_bool serves;

void
open_origin_serves (void)
{
  atomic_store (&serves, true);
}

/* A client that leaves does not end what it waits for: others may wait for the
 * same pages.
 */
static bool
is_ending (void *opaque)
{
  (void) opaque;
  return atomic_load (&serves) && program_ends (&ending_of_nbdkit);
}

static struct remote *
open_remote (const char *uri, const struct remote_host *host,
             char why[REMOTE_WHY])
{
  struct remote_options o = REMOTE_OPTIONS_INIT;

  o.uri = uri;
  o.host = host;
  o.request_timeout = REMOTE_READ_TIMEOUT;
  return remote_open (&o, why);
}

struct origin *
open_origin (struct service *s, const struct origin_request *request,
             char why[REMOTE_WHY])
{
  static struct remote_host host;
  struct origin_options options = {
    .prefetch = request->prefetch, .prefetch_rate = request->prefetch_rate,
  };
  char shown[PRINTABLE_STRING];
  struct origin *origin;
  struct remote *r;
  int err;

  /* The same for all, so that it does not matter who is first. */
  host.log = s->remote_host->log;
  host.ending = (struct ending) { .fn = is_ending };
  host.give_up = is_ending;
  r = open_remote (request->uri, &host, why);
  if (r == NULL)
    return NULL;
  options.source = (struct origin_source) {
    .bdev = remote_bdev (r), .uri = request->uri, .is_away = is_away,
    .give_up = give_up, .close = close_remote, .opaque = r,
  };
  origin = origin_new (s->origins, &options);
  if (origin)
    return origin;
  err = errno;
  printable (request->uri, shown);
  if (err == EFBIG)
    snprintf (why, REMOTE_WHY, "%s: the export is too large for an origin",
              shown);
  else if (err == EINVAL)
    snprintf (why, REMOTE_WHY, "%s: expected a minimum block size of at most "
              "%u", shown, ORIGIN_MOST_RUN * PAGE_BYTES);
  else if (err == ENAMETOOLONG || err == EILSEQ)
    snprintf (why, REMOTE_WHY, "%s: expected %s: the URI is kept in arena=",
              shown, err == EILSEQ ? "valid UTF-8" : "at most 4096 bytes");
  else
    snprintf (why, REMOTE_WHY, "%s: %s", shown, strerror (err));
  remote_close (r);
  errno = err;
  return NULL;
}

/* ----------------------------------------------- recovered, connected later */

/* What the remote of a recovered origin is lent, and the remote. */
struct later {
  struct remote_host host;
  struct origin_wanted wanted;
  struct remote *remote;
};

static bool
later_ends (void *opaque)
{
  const struct later *l = opaque;

  return is_ending (NULL) || l->wanted.ends (l->wanted.opaque);
}

static bool
later_is_away (void *opaque)
{
  return is_away (((struct later *) opaque)->remote);
}

static void
later_give_up (void *opaque)
{
  give_up (((struct later *) opaque)->remote);
}

static void
later_close (void *opaque)
{
  struct later *l = opaque;

  remote_close (l->remote);
  free (l);
}

/* Is it what was there before?  Says in why what it is not. */
static bool
is_wanted (const struct later *l, const char *uri, char why[REMOTE_WHY])
{
  const struct bdev_info *info = &remote_bdev (l->remote)->info;
  char shown[PRINTABLE_STRING];

  printable (uri, shown);
  if (info->size != l->wanted.size)
    snprintf (why, REMOTE_WHY, "%s: it has %" PRIu64 " bytes, expected %" PRIu64
              ", the size that it had", shown, info->size, l->wanted.size);
  else if (info->block_min > l->wanted.block_min)
    snprintf (why, REMOTE_WHY, "%s: it has a minimum block size of %" PRIu32
              ", expected at most %" PRIu64 ", which it had", shown,
              info->block_min, l->wanted.block_min);
  else
    return true;
  return false;
}

static int
connect_later (void *service, const char *uri,
               const struct origin_wanted *wanted,
               struct origin_source *source)
{
  const struct service *s = service;
  struct later *l = calloc (1, sizeof *l);
  char why[REMOTE_WHY], line[REMOTE_WHY + 16];

  if (l == NULL)
    return -1;
  l->wanted = *wanted;
  l->host = (struct remote_host) {
    .log = s->remote_host->log, .give_up = later_ends,
    .ending = { .fn = later_ends, .opaque = l }, .opaque = l,
  };
  l->remote = open_remote (uri, &l->host, why);
  if (l->remote && is_wanted (l, uri, why)) {
    *source = (struct origin_source) {
      .bdev = remote_bdev (l->remote), .uri = uri, .is_away = later_is_away,
      .give_up = later_give_up, .close = later_close, .opaque = l,
    };
    return 0;
  }
  snprintf (line, sizeof line, "origin %s", why);
  if (s->remote_host->log)      /* once in an outage */
    s->remote_host->log (s->remote_host->opaque, !wanted->again, line);
  later_close (l);
  return -1;
}

void
open_origin_later (struct service *s)
{
  const struct origin_connector connector = {
    .connect = connect_later, .opaque = s, .wait = REMOTE_DEFAULT_RECONNECT,
  };

  origins_set_connector (s->origins, &connector);
}
