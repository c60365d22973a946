/* SPDX-License-Identifier: BSD-3-Clause */
/* The limit of file descriptors. */

#include <config.h>

#include <sys/resource.h>

#include "base/descriptors.h"

/* What is needed besides. */
#define OTHERS 1024

uint64_t
descriptors_want (uint64_t n)
{
  struct rlimit limit;
  rlim_t want = n + OTHERS;

  if (getrlimit (RLIMIT_NOFILE, &limit) == -1 ||
      limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= want)
    return UINT64_MAX;
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= want
    ? want : limit.rlim_max;
  if (setrlimit (RLIMIT_NOFILE, &limit) == -1)
    getrlimit (RLIMIT_NOFILE, &limit);
  return limit.rlim_cur < want ? limit.rlim_cur : UINT64_MAX;
}
