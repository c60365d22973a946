#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Clients that only look never take away a disk that another one writes to.

. "$(dirname "$0")/../functions.sh"

serve size=64K
python <<'END'
import threading

errors = []

def look(name):
    for i in range(4):
        h = connect(name)
        h.pread(1, 0)
        h.shutdown()

def write(name):
    h = connect(name)
    h.pwrite(pattern(100, 5), 4000)
    h.shutdown()

def run(fn, name):
    try:
        fn(name)
    except BaseException as e:
        errors.append("%s: %r" % (fn.__name__, e))

for i in range(40):
    name = "disk %d" % i
    threads = [threading.Thread(target=run, args=(fn, name))
               for fn in (look, write, look, look)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("errors", errors, [])
    h = connect(name)
    check("content of " + name, h.pread(100, 4000), pattern(100, 5))
    h.shutdown()
END
