/* SPDX-License-Identifier: BSD-3-Clause */
/* Latency histograms in the server's format, [[upper bound in ns, count], …],
 * with powers of two as bounds.
 */

#ifndef MBLOCKCTL_HISTOGRAM_H
#define MBLOCKCTL_HISTOGRAM_H

#include <stdint.h>

#include <jansson.h>

/* count[i]: how many requests took more than 2^(i-1) and at most 2^i ns. */
#define HISTOGRAM_BUCKETS 64
struct histogram {
  uint64_t count[HISTOGRAM_BUCKETS];
};

/* Add (sign 1) or subtract (sign -1) the server's counts. */
void histogram_add (struct histogram *h, const json_t *latency, int sign);

uint64_t histogram_total (const struct histogram *h);

/* The bound, in ns, that this fraction (0 to 1) of all requests stays below; 0
 * if there are none.
 */
double histogram_quantile (const struct histogram *h, double part);

#endif /* MBLOCKCTL_HISTOGRAM_H */
