/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that are made now and said by somebody else. */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "message.h"

char *
message (const char *fmt, ...)
{
  char *line;
  va_list args;

  va_start (args, fmt);
  if (vasprintf (&line, fmt, args) == -1)
    line = NULL;
  va_end (args);
  return line;
}
