/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes the place of nbdkit for a plugin: passes any parameters to it, and
 * checks its messages.
 *
 * An input has a line KEY=VALUE for each parameter.  As in nbdkit, only keys
 * are passed on that begin with a letter and continue with letters, digits,
 * ".", "_" and "-".
 */

#ifndef TESTS_COMMAND_LINE_H
#define TESTS_COMMAND_LINE_H

#include <stdbool.h>

/* Try one input, and forget it: each fuzzer has this.  The text may be cut up;
 * it stays until then.
 */
void try_command_line (char *text);

/* Set the parameters in the text, until one is refused.  set returns 0 or -1.
 * Returns whether all were accepted.
 */
bool command_line_set (char *text, int (*set) (const char *key,
                                               const char *value));

/* Abort unless the messages since the last call fit the result: none with 0;
 * one with -1, which is one escaped line, says what was expected, and has the
 * key (NULL: any).  Returns r == 0.
 */
bool command_line_accepted (int r, const char *key);

/* Abort with the text unless `what` is true. */
void require (bool what, const char *text);

#endif /* TESTS_COMMAND_LINE_H */
