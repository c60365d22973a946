#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Stands for the unit tests where there is no cmocka to build them with.
echo "the unit tests need cmocka (Debian: libcmocka-dev)"
exit 77
