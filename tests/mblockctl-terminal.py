# SPDX-License-Identifier: BSD-3-Clause
"""Drive mblockctl in a pseudo-terminal: top and map, keys, resizing, signals.

Usage: mblockctl-terminal.py MBLOCKCTL SOCKET

A small terminal is kept that knows what mblockctl may send, and fails on
anything else.  Each test is a function; those that fail are named at the end.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
import unicodedata

TOOL, SOCKET = sys.argv[1:3]
PATIENCE = 60                   # seconds; the machine may be busy


def width(c):
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


class Terminal:
    """A program in a terminal, and what is on the screen."""

    def __init__(self, *args, columns=80, lines=24, env=None):
        self.columns, self.lines = columns, lines
        environ = dict(os.environ, TERM="xterm", MBLOCK_SOCKET=SOCKET,
                       LC_ALL="C.UTF-8")
        environ.pop("NO_COLOR", None)
        environ.update(env or {})
        # A session leader between, as a shell is: a process group that
        # nobody looks after is not stopped by Ctrl-Z.
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.be_shell(args, environ)
        self.resize(columns, lines)
        self.raw = b""
        self.pending = b""
        self.screens = {False: [], True: []}    # main and alternate
        self.alternate = False
        self.cursor, self.wrap, self.color = True, True, False
        self.row = self.column = 0
        self.frames = 0
        self.beyond = self.last_beyond = False
        self.status = None
        self.before = termios.tcgetattr(self.fd)
        os.write(self.fd, b"go\n")
        self.until(lambda: b"child " in self.raw and
                   b"\n" in self.raw.split(b"child ")[1])
        self.child = int(self.raw.split(b"child ")[1].split()[0])

    @staticmethod
    def be_shell(args, environ):
        sys.stdin.readline()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            # Whoever runs the tests in the background ignores these.
            for sig in (signal.SIGTTOU, signal.SIGINT,
                        signal.SIGQUIT, signal.SIGHUP):
                signal.signal(sig, signal.SIG_DFL)
            print("child", os.getpid(), flush=True)
            os.execvpe(TOOL, (TOOL,) + args, environ)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            _, status = os.waitpid(child, os.WUNTRACED)
            os.tcsetpgrp(0, os.getpid())
            if os.WIFSTOPPED(status):
                print("stopped by", os.WSTOPSIG(status), flush=True)
                if sys.stdin.readline().strip() == "fg":
                    os.tcsetpgrp(0, child)
                os.kill(child, signal.SIGCONT)
                continue
            print("ended", status, flush=True)
            os._exit(0)

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", lines, columns, 0, 0))

    # The screen.

    def put(self, c):
        rows = self.screens[self.alternate]
        w = width(c)
        if self.alternate and (self.row >= self.lines or
                               self.column + w > self.columns):
            self.beyond = True      # the frame does not fit the screen
            return
        while len(rows) <= self.row:
            rows.append([])
        row = rows[self.row]
        row.extend(" " * (self.column - len(row)))
        row[self.column:self.column + 1] = [c]
        self.column += w

    def erase_right(self):
        rows = self.screens[self.alternate]
        # After the last column a terminal's cursor still stands on it.
        column = min(self.column, self.columns - 1)
        if self.row < len(rows):
            del rows[self.row][column:]

    def control(self, sequence):
        mode = re.fullmatch(r"\[\?(\d+)([hl])", sequence)
        if mode:
            on = mode[2] == "h"
            if mode[1] == "1049":
                assert on != self.alternate
                self.alternate = on
                self.screens[True] = []
                self.row = self.column = 0
            elif mode[1] == "25":
                self.cursor = on
            elif mode[1] == "7":
                self.wrap = on
            else:
                raise AssertionError("unknown mode " + sequence)
        elif sequence == "[H":
            self.row = self.column = 0
            self.frames += 1
            self.last_beyond, self.beyond = self.beyond, False
        elif sequence == "[K":
            self.erase_right()
        elif sequence == "[2J":
            self.screens[self.alternate] = []
        elif re.fullmatch(r"\[[0-9;]*m", sequence):
            self.color |= bool(re.search(r"[\[;]3\d[;m]", sequence))
        else:
            raise AssertionError("unknown sequence " + repr(sequence))

    def feed(self, data):
        self.raw += data
        self.pending += data
        text = self.pending
        while text:
            m = re.match(rb"\x1b\[[?0-9;]*[A-Za-z]", text)
            if m:
                self.control(m[0][1:].decode())
                text = text[m.end():]
            elif text[:1] == b"\x1b":
                assert len(text) < 16, text
                break                           # more of it will come
            elif text[:1] in b"\r\n\b":
                if text[:1] == b"\n":
                    self.row += 1
                self.column = 0
                text = text[1:]
            else:
                n = 1 if text[0] < 0x80 else 2 if text[0] < 0xe0 else \
                    3 if text[0] < 0xf0 else 4
                if len(text) < n:
                    break
                c = text[:n].decode()
                assert 32 <= ord(c) < 127 or ord(c) >= 160, repr(c)
                self.put(c)
                text = text[n:]
        self.pending = text

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if data:
                self.feed(data)
                return True
            self.status = self.status or "gone"
        return False

    def text(self):
        return "\n".join("".join(r) for r in self.screens[self.alternate])

    # What a person does.

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end and self.status != "gone", \
                "in vain:\n" + self.text() + "\n" + repr(self.raw[-300:])
            self.read(0.05)

    def shows(self, text):
        self.until(lambda: text in self.text())

    def fits(self):
        """A whole frame that was begun after now fits the screen."""
        n = self.frames
        self.until(lambda: self.frames >= n + 3)
        assert not self.last_beyond, "beyond the screen:\n" + self.text()

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def kill(self, sig):
        os.kill(self.child, sig)

    def ended(self):
        """The wait status, when the terminal is as it was before."""
        self.until(lambda: b"ended " in self.raw and
                   self.raw.split(b"ended ")[1].endswith(b"\n"))
        self.is_restored()
        status = int(self.raw.split(b"ended ")[1].split()[0])
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        return status

    def is_restored(self):
        assert not self.alternate, "still on the alternate screen"
        assert self.cursor, "no cursor"
        assert self.wrap, "no new line at the right edge"
        assert termios.tcgetattr(self.fd) == self.before, "mode not restored"


def exit_code(status):
    assert os.WIFEXITED(status), status
    return os.WEXITSTATUS(status)


# ----------------------------------------------------------------- top

def running(**more):
    t = Terminal("top", "-d", "0.2", **more)
    t.shows("ERR/s" if more.get("columns", 80) >= 60 else "NAME")
    assert t.alternate and not t.cursor
    assert not termios.tcgetattr(t.fd)[3] & (termios.ECHO | termios.ICANON)
    return t


def table(t):
    lines = t.text().split("\n")
    i = next(i for i, l in enumerate(lines) if l.startswith("NAME"))
    return [l for l in lines[i + 1:-1] if l]


def test_top_quits():
    t = running()
    t.type("q")
    assert exit_code(t.ended()) == 0


def test_top_measures():
    t = running()
    t.until(lambda: any(re.match(r"busy .*\d\.\dk ", l) for l in table(t)))
    assert table(t)[0].startswith("busy"), "the busiest first"
    assert "mramdisk 0.1.0" in t.text()
    t.type("q")
    t.ended()


def test_top_fills_60_to_120_columns():
    for columns in 60, 80, 120:
        t = running(columns=columns)
        t.fits()
        t.until(lambda: "1-" in t.text().split("\n")[-1])
        titles = next(l for l in t.text().split("\n") if "ERR/s" in l)
        assert titles.split()[-1] == "ERR/s" and "p99" in titles
        assert ("WRITE B/s" if columns >= 80 else "W B/s") in titles
        assert ("OWNED" in titles) == (columns >= 80)
        assert "? help" in t.text()
        assert table(t)[0].startswith("busy "), "names are readable"
        assert ("MAPPED" in titles) == (columns == 120)
        t.type("q")
        t.ended()


def test_top_fills_the_last_column():
    """A name that is cut makes rows as wide as the screen."""
    def tool(*args):
        subprocess.run((TOOL, "-s", SOCKET) + args + ("--quiet",), check=True)
    name = "n" * 50
    tool("clone", "idle", name)
    for columns in 80, 97, 120:
        t = running(columns=columns, lines=70)
        t.fits()
        t.until(lambda: "1-" in t.text().split("\n")[-1])
        assert len(table(t)) > 50
        for line in table(t):
            assert len(line) == columns and line[-1] != " ", t.text()
        t.type("q")
        t.ended()
    tool("destroy", name)


def test_top_follows_the_size():
    t = running()
    for columns, lines in (120, 40), (40, 10), (20, 5), (5, 2), (1, 1), \
            (200, 50):
        t.resize(columns, lines)
        t.kill(signal.SIGWINCH)
        del t.screens[True][:]
        t.until(lambda: len(t.screens[True]) == lines)
        t.fits()
    t.shows("READS/s")
    t.type("q")
    assert exit_code(t.ended()) == 0


def test_top_sorts():
    t = running()
    t.shows("sort: requests")
    for key in "bytes", "latency", "memory":
        t.type("s")
        t.shows("sort: " + key)
    t.until(lambda: table(t)[0].startswith("golden"))
    t.type("r")
    t.shows("(reversed)")
    t.until(lambda: not table(t)[0].startswith("golden"))
    t.type("r\x1b[C\x1b[C")             # Right, twice
    t.shows("sort: name")
    t.until(lambda: table(t)[0].startswith("busy"))
    t.type("S")
    t.shows("sort: clients")
    t.type("q")
    t.ended()


def test_top_scrolls():
    t = running(lines=16)
    t.type("sssss")
    t.shows("sort: name")
    t.shows("1-10 of 53")
    for key, first in (("\x1b[B", 2), ("j", 3), ("\x1b[A", 2), ("k", 1),
                       ("\x1b[6~", 11), ("\x1b[5~", 1), ("\x1b[F", 44),
                       ("\x1b[B", 44), ("\x1b[H", 1), ("\x1bOA", 1)):
        t.type(key)
        t.shows("%d-%d of 53" % (first, first + 9))
    t.type("q")
    t.ended()


def test_top_pauses_and_helps():
    t = running()
    t.type("p")
    t.shows("PAUSED")
    t.type("p")
    t.until(lambda: "PAUSED" not in t.text())
    t.type("?")
    t.shows("leaves this help")
    t.type("q")                         # of the help
    t.until(lambda: "leaves this help" not in t.text())
    t.type("-")
    t.shows("+/- 0.4 s")
    t.type("++++++++")
    t.shows("+/- 0.1 s")
    t.type("zZ\x1b[99~\x1b[1;5A\t\x00")  # keys that mean nothing
    t.type("\x1b")                      # Escape alone
    t.shows("+/- 0.1 s")
    t.type("q")
    assert exit_code(t.ended()) == 0


def test_top_is_ended_by_signals():
    for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
        t = running()
        t.kill(sig)
        status = t.ended()
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == sig, status


def test_top_is_ended_by_ctrl_c():
    t = running()
    t.type("\x03")
    assert os.WTERMSIG(t.ended()) == signal.SIGINT


def test_top_restores_when_it_crashes():
    t = running()
    t.kill(signal.SIGABRT)
    assert os.WTERMSIG(t.ended()) == signal.SIGABRT


def test_top_stops_and_goes_on():
    t = running()
    for _ in range(2):
        n = t.raw.count(b"stopped by")
        t.type("\x1a")                  # Ctrl-Z
        t.until(lambda: t.raw.count(b"stopped by") > n)
        t.is_restored()
        t.type("fg\n")
        t.until(lambda: t.alternate and "READS/s" in t.text())
        assert not termios.tcgetattr(t.fd)[3] & termios.ECHO
    t.type("q")
    assert exit_code(t.ended()) == 0


def test_top_ends_with_the_server():
    path = SOCKET + ".hang"
    import socket
    import threading
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        conn, _ = listener.accept()
        f = conn.makefile("rwb")
        for i, r in enumerate((
                '{"name": "mramdisk", "version": "0", "protocol": 1}',
                '{"arena": {}, "disks": [], "next": null}')):
            f.readline()
            f.write(b'{"jsonrpc": "2.0", "id": %d, "result": %s}\n' %
                    (i + 1, r.encode()))
            f.flush()
        f.readline()
        time.sleep(0.5)
        conn.shutdown(socket.SHUT_RDWR)
    threading.Thread(target=serve, daemon=True).start()
    t = Terminal("top", "-d", "0.1", env={"MBLOCK_SOCKET": path})
    assert exit_code(t.ended()) == 3
    assert "top: the server closed the connection" in t.text()


def test_top_hears_keys_while_the_server_thinks():
    path = SOCKET + ".silent"
    import socket
    import threading
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    done = threading.Event()

    def serve():
        conn, _ = listener.accept()
        f = conn.makefile("rwb")
        f.readline()
        f.write(b'{"jsonrpc": "2.0", "id": 1, "result": {"name": "m", '
                b'"version": "0", "protocol": 1}}\n')
        f.flush()
        f.readline()
        done.wait()
    threading.Thread(target=serve, daemon=True).start()
    t = Terminal("top", env={"MBLOCK_SOCKET": path})
    t.until(lambda: t.alternate)
    t.type("q")
    assert exit_code(t.ended()) == 0
    done.set()


def test_top_on_a_dumb_terminal():
    t = Terminal("top", "-d", "0.1", env={"TERM": "dumb"})
    t.until(lambda: t.text().count("READS/s") >= 2)
    assert b"\x1b" not in t.raw
    t.type("\x03")
    t.ended()


# ----------------------------------------------------------------- map

def picture(t):
    return [l for l in t.text().split("\n")
            if re.match(r" *~?[\d.]+[KMG]? [^ ]{5}", l)]


def test_map_is_as_wide_as_the_terminal():
    for columns, lines in (80, 24), (120, 30), (33, 10), (200, 7):
        t = Terminal("map", "golden", columns=columns, lines=lines)
        assert exit_code(t.ended()) == 0
        rows = picture(t)
        assert len(rows) == max(1, min(8, lines - 6)), rows
        assert {len(r) for r in rows} == {columns}, rows
        assert t.color
        assert {"█", "▓", "0", "·"} <= set("".join(rows))


def test_map_without_colors():
    for env, args in (({"NO_COLOR": "1"}, ()), ({}, ("--color=never",)),
                      ({"TERM": "dumb"}, ())):
        t = Terminal("map", "golden", *args, env=env)
        assert exit_code(t.ended()) == 0
        assert not t.color and b"\x1b" not in t.raw
    t = Terminal("map", "golden", env={"NO_COLOR": ""})
    t.ended()
    assert t.color


def test_map_in_ascii():
    t = Terminal("map", "golden", env={"LC_ALL": "C"})
    assert exit_code(t.ended()) == 0
    assert t.text().isascii() and "#" in t.text()


# ------------------------------------------------------- tables, progress

def test_list_fits_the_terminal():
    for columns in 120, 80, 40, 24:
        t = Terminal("list", columns=columns)
        assert exit_code(t.ended()) == 0
        rows = t.text().split("\n")
        i = next(i for i, r in enumerate(rows) if r.startswith("NAME"))
        assert all(len(r) <= columns for r in rows[i:-2]), t.text()
        assert any(re.search(r" rw( |$)", r) for r in rows[i:])
        if columns >= 80:
            assert "CLIENTS" in rows[i]


def test_json_is_safe_on_a_terminal():
    t = Terminal("list", "evil*", "--json")
    assert exit_code(t.ended()) == 0
    assert "\\u001b[2j\\u009b" in t.text().lower()


def test_names_are_safe_on_a_terminal():
    t = Terminal("list", "evil*", "--names")
    assert exit_code(t.ended()) == 0
    assert '"evil\\x1b[2J\\u{9b}"' in t.text()


def test_watch_is_safe_on_a_terminal():
    """U+009B is what ESC [ is."""
    def event():
        for command in ("create", name), ("destroy", name):
            subprocess.run((TOOL, "-s", SOCKET) + command + ("--quiet",),
                           check=True)
        return b"created" in t.raw      # watch had subscribed by then
    name = "a\u009b31m"
    for option, shown in ("--json", "a\\u009b31m"), ("--bytes", "a\\u{9b}31m"):
        t = Terminal("watch", option, "-n", "1", "created")
        t.until(event)
        assert exit_code(t.ended()) == 0
        assert b"\xc2\x9b" not in t.raw, t.raw
        assert '"%s"' % shown in t.text().lower(), t.text()


def test_progress():
    t = Terminal("wait-ready", "--timeout", "1",
                 env={"MBLOCK_SOCKET": SOCKET + ".none"})
    t.until(lambda: "waiting for the server" in t.text())
    assert exit_code(t.ended()) == 3
    assert "waiting" not in t.text(), "the bar stayed"
    t = Terminal("destroy", "--ignore-missing", *("none%d" % i for i in range(30)),
                 env={"MBLOCK_SOCKET": SOCKET + ".slow"})
    t.until(lambda: re.search(r"destroy \[#+\.+\] +\d+%", t.text()))
    t.until(lambda: re.search(r"\d+%  \S+/s, to go \d+s", t.text()))
    assert exit_code(t.ended()) == 0
    assert "[#" not in t.text(), "the bar stayed"


failed = []
for name, test in list(globals().items()):
    if name.startswith("test_") and (len(sys.argv) < 4 or name in sys.argv):
        try:
            test()
        except Exception:
            print("WRONG:", name)
            traceback.print_exc(file=sys.stdout)
            failed.append(name)
sys.exit(bool(failed))
