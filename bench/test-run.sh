#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# bench/run still writes a report with plots; its figures are ignored.  It says
# which figures are not stable, and refuses bad options.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
requires gnuplot
[ -w /dev/shm ] || skip "/dev/shm cannot be written to"

fail ()
{
    echo "FAIL: $*"
    exit 1
}

PYTHONPATH=$folder PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 - "$folder" <<'END' ||
import runpy
import sys

run = runpy.run_path(sys.argv[1] + "/run", run_name="run")
verdict = run["verdict"]
steady = {"values": [1.0, 1.01, 1.02, 0.99, 1.0], "unit": "x"}
shaky = {"values": [1.0, 1.5, 0.5, 2.0, 0.9], "unit": "x"}
assert verdict(steady) == ""
assert verdict(shaky) == "not stable"
assert verdict(dict(steady, least=0.9)) == "reached"
assert verdict(dict(steady, most=0.9)) == "**missed**"
assert verdict(dict(shaky, most=0.9)) == "**missed**, not stable"
table = run["Table"]({"head": "t", "mine": "", "peer": ""})
table.rows = [dict(steady, row="a"), dict(shaky, row="b")]
assert not run["all_stable"]([table])
table.rows[0]["least"] = 0.9
assert run["all_stable"]([table])       # what is claimed is
again = run["Table"](table.head)
again.rows = [dict(steady, row="a", values=[3.0] * 5), dict(shaky, row="b")]
assert not run["all_stable"](run["merge"]([table], [again]))
END
    fail "the verdicts are wrong"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for bad in --only=all --minutes=0 --quick; do
    ! "$folder/run" $bad 2>"$out/err" || fail "$bad was not refused"
    grep -q expected "$out/err" || fail "$bad: $(cat "$out/err")"
done

"$folder/run" --quick --only=copies,depth,engine-scale,stall \
    --output "$out/report" || fail "bench/run"
for plot in copies depth engine-scale engine-memory recovery stall; do
    grep -q "(plots/$plot.svg)" "$out/report/REPORT.md" ||
        fail "REPORT.md has no $plot.svg"
    grep -q '</svg>' "$out/report/plots/$plot.svg" || fail "no $plot.svg"
done
