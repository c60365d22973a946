/* SPDX-License-Identifier: BSD-3-Clause */
/* Events for the clients of the control socket that subscribed to them.
 *
 * Thread-safety
 *   called by the control socket's thread:  events_tick
 *   from any thread, takes a lock inside:   events_report
 */

#ifndef MRAMDISK_EVENTS_H
#define MRAMDISK_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#include "registry.h"

/* The events are the registry's changes and this one. */
#define EVENT_MEMORY_LOW (CHANGE_QUOTA + 1)

/* Their names, and the bit that stands for one in control.h. */
extern const char *const event_words[];
#define KIND(event) (UINT32_C (1) << (event))

/* Looks at how much memory is left, so often, for those who subscribed. */
#define EVENTS_TICK_MS 1000
void events_tick (void *service);
extern const uint32_t events_tick_kinds;

/* For registry_listen: make an event of it. */
void events_report (void *service, const struct change_report *report);

/* A quota in bytes, or null. */
json_t *json_quota (uint64_t bytes);

#endif /* MRAMDISK_EVENTS_H */
