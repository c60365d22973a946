/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the parameters of mnbd, which say what its upstream is: any command
 * line, without nbdkit.  For libFuzzer; run-fuzz.sh builds it.
 *
 * What must hold of the command line (command-line.h):
 *
 *   - A parameter, or all of them together, is refused with one message, in one
 *     line, with the key and what was expected; what is accepted has none.
 *   - What is accepted can be used: there is a server, and numbers and times
 *     are in the range that the manual says.
 *
 * Nothing is connected to.
 */

#include <config.h>

#include "tests/fuzz/command-line.h"

/* What it notes before it is finished is to be forgotten after each input. */
#include "plugins/common/upstream-parameters.c"

const struct config_names config_names = { .prefix = "", .uri = "uri" };

static struct config at_first;

static void __attribute__ ((constructor))
remember (void)
{
  at_first = config;
}

/* libnbd's version is that of the machine. */
bool
connection_has_tls_hostname (void)
{
  return true;
}

static int
set_one (const char *key, const char *value)
{
  int r = config_set (key, value);

  return r == 1 ? 0 : r;        /* it is another plugin's */
}

static bool
is_time (int64_t ns, int64_t fewest)
{
  return ns >= fewest && ns <= 1000000 * NS_PER_S;
}

static void
check_target (const struct connection_target *t)
{
  switch (t->kind) {
  case TARGET_URI:
  case TARGET_UNIX:
    require (t->name && *t->name, "a URI, or a path");
    break;
  case TARGET_TCP:
    require (t->name && *t->name && t->port && *t->port, "a host and a port");
    break;
  case TARGET_VSOCK:
    break;
  case TARGET_COMMAND:
    require (t->name && *t->name && t->argv[0] == t->name, "a command");
    break;
  case TARGET_SOCKET_FD:
    require (t->fd >= 0, "a socket");
    break;
  }
}

static void
check_config (void)
{
  const struct pool_options *o = &config.o;
  size_t i;

  require (o->ntargets >= 1, "no server");
  for (i = 0; i < o->ntargets; i++)
    check_target (&o->target[i]);
  require (o->connections >= 1 && o->connections <= POOL_MOST_CONNECTIONS,
           "connections");
  require (is_time (o->reconnect, 0), "reconnect");
  require (is_time (o->connect_timeout, NS_PER_MS), "connect-timeout");
  require (is_time (o->request_timeout, 0), "request-timeout");
  require (o->replay_buffer == 0 || (o->replay_buffer >= LEAST_REPLAY_BUFFER &&
                                     o->replay_buffer <= MOST_REPLAY_BUFFER),
           "replay-buffer");
  require (config.dynamic_export ? config.export_name == NULL
           : config.export_name && strlen (config.export_name) <= NBD_MOST_NAME,
           "the export's name");
}

static void
forget (void)
{
  config = at_first;
  while (nuris > 0)
    free (uri[--nuris]);
  free (target);
  free (uri);
  free (command);
  free (sockname);
  free (tls_certificates);
  free (tls_psk);
  free (given);
  target = NULL;
  uri = NULL;
  command = NULL;
  sockname = tls_certificates = tls_psk = NULL;
  hostname = port = cid = NULL;
  given = NULL;
  ntargets = ncommand = ngiven = 0;
  socket_fd = -1;
  witness_given = false;
}

void
try_command_line (char *text)
{
  if (command_line_set (text, set_one) &&
      command_line_accepted (config_finish (), NULL))
    check_config ();
  forget ();
}
