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

#include "base/boolean.h"
#include "base/cleanup.h"
#include "base/printable.h"
#include "base/size.h"
#include "buffers.h"
#include "open-origin.h"
#include "parameters.h"
#include "plugins/common/control-socket.h"
#include "plugins/common/values.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/memlimit.h"

struct config config = {
  .o = {
    .default_size = DEFAULT_SIZE,
    .max_size = DISK_MAX_SIZE,
    .sector_size = 1,
    .max_disks = DEFAULT_MAX_DISKS,
    .auto_create = true,
    .template_quota = TREE_NO_QUOTA,
  },
  .default_name = "",
  .max_request = DEFAULT_MAX_REQUEST,
  .control_mode = 0600,
};

#define BOOL "yes or no"

/* A day. */
#define MOST_ARENA_WAIT 86400

#define SIZE_EXPECTED \
  "a size such as 512, 64k, 1.5G, 10GiB or 10GB"

static int
parse_size (const char *key, const char *value, uint64_t *r)
{
  uint64_t n = UINT64_MAX;

  if (size_parse (value, &n) == -1 && errno != ERANGE)
    return value_bad (key, value, SIZE_EXPECTED);
  if (n > DISK_MAX_SIZE)
    return value_bad (key, value, "at most 2^63-1 bytes");
  *r = n;
  return 0;
}

/* The range of a number. */
struct limits {
  uint32_t least, most;
  bool power_of_two;
  const char *expected;
};

static const struct limits sector_sizes = {
  DISK_MIN_SECTOR, DISK_MAX_SECTOR, true, "a power of two from 512 to 65536"
};
static const struct limits numbers_of_disks = {
  1, MOST_MAX_DISKS, false, "a number from 1 to 10000000"
};
static const struct limits request_sizes = {
  LEAST_MAX_REQUEST, BUFFERS_MAX_REQUEST, true,
  "a power of two from 64k to 64M"
};
static const struct limits numbers_of_connections = {
  1, MOST_MAX_CONNECTIONS, false, "a number from 1 to 1000000"
};

static int
parse_limited (const char *key, const char *value, const struct limits *l,
               uint32_t *r)
{
  uint64_t n;

  if (size_parse (value, &n) == -1 || n < l->least || n > l->most ||
      (l->power_of_two && (n & (n - 1))))
    return value_bad (key, value, "%s", l->expected);
  *r = n;
  return 0;
}

static int
parse_count (const char *key, const char *value, const struct limits *l,
             size_t *r)
{
  uint32_t n;

  if (parse_limited (key, value, l, &n) == -1)
    return -1;
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
    return value_bad (key, value, SIZE_EXPECTED);
  if (n < ARENA_MIN_LIMIT || n > ARENA_MAX_LIMIT)
    return value_bad (key, value, "a size from 1M to 16383G");
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
    return value_bad (key, value, "auto, yes or no");
  return 0;
}

/* A parameter of nbdkit-memory-plugin, TYPE[,key=value...].  What it asks for
 * is either always true here, or impossible.  The only key that is accepted is
 * mlock= of malloc.
 */
static int
check_allocator (const char *value)
{
  static const char mlock[] = "malloc,mlock=";
  char buf[PRINTABLE_STRING];
  bool lock;

  if (strcmp (value, "zstd") == 0 || strncmp (value, "zstd,", 5) == 0) {
    nbdkit_error ("allocator=%s: expected sparse or malloc: pages are accessed "
                  "in place and cannot be compressed",
                  printable (value, buf));
    return -1;
  }
  if (strcmp (value, "sparse") == 0 || strcmp (value, "malloc") == 0)
    return 0;
  if (strncmp (value, mlock, strlen (mlock)) == 0 &&
      boolean_parse (value + strlen (mlock), &lock) == 0) {
    if (!lock)
      return 0;
    nbdkit_error ("allocator=%s: expected no mlock: to lock the memory, use "
                  "nbdkit's options --swap and -f", printable (value, buf));
    return -1;
  }
  return value_bad ("allocator", value, "sparse, malloc or malloc,mlock=no");
}

/* Terminate the name in "NAME,key=value,…", where a comma is doubled.  Returns
 * what follows the comma, or NULL if nothing does.
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

/* For "disk=NAME,sector-size" in messages. */
#define DISK_KEY_STRING (PRINTABLE_STRING + 32)

static int
parse_prefetch_rate (const char *key, const char *value, uint64_t *r)
{
  if (parse_size (key, value, r) == -1)
    return -1;
  if (*r < LEAST_PREFETCH_RATE)
    return value_bad (key, value, "at least 64k, in bytes a second");
  return 0;
}

static int
set_origin_memory (const char *key, const char *value)
{
  if (parse_size (key, value, &config.origin_memory) == -1)
    return -1;
  if (config.origin_memory < ARENA_MIN_LIMIT)
    return value_bad (key, value, "at least 1M");
  return 0;
}

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
      return parse_limited (key, value, &sector_sizes, &d->sector_size);
    }
    if (strncmp (option, "readonly=", len) == 0) {
      d->has_readonly = true;
      return value_bool (key, value, BOOL, &d->readonly);
    }
    if (strncmp (option, "origin=", len) == 0) {
      d->origin = value;
      config.has_origins = true;
      return 0;
    }
    if (strncmp (option, "prefetch=", len) == 0) {
      d->prefetch_option = "prefetch";
      return value_bool (key, value, BOOL, &d->prefetch);
    }
    if (strncmp (option, "prefetch-rate=", len) == 0) {
      d->prefetch_option = "prefetch-rate";
      return parse_prefetch_rate (key, value, &d->prefetch_rate);
    }
  }
  nbdkit_error ("disk=%s: unknown option \"%s\": expected size=, sector-size=, "
                "readonly=, origin=, prefetch= or prefetch-rate=", d->shown,
                printable_name (option, buf));
  return -1;
}

/* The name as given: the first len bytes of value, escaped. */
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
    value_bad ("disk", value, "a name of %s", expected);
    goto error;
  }
  for (i = 0; i < config.ndisks; i++)
    if (strcmp (config.disk[i].name, d.name) == 0) {
      value_bad ("disk", value, "a name that no earlier disk= has");
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
    return value_bad ("default", value, "a name of %s", expected);
  config.default_name = value;
  return 0;
}

static int
set_template (const char *value)
{
  const char *expected = registry_check_name (value);

  if (expected)
    return value_bad ("template", value, "a name of %s", expected);
  config.o.template_name = value;
  return 0;
}

static int
parse_detect_same (const char *key, const char *value)
{
  bool yes;

  if (value_bool (key, value, BOOL, &yes) == -1)
    return -1;
  config.o.keep_same = !yes;
  return 0;
}

static int
set_arena_wait (const char *key, const char *value)
{
  uint64_t n;

  if (strspn (value, "0123456789") != strlen (value) ||
      size_parse (value, &n) == -1 || n > MOST_ARENA_WAIT)
    return value_bad (key, value, "a whole number of seconds from 0 to 86400");
  config.arena_option = key;
  config.arena_wait = n;
  return 0;
}

static int
set_arena_bool (const char *key, const char *value, bool *r)
{
  config.arena_option = key;
  return value_bool (key, value, BOOL, r);
}

const char config_help[] =
  "[size=]<SIZE>            Default size of a disk (default: 16M).\n"
  "disk=<NAME>[,size=<SIZE>][,sector-size=<N>][,readonly=yes|no]\n"
  "    [,origin=<URI>[,prefetch=yes|no][,prefetch-rate=<SIZE>]]\n"
  "                         Create a disk at startup (may be repeated).  With\n"
  "                         an origin, it shows that NBD export's content,\n"
  "                         which is fetched when it is needed.\n"
  "origin-memory=<SIZE>     Limit for what was fetched from origins (default:\n"
  "                         what max-memory leaves).\n"
  "auto-create=yes|no       Whether connecting to an unknown name creates a\n"
  "                         disk (default: yes).\n"
  "template=<NAME>          Connecting to an unknown name creates a clone of\n"
  "                         this disk instead of an empty disk.\n"
  "template-quota=<SIZE>    How much such a clone may own (default: no limit).\n"
  "auto-destroy=yes|no      Whether a disk that was created by connecting goes\n"
  "                         with its last client (default: no).\n"
  "default=<NAME>           The disk that the empty export name refers to.\n"
  "control=<SOCKET>         Serve the control protocol on this Unix socket.\n"
  "control-mode=<OCTAL>     Mode of the control socket (default: 600).\n"
  "control-group=<GROUP>    Group of the control socket; makes the mode 660.\n"
  "sector-size=<N>          Default sector size of a disk, 512 to 65536\n"
  "                         (default: every byte is addressable).\n"
  "max-memory=<SIZE>        Memory limit for all disks (default: 80 % of the\n"
  "                         memory of the machine or control group).\n"
  "max-size=<SIZE>          Largest size of a disk (default: 2^63-1).\n"
  "max-disks=<N>            Maximum number of disks (default: 65536).\n"
  "max-connections=<N>      Maximum number of connections (default: as many\n"
  "                         as 10 % of the memory has buffers for).\n"
  "max-request=<SIZE>       Announced maximum size of a read or write,\n"
  "                         64k to 64M (default: 1M).\n"
  "detect-zeroes=yes|no     Store pages of zeros as holes (default: no).\n"
  "detect-same=yes|no       Keep a shared page shared if what is written to it\n"
  "                         is what it holds (default: yes).\n"
  "allocator=sparse|malloc  Accepted for compatibility; has no effect.\n"
  "load=<DIR>               Create the disks that were saved in this folder\n"
  "arena=<FILE>             Keep the disks in this file, so that they survive\n"
  "                         the server.  It is created if it does not exist.\n"
  "arena-wait=<SECONDS>     How long to wait until another server releases the\n"
  "                         file (default: 0).\n"
  "arena-discard=yes|no     Start empty if the machine went down while the file\n"
  "                         was in use (default: no).\n"
  "arena-salvage=yes|no     Drop damaged disks and keep the others\n"
  "                         (default: no).\n"
  "parallel=auto|yes|no     Whether requests of one connection are processed\n"
  "                         concurrently (default: auto; yes under a filter, or\n"
  "                         with an origin=).";

int
config_set (const char *key, const char *value)
{
  char buf[PRINTABLE_STRING];

  if (strcmp (key, "size") == 0)
    return set_size (key, value, &config.o.default_size, &config.size_given);
  if (strcmp (key, "disk") == 0)
    return add_disk (value);
  if (strcmp (key, "origin-memory") == 0)
    return set_origin_memory (key, value);
  if (strcmp (key, "auto-create") == 0)
    return value_bool (key, value, BOOL, &config.o.auto_create);
  if (strcmp (key, "template") == 0)
    return set_template (value);
  if (strcmp (key, "template-quota") == 0)
    return set_size (key, value, &config.o.template_quota,
                     &config.template_quota_given);
  if (strcmp (key, "auto-destroy") == 0)
    return value_bool (key, value, BOOL, &config.o.auto_destroy);
  if (strcmp (key, "default") == 0)
    return set_default (value);
  if (strcmp (key, "control") == 0)
    return control_socket_path (key, value, &config.control);
  if (strcmp (key, "control-mode") == 0) {
    config.has_control_mode = true;
    return control_socket_mode (key, value, &config.control_mode);
  }
  if (strcmp (key, "control-group") == 0) {
    config.has_control_group = true;
    return control_socket_group (key, value, &config.control_group);
  }
  if (strcmp (key, "sector-size") == 0)
    return parse_limited (key, value, &sector_sizes, &config.o.sector_size);
  if (strcmp (key, "max-memory") == 0)
    return set_max_memory (key, value);
  if (strcmp (key, "max-size") == 0)
    return set_size (key, value, &config.o.max_size, &config.max_size_given);
  if (strcmp (key, "max-disks") == 0)
    return parse_count (key, value, &numbers_of_disks, &config.o.max_disks);
  if (strcmp (key, "max-connections") == 0)
    return parse_count (key, value, &numbers_of_connections,
                        &config.max_connections);
  if (strcmp (key, "max-request") == 0)
    return parse_limited (key, value, &request_sizes, &config.max_request);
  if (strcmp (key, "detect-zeroes") == 0)
    return value_bool (key, value, BOOL, &config.detect_zeroes);
  if (strcmp (key, "detect-same") == 0)
    return parse_detect_same (key, value);
  if (strcmp (key, "arena") == 0)
    return value_path (key, value, "the path of a file", &config.arena);
  if (strcmp (key, "load") == 0)
    return value_path (key, value, "the path of a folder", &config.load);
  if (strcmp (key, "arena-wait") == 0)
    return set_arena_wait (key, value);
  if (strcmp (key, "arena-discard") == 0)
    return set_arena_bool (key, value, &config.arena_discard);
  if (strcmp (key, "arena-salvage") == 0)
    return set_arena_bool (key, value, &config.arena_salvage);
  if (strcmp (key, "parallel") == 0)
    return parse_parallel (key, value, &config.parallel);
  if (strcmp (key, "allocator") == 0)
    return check_allocator (value);
  nbdkit_error ("unknown parameter %s=%s: expected size, disk, "
                "origin-memory, auto-create, template, template-quota, "
                "auto-destroy, default, control, control-mode, control-group, "
                "sector-size, max-memory, max-size, max-disks, "
                "max-connections, max-request, "
                "detect-zeroes, detect-same, arena, arena-wait, arena-discard, "
                "arena-salvage, load, allocator or parallel",
                key,
                printable (value, buf));
  return -1;
}

static uint64_t
available_memory (void)
{
  return memory_limit ("/proc/self/cgroup", "/sys/fs/cgroup");
}

static uint64_t
percent (unsigned n)
{
  return available_memory () / 100 * n;
}

static uint64_t
possible_memory (uint64_t limit)
{
  if (limit < ARENA_MIN_LIMIT)
    return ARENA_MIN_LIMIT;
  return limit < ARENA_MAX_LIMIT ? limit : ARENA_MAX_LIMIT;
}

uint64_t
config_default_memory (void)
{
  return possible_memory (percent (DEFAULT_MEMORY_PERCENT));
}

/* What the disks may take of the machine's memory: max-memory=, or what the
 * arena's file system has if that is less.  Nothing if the file system is on a
 * disk, because the system can write these pages back and drop them.
 */
static uint64_t
memory_of_disks (void)
{
  bool in_memory = true;
  uint64_t room = config.arena ? arena_room (config.arena, &in_memory) : 0;

  if (!in_memory)
    return 0;
  return room > 0 && room < config.max_memory ? room : config.max_memory;
}

size_t
config_default_connections (unsigned threads)
{
  uint64_t each = buffers_bound (config.max_request, 1, threads);
  uint64_t n = percent (DEFAULT_BUFFERS_PERCENT) / each;
  uint64_t most = percent (MOST_MEMORY_PERCENT), disks = memory_of_disks ();
  uint64_t few = percent (MOST_BUFFERS_PERCENT);

  if (disks > most)
    few = 0;
  else if (few > most - disks)
    few = most - disks;
  few /= each;
  if (few > FEW_CONNECTIONS)
    few = FEW_CONNECTIONS;
  if (n < few)
    n = few;
  if (n < 1)
    n = 1;
  return n < MOST_MAX_CONNECTIONS ? n : MOST_MAX_CONNECTIONS;
}

/* More memory than the arena's file system has would be of no use. */
static void
limit_to_file_system (void)
{
  bool in_memory;
  uint64_t room = arena_room (config.arena, &in_memory);

  if (room > 0 && room < config.max_memory)
    config.max_memory = room > ARENA_MIN_LIMIT ? room : ARENA_MIN_LIMIT;
}

int
config_finish_memory (unsigned threads)
{
  uint64_t most = percent (MOST_MEMORY_PERCENT), buffers;
  char size[SIZE_STRING];

  if (config.max_connections == 0)
    config.max_connections = config_default_connections (threads);
  if (config.max_memory)
    return 0;
  buffers = buffers_bound (config.max_request, config.max_connections,
                           threads);
  if (buffers + ARENA_MIN_LIMIT > most) {
    nbdkit_error ("max-connections=%zu: the buffers of that many may take %s, "
                  "which leaves no memory for disks: expected fewer, a "
                  "smaller max-request=, or max-memory=",
                  config.max_connections, size_format (buffers, size));
    return -1;
  }
  config.max_memory = config_default_memory ();
  if (config.max_memory > most - buffers)
    config.max_memory = possible_memory (most - buffers);
  if (config.arena)
    limit_to_file_system ();
  return 0;
}

void
config_warn_of_memory (unsigned threads)
{
  uint64_t disks = memory_of_disks (), has = available_memory ();
  uint64_t takes = disks + disks / 256 + REST_OF_PROCESS +
    buffers_bound (config.max_request, config.max_connections, threads);

  /* The default fits. */
  if (config.max_memory_given == NULL || takes <= has)
    return;
  nbdkit_error ("max-memory=%s: with the buffers of max-connections=%zu, the "
                "server may take %" PRIu64 "M, and the machine or control "
                "group has %" PRIu64 "M: the kernel may kill the server",
                config.max_memory_given, config.max_connections, takes >> 20,
                has >> 20);
}

/* The size of a disk without size=, with this sector size.  If the parameter
 * size= is not given, the default always fits: 16M is a multiple of every
 * sector size, and a smaller max-size replaces it.
 */
static uint64_t
default_size (uint32_t sector_size)
{
  uint64_t size = config.o.default_size;

  if (config.size_given == NULL && size > config.o.max_size)
    size = config.o.max_size - config.o.max_size % sector_size;
  return size;
}

/* what: the text with which the user set this size, for the message. */
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
  if (d->prefetch_option && d->origin == NULL) {
    nbdkit_error ("disk=%s,%s=: expected origin= as well", d->shown,
                  d->prefetch_option);
    return -1;
  }
  if (d->prefetch_rate && !d->prefetch) {
    nbdkit_error ("disk=%s,prefetch-rate=: expected prefetch=yes as well",
                  d->shown);
    return -1;
  }
  /* Without a size of its own, it has its origin's. */
  if (d->origin && d->size_given == NULL)
    return 0;
  if (d->size_given)
    r = asprintf (&what, "disk=%s,size=%s", d->shown, d->size_given);
  else {
    d->size = default_size (d->sector_size);
    if (config.size_given == NULL)
      return 0;
    r = asprintf (&what, "disk=%s, from size=%s", d->shown, config.size_given);
  }
  if (r == -1) {
    nbdkit_error ("disk=%s: %m", d->shown);
    return -1;
  }
  return check_size (what, d->size, d->sector_size);
}

/* May there be disks that no disk= names?  With control= they can be created
 * later, and arena= and load= may bring them.
 */
static bool
may_have_others (void)
{
  return config.control || config.arena || config.load;
}

/* Check what the empty name refers to, and that it can exist. */
static int
check_default_name (void)
{
  bool exists = config.o.auto_create;
  char buf[PRINTABLE_STRING], quoted[PRINTABLE_STRING];
  size_t i;

  printable (config.default_name, buf);
  for (i = 0; i < config.ndisks; i++) {
    if (strcmp (config.disk[i].name, config.default_name) == 0)
      exists = true;
    else if (*config.disk[i].name == '\0') {
      nbdkit_error ("default=%s: expected no disk= with an empty name: the "
                    "empty name means \"%s\"", buf,
                    printable_name (config.default_name, quoted));
      return -1;
    }
  }
  if (!exists && *config.default_name && !may_have_others ()) {
    nbdkit_error ("default=%s: expected a disk= of that name, "
                  "auto-create=yes, control=, arena= or load=", buf);
    return -1;
  }
  return 0;
}

/* A template must exist when somebody connects. */
static int
check_template (void)
{
  const char *name = config.o.template_name;
  char buf[PRINTABLE_STRING];
  size_t i;

  if (config.template_quota_given && name == NULL) {
    nbdkit_error ("template-quota=%s: expected template= as well",
                  printable (config.template_quota_given, buf));
    return -1;
  }
  if (!config.o.auto_create && (name || config.o.auto_destroy)) {
    nbdkit_error ("%s%s: expected no auto-create=no: without it no disk is "
                  "created by connecting", name ? "template=" : "auto-destroy=",
                  name ? printable (name, buf) : "yes");
    return -1;
  }
  if (name == NULL || may_have_others ())
    return 0;
  for (i = 0; i < config.ndisks; i++)
    if (strcmp (config.disk[i].name, name) == 0)
      return 0;
  nbdkit_error ("template=%s: expected a disk= of that name, control=, arena= "
                "or load=", printable (name, buf));
  return -1;
}

int
config_finish (void)
{
  size_t i;

  /* Disks without a size of their own need size= as it was given, before it is
   * adjusted to sector-size=.
   */
  for (i = 0; i < config.ndisks; i++)
    if (finish_disk (&config.disk[i]) == -1)
      return -1;
  if (check_default_size () == -1)
    return -1;
  if (config.ndisks > config.o.max_disks) {
    nbdkit_error ("max-disks=%zu: expected at least %zu, the number of "
                  "disk= parameters", config.o.max_disks, config.ndisks);
    return -1;
  }
  if (config.has_control_mode && config.control == NULL) {
    nbdkit_error ("control-mode=%o: expected control= as well",
                  (unsigned) config.control_mode);
    return -1;
  }
  if (config.has_control_group && config.control == NULL) {
    nbdkit_error ("control-group=: expected control= as well");
    return -1;
  }
  if (config.has_control_group && !config.has_control_mode)
    config.control_mode = 0660;
  if (config.arena_option && config.arena == NULL) {
    nbdkit_error ("%s=: expected arena= as well", config.arena_option);
    return -1;
  }
  if (!config.o.auto_create && config.ndisks == 0 && !may_have_others ()) {
    nbdkit_error ("auto-create=no: expected disk=, control=, arena= or load= "
                  "as well, or there is nothing to connect to");
    return -1;
  }
  if (check_template () == -1)
    return -1;
  return check_default_name ();
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
  free (config.load);
  config.load = NULL;
  free (config.arena);
  config.arena = NULL;
  config.disk = NULL;
  config.ndisks = 0;
}
