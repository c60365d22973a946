/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz the parameters of the mramdisk plugin: any command line, without nbdkit.
 * For libFuzzer; run-fuzz.sh builds it.
 *
 * What must hold of the command line (command-line.h):
 *
 *   - A parameter, or all of them together, is refused with one message, in one
 *     line, with the key and what was expected; what is accepted has none.
 *   - What is accepted can be used: names are names for disks, and no two disks
 *     have the same; sizes are whole sectors and not more than max-size; limits
 *     are in the range that the manual says.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "plugins/common/log.h"
#include "plugins/mramdisk/open-origin.h"
#include "plugins/mramdisk/parameters.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "tests/fuzz/command-line.h"

/* Of a connection. */
#define THREADS 16

static struct config at_first;

static void __attribute__ ((constructor))
remember (void)
{
  at_first = config;
}

/* What the control socket would log, if it were opened. */
void
log_error_line (const char *line)
{
  (void) line;
}

void
log_debug_line (const char *line)
{
  (void) line;
}

/* ----------------------------------------------------------------- checks */

static bool
is_size (uint64_t size, uint32_t sector_size)
{
  return size <= config.o.max_size && size % sector_size == 0;
}

static bool
is_sector_size (uint32_t n)
{
  return n == 1 || (n >= DISK_MIN_SECTOR && n <= DISK_MAX_SECTOR &&
                    (n & (n - 1)) == 0);
}

static void
check_disk (const struct config_disk *d)
{
  size_t i;

  require (registry_check_name (d->name) == NULL, "a disk's name is none");
  for (i = 0; &config.disk[i] != d; i++)
    require (strcmp (config.disk[i].name, d->name) != 0, "a name twice");
  require (is_sector_size (d->sector_size), "a disk's sectors");
  require (d->origin || is_size (d->size, d->sector_size), "a disk's size");
  require (!d->prefetch_option || d->origin, "prefetch without origin");
  require (d->prefetch_rate == 0 ||
           (d->prefetch && d->prefetch_rate >= LEAST_PREFETCH_RATE),
           "a disk's rate");
}

static void
check_config (void)
{
  size_t i;

  for (i = 0; i < config.ndisks; i++)
    check_disk (&config.disk[i]);
  require (config.ndisks <= config.o.max_disks, "more disks than allowed");
  require (config.o.max_size <= DISK_MAX_SIZE, "max-size");
  require (is_sector_size (config.o.sector_size), "sector-size");
  require (!config.o.auto_create ||
           is_size (config.o.default_size, config.o.sector_size), "size");
  require (registry_check_name (config.default_name) == NULL, "default");
  require (config.o.template_name == NULL ||
           registry_check_name (config.o.template_name) == NULL, "template");
  require (config.control_mode <= 0777, "control-mode");
  require (config.max_request >= LEAST_MAX_REQUEST &&
           (config.max_request & (config.max_request - 1)) == 0, "max-request");
  require (config.arena || !config.arena_option, "arena-... without arena");
}

/* Of the machine that this runs on. */
static void
check_memory (void)
{
  require (config.max_memory >= ARENA_MIN_LIMIT &&
           config.max_memory <= ARENA_MAX_LIMIT, "max-memory");
  require (config.max_connections >= 1 &&
           config.max_connections <= MOST_MAX_CONNECTIONS, "max-connections");
}

void
try_command_line (char *text)
{
  if (command_line_set (text, config_set) &&
      command_line_accepted (config_finish (), NULL)) {
    check_config ();
    if (command_line_accepted (config_finish_memory (THREADS), NULL))
      check_memory ();
  }
  config_free ();
  config = at_first;
}
