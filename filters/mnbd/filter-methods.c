/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of the filter's control socket. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache-engine.h"
#include "filter-parameters.h"
#include "methods.h"
#include "mirror-methods.h"

json_t *
method_time (const struct timespec *time)
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
method_text (const char *text)
{
  json_t *r = json_string (text);
  char *ascii, *c;

  if (r)
    return r;
  ascii = strdup (text);
  if (ascii == NULL)
    return NULL;
  for (c = ascii; *c; c++)
    if ((unsigned char) *c >= 0x80)
      *c = '?';
  r = json_string (ascii);
  free (ascii);
  return r;
}

json_t *
method_text_or_null (const char *text)
{
  return *text ? method_text (text) : json_null ();
}

static json_t *
method_version (struct jsonrpc_call *call)
{
  (void) call;
  return json_pack ("{s:s, s:s, s:i, s:s}", "name", "mnbd",
                    "version", PACKAGE_VERSION, "protocol", FILTER_PROTOCOL,
                    "mode", filter_config.mode);
}

const struct jsonrpc_method filter_methods[] = {
  { .name = "version",
    .summary = "Say what serves the socket.",
    .result = "{\"name\", \"version\", \"protocol\", \"mode\"}",
    .fn = method_version },
  JSONRPC_HELP_METHOD,
  MIRROR_METHODS,
  CACHE_METHODS,
  { .name = NULL }
};
