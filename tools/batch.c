/* SPDX-License-Identifier: BSD-3-Clause */
/* A command that does the same to several disks. */

#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "complain.h"
#include "progress.h"
#include "rpc.h"
#include "settings.h"
#include "text.h"

/* For more disks than this, print a summary instead of a line for each. */
#define MOST_LINES 20

void
say (const char *done, const char *name, const char *more)
{
  char *shown;

  if (settings.quiet || settings.json)
    return;
  shown = text_name (name);
  printf ("%s %s%s\n", done, shown, more);
  free (shown);
}

static void
start_progress (const struct batch *b)
{
  if (b->total > 1)
    progress_start (b->doing, b->total, "disks");
}

void
batch_begin (struct batch *b, const char *doing, const char *done,
             size_t total)
{
  *b = (struct batch) {
    .doing = doing, .done = done, .results = json_array (), .total = total,
    .start = client_now (), .status = DONE
  };
  start_progress (b);
}

static bool
is_terse (const struct batch *b)
{
  return b->total > MOST_LINES && !settings.verbose;
}

void
batch_skip (struct batch *b)
{
  double seconds = (client_now () - b->start) / 1e3;

  b->at++;
  if (seconds >= 1) {
    char *left = text_duration (seconds * (b->total - b->at) / b->at);
    char *rate = text_count (b->at / seconds);
    char *to_go = text_format ("%s/s, to go %s", rate, left);

    progress_detail (to_go);
    free (to_go);
    free (rate);
    free (left);
  }
  progress_at (b->at);
}

void
batch_done (struct batch *b, const char *name, json_t *result,
            const char *done, const char *more)
{
  json_array_append_new (b->results, result);
  b->changed++;
  if (!is_terse (b))
    say (done ? done : b->done, name, more ? more : "");
  batch_skip (b);
}

void
batch_result (struct batch *b, json_t *result)
{
  json_array_append_new (b->results, result);
  b->changed++;
  b->printed = true;
  batch_skip (b);
}

void
batch_failures (struct batch *b, json_t *failures)
{
  json_array_extend (b->results, failures);
  if (json_array_size (failures) > 0)
    b->status = REFUSED;
}

void
batch_would (struct batch *b, const char *name, json_t *result)
{
  json_object_set_new (result, "dry_run", json_true ());
  json_array_append_new (b->results, result);
  if (!settings.quiet && !settings.json) {
    char *shown = text_name (name);

    printf ("would %s %s\n", b->doing, shown);
    free (shown);
  }
  b->changed++;
  b->would = true;
  batch_skip (b);
}

void
batch_refused (struct batch *b, const char *name)
{
  rpc_complain ();
  json_array_append_new (b->results, json_pack ("{s:s, s:o}", "name", name,
                                                "error", rpc_error ()));
  b->status = REFUSED;
  start_progress (b);
  batch_skip (b);
}

int
batch_end (struct batch *b)
{
  progress_end ();
  if (settings.json)
    print_json (b->results);
  else if (is_terse (b) && !b->printed && !settings.quiet)
    printf ("%s%s %zu of %zu disks\n", b->would ? "would " : "",
            b->would ? b->doing : b->done, b->changed, b->total);
  json_decref (b->results);
  return b->status;
}
