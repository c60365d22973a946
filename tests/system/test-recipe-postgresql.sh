#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe for databases in mblock-recipes(7): each test has a database of its
# own, a clone of one that was prepared.

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

requires mke2fs runuser
for pg_bin in /usr/lib/postgresql/*/bin; do :; done
[ -x "$pg_bin/initdb" ] || skip "PostgreSQL's server is not installed"
id postgres >/dev/null 2>&1 || skip "there is no user postgres"
block_devices
chmod 711 "$tmp"
PATH=$PATH:$pg_bin
stand_in sudo <<'END'
[ "$1" = -u ]
user=$2
shift 2
exec runuser -u "$user" -- env PATH="$PATH" "$@"
END
recipe_server disk=pg,size=256M
mkdir socket srv/pg
chown postgres socket

step "prepare a data directory"
nbd-client -unix "$sock" "$tmp/dev/nbd1" -name pg
mke2fs -q -t ext4 "$tmp/dev/nbd1"
mount "$tmp/dev/nbd1" srv/pg
mkdir srv/pg/data
chown postgres srv/pg/data
database ()                     # COMMAND…: as the database's user
{
  (cd / && sudo -u postgres "$@")
}
{
  database initdb -A trust -D "$tmp/srv/pg/data"
  printf '%s\n' "listen_addresses = ''" "shared_buffers = 4MB" \
    "unix_socket_directories = '$tmp/socket'" >>srv/pg/data/postgresql.conf
  database pg_ctl -D "$tmp/srv/pg/data" -w -t 300 -l /dev/null start
  database psql -h "$tmp/socket" -c 'create table t as select 1 as i'
  database pg_ctl -D "$tmp/srv/pg/data" -m fast -w -t 300 stop
} >out 2>&1 || fail "$(cat out)"
umount srv/pg
nbd-client -d "$tmp/dev/nbd1"

# A test finds the database as it was prepared, whatever another has done.
query="sudo -u postgres psql -At -h $tmp/socket -c"
change="$query 'insert into t values (2)'"
count="$query 'select count(*) from t' >>$tmp/counts"
for TEST in one two; do
  step "test $TEST"
  export TEST
  recipe_run "A database for each test" "1i cd /
    s|-w start|-w -t 300 -l /dev/null start|
    s|^# the test\$|$change; $count|"
done
check "rows in each test" "$(tr '\n' ' ' <counts)" "2 2 "
check "the disks" "$(mblockctl list --names | tr '\n' ' ')" "pg "
exit 0
