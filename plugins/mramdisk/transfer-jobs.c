/* SPDX-License-Identifier: BSD-3-Clause */
/* The jobs that move disks between mramdisk and other servers. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "job/jobs.h"
#include "remote.h"
#include "save/kept.h"
#include "transfer-jobs.h"
#include "transfer/pull.h"
#include "transfer/push.h"

/* ------------------------------------------------------------ the remote */

/* What a job's remote is lent: it gives up when the job is cancelled. */
struct job_host {
  struct remote_host host;
  const struct remote_host *server;
  struct job *job;
};

static bool
gives_up (void *opaque)
{
  const struct job_host *h = opaque;

  return job_is_cancelled (h->job) ||
    (h->server->give_up && h->server->give_up (h->server->opaque));
}

static bool
ends (void *opaque)
{
  const struct job_host *h = opaque;

  return job_is_cancelled (h->job) || program_ends (&h->server->ending);
}

static void
say (void *opaque, bool error, const char *message)
{
  const struct job_host *h = opaque;

  if (h->server->log)
    h->server->log (h->server->opaque, error, message);
}

/* Connect.  NULL: after job_fail.  h stays as long as the remote. */
static struct remote *
open_remote (struct job *job, const struct service *s, const char *uri,
             int64_t request_timeout, struct job_host *h)
{
  struct remote_options o = REMOTE_OPTIONS_INIT;
  char why[REMOTE_WHY];
  struct remote *r;

  *h = (struct job_host) {
    .host = { .log = say, .give_up = gives_up, .ending = { ends, h },
              .opaque = h },
    .server = s->remote_host, .job = job,
  };
  o.uri = uri;
  o.host = &h->host;
  o.request_timeout = request_timeout;
  o.witness = true;
  job_phase (job, "connecting", 0);
  r = remote_open (&o, why);
  if (r == NULL)
    job_fail (job, "%s", why);
  return r;
}

/* The job came to nothing, with this errno: say why, if nobody has. */
static void
explain (struct job *job, struct arena *arena, struct remote *r,
         const char *what, int err)
{
  char why[REMOTE_WHY], full[ARENA_NO_SPACE];

  if (err == ESHUTDOWN) {
    remote_last_error (r, why);
    job_fail (job, "the %s is away%s%s", what, *why ? ": " : "", why);
  }
  else if (err == EDQUOT)
    job_fail (job, "the disk's quota is reached");
  else if (err == ENOSPC)
    job_fail (job, "%s", arena_no_space (arena, full));
  else
    job_fail (job, "%s", strerror (err));
}

/* ----------------------------------------------------------------- push */

struct push_job {
  struct service *s;
  struct push_job_options o;
  char *uri, *target;
};

static uint64_t
outages (void *opaque)
{
  return remote_outages (opaque);
}

static int
has_id (void *opaque, const struct named_disk *d)
{
  return d->id == *(const uint64_t *) opaque;
}

static int
run_push (struct job *job, void *opaque)
{
  struct push_job *p = opaque;
  struct job_host host;
  /* A flush may take any time. */
  struct remote *r = open_remote (job, p->s, p->uri, 0, &host);
  struct push_options o = {
    .disk = p->o.frozen[0], .since = p->o.frozen[1],
    .compares = p->o.compares, .verify = p->o.verify,
    .unfinished = p->s->unfinished, .since_id = p->o.since,
    .target = p->target,
    .outages = outages, .opaque = r,
  };
  int ret;

  if (r == NULL)
    return -1;
  o.dest = remote_bdev (r);
  ret = push_run (job, &o);
  if (ret == -1)
    explain (job, p->s->arena, r, "destination", errno);
  /* If it lost its name during the push, the listener's call came too early. */
  if (o.since_id &&
      !registry_each (p->s->registry, NULL, has_id, &o.since_id))
    unfinished_forget (p->s->unfinished, o.since_id);
  remote_close (r);
  return ret;
}

static void
free_push (void *opaque)
{
  struct push_job *p = opaque;
  unsigned i;

  for (i = 0; i < 2; i++)
    if (p->o.frozen[i])
      disk_free (p->o.frozen[i]);
  free (p->uri);
  free (p->target);
  free (p);
}

uint64_t
push_job_start (struct service *s, const struct push_job_options *options)
{
  struct push_job *p = calloc (1, sizeof *p);
  struct job_options o = {
    .kind = "push", .disk = options->name, .target = options->target,
    .rate_limit = options->rate, .run = run_push, .free = free_push,
    .opaque = p,
  };

  if (p == NULL) {
    disk_free (options->frozen[0]);
    if (options->frozen[1])
      disk_free (options->frozen[1]);
    errno = ENOMEM;
    return 0;
  }
  *p = (struct push_job) {
    .s = s, .o = *options, .uri = strdup (options->uri),
    .target = strdup (options->target),
  };
  if (p->uri && p->target)
    return jobs_start (s->jobs, &o);
  free_push (p);
  errno = ENOMEM;
  return 0;
}

/* ----------------------------------------------------------------- pull */

struct pull_job {
  struct service *s;
  struct pull_options o;
  char *name, *uri;
};

/* An empty disk for what is there.  NULL: after job_fail, or with errno. */
static struct disk *
new_disk (struct job *job, const struct pull_job *p, const struct bdev *source)
{
  uint64_t size = source->info.size;
  uint64_t most = registry_options (p->s->registry)->max_size;
  struct disk *disk;

  if (size > most) {
    job_fail (job, "the source has %" PRIu64 " bytes: expected at most "
              "max-size=%" PRIu64, size, most);
    return NULL;
  }
  if (size % p->o.sector_size) {
    job_fail (job, "the source has %" PRIu64 " bytes: expected a multiple of "
              "the sector size, %" PRIu32, size, p->o.sector_size);
    return NULL;
  }
  disk = disk_new (p->s->arena, size, p->o.sector_size);
  if (disk)
    disk_set (disk, false, p->o.quota);
  return disk;
}

static int
name_disk (struct job *job, const struct pull_job *p, struct disk *disk)
{
  const struct disk_options options = {
    .size = disk_size (disk), .sector_size = p->o.sector_size,
    .readonly = p->o.readonly, .quota = p->o.quota, .if_open = p->o.if_open,
  };
  char shown[PRINTABLE_STRING];

  if (registry_add (p->s->registry, p->name, disk, &options, p->o.if_exists,
                    NULL) == 0)
    return 0;
  if (errno == EEXIST)
    job_fail (job, "name: there is a disk \"%s\" already",
              printable_name (p->name, shown));
  if (errno == EBUSY)
    job_fail (job, "name: clients have the disk \"%s\" open",
              printable_name (p->name, shown));
  if (errno == ENFILE)
    job_fail (job, "name: no room for the disk \"%s\": there are max-disks=%zu "
              "disks already", printable_name (p->name, shown),
              registry_options (p->s->registry)->max_disks);
  return -1;
}

static int
run_pull (struct job *job, void *opaque)
{
  struct pull_job *p = opaque;
  struct job_host host;
  struct remote *r = open_remote (job, p->s, p->uri, REMOTE_READ_TIMEOUT,
                                  &host);
  struct disk *disk;
  int ret = -1;

  if (r == NULL)
    return -1;
  disk = new_disk (job, p, remote_bdev (r));
  if (disk)
    ret = pull_run (job, remote_bdev (r), disk);
  if (ret == 0)
    ret = name_disk (job, p, disk);
  else if (disk) {
    int err = errno;

    disk_free (disk);
    errno = err;
  }
  if (ret == -1)
    explain (job, p->s->arena, r, "source", errno);
  remote_close (r);
  return ret;
}

static void
free_pull (void *opaque)
{
  struct pull_job *p = opaque;

  saves_reap (p->s->saves);     /* what was replaced */
  free (p->name);
  free (p->uri);
  free (p);
}

uint64_t
pull_job_start (struct service *s, const struct pull_options *options)
{
  struct pull_job *p = calloc (1, sizeof *p);
  struct job_options o = {
    .kind = "pull", .disk = options->name, .target = options->uri,
    .rate_limit = options->rate, .run = run_pull, .free = free_pull,
    .opaque = p,
  };

  if (p == NULL)
    return 0;
  *p = (struct pull_job) {
    .s = s, .o = *options, .name = strdup (options->name),
    .uri = strdup (options->uri),
  };
  if (p->name && p->uri)
    return jobs_start (s->jobs, &o);
  free_pull (p);
  errno = ENOMEM;
  return 0;
}
