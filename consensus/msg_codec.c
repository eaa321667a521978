#include "consensus/msg_codec.h"

#include <errno.h>

#include "base/assert.h"

enum { FLAG_REJECT = 1, FLAG_TRANSFER = 2 };

void
zk_msg_encode(struct zk_enc *enc, const struct zk_msg *msg)
{
	ZK_ASSERT(msg->type >= ZK_MSG_PREVOTE);
	ZK_ASSERT(msg->type <= ZK_MSG_TYPE_LAST);

	zk_enc_u8(enc, (uint8_t)msg->type);
	zk_enc_u8(enc,
	    (uint8_t)((msg->reject ? FLAG_REJECT : 0) |
	        (msg->transfer ? FLAG_TRANSFER : 0)));
	zk_enc_u16(enc, 0);
	zk_enc_u64(enc, msg->from);
	zk_enc_u64(enc, msg->to);
	zk_enc_u64(enc, msg->term);
	zk_enc_u64(enc, msg->index);
	zk_enc_u64(enc, msg->log_term);
	zk_enc_u64(enc, msg->last);
	zk_enc_u64(enc, msg->entry_term);
	zk_enc_u64(enc, msg->hint_index);
	zk_enc_u64(enc, msg->commit);
	zk_enc_u64(enc, msg->ctx);
}

static bool
bounds_are_kept(const struct zk_msg *msg)
{
	const uint64_t bounded[] = {msg->term, msg->index, msg->log_term,
	    msg->last, msg->entry_term, msg->hint_index, msg->commit, msg->ctx};

	if (msg->from == 0 || msg->to == 0 || msg->from == msg->to)
		return false;
	for (size_t i = 0; i < sizeof(bounded) / sizeof(bounded[0]); i++) {
		if (bounded[i] >= ZK_INDEX_MAX)
			return false;
	}
	if (msg->type != ZK_MSG_APPEND)
		return msg->last == 0 && msg->entry_term == 0;
	return msg->last >= msg->index &&
	    msg->last - msg->index <= ZK_APPEND_ENTRIES_MAX;
}

int
zk_msg_decode(struct zk_dec *dec, struct zk_msg *ret_msg)
{
	const unsigned type = zk_dec_u8(dec);
	const unsigned flags = zk_dec_u8(dec);
	const unsigned zero = zk_dec_u16(dec);
	struct zk_msg msg = {
	    .reject = (flags & FLAG_REJECT) != 0,
	    .transfer = (flags & FLAG_TRANSFER) != 0,
	};

	msg.from = zk_dec_u64(dec);
	msg.to = zk_dec_u64(dec);
	msg.term = zk_dec_u64(dec);
	msg.index = zk_dec_u64(dec);
	msg.log_term = zk_dec_u64(dec);
	msg.last = zk_dec_u64(dec);
	msg.entry_term = zk_dec_u64(dec);
	msg.hint_index = zk_dec_u64(dec);
	msg.commit = zk_dec_u64(dec);
	msg.ctx = zk_dec_u64(dec);
	if (dec->failed || zero != 0)
		return -EPROTO;
	if (type < ZK_MSG_PREVOTE || type > ZK_MSG_TYPE_LAST)
		return -EPROTO;
	if ((flags & ~(unsigned)(FLAG_REJECT | FLAG_TRANSFER)) != 0)
		return -EPROTO;
	msg.type = (enum zk_msg_type)type;
	if (!bounds_are_kept(&msg))
		return -EPROTO;
	*ret_msg = msg;
	return 0;
}

void
zk_conf_encode(struct zk_enc *enc, const struct zk_conf *conf)
{
	ZK_ASSERT(zk_raft_conf_check(conf) == 0);

	zk_enc_u8(enc, (uint8_t)conf->count);
	zk_enc_u32(enc, conf->voter_bits);
	for (uint32_t i = 0; i < conf->count; i++)
		zk_enc_u64(enc, conf->ids[i]);
}

int
zk_conf_decode(struct zk_dec *dec, struct zk_conf *ret_conf)
{
	struct zk_conf conf = {.count = zk_dec_u8(dec)};

	conf.voter_bits = zk_dec_u32(dec);
	if (dec->failed || conf.count > ZK_MEMBERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < conf.count; i++)
		conf.ids[i] = zk_dec_u64(dec);
	if (dec->failed || zk_raft_conf_check(&conf) < 0)
		return -EPROTO;
	*ret_conf = conf;
	return 0;
}
