/*
 * stranger NAME VERSION KEY PEER ADDRESS: dials a member as another one does,
 * but speaks VERSION of what members say to each other.  Prints why it was
 * refused; exit status 1 if it was not.
 */
#include <err.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consensus/transport.h"
#include "daemon/cluster_key.h"

#define LIMIT_MS 10000
#define NODE     0x5742a46e57ull
#define DIALS    5 /* again and again, as a member would */

static atomic_int refused, met;

static bool
on_received(void *arg, const struct zk_transport_frame *frame)
{
	(void)arg;
	(void)frame;
	return true;
}

static void
on_up(void *arg, const struct zk_transport_peer_info *info)
{
	(void)arg;
	(void)info;
	atomic_store(&met, 1);
}

static void
on_down(void *arg, uint64_t peer, const char *reason)
{
	(void)arg;
	(void)peer;
	(void)reason;
}

static void
on_refused(void *arg, const struct zk_transport_refusal *refusal)
{
	(void)arg;
	if (refusal->by_peer && atomic_fetch_add(&refused, 1) == 0) {
		(void)printf("%s\n", zk_refusal_text(refusal->reason));
		(void)fflush(stdout);
	}
}

int
main(int argc, char **argv)
{
	struct zk_transport_options options = {
	    .node = NODE,
	    .incarnation = 1,
	    .dial_all = true,
	    .lanes = ZK_LANES_MAX,
	    .callbacks =
	        {
	            .received = on_received,
	            .peer_up = on_up,
	            .peer_down = on_down,
	            .refused = on_refused,
	        },
	};
	struct zk_transport_peer peer = {0};
	struct zk_transport *t;
	struct zk_auth_key key;
	struct zk_fault fault;

	if (argc != 6)
		errx(2, "usage: stranger NAME VERSION KEY PEER ADDRESS");
	if (zk_cluster_key_read(argv[3], &key, &fault) < 0)
		errx(2, "%s", fault.text);
	options.name = argv[1];
	options.version = (uint16_t)strtoul(argv[2], NULL, 10);
	options.key = key.bytes;
	options.key_len = key.len;
	peer.name = argv[4];
	peer.address = argv[5];
	if (zk_transport_open(&options, &t) < 0 || zk_transport_start(t) < 0 ||
	    zk_transport_set_peers(t, &peer, 1) < 0)
		errx(2, "cannot dial %s", argv[5]);
	for (int ms = 0; ms < LIMIT_MS && atomic_load(&refused) < DIALS &&
	     atomic_load(&met) == 0;
	     ms += 10)
		(void)poll(NULL, 0, 10);
	zk_transport_close(t);
	return atomic_load(&met) == 0 && atomic_load(&refused) > 0 ? 0 : 1;
}
