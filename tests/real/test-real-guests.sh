#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A short run of tests/real/guests, if that has made a guest.

. "$(dirname "$0")/short.sh"
[ -e /var/cache/mblock-fresh-debian/guest/root.img ] || {
  echo "SKIP: there is no guest; tests/real/guests makes one"
  exit 77
}
short guests --count 1
