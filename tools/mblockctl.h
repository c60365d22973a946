/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of mblockctl share: commands, their options, how to fail. */

#ifndef MBLOCKCTL_H
#define MBLOCKCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Exit codes; scripts rely on them, mblockctl(1) documents them. */
enum {
  DONE = 0,
  REFUSED = 1,                  /* by the server, or it could not be done */
  USAGE = 2,                    /* the command line is wrong */
  NO_SERVER = 3,                /* not reached, lost, or not understood */
};

/* What the options that every command takes have set. */
struct settings {
  const char *socket;           /* NULL: none given */
  bool json;                    /* print the raw result */
  bool bytes;                   /* sizes as plain numbers */
  bool quiet;                   /* no confirmations */
  bool color;                   /* colours may be used on stdout */
  int64_t timeout_ms;           /* for an answer; -1: for ever */
};
extern struct settings settings;

struct option_def {
  char letter;                  /* 0: only the long form */
  const char *name;             /* NULL ends a table */
  const char *arg;              /* NULL: takes no argument */
  const char *help;
};

struct command {
  const char *name;
  const char *arguments;        /* for the usage line */
  const char *summary;
  const char *details;          /* for --help, lines of at most 78 columns */
  const struct option_def *options;     /* may be NULL */
  int min_args, max_args;       /* -1: any number */
  int (*run) (int argc, char **argv);   /* returns an exit code */
};

extern const struct command command_create, command_destroy, command_resize,
  command_clone, command_set, command_list, command_info, command_extents,
  command_diff, command_stats, command_map, command_top, command_watch,
  command_metrics, command_wait_ready, command_version, command_methods,
  command_call, command_help,
  command_mirror, command_cache;

/* The value of an option of the running command: NULL if it was not given, ""
 * if it takes no argument.
 */
const char *option (const char *name);
static inline bool
flag (const char *name)
{
  return option (name) != NULL;
}

/* Read an argument or end with USAGE.  what: how the usage line calls it. */
uint64_t argument_size (const char *what, const char *s);
uint64_t argument_number (const char *what, const char *s, uint64_t least,
                          uint64_t most);
int64_t argument_seconds (const char *what, const char *s);     /* in ms */
json_t *argument_name (const char *what, const char *s);

/* One line on stderr: "mblockctl: COMMAND: …". */
void complain (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

/* Complain and exit. */
void fail (int status, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3), noreturn));

/* Print a result as --json wants it. */
void print_json (const json_t *value);

/* Make sure that all that was printed has arrived, or complain.  Returns the
 * exit code.
 */
int finish_output (int status);

#endif /* MBLOCKCTL_H */
