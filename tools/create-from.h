/* SPDX-License-Identifier: BSD-3-Clause */
/* create --from: a new disk with the content of an image. */

#ifndef MBLOCKCTL_CREATE_FROM_H
#define MBLOCKCTL_CREATE_FROM_H

#include <jansson.h>

/* Create the disk that params describe: disk_pull's parameters without uri.
 * Takes over params.  source is an NBD URI, or a local file of that format, or
 * NULL.  Returns an exit code.
 */
int create_from (const char *name, json_t *params, const char *source,
                 const char *format);

#endif /* MBLOCKCTL_CREATE_FROM_H */
