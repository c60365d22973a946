/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that are reported by other code than the one that makes them. */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "base/message.h"

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
