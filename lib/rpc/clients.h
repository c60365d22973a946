/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients of the control socket: lines, responses, limits and closing.
 *
 * Invariants: what may point to a client, and for how long
 *
 *   K1  client_close removes a client from every list and from epoll at once.
 *       So a client in `clients` or `ready` is open, and code that closes one
 *       (because a send fails or a queue is full) need not consider which lists
 *       have been or will be walked.
 *   K2  A closed client is in `closed`, and its memory is freed in one place:
 *       before epoll_wait, where no event of the last turn and no function up
 *       the stack points to it.  Until then, the flag `closed` tells them to
 *       ignore it.
 *   K3  A function that is given a client closes that one or none.  So walking
 *       `clients` is safe if the next client is found before the function is
 *       called.
 *   K4  Only the control thread accesses clients.  The thread of a blocking
 *       method does not know its client; blocking_call.client becomes NULL when
 *       the client is closed.
 *
 * Thread-safety: the functions are for the control thread, or for one thread
 * once that has ended; clients_count and clients_wanted are for any thread.
 */

#ifndef MBLOCK_CLIENTS_H
#define MBLOCK_CLIENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mutex.h"
#include "rpc/control.h"

struct clients {
  const struct control_options *o;
  int epoll_fd, wake_fd;        /* owned by the server */
  atomic_uint count;
  _Atomic uint32_t wanted;      /* union of the clients' kinds */

  struct mutex lock;            /* a leaf: no lock is taken inside */
  /* Calls whose threads can be joined. */
  struct blocking_call *blocking_ended GUARDED_BY (lock);

  /* The rest belongs to the control thread. */
  struct list open, ready;      /* K1 */
  struct list closed;           /* K2 */
  struct list blocking;
};

void clients_init (struct clients *cs, const struct control_options *o);
void clients_end (struct clients *cs);

/* Wake the control thread to process what other threads have queued. */
void clients_wake (struct clients *cs);

/* Log a line through the service. */
void control_say (const struct control_options *o, enum control_log level,
                  const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Serve a connection, which is non-blocking.  Returns 0, or -1 if that is
 * impossible; then it is still open.
 */
int clients_add (struct clients *cs, int fd);

/* Handle an event of epoll for a client. */
void client_event (struct control_client *cl, uint32_t events);

/* One turn for each client that has requests to be answered. */
void clients_turn (struct clients *cs);

/* Continue clients whose blocking methods have returned. */
void clients_end_calls (struct clients *cs);

/* Wait for all blocking methods. */
void clients_wait_calls (struct clients *cs);

/* Queue a line for all clients that subscribed to the kind; and send what is
 * queued.
 */
void clients_publish (struct clients *cs, uint32_t kind, const char *line,
                      size_t len);
void clients_send_events (struct clients *cs);

/* Whether any client has left output unread.  Closes those that leave too much
 * unread, or are to be closed, and have read nothing for stall_ms.
 */
bool clients_have_output (const struct clients *cs);
void clients_check_stalled (struct clients *cs, uint64_t now_ms);

void clients_close_all (struct clients *cs);

/* Free closed clients.  Call it only where K2 allows it. */
void clients_free_closed (struct clients *cs);

static inline unsigned
clients_count (struct clients *cs)
{
  return atomic_load_explicit (&cs->count, memory_order_relaxed);
}

static inline bool
clients_wanted (struct clients *cs, uint32_t kind)
{
  return atomic_load_explicit (&cs->wanted, memory_order_relaxed) & kind;
}

#endif /* MBLOCK_CLIENTS_H */
