#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the plugin promises when its upstream misbehaves, the
# filter promises of an export that it forwards: the plugin's tests.

. "$(dirname "$0")/../plugin-tests.sh"

with_filter failover fault-changed fault-changed-harmlessly fault-errors \
  fault-handshake fault-handshake-hangs fault-late fault-late-tls \
  fault-mid-reply fault-never-answers fault-no-server fault-out-of-order \
  fault-outage-too-long flush-error resized
