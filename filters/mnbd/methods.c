/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the filter's control socket. */

#include <config.h>

#include "cache-engine.h"
#include "filter-parameters.h"
#include "methods.h"
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
  { .name = "cache_status",
    .summary = "Say what the caches hold, and how often they had what clients "
               "asked for.",
    .params = cache_status_params,
    .result = "{\"caches\": [{\"export\", \"mode\", \"size\", "
              "\"max_bytes\", \"cached_bytes\", \"dirty_bytes\", \"hits\", "
              "\"misses\", \"hit_bytes\", \"miss_bytes\", "
              "\"fetched_bytes\", \"ahead_bytes\", \"ahead_used_bytes\", "
              "\"writes\", \"written_bytes\", \"writeback_bytes\", "
              "\"evicted_bytes\", \"uncached_bytes\", \"upstream_errors\", "
              "\"local_errors\"}]}",
    .fn = method_cache_status },
  { .name = "version",
    .summary = "Say what serves the socket.",
    .result = "{\"name\", \"version\", \"protocol\", \"mode\"}",
    .fn = method_version },
  MIRROR_METHODS,
  JSONRPC_HELP_METHOD,
  { .name = NULL }
};
