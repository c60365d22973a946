/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the control socket that are about mirrors; part of the table
 * in methods.c, and called as that says; method_mirror_stop in any thread.
 */

#ifndef MNBD_MIRROR_METHODS_H
#define MNBD_MIRROR_METHODS_H

#include "jsonrpc.h"

extern const struct jsonrpc_param mirror_status_params[],
  mirror_start_params[], mirror_stop_params[], mirror_verify_params[];

json_t *method_mirror_status (struct jsonrpc_call *call);
json_t *method_mirror_start (struct jsonrpc_call *call);
json_t *method_mirror_stop (struct jsonrpc_call *call);
json_t *method_mirror_verify (struct jsonrpc_call *call);

#define MIRROR_METHODS                                                  \
  { .name = "mirror_status",                                            \
    .summary = "Say how the mirrors are, or one of them.",              \
    .params = mirror_status_params,                                     \
    .result = "{\"mirrors\": [{\"export\", \"state\", \"size\", "       \
              "\"bytes_total\", \"bytes_done\", \"bytes_out_of_sync\", " \
              "\"bytes_sent\", \"bytes_zeroed\", \"rate\", "            \
              "\"rate_limit\", \"seconds_to_go\", \"in_flight\", "      \
              "\"writes\", \"outages\", \"on_error\", \"last_error\", " \
              "\"stopped\": {\"time\", \"writes\", \"consistent\"}, "   \
              "\"verify\": {\"running\", \"repair\", \"bytes_done\", "  \
              "\"bytes_total\", \"bytes_skipped\", "                    \
              "\"bytes_differing\", \"extents\": [{\"offset\", "        \
              "\"length\"}], \"error\"}}]}",                            \
    .fn = method_mirror_status },                                       \
  { .name = "mirror_start",                                             \
    .summary = "Let a mirror run again that was stopped or has failed.", \
    .params = mirror_start_params, .changes = true,                     \
    .result = "{\"export\", \"started\"}",                              \
    .fn = method_mirror_start },                                        \
  { .name = "mirror_stop",                                              \
    .summary = "Stop a mirror: its secondary is then complete, and left "      \
               "alone.",                                                \
    .params = mirror_stop_params, .changes = true, .slow = true,        \
    .result = "{\"export\", \"consistent\", \"time\", \"writes\"}",     \
    .fn = method_mirror_stop },                                         \
  { .name = "mirror_verify",                                            \
    .summary = "Begin to compare both sides; mirror_status has the result.", \
    .params = mirror_verify_params, .changes = true,                    \
    .result = "{\"export\"}",                                           \
    .fn = method_mirror_verify }

#endif /* MNBD_MIRROR_METHODS_H */
