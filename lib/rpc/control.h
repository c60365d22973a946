/* SPDX-License-Identifier: BSD-3-Clause */
/* What a service passes to the control socket's server (server.h), and the
 * server's limits.
 *
 * Thread-safety
 *   only from methods:  control_subscribe
 */

#ifndef MBLOCK_CONTROL_H
#define MBLOCK_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/jsonrpc.h"

/* The longest line that a client may send, in bytes, without its newline. */
#define CONTROL_MAX_LINE (1u << 20)

/* How many bytes a client may leave unread before its requests wait. */
#define CONTROL_MAX_OUTPUT (4u << 20)

#define CONTROL_DEFAULT_CLIENTS 1024
#define CONTROL_DEFAULT_STALL_MS 30000

/* The error for a client beyond max_clients. */
#define CONTROL_BUSY -32008

enum control_log {
  CONTROL_INFO,                 /* what a client changed */
  CONTROL_WARNING,              /* what the operator should know */
};

struct control_options {
  const char *path;             /* absolute */
  mode_t mode;                  /* of the socket */
  bool has_group;
  gid_t group;                  /* that the socket is given to, if has_group */
  unsigned max_clients;         /* 0: CONTROL_DEFAULT_CLIENTS */
  unsigned stall_ms;            /* 0: CONTROL_DEFAULT_STALL_MS */
  const struct jsonrpc_method *methods;
  void *service;                /* for the methods: call->service */
  void (*log) (void *opaque, enum control_log level, const char *line);
  /* Called every tick_ms while anyone is subscribed to one of tick_kinds. */
  void (*tick) (void *opaque);
  unsigned tick_ms;
  uint32_t tick_kinds;
  /* Called after each call of a method that may change something, by the
   * control thread; or NULL.
   */
  void (*changed) (void *opaque);
  void *opaque;                 /* for log, tick and changed */
};

struct control_client;

/* Subscribe a method's client (call->client) to events of these kinds. */
void control_subscribe (struct control_client *client, uint32_t kinds);

#endif /* MBLOCK_CONTROL_H */
