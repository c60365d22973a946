/* SPDX-License-Identifier: BSD-3-Clause */
/* The filter's engines (engine.h). */

#ifndef MBLOCK_ENGINES_H
#define MBLOCK_ENGINES_H

#include "bdev/engine.h"

extern const struct engine mirror_engine;
extern const struct engine cache_engine;

#endif /* MBLOCK_ENGINES_H */
