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

/* Sort n values; then the median and any quantile 0 <= q <= 1 can be taken. */
void sort (double *v, size_t n);
double quantile (const double *sorted, size_t n, double q);

/* The median of values in any order. */
double median (const double *v, size_t n);

/* Sort n times and say how long they usually, rarely and at worst are. */
enum { MEDIAN, P99, MAX, NQUANTILES };
void quantiles (double *times, size_t n, double values[NQUANTILES]);

/* r[i] = a[i] / b[i], of n rounds. */
void divide (double *r, const double *a, const double *b, size_t n);

/* Open the report's file as well; its folder is made if it is missing.
 * Ends the program with a message on failure.
 */
void report_open (const char *path);

/* Print to standard output and to the file. */
void say (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

/* Date, command, machine, kernel. */
void report_machine (int argc, char *const argv[]);

/* A figure is compared with a target: which side of it is good? */
enum sense { INFO, AT_LEAST, AT_MOST };

/* One line of a table.  mine and peer are figures with their unit.  ratio is
 * what the target is about; of n > 1 rounds the median ratio, with the
 * smallest and largest beside it.  Counts what was missed.
 */
void report_head (const char *title, const char *mine, const char *peer);
void report_row (const char *what, const char *mine, const char *peer,
                 const double *ratios, size_t n, const char *unit,
                 enum sense sense, double target);

/* Print the sum of it all.  Returns how many targets were missed. */
unsigned report_end (void);

/* Numbers as text, in one of a few static buffers. */
const char *text (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

#endif /* BENCH_REPORT_H */
