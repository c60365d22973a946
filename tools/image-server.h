/* SPDX-License-Identifier: BSD-3-Clause */
/* An NBD server for a local image file, while a command runs.
 *
 * mblockctl starts it, not mblock's server.  So the file is opened with the
 * rights of the user who typed the command, and a relative path refers to that
 * user's directory.  It listens on a Unix socket in its own folder, which only
 * this user and the mblock server's user can enter.  It ends with this program,
 * however this program ends.
 *
 * A raw file is served by nbdkit's file plugin, anything else by qemu-nbd.
 */

#ifndef MBLOCKCTL_IMAGE_SERVER_H
#define MBLOCKCTL_IMAGE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum image_access { IMAGE_READ, IMAGE_WRITE };

/* Does the name mean an NBD export rather than a file? */
bool image_is_uri (const char *s);

/* The format of an image file according to its first bytes, or "raw".  If the
 * first bytes of a raw disk were made to look like another format, that format
 * is returned.  A user who does not trust an image must specify its format.
 */
const char *image_format (const char *path);

/* Create an image file for a disk of that size; the file must not exist.  Ends
 * the program on failure.  path must stay valid.  The file is removed when the
 * program ends, unless image_keep was called before.
 */
void image_create (const char *path, const char *format, uint64_t size);
void image_keep (void);

/* Start a server and return the URI of its only export.  The URI stays valid
 * until image_server_stop.  Ends the program on failure.
 */
const char *image_server_start (const char *path, const char *format,
                                enum image_access access);

/* Is the job done that uses the server?  If not, complains: if the server ended
 * by itself, what it said tells more than the job's error.
 */
bool image_server_job_is_done (const json_t *job);

/* Does nothing if there is none. */
void image_server_stop (void);

#endif /* MBLOCKCTL_IMAGE_SERVER_H */
