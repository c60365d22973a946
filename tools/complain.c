/* SPDX-License-Identifier: BSD-3-Clause */
/* How a command ends: with a message, or with all of its output written. */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"
#include "progress.h"
#include "settings.h"
#include "terminal.h"

#define DEFAULT_TIMEOUT 60      /* seconds */

struct settings settings = { .timeout_ms = DEFAULT_TIMEOUT * 1000 };

static void
vcomplain (const char *fmt, va_list args)
{
  terminal_leave ();
  progress_end ();
  fflush (stdout);
  fprintf (stderr, "mblockctl: %s%s", settings.command ? settings.command : "",
           settings.command ? ": " : "");
  vfprintf (stderr, fmt, args);
  putc ('\n', stderr);
}

void
complain (const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vcomplain (fmt, args);
  va_end (args);
}

void
print_json_error (json_t *error)
{
  json_auto_t *document = json_pack ("{s:o}", "error", error);

  if (settings.json)
    print_json (document);
}

void
fail (int status, const char *fmt, ...)
{
  va_list args;
  char *message;

  va_start (args, fmt);
  vcomplain (fmt, args);
  va_end (args);
  va_start (args, fmt);
  if (settings.json && vasprintf (&message, fmt, args) != -1) {
    json_t *text = json_string (message);

    /* Arguments need not be UTF-8. */
    print_json_error (json_pack ("{s:i, s:o}", "exit_code", status, "message",
                                 text ? text : json_string ("not UTF-8")));
    free (message);
  }
  va_end (args);
  exit (finish_output (status));
}

int
finish_output (int status)
{
  static bool said;

  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  if (!said) {
    said = true;
    complain ("cannot write to standard output: %s", strerror (errno));
  }
  return status == DONE ? REFUSED : status;
}

/* A terminal gets nothing that controls it: jansson does not escape the control
 * characters beyond ASCII.
 */
static void
print_with (const json_t *v, size_t terminal_flags)
{
  size_t flags = isatty (STDOUT_FILENO)
    ? terminal_flags | JSON_ENSURE_ASCII : 0;

  json_dumpf (v, stdout, flags | JSON_ENCODE_ANY);
  putchar ('\n');
}

void
print_json (const json_t *v)
{
  print_with (v, JSON_INDENT (2));
}

void
print_json_line (const json_t *v)
{
  print_with (v, 0);
}
