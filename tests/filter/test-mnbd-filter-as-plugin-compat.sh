#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the plugin promises of addresses, exports, TLS, block sizes and extents,
# the filter promises of an export that it forwards: the plugin's tests.

. "$(dirname "$0")/../plugin-tests.sh"

with_filter compat-address compat-command compat-dynamic-export \
  compat-tls-certificates compat-tls-psk block-size extents pass-on pool \
  split stats
