/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the filter's control socket. */

#include <config.h>

#include "cache-engine.h"
#include "filter-methods.h"
#include "filter-parameters.h"
#include "mirror-methods.h"

static json_t *
method_version (struct jsonrpc_call *call)
{
  (void) call;
  return json_pack ("{s:s, s:s, s:i, s:s}", "name", "mnbd",
                    "version", PACKAGE_VERSION, "protocol", FILTER_PROTOCOL,
                    "mode", filter_config.mode);
}

const struct jsonrpc_method filter_methods[] = {
  { .name = "version",
    .summary = "Report which server this is.",
    .result = "{\"name\", \"version\", \"protocol\", \"mode\"}",
    .fn = method_version },
  JSONRPC_HELP_METHOD,
  MIRROR_METHODS,
  CACHE_METHODS,
  { .name = NULL }
};
