/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC 2.0: from a line of text to a method in a table, and back.
 *
 * Design
 *
 * A service is one table of methods.  The table drives look-up, checking of
 * parameters (a method is called only with parameters that match the table),
 * the output of "help", and the test of the manual.  Nothing here knows of
 * sockets: jsonrpc_handle is a function from a line to a line, so it can be
 * tested and fuzzed alone.
 *
 * Batches and positional parameters are not supported, and are answered with an
 * error.
 *
 * Thread-safety: no state is kept between calls.
 */

#ifndef MBLOCK_JSONRPC_H
#define MBLOCK_JSONRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <jansson.h>

/* The standard's error codes.  A service's own codes are from -32000 to -32099.
 */
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
  bool nullable;                /* null is allowed */
  /* Of an integer: its range.  Of a string: its length in bytes.  Of an array:
   * the number of its strings; max 0: any.
   */
  int64_t min, max;
  const char *const *words;     /* the allowed strings, ended by NULL; or NULL:
                                 * any */
  const char *fallback;         /* the value if it is not given, as JSON text;
                                 * NULL: the method sees that it is missing */
  const char *summary;
};

struct jsonrpc_call;

struct jsonrpc_method {
  const char *name;             /* NULL ends the table */
  const char *summary;
  const struct jsonrpc_param *params;   /* NULL: none */
  const char *result;           /* the shape of the result, for people */
  bool changes;                 /* log its calls with the client */
  /* May take long.  It is then called in a thread of its own, several at a
   * time, and without call->client.
   */
  bool blocking;
  const char *blocking_with;    /* a parameter with which it is, or NULL */
  /* Returns a new reference to the result; or NULL, after jsonrpc_fail or if
   * there is no memory.
   */
  json_t *(*fn) (struct jsonrpc_call *call);
};

/* Room for one escaped name (printable.h) and the text around it. */
#define JSONRPC_MESSAGE 512

struct jsonrpc_call {
  const struct jsonrpc_method *table;
  const struct jsonrpc_method *method;
  void *service;                /* as passed to jsonrpc_handle */
  void *client;
  const json_t *params;         /* an object: checked, with defaults */
  int code;                     /* of the error; 0: none */
  char message[JSONRPC_MESSAGE];
  json_t *data;                 /* of the error, or NULL */
};

/* The outcome of a request, for logs. */
struct jsonrpc_outcome {
  const struct jsonrpc_method *method;  /* NULL: no method was called */
  int code;                     /* 0: done */
  char message[JSONRPC_MESSAGE];        /* of the error */
  char params[JSONRPC_MESSAGE];         /* as JSON, truncated */
};

/* Answer one request. service and client are passed to the method; the line
 * needs no newline.  *answer becomes a line that ends with "\n" and that the
 * caller frees, or NULL for a notification. outcome may be NULL.  Returns 0, or
 * -1 if there is no memory for an answer.
 */
int jsonrpc_handle (const struct jsonrpc_method *table, void *service,
                    void *client, const char *line, size_t len,
                    char **answer, size_t *answer_len,
                    struct jsonrpc_outcome *outcome);

/* The same for a thread that must not block: returns 1 without having done
 * anything if the method is a blocking one.
 */
int jsonrpc_handle_soon (const struct jsonrpc_method *table, void *service,
                         void *client, const char *line, size_t len,
                         char **answer, size_t *answer_len,
                         struct jsonrpc_outcome *outcome);

/* A line for an error outside of any request. */
char *jsonrpc_error_line (int code, const char *message, size_t *len);

/* A line with a notification of this method.  Steals params. */
char *jsonrpc_notification (const char *method, json_t *params, size_t *len);

/* How a method fails.  Steals data, which may be NULL; returns NULL. */
json_t *jsonrpc_fail (struct jsonrpc_call *call, int code, json_t *data,
                      const char *fmt, ...)
  __attribute__ ((format (printf, 4, 5)));

/* A method's parameters. jsonrpc_given tells whether a parameter is present and
 * not null; the others require it to be.
 */
bool jsonrpc_given (const struct jsonrpc_call *call, const char *name);
bool jsonrpc_is_null (const struct jsonrpc_call *call, const char *name);
const char *jsonrpc_string (const struct jsonrpc_call *call, const char *name);
int64_t jsonrpc_integer (const struct jsonrpc_call *call, const char *name);
bool jsonrpc_boolean (const struct jsonrpc_call *call, const char *name);

/* A method for the table: describes the table. */
json_t *jsonrpc_help (struct jsonrpc_call *call);
extern const struct jsonrpc_param jsonrpc_help_params[];
#define JSONRPC_HELP_METHOD                                             \
  { .name = "help",                                                     \
    .summary = "Describe all methods, or one of them.",                 \
    .params = jsonrpc_help_params,                                      \
    .result = "{\"methods\": [{\"name\", \"summary\", "                 \
              "\"params\": [{\"name\", \"type\", \"required\", "        \
              "\"summary\", \"default\"}], \"result\"}]}",              \
    .fn = jsonrpc_help }

/* ------------------------------------------------ values of results */

/* A time of CLOCK_REALTIME: RFC 3339, in UTC, to the microsecond. */
json_t *jsonrpc_time (const struct timespec *time);

/* Foreign text, such as a name, or a message that contains a path.  Each byte
 * that is not UTF-8 is replaced by "?".
 */
json_t *jsonrpc_text (const char *text);

/* The same; null if it is empty, such as the text of an error that did not
 * happen.
 */
json_t *jsonrpc_text_or_null (const char *text);

#endif /* MBLOCK_JSONRPC_H */
