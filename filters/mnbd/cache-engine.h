/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache as an engine of the filter (engine.h), and its control method. */

#ifndef MNBD_CACHE_ENGINE_H
#define MNBD_CACHE_ENGINE_H

#include "rpc/jsonrpc.h"

/* For the table of methods. */
extern const struct jsonrpc_param cache_status_params[];
json_t *method_cache_status (struct jsonrpc_call *call);

#define CACHE_METHODS                                                   \
  { .name = "cache_status",                                             \
    .summary = "Report what the caches hold and how effective they are.", \
    .params = cache_status_params,                                      \
    .result = "{\"caches\": [{\"export\", \"mode\", \"size\", "         \
              "\"max_bytes\", \"cached_bytes\", \"dirty_bytes\", "      \
              "\"hits\", \"misses\", \"hit_bytes\", \"miss_bytes\", "   \
              "\"fetched_bytes\", \"ahead_bytes\", "                    \
              "\"ahead_used_bytes\", \"writes\", \"written_bytes\", "   \
              "\"writeback_bytes\", \"evicted_bytes\", "                \
              "\"uncached_bytes\", \"upstream_errors\", "               \
              "\"local_errors\", \"outages\", \"away_since\", "         \
              "\"last_error\"}]}",                                      \
    .fn = method_cache_status }

#endif /* MNBD_CACHE_ENGINE_H */
