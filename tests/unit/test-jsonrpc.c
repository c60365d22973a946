/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC: from a line to a line. */

#include "unit.h"

#include "rpc/jsonrpc.h"

static const char *const colours[] = { "red", "green", NULL };

static const struct jsonrpc_param echo_params[] = {
  { .name = "n", .type = JSONRPC_INTEGER, .min = -5, .max = 1000,
    .required = true, .summary = "A number." },
  { .name = "s", .type = JSONRPC_STRING, .summary = "Text." },
  { .name = "b", .type = JSONRPC_BOOLEAN, .fallback = "true",
    .summary = "Whether." },
  { .name = "q", .type = JSONRPC_INTEGER, .min = 0, .max = INT64_MAX,
    .nullable = true, .fallback = "null", .summary = "Perhaps." },
  { .name = "c", .type = JSONRPC_STRING, .words = colours,
    .fallback = "\"red\"", .summary = "A colour." },
  { .name = "l", .type = JSONRPC_STRINGS, .words = colours,
    .summary = "Colours." },
  { .name = NULL }
};

static unsigned calls;

static json_t *
echo (struct jsonrpc_call *call)
{
  calls++;
  assert_ptr_equal (call->service, &calls);
  assert_string_equal (call->client, "client");
  return json_deep_copy (call->params);
}

static json_t *
fail_it (struct jsonrpc_call *call)
{
  return jsonrpc_fail (call, -32001, json_pack ("{s:s}", "errno", "EEXIST"),
                       "no %s", "way");
}

static json_t *
no_memory (struct jsonrpc_call *call)
{
  (void) call;
  return NULL;
}

static const struct jsonrpc_method table[] = {
  { .name = "echo", .summary = "Echo.", .params = echo_params,
    .result = "params", .changes = true, .fn = echo },
  { .name = "fail", .summary = "Fail.", .result = "none", .fn = fail_it },
  { .name = "no_memory", .summary = "Fail.", .result = "none",
    .fn = no_memory },
  JSONRPC_HELP_METHOD,
  { .name = NULL }
};

/* The answer to a line, as JSON; NULL: none. */
static json_t *
ask_n (const char *line, size_t len)
{
  char *answer;
  size_t n;
  json_t *json;

  assert_int_equal (0, jsonrpc_handle (table, &calls, (void *) "client", line,
                                       len, &answer, &n, NULL));
  if (answer == NULL)
    return NULL;
  assert_int_equal (n, strlen (answer));
  assert_int_equal ('\n', answer[n - 1]);
  assert_null (memchr (answer, '\n', n - 1));
  json = json_loads (answer, 0, NULL);
  assert_non_null (json);
  assert_string_equal ("2.0", json_string_value (json_object_get (json,
                                                                  "jsonrpc")));
  free (answer);
  return json;
}

/* The error's code must be that, and its message have that in it. */
static void
refused_n (const char *line, size_t len, int code, const char *text)
{
  unsigned before = calls;
  json_t *answer = ask_n (line, len);
  json_t *error = json_object_get (answer, "error");
  const char *message =
    json_string_value (json_object_get (error, "message"));

  if (json_integer_value (json_object_get (error, "code")) != code ||
      strstr (message, text) == NULL)
    fail_msg ("%.200s: %d %s: expected %d %s", line,
              (int) json_integer_value (json_object_get (error, "code")),
              message, code, text);
  assert_null (json_object_get (answer, "result"));
  assert_int_equal (before, calls);
  json_decref (answer);
}

static void
refused (const char *line, int code, const char *text)
{
  refused_n (line, strlen (line), code, text);
}

#define ECHO(params) \
  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":" params "}"

static void
answered (const char *line, const char *result)
{
  json_t *answer = ask_n (line, strlen (line));
  char *text = json_dumps (json_object_get (answer, "result"),
                           JSON_COMPACT | JSON_SORT_KEYS);

  assert_non_null (text);
  assert_string_equal (result, text);
  free (text);
  json_decref (answer);
}

static void
test_fallbacks (void **state)
{
  (void) state;
  answered (ECHO ("{\"n\":7}"),
            "{\"b\":true,\"c\":\"red\",\"n\":7,\"q\":null}");
  answered (ECHO ("{\"n\":-5,\"s\":\"\",\"b\":false,\"q\":9223372036854775807,"
                  "\"c\":\"green\",\"l\":[\"red\",\"red\"]}"),
            "{\"b\":false,\"c\":\"green\",\"l\":[\"red\",\"red\"],\"n\":-5,"
            "\"q\":9223372036854775807,\"s\":\"\"}");
}

static void
test_not_json (void **state)
{
  (void) state;
  refused ("{", JSONRPC_PARSE_ERROR, "not JSON");
  refused ("hello", JSONRPC_PARSE_ERROR, "not JSON");
  refused ("{} {}", JSONRPC_PARSE_ERROR, "not JSON");
  refused ("{\"a\":1,\"a\":2}", JSONRPC_PARSE_ERROR, "not JSON");
  refused ("\"\xff\"", JSONRPC_PARSE_ERROR, "not JSON");
  refused_n ("{\"id\":1}\0", 9, JSONRPC_PARSE_ERROR, "not JSON");
  refused ("{\"id\": 1e999}", JSONRPC_PARSE_ERROR, "not JSON");
}

static void
test_not_a_request (void **state)
{
  (void) state;
  refused ("[]", JSONRPC_INVALID_REQUEST, "batches");
  refused ("[" ECHO ("{\"n\":1}") "]", JSONRPC_INVALID_REQUEST, "batches");
  refused ("1", JSONRPC_INVALID_REQUEST, "expected an object");
  refused ("null", JSONRPC_INVALID_REQUEST, "expected an object");
  refused ("{}", JSONRPC_INVALID_REQUEST, "jsonrpc");
  refused ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}",
           JSONRPC_INVALID_REQUEST, "jsonrpc");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1}", JSONRPC_INVALID_REQUEST,
           "method");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":3}",
           JSONRPC_INVALID_REQUEST, "method");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"echo\"}",
           JSONRPC_INVALID_REQUEST, "id");
  refused (ECHO ("[7]"), JSONRPC_INVALID_REQUEST, "by position");
  refused (ECHO ("null"), JSONRPC_INVALID_REQUEST, "params");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"parms\":{}}",
           JSONRPC_INVALID_REQUEST, "parms");
}

static void
test_bad_params (void **state)
{
  (void) state;
  refused (ECHO ("{}"), JSONRPC_BAD_PARAMS, "n is missing");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}",
           JSONRPC_BAD_PARAMS, "n is missing");
  refused (ECHO ("{\"n\":1,\"x\":1}"), JSONRPC_BAD_PARAMS, "\"x\"");
  refused (ECHO ("{\"n\":\"1\"}"), JSONRPC_BAD_PARAMS,
           "n: \"1\": expected an integer from -5 to 1000");
  refused (ECHO ("{\"n\":1.0}"), JSONRPC_BAD_PARAMS, "n: 1.0:");
  refused (ECHO ("{\"n\":null}"), JSONRPC_BAD_PARAMS, "n: null:");
  refused (ECHO ("{\"n\":1001}"), JSONRPC_BAD_PARAMS, "n: 1001:");
  refused (ECHO ("{\"n\":-6}"), JSONRPC_BAD_PARAMS, "n: -6:");
  refused (ECHO ("{\"n\":1,\"s\":1}"), JSONRPC_BAD_PARAMS, "s: 1:");
  refused (ECHO ("{\"n\":1,\"s\":\"a\\u0000\"}"), JSONRPC_BAD_PARAMS, "NUL");
  refused (ECHO ("{\"n\":1,\"b\":0}"), JSONRPC_BAD_PARAMS, "true or false");
  refused (ECHO ("{\"n\":1,\"q\":-1}"), JSONRPC_BAD_PARAMS, "or null");
  refused (ECHO ("{\"n\":1,\"c\":\"blue\"}"), JSONRPC_BAD_PARAMS,
           "c: \"blue\": expected one of \"red\", \"green\"");
  refused (ECHO ("{\"n\":1,\"l\":\"red\"}"), JSONRPC_BAD_PARAMS, "an array");
  refused (ECHO ("{\"n\":1,\"l\":[\"red\",1]}"), JSONRPC_BAD_PARAMS,
           "an array");
}

/* jansson gives up on such integers; the parameter is named all the same. */
static void
test_integers_of_more_than_64_bits (void **state)
{
  json_t *answer;
  const char *line =
    "{\"jsonrpc\":\"2.0\",\"id\":12345,\"method\":\"echo\",\"params\":"
    "{\"n\":3,\"q\":18446744073709551616}}";

  (void) state;
  refused (line, JSONRPC_BAD_PARAMS, "q: ");
  answer = ask_n (line, strlen (line));
  assert_int_equal (12345, json_integer_value (json_object_get (answer,
                                                                "id")));
  json_decref (answer);
}

static void
test_long_text_is_cut_between_characters (void **state)
{
  static const char head[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"";
  char line[sizeof head + 3 * 300 + 16];
  unsigned shift, i;

  (void) state;
  for (shift = 0; shift < 3; shift++) {
    strcpy (line, head);
    for (i = 0; i < shift; i++)
      strcat (line, "x");
    for (i = 0; i < 300; i++)
      strcat (line, "€");
    strcat (line, "\":1}}");
    refused (line, JSONRPC_BAD_PARAMS, "unknown parameter");
  }
}

static void
test_ids (void **state)
{
  static const char *const ids[] = { "0", "-1", "\"\"", "\"a\\u0000\"", "null",
    "1.5", "9007199254740993" };
  char line[200], want[64];
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof ids / sizeof ids[0]; i++) {
    char *answer, *end;
    size_t n;

    snprintf (line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%s,"
              "\"method\":\"fail\"}", ids[i]);
    assert_int_equal (0, jsonrpc_handle (table, &calls, (void *) "client",
                                         line, strlen (line), &answer, &n,
                                         NULL));
    snprintf (want, sizeof want, "\"id\":%s}\n", ids[i]);
    end = strstr (answer, "\"id\":");
    assert_string_equal (want, end);
    free (answer);
  }
}

static void
test_notifications_are_not_answered (void **state)
{
  unsigned before = calls;
  const char *good = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\","
    "\"params\":{\"n\":1}}";
  const char *bad = "{\"jsonrpc\":\"2.0\",\"method\":\"nope\"}";

  (void) state;
  assert_null (ask_n (good, strlen (good)));
  assert_int_equal (before + 1, calls);
  assert_null (ask_n (bad, strlen (bad)));
}

static void
test_methods_fail (void **state)
{
  json_t *answer;
  const char *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fail\"}";

  (void) state;
  refused (line, -32001, "no way");
  answer = ask_n (line, strlen (line));
  assert_string_equal ("EEXIST", json_string_value (
    json_object_get (json_object_get (json_object_get (answer, "error"),
                                      "data"), "errno")));
  json_decref (answer);
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no_memory\"}",
           JSONRPC_INTERNAL, "memory");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}",
           JSONRPC_NO_METHOD, "\"nope\"");
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\\u0000\"}",
           JSONRPC_NO_METHOD, "there is no method");
}

static void
test_help (void **state)
{
  const char *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"help\","
    "\"params\":{\"method\":\"echo\"}}";
  json_t *answer = ask_n (line, strlen (line));
  json_t *methods = json_object_get (json_object_get (answer, "result"),
                                     "methods");
  json_t *params = json_object_get (json_array_get (methods, 0), "params");

  (void) state;
  assert_int_equal (1, json_array_size (methods));
  assert_int_equal (6, json_array_size (params));
  assert_true (json_is_true (json_object_get (json_array_get (params, 2),
                                              "default")));
  json_decref (answer);
  refused ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"help\","
           "\"params\":{\"method\":\"nope\"}}", JSONRPC_BAD_PARAMS, "nope");
}

static void
test_outcome (void **state)
{
  const char *line = ECHO ("{\"n\":2000}");
  struct jsonrpc_outcome outcome;
  char *answer;
  size_t n;

  (void) state;
  assert_int_equal (0, jsonrpc_handle (table, &calls, (void *) "client", line,
                                       strlen (line), &answer, &n, &outcome));
  free (answer);
  assert_ptr_equal (&table[0], outcome.method);
  assert_int_equal (JSONRPC_BAD_PARAMS, outcome.code);
  assert_string_equal ("{\"n\":2000}", outcome.params);
}

static void
test_deep (void **state)
{
  char *line = malloc (200001);

  (void) state;
  memset (line, '[', 200000);
  line[200000] = '\0';
  refused (line, JSONRPC_PARSE_ERROR, "not JSON");
  free (line);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_fallbacks),
    cmocka_unit_test (test_not_json),
    cmocka_unit_test (test_not_a_request),
    cmocka_unit_test (test_bad_params),
    cmocka_unit_test (test_integers_of_more_than_64_bits),
    cmocka_unit_test (test_long_text_is_cut_between_characters),
    cmocka_unit_test (test_ids),
    cmocka_unit_test (test_notifications_are_not_answered),
    cmocka_unit_test (test_methods_fail),
    cmocka_unit_test (test_help),
    cmocka_unit_test (test_outcome),
    cmocka_unit_test (test_deep),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
