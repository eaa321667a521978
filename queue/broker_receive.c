#include <errno.h>

#include "queue/broker_impl.h"

/* Frames of other hosts, message by message; see broker_impl.h. */

static int
receive_one(struct zk_broker *b, uint64_t from, uint8_t kind, uint64_t id,
    struct zk_dec *dec)
{
	switch (kind) {
	case ZK_TELL_RAFT:
		return zk_group_on_raft(b, from, id, dec);
	case ZK_TELL_SLEEP:
		return zk_group_on_sleep(b, from, id, dec);
	case ZK_TELL_SNAPSHOT:
		return zk_group_on_snapshot(b, from, id, dec);
	case ZK_TELL_FORWARD:
		return zk_group_on_forward(b, from, id, dec);
	case ZK_TELL_ANSWER:
		return zk_append_on_answer(b, from, id, dec);
	case ZK_TELL_ALIVE:
		return zk_host_on_alive(b, from, dec);
	case ZK_TELL_ASK:
		return zk_ask_on_ask(b, from, id, dec);
	case ZK_TELL_REPLY:
		return zk_ask_on_reply(b, from, id, dec);
	case ZK_TELL_WATCH:
		return zk_ask_on_watch(b, from, id, dec);
	case ZK_TELL_INFO:
		return zk_ask_on_info(b, from, id, dec);
	case ZK_TELL_LEFT:
		return zk_group_on_left(b, from, id);
	case ZK_TELL_GONE:
		return zk_group_on_gone(b, from, id);
	case ZK_TELL_HAVE:
		return zk_group_on_have(b, from, id, dec);
	case ZK_TELL_FOLLOW:
		return zk_follow_on_follow(b, from, id, dec);
	case ZK_TELL_ELSEWHERE:
		return zk_follow_on_elsewhere(b, from, id, dec);
	default:
		return -EPROTO;
	}
}

int
zk_broker_receive(struct zk_broker *b, uint64_t from, const void *bytes,
    size_t len)
{
	struct zk_dec dec;
	int rc = 0;

	if (from == 0 || from == b->options.self)
		return -EPROTO;
	zk_host_heard(b, from);
	zk_dec_init(&dec, bytes, len);
	while (rc == 0 && dec.pos < dec.len) {
		const uint8_t kind = zk_dec_u8(&dec);
		const uint64_t id = zk_dec_u64(&dec);

		rc =
		    dec.failed ? -EPROTO : receive_one(b, from, kind, id, &dec);
		if (dec.failed)
			rc = -EPROTO;
	}
	/* What is wrong here ends the turn, not the connection. */
	return rc == -EPROTO ? rc : 0;
}
