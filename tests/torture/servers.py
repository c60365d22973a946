# SPDX-License-Identifier: BSD-3-Clause
"""The servers that are tortured: started, killed, and started again."""

import ctypes
import json
import os
import resource
import signal
import struct
import subprocess
import time

from nbdtest import KiB, MiB, Raw

READ_64K = struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 64 * KiB)
START_SECONDS = 300
END_SECONDS = 300


class Died(Exception):
    """A server did not start, or has ended by itself, or takes too much."""


def wait_until(what, fn, process=None, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not fn():
        if process and process.poll() is not None:
            raise Died("%s: the process has ended with status %d" %
                       (what, process.returncode))
        if time.monotonic() > end:
            raise Died("%s: not within %d seconds" % (what, seconds))
        time.sleep(0.005)


def go_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Process:
    """A server in a folder: ID.sock, ID.log, ID.pid.  command: a list, in
    which {} is replaced by the folder and the id."""

    def __init__(self, folder, id, command):
        self.folder = folder
        self.id = id
        self.command = command
        self.process = None
        self.starts = 0
        self.path = "%s/%s" % (folder, id)
        self.sock = self.path + ".sock"

    def start(self):
        for end in ".sock", ".pid":
            if os.path.exists(self.path + end):
                os.unlink(self.path + end)
        with open(self.path + ".log", "a") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, preexec_fn=go_with_parent)
        try:
            wait_until("the start of server " + self.id, self.is_up,
                       self.process)
        except Died as e:
            raise Died("%s: %s" % (e, self.log_end()))
        self.starts += 1

    def is_up(self):
        pid = self.path + ".pid"
        return os.path.exists(pid) and os.path.getsize(pid) > 0

    def log_end(self, lines=5):
        try:
            with open(self.path + ".log", errors="replace") as f:
                return "".join(f.readlines()[-lines:]).strip()
        except OSError:
            return ""

    def kill(self):
        self.alive()
        self.process.kill()
        self.process.wait()

    def alive(self):
        if self.process.poll() is not None:
            raise Died("server %s has ended with status %d: %s" %
                       (self.id, self.process.returncode, self.log_end()))

    def stop(self):
        """SIGTERM; it must exit with status 0."""
        self.alive()
        self.process.terminate()
        try:
            status = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Died("server %s does not end: %s" % (self.id,
                                                       self.log_end()))
        if status != 0:
            raise Died("server %s has ended with status %d: %s" %
                       (self.id, status, self.log_end()))

    def end(self):
        """However it is."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def peak(self):
        """The most memory that it has had, in bytes."""
        with open("/proc/%d/status" % self.process.pid) as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * KiB
        return 0


class Ramdisk(Process):
    """mramdisk in nbdkit, with an arena and a control socket."""

    def __init__(self, folder, id, build, arena, memory, connections, threads,
                 *parameters):
        self.arena = arena
        self.memory = memory
        # controltest.py and nbdtest.py know where s is.
        self.control = folder + ("/control" if id == "s" else "/%s.control" % id)
        request = 256 * KiB
        # nbdkit-mramdisk-plugin(1), "What the whole process takes".
        self.most = (memory + 4 * MiB + connections * (threads + 1) * request +
                     connections * threads * 64 * KiB +
                     min(connections * threads * 256 * KiB, 256 * MiB) +
                     memory // 256 + 32 * MiB)
        path = "%s/%s" % (folder, id)
        super().__init__(folder, id, [
            "nbdkit", "-f", "-U", path + ".sock", "-P", path + ".pid", "-t",
            str(threads), build + "/mramdisk.so", "arena=" + arena,
            "arena-wait=60", "control=" + self.control,
            "max-memory=%d" % memory, "max-connections=%d" % connections,
            "max-request=%d" % request, "auto-create=no", *parameters])

    def check_memory(self):
        peak = self.peak()
        if peak > self.most:
            raise Died("server %s has had %d MiB, expected at most %d MiB" %
                       (self.id, peak // MiB, self.most // MiB))
        return peak


def check_arena(build, server):
    """The engine's own check, of the file of a server that does not run."""
    p = subprocess.run([build + "/tests/torture/check-arena", server.arena,
                        str(server.memory)], capture_output=True, text=True)
    if p.returncode != 0:
        raise Died("check-arena of server %s: status %d: %s" %
                   (server.id, p.returncode, (p.stdout + p.stderr).strip()))
    return json.loads(p.stdout)


def outlives_clients(folder):
    """Whether nbdkit with several threads for a connection outlives a client
    that goes without reading its replies.  nbdkit 1.32 fails an assertion."""
    path = folder + "/p"
    server = Process(folder, "p", ["nbdkit", "-f", "-U", path + ".sock", "-P",
                                   path + ".pid", "memory", "16M"])
    server.start()
    try:
        for i in range(30):
            raw = Raw("p")
            raw.go(b"")
            raw.s.settimeout(0.1)
            raw.s.sendall(READ_64K * 64)
            time.sleep(0.01)
            raw.s.close()
        server.alive()
        return True
    except (OSError, EOFError, Died):
        return False
    finally:
        server.end()


def more_descriptors():
    """As many as connections need, for this process and its servers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
