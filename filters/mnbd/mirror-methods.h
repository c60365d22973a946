/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror methods of the control socket.  They are a part of the table in
 * methods.c, and called as described there; blocking ones in any thread.
 */

#ifndef MNBD_MIRROR_METHODS_H
#define MNBD_MIRROR_METHODS_H

#include "rpc/jsonrpc.h"

extern const struct jsonrpc_param mirror_status_params[],
  mirror_start_params[], mirror_stop_params[], mirror_switch_params[],
  mirror_rate_params[], mirror_verify_params[];

json_t *method_mirror_status (struct jsonrpc_call *call);
json_t *method_mirror_start (struct jsonrpc_call *call);
json_t *method_mirror_stop (struct jsonrpc_call *call);
json_t *method_mirror_rate (struct jsonrpc_call *call);
json_t *method_mirror_switch (struct jsonrpc_call *call);
json_t *method_mirror_verify (struct jsonrpc_call *call);

#define MIRROR_METHODS                                                  \
  { .name = "mirror_status",                                            \
    .summary = "Report the state of all mirrors, or of one.",           \
    .params = mirror_status_params,                                     \
    .result = "{\"mirrors\": [{\"export\", \"state\", \"serving\", \"size\", " \
              "\"bytes_total\", \"bytes_done\", \"bytes_out_of_sync\", " \
              "\"bytes_sent\", \"bytes_zeroed\", \"bytes_same\", "      \
              "\"rate\", "                                              \
              "\"rate_limit\", \"seconds_to_go\", \"in_flight\", "      \
              "\"writes\", \"outages\", \"away_since\", "             \
              "\"on_error\", \"last_error\", "                          \
              "\"stopped\": {\"time\", \"writes\", \"consistent\"}, "   \
              "\"switched\": {\"time\", \"writes\", \"pause_us\"}, "     \
              "\"verify\": {\"running\", \"repair\", \"bytes_done\", "  \
              "\"bytes_total\", \"bytes_skipped\", "                    \
              "\"bytes_differing\", \"extents\": [{\"offset\", "        \
              "\"length\"}], \"error\"}}]}",                            \
    .fn = method_mirror_status },                                       \
  { .name = "mirror_start",                                             \
    .summary = "Start a mirror that is stopped or has failed.",         \
    .params = mirror_start_params, .changes = true, .blocking = true,       \
    .result = "{\"export\", \"started\"}",                              \
    .fn = method_mirror_start },                                        \
  { .name = "mirror_stop",                                              \
    .summary = "Stop a mirror and leave its secondary complete.",       \
    .params = mirror_stop_params, .changes = true, .blocking = true,        \
    .result = "{\"export\", \"consistent\", \"time\", \"writes\"}",     \
    .fn = method_mirror_stop },                                         \
  { .name = "mirror_rate",                                              \
    .summary = "Change the limit for copying of a mirror.",             \
    .params = mirror_rate_params, .changes = true,                      \
    .result = "{\"export\", \"rate_limit\"}",                          \
    .fn = method_mirror_rate },                                         \
  { .name = "mirror_switch",                                            \
    .summary = "Let the clients use the secondary from now on.",        \
    .params = mirror_switch_params, .changes = true, .blocking = true,  \
    .result = "{\"export\", \"time\", \"writes\", \"pause_us\"}",     \
    .fn = method_mirror_switch },                                       \
  { .name = "mirror_verify",                                            \
    .summary = "Start comparing the primary with the secondary; "       \
               "mirror_status reports the result.",                     \
    .params = mirror_verify_params, .changes = true, .blocking = true,  \
    .result = "{\"export\"}",                                           \
    .fn = method_mirror_verify }

#endif /* MNBD_MIRROR_METHODS_H */
