/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits on nbdkit's own buffers. buffers.h has the design. */

#include <config.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffers.h"

void
buffers_init (struct buffers *b, uint32_t max_request,
              uint64_t max_connections)
{
  b->max_request = max_request;
  b->max_connections = max_connections;
  atomic_init (&b->connections, 0);
  atomic_init (&b->excess, 0);
}

uint64_t
buffers_bound (uint32_t max_request, uint64_t max_connections,
               unsigned threads)
{
  return max_connections * (threads + 1) * max_request;
}

/* Add to a counter, unless it would exceed most. */
static bool
add_up_to (_Atomic uint64_t *counter, uint64_t n, uint64_t most)
{
  uint64_t old = atomic_load_explicit (counter, memory_order_relaxed);

  do {
    if (n > most || old > most - n)
      return false;
  } while (!atomic_compare_exchange_weak_explicit (counter, &old, old + n,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed));
  return true;
}

bool
buffers_connect (struct buffers *b)
{
  return add_up_to (&b->connections, 1, b->max_connections);
}

void
buffers_disconnect (struct buffers *b, uint64_t excess)
{
  atomic_fetch_sub_explicit (&b->connections, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit (&b->excess, excess, memory_order_relaxed);
}

bool
buffers_grant (struct buffers *b, uint32_t count, uint32_t *mine,
               _Atomic uint64_t *all)
{
  uint32_t need = count - b->max_request;

  if (need <= *mine)
    return true;
  if (!add_up_to (&b->excess, need - *mine,
                  b->max_connections * b->max_request))
    return false;
  atomic_fetch_add_explicit (all, need - *mine, memory_order_relaxed);
  *mine = need;
  return true;
}
