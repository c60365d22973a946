/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of mblockctl share: commands and their options. */

#ifndef MBLOCKCTL_H
#define MBLOCKCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "complain.h"
#include "settings.h"

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
  command_mirror, command_cache, command_rename, command_snapshot,
  command_reset, command_clients, command_disconnect, command_exporter,
  command_push, command_jobs, command_clone_together, command_save,
  command_load;

/* The value of an option of the running command: NULL if it was not given, ""
 * if it takes no argument.
 */
const char *option (const char *name);
static inline bool
flag (const char *name)
{
  return option (name) != NULL;
}

/* Does the running command take an option of that name? */
bool has_option (const char *name);

/* From now on, it takes only these of its options; the list ends with NULL. */
void take_only (const char *const names[]);

/* In complete.c.  Print the candidates for the last of the words that follow
 * the name of the program, each ended by a NUL byte.  The first string is
 * "files" if the word is the name of a file, else "words"; or "prefix-files" if
 * a file's name follows the first "=" of the word.  A long option and its value
 * may be one word, or three, with "=" between them (bash).  Returns an exit
 * code.
 */
int complete (char **words);

/* For completion.  The i-th command, or NULL beyond the last. */
const struct command *command_at (size_t i);

/* The command of that name or alias, or NULL. */
const struct command *command_find (const char *name);

/* The i-th option of a command, or beyond these of all commands; NULL at the
 * end.  c: NULL if there is no command yet.
 */
const struct option_def *option_at (const struct command *c, size_t i);

/* The option of that name, of len bytes; with len 0, the one with the letter at
 * name.  NULL: there is none.
 */
const struct option_def *option_find (const struct command *c,
                                      const char *name, size_t len);

/* Is this argument an option?  "-" is not, nor is "-1G" of resize. */
bool option_like (const struct command *c, const char *arg);

/* Read an argument, or end with USAGE.  what: its name in the usage line. */
uint64_t argument_size (const char *what, const char *s);
uint64_t argument_number (const char *what, const char *s, uint64_t least,
                          uint64_t most);
int64_t argument_seconds (const char *what, const char *s);     /* in ms */
json_t *argument_name (const char *what, const char *s);

/* The same for the name of a disk to make.  The empty name is most likely a
 * variable that was not set, and ends the program.
 */
json_t *argument_disk (const char *what, const char *s);

/* A size as the user typed it; NULL if no argument had that value. */
const char *typed_size (uint64_t n);

/* Report an invalid argument, which may contain any bytes, with what was
 * expected, and end the program.
 */
void bad_argument (const char *what, const char *s, const char *expected)
  __attribute__ ((noreturn));

#endif /* MBLOCKCTL_H */
