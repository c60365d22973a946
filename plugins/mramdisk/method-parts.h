/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of methods share: failing, and parameters that several
 * methods have.
 *
 * Each file of methods ends with a table of its own, which methods.c joins to
 * the one table that clients see.  To add methods, add such a table.
 *
 * Thread-safety: as methods.h.  Nothing here keeps a state.
 */

#ifndef MRAMDISK_METHOD_PARTS_H
#define MRAMDISK_METHOD_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"
#include "service.h"

/* The tables, in the order in which help lists them. */
extern const struct jsonrpc_method server_methods[];    /* methods.c */
extern const struct jsonrpc_method change_methods[];    /* methods-change.c */
extern const struct jsonrpc_method inspect_methods[];   /* methods-inspect.c */
extern const struct jsonrpc_method client_methods[];    /* methods-clients.c */
extern const struct jsonrpc_method job_methods[];       /* methods-jobs.c */
extern const struct jsonrpc_method stats_methods[];     /* methods-stats.c */

/* The most disks that one answer has. */
#define MOST_DISKS 1000

static inline struct service *
service_of (struct jsonrpc_call *call)
{
  return call->service;
}

/* -------------------------------------------------------------- failing */

/* An errno value as the protocol's code, and as the error's data. */
int error_code (int err);
json_t *error_data (int err);

/* Fail for an errno value, with a message that the caller has made.  Evaluates
 * to NULL.
 */
#define FAIL(call, err, ...)                                            \
  jsonrpc_fail (call, error_code (err), error_data (err), __VA_ARGS__)

/* The disk that the parameter names does not exist.  Returns NULL. */
json_t *no_disk (struct jsonrpc_call *call, const char *param);

/* Clients have the disk of that name open: says how many and, as far as there
 * is room, who.  Returns NULL.
 */
json_t *in_use (struct jsonrpc_call *call, const char *name);

/* Making or resizing the disk of the parameter "name" failed with err.  size
 * and sector_size are what was wanted.  Returns NULL.
 */
json_t *failed (struct jsonrpc_call *call, int err, uint64_t size,
                uint32_t sector_size);

/* ----------------------------------------------------------- parameters */

#define SIZE_RANGE .min = 0, .max = INT64_MAX
#define END { .name = NULL }

#define PARAM_NAME \
  { .name = "name", .type = JSONRPC_STRING, .required = true,           \
    .summary = "The name of the disk; may be empty." }
#define PARAM_READONLY \
  { .name = "readonly", .type = JSONRPC_BOOLEAN, .fallback = "false",   \
    .summary = "Whether the disk refuses writes." }
#define PARAM_QUOTA \
  { .name = "quota", .type = JSONRPC_INTEGER, .nullable = true, SIZE_RANGE, \
    .fallback = "null",                                                 \
    .summary = "How many bytes the disk may own; null means no limit." }
#define PARAM_IF_EXISTS \
  { .name = "if_exists", .type = JSONRPC_STRING, .words = if_exists_words, \
    .fallback = "\"error\"",                                            \
    .summary = "What to do if a disk of this name exists." }
#define PARAM_IF_OPEN                                                   \
  { .name = "if_open", .type = JSONRPC_STRING, .words = if_open_words,  \
    .fallback = "\"keep\"",                                             \
    .summary = "What to do if clients have the disk open." }
#define PARAM_AFTER \
  { .name = "after", .type = JSONRPC_STRING,                            \
    .summary = "Return only disks whose names sort after this one." }
#define PARAM_LIMIT_DISKS \
  { .name = "limit", .type = JSONRPC_INTEGER, .min = 1, .max = MOST_DISKS, \
    .fallback = "100", .summary = "The maximum number of disks to return." }

extern const char *const if_exists_words[];

enum if_exists if_exists (struct jsonrpc_call *call);

extern const char *const if_open_words[];

enum if_open if_open (struct jsonrpc_call *call);

/* In bytes; TREE_NO_QUOTA for null. */
uint64_t quota (struct jsonrpc_call *call);

/* -------------------------------------------------------------- results */

/* A disk, as the methods that describe disks give it. */
#define DISK_RESULT                                                     \
  "\"name\", \"uuid\", \"size\", \"sector_size\", \"readonly\", "           \
  "\"quota\", "                                                            \
  "\"mapped\", \"owned\", \"connections\", \"parent\", \"parent_exists\", " \
  "\"origin\""
json_t *json_disk (struct service *s, struct named_disk *d);

/* A client, and its parts in words: "unix, pid 4711, uid 0". */
#define CLIENT_RESULT                                                   \
  "\"id\", \"disk\", \"disk_id\", \"deleted\", \"address\", \"pid\", "    \
  "\"uid\", \"gid\", \"security_context\", \"tls_dn\", "                  \
  "\"tls_issuer_dn\", \"since\", \"last_request\", \"requests\", "         \
  "\"errors\", \"bytes_read\", \"bytes_written\""
json_t *json_client (const struct registry_client_info *info);
const char *peer_text (const struct registry_peer *peer, char *text,
                       size_t size);

/* An array of what fn makes of each disk of a page, and in *next the name to
 * go on with, or null.  The call has the parameters after and limit.  NULL:
 * no memory.
 */
json_t *page_of_disks (struct jsonrpc_call *call,
                       json_t *(*fn) (struct service *s,
                                      struct named_disk *d),
                       json_t **next);

#endif /* MRAMDISK_METHOD_PARTS_H */
