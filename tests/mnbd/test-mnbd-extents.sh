#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Extents in all their states, and beyond 32 bits.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock"
cat >compare <<'END'
nbdtest_states = {0: "data", 1: "hole with data", 2: "zero", 3: "hole"}
import nbdtest
nbdtest.STATES.update(nbdtest_states)
got, expected = extents(connect()), extents(connect(server="u"))
check("extents", got, expected)
END
step "as they were made"
python <<'END'
h = connect()
h.pwrite(pattern(40000), 4096 * 3)
h.zero(65536, 1 * MiB, nbd.CMD_FLAG_NO_HOLE)
h.zero(8192, 16384)
h.trim(4096, 28672)
END
python <compare

step "all four states, of odd lengths"
tell u set 'extents=[[1000,0],[3000,1],[50000,2],[100000,3],[1,0],[16623215,3]]'
python <compare
tell u set 'extents=[[16777216,2]]'
python <compare

step "REQ_ONE"
python <<'END'
for server in "s", "u":
    check("one extent", len(extents_once(connect(server=server), 4096,
                                         flags=nbd.CMD_FLAG_REQ_ONE)), 1)
END

step "a server without base:allocation: all is data"
stop_server s
tell u set meta=no,extents=null
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
check("extents", extents(h) if h.can_meta_context("base:allocation")
      else "none", [(16 * MiB, "data")])
END
stop_server s

step "beyond 4 GiB"
tell u set meta=yes,size=20G
python <<'END'
connect(server="u").zero(16 * MiB, 0)
END
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
h.pwrite(b"x", 6 * GiB)
h.pwrite(b"y", 20 * GiB - 1)
check("extents", extents(h), [(6 * GiB, "hole"), (4096, "data"),
      (14 * GiB - 8192, "hole"), (4096, "data")])
h.zero(4 * GiB - 4096, 6 * GiB)
check("extents", extents(h), [(20 * GiB - 4096, "hole"), (4096, "data")])
END
