/* SPDX-License-Identifier: BSD-3-Clause */
/* How a test program ends when it has found an error. */

#ifndef TESTS_ABORT_H
#define TESTS_ABORT_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Print a line after the program's name, and abort, so that a debugger or a
 * core file shows where.
 */
static inline void __attribute__ ((noreturn, format (printf, 1, 2)))
abort_with (const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  fprintf (stderr, "%s: ", program_invocation_short_name);
  vfprintf (stderr, fmt, args);
  fputc ('\n', stderr);
  va_end (args);
  abort ();
}

#endif /* TESTS_ABORT_H */
