/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool checks whether a server that has come back is the one it knows (M6);
 * witness.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "nbd/pool-private.h"
#include "nbd/pool.h"

void
pool_reset_witness (struct pool *p)
{
  witness_reset (&p->witness,
                 p->o.witness && !p->o.fail_fast &&
                 p->info.block_min <= WITNESS_BLOCK, p->info.size);
}

/* Could a read bear witness?  Only if nothing was being written and nothing was
 * unflushed when it was let in.
 */
void
pool_watch_read (struct pool *p, struct pool_request *r)
{
  r->watched = p->log && !replay_dirty (p->log) &&
    witness_wants_read (&p->witness, r->c.count, r->c.offset, &r->block);
  r->begun_before = p->witness.begun;
}

void
pool_witness_read (struct pool *p, const struct pool_request *r)
{
  if (r->watched && r->incarnation == p->incarnation &&
      r->begun_before == p->witness.begun &&
      r->block + WITNESS_BLOCK <= r->c.offset + r->c.count)
    witness_read (&p->witness, r->block,
                  witness_digest ((const char *) r->c.read +
                                  (r->block - r->c.offset)),
                  p->info.readonly);
}

/* Read n blocks together.  Returns false if the connection was lost. */
static bool
read_blocks (struct pool *p, struct connection *conn, struct nbd_command *c,
             unsigned n, const struct pool_time_limit *time_limit)
{
  int64_t until = pool_sooner (clock_now () + p->o.connect_timeout,
                               time_limit->deadline);
  unsigned i;

  pool_do_all (conn, c, n, until, time_limit->ending);
  for (i = 0; i < n; i++)
    if (c[i].error == ENOTCONN || c[i].error == ESHUTDOWN)
      return false;
  return true;
}

/* Without clients a wrong server harms only the log.  And a client that comes
 * to a disk that does not match the log must be let in some day.
 */
bool
pool_nobody_relies (struct pool *p, const char *why)
{
  if (p->clients || (pool_dirty_locked (p) && !pool_may_lose_log (p)))
    return false;
  if (pool_dirty_locked (p))
    pool_lose_log (p, why);
  pool_reset_witness (p);
  return true;
}

int
pool_ask_witness (struct pool *p, struct connection *conn,
                  const struct pool_time_limit *time_limit,
                  char why[CONNECTION_WHY])
{
  struct witness_block list[WITNESS_PARTS];
  struct nbd_command c[WITNESS_PARTS];
  CLEANUP_FREE char *data = NULL;
  uint64_t first = 0;
  unsigned n, i, wrong = 0;
  bool accepted;
  char text[200];

  mutex_lock (&p->lock);
  /* Nobody relies on the disk, except for the log. */
  n = p->clients || pool_dirty_locked (p) ? witness_list (&p->witness, list)
    : 0;
  mutex_unlock (&p->lock);
  if (n == 0)
    return 0;
  data = malloc ((size_t) n * WITNESS_BLOCK);
  if (data == NULL) {
    snprintf (why, CONNECTION_WHY, "out of memory");
    errno = ENOMEM;
    return -1;
  }
  for (i = 0; i < n; i++)
    c[i] = (struct nbd_command) {
      .op = NBD_READ, .count = WITNESS_BLOCK, .offset = list[i].offset,
      .read = data + (size_t) i * WITNESS_BLOCK,
    };
  if (!read_blocks (p, conn, c, n, time_limit)) {
    snprintf (why, CONNECTION_WHY, "the connection was lost while the data was "
              "checked");
    errno = ESHUTDOWN;
    return -1;
  }
  /* A block that cannot be read proves nothing. */
  for (i = 0; i < n; i++)
    if (c[i].error == 0 && witness_digest (c[i].read) != list[i].digest &&
        wrong++ == 0)
      first = list[i].offset;
  if (wrong == 0)
    return 0;
  snprintf (text, sizeof text, "%u of %u blocks that it had on stable storage "
            "are different, the first at %" PRIu64, wrong, n, first);
  mutex_lock (&p->lock);
  accepted = pool_nobody_relies (p, text);
  mutex_unlock (&p->lock);
  if (accepted)
    return 0;
  snprintf (why, CONNECTION_WHY, "refused because it is another disk, or has "
            "lost data: %s (%s)", text, p->o.witness_hint
            ? p->o.witness_hint : "see witness=");
  errno = ESHUTDOWN;
  return -1;
}
