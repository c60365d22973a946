/* SPDX-License-Identifier: BSD-3-Clause */
/* Latency histograms as the server gives them. */

#include <config.h>

#include <stddef.h>

#include "histogram.h"

static unsigned
bucket (json_int_t bound)
{
  unsigned i = 0;

  while (i < HISTOGRAM_BUCKETS - 1 && (INT64_C (1) << i) < bound &&
         i < 62)
    i++;
  return i;
}

void
histogram_add (struct histogram *h, const json_t *latency, int sign)
{
  size_t i;
  json_t *pair;

  json_array_foreach (latency, i, pair) {
    const json_t *bound = json_array_get (pair, 0);
    json_int_t count = json_integer_value (json_array_get (pair, 1));
    /* The last bucket may have no bound. */
    unsigned b = json_is_integer (bound)
      ? bucket (json_integer_value (bound)) : HISTOGRAM_BUCKETS - 1;

    h->count[b] += sign * count;
  }
}

uint64_t
histogram_total (const struct histogram *h)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < HISTOGRAM_BUCKETS; i++)
    n += h->count[i];
  return n;
}

double
histogram_quantile (const struct histogram *h, double part)
{
  uint64_t all = histogram_total (h), n = 0;
  unsigned i;

  if (all == 0)
    return 0;
  for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
    n += h->count[i];
    if (n > 0 && n >= part * all)
      break;
  }
  return (double) (UINT64_C (1) << i);
}
