# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks through the server share."""

import argparse
import datetime
import json
import mmap
import os
import platform
import socket
import statistics
import subprocess
import sys
import time

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
START_TIMEOUT = 10      # seconds


class Failure(Exception):
    pass


def first_line(*command):
    r = subprocess.run(command, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    return r.stdout.split("\n")[0]


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def number_option(kind, least, most):
    def parse(value):
        try:
            n = kind(value)
        except ValueError:
            n = None
        if n is None or not least <= n <= most:
            raise argparse.ArgumentTypeError(
                "%r: expected a number from %g to %g" % (value, least, most))
        return n
    return parse


def words_option(allowed):
    """Some of these words, with commas between them."""
    def parse(value):
        words = [w.strip() for w in value.split(",")]
        for word in words:
            if word not in allowed:
                raise argparse.ArgumentTypeError(
                    "%r: expected some of: %s" % (word, ", ".join(allowed)))
        return words
    return parse


def size_text(size):
    if size % GiB == 0:
        return "%d GiB" % (size // GiB)
    return "%d MiB" % (size // MiB)


def warm(size):
    """Touch as much memory as a server needs for so much data, and give it back
    to the kernel.  Else a server that gets memory which the machine below has
    taken back pays for that, and the next one, which gets the same memory, does
    not."""
    blocks = (size + size // 4 + MiB - 1) // MiB
    with mmap.mmap(-1, blocks * MiB,
                   flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as m:
        # In blocks of the size that servers take, or it is other memory.
        m.madvise(mmap.MADV_HUGEPAGE)
        zeros = bytes(MiB)
        for _ in range(blocks):
            m.write(zeros)


def fill(h, size):
    """Write the first bytes of an empty disk, with some that cannot be taken
    for zeros; h is libnbd's handle.  The server takes warm memory for them."""
    warm(size)
    data = os.urandom(4 * MiB)
    for offset in range(0, size, len(data)):
        h.pwrite(data[:min(len(data), size - offset)], offset)
    if h.can_flush():
        h.flush()


def turns(rounds, peers):
    """All peers in each round, and each round begins with another of them, as
    what one leaves behind is what the next one starts with."""
    step = max(1, len(peers) // rounds)
    for i in range(rounds):
        first = i * step % len(peers)
        yield from peers[first:] + peers[:first]


def listening():
    """The Unix sockets on which somebody listens.  A server makes the file
    first, and who connects in between is refused."""
    with open("/proc/net/unix", errors="surrogateescape",
              encoding="utf-8") as f:
        lines = [line.rstrip("\n").split(maxsplit=7) for line in f]
    return {line[7] for line in lines[1:]
            if len(line) == 8 and int(line[3], 16) & 0x10000}


def start_server(command, *sockets):
    """Start one, and wait until it listens on its sockets."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT
    while not set(sockets) <= listening():
        if process.poll() is not None:
            raise Failure("this ended at once: %s" % " ".join(command))
        if time.monotonic() > deadline:
            process.terminate()
            process.wait()
            raise Failure("this did not listen within %d s: %s" % (
                START_TIMEOUT, " ".join(command)))
        time.sleep(0.005)
    return process


class Control:
    """A client of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")

    def call(self, method, /, **params):
        self.socket.sendall(json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": method, "params": params
        }).encode() + b"\n")
        line = self.lines.readline()
        answer = json.loads(line) if line else {"error": "it has gone"}
        if "error" in answer:
            raise Failure("%s %r: %s" % (method, params, answer["error"]))
        return answer["result"]

    def timed(self, method, /, **params):
        """How long a call takes, and its result."""
        begin = time.monotonic()
        result = self.call(method, **params)
        return time.monotonic() - begin, result


# ------------------------------------------------------------------- report

class Report:
    """Prints to standard output and to a file."""

    LINE = "  %-50s %12s %12s  %-28s %-10s %s"

    def __init__(self, path):
        self.file = None
        if path:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            self.file = open(path, "w", encoding="utf-8")
        self.targets = self.missed = 0

    def say(self, line=""):
        line = line.rstrip()
        print(line, flush=True)
        if self.file:
            print(line, file=self.file, flush=True)

    def head(self, title, mine="", peer=""):
        self.say()
        self.say(title)
        self.say(self.LINE % ("", mine, peer, "ratio (min..max)", "target", ""))

    def row(self, what, values, unit, mine="", peer="", least=None, most=None):
        """values: of each round, what the target is about."""
        m = statistics.median(values)
        ratio = "%.3g%s" % (m, unit)
        if len(values) > 1:
            ratio += " (%.3g..%.3g)" % (min(values), max(values))
        wanted = verdict = ""
        if least is not None or most is not None:
            ok = m >= least if least is not None else m <= most
            wanted = ("<= %g" % most if least is None else ">= %g" % least
                      ) + unit
            verdict = "reached" if ok else "MISSED"
            self.targets += 1
            self.missed += not ok
        self.say(self.LINE % (what, mine, peer, ratio, wanted, verdict))

    def end(self):
        self.say()
        self.say("%d of %d targets reached" % (self.targets - self.missed,
                                               self.targets))


def header(report, options, title):
    say = report.say
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    say(title)
    say()
    say("date       " +
        datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"))
    say("command    bench/" + " ".join([os.path.basename(sys.argv[0])] +
                                      sys.argv[1:]))
    say("machine    %s, %d cores, %.1f GiB" % (cpu_model(), os.cpu_count(),
                                               memory / GiB))
    say("kernel     %s %s %s" % (platform.system(), platform.release(),
                                 platform.machine()))
    say("versions   %s; %s" % (first_line("nbdkit", "--version"),
                               first_line("fio", "--version")))
    say("rounds     %d of %g s, alternating; medians" % (options.rounds,
                                                        options.seconds))
