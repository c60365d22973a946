#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Whatever somebody types that is wrong gets one clear line, with what was typed
# and what was expected; and with --json one JSON document that says the same.

. "${srcdir:-.}/tests/mblockctl.sh"
needs_server

nbdkit -f -U "$tmp/nbd" ./mramdisk.so 16M max-memory=64M max-disks=4 \
       max-size=1G control="$tmp/s" 2>"$tmp/log" &
pids+=($!)
nbdkit -f -U "$tmp/filtered" --filter=./mnbd-filter.so ./mramdisk.so 1M \
       mnbd-socket="$tmp/nbd" mnbd-mode=forward mnbd-control="$tmp/f" \
       2>"$tmp/log2" &
pids+=($!)
: > "$tmp/out"
: > "$tmp/err"
status 0 -s "$tmp/s" wait-ready
status 0 -s "$tmp/f" wait-ready
export MBLOCK_SOCKET=$tmp/s ctl tmp
status 0 create g 1M
status 0 clone g c
shown='wrong command lines'
python3 - <<'END' || wrong "see above"
import json, os, re, subprocess, sys
ctl, tmp = os.environ["ctl"], os.environ["tmp"]
EVIL = "a\x1b[31mb"
LONG = "x" * 5000
SIZE = "expected a size of less than 8E, such as 512, 64k, 1.5G"
NO = 'there is no disk "nope"'
EXISTS = 'there is a disk "c" already'
cases = [
    (["frobnicate"], "unknown command frobnicate"),
    (["creat"], 'did you mean "create"?'),
    (["create", "x", "1Q"], "SIZE 1Q: " + SIZE),
    (["rollback"], 'did you mean "clone SNAPSHOT NAME --replace"?'),
    (["inspect", "g"], 'did you mean "info"?'),
    (["ps"], 'did you mean "clients"?'),
    (["create", "x", "2G"],
     "create: x: SIZE 2G: expected at most max-size=1073741824"),
    (["create", ""], 'NAME "": expected the name of a disk'),
    (["clone-together", "g", ""], 'NAME "": expected the name of a disk'),
    (["snapshot", "g", ""], 'SNAPSHOT "": expected the name of a disk'),
    (["rename", "g", ""], 'NEW-NAME "": expected the name of a disk'),
    (["destroy", ""], 'NAME "": expected --literal as well'),
    (["create", EVIL, "2G"], "SIZE 2G: "),
    (["create", "c", "1M"], EXISTS),
    (["create", "x", "1", "2"], "expected: mblockctl create NAME [SIZE]"),
    (["create", "x", "--nope"], "unknown option --nope"),
    (["create", "x", "--" + EVIL], r'unknown option "--a\x1b[31mb"'),
    (["create", "x", "1001", "--sector-size", "512"], "SIZE 1001: expected a "),
    (["create", "x", "1M", "--sector-size", "3"], "--sector-size 3: expected "),
    (["create", LONG], "expected at most 4096 bytes"),
    (["create", "x", "--from", tmp + "/none"], "--from " + tmp + "/none: No such file"),
    (["create", "x", "--origin", "foo"], "--origin: foo: expected the URI"),
    (["create", "x", "1M", "--rate", "1"], "--rate: expected --from as well"),
    (["clone", "nope", "y"], NO),
    (["clone", EVIL, "y"], r'there is no disk "a\x1b[31mb"'),
    (["clone", "g", "c"], EXISTS),
    (["clone", "g", "x", "--quota", "x"], "--quota x: " + SIZE),
    (["clone-together", "g", "x", "c"], "expected pairs of SOURCE and NAME"),
    (["clone-together", "nope", "x"], "clone-together: " + NO),
    (["clone-together", "g", "c"], "clone-together: " + EXISTS),
    (["snapshot", "nope"], NO),
    (["snapshot", "g", "c"], EXISTS),
    (["reset", "g"], 'the disk "g" has no parent'),
    (["reset", "nope"], NO),
    (["rename", "g", "c"], EXISTS),
    (["rename", "nope", "x"], NO),
    (["resize", "g", "5G"], "SIZE 5G: expected at most max-size="),
    (["resize", "g", "-2M"], "-SIZE 2M: the disk g has a size of 1M"),
    (["resize", "nope", "1"], NO),
    (["resize", "g", "+9E"], "+SIZE 9E: " + SIZE),
    (["set", "g", "--quota", "1Q"], "--quota 1Q: " + SIZE),
    (["set", "nope", "-r"], NO),
    (["set", "g"], "expected --readonly, --writable or --quota"),
    (["destroy", "nope"], NO),
    (["destroy", "nope"], "--ignore-missing"),
    (["destroy", "q*"], "no disk matches q*"),
    (["disconnect", "nope"], "no disk matches nope"),
    (["disconnect", "--id", "x"], "--id x: expected a number"),
    (["disconnect", "--id", "99"], "there is no client 99"),
    (["list", "--columns", "name,x"], "--columns name,x: expected name, size"),
    (["list", "--sort", "x"], "--sort x: expected name, size"),
    (["list", "nope"], "no disk matches nope"),
    (["list", "--deleted", "q*", "nope"], "no disk matches q* or 1 more"),
    (["clients", "nope"], "no disk matches nope"),
    (["clients", "q*"], "no disk matches q*"),
    (["list", "["], "pattern [: expected a ]"),
    (["info", "nope"], NO),
    (["info", EVIL], r'pattern "a\x1b[31mb"'),
    (["extents", "nope"], NO),
    (["diff", "g", "nope"], NO),
    (["map", "nope"], NO),
    (["push", "nope", tmp + "/x.img"], NO),
    (["push", "g", tmp + "/x.img", "--since", "nope"], "no such file"),
    (["load", tmp + "/none"], "/none"),
    (["save", tmp + "/s"], "/s"),
    (["jobs", "cancel", "99"], "99"),
    (["jobs", "wait", "x"], "JOB x: expected a number"),
    (["jobs", "frob"], "frob: expected cancel JOB... or wait JOB..."),
    (["stats", "nope"], NO),
    (["watch", "creation"], "creation"),
    (["methods", "nope"], "nope"),
    (["call", "nope"], 'there is no method "nope"'),
    (["call", "version", "["], "PARAMS: expected a JSON object"),
    (["mirror", "status"], "expected the socket of the mnbd filter"),
    (["mirror", "rate", "0"], "RATE 0: expected at least 1 byte per second"),
    (["mirror", "pause"], "pause: expected status, start, stop"),
    (["cache", "status"], "expected the socket of the mnbd filter"),
    (["exporter", "--listen", "x"], "--listen x: expected ADDRESS:PORT"),
    (["list", "-s", tmp + "/none"], "/none"),
    (["list", "-s", tmp + "/nbd"], "this is a socket for NBD clients"),
    (["list", "-t", "x"], "--timeout x: expected seconds"),
]
cases += [(command + ["-s", tmp + "/f"],
           "this server has no disks: expected the socket of mramdisk")
          for command in (["list"], ["create", "x"], ["info", "g"], ["jobs"],
                          ["clients"], ["stats"], ["watch"], ["map", "g"],
                          ["destroy", "x"], ["save", tmp + "/d"])]
bad = 0

def errors(document):
    """Each error of a document, by the one shape."""
    for d in document if isinstance(document, list) else [document]:
        if "error" in d and d["error"] is not None:
            e = d["error"]
            if isinstance(e, str):      # a job that has failed
                yield e
            else:
                assert isinstance(e["exit_code"], int), e
                yield e["message"]

for args, expected in cases:
    p = subprocess.run([ctl] + args, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=120)
    err = p.stderr.decode()
    why = None
    if p.returncode not in (1, 2, 3):
        why = "exit code %d" % p.returncode
    elif err.count("\n") != 1 or not err.startswith("mblockctl: "):
        why = "expected one line"
    elif expected not in err:
        why = "expected " + expected
    elif re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err):
        why = "control characters"
    j = subprocess.run([ctl, "--json"] + args, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=120)
    try:
        all = list(errors(json.loads(j.stdout)))
        if j.returncode != p.returncode:
            why = why or "exit code with --json: %d" % j.returncode
        elif "exporter" in args:        # has no JSON
            pass
        elif not all:
            why = why or "no error in the JSON"
        elif all[0] and all[0] not in err and all[0] not in err.replace("\\", ""):
            if not any(c in all[0] for c in '\x1b\\'):
                why = why or "another message in the JSON: " + all[0]
    except (ValueError, KeyError, AssertionError) as e:
        why = why or "JSON: %r: %r" % (e, j.stdout[:300])
    if why:
        bad += 1
        print("WRONG: mblockctl %s: %s\n  %s" % (
            " ".join(args)[:200], why, err[:300].rstrip()))
sys.exit(bad > 0)
END
# A disk that nobody has open is no error.
status 0 clients g
out_is 'No client has such a disk open.'
status 0 clients g --json
json 'r == {"clients": [], "next": None}'
# The empty name is a name, if it is meant.
status 0 call disk_create '{"name": ""}'
status 0 destroy --literal ''
# No more disks: the error names the one that found no room.
status 0 clone g d e
for command in 'create f 1M' 'clone g f' 'snapshot g f' 'clone-together g f'; do
  status 1 $command
  error_has '"f": there are max-disks=4 disks already'
done
status 1 clone g d2 d3
grep -q '"d2": there are max-disks=4' "$tmp/err" &&
  grep -q '"d3": there are max-disks=4' "$tmp/err" || wrong "expected both names"
exit $rc
