/* SPDX-License-Identifier: BSD-3-Clause */
/* An engine: what a mode of the filter does with two block devices.
 *
 * Design
 *
 * There is one instance for each export that the mode concerns.  It is created
 * when nbdkit starts (with mnbd-dynamic-export: by the export's first client)
 * and stays, with or without clients, until nbdkit ends:
 *
 *     config …, config_finish      nbdkit parses its command line
 *     new                          the instance begins; may start threads
 *     client … bdev_close          clients come and go, in many threads
 *     stop                         no client is left (but see below); writes
 *                                  back what must not be lost, ends threads
 *     free
 *
 * When it ends, nbdkit waits only a few seconds for clients, so stop may run
 * while a request of a client is still waiting.  After stop, requests fail with
 * ESHUTDOWN. free is then not called.
 *
 * The instance's own local bdev (instance.local) is for the engine's threads, a
 * client's local bdev for its requests.  The plugin's name may refer to another
 * disk, or to a disk of another size, from one moment to the next.  It is
 * therefore resolved once, and all of them share what was opened then, as long
 * as the engine relies on it.  While it does not, instance.local is what the
 * last client was given, and another client may get something else. info.disk
 * identifies each one's disk.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_ENGINE_H
#define MNBD_ENGINE_H

#include <stdbool.h>

#include "bdev/bdev.h"

enum engine_log { ENGINE_ERROR, ENGINE_NOTE };

/* What the export's name refers to now, compared with instance.local. */
enum instance_now {
  INSTANCE_SAME,
  INSTANCE_REPLACED,                /* another disk */
  INSTANCE_RESIZED,                 /* the same or an unknown disk, of another
                                     * size */
  INSTANCE_SHRUNK,                  /* the same disk, which was smaller than it
                                     * for a time at least, and lost what it had
                                     * there; its size may be any */
  INSTANCE_GONE,                    /* it cannot be opened, which was logged */
};

/* Room for the text that says why something is impossible, in bytes. */
#define ENGINE_WHY 512

/* What an engine is given.  It lives as long as the engine. */
struct instance {
  const char *export_name;      /* the name that clients use */
  struct bdev *local;           /* but see `renew` */

  /* No client is admitted between these two. */
  void (*hold) (const struct instance *instance);
  void (*release) (const struct instance *instance);
  /* While held: what the name refers to now, and its size. */
  enum instance_now (*look) (const struct instance *instance, uint64_t *size);
  /* While held: count the disk as unchanged, after INSTANCE_SHRUNK.  The engine
   * deals with what was cut off.
   */
  void (*adopt) (const struct instance *instance);
  /* While held, and if the engine does not rely on instance.local: replace it
   * by what the name refers to now.  Returns 0, or -1 with the reason in `why`
   * (ENGINE_WHY bytes).
   */
  int (*renew) (const struct instance *instance, char *why);

  struct bdev *upstream;        /* not connected */
  /* The upstream is connected: return one more device for it, which is to be
   * closed before the upstream is disconnected (exports_share).  NULL with
   * errno.
   */
  struct bdev *(*share) (const struct instance *instance);
  /* The upstream is connected, with fail_fast, and not in use at this moment:
   * from now on it is kept through outages, as if fail_fast were not set.
   * Returns 0; or -1 with errno if the connection is lost, and then nothing has
   * changed.
   */
  int (*ride_out) (const struct instance *instance);
  /* With fail_fast: the upstream does not answer in time.  Requests in flight
   * end at once, as far as that can be done without harm: it may still carry
   * them out until bdev_disconnect has returned.  From any thread, at any time.
   * May be NULL.
   */
  void (*abandon) (const struct instance *instance);

  /* Clients are served from the upstream alone, for ever: nobody needs what was
   * written to the local disk.  While held.  May be NULL.
   */
  void (*forsake) (const struct instance *instance);

  /* Log one line, without a newline.  ENGINE_NOTE: for -v. */
  void (*log) (enum engine_log level, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
};

struct engine {
  const char *mode;             /* the value of mnbd-mode= */

  /* Normally the upstream's writes are kept to be sent again after a crash, and
   * requests wait out an outage, as the parameters say (lib/nbd/pool.h).  If
   * this is set, neither: a request fails with ESHUTDOWN as soon as the
   * connection is lost, and so do all later ones until bdev_connect.
   */
  bool fail_fast;

  /* Clients see the upstream's disk, so the description is the upstream's. */
  bool of_upstream;

  /* Set a parameter, as the user typed it ("mnbd-rate").  Returns 0; or -1
   * after it has reported that the value is bad; or 1 if it is not the
   * engine's.
   */
  int (*config) (const char *key, const char *value);
  /* All parameters are set: check those that depend on each other.  Returns 0,
   * or -1 after it has reported the error.  May be NULL.
   */
  int (*config_finish) (void);
  const char *keys;             /* for the message: "rate, on-error" */

  /* Create an instance.  NULL: it is impossible, and the reason has been
   * logged, in one line.
   */
  void *(*new) (const struct instance *instance);

  /* While held: a client is about to connect.  Returns 0, or -1 with the reason
   * why it must not.  May be NULL.
   */
  int (*arrive) (void *engine, char why[ENGINE_WHY]);

  /* Whether the engine needs instance.local to stay the same.  It begins to
   * need it only while the instance is held.  NULL: always.
   */
  bool (*relies) (void *engine);

  /* The engine relies on instance.local, and the name refers to something else
   * for a client: may the client share instance.local?  least: the least size
   * that it had meanwhile, 0 if nobody knows.  Returns 0, or -1 with the reason
   * why not.  After 0 the disk counts as unchanged since INSTANCE_SHRUNK.
   */
  int (*admit) (void *engine, enum instance_now now, uint64_t size,
                uint64_t least, char why[ENGINE_WHY]);

  /* Whether clients are served from the upstream alone, for ever.  New clients
   * then need nothing of the plugin, and `local` is NULL below.  This begins
   * only while the instance is held.  NULL: never.
   */
  bool (*switched) (void *engine);

  /* The device that a client of the instance uses; local is its device for the
   * plugin, and lives longer.  The instance is held.  NULL with errno, and the
   * reason has been logged.
   */
  struct bdev *(*client) (void *engine, struct bdev *local);

  void (*stop) (void *engine);
  void (*free) (void *engine);
};

#endif /* MNBD_ENGINE_H */
