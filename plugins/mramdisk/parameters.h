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

#include "ramdisk/registry.h"

#define DEFAULT_SIZE (UINT64_C (16) << 20)
#define DEFAULT_MAX_DISKS 65536
#define MOST_MAX_DISKS 10000000

/* The default of max-memory, as a share of the available memory. */
#define DEFAULT_MEMORY_PERCENT 80

/* The share for nbdkit's buffers by default; and the maximum for both together,
 * if the buffers were given more, before max-memory is reduced.
 */
#define DEFAULT_BUFFERS_PERCENT 10
#define MOST_MEMORY_PERCENT 90

/* On a small machine, use more of the memory rather than have fewer connections
 * than this, up to this share, and to what max-memory= leaves.
 */
#define FEW_CONNECTIONS 64
#define MOST_BUFFERS_PERCENT 40

/* What the process takes besides the disks, their tables and the buffers: the
 * programs, and memory that is set aside for trims.
 */
#define REST_OF_PROCESS (UINT64_C (36) << 20)

/* The maximum request size that is announced to clients.  Larger ones are not
 * faster: see the benchmarks in docs/ARCHITECTURE.md.
 */
#define DEFAULT_MAX_REQUEST (UINT32_C (1) << 20)
#define LEAST_MAX_REQUEST (UINT32_C (64) << 10)

#define MOST_MAX_CONNECTIONS 1000000

enum parallel { PARALLEL_AUTO, PARALLEL_NO, PARALLEL_YES };

/* A disk= parameter. */
struct config_disk {
  char *name;
  char *shown;                  /* the name as given, for messages */
  const char *size_given;       /* its size as given, or NULL */
  uint64_t size;
  uint32_t sector_size;
  bool has_sector_size;
  bool has_readonly;
  bool readonly;
  const char *origin;           /* a URI, or NULL */
  bool prefetch;
  uint64_t prefetch_rate;       /* bytes a second; 0: no limit */
  const char *prefetch_option;  /* one of the two that was given, or NULL */
};

struct config {
  struct registry_options o;
  uint64_t max_memory;          /* bytes; 0 until it is known */
  uint32_t max_request;         /* bytes */
  size_t max_connections;       /* 0 until it is known */
  /* As given, or NULL. */
  const char *size_given, *max_size_given, *max_memory_given;
  char *control;                /* absolute path of the socket, or NULL */
  mode_t control_mode;
  bool has_control_mode;
  gid_t control_group;
  bool has_control_group;
  const char *default_name;     /* what the empty export name means */
  const char *template_quota_given;
  bool detect_zeroes;
  uint64_t origin_memory;       /* bytes, or 0 */
  bool has_origins;             /* a disk= has an origin */
  enum parallel parallel;
  char *load;                   /* absolute path of the folder, or NULL */
  char *arena;                  /* absolute path of the file, or NULL */
  unsigned arena_wait;          /* seconds */
  bool arena_discard, arena_salvage;
  const char *arena_option;     /* the last of these that was given, or NULL */
  struct config_disk *disk;
  size_t ndisks;
};

extern struct config config;

/* For .config_help: a line for each parameter. */
extern const char config_help[];

/* Set one parameter. value belongs to nbdkit, and lives as long as the process.
 * Returns 0 or -1.
 */
int config_set (const char *key, const char *value);

/* All parameters are set: fill in defaults, and check those that depend on each
 * other.  Returns 0 or -1.
 */
int config_finish (void);

/* Fill in the values that depend on the size of the memory, now that the number
 * of threads for each connection is known.  Returns 0 or -1.
 */
int config_finish_memory (unsigned threads);

/* Log a line if a max-memory= that was given, with the buffers, exceeds the
 * memory of the machine or control group.
 */
void config_warn_of_memory (unsigned threads);

void config_free (void);

/* The default of max-memory, in bytes; and of max-connections, with this many
 * threads for each.
 */
uint64_t config_default_memory (void);
size_t config_default_connections (unsigned threads);

#endif /* MRAMDISK_PARAMETERS_H */
