/* SPDX-License-Identifier: BSD-3-Clause */
/* What the benchmarks share: time, statistics, and the report, which goes to
 * standard output and to a file.
 */

#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Seconds. */
static inline double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* Sort n values, so that the median and any quantile 0 <= q <= 1 can be taken.
 */
void sort (double *v, size_t n);
double quantile (const double *sorted, size_t n, double q);

/* The median of values in any order. */
double median (const double *v, size_t n);

/* Sort n times, and format the usual, the rare and the worst one. */
enum { MEDIAN, P99, MAX, NQUANTILES };
void quantiles (double *times, size_t n, double values[NQUANTILES]);

/* r[i] = a[i] / b[i], of n rounds. */
void divide (double *r, const double *a, const double *b, size_t n);

/* Open the file of the report as well, and create its folder if needed.  Ends
 * the program with a message on failure.
 */
void report_open (const char *path);

/* The same for a file with the figures for programs: an object in each line,
 * for a head, a row or a point.
 */
void report_open_json (const char *path);

/* Print to standard output and to the file. */
void say (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

/* Date, command, machine, kernel. */
void report_machine (int argc, char *const argv[]);

/* How a figure is compared with its target. */
enum sense { INFO, AT_LEAST, AT_MOST };

/* One line of a table. mine and peer are figures with their unit. ratio is
 * compared with the target; for n > 1 rounds, it is the median, shown with the
 * smallest and the largest.  Counts missed targets.
 */
void report_head (const char *title, const char *mine, const char *peer);
void report_row (const char *what, const char *mine, const char *peer,
                 const double *ratios, size_t n, const char *unit,
                 enum sense sense, double target);

/* The same for a point of a curve: x is a whole number, of disks or bytes. */
void report_point (const char *curve, double x, const double *values, size_t n,
                   const char *unit);

/* Print the summary.  Returns the number of missed targets. */
unsigned report_end (void);

/* Format numbers, in one of a few static buffers. */
const char *text (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

#endif /* BENCH_REPORT_H */
