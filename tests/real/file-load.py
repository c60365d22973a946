#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A load for a file system, which checks what it reads.

Three processes work in FOLDER until the file --stop exists or --files files
were kept:

  changes  changes a file in every way (writes, through memory too, holes, new
           lengths) and compares it with a model
  churn    makes folders of small files, renames, links and removes them, and
           compares what is left
  keeps    makes files, waits until they are on the disk with their names, and
           only then adds a line with the checksum to LIST

At the end, the other two add their files to LIST.  With --check, the files of
LIST are compared instead, and their number is printed: each of them must be
there, even after a crash."""

import argparse
import ctypes
import mmap
import os
import random
import sys
import zlib

PAGE = 4096
CHANGED = 4 << 20               # the largest size of the file that is changed
libc = ctypes.CDLL(None, use_errno=True)
PUNCH, ZERO = 0x3, 0x11         # FALLOC_FL_…, both with KEEP_SIZE


class Wrong(Exception):
    pass


def fallocate(fd, mode, offset, length):
    """Whether the file system can do it."""
    if libc.fallocate(fd, mode, ctypes.c_long(offset),
                      ctypes.c_long(length)) == 0:
        return True
    error = ctypes.get_errno()
    if error == 95:             # EOPNOTSUPP
        return False
    raise OSError(error, os.strerror(error))


def sync_folder(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class List:
    """The files that are on the disk."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)

    def add(self, name, data):
        os.write(self.fd, b"KEPT %s %08x %d\n" % (name.encode(),
                                                  zlib.crc32(data), len(data)))


class Changes:
    def __init__(self, folder, rng, kept):
        self.kept = kept
        self.path = os.path.join(folder, "changed")
        self.rng = rng
        self.model = bytearray()
        self.open(os.O_CREAT | os.O_TRUNC)

    def open(self, flags=0):
        self.fd = os.open(self.path, os.O_RDWR | flags, 0o644)

    def part(self):
        """A range that may begin beyond the end."""
        offset = self.rng.randrange(CHANGED)
        length = self.rng.choice((1, 511, PAGE, 60000, 300000))
        return offset, min(length, CHANGED - offset)

    def grow(self, size):
        if size > len(self.model):
            self.model.extend(bytes(size - len(self.model)))

    def write(self):
        offset, length = self.part()
        data = self.rng.randbytes(length)
        if os.pwrite(self.fd, data, offset) != length:
            raise Wrong("a short write")
        self.grow(offset + length)
        self.model[offset:offset + length] = data

    def write_mapped(self):
        if len(self.model) < PAGE:
            return
        offset, length = self.part()
        offset %= len(self.model)
        length = min(length, len(self.model) - offset)
        data = self.rng.randbytes(length)
        with mmap.mmap(self.fd, len(self.model)) as m:
            m[offset:offset + length] = data
            if self.rng.random() < 0.2:
                m.flush()
        self.model[offset:offset + length] = data

    def truncate(self):
        size = self.rng.randrange(CHANGED)
        os.ftruncate(self.fd, size)
        del self.model[size:]
        self.grow(size)

    def clear(self):
        offset, length = self.part()
        if fallocate(self.fd, self.rng.choice((PUNCH, ZERO)), offset, length):
            end = min(offset + length, len(self.model))
            if end > offset:
                self.model[offset:end] = bytes(end - offset)

    def reopen(self):
        os.fsync(self.fd)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(self.fd)
        self.open()
        self.compare()

    def compare(self):
        size = os.fstat(self.fd).st_size
        if size != len(self.model):
            raise Wrong("the size is %d, expected %d" % (size,
                                                         len(self.model)))
        data = os.pread(self.fd, size, 0) if size else b""
        if data != self.model:
            at = next(i for i in range(size) if data[i] != self.model[i])
            raise Wrong("the file differs at %d" % at)

    def step(self):
        self.rng.choices((self.write, self.write_mapped, self.truncate,
                          self.clear, self.reopen),
                         (10, 5, 1, 4, 1))[0]()

    def end(self):
        self.reopen()
        self.kept.add("changed", self.model)


class Churn:
    """Folders of files, whose content follows from their number."""

    def __init__(self, folder, rng, kept):
        self.kept = kept
        self.folder = os.path.join(folder, "churn")
        os.makedirs(self.folder)
        self.rng = rng
        self.trees = {}         # name: the numbers of its files
        self.made = 0

    @staticmethod
    def content(n):
        return random.Random(n).randbytes(n * 7919 % 40000)

    def path(self, *parts):
        return os.path.join(self.folder, *[str(p) for p in parts])

    def make(self):
        self.made += 1
        tree = "tree-%d" % self.made
        os.mkdir(self.path(tree))
        self.trees[tree] = []
        for i in range(self.rng.randrange(1, 30)):
            n = self.made * 100 + i
            with open(self.path(tree, n), "wb") as f:
                f.write(self.content(n))
            self.trees[tree].append(n)

    def rename(self):
        tree = self.rng.choice(list(self.trees))
        self.made += 1
        new = "tree-%d" % self.made
        os.rename(self.path(tree), self.path(new))
        self.trees[new] = self.trees.pop(tree)

    def link(self):
        tree = self.rng.choice(list(self.trees))
        for n in self.trees[tree]:
            os.link(self.path(tree, n), self.path(tree, "new"))
            os.unlink(self.path(tree, n))
            os.rename(self.path(tree, "new"), self.path(tree, n))

    def compare(self, tree):
        if sorted(os.listdir(self.path(tree))) != \
                sorted(str(n) for n in self.trees[tree]):
            raise Wrong("%s has other files than expected" % tree)
        for n in self.trees[tree]:
            with open(self.path(tree, n), "rb") as f:
                if f.read() != self.content(n):
                    raise Wrong("file %d of %s differs" % (n, tree))

    def remove(self):
        tree = self.rng.choice(list(self.trees))
        self.compare(tree)
        for n in self.trees.pop(tree):
            os.unlink(self.path(tree, n))
        os.rmdir(self.path(tree))

    def step(self):
        if len(self.trees) < 20:
            self.make()
        else:
            self.rng.choice((self.rename, self.link, self.remove))()

    def end(self):
        for tree in self.trees:
            self.compare(tree)
        os.sync()
        for tree, numbers in self.trees.items():
            for n in numbers:
                self.kept.add("churn/%s/%d" % (tree, n), self.content(n))


class Keeps:
    def __init__(self, folder, rng, kept):
        self.kept = kept
        self.folder = os.path.join(folder, "kept")
        os.makedirs(self.folder)
        sync_folder(folder)
        self.rng = rng
        self.n = 0

    def step(self):
        data = self.rng.randbytes(self.rng.choice((10, PAGE, 30000, 60000)))
        self.n += 1
        new = os.path.join(self.folder, "new")
        with open(new, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.rename(new, os.path.join(self.folder, str(self.n)))
        sync_folder(self.folder)
        self.kept.add("kept/%d" % self.n, data)

    def end(self):
        pass


def work(worker, enough):
    try:
        steps = 0
        while not enough(worker):
            worker.step()
            steps += 1
        worker.end()
    except (Wrong, OSError) as e:
        print("%s: %s" % (type(worker).__name__.lower(), e), flush=True)
        return 1
    print("%s: %d steps" % (type(worker).__name__.lower(), steps), flush=True)
    return 0


def run(options):
    stop = options.stop or os.path.join(options.folder, "stop")

    def enough(worker):
        if isinstance(worker, Keeps) and worker.n == options.files:
            open(stop, "w").close()
        return os.path.exists(stop)

    os.makedirs(options.folder, exist_ok=True)
    children = []
    for kind in Changes, Churn, Keeps:
        rng = random.Random("%d %s" % (options.seed, kind.__name__))
        pid = os.fork()
        if pid == 0:
            os._exit(work(kind(options.folder, rng, List(options.list)),
                          enough))
        children.append(pid)
    # If one fails, the others need not go on.
    failed = False
    for _ in children:
        _, status = os.wait()
        if status != 0:
            failed = True
            open(stop, "w").close()
    return failed


def check(options):
    n = 0
    with open(options.list, encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split()
            # The last line of a guest that was killed may be cut.
            if len(words) != 4 or words[0] != "KEPT" or line[-1] != "\n":
                continue
            path = os.path.join(options.folder, words[1])
            with open(path, "rb") as g:
                data = g.read()
            if (zlib.crc32(data), len(data)) != (int(words[2], 16),
                                                 int(words[3])):
                raise Wrong("%s differs" % words[1])
            n += 1
    print(n)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("list", metavar="LIST")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--files", type=int, metavar="N")
    parser.add_argument("--stop", metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.check:
        return run(options)
    try:
        check(options)
    except (Wrong, OSError) as e:
        print(e)
        return 1
    return 0


sys.exit(main())
