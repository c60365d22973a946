/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror as an engine of the filter: its parameters, and its instances. */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/clock.h"
#include "base/size.h"
#include "engines.h"
#include "mirror/mirror.h"
#include "plugins/common/upstream-parameters.h"
#include "plugins/common/values.h"

/* How long clients may wait for the secondary. */
#define DEFAULT_MAX_STALL (5 * NS_PER_S)

static uint64_t rate;
static bool fail, stopped;
static int64_t max_stall = DEFAULT_MAX_STALL;

static int
mirror_config (const char *key, const char *value)
{
  if (strcmp (key, "mnbd-rate") == 0) {
    if (size_parse (value, &rate) == -1 || rate == 0 || rate > INT64_MAX)
      return value_bad (key, value, "bytes per second, such as 100M");
    return 0;
  }
  if (strcmp (key, "mnbd-on-error") == 0) {
    if (strcmp (value, "continue") != 0 && strcmp (value, "fail") != 0)
      return value_bad (key, value, "continue or fail");
    fail = strcmp (value, "fail") == 0;
    return 0;
  }
  if (strcmp (key, "mnbd-max-stall") == 0)
    return config_time (key, value, true, &max_stall);
  if (strcmp (key, "mnbd-start") == 0) {
    bool start;

    if (value_bool (key, value, "true or false", &start) == -1)
      return -1;
    stopped = !start;
    return 0;
  }
  return 1;
}

static void *
new_mirror (const struct instance *instance)
{
  const struct mirror_options o = { .instance = instance, .rate = rate,
                                    .fail = fail, .stopped = stopped,
                                    .max_stall = max_stall };

  return mirror_new (&o);
}

static bool
relies (void *engine)
{
  return mirror_relies (engine);
}

static int
admit (void *engine, enum instance_now now, uint64_t size, uint64_t least,
       char why[ENGINE_WHY])
{
  (void) least;
  return mirror_admit (engine, now, size, why);
}

static bool
switched (void *engine)
{
  return mirror_is_switched (engine);
}

static struct bdev *
new_client (void *engine, struct bdev *local)
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
  .keys = "rate, on-error, start, max-stall",
  .new = new_mirror,
  .relies = relies,
  .admit = admit,
  .switched = switched,
  .client = new_client,
  .stop = end_mirror,
  .free = free_mirror,
};
