/* SPDX-License-Identifier: BSD-3-Clause */
/* The one connection to the server that a command uses, made when it is first
 * needed.  What fails ends the program with its exit code and a message.
 */

#ifndef MBLOCKCTL_RPC_H
#define MBLOCKCTL_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "client.h"

/* Application errors of the protocol that we treat specially. */
#define RPC_NO_SUCH_DISK (-32000)

/* The path of the socket; fails if none was given. */
const char *rpc_socket (void);

/* The connection, made now if it was not yet. */
struct client *rpc_client (void);

/* When an answer to a request that is sent now is too late. */
int64_t rpc_deadline (void);

/* Complain about the connection's last error and exit. */
void rpc_fail (void) __attribute__ ((noreturn));

/* Call a method and return its result, a new reference.  Takes over params,
 * which may be NULL.
 */
json_t *rpc_call (const char *method, json_t *params);

/* The same, but if the server refuses it returns NULL: rpc_client ()->code and
 * ->error say why.
 */
json_t *rpc_try (const char *method, json_t *params);

/* A method that gives its result in pages. */
struct pages {
  const char *method;
  const char *items;            /* the array in the result */
  const char *cursor;           /* the parameter that says where to go on */
  unsigned limit;               /* items to ask for at a time */
  const char *unit;             /* what the items are, for the progress bar */
};
extern const struct pages pages_list, pages_stats, pages_extents, pages_diff;

/* Call it until nothing is left, and fn for each page. */
void rpc_each_page (const struct pages *p, json_t *params,
                    void (*fn) (void *opaque, json_t *page), void *opaque);

/* The first page with all items of the others added: one document.  A new
 * reference.
 */
json_t *rpc_all_pages (const struct pages *p, json_t *params);

/* Members of an answer: those that must be there end the program if they are
 * not; the others are 0 or false then.
 */
json_t *need_array (const json_t *object, const char *key);
const char *need_string (const json_t *object, const char *key);
uint64_t need_size (const json_t *object, const char *key);
bool need_bool (const json_t *object, const char *key);
uint64_t get_size (const json_t *object, const char *key);
bool get_bool (const json_t *object, const char *key);

#endif /* MBLOCKCTL_RPC_H */
