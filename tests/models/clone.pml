/* SPDX-License-Identifier: BSD-3-Clause */
/* Clone, un-share, pin and reclaim: lib/ramdisk/radix.h T3 to T6, arena.h A2 to
 * A4.
 *
 * Bounds: a tree of one node with two slots: a data page of two halves, and a
 * hole.  Writer LO writes one half of the page LO_WRITES times; writer HI
 * writes the other half, and to the hole, in any order.  One thread clones disk
 * 0 to disk 1, looks at the clone and destroys it, CLONES times.  One reader,
 * the reclaimer, and PAGES pages.  Each access to what others change is a step.
 * Memory is sequentially consistent; ThreadSanitizer looks after the order.
 *
 * What breaks if the code does not keep them:
 *   BREAK_T3   a writer does not look at the node's count
 *   BREAK_T4   a clone waits for no grace period
 *   BREAK_T5_NODE   the copier of a node takes no pin
 *   BREAK_T5_DATA   the copier of a data page takes no pin
 *   BREAK_T6   a slot's reference is given up before the copy is linked
 *   BREAK_A3   a page is freed without a grace period
 *   BREAK_A4   a count is decremented when the reference is given up
 */

#ifndef LO_WRITES
#define LO_WRITES 1
#endif
#ifndef CLONES
#define CLONES 1
#endif
#define PAGES 7
#define POISON 15

/* Who has reader sections. */
#define LO 0
#define HI 1
#define READER 2
#define READERS 3

/* What is written: the halves of the page in slot 0, the page in slot 1. */
#define OTHER 2
#define TARGETS 3

/* The pages.  A node has two slots, a data page has two halves. */
byte refs[PAGES];
byte slot0[PAGES];
byte slot1[PAGES];
byte lo[PAGES];
byte hi[PAGES];

byte root[2];                   /* 0: none */
bool locked;                    /* disk 0's tree.lock */

/* What was begun, and what was acknowledged. */
byte begun[TARGETS];
byte acked[TARGETS];
byte finished;

/* References that were given up: the page, and whether it is a node. */
chan limbo = [10] of { byte, bool };
bool reclaiming;

/* Reader sections: who is in one, and in which. */
bool inside[READERS];
byte section[READERS];

inline rcu_enter (who)
{
  section[who] = (section[who] + 1) % 3; inside[who] = true
}

inline rcu_exit (who)
{
  inside[who] = false
}

/* Wait for the sections that have begun; was and at are variables of the
 * caller.
 */
inline rcu_grace_period ()
{
  d_step {
    was[0] = inside[0]; was[1] = inside[1]; was[2] = inside[2];
    at[0] = section[0]; at[1] = section[1]; at[2] = section[2];
  }
  atomic {
    (!was[0] || !inside[0] || section[0] != at[0]) &&
    (!was[1] || !inside[1] || section[1] != at[1]) &&
    (!was[2] || !inside[2] || section[2] != at[2]);
    was[0] = false; was[1] = false; was[2] = false;
    at[0] = 0; at[1] = 0; at[2] = 0
  }
}

inline alloc (page)
{
  atomic {
    page = 1;
    do
    :: page < PAGES && refs[page] != 0 -> page++
    :: else -> break
    od;
    page < PAGES;               /* or wait until one is free */
    refs[page] = 1;
    lo[page] = 0; hi[page] = 0; slot0[page] = 0; slot1[page] = 0
  }
}

/* reclaim.c, put_ref. */
inline put_data (child)
{
  if
  :: child ->
    assert (refs[child] > 0);
    refs[child]--;
    if
    :: refs[child] == 0 -> lo[child] = POISON; hi[child] = POISON
    :: else
    fi
  :: else
  fi
}

inline put_ref (p, is_node)
{
  if
  :: is_node ->
    assert (refs[p] > 0);
    refs[p]--;
    if
    :: refs[p] == 0 ->
      put_data (slot0[p]);
      put_data (slot1[p]);
      lo[p] = POISON; slot0[p] = 0; slot1[p] = 0
    :: else
    fi
  :: else -> put_data (p)
  fi
}

inline retire (p, is_node)
{
#ifdef BREAK_A4
  put_ref (p, is_node)
#else
  limbo!p, is_node
#endif
}

/* The target's slot. */
inline load_slot (target, node, page)
{
  if
  :: target == OTHER -> page = slot1[node]
  :: else -> page = slot0[node]
  fi
}

inline store_slot (target, node, page)
{
  if
  :: target == OTHER -> slot1[node] = page
  :: else -> slot0[node] = page
  fi
}

/* The part of a page that a writer changes, and that which it copies. */
inline store_part (target, page, value)
{
  if
  :: target == HI -> hi[page] = value
  :: else -> lo[page] = value
  fi
}

inline copy_rest (target, from, to)
{
  if
  :: target == HI -> lo[to] = lo[from]
  :: target == LO -> hi[to] = hi[from]
  :: else -> skip
  fi
}

proctype writer (byte who)
{
  byte target, value, node, page, spare, old;
  byte pinned, unlinked;        /* of data pages: what op->retired has */
  byte copied;                  /* the node that was copied */

  do
  :: atomic { who == LO && acked[LO] == LO_WRITES -> finished++; break }
  :: atomic { who == HI && acked[HI] && acked[OTHER] -> finished++; break }
  :: atomic { who == LO && acked[LO] < LO_WRITES -> target = LO; goto begin }
  :: atomic { who == HI && !acked[HI] -> target = HI; goto begin }
  :: atomic { who == HI && !acked[OTHER] -> target = OTHER; goto begin }

  begin:
    /* disk.c, write_mapped */
    atomic {
      value = acked[target] + 1; begun[target] = value;
      rcu_enter (who); node = root[0]
    }
#ifndef BREAK_T3
    if
    :: atomic { refs[node] != 1 -> rcu_exit (who); goto with_lock }
    :: else
    fi;
#endif
    load_slot (target, node, page);
    if
    :: atomic { page == 0 -> rcu_exit (who); goto hole }
    :: atomic { page && refs[page] != 1 -> rcu_exit (who); goto with_lock }
    :: page && refs[page] == 1
    fi;
    atomic { assert (lo[page] != POISON); store_part (target, page, value) }
    rcu_exit (who);
    goto written;

    /* disk.c, write_holes */
  hole:
    atomic { alloc (spare); store_part (target, spare, value) }
    atomic { rcu_enter (who); node = root[0] }
    if
    :: atomic { refs[node] != 1 -> rcu_exit (who); put_data (spare);
                goto with_lock }
    :: else
    fi;
    atomic { assert (slot1[node] == 0); slot1[node] = spare; spare = 0 }
    rcu_exit (who);
    goto written;

    /* disk.c, write_locked; radix.c, own_node and copy_node */
  with_lock:
    atomic { !locked -> locked = true; node = root[0]; page = 0; spare = 0 }
    if
    :: refs[node] == 1
    :: else ->
#ifndef BREAK_T5_NODE
      atomic { old = refs[node]; refs[node]++ }         /* the pin */
      if
      :: atomic { old == 1 -> refs[node]--; goto exclusive }
      :: else
      fi;
#endif
      alloc (spare);
#ifdef BREAK_T6
      retire (node, true);
#endif
      atomic { slot0[spare] = slot0[node]; refs[slot0[spare]]++ }
      atomic {
        slot1[spare] = slot1[node];
        if
        :: slot1[spare] -> refs[slot1[spare]]++
        :: else
        fi
      }
      atomic { root[0] = spare; copied = node; node = spare; spare = 0 }
    fi;
  exclusive:
    /* disk.c, write_page_locked */
    alloc (spare);
  again:
    atomic { rcu_enter (who); load_slot (target, node, page) }
    if
    :: atomic { page && refs[page] == 1 ->
         store_part (target, page, value);
         rcu_exit (who); put_data (spare); goto done }
    :: else
    fi;
    if
    :: page == 0
    :: else ->
#ifndef BREAK_T5_DATA
      atomic { old = refs[page]; refs[page]++ }         /* the pin */
      if
      :: atomic { old == 1 -> refs[page]--; rcu_exit (who); goto again }
      :: else
      fi;
      pinned = page;
#endif
      copy_rest (target, page, spare)
    fi;
    /* Nobody else stores to this slot: the other writers of the page queue for
     * the lock, and the hole has one writer.
     */
    atomic {
      store_part (target, spare, value);
      store_slot (target, node, spare);
      unlinked = page
    }
    rcu_exit (who);
  done:
    /* tree_op_end */
    atomic {
      locked = false;
      if
      :: copied ->
#ifndef BREAK_T6
        retire (copied, true);
#endif
#ifndef BREAK_T5_NODE
        retire (copied, true)
#endif
      :: else
      fi;
      if
      :: pinned -> retire (pinned, false)
      :: else
      fi;
      if
      :: unlinked -> retire (unlinked, false)
      :: else
      fi
    }
  written:
    atomic {
      acked[target] = value;
      copied = 0; pinned = 0; unlinked = 0; spare = 0; old = 0;
      node = 0; page = 0; value = 0; target = 0
    }
  od
}

/* A reader of disk 0 sees what was acknowledged before, and no freed page. */
proctype reader ()
{
  byte node, page, before[TARGETS];

  atomic {
    before[LO] = acked[LO]; before[HI] = acked[HI];
    before[OTHER] = acked[OTHER];
    rcu_enter (READER);
    node = root[0]
  }
  atomic {
    assert (lo[node] != POISON);                                /* T6 */
    page = slot1[node];
    assert (page || !before[OTHER]);
    page = slot0[node]
  }
  atomic {
    assert (lo[page] != POISON && lo[page] >= before[LO]);      /* T5, T6 */
    assert (hi[page] != POISON && hi[page] >= before[HI]);
    rcu_exit (READER);
    node = 0; page = 0; before[LO] = 0; before[HI] = 0; before[OTHER] = 0;
    finished++
  }
}

proctype cloner ()
{
  byte n, before[TARGETS], was_lo, was_hi, was_other;
  bool was[READERS];
  byte at[READERS];
  byte old;

  do
  :: atomic { n == CLONES -> finished++; break }
  :: else ->
    /* tree_share_locked, with what must be in the clone */
    atomic {
      !locked -> locked = true;
      before[LO] = acked[LO]; before[HI] = acked[HI];
      before[OTHER] = acked[OTHER]
    }
    atomic { root[1] = root[0]; old = refs[root[1]]; refs[root[1]]++ }
#ifndef BREAK_T4
    if
    :: old == 1 -> rcu_grace_period ()
    :: else
    fi;
#endif
    atomic {
      was_lo = lo[slot0[root[1]]];
      was_hi = hi[slot0[root[1]]];
      was_other = slot1[root[1]];
      assert (was_lo >= before[LO] && was_lo <= begun[LO]);
      assert (was_hi >= before[HI] && was_hi <= begun[HI]);
      assert (was_other || !before[OTHER]);
      locked = false
    }

    /* T3: later the clone is still what it was.  Then tree_destroy. */
    atomic {
      assert (lo[slot0[root[1]]] == was_lo && hi[slot0[root[1]]] == was_hi);
      assert (slot1[root[1]] == was_other);
      before[LO] = 0; before[HI] = 0; before[OTHER] = 0;
      was_lo = 0; was_hi = 0; was_other = 0; old = 0;
      retire (root[1], true);
      root[1] = 0;
      n++
    }
  od
}

proctype reclaimer ()
{
  byte n, page;
  bool node;
  bool was[READERS];
  byte at[READERS];

end:
  do
  :: atomic { nempty (limbo) -> n = len (limbo); reclaiming = true }
#ifndef BREAK_A3
    rcu_grace_period ();
#endif
    do
    :: atomic { n == 0 -> reclaiming = false; break }
    :: atomic {
        n > 0 -> limbo?page, node;
        put_ref (page, node);
        n--; page = 0; node = false
      }
    od
  od
}

/* A2: at the end, each page has as many references as there are links, and
 * nothing that was acknowledged is lost.
 */
proctype accounting ()
{
  byte page, all;

  atomic {
    finished == 4 && empty (limbo) && !reclaiming;
    page = 1;
    do
    :: page == PAGES -> break
    :: else ->
      all = all + refs[page];
      page++
    od;
    assert (all == 3);
    assert (refs[root[0]] == 1);
    assert (refs[slot0[root[0]]] == 1 && refs[slot1[root[0]]] == 1);
    assert (lo[slot0[root[0]]] == LO_WRITES && hi[slot0[root[0]]] == 1);
    assert (lo[slot1[root[0]]] == 1)
  }
}

init {
  atomic {
    root[0] = 1; refs[1] = 1; slot0[1] = 2; refs[2] = 1;
    run writer (LO);
    run writer (HI);
    run reader ();
    run cloner ();
    run reclaimer ();
    run accounting ()
  }
}
