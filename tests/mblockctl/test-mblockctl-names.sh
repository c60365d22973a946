#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Names that hold anything: they arrive as they are, and no terminal obeys them.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
export MBLOCK_SOCKET=$tmp/s
"$ctl" destroy --quiet --force golden busy idle

long=$(printf 'x%.0s' {1..4000})
names=('' ' ' ' a' 'a b' 'a"b' 'a\b' $'a\nb' $'\e[2J' $'a\x7f' $'a\u009b31m'
       $'a\u202eb' 'größe' '日本' $'e\u0301' -x --json '$(id)' '*' "$long"
       $'\u200b')
for n in "${names[@]}"; do
  if [ "$n" ]; then
    status 0 create --quiet -- "$n" 1M
  else
    status 2 create '' 1M
    status 0 call disk_create '{"name": "", "size": 1048576}'
  fi
  no_error
done

# As they are, for programs.
status 0 list --null
LC_ALL=C sort -z "$tmp/out" > "$tmp/sorted"
printf '%s\0' "${names[@]}" | LC_ALL=C sort -z | cmp -s - "$tmp/sorted" ||
  wrong "expected the names as they are"
status 0 list --json
json 'len(r["disks"]) == 20 and "a\u202eb" in [d["name"] for d in r["disks"]]'
for n in "${names[@]}"; do
  status 0 info --json -- "$n"
  N=$n json '__import__("os").environ["N"] == r[0]["name"]'
done

# A name is not taken for a pattern after its disk has gone.
status 0 create 'gone*' 1M
status 0 create 'gone-not' 1M
status 0 destroy -F 'gone*'
status 1 destroy -F 'gone*'
error_has 'there is no disk "gone*"'
status 0 destroy 'gone*'
out_is 'destroyed gone-not'

# For people: nothing but plain text.
plain () {
  LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$tmp/out" "$tmp/err" &&
    wrong "expected no control characters"
  cat "$tmp/out" "$tmp/err" |
    grep -q -e $'\u009b' -e $'\u200b' -e $'\u202e' &&
    wrong "expected no invisible characters"
}
status 0 list
plain
out_has '"\x1b[2J"'
out_has '"a\u{9b}31m"'
out_has '"a\u{202e}b"'
out_has '"a\x7f"'
out_has '"a\nb"'
out_has '"a\"b"'
out_has '"a\\b"'
out_has '" a"'
grep -q '^"" ' "$tmp/out" || wrong "expected \"\" for the empty name"
grep -q '^größe ' "$tmp/out" || wrong "expected größe without quotes"
for n in "${names[@]}"; do
  for c in info stats map 'clone --ignore -- x' 'resize -- x'; do
    run $c -- "$n"
    plain
  done
done
status 1 destroy -F $'no\e[2Jsuch'
plain
error_has 'no\x1b[2Jsuch'

# The column after a name stands at the same place, however wide its letters.
status 0 list 'gr*' '日*' 'e*' 'a b'
python3 - "$tmp/out" <<'EOP' || wrong "expected straight columns"
import sys, unicodedata as u
def width(s):
    return sum(0 if u.combining(c) else 1 + (u.east_asian_width(c) in "WF")
               for c in s)
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
ends = {width(l[:l.index("SIZE") + 4 if "SIZE" in l else l.index("1M") + 2])
        for l in lines}
sys.exit(len(lines) != 5 or len(ends) != 1)
EOP

# Patterns match characters, whatever the locale.
for LC in C C.UTF-8; do
  for p in 'gr??e' 'gr[ö]*' '[!a-f]r?ße' 'gr[ñ-ø]ße'; do
    LC_ALL=$LC status 0 list --names "$p"
    [ "$(cat "$tmp/out")" = größe ] || wrong "expected größe for $p in $LC"
  done
  LC_ALL=$LC status 0 list --names '[一-龯]?'
  [ "$(cat "$tmp/out")" = 日本 ] || wrong "expected 日本 in $LC"
done
status 2 list '[a'
error_has 'list: pattern [a: expected a ] after the ['
status 2 list a $'\xff'
error_has 'list: NAME "\xff": expected valid UTF-8'

# In a locale without UTF-8, only ASCII.
LC_ALL=C status 0 list
LC_ALL=C grep -q '[^ -~]' "$tmp/out" && wrong "expected ASCII"
out_has '"gr\u{f6}\u{df}e"'

exit $rc
