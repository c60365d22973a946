/* SPDX-License-Identifier: BSD-3-Clause */
/* A control server with some methods, and clients of it, for the unit tests of
 * lib/rpc.  Its methods: ping returns n; big returns n bytes; subscribe
 * subscribes to the kinds n; gate waits until gate n is open, in a thread of
 * its own.
 */

#ifndef TESTS_CONTROL_FIXTURE_H
#define TESTS_CONTROL_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "rpc/server.h"

#define WAIT_MS 60000

/* How long a client may read nothing.  Only a test of just that sets less: on a
 * busy machine a test's own thread stands still for a while, too.
 */
#define STALL_MS 60000

struct fixture {
  struct control *c;
  char dir[64], path[96];
  struct sockaddr_un addr;
};

/* For cmocka.  setup starts no server; teardown checks that nothing is left. */
int setup (void **state);
int setup_and_start (void **state);
int teardown (void **state);

/* The options of a server on the fixture's path, and starting one. */
struct control_options options (struct fixture *f);
void start (struct fixture *f, const struct control_options *o);

/* Whether the log contains a text; wait until it does. */
bool logged (const char *text);
void wait_for_log (const char *text);

/* Wait until the method gate waits for gate n; then open that gate. */
void wait_for_gate (unsigned n);
void open_gate (unsigned n);

/* Connect.  try_connect returns -1 if that is impossible. */
int try_connect (struct fixture *f);
int client (struct fixture *f);

/* Send. */
void say_n (int fd, const char *text, size_t len);
void say (int fd, const char *text);

/* Read a line; "" at the end.  The caller frees it. */
char *hear (int fd);

/* Read a line, which must contain a text; or the end, and close. */
void expect (int fd, const char *want);
void expect_end (int fd);

#define PING(n) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"," \
  "\"params\":{\"n\":" #n "}}\n"

/* Call ping, and read the response. */
void ping (int fd);

#define PLAIN(t) cmocka_unit_test_setup_teardown (t, setup, teardown)
#define TEST(t) cmocka_unit_test_setup_teardown (t, setup_and_start, teardown)

#endif /* TESTS_CONTROL_FIXTURE_H */
