/* SPDX-License-Identifier: BSD-3-Clause */
/* A method for the tests of the control server: its answer is as long as the
 * client wants it.
 */

#ifndef TESTS_BIG_ANSWER_H
#define TESTS_BIG_ANSWER_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "rpc/jsonrpc.h"

/* {"text": "xxx…"}, n times the letter x. */
static json_t *
method_big (struct jsonrpc_call *call)
{
  size_t n = jsonrpc_integer (call, "n");
  char *text = malloc (n + 1);
  json_t *result;

  if (text == NULL)
    return NULL;
  memset (text, 'x', n);
  text[n] = '\0';
  result = json_pack ("{s:s}", "text", text);
  free (text);
  return result;
}

#endif /* TESTS_BIG_ANSWER_H */
