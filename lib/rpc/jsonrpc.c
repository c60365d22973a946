/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC 2.0.  jsonrpc.h has the design. */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "rpc/jsonrpc.h"

/* Integers up to here are exact in a double. */
#define EXACT_DOUBLE 9007199254740992.0

#define WRITE_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY)

static void
cleanup_json (json_t **p)
{
  json_decref (*p);
}
#define CLEANUP_JSON __attribute__ ((cleanup (cleanup_json)))

/* ---------------------------------------------------------------- output */

/* A value as JSON text, truncated to the buffer. */
struct excerpt {
  char *buf;
  size_t size, n;
};

static int
excerpt_add (const char *text, size_t len, void *opaque)
{
  struct excerpt *e = opaque;
  size_t room = e->size - 1 - e->n;
  size_t n = len < room ? len : room;

  memcpy (e->buf + e->n, text, n);
  e->n += n;
  return n < len ? -1 : 0;
}

static const char *
excerpt (const json_t *value, char *buf, size_t size)
{
  struct excerpt e = { buf, size, 0 };

  if (size <= sizeof "…")
    return "";
  e.size -= sizeof "…" - 1;
  /* ASCII, so that it can be truncated anywhere. */
  if (json_dump_callback (value, excerpt_add, &e,
                          WRITE_FLAGS | JSON_ENSURE_ASCII) == -1)
    strcpy (buf + e.n, "…");
  else
    buf[e.n] = '\0';
  return buf;
}

static char *
to_line (json_t *message, size_t *len)
{
  size_t n = 0;
  char *line = message ? json_dumps (message, JSON_COMPACT) : NULL;
  char *longer;

  if (line) {
    n = strlen (line);
    longer = realloc (line, n + 2);
    if (longer == NULL)
      free (line);
    line = longer;
  }
  if (line) {
    strcpy (line + n, "\n");
    *len = n + 1;
  }
  json_decref (message);
  return line;
}

/* Steals data and id. */
static char *
error_line (int code, const char *text, json_t *data, json_t *id, size_t *len)
{
  json_t *error = json_pack ("{s:i, s:s}", "code", code, "message", text);

  if (data && json_object_set_new (error, "data", data) == -1) {
    json_decref (error);
    error = NULL;
  }
  return to_line (json_pack ("{s:s, s:o, s:o}", "jsonrpc", "2.0",
                             "error", error, "id", id ? id : json_null ()),
                  len);
}

char *
jsonrpc_error_line (int code, const char *message, size_t *len)
{
  return error_line (code, message, NULL, NULL, len);
}

char *
jsonrpc_notification (const char *method, json_t *params, size_t *len)
{
  return to_line (json_pack ("{s:s, s:s, s:o}", "jsonrpc", "2.0",
                             "method", method, "params", params), len);
}

json_t *
jsonrpc_fail (struct jsonrpc_call *call, int code, json_t *data,
              const char *fmt, ...)
{
  va_list args;

  call->code = code;
  json_decref (call->data);
  call->data = data;
  va_start (args, fmt);
  vsnprintf (call->message, sizeof call->message, fmt, args);
  va_end (args);
  /* The message may have been truncated inside a character. */
  utf8_mend (call->message);
  return NULL;
}

/* ------------------------------------------------------------- parameters */

static const json_t *
param (const struct jsonrpc_call *call, const char *name)
{
  return json_object_get (call->params, name);
}

bool
jsonrpc_given (const struct jsonrpc_call *call, const char *name)
{
  const json_t *value = param (call, name);

  return value && !json_is_null (value);
}

bool
jsonrpc_is_null (const struct jsonrpc_call *call, const char *name)
{
  return json_is_null (param (call, name));
}

const char *
jsonrpc_string (const struct jsonrpc_call *call, const char *name)
{
  return json_string_value (param (call, name));
}

int64_t
jsonrpc_integer (const struct jsonrpc_call *call, const char *name)
{
  return json_integer_value (param (call, name));
}

bool
jsonrpc_boolean (const struct jsonrpc_call *call, const char *name)
{
  return json_is_true (param (call, name));
}

/* What the table expects of a parameter, in words. */
static const char *
expected (const struct jsonrpc_param *p, char *buf, size_t size)
{
  const char *null = p->nullable ? ", or null" : "";
  const char *const *word;
  size_t n;

  if (p->words) {
    n = snprintf (buf, size, "%s",
                  p->type == JSONRPC_STRINGS ? "an array of" : "one of");
    for (word = p->words; *word && n < size; word++)
      n += snprintf (buf + n, size - n, "%s \"%s\"",
                     word == p->words ? "" : ",", *word);
    return buf;
  }
  switch (p->type) {
  case JSONRPC_BOOLEAN:
    snprintf (buf, size, "true or false%s", null);
    break;
  case JSONRPC_INTEGER:
    snprintf (buf, size, "an integer from %" PRId64 " to %" PRId64 "%s",
              p->min, p->max, null);
    break;
  case JSONRPC_STRING:
    snprintf (buf, size, "a string without NUL%s", null);
    break;
  case JSONRPC_STRINGS:
    if (p->max)
      snprintf (buf, size, "an array of %" PRId64 " to %" PRId64 " strings%s",
                p->min, p->max, null);
    else
      snprintf (buf, size, "an array of strings%s", null);
    break;
  }
  return buf;
}

static bool
is_word (const struct jsonrpc_param *p, const json_t *value)
{
  const char *const *word;

  if (!json_is_string (value) ||
      strlen (json_string_value (value)) != json_string_length (value))
    return false;
  if (p->words == NULL)
    return true;
  for (word = p->words; *word; word++)
    if (strcmp (*word, json_string_value (value)) == 0)
      return true;
  return false;
}

static bool
fits (const struct jsonrpc_param *p, const json_t *value)
{
  const json_t *element;
  size_t i;

  if (json_is_null (value))
    return p->nullable;
  switch (p->type) {
  case JSONRPC_BOOLEAN:
    return json_is_boolean (value);
  case JSONRPC_INTEGER:
    return json_is_integer (value) && json_integer_value (value) >= p->min &&
      json_integer_value (value) <= p->max;
  case JSONRPC_STRING:
    return is_word (p, value);
  case JSONRPC_STRINGS:
    if (!json_is_array (value))
      return false;
    json_array_foreach (value, i, element)
      if (!is_word (p, element))
        return false;
    return p->max == 0 || ((int64_t) json_array_size (value) >= p->min &&
                           (int64_t) json_array_size (value) <= p->max);
  }
  return false;
}

static const struct jsonrpc_param *
find_param (const struct jsonrpc_method *m, const char *name)
{
  const struct jsonrpc_param *p;

  for (p = m->params; p && p->name; p++)
    if (strcmp (p->name, name) == 0)
      return p;
  return NULL;
}

/* Check the given parameters, and add defaults for the others. false: the error
 * is in call->message.
 */
static bool
check_params (struct jsonrpc_call *call, json_t *params)
{
  const struct jsonrpc_method *m = call->method;
  const struct jsonrpc_param *p;
  char text[80], want[160], shown[PRINTABLE_STRING];
  const char *key;
  json_t *value;

  json_object_foreach (params, key, value) {
    p = find_param (m, key);
    if (p == NULL) {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                    "unknown parameter \"%s\": see help of %s",
                    printable_name (key, shown), m->name);
      return false;
    }
    if (!fits (p, value)) {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL, "%s: %s: expected %s",
                    p->name, excerpt (value, text, sizeof text),
                    expected (p, want, sizeof want));
      return false;
    }
  }
  for (p = m->params; p && p->name; p++) {
    if (json_object_get (params, p->name))
      continue;
    if (p->required) {
      jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                    "%s is missing: expected %s", p->name,
                    expected (p, want, sizeof want));
      return false;
    }
    if (p->fallback &&
        json_object_set_new (params, p->name,
                             json_loads (p->fallback, JSON_DECODE_ANY,
                                         NULL)) == -1)
      return false;
  }
  return true;
}

/* --------------------------------------------------------------- requests */

/* Turn reals that stand for small integers into integers. */
static void
restore_integers (json_t *object)
{
  const char *key;
  json_t *value;
  double r;

  json_object_foreach (object, key, value) {
    r = json_real_value (value);
    if (json_is_object (value))
      restore_integers (value);
    else if (json_is_real (value) && r > -EXACT_DOUBLE && r < EXACT_DOUBLE &&
             r == (double) (json_int_t) r)
      json_object_set_new (object, key, json_integer ((json_int_t) r));
  }
}

/* Parse a line.  An integer of more than 64 bits is valid JSON, but jansson
 * rejects the whole line.  The line is then parsed again with all integers as
 * reals, so that the error can name the parameter.
 */
static json_t *
parse (const char *line, size_t len, json_error_t *error)
{
  const size_t flags =
    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
  json_t *request = json_loadb (line, len, flags, error);

  if (request == NULL &&
      json_error_code (error) == json_error_numeric_overflow) {
    request = json_loadb (line, len, flags | JSON_DECODE_INT_AS_REAL, error);
    if (json_is_object (request))
      restore_integers (request);
  }
  return request;
}

static bool
is_id (const json_t *id)
{
  return json_is_string (id) || json_is_number (id) || json_is_null (id);
}

/* Returns what is wrong with a request, or NULL. */
static const char *
check_request (const json_t *request, char *buf, size_t size)
{
  static const char *const members[] = { "jsonrpc", "method", "params", "id" };
  const json_t *version, *params, *value, *id;
  char shown[PRINTABLE_STRING];
  const char *key;
  size_t i;

  if (json_is_array (request))
    return "batches are not supported: expected one object a line";
  if (!json_is_object (request))
    return "not a request: expected an object";
  version = json_object_get (request, "jsonrpc");
  if (!json_is_string (version) ||
      strcmp (json_string_value (version), "2.0") != 0)
    return "jsonrpc: expected \"2.0\"";
  id = json_object_get (request, "id");
  if (id && !is_id (id))
    return "id: expected a string, a number or null";
  if (!json_is_string (json_object_get (request, "method")))
    return "method: expected a string";
  params = json_object_get (request, "params");
  if (json_is_array (params))
    return "params: parameters by position are not supported: "
      "expected an object";
  if (params && !json_is_object (params))
    return "params: expected an object";
  json_object_foreach ((json_t *) request, key, value) {
    for (i = 0; i < sizeof members / sizeof members[0]; i++)
      if (strcmp (key, members[i]) == 0)
        break;
    if (i == sizeof members / sizeof members[0]) {
      snprintf (buf, size, "unknown member \"%s\": expected jsonrpc, "
                "method, params and id", printable_name (key, shown));
      return buf;
    }
  }
  return NULL;
}

/* Run the method.  Returns the result, or NULL with the error in call.  Sets
 * *later and does not run it if it may block and must not.
 */
static json_t *
run (struct jsonrpc_call *call, json_t *request,
     struct jsonrpc_outcome *outcome, bool may_be_slow, bool *later)
{
  const json_t *name = json_object_get (request, "method");
  json_t *params = json_object_get (request, "params"), *result = NULL;
  const struct jsonrpc_method *m;
  char text[80];

  for (m = call->table; m->name; m++)
    if (strlen (m->name) == json_string_length (name) &&
        strcmp (m->name, json_string_value (name)) == 0)
      break;
  if (m->name == NULL)
    return jsonrpc_fail (call, JSONRPC_NO_METHOD, NULL,
                         "there is no method %s: see help",
                         excerpt (name, text, sizeof text));
  call->method = m;
  if (outcome) {
    outcome->method = m;
    strcpy (outcome->params, "{}");
    if (params)
      excerpt (params, outcome->params, sizeof outcome->params);
  }

  if (params == NULL) {
    params = json_object ();
    if (params == NULL || json_object_set_new (request, "params", params) == -1)
      return NULL;
  }
  call->params = params;
  if (check_params (call, params)) {
    *later = !may_be_slow &&
      (m->blocking || (m->blocking_with &&
                       json_object_get (params, m->blocking_with)));
    if (!*later)
      result = m->fn (call);
  }
  return result;
}

static int
handle (struct jsonrpc_call call, bool may_be_slow, const char *line,
        size_t len, char **answer, size_t *answer_len,
        struct jsonrpc_outcome *outcome)
{
  json_t *result = NULL, *id = NULL;
  CLEANUP_JSON json_t *request = NULL;
  char buf[JSONRPC_MESSAGE];
  const char *wrong;
  json_error_t error;
  bool later = false;

  *answer = NULL;
  *answer_len = 0;
  if (outcome)
    memset (outcome, 0, sizeof *outcome);

  request = parse (line, len, &error);
  if (request == NULL) {
    if (json_error_code (&error) == json_error_out_of_memory)
      return -1;
    jsonrpc_fail (&call, JSONRPC_PARSE_ERROR, NULL,
                  "not JSON: column %d: %s", error.column, error.text);
  }
  else if ((wrong = check_request (request, buf, sizeof buf)) != NULL) {
    id = json_object_get (request, "id");
    if (id && !is_id (id))
      id = NULL;
    jsonrpc_fail (&call, JSONRPC_INVALID_REQUEST, NULL, "%s", wrong);
  }
  else {
    id = json_object_get (request, "id");
    result = run (&call, request, outcome, may_be_slow, &later);
    if (later)
      return 1;
    if (result == NULL && call.code == 0)
      jsonrpc_fail (&call, JSONRPC_INTERNAL, NULL, "out of memory");
    if (id == NULL) {           /* a notification */
      if (outcome) {
        outcome->code = call.code;
        strcpy (outcome->message, call.message);
      }
      json_decref (result);
      json_decref (call.data);
      return 0;
    }
  }

  if (outcome) {
    outcome->code = call.code;
    strcpy (outcome->message, call.message);
  }
  if (result)
    *answer = to_line (json_pack ("{s:s, s:o, s:O}", "jsonrpc", "2.0",
                                  "result", result, "id", id), answer_len);
  else
    *answer = error_line (call.code, call.message, call.data,
                          id ? json_incref (id) : NULL, answer_len);
  return *answer ? 0 : -1;
}

int
jsonrpc_handle (const struct jsonrpc_method *table, void *service,
                void *client, const char *line, size_t len,
                char **answer, size_t *answer_len,
                struct jsonrpc_outcome *outcome)
{
  const struct jsonrpc_call call = {
    .table = table, .service = service, .client = client
  };

  return handle (call, true, line, len, answer, answer_len, outcome);
}

int
jsonrpc_handle_soon (const struct jsonrpc_method *table, void *service,
                     void *client, const char *line, size_t len,
                     char **answer, size_t *answer_len,
                     struct jsonrpc_outcome *outcome)
{
  const struct jsonrpc_call call = {
    .table = table, .service = service, .client = client
  };

  return handle (call, false, line, len, answer, answer_len, outcome);
}

/* ------------------------------------------------------------------- help */

const struct jsonrpc_param jsonrpc_help_params[] = {
  { .name = "method", .type = JSONRPC_STRING,
    .summary = "Describe only this method." },
  { .name = NULL }
};

static json_t *
help_param (const struct jsonrpc_param *p)
{
  char type[160];

  return json_pack ("{s:s, s:s, s:b, s:s, s:o}", "name", p->name,
                    "type", expected (p, type, sizeof type),
                    "required", p->required, "summary", p->summary, "default",
                    p->fallback ? json_loads (p->fallback, JSON_DECODE_ANY,
                                              NULL) : json_null ());
}

static json_t *
help_method (const struct jsonrpc_method *m)
{
  const struct jsonrpc_param *p;
  json_t *params = json_array ();

  for (p = m->params; p && p->name; p++)
    if (json_array_append_new (params, help_param (p)) == -1) {
      json_decref (params);
      return NULL;
    }
  return json_pack ("{s:s, s:s, s:o, s:s}", "name", m->name,
                    "summary", m->summary, "params", params,
                    "result", m->result);
}

json_t *
jsonrpc_help (struct jsonrpc_call *call)
{
  const struct jsonrpc_method *m;
  json_t *methods = json_array ();
  const char *only = NULL;
  char shown[PRINTABLE_STRING];

  if (jsonrpc_given (call, "method"))
    only = jsonrpc_string (call, "method");
  for (m = call->table; m->name; m++) {
    if (only && strcmp (only, m->name) != 0)
      continue;
    if (json_array_append_new (methods, help_method (m)) == -1) {
      json_decref (methods);
      return NULL;
    }
  }
  if (only && json_array_size (methods) == 0) {
    json_decref (methods);
    return jsonrpc_fail (call, JSONRPC_BAD_PARAMS, NULL,
                         "method: there is no method \"%s\"",
                         printable_name (only, shown));
  }
  return json_pack ("{s:o}", "methods", methods);
}

/* ---------------------------------------------- values of results */

json_t *
jsonrpc_time (const struct timespec *time)
{
  char text[64];
  struct tm tm;
  size_t n;

  gmtime_r (&time->tv_sec, &tm);
  n = strftime (text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf (text + n, sizeof text - n, ".%06ldZ", time->tv_nsec / 1000);
  return json_string (text);
}

json_t *
jsonrpc_text (const char *text)
{
  CLEANUP_FREE char *mended = strdup (text);

  return mended ? json_string (utf8_mend (mended)) : NULL;
}

json_t *
jsonrpc_text_or_null (const char *text)
{
  return *text ? jsonrpc_text (text) : json_null ();
}
