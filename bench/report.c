/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics and the report. */

#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report.h"

static FILE *file, *json;
static unsigned targets, missed;

/* ----------------------------------------------------------- statistics */

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

void
sort (double *v, size_t n)
{
  qsort (v, n, sizeof *v, compare);
}

double
quantile (const double *sorted, size_t n, double q)
{
  double at = q * (n - 1);
  size_t i = at;

  return i + 1 < n
    ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

double
median (const double *v, size_t n)
{
  double *copy = malloc (n * sizeof *v), m;

  if (copy == NULL)
    abort ();
  memcpy (copy, v, n * sizeof *v);
  sort (copy, n);
  m = quantile (copy, n, 0.5);
  free (copy);
  return m;
}

void
quantiles (double *times, size_t n, double values[NQUANTILES])
{
  sort (times, n);
  values[MEDIAN] = quantile (times, n, 0.5);
  values[P99] = quantile (times, n, 0.99);
  values[MAX] = times[n - 1];
}

void
divide (double *r, const double *a, const double *b, size_t n)
{
  size_t i;

  for (i = 0; i < n; i++)
    r[i] = a[i] / b[i];
}

/* --------------------------------------------------------------- output */

static FILE *
for_writing (const char *path)
{
  char *dir = strdup (path), *slash = dir ? strrchr (dir, '/') : NULL;
  FILE *f;

  if (slash && slash > dir) {
    *slash = '\0';
    (void) mkdir (dir, 0777);   /* if it cannot be created, fopen reports it */
  }
  free (dir);
  f = fopen (path, "w");
  if (f == NULL) {
    fprintf (stderr, "%s: cannot write the report: %s\n", path,
             strerror (errno));
    exit (EXIT_FAILURE);
  }
  return f;
}

void
report_open (const char *path)
{
  file = for_writing (path);
}

void
report_open_json (const char *path)
{
  json = for_writing (path);
}

void
say (const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vprintf (fmt, args);
  va_end (args);
  fflush (stdout);
  if (file) {
    va_start (args, fmt);
    vfprintf (file, fmt, args);
    va_end (args);
    fflush (file);
  }
}

const char *
text (const char *fmt, ...)
{
  static char buf[8][128];
  static unsigned next;
  char *s = buf[next++ % 8];
  va_list args;

  va_start (args, fmt);
  vsnprintf (s, sizeof buf[0], fmt, args);
  va_end (args);
  return s;
}

/* The rest of the first line of a file that begins with key, after the colon
 * if there is one.
 */
static const char *
line_of (const char *path, const char *key, char *line, int len)
{
  FILE *f = fopen (path, "r");
  const char *r = NULL;

  while (f && r == NULL && fgets (line, len, f))
    if (strncmp (line, key, strlen (key)) == 0) {
      line[strcspn (line, "\n")] = '\0';
      r = strchr (line, ':');
      r = r && *key ? r + 1 + strspn (r + 1, " \t") : line;
    }
  if (f)
    fclose (f);
  return r ? r : "unknown";
}

void
report_machine (int argc, char *const argv[])
{
  char line[256], date[64];
  time_t t = time (NULL);
  struct utsname u;
  int i;

  strftime (date, sizeof date, "%Y-%m-%d %H:%M %Z", localtime (&t));
  say ("date       %s\n", date);
  say ("command    ");
  for (i = 0; i < argc; i++)
    say ("%s%s", i ? " " : "", argv[i]);
  say ("\nmachine    %s, ",
       line_of ("/proc/cpuinfo", "model name", line, sizeof line));
  say ("%ld cores, %.1f GiB\n", sysconf (_SC_NPROCESSORS_ONLN),
       sysconf (_SC_PHYS_PAGES) * (double) sysconf (_SC_PAGESIZE) /
       (1 << 30));
  uname (&u);
  say ("kernel     %s %s %s\n", u.sysname, u.release, u.machine);
  say ("huge pages %s\n",
       line_of ("/sys/kernel/mm/transparent_hugepage/enabled", "", line,
                sizeof line));
}

/* -------------------------------------------------------------- the table */

#define COLUMNS "  %-42s %12s %12s  %-22s %-10s %s\n"

static void
json_string (const char *key, const char *s)
{
  fprintf (json, "\"%s\": \"", key);
  for (; *s; s++)
    fprintf (json, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
  fputs ("\", ", json);
}

/* The end of an object. */
static void
json_values (const double *values, size_t n, const char *unit)
{
  size_t i;

  json_string ("unit", unit);
  fputs ("\"values\": [", json);
  for (i = 0; i < n; i++) {
    fputs (i ? ", " : "", json);
    if (isfinite (values[i]))
      fprintf (json, "%.9g", values[i]);
    else
      fputs ("null", json);
  }
  fputs ("]}\n", json);
  fflush (json);
}

static void
json_row (const char *what, const char *mine, const char *peer,
          enum sense sense, double target)
{
  fputc ('{', json);
  json_string ("row", what);
  json_string ("mine", mine);
  json_string ("peer", peer);
  if (sense != INFO)
    fprintf (json, "\"%s\": %g, ", sense == AT_LEAST ? "least" : "most",
             target);
}

void
report_head (const char *title, const char *mine, const char *peer)
{
  if (json) {
    fputc ('{', json);
    json_string ("head", title);
    json_string ("mine", mine);
    json_string ("peer", peer);
    json_values (NULL, 0, "");
  }
  say ("\n%s\n", title);
  say (COLUMNS, "", mine, peer, "ratio (min..max)", "target", "");
}

static void
print_row (const char *what, const char *mine, const char *peer,
           const double *ratios, size_t n, const char *unit,
           enum sense sense, double target)
{
  double m = median (ratios, n), *v = malloc (n * sizeof *v);
  const char *ratio, *wanted = "", *verdict = "";
  bool ok;

  if (v == NULL)
    abort ();
  memcpy (v, ratios, n * sizeof *v);
  sort (v, n);
  if (n > 1)
    ratio = text ("%.3g%s (%.3g..%.3g)", m, unit, v[0], v[n - 1]);
  else
    ratio = text ("%.3g%s", m, unit);
  free (v);
  if (sense != INFO) {
    ok = sense == AT_LEAST ? m >= target : m <= target;
    wanted = text ("%s %g%s", sense == AT_LEAST ? ">=" : "<=", target, unit);
    verdict = ok ? "reached" : "MISSED";
    targets++;
    missed += !ok;
  }
  say (COLUMNS, what, mine, peer, ratio, wanted, verdict);
}

void
report_row (const char *what, const char *mine, const char *peer,
            const double *ratios, size_t n, const char *unit,
            enum sense sense, double target)
{
  if (json) {
    json_row (what, mine, peer, sense, target);
    json_values (ratios, n, unit);
  }
  print_row (what, mine, peer, ratios, n, unit, sense, target);
}

void
report_point (const char *curve, double x, const double *values, size_t n,
              const char *unit)
{
  if (json) {
    fputc ('{', json);
    json_string ("curve", curve);
    fprintf (json, "\"x\": %.9g, ", x);
    json_values (values, n, unit);
  }
  print_row (text ("%s, %.0f", curve, x), "", "", values, n, unit, INFO, 0);
}

unsigned
report_end (void)
{
  say ("\n%u of %u targets reached\n", targets - missed, targets);
  if ((file && fclose (file) == EOF) || (json && fclose (json) == EOF)) {
    perror ("writing the report");
    exit (EXIT_FAILURE);
  }
  file = json = NULL;
  return missed;
}
