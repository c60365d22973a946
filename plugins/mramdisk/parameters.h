/* SPDX-License-Identifier: BSD-3-Clause */
/* The plugin's parameters.
 *
 * Single-threaded: nbdkit calls .config and .config_complete before any
 * connection.  Both functions report with nbdkit_error, in one line that names
 * the key, the value and what was expected.
 */

#ifndef MRAMDISK_PARAMETERS_H
#define MRAMDISK_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "registry.h"

#define DEFAULT_SIZE (UINT64_C (16) << 20)
#define DEFAULT_MAX_DISKS 65536
#define MOST_MAX_DISKS 10000000

/* The share of the memory there is that max-memory is without being given. */
#define DEFAULT_MEMORY_PERCENT 80

enum parallel { PARALLEL_AUTO, PARALLEL_NO, PARALLEL_YES };

/* A disk=… of the command line. */
struct config_disk {
  char *name;
  char *shown;                  /* the name as given, for messages */
  const char *size_given;       /* the same of its size, or NULL */
  uint64_t size;
  uint32_t sector_size;
  bool has_sector_size;
  bool readonly;
};

struct config {
  struct registry_options o;
  uint64_t max_memory;          /* bytes; 0 until it is known */
  /* As they were given, or NULL. */
  const char *size_given, *max_size_given, *max_memory_given;
  char *control;                /* absolute path of the socket, or NULL */
  mode_t control_mode;
  bool has_control_mode;
  const char *default_name;     /* what the empty export name means */
  bool detect_zeroes;
  enum parallel parallel;
  struct config_disk *disk;
  size_t ndisks;
};

extern struct config config;

/* For .config_help: a line for each parameter. */
extern const char config_help[];

/* Set one parameter; value stays nbdkit's and lives as long as the process.
 * Returns 0 or -1.
 */
int config_set (const char *key, const char *value);

/* All parameters are given: fill in defaults and check what depends on each
 * other.  Returns 0 or -1.
 */
int config_finish (void);

void config_free (void);

/* What max-memory is if it is not given, in bytes. */
uint64_t config_default_memory (void);

#endif /* MRAMDISK_PARAMETERS_H */
