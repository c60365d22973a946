/* SPDX-License-Identifier: BSD-3-Clause */
/* The filter's parameters, all of which begin with mnbd: its own, its engines',
 * and the upstream's, which the plugin has, too
 * (plugins/common/upstream-parameters.h).
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.  The functions report with nbdkit_error, in one line that names
 * the key, the value and what was expected.
 */

#ifndef MNBD_FILTER_PARAMETERS_H
#define MNBD_FILTER_PARAMETERS_H

#include <stdbool.h>

#include <sys/types.h>

#include "bdev/engine.h"

struct filter_config {
  const char *mode;             /* forward, or the engine's */
  const struct engine *engine;  /* NULL: forward */
  const char *exports;          /* exports that the mode concerns: a glob */
  char *control;                /* absolute path of the socket, or NULL */
  mode_t control_mode;
  gid_t control_group;
  bool has_control_group;
};

extern struct filter_config filter_config;

/* For .config_help. */
extern const char filter_config_help[];

/* Is this parameter the filter's? */
bool filter_config_is_ours (const char *key);

/* Set one parameter.  nbdkit owns value, which lives as long as the process.
 * Returns 0 or -1.
 */
int filter_config_set (const char *key, const char *value);

/* A parameter is passed on to the plugin.  Returns 0 or -1. */
int filter_config_passed_on (const char *key, const char *value);

/* Called after the last parameter: check dependencies between parameters.
 * Returns 0 or -1.
 */
int filter_config_finish (void);

/* Does the mode concern this export? */
bool filter_config_concerns (const char *export_name);

/* Can the glob match only itself? */
bool filter_config_is_plain (void);

#endif /* MNBD_FILTER_PARAMETERS_H */
