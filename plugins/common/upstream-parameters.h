/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters of the plugin and of the filter's upstream:
 * nbdkit-nbd-plugin's parameters, with the same meaning, and our own.
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.  The functions report with nbdkit_error, in one line that names
 * the key, the value and what was expected.
 */

#ifndef MNBD_PARAMETERS_H
#define MNBD_PARAMETERS_H

#include <stdbool.h>

#include "nbd/pool.h"

#define DEFAULT_CONNECTIONS 4
#define DEFAULT_RECONNECT 60            /* seconds */
#define DEFAULT_CONNECT_TIMEOUT 10      /* seconds */
#define DEFAULT_REPLAY_BUFFER (UINT64_C (64) << 20)
#define LEAST_REPLAY_BUFFER (UINT64_C (64) << 10)
#define MOST_REPLAY_BUFFER (UINT64_C (1) << 36)
#define DEFAULT_PORT "10809"

struct config {
  struct pool_options o;        /* all options except the export's name */
  const char *export_name;      /* of the server; NULL: the client's */
  bool dynamic_export;
  bool shared;
};

extern struct config config;

/* What users call the parameters.  Defined by the plugin and by the filter. */
struct config_names {
  const char *prefix;           /* of all of them */
  const char *uri;              /* the URI, which need not have it */
};
extern const struct config_names config_names;

/* For .config_help: a line for each parameter. */
extern const char config_help[];

/* For a message: the parameters without the prefix, separated by commas. */
extern const char config_keys[];

/* Set one parameter.  nbdkit owns value, which lives as long as the process.
 * Returns 0 or -1; or 1 if no parameter has that name.
 */
int config_set (const char *key, const char *value);

/* The URI with the absolute path of its Unix socket, because nbdkit changes to
 * another folder.  Returns NULL with errno if there is no memory.
 */
char *config_absolute_uri (const char *value);

/* Parse a time in seconds, optionally with decimals, or in milliseconds.  The
 * result is in ns: at most 10^6 s, and at least 1 ms unless zero is allowed.
 * Returns 0 or -1.
 */
int config_time (const char *key, const char *value, bool zero, int64_t *ns);

/* Note that a parameter was set; config_set does this for its own.  Returns 0;
 * or -1 if the parameter already had another value, unless its name, without
 * the prefix, is in last_counts, a list that ends with NULL.
 */
int config_given (const char *key, const char *value,
                  const char *const last_counts[]);

/* Call this after the last parameter: it fills in defaults and checks
 * dependencies between parameters.  Returns 0 or -1.
 */
int config_finish (void);

#endif /* MNBD_PARAMETERS_H */
