/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror as an engine of the filter: its parameters, and its pairs. */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "boolean.h"
#include "engine.h"
#include "mirror.h"
#include "printable.h"
#include "size.h"

static uint64_t rate;
static bool fail, stopped;

static int
bad (const char *key, const char *value, const char *expected)
{
  char shown[PRINTABLE_STRING];

  nbdkit_error ("mnbd-%s=%s: expected %s", key, printable (value, shown),
                expected);
  return -1;
}

static int
mirror_config (const char *key, const char *value)
{
  if (strcmp (key, "rate") == 0) {
    if (size_parse (value, &rate) == -1 || rate == 0 || rate > INT64_MAX)
      return bad (key, value, "bytes a second, such as 100M");
    return 0;
  }
  if (strcmp (key, "on-error") == 0) {
    if (strcmp (value, "continue") != 0 && strcmp (value, "fail") != 0)
      return bad (key, value, "continue or fail");
    fail = strcmp (value, "fail") == 0;
    return 0;
  }
  if (strcmp (key, "start") == 0) {
    bool start;

    if (boolean_parse (value, &start) == -1)
      return bad (key, value, "true or false");
    stopped = !start;
    return 0;
  }
  return 1;
}

static void *
new_mirror (const struct pair *pair)
{
  const struct mirror_options o = { .pair = pair, .rate = rate,
                                    .fail = fail, .stopped = stopped };

  return mirror_new (&o);
}

static struct side *
new_client (void *engine, struct side *local)
{
  return mirror_client (engine, local);
}

static void
end_mirror (void *engine)
{
  mirror_end (engine);
}

static void
free_mirror (void *engine)
{
  mirror_free (engine);
}

const struct engine mirror_engine = {
  .mode = "mirror",
  .fail_fast = true,
  .config = mirror_config,
  .keys = "rate, on-error, start",
  .new = new_mirror,
  .client = new_client,
  .stop = end_mirror,
  .free = free_mirror,
};
