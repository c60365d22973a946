# SPDX-License-Identifier: BSD-3-Clause
# What the tests of identity= use beyond mnbd-functions.sh: an upstream that
# comes back, a client that does what it is told, and the refusals in the log.
# To be sourced by bash.

. "$(dirname "${BASH_SOURCE[0]}")/mnbd-functions.sh"
only_mnbd

# The witness finds some of this too, and is off unless it is the subject.
forward () { start_forwarder connections=2 reconnect=60 witness=false "$@"; }
# upstream ARGUMENTS…: mramdisk as "u".
upstream () { rm -f c; start_server u "$mramdisk" size=8M control="$tmp/c" "$@"; }
ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }
# disconnect: the server ends mnbd's connections, so that it connects anew.
disconnect () { ctl disconnect "$1"; }

# ------------------------------------------------ a client, told what to do
# begin EXPRESSION: the client works on it.  answer EXPECTED: its result.
client_begins ()
{
  rm -f ask told
  mkfifo ask told
  python <<'END' &
h = connect()
def write(c):
    h.pwrite(c * 65536, 0)
    return "written"
def flush():
    h.flush()
    return "flushed"
def read():
    data = bytes(h.pread(65536, 0))
    return chr(data[0]) if data == data[:1] * 65536 else "a mixture"
with open("ask") as ask, open("told", "w", 1) as told:
    for line in ask:
        if line == "end\n":
            break               # servers have the descriptor too
        try:
            told.write("%s\n" % eval(line))
        except nbd.Error as e:
            told.write("failed: %s\n" % e.errno)
END
  child client $!
  exec 7>ask 8<told
}
begin () { echo "$1" >&7; }
answer ()
{
  local reply
  read -r -t 60 -u 8 reply || fail "the client does not answer: $(cat s.log)"
  check "the client" "$reply" "$1"
}
ask () { begin "$1"; answer "$2"; }
client_ends ()
{
  begin end
  exec 7>&- 8<&-
  wait "${children[client]}" || fail "the client: $(cat s.log)"
  unset "children[client]"
}

uuid='[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
# refusals: how many lines say that.
refusals ()
{
  grep -cE "refused because it has changed: its UUID is no longer $uuid \(see identity=\)" s.log || :
}
refused () { [ "$(refusals)" = "$1" ]; }
is_refused () { wait_for "refusal $1: $(cat s.log)" refused "$1"; }

# nothing_answered: the client still waits.
nothing_answered ()
{
  local reply
  if read -r -t 0.5 -u 8 reply; then fail "the client got $reply"; fi
}

# begin_with ARGUMENTS…: a client that has written "a" to the upstream.
begin_with ()
{
  upstream "$@"
  forward socket="$tmp/u.sock" export=d
  client_begins
  ask 'write(b"a")' written
  ask 'flush()' flushed
}

end ()
{
  client_ends
  stop_server s
  stop_server u
  rm -f arena
}
