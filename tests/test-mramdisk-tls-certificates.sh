#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Over TLS with certificates; a client of another authority is refused.

. "$(dirname "$0")/functions.sh"

requires certtool
requires_nbdkit tls
for ca in good bad; do
  mkdir $ca
  printf '%s\n' 'cn = mblock test' ca cert_signing_key >$ca/ca.info
  printf '%s\n' 'cn = localhost' 'dns_name = localhost' tls_www_server \
    tls_www_client signing_key >$ca/peer.info
  {
    certtool --generate-privkey --key-type=ecdsa --outfile=$ca/ca-key.pem
    certtool --generate-self-signed --load-privkey=$ca/ca-key.pem \
      --template=$ca/ca.info --outfile=$ca/ca-cert.pem
    for peer in server client; do
      certtool --generate-privkey --key-type=ecdsa \
        --outfile=$ca/$peer-key.pem
      certtool --generate-certificate --load-privkey=$ca/$peer-key.pem \
        --load-ca-certificate=$ca/ca-cert.pem \
        --load-ca-privkey=$ca/ca-key.pem --template=$ca/peer.info \
        --outfile=$ca/$peer-cert.pem
    done
  } >out 2>&1 || fail "certtool: $(cat out)"
done
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
