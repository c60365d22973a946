/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the filter's control socket, for which mblock-control(7) is
 * the reference.
 *
 * Thread-safety: the control socket's thread calls them, one at a time; but
 * those that are slow have threads of their own.
 */

#ifndef MNBD_METHODS_H
#define MNBD_METHODS_H

#include <time.h>

#include "jsonrpc.h"

/* Goes up when a client that was right before may be wrong. */
#define FILTER_PROTOCOL 1

/* A moment of CLOCK_REALTIME, as all methods tell it. */
json_t *method_time (const struct timespec *time);

/* Text that others chose, a name or a message with a path in it: where it is no
 * UTF-8, "?" stands for each byte that is not ASCII.
 */
json_t *method_text (const char *text);

/* The same; null if it is empty, as the text of an error that did not happen. */
json_t *method_text_or_null (const char *text);

extern const struct jsonrpc_method filter_methods[];

#endif /* MNBD_METHODS_H */
