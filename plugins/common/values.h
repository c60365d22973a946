/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of parameters that the plugins and the filter parse in the same way.
 *
 * Functions that return int return 0; or -1 after they have reported the error
 * with nbdkit_error, in one line with the key, the value and what was expected.
 * *r is then unchanged.
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.
 */

#ifndef MBLOCK_VALUES_H
#define MBLOCK_VALUES_H

#include <stdbool.h>

/* Report a bad value: "KEY=VALUE: expected …".  Returns -1. */
int value_bad (const char *key, const char *value, const char *expected, ...)
  __attribute__ ((format (printf, 3, 4)));

/* A boolean, in the words that nbdkit accepts. expected: the two that the
 * manual uses, such as "yes or no".
 */
int value_bool (const char *key, const char *value, const char *expected,
                bool *r);

/* A path that is not empty, made absolute.  *r is freed before it is replaced;
 * the caller frees it finally. expected: such as "the path of a file".
 */
int value_path (const char *key, const char *value, const char *expected,
                char **r);

#endif /* MBLOCK_VALUES_H */
