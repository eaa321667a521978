#!/bin/bash
# run.sh [MUTATION...]: break a copy of the code in known ways, one after the
# other, and see that a suite notices each.  A mutation is a file *.mutation:
#   # what it breaks, in a line
#   file PATH
#   suites SUITE...          the fastest that must notice it comes first
# and then Perl, which changes the text of that file ($_ is all of it).
# Suites: raft, fuzz, sim, queue, history, unit:NAME, fault.  A mutation that changes
# nothing or does not build is stale, which is a failure, and so is one that
# all its suites survive: then it is the tests that are wrong.
set -u
here=$(cd "$(dirname "$0")" && pwd)
SRC=$(cd "$here/../.." && pwd)
JOBS=${JOBS:-2}
SIM_SEEDS=${SIM_SEEDS:-300}
QUEUE_SEEDS=${QUEUE_SEEDS:-300}

top=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-mutations.XXXXXX") || exit 2
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
copy=$top/copy
mkdir "$copy"
(cd "$SRC" && git ls-files -co --exclude-standard -z |
    tar --null --ignore-failed-read -T - -cf - 2>/dev/null) |
    tar -C "$copy" -xf - || exit 2
cd "$copy" || exit 2

# Paths in the copy differ from run to run, what is built does not.
export CCACHE_BASEDIR=$copy CCACHE_NOHASHDIR=1 APT=0
command -v ccache >/dev/null && PATH=/usr/lib/ccache:$PATH

# target SUITE: what must be built for it.
target()
{
	case $1 in
	raft | fuzz) echo build/tests/raft/runner ;;
	sim) echo build/tests/sim/sim ;;
	queue) echo build/tests/queue/sim ;;
	history) echo build/tests/lib/history ;;
	unit:*) echo "build/tests/unit/${1#unit:}" ;;
	fault) echo build/tests/fault/fault build/tests/fault/shim.so ;;
	*) echo "no-such-suite-$1" ;;
	esac
}

scripts=()
for script in tests/raft/*.txt; do
	[ "$script" = tests/raft/fuzz.txt ] || scripts+=("$script")
done

# run SUITE: 0 when it survives.
run()
{
	case $1 in
	raft) timeout 120 build/tests/raft/runner "${scripts[@]}" ;;
	fuzz) timeout 120 build/tests/raft/runner tests/raft/fuzz.txt ;;
	sim)
		# First what such a bug was found with once.
		while read -r seed _; do
			case $seed in '#'*) continue ;; esac
			timeout 60 build/tests/sim/sim -1 "$seed" || return
		done <tests/sim/seeds
		timeout 300 build/tests/sim/sim -1 1 "$SIM_SEEDS"
		;;
	queue) timeout 600 build/tests/queue/sim 1 "$QUEUE_SEEDS" ;;
	history) timeout 60 tests/lib/check-histories.sh build/tests/lib/history ;;
	unit:*)
		timeout 120 "build/tests/unit/${1#unit:}" -j1
		;;
	fault)
		timeout 200 "$copy/build/tests/fault/fault" \
		    "$copy/build/tests/fault/shim.so"
		;;
	esac
}

field()
{
	sed -n "s/^$1 //p" "$2" | head -n 1
}

caught=0 survived=0 stale=0
[ $# -gt 0 ] || set -- "$here"/*.mutation
all=()
for mutation; do
	for suite in $(field suites "$mutation"); do
		# shellcheck disable=SC2207 # words
		all+=($(target "$suite"))
	done
done
mapfile -t all < <(printf '%s\n' "${all[@]}" | sort -u)
echo "  BUILD   a copy, for ${#all[@]} programs"
make -s -j"$JOBS" "${all[@]}" >"$top/output" 2>&1 || {
	tail -n 20 "$top/output"
	exit 2
}
for mutation; do
	name=$(basename "$mutation" .mutation)
	file=$(field file "$mutation")
	suites=$(field suites "$mutation")
	what=$(sed -n '1s/^# //p' "$mutation")
	started=$SECONDS
	cp -p "$file" "$top/original"
	sed '1,/^suites /d' "$mutation" >"$top/script"
	perl -0777 -pi "$top/script" "$file" || exit 2
	touch "$file"
	result=survived
	if cmp -s "$file" "$top/original"; then
		result='stale: changes nothing'
	fi
	for suite in $suites; do
		[ "$result" = survived ] || break
		# shellcheck disable=SC2046 # words
		if ! make -s -j"$JOBS" $(target "$suite") >"$top/output" 2>&1
		then
			result='stale: does not build'
			grep -m 3 'error' "$top/output"
			break
		fi
		run "$suite" >"$top/output" 2>&1 </dev/null ||
		    result="caught by $suite$(sed -n \
		        's/^\(seed [0-9]*\):.*/, \1/p' "$top/output" | head -n 1)"
	done
	case $result in
	caught*) caught=$((caught + 1)) ;;
	survived) survived=$((survived + 1)) ;;
	*) stale=$((stale + 1)) ;;
	esac
	printf '  %-24s %s (%d s): %s\n' "$name" "$result" \
	    $((SECONDS - started)) "$what"
	cp "$top/original" "$file"
done
echo "mutations: $caught caught, $survived survived, $stale stale"
[ "$survived" -eq 0 ] && [ "$stale" -eq 0 ] && [ "$caught" -gt 0 ]
