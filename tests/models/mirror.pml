/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's changes, copies, outages and switch: lib/mirror/mirror.h Y1 to
 * Y4, Y6, Y9 and Y10.
 *
 * Bounds: one granule; two writers, of WRITES_A and one write; the job, which
 * connects, copies on trial, proves the secondary, copies, and flushes; FAULTS
 * losses of the secondary, after each of which it has what it had, or only what
 * was flushed; and an operator who switches once.  What m->lock guards is one
 * step, and so is each request to a side.
 * The job looks at `touched` on trial only: after that it matters only to
 * mirror_start, which is not part of this.
 *
 * What breaks if the code does not keep them:
 *   BREAK_Y2          a change that the secondary did not get is not marked
 *   BREAK_Y3          what was not flushed is not marked when it is lost
 *   BREAK_Y3_FLUSH    what is being flushed is not marked when it is lost
 *   BREAK_Y4          the job copies without the range
 *   BREAK_Y6          a mirror counts as synchronised without a last flush
 *   BREAK_Y9          the switch does not wait for requests that were let in
 *   BREAK_Y9_SYNCED   the switch does not ask again whether it is synchronised
 *   BREAK_Y10         on trial a granule becomes clean although it was touched
 *   BREAK_Y10_BEHIND  a change that is left to the job is marked only before it
 */

#ifndef WRITES_A
#define WRITES_A 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

byte primary, secondary, safe;
bool gone;                      /* the secondary's connection */
byte faults;

bool dirty = true, touched, unflushed, flushing;
bool connected, proved, synced;
bool owed;                      /* a copy by the job is not flushed yet (Y6) */
byte incarnation, users;

/* The range lock: one who changes, or the job, who copies. */
bool changing, copying;

#define OPEN 0
#define CLOSED 1
#define SWITCHED 2
byte gate = OPEN;
byte let_in;

byte begun, acked;              /* changes, in the order of the range lock */
byte finished;

/* mirror_put: the result of a use. */
inline lose (inc)
{
  if
  :: inc == incarnation ->
    connected = false; proved = false; synced = false;
    incarnation++;
#ifndef BREAK_Y3
    dirty = dirty || unflushed;
#endif
#ifndef BREAK_Y3_FLUSH
    dirty = dirty || flushing;
#endif
    unflushed = false; flushing = false
  :: else
  fi
}

inline put (inc, failed)
{
  if
  :: failed -> lose (inc)
  :: else
  fi;
  users--;
  good = !failed && inc == incarnation
}

/* A request to the secondary fails when its connection is gone. */
inline write_secondary (v)
{
  atomic {
    if
    :: gone -> failed = true
    :: else -> secondary = v
    fi
  }
}

proctype writer (byte writes)
{
  byte v, inc;
  bool both, failed, good;

  do
  :: atomic { writes == 0 -> finished++; break }
  :: writes > 0 ->
    /* mirror_enter */
  enter:
    atomic { gate != CLOSED -> skip }
    if
    :: gate == SWITCHED ->
      atomic { !changing -> changing = true; begun++; v = begun }
      /* The pool rides out outages (pool.pml). */
      atomic { secondary = v; acked = v; changing = false }
      goto next
    :: else
    fi;
    let_in++;
    if
    :: atomic { gate != OPEN -> let_in--; goto enter }
    :: gate == OPEN
    fi;
    /* begin_change */
    atomic {
      !changing && !copying -> changing = true;
      begun++; v = begun;
      both = proved && !dirty;
      if
      :: both -> users++; inc = incarnation
      :: else -> dirty = true; synced = false; touched = true
      fi
    }
    /* change_sides, both at the same time */
    if
    :: !both -> primary = v
    :: both -> write_secondary (v); primary = v
    :: both -> primary = v; write_secondary (v)
    fi;
    /* the end of make_change */
    atomic {
      if
      :: both ->
        put (inc, failed);
        if
        :: good -> unflushed = true
#ifndef BREAK_Y2
        :: !good -> dirty = true; synced = false
#else
        :: !good -> skip
#endif
        fi
      :: !both ->
#ifndef BREAK_Y10_BEHIND
        dirty = true; synced = false; touched = true
#else
        skip
#endif
      fi;
      acked = v; changing = false
    }
    let_in--;
  next:
    skip;
    atomic { v = 0; inc = 0; both = false; failed = false; good = false;
             writes-- }
  od
}

/* copy_window */
inline copy (trial)
{
  if
  :: trial
#ifdef BREAK_Y4
  :: !trial
#else
  :: atomic { !trial && !changing -> copying = true }
#endif
  fi;
  atomic {
    if
    :: connected ->
      users++; inc = incarnation; here = true;
      if
      :: trial -> touched = false
      :: else
      fi
    :: else -> skip
    fi
  }
  if
  :: here ->
    buf = primary;
    write_secondary (buf);
    atomic {
      put (inc, failed);
      if
      :: good ->
        unflushed = true; owed = true;
#ifdef BREAK_Y10
        dirty = false
#else
        dirty = dirty && trial && touched
#endif
      :: else
      fi
    }
  :: else
  fi;
  atomic {
    copying = false; buf = 0; failed = false; good = false; here = false
  }
}

/* mirror_flush_secondary, by one thread at a time */
bool flush_runs;
inline flush ()
{
  atomic {
    !flush_runs || !connected ->
    if
    :: connected ->
      flush_runs = true; here = true;
      flushing = unflushed; unflushed = false;
      users++; inc = incarnation
    :: else
    fi
  }
  if
  :: here ->
    atomic {
      if
      :: gone -> failed = true
      :: else -> safe = secondary; owed = false
      fi
    }
    atomic {
      put (inc, failed);
      if
      :: good -> flushing = false
      :: else
      fi;
      flush_runs = false
    }
  :: else
  fi
}

proctype job ()
{
  byte inc, buf;
  bool failed, good, here;

end_idle:
  do
  :: atomic { !connected && users == 0 && gate != SWITCHED ->
      gone = false; connected = true; proved = false }
  :: atomic { connected && gone && gate != SWITCHED ->          /* a probe */
      lose (incarnation) }
  :: connected && !proved && gate != SWITCHED ->
    if
    :: dirty -> copy (true)
    :: else
    fi;
    if
    :: connected ->
      flush ();
      atomic {
        if
        :: good && connected -> proved = true; touched = false
        :: else
        fi;
        failed = false; good = false; here = false
      }
    :: else
    fi
  :: connected && proved && dirty && gate != SWITCHED -> copy (false)
  :: connected && proved && !dirty && !synced && gate != SWITCHED ->
#ifdef BREAK_Y6
    good = true;
#else
    flush ();
#endif
    atomic {
      if
      :: good && connected && !dirty -> assert (!owed); synced = true   /* Y6 */
      :: else
      fi;
      failed = false; good = false; here = false
    }
  od
}

/* mirror_switch */
proctype operator ()
{
  byte inc, began_in;
  bool failed, good, here;

end_idle:
  atomic { connected && synced && !dirty -> users++; began_in = incarnation }
  gate = CLOSED;
  /* drain */
#ifndef BREAK_Y9
  let_in == 0 || !connected;
#endif
  if
  :: connected -> flush ()
  :: else
  fi;
  /* commit */
  users == 1 || !connected;
  atomic {
    if
#ifdef BREAK_Y9_SYNCED
    :: incarnation == began_in && connected && !dirty && users == 1 ->
         gate = SWITCHED
#else
    :: incarnation == began_in && connected && synced && !dirty &&
         users == 1 ->
      gate = SWITCHED
#endif
    :: else -> gate = OPEN
    fi;
    users--;
    finished++
  }
}

proctype outage ()
{
end_idle:
  do
  :: atomic { faults < FAULTS && !gone && gate != SWITCHED ->
      faults++; gone = true;
      if
      :: secondary = safe
      :: safe = secondary
      fi }
  od
}

/* Y1; and after the switch clients see all that was acknowledged (Y9). */
proctype monitor ()
{
end_idle:
  atomic {
    (connected && !gone && !dirty && !changing && !copying && users == 0 &&
     gate != SWITCHED && primary != secondary) ||
    (gate == SWITCHED && !changing && secondary != acked) ->
    assert (false)
  }
}

init {
  atomic {
    run writer (WRITES_A);
    run writer (1);
    run job ();
    run operator ();
    run outage ();
    run monitor ()
  }
}
