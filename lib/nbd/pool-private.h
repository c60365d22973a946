/* SPDX-License-Identifier: BSD-3-Clause */
/* What pool.c and reconnect.c share of a pool. */

#ifndef MNBD_POOL_PRIVATE_H
#define MNBD_POOL_PRIVATE_H

#include <pthread.h>

#include "mutex.h"
#include "pool.h"
#include "replay.h"

enum pool_state { POOL_NEW, POOL_CONNECTING, POOL_RESEND, POOL_UP, POOL_DOWN };

struct request;

/* A connection and its load. */
struct link {
  struct upstream *upstream;
  unsigned in_flight;
};

struct pool {
  struct pool_options o;        /* does not change */
  struct upstream_info info;    /* what clients were promised (M6); set once */
  char *description;

  struct mutex lock;
  /* State, room in the log, or the end of a write has changed. */
  pthread_cond_t changed;
  enum pool_state state GUARDED_BY (lock);
  uint64_t incarnation GUARDED_BY (lock);
  /* Changed by the connector only, without the lock; read by those who are
   * let in.
   */
  struct link link[POOL_MOST_CONNECTIONS];
  unsigned nlinks;
  bool local;                   /* they are Unix sockets */
  unsigned in_flight GUARDED_BY (lock); /* requests that use a link (M7) */
  unsigned interrupted GUARDED_BY (lock); /* writes to be sent again (M2) */
  unsigned range_waiters GUARDED_BY (lock); /* writes that wait for M4 … */
  struct request *queue GUARDED_BY (lock); /* … in the order they came */

  struct replay *log GUARDED_BY (lock);
  bool flushing GUARDED_BY (lock); /* somebody makes room in the log */
  uint64_t losses GUARDED_BY (lock); /* outages that lost writes (M5) */

  bool progress GUARDED_BY (lock); /* a request succeeded since connecting */
  unsigned shutdowns GUARDED_BY (lock); /* means_shutdown, since the last did */
  int64_t outage GUARDED_BY (lock); /* when it began; 0: none */
  int64_t parting GUARDED_BY (lock); /* in DOWN: when connections are cut */
  uint64_t told GUARDED_BY (lock); /* of losses in this incarnation */
  int64_t next_try GUARDED_BY (lock);
  int64_t backoff GUARDED_BY (lock);
  uint64_t failures GUARDED_BY (lock); /* attempts that came to nothing */
  bool was_connected GUARDED_BY (lock);
  bool given_up GUARDED_BY (lock); /* pool_give_up */
  bool settling GUARDED_BY (lock); /* pool_settle: there is little time */
  unsigned random GUARDED_BY (lock);
  char said[POOL_ERROR_SIZE] GUARDED_BY (lock); /* the connector's last
                                                 * complaint */
  struct timespec outage_time GUARDED_BY (lock); /* of outage, as a date */
  char error[POOL_ERROR_SIZE] GUARDED_BY (lock); /* "": none yet */

  struct pool_figures figures GUARDED_BY (lock);
};

#define pool_note(p, ...) pool_say (p, POOL_NOTE, __VA_ARGS__)
void pool_say (struct pool *p, enum pool_log level, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Say an error of the connection, and remember it for pool_outage. */
void pool_wrong (struct pool *p, const char *fmt, ...)
  REQUIRES (&p->lock) __attribute__ ((format (printf, 2, 3)));

/* Wait until something changes, or `until`. */
void pool_wait_change (struct pool *p, int64_t until) REQUIRES (&p->lock);

/* ------------------------------------------------------- reconnect.c */

/* A connection of this incarnation is lost. */
void pool_lose (struct pool *p, uint64_t incarnation) REQUIRES (&p->lock);

/* There is no log, and what was acknowledged but not flushed may be lost: M5.
 */
void pool_lost_writes (struct pool *p) REQUIRES (&p->lock);

/* In DOWN, while requests still use connections: cut these off if it is time
 * to.  A thread that sends to a server which takes it in slowly does not look.
 */
void pool_cut_off (struct pool *p) REQUIRES (&p->lock);

/* A request has succeeded in this incarnation. */
void pool_progress (struct pool *p, uint64_t incarnation)
  REQUIRES (&p->lock);

/* Make one attempt to connect.  Wants state NEW or DOWN, and in_flight 0;
 * gives up the lock meanwhile.  With a deadline, if it is not 0, only that ends
 * the attempt early; else the program's end does.  Returns 0, or -1 with errno.
 */
int pool_become_connector (struct pool *p, int64_t deadline)
  REQUIRES (&p->lock);

/* Free the connections. */
void pool_close_links (struct pool *p);

#endif /* MNBD_POOL_PRIVATE_H */
