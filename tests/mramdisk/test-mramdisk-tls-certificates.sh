#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS with certificates; a client of another authority is refused.

. "$(dirname "$0")/../functions.sh"

make_certificates good bad
start_server s --tls=require --tls-certificates="$tmp/good" --tls-verify-peer \
  "$mramdisk" size=1M
python <<'END'
def tls(folder):
    def setup(h):
        h.set_tls(nbd.TLS_REQUIRE)
        h.set_tls_certificates(folder)
    return setup

h = connect("d", setup=tls("good"))
check("TLS", h.get_tls_negotiated(), True)
h.pwrite(pattern(300000), 4095)
check("content", h.pread(300000, 4095), pattern(300000))
refused("with another authority", None, connect, "d", setup=tls("bad"))
refused("without TLS", None, connect, "d")
END
