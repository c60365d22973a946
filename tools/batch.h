/* SPDX-License-Identifier: BSD-3-Clause */
/* A command that does the same to several disks.  It continues after one was
 * refused.  With --json it prints one array with an element for each disk, even
 * for a single disk: the server's result, or {"name", "error"}.
 */

#ifndef MBLOCKCTL_BATCH_H
#define MBLOCKCTL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct batch {
  const char *doing, *done;     /* "destroy", "destroyed" */
  json_t *results;
  size_t total, at, changed;
  int64_t start;                /* ms, of client_now */
  bool printed;                 /* by the caller */
  bool would;                   /* --dry-run: nothing is done */
  int status;
};

void batch_begin (struct batch *b, const char *doing, const char *done,
                  size_t total);

/* One disk is done.  Takes over the result.  done: what happened to it, if
 * batch_begin's word is wrong; more: text to print after the name.
 */
void batch_done (struct batch *b, const char *name, json_t *result,
                 const char *done, const char *more);

/* One disk is done, and the caller has printed it.  Takes over the result. */
void batch_result (struct batch *b, json_t *result);

/* Add the elements for names that select_names did not find. */
void batch_failures (struct batch *b, json_t *failures);

/* With --dry-run the server would do it to this disk.  Takes over the result.
 */
void batch_would (struct batch *b, const char *name, json_t *result);

/* The server refused one disk. */
void batch_refused (struct batch *b, const char *name);

/* Leave one disk out silently. */
void batch_skip (struct batch *b);

/* Returns the exit code. */
int batch_end (struct batch *b);

/* Print "created vm-1", unless --quiet or --json.  The name is made safe to
 * show.
 */
void say (const char *done, const char *name, const char *more);

#endif /* MBLOCKCTL_BATCH_H */
