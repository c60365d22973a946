#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Names are UTF-8 of 0 to 4096 bytes; others are refused in one line.

. "$(dirname "$0")/../functions.sh"

step "from the client"
serve size=1M
python <<'END'
for name in ("", "x" * 4096, "€" * 1365, "名前", "a\nb", "../../etc/passwd",
             "𐍈", "-"):
    connect(name).pwrite(b"x", 0)
    check("%.20r" % name, connect(name).pread(2, 0), b"x\0")
check("exports", len(names()), 8)

def reply (name):
    try:
        return Raw().go(name)[0]
    except EOFError:
        return "closed"

for what, name in (("a byte no UTF-8 has", b"a\xff"),
                   ("a sequence cut short", b"\xe2\x82"),
                   ("an overlong sequence", b"\xc0\xaf"),
                   ("a surrogate", b"\xed\xa0\x80"),
                   ("over U+10FFFF", b"\xf4\x90\x80\x80")):
    check(what, reply(name), Raw.ERR_UNKNOWN)
# nbdkit itself refuses what is too long.
if reply(b"x" * 4097) == Raw.ACK:
    raise SystemExit("FAIL: a name of 4097 bytes was taken")
check("exports after that", len(names()), 8)

# The connection goes on after the refusal.
raw = Raw()
check("refused", raw.go(b"\xff")[0], Raw.ERR_UNKNOWN)
check("then a good name", raw.go(b"good", Raw.INFO)[0], 3)
END
check "lines in the log about UTF-8" \
  "$(grep -c 'export name: expected valid UTF-8$' s.log)" 6

step "on the command line"
long=$(printf '%4097s' '' | tr ' ' x)
serve_long=${long:1}
refused_start "disk=${long:0:252}…: expected a name of at most 4096 bytes" \
  "$mramdisk" "disk=$long"
refused_start "default=${long:0:252}…: expected a name of at most 4096 bytes" \
  "$mramdisk" "default=$long"
refused_start 'disk=a\xff: expected a name of valid UTF-8' \
  "$mramdisk" $'disk=a\xff'
refused_start 'default=a\xff: expected a name of valid UTF-8' \
  "$mramdisk" $'default=a\xff'
stop_server s
serve "disk=$serve_long,size=2M" default="$serve_long" auto-create=no
python <<'END'
check("4096 bytes", connect("x" * 4096).get_size(), 2 * MiB)
END
stop_server s

step "a name with a newline cannot write a line of its own into the log"
serve disk=a auto-create=no
python <<'END'
refused("the name", None, connect, "no\nnbdkit: a line")
refused("a long one", None, connect, "€" * 1365)
END
grep -qF 'error: export "no\x0anbdkit: a line": there is no such disk' s.log ||
  fail "the log does not have the name in one line"
euros=$(printf '€%.0s' {1..84})
grep -qF "error: export \"$euros…\": there is no such disk" s.log ||
  fail "the log does not have the long name cut between characters"
