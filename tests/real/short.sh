# SPDX-License-Identifier: BSD-3-Clause
# What make check runs of the real systems.  To be sourced by bash.

# short SCRIPT OPTION…: run it with what is built and installed.  A run that
# hangs must fail.
short ()
{
  exec timeout -k 60 1200 "$(dirname "$0")/$1" \
    --build "${abs_top_builddir:-$PWD}" "${@:2}"
}
