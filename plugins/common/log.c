/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes lines from other parts to nbdkit's log. */

#include <config.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "log.h"

void
log_error_line (const char *line)
{
  CLEANUP_FREE char *safe = printable_line (line);
  char cut[PRINTABLE_STRING];

  nbdkit_error ("%s", safe ? safe : printable (line, cut));
}

void
log_debug_line (const char *line)
{
  CLEANUP_FREE char *safe = printable_line (line);
  char cut[PRINTABLE_STRING];

  nbdkit_debug ("%s", safe ? safe : printable (line, cut));
}
