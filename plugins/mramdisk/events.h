/* SPDX-License-Identifier: BSD-3-Clause */
/* Events for subscribed clients of the control socket.
 *
 * Thread-safety
 *   called by the control socket's thread:  events_tick
 *   from any thread, takes a lock inside:   events_report
 */

#ifndef MRAMDISK_EVENTS_H
#define MRAMDISK_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#include "ramdisk/registry.h"

/* The events are the changes of the registry, and these. */
#define EVENT_MEMORY_LOW (CHANGE_QUOTA_LOW + 1)
#define EVENT_ORIGIN (CHANGE_QUOTA_LOW + 2)

/* Their names, and the bit for each in control.h. */
extern const char *const event_words[];
#define KIND(event) (UINT32_C (1) << (event))

/* Checks the free memory, the quotas and the origins at this interval, for
 * subscribers.
 */
#define EVENTS_TICK_MS 1000
void events_tick (void *service);
extern const uint32_t events_tick_kinds;

/* For registry_listen: publish a change as an event. */
void events_report (void *service, const struct change_report *report);

/* A quota in bytes, or null. */
json_t *json_quota (uint64_t bytes);

#endif /* MRAMDISK_EVENTS_H */
