/* SPDX-License-Identifier: BSD-3-Clause */
/* A progress bar on stderr. */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "mblockctl.h"
#include "progress.h"
#include "terminal.h"

#define SHOW_AFTER 300          /* ms: what is quicker needs no bar */
#define SHOW_EVERY 100          /* ms */
#define BAR 30                  /* columns, on a wide terminal */

static struct {
  const char *what, *unit;
  uint64_t total;
  int64_t next;                 /* when to show it */
  bool active, shown;
} progress;

void
progress_start (const char *what, uint64_t total, const char *unit)
{
  progress.active = isatty (STDERR_FILENO) && !settings.quiet &&
    !terminal_is_dumb ();
  progress.what = what;
  progress.total = total;
  progress.unit = unit;
  progress.next = client_now () + SHOW_AFTER;
  progress.shown = false;
}

static void
show (uint64_t done)
{
  size_t width = terminal_width ();
  size_t used = strlen (progress.what) + 10;
  char bar[BAR + 1];
  size_t room, full;

  if (progress.total == 0) {
    fprintf (stderr, "\r%s: %" PRIu64 " %s\033[K", progress.what, done,
             progress.unit);
    return;
  }
  if (done > progress.total)
    done = progress.total;
  room = width > used + BAR ? BAR : width > used ? width - used : 0;
  full = room * ((double) done / progress.total);
  memset (bar, '.', room);
  memset (bar, '#', full);
  bar[room] = '\0';
  fprintf (stderr, "\r%s [%s] %3.0f%%\033[K", progress.what, bar,
           100.0 * done / progress.total);
}

void
progress_at (uint64_t done)
{
  int64_t now;

  if (!progress.active)
    return;
  now = client_now ();
  if (now < progress.next)
    return;
  progress.next = now + SHOW_EVERY;
  progress.shown = true;
  show (done);
  fflush (stderr);
}

void
progress_end (void)
{
  if (progress.active && progress.shown) {
    fputs ("\r\033[K", stderr);
    fflush (stderr);
  }
  progress.active = false;
}
