/* SPDX-License-Identifier: BSD-3-Clause */
/* The filter's parameters, all of which begin with mnbd: its own, its engines',
 * and those of the upstream, which are the plugin's
 * (plugins/mnbd/parameters.h).
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.  The functions report with nbdkit_error, in one line that names
 * the key, the value and what was expected.
 */

#ifndef MNBD_FILTER_PARAMETERS_H
#define MNBD_FILTER_PARAMETERS_H

#include <stdbool.h>

#include <sys/types.h>

#include "engine.h"

struct filter_config {
  const char *mode;             /* forward, or the engine's */
  const struct engine *engine;  /* NULL: forward */
  const char *exports;          /* which ones the mode concerns: a glob */
  char *control;                /* absolute path of the socket, or NULL */
  mode_t control_mode;
};

extern struct filter_config filter_config;

/* For .config_help. */
extern const char filter_config_help[];

/* Is this parameter the filter's? */
bool filter_config_is_ours (const char *key);

/* Set one parameter; value stays nbdkit's and lives as long as the process.
 * Returns 0 or -1.
 */
int filter_config_set (const char *key, const char *value);

/* A parameter goes on to the plugin. */
void filter_config_passed_on (const char *key, const char *value);

/* All parameters are given: check what depends on each other.  Returns 0 or
 * -1.
 */
int filter_config_finish (void);

/* Does the mode concern this export? */
bool filter_config_concerns (const char *export_name);

/* Can the glob match only itself? */
bool filter_config_is_plain (void);

#endif /* MNBD_FILTER_PARAMETERS_H */
