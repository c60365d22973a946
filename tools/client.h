/* SPDX-License-Identifier: BSD-3-Clause */
/* A JSON-RPC 2.0 client over a Unix socket, one JSON object a line.
 *
 * It prints nothing and never exits: functions return -1 with a message in
 * client->error, and client->retry says if trying later could help.  Not
 * thread-safe.
 */

#ifndef MBLOCKCTL_CLIENT_H
#define MBLOCKCTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* The longest answer that is accepted, in bytes.  An answer with 1000 disks,
 * all with names of maximum length and each byte escaped, stays below it.
 */
#define CLIENT_MAX_LINE (64u << 20)

#define CLIENT_NEVER INT64_MAX

struct client {
  int fd;                       /* -1: not connected */
  char *buf;                    /* received, but not yet handed out */
  size_t len, size;
  size_t scanned;               /* no newline before this offset */
  json_int_t last_id;
  json_int_t code;              /* of the last error answer */
  json_t *data;                 /* the same; may be NULL */
  bool retry;
  bool refused;                 /* the error is the server's own answer */
  char error[8192];

  /* If set, replaces poll(2) to wait until fd can be read, for a caller that
   * also watches other things.  Returns false if the deadline has passed.
   */
  bool (*wait) (int fd, int64_t deadline);
};

#define CLIENT_INIT { .fd = -1 }

/* Milliseconds on the clock that the deadlines below use. */
int64_t client_now (void);

/* Deadlines are in milliseconds of client_now, or CLIENT_NEVER. */
int client_open (struct client *c, const char *path, int64_t deadline);
void client_close (struct client *c);

/* Send a request.  Takes over params (NULL: none). */
int client_send (struct client *c, const char *method, json_t *params,
                 int64_t deadline);

/* Take the next message without waiting.
 * Returns 1 with the message, 0 if none has arrived yet, or -1.
 */
int client_poll (struct client *c, json_t **message);

/* Is that message the answer to the last request?  A notification is not.
 * Returns 1 with a new reference to the result; 0 if it is not; or -1 if the
 * server refused (client->refused) or the message is invalid.
 */
int client_result (struct client *c, const json_t *message, json_t **result);

/* Wait for the next message. */
int client_receive (struct client *c, int64_t deadline, json_t **message);

/* Send a request and wait for its result, a new reference. */
int client_call (struct client *c, const char *method, json_t *params,
                 int64_t deadline, json_t **result);

#endif /* MBLOCKCTL_CLIENT_H */
