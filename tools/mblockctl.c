/* SPDX-License-Identifier: BSD-3-Clause */
/* mblockctl: the tool for the control sockets of mblock's servers.  Here: the
 * command line, and help.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "mblockctl.h"
#include "terminal.h"
#include "text.h"

#define MOST_SECONDS 1000000    /* longer times mean "for ever" */

#define NAMES_MAX 16            /* options that one command has */

static const struct group {
  const char *title;
  const struct command *command[12];
} groups[] = {
  { "Create, change and destroy disks", {
      &command_create, &command_clone, &command_clone_together,
      &command_snapshot, &command_reset, &command_rename, &command_resize,
      &command_set, &command_destroy, &command_disconnect, NULL } },
  { "Inspect disks", {
      &command_list, &command_info, &command_clients, &command_extents,
      &command_diff, &command_map, NULL } },
  { "Move disks in and out", {
      &command_push, &command_save, &command_load, &command_jobs, NULL } },
  { "Monitor the server", {
      &command_stats, &command_top, &command_watch, &command_metrics,
#ifdef HAVE_MICROHTTPD
      &command_exporter,
#endif
      &command_wait_ready, NULL } },
  { "Control the mnbd filter", {
      &command_cache, &command_mirror, NULL } },
  { "Talk to the server", {
      &command_version, &command_methods, &command_call, &command_help,
      NULL } },
};
#define GROUPS (sizeof groups / sizeof *groups)

static const struct option_def global_options[] = {
  { 's', "socket", "SOCKET",
    "the server's control socket (default: $MBLOCK_SOCKET,\n"
    "or the only one below $XDG_RUNTIME_DIR or /run)" },
  { 'j', "json", NULL, "print the server's result as a single JSON document" },
  { 'b', "bytes", NULL, "print exact sizes in bytes, not as 10G" },
  { 'q', "quiet", NULL, "do not report changes or show progress" },
  { 'v', "verbose", NULL, "report each of many disks, not only their number" },
  { 't', "timeout", "SECONDS",
    "how long to wait for a response; 0 waits for ever\n(default: 60)" },
  { 0, "color", "WHEN", "auto, always or never (default: auto)" },
  { 'h', "help", NULL, "print help for the tool, or for the command" },
  { 'V', "version", NULL, "print the version of mblockctl" },
  { 0 }
};

/* For shell completion; not shown in the help. */
static const struct option_def hidden_options[] = {
  { 0, "list-commands", NULL, NULL },
  { 0, "list-options", "COMMAND", NULL },
  { 0 }
};

static const struct command *running;
static const char *color_when = "auto";

/* The values of the running command's options, in the order of its option
 * table.
 */
static const char *value[NAMES_MAX];

void
bad_argument (const char *what, const char *s, const char *expected)
{
  char *shown = text_name (s);

  fail (USAGE, "%s %s: expected %s", what, shown, expected);
}

/* ------------------------------------------------------------ arguments */

/* The sizes of this command as the user typed them. */
#define SIZES_MAX 8
static struct { uint64_t n; const char *typed; } sizes[SIZES_MAX];
static size_t nsizes;

uint64_t
argument_size (const char *what, const char *s)
{
  uint64_t n;

  if (size_parse (s, &n) == -1 || n > INT64_MAX)
    bad_argument (what, s, "a size of less than 8E, such as 512, 64k, 1.5G, "
                  "10GiB or 10GB (the units are powers of 1024)");
  if (nsizes < SIZES_MAX) {
    sizes[nsizes].n = n;
    sizes[nsizes++].typed = s;
  }
  return n;
}

const char *
typed_size (uint64_t n)
{
  size_t i;

  for (i = 0; i < nsizes; i++)
    if (sizes[i].n == n)
      return sizes[i].typed;
  return NULL;
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
  return n > 0 && n < 0.001 ? 1 : n * 1000 + 0.5;   /* 0 means "for ever" */
}

json_t *
argument_name (const char *what, const char *s)
{
  json_t *r = json_string (s);

  if (r == NULL)
    bad_argument (what, s, "valid UTF-8");
  return r;
}

json_t *
argument_disk (const char *what, const char *s)
{
  if (*s == '\0')
    bad_argument (what, s, "the name of a disk (mblockctl call takes the empty "
                  "name, too)");
  return argument_name (what, s);
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

static const char *const *taken; /* by the command's action, or NULL: all */

void
take_only (const char *const names[])
{
  taken = names;
}

static bool
is_taken (const char *name)
{
  const char *const *t;

  for (t = taken; t && *t; t++)
    if (strcmp (*t, name) == 0)
      return true;
  return taken == NULL;
}

bool
has_option (const char *name)
{
  const struct option_def *o = running && is_taken (name)
    ? running->options : NULL;

  for (; o && o->name; o++)
    if (strcmp (o->name, name) == 0)
      return true;
  return false;
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
  else if (strcmp (o->name, "verbose") == 0)
    settings.verbose = true;
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

const struct option_def *
option_find (const struct command *c, const char *name, size_t len)
{
  const struct option_def *o = find_option (c ? c->options : NULL, name, len);

  return o ? o : find_option (global_options, name, len);
}

const struct option_def *
option_at (const struct command *c, size_t i)
{
  const struct option_def *o = c ? c->options : NULL;

  for (; o && o->name; o++)
    if (i-- == 0)
      return o;
  return i < sizeof global_options / sizeof *global_options - 1
    ? &global_options[i] : NULL;
}

/* Set one option.  name: its letter (len 0) or its long form.  Returns false if
 * no option has that name.
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

/* Letters may be combined, and the last one may have its value attached:
 * "-qn5".
 */
static void
short_options (char ***argv)
{
  const char *arg = **argv, *p;

  for (p = arg + 1; *p; p++) {
    const struct option_def *o = option_find (running, p, 0);

    if (o == NULL)
      unknown_option (arg);
    set_option (p, 0, o->arg && p[1] ? p + 1 : NULL, argv);
    if (o->arg)
      return;
  }
}

bool
option_like (const struct command *c, const char *arg)
{
  if (arg[0] != '-' || arg[1] == '\0')
    return false;
  return arg[1] < '0' || arg[1] > '9' ||
    (c && find_option (c->options, arg + 1, 0));
}

static void find_command (const char *name);

/* Take the options out of argv.  What is left are the arguments; the first one
 * names the command.
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
    else if (options && option_like (running, arg))
      short_options (&argv);
    else if (running == NULL)
      find_command (arg);
    else
      *to++ = *argv;
  }
  *to = NULL;
}

/* ------------------------------------------------------------- commands */

/* How many letters must be inserted, removed or replaced to turn a into b; 99
 * if a word is longer than any of ours.
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

/* Other tools' names for our commands. */
static const struct { const char *alias, *name; } aliases[] = {
  { "rm", "destroy" }, { "delete", "destroy" }, { "ls", "list" },
  { "mv", "rename" }, { "snap", "snapshot" },
};

static const char *
without_alias (const char *name)
{
  size_t i;

  for (i = 0; i < sizeof aliases / sizeof *aliases; i++)
    if (strcmp (aliases[i].alias, name) == 0)
      return aliases[i].name;
  return name;
}

const struct command *
command_at (size_t i)
{
  const struct command *const *c;
  const struct group *g;

  EACH_COMMAND (g, c)
    if (i-- == 0)
      return *c;
  return NULL;
}

const struct command *
command_find (const char *name)
{
  const struct command *c;
  size_t i;

  name = without_alias (name);
  for (i = 0; (c = command_at (i)) != NULL; i++)
    if (strcmp (c->name, name) == 0)
      break;
  return c;
}

/* What other tools (zfs, virsh, podman, qemu-img) call it, and what to type
 * here.
 */
static const struct { const char *foreign, *here; } foreign[] = {
  { "add", "create" }, { "convert", "push" }, { "copy", "clone" },
  { "cp", "clone" }, { "define", "create" }, { "del", "destroy" },
  { "events", "watch" }, { "export", "push" }, { "get", "info" },
  { "images", "list" }, { "import", "create NAME --from SOURCE" },
  { "inspect", "info" }, { "kick", "disconnect" }, { "kill", "disconnect" },
  { "new", "create" }, { "ps", "clients" },
  { "pull", "create NAME --from SOURCE" },
  { "receive", "create NAME --from SOURCE" }, { "recv",
    "create NAME --from SOURCE" }, { "remove", "destroy" },
  { "revert", "reset" }, { "rmi", "destroy" },
  { "rollback", "clone SNAPSHOT NAME --replace" }, { "send", "push" },
  { "show", "info" }, { "undefine", "destroy" }, { "who", "clients" },
};

static const char *
closest_to (const char *name)
{
  const struct command *const *c;
  const struct group *g;
  const char *closest = NULL;
  unsigned best = 3;
  size_t i;

  for (i = 0; i < sizeof foreign / sizeof *foreign; i++)
    if (strcmp (foreign[i].foreign, name) == 0)
      return foreign[i].here;
  EACH_COMMAND (g, c) {
    unsigned d = distance (name, (*c)->name);

    /* Of those that are as close, rather one with the same first letter. */
    if (d < best || (closest && d == best && *closest != *name &&
                     (*c)->name[0] == *name)) {
      best = d;
      closest = (*c)->name;
    }
  }
  return closest;
}

static const struct command *
look_up (const char *typed)
{
  const struct command *c = command_find (typed);
  const char *closest;
  char *shown;

  if (c)
    return c;
  closest = closest_to (typed);
  shown = text_name (typed);
  if (closest)
    fail (USAGE, "unknown command %s; did you mean \"%s\"?", shown, closest);
  fail (USAGE, "unknown command %s; see \"mblockctl --help\"", shown);
}

static void
find_command (const char *name)
{
  running = look_up (name);
  settings.command = running->name;
}

/* ----------------------------------------------------------------- help */

#define HELP_COLUMN 26

static void
print_options (const struct option_def *o)
{
  for (; o && o->name; o++) {
    char left[2 * HELP_COLUMN];
    const char *p;
    int n;

    n = snprintf (left, sizeof left, "  %c%c%c --%s%s%s",
                  o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                  o->letter ? ',' : ' ', o->name, o->arg ? " " : "",
                  o->arg ? o->arg : "");
    printf ("%-*s", HELP_COLUMN, left);
    if (n >= HELP_COLUMN)
      printf ("\n%*s", HELP_COLUMN, "");
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
  printf ("\nFor the options of all commands see \"mblockctl --help\".\n");
}

static void
print_commands (FILE *fp)
{
  const struct group *g;
  size_t i;

  fprintf (fp, "Usage: mblockctl [-s SOCKET] COMMAND [OPTION...] "
           "[ARGUMENT...]\n");
  for (g = groups; g < groups + GROUPS; g++) {
    fprintf (fp, "\n%s:\n", g->title);
    for (i = 0; g->command[i]; i++)
      fprintf (fp, "  %-14s %s\n", g->command[i]->name,
               g->command[i]->summary);
  }
}

static void
print_general_help (void)
{
  printf ("mblockctl manages the disks of a running mblock server.\n\n");
  print_commands (stdout);
  printf ("\nOptions:\n");
  print_options (global_options);
  printf ("\nSizes are in bytes or have a unit, a power of 1024: 512, 64k, 1.5G, "
          "10GiB.\nrm, delete, ls, mv and snap are other names for destroy, "
          "list, rename and\nsnapshot.\n"
          "Exit codes: 0 success, 1 refused by the server, 2 wrong usage, "
          "3 no connection.\n"
          "For details see \"mblockctl COMMAND --help\" and the manual, "
          "mblockctl(1).\n");
}

/* "mblockctl" alone lists the commands. */
static void __attribute__ ((noreturn))
fail_without_command (void)
{
  if (!settings.json) {
    print_commands (stderr);
    putc ('\n', stderr);
  }
  fail (USAGE, "expected a command; see \"mblockctl --help\"");
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
  "help", "[COMMAND]", "print help for the tool or for a command",
  "Without COMMAND, list the commands.\n",
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

/* A standard file that is closed must not become the number of the socket, or
 * what is printed would go to the server.  Writing to standard output then
 * fails, because it is opened for reading.
 */
static void
open_standard_files (void)
{
  int fd;

  for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) == -1 && errno == EBADF &&
        open ("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
      exit (REFUSED);
}

/* An error before --json is reported as JSON, too. */
static void
look_for_json (char **argv)
{
  for (; *argv && strcmp (*argv, "--") != 0; argv++)
    if (strcmp (*argv, "--json") == 0 || strcmp (*argv, "-j") == 0)
      settings.json = true;
}

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

  open_standard_files ();
  text_init ();
  settings.socket = getenv ("MBLOCK_SOCKET");
  if (argv[1] && strcmp (argv[1], "--complete") == 0)
    return finish_output (complete (argv + 2));
  look_for_json (argv + 1);
  parse (argv + 1);
  set_color ();
  c = running;
  if (c == NULL)
    fail_without_command ();
  for (argc = 0; argv[1 + argc]; argc++)
    ;
  if (argc < c->min_args || (c->max_args >= 0 && argc > c->max_args))
    fail (USAGE, "expected: mblockctl %s%s%s; see \"mblockctl %s --help\"",
          c->name, *c->arguments ? " " : "", c->arguments, c->name);
  return finish_output (c->run (argc, argv + 1));
}
