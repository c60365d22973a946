/* SPDX-License-Identifier: BSD-3-Clause */
/* Flushes and writes with FUA, on a server that fails to flush: lib/nbd/pool.h
 * M8, and M1 with it.
 *
 * As with fsync(2), a flush that fails drops what it was to save, tells only
 * the one that asked for it, and the next one succeeds.
 *
 * Bounds: a block with WRITES plain writes, and one with FUAS writes with FUA,
 * by one writer each; two flushers of one flush each; FAILURES flushes that
 * fail, one whose answer is lost with its connection, and one write with FUA
 * that is refused for its own sake.  Answers are noticed in any order.  What
 * the pool does with its lock held is one step.  The values of a block are
 * numbers, in the order in which they are written.
 *
 * Not covered, because M8 does not promise it: two writes with FUA at once.
 *
 * What breaks if the code does not keep them:
 *   BREAK_REPLAY   after a failed flush the log is not sent again
 *   BREAK_OTHERS   … unless something in it was acknowledged
 *   BREAK_TWO      two flushes are under way at once
 *   BREAK_FUA      the failure of a write with FUA is not one of a flush
 *   BREAK_EARLY    a flush counts before writes with FUA have ended
 *   BREAK_AGAIN    a write with FUA counts though a flush has failed meanwhile
 *   BREAK_AWAIT    … or before the answer to a flush is there
 *   BREAK_LOST     … or though there will be none
 */

#ifndef WRITES
#define WRITES 2
#endif
#ifndef FUAS
#define FUAS 2
#endif
#ifndef FAILURES
#define FAILURES 1
#endif

#define PLAIN 0
#define FUA 1

/* The server. */
byte cached[2], stored[2];      /* each block's value, and what would survive */
bool dirty[2];
byte failures;
bool may_refuse = true, may_lose = true;

/* The pool. */
#define UP 0
#define DOWN 1
#define RESEND 2
byte state = UP;
byte incarnation;
byte in_flight;                 /* requests that wait for an answer */
byte interrupted;
byte writing;                   /* writes that have not ended */
bool flush_sent;
byte flush_awaited;
byte flushes_begun, flushes_done;
byte flush_failures;
byte fua_writes[2];
bit fua_epoch;

/* The log has all values of the plain block from `oldest` to `acked`. */
byte oldest = 1;
byte acked;                     /* the newest that was acknowledged */
#define log_dirty (oldest <= acked)

byte finished;

/* The server flushes: ok is the answer. */
inline server_flush (ok)
{
  if
  :: dirty[PLAIN] || dirty[FUA] ->
    if
    :: failures < FAILURES -> failures++; ok = false
    :: ok = true;
      if
      :: dirty[PLAIN] -> stored[PLAIN] = cached[PLAIN]
      :: else
      fi;
      if
      :: dirty[FUA] -> stored[FUA] = cached[FUA]
      :: else
      fi
    fi;
    dirty[PLAIN] = false; dirty[FUA] = false
  :: else -> ok = true
  fi
}

#ifdef BREAK_OTHERS
#define at_risk(own) (sent_to == incarnation && log_dirty)
#else
#define at_risk(own) (sent_to == incarnation && (log_dirty || writing > own))
#endif

/* pool-write.c */
inline flush_failed (own)
{
  flush_failures++;
  if
#ifndef BREAK_REPLAY
  :: at_risk (own) -> state = DOWN; incarnation++
#endif
  :: else
  fi
}

inline end_interrupted ()
{
  if
  :: again ->
    again = false; interrupted--;
    if
    :: interrupted == 0 && state == RESEND -> state = UP
    :: else
    fi
  :: else
  fi
}

#define may_go (state == UP || (again && state == RESEND))

proctype writer ()
{
  byte v;

  do
  :: v == WRITES -> break
  :: else ->
    v++;
    atomic { state == UP -> writing++; in_flight++ }
    atomic { cached[PLAIN] = v; dirty[PLAIN] = true }
    /* The server is well: what is in flight is answered, whatever happens. */
    atomic { in_flight--; writing--; acked = v }
  od;
  finished++
}

proctype fua_writer ()
{
  byte v, sent_to, before, flush;
  bool again, begun, ok, refused, without, ended;
  bit epoch;

  do
  :: v == FUAS -> break
  :: else ->
    v++;
    begun = false; ended = false;
    do
    :: ended -> break
    :: else ->
      /* admit_write */
      atomic {
        may_go ->
        if
        :: !begun ->
          begun = true; writing++; epoch = fua_epoch; fua_writes[epoch]++
        :: else
        fi;
        in_flight++; sent_to = incarnation; before = flush_failures
      }
      if
      :: atomic { may_refuse -> may_refuse = false; refused = true; ok = false }
      :: atomic { true -> cached[FUA] = v; dirty[FUA] = true };
        atomic { server_flush (ok) }
      fi;
      /* has_ended */
      atomic {
        in_flight--;
        if
        :: ok ->
#ifndef BREAK_AWAIT
          flush = flush_awaited;
          flush == 0 || flush_awaited != flush;
#endif
          if
#ifndef BREAK_AGAIN
          :: before != flush_failures ->
            if
            :: !again -> again = true; interrupted++
            :: else
            fi
#endif
          :: else -> assert (stored[FUA] == v); ended = true
          fi
        :: else ->
          if
#ifndef BREAK_FUA
          :: at_risk (1) && may_go -> without = true; in_flight++
#endif
          :: else -> ended = true
          fi
        fi;
        flush = 0; before = 0
      };
      if
      :: without ->
        atomic {
          if
          :: !refused -> cached[FUA] = v; dirty[FUA] = true
          :: else
          fi
        };
        /* note_without_fua */
        atomic {
          in_flight--;
          if
          :: !refused -> flush_failed (1)
          :: else
          fi;
          without = false; ended = true
        }
      :: else
      fi;
      refused = false
    od;
    /* end_write */
    atomic { end_interrupted (); writing--; fua_writes[epoch]-- }
  od;
  finished++
}

/* pool_flush_locked */
proctype flusher ()
{
  byte must_have, number, mine, mark, sent_to;
  bool ok, lost;

  atomic { must_have = acked; number = flushes_begun + 1 };
  do
  :: atomic {
      flushes_done >= number ->
      assert (stored[PLAIN] >= must_have);
      break
    }
  :: atomic {
#ifdef BREAK_TWO
      flushes_done < number && state == UP ->
#else
      flushes_done < number && state == UP && !flush_sent ->
#endif
      flush_sent = true; flushes_begun++; mine = flushes_begun;
      flush_awaited = mine; mark = acked; sent_to = incarnation; in_flight++
    };
    atomic { server_flush (ok) };
    if
    :: atomic { may_lose -> may_lose = false; lost = true }
    :: true
    fi;
    atomic {
      in_flight--; flush_awaited = 0;
      if
      :: lost ->
        lost = false; flush_sent = false;
#ifndef BREAK_LOST
        flush_failures++;
#endif
        if
        :: sent_to == incarnation -> state = DOWN; incarnation++
        :: else
        fi
      :: !lost && ok ->
#ifndef BREAK_EARLY
        /* await_fua_writes */
        fua_writes[1 - fua_epoch] == 0 || sent_to != incarnation;
        fua_epoch = 1 - fua_epoch;
        fua_writes[1 - fua_epoch] == 0 || sent_to != incarnation;
#endif
        flush_sent = false;
        if
        :: sent_to == incarnation ->
          flushes_done = mine;
          if
          :: mark >= oldest -> oldest = mark + 1
          :: else
          fi
        :: else
        fi
      :: !lost && !ok -> flush_sent = false; flush_failed (0); break
      fi
    }
  od;
  finished++
}

/* When nobody uses the old connections, new ones are made, and the log is
 * sent.
 */
proctype connector ()
{
end:
  do
  :: atomic {
      state == DOWN && in_flight == 0 ->
      if
      :: log_dirty -> cached[PLAIN] = acked; dirty[PLAIN] = true
      :: else
      fi;
      if
      :: interrupted -> state = RESEND
      :: else -> state = UP
      fi
    }
  od
}

/* At the end nothing that was acknowledged is lost: the server keeps it, or the
 * log has it.
 */
proctype accounting ()
{
  atomic {
    finished == 4;
    assert (stored[PLAIN] >= acked || log_dirty)
  }
}

init {
  atomic {
    run writer ();
    run fua_writer ();
    run flusher ();
    run flusher ();
    run connector ();
    run accounting ()
  }
}
