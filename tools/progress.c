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
#include "progress.h"
#include "settings.h"
#include "terminal.h"
#include "text.h"

#define SHOW_AFTER 300          /* ms: quicker work needs no bar */
#define SHOW_EVERY 100          /* ms */
#define SHORTEST_BAR 5          /* columns */
#define BAR 30                  /* or a third of the terminal */
#define LONGEST_BAR 60

static struct {
  const char *what, *unit;
  uint64_t total;
  int64_t next;                 /* when to show it */
  bool active, shown;
  char detail[160];
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
  *progress.detail = '\0';
}

void
progress_detail (const char *text)
{
  snprintf (progress.detail, sizeof progress.detail, "  %s", text);
}

/* The line, without a limit of its width.  The caller frees it. */
static char *
line_of (uint64_t done, size_t width)
{
  size_t used = strlen (progress.what) + strlen (progress.detail) + 10;
  size_t most = width / 3 > BAR ? width / 3 : BAR;
  char bar[LONGEST_BAR + 1];
  size_t room, full;

  if (progress.total == 0)
    return text_format ("%s: %" PRIu64 " %s%s", progress.what, done,
                        progress.unit, progress.detail);
  if (done > progress.total)
    done = progress.total;
  room = width > used ? width - used : 0;
  if (room > most)
    room = most;
  if (room > LONGEST_BAR)
    room = LONGEST_BAR;
  full = room * ((double) done / progress.total);
  memset (bar, '.', room);
  memset (bar, '#', full);
  bar[room] = '\0';
  if (room < SHORTEST_BAR)      /* the numbers say more */
    return text_format ("%s %3.0f%%%s", progress.what,
                        100.0 * done / progress.total, progress.detail);
  return text_format ("%s [%s] %3.0f%%%s", progress.what, bar,
                      100.0 * done / progress.total, progress.detail);
}

/* The last column stays free: some terminals wrap after it. */
static void
show (uint64_t done)
{
  size_t width = terminal_width () - 1;
  char *line = line_of (done, width), *cut = text_cut (line, width);

  fprintf (stderr, "\r%s\033[K", cut);
  free (cut);
  free (line);
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
