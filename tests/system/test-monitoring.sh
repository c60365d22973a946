#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# examples/monitoring: promtool accepts the configuration and the alerts, a real
# Prometheus scrapes the exporter, and each query of the dashboard and of the
# alerts finds the metrics that it names.

. "$(dirname "$0")/../functions.sh"

"$builddir/mblockctl" --list-commands | grep -qx exporter ||
  skip "mblockctl was built without libmicrohttpd"
requires promtool prometheus nbdsh

examples=$testdir/../examples/monitoring
cp "$examples"/*.yml .

step "promtool"
promtool check rules alerts.yml >out || fail "$(cat out)"
promtool check config prometheus.yml >out || fail "$(cat out)"
promtool test rules alerts-test.yml >out || fail "$(cat out)"

step "Prometheus scrapes the exporter"
serve size=1M control=control
nbdsh -u "nbd+unix:///vm-1?socket=$tmp/s.sock" -c 'h.pwrite(b"x" * 4096, 0)'
"$builddir/mblockctl" -s control set vm-1 --quota 1M --quiet
"$builddir/mblockctl" -s control exporter --listen 127.0.0.1:0 >serving &
exporter=$!
at_exit kill "$exporter"
for ((i = 0; i < 3000; i++)); do
  grep -q metrics serving && break
  pause 0.02
done
target=$(sed 's|^serving http://||; s|/metrics$||' serving)
free_port
web=$port
sed -i "s/127.0.0.1:9842/$target/; s/15s/1s/" prometheus.yml
prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb \
  --web.listen-address="127.0.0.1:$web" >prometheus.log 2>&1 &
prometheus=$!
at_exit kill "$prometheus"

examples=$examples web=$web python <<'END'
import json, os, re, time, urllib.parse, urllib.request
base = "http://127.0.0.1:%s/api/v1/query?" % os.environ["web"]

def query(q):
    with urllib.request.urlopen(base + urllib.parse.urlencode({"query": q})) as r:
        return json.load(r)["data"]["result"]

end = time.monotonic() + 300
while True:
    try:
        if query("mblock_up == 1") and query("count_over_time(mblock_up[1m]) > 2"):
            break
    except OSError:
        pass
    if time.monotonic() > end:
        raise SystemExit("FAIL: %s" % urllib.request.urlopen(
            base.replace("query?", "targets")).read().decode())
    time.sleep(0.2)

found = query('mblock_disk_owned_bytes{disk="vm-1"}')
assert [r["value"][1] for r in found] == ["4096"], found

dashboard = json.load(open(os.environ["examples"] + "/dashboard.json"))
for panel in dashboard["panels"]:
    for target in panel["targets"]:
        q = (target["expr"].replace("$__rate_interval", "1m")
             .replace("$instance", ".*").replace("$disk", ".*"))
        assert query(q) != [], "no data: " + q
print("all panels have data")
END
