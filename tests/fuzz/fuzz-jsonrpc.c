/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the control protocol: from bytes of a client to methods and answers, on
 * the real engine but without a socket.  For libFuzzer; run-fuzz.sh builds it.
 */

#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/mramdisk/method-parts.h"
#include "plugins/mramdisk/methods.h"
#include "plugins/mramdisk/open-origin.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/registry.h"
#include "rpc/jsonrpc.h"
#include "save/kept.h"

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static struct service service;

/* Jobs reach other servers and files, so there are none. */
const struct jsonrpc_method job_methods[] = { { .name = NULL } };

/* Nor origins. */
struct origin *
open_origin (struct service *s, const struct origin_request *request,
             char why[REMOTE_WHY])
{
  (void) s;
  snprintf (why, REMOTE_WHY, "%s: no servers here", request->uri);
  errno = EIO;
  return NULL;
}

static void
require (int what, const char *text)
{
  if (!what) {
    fprintf (stderr, "fuzz: %s\n", text);
    abort ();
  }
}

/* Each change leaves the name's disk there, or not. */
static void
heard (void *opaque, const struct change_report *r)
{
  (void) opaque;
  require (registry_check_name (r->name) == NULL, "a name that is none");
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  static const struct registry_options o = {
    .default_size = 1 << 20, .max_size = DISK_MAX_SIZE / 2, .sector_size = 1,
    .max_disks = 8, .auto_create = true,
  };

  (void) argc;
  (void) argv;
  service.arena = arena_create (8 << 20);
  service.registry = registry_new (service.arena, &o);
  service.saves = saves_new (service.arena);
  require (service.registry != NULL && service.saves != NULL, "no memory");
  service.default_name = "";
  registry_listen (service.registry, heard, NULL);
  return 0;
}

/* A disk with something in it, and a clone of it that differs. */
static void
make_disks (void)
{
  struct disk_options o = { .size = 1 << 20, .sector_size = 1,
    .quota = TREE_NO_QUOTA };
  struct named_disk *d;

  registry_create (service.registry, "a", &o, IF_EXISTS_ERROR, NULL);
  d = registry_hold (service.registry, "a");
  disk_write (d->disk, "data", 4, 5000);
  registry_clone (service.registry, "a", "b", &o, IF_EXISTS_ERROR, NULL);
  disk_write (d->disk, "more", 4, 70000);
  registry_close (service.registry, d);
}

static void
destroy_all (void)
{
  struct named_disk *d;
  char name[REGISTRY_MAX_NAME + 1];
  bool more;

  while (registry_hold_page (service.registry, NULL, 1, &d, &more, NULL)) {
    strcpy (name, d->name);
    registry_close (service.registry, d);
    registry_destroy (service.registry, name);
  }
  arena_reclaim (service.arena);
}

static void
one_line (const char *line, size_t len)
{
  struct jsonrpc_outcome outcome;
  char *answer;
  json_t *json;
  size_t n;

  require (jsonrpc_handle (mramdisk_methods (), &service, NULL, line,
                           len, &answer, &n, &outcome) == 0, "no memory");
  if (answer == NULL)
    return;
  require (n == strlen (answer) && answer[n - 1] == '\n' &&
           memchr (answer, '\n', n - 1) == NULL, "not one line");
  json = json_loadb (answer, n, JSON_ALLOW_NUL, NULL);
  require (json_is_object (json), "the answer is not JSON");
  require ((json_object_get (json, "result") != NULL) ==
           (json_object_get (json, "error") == NULL), "result and error");
  require ((json_object_get (json, "error") != NULL) == (outcome.code != 0),
           "the outcome is another");
  json_decref (json);
  free (answer);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *line = (const char *) data, *end;

  make_disks ();
  while (size > 0) {
    size_t len;

    end = memchr (line, '\n', size);
    len = end ? (size_t) (end - line) : size;
    one_line (line, len);
    len += end != NULL;
    line += len;
    size -= len;
  }
  destroy_all ();
  return 0;
}
