/* SPDX-License-Identifier: BSD-3-Clause */
/* The filter's parameters. */

#include <config.h>

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/pattern.h"
#include "base/printable.h"
#include "engines.h"
#include "filter-parameters.h"
#include "nbd/pool.h"
#include "plugins/common/control-socket.h"
#include "plugins/common/upstream-parameters.h"
#include "plugins/common/values.h"

#define DEFAULT_CONTROL_MODE 0600

static const struct engine *const engines[] = {
  &mirror_engine,
  &cache_engine,
  NULL
};

const struct config_names config_names = { .prefix = "mnbd-", .uri = "mnbd" };

struct filter_config filter_config = { .control_mode = DEFAULT_CONTROL_MODE };

/* For each engine the last parameter that only it knows, kept until the mode is
 * known.
 */
static struct {
  const char *key, *value;
} of_engine[sizeof engines / sizeof engines[0]];
static const char *control_mode_given, *control_group_given;

/* Parameters given to a plugin beneath that forwards, too. */
static struct {
  char **uri;                   /* mnbd takes a list */
  size_t nuris;
  const char *socket, *hostname, *vsock, *socket_fd, *port, *export_name;
  const char *dir_key, *dir;    /* of nbdkit's file plugin */
} plugin;

const char filter_config_help[] =
  "mnbd=<URI>                URI of the upstream NBD server.  Repeat it to list\n"
  "                          servers for failover, tried in order.\n"
  "mnbd-mode=<MODE>          forward, mirror or cache (required).\n"
  "mnbd-exports=<GLOB>       Exports that the mode applies to, as one pattern\n"
  "                          (default: * for forward, else the empty name).\n"
  "mnbd-control=<SOCKET>     Serve the control protocol on this Unix socket.\n"
  "mnbd-control-mode=<OCTAL> Mode of the control socket (default: 600).\n"
  "mnbd-control-group=<GROUP>\n"
  "                          Group of the control socket; makes the mode 660.\n"
  "mnbd-rate=<SIZE>          mirror: copy at most SIZE bytes per second\n"
  "                          (default: no limit).\n"
  "mnbd-on-error=<WORD>      mirror: when the secondary is lost, clients'\n"
  "                          writes continue (the default) or fail.\n"
  "mnbd-max-stall=<TIME>     mirror: longest wait of a client for the secondary,\n"
  "                          in seconds; 0: no limit (default: 5).\n"
  "mnbd-start=<BOOL>         mirror: begin when nbdkit starts (the default),\n"
  "                          or when told to on the control socket.\n"
  "mnbd-cache=<WORD>         cache: writethrough (the default) or writeback.\n"
  "mnbd-cache-max=<SIZE>     cache: maximum amount of cached data, at least 1M\n"
  "                          (default: as much as the plugin accepts).\n"
  "mnbd-cache-dirty-max=<SIZE>\n"
  "                          cache: maximum amount of data that waits to be\n"
  "                          written back, from 1M to half of mnbd-cache-max\n"
  "                          (default: 64M, at most a quarter of\n"
  "                          mnbd-cache-max).\n"
  "mnbd-cache-dirty-age=<SECONDS>\n"
  "                          cache: when to write back without a flush, from\n"
  "                          1 to 86400 seconds (default: 5).\n"
  "mnbd-<KEY>=<VALUE>        Any parameter of nbdkit-mnbd-plugin(1), for the\n"
  "                          upstream, such as mnbd-reconnect=<TIME>.";

/* "forward, mirror or cache" */
static const char *
modes (void)
{
  static char text[256];
  int n = snprintf (text, sizeof text, "forward");
  size_t i;

  for (i = 0; engines[i]; i++)
    n += snprintf (text + n, sizeof text - n, "%s%s",
                   engines[i + 1] ? ", " : " or ", engines[i]->mode);
  return text;
}

static int
set_mode (const char *key, const char *value)
{
  size_t i;

  filter_config.engine = NULL;
  filter_config.mode = value;
  if (strcmp (value, "forward") == 0)
    return 0;
  for (i = 0; engines[i]; i++)
    if (strcmp (value, engines[i]->mode) == 0) {
      filter_config.engine = engines[i];
      return 0;
    }
  return value_bad (key, value, "%s", modes ());
}

static int
set_exports (const char *key, const char *value)
{
  const char *expected = pattern_check (value);

  if (expected)
    return value_bad (key, value, "%s", expected);
  filter_config.exports = value;
  return 0;
}

/* Set an engine's parameter.  Returns 1 if no engine knows it. */
static int
set_of_engine (const char *key, const char *value)
{
  size_t i;
  int r;

  for (i = 0; engines[i]; i++) {
    r = engines[i]->config (key, value);
    if (r == 1)
      continue;
    of_engine[i].key = key;
    of_engine[i].value = value;
    return r;
  }
  return 1;
}

static int
unknown (const char *key, const char *value)
{
  char shown[PRINTABLE_STRING], shown_key[PRINTABLE_STRING];
  char keys[256] = "";
  size_t i, n = 0;

  for (i = 0; engines[i]; i++)
    n += snprintf (keys + n, sizeof keys - n, "%s, ", engines[i]->keys);
  nbdkit_error ("unknown parameter %s=%s: expected mnbd, or mnbd- with mode, "
                "exports, control, control-mode, control-group, %s%s",
                printable (key, shown_key), printable (value, shown), keys,
                config_keys);
  return -1;
}

bool
filter_config_is_ours (const char *key)
{
  return strcmp (key, config_names.uri) == 0 ||
    strncmp (key, config_names.prefix, strlen (config_names.prefix)) == 0;
}

static int
set (const char *key, const char *value)
{
  if (strcmp (key, "mnbd-mode") == 0)
    return set_mode (key, value);
  if (strcmp (key, "mnbd-exports") == 0)
    return set_exports (key, value);
  if (strcmp (key, "mnbd-control") == 0)
    return control_socket_path (key, value, &filter_config.control);
  if (strcmp (key, "mnbd-control-mode") == 0) {
    control_mode_given = value;
    return control_socket_mode (key, value, &filter_config.control_mode);
  }
  if (strcmp (key, "mnbd-control-group") == 0) {
    control_group_given = value;
    filter_config.has_control_group = true;
    return control_socket_group (key, value, &filter_config.control_group);
  }
  return set_of_engine (key, value);
}

int
filter_config_set (const char *key, const char *value)
{
  /* As with the plugin's parameters, the last value wins if only speed depends
   * on it.
   */
  static const char *const last_counts[] = {
    "rate", "cache-max", "cache-dirty-max", "cache-dirty-age", NULL
  };
  int r = config_set (key, value);

  if (r != 1)
    return r;
  r = set (key, value);
  if (r == 0)
    r = config_given (key, value, last_counts);
  return r == 1 ? unknown (key, value) : r;
}

static int
add_plugins_uri (const char *value)
{
  char **p = reallocarray (plugin.uri, plugin.nuris + 1, sizeof *p);

  if (p) {
    plugin.uri = p;
    p[plugin.nuris] = config_absolute_uri (value);
  }
  if (p == NULL || p[plugin.nuris] == NULL) {
    nbdkit_error ("uri: %m");
    return -1;
  }
  plugin.nuris++;
  return 0;
}

int
filter_config_passed_on (const char *key, const char *value)
{
  if (strcmp (key, "uri") == 0)
    return add_plugins_uri (value);
  else if (strcmp (key, "socket") == 0)
    plugin.socket = nbdkit_absolute_path (value);
  else if (strcmp (key, "hostname") == 0)
    plugin.hostname = value;
  else if (strcmp (key, "vsock") == 0 || strcmp (key, "cid") == 0)
    plugin.vsock = value;
  else if (strcmp (key, "socket-fd") == 0)
    plugin.socket_fd = value;
  else if (strcmp (key, "port") == 0)
    plugin.port = value;
  else if (strcmp (key, "export") == 0)
    plugin.export_name = value;
  else if (strcmp (key, "dir") == 0 || strcmp (key, "directory") == 0) {
    plugin.dir_key = key;
    plugin.dir = value;
  }
  return 0;
}

static bool
same (const char *a, const char *b, const char *fallback)
{
  if (a == NULL)
    a = fallback;
  if (b == NULL)
    b = fallback;
  return a && b && strcmp (a, b) == 0;
}

static bool
is_number (const char *value, uint32_t n)
{
  return value && strtoull (value, NULL, 0) == n;
}

static bool
is_plugins_own (const struct connection_target *t)
{
  bool same_export = same (plugin.export_name, config.export_name, "");
  size_t i;

  switch (t->kind) {
  case TARGET_URI:
    for (i = 0; i < plugin.nuris; i++)
      if (strcmp (plugin.uri[i], t->name) == 0)
        return true;            /* the export is in it */
    return false;
  case TARGET_UNIX:
    return same (plugin.socket, t->name, NULL) && same_export;
  case TARGET_TCP:
    return same (plugin.hostname, t->name, NULL) &&
      same (plugin.port, t->port, DEFAULT_PORT) && same_export;
  case TARGET_VSOCK:
    return is_number (plugin.vsock, t->cid) &&
      is_number (plugin.port ? plugin.port : DEFAULT_PORT, t->vport) &&
      same_export;
  case TARGET_SOCKET_FD:
    return is_number (plugin.socket_fd, t->fd);
  default:
    return false;
  }
}

/* If an instance's two disks were the same disk, the instance would destroy it:
 * the cache trims what it evicts.  Other ways to reach the same disk are not
 * detected.
 */
static int
check_two_disks (void)
{
  char name[POOL_TARGET_NAME];
  size_t i;

  for (i = 0; filter_config.engine && i < config.o.ntargets; i++)
    if (is_plugins_own (&config.o.target[i])) {
      nbdkit_error ("mnbd-mode=%s: the plugin and the filter use the same "
                    "upstream, %s: expected two different disks",
                    filter_config.mode,
                    pool_target_name (&config.o.target[i], name));
      return -1;
    }
  return 0;
}

static int
is_file_plugin (struct dl_phdr_info *info, size_t size, void *opaque)
{
  const char *slash = info->dlpi_name ? strrchr (info->dlpi_name, '/') : NULL;

  (void) size;
  (void) opaque;
  return slash && strcmp (slash, "/nbdkit-file-plugin.so") == 0;
}

/* When nbdkit's file plugin serves a folder, it asks which export to open.
 * nbdkit 1.32 has no name for the context that an instance opens, and the
 * plugin crashes.
 */
static int
check_file_plugin (void)
{
  char shown[PRINTABLE_STRING];

  if (filter_config.engine == NULL || plugin.dir == NULL ||
      dl_iterate_phdr (is_file_plugin, NULL) == 0)
    return 0;
  nbdkit_error ("mnbd-mode=%s: %s=%s: expected file=, because nbdkit does not "
                "tell the file plugin which export the filter opens",
                filter_config.mode, plugin.dir_key,
                printable (plugin.dir, shown));
  return -1;
}

bool
filter_config_is_plain (void)
{
  return pattern_is_plain (filter_config.exports);
}

static int
check_exports (void)
{
  const char *given = filter_config.exports;

  if (given == NULL)
    filter_config.exports = filter_config.engine ? "" : "*";
  /* Serving one export of the upstream under many names may be harmless if the
   * export is only forwarded, but the user must have asked for it.
   */
  if (!config.dynamic_export && !filter_config_is_plain () &&
      strcmp (filter_config.exports, filter_config.engine ? "" : "*") != 0)
    return value_bad ("mnbd-exports", given, "the name of one export, or "
                      "%smnbd-dynamic-export=true as well",
                      filter_config.engine ? "" : "*, or ");
  return 0;
}

int
filter_config_finish (void)
{
  const struct engine *engine = filter_config.engine;
  char shown[PRINTABLE_STRING];
  size_t i;

  if (filter_config.mode == NULL) {
    nbdkit_error ("mnbd-mode is not given: expected mnbd-mode=%s", modes ());
    return -1;
  }
  for (i = 0; engines[i]; i++)
    if (of_engine[i].key && engines[i] != engine) {
      nbdkit_error ("%s=%s: expected mnbd-mode=%s as well", of_engine[i].key,
                    printable (of_engine[i].value, shown), engines[i]->mode);
      return -1;
    }
  if (control_mode_given && filter_config.control == NULL)
    return value_bad ("mnbd-control-mode", control_mode_given,
                      "mnbd-control= as well");
  if (control_group_given && filter_config.control == NULL)
    return value_bad ("mnbd-control-group", control_group_given,
                      "mnbd-control= as well");
  if (control_group_given && control_mode_given == NULL)
    filter_config.control_mode = 0660;
  if (config_finish () == -1 ||
      (engine && engine->config_finish && engine->config_finish () == -1))
    return -1;
  if (engine && config.shared) {
    /* An instance keeps one connection anyway, and makes the others itself. */
    config.shared = false;
  }
  if (check_two_disks () == -1 || check_file_plugin () == -1)
    return -1;
  return check_exports ();
}

bool
filter_config_concerns (const char *export_name)
{
  return pattern_matches (filter_config.exports, export_name);
}
