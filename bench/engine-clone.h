/* SPDX-License-Identifier: BSD-3-Clause */
/* Clone and resize, which no callback of a plugin reaches, measured by calling
 * the engine.
 */

#ifndef BENCH_ENGINE_CLONE_H
#define BENCH_ENGINE_CLONE_H

#include <stdbool.h>

/* Fill in the part of the report about clones and resizing. */
void report_clones (bool quick, unsigned rounds);

#endif /* BENCH_ENGINE_CLONE_H */
