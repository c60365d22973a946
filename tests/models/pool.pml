/* SPDX-License-Identifier: BSD-3-Clause */
/* Reconnect, replay, resend and late replies: lib/nbd/pool.h M1 to M4, replay.h
 * L1 and L2.
 *
 * The values of the one block are numbers, in the order in which the writes are
 * let in.  So the block's value shows which writes it has.
 *
 * Bounds: one block and one connection at a time; two writers, of WRITES_A and
 * one write; a reader of two reads; a flusher of one flush; FAULTS faults, each
 * either the loss of a connection or a crash of the server, which loses or
 * keeps what was not flushed.  The server carries out requests in any order,
 * also those of a lost connection until it has closed it.  What the pool does
 * with its lock held is one step.
 *
 * What breaks if the code does not keep them:
 *   BREAK_M1   a write enters the log after it was acknowledged
 *   BREAK_M2   interrupted writes are sent again before the log
 *   BREAK_M3   reads are sent before interrupted writes have ended
 *   BREAK_M4   a write is let in while another to the same block has not ended
 *   BREAK_L2   a flush empties the log, whenever its writes were acknowledged
 *   BREAK_M7   new connections are made before the old one is closed
 */

#ifndef WRITES_A
#define WRITES_A 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

/* Who has requests. */
#define A 0
#define B 1
#define READER 2
#define FLUSHER 3
#define CONNECTOR 4
#define CLIENTS 5

#define NONE 0
#define READ 1
#define WRITE 2
#define FLUSH 3

/* The server: its block, and what would survive a crash. */
byte stored, safe;
byte request[CLIENTS];          /* being carried out */
byte value[CLIENTS];
byte connection[CLIENTS];       /* on which it came */
bool answered[CLIENTS];
byte late;                      /* a write of a lost connection, or 0 */
byte faults;

/* The connection: its number, and whether it is there. */
byte current = 1;
bool lost;

/* The pool. */
#define UP 0
#define DOWN 1
#define CONNECTING 2
#define RESEND 3
byte state = UP;
byte incarnation;
byte in_flight;                 /* requests that use the connection */
byte interrupted;
byte letting_in;                /* the last write that was let in */
byte writing;                   /* writes that were let in and have not ended */
byte acks;

/* The log: acknowledged writes, and when they were. */
#define LOG 3
byte entry[LOG];
byte when[LOG];
byte entries;

byte acked;                     /* the newest write that was acknowledged */
byte finished;

inline send (who, what, v)
{
  request[who] = what; value[who] = v; connection[who] = current;
  answered[who] = false;
  in_flight++
}

/* With the lock: the answer is there, or the connection was lost. */
inline end_request (who)
{
  in_flight--;
  if
  :: answered[who] -> skip
  :: else ->
    if
    :: request[who] == WRITE -> late = value[who]
    :: else
    fi;
    request[who] = NONE;
    if
    :: state == UP || state == RESEND -> state = DOWN; incarnation++
    :: else
    fi
  fi
}

inline log_append (v)
{
  acks++;
  entry[entries] = v; when[entries] = acks; entries++
}

inline log_flushed (mark)
{
  do
  :: entries > 0 && when[0] <= mark ->
    entry[0] = entry[1]; when[0] = when[1];
    entry[1] = entry[2]; when[1] = when[2];
    entry[2] = 0; when[2] = 0;
    entries--
  :: else -> break
  od
}

#define has_ended(who) (answered[who] || lost || connection[who] != current)

/* pool-write.c, finish_write: the lock is held since the answer was seen. */
inline finish_write (who)
{
  log_append (v);
  if
  :: v > acked -> acked = v
  :: else
  fi;
  writing--;
  if
  :: again ->
    interrupted--;
    again = false;
    if
    :: interrupted == 0 && state == RESEND -> state = UP
    :: else
    fi
  :: else
  fi;
  answered[who] = false; value[who] = 0; connection[who] = 0;
  v = 0; writes--
}

proctype writer (byte who; byte writes)
{
  byte v;
  bool again;

  do
  :: atomic { writes == 0 -> finished++; break }
  :: writes > 0 ->
    /* admit_write */
    atomic {
#ifdef BREAK_M4
      state == UP ->
#else
      state == UP && writing == 0 ->                    /* L1 */
#endif
      letting_in++; v = letting_in; writing++;
      send (who, WRITE, v)
    }
    do
    :: atomic {
        has_ended (who) ->
        end_request (who);
        if
#ifdef BREAK_M1
        :: answered[who] ->
          if
          :: v > acked -> acked = v
          :: else
          fi;
          goto logs_later
#else
        :: answered[who] -> finish_write (who); break
#endif
        :: else
        fi;
        /* interrupt_write */
        if
        :: !again -> interrupted++; again = true
        :: else
        fi
      }
      atomic {
#ifdef BREAK_M2
        state == RESEND || state == UP || (state == CONNECTING && !lost) ->
#else
        state == RESEND || state == UP ->
#endif
        send (who, WRITE, v)
      }
    od
#ifdef BREAK_M1
    ;
    if
    :: false ->
    logs_later:
      atomic { true; finish_write (who) }
    :: true
    fi
#endif
  od
}

proctype reader ()
{
  byte before, n;

  do
  :: atomic { n == 2 -> finished++; break }
  :: else ->
    atomic {
      /* M1, M3; also not older than what was read before. */
      if
      :: acked > before -> before = acked
      :: else
      fi;
    }
    do
    :: atomic {
#ifdef BREAK_M3
        state == UP || state == RESEND ->
#else
        state == UP ->
#endif
        send (READER, READ, 0)
      }
      atomic {
        has_ended (READER) ->
        end_request (READER);
        if
        :: answered[READER] ->
          assert (value[READER] >= before);
          before = value[READER];
          answered[READER] = false; value[READER] = 0; connection[READER] = 0;
          n++;
          break
        :: else
        fi
      }
    od
  od
}

proctype flusher ()
{
  byte before, mark, sent_to;

  before = acked;
  do
  :: atomic {
      state == UP ->
      mark = acks; sent_to = incarnation;
      send (FLUSHER, FLUSH, 0)
    }
    atomic {
      has_ended (FLUSHER) ->
      end_request (FLUSHER);
      if
      :: answered[FLUSHER] && sent_to == incarnation ->
#ifdef BREAK_L2
        log_flushed (acks);
#else
        log_flushed (mark);
#endif
        break
      :: else -> answered[FLUSHER] = false
      fi
    }
  od;
  atomic { assert (safe >= before); finished++ }
}

/* reconnect.c, pool_become_connector: the thread that does it is one of those
 * that wait.
 */
proctype connector ()
{
  byte i;

end:
  do
  :: atomic { state == DOWN && in_flight == 0 -> state = CONNECTING }
#ifndef BREAK_M7
    /* connection_close: the server closes its end when it has carried out or
     * dropped its requests.
     */
    late == 0;
#endif
    atomic { current = 3 - current; lost = false; i = 0 }
    /* pool_replay */
    do
    :: atomic { i == entries -> break }
    :: atomic { i < entries -> send (CONNECTOR, WRITE, entry[i]) }
      atomic {
        has_ended (CONNECTOR) ->
        in_flight--;
        if
        :: answered[CONNECTOR] -> i++
        :: else -> state = DOWN; break
        fi
      }
    od;
    atomic {
      answered[CONNECTOR] = false; value[CONNECTOR] = 0;
      connection[CONNECTOR] = 0; i = 0;
      if
      :: state == CONNECTING && interrupted > 0 -> state = RESEND
      :: state == CONNECTING && interrupted == 0 -> state = UP
      :: else
      fi
    }
  od
}

/* Carry out a request.  Without its connection, nobody hears of it. */
inline carry_out (who)
{
  if
  :: request[who] == WRITE -> stored = value[who]
  :: request[who] == READ -> value[who] = stored
  :: request[who] == FLUSH -> safe = stored
  fi;
  request[who] = NONE;
  answered[who] = !lost && connection[who] == current
}

inline drop (who)
{
  request[who] = NONE
}

proctype server ()
{
end:
  do
  :: atomic { request[A] != NONE -> carry_out (A) }
  :: atomic { request[B] != NONE -> carry_out (B) }
  :: atomic { request[READER] != NONE -> carry_out (READER) }
  :: atomic { request[FLUSHER] != NONE -> carry_out (FLUSHER) }
  :: atomic { request[CONNECTOR] != NONE -> carry_out (CONNECTOR) }
  :: atomic { late -> stored = late; late = 0 }
  :: late = 0
  :: atomic { faults < FAULTS && !lost -> faults++; lost = true }
  :: atomic {
      faults < FAULTS && !lost -> faults++; lost = true;
      /* a crash */
      late = 0; drop (A); drop (B); drop (READER); drop (FLUSHER); drop (CONNECTOR);
      if
      :: stored = safe
      :: safe = stored
      fi
    }
  od
}

/* At the end nothing that was acknowledged is lost, though the connection may
 * be: then the log has it.
 */
proctype accounting ()
{
end:                            /* or the connection is lost, and nobody asks */
  atomic {
    finished == 4 && state == UP && !lost;
    assert (stored == acked)
  }
}

init {
  atomic {
    run writer (A, WRITES_A);
    run writer (B, 1);
    run reader ();
    run flusher ();
    run connector ();
    run server ();
    run accounting ()
  }
}
