/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters of the plugin and of the filter's upstream: those of
 * nbdkit-nbd-plugin, with the same meaning, and our own.
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.  The functions report with nbdkit_error, in one line that names
 * the key, the value and what was expected.
 */

#ifndef MNBD_PARAMETERS_H
#define MNBD_PARAMETERS_H

#include <stdbool.h>

#include "pool.h"

#define DEFAULT_CONNECTIONS 4
#define DEFAULT_RECONNECT 60            /* seconds */
#define DEFAULT_CONNECT_TIMEOUT 10      /* seconds */
#define DEFAULT_REPLAY_BUFFER (UINT64_C (64) << 20)
#define LEAST_REPLAY_BUFFER (UINT64_C (64) << 10)
#define MOST_REPLAY_BUFFER (UINT64_C (1) << 36)
#define DEFAULT_PORT "10809"

struct config {
  struct pool_options o;        /* but for the export's name */
  const char *export_name;      /* of the server; NULL: the client's */
  bool dynamic_export;
  bool shared;
};

extern struct config config;

/* What users call the parameters; the plugin and the filter define it. */
struct config_names {
  const char *prefix;           /* of all of them */
  const char *uri;              /* the URI, which need not have it */
};
extern const struct config_names config_names;

/* For .config_help: a line for each parameter. */
extern const char config_help[];

/* For a message: the parameters without the prefix, with commas. */
extern const char config_keys[];

/* Set one parameter; value stays nbdkit's and lives as long as the process.
 * Returns 0 or -1; or 1 if there is none of that name.
 */
int config_set (const char *key, const char *value);

/* All parameters are given: fill in defaults and check what depends on each
 * other.  Returns 0 or -1.
 */
int config_finish (void);

#endif /* MNBD_PARAMETERS_H */
