/* SPDX-License-Identifier: BSD-3-Clause */
/* create --from: a new disk with the content of an image. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "image-server.h"
#include "job.h"
#include "mblockctl.h"
#include "create-from.h"
#include "rpc.h"
#include "text.h"

int
create_from (const char *name, json_t *params, const char *source,
             const char *format)
{
  bool file = !image_is_uri (source), done;
  char *shown = text_name (name), *from = text_line (source), *sent;
  json_t *job;

  if (format && !file)
    fail (USAGE, "--format: expected a file as --from, not a URI");
  job_begin ();
  json_object_set_new (
    params, "uri", file
    ? json_string (image_server_start (source, format ? format
                                       : image_format (source), IMAGE_READ))
    : argument_name ("--from", source));
  job = job_follow (rpc_call ("disk_pull", params));
  done = image_server_job_is_done (job);
  image_server_stop ();
  if (settings.json)
    print_json (job);
  else if (done && !settings.quiet) {
    sent = text_size (need_size (job, "bytes_sent"));
    printf ("created %s from %s: %s of data\n", shown, from, sent);
    free (sent);
  }
  json_decref (job);
  free (shown);
  free (from);
  return done ? DONE : REFUSED;
}
