/* SPDX-License-Identifier: BSD-3-Clause */
/* URIs: what they are read as, and which are refused. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "nbd/uri.h"
#include "unit.h"

#define assert_string_or_null(a, b) \
  do { \
    if ((a) == NULL || (b) == NULL) \
      assert_true ((a) == NULL && (b) == NULL); \
    else \
      assert_string_equal (a, b); \
  } while (0)

static void
good (void **state)
{
  static const struct {
    const char *s;
    bool tls;
    const char *user, *export_name, *socket, *query_key, *query_value;
  } table[] = {
    { "nbd://host", false, NULL, "", NULL, NULL, NULL },
    { "nbd://host/", false, NULL, "", NULL, NULL, NULL },
    { "nbd:///disk", false, NULL, "disk", NULL, NULL, NULL },
    { "nbds://alice@host:1/a%20b", true, "alice", "a b", NULL, NULL, NULL },
    { "nbds://a%40b%3a@host/", true, "a@b:", "", NULL, NULL, NULL },
    { "nbd://@host/", false, NULL, "", NULL, NULL, NULL },
    { "nbd://host:65535//a/b", false, NULL, "/a/b", NULL, NULL, NULL },
    { "nbd://h/%C3%A9%0a", false, NULL, "\u00e9\n", NULL, NULL, NULL },
    { "nbd://h/%2523", false, NULL, "%23", NULL, NULL, NULL },
    { "nbd://[::1]/x", false, NULL, "x", NULL, NULL, NULL },
    { "nbd://[::1]:10809/x", false, NULL, "x", NULL, NULL, NULL },
    { "nbd+unix:///x?socket=/a%26b", false, NULL, "x", "/a&b", NULL, NULL },
    { "nbd+unix://?socket=/s", false, NULL, "", "/s", NULL, NULL },
    { "nbd+unix:///?&socket=s&", false, NULL, "", "s", NULL, NULL },
    { "nbds+unix://bob@/?socket=/s", true, "bob", "", "/s", NULL, NULL },
    { "nbd+unix:///?x-y=1&socket=/s", false, NULL, "", "/s", NULL, NULL },
    { "nbd+unix:///?socket=/a=b", false, NULL, "", "/a=b", NULL, NULL },
    { "nbd+vsock:///x", false, NULL, "x", NULL, NULL, NULL },
    { "nbds+vsock://4294967295:99999999/", true, NULL, "", NULL, NULL, NULL },
    { "nbd://h/?tls-psk-file=/a%20b&b=c", false, NULL, "", NULL,
      "tls-psk-file", "/a b" },
    { "nbd+unix:///?socket=/s&tls-verify-peer", false, NULL, "", "/s",
      "tls-verify-peer", "" },
    /* That something is missing is not what it should hear first. */
    { "nbd+unix:///?sokcet=/s", false, NULL, "", NULL, "sokcet", "/s" },
  };
  struct nbd_uri u;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    const char *got = nbd_uri_parse (table[i].s, &u);

    if (got)
      fail_msg ("%s: expected %s", table[i].s, got);
    assert_int_equal (u.tls, table[i].tls);
    assert_string_or_null (u.user, table[i].user);
    assert_string_equal (u.export_name, table[i].export_name);
    assert_string_or_null (u.socket, table[i].socket);
    assert_string_or_null (u.query_key, table[i].query_key);
    assert_string_or_null (u.query_value, table[i].query_value);
    nbd_uri_clear (&u);
  }
}

static void
bad (void **state)
{
  static const struct { const char *s, *expected; } table[] = {
    { "", "the URI" }, { "/sock", "the URI" }, { "host:10809", "the URI" },
    { "nbd:host", "the URI" }, { "nbd:/host", "the URI" },
    { "nbd", "the URI" }, { "NBD://host", "the URI" },
    { "nbdx://host", "the URI" }, { "nbd+ssh://host/", "the URI" },
    { "http://host/", "the URI" }, { "nbd+unix:?socket=/s", "the URI" },
    { "nbd://host/a b", "percent-enc" }, { "nbd://host/\u00e9", "percent-enc" },
    { "nbd://host/a\n", "percent-enc" }, { "nbd://host/[a]", "percent-enc" },
    { "nbd://host/a|b", "percent-enc" },
    { "nbd://host/%", "two hexadecimal" },
    { "nbd://host/%4", "two hexadecimal" },
    { "nbd://host/%zz", "two hexadecimal" },
    { "nbd+unix:///?socket=/a%5", "two hexadecimal" },
    { "nbd://host/a%00b", "no %00" },
    { "nbd+unix:///?socket=%00a", "no %00" },
    { "nbd://host/disk#1", "%23" },
    { "nbd+unix:///?socket=/a;b", "%3B" },
    { "nbd://host:0", "a port from 1 to 65535" },
    { "nbd://host:65536", "a port from 1 to 65535" },
    { "nbd://host:99999999999999999999", "a port from 1 to 65535" },
    { "nbd://host:nbd/", "a port from 1 to 65535" },
    { "nbd://host:/", "a port from 1 to 65535" },
    { "nbd://host:-1/", "a port from 1 to 65535" },
    { "nbd://:10809/", "a host before" },
    { "nbd://alice@:10809/", "a host before" },
    { "nbds://alice:secret@host/", "no password" },
    { "nbd+unix://disk?socket=/s", "no host" },
    { "nbd+unix://host/?socket=/s", "no host" },
    { "nbd+unix://:1/?socket=/s", "no host" },
    { "nbd+vsock://host/", "a CID" }, { "nbd+vsock://2a/", "a CID" },
    { "nbd+vsock://4294967296/", "a CID" }, { "nbd+vsock://:1/", "a CID" },
    { "nbd+vsock://2:0/", "a port from 1 to 99999999" },
    { "nbd+vsock://2:100000000/", "a port from 1 to 99999999" },
    { "nbd+unix:///", "socket=PATH" }, { "nbds+unix:///disk", "socket=PATH" },
    { "nbd+unix:///?socket=", "the path" },
    { "nbd+unix:///?socket", "the path" },
    { "nbd+unix:///?socket=/a&socket=/b", "only one" },
    { "nbd://host/?socket=/s", "no socket=" },
    { "nbd+vsock://2/?socket=/s", "no socket=" },
  };
  struct nbd_uri u;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    const char *got = nbd_uri_parse (table[i].s, &u);

    if (got == NULL ||
        strncmp (got, table[i].expected, strlen (table[i].expected)) != 0)
      fail_msg ("%s: %s", table[i].s, got);
  }
}

static void
lengths (void **state)
{
  static const struct { const char *before; size_t most; const char *expected; }
  table[] = {
    { "nbd://host/", NBD_MOST_NAME, "an export name" },
    { "nbd+unix:///?socket=", 107, "a path" },
  };
  char s[NBD_MOST_NAME + 64];
  struct nbd_uri u;
  size_t i, n;

  (void) state;
  for (i = 0; i < 2; i++) {
    strcpy (s, table[i].before);
    n = strlen (s);
    memset (s + n, 'x', table[i].most + 1);
    s[n + table[i].most + 1] = '\0';
    assert_int_equal (strncmp (nbd_uri_parse (s, &u), table[i].expected,
                               strlen (table[i].expected)), 0);
    s[n + table[i].most] = '\0';
    assert_null (nbd_uri_parse (s, &u));
    nbd_uri_clear (&u);
  }
}

static void
other_socket (void **state)
{
  static const struct { const char *s, *path, *result; } table[] = {
    { "nbd://h/x", "/a", "nbd://h/x" },
    { "nbd+unix:///x?socket=s", "/a/s", "nbd+unix:///x?socket=/a/s" },
    { "nbds+unix://u@/?x-y=socket=1&%73ocket=s&x-z", "/a b/%&\u00e9",
      "nbds+unix://u@/?x-y=socket=1&%73ocket=/a%20b/%25%26%C3%A9&x-z" },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    char *r = nbd_uri_with_socket (table[i].s, table[i].path);

    assert_string_or_null (r, table[i].result);
    free (r);
  }
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
    cmocka_unit_test (good),
    cmocka_unit_test (bad),
    cmocka_unit_test (lengths),
    cmocka_unit_test (other_socket),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
