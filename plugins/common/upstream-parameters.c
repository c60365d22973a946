/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <libnbd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "boolean.h"
#include "clock.h"
#include "parameters.h"
#include "printable.h"
#include "size.h"

struct config config = {
  .o = {
    .upstream = { .tls = -1, .tls_verify = -1 },
    .connections = DEFAULT_CONNECTIONS,
    .reconnect = DEFAULT_RECONNECT * NS_PER_S,
    .connect_timeout = DEFAULT_CONNECT_TIMEOUT * NS_PER_S,
    .replay_buffer = DEFAULT_REPLAY_BUFFER,
  },
};

/* As given, until config_finish makes targets of them. */
static struct upstream_target *target;
static size_t ntargets;
static const char **uri;
static size_t nuris;
static char **command;
static size_t ncommand;
static char *sockname, *tls_certificates, *tls_psk;
static const char *hostname, *port, *cid;
static int socket_fd = -1;

/* Say what was expected instead. */
static int __attribute__ ((format (printf, 3, 4)))
bad (const char *key, const char *value, const char *expected, ...)
{
  char shown[PRINTABLE_STRING], text[512];
  va_list ap;

  va_start (ap, expected);
  vsnprintf (text, sizeof text, expected, ap);
  va_end (ap);
  nbdkit_error ("%s=%s: expected %s", key, printable (value, shown), text);
  return -1;
}

/* As the user types the key; valid until the next call. */
static const char *
typed (const char *name)
{
  static char key[64];

  if (strcmp (name, "uri") == 0)
    return config_names.uri;
  snprintf (key, sizeof key, "%s%s", config_names.prefix, name);
  return key;
}

static int
out_of_memory (const char *key)
{
  nbdkit_error ("%s: %m", key);
  return -1;
}

static int
parse_bool (const char *key, const char *value, bool *r)
{
  if (boolean_parse (value, r) == 0)
    return 0;
  return bad (key, value, "true or false");
}

static int
parse_number (const char *key, const char *value, uint64_t least,
              uint64_t most, uint64_t *r)
{
  char *end;

  *r = 0;
  /* As nbdkit_parse_unsigned, also hexadecimal and octal. */
  if (*value >= '0' && *value <= '9')
    *r = strtoull (value, &end, 0);
  else
    end = (char *) value;
  if (end == value || *end || *r < least || *r > most || strlen (value) > 10)
    return bad (key, value, "a number from %" PRIu64 " to %" PRIu64, least,
                most);
  return 0;
}

/* Seconds, with decimals if wanted, or milliseconds. */
static int
parse_time (const char *key, const char *value, bool zero, int64_t *r)
{
  double t = -1, factor = NS_PER_S;
  char *end = (char *) value;

  if (*value >= '0' && *value <= '9' &&
      strspn (value, "0123456789.") == strcspn (value, "ms"))
    t = strtod (value, &end);
  if (strcmp (end, "ms") == 0)
    factor = NS_PER_MS;
  else if (*end && strcmp (end, "s") != 0)
    t = -1;
  t *= factor;
  if (!(t >= 0) || t > 1e6 * NS_PER_S || (!zero && t < NS_PER_MS))
    return bad (key, value, "a time in seconds, such as 10, 0.5 or 200ms, "
                "%s1000000", zero ? "up to " : "from 1ms to ");
  *r = t;
  return 0;
}

static int
parse_tls (const char *key, const char *value, int *r)
{
  bool on;

  if (strcasecmp (value, "require") == 0 ||
      strcasecmp (value, "required") == 0 ||
      strcasecmp (value, "force") == 0) {
    *r = LIBNBD_TLS_REQUIRE;
    return 0;
  }
  if (boolean_parse (value, &on) == -1)
    return bad (key, value, "off, on or require");
  *r = on ? LIBNBD_TLS_ALLOW : LIBNBD_TLS_DISABLE;
  return 0;
}

static int
parse_path (const char *key, const char *value, char **r)
{
  if (*value == '\0')
    return bad (key, value, "a path");
  free (*r);
  *r = nbdkit_absolute_path (value);
  return *r ? 0 : -1;
}

static int
parse_replay_buffer (const char *key, const char *value, uint64_t *r)
{
  if (size_parse (value, r) == -1 || *r > MOST_REPLAY_BUFFER ||
      (*r && *r < LEAST_REPLAY_BUFFER))
    return bad (key, value, "0, or a size from 64K to 64G");
  return 0;
}

static int
add_uri (const char *key, const char *value)
{
  const char **p = reallocarray (uri, nuris + 1, sizeof *uri);

  if (p == NULL)
    return out_of_memory (key);
  uri = p;
  uri[nuris++] = value;
  return 0;
}

/* Always followed by a NULL. */
static int
add_argument (const char *key, const char *value)
{
  char **p = reallocarray (command, ncommand + 2, sizeof *command);

  if (p == NULL)
    return out_of_memory (key);
  command = p;
  command[ncommand++] = (char *) value;
  command[ncommand] = NULL;
  return 0;
}

const char config_help[] =
  "[uri=]<URI>            URI of the NBD server; more than one: a list of\n"
  "                       servers for failover, tried in order.\n"
  "socket=<SOCKNAME>      The Unix socket to connect to.\n"
  "hostname=<HOST>        The host to connect to by TCP.\n"
  "port=<PORT>            TCP or vsock port, or service (default: 10809).\n"
  "vsock=<CID>            The vsock CID to connect to.\n"
  "command=<COMMAND>      Run this server.\n"
  "arg=<ARG>              An argument of the command (may be repeated).\n"
  "socket-fd=<FD>         Use this open socket.\n"
  "export=<NAME>          Name of the export to connect to (default: \"\").\n"
  "dynamic-export=<BOOL>  Connect to the export that the client asks for.\n"
  "retry=<N>              Try the first connection N times more, after 1 s.\n"
  "shared=<BOOL>          Connect when nbdkit starts, and stay connected.\n"
  "tls=<MODE>             off, on or require.\n"
  "tls-certificates=<DIR> Folder with the X.509 certificates.\n"
  "tls-verify=<BOOL>      Verify the server's certificate (default: true).\n"
  "tls-username=<NAME>    User name for TLS.\n"
  "tls-psk=<FILE>         File with the pre-shared keys.\n"
  "connections=<N>        Connections, if the server offers multi-conn\n"
  "                       (default: 4).\n"
  "reconnect=<TIME>       How long requests wait for a server that is away,\n"
  "                       in seconds (default: 60).\n"
  "connect-timeout=<TIME> How long one attempt to connect may take\n"
  "                       (default: 10).\n"
  "request-timeout=<TIME> How long a request may take before the connection\n"
  "                       is given up (default: 0, for ever).\n"
  "replay-buffer=<SIZE>   Memory for writes to be sent again after a crash of\n"
  "                       the server; 0: none (default: 64M).";

const char config_keys[] =
  "uri, socket, hostname, port, vsock, command, arg, socket-fd, export, "
  "dynamic-export, retry, shared, tls, tls-certificates, tls-verify, "
  "tls-username, tls-psk, connections, reconnect, connect-timeout, "
  "request-timeout or replay-buffer";

/* What the key is without the prefix; uri has two names. */
static const char *
name_of (const char *key)
{
  size_t len = strlen (config_names.prefix);

  if (strcmp (key, config_names.uri) == 0)
    return "uri";
  return strncmp (key, config_names.prefix, len) == 0 ? key + len : "";
}

int
config_set (const char *key, const char *value)
{
  const char *name = name_of (key);
  uint64_t n;

  if (strcmp (name, "uri") == 0)
    return add_uri (key, value);
  if (strcmp (name, "socket") == 0)
    return parse_path (key, value, &sockname);
  if (strcmp (name, "hostname") == 0)
    hostname = value;
  else if (strcmp (name, "port") == 0)
    port = value;
  else if (strcmp (name, "vsock") == 0 || strcmp (name, "cid") == 0)
    cid = value;
  else if (strcmp (name, "command") == 0 || strcmp (name, "arg") == 0) {
    bool is_command = *name == 'c';

    if (is_command == (ncommand > 0))
      return bad (key, value, "%s%scommand= before the first %sarg=",
                  is_command ? "only one " : "", config_names.prefix,
                  config_names.prefix);
    return add_argument (key, value);
  }
  else if (strcmp (name, "socket-fd") == 0) {
    if (parse_number (key, value, 0, INT32_MAX, &n) == -1)
      return -1;
    socket_fd = n;
  }
  else if (strcmp (name, "export") == 0)
    config.export_name = value;
  else if (strcmp (name, "dynamic-export") == 0)
    return parse_bool (key, value, &config.dynamic_export);
  else if (strcmp (name, "retry") == 0) {
    if (parse_number (key, value, 0, UINT32_MAX, &n) == -1)
      return -1;
    config.o.retry = n;
  }
  else if (strcmp (name, "shared") == 0)
    return parse_bool (key, value, &config.shared);
  else if (strcmp (name, "tls") == 0)
    return parse_tls (key, value, &config.o.upstream.tls);
  else if (strcmp (name, "tls-certificates") == 0)
    return parse_path (key, value, &tls_certificates);
  else if (strcmp (name, "tls-psk") == 0)
    return parse_path (key, value, &tls_psk);
  else if (strcmp (name, "tls-username") == 0)
    config.o.upstream.tls_username = value;
  else if (strcmp (name, "tls-verify") == 0) {
    bool verify;

    if (parse_bool (key, value, &verify) == -1)
      return -1;
    config.o.upstream.tls_verify = verify;
  }
  else if (strcmp (name, "connections") == 0) {
    if (parse_number (key, value, 1, POOL_MOST_CONNECTIONS, &n) == -1)
      return -1;
    config.o.connections = n;
  }
  else if (strcmp (name, "reconnect") == 0)
    return parse_time (key, value, true, &config.o.reconnect);
  else if (strcmp (name, "connect-timeout") == 0)
    return parse_time (key, value, false, &config.o.connect_timeout);
  else if (strcmp (name, "request-timeout") == 0)
    return parse_time (key, value, true, &config.o.request_timeout);
  else if (strcmp (name, "replay-buffer") == 0)
    return parse_replay_buffer (key, value, &config.o.replay_buffer);
  else
    return 1;
  return 0;
}

/* libnbd knows best what a URI of its is.  With no transport allowed it parses
 * one, and connects to nothing.
 */
static int
check_uri (struct nbd_handle *nbd, const char *value)
{
  if (nbd_set_uri_allow_transports (nbd, 0) == -1 ||
      nbd_aio_connect_uri (nbd, value) == 0 || nbd_get_errno () != EINVAL)
    return 0;
  return bad (typed ("uri"), value, "the URI of an NBD server, such as "
              "nbd://HOST or nbd+unix:///?socket=PATH");
}

static int
check_uris (struct nbd_handle *nbd)
{
  size_t i;

  for (i = 0; i < nuris; i++)
    if (check_uri (nbd, uri[i]) == -1)
      return -1;
  return 0;
}

/* Otherwise only a server that has TLS would make it known. */
static int
check_tls_files (void)
{
  struct stat st;

  if (config.o.upstream.tls == LIBNBD_TLS_DISABLE)
    return 0;
  if (tls_certificates &&
      (stat (tls_certificates, &st) == -1 || !S_ISDIR (st.st_mode)))
    return bad (typed ("tls-certificates"), tls_certificates,
                "a folder that exists");
  if (tls_psk && (stat (tls_psk, &st) == -1 || S_ISDIR (st.st_mode)))
    return bad (typed ("tls-psk"), tls_psk, "a file that exists");
  return 0;
}

/* That it is one; what it is, libnbd finds out. */
static int
check_socket_fd (void)
{
  struct stat st;
  char value[16];

  if (socket_fd == -1 ||
      (fstat (socket_fd, &st) == 0 && S_ISSOCK (st.st_mode)))
    return 0;
  snprintf (value, sizeof value, "%d", socket_fd);
  return bad (typed ("socket-fd"), value, "an open socket");
}

/* Does libnbd have what is asked for? */
static int
check_libnbd (void)
{
  struct nbd_handle *nbd = nbd_create ();
  int r = -1;

  if (nbd == NULL)
    nbdkit_error ("%s", nbd_get_error ());
  else if (nuris && !nbd_supports_uri (nbd))
    nbdkit_error ("%s=%s: libnbd was compiled without support for URIs",
                  typed ("uri"), uri[0]);
  else if (config.o.upstream.tls != LIBNBD_TLS_DISABLE &&
           !nbd_supports_tls (nbd))
    nbdkit_error ("%s=on: libnbd was compiled without support for TLS",
                  typed ("tls"));
  else
    r = check_uris (nbd);
  nbd_close (nbd);
  return r;
}

static int
check_one_way (void)
{
  int ways = (nuris > 0) + !!sockname + !!hostname + !!cid + (ncommand > 0) +
    (socket_fd >= 0);

  const char *p = config_names.prefix;

  if (ways != 1) {
    nbdkit_error ("%s of %s=, %ssocket=, %shostname=, %svsock=, %scommand= "
                  "and %ssocket-fd= are given: expected exactly one of them",
                  ways ? "several" : "none", config_names.uri, p, p, p, p, p);
    return -1;
  }
  if (port && !hostname && !cid)
    return bad (typed ("port"), port, "%shostname= or %svsock= with it", p, p);
  if (config.dynamic_export && config.export_name)
    return bad (typed ("export"), config.export_name,
                "no %sdynamic-export=true with it", p);
  if (config.dynamic_export &&
      (config.shared || ncommand || socket_fd >= 0))
    return bad (typed ("dynamic-export"), "true",
                "no %sshared=true, %scommand= or %ssocket-fd= with it", p, p,
                p);
  return 0;
}

static int
make_targets (void)
{
  size_t i;

  ntargets = nuris ? nuris : 1;
  target = calloc (ntargets, sizeof *target);
  if (target == NULL)
    return out_of_memory (typed ("uri"));
  for (i = 0; i < nuris; i++)
    target[i] = (struct upstream_target) { UPSTREAM_URI, .name = uri[i] };
  if (sockname) {
    struct sockaddr_un sun;

    target->kind = UPSTREAM_UNIX;
    target->name = sockname;
    if (strlen (sockname) >= sizeof sun.sun_path)
      return bad (typed ("socket"), sockname, "a path of at most 107 bytes");
  }
  if (hostname) {
    target->kind = UPSTREAM_TCP;
    target->name = hostname;
    target->port = port ? port : DEFAULT_PORT;
  }
  if (cid) {
    uint64_t c, p;

    if (parse_number (typed ("vsock"), cid, 0, UINT32_MAX, &c) == -1 ||
        parse_number (typed ("port"), port ? port : DEFAULT_PORT, 0, UINT32_MAX,
                      &p) == -1)
      return -1;
    target->kind = UPSTREAM_VSOCK;
    target->cid = c;
    target->vport = p;
  }
  if (ncommand) {
    target->kind = UPSTREAM_COMMAND;
    target->name = command[0];
    target->argv = command;
  }
  if (socket_fd >= 0) {
    target->kind = UPSTREAM_SOCKET_FD;
    target->fd = socket_fd;
  }
  return 0;
}

int
config_finish (void)
{
  struct upstream_options *u = &config.o.upstream;

  if (check_one_way () == -1 || make_targets () == -1)
    return -1;
  if (!config.dynamic_export && config.export_name == NULL)
    config.export_name = "";
  if (ncommand || socket_fd >= 0)
    config.shared = true;
  if (u->tls == -1)
    u->tls = tls_certificates || tls_psk || u->tls_username ||
      u->tls_verify >= 0 ? LIBNBD_TLS_ALLOW : LIBNBD_TLS_DISABLE;
  u->tls_certificates = tls_certificates;
  u->tls_psk = tls_psk;
  u->override_export = config.dynamic_export;
  config.o.target = target;
  config.o.ntargets = ntargets;
  if (check_tls_files () == -1 || check_socket_fd () == -1)
    return -1;
  return check_libnbd ();
}
