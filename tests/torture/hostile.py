# SPDX-License-Identifier: BSD-3-Clause
"""Clients that break the rules of both protocols.  What they do to the server
is of no interest, as long as everybody else is served: their own disks, too,
are as the model says."""

import json
import socket
import struct

from actors import Disks
from nbdtest import GiB, KiB, MiB, Raw
from shadowdisks import Operation

REQUEST = 0x25609513
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZERO, STATUS = range(8)
NEVER_READ = 4                  # connections of each kind that are kept


def request(kind, offset, length, flags=0, magic=REQUEST):
    return struct.pack(">IHHQQI", magic, flags, kind, 1, offset, length)


def option(number, data, length=None):
    return struct.pack(">8sII", b"IHAVEOPT", number,
                       len(data) if length is None else length) + data


class Hostile(Disks):
    part = "hostile"
    kinds = {"write": 2, "read": 3, "attack": 10}

    def __init__(self, plan, number):
        super().__init__(plan, number)
        self.most = 4
        self.kills = None
        self.kept = []
        self.attacks = sorted(n[len("attack_"):] for n in dir(self)
                              if n.startswith("attack_"))

    def begin(self):
        self.open()
        for i in range(self.most):
            self.do(self.choose_create())

    def open(self):
        self.kept = []
        super().open()

    def choose_attack(self):
        """A name, and bytes; its random numbers are chosen at once."""
        kind, name = self.random.choice(self.attacks), self.pick()
        chance = [self.random.random() for i in range(4)]

        def run():
            try:
                getattr(self, "attack_" + kind)(name, *chance)
            except (OSError, EOFError, struct.error):
                pass            # the server may end the connection
            self.counts["attack: " + kind.replace("_", " ")] += 1
        return Operation("attack %s on %s" % (kind, name), run)

    # ------------------------------------------------------------------- NBD

    def socket(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.plan.server.sock)
        return s

    def keep(self, s):
        """Hold a connection for some time, without reading."""
        self.kept.append(s)
        if len(self.kept) > NEVER_READ:
            self.kept.pop(0).close()

    def into(self, name):
        """A connection on which requests can be sent."""
        raw = Raw()
        raw.go(name.encode())
        # The rest of the answers to the option.
        raw.s.settimeout(0.05)
        try:
            while raw.s.recv(4096):
                pass
        except socket.timeout:
            pass
        raw.s.settimeout(20)
        return raw.s

    def base(self, name):
        return self.disks[name].base

    def attack_silence(self, name, *chance):
        self.keep(self.socket())

    def attack_half_greeting(self, name, a, *chance):
        s = self.socket()
        s.recv(18)
        s.sendall(b"\0\0\0\1"[:int(a * 4)])
        self.keep(s)

    def attack_half_option(self, name, a, *chance):
        raw = Raw()
        whole = option(Raw.GO, struct.pack(">I", len(name)) + name.encode() +
                       b"\0\0")
        raw.s.sendall(whole[:int(a * len(whole))])
        self.keep(raw.s)

    def attack_huge_option(self, name, a, b, *chance):
        raw = Raw()
        raw.s.sendall(option(int(a * 12), b"x" * 1000,
                             [0xffffffff, 1 << 30, 100000][int(b * 3)]))
        raw.s.sendall(b"y" * int(b * MiB))

    def attack_unknown_option(self, name, a, *chance):
        raw = Raw()
        raw.option(100 + int(a * 1000), b"z" * int(a * 4096))
        raw.go(b"\xff" * 4000)

    def attack_garbage(self, name, a, b, *chance):
        s = self.socket()
        s.sendall(bytes(int(x * a) % 256 for x in range(int(b * 5000))))
        s.recv(100)

    def attack_half_request(self, name, a, *chance):
        s = self.into(name)
        s.sendall(request(READ, self.base(name), 512)[:int(a * 28)])
        self.keep(s)

    def attack_half_write(self, name, a, b, *chance):
        """Only a whole request may change anything."""
        s = self.into(name)
        length = 512 + int(a * 200 * KiB)
        s.sendall(request(WRITE, self.base(name), length) +
                  b"h" * int(b * length))
        if a < 0.5:
            self.keep(s)

    def attack_oversize(self, name, a, b, *chance):
        s = self.into(name)
        length = [0xffffffff, 65 * MiB, 1 << 31, 64 * MiB + 1][int(a * 4)]
        s.sendall(request([READ, WRITE][int(b * 2)], self.base(name), length))
        s.sendall(b"o" * int(a * MiB))

    def attack_never_read(self, name, a, *chance):
        s = self.into(name)
        s.settimeout(0.2)
        s.sendall(request(READ, self.base(name), 64 * KiB) *
                  (10 + int(a * 300)))
        self.keep(s)

    def attack_bad_magic(self, name, a, *chance):
        s = self.into(name)
        s.sendall(request(WRITE, self.base(name), 512,
                          magic=REQUEST ^ 1 << int(a * 32)) + b"m" * 512)
        s.recv(100)

    def attack_beyond(self, name, a, b, *chance):
        """Requests that must be refused, and the connection goes on."""
        s, d = self.into(name), self.disks[name]
        kind = [READ, ZERO, TRIM, CACHE, 99, FLUSH][int(a * 6)]
        at = [d.size(), 1 << 63, (1 << 64) - 512][int(b * 3)]
        s.sendall(request(kind, at, 512, flags=int(b * 1000) << 5))
        s.sendall(request(READ, d.base, 1))
        s.recv(100)

    def attack_other_names(self, name, a, *chance):
        raw = Raw()
        raw.go(["../../etc/passwd", name + "\0", "%s%n", "no" + name,
                "\n" * 100][int(a * 5)].encode())

    # -------------------------------------------------------- control socket

    def line(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.plan.server.control)
        return s

    def attack_half_line(self, name, a, *chance):
        s = self.line()
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "disk_destroy",
                           "params": {"name": name}}).encode()
        s.sendall(text[:int(a * len(text))])
        if a < 0.5:
            self.keep(s)

    def attack_long_line(self, name, a, *chance):
        s = self.line()
        s.sendall(b'{"x": "' + b"l" * (MiB + int(a * MiB)) + b'"}\n')
        s.recv(1000)

    def attack_junk_lines(self, name, a, *chance):
        s = self.line()
        s.sendall([b"[" * 10000, b"\xff\xfe\0\n" * 1000, b"null\n" * 1000,
                   b'{"jsonrpc":"2.0","id":' + b"9" * 500 + b"}\n",
                   b'{"jsonrpc":"2.0","id":1,"method":"disk_resize","params":'
                   b'{"name":"%s","size":-1}}\n' % name.encode(),
                   b"\n" * 100000][int(a * 6)] + b"\n")
        s.recv(1000)

    def attack_deaf_control(self, name, a, *chance):
        s = self.line()
        s.settimeout(0.2)
        line = b'{"jsonrpc":"2.0","id":1,"method":"%s"}\n' % (
            [b"help", b"subscribe", b"disk_list"][int(a * 3)])
        self.keep(s)
        s.sendall(line * int(100 + a * 1000))

    def attack_wrong_calls(self, name, a, b, *chance):
        """Calls that must be refused, and change nothing."""
        big = [GiB ** 3, -1, 1 << 63, "1", None, 1.5][int(a * 6)]
        call = [("disk_resize", {"name": name, "size": big}),
                ("disk_clone", {"source": name, "name": name}),
                ("disk_rename", {"name": name, "new_name": name}),
                ("disk_destroy", {"name": "no" + name}),
                ("disk_create", {"name": name}),
                ("disk_push", {"name": name, "uri": "nbd+unix:///%s?socket=%s"
                               % (name, self.plan.server.sock) if a < 0.5
                               else "file:///etc/passwd"}),
                ("disk_load", {"path": "/nonexistent"}),
                ("job_cancel", {"job": 1 << 40})][int(b * 8)]
        s = self.line()
        s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": call[0],
                              "params": call[1]}).encode() + b"\n")
        s.recv(1000)
