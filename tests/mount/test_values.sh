#!/bin/bash
# timeout: 600
# A value is replaced as a whole: no reader ever meets an empty file, or parts
# of two values.  ROUNDS is the number of replacements.
. "$(dirname "$0")/lib.sh"
worker=$BUILD/tests/mount/worker_value
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 20000 || echo 2000)}

# $1 writes $2 values of at most $3 bytes; two readers look on.
replace_and_read() {
	local file=$1 last=$2 bytes=$3 reader readers=() status=0
	must "$worker" write "$file" 0 0 "$bytes"
	for reader in 1 2; do
		spawn "$worker" read "$file" "$last"
		readers+=($!)
	done
	"$worker" write "$file" 0 "$last" "$bytes" || status=1
	for reader in "${readers[@]}"; do
		wait "$reader" || status=1
	done
	return "$status"
}

# One line of shell each: $1 is the file, $2 the last number.  A value has to be
# read at once: bash does, dash reads byte by byte, and cat reads until the end.
# shellcheck disable=SC2016
shell_writer='i=0; while [ $i -le $2 ]; do
	case $((i % 3)) in
	0) echo "v $i end" >$1 ;;
	1) echo "v $i .................................... end" >$1 ;;
	2) printf "v %s -- end\n" $i >$1 ;;
	esac || exit 1
	i=$((i + 1)); done'
# shellcheck disable=SC2016
shell_reader='n=0; while :; do
	case $0 in
	bash) read -r value <$1 ;;
	dash) value=$(dd if=$1 bs=4096 count=1 status=none) ;;
	esac
	i=${value#v } rest=${value#v * }
	i=${i%% *}
	case $rest in
	"end" | "-- end" | ".................................... end") ;;
	*) echo "empty or mixed: $value"; exit 1 ;;
	esac
	n=$((n + 1))
	[ $i -ge $2 ] && break; done; [ $n -ge 1 ]'

replace_in_shells() {
	local file=$1 last=$2 shell readers=() reader status=0
	echo "v 0 end" >"$file"
	for shell in bash dash; do
		spawn "$shell" -c "$shell_reader" "$shell" "$file" "$last"
		readers+=($!)
	done
	for shell in bash dash; do
		"$shell" -c "$shell_writer" "$shell" "$file" "$last" || status=1
	done
	for reader in "${readers[@]}"; do
		wait "$reader" || status=1
	done
	return "$status"
}

must start_fs
check "$rounds values of up to 200 bytes" \
    replace_and_read "$M/short" "$rounds" 200
check "$((rounds / 4)) values of up to 12000 bytes" \
    replace_and_read "$M/pages" "$((rounds / 4))" 12000
check "$((rounds / 40)) values of up to 1 MiB - 4 KiB" \
    replace_and_read "$M/large" "$((rounds / 40))" $((1024 * 1024 - 4096))
check "$((rounds / 8)) values from and to bash and dash" \
    replace_in_shells "$M/shells" "$((rounds / 8))"

# A new file is there with its value, or not at all... to whoever waits for
# the value; an empty file may be seen, since opening it made it.
check "a value that a hundred writers replace is one of theirs" \
    python3 - "$M/many" <<'END'
import os, sys
path = sys.argv[1]
def write(worker):
    for i in range(5):
        line = (b"%d " % worker) * (1 + (worker * 7 + i) % 40) + b"\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        assert os.write(fd, line) == len(line)
        os.close(fd)
pids = []
for worker in range(100):
    pid = os.fork()
    if pid == 0:
        write(worker)
        os._exit(0)
    pids.append(pid)
bad = 0
for pid in pids:
    bad += os.waitpid(pid, 0)[1] != 0
assert bad == 0, bad
words = open(path).read().split()
assert len(words) >= 1 and len(set(words)) == 1, words
END
must stop_fs
