/* SPDX-License-Identifier: BSD-3-Clause */
/* The options of the programs, their threads, and their end on failure. */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program.h"
#include "report.h"

#define MOST_OPTIONS 16

/* Where the help texts of --help begin, and what getopt_long returns for what
 * all programs have.
 */
#define HELP_COLUMN 19
enum { OUTPUT = MOST_OPTIONS, JSON, HELP };

void
fail (const char *what)
{
  fprintf (stderr, "%s: %s: %s\n", program_invocation_short_name, what,
           strerror (errno));
  exit (EXIT_FAILURE);
}

void
start_thread (pthread_t *thread, void *(*fn) (void *), void *arg)
{
  errno = pthread_create (thread, NULL, fn, arg);
  if (errno)
    fail ("pthread_create");
}

const char *
size_text (uint64_t bytes)
{
  return bytes >= GIB && bytes % GIB == 0
    ? text ("%" PRIu64 " GiB", bytes / GIB)
    : text ("%" PRIu64 " MiB", bytes / MIB);
}

/* ------------------------------------------------------------- options */

static double
number_option (const char *name, const char *value, double least, double most)
{
  char *end;
  double v;

  errno = 0;
  v = strtod (value, &end);
  if (errno || end == value || *end || !(v >= least && v <= most)) {
    fprintf (stderr, "--%s=%s: expected a number from %g to %g\n", name, value,
             least, most);
    exit (EXIT_FAILURE);
  }
  return v;
}

/* The names, with something between them. */
static void
print_parts (FILE *f, const struct parts *parts, const char *between)
{
  unsigned i;

  for (i = 0; parts->names[i]; i++)
    fprintf (f, "%s%s", i ? between : "", parts->names[i]);
}

static void
parts_option (const struct parts *parts, const char *name, const char *value)
{
  /* The command line is printed later, so it stays as it is. */
  char *copy = strdup (value), *list = copy, *unwanted;
  unsigned i;
  int part;

  if (copy == NULL)
    fail ("strdup");
  for (i = 0; parts->names[i]; i++)
    parts->chosen[i] = false;
  while (*list) {
    part = getsubopt (&list, parts->names, &unwanted);
    if (part == -1 || unwanted) {
      fprintf (stderr, "--%s=%s: expected parts of the report, such as ", name,
               value);
      print_parts (stderr, parts, ",");
      fputc ('\n', stderr);
      exit (EXIT_FAILURE);
    }
    parts->chosen[part] = true;
  }
  free (copy);
}

static void
store (const struct program_option *o, const char *value)
{
  switch (o->kind) {
  case OPTION_COUNT:
    *(unsigned *) o->value = number_option (o->name, value, o->least, o->most);
    break;
  case OPTION_NUMBER:
    *(double *) o->value = number_option (o->name, value, o->least, o->most);
    break;
  case OPTION_FLAG:
    *(bool *) o->value = true;
    break;
  case OPTION_TEXT:
    *(const char **) o->value = value;
    break;
  case OPTION_PARTS:
    parts_option (o->value, o->name, value);
    break;
  }
}

/* A line that begins with an option; it leaves the line open. */
static void
print_option (const char *name, const char *argument)
{
  int n = printf ("  --%s%s%s", name, argument ? "=" : "",
                  argument ? argument : "");

  printf ("%*s", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "");
}

static void
print_help (const struct program *p)
{
  const struct program_option *o;

  printf ("Usage: %s [OPTION]...\n%s\n\n", p->name, p->about);
  for (o = p->options; o->name; o++) {
    print_option (o->name, o->argument);
    if (o->kind == OPTION_PARTS) {
      printf ("only these of: ");
      print_parts (stdout, o->value, ", ");
      putchar ('\n');
    }
    else
      puts (o->help);
  }
  print_option ("json", "FILE");
  puts ("where the figures go, for programs: an object for each line");
  print_option ("output", "FILE");
  puts ("where the report goes besides standard output");
  if (p->report)
    printf ("%*s(default: bench/results/DATE-%s.txt%s)\n", HELP_COLUMN, "",
            p->report, p->quick ? "; none with --quick" : "");
  puts ("  --help");
  if (p->notes)
    printf ("\n%s\n", p->notes);
}

static void
open_report (const struct program *p, const char *output)
{
  char path[4096], date[32];
  time_t t = time (NULL);

  if (output == NULL && p->report && !(p->quick && *p->quick)) {
    strftime (date, sizeof date, "%Y-%m-%d", localtime (&t));
    snprintf (path, sizeof path, "%s/%s-%s.txt", RESULTS_DIR, date, p->report);
    output = path;
  }
  if (output)
    report_open (output);
}

void
program_options (const struct program *p, int argc, char *argv[])
{
  /* The last stays zeros, which is its end. */
  struct option list[MOST_OPTIONS + 4] = { 0 };
  const char *output = NULL;
  unsigned n;
  int c;

  for (n = 0; n < MOST_OPTIONS && p->options[n].name; n++)
    list[n] = (struct option) {
      p->options[n].name,
      p->options[n].argument ? required_argument : no_argument, NULL, n
    };
  list[n++] = (struct option) { "output", required_argument, NULL, OUTPUT };
  list[n++] = (struct option) { "json", required_argument, NULL, JSON };
  list[n++] = (struct option) { "help", no_argument, NULL, HELP };

  while ((c = getopt_long (argc, argv, "", list, NULL)) != -1)
    switch (c) {
    case OUTPUT:
      output = optarg;
      break;
    case JSON:
      report_open_json (optarg);
      break;
    case HELP:
      print_help (p);
      exit (EXIT_SUCCESS);
    case '?':
      exit (EXIT_FAILURE);
    default:
      store (&p->options[c], optarg);
    }
  if (optind < argc) {
    fprintf (stderr, "%s: %s: expected no argument\n", p->name, argv[optind]);
    exit (EXIT_FAILURE);
  }
  open_report (p, output);
}
