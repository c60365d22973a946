/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of parameters.  values.h has the contract. */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/boolean.h"
#include "base/printable.h"
#include "values.h"

int
value_bad (const char *key, const char *value, const char *expected, ...)
{
  char shown[PRINTABLE_STRING], text[512];
  va_list args;

  va_start (args, expected);
  vsnprintf (text, sizeof text, expected, args);
  va_end (args);
  nbdkit_error ("%s=%s: expected %s", key, printable (value, shown), text);
  return -1;
}

int
value_bool (const char *key, const char *value, const char *expected, bool *r)
{
  return boolean_parse (value, r) == 0 ? 0
    : value_bad (key, value, "%s", expected);
}

int
value_path (const char *key, const char *value, const char *expected, char **r)
{
  char *path;

  if (*value == '\0')
    return value_bad (key, value, "%s", expected);
  path = nbdkit_absolute_path (value);
  if (path == NULL)
    return -1;
  free (*r);
  *r = path;
  return 0;
}
