#!/bin/bash
# Ephemeral files end with the mount that they were made through, however it
# ends, and the descriptors of their owners end with them.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"

must start_fs
mkdir "$M/e" && chmod u+s "$M/e"
exec 9>"$M/e/by_kill"
echo v >&9
echo ordinary >"$M/f"
must kill_fs
refuses "" bash -c 'echo v >&9'
must start_fs
check_not "gone after kill -9 of the daemon" test -e "$M/e/by_kill"
same "an ordinary file is not" ordinary "$(cat "$M/f")"
check "its name is free" bash -c 'exec 8>"$1/e/by_kill"' sh "$M"
exec 9>&-

exec 9>"$M/e/by_term"
kill -TERM "$FS_PID"
check "SIGTERM ends the daemon in spite of a holder" \
    "$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID"
FS_PID=
exec 9>&-
must start_fs
check_not "gone after SIGTERM" test -e "$M/e/by_term"
same "the directory is empty" "" "$(ls "$M/e")"
must stop_fs
