# SPDX-License-Identifier: BSD-3-Clause
"""A model of named disks that one client manages and uses, and what they may
hold after the server was killed in the middle of an operation.

Each client has names of its own, one connection to the control socket, and one
to each of its disks.  An operation is chosen from the model alone, then it is
done on the server, and then in the model.  What was answered must be there.  A
control operation that was cut short is done completely or not at all; of a
request each byte is the old one or the new one.

The content of a disk is a window: before its base, the disk is a hole.
"""

from controltest import Control
from nbdtest import GiB, KiB, MiB, check, connect

SIZES = [64 * KiB, 256 * KiB, MiB, MiB + 512]
# At the start; across two leaves of the tree; two levels; three.
BASES = [0, 0, 0, 4 * MiB - 32 * KiB, 4 * GiB - 32 * KiB, 1024 * GiB]
LENGTHS = [1, 512, 4096, 5000, 65536, 300000]


class Disk:
    """Never changed once it is in the model."""

    def __init__(self, data, uid, base=0, readonly=False, parent=None,
                 over=False):
        self.data = data
        self.uid = uid          # which disk it is, whatever its name
        self.base = base
        self.readonly = readonly
        self.parent = parent    # the uid of what it was cloned from
        self.over = over        # it may have an origin

    def but(self, **changes):
        return Disk(**{**vars(self), **changes})

    def size(self):
        return self.base + len(self.data)

    def resized(self, length):
        data = self.data[:length]
        return self.but(data=data + bytes(length - len(data)))

    def with_bytes(self, data, offset):
        copy = bytearray(self.data)
        copy[offset:offset + len(data)] = data
        return self.but(data=copy)


class Operation:
    def __init__(self, what, run, model=None, names=(), range=None,
                 apart=()):
        self.what = what
        self.run = run          # does it, and raises an exception if it fails
        self.model = model or (lambda disks: disks)
        self.names = names      # whose connections it makes stale
        self.range = range      # of a request: name, offset, length
        self.apart = apart      # if it is cut short, any of these may be there


class Shadow:
    """The disks of one client, whose names begin with prefix."""

    kinds = {"write": 8, "zero": 2, "trim": 2, "create": 1, "clone": 2,
             "replace": 1, "resize": 1, "set": 1, "rename": 1, "destroy": 1}
    lengths = LENGTHS
    client = Control

    def __init__(self, prefix, random, most):
        self.prefix = prefix
        self.random = random
        self.most = most
        self.disks = {}         # what holds, by name
        self.after = None       # or this, if the operation was done
        self.op = None          # that is not answered yet
        self.what = "nothing"   # the last one
        self.uids = 0

    def open(self):
        self.control = self.client()
        self.handles = {}

    def handle(self, name):
        if name not in self.handles:
            self.handles[name] = connect(name)
        return self.handles[name]

    def step(self):
        op = self.choose()
        if op:
            self.perform(op)

    def perform(self, op):
        self.op, self.after, self.what = op, op.model(self.disks), op.what
        op.run()
        self.disks, self.op, self.after = self.after, None, None
        # A connection keeps the disk, size and flag that it had.
        for name in op.names:
            self.handles.pop(name, None)

    # ---------------------------------------------------------------- choice

    def pick_kind(self):
        if not self.disks:
            return "create"
        kind = self.random.choices(list(self.kinds),
                                   list(self.kinds.values()))[0]
        return kind

    def choose(self):
        """An operation, or None; the model decides, not what happened."""
        return getattr(self, "choose_" + self.pick_kind())()

    def pick(self, fits=lambda d: True):
        names = sorted(n for n, d in self.disks.items() if fits(d))
        return self.random.choice(names) if names else None

    def fresh(self):
        while True:
            name = self.prefix + str(self.random.randrange(100000))
            if name not in self.disks:
                return name

    def uid(self):
        self.uids += 1
        return self.uids

    def full(self):
        return len(self.disks) >= self.most

    def call(self, method, model, names, apart=(), /, **params):
        """The operation that calls a method."""
        return Operation("%s %r" % (method, params),
                         lambda: self.control.call(method, **params),
                         model, names, apart=apart)

    def choose_create(self):
        if self.full():
            return self.choose_destroy()
        name = self.fresh()
        d = Disk(bytes(self.random.choice(SIZES)), self.uid(),
                 self.random.choice(BASES))
        return self.call("disk_create", lambda disks: {**disks, name: d},
                         [name], name=name, size=d.size())

    def clone_to(self, source, name, readonly, **params):
        uid = self.uid()

        def model(disks):
            d = disks[source]
            return {**disks, name: d.but(uid=uid, parent=d.uid,
                                         readonly=readonly)}
        return self.call("disk_clone", model, [name], source=source, name=name,
                         readonly=readonly, **params)

    def choose_clone(self):
        if self.full():
            return self.choose_destroy()
        return self.clone_to(self.pick(), self.fresh(),
                             self.random.random() < 0.3)

    def choose_replace(self):
        source, name = self.pick(), self.pick()
        if name != source:
            return self.clone_to(source, name, False, if_exists="replace")
        return None

    def choose_resize(self):
        name, length = self.pick(), self.random.choice(SIZES)
        return self.call("disk_resize", lambda disks: {
            **disks, name: disks[name].resized(length)}, [name], name=name,
            size=self.disks[name].base + length)

    def choose_set(self):
        name, readonly = self.pick(), self.random.random() < 0.2
        return self.call("disk_set", lambda disks: {
            **disks, name: disks[name].but(readonly=readonly)}, [name],
            name=name, readonly=readonly)

    def choose_rename(self):
        old, new = self.pick(), self.fresh()

        def model(disks):
            disks = dict(disks)
            disks[new] = disks.pop(old)
            return disks
        return self.call("disk_rename", model, [old, new], name=old,
                         new_name=new)

    def choose_destroy(self):
        name = self.pick()
        return self.call("disk_destroy", lambda disks: {
            n: d for n, d in disks.items() if n != name}, [name], name=name)

    def choose_write(self):
        return self.choose_data("write")

    def choose_zero(self):
        return self.choose_data("zero")

    def choose_trim(self):
        return self.choose_data("trim")

    def choose_data(self, kind):
        name = self.pick(lambda d: not d.readonly)
        if name is None:
            return None
        d, r = self.disks[name], self.random
        offset = r.randrange(len(d.data))
        length = min(r.choice(self.lengths), len(d.data) - offset)
        new = r.randbytes(length) if kind == "write" else bytes(length)
        if kind == "trim":      # whole pages only become zeros
            offset -= offset % 4096
            length = (len(d.data) - offset) // 4096 * 4096
            length = min(length, r.randrange(1, 9) * 4096)
            if length == 0:
                return None
            new = bytes(length)

        def run():
            h, at = self.handle(name), self.disks[name].base + offset
            if kind == "write":
                h.pwrite(new, at)
            elif kind == "zero":
                h.zero(length, at)
            else:
                h.trim(length, at)
        return Operation(
            "%s of %d bytes at %d of %s" % (kind, length, d.base + offset,
                                            name), run,
            lambda disks: {**disks, name: disks[name].with_bytes(new, offset)},
            range=(name, offset, length))

    # ------------------------------------------------------------ comparison

    def mine(self):
        """What the server lists of these disks, by name."""
        listed, after = {}, {"after": self.prefix[:-1]}
        while after:
            page = self.control.call("disk_list", limit=1000, **after)
            listed.update((d["name"], d) for d in page["disks"]
                          if d["name"].startswith(self.prefix))
            after = {"after": page["next"]} if page["next"] and \
                page["next"] < self.prefix + "~" else None
        return listed

    def difference(self, disks, listed, content):
        """None, or what differs."""
        if sorted(disks) != sorted(listed):
            return "there is %r, there is no %r" % (
                sorted(set(listed) - set(disks)),
                sorted(set(disks) - set(listed)))
        for name, d in disks.items():
            is_now = listed[name]["size"], listed[name]["readonly"]
            if is_now != (d.size(), d.readonly):
                return "%s: %r, expected %r" % (name, is_now,
                                                (d.size(), d.readonly))
            now = content(name, d)
            if now != d.data:
                return "%s: %s" % (name, first_difference(now, d.data, d.base))
        return None

    def judge(self, listed, content):
        """Compare all disks with the model, after the server was killed.
        content: a function of a name and what the disk may be, that returns
        the bytes of its window.  Returns whether the operation that was cut
        short, if any, was certainly done."""
        after = self.disks if self.after is None else self.after
        cut = self.op
        if cut and cut.range and cut.range[0] in listed:
            # Each byte is the old one or the new one; then it is what holds.
            name, offset, length = cut.range
            old, new = self.disks[name].data, after[name].data
            now = content(name, after[name])
            if len(now) == len(old) and mixed(now, old, new, offset,
                                              offset + length):
                after = {**after, name: after[name].with_bytes(
                    now[offset:offset + length], offset)}
        if cut and cut.apart:
            after = {n: d for n, d in after.items()
                     if n not in cut.apart or n in listed or n in self.disks}
        first = self.difference(after, listed, content)
        if first is None:
            self.disks = after
        else:
            second = self.difference(self.disks, listed, content)
            if second is not None:
                raise SystemExit("FAIL: after %s, which was %s: %s; %s" % (
                    self.what, "cut short" if cut else "answered", second,
                    first))
        self.after = self.op = None
        return bool(cut and first is None and not cut.range and not cut.apart)

    def compare(self):
        """judge(), with what the server has now."""
        read = {}

        def content(name, d):
            if (name, d.base) not in read:
                read[name, d.base] = read_all(connect(name), d.base, d.size())
            return read[name, d.base]
        return self.judge(self.mine(), content)


def read_all(h, base, end, size=None):
    """The bytes of a disk from base to end, by a connection.  size: what it
    must be, if it does not end there."""
    check("size", h.get_size(), size or end)
    return b"".join(bytes(h.pread(min(256 * KiB, end - at), at))
                    for at in range(base, end, 256 * KiB))


def mixed(now, old, new, begin, end):
    """Whether each byte there is the old or the new one."""
    return now[begin:end] in (old[begin:end], new[begin:end]) or all(
        now[i] in (old[i], new[i]) for i in range(begin, end))


def first_difference(actual, expected, base=0):
    if len(actual) != len(expected):
        return "%d bytes, expected %d" % (len(actual), len(expected))
    i = next(i for i in range(len(actual)) if actual[i] != expected[i])
    return "byte %d is %#x, expected %#x" % (base + i, actual[i], expected[i])
