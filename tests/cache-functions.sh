# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the filter's cache use beyond filter-functions.sh.  To be
# sourced by bash.

. "$(dirname "${BASH_SOURCE[0]}")/filter-functions.sh"

# start_cache PARAMETERS…: server s, a cache of server u, over a RAM disk
# unless $beneath is something else; its control socket is $tmp/control.
beneath=("$mramdisk" size=16M)
start_cache ()
{
  rm -f control
  start_server s --filter="$filter" "${beneath[@]}" mnbd-mode=cache \
    mnbd="$(sock_of u)" mnbd-control="$tmp/control" "$@"
}

# The cache keeps its connection open, and an upstream waits for it to close.
end_cache ()
{
  local i left=()
  [ -e s.pid ] || return 0
  end_of s
  rm -f s.pid
  for i in "${servers[@]}"; do
    [ "$i" = s ] || left+=("$i")
  done
  servers=("${left[@]}")
}
at_exit end_cache

# cache_stat NAME: print one value of cache_status.
cache_stat ()
{
  "$builddir/mblockctl" -s "$tmp/control" cache status --json |
    /usr/bin/python3 -c \
      'import json,sys; print(json.load(sys.stdin)["caches"][0][sys.argv[1]])' \
      "$1"
}

cache_stat_is ()
{
  [ "$(cache_stat "$1")" = "$2" ]
}

# random_file NAME BYTES
random_file ()
{
  head -c "$2" /dev/urandom >"$1"
}
