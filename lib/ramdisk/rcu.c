/* SPDX-License-Identifier: BSD-3-Clause */
/* Registration of threads with liburcu, on demand. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ramdisk/rcu.h"

THREAD_LOCAL unsigned rcu_thread;

#ifdef MBLOCK_TSAN
char rcu_tsan_token;
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;
static atomic_uint threads;

/* Runs when a registered thread ends.  The object is linked with -z nodelete,
 * because nbdkit may unload the plugin while its detached threads still run
 * their destructors.
 */
static void
thread_ends (void *unused)
{
  (void) unused;
  urcu_memb_unregister_thread ();
  rcu_thread = 0;
}

static void
make_key (void)
{
  key_error = pthread_key_create (&key, thread_ends);
}

int
rcu_register (void)
{
  pthread_once (&once, make_key);
  /* Without the destructor a dead thread would stay in liburcu's registry, so
   * it comes first.
   */
  if (key_error || pthread_setspecific (key, &key)) {
    errno = ENOMEM;
    return -1;
  }
  urcu_memb_register_thread ();
  rcu_thread = atomic_fetch_add_explicit (&threads, 1,
                                          memory_order_relaxed) + 1;
  if (rcu_thread == 0)          /* after 2^32 threads */
    rcu_thread = 1;
  return 0;
}
