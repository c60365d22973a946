#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the plugin promises of acknowledged writes when its upstream crashes, the
# filter promises of an export that it forwards: the plugin's tests.

. "$(dirname "$0")/../plugin-tests.sh"

with_filter kill-fio reopen replay-full replay-off replay-order volatile \
  volatile-control
