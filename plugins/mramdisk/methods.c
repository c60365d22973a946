/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of the control socket's methods: joins the tables of the files of
 * methods.
 */

#include <config.h>

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include <jansson.h>

#include "method-parts.h"
#include "methods.h"
#include "rpc/jsonrpc.h"

/* There is room for so many methods, of all tables. */
#define MOST_METHODS 64

static const struct jsonrpc_method *const tables[] = {
  server_methods, change_methods, inspect_methods, client_methods, job_methods,
  stats_methods,
};

static json_t *
method_version (struct jsonrpc_call *call)
{
  (void) call;
  return json_pack ("{s:s, s:s, s:i}", "name", "mramdisk",
                    "version", PACKAGE_VERSION, "protocol", METHODS_PROTOCOL);
}

const struct jsonrpc_method server_methods[] = {
  { .name = "version",
    .summary = "Report which server this is.",
    .result = "{\"name\", \"version\", \"protocol\"}", .fn = method_version },
  JSONRPC_HELP_METHOD,
  { .name = NULL }
};

/* The last element stays empty, which ends the table. */
static struct jsonrpc_method joined[MOST_METHODS + 1];

static void
join (void)
{
  const struct jsonrpc_method *m;
  size_t i, n = 0;

  for (i = 0; i < sizeof tables / sizeof tables[0]; i++)
    for (m = tables[i]; m->name; m++) {
      if (n == MOST_METHODS)
        abort ();               /* a table has outgrown the array */
      joined[n++] = *m;
    }
}

const struct jsonrpc_method *
mramdisk_methods (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, join);
  return joined;
}
