/* SPDX-License-Identifier: BSD-3-Clause */
/* UUIDs (RFC 9562), by which one disk is told from another.
 *
 * Thread-safety: all functions may be called from any thread.
 */

#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>

#define UUID_BYTES 16

/* Room for one as text, with its NUL. */
#define UUID_STRING 37

/* All zeros: none. */
struct uuid {
  unsigned char byte[UUID_BYTES];
};

/* A random one (version 4), in *u.  Returns 0, or -1 with errno. */
int uuid_new (struct uuid *u);

bool uuid_is_set (const struct uuid *u);
bool uuid_equal (const struct uuid *a, const struct uuid *b);

/* Are both set, and different? */
bool uuid_differ (const struct uuid *a, const struct uuid *b);

/* Write it as text, in lower case.  Returns buf. */
const char *uuid_format (const struct uuid *u, char buf[UUID_STRING]);

/* Read what text begins with, in either case.  Returns whether that is a UUID
 * with nothing behind it that could belong to it, and not all zeros.
 */
bool uuid_parse (const char *text, struct uuid *u);

/* Find the UUID that a description of an export gives: the word "UUID", a
 * space, and the UUID; the first of them counts.  Returns whether there is one;
 * else *u is none.
 */
bool uuid_find (const char *description, struct uuid *u);

#endif /* BASE_UUID_H */
