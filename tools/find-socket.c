/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket to use if the user names none. */

#include <config.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "complain.h"
#include "find-socket.h"
#include "settings.h"
#include "text.h"

#define MOST_SHOWN 5            /* sockets to choose from, in a message */

/* Paths below a run-time folder: the socket of a user's only server, and the
 * sockets of the systemd units.
 */
static const char *const places[] = {
  "mblock/control.sock", "mblock/*/*/control.sock",
};

struct found {
  size_t n;
  char *path;                   /* the first */
  char *list;                   /* for the message */
};

static void
add (struct found *f, const char *path)
{
  struct stat st;
  char *shown, *list;

  if (stat (path, &st) == -1 || !S_ISSOCK (st.st_mode))
    return;
  if (f->n++ == 0)
    f->path = text_format ("%s", path);
  if (f->n > MOST_SHOWN)
    return;
  shown = text_name (path);
  list = text_format ("%s%s%s", f->list ? f->list : "", f->list ? ", " : "",
                      shown);
  free (f->list);
  f->list = list;
  free (shown);
}

static void
look (struct found *f, const char *folder)
{
  size_t i, j;

  for (i = 0; i < sizeof places / sizeof *places; i++) {
    char *pattern = text_format ("%s/%s", folder, places[i]);
    glob_t g;

    if (glob (pattern, 0, NULL, &g) == 0) {
      for (j = 0; j < g.gl_pathc; j++)
        add (f, g.gl_pathv[j]);
      globfree (&g);
    }
    free (pattern);
  }
}

char *
find_socket (void)
{
  const char *user = getenv ("XDG_RUNTIME_DIR");
  struct found f = { .n = 0 };

  if (user && *user == '/')
    look (&f, user);
  if (f.n == 0)
    look (&f, "/run");
  if (f.n == 0)
    fail (USAGE, "which server? give its control socket with -s SOCKET or in "
          "MBLOCK_SOCKET; there is none in $XDG_RUNTIME_DIR/mblock or "
          "/run/mblock");
  if (f.n > 1)
    fail (USAGE, "which server? choose a control socket with -s SOCKET or in "
          "MBLOCK_SOCKET: %s%s", f.list, f.n > MOST_SHOWN ? ", ..." : "");
  free (f.list);
  return f.path;
}
