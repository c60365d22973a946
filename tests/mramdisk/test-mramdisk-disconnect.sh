#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A client that disconnects during a write harms no other client.

. "$(dirname "$0")/../functions.sh"

serve size=1M
python <<'END'
def cut_off(name, sent):
    """Begin a write of 64 KiB, send only part of it, and go."""
    raw = Raw()
    reply = raw.go(name)[0]
    check("reply to GO", reply, 3)
    while reply != Raw.ACK:
        reply, n = struct.unpack(">II", raw.read(20)[12:])
        raw.read(n)
    raw.s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, 7, 0, 64 * KiB) +
                  bytes([255]) * sent)
    raw.s.close()

h = connect("d")
h.pwrite(pattern(64 * KiB), 0)
for sent in 0, 1, 4096, 65535:
    cut_off(b"d", sent)
    check("content after a write of %d bytes was cut off" % sent,
          h.pread(64 * KiB, 0), pattern(64 * KiB))

# One that cuts off its only write has made no disk.
cut_off(b"new", 100)
become("exports", lambda: sorted(names()), ["", "d"])
END
