/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters. */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <libnbd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/boolean.h"
#include "base/clock.h"
#include "base/printable.h"
#include "base/size.h"
#include "nbd/uri.h"
#include "upstream-parameters.h"
#include "values.h"

struct config config = {
  .o = {
    .connection = { .tls = -1, .tls_verify = -1 },
    .connections = DEFAULT_CONNECTIONS,
    .reconnect = DEFAULT_RECONNECT * NS_PER_S,
    .connect_timeout = DEFAULT_CONNECT_TIMEOUT * NS_PER_S,
    .replay_buffer = DEFAULT_REPLAY_BUFFER,
    .identity = true,
  },
};

/* As given, until config_finish makes targets of them. */
static struct connection_target *target;
static size_t ntargets;
static char **uri;
static size_t nuris;
static char **command;
static size_t ncommand;
static char *sockname, *tls_certificates, *tls_psk;
static const char *hostname, *port, *cid;
static int socket_fd = -1;
static bool witness_given;

/* The parameters that were given, as the user typed them. */
static struct given {
  const char *key, *value;
} *given;
static size_t ngiven;

#define BOOL "true or false"

/* The key as the user types it; valid until the next call. */
static const char *
typed (const char *name)
{
  static char key[64];

  if (strcmp (name, "uri") == 0)
    return config_names.uri;
  snprintf (key, sizeof key, "%s%s", config_names.prefix, name);
  return key;
}

/* Two parameters that contradict each other; advice says how to express either.
 */
static int __attribute__ ((format (printf, 5, 6)))
contradicts (const char *key, const char *value, const char *other,
             const char *other_value, const char *advice, ...)
{
  char shown[PRINTABLE_STRING], other_shown[PRINTABLE_STRING], text[512];
  va_list ap;

  va_start (ap, advice);
  vsnprintf (text, sizeof text, advice, ap);
  va_end (ap);
  nbdkit_error ("%s=%s: cannot be used with %s=%s%s%s", key,
                printable (value, shown), other,
                printable (other_value, other_shown), *text ? ": " : "", text);
  return -1;
}

static int
out_of_memory (const char *key)
{
  nbdkit_error ("%s: %m", key);
  return -1;
}

static int
parse_number (const char *key, const char *value, uint64_t least,
              uint64_t most, uint64_t *r)
{
  char *end;

  *r = 0;
  /* As nbdkit_parse_unsigned: also hexadecimal and octal. */
  if (*value >= '0' && *value <= '9')
    *r = strtoull (value, &end, 0);
  else
    end = (char *) value;
  if (end == value || *end || *r < least || *r > most || strlen (value) > 10)
    return value_bad (key, value, "a number from %" PRIu64 " to %" PRIu64,
                      least, most);
  return 0;
}

int
config_time (const char *key, const char *value, bool zero, int64_t *ns)
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
    return value_bad (key, value, "a time in seconds, such as 10, 0.5 or "
                      "200ms, %s1000000", zero ? "up to " : "from 1ms to ");
  *ns = t;
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
    return value_bad (key, value, "off, on or require");
  *r = on ? LIBNBD_TLS_ALLOW : LIBNBD_TLS_DISABLE;
  return 0;
}

static int
parse_replay_buffer (const char *key, const char *value, uint64_t *r)
{
  if (size_parse (value, r) == -1 || *r > MOST_REPLAY_BUFFER ||
      (*r && *r < LEAST_REPLAY_BUFFER))
    return value_bad (key, value, "0, or a size from 64K to 64G");
  return 0;
}

char *
config_absolute_uri (const char *value)
{
  char *path = NULL, *r = NULL;
  struct nbd_uri u;

  /* If it is no URI, check_uri says so. */
  if (nbd_uri_parse (value, &u))
    return strdup (value);
  if (u.socket == NULL || *u.socket == '/')
    r = strdup (value);
  else if ((path = nbdkit_absolute_path (u.socket)) != NULL)
    r = nbd_uri_with_socket (value, path);
  free (path);
  nbd_uri_clear (&u);
  return r;
}

static int
add_uri (const char *key, const char *value)
{
  char **p = reallocarray (uri, nuris + 1, sizeof *uri);

  if (p == NULL)
    return out_of_memory (key);
  uri = p;
  uri[nuris] = config_absolute_uri (value);
  if (uri[nuris] == NULL)
    return out_of_memory (key);
  nuris++;
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
  "[uri=]<URI>            URI of the upstream NBD server.  Repeat it to list\n"
  "                       servers for failover, tried in order.\n"
  "socket=<SOCKNAME>      Unix socket to connect to.\n"
  "hostname=<HOST>        Host to connect to by TCP.\n"
  "port=<PORT>            TCP or vsock port, or service (default: 10809).\n"
  "vsock=<CID>            vsock CID to connect to.\n"
  "command=<COMMAND>      Run this command as the upstream server.\n"
  "arg=<ARG>              Argument of the command (may be repeated).\n"
  "socket-fd=<FD>         Use this open, connected socket.\n"
  "export=<NAME>          Export to connect to (default: \"\").\n"
  "dynamic-export=<BOOL>  Connect to the export that the client asks for.\n"
  "retry=<N>              Retry the first connection N times, every second.\n"
  "shared=<BOOL>          Connect when nbdkit starts, and stay connected.\n"
  "tls=<MODE>             Use TLS: off, on (if offered) or require.\n"
  "tls-certificates=<DIR> Folder with the X.509 certificates.\n"
  "tls-verify=<BOOL>      Verify the server's certificate (default: true).\n"
  "tls-hostname=<NAME>    Name in the server's certificate (default: hostname).\n"
  "tls-username=<NAME>    User name for TLS.\n"
  "tls-psk=<FILE>         File with the pre-shared keys.\n"
  "connections=<N>        Connections, if the upstream offers multi-conn\n"
  "                       (default: 4).\n"
  "reconnect=<TIME>       How long requests wait for an upstream that is\n"
  "                       away, in seconds (default: 60).\n"
  "connect-timeout=<TIME> Limit for one attempt to connect (default: 10).\n"
  "request-timeout=<TIME> Limit for one request; then the connection is\n"
  "                       replaced (default: 0, no limit).\n"
  "replay-buffer=<SIZE>   Memory for unflushed writes, which are replayed\n"
  "                       after a crash of the upstream; 0 keeps none\n"
  "                       (default: 64M).\n"
  "witness=<BOOL>         Refuse an upstream that returns with other data\n"
  "                       (default: true, unless replay-buffer is 0).\n"
  "identity=<BOOL>        Refuse an upstream that returns with another UUID\n"
  "                       (default: true).";

const char config_keys[] =
  "uri, socket, hostname, port, vsock, command, arg, socket-fd, export, "
  "dynamic-export, retry, shared, tls, tls-certificates, tls-verify, "
  "tls-hostname, tls-username, tls-psk, connections, reconnect, connect-timeout, "
  "request-timeout, replay-buffer, witness or identity";

/* The parameter's name without the prefix.  uri and vsock have two names each.
 */
static const char *
name_of (const char *key)
{
  size_t len = strlen (config_names.prefix);

  if (strcmp (key, config_names.uri) == 0)
    return "uri";
  if (strncmp (key, config_names.prefix, len) != 0)
    return "";
  return strcmp (key + len, "cid") == 0 ? "vsock" : key + len;
}

static int
set (const char *key, const char *value)
{
  const char *name = name_of (key);
  uint64_t n;

  if (strcmp (name, "uri") == 0)
    return add_uri (key, value);
  if (strcmp (name, "socket") == 0)
    return value_path (key, value, "a path", &sockname);
  if (strcmp (name, "hostname") == 0)
    hostname = value;
  else if (strcmp (name, "port") == 0)
    port = value;
  else if (strcmp (name, "vsock") == 0)
    cid = value;
  else if (strcmp (name, "command") == 0 || strcmp (name, "arg") == 0) {
    bool is_command = *name == 'c';

    if (is_command == (ncommand > 0))
      return value_bad (key, value, "%s%scommand= before the first %sarg=",
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
    return value_bool (key, value, BOOL, &config.dynamic_export);
  else if (strcmp (name, "retry") == 0) {
    if (parse_number (key, value, 0, UINT32_MAX, &n) == -1)
      return -1;
    config.o.retry = n;
  }
  else if (strcmp (name, "shared") == 0)
    return value_bool (key, value, BOOL, &config.shared);
  else if (strcmp (name, "tls") == 0)
    return parse_tls (key, value, &config.o.connection.tls);
  else if (strcmp (name, "tls-certificates") == 0)
    return value_path (key, value, "a path", &tls_certificates);
  else if (strcmp (name, "tls-psk") == 0)
    return value_path (key, value, "a path", &tls_psk);
  else if (strcmp (name, "tls-hostname") == 0) {
    if (*value == '\0')
      return value_bad (key, value, "the name in the server's certificate");
    config.o.connection.tls_hostname = value;
  }
  else if (strcmp (name, "tls-username") == 0)
    config.o.connection.tls_username = value;
  else if (strcmp (name, "tls-verify") == 0) {
    bool verify;

    if (value_bool (key, value, BOOL, &verify) == -1)
      return -1;
    config.o.connection.tls_verify = verify;
  }
  else if (strcmp (name, "connections") == 0) {
    if (parse_number (key, value, 1, POOL_MOST_CONNECTIONS, &n) == -1)
      return -1;
    config.o.connections = n;
  }
  else if (strcmp (name, "reconnect") == 0)
    return config_time (key, value, true, &config.o.reconnect);
  else if (strcmp (name, "connect-timeout") == 0)
    return config_time (key, value, false, &config.o.connect_timeout);
  else if (strcmp (name, "request-timeout") == 0)
    return config_time (key, value, true, &config.o.request_timeout);
  else if (strcmp (name, "witness") == 0) {
    witness_given = true;
    return value_bool (key, value, "true or false", &config.o.witness);
  }
  else if (strcmp (name, "identity") == 0)
    return value_bool (key, value, "true or false", &config.o.identity);
  else if (strcmp (name, "replay-buffer") == 0)
    return parse_replay_buffer (key, value, &config.o.replay_buffer);
  else
    return 1;
  return 0;
}

/* ----------------------------------------------------- what was given */

/* The last one of this name, or NULL. */
static const struct given *
last_given (const char *name)
{
  size_t i;

  for (i = ngiven; i > 0; i--)
    if (strcmp (name_of (given[i - 1].key), name) == 0)
      return &given[i - 1];
  return NULL;
}

static bool
same_value (const char *a, const char *b)
{
  bool x, y;

  return strcmp (a, b) == 0 ||
    (boolean_parse (a, &x) == 0 && boolean_parse (b, &y) == 0 && x == y);
}

int
config_given (const char *key, const char *value,
              const char *const last_counts[])
{
  const char *name = name_of (key);
  struct given *p;
  size_t i;

  for (i = 0; last_counts[i]; i++)
    if (strcmp (last_counts[i], name) == 0)
      break;
  if (last_counts[i] == NULL)
    for (i = 0; i < ngiven; i++)
      if (strcmp (name_of (given[i].key), name) == 0 &&
          !same_value (given[i].value, value))
        return contradicts (key, value, given[i].key, given[i].value,
                            "give only one value");
  p = reallocarray (given, ngiven + 1, sizeof *given);
  if (p == NULL)
    return out_of_memory (key);
  given = p;
  given[ngiven++] = (struct given) { key, value };
  return 0;
}

/* If one of these is repeated, the last value wins, so that a script can
 * override its defaults.  Different values of any other parameter name two
 * disks, or two ways to trust one.
 */
static const char *const may_change[] = {
  "uri", "arg", "retry", "connections", "reconnect", "connect-timeout",
  "request-timeout", "replay-buffer", NULL
};

int
config_set (const char *key, const char *value)
{
  int r = set (key, value);

  return r ? r : config_given (key, value, may_change);
}

/* ------------------------------------------------------------ the URIs */

/* Query parts that other programs accept in a URI, and the parameters that
 * replace them here.
 */
static const struct { const char *key, *name; } query_parameters[] = {
  { "tls-certificates", "tls-certificates" },
  { "tls-psk-file", "tls-psk" },
  { "tls-psk", "tls-psk" },
  { "tls-verify-peer", "tls-verify" },
  { "tls-verify", "tls-verify" },
  { "tls-hostname", "tls-hostname" },
  { "tls-username", "tls-username" },
  { "tls", "tls" },
};

static int
check_query (const char *value, const struct nbd_uri *u)
{
  char key[PRINTABLE_STRING], shown[PRINTABLE_STRING];
  size_t i;

  if (u->query_key == NULL)
    return 0;
  printable (u->query_key, key);
  printable (u->query_value, shown);
  for (i = 0; i < sizeof query_parameters / sizeof query_parameters[0]; i++)
    if (strcmp (u->query_key, query_parameters[i].key) == 0)
      return value_bad (typed ("uri"), value, "no %s= in the URI: use %s%s=%s "
                        "instead", key, config_names.prefix,
                        query_parameters[i].name, shown);
  return value_bad (typed ("uri"), value, "no %s= in the URI: only socket= is "
                    "supported", key);
}

/* With no transport allowed, libnbd parses a URI but does not connect. */
static int
ask_libnbd (struct nbd_handle *nbd, const char *value)
{
  if (nbd_set_uri_allow_transports (nbd, 0) == -1 ||
      nbd_aio_connect_uri (nbd, value) == 0 || nbd_get_errno () != EINVAL)
    return 0;
  return value_bad (typed ("uri"), value, "the URI of an NBD server, such as "
                    "nbd://HOST or nbd+unix:///?socket=PATH");
}

/* Parts of the URI can also be given as parameters. */
static int
check_against_uri (const char *value, const struct nbd_uri *u)
{
  const struct given *export = last_given ("export"),
    *username = last_given ("tls-username"), *tls = last_given ("tls"),
    *dynamic = config.dynamic_export ? last_given ("dynamic-export") : NULL;
  const char *key = typed ("uri");
  char shown[PRINTABLE_STRING];

  if (export && strcmp (export->value, u->export_name) != 0)
    return contradicts (export->key, export->value, key, value, "the URI's "
                        "export is \"%s\"; put the name into the URI",
                        printable_name (u->export_name, shown));
  if (dynamic && *u->export_name)
    return contradicts (dynamic->key, dynamic->value, key, value, "the URI's "
                        "export is \"%s\"; clients choose the export, so leave "
                        "it out of the URI",
                        printable_name (u->export_name, shown));
  if (username && u->user && strcmp (username->value, u->user) != 0)
    return contradicts (username->key, username->value, key, value,
                        "the URI's user is \"%s\"; name only one user",
                        printable_name (u->user, shown));
  if (tls && u->tls && config.o.connection.tls == LIBNBD_TLS_DISABLE)
    return contradicts (tls->key, tls->value, key, value,
                        "nbds requires TLS; use nbd for plain text");
  return 0;
}

static int
check_uri (struct nbd_handle *nbd, const char *value)
{
  struct nbd_uri u;
  const char *expected = nbd_uri_parse (value, &u);
  int r;

  if (expected)
    return value_bad (typed ("uri"), value, "%s", expected);
  r = check_query (value, &u);
  if (r == 0)
    r = check_against_uri (value, &u);
  if (r == 0 && u.tls && !nbd_supports_tls (nbd))
    r = value_bad (typed ("uri"), value, "a URI without TLS: libnbd was "
                   "compiled without support for TLS");
  nbd_uri_clear (&u);
  return r == 0 ? ask_libnbd (nbd, value) : r;
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

/* Without this check, the error would appear only with a server that offers
 * TLS.
 */
static int
check_tls_files (void)
{
  struct stat st;

  if (config.o.connection.tls == LIBNBD_TLS_DISABLE)
    return 0;
  if (tls_certificates &&
      (stat (tls_certificates, &st) == -1 || !S_ISDIR (st.st_mode)))
    return value_bad (typed ("tls-certificates"), tls_certificates,
                      "a folder that exists");
  if (tls_psk && (stat (tls_psk, &st) == -1 || S_ISDIR (st.st_mode)))
    return value_bad (typed ("tls-psk"), tls_psk, "a file that exists");
  return 0;
}

/* Check that it is one; libnbd finds out its kind. */
static int
check_socket_fd (void)
{
  struct stat st;
  char value[16];

  if (socket_fd == -1 ||
      (fstat (socket_fd, &st) == 0 && S_ISSOCK (st.st_mode)))
    return 0;
  snprintf (value, sizeof value, "%d", socket_fd);
  return value_bad (typed ("socket-fd"), value, "an open socket");
}

/* Does libnbd support the requested features? */
static int
check_libnbd (void)
{
  struct nbd_handle *nbd = nbd_create ();
  char shown[PRINTABLE_STRING];
  int r = -1;

  if (nbd == NULL)
    nbdkit_error ("%s", printable (nbd_get_error (), shown));
  else if (nuris && !nbd_supports_uri (nbd))
    nbdkit_error ("%s=%s: libnbd was compiled without support for URIs",
                  typed ("uri"), printable (uri[0], shown));
  else if (config.o.connection.tls != LIBNBD_TLS_DISABLE &&
           !nbd_supports_tls (nbd))
    nbdkit_error ("%s=on: libnbd was compiled without support for TLS",
                  typed ("tls"));
  else if (config.o.connection.tls_hostname && !connection_has_tls_hostname ())
    nbdkit_error ("%s=%s: this needs libnbd 1.22 or later, and libnbd is %s",
                  typed ("tls-hostname"),
                  printable (config.o.connection.tls_hostname, shown),
                  nbd_get_version (nbd));
  else
    r = check_uris (nbd);
  nbd_close (nbd);
  return r;
}

/* Each of these alone says where the server is. */
static const char *const ways[] = {
  "uri", "socket", "hostname", "vsock", "command", "socket-fd",
};
#define NWAYS (sizeof ways / sizeof ways[0])

static int
check_one_way (void)
{
  const struct given *way = NULL, *g;
  const char *p = config_names.prefix;
  char shown[PRINTABLE_STRING], other[PRINTABLE_STRING];
  size_t i;

  for (i = 0; i < NWAYS; i++) {
    g = last_given (ways[i]);
    if (g && way) {
      nbdkit_error ("more than one of %s=, %ssocket=, %shostname=, %svsock=, "
                    "%scommand= and %ssocket-fd= is given, %s=%s and %s=%s: "
                    "expected exactly one of them", config_names.uri, p, p, p,
                    p, p, way->key, printable (way->value, shown), g->key,
                    printable (g->value, other));
      return -1;
    }
    if (g)
      way = g;
  }
  if (way)
    return 0;
  nbdkit_error ("none of %s=, %ssocket=, %shostname=, %svsock=, %scommand= and "
                "%ssocket-fd= is given: expected exactly one of them",
                config_names.uri, p, p, p, p, p);
  return -1;
}

/* A TCP port: getaddrinfo(3) would also accept -1 and 65537. */
static bool
is_port (const char *s)
{
  static const char digits[] = "0123456789";
  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  struct addrinfo *list = NULL;
  int r;

  if (s[strspn (s, digits)] == '\0')
    return strlen (s) <= 5 && atoi (s) >= 1 && atoi (s) <= 65535;
  if (!isalpha ((unsigned char) *s) && !isdigit ((unsigned char) *s))
    return false;
  r = getaddrinfo (NULL, s, &hints, &list);
  if (list)
    freeaddrinfo (list);
  return r != EAI_SERVICE;
}

static int
check_port (void)
{
  const struct given *g = last_given ("uri");
  const char *p = config_names.prefix;
  char shown[PRINTABLE_STRING];
  uint64_t n;
  size_t i;

  if (port == NULL)
    return 0;
  if (g)
    return value_bad (typed ("port"), port, "%shostname= or %svsock= instead "
                      "of %s=%s: put the port into the URI", p, p, g->key,
                      printable (g->value, shown));
  for (i = 0; i < NWAYS && !hostname && !cid; i++)
    if ((g = last_given (ways[i])) != NULL)
      return value_bad (typed ("port"), port, "%shostname= or %svsock= instead "
                        "of %s=%s", p, p, g->key, printable (g->value, shown));
  if (cid)
    return parse_number (typed ("port"), port, 0, UINT32_MAX, &n);
  if (!is_port (port))
    return value_bad (typed ("port"), port, "a port from 1 to 65535, or the "
                      "name of a service");
  return 0;
}

/* With these only one disk, or only one connection to it, is possible. */
static int
check_shared (void)
{
  static const char *const only_shared[] = { "command", "socket-fd" };
  const struct given *shared = last_given ("shared"),
    *dynamic = config.dynamic_export ? last_given ("dynamic-export") : NULL,
    *g;
  size_t i;

  if (dynamic && config.shared)
    return contradicts (dynamic->key, dynamic->value, shared->key,
                        shared->value, "clients choose the export, so it is "
                        "not known at startup");
  for (i = 0; i < 2; i++) {
    g = last_given (only_shared[i]);
    if (g && dynamic)
      return contradicts (dynamic->key, dynamic->value, g->key, g->value,
                          "it has only one connection, and so only one export");
    if (g && shared && !config.shared)
      return contradicts (shared->key, shared->value, g->key, g->value,
                          "it has only one connection, which all clients "
                          "share");
  }
  return 0;
}

static int
check_export (void)
{
  const struct given *export = last_given ("export"),
    *dynamic = config.dynamic_export ? last_given ("dynamic-export") : NULL;

  if (export && dynamic)
    return contradicts (export->key, export->value, dynamic->key,
                        dynamic->value, "clients choose the export");
  if (export && strlen (export->value) > NBD_MOST_NAME)
    return value_bad (export->key, export->value, "a name of at most %d bytes",
                      NBD_MOST_NAME);
  return 0;
}

/* libnbd would use the keys and ignore the certificates, or what is said about
 * the server's.
 */
static int
check_tls (void)
{
  const struct given *psk = last_given ("tls-psk"),
    *certificates = last_given ("tls-certificates"),
    *hostname_given = last_given ("tls-hostname"),
    *verify = last_given ("tls-verify");

  if (config.o.connection.tls == LIBNBD_TLS_DISABLE)
    return 0;
  if (psk && certificates)
    return contradicts (psk->key, psk->value, certificates->key,
                        certificates->value, "a connection uses either keys or "
                        "certificates");
  if (psk && hostname_given)
    return contradicts (psk->key, psk->value, hostname_given->key,
                        hostname_given->value, "with keys there is no "
                        "certificate that could have this name");
  if (hostname_given && config.o.connection.tls_verify == 0)
    return contradicts (hostname_given->key, hostname_given->value,
                        verify->key, verify->value, "the name in the "
                        "certificate would not be verified");
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
    target[i] = (struct connection_target) { TARGET_URI, .name = uri[i] };
  if (sockname) {
    struct sockaddr_un sun;

    target->kind = TARGET_UNIX;
    target->name = sockname;
    if (strlen (sockname) >= sizeof sun.sun_path)
      return value_bad (typed ("socket"), sockname,
                        "a path of at most 107 bytes");
  }
  if (hostname) {
    if (*hostname == '\0')
      return value_bad (typed ("hostname"), hostname,
                        "the name or address of a host");
    target->kind = TARGET_TCP;
    target->name = hostname;
    target->port = port ? port : DEFAULT_PORT;
  }
  if (cid) {
    uint64_t c, p;

    if (parse_number (typed ("vsock"), cid, 0, UINT32_MAX, &c) == -1 ||
        parse_number (typed ("port"), port ? port : DEFAULT_PORT, 0, UINT32_MAX,
                      &p) == -1)
      return -1;
    target->kind = TARGET_VSOCK;
    target->cid = c;
    target->vport = p;
  }
  if (ncommand) {
    if (*command[0] == '\0')
      return value_bad (typed ("command"), command[0], "a program");
    target->kind = TARGET_COMMAND;
    target->name = command[0];
    target->argv = command;
  }
  if (socket_fd >= 0) {
    target->kind = TARGET_SOCKET_FD;
    target->fd = socket_fd;
  }
  return 0;
}

int
config_finish (void)
{
  struct connection_options *u = &config.o.connection;

  if (check_one_way () == -1 || check_port () == -1 ||
      check_export () == -1 || check_shared () == -1 || check_tls () == -1 ||
      make_targets () == -1)
    return -1;
  if (!config.dynamic_export && config.export_name == NULL)
    config.export_name = "";
  if (ncommand || socket_fd >= 0)
    config.shared = true;
  if (u->tls == -1)
    u->tls = tls_certificates || tls_psk || u->tls_username ||
      u->tls_hostname || u->tls_verify >= 0 ? LIBNBD_TLS_ALLOW : LIBNBD_TLS_DISABLE;
  u->tls_certificates = tls_certificates;
  u->tls_psk = tls_psk;
  u->override_export = config.dynamic_export;
  config.o.target = target;
  config.o.ntargets = ntargets;
  /* Without a replay log, other clients may write to the export (the manual).
   */
  if (!witness_given)
    config.o.witness = config.o.replay_buffer != 0;
  if (check_tls_files () == -1 || check_socket_fd () == -1)
    return -1;
  return check_libnbd ();
}
