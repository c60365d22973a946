/* SPDX-License-Identifier: BSD-3-Clause */
/* A clock that a test sets forward, so that it need not wait for a time limit,
 * and can tell a limit from a machine that is slow.  Link with
 * $(fake_clock_ldflags).
 */

#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC goes forward at once, for all threads. */
void clock_skip (int64_t ns);

#endif /* TESTS_FAKE_CLOCK_H */
