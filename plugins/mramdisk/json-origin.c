/* SPDX-License-Identifier: BSD-3-Clause */
/* Origins in results and events. */

#include <config.h>

#include <jansson.h>

#include "base/printable.h"
#include "json-origin.h"

const char *const origin_states[] = {
  [ORIGIN_LAZY] = "lazy", [ORIGIN_PREFETCHING] = "prefetching",
  [ORIGIN_COMPLETE] = "complete", [ORIGIN_AWAY] = "away",
};

json_t *
json_uri (const char *uri)
{
  char shown[PRINTABLE_STRING];

  return json_string (printable (uri, shown));
}

json_t *
json_origin (const struct disk *d)
{
  struct origin_stats s;

  if (d->origin == NULL)
    return json_null ();
  origin_stats (d->origin, &s);
  return json_pack ("{s:o, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                    "uri", json_uri (origin_uri (d->origin)),
                    "state", origin_states[s.state], "prefetch", s.prefetch,
                    "size", (json_int_t) s.size,
                    "known", (json_int_t) s.known,
                    "memory", (json_int_t) s.memory,
                    "fetches", (json_int_t) s.fetches,
                    "fetched", (json_int_t) s.fetched,
                    "evicted", (json_int_t) s.evicted,
                    "errors", (json_int_t) s.errors);
}
