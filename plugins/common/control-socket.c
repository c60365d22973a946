/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket of the mramdisk plugin and the filter. */

#include <config.h>

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "control-socket.h"
#include "log.h"
#include "rpc/server.h"
#include "rpc/unix-socket.h"
#include "values.h"

int
control_socket_path (const char *key, const char *value, char **r)
{
  char *path = NULL;
  size_t most = unix_socket_max_path ();

  if (value_path (key, value, "the path of a socket", &path) == -1)
    return -1;
  if (strlen (path) > most) {
    value_bad (key, value, "a path of at most %zu bytes: the absolute path has "
               "%zu", most, strlen (path));
    free (path);
    return -1;
  }
  free (*r);
  *r = path;
  return 0;
}

int
control_socket_mode (const char *key, const char *value, mode_t *r)
{
  char *end;
  unsigned long mode = strtoul (value, &end, 8);

  if (*value < '0' || *value > '7' || *end || mode > 0777)
    return value_bad (key, value, "an octal number from 0 to 777");
  *r = mode;
  return 0;
}

int
control_socket_group (const char *key, const char *value, gid_t *r)
{
  const struct group *group = getgrnam (value);
  unsigned long n;
  char *end;

  if (group) {
    *r = group->gr_gid;
    return 0;
  }
  errno = 0;
  n = strtoul (value, &end, 10);
  if (*value < '0' || *value > '9' || *end || errno || n >= (gid_t) -1)
    return value_bad (key, value, "the name or the number of a group");
  *r = n;
  return 0;
}

static void
log_control (void *opaque, enum control_log level, const char *line)
{
  (void) opaque;
  if (level == CONTROL_WARNING)
    log_error_line (line);
  else
    log_debug_line (line);
}

struct control *
control_socket_listen (const char *key, struct control_options *o)
{
  CLEANUP_FREE char *error = NULL;
  char shown[PRINTABLE_STRING];
  struct control *c;

  o->log = log_control;
  c = control_listen (o, &error);
  if (c == NULL)
    nbdkit_error ("%s=%s: %s", key, printable (o->path, shown),
                  error ? error : "out of memory");
  return c;
}

int
control_socket_start (const char *key, const char *path, struct control *c)
{
  char shown[PRINTABLE_STRING];

  if (c == NULL || control_start (c) == 0)
    return 0;
  nbdkit_error ("%s=%s: cannot start a thread: %m", key,
                printable (path, shown));
  return -1;
}
