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

#include "histogram.h"
#include "mblockctl.h"
#include "rpc.h"
#include "stats.h"
#include "table.h"
#include "terminal.h"
#include "text.h"

#define HEADER_LINES 5          /* with the table's titles */
#define SHORTEST_MS 100         /* between two looks */
#define LONGEST_MS 60000
#define BAR 20                  /* columns of the memory bar */

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
      counter (d, "extents", "ops");
  case READ_BYTES: return counter (d, "read", "bytes");
  case WRITE_BYTES: return counter (d, "write", "bytes");
  default: return stats_errors (d);
  }
}

/* What a disk did between two samples.  One that is new, or stands in the
 * place of another, has counted from nothing.
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
  double (*key) (const struct row *);   /* NULL: by name alone */
} sorts[] = {
  { "requests", requests }, { "bytes", bytes }, { "latency", latency },
  { "memory", memory }, { "clients", clients }, { "name", NULL },
};
#define SORTS (sizeof sorts / sizeof *sorts)

/* The largest first; those that are equal by name, so that they keep their
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

/* A new sample has come: work out the rates. */
static void
digest (void)
{
  double seconds = (top.now.when - top.last.when) / 1000.0;
  const json_t *disks = need_array (top.now.stats, "disks");
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
  json_array_foreach (disks, i, d) {
    const char *name = need_string (d, "name");

    json_object_set (top.now.by_name, name, d);
    measure (&top.row[i], d, top.last.stats ?
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

static const struct column columns[] = {
  { .title = "NAME", .elastic = true, .least = 16 },
  { .title = "CONN", .right = true, .drop = 1 },
  { .title = "SIZE", .right = true, .drop = 5, .least = 6 },
  { .title = "MAPPED", .right = true, .drop = 6, .least = 7 },
  { .title = "OWN", .right = true, .least = 7 },
  { .title = "READS/s", .right = true, .least = 7 },
  { .title = "WRITES/s", .right = true, .least = 8 },
  { .title = "OTHER/s", .right = true, .drop = 4, .least = 7 },
  { .title = "READ B/s", .right = true, .least = 8 },
  { .title = "WRITE B/s", .right = true, .least = 9 },
  { .title = "50% IN", .right = true, .drop = 3, .least = 6 },
  { .title = "99% IN", .right = true, .least = 6 },
  { .title = "ERR/s", .right = true, .drop = 2, .least = 5 },
};

static char *
latency_or_dash (double ns)
{
  return ns > 0 ? text_latency (ns) : text_format ("-");
}

static void
add_row (struct table *t, const struct row *r)
{
  table_add (t, text_name (r->name));
  table_addf (t, "%" PRIu64, get_size (r->disk, "connections"));
  table_add (t, text_size (get_size (r->disk, "size")));
  table_add (t, text_size (get_size (r->disk, "mapped")));
  table_add (t, text_size (get_size (r->disk, "owned")));
  table_add (t, text_count (r->rate[READS]));
  table_add (t, text_count (r->rate[WRITES]));
  table_add (t, text_count (r->rate[OTHERS]));
  table_add (t, text_rate (r->rate[READ_BYTES]));
  table_add (t, text_rate (r->rate[WRITE_BYTES]));
  table_add (t, latency_or_dash (r->half));
  table_add (t, latency_or_dash (r->most));
  table_add (t, text_count (r->rate[ERRORS]));
}

/* The rows from first on. */
static struct table *
make_table (size_t first, size_t n, size_t width)
{
  struct table *t = table_new (columns, sizeof columns / sizeof *columns);
  size_t i;

  for (i = first; i < top.rows && i - first < n; i++)
    add_row (t, &top.row[i]);
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
  r = text_format ("%s  %s, up %s  %s%s", clock, top.server, up, socket,
                   top.paused ? "  PAUSED" : "");
  free (up);
  free (socket);
  return r;
}

static char *
memory_line (void)
{
  const json_t *arena = json_object_get (top.now.stats, "arena");
  uint64_t limit = get_size (arena, "limit"), used = get_size (arena, "used");
  char *u = text_size (used), *l = text_size (limit);
  char *percent = text_percent (used, limit), *r;
  char bar[BAR + 1];
  size_t full = limit ? BAR * ((double) used / limit) + 0.5 : 0;

  if (full > BAR)
    full = BAR;
  memset (bar, '.', BAR);
  memset (bar, '#', full);
  bar[BAR] = '\0';
  r = text_format ("Memory [%s] %s of %s (%s)   Disks %zu   "
                   "Clients %" PRIu64, bar, u, l, percent, top.rows,
                   get_size (arena, "connections"));
  free (u);
  free (l);
  free (percent);
  return r;
}

static char *
total_line (void)
{
  const struct row *t = &top.total;
  char *reads = text_count (t->rate[READS]);
  char *writes = text_count (t->rate[WRITES]);
  char *others = text_count (t->rate[OTHERS]);
  char *rb = text_rate (t->rate[READ_BYTES]);
  char *wb = text_rate (t->rate[WRITE_BYTES]);
  char *most = latency_or_dash (t->most);
  char *r = text_format ("Reads %s/s %sB/s   Writes %s/s %sB/s   Other %s/s   "
                         "99%% in %s", reads, rb, writes, wb, others, most);

  free (reads);
  free (writes);
  free (others);
  free (rb);
  free (wb);
  free (most);
  return r;
}

static char *
key_line (size_t shown)
{
  char *delay, *r;

  if (top.help)
    return text_format ("q or ? leaves this help");
  delay = text_format ("%g s", top.delay / 1000.0);
  r = text_format ("%zu-%zu of %zu  q quit  s sort: %s%s  r reverse  p pause  "
                   "+/- every %s  ? help",
                   top.rows ? top.scroll + 1 : 0, top.scroll + shown, top.rows,
                   sorts[top.sort].name, top.reverse ? " (reversed)" : "",
                   delay);
  free (delay);
  return r;
}

/* A frame is collected and written at once, so that it does not flicker. */
struct frame {
  FILE *fp;
  size_t width, lines, height;
};

/* attribute: of SGR, or NULL; with one the line is filled.  Takes over s. */
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
      fprintf (f->fp, "%s\033[K", cut);
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
    "s, S       sort by the next or the last key",
    "r          reverse the order",
    "Up, Down, Page Up, Page Down, Home, End",
    "           scroll",
    "+, -       look more often, less often",
    "p          pause",
    "Space      look now",
    "?          this help",
    "",
    "OWN is the memory that a disk shares with no other.  OTHER are zeroes,",
    "trims and block status.  99% IN: so many requests took no longer.",
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
  put_line (&f, NULL, memory_line ());
  put_line (&f, NULL, total_line ());
  put_line (&f, NULL, text_format ("%s", ""));
  if (top.help)
    draw_help (&f);
  else
    shown = draw_rows (&f, n);
  while (f.lines + 1 < f.height)
    put_line (&f, NULL, text_format ("%s", ""));
  put_line (&f, "2", key_line (shown));
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

/* Returns true if it is time for a new look. */
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
    exit (DONE);
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

/* Serve keys and signals until fd can be read (true), or it is time or a key
 * says so (false).
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

static void __attribute__ ((noreturn))
run_live (void)
{
  terminal_enter ();
  rpc_client ()->wait = wait_for;
  for (;;) {
    take_sample ();
    draw ();
    serve (-1, top.paused ? CLIENT_NEVER : top.now.when + top.delay, true);
  }
}

static void
print_batch (void)
{
  char *title = title_line (), *memory = memory_line ();
  char *total = total_line ();
  struct table *t = make_table (0, top.rows, 0);
  size_t i;

  printf ("%s\n%s\n%s\n\n", title, memory, total);
  table_print_header (t, stdout, "\n");
  for (i = 0; i < top.rows; i++)
    table_print_row (t, i, stdout, "\n");
  table_free (t);
  free (title);
  free (memory);
  free (total);
}

/* For pipes: tables one after the other.  Rates need two looks. */
static int
run_batch (uint64_t n)
{
  uint64_t i;

  take_sample ();
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
  return DONE;
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

  (void) argc;
  (void) argv;
  if (settings.json)
    fail (USAGE, "--json: expected none here; \"mblockctl stats --json\" has "
          "the figures");
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
  { 'd', "delay", "SECONDS", "between two looks, 0.1 to 60 (default: 1)" },
  { 'n', "count", "N", "print so many tables, then end" },
  { '1', "once", NULL, "the same as -n 1" },
  { 0, "sort", "KEY",
    "requests, bytes, latency, memory, clients or name\n"
    "(default: requests)" },
  { 0 }
};

const struct command command_top = {
  "top", "", "watch live what the disks do",
  "Requests, bytes and latencies of each disk, busiest first.  Keys: q quit,\n"
  "s sort by another key, r reverse, arrows scroll, + and - change the pace,\n"
  "p pause, ? help.  Without a terminal, or with -n, tables are printed one\n"
  "after the other.\n"
  "\n"
  "Examples:\n"
  "  mblockctl top\n"
  "  mblockctl top --once --sort memory | head\n",
  top_options, 0, 0, run_top
};
