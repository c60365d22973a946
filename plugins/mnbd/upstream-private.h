/* SPDX-License-Identifier: BSD-3-Clause */
/* What connect.c and upstream.c share of a connection. */

#ifndef MNBD_UPSTREAM_PRIVATE_H
#define MNBD_UPSTREAM_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mutex.h"
#include "upstream.h"

struct upstream {
  struct upstream_info info;    /* does not change */
  int fd;                       /* the socket, a descriptor of our own */
  _Atomic bool lost;

  struct mutex lock;
  struct nbd_handle *nbd GUARDED_BY (lock);
  bool killed GUARDED_BY (lock);
  bool led GUARDED_BY (lock);   /* somebody leads … */
  struct upstream_waiter *asked GUARDED_BY (lock); /* … or was asked to */
  bool writing GUARDED_BY (lock); /* somebody is in help_write */
  /* Commands in flight, oldest first. */
  struct upstream_command *first GUARDED_BY (lock);
  struct upstream_command *last GUARDED_BY (lock);
  /* Waiters whose commands are complete, to be told by unlock. */
  struct upstream_waiter *done GUARDED_BY (lock);
  /* Reads that libnbd says are complete, but that we must ask about. */
  struct upstream_command *reads GUARDED_BY (lock);
};

#endif /* MNBD_UPSTREAM_PRIVATE_H */
