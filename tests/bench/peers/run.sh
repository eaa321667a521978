#!/bin/bash
# run.sh [PEER...]: the peers that are installed, one after the other, in the
# table of the other figures, and at the end side by side.  QUICK=1 shortens;
# BUILD is the build directory.
set -u
here=$(dirname "$0")
status=0
rows=$(mktemp "${TMPDIR:-/var/tmp}/zkfs-rows.XXXXXX") || exit 1
trap 'rm -f "$rows"' EXIT

echo "# $(uname -sr), $(nproc) processors," \
    "load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%FT%TZ);" \
    "servers and clients share this machine"
printf '%-44s %11s %-7s %-22s %8s %7s %-15s %-9s\n' measure value unit \
    against its ratio p10..p90 goal
[ $# -gt 0 ] || set -- zkfs zookeeper etcd nats redis queue
for peer; do
	timeout 900 "$here/$peer.sh" | tee -a "$rows"
	[ "${PIPESTATUS[0]}" -eq 0 ] || status=1
done
awk -f "$here/beside.awk" "$rows"
exit $status
