/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache as an engine of the filter (engine.h), and its control method. */

#ifndef MNBD_CACHE_ENGINE_H
#define MNBD_CACHE_ENGINE_H

#include "jsonrpc.h"

/* For the table of methods. */
extern const struct jsonrpc_param cache_status_params[];
json_t *method_cache_status (struct jsonrpc_call *call);

#endif /* MNBD_CACHE_ENGINE_H */
