/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings for every command: the common options, and the exit codes. */

#ifndef MBLOCKCTL_SETTINGS_H
#define MBLOCKCTL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes.  Scripts rely on them, and mblockctl(1) documents them. */
enum {
  DONE = 0,
  REFUSED = 1,                  /* the server refused, or the command failed */
  USAGE = 2,                    /* the command line is wrong */
  NO_SERVER = 3,                /* not reached, lost, or not understood */
};

/* The options that every command takes. */
struct settings {
  const char *command;          /* the running command; NULL: none yet */
  const char *socket;           /* NULL: none given */
  bool json;                    /* print the raw result */
  bool bytes;                   /* sizes as plain numbers */
  bool quiet;                   /* no confirmations */
  bool verbose;                 /* one line for each of many disks */
  bool color;                   /* colours may be used on stdout */
  int64_t timeout_ms;           /* for an answer; -1: for ever */
};
extern struct settings settings;

#endif /* MBLOCKCTL_SETTINGS_H */
