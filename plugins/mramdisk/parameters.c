/* SPDX-License-Identifier: BSD-3-Clause */
/* The plugin's parameters. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "arena.h"
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

static int
parse_size (const char *key, const char *value, uint64_t least,
            const char *expected, uint64_t *r)
{
  if (size_parse (value, r) == -1 || *r < least || *r > DISK_MAX_SIZE)
    return bad (key, value, expected);
  return 0;
}

static int
parse_bool (const char *key, const char *value, bool *r)
{
  static const char *const words[2][6] = {
    { "no", "n", "0", "off", "false", "f" },
    { "yes", "y", "1", "on", "true", "t" },
  };
  unsigned b, i;

  for (b = 0; b < 2; b++)
    for (i = 0; i < 6; i++)
      if (strcasecmp (value, words[b][i]) == 0) {
        *r = b;
        return 0;
      }
  return bad (key, value, "yes or no");
}

#define SIZE_EXPECTED \
  "a size in bytes or with a suffix, such as 1G, of at most 2^63-1 bytes"

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
parse_max_memory (const char *key, const char *value, uint64_t *r)
{
  if (size_parse (value, r) == -1 || *r < ARENA_MIN_LIMIT ||
      *r > ARENA_MAX_LIMIT)
    return bad (key, value, "a size from 1M to 16383G");
  return 0;
}

static int
parse_parallel (const char *key, const char *value, enum parallel *r)
{
  bool yes;

  if (strcmp (value, "auto") == 0) {
    *r = PARALLEL_AUTO;
    return 0;
  }
  if (strcmp (value, "yes") != 0 && strcmp (value, "no") != 0)
    return bad (key, value, "auto, yes or no");
  yes = strcmp (value, "yes") == 0;
  *r = yes ? PARALLEL_YES : PARALLEL_NO;
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

static int
set_disk_option (struct config_disk *d, char *option)
{
  char *value = strchr (option, '=');
  char key[32];

  if (value)
    *value++ = '\0';
  snprintf (key, sizeof key, "disk=…,%s", option);
  if (value && strcmp (option, "size") == 0) {
    d->has_size = true;
    return parse_size (key, value, 0, SIZE_EXPECTED, &d->size);
  }
  if (value && strcmp (option, "sector-size") == 0) {
    d->has_sector_size = true;
    return parse_sector_size (key, value, &d->sector_size);
  }
  if (value && strcmp (option, "readonly") == 0)
    return parse_bool (key, value, &d->readonly);
  return bad ("disk", d->value,
              "NAME[,size=SIZE][,sector-size=N][,readonly=yes|no], "
              "and each comma in NAME doubled");
}

static int
add_disk (const char *value)
{
  char buf[PRINTABLE_STRING];
  struct config_disk *disk, d = { .value = value };
  const char *expected;
  char *option;
  size_t i;

  d.name = strdup (value);
  if (d.name == NULL)
    goto out_of_memory;
  option = cut_name (d.name);
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
    return parse_size (key, value, 0, SIZE_EXPECTED, &config.o.default_size);
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
    return parse_max_memory (key, value, &config.max_memory);
  if (strcmp (key, "max-size") == 0)
    return parse_size (key, value, 0, SIZE_EXPECTED, &config.o.max_size);
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

/* key: what the user wrote to get this size, for the message. */
static int
check_size (const char *key, uint64_t size, uint32_t sector_size)
{
  if (size > config.o.max_size) {
    nbdkit_error ("%s: the size is %" PRIu64 ", expected at most "
                  "max-size=%" PRIu64, key, size, config.o.max_size);
    return -1;
  }
  if (size % sector_size) {
    nbdkit_error ("%s: the size is %" PRIu64 ", expected a multiple of "
                  "sector-size=%" PRIu32, key, size, sector_size);
    return -1;
  }
  return 0;
}

static int
finish_disk (struct config_disk *d)
{
  CLEANUP_FREE char *key = NULL;
  char value[PRINTABLE_STRING];

  if (!d->has_size)
    d->size = config.o.default_size;
  if (!d->has_sector_size)
    d->sector_size = config.o.sector_size;
  printable (d->value, value);
  if (asprintf (&key, "disk=%s", value) == -1) {
    nbdkit_error ("disk=%s: %m", value);
    return -1;
  }
  return check_size (key, d->size, d->sector_size);
}

int
config_finish (void)
{
  char buf[PRINTABLE_STRING];
  bool default_exists = config.o.auto_create;
  size_t i;

  if (config.o.auto_create &&
      check_size ("size", config.o.default_size, config.o.sector_size) == -1)
    return -1;
  for (i = 0; i < config.ndisks; i++) {
    if (finish_disk (&config.disk[i]) == -1)
      return -1;
    if (strcmp (config.disk[i].name, config.default_name) == 0)
      default_exists = true;
  }
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
  if (!default_exists && *config.default_name && config.control == NULL) {
    nbdkit_error ("default=%s: expected a disk= of that name, "
                    "auto-create=yes or control=",
                    printable (config.default_name, buf));
    return -1;
  }
  if (config.max_memory == 0)
    config.max_memory = config_default_memory ();
  return 0;
}

void
config_free (void)
{
  size_t i;

  for (i = 0; i < config.ndisks; i++)
    free (config.disk[i].name);
  free (config.disk);
  free (config.control);
  config.control = NULL;
  config.disk = NULL;
  config.ndisks = 0;
}
