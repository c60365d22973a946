/* SPDX-License-Identifier: BSD-3-Clause */
/* CRASH_POINT follows each store or system call that changes what another
 * process would find in the arena's file.  The crash test's build of the engine
 * counts them, and makes one of them the last thing that the process does
 * (tests/crash); in other builds it is empty. arena-layout.h says what each one
 * leaves behind.
 */

#ifndef MRAMDISK_CRASH_POINT_H
#define MRAMDISK_CRASH_POINT_H

#ifdef MBLOCK_CRASH
void crash_point (void);
#define CRASH_POINT() crash_point ()
#else
#define CRASH_POINT() ((void) 0)
#endif

#endif /* MRAMDISK_CRASH_POINT_H */
