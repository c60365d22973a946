/* SPDX-License-Identifier: BSD-3-Clause */
/* The filter's parameters. */

#include <config.h>

#include <fnmatch.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "filter-parameters.h"
#include "parameters.h"
#include "printable.h"
#include "unix-socket.h"

#define DEFAULT_CONTROL_MODE 0600

static const struct engine *const engines[] = {
  &mirror_engine,
  &cache_engine,
  NULL
};

const struct config_names config_names = { .prefix = "mnbd-", .uri = "mnbd" };

struct filter_config filter_config = { .control_mode = DEFAULT_CONTROL_MODE };

/* The last parameter that only this engine knows, until the mode is known. */
static struct {
  const char *key, *value;
} of_engine[sizeof engines / sizeof engines[0]];
static const char *control_mode_given;

/* What a plugin beneath that forwards, too, was told. */
static struct {
  const char *uri, *socket, *hostname, *port, *export_name;
  const char *dir_key, *dir;    /* of nbdkit's file plugin */
} plugin;

const char filter_config_help[] =
  "mnbd=<URI>                URI of the upstream NBD server (may be repeated:\n"
  "                          a list of servers for failover).\n"
  "mnbd-mode=<MODE>          forward, mirror or cache.\n"
  "mnbd-exports=<GLOB>       The exports that the mode concerns, one pattern\n"
  "                          (default: * in forward, else the default one).\n"
  "mnbd-control=<SOCKET>     Serve the control protocol on this Unix socket.\n"
  "mnbd-control-mode=<OCTAL> The socket's mode (default: 600).\n"
  "mnbd-rate=<SIZE>          mirror: copy at most so much a second (default:\n"
  "                          no limit).\n"
  "mnbd-on-error=<WORD>      mirror: without the secondary clients' writes\n"
  "                          continue (the default) or fail.\n"
  "mnbd-start=<BOOL>         mirror: begin at once (the default), or when told\n"
  "                          to on the control socket.\n"
  "mnbd-cache=<WORD>         cache: writethrough (the default) or writeback.\n"
  "mnbd-cache-max=<SIZE>     cache: what is kept at most, from 1M (default:\n"
  "                          what the plugin takes).\n"
  "mnbd-cache-dirty-max=<SIZE>\n"
  "                          cache: what may wait to be written back, from 1M\n"
  "                          to half of mnbd-cache-max (default: 64M, at most\n"
  "                          a quarter of mnbd-cache-max).\n"
  "mnbd-cache-dirty-age=<SECONDS>\n"
  "                          cache: how long it may wait, from 1 to 86400\n"
  "                          (default: 5).\n"
  "mnbd-<KEY>=<VALUE>        Each parameter of nbdkit-mnbd-plugin(1), for the\n"
  "                          upstream, such as mnbd-reconnect=<TIME>.";

static int
bad (const char *key, const char *value, const char *expected)
{
  char shown[PRINTABLE_STRING];

  nbdkit_error ("%s=%s: expected %s", key, printable (value, shown), expected);
  return -1;
}

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
  return bad (key, value, modes ());
}

static int
set_control (const char *key, const char *value)
{
  char shown[PRINTABLE_STRING], *path;

  if (*value == '\0')
    return bad (key, value, "the path of a socket");
  path = nbdkit_absolute_path (value);
  if (path == NULL)
    return -1;
  if (strlen (path) > unix_socket_max_path ()) {
    nbdkit_error ("%s=%s: expected a path of at most %zu bytes; as an "
                  "absolute path this one has %zu", key,
                  printable (value, shown), unix_socket_max_path (),
                  strlen (path));
    free (path);
    return -1;
  }
  free (filter_config.control);
  filter_config.control = path;
  return 0;
}

static int
set_control_mode (const char *key, const char *value)
{
  char *end;
  unsigned long mode = strtoul (value, &end, 8);

  if (*value < '0' || *value > '7' || *end || mode > 0777)
    return bad (key, value, "an octal number from 0 to 777");
  filter_config.control_mode = mode;
  control_mode_given = value;
  return 0;
}

/* The end of the bracket expression that begins at p, or NULL. */
static const char *
bracket_end (const char *p)
{
  const char *first = p + 1 + (p[1] == '!' || p[1] == '^'), *q;

  for (q = first; *q; q++) {
    if (*q == ']' && q > first)
      return q;
    if (*q == '[' && q[1] && strchr (":.=", q[1])) {
      const char end[] = { q[1], ']', '\0' }, *e = strstr (q + 2, end);

      if (e)
        q = e + 1;
    }
    else if (*q == '\\' && q[1])
      q++;
  }
  return NULL;
}

/* fnmatch(3) takes a bracket that nothing closes for itself. */
static int
set_exports (const char *key, const char *value)
{
  const char *p;

  for (p = value; *p; p++) {
    if (*p == '[' && (p = bracket_end (p)) == NULL)
      return bad (key, value, "a ] after the [");
    if (*p == '\\' && *++p == '\0')
      return bad (key, value, "a character after the last \\");
  }
  filter_config.exports = value;
  return 0;
}

/* A parameter of an engine.  Returns 1 if none knows it. */
static int
set_of_engine (const char *key, const char *value)
{
  size_t i;
  int r;

  for (i = 0; engines[i]; i++) {
    r = engines[i]->config (key + strlen (config_names.prefix), value);
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
                "exports, control, control-mode, %s%s",
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

int
filter_config_set (const char *key, const char *value)
{
  int r;

  if (strcmp (key, "mnbd-mode") == 0)
    return set_mode (key, value);
  if (strcmp (key, "mnbd-exports") == 0)
    return set_exports (key, value);
  if (strcmp (key, "mnbd-control") == 0)
    return set_control (key, value);
  if (strcmp (key, "mnbd-control-mode") == 0)
    return set_control_mode (key, value);
  r = config_set (key, value);
  if (r == 1)
    r = set_of_engine (key, value);
  return r == 1 ? unknown (key, value) : r;
}

void
filter_config_passed_on (const char *key, const char *value)
{
  if (strcmp (key, "uri") == 0)
    plugin.uri = value;
  else if (strcmp (key, "socket") == 0)
    plugin.socket = nbdkit_absolute_path (value);
  else if (strcmp (key, "hostname") == 0)
    plugin.hostname = value;
  else if (strcmp (key, "port") == 0)
    plugin.port = value;
  else if (strcmp (key, "export") == 0)
    plugin.export_name = value;
  else if (strcmp (key, "dir") == 0 || strcmp (key, "directory") == 0) {
    plugin.dir_key = key;
    plugin.dir = value;
  }
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
is_plugins_own (const struct upstream_target *t)
{
  bool same_export = same (plugin.export_name, config.export_name, "");

  switch (t->kind) {
  case UPSTREAM_URI:
    return same (plugin.uri, t->name, NULL) && same_export;
  case UPSTREAM_UNIX:
    return same (plugin.socket, t->name, NULL) && same_export;
  case UPSTREAM_TCP:
    return same (plugin.hostname, t->name, NULL) &&
      same (plugin.port, t->port, DEFAULT_PORT) && same_export;
  default:
    return false;
  }
}

/* A pair whose two sides are the same disk would destroy it: what is evicted
 * from a cache is trimmed.  Other ways to come to the same disk are not found.
 */
static int
check_two_disks (void)
{
  size_t i;

  for (i = 0; filter_config.engine && i < config.o.ntargets; i++)
    if (is_plugins_own (&config.o.target[i])) {
      nbdkit_error ("mnbd-mode=%s: the plugin's upstream and the filter's are "
                    "the same, %s: expected two disks", filter_config.mode,
                    config.o.target[i].name);
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

/* With a folder nbdkit's file plugin asks which export it is to open.  nbdkit
 * 1.32 knows none for the context that a pair opens, and the plugin crashes.
 */
static int
check_file_plugin (void)
{
  char shown[PRINTABLE_STRING];

  if (filter_config.engine == NULL || plugin.dir == NULL ||
      dl_iterate_phdr (is_file_plugin, NULL) == 0)
    return 0;
  nbdkit_error ("mnbd-mode=%s: %s=%s: expected file=, since nbdkit does not "
                "tell the file plugin which export the filter opens",
                filter_config.mode, plugin.dir_key,
                printable (plugin.dir, shown));
  return -1;
}

bool
filter_config_is_plain (void)
{
  return strpbrk (filter_config.exports, "*?[\\") == NULL;
}

static int
check_exports (void)
{
  const char *given = filter_config.exports;

  if (given == NULL)
    filter_config.exports = filter_config.engine ? "" : "*";
  /* One export of the upstream under many names may do no harm if it is only
   * forwarded, but it must be what the user wants.
   */
  if (!config.dynamic_export && !filter_config_is_plain () &&
      strcmp (filter_config.exports, filter_config.engine ? "" : "*") != 0)
    return bad ("mnbd-exports", given, filter_config.engine
                ? "the name of one export, or mnbd-dynamic-export=true with it"
                : "the name of one export, or *, or "
                "mnbd-dynamic-export=true with it");
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
      nbdkit_error ("%s=%s: expected mnbd-mode=%s with it", of_engine[i].key,
                    printable (of_engine[i].value, shown), engines[i]->mode);
      return -1;
    }
  if (control_mode_given && filter_config.control == NULL)
    return bad ("mnbd-control-mode", control_mode_given,
                "mnbd-control= with it");
  if (config_finish () == -1 ||
      (engine && engine->config_finish && engine->config_finish () == -1))
    return -1;
  if (engine && config.shared) {
    /* A pair keeps one connection anyway, and makes others. */
    config.shared = false;
  }
  if (check_two_disks () == -1 || check_file_plugin () == -1)
    return -1;
  return check_exports ();
}

bool
filter_config_concerns (const char *export_name)
{
  return fnmatch (filter_config.exports, export_name, 0) == 0;
}
