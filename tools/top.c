/* SPDX-License-Identifier: BSD-3-Clause */
/* The command top: a live view of what the disks do.
 *
 * Rates are the difference between two answers of the method stats, by the
 * clock between them.  The live view waits for answers, keys and signals in
 * one place (wait_for), so that a slow server never makes it deaf.
 */

#include <config.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "complete.h"
#include "histogram.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "server-stats.h"
#include "table.h"
#include "terminal.h"
#include "text.h"

#define HEADER_LINES 5          /* with the table's titles */
#define SHORTEST_MS 100         /* between two looks */
#define LONGEST_MS 60000
#define BAR 20                  /* columns of the memory bar */
#define SHORT_BAR 8             /* the same in a narrow terminal */
#define NARROW 80               /* less columns than this */

enum rate {
  READS, WRITES, OTHERS, READ_BYTES, WRITE_BYTES, ERRORS, RATES
};

struct row {
  const json_t *disk;
  const char *name;
  double rate[RATES];           /* a second */
  double half, most;            /* ns: latency of 50 % and 99 % */
};

struct sample {
  int64_t when;                 /* ms */
  json_t *stats;
  json_t *by_name;
};

static struct {
  char *server;                 /* "mramdisk 0.1.0", safe to show */
  struct sample last, now;
  struct row *row;
  size_t rows;
  struct row total;
  unsigned sort;
  bool reverse, paused, help;
  size_t scroll;
  int64_t delay;                /* ms */
  char **pattern;               /* of the disks to show */
  int patterns;
  json_t *unmatched;            /* those that meant no disk at the start */
} top;

/* ------------------------------------------------------------- measuring */

static void
sample_free (struct sample *s)
{
  json_decref (s->stats);
  json_decref (s->by_name);
  s->stats = s->by_name = NULL;
}

static uint64_t
counter (const json_t *disk, const char *operation, const char *key)
{
  return get_size (stats_of (disk, operation), key);
}

static uint64_t
count_of (const json_t *d, enum rate which)
{
  switch (which) {
  case READS: return counter (d, "read", "ops");
  case WRITES: return counter (d, "write", "ops");
  case OTHERS:
    return counter (d, "zero", "ops") + counter (d, "trim", "ops") +
      counter (d, "flush", "ops") + counter (d, "cache", "ops") +
      counter (d, "extents", "ops");
  case READ_BYTES: return counter (d, "read", "bytes");
  case WRITE_BYTES: return counter (d, "write", "bytes");
  default: return stats_errors (d);
  }
}

/* What a disk did between two samples.  If the disk is new, or has replaced
 * another one, its counters began at 0.
 */
static void
measure (struct row *r, const json_t *disk, const json_t *old, double seconds,
         struct histogram *all)
{
  struct histogram h = { { 0 } };
  unsigned i;

  for (i = 0; old && i < RATES; i++)
    if (count_of (disk, i) < count_of (old, i))
      old = NULL;
  r->disk = disk;
  r->name = need_string (disk, "name");
  for (i = 0; i < RATES; i++) {
    uint64_t n = count_of (disk, i) - (old ? count_of (old, i) : 0);

    r->rate[i] = n / seconds;
    top.total.rate[i] += r->rate[i];
  }
  for (i = 0; i < STATS_OPERATIONS; i++) {
    const char *op = stats_operations[i];

    histogram_add (&h, json_object_get (stats_of (disk, op), "latency"), 1);
    if (old)
      histogram_add (&h, json_object_get (stats_of (old, op), "latency"), -1);
  }
  r->half = histogram_quantile (&h, 0.5);
  r->most = histogram_quantile (&h, 0.99);
  for (i = 0; i < HISTOGRAM_BUCKETS; i++)
    all->count[i] += h.count[i];
}

/* -------------------------------------------------------------- sorting */

static double
requests (const struct row *r)
{
  return r->rate[READS] + r->rate[WRITES] + r->rate[OTHERS];
}

static double
bytes (const struct row *r)
{
  return r->rate[READ_BYTES] + r->rate[WRITE_BYTES];
}

static double
latency (const struct row *r)
{
  return r->most;
}

static double
memory (const struct row *r)
{
  return get_size (r->disk, "owned");
}

static double
clients (const struct row *r)
{
  return get_size (r->disk, "connections");
}

static const struct {
  const char *name;
  double (*key) (const struct row *);   /* NULL: sorted by name only */
} sorts[] = {
  { "requests", requests }, { "bytes", bytes }, { "latency", latency },
  { "memory", memory }, { "clients", clients }, { "name", NULL },
};
#define SORTS (sizeof sorts / sizeof *sorts)

const char *
top_sort_word (size_t i)
{
  return i < SORTS ? sorts[i].name : NULL;
}

/* The largest first.  Equal ones are sorted by name, so that they keep their
 * places.
 */
static int
compare (const void *a, const void *b)
{
  const struct row *x = a, *y = b;
  double (*key) (const struct row *) = sorts[top.sort].key;
  int r = 0;

  if (key)
    r = (key (x) < key (y)) - (key (x) > key (y));
  if (r == 0)
    r = strverscmp (x->name, y->name);  /* vm-2 before vm-10 */
  return top.reverse ? -r : r;
}

static void
sort_rows (void)
{
  if (top.rows)
    qsort (top.row, top.rows, sizeof *top.row, compare);
}

/* -------------------------------------------------------------- samples */

/* The names of the disks to show, as keys. */
static json_t *
choose_disks (const json_t *disks)
{
  json_auto_t *names = json_object (), *unmatched = json_array ();
  json_t *chosen;

  select_add_names (names, disks, "name");
  chosen = select_among (names, top.patterns, top.pattern, unmatched);
  if (top.unmatched == NULL)
    top.unmatched = json_incref (unmatched);
  return chosen;
}

/* A new sample has arrived: compute the rates. */
static void
digest (void)
{
  double seconds = (top.now.when - top.last.when) / 1000.0;
  const json_t *disks = need_array (top.now.stats, "disks");
  json_auto_t *chosen = choose_disks (disks);
  struct histogram all = { { 0 } };
  size_t i;
  json_t *d;

  if (seconds <= 0)
    seconds = 0.001;
  top.rows = json_array_size (disks);
  top.row = reallocarray (top.row, top.rows + 1, sizeof *top.row);
  if (top.row == NULL)
    abort ();
  memset (&top.total, 0, sizeof top.total);
  top.now.by_name = json_object ();
  top.rows = 0;
  json_array_foreach (disks, i, d) {
    const char *name = need_string (d, "name");

    if (!json_object_get (chosen, name))
      continue;
    json_object_set (top.now.by_name, name, d);
    measure (&top.row[top.rows++], d, top.last.stats ?
             json_object_get (top.last.by_name, name) : d, seconds, &all);
  }
  top.total.half = histogram_quantile (&all, 0.5);
  top.total.most = histogram_quantile (&all, 0.99);
  sort_rows ();
}

static void
take_sample (void)
{
  json_t *stats = rpc_all_pages (&pages_stats, NULL);

  sample_free (&top.last);
  top.last = top.now;
  top.now = (struct sample) { client_now (), stats, NULL };
  digest ();
}

/* -------------------------------------------------------------- drawing */

/* The last column is there only if a disk has an origin. */
static const struct column columns[] = {
  { .title = "NAME", .elastic = true, .name = true, .least = 16 },
  { .title = "CLIENTS", .right = true, .drop = 5 },
  { .title = "SIZE", .right = true, .drop = 8, .least = 5 },
  { .title = "MAPPED", .right = true, .drop = 9, .least = 6 },
  { .title = "OWNED", .right = true, .drop = 2, .least = 6 },
  { .title = "READS/s", .brief = "R/s", .right = true, .least = 5 },
  { .title = "WRITES/s", .brief = "W/s", .right = true, .least = 5 },
  { .title = "OTHER/s", .right = true, .drop = 7, .least = 5 },
  { .title = "READ B/s", .brief = "R B/s", .right = true, .least = 5 },
  { .title = "WRITE B/s", .brief = "W B/s", .right = true, .least = 5 },
  { .title = "p50", .right = true, .drop = 6, .least = 6 },
  { .title = "p99", .right = true, .drop = 1, .least = 6 },
  { .title = "ERR/s", .right = true, .least = 5 },
  { .title = "ORIGIN", .right = true, .drop = 3, .least = 8 },
};

static char *
latency_or_dash (double ns)
{
  return ns > 0 ? text_latency (ns) : text_format ("-");
}

static void
add_row (struct table *t, const struct row *r, bool origins)
{
  char *owned;

  table_add (t, text_name (r->name));
  table_addf (t, "%" PRIu64, get_size (r->disk, "connections"));
  table_add (t, text_size (get_size (r->disk, "size")));
  table_add (t, text_size (get_size (r->disk, "mapped")));
  owned = text_size (get_size (r->disk, "owned"));
  table_addf (t, "%s%s", owned, stats_disk_nearly_full (r->disk) ? "!" : "");
  free (owned);
  table_add (t, text_count (r->rate[READS]));
  table_add (t, text_count (r->rate[WRITES]));
  table_add (t, text_count (r->rate[OTHERS]));
  table_add (t, text_rate (r->rate[READ_BYTES]));
  table_add (t, text_rate (r->rate[WRITE_BYTES]));
  table_add (t, latency_or_dash (r->half));
  table_add (t, latency_or_dash (r->most));
  table_add (t, text_count (r->rate[ERRORS]));
  if (origins)
    table_add (t, stats_origin_text (r->disk));
}

/* The rows from first on. */
static struct table *
make_table (size_t first, size_t n, size_t width)
{
  bool origins = stats_have_origin (need_array (top.now.stats, "disks"));
  struct table *t = table_new (columns, sizeof columns / sizeof *columns -
                               !origins);
  size_t i;

  for (i = first; i < top.rows && i - first < n; i++)
    add_row (t, &top.row[i], origins);
  table_fit (t, width);
  return t;
}

static char *
title_line (void)
{
  const json_t *arena = json_object_get (top.now.stats, "arena");
  double uptime =
    json_number_value (json_object_get (arena, "uptime_seconds"));
  char *up = text_duration (uptime), *socket = text_line (rpc_socket ()), *r;
  time_t now = time (NULL);
  char clock[16];
  struct tm tm;

  localtime_r (&now, &tm);
  strftime (clock, sizeof clock, "%H:%M:%S", &tm);
  r = text_format ("%s  %s, up %s  %s%s", clock, top.server, up,
                   top.paused ? "PAUSED  " : "", socket);
  free (up);
  free (socket);
  return r;
}

/* width: of the terminal, or 0. */
static bool
is_narrow (size_t width)
{
  return width > 0 && width < NARROW;
}

static char *
memory_line (size_t width)
{
  const json_t *arena = json_object_get (top.now.stats, "arena");
  uint64_t limit = get_size (arena, "limit"), used = get_size (arena, "used");
  char *u = text_size (used), *l = text_size (limit);
  char *percent = text_percent (used, limit), *r, *line;
  char bar[BAR + 1];
  size_t wide = is_narrow (width) ? SHORT_BAR : BAR;
  size_t full = limit ? wide * ((double) used / limit) + 0.5 : 0;
  const char *gap = is_narrow (width) ? "  " : "   ";
  bool warn = stats_nearly_full (used, limit);

  if (full > wide)
    full = wide;
  memset (bar, '.', wide);
  memset (bar, '#', full);
  bar[wide] = '\0';
  if (warn && is_narrow (width))
    r = text_format ("Memory %s of %s (%s)", u, l, percent);
  else
    r = text_format ("Memory [%s] %s of %s (%s)", bar, u, l, percent);
  line = text_format ("%s%s%sDisks %zu%sClients %" PRIu64, r,
                      warn ? " NEARLY FULL" : "", gap, top.rows, gap,
                      get_size (arena, "connections"));
  free (r);
  free (u);
  free (l);
  free (percent);
  return line;
}

static char *
total_line (size_t width)
{
  const struct row *t = &top.total;
  char *reads = text_count (t->rate[READS]);
  char *writes = text_count (t->rate[WRITES]);
  char *others = text_count (t->rate[OTHERS]);
  char *rb = text_rate (t->rate[READ_BYTES]);
  char *wb = text_rate (t->rate[WRITE_BYTES]);
  char *most = latency_or_dash (t->most);
  char *r = is_narrow (width)
    ? text_format ("Reads %s/s %sB/s  Writes %s/s %sB/s  p99 %s", reads, rb,
                   writes, wb, most)
    : text_format ("Reads %s/s %sB/s   Writes %s/s %sB/s   Other %s/s   "
                   "p99 %s", reads, rb, writes, wb, others, most);

  free (reads);
  free (writes);
  free (others);
  free (rb);
  free (wb);
  free (most);
  return r;
}

static char *
key_line (size_t shown, size_t width)
{
  char *start, *delay, *r;

  if (top.help)
    return text_format ("q or ? leaves this help");
  start = text_format ("%zu-%zu of %zu  q quit  s sort: %s%s",
                       top.rows ? top.scroll + 1 : 0, top.scroll + shown,
                       top.rows, sorts[top.sort].name,
                       top.reverse ? " (reversed)" : "");
  delay = text_format ("%g s", top.delay / 1000.0);
  r = text_format ("%s  r reverse  p pause  +/- %s  ? help", start, delay);
  if (text_width (r) > width) {
    free (r);
    r = text_format ("%s  ? help", start);
  }
  free (start);
  free (delay);
  return r;
}

/* A frame is collected and written at once, so that it does not flicker. */
struct frame {
  FILE *fp;
  size_t width, lines, height;
};

/* attribute: an SGR attribute, which fills the line, or NULL.  Takes over s.
 * The rest of the line is erased only if there is a rest: after the last column
 * is written, the cursor still stands on it, and erasing would remove it.
 */
static void
put_line (struct frame *f, const char *attribute, char *s)
{
  char *cut = text_cut (s, f->width);

  free (s);
  if (f->lines < f->height) {
    if (f->lines++ > 0)
      fputs ("\r\n", f->fp);
    if (attribute)
      fprintf (f->fp, "\033[%sm%s%*s\033[0m", attribute, cut,
               (int) (f->width - text_width (cut)), "");
    else
      fprintf (f->fp, "%s%s", cut, text_width (cut) < f->width ? "\033[K" : "");
  }
  free (cut);
}

/* The titles, or one row, as a string. */
static char *
table_line (const struct table *t, const size_t *row)
{
  char *s = NULL;
  size_t len;
  FILE *fp = open_memstream (&s, &len);

  if (fp == NULL)
    abort ();
  if (row)
    table_print_row (t, *row, fp, "");
  else
    table_print_header (t, fp, "");
  if (fclose (fp) != 0)
    abort ();
  return s;
}

static void
draw_help (struct frame *f)
{
  static const char *const help[] = {
    "",
    "q          quit",
    "s, S       sort by the next or the previous key",
    "r          reverse the order",
    "Up, Down, Page Up, Page Down, Home, End",
    "           scroll",
    "+, -       update more often, less often",
    "p          pause",
    "Space      update now",
    "?          this help",
    "",
    "OWNED is what was written to a disk since it was created",
    "or last cloned, which is what its quota counts; with a",
    "\"!\", little of the quota is left.  OTHER are zeroes,",
    "trims, flushes, cache requests, block status.  p50, p99:",
    "50% or 99% of requests took no longer.",
  };
  size_t i;

  for (i = 0; i < sizeof help / sizeof *help; i++)
    put_line (f, NULL, text_format ("%s", help[i]));
}

/* Returns how many rows it drew. */
static size_t
draw_rows (struct frame *f, size_t n)
{
  struct table *t = make_table (top.scroll, n, f->width);
  size_t i;

  put_line (f, "7", table_line (t, NULL));
  for (i = 0; i < n && top.scroll + i < top.rows; i++)
    put_line (f, NULL, table_line (t, &i));
  table_free (t);
  return i;
}

static size_t
rows_that_fit (void)
{
  size_t height = terminal_height ();

  return height > HEADER_LINES + 1 ? height - HEADER_LINES - 1 : 1;
}

static void
draw (void)
{
  struct frame f = { NULL, terminal_width (), 0, terminal_height () };
  size_t n = rows_that_fit (), shown = 0, len;
  char *s = NULL;

  if (top.scroll + n > top.rows)
    top.scroll = top.rows > n ? top.rows - n : 0;
  f.fp = open_memstream (&s, &len);
  if (f.fp == NULL)
    abort ();
  fputs ("\033[H", f.fp);
  put_line (&f, "1", title_line ());
  put_line (&f, NULL, memory_line (f.width));
  put_line (&f, NULL, total_line (f.width));
  put_line (&f, NULL, text_format ("%s", ""));
  if (top.help)
    draw_help (&f);
  else
    shown = draw_rows (&f, n);
  while (f.lines + 1 < f.height)
    put_line (&f, NULL, text_format ("%s", ""));
  put_line (&f, "2", key_line (shown, f.width));
  if (fclose (f.fp) != 0)
    abort ();
  terminal_write (s, len);
  free (s);
}

/* ----------------------------------------------------------------- keys */

static void
set_delay (int64_t ms)
{
  top.delay = ms < SHORTEST_MS ? SHORTEST_MS :
    ms > LONGEST_MS ? LONGEST_MS : ms;
}

/* Complain about arguments that meant no disk.  Returns the exit code. */
static int
end (void)
{
  json_auto_t *error = select_no_match (top.unmatched, "disk");

  return finish_output (error ? REFUSED : DONE);
}

/* Returns true if it is time for a new sample. */
static bool
handle_key (int key)
{
  size_t page = rows_that_fit ();

  switch (key) {
  case 'q': case 'Q':
    if (top.help) {
      top.help = false;
      break;
    }
    terminal_leave ();
    exit (end ());
  case 's': case KEY_RIGHT:
    top.sort = (top.sort + 1) % SORTS;
    break;
  case 'S': case KEY_LEFT:
    top.sort = (top.sort + SORTS - 1) % SORTS;
    break;
  case 'r': top.reverse = !top.reverse; break;
  case 'p': top.paused = !top.paused; return true;
  case '?': case 'h': top.help = !top.help; break;
  case '\033': top.help = false; break;
  case '+': set_delay (top.delay / 2); return true;
  case '-': set_delay (top.delay * 2); break;
  case ' ': return true;
  case KEY_UP: case 'k': top.scroll -= top.scroll > 0; break;
  case KEY_DOWN: case 'j': top.scroll++; break;
  case KEY_PAGE_UP:
    top.scroll -= top.scroll < page ? top.scroll : page;
    break;
  case KEY_PAGE_DOWN: top.scroll += page; break;
  case KEY_HOME: top.scroll = 0; break;
  case KEY_END: top.scroll = top.rows; break;
  default: break;
  }
  sort_rows ();
  return false;
}

/* ---------------------------------------------------------------- loops */

/* Handle keys and signals until fd can be read (returns true), or until the
 * deadline or a key ends the wait (returns false).
 */
static bool
serve (int fd, int64_t deadline, bool keys_end_it)
{
  for (;;) {
    int key;

    switch (terminal_wait (fd, deadline, &key)) {
    case TERMINAL_TIMEOUT: return false;
    case TERMINAL_FD: return true;
    case TERMINAL_KEY:
      if (handle_key (key) && keys_end_it)
        return false;
      break;
    case TERMINAL_REDRAW: break;
    }
    if (top.now.stats)
      draw ();
  }
}

static bool
wait_for (int fd, int64_t deadline)
{
  return serve (fd, deadline, false);
}

/* Take the first sample.  Ends the program if the arguments mean no disk. */
static void
begin (void)
{
  take_sample ();
  if (top.rows == 0 && json_array_size (top.unmatched) > 0)
    exit (end ());
}

static void __attribute__ ((noreturn))
run_live (void)
{
  terminal_enter ();
  rpc_client ()->wait = wait_for;
  begin ();
  for (;;) {
    draw ();
    serve (-1, top.paused ? CLIENT_NEVER : top.now.when + top.delay, true);
    take_sample ();
  }
}

static void
print_batch (void)
{
  size_t width = isatty (STDOUT_FILENO) ? terminal_width () : 0, i;
  char *line[] = { title_line (), memory_line (width),
                   total_line (width) };
  struct table *t = make_table (0, top.rows, width);

  for (i = 0; i < sizeof line / sizeof *line; i++) {
    char *cut = width ? text_cut (line[i], width) : line[i];

    puts (cut);
    if (width)
      free (cut);
    free (line[i]);
  }
  putchar ('\n');
  table_print_header (t, stdout, "\n");
  for (i = 0; i < top.rows; i++)
    table_print_row (t, i, stdout, "\n");
  table_free (t);
}

/* Prints one table after the other.  Rates need two samples. */
static int
run_batch (uint64_t n)
{
  uint64_t i;

  begin ();
  for (i = 0; i < n; i++) {
    struct timespec ts = { top.delay / 1000, top.delay % 1000 * 1000000 };

    nanosleep (&ts, NULL);
    take_sample ();
    if (i > 0)
      putchar ('\n');
    print_batch ();
    if (finish_output (DONE) != DONE)
      return REFUSED;
  }
  return end ();
}

static void
choose_sort (const char *key)
{
  unsigned i;
  char *shown;

  for (i = 0; i < SORTS; i++)
    if (strcmp (sorts[i].name, key) == 0) {
      top.sort = i;
      return;
    }
  shown = text_name (key);
  fail (USAGE, "--sort %s: expected requests, bytes, latency, memory, clients "
        "or name", shown);
}

static int
run_top (int argc, char **argv)
{
  bool batch = !isatty (STDOUT_FILENO) || terminal_is_dumb ();
  uint64_t n = UINT64_MAX;
  json_t *version;
  char *server;

  select_check (argc, argv);
  top.patterns = argc;
  top.pattern = argv;
  if (settings.json)
    fail (USAGE, "--json: expected none here; \"mblockctl stats --json\" has "
          "the statistics");
  if (flag ("count")) {
    n = argument_number ("--count", option ("count"), 1, UINT64_MAX - 1);
    batch = true;
  }
  if (flag ("once")) {
    n = 1;
    batch = true;
  }
  top.delay = 1000;
  if (flag ("delay")) {
    top.delay = argument_seconds ("--delay", option ("delay"));
    if (top.delay < SHORTEST_MS || top.delay > LONGEST_MS)
      fail (USAGE, "--delay %s: expected 0.1 to 60 seconds", option ("delay"));
  }
  if (flag ("sort"))
    choose_sort (option ("sort"));

  version = rpc_call ("version", NULL);
  server = text_format ("%s %s", need_string (version, "name"),
                        need_string (version, "version"));
  top.server = text_line (server);
  free (server);
  json_decref (version);
  if (batch)
    return run_batch (n);
  run_live ();
}

static const struct option_def top_options[] = {
  { 'd', "delay", "SECONDS", "time between updates, 0.1 to 60 (default: 1)" },
  { 'n', "count", "N", "exit after this many tables" },
  { '1', "once", NULL, "the same as -n 1" },
  { 0, "sort", "KEY",
    "requests, bytes, latency, memory, clients or name\n"
    "(default: requests)" },
  LITERAL_OPTION,
  { 0 }
};

const struct command command_top = {
  "top", "[NAME|PATTERN...]", "show live activity of the disks",
  "Shows requests, bytes and latencies of each disk, busiest first.  Keys: q\n"
  "quits, s sorts by another key, r reverses, arrows scroll, + and - change\n"
  "the delay, p pauses, ? shows help.  Without a terminal, or with -n, tables\n"
  "are printed one after the other.  Arguments that match no disk at the start\n"
  "are reported at the end, with the exit code 1.\n"
  "\n"
  "Examples:\n"
  "  mblockctl top 'vm-*'\n"
  "  mblockctl top --once --sort memory | head\n",
  top_options, 0, -1, run_top
};
