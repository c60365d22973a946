/* SPDX-License-Identifier: BSD-3-Clause */
/* Booleans, in the words that nbdkit accepts. */

#include <config.h>

#include <strings.h>

#include "base/boolean.h"

int
boolean_parse (const char *s, bool *r)
{
  static const char *const words[2][6] = {
    { "no", "n", "0", "off", "false", "f" },
    { "yes", "y", "1", "on", "true", "t" },
  };
  unsigned b, i;

  for (b = 0; b < 2; b++)
    for (i = 0; i < 6; i++)
      if (strcasecmp (s, words[b][i]) == 0) {
        *r = b;
        return 0;
      }
  return -1;
}
