/* SPDX-License-Identifier: BSD-3-Clause */
/* The cost and the use of detect-same, measured by calling the engine. */

#ifndef BENCH_ENGINE_SAME_H
#define BENCH_ENGINE_SAME_H

#include <stdbool.h>

/* Print the part of the report. */
void report_same (bool quick, unsigned rounds);

#endif /* BENCH_ENGINE_SAME_H */
