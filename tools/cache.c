/* SPDX-License-Identifier: BSD-3-Clause */
/* The command about the caches of the mnbd filter. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mblockctl.h"
#include "rpc.h"
#include "text.h"

#define LABEL 14

static void
print_field (const char *label, char *value)
{
  printf ("%-*s%s\n", LABEL, label, value);
  free (value);
}

/* "128M, 12% of 1G" */
static char *
size_of (uint64_t part, uint64_t whole, const char *what)
{
  char *size = text_size (part), *percent = text_percent (part, whole);
  char *all = text_size (whole);
  char *r = text_format ("%s, %s of %s%s", size, percent, all, what);

  free (size);
  free (percent);
  free (all);
  return r;
}

static char *
cached (const json_t *c)
{
  uint64_t n = get_size (c, "cached_bytes");

  if (json_is_integer (json_object_get (c, "max_bytes")))
    return size_of (n, get_size (c, "max_bytes"), " at most");
  return size_of (n, need_size (c, "size"), " in the upstream");
}

/* With -b all numbers are exact. */
static char *
requests (uint64_t n)
{
  char *count = settings.bytes ? text_format ("%" PRIu64, n)
    : text_count (n);
  char *r = text_format ("%s request%s", count, n == 1 ? "" : "s");

  free (count);
  return r;
}

static char *
reads (const json_t *c)
{
  uint64_t hits = get_size (c, "hits"), all = hits + get_size (c, "misses");
  uint64_t hit_bytes = get_size (c, "hit_bytes");
  uint64_t bytes = hit_bytes + get_size (c, "miss_bytes");
  char *count = requests (all), *size = text_size (bytes);
  char *of_count = text_percent (hits, all);
  char *of_size = text_percent (hit_bytes, bytes);
  char *r = all ? text_format ("%s, %s; the cache had %s of them, %s of the "
                               "bytes", count, size, of_count, of_size)
    : text_format ("none yet");

  free (count);
  free (size);
  free (of_count);
  free (of_size);
  return r;
}

static char *
fetched (const json_t *c)
{
  uint64_t ahead = get_size (c, "ahead_bytes");
  char *size = text_size (get_size (c, "fetched_bytes"));
  char *part = text_size (ahead);
  char *used = text_percent (get_size (c, "ahead_used_bytes"), ahead);
  char *r = ahead ? text_format ("%s, of these %s ahead of which %s were used",
                                 size, part, used)
    : text_format ("%s", size);

  free (size);
  free (part);
  free (used);
  return r;
}

static char *
writes (const json_t *c)
{
  uint64_t n = get_size (c, "writes");
  char *count = requests (n);
  char *size = text_size (get_size (c, "written_bytes"));
  char *r = n ? text_format ("%s, %s", count, size)
    : text_format ("none yet");

  free (count);
  free (size);
  return r;
}

static char *
errors (const json_t *c)
{
  return text_format ("%" PRIu64 " of the upstream, %" PRIu64 " of the plugin",
                      get_size (c, "upstream_errors"),
                      get_size (c, "local_errors"));
}

static char *
upstream (const json_t *c)
{
  const json_t *since = json_object_get (c, "away_since");
  const json_t *error = json_object_get (c, "last_error");
  char *time, *why, *r;

  if (!json_is_string (since))
    return text_format ("connected");
  time = text_line (json_string_value (since));
  why = text_line (json_is_string (error) ? json_string_value (error) : "");
  r = text_format ("away since %s%s%s", time, *why ? ": " : "", why);
  free (time);
  free (why);
  return r;
}

static void
print_cache (const json_t *c)
{
  const char *mode = need_string (c, "mode");

  print_field ("Export", text_name (need_string (c, "export")));
  print_field ("Size", text_size (need_size (c, "size")));
  print_field ("Mode", text_line (mode));
  print_field ("Upstream", upstream (c));
  print_field ("Cached", cached (c));
  print_field ("Reads", reads (c));
  print_field ("Fetched", fetched (c));
  print_field ("Writes", writes (c));
  if (strcmp (mode, "writeback") == 0) {
    print_field ("  not yet", text_size (get_size (c, "dirty_bytes")));
    print_field ("  later", text_size (get_size (c, "writeback_bytes")));
  }
  print_field ("Evicted", text_size (get_size (c, "evicted_bytes")));
  print_field ("No room for", text_size (get_size (c, "uncached_bytes")));
  print_field ("Errors", errors (c));
}

static int
run_cache (int argc, char **argv)
{
  json_t *params = NULL;
  json_auto_t *status = NULL;
  const json_t *caches;
  size_t i;
  json_t *c;

  if (strcmp (argv[0], "status") != 0) {
    char *shown = text_name (argv[0]);

    fail (USAGE, "%s: expected status", shown);
  }
  if (argc > 1)
    params = json_pack ("{s:o}", "export", argument_name ("EXPORT", argv[1]));
  status = rpc_call ("cache_status", params);
  if (settings.json) {
    print_json (status);
    return DONE;
  }
  caches = need_array (status, "caches");
  json_array_foreach (caches, i, c) {
    if (i > 0)
      putchar ('\n');
    print_cache (c);
  }
  if (json_array_size (caches) == 0)
    printf ("No export is cached yet: none has been opened.\n");
  return DONE;
}

const struct command command_cache = {
  "cache", "status [EXPORT]", "show what the caches of the mnbd filter hold",
  "The server must run nbdkit's mnbd filter with mnbd-mode=cache, and the\n"
  "socket is the one given with mnbd-control=.\n"
  "\n"
  "Writes that are \"not yet\" in the upstream are written back\n"
  "automatically, or by a client's next flush.\n"
  "\n"
  "Examples:\n"
  "  mblockctl cache status\n"
  "  mblockctl cache status --json | jq '.caches[0].dirty_bytes'\n",
  NULL, 1, 2, run_cache
};
