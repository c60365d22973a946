/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena's file, and what is recovered after a crash: arena-layout.h P1 to
 * P6, radix.h T1, T3 and T6, and arena.h A2, all in lib/ramdisk.
 *
 * Bounds: a disk of one or two pages, whose tree is one node with two slots.
 * Writer LO writes the page in slot 0, and writer HI fills the hole in slot 1,
 * LO_WRITES and HI_WRITES times.  One thread does any CONTROLS of: create,
 * clone, replace by a new disk or a clone, rename, destroy, shrink, grow, and
 * freeze for ever.  One thread extends the file by a chunk, takes space for the
 * page there, and gives the space of a free page back.  There are two names,
 * one table of RECORDS records, and no origins.
 *
 * Each store that a recovery could see is a step.  After each step the process
 * may end.  Recovery then works on the file as it is; it may itself end after
 * any of its stores, and is then repeated.  What it finds is compared with what
 * was acknowledged, and the file is put back, so a crash costs no states.
 *
 * A reader section is one step, and a page is free as soon as its count is 0:
 * clone.pml looks inside.  Memory is sequentially consistent.
 *
 * What must hold after recovery: each write that was acknowledged is there (T1,
 * P5); of a control operation in flight all is there or nothing (P3, P4); no
 * page belongs to two disks that do not share it (T3, T6), none is lost (A2),
 * each that is linked has space (P1, P2), and nothing is left beyond an end
 * (P6); and the result is the same however often recovery was cut short.
 *
 * What breaks if the code does not keep them:
 *   BREAK_P1       a page is linked that has no bit
 *   BREAK_P1_TAKE  a bit is set before the page has space
 *   BREAK_P1_GIVE  space is returned before the bit is cleared
 *   BREAK_P1_LEFT  recovery leaves space that has no bit
 *   BREAK_P2       a chunk is counted before it is in the file
 *   BREAK_P3       a record becomes valid before it has its root
 *   BREAK_P3_FREE  a disk's pages are freed before its record is invalid
 *   BREAK_P4       a record does not name the one that it replaces
 *   BREAK_P4_GAP   a record becomes invalid before the one that replaces it
 *                  is valid
 *   BREAK_P4_AGAIN recovery clears what a record replaces before that one is
 *                  invalid
 *   BREAK_P5       the root in memory is stored before the record's
 *   BREAK_P5_SIZE  the size in memory is stored before the record's
 *   BREAK_P5_MOVE  a rename does not hold the tree's lock
 *   BREAK_P6       recovery leaves what is beyond the end
 *   BREAK_P6_SIZE  a shrink unlinks pages before it stores the size
 *   BREAK_T1       a data page is linked before it has its data
 *   BREAK_T1_NODE  a node is linked before its slots are copied
 *   BREAK_T3       recovery ends a shrink in a node that is shared
 *   BREAK_T6       a page is given up before the copy is linked
 *   BREAK_A2       recovery counts what is below a shared node for each tree
 */

#ifndef LO_WRITES
#define LO_WRITES 1
#endif
#ifndef HI_WRITES
#define HI_WRITES 1
#endif
#ifndef CONTROLS
#define CONTROLS 2
#endif
/* No allocation fails: 2 pages at first, a node and a page for each write, a
 * page that was allocated in vain, a node to shrink; the page that is given
 * back and the one in the second chunk come in addition.
 */
#define PAGES (1 + 2 + 2 * (LO_WRITES + HI_WRITES) + 2 + 2)
#define RECORDS (1 + CONTROLS)
#define POISON 100

/* The writers, and the slots that they write. */
#define LO 0
#define HI 1

/* ---------------------------------------------------------------- the file */

/* The pages.  A node has two slots, a data page has a value. */
byte slot0[PAGES];
byte slot1[PAGES];
byte data[PAGES];
bool has_bit[PAGES];            /* in the map */
bool has_space[PAGES];          /* in the file system */
byte chunks = 1;                /* header.chunks */
byte file_chunks = 1;           /* the file's size */

/* The records. */
byte seq[RECORDS];
byte root[RECORDS];
byte size[RECORDS];             /* pages */
byte replaces[RECORDS];
bit name[RECORDS];

/* The last page is alone in the second chunk. */
#define CHUNK(page) (1 + (page) / (PAGES - 1))

/* ------------------------------------------------------------------ memory */

byte refs[PAGES];
bool used[RECORDS];             /* a disk in memory has it */
byte last_seq;

/* The disk to which the writers write; they keep it when it loses its name. */
bool locked;                    /* tree.lock */
bool closed;                    /* the gate */
byte live_root, live_size, live_record;

/* The others, which nobody writes to, by name. */
byte other_root[2], other_record[2];

/* ------------------------------------------------------- what is promised */

#define NONE 0
#define LIVE 1                  /* the writers' disk */
#define OTHER 2                 /* one with the values lo and hi */

/* The disks by name: before the control operation in flight, and after it. */
typedef world {
  byte kind[2];
  byte size[2];
  byte lo[2];
  byte hi[2]
};
world before, after;

/* The last value of each of the writers' pages that was stored, and that was
 * acknowledged.
 */
byte stored[2], acked[2];

/* --------------------------------------------------------------- the arena */

inline alloc (got)
{
  atomic {
    got = 1;
    do
#ifdef BREAK_P1
    :: got < PAGES - 1 && refs[got] != 0 -> got++
#else
    :: got < PAGES - 1 && (refs[got] != 0 || !has_bit[got]) -> got++
#endif
    :: else -> break
    od;
    assert (got < PAGES - 1 || (refs[got] == 0 && has_bit[got]));
    refs[got] = 1
  }
}

inline put_data (child)
{
  if
  :: child ->
    assert (refs[child] > 0);
    refs[child]--;
    if
    :: refs[child] == 0 -> data[child] = POISON
    :: else
    fi
  :: else
  fi
}

inline put_node (top)
{
  if
  :: top ->
    assert (refs[top] > 0);
    refs[top]--;
    if
    :: refs[top] == 0 ->
      put_data (slot0[top]);
      put_data (slot1[top]);
      slot0[top] = 0; slot1[top] = 0
    :: else
    fi
  :: else
  fi
}

/* arena_back, arena_give_back; arena-space.c */
proctype space ()
{
  byte page;

#ifdef BREAK_P2
  chunks = 2;
  file_chunks = 2;
#else
  file_chunks = 2;
  chunks = 2;
#endif
#ifdef BREAK_P1_TAKE
  has_bit[PAGES - 1] = true;
  has_space[PAGES - 1] = true;
#else
  has_space[PAGES - 1] = true;
  has_bit[PAGES - 1] = true;
#endif
  atomic {
    page = 1;
    do
    :: refs[page] != 0 || !has_bit[page] -> page++
    :: else -> break
    od;
    refs[page] = 1              /* it is in no bitmap meanwhile */
  }
#ifndef BREAK_P1_GIVE
  has_bit[page] = false;
#endif
  atomic { has_space[page] = false; data[page] = 0 }
#ifdef BREAK_P1_GIVE
  has_bit[page] = false;
#endif
  atomic { refs[page] = 0; page = 0 }
}

/* ---------------------------------------------------------------- the tree */

inline load_slot (which, top, child)
{
  if
  :: which -> child = slot1[top]
  :: else -> child = slot0[top]
  fi
}

inline store_slot (which, top, child)
{
  if
  :: which -> slot1[top] = child
  :: else -> slot0[top] = child
  fi
}

/* Each child gets one more reference. */
inline copy_node (from, to)
{
  slot0[to] = slot0[from]; slot1[to] = slot1[from];
  refs[slot0[to]]++;
  if
  :: slot1[to] -> refs[slot1[to]]++
  :: else
  fi
}

/* radix.c, own_node and root_store: make the root exclusive, under the lock. */
inline own_node (top, copy)
{
  top = live_root;
  if
  :: refs[top] == 1
  :: else ->
    alloc (copy);
    atomic {
      if
      :: refs[top] == 1 -> put_data (copy); copy = 0; goto exclusive
      :: else -> refs[top]++                           /* the pin, T5 */
      fi;
#ifndef BREAK_T1_NODE
      copy_node (top, copy)
#endif
    }
#ifdef BREAK_P5
    live_root = copy;
    root[live_record] = copy;
#else
    root[live_record] = copy;
    live_root = copy;
#endif
#ifdef BREAK_T1_NODE
    atomic { copy_node (top, copy) }
#endif
    atomic {
      put_node (top); put_node (top);
      top = copy; copy = 0
    }
  fi;
exclusive:
  skip
}

proctype writer (bit high)
{
  byte value = high * 10 + 1, node, page, spare, writes;

  do
  :: atomic { writes == (high -> HI_WRITES : LO_WRITES) -> break }
  :: atomic { writes < (high -> HI_WRITES : LO_WRITES) -> value++ }
    /* disk.c, write_mapped */
    atomic {
      node = live_root;
      load_slot (high, node, page);
      if
      :: high >= live_size -> goto next                 /* ENOSPC */
      :: high < live_size && (closed || refs[node] != 1) -> goto with_lock
      :: else
      fi;
      if
      :: page == 0 -> goto hole
      :: page && refs[page] != 1 -> goto with_lock
      :: else -> data[page] = value; stored[high] = value; goto written
      fi
    }
    /* disk.c, write_holes */
  hole:
    alloc (spare);
#ifndef BREAK_T1
    data[spare] = value;
#endif
    atomic {
      node = live_root;
      load_slot (high, node, page);
      if
      :: closed || refs[node] != 1 || high >= live_size ->
        put_data (spare); spare = 0; goto with_lock
      :: else
      fi;
      assert (page == 0);
      store_slot (high, node, spare);
      stored[high] = value
    }
#ifdef BREAK_T1
    data[spare] = value;
#endif
    atomic { spare = 0; goto written }
    /* disk.c, write_locked */
  with_lock:
    atomic {
      !locked ->
      if
      :: high >= live_size -> goto next
      :: else -> locked = true
      fi
    }
    own_node (node, spare);
    atomic {
      load_slot (high, node, page);
      if
      :: page && refs[page] == 1 ->
        data[page] = value; stored[high] = value; goto unlock
      :: else
      fi
    }
    alloc (spare);
#ifndef BREAK_T1
    data[spare] = value;
#endif
#ifdef BREAK_T6
    atomic { put_data (page) }
#endif
    atomic { store_slot (high, node, spare); stored[high] = value }
#ifdef BREAK_T1
    data[spare] = value;
#endif
#ifndef BREAK_T6
    atomic { put_data (page) }
#endif
  unlock:
    locked = false;
  written:
    atomic {
      if
      :: stored[high] == value ->       /* or a shrink has zeroed it since */
        acked[high] = value;
        /* Who wrote beyond the old end relies on the growth. */
        if
        :: high && before.kind[0] == LIVE -> before.size[0] = 2
        :: high && before.kind[1] == LIVE -> before.size[1] = 2
        :: else
        fi
      :: else
      fi
    }
  next:
    atomic { node = 0; page = 0; spare = 0; writes++ }
  od
}

/* -------------------------------------------------------------- operations */

/* The value that a slot of a tree shows. */
#define LO_OF(node) (node -> data[slot0[node]] : 0)
#define HI_OF(node) (node && slot1[node] -> data[slot1[node]] : 0)

inline set_after (at, what, pages)
{
  after.kind[at] = what; after.size[at] = pages;
  after.lo[at] = 0; after.hi[at] = 0
}

inline record_new (rec)
{
  rec = 0;
  do
  :: used[rec] -> rec++
  :: else -> break
  od;
  used[rec] = true
}

/* records.c, record_link, of a record that has all but its name. */
inline record_link (rec, to, former)
{
  atomic {
    name[rec] = to;
#ifdef BREAK_P4
    replaces[rec] = 0
#else
    replaces[rec] = (former < RECORDS -> seq[former] : 0)
#endif
  }
#ifdef BREAK_P4_GAP
  if
  :: former < RECORDS -> seq[former] = 0
  :: else
  fi;
  atomic { last_seq++; seq[rec] = last_seq }
#else
  atomic { last_seq++; seq[rec] = last_seq }
  if
  :: former < RECORDS -> seq[former] = 0
  :: else
  fi
#endif
}

inline acknowledge ()
{
  before.kind[0] = after.kind[0]; before.kind[1] = after.kind[1];
  before.size[0] = after.size[0]; before.size[1] = after.size[1];
  before.lo[0] = after.lo[0]; before.lo[1] = after.lo[1];
  before.hi[0] = after.hi[0]; before.hi[1] = after.hi[1]
}

proctype control ()
{
  byte done, r, tree, node, page, spare;
  byte old = RECORDS;           /* the record that is replaced, or destroyed */
  bit n;

  do
  :: atomic { done == CONTROLS -> break }
  :: atomic { done < CONTROLS ->
      if
      :: n = 0
      :: n = 1
      fi;
      after.size[0] = before.size[0]; after.size[1] = before.size[1];
      if
      :: record_new (r); set_after (n, OTHER, 2); goto make
      :: before.kind[0] == LIVE || before.kind[1] == LIVE ->
        record_new (r); goto clone
      :: before.kind[n] == OTHER -> goto destroy
      :: before.kind[n] == LIVE -> goto lose
      :: before.kind[n] == LIVE && before.kind[1 - n] == NONE -> goto move
      :: before.kind[n] == LIVE && live_size == 2 -> goto shrink
      :: before.kind[n] == LIVE && live_size == 1 -> goto grow
      :: goto freeze
      fi
    }

    /* disk_clone, tree_share_locked */
  clone:
    atomic {
      !locked -> tree = live_root; refs[tree]++;
      set_after (n, OTHER, live_size);
      after.lo[n] = LO_OF (tree); after.hi[n] = HI_OF (tree)
    }
  make:
    atomic { size[r] = after.size[n] }
#ifndef BREAK_P3
    root[r] = tree;
#endif
    /* registry.c, publish_locked */
    atomic {
      if
      :: before.kind[n] == LIVE -> old = live_record
      :: before.kind[n] == OTHER -> old = other_record[n]
      :: else
      fi
    }
    record_link (r, n, old);
#ifdef BREAK_P3
    root[r] = tree;
#endif
    atomic {
      if
      :: before.kind[n] == OTHER -> put_node (other_root[n]); used[old] = false
      :: else
      fi;
      other_root[n] = tree; other_record[n] = r;
      acknowledge ();
      goto next
    }

    /* registry_destroy, of a disk that nobody has open */
  destroy:
    atomic { old = other_record[n]; after.kind[n] = NONE }
#ifndef BREAK_P3_FREE
    seq[old] = 0;
#endif
    atomic { put_node (other_root[n]); other_root[n] = 0 }
#ifdef BREAK_P3_FREE
    seq[old] = 0;
#endif
    atomic { used[old] = false; acknowledge (); goto next }

    /* … and of one that stays without a name */
  lose:
    after.kind[n] = NONE;
    seq[live_record] = 0;
    atomic { acknowledge (); goto next }

    /* registry-names.c, move_record_locked */
  move:
    atomic {
      record_new (r);
      after.kind[n] = NONE;
      set_after (1 - n, LIVE, live_size)
    }
#ifndef BREAK_P5_MOVE
    atomic { !locked -> locked = true }
#endif
    atomic { old = live_record; size[r] = size[old]; root[r] = root[old] }
    record_link (r, 1 - n, old);
    live_record = r;
#ifndef BREAK_P5_MOVE
    locked = false;
#endif
    atomic { used[old] = false; acknowledge (); goto next }

    /* disk.c, shrink_locked; radix.c, tree_fill_locked */
  shrink:
    atomic { !locked -> locked = true; after.size[n] = 1 }
#ifndef BREAK_P6_SIZE
    size[live_record] = 1;
#endif
    atomic { live_size = 1; closed = true }
    if
    :: slot1[live_root] ->
      own_node (node, spare);
      atomic { page = slot1[node]; slot1[node] = 0 }
      atomic { put_data (page) }
    :: else
    fi;
#ifdef BREAK_P6_SIZE
    size[live_record] = 1;
#endif
    atomic { closed = false; locked = false }
    atomic { stored[HI] = 0; acked[HI] = 0; acknowledge (); goto next }

    /* disk_resize, set_size */
  grow:
    atomic { !locked -> locked = true; after.size[n] = 2 }
#ifdef BREAK_P5_SIZE
    live_size = 2;
    size[live_record] = 2;
#else
    size[live_record] = 2;
    live_size = 2;
#endif
    locked = false;
    atomic { acknowledge (); goto next }

    /* disk_freeze: a reference that only this process knows */
  freeze:
    atomic { !locked -> refs[live_root]++ }

  next:
    atomic {
      n = 0; r = 0; tree = 0; node = 0; page = 0; spare = 0; old = RECORDS;
      done++
    }
  od
}

/* ---------------------------------------------------------------- recovery */

/* The file as the crash has left it. */
hidden byte was_slot0[PAGES];
hidden byte was_slot1[PAGES];
hidden byte was_space[PAGES];
hidden byte was_chunks;
hidden byte was_seq[RECORDS];
hidden byte was_root[RECORDS];
hidden byte was_replaces[RECORDS];

/* What a recovery has in memory. */
hidden byte kept[RECORDS];
hidden byte count[PAGES];
hidden byte i, j, p, q, fresh;

/* How many stores it has left.  STORE is a statement. */
hidden byte budget;
#define ALL 255
#define STORE(what, value) \
  if :: budget > 0 -> budget--; what = value :: else fi

inline save_file ()
{
  for (i : 0 .. PAGES - 1) {
    was_slot0[i] = slot0[i]; was_slot1[i] = slot1[i];
    was_space[i] = has_space[i]
  }
  for (i : 0 .. RECORDS - 1) {
    was_seq[i] = seq[i]; was_root[i] = root[i]; was_replaces[i] = replaces[i]
  }
  was_chunks = file_chunks
}

inline restore_file ()
{
  for (i : 0 .. PAGES - 1) {
    slot0[i] = was_slot0[i]; slot1[i] = was_slot1[i];
    has_space[i] = was_space[i]
  }
  for (i : 0 .. RECORDS - 1) {
    seq[i] = was_seq[i]; root[i] = was_root[i]; replaces[i] = was_replaces[i]
  }
  file_chunks = was_chunks
}

/* recover-records.c, recover_sort_out */
inline sort_out ()
{
  for (i : 0 .. RECORDS - 1) {
    kept[i] = (seq[i] != 0)
  }
  for (i : 0 .. RECORDS - 1) {
    for (j : 0 .. RECORDS - 1) {
      if
      :: seq[i] && seq[j] && replaces[i] == seq[j] -> kept[j] = false
      :: else
      fi
    }
  }
  /* P4: no two disks have one name, or one number. */
  for (i : 1 .. RECORDS - 1) {
    for (j : 0 .. i - 1) {
      assert (!kept[i] || !kept[j] ||
              (name[i] != name[j] && seq[i] != seq[j]))
    }
  }
}

/* P1, P2 */
inline count_one (linked)
{
  assert (linked < PAGES && CHUNK (linked) <= chunks && has_bit[linked] &&
          has_space[linked]);
  count[linked]++
}

/* recover-trees.c, scan */
inline check_trees ()
{
  for (i : 0 .. PAGES - 1) {
    assert (!has_bit[i] || has_space[i]);
    count[i] = 0
  }
  assert (chunks <= file_chunks);
  for (i : 0 .. RECORDS - 1) {
    p = (kept[i] -> root[i] : 0);
    if
    :: p ->
      count_one (p);
      if
#ifndef BREAK_A2
      :: count[p] > 1 -> skip
#endif
      :: else ->
        count_one (slot0[p]);
        if
        :: slot1[p] -> count_one (slot1[p])
        :: else
        fi
      fi
    :: else
    fi
  }
}

/* recover-records.c, recover_settle_records */
inline settle_records ()
{
#ifdef BREAK_P4_AGAIN
  for (i : 0 .. RECORDS - 1) {
    if
    :: kept[i] && replaces[i] -> STORE (replaces[i], 0)
    :: else
    fi
  }
#endif
  for (i : 0 .. RECORDS - 1) {
    if
    :: seq[i] && !kept[i] -> STORE (seq[i], 0)
    :: else
    fi
  }
}

/* recover-space.c, recover_settle_space */
inline settle_space ()
{
  if
  :: file_chunks > chunks -> STORE (file_chunks, chunks)
  :: else
  fi;
#ifndef BREAK_P1_LEFT
  for (i : 1 .. PAGES - 1) {
    if
    :: has_space[i] && !has_bit[i] -> STORE (has_space[i], false)
    :: else
    fi
  }
#endif
}

/* disk_settle: shrink_locked, once more */
inline settle_disks ()
{
  for (i : 0 .. RECORDS - 1) {
    p = (kept[i] && size[i] == 1 -> root[i] : 0);
    q = (p -> slot1[p] : 0);
    if
    :: q ->
      if
#ifndef BREAK_T3
      :: count[p] > 1 ->
        fresh = 1;
        do
        :: fresh < PAGES - 1 && (count[fresh] || !has_bit[fresh]) -> fresh++
        :: else -> break
        od;
        assert (count[fresh] == 0 && has_bit[fresh]);
        STORE (slot0[fresh], slot0[p]);
        STORE (slot1[fresh], q);
        count[slot0[p]]++; count[q]++;
        STORE (root[i], fresh);
        count[p]--; count[fresh] = 1;
        p = fresh
#endif
      :: else
      fi;
      STORE (slot1[p], 0);
      count[q]--
    :: else
    fi
  }
}

inline recover ()
{
  sort_out ();
  check_trees ();
  settle_records ();
  settle_space ();
#ifndef BREAK_P6
  settle_disks ()
#endif
}

/* ---------------------------------------------------------- what was found */

hidden byte found, outcome, first_outcome, lo, hi, first_lo, first_hi;
hidden byte stores, k;
hidden byte same;

/* Are the disks those of a world?  Bit `mask` of the outcome. */
inline compare (w, mask)
{
  same = true;
  for (i : 0 .. 1) {
    found = RECORDS;
    for (j : 0 .. RECORDS - 1) {
      if
      :: kept[j] && name[j] == i -> found = j
      :: else
      fi
    }
    if
    :: w.kind[i] == NONE || found == RECORDS ->
      same = same && w.kind[i] == NONE && found == RECORDS
    :: else ->
      p = LO_OF (root[found]);
      q = HI_OF (root[found]);
      same = same && size[found] == w.size[i];
      if
      :: w.kind[i] == OTHER ->
        same = same && p == w.lo[i] && (size[found] == 1 || q == w.hi[i])
      :: else ->
        same = same && (p == acked[LO] || p == stored[LO]) &&
          (size[found] == 1 || q == acked[HI] || q == stored[HI]);
        lo = p; hi = q
      fi
    fi
  }
  outcome = outcome + (same -> mask : 0)
}

inline check_result ()
{
  lo = 0; hi = 0; outcome = 0;
  compare (before, 1);
  compare (after, 2);
  assert (outcome != 0);
  for (i : 0 .. RECORDS - 1) {
    assert (kept[i] == (seq[i] != 0));
    /* P6 */
    assert (!kept[i] || size[i] == 2 || root[i] == 0 || slot1[root[i]] == 0)
  }
  /* P1, P2 */
  assert (chunks == file_chunks);
  for (i : 1 .. PAGES - 1) {
    assert (has_space[i] == has_bit[i])
  }
  /* A2: when all disks are destroyed, all pages are free. */
  for (i : 0 .. RECORDS - 1) {
    p = (kept[i] -> root[i] : 0);
    if
    :: p ->
      count[p]--;
      if
      :: count[p] == 0 ->
        count[slot0[p]]--;
        if
        :: slot1[p] -> count[slot1[p]]--
        :: else
        fi
      :: else
      fi
    :: else
    fi
  }
  for (i : 1 .. PAGES - 1) {
    assert (count[i] == 0)
  }
}

proctype crash ()
{
end_idle:
  do
  :: d_step {
      save_file ();
      budget = ALL;
      recover ();
      stores = ALL - budget;
      check_result ();
      first_outcome = outcome; first_lo = lo; first_hi = hi;
      k = 0;
      do
      :: k < stores ->
        restore_file ();
        budget = k;
        recover ();
        budget = ALL;
        recover ();
        check_result ();
        assert (outcome == first_outcome && lo == first_lo && hi == first_hi);
        k++
      :: else -> break
      od;
      restore_file ()
    }
  od
}

init {
  byte page;

  atomic {
    page = 1;
    do
    :: page < PAGES - 1 -> has_bit[page] = true; has_space[page] = true; page++
    :: else -> break
    od;
    page = 0;
    refs[1] = 1; slot0[1] = 2;
    refs[2] = 1; data[2] = 1; stored[LO] = 1; acked[LO] = 1;
    live_root = 1; live_size = 2; live_record = 0;
    used[0] = true; seq[0] = 1; root[0] = 1; size[0] = 2; last_seq = 1;
    before.kind[0] = LIVE; before.size[0] = 2;
    after.kind[0] = LIVE; after.size[0] = 2;
    run writer (LO);
    run writer (HI);
    run control ();
    run space ();
    run crash ()
  }
}
