# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks through the server share."""

import argparse
import datetime
import itertools
import json
import mmap
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
START_TIMEOUT = 10      # seconds
STOP_TIMEOUT = 60


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
    data = os.urandom(MiB)      # libnbd refuses more than mramdisk announces
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
    """The Unix sockets and the TCP ports on which somebody listens.  A server
    makes a socket's file first, and who connects in between is refused."""
    with open("/proc/net/unix", errors="surrogateescape",
              encoding="utf-8") as f:
        lines = [line.rstrip("\n").split(maxsplit=7) for line in f]
    unix = {line[7] for line in lines[1:]
            if len(line) == 8 and int(line[3], 16) & 0x10000}
    with open("/proc/net/tcp", encoding="utf-8") as f:
        lines = [line.split() for line in f]
    return unix | {int(line[1].split(":")[1], 16) for line in lines[1:]
                   if line[3] == "0A"}


def free_port():
    """A port of 127.0.0.1 that nobody uses."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_server(command, *sockets):
    """Start one, and wait until it listens on its Unix sockets and ports."""
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


class Daemon:
    """A server that goes into the background, and writes its process's number
    into a file: as much of a Popen as stop_server needs."""

    def __init__(self, command, pid_file, *sockets):
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.command = command
        self.pid = 0
        self.wait_for(lambda: os.path.exists(pid_file) and
                      set(sockets) <= listening(), START_TIMEOUT)
        with open(pid_file, encoding="utf-8") as f:
            self.pid = int(f.read())

    def wait_for(self, condition, timeout):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.command, timeout)
            time.sleep(0.005)

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout=STOP_TIMEOUT):
        self.wait_for(lambda: not os.path.exists("/proc/%d" % self.pid),
                      timeout)


def stop_server(process):
    """End one.  After an error it would wait for ever for a client of ours that
    is still connected."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --------------------------------------------------------------- processors

# Whether a client and its server share a processor changes some rates
# threefold, and left to itself the kernel does now one, now the other.
LAYOUTS = {
    "one": "all processes on one processor",
    "two": "the server that is measured on one processor, its client and its "
           "upstream on another",
    "free": "the kernel chooses",
}


class Layout:
    """On which processors the processes of a measurement run."""

    def __init__(self, name):
        cpus = sorted(os.sched_getaffinity(0))
        self.name = name
        self.server = self.others = set(cpus)
        if name == "one":
            self.server = self.others = {cpus[-1]}
        elif name == "two":
            self.others, self.server = {cpus[0]}, {cpus[-1]}


def layouts_option(value):
    names = words_option(LAYOUTS)(value)
    if "two" in names and len(os.sched_getaffinity(0)) < 2:
        raise argparse.ArgumentTypeError("two: there is one processor only")
    return names


def add_layouts(parser):
    several = len(os.sched_getaffinity(0)) > 1
    parser.add_argument(
        "--layouts", type=layouts_option, metavar="NAME,...",
        default=["one", "two"] if several else ["one"],
        help="where the processes run (default one,two if there are two "
        "processors): " + "; ".join("%s, %s" % l for l in LAYOUTS.items()))


def pin(pid, cpus):
    """All threads of a process; those that it makes later inherit it."""
    for _ in range(2):
        for tid in os.listdir("/proc/%d/task" % pid):
            try:
                os.sched_setaffinity(int(tid), cpus)
            except ProcessLookupError:
                pass


def cpu_seconds(pid):
    """What a process has used so far, in user and system mode, with those of
    its children that have ended."""
    # The clock that clock_getcpuclockid(3) gives: in ns, not in ticks.
    seconds = time.clock_gettime((~pid << 3) | 2)
    with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
        # The name, in parentheses, may hold spaces.
        fields = f.read().rsplit(")", 1)[1].split()
    return seconds + (int(fields[13]) + int(fields[14])) / os.sysconf(
        "SC_CLK_TCK")


class Run:
    """What one run of fio has measured.  rate: requests a second;
    percentiles: of the latency, in µs, if fio took it; latency: its median, or
    0; cpu: µs of CPU time for a request, by role."""

    def __init__(self, rate, percentiles, cpu):
        self.rate = rate
        self.percentiles = percentiles
        self.latency = percentiles.get(50, 0)
        self.cpu = cpu


def fio(uri, layout, seconds, servers, *arguments):
    """Run fio, pinned as its servers are.  servers: by role, the process that
    is measured ("server"), and others."""
    for role, process in servers.items():
        pin(process.pid, layout.server if role == "server" else layout.others)
    command = ["fio", "--name=x", "--ioengine=nbd", "--thread", "--uri=" + uri,
               "--output-format=json", "--group_reporting", "--norandommap",
               "--scramble_buffers=0", "--randrepeat=0",
               "--runtime=%dms" % (seconds * 1e3), *arguments]
    before = {role: cpu_seconds(p.pid) for role, p in servers.items()}
    r = subprocess.run(command, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, text=True, check=False,
                       preexec_fn=lambda: os.sched_setaffinity(
                           0, layout.others))
    if r.returncode != 0:
        raise Failure("fio failed: %s\n%s" % (" ".join(command), r.stdout))
    # Messages of the library may come before the report.
    job = json.loads(r.stdout[r.stdout.index("{\n"):])["jobs"][0]
    side = max(job["read"], job["write"], key=lambda s: s["total_ios"])
    requests = side["total_ios"]
    if not requests:
        raise Failure("fio did nothing: %s" % " ".join(command))
    cpu = {role: (cpu_seconds(p.pid) - before[role]) * 1e6 / requests
           for role, p in servers.items()}
    cpu["client"] = (job["usr_cpu"] + job["sys_cpu"]) / 100 * \
        job["job_runtime"] * 1e3 / requests
    percentiles = {float(p): ns / 1000 for p, ns in
                   side["clat_ns"].get("percentile", {}).items()}
    return Run(side["iops"], percentiles, cpu)


# ------------------------------------------------------------------- rounds

# Results are stable if the middle half of the rounds lies within this part of
# the median.
STABLE = 0.1


def spread(values):
    """The width of the middle half of some values, as a part of their
    median."""
    if len(values) < 2:
        return 0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


class Budget:
    """The time for all of a benchmark's parts.  A part whose results are not
    stable goes on while those before it have left time."""

    def __init__(self, seconds, parts):
        self.begin = time.monotonic()
        self.seconds = seconds
        self.parts = parts
        self.done = 0

    def has_time(self):
        return time.monotonic() - self.begin < \
            self.seconds * (self.done + 1) / self.parts

    def measure(self, rounds, paths, measure, stable):
        """Each path once in each round, and each round begins with another of
        them.  After these rounds it goes on until stable(results) is at most
        STABLE, or there is no time left, or twice as many are over.  Returns
        {path: [result of each round]}."""
        names = list(paths)
        results = {name: [] for name in names}
        for i in itertools.count():
            first = i % len(names)
            for name in names[first:] + names[:first]:
                results[name].append(measure(paths[name]))
            # stable comes first, so that --quick tries it, too.
            if i + 1 >= rounds and (
                    stable(results) <= STABLE or i + 1 >= 2 * rounds or
                    not self.has_time()):
                break
        self.done += 1
        return results


def ratios(results, mine, peer, figure=lambda r: r.rate):
    """Of each round."""
    return [figure(a) / max(figure(b), 1e-9)
            for a, b in zip(results[mine], results[peer])]


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

def add_json(parser):
    parser.add_argument("--json", metavar="FILE", help="where the figures go, "
                        "for programs: an object for each line of a table")


def for_writing(path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    return open(path, "w", encoding="utf-8")


class Report:
    """Prints to standard output and to a file; and, for programs, to another
    one."""

    LINE = "  %-50s %12s %12s  %-28s %-10s %s"

    def __init__(self, path, json_path=None):
        self.file = for_writing(path) if path else None
        self.json = for_writing(json_path) if json_path else None
        self.targets = self.missed = 0

    def record(self, **what):
        """A head has a title; a row of a table, and a point of a curve, the
        values of all rounds.  README.md has the fields."""
        if self.json:
            print(json.dumps(what), file=self.json, flush=True)

    def say(self, line=""):
        line = line.rstrip()
        print(line, flush=True)
        if self.file:
            print(line, file=self.file, flush=True)

    def head(self, title, mine="", peer=""):
        self.say()
        self.say(title)
        self.say(self.LINE % ("", mine, peer, "ratio (min..max)", "target", ""))
        self.record(head=title, mine=mine, peer=peer)

    def point(self, curve, x, values, unit, x_unit=""):
        """One of a curve.  values: of each round."""
        self.row("%s, %s%s" % (curve, "{:,}".format(x), x_unit), values, unit,
                 record=dict(curve=curve, x=x, x_unit=x_unit))

    def row(self, what, values, unit, mine="", peer="", least=None, most=None,
            record=None):
        """values: of each round, what the target is about."""
        self.record(**record or dict(row=what, mine=mine, peer=peer,
                                     least=least, most=most),
                    values=values, unit=unit)
        m = statistics.median(values)
        ratio = "%.3g%s" % (m, unit)
        wide = spread(values)
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
        if wide > STABLE:
            verdict += " not stable: %.0f %%" % (wide * 100)
        self.say(self.LINE % (what, mine, peer, ratio, wanted, verdict))

    def end(self):
        self.say()
        self.say("%d of %d targets reached" % (self.targets - self.missed,
                                               self.targets))


def header(report, options, title, *programs):
    """programs: whose versions count besides those of nbdkit and fio."""
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
    say("versions   " + "; ".join(first_line(p, "--version").strip()
                                  for p in ("nbdkit", "fio") + programs))
    say("rounds     %d of %g s, alternating; medians" % (options.rounds,
                                                        options.seconds))
    for name in getattr(options, "layouts", []):
        say("processors %s: %s" % (name, LAYOUTS[name]))
    say("stable     the middle half of the rounds lies within %g %% of the "
        "median" % (STABLE * 100))
