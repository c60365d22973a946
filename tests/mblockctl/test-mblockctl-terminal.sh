#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# top, map, tables and progress bars in a pseudo-terminal.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
start_fake s.slow slow=0.05
"$ctl" -s "$tmp/s" clone idle disk-{10..58} --quiet
"$ctl" -s "$tmp/s" create --quiet $'evil\e[2J\u009b'
python3 "$tests/mblockctl-terminal.py" "$ctl" "$tmp/s" "$@" || rc=1
# Progress over many disks, in terminals of several widths: a bar, a rate and
# the time to go, in one line.
start_fake many
shown='progress'
python3 - "$ctl" "$tmp/many" "${pids[-1]}" <<'END' || wrong "see above"
import fcntl, os, pty, re, signal, struct, sys, termios, time
ctl, path, server = sys.argv[1], sys.argv[2], int(sys.argv[3])

def waits(pid):
    """It runs mblockctl, which sleeps until the server answers."""
    return (os.readlink("/proc/%d/exe" % pid).endswith("mblockctl") and
            open("/proc/%d/stat" % pid).read().rpartition(") ")[2][0] == "S")

for width in 20, 60, 80, 200:
    os.kill(server, signal.SIGSTOP)
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.execv(ctl, [ctl, "-s", path, "destroy", "--ignore-missing"] +
                 ["disk-%d" % i for i in range(300)])
    while not waits(pid):
        time.sleep(0.01)
    time.sleep(1.2)             # for the bar, and for the time to go
    os.kill(server, signal.SIGCONT)
    text = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        text += data
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    frames = re.findall(r"\r([^\r\n]*?)\x1b\[K", text.decode())
    frames = [f for f in frames if f]
    assert frames, text
    for f in frames:
        assert len(f) < width, (width, f)
        assert f.startswith("destroy"), f
    if width >= 60:
        assert re.match(r"destroy \[[#.]{5,}\] +\d+%  [0-9.k]+/s, to go ",
                        frames[0]), frames[0]
END

# Tables that are printed once: no wider than the terminal, and the first and
# the last column are there.
shown='tables'
"$ctl" -s "$tmp/s" clone idle disk-2 a-disk-with-a-name-of-many-letters --quiet
python3 - "$ctl" "$tmp/s" <<'END' || wrong "see above"
import fcntl, os, pty, re, struct, sys, termios
ctl, path = sys.argv[1:]

def output(width, *command):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.execv(ctl, [ctl, "-s", path, "--color", "never"] + list(command))
    text = b""
    try:
        while data := os.read(fd, 65536):
            text += data
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    return text.decode().splitlines()

for width in 60, 80, 200:
    for last, command in (("ERR/s", ["top", "--once", "--delay", "0.1"]),
                          ("ERRORS", ["stats"]), ("", ["list"])):
        lines = output(width, *command)
        for line in lines:
            assert len(line) <= width, (width, command, line)
        header = [l for l in lines if l.startswith("NAME ")][-1]
        assert header.endswith(last), (width, header)
        assert any(re.match(r"a-disk-\S*letters ", l) for l in lines), \
            (width, lines)
        if command == ["stats"]:
            names = [l.split()[0] for l in lines if l.startswith("disk-")]
            assert names[:2] == ["disk-2", "disk-10"], names
    memory = [l for l in output(width, "top", "-1") if l.startswith("Memory")][0]
    assert "Clients " in memory, (width, memory)
END
exit $rc
