/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread-local variables that are found without a call. */

#ifndef MRAMDISK_THREAD_LOCAL_H
#define MRAMDISK_THREAD_LOCAL_H

#include <stdlib.h>             /* for __GLIBC__ */

/* In an object that dlopen(3) loads, __thread alone means a call of
 * __tls_get_addr for each access. glibc reserves a little room in each thread's
 * static block for variables of such objects that ask for it.  Use this for a
 * few bytes in total.  It saves 80 ns of the 500 ns that a random read of 4 KiB
 * takes.
 */
#ifdef __GLIBC__
#define THREAD_LOCAL __thread __attribute__ ((tls_model ("initial-exec")))
#else
#define THREAD_LOCAL __thread
#endif

#endif /* MRAMDISK_THREAD_LOCAL_H */
