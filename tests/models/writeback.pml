/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of writeback: lib/cache/cache.h C2, C4 and C5, writeback.c.
 *
 * Bounds: two neighbouring blocks; a writer of each, the first with WRITES
 * writes, the second with one; a worker; a flusher of one flush, which writes
 * back as well; FAULTS errors of the origin.  What the queue's lock guards is
 * one step, and so is each read or write of a bdev.
 *
 * What breaks if the code does not keep them:
 *   BREAK_C2         a block is written back without its range lock
 *   BREAK_C4         a block that became dirty meanwhile is not queued again
 *   BREAK_C5_CLEAN   a block is clean before the origin has it
 *   BREAK_C5_ERROR   a block is clean although the origin failed
 *   BREAK_C5_WAIT    a flush does not wait for what others write back
 */

#ifndef WRITES
#define WRITES 2
#endif
#ifndef FAULTS
#define FAULTS 1
#endif

#define BLOCKS 2
#define NEVER 255

byte cached[BLOCKS], origin[BLOCKS], safe[BLOCKS], acked[BLOCKS];
bool dirty[BLOCKS], queued[BLOCKS], writing[BLOCKS];
bool range[BLOCKS];             /* range locks */

/* The queue, oldest first. */
byte ring[BLOCKS], seq[BLOCKS];
byte entries, next_seq = 1;

/* Whose runs are in flight (by their seq), or 0. */
#define WORKER 0
#define FLUSHER 1
byte in_flight[2];
byte failures, faults;
byte finished;

inline push_last (b, s)
{
  ring[entries] = b; seq[entries] = s; entries++; queued[b] = true
}

inline push_first (b, s)
{
  ring[1] = ring[0]; seq[1] = seq[0];
  ring[0] = b; seq[0] = s; entries++; queued[b] = true
}

inline pop ()
{
  ring[0] = ring[1]; seq[0] = seq[1];
  ring[1] = 0; seq[1] = 0; entries--
}

proctype writer (byte b; byte writes)
{
  byte v;

  do
  :: atomic { v == writes -> finished++; break }
  :: v < writes ->
    atomic { !range[b] -> range[b] = true; v++ }
    cached[b] = v;
    /* dirty_mark */
    atomic {
      if
      :: !dirty[b] && !queued[b] -> push_last (b, next_seq); next_seq++
      :: else
      fi;
      dirty[b] = true
    }
    atomic { range[b] = false; acked[b] = v }
  od
}

/* write_back_one, of what is older than `before`.  Sets done: whether there was
 * anything.  Variables of the caller: first, end, mine, i, buf, done, failed.
 */
inline write_back_one (who, before)
{
  /* begin_run */
  atomic {
    done = false; failed = false; first = 0; end = 0; mine = 0;
    do
    :: entries > 0 && seq[0] < before && !done ->
      first = ring[0]; mine = seq[0];
      queued[first] = false;
      pop ();
      if
      :: dirty[first] && !writing[first] ->
        done = true;
        writing[first] = true;
        end = first + 1;
        if
        :: end < BLOCKS && dirty[end] && !writing[end] ->
          writing[end] = true; end++
        :: else
        fi
      :: else
      fi
    :: else -> break
    od;
    if
    :: done -> in_flight[who] = mine
    :: else
    fi
  }
  if
  :: !done
  :: done ->
#ifndef BREAK_C2
    atomic {
      !range[first] && (end - first == 1 || !range[1]) ->
      range[first] = true; range[end - 1] = true
    }
#endif
    i = first;
    do
    :: i == end || failed -> break
    :: i < end && !failed && !dirty[i] -> i++
    :: i < end && !failed && dirty[i] ->
      buf = cached[i];
#ifdef BREAK_C5_CLEAN
      dirty[i] = false;
#endif
      if
      :: origin[i] = buf
      :: atomic { faults < FAULTS -> faults++; failed = true }
      fi;
#ifdef BREAK_C5_ERROR
      dirty[i] = false;
#endif
      if
      :: failed
      :: !failed -> dirty[i] = false; i++
      fi
    od;
#ifndef BREAK_C2
    atomic { range[first] = false; range[end - 1] = false }
#endif
    /* end_run */
    atomic {
      i = end;
      do
      :: i == first -> break
      :: else ->
        i--;
        writing[i] = false;
#ifndef BREAK_C4
        if
        :: dirty[i] && !queued[i] && failed ->
          push_last (i, next_seq); next_seq++
        :: dirty[i] && !queued[i] && !failed -> push_first (i, mine)
        :: else
        fi
#endif
      od;
      in_flight[who] = 0;
      if
      :: failed -> failures++
      :: else
      fi;
      first = 0; end = 0; mine = 0; i = 0; buf = 0
    }
  fi
}

proctype worker ()
{
  byte first, end, mine, i, buf;
  bool done, failed;

end_idle:
  do
  :: entries > 0 -> write_back_one (WORKER, NEVER)
  od
}

/* write_back_all, and the flush of the origin. */
proctype flusher ()
{
  byte first, end, mine, i, buf;
  bool done, failed;
  byte before[BLOCKS], mark, had_failed;

  atomic {
    before[0] = acked[0]; before[1] = acked[1];
    mark = next_seq; had_failed = failures
  }
  do
  :: entries > 0 && seq[0] < mark ->
    write_back_one (FLUSHER, mark);
    if
    :: failures != had_failed -> goto error
    :: else
    fi
#ifdef BREAK_C5_WAIT
  :: entries == 0 || seq[0] >= mark -> break
#else
  :: atomic {
      (entries == 0 || seq[0] >= mark) && in_flight[WORKER] &&
        in_flight[WORKER] < mark ->
      /* pthread_cond_wait */
      !in_flight[WORKER] || in_flight[WORKER] >= mark
    }
    if
    :: failures != had_failed -> goto error
    :: else
    fi
  :: atomic {
      (entries == 0 || seq[0] >= mark) &&
        (!in_flight[WORKER] || in_flight[WORKER] >= mark) -> break
    }
#endif
  od;
  if
  :: failures != had_failed -> goto error
  :: else
  fi;
  d_step { safe[0] = origin[0]; safe[1] = origin[1] }
  assert (safe[0] >= before[0] && safe[1] >= before[1]);        /* C5 */
error:
  finished++
}

/* C4 */
#define C4(b) (range[b] || !dirty[b] || queued[b] || writing[b])
proctype monitor ()
{
end_idle:
  atomic { !C4 (0) || !C4 (1) -> assert (false) }
}

/* In the end the origin has everything. */
proctype accounting ()
{
  atomic {
    finished == 3 && entries == 0 && !in_flight[WORKER];
    assert (origin[0] == acked[0] && origin[1] == acked[1])
  }
}

init {
  atomic {
    run writer (0, WRITES);
    run writer (1, 1);
    run worker ();
    run flusher ();
    run monitor ();
    run accounting ()
  }
}
