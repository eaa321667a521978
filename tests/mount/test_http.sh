#!/bin/bash
# http=ADDR:PORT serves the metrics, to many and to rude clients, and goes on
# over an upgrade.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"

port_is_taken() {
	grep -qi "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") " /proc/net/tcp
}
port=$((20000 + $$ * 16 % 10000))
while port_is_taken $port; do
	port=$((port + 1))
done
# One request, as it stands, and the whole answer.
ask() {
	exec 7<>/dev/tcp/127.0.0.1/$port || return 1
	printf '%b' "$1" >&7
	timeout 20 cat <&7
	exec 7<&-
}
get() {
	ask "GET $1 HTTP/1.1\r\nHost: x\r\n\r\n"
}

must start_fs "http=127.0.0.1:$port"
get /metrics >"$WORK/answer"
same "the status" "HTTP/1.1 200 OK" "$(head -n 1 "$WORK/answer" | tr -d '\r')"
check "the type" grep -q "^Content-Type: application/openmetrics-text" \
    "$WORK/answer"
names() {
	grep '^# TYPE' | sort
}
same "what .zkfs/metrics has" "$(names <"$M/.zkfs/metrics")" \
    "$(names <"$WORK/answer")"
same "to the end" "# EOF" "$(tail -n 1 "$WORK/answer")"
check "as long as it says" python3 - "$WORK/answer" <<'END'
import re, sys
head, body = open(sys.argv[1], "rb").read().split(b"\r\n\r\n", 1)
assert int(re.search(rb"Content-Length: (\d+)", head).group(1)) == len(body)
END
# shellcheck disable=SC2317
says() {
	ask "$2" | head -n 1 | grep -q " $1 "
}
check "a query does not count" says 200 'GET /metrics?x=1 HTTP/1.0\r\n\r\n'
check "HEAD" says 200 'HEAD /metrics HTTP/1.1\r\n\r\n'
same "has no body" "" "$(ask 'HEAD /metrics HTTP/1.1\r\n\r\n' |
    sed '1,/^\r$/d')"
check "another path" says 404 'GET / HTTP/1.1\r\n\r\n'
check "another method" says 405 'POST /metrics HTTP/1.1\r\n\r\n'
check "garbage" says 400 '\001\002\r\n\r\n'
check_not "too long a request" says 200 \
    "GET /metrics HTTP/1.1\r\nA: $(head -c 9000 /dev/zero | tr '\0' a)\r\n\r\n"

# Clients that say nothing are in nobody's way for longer than their time.
check "thirty that are silent" python3 - $port <<'END'
import socket, sys, threading
at = ("127.0.0.1", int(sys.argv[1]))
silent = [socket.create_connection(at) for _ in range(30)]
s = socket.create_connection(at)
s.settimeout(60)
s.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
data = b""
while True:
    piece = s.recv(65536)
    if not piece:
        break
    data += piece
assert data.endswith(b"# EOF\n"), data[-80:]
END

mkdir "$WORK/m2"
"$BUILD/mount.zkfs" "$WORK/m2" -o \
    "data=$WORK/d2,config=none,http=127.0.0.1:$port" 2>"$WORK/err"
same "a port in use" 32 $?
same "is one line" 1 "$(wc -l <"$WORK/err")"
check "that names the key" grep -q \
    "^mount.zkfs: http=127.0.0.1:$port: Address already in use" "$WORK/err"
check_not "and nothing is mounted" is_mounted "$WORK/m2"
"$BUILD/mount.zkfs" "z1=127.0.0.1:$port" "$WORK/m2" \
    -o "data=$WORK/d3,config=none,name=z1" 2>"$WORK/err"
same "the same for that of the member" 32 $?
same "it names where it is from" \
    "mount.zkfs: source=127.0.0.1:$port: Address already in use" \
    "$(cat "$WORK/err")"

check "an upgrade" "$BUILD/zkfs" -m "$M" upgrade
check "after which it serves again" says 200 'GET /metrics HTTP/1.1\r\n\r\n'
must stop_fs
check_not "nobody listens after the end" get /metrics
