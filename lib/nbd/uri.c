/* SPDX-License-Identifier: BSD-3-Clause */
/* The URI of an NBD server. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <sys/un.h>

#include "base/cleanup.h"
#include "nbd/uri.h"

enum transport { TCP, UNIX, VSOCK };

static const struct scheme {
  const char *name;
  enum transport transport;
  bool tls;
} schemes[] = {
  { "nbd", TCP, false }, { "nbds", TCP, true },
  { "nbd+unix", UNIX, false }, { "nbds+unix", UNIX, true },
  { "nbd+vsock", VSOCK, false }, { "nbds+vsock", VSOCK, true },
};
#define NSCHEMES (sizeof schemes / sizeof schemes[0])

/* ports: libxml2, on which libnbd relies, takes no larger ones. */
#define MOST_TCP_PORT 65535
#define MOST_VSOCK_PORT 99999999
#define MOST_CID 4294967295

static const char no_memory[] = "enough memory for it";
static const char not_encoded[] = "percent-encoding of characters that a URI "
  "cannot have, such as %20 for a space";
static const char no_uri[] = "the URI of an NBD server, such as nbd://HOST or "
  "nbd+unix:///?socket=PATH";

/* -------------------------------------------------------------- characters */

static int
hex (char c)
{
  static const char digits[] = "0123456789abcdef";
  const char *d = c ? strchr (digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

  return d ? d - digits : -1;
}

/* What may not stand in any part of a URI. */
static const char *
check_characters (const char *s)
{
  for (; *s; s++) {
    unsigned char c = *s;

    if (c <= ' ' || c >= 0x7f || strchr ("\"<>\\^`{|}", c))
      return not_encoded;
    if (c == '#')
      return "%23 instead of #";
    if (c != '%')
      continue;
    if (hex (s[1]) < 0 || hex (s[2]) < 0)
      return "two hexadecimal digits after each %, and %25 for a literal %";
    if (s[1] == '0' && s[2] == '0')
      return "no %00 in the URI";
    s += 2;
  }
  return NULL;
}

/* The part from s to end, decoded; to be freed. */
static char *
decode (const char *s, const char *end)
{
  char *r = malloc (end - s + 1), *p = r;

  if (r == NULL)
    return NULL;
  while (s < end) {
    if (*s == '%') {
      *p++ = hex (s[1]) << 4 | hex (s[2]);
      s += 3;
    }
    else
      *p++ = *s++;
  }
  *p = '\0';
  return r;
}

/* Is it a number up to `most'? */
static bool
is_number (const char *s, const char *end, unsigned long least,
           unsigned long most)
{
  unsigned long n = 0;

  if (s == end)
    return false;
  for (; s < end; s++) {
    if (*s < '0' || *s > '9')
      return false;
    n = n * 10 + (*s - '0');
    if (n > most)
      return false;
  }
  return n >= least;
}

/* ------------------------------------------------------------------- parts */

static const char *
find (const char *s, const char *end, char c)
{
  return memchr (s, c, end - s);
}

/* Where the host ends, and the port begins if there is one. */
static const char *
host_end (const char *s, const char *end)
{
  const char *colon = *s == '[' ? find (s, end, ']') : s;

  colon = colon ? find (colon, end, ':') : NULL;
  return colon ? colon : end;
}

static const char *
parse_user (const char *s, const char *at, struct nbd_uri *uri)
{
  if (find (s, at, ':'))
    return "no password in the URI: NBD has none; use %3A for a : in the user "
      "name";
  uri->user = decode (s, at);
  return uri->user ? NULL : no_memory;
}

/* [USER@]HOST[:PORT] */
static const char *
parse_authority (const char *s, const char *end, enum transport transport,
                 struct nbd_uri *uri)
{
  const char *at = find (s, end, '@'), *port, *expected = NULL;

  if (at) {
    if (at > s)
      expected = parse_user (s, at, uri);
    s = at + 1;
  }
  port = host_end (s, end);
  if (expected || s == end)
    return expected;
  if (transport == UNIX)
    return "no host in the URI: the server is at socket=, so use "
      "nbd+unix:///EXPORT with three slashes";
  /* libnbd would pass over the port. */
  if (s == port)
    return transport == VSOCK ? "a CID before the port"
      : "a host before the port, such as localhost";
  if (transport == VSOCK && !is_number (s, port, 0, MOST_CID))
    return "a CID, which is a number, instead of a host";
  if (port < end &&
      !is_number (port + 1, end, 1,
                  transport == TCP ? MOST_TCP_PORT : MOST_VSOCK_PORT))
    return transport == TCP ? "a port from 1 to 65535"
      : "a port from 1 to 99999999";
  return NULL;
}

static const char *
parse_path (const char *s, const char *end, struct nbd_uri *uri)
{
  if (s < end)
    s++;                        /* the slash */
  uri->export_name = decode (s, end);
  if (uri->export_name == NULL)
    return no_memory;
  if (strlen (uri->export_name) > NBD_MOST_NAME)
    return "an export name of at most 4096 bytes";
  return NULL;
}

/* KEY=VALUE */
static const char *
parse_query (const char *s, const char *end, enum transport transport,
             struct nbd_uri *uri)
{
  const char *equals = find (s, end, '=');
  CLEANUP_FREE char *key = decode (s, equals ? equals : end);
  CLEANUP_FREE char *value = equals ? decode (equals + 1, end) : strdup ("");
  struct sockaddr_un sun;

  if (key == NULL || value == NULL)
    return no_memory;
  if (strncmp (key, "x-", 2) == 0)
    return NULL;                /* for experiments of others */
  if (strcmp (key, "socket") != 0) {
    if (uri->query_key == NULL) {
      uri->query_key = key;
      uri->query_value = value;
      key = value = NULL;
    }
    return NULL;
  }
  if (transport != UNIX)
    return "no socket= in the URI, or a URI that begins with nbd+unix: or "
      "nbds+unix:";
  if (uri->socket)
    return "only one socket= in the URI";
  if (*value == '\0')
    return "the path of a socket after socket=";
  if (strlen (value) >= sizeof sun.sun_path)
    return "a path of at most 107 bytes after socket=";
  uri->socket = value;
  value = NULL;
  return NULL;
}

static const char *
parse_queries (const char *s, enum transport transport,
               struct nbd_uri *uri)
{
  const char *end, *expected;

  /* To libnbd it is a separator at one time, and a character at another. */
  if (strchr (s, ';'))
    return "%3B instead of ;";
  for (; *s; s = *end ? end + 1 : end) {
    end = s + strcspn (s, "&");
    if (s < end) {
      expected = parse_query (s, end, transport, uri);
      if (expected)
        return expected;
    }
  }
  return NULL;
}

/* --------------------------------------------------------------------- all */

static const char *
parse (const char *s, struct nbd_uri *uri)
{
  size_t len = strcspn (s, ":"), i;
  const char *path, *query, *expected;

  for (i = 0; i < NSCHEMES; i++)
    if (strlen (schemes[i].name) == len &&
        strncmp (s, schemes[i].name, len) == 0)
      break;
  if (i == NSCHEMES || strncmp (s + len, "://", 3) != 0)
    return no_uri;
  uri->tls = schemes[i].tls;
  s += len + 3;
  expected = check_characters (s);
  if (expected)
    return expected;
  path = s + strcspn (s, "/?");
  query = path + strcspn (path, "?");
  /* They stand around the address of a host only. */
  if (strpbrk (path, "[]"))
    return not_encoded;
  expected = parse_authority (s, path, schemes[i].transport, uri);
  if (expected == NULL)
    expected = parse_path (path, query, uri);
  if (expected == NULL)
    expected = parse_queries (*query ? query + 1 : query, schemes[i].transport,
                              uri);
  /* If something else is wrong that says more. */
  if (expected == NULL && uri->query_key == NULL &&
      schemes[i].transport == UNIX && uri->socket == NULL)
    expected = "socket=PATH in the URI, such as nbd+unix:///EXPORT?socket=PATH";
  return expected;
}

const char *
nbd_uri_parse (const char *s, struct nbd_uri *uri)
{
  const char *expected;

  memset (uri, 0, sizeof *uri);
  expected = parse (s, uri);
  if (expected)
    nbd_uri_clear (uri);
  return expected;
}

/* Where the value of socket= begins, and ends; NULL if there is none. */
static const char *
find_socket (const char *s, const char **end)
{
  const char *equals;

  for (s += strcspn (s, "?"); *s; s = *end) {
    s++;                        /* the question mark, or an ampersand */
    *end = s + strcspn (s, "&");
    equals = find (s, *end, '=');
    if (equals) {
      CLEANUP_FREE char *key = decode (s, equals);

      if (key && strcmp (key, "socket") == 0)
        return equals + 1;
    }
  }
  return NULL;
}

char *
nbd_uri_with_socket (const char *s, const char *path)
{
  static const char digits[] = "0123456789ABCDEF", plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  const char *end, *value = find_socket (s, &end);
  char *r, *p;

  if (value == NULL)
    return strdup (s);
  r = malloc (strlen (s) + 3 * strlen (path) + 1);
  if (r == NULL)
    return NULL;
  p = mempcpy (r, s, value - s);
  for (; *path; path++) {
    unsigned char c = *path;

    if (strchr (plain, c))
      *p++ = c;
    else {
      *p++ = '%';
      *p++ = digits[c >> 4];
      *p++ = digits[c & 15];
    }
  }
  strcpy (p, end);
  return r;
}

void
nbd_uri_clear (struct nbd_uri *uri)
{
  free (uri->user);
  free (uri->export_name);
  free (uri->socket);
  free (uri->query_key);
  free (uri->query_value);
  memset (uri, 0, sizeof *uri);
}
