/* SPDX-License-Identifier: BSD-3-Clause */
/* The command map: a picture of a disk, as wide as the terminal.
 *
 * The disk is divided into the picture's cells.  A cell shows the first of
 * these kinds that it contains: exclusive data, shared data, zeros, holes.  So
 * a single page of data in a large hole is visible.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mblockctl.h"
#include "progress.h"
#include "rpc.h"
#include "terminal.h"
#include "text.h"

#define PAGE 4096               /* nothing on a disk is smaller */
#define MOST_ROWS 8             /* the default without --rows */
#define ROWS_BELOW 6            /* lines left free for the rest of the output */
#define GUTTER 9                /* columns for the offset of a row */
#define WIDTH_MIN 20

enum kind { HOLE, ZERO, SHARED, EXCLUSIVE, KINDS };

static const char *const kind_names[KINDS] = {
  "hole", "zero", "shared", "exclusive"
};

/* Glyphs for a cell at least half of which is of its kind, and for one with
 * less.
 */
static const struct {
  const char *full, *part, *color;
} look[2][KINDS] = {
  { { ".", ".", "2" }, { "0", "0", "36" }, { "=", "-", "34" },
    { "#", "+", "1;32" } },
  { { "·", "·", "2" }, { "0", "0", "36" }, { "▓", "░", "34" },
    { "█", "▄", "1;32" } },
};

struct map {
  uint64_t size;
  uint64_t span;                /* the size, rounded up to a page */
  size_t cells;
  uint64_t (*cell)[KINDS];      /* bytes of each kind */
  uint64_t total[KINDS];
};

/* Where a cell begins, in bytes.  The product needs more than 64 bits. */
static uint64_t
cell_start (const struct map *m, size_t i)
{
  return (unsigned __int128) m->span * i / m->cells;
}

static size_t
cell_of (const struct map *m, uint64_t offset)
{
  size_t i = (unsigned __int128) offset * m->cells / m->span;

  while (i + 1 < m->cells && cell_start (m, i + 1) <= offset)
    i++;
  return i;
}

static void
add (struct map *m, uint64_t offset, uint64_t length, enum kind kind)
{
  uint64_t end = offset + length;
  size_t i;

  m->total[kind] += length;
  for (i = cell_of (m, offset); offset < end; i++) {
    uint64_t next = i + 1 < m->cells ? cell_start (m, i + 1) : m->size;

    if (next > end)
      next = end;
    m->cell[i][kind] += next - offset;
    offset = next;
  }
}

static enum kind
kind_of (const json_t *extent)
{
  const char *type = need_string (extent, "type");

  if (strcmp (type, "hole") == 0)
    return HOLE;
  if (strcmp (type, "zero") == 0)
    return ZERO;
  return get_bool (extent, "shared") ? SHARED : EXCLUSIVE;
}

/* The disk may be resized while we look. */
static void
add_page (void *opaque, json_t *page)
{
  struct map *m = opaque;
  uint64_t offset = 0;
  size_t i;
  json_t *e;

  json_array_foreach (need_array (page, "extents"), i, e) {
    uint64_t length = need_size (e, "length");

    offset = need_size (e, "offset");
    if (offset >= m->size)
      continue;
    if (length > m->size - offset)
      length = m->size - offset;
    add (m, offset, length, kind_of (e));
    offset += length;
  }
  progress_at (offset);
}

/* -------------------------------------------------------------- drawing */

/* Change the colour, if it differs. */
static void
set_color (const char **now, const char *color)
{
  if (!settings.color || *now == color)
    return;
  printf ("\033[%sm", color ? color : "0");
  *now = color;
}

static void
draw_cell (const struct map *m, size_t i, bool utf8, const char **color)
{
  const uint64_t *bytes = m->cell[i];
  uint64_t all = bytes[HOLE] + bytes[ZERO] + bytes[SHARED] + bytes[EXCLUSIVE];
  enum kind kind = EXCLUSIVE;

  while (kind > HOLE && bytes[kind] == 0)
    kind--;
  if (settings.color && *color && *color != look[utf8][kind].color)
    set_color (color, NULL);    /* bold does not end by itself */
  set_color (color, look[utf8][kind].color);
  fputs (bytes[kind] * 2 >= all ? look[utf8][kind].full :
         look[utf8][kind].part, stdout);
}

static void
draw (const struct map *m, size_t width, bool utf8)
{
  const char *color = NULL;
  size_t i;

  for (i = 0; i < m->cells; i++) {
    if (i % width == 0) {
      char *at = text_size (cell_start (m, i));

      printf ("%*s ", GUTTER - 1, at);
      free (at);
    }
    draw_cell (m, i, utf8, &color);
    if (i % width == width - 1 || i == m->cells - 1) {
      set_color (&color, NULL);
      putchar ('\n');
    }
  }
}

static void
legend (const struct map *m, bool utf8)
{
  const char *color = NULL;
  int k;

  for (k = KINDS - 1; k >= HOLE; k--) {
    const char *full = look[utf8][k].full, *part = look[utf8][k].part;
    char *size = text_size (m->total[k]);
    char *percent = text_percent (m->total[k], m->size);

    printf ("%*s", GUTTER, "");
    set_color (&color, look[utf8][k].color);
    printf ("%s%s%s", full, strcmp (full, part) ? " " : "  ",
            strcmp (full, part) ? part : "");
    set_color (&color, NULL);
    printf ("  %-9s %8s %6s\n", kind_names[k], size, percent);
    free (size);
    free (percent);
  }
}

static void
print_map (const struct map *m, const char *name, size_t width, bool utf8)
{
  char *shown = text_name (name), *size = text_size (m->size);
  char *cell = text_size (m->span / m->cells);
  bool partly = m->span / PAGE > m->cells;

  printf ("%s: %s, each cell is %s%s\n", shown, size,
          partly ? "about " : "", *cell == '~' ? cell + 1 : cell);
  draw (m, width, utf8);
  legend (m, utf8);
  if (partly)
    printf ("%*sRight sign of a pair: less than half of the cell.\n",
            GUTTER, "");
  free (shown);
  free (size);
  free (cell);
}

/* ------------------------------------------------------------- the command */

static size_t
rows_to_draw (void)
{
  size_t height = terminal_height ();

  if (flag ("rows"))
    return argument_number ("--rows", option ("rows"), 1, 1000);
  if (!isatty (STDOUT_FILENO) || height > MOST_ROWS + ROWS_BELOW)
    return MOST_ROWS;
  return height > ROWS_BELOW ? height - ROWS_BELOW : 1;
}

static int
run_map (int argc, char **argv)
{
  size_t width = flag ("width")
    ? argument_number ("--width", option ("width"), WIDTH_MIN, 10000)
    : terminal_width ();
  size_t rows = rows_to_draw ();
  json_t *params = json_pack ("{s:o}", "name",
                              argument_name ("NAME", argv[0]));
  json_auto_t *stats = NULL;
  struct map m = { 0 };

  (void) argc;
  json_object_set_new (params, "sharing", json_true ());
  if (settings.json) {
    json_auto_t *all = rpc_all_pages (&pages_extents, params);

    print_json (all);
    return DONE;
  }
  stats = rpc_call ("stats", json_pack ("{s:s}", "name", argv[0]));
  m.size = need_size (json_array_get (need_array (stats, "disks"), 0),
                      "size");
  if (m.size == 0) {
    json_decref (params);
    printf ("The disk has a size of 0.\n");
    return DONE;
  }

  if (width < WIDTH_MIN)
    width = WIDTH_MIN;
  width -= GUTTER;
  m.span = (m.size + PAGE - 1) / PAGE * PAGE;
  m.cells = width * rows;
  if (m.span / PAGE < m.cells)
    m.cells = m.span / PAGE;
  m.cell = calloc (m.cells, sizeof *m.cell);
  if (m.cell == NULL)
    abort ();
  progress_start ("map", m.size, "");
  rpc_each_page (&pages_extents, params, add_page, &m);
  progress_end ();
  print_map (&m, argv[0], width, text_utf8 && !flag ("ascii"));
  free (m.cell);
  return DONE;
}

static const struct option_def map_options[] = {
  { 'r', "rows", "N", "draw this many lines (default: up to 8)" },
  { 'w', "width", "N",
    "use this many columns (default: the terminal's width)" },
  { 0, "ascii", NULL, "draw with ASCII characters" },
  { 0 }
};

const struct command command_map = {
  "map", "NAME", "draw a map of what a disk holds",
  "Each character stands for an equal part of the disk and shows the first\n"
  "of these kinds that occurs in it: exclusive data, shared data, zeros,\n"
  "holes.  The map is coloured on a terminal, unless NO_COLOR is set.\n"
  "\n"
  "Examples:\n"
  "  mblockctl map vm-1\n"
  "  mblockctl map vm-1 --rows 20 --color=always | less -R\n",
  map_options, 1, 1, run_map
};
