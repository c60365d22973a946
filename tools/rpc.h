/* SPDX-License-Identifier: BSD-3-Clause */
/* The command's only connection to the server, made when it is first needed.
 * Functions that fail end the program with an exit code and a message.
 */

#ifndef MBLOCKCTL_RPC_H
#define MBLOCKCTL_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "client.h"

/* Application errors of the protocol that mblockctl handles specially. */
#define RPC_NO_SUCH_DISK (-32000)
#define RPC_EXISTS (-32001)
#define RPC_TOO_MANY_DISKS (-32004)
#define RPC_IN_USE (-32009)
#define RPC_OVER_QUOTA (-32010)

/* The path of the socket; if none was given, it is searched for. */
const char *rpc_socket (void);

/* The connection, made now if there is none yet. */
struct client *rpc_client (void);

/* The deadline of a request that is sent now. */
int64_t rpc_deadline (void);

/* Report the connection's last error, in the words of the command line, with a
 * hint that helps.
 */
void rpc_complain (void);

/* The same as JSON, for the member "error": a new reference. */
json_t *rpc_error (void);

/* Complain about the last error and exit. */
void rpc_fail (void) __attribute__ ((noreturn));

/* Call a method and return its result, a new reference.  Takes over params,
 * which may be NULL.
 */
json_t *rpc_call (const char *method, json_t *params);

/* As rpc_call, but returns NULL if the server refuses: rpc_client ()->code and
 * ->error say why.
 */
json_t *rpc_try (const char *method, json_t *params);

/* A method that returns its result in pages. */
struct pages {
  const char *method;
  const char *items;            /* the array in the result */
  const char *cursor;           /* the parameter that says where to continue */
  unsigned limit;               /* items to ask for at a time */
  const char *unit;             /* what the items are, for the progress bar */
  bool down;                    /* the cursor is a number that decreases */
};
extern const struct pages pages_list, pages_stats, pages_extents, pages_diff,
  pages_clients, pages_deleted;

/* Call the method until no page is left, and fn for each page. */
void rpc_each_page (const struct pages *p, json_t *params,
                    void (*fn) (void *opaque, json_t *page), void *opaque);

/* Merge all pages into one document: the first page, with the items of the
 * others added.  A new reference.
 */
json_t *rpc_all_pages (const struct pages *p, json_t *params);

/* Get members of an answer.  need_* end the program if the member is missing;
 * get_* return 0 or false then.
 */
json_t *need_array (const json_t *object, const char *key);
const char *need_string (const json_t *object, const char *key);
uint64_t need_size (const json_t *object, const char *key);
bool need_bool (const json_t *object, const char *key);
uint64_t get_size (const json_t *object, const char *key);
bool get_bool (const json_t *object, const char *key);

#endif /* MBLOCKCTL_RPC_H */
