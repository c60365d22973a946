/* SPDX-License-Identifier: BSD-3-Clause */
/* How a command ends: with a message, or with all of its output written. */

#ifndef MBLOCKCTL_COMPLAIN_H
#define MBLOCKCTL_COMPLAIN_H

#include <jansson.h>

/* One line on stderr: "mblockctl: COMMAND: …". */
void complain (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

/* With --json: print {"error": …} to stdout, for programs that read only that.
 * Takes over the error.
 */
void print_json_error (json_t *error);

/* Complain and exit. */
void fail (int status, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3), noreturn));

/* Print a result in the format of --json: indented on a terminal, or always in
 * one line.
 */
void print_json (const json_t *value);
void print_json_line (const json_t *value);

/* Make sure that all output has been written; complain if not.  Returns the
 * exit code.
 */
int finish_output (int status);

#endif /* MBLOCKCTL_COMPLAIN_H */
