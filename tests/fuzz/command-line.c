/* SPDX-License-Identifier: BSD-3-Clause */
/* A command line for a plugin.  command-line.h has the contract. */

#include <config.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/printable.h"
#include "tests/abort.h"
#include "tests/fuzz/command-line.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char *message;           /* or NULL */

/* ------------------------------------------------------ in nbdkit's place */

void
nbdkit_error (const char *fmt, ...)
{
  va_list args;

  require (message == NULL, "a second message");
  va_start (args, fmt);
  if (vasprintf (&message, fmt, args) == -1)
    abort_with ("no memory");
  va_end (args);
}

char *
nbdkit_absolute_path (const char *path)
{
  char *r;

  if (asprintf (&r, "%s%s", *path == '/' ? "" : "/folder/", path) == -1)
    abort_with ("no memory");
  return r;
}

/* --------------------------------------------------------- the parameters */

void
require (bool what, const char *text)
{
  if (!what)
    abort_with ("%s; message: %s", text, message ? message : "none");
}

bool
command_line_accepted (int r, const char *key)
{
  char *line;

  require ((r == -1) == (message != NULL) && (r == 0 || r == -1),
           "a result without its message");
  if (message == NULL)
    return true;
  line = printable_line (message);
  require (line != NULL && strcmp (line, message) == 0,
           "a message that is not escaped");
  require (strstr (message, "expected ") || strstr (message, "cannot be used "),
           "a message without what was expected");
  require (key == NULL || strstr (message, key) != NULL,
           "a message without the key");
  free (line);
  free (message);
  message = NULL;
  return false;
}

static bool
is_key (const char *key)
{
  const char *s;

  if (!isalpha ((unsigned char) *key))
    return false;
  for (s = key; *s; s++)
    if (!isalnum ((unsigned char) *s) && strchr (".-_", *s) == NULL)
      return false;
  return true;
}

bool
command_line_set (char *text, int (*set) (const char *key, const char *value))
{
  char *line, *value;

  while ((line = strsep (&text, "\n")) != NULL) {
    value = strchr (line, '=');
    if (value == NULL)
      continue;
    *value++ = '\0';
    if (is_key (line) && !command_line_accepted (set (line, value), line))
      return false;
  }
  return true;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *text = strndup ((const char *) data, size);

  if (text == NULL)
    abort_with ("no memory");
  try_command_line (text);
  free (text);
  return 0;
}
