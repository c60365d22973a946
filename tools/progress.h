/* SPDX-License-Identifier: BSD-3-Clause */
/* A progress bar on stderr, if stderr is a terminal and the work takes long
 * enough for a person to wonder.
 */

#ifndef MBLOCKCTL_PROGRESS_H
#define MBLOCKCTL_PROGRESS_H

#include <stdint.h>

/* what: a word or two that start the line.  total 0: unknown; then only the
 * count is shown, followed by unit.
 */
void progress_start (const char *what, uint64_t total, const char *unit);
void progress_at (uint64_t done);

/* Text to show after the bar.  It is copied, and valid until progress_start. */
void progress_detail (const char *text);

/* Remove the bar.  May be called when there is none. */
void progress_end (void);

#endif /* MBLOCKCTL_PROGRESS_H */
