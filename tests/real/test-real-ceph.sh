#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A short run of tests/real/ceph, if Ceph is installed.

. "$(dirname "$0")/short.sh"
short ceph --count 1
