/* SPDX-License-Identifier: BSD-3-Clause */
/* The plugin's parameters. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "arena.h"
#include "boolean.h"
#include "cleanup.h"
#include "disk.h"
#include "memlimit.h"
#include "parameters.h"
#include "printable.h"
#include "size.h"
#include "unix-socket.h"


struct config config = {
  .o = {
    .default_size = DEFAULT_SIZE,
    .max_size = DISK_MAX_SIZE,
    .sector_size = 1,
    .max_disks = DEFAULT_MAX_DISKS,
    .auto_create = true,
  },
  .default_name = "",
  .control_mode = 0600,
};

static int
bad (const char *key, const char *value, const char *expected)
{
  char buf[PRINTABLE_STRING];

  nbdkit_error ("%s=%s: expected %s", key, printable (value, buf), expected);
  return -1;
}

static int
bad_name (const char *key, const char *value, const char *expected)
{
  char buf[PRINTABLE_STRING];

  nbdkit_error ("%s=%s: expected a name of %s", key, printable (value, buf),
                expected);
  return -1;
}

#define SIZE_EXPECTED \
  "a whole number of bytes, or with one suffix b s k M G T P E"

static int
parse_size (const char *key, const char *value, uint64_t *r)
{
  uint64_t n = UINT64_MAX;

  if (size_parse (value, &n) == -1 && errno != ERANGE)
    return bad (key, value, SIZE_EXPECTED);
  if (n > DISK_MAX_SIZE)
    return bad (key, value, "at most 2^63-1 bytes");
  *r = n;
  return 0;
}

static int
parse_bool (const char *key, const char *value, bool *r)
{
  return boolean_parse (value, r) == 0 ? 0 : bad (key, value, "yes or no");
}

static int
parse_sector_size (const char *key, const char *value, uint32_t *r)
{
  uint64_t n;

  if (size_parse (value, &n) == -1 || n < DISK_MIN_SECTOR ||
      n > DISK_MAX_SECTOR || (n & (n - 1)))
    return bad (key, value, "a power of two from 512 to 65536");
  *r = n;
  return 0;
}

static int
parse_max_disks (const char *key, const char *value, size_t *r)
{
  uint64_t n;

  if (size_parse (value, &n) == -1 || n < 1 || n > MOST_MAX_DISKS)
    return bad (key, value, "a number from 1 to 10000000");
  *r = n;
  return 0;
}

static int
set_size (const char *key, const char *value, uint64_t *r, const char **given)
{
  *given = value;
  return parse_size (key, value, r);
}

static int
set_max_memory (const char *key, const char *value)
{
  uint64_t n = UINT64_MAX;

  if (size_parse (value, &n) == -1 && errno != ERANGE)
    return bad (key, value, SIZE_EXPECTED);
  if (n < ARENA_MIN_LIMIT || n > ARENA_MAX_LIMIT)
    return bad (key, value, "a size from 1M to 16383G");
  config.max_memory = n;
  config.max_memory_given = value;
  return 0;
}

static int
parse_parallel (const char *key, const char *value, enum parallel *r)
{
  bool yes;

  if (strcasecmp (value, "auto") == 0)
    *r = PARALLEL_AUTO;
  else if (boolean_parse (value, &yes) == 0)
    *r = yes ? PARALLEL_YES : PARALLEL_NO;
  else
    return bad (key, value, "auto, yes or no");
  return 0;
}

/* Cut "NAME,key=value,…" after the name, in which a comma is doubled.
 * Returns what follows the comma, or NULL if nothing does.
 */
static char *
cut_name (char *s)
{
  char *to = s;

  for (; *s; s++) {
    if (*s == ',' && *++s != ',') {
      *to = '\0';
      return s;
    }
    *to++ = *s;
  }
  *to = '\0';
  return NULL;
}

/* "disk=NAME,sector-size", for messages. */
#define DISK_KEY_STRING (PRINTABLE_STRING + 32)

static int
set_disk_option (struct config_disk *d, const char *option)
{
  const char *value = strchr (option, '=');
  char key[DISK_KEY_STRING], buf[PRINTABLE_STRING];

  if (value) {
    size_t len = ++value - option;

    snprintf (key, sizeof key, "disk=%s,%.*s", d->shown,
              len < 16 ? (int) len - 1 : 16, option);
    if (strncmp (option, "size=", len) == 0) {
      d->size_given = value;
      return parse_size (key, value, &d->size);
    }
    if (strncmp (option, "sector-size=", len) == 0) {
      d->has_sector_size = true;
      return parse_sector_size (key, value, &d->sector_size);
    }
    if (strncmp (option, "readonly=", len) == 0)
      return parse_bool (key, value, &d->readonly);
  }
  nbdkit_error ("disk=%s: unknown part \"%s\", expected size=, sector-size= "
                "or readonly=", d->shown, printable (option, buf));
  return -1;
}

/* The name as it was given, the first so many bytes of value. */
static char *
show_name (const char *value, size_t len)
{
  CLEANUP_FREE char *given = strndup (value, len);
  char buf[PRINTABLE_STRING];

  return given ? strdup (printable (given, buf)) : NULL;
}

static int
add_disk (const char *value)
{
  char buf[PRINTABLE_STRING];
  struct config_disk *disk, d = { 0 };
  const char *expected;
  char *option;
  size_t i;

  d.name = strdup (value);
  if (d.name == NULL)
    goto out_of_memory;
  option = cut_name (d.name);
  d.shown = show_name (value, option ? (size_t) (option - d.name) - 1
                       : strlen (value));
  if (d.shown == NULL)
    goto out_of_memory;
  expected = registry_check_name (d.name);
  if (expected) {
    bad_name ("disk", value, expected);
    goto error;
  }
  for (i = 0; i < config.ndisks; i++)
    if (strcmp (config.disk[i].name, d.name) == 0) {
      bad ("disk", value, "a name that was not given before");
      goto error;
    }
  while (option) {
    char *next = strchr (option, ',');

    if (next)
      *next++ = '\0';
    if (set_disk_option (&d, option) == -1)
      goto error;
    option = next;
  }

  disk = reallocarray (config.disk, config.ndisks + 1, sizeof *disk);
  if (disk == NULL)
    goto out_of_memory;
  config.disk = disk;
  disk[config.ndisks++] = d;
  return 0;

 out_of_memory:
  nbdkit_error ("disk=%s: %m", printable (value, buf));
 error:
  free (d.shown);
  free (d.name);
  return -1;
}

static int
set_default (const char *value)
{
  const char *expected = registry_check_name (value);

  if (expected)
    return bad_name ("default", value, expected);
  config.default_name = value;
  return 0;
}

static int
set_control (const char *value)
{
  char buf[PRINTABLE_STRING];
  char *path = *value ? nbdkit_absolute_path (value) : NULL;

  if (*value == '\0')
    return bad ("control", value, "the path of a socket");
  if (path == NULL)
    return -1;
  if (strlen (path) > unix_socket_max_path ()) {
    nbdkit_error ("control=%s: expected a path of at most %zu bytes; as an "
                  "absolute path this one has %zu", printable (value, buf),
                  unix_socket_max_path (), strlen (path));
    free (path);
    return -1;
  }
  free (config.control);
  config.control = path;
  return 0;
}

static int
set_control_mode (const char *value)
{
  char *end;
  unsigned long mode = strtoul (value, &end, 8);

  if (*value < '0' || *value > '7' || *end || mode > 0777)
    return bad ("control-mode", value, "an octal number from 0 to 777");
  config.control_mode = mode;
  config.has_control_mode = true;
  return 0;
}

const char config_help[] =
  "[size=]<SIZE>            Size of a disk made by connecting to its name\n"
  "                         (default: 16M).\n"
  "disk=<NAME>[,size=<SIZE>][,sector-size=<N>][,readonly=yes|no]\n"
  "                         Make a disk at the start (may be repeated).\n"
  "auto-create=yes|no       Does connecting to an unknown name make a disk?\n"
  "                         (default: yes)\n"
  "default=<NAME>           The disk that the empty export name means.\n"
  "control=<SOCKET>         Serve the control protocol on this Unix socket.\n"
  "control-mode=<OCTAL>     The socket's mode (default: 600).\n"
  "sector-size=<N>          Only whole sectors of so many bytes, 512 to 65536\n"
  "                         (default: any bytes).\n"
  "max-memory=<SIZE>        Memory for all disks (default: 80 % of what the\n"
  "                         machine and its control group allow).\n"
  "max-size=<SIZE>          Largest size of a disk (default: 2^63-1).\n"
  "max-disks=<N>            Most disks at a time (default: 65536).\n"
  "detect-zeroes=yes|no     Store pages of zeros as holes (default: no).\n"
  "parallel=auto|yes|no     Serve the requests of one connection in parallel?\n"
  "                         (default: auto, only under a filter)";

int
config_set (const char *key, const char *value)
{
  char buf[PRINTABLE_STRING];

  if (strcmp (key, "size") == 0)
    return set_size (key, value, &config.o.default_size, &config.size_given);
  if (strcmp (key, "disk") == 0)
    return add_disk (value);
  if (strcmp (key, "auto-create") == 0)
    return parse_bool (key, value, &config.o.auto_create);
  if (strcmp (key, "default") == 0)
    return set_default (value);
  if (strcmp (key, "control") == 0)
    return set_control (value);
  if (strcmp (key, "control-mode") == 0)
    return set_control_mode (value);
  if (strcmp (key, "sector-size") == 0)
    return parse_sector_size (key, value, &config.o.sector_size);
  if (strcmp (key, "max-memory") == 0)
    return set_max_memory (key, value);
  if (strcmp (key, "max-size") == 0)
    return set_size (key, value, &config.o.max_size, &config.max_size_given);
  if (strcmp (key, "max-disks") == 0)
    return parse_max_disks (key, value, &config.o.max_disks);
  if (strcmp (key, "detect-zeroes") == 0)
    return parse_bool (key, value, &config.detect_zeroes);
  if (strcmp (key, "parallel") == 0)
    return parse_parallel (key, value, &config.parallel);
  nbdkit_error ("unknown parameter %s=%s: expected size, disk, auto-create, "
                "default, control, control-mode, sector-size, max-memory, "
                "max-size, max-disks, detect-zeroes or parallel", key,
                printable (value, buf));
  return -1;
}

uint64_t
config_default_memory (void)
{
  uint64_t limit = memory_limit ("/proc/self/cgroup", "/sys/fs/cgroup") /
    100 * DEFAULT_MEMORY_PERCENT;

  if (limit < ARENA_MIN_LIMIT)
    return ARENA_MIN_LIMIT;
  return limit < ARENA_MAX_LIMIT ? limit : ARENA_MAX_LIMIT;
}

/* The size of a disk that says none, and has such sectors.  Without size= it
 * always fits: 16M is a multiple of all sector sizes, and it gives way to
 * max-size.
 */
static uint64_t
default_size (uint32_t sector_size)
{
  uint64_t size = config.o.default_size;

  if (config.size_given == NULL && size > config.o.max_size)
    size = config.o.max_size - config.o.max_size % sector_size;
  return size;
}

/* what: what the user wrote to get this size, for the message. */
static int
check_size (const char *what, uint64_t size, uint32_t sector_size)
{
  if (size > config.o.max_size) {
    nbdkit_error ("%s: expected at most max-size=%s", what,
                  config.max_size_given);
    return -1;
  }
  if (size % sector_size) {
    nbdkit_error ("%s: expected a multiple of sector-size=%" PRIu32, what,
                  sector_size);
    return -1;
  }
  return 0;
}

static int
check_default_size (void)
{
  CLEANUP_FREE char *what = NULL;

  config.o.default_size = default_size (config.o.sector_size);
  if (config.size_given == NULL || !config.o.auto_create)
    return 0;
  if (asprintf (&what, "size=%s", config.size_given) == -1) {
    nbdkit_error ("size: %m");
    return -1;
  }
  return check_size (what, config.o.default_size, config.o.sector_size);
}

static int
finish_disk (struct config_disk *d)
{
  CLEANUP_FREE char *what = NULL;
  int r;

  if (!d->has_sector_size)
    d->sector_size = config.o.sector_size;
  if (d->size_given)
    r = asprintf (&what, "disk=%s,size=%s", d->shown, d->size_given);
  else {
    d->size = default_size (d->sector_size);
    if (config.size_given == NULL)
      return 0;
    r = asprintf (&what, "disk=%s, of size=%s", d->shown, config.size_given);
  }
  if (r == -1) {
    nbdkit_error ("disk=%s: %m", d->shown);
    return -1;
  }
  return check_size (what, d->size, d->sector_size);
}

/* What the name "" means, and whether there is something to connect to. */
static int
check_default_name (void)
{
  bool exists = config.o.auto_create;
  char buf[PRINTABLE_STRING];
  size_t i;

  printable (config.default_name, buf);
  for (i = 0; i < config.ndisks; i++) {
    if (strcmp (config.disk[i].name, config.default_name) == 0)
      exists = true;
    else if (*config.disk[i].name == '\0') {
      nbdkit_error ("default=%s: expected no disk= with an empty name, for the "
                    "empty name means \"%s\" then", buf, buf);
      return -1;
    }
  }
  /* With a control socket disks can be made later. */
  if (!exists && *config.default_name && config.control == NULL) {
    nbdkit_error ("default=%s: expected a disk= of that name, "
                  "auto-create=yes or control=", buf);
    return -1;
  }
  return 0;
}

int
config_finish (void)
{
  size_t i;

  /* Disks that have no size of their own look at what size= was before it is
   * made to fit sector-size=.
   */
  for (i = 0; i < config.ndisks; i++)
    if (finish_disk (&config.disk[i]) == -1)
      return -1;
  if (check_default_size () == -1)
    return -1;
  if (config.ndisks > config.o.max_disks) {
    nbdkit_error ("max-disks=%zu: expected at least %zu, for so many disk= "
                  "are given", config.o.max_disks, config.ndisks);
    return -1;
  }
  if (config.has_control_mode && config.control == NULL) {
    nbdkit_error ("control-mode=%o: expected control= with it",
                  (unsigned) config.control_mode);
    return -1;
  }
  /* With a control socket disks can be made later. */
  if (!config.o.auto_create && config.ndisks == 0 && config.control == NULL) {
    nbdkit_error ("auto-create=no: expected a disk= or control= with it, "
                  "else there is nothing to connect to");
    return -1;
  }
  if (check_default_name () == -1)
    return -1;
  if (config.max_memory == 0)
    config.max_memory = config_default_memory ();
  return 0;
}

void
config_free (void)
{
  size_t i;

  for (i = 0; i < config.ndisks; i++) {
    free (config.disk[i].shown);
    free (config.disk[i].name);
  }
  free (config.disk);
  free (config.control);
  config.control = NULL;
  config.disk = NULL;
  config.ndisks = 0;
}
