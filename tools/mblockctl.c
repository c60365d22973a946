/* SPDX-License-Identifier: BSD-3-Clause */
/* mblockctl: the tool for the control sockets of mblock's servers.  Here: the
 * command line, help, and how to fail.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mblockctl.h"
#include "progress.h"
#include "size.h"
#include "terminal.h"
#include "text.h"

#define DEFAULT_TIMEOUT 60      /* seconds */
#define MOST_SECONDS 1000000    /* any longer is meant as "for ever" */

#define NAMES_MAX 16            /* options that one command has */

struct settings settings = { .timeout_ms = DEFAULT_TIMEOUT * 1000 };

static const struct group {
  const char *title;
  const struct command *command[8];
} groups[] = {
  { "Make, change and remove disks", {
      &command_create, &command_destroy, &command_resize, &command_clone,
      &command_set, NULL } },
  { "Look at disks", {
      &command_list, &command_info, &command_extents, &command_diff,
      &command_map, NULL } },
  { "Watch the server", {
      &command_stats, &command_top, &command_watch, &command_metrics,
      &command_wait_ready, NULL } },
  { "The mnbd filter", {
      &command_cache, &command_mirror, NULL } },
  { "Talk to the server", {
      &command_version, &command_methods, &command_call, &command_help,
      NULL } },
};
#define GROUPS (sizeof groups / sizeof *groups)

static const struct option_def global_options[] = {
  { 's', "socket", "SOCKET",
    "the server's control socket (default: $MBLOCK_SOCKET)" },
  { 'j', "json", NULL, "print the server's result as one JSON document" },
  { 'b', "bytes", NULL, "print sizes in bytes, not as 10G" },
  { 'q', "quiet", NULL, "do not say what was done, show no progress" },
  { 't', "timeout", "SECONDS",
    "give up after that long without an answer; 0: never\n(default: 60)" },
  { 0, "color", "WHEN", "auto, always or never (default: auto)" },
  { 'h', "help", NULL, "print this help, or that of the command" },
  { 'V', "version", NULL, "print the version of this tool" },
  { 0 }
};

/* What the shell completion asks; not in the help. */
static const struct option_def hidden_options[] = {
  { 0, "list-commands", NULL, NULL },
  { 0, "list-options", "COMMAND", NULL },
  { 0 }
};

static const struct command *running;
static const char *color_when = "auto";

/* The values of the running command's options, in the order of its table. */
static const char *value[NAMES_MAX];

/* ------------------------------------------------------------- messages */

static void
vcomplain (const char *fmt, va_list args)
{
  terminal_leave ();
  progress_end ();
  fflush (stdout);
  fprintf (stderr, "mblockctl: %s%s", running ? running->name : "",
           running ? ": " : "");
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
fail (int status, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vcomplain (fmt, args);
  va_end (args);
  exit (finish_output (status));
}

/* Say what is wrong with an argument, which may hold anything. */
static void __attribute__ ((noreturn))
bad_argument (const char *what, const char *s, const char *expected)
{
  char *shown = text_name (s);

  fail (USAGE, "%s %s: expected %s", what, shown, expected);
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

/* A person gets indentation, and nothing that a terminal could obey: jansson
 * leaves the control characters beyond ASCII as they are.
 */
void
print_json (const json_t *v)
{
  size_t flags = isatty (STDOUT_FILENO)
    ? JSON_INDENT (2) | JSON_ENSURE_ASCII : 0;

  json_dumpf (v, stdout, flags | JSON_ENCODE_ANY);
  putchar ('\n');
}

/* ------------------------------------------------------------ arguments */

uint64_t
argument_size (const char *what, const char *s)
{
  uint64_t n;

  if (size_parse (s, &n) == -1 || n > INT64_MAX)
    bad_argument (what, s, "a size in bytes or with a suffix, such as 10G, of "
                  "at most 2^63-1 bytes");
  return n;
}

uint64_t
argument_number (const char *what, const char *s, uint64_t least,
                 uint64_t most)
{
  char expected[80];
  char *end;
  uint64_t n;

  errno = 0;
  n = strtoull (s, &end, 10);
  if (*s < '0' || *s > '9' || *end || errno || n < least || n > most) {
    snprintf (expected, sizeof expected,
              "a number from %" PRIu64 " to %" PRIu64, least, most);
    bad_argument (what, s, expected);
  }
  return n;
}

int64_t
argument_seconds (const char *what, const char *s)
{
  char *end;
  double n = strtod (s, &end);

  if (((*s < '0' || *s > '9') && *s != '.') || *end ||
      !(n >= 0 && n <= MOST_SECONDS))
    bad_argument (what, s, "seconds, such as 10 or 0.5");
  return n * 1000 + 0.5;
}

json_t *
argument_name (const char *what, const char *s)
{
  json_t *r = json_string (s);

  if (r == NULL)
    bad_argument (what, s, "valid UTF-8");
  return r;
}

/* -------------------------------------------------------------- options */

const char *
option (const char *name)
{
  size_t i;

  for (i = 0; running->options && running->options[i].name; i++)
    if (strcmp (running->options[i].name, name) == 0)
      return value[i];
  abort ();                     /* a misspelt name in our own code */
}

static void show_help (const struct command *c) __attribute__ ((noreturn));
static void list_commands (void) __attribute__ ((noreturn));
static void list_options (const char *name) __attribute__ ((noreturn));

static void __attribute__ ((noreturn))
show_version (void)
{
  printf ("mblockctl %s\n", PACKAGE_VERSION);
  exit (finish_output (DONE));
}

static void
set_global (const struct option_def *o, const char *v)
{
  if (strcmp (o->name, "socket") == 0) {
    if (*v == '\0')
      bad_argument ("--socket", v, "the path of a socket");
    settings.socket = v;
  }
  else if (strcmp (o->name, "json") == 0)
    settings.json = true;
  else if (strcmp (o->name, "bytes") == 0)
    settings.bytes = true;
  else if (strcmp (o->name, "quiet") == 0)
    settings.quiet = true;
  else if (strcmp (o->name, "timeout") == 0) {
    settings.timeout_ms = argument_seconds ("--timeout", v);
    if (settings.timeout_ms == 0)
      settings.timeout_ms = -1;
  }
  else if (strcmp (o->name, "color") == 0) {
    if (strcmp (v, "auto") != 0 && strcmp (v, "always") != 0 &&
        strcmp (v, "never") != 0)
      bad_argument ("--color", v, "auto, always or never");
    color_when = v;
  }
  else if (strcmp (o->name, "help") == 0)
    show_help (running);
  else if (strcmp (o->name, "version") == 0)
    show_version ();
  else if (strcmp (o->name, "list-commands") == 0)
    list_commands ();
  else
    list_options (v);
}

static const struct option_def *
find_option (const struct option_def *table, const char *arg, size_t len)
{
  if (table == NULL)
    return NULL;
  for (; table->name; table++)
    if (len == 0 ? table->letter && table->letter == *arg
        : strlen (table->name) == len && memcmp (table->name, arg, len) == 0)
      return table;
  return NULL;
}

/* Set one option.  name: its letter (len 0) or the long form.  Returns false
 * if there is none of that name.
 */
static bool
set_option (const char *name, size_t len, const char *attached, char ***argv)
{
  const struct option_def *local, *o;
  const char *v = "";

  local = o = find_option (running ? running->options : NULL, name, len);
  if (o == NULL)
    o = find_option (global_options, name, len);
  if (o == NULL)
    o = find_option (hidden_options, name, len);
  if (o == NULL)
    return false;
  if (o->arg) {
    v = attached ? attached : *++*argv;
    if (v == NULL)
      fail (USAGE, "--%s: expected %s after it", o->name, o->arg);
  }
  else if (attached && len)
    fail (USAGE, "--%s: expected no value, it takes none", o->name);
  if (local)
    value[local - running->options] = v;
  else
    set_global (o, v);
  return true;
}

static void __attribute__ ((noreturn))
unknown_option (const char *arg)
{
  char *shown = text_name (arg);

  if (running)
    fail (USAGE, "unknown option %s; see \"mblockctl %s --help\"", shown,
          running->name);
  fail (USAGE, "unknown option %s; see \"mblockctl --help\"", shown);
}

/* Letters may stand together, the last one with its value: "-qn5". */
static void
short_options (char ***argv)
{
  const char *arg = **argv, *p;

  for (p = arg + 1; *p; p++) {
    const struct option_def *o =
      find_option (running ? running->options : NULL, p, 0);

    if (o == NULL)
      o = find_option (global_options, p, 0);
    if (o == NULL)
      unknown_option (arg);
    set_option (p, 0, o->arg && p[1] ? p + 1 : NULL, argv);
    if (o->arg)
      return;
  }
}

/* An option, and not "-", nor "-1G" as resize takes it. */
static bool
is_option (const char *arg)
{
  if (arg[0] != '-' || arg[1] == '\0')
    return false;
  return arg[1] < '0' || arg[1] > '9' ||
    (running && find_option (running->options, arg + 1, 0));
}

static void find_command (const char *name);

/* Take the options out of argv, whose rest are the arguments; the first of
 * them names the command.
 */
static void
parse (char **argv)
{
  char **to = argv;
  bool options = true;

  for (; *argv; argv++) {
    const char *arg = *argv;

    if (options && strcmp (arg, "--") == 0)
      options = false;
    else if (options && strncmp (arg, "--", 2) == 0) {
      const char *eq = strchr (arg, '=');
      size_t len = eq ? (size_t) (eq - arg - 2) : strlen (arg + 2);

      if (len == 0 || !set_option (arg + 2, len, eq ? eq + 1 : NULL, &argv))
        unknown_option (arg);
    }
    else if (options && is_option (arg))
      short_options (&argv);
    else if (running == NULL)
      find_command (arg);
    else
      *to++ = *argv;
  }
  *to = NULL;
}

/* ------------------------------------------------------------- commands */

/* How many letters to insert, remove or replace to make b of a; 99 if the
 * words are too long to be ours.
 */
static unsigned
distance (const char *a, const char *b)
{
  size_t la = strlen (a), lb = strlen (b), i, j;
  unsigned row[24], diagonal;

  if (la >= 24 || lb >= 24)
    return 99;
  for (j = 0; j <= lb; j++)
    row[j] = j;
  for (i = 1; i <= la; i++) {
    diagonal = row[0];
    row[0] = i;
    for (j = 1; j <= lb; j++) {
      unsigned best = diagonal + (a[i - 1] != b[j - 1]);

      diagonal = row[j];
      if (row[j] + 1 < best)
        best = row[j] + 1;
      if (row[j - 1] + 1 < best)
        best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[lb];
}

#define EACH_COMMAND(g, c)                              \
  for (g = groups; g < groups + GROUPS; g++)            \
    for (c = g->command; *c; c++)

static const struct command *
look_up (const char *name)
{
  const struct command *const *c, *closest = NULL;
  const struct group *g;
  unsigned best = 3;
  char *shown;

  EACH_COMMAND (g, c) {
    unsigned d = distance (name, (*c)->name);

    if (d == 0)
      return *c;
    if (d < best) {
      best = d;
      closest = *c;
    }
  }
  shown = text_name (name);
  if (closest)
    fail (USAGE, "unknown command %s; did you mean \"%s\"?", shown,
          closest->name);
  fail (USAGE, "unknown command %s; see \"mblockctl --help\"", shown);
}

static void
find_command (const char *name)
{
  running = look_up (name);
}

/* ----------------------------------------------------------------- help */

#define HELP_COLUMN 26

static void
print_options (const struct option_def *o)
{
  for (; o && o->name; o++) {
    char left[HELP_COLUMN + 1];
    const char *p;

    snprintf (left, sizeof left, "  %c%c%c --%s%s%s", o->letter ? '-' : ' ',
              o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
              o->arg ? " " : "", o->arg ? o->arg : "");
    printf ("%-*s", HELP_COLUMN, left);
    for (p = o->help; *p; p++) {
      putchar (*p);
      if (*p == '\n')
        printf ("%*s", HELP_COLUMN, "");
    }
    putchar ('\n');
  }
}

static void
print_command_help (const struct command *c)
{
  printf ("%s\n\nUsage: mblockctl %s%s%s%s\n\n%s", c->summary, c->name,
          c->options ? " [OPTION...]" : "",
          *c->arguments ? " " : "", c->arguments, c->details);
  if (c->options) {
    printf ("\nOptions:\n");
    print_options (c->options);
  }
  printf ("\nOptions of all commands: see \"mblockctl --help\".\n");
}

static void
print_general_help (void)
{
  const struct group *g;
  size_t i;

  printf ("mblockctl manages the disks of a running mblock server.\n\n"
          "Usage: mblockctl [-s SOCKET] COMMAND [OPTION...] "
          "[ARGUMENT...]\n");
  for (g = groups; g < groups + GROUPS; g++) {
    printf ("\n%s:\n", g->title);
    for (i = 0; g->command[i]; i++)
      printf ("  %-12s %s\n", g->command[i]->name, g->command[i]->summary);
  }
  printf ("\nOptions:\n");
  print_options (global_options);
  printf ("\nSizes are bytes or have a suffix: 512, 64k, 10G, 2T.\n"
          "Exit codes: 0 done, 1 refused by the server, 2 usage, "
          "3 cannot connect.\n"
          "\"mblockctl COMMAND --help\" tells more; the manual, "
          "mblockctl(1), tells all.\n");
}

static void
show_help (const struct command *c)
{
  if (c)
    print_command_help (c);
  else
    print_general_help ();
  exit (finish_output (DONE));
}

static int
run_help (int argc, char **argv)
{
  show_help (argc ? look_up (argv[0]) : NULL);
}

const struct command command_help = {
  "help", "[COMMAND]", "print help, of the tool or of a command",
  "Without COMMAND the commands are listed.\n",
  NULL, 0, 1, run_help
};

static void
list_commands (void)
{
  const struct command *const *c;
  const struct group *g;

  EACH_COMMAND (g, c)
    printf ("%s\n", (*c)->name);
  exit (finish_output (DONE));
}

static void
list_table (const struct option_def *o)
{
  for (; o && o->name; o++)
    printf ("--%s%s\n", o->name, o->arg ? "=" : "");
}

/* The name "" stands for no command. */
static void
list_options (const char *name)
{
  list_table (*name ? look_up (name)->options : NULL);
  list_table (global_options);
  exit (finish_output (DONE));
}

/* ----------------------------------------------------------------- main */

static void
set_color (void)
{
  const char *no = getenv ("NO_COLOR");

  if (strcmp (color_when, "auto") == 0)
    settings.color = isatty (STDOUT_FILENO) && !terminal_is_dumb () &&
      (no == NULL || *no == '\0');
  else
    settings.color = strcmp (color_when, "always") == 0;
}

int
main (int argc, char **argv)
{
  const struct command *c;

  text_init ();
  settings.socket = getenv ("MBLOCK_SOCKET");
  parse (argv + 1);
  set_color ();
  c = running;
  if (c == NULL)
    fail (USAGE, "expected a command; see \"mblockctl --help\"");
  for (argc = 0; argv[1 + argc]; argc++)
    ;
  if (argc < c->min_args || (c->max_args >= 0 && argc > c->max_args))
    fail (USAGE, "expected: mblockctl %s%s%s; see \"mblockctl %s --help\"",
          c->name, *c->arguments ? " " : "", c->arguments, c->name);
  return finish_output (c->run (argc, argv + 1));
}
