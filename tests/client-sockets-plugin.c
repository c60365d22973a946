/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin for test-mramdisk-client-sockets.sh.  A client reads the number of
 * its own socket (client-sockets.h), and by writing a number disconnects the
 * client that has it.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "plugins/common/client-sockets.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static int model = NBDKIT_THREAD_MODEL_PARALLEL;

static int
test_config (const char *key, const char *value)
{
  (void) value;
  if (strcmp (key, "serial") == 0)
    model = NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
  return 0;
}

static int
test_thread_model (void)
{
  return model;
}

static int
test_after_fork (void)
{
  return client_sockets_init ();
}

static void *
test_open (int readonly)
{
  client_socket *own = malloc (sizeof *own);

  (void) readonly;
  if (own)
    *own = client_socket_own ();
  return own;
}

static int64_t
test_get_size (void *handle)
{
  (void) handle;
  return sizeof (client_socket);
}

static int
test_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  (void) flags;
  memcpy (buf, (char *) handle + offset, count);
  return 0;
}

static int
test_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  client_socket other;

  (void) handle;
  (void) offset;
  (void) flags;
  if (count != sizeof other) {
    errno = EINVAL;
    return -1;
  }
  memcpy (&other, buf, count);
  if (!client_socket_disconnect (other, false)) {
    errno = EPERM;
    return -1;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name               = "client-sockets",
  .errno_is_preserved = 1,
  .config             = test_config,
  .thread_model       = test_thread_model,
  .after_fork         = test_after_fork,
  .open               = test_open,
  .close              = free,
  .get_size           = test_get_size,
  .pread              = test_pread,
  .pwrite             = test_pwrite,
};

/* nbdkit's header defines it without having declared it. */
extern struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
