/* SPDX-License-Identifier: BSD-3-Clause */
/* An engine: what a mode of the filter does with a pair of sides.
 *
 * Design
 *
 * There is one pair for each export that the mode concerns.  It is made when
 * nbdkit starts (or with mnbd-dynamic-export by the first client of the export)
 * and stays, with or without clients, until nbdkit ends:
 *
 *     config …, config_finish      nbdkit reads its command line
 *     new                          the pair begins; may start threads
 *     client … side_close          clients come and go, on many threads
 *     stop                         no client is left (but see below); writes
 *                                  back what must not be lost, ends threads
 *     free
 *
 * nbdkit waits only a few seconds for clients at its end, so stop may run while
 * a client's request is still waiting: after stop requests fail with ESHUTDOWN.
 * In that case free is not called.
 *
 * The pair's own local side (pair.local) is for the engine's threads;
 * a client's request uses the local side that it brought.  Both are the same
 * disk.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_ENGINE_H
#define MNBD_ENGINE_H

#include <stdbool.h>

#include "side.h"

enum engine_log { ENGINE_ERROR, ENGINE_NOTE };

/* What an engine is given; stays as long as the engine. */
struct pair {
  const char *export_name;      /* as the clients call it */
  struct side *local;
  struct side *upstream;        /* not connected */
  /* Say something, in one line without its end.  ENGINE_NOTE: for -v. */
  void (*log) (enum engine_log level, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
};

struct engine {
  const char *mode;             /* as mnbd-mode= says it */

  /* The upstream's writes are kept to be sent again after a crash, and requests
   * wait for it in an outage, as the parameters say (plugins/mnbd/pool.h).  If
   * this is set, none of that: a request fails with ESHUTDOWN as soon as the
   * connection is lost, and so do all later ones, until side_connect.
   */
  bool fail_fast;

  /* The disk that clients see is the upstream's, and so is its description. */
  bool of_upstream;

  /* Set a parameter, of which key is the name without mnbd-.  Returns 0; or -1
   * when it is bad, which has been said; or 1 when it is not the engine's.
   */
  int (*config) (const char *key, const char *value);
  /* All are given: check what depends on each other.  Returns 0, or -1 after it
   * was said.  May be NULL.
   */
  int (*config_finish) (void);
  const char *keys;             /* for the message: "rate, on-error" */

  /* Begin a pair.  NULL: it cannot be; why has been logged, in one line. */
  void *(*new) (const struct pair *pair);

  /* What a client of the pair talks to; local is its way to the plugin, and
   * stays longer.  NULL with errno, and logged.
   */
  struct side *(*client) (void *engine, struct side *local);

  void (*stop) (void *engine);
  void (*free) (void *engine);
};

/* Those that there are. */
extern const struct engine mirror_engine;
extern const struct engine cache_engine;

#endif /* MNBD_ENGINE_H */
