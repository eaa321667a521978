#!/bin/bash
# timeout: 300
# sqlite keeps a database on the mount: transactions, four writers at once,
# and one that is killed in the middle.
# skip-ok: sqlite3 may be absent
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v sqlite3 >/dev/null || skip "needs sqlite3"
must start_fs
cd "$M" || exit 1
sql() {
	sqlite3 -cmd '.timeout 30000' "$@"
}
inserts=$([ "${FULL:-0}" = 1 ] && echo 200 || echo 25)

must sql db 'create table t (who integer, n integer, text text);
    create table sum (total integer); insert into sum values (0);'
check "a transaction" sql db 'begin; insert into t values (0, 1, "one");
    insert into t values (0, 2, "two"); commit;'
same "its rows" 2 "$(sql db 'select count(*) from t')"
check_not "one that fails in the middle" sql db 'begin;
    insert into t values (0, 3, "x"); insert into nothing values (1); commit;'
same "leaves nothing" 2 "$(sql db 'select count(*) from t')"
check "rollback" sql db 'begin; delete from t; rollback;'
same "brings all back" 2 "$(sql db 'select count(*) from t')"

write_rows='for ((i = 0; i < $2; i++)); do
	sqlite3 -bail -cmd ".timeout 60000" db "begin immediate;
	    insert into t values ($1, $i, hex(randomblob(100)));
	    update sum set total = total + 1; commit;" || exit 1
done'
write_together() {
	local pids=() pid i status=0
	for i in 1 2 3 4; do
		spawn bash -c "$write_rows" write "$i" "$inserts"
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	return "$status"
}
check "four writers, $inserts transactions each" write_together
same "no row is lost" $((4 * inserts)) \
    "$(sql db 'select count(*) from t where who > 0')"
same "no increment is lost" $((4 * inserts)) \
    "$(sql db 'select total from sum')"
same "integrity" ok "$(sql db 'pragma integrity_check')"

# Killed between its writes, the journal is rolled back by who comes next.
big='begin immediate; update sum set total = -1;
    insert into t select 9, value, hex(randomblob(2000)) from
    generate_series(1, 3000); select "written"; '
mkfifo "$WORK/in" "$WORK/reply"
exec 8<>"$WORK/in"
spawn bash -c 'exec sqlite3 -cmd "pragma cache_size = 10" db <"$1/in" \
    >"$1/reply"' sh "$WORK"
victim=$!
exec 7<"$WORK/reply"
echo "$big" >&8
read -r line <&7
same "a writer is in the middle of a transaction" written "$line"
check "with a journal beside the database" test -s db-journal
kill -KILL "$victim"
wait "$victim" 2>/dev/null
exec 7<&- 8>&-
same "its transaction never was" $((4 * inserts)) \
    "$(sql db 'select total from sum')"
same "integrity after that" ok "$(sql db 'pragma integrity_check')"

check "vacuum" sql db vacuum
check "a backup on the mount" sql db '.backup copy'
same "is the same" "$(sql db .dump | sha256sum)" "$(sql copy .dump | sha256sum)"
check "journal_mode = truncate" sql db 'pragma journal_mode = truncate;
    insert into t values (5, 1, "x");'
check "journal_mode = persist" sql db 'pragma journal_mode = persist;
    insert into t values (5, 2, "x");'
check "journal_mode = wal, with its shared memory" bash -c '
	[ "$(sqlite3 db "pragma journal_mode = wal")" = wal ] &&
	for i in 1 2 3 4 5; do
		sqlite3 db "insert into t values (6, $i, 1)" || exit 1
	done
	[ "$(sqlite3 db "select count(*) from t where who = 6")" = 5 ] &&
	[ "$(sqlite3 db "pragma journal_mode = delete")" = delete ]'
sum=$(sql db .dump | sha256sum)
cd / || exit 1
must kill_fs
must start_fs
same "all is there after kill -9 of the daemon" "$sum" \
    "$(sqlite3 "$M/db" .dump | sha256sum)"
same "and sound" ok "$(sqlite3 "$M/db" 'pragma integrity_check')"
must stop_fs
