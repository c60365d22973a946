/* SPDX-License-Identifier: BSD-3-Clause */
/* The command push: copies a disk to another NBD server, or into a file. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image-server.h"
#include "job.h"
#include "mblockctl.h"
#include "rpc.h"
#include "text.h"

static uint64_t
size_of (const char *name)
{
  json_auto_t *stats = rpc_call ("stats", json_pack ("{s:s}", "name", name));

  return need_size (json_array_get (need_array (stats, "disks"), 0), "size");
}

/* Serve a file, which is created if it does not exist. */
static const char *
serve_file (const char *name, const char *path)
{
  const char *format = option ("format");

  if (*path == '\0')
    fail (USAGE, "DEST: expected a file or the URI of an NBD export");
  if (access (path, F_OK) == -1 && errno == ENOENT) {
    if (flag ("since")) {
      char *shown = text_name (path);

      fail (REFUSED, "%s: there is no such file: expected one with the content "
            "of the snapshot --since", shown);
    }
    if (format == NULL)
      format = "raw";
    image_create (path, format, size_of (name));
  }
  else if (format == NULL)
    format = image_format (path);
  return image_server_start (path, format, IMAGE_WRITE);
}

static int
finish (const char *name, const char *dest, json_t *job)
{
  char *shown, *sent;
  bool done = image_server_job_is_done (job);

  if (settings.json)
    print_json (job);
  else if (done && !settings.quiet) {
    shown = text_name (name);
    sent = text_size (need_size (job, "bytes_sent"));
    printf ("pushed %s to %s: %s of data\n", shown, dest, sent);
    free (shown);
    free (sent);
  }
  json_decref (job);
  return done ? DONE : REFUSED;
}

static int
run_push (int argc, char **argv)
{
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  char *dest = text_line (argv[1]);
  bool file = !image_is_uri (argv[1]);
  CLEANUP_FREE char *absolute = NULL;
  json_t *job;
  int status;

  (void) argc;
  if (flag ("format") && !file)
    fail (USAGE, "--format: expected a file as DEST, not a URI");
  if (flag ("detach") && file)
    fail (USAGE, "--detach: expected a URI as DEST: a file is served by this "
          "command");
  if (flag ("since"))
    json_object_set_new (params, "since",
                         argument_name ("--since", option ("since")));
  if (flag ("verify"))
    json_object_set_new (params, "verify", json_true ());
  if (flag ("rate"))
    json_object_set_new (params, "rate", json_integer (
                           argument_size ("--rate", option ("rate"))));
  job_begin ();
  if (file) {
    json_object_set_new (params, "uri",
                         json_string (serve_file (argv[0], argv[1])));
    /* The socket has another name each time.  A name that is not UTF-8 is no
     * JSON string; then it is not given.
     */
    absolute = realpath (argv[1], NULL);
    if (absolute)
      json_object_set_new (params, "target", json_string (absolute));
  }
  else
    json_object_set_new (params, "uri", argument_name ("DEST", argv[1]));
  job = rpc_call ("disk_push", params);
  if (flag ("detach")) {
    if (settings.json)
      print_json (job);
    else if (!settings.quiet)
      printf ("job %" PRIu64 "\n", need_size (job, "job"));
    json_decref (job);
    status = DONE;
  }
  else
    status = finish (argv[0], dest, job_follow (job));
  image_server_stop ();
  if (status == DONE)
    image_keep ();
  free (dest);
  return status;
}

static const struct option_def push_options[] = {
  { 0, "since", "SNAPSHOT",
    "send only what has changed since; DEST has its content" },
  { 0, "verify", NULL, "read DEST back and compare it" },
  { 0, "rate", "SIZE", "send at most that much data per second" },
  { 0, "format", "FORMAT", "the file's format: raw, qcow2, ... (default: as\n"
    "the file says; raw for a new one)" },
  { 'd', "detach", NULL, "start the job and do not wait for it" },
  { 0 }
};

const struct command command_push = {
  "push", "NAME DEST", "send a disk to another NBD server or into a file",
  "DEST gets the content that NAME has at this instant.  DEST is the URI of\n"
  "an NBD export, or a local file, which is created if it does not exist.\n"
  "With --since, DEST must have the content of SNAPSHOT.  Interrupting the\n"
  "command cancels the push; the same command then does the rest, even if NAME\n"
  "has changed.  After the server was started anew, leave out --since.\n"
  "\n"
  "Examples:\n"
  "  mblockctl push vm-1 nbd://backup/vm-1 --verify\n"
  "  mblockctl push vm-1 vm-1.qcow2 --format qcow2\n"
  "  mblockctl push vm-1 nbd://backup/vm-1 --since monday --rate 100M\n",
  push_options, 2, 2, run_push
};
