/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC 2.0: from a line of text to a method of a table, and back.
 *
 * Design
 *
 * A service is one table of methods.  The table drives the look-up, the
 * checking of parameters (a method is called only with parameters that are as
 * the table says), the answers of "help", and the test of the manual.  Nothing
 * here knows of sockets: jsonrpc_handle is a function from a line to a line,
 * so that it can be tested and fuzzed alone.
 *
 * Of the standard there is left out: batches and parameters by position.  Both
 * are answered with an error.
 *
 * Thread-safety: no state is kept between calls.
 */

#ifndef MBLOCK_JSONRPC_H
#define MBLOCK_JSONRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* The standard's error codes.  A service's own are from -32000 to -32099. */
#define JSONRPC_PARSE_ERROR -32700
#define JSONRPC_INVALID_REQUEST -32600
#define JSONRPC_NO_METHOD -32601
#define JSONRPC_BAD_PARAMS -32602
#define JSONRPC_INTERNAL -32603

enum jsonrpc_type {
  JSONRPC_BOOLEAN,
  JSONRPC_INTEGER,
  JSONRPC_STRING,
  JSONRPC_STRINGS,              /* an array of strings */
};

struct jsonrpc_param {
  const char *name;             /* NULL ends the list */
  enum jsonrpc_type type;
  bool required;
  bool nullable;                /* null is a value too */
  /* Of an integer; of a string its length in bytes; of an array the number of
   * its strings.
   */
  int64_t min, max;
  const char *const *words;     /* what strings may say; NULL ends, or is any */
  const char *fallback;         /* the value if it is not given, as JSON text;
                                 * NULL: the method sees that it is missing */
  const char *summary;
};

struct jsonrpc_call;

struct jsonrpc_method {
  const char *name;             /* NULL ends the table */
  const char *summary;
  const struct jsonrpc_param *params;   /* NULL: none */
  const char *result;           /* what it looks like, for people */
  bool changes;                 /* to be logged with who asked for it */
  /* May take long.  Then it is called in a thread of its own, several at
   * a time, and without call->client.
   */
  bool slow;
  /* Returns a new reference to the result; or NULL after jsonrpc_fail, or
   * without it for want of memory.
   */
  json_t *(*fn) (struct jsonrpc_call *call);
};

/* Room for one name (printable.h) and what is said about it. */
#define JSONRPC_MESSAGE 512

struct jsonrpc_call {
  const struct jsonrpc_method *table;
  const struct jsonrpc_method *method;
  void *service;                /* what jsonrpc_handle was given */
  void *client;
  const json_t *params;         /* an object: checked, and with fallbacks */
  int code;                     /* of the error, 0: none */
  char message[JSONRPC_MESSAGE];
  json_t *data;                 /* of the error, or NULL */
};

/* What became of a request, for those who log it. */
struct jsonrpc_outcome {
  const struct jsonrpc_method *method;  /* NULL: it came to none */
  int code;                     /* 0: done */
  char message[JSONRPC_MESSAGE];        /* of the error */
  char params[JSONRPC_MESSAGE];         /* as JSON, cut off where too long */
};

/* Answer one request.  service and client are passed on to the method; the
 * line needs no end.  *answer becomes a line that ends with "\n" to be freed by
 * the caller, or NULL for a notification.  outcome may be NULL.
 * Returns 0, or -1 if there is no memory for an answer.
 */
int jsonrpc_handle (const struct jsonrpc_method *table, void *service,
                    void *client, const char *line, size_t len,
                    char **answer, size_t *answer_len,
                    struct jsonrpc_outcome *outcome);

/* The same in a thread that others wait for: returns 1, having done nothing, if
 * the method is a slow one.
 */
int jsonrpc_handle_soon (const struct jsonrpc_method *table, void *service,
                         void *client, const char *line, size_t len,
                         char **answer, size_t *answer_len,
                         struct jsonrpc_outcome *outcome);

/* A line that says that an error happened outside of any request. */
char *jsonrpc_error_line (int code, const char *message, size_t *len);

/* A line that is a notification of that method.  Steals params. */
char *jsonrpc_notification (const char *method, json_t *params, size_t *len);

/* A method's way to fail.  Steals data, which may be NULL; returns NULL. */
json_t *jsonrpc_fail (struct jsonrpc_call *call, int code, json_t *data,
                      const char *fmt, ...)
  __attribute__ ((format (printf, 4, 5)));

/* A method's parameters.  With jsonrpc_given a method learns whether one is
 * there (and, if it can be null, is not); the others want it to be.
 */
bool jsonrpc_given (const struct jsonrpc_call *call, const char *name);
bool jsonrpc_is_null (const struct jsonrpc_call *call, const char *name);
const char *jsonrpc_string (const struct jsonrpc_call *call, const char *name);
int64_t jsonrpc_integer (const struct jsonrpc_call *call, const char *name);
bool jsonrpc_boolean (const struct jsonrpc_call *call, const char *name);

/* Ready to be put into a table: describes it. */
json_t *jsonrpc_help (struct jsonrpc_call *call);
extern const struct jsonrpc_param jsonrpc_help_params[];
#define JSONRPC_HELP_METHOD                                             \
  { .name = "help",                                                     \
    .summary = "Describe the methods, or one of them.",                 \
    .params = jsonrpc_help_params,                                      \
    .result = "{\"methods\": [{\"name\", \"summary\", "                 \
              "\"params\": [{\"name\", \"type\", \"required\", "        \
              "\"summary\", \"default\"}], \"result\"}]}",              \
    .fn = jsonrpc_help }

#endif /* MBLOCK_JSONRPC_H */
