/* SPDX-License-Identifier: BSD-3-Clause */
/* Leader and followers: lib/nbd/connection.h U1 and U2, leader-followers.c and
 * transport-plain.c.
 *
 * Bounds: three threads with one command at a time; two of them have COMMANDS
 * commands each; the third has one, and between its start and its wait it needs
 * the first thread to end, as a mirror may (pool.h, pool_write_start).  Each
 * turn of a sender may be its last one.  The server answers in any order.  What
 * the lock guards is one step; threads are told that they are done after it.
 * SPIN reports a deadlock if nobody leads or sends.
 *
 * What breaks if the code does not keep them:
 *   BREAK_U1_LEADER   a leader leaves, and asks nobody to lead
 *   BREAK_U1_WAITS    a thread is asked that does not wait yet
 *   BREAK_U1_SENDER   a sender leaves, and asks nobody to send the rest
 *   BREAK_U1_SLEEP    a thread goes to sleep without a look at its state
 *   BREAK_U2          a command completes while it is being sent
 */

#ifndef COMMANDS
#define COMMANDS 2
#endif
#define N 3
#define NOBODY 3

/* enum lf_state */
#define RUNNING 0
#define SLEEPING 1
#define LOOK 2
#define DONE 3

byte state[N];
bool waits[N], busy[N];
bool pending[N];                /* a command that is not complete … */
bool answered[N];               /* … or answered, but the sender's */

bool queued[N], being_sent[N];
bool at_server[N], reply[N];

bool sending;
byte leader = NOBODY, asked = NOBODY;
bool ended[N];

#define anything_queued (queued[0] || queued[1] || queued[2])
#define may_lead(i) (waits[i] && !busy[i] && pending[i] && !answered[i])
#define may_send(i) (queued[i] && waits[i] && leader != i)

/* lf_unlock, with the lock. */
inline keep_U1 ()
{
#ifndef BREAK_U1_LEADER
  if
  :: leader == NOBODY && asked == NOBODY ->
    if
#ifdef BREAK_U1_WAITS
    :: pending[0] && !answered[0] -> asked = 0
    :: pending[1] && !answered[1] -> asked = 1
    :: pending[2] && !answered[2] -> asked = 2
#else
    :: may_lead (0) -> asked = 0
    :: may_lead (1) -> asked = 1
    :: may_lead (2) -> asked = 2
#endif
    :: else
    fi;
    if
    :: asked != NOBODY -> assert (state[asked] != DONE); state[asked] = LOOK
    :: else
    fi
  :: else
  fi
#else
  skip
#endif
}

inline complete (i)
{
  assert (pending[i]);                                  /* U2 */
  pending[i] = false; answered[i] = false;
  if
  :: asked == i -> asked = NOBODY
  :: else
  fi;
  done[i] = true
}

/* Without the lock. */
inline tell ()
{
  if
  :: atomic { done[0] -> state[0] = DONE; done[0] = false }
  :: !done[0]
  fi;
  if
  :: atomic { done[1] -> state[1] = DONE; done[1] = false }
  :: !done[1]
  fi;
  if
  :: atomic { done[2] -> state[2] = DONE; done[2] = false }
  :: !done[2]
  fi
}

inline gather (i)
{
  if
  :: queued[i] -> queued[i] = false; being_sent[i] = true; mine[i] = true
  :: else
  fi
}

inline put_on_wire (i)
{
  if
  :: mine[i] -> at_server[i] = true
  :: else
  fi
}

inline was_sent (i)
{
  if
  :: mine[i] ->
    mine[i] = false;
    assert (being_sent[i] && pending[i]);               /* U2 */
    being_sent[i] = false;
    if
    :: answered[i] -> complete (i)
    :: else
    fi
  :: else
  fi
}

/* Called with the lock, as the last thing of an atomic step that has set
 * sending; returns without the lock, like lf_unlock.
 */
inline send_queued ()
{
  do
  :: atomic { gather (0); gather (1); gather (2); keep_U1 () }
    tell ();
    atomic { put_on_wire (0); put_on_wire (1); put_on_wire (2) }
    atomic {
      was_sent (0); was_sent (1); was_sent (2);
      if
      :: anything_queued -> skip
      :: !anything_queued || may_send (0) || may_send (1) || may_send (2) ->
        sending = false; busy[me] = false;
        if
#ifndef BREAK_U1_SENDER
        :: may_send (0) -> assert (state[0] != DONE); state[0] = LOOK
        :: may_send (1) -> assert (state[1] != DONE); state[1] = LOOK
        :: may_send (2) -> assert (state[2] != DONE); state[2] = LOOK
#endif
        :: !anything_queued
#ifdef BREAK_U1_SENDER
        :: anything_queued
#endif
        fi;
        keep_U1 ();
        break
      fi
    }
  od;
  tell ()
}

/* A reply to command i, with the lock. */
inline take (i)
{
  reply[i] = false;
#ifdef BREAK_U2
  complete (i)
#else
  if
  :: being_sent[i] -> answered[i] = true
  :: else -> complete (i)
  fi
#endif
}

inline receive ()
{
  if
  :: atomic { reply[0] -> take (0) }
  :: atomic { reply[1] -> take (1) }
  :: atomic { reply[2] -> take (2) }
  fi
}

proctype thread (byte me; byte commands)
{
  bool done[N], mine[N];

  do
  :: atomic { commands == 0 -> ended[me] = true; break }
  :: commands > 0 ->
    /* issue */
    atomic {
      assert (!pending[me]);
      pending[me] = true; state[me] = RUNNING; queued[me] = true;
      if
      :: !sending -> sending = true; busy[me] = true;
        if
        :: asked == me -> asked = NOBODY
        :: else
        fi
      :: else -> keep_U1 (); goto issued
      fi
    }
    send_queued ();
  issued:
    if
    :: me == 2 -> ended[0]
    :: else
    fi;

    /* connection_wait */
    waits[me] = true;
    do
    :: atomic { !pending[me] -> keep_U1 (); break }
    :: atomic { pending[me] && anything_queued && !sending ->
        sending = true; busy[me] = true;
        if
        :: asked == me -> asked = NOBODY
        :: else
        fi
      }
      send_queued ()
    :: atomic {
        pending[me] && !(anything_queued && !sending) &&
          leader == NOBODY && !answered[me] ->
        leader = me; asked = NOBODY
      }
      /* lead */
      do
      :: atomic { !pending[me] || answered[me] -> leader = NOBODY; break }
      :: atomic { pending[me] && !answered[me] -> keep_U1 () }
        tell ();
        receive ()
      od
    :: atomic {
        pending[me] && !(anything_queued && !sending) &&
          (leader != NOBODY || answered[me]) -> keep_U1 ()
      }
      tell ();
      /* lf_sleep */
#ifdef BREAK_U1_SLEEP
      state[me] = SLEEPING;
#else
      atomic {
        if
        :: state[me] == RUNNING -> state[me] = SLEEPING
        :: else
        fi
      }
#endif
      state[me] != SLEEPING;
      atomic {
        if
        :: state[me] == DONE -> goto over
        :: state[me] == LOOK -> state[me] = RUNNING
        :: else
        fi
      }
      atomic {
        if
        :: asked == me -> asked = NOBODY
        :: else
        fi
      }
    od;
    tell ();
    state[me] == DONE;
  over:
    atomic { waits[me] = false; commands-- }
  od
}

proctype server ()
{
end:
  do
  :: atomic { at_server[0] -> at_server[0] = false; reply[0] = true }
  :: atomic { at_server[1] -> at_server[1] = false; reply[1] = true }
  :: atomic { at_server[2] -> at_server[2] = false; reply[2] = true }
  od
}

init {
  atomic {
    run thread (0, COMMANDS);
    run thread (1, COMMANDS);
    run thread (2, 1);
    run server ()
  }
}
