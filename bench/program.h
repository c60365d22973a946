/* SPDX-License-Identifier: BSD-3-Clause */
/* What the programs share besides the report: options, threads, and the end on
 * failure.
 */

#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE 4096u
#define BIG (256u << 10)        /* bytes, of a large request */
#define MIB (UINT64_C (1) << 20)
#define GIB (UINT64_C (1) << 30)

/* End the program with a message about what failed, by errno. */
void fail (const char *what) __attribute__ ((noreturn));

/* pthread_create, which may not fail. */
void start_thread (pthread_t *thread, void *(*fn) (void *), void *arg);

/* In GiB or MiB, as text () does it. */
const char *size_text (uint64_t bytes);

/* ------------------------------------------------------------- options */

/* The parts of a report, of which --only chooses some. */
struct parts {
  char *const *names;           /* in order; the last is NULL */
  bool *chosen;                 /* as many */
};

/* What an option's value is, and so the type of what it is stored in. */
enum option_kind {
  OPTION_COUNT,                 /* unsigned, from least to most */
  OPTION_NUMBER,                /* double, from least to most */
  OPTION_FLAG,                  /* bool; takes no value */
  OPTION_TEXT,                  /* const char * */
  OPTION_PARTS,                 /* struct parts */
};

struct program_option {
  const char *name;
  const char *argument;         /* for --help; NULL if it takes none */
  const char *help;             /* NULL for parts, whose names are listed */
  enum option_kind kind;
  void *value;
  double least, most;
};

/* Those that several programs have. */
#define ROUNDS_OPTION(rounds, most)                                     \
  { "rounds", "N", "alternating rounds of each measurement (default 5)", \
    OPTION_COUNT, rounds, 1, most }
#define SECONDS_OPTION(seconds)                                         \
  { "seconds", "S", "length of a run (default 1)",                      \
    OPTION_NUMBER, seconds, 0.001, 3600 }
#define ONLY_OPTION(parts)                                              \
  { "only", "PART,...", NULL, OPTION_PARTS, parts, 0, 0 }
#define QUICK_OPTION(quick)                                             \
  { "quick", NULL,                                                      \
    "tiny sizes, to see that it works; figures mean nothing",           \
    OPTION_FLAG, quick, 0, 0 }

struct program {
  const char *name;             /* the program's */
  const char *about;            /* a sentence for --help */
  const struct program_option *options;   /* the last has no name */
  const char *report;           /* "X": written to DATE-X.txt; NULL: only where
                                   --output says */
  const bool *quick;            /* then it is not; may be NULL */
  const char *notes;            /* end of --help, or NULL */
};

/* Store the values of the options, handle --help, --output and --json, which
 * every program has, and open the file of the report.  Ends the program with a
 * message if the command line is wrong.
 */
void program_options (const struct program *p, int argc, char *argv[]);

#endif /* BENCH_PROGRAM_H */
