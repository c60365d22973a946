#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The UUID of a disk: it stays through everything that leaves the disk the same
# one, and nothing else has it; all places that show it agree.

. "$(dirname "$0")/../functions.sh"

ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }
uuid_of () { ctl info "$1" | sed -n 's/^UUID  *//p'; }
all () { ctl --json list | python3 -c '
import json, sys
for d in json.load(sys.stdin)["disks"]: print(d["name"], d["uuid"])'; }
start () { rm -f c; serve arena=arena control="$tmp/c" size=1M "$@"; }

# differ UUID...: no two are the same.
differ () {
  check "different UUIDs" "$(printf '%s\n' "$@" | sort -u | wc -l)" $#
}

step "shown alike everywhere"
start disk=a disk=ro,readonly=true
a=$(uuid_of a) ro=$(uuid_of ro)
differ "$a" "$ro"
[[ $a =~ ^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$ ]] || fail "UUID $a"
check "list --json" "$(all)" "a $a
ro $ro"
for name in a ro; do
  check "description of $name" \
    "$(nbd_info "$(uri "$name")" description | sed 's/.*, UUID //')" \
    "$(uuid_of "$name")"
done
A=$a python <<'END'
check("in the list of exports", names(uuids=True)["a"],
      "1M RAM disk, 0 mapped, UUID " + os.environ["A"])
END

step "the same disk: writes, settings, sizes, names"
python <<'END'
connect("a").pwrite(b"a" * MiB, 0)
END
ctl resize a 2M
ctl set a --quota=10M
ctl rename a "$(printf 'n%.0s' {1..300})"
ctl rename "$(printf 'n%.0s' {1..300})" a
check "the same" "$(uuid_of a)" "$a"

step "other disks: clones, replacements, resets"
ctl clone a clone
clone=$(uuid_of clone)
ctl reset clone
reset=$(uuid_of clone)
ctl clone a clone --replace
again=$(uuid_of clone)
ctl create clone 1M --replace
new=$(uuid_of clone)
ctl clone-together a a-2 ro ro-2
ctl destroy ro
ctl create ro 1M
differ "$a" "$ro" "$clone" "$reset" "$again" "$new" "$(uuid_of a-2)" \
  "$(uuid_of ro-2)" "$(uuid_of ro)"
check "the source" "$(uuid_of a)" "$a"

step "an ephemeral disk is another one each time"
python <<'END'
import re
def look():
    def describe(h):
        h.set_full_info(True)
    h = connect("ephemeral", setup=describe)
    return re.search("UUID (.*)", h.get_export_description()).group(1)
one = look()
become("gone", lambda: "ephemeral" in names(), False)
check("another", look() != one, True)
END

step "restarts, with names of all lengths"
for n in 1 175 176 177 192 193 4096; do
  ctl clone a "$(printf 'l%.0s' $(seq "$n"))"
done
all >before
for how in crash crash clean; do
  if [ $how = crash ]; then kill_server s; else stop_server s; fi
  start
  all >after
  diff before after || fail "other UUIDs after $how"
done

step "save and load"
mkdir -p saved
ctl save saved
stop_server s
rm -f arena
start
ctl load saved
all >after
diff before after || fail "other UUIDs after a load"
ctl rename a b
ctl load saved a                    # b has its UUID
differ "$a" "$(uuid_of a)"
check "the one that was there" "$(uuid_of b)" "$a"
ctl destroy b
ctl load saved a --replace
check "free again" "$(uuid_of a)" "$a"
ctl load saved a --replace
check "its own" "$(uuid_of a)" "$a"

step "a folder from before there were UUIDs, and wrong ones"
edit () { python3 - "$1" <<'END'
import json, sys
m = json.load(open("good.json"))
for d in m["disks"]:
    exec(sys.argv[1])
del m["checksum"]
text = json.dumps(m, sort_keys=True, separators=(",", ":")).encode()
total, mask = 0x9e3779b97f4a7c15 ^ len(text), 2 ** 64 - 1
for i in range(0, len(text), 8):
    word = int.from_bytes(text[i:i + 8], "little")
    total = ((total ^ word) * 0xff51afd7ed558ccd) & mask
    total ^= total >> 32
m["checksum"] = "%016x" % total
json.dump(m, open("saved/manifest.json", "w"))
END
}
cp saved/manifest.json good.json
edit 'pass'
ctl load saved a --replace
check "nothing was changed" "$(uuid_of a)" "$a"
edit 'del d["uuid"]'
ctl load saved a --replace
differ "$a" "$(uuid_of a)"
edit "d['uuid'] = '$a'"
ctl load saved a clone a-2 --replace
differ "$(uuid_of a)" "$(uuid_of clone)" "$(uuid_of a-2)"
for wrong in '5' 'None' '""' '"no UUID"' "'$a' + '0'" \
  '"00000000-0000-0000-0000-000000000000"'; do
  edit "d['uuid'] = $wrong"
  ctl load saved a --replace >log 2>&1 && fail "UUID $wrong was accepted"
  grep -q 'makes no sense' log || fail "UUID $wrong: $(cat log)"
done
