# A database with its journal on the mounts of three hosts: SQLite goes by
# record locks, by whether the journal is there, and by pages that were read
# before.  What one of these is too old about loses an insert.
. "$(dirname "$0")/lib.sh"
command -v sqlite3 >/dev/null || skip "needs sqlite3"
must start_all

# $1: the host, $2: the database.
insert_all() {
	local j
	for j in $(seq 15); do
		sqlite3 -cmd '.timeout 60000' "$WORK/m$1/$2" \
		    "insert into t values ($1, $j)" || return 1
	done
}
for round in 1 2 3; do
	sqlite3 "$WORK/m1/db$round" 'create table t (host, number)'
	sync "$WORK/m2/." "$WORK/m3/."
	inserting=()
	for i in 1 2 3; do
		insert_all $i db$round 2>"$WORK/err.$i" &
		inserting+=($!)
	done
	for i in 1 2 3; do
		check "round $round: z$i inserts" wait "${inserting[i - 1]}"
		same "and meets no error" "" "$(cat "$WORK/err.$i")"
	done
	for i in 1 2 3; do
		sync "$WORK/m$i/db$round"
		same "nothing is lost on z$i" "1|15 2|15 3|15 ok" \
		    "$(sqlite3 "$WORK/m$i/db$round" 'select host, count(*)
		        from t group by host; pragma integrity_check' | xargs)"
	done
done
must stop_all
