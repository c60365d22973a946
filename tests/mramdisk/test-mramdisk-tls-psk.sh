#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS with a pre-shared key; a client without it is refused.

. "$(dirname "$0")/../functions.sh"

requires psktool
requires_nbdkit tls
psktool -u alice -p keys.psk >out 2>&1
psktool -u mallory -p other.psk >out 2>&1
start_server s --tls=require --tls-psk="$tmp/keys.psk" "$mramdisk" size=1M
python <<'END'
def tls(user, keys):
    def setup(h):
        h.set_tls(nbd.TLS_REQUIRE)
        h.set_tls_psk_file(keys)
        h.set_tls_username(user)
    return setup

h = connect("d", setup=tls("alice", "keys.psk"))
check("TLS", h.get_tls_negotiated(), True)
h.pwrite(pattern(300000), 4095)
check("content", connect("d", setup=tls("alice", "keys.psk"))
      .pread(300000, 4095), pattern(300000))
refused("without TLS", None, connect, "d")
refused("with another key", None, connect, "d",
        setup=tls("mallory", "other.psk"))
END
