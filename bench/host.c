/* SPDX-License-Identifier: BSD-3-Clause */
/* A small substitute for nbdkit: the functions that plugins need, and a loader.
 */

#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
#include <strings.h>
#include <sys/mman.h>

#include "base/size.h"
#include "host.h"

/* ------------------------------- the functions that plugins call in nbdkit */

/* nbdkit_exports_free and nbdkit_extents_free are not part of the API, but
 * nbdkit's own plugins refer to them.
 */
void nbdkit_exports_free (struct nbdkit_exports *);
void nbdkit_extents_free (struct nbdkit_extents *);

void
nbdkit_verror (const char *msg, va_list args)
{
  int err = errno;

  fputs ("plugin: ", stderr);
  errno = err;
  vfprintf (stderr, msg, args);
  fputc ('\n', stderr);
  errno = err;
}

void
nbdkit_error (const char *msg, ...)
{
  va_list args;

  va_start (args, msg);
  nbdkit_verror (msg, args);
  va_end (args);
}

void
nbdkit_vdebug (const char *msg, va_list args)
{
  (void) msg;
  (void) args;
}

void
nbdkit_debug (const char *msg, ...)
{
  (void) msg;
}

void
nbdkit_set_error (int err)
{
  errno = err;
}

int64_t
nbdkit_parse_size (const char *str)
{
  uint64_t size;

  if (size_parse (str, &size) == -1 || size > INT64_MAX) {
    nbdkit_error ("%s: expected a size", str);
    return -1;
  }
  return size;
}

int
nbdkit_parse_bool (const char *str)
{
  if (strcasecmp (str, "yes") == 0 || strcasecmp (str, "true") == 0 ||
      strcasecmp (str, "on") == 0 || strcmp (str, "1") == 0)
    return 1;
  if (strcasecmp (str, "no") == 0 || strcasecmp (str, "false") == 0 ||
      strcasecmp (str, "off") == 0 || strcmp (str, "0") == 0)
    return 0;
  nbdkit_error ("%s: expected yes or no", str);
  return -1;
}

/* Callers pass absolute paths. */
char *
nbdkit_absolute_path (const char *path)
{
  return strdup (path);
}

/* As in nbdkit, these strings live as long as the process. */
const char *
nbdkit_strndup_intern (const char *str, size_t n)
{
  return strndup (str, n);
}

const char *
nbdkit_strdup_intern (const char *str)
{
  return strdup (str);
}

const char *
nbdkit_vprintf_intern (const char *msg, va_list args)
{
  char *s;

  return vasprintf (&s, msg, args) == -1 ? NULL : s;
}

const char *
nbdkit_printf_intern (const char *msg, ...)
{
  const char *s;
  va_list args;

  va_start (args, msg);
  s = nbdkit_vprintf_intern (msg, args);
  va_end (args);
  return s;
}

const char *
nbdkit_export_name (void)
{
  return "";
}

int
nbdkit_is_tls (void)
{
  return 0;
}

/* The client is this process, on no socket. */
int
nbdkit_peer_name (struct sockaddr *addr, socklen_t *addrlen)
{
  (void) addr;
  (void) addrlen;
  return -1;
}

int64_t
nbdkit_peer_pid (void)
{
  return getpid ();
}

int64_t
nbdkit_peer_uid (void)
{
  return getuid ();
}

int64_t
nbdkit_peer_gid (void)
{
  return getgid ();
}

int
nbdkit_nanosleep (unsigned sec, unsigned nsec)
{
  const struct timespec t = { .tv_sec = sec, .tv_nsec = nsec };

  return nanosleep (&t, NULL);
}

int
nbdkit_stdio_safe (void)
{
  return 1;
}

void
nbdkit_shutdown (void)
{
  exit (EXIT_FAILURE);
}

/* Exports are never listed here. */
int
nbdkit_add_export (struct nbdkit_exports *exports, const char *name,
                   const char *description)
{
  (void) exports;
  (void) name;
  (void) description;
  return 0;
}

int
nbdkit_use_default_export (struct nbdkit_exports *exports)
{
  (void) exports;
  return 0;
}

void
nbdkit_exports_free (struct nbdkit_exports *exports)
{
  (void) exports;
}

void
nbdkit_extents_free (struct nbdkit_extents *extents)
{
  (void) extents;
}

int
nbdkit_add_extent (struct nbdkit_extents *e, uint64_t offset, uint64_t length,
                   uint32_t type)
{
  if (e->n == 0 || type != e->type) {
    e->n++;
    e->type = type;
  }
  if (type == 0)
    e->data += length;
  e->end = offset + length;
  return 0;
}

/* -------------------------------------------------------- the yardstick */

static char *bare_memory;
static uint64_t bare_size;

static int
bare_config (const char *key, const char *value)
{
  int64_t size = nbdkit_parse_size (value);

  (void) key;
  if (size == -1)
    return -1;
  bare_size = size;
  return 0;
}

/* Memory from malloc, without advice to the system. */
static int
bare_get_ready (void)
{
  bare_memory = mmap (NULL, bare_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return bare_memory == MAP_FAILED ? -1 : 0;
}

static void *
bare_open (int readonly)
{
  (void) readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t
bare_get_size (void *handle)
{
  (void) handle;
  return bare_size;
}

static int
bare_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  (void) handle;
  (void) flags;
  memcpy (buf, bare_memory + offset, count);
  return 0;
}

static int
bare_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  (void) handle;
  (void) flags;
  memcpy (bare_memory + offset, buf, count);
  return 0;
}

static struct nbdkit_plugin bare = {
  ._struct_size = sizeof bare,
  ._api_version = 2,
  .name = "bare",
  .version = "of the C library",
  .config = bare_config,
  .get_ready = bare_get_ready,
  .open = bare_open,
  .get_size = bare_get_size,
  .pread = bare_pread,
  .pwrite = bare_pwrite,
};

/* ----------------------------------------------------------- the loader */

static int
load (const struct host_plugin *plugin, struct nbdkit_plugin *p)
{
  struct nbdkit_plugin *(*init) (void), *found = &bare;
  void *dl;

  if (plugin->path) {
    /* Local: the symbols of one plugin must not be visible to another. */
    dl = dlopen (plugin->path, RTLD_NOW | RTLD_LOCAL);
    if (dl == NULL) {
      fprintf (stderr, "%s: %s\n", plugin->name, dlerror ());
      return -1;
    }
    init = (struct nbdkit_plugin * (*) (void)) dlsym (dl, "plugin_init");
    found = init ? init () : NULL;
    if (found == NULL || found->_api_version != 2) {
      fprintf (stderr, "%s: expected an nbdkit plugin of API version 2\n",
               plugin->path);
      return -1;
    }
  }
  /* A plugin made for an older nbdkit has a shorter struct. */
  memset (p, 0, sizeof *p);
  memcpy (p, found, found->_struct_size < sizeof *p
          ? found->_struct_size : sizeof *p);
  return 0;
}

int
host_start (struct host *h, const struct host_plugin *plugin, uint64_t size)
{
  const char *failed;
  char value[32];

  if (load (plugin, &h->p) == -1)
    return -1;
  snprintf (value, sizeof value, "%" PRIu64, size);
  if (h->p.load)
    h->p.load ();
  failed = "config";
  if (h->p.config && h->p.config ("size", value) == -1)
    goto error;
  failed = "config_complete";
  if (h->p.config_complete && h->p.config_complete () == -1)
    goto error;
  if (h->p.thread_model)
    h->p.thread_model ();
  failed = "get_ready";
  if (h->p.get_ready && h->p.get_ready () == -1)
    goto error;
  failed = "after_fork";
  if (h->p.after_fork && h->p.after_fork () == -1)
    goto error;
  failed = "open";
  h->handle = h->p.open (0);
  if (h->handle == NULL)
    goto error;
  h->size = h->p.get_size (h->handle);
  if (h->size != (int64_t) size) {
    fprintf (stderr, "%s: the size is %" PRId64 ", expected %" PRIu64 "\n",
             plugin->name, h->size, size);
    return -1;
  }
  return 0;

 error:
  fprintf (stderr, "%s: %s failed\n", plugin->name, failed);
  return -1;
}

const char *
host_version (const struct host_plugin *plugin)
{
  struct nbdkit_plugin p;

  return load (plugin, &p) == -1 ? NULL : p.version ? p.version : "unknown";
}
