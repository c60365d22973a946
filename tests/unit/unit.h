/* SPDX-License-Identifier: BSD-3-Clause */
/* What every unit test includes: cmocka wants its friends before it. */

#ifndef MBLOCK_UNIT_H
#define MBLOCK_UNIT_H

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 2 takes a word that tests use for their own functions, and has
 * assert_in_range under two other names.
 */
#undef stop
#ifdef assert_uint_in_range
#undef assert_in_range
#define assert_in_range(value, least, most)     \
  assert_uint_in_range ((value), (least), (most))
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The call fails with that errno. */
#define assert_errno(expected, call)            \
  do {                                          \
    errno = 0;                                  \
    assert_int_equal (-1, (call));              \
    assert_int_equal ((expected), errno);       \
  } while (0)

#endif /* MBLOCK_UNIT_H */
