/* SPDX-License-Identifier: BSD-3-Clause */
/* Let the runtime of a sanitizer that is preloaded begin before all libraries.
 *
 * Else it begins with the first malloc.  In nbdkit that is one of libp11-kit's
 * constructor, in newlocale, which holds the C library's lock of locales.
 * AddressSanitizer then takes that lock, too (through dlsym and dlerror),
 * which leaves it broken, and nbdkit waits for it for ever when it ends.  This
 * is linked with -z initfirst.
 */

#include <config.h>

#include <stdlib.h>

static void begin (void) __attribute__ ((constructor));

static void *volatile something;

static void
begin (void)
{
  something = malloc (1);
  free (something);
}
