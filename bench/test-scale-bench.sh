#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of many disks still works; its figures are ignored, except that
# docs/SCALE.md has the sizes that it prints.

. "$(dirname "$0")/test-functions.sh"
[ -w /dev/shm ] || set -- --folder="${TMPDIR:-/tmp}"
sizes=$(bench/scale-bench --quick --only=sizes | grep '^|') || exit 1
scale=$folder/../docs/SCALE.md
echo "$sizes" | while read -r line; do
    grep -qxF -- "$line" "$scale" || {
        echo "docs/SCALE.md lacks this line of bench/scale-bench --only=sizes:"
        echo "$line"
        exit 1
    }
done || exit 1
exec bench/scale-bench --quick "$@"
