#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/replica_impl.h"

/*
 * A message on the wire: struct zk_msg as consensus/msg_codec.h has it; for
 * an APPEND with entries then u32 count, and for each entry kind u8, time
 * (i64, u32), length u32 and the payload.  Little-endian.
 */
#define WIRE_ENTRY_HEAD (1u + 8u + 4u + 4u)

static void
enc_entry(struct zk_enc *enc, const struct zk_entry *entry)
{
	zk_enc_u8(enc, (uint8_t)entry->kind);
	zk_enc_i64(enc, entry->time.sec);
	zk_enc_u32(enc, entry->time.nsec);
	zk_enc_bytes(enc, entry->payload, entry->payload_len);
}

/*
 * Entries after msg->index, as many as msg->max_bytes and the frame allow;
 * msg->last and *ret_bytes say how far that is.
 */
static int
enc_entries(struct zk_replica *r, struct zk_enc *enc, struct zk_msg *msg,
    uint64_t *ret_bytes)
{
	const size_t count_at = enc->len;
	uint64_t index = msg->index, bytes = 0;
	uint32_t confs = 0;
	struct zk_enc count;
	int rc = zk_replica_tx(r);

	zk_enc_u32(enc, 0);
	while (rc == 0 && index < msg->last &&
	    index - msg->index < APPEND_COUNT_MAX) {
		struct zk_entry entry;

		rc = zk_replica_entry(r, index + 1, &entry);
		if (rc < 0)
			break;
		confs += entry.kind == ZK_PAYLOAD_CONFIG;
		if (index > msg->index &&
		    (confs > APPEND_CONFS_MAX ||
		        bytes + entry.payload_len > msg->max_bytes ||
		        enc->len + WIRE_ENTRY_HEAD + entry.payload_len >
		            enc->cap))
			break;
		enc_entry(enc, &entry);
		ZK_ASSERT(!enc->failed);
		bytes += entry.payload_len;
		index++;
	}
	if (rc < 0)
		return rc;
	zk_enc_init(&count, enc->buf + count_at, 4);
	zk_enc_u32(&count, (uint32_t)(index - msg->index));
	msg->last = index;
	*ret_bytes = bytes;
	return 0;
}

int
zk_replica_send(struct zk_replica *r, const struct zk_msg *asked)
{
	const struct zk_replica_sink *sink = &r->options.sink;
	const bool bulk =
	    asked->type == ZK_MSG_APPEND && asked->last > asked->index;
	struct zk_event sent = {
	    .type = ZK_EV_SENT,
	    .peer = asked->to,
	};
	struct zk_msg msg = *asked;
	struct zk_enc enc;
	int rc = 0;

	/* The head says how many entries follow, so they are encoded first. */
	zk_enc_init(&enc, r->frame, APPEND_FRAME_MAX);
	enc.len = ZK_MSG_WIRE_BYTES;
	if (bulk)
		rc = enc_entries(r, &enc, &msg, &sent.bytes);
	if (rc < 0)
		return rc;
	if (msg.type == ZK_MSG_APPEND || msg.type == ZK_MSG_HEARTBEAT ||
	    msg.type == ZK_MSG_COMMIT)
		zk_replica_drop_late(r, msg.to);
	const size_t len = enc.len;
	enc.len = 0;
	zk_msg_encode(&enc, &msg);
	ZK_ASSERT(enc.len == ZK_MSG_WIRE_BYTES);
	sink->send(sink->arg, msg.to, bulk, r->frame, len);
	if (!bulk)
		return 0;
	sent.index = msg.last;
	return zk_replica_step(r, &sent);
}

/* Raft must know the configurations among the entries. */
static int
note_conf(struct zk_replica *r, const struct zk_wire_entry *wire,
    uint64_t index, size_t *count)
{
	struct zk_dec dec;

	if (wire->kind != ZK_PAYLOAD_CONFIG)
		return 0;
	if (*count == sizeof(r->confs) / sizeof(r->confs[0]))
		return -EPROTO;
	zk_dec_init(&dec, wire->payload, wire->len);
	r->confs[*count].index = index;
	if (zk_conf_decode(&dec, &r->confs[*count].conf) < 0 ||
	    !zk_dec_done(&dec))
		return -EPROTO;
	(*count)++;
	return 0;
}

static int
dec_entries(struct zk_replica *r, struct zk_dec *dec, const struct zk_msg *msg,
    size_t *ret_confs)
{
	const uint32_t count = zk_dec_u32(dec);

	*ret_confs = 0;
	if (count != msg->last - msg->index || count > APPEND_COUNT_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		struct zk_wire_entry *wire = &r->wire[i];
		const uint8_t kind = zk_dec_u8(dec);
		int rc;

		wire->time.sec = zk_dec_i64(dec);
		wire->time.nsec = zk_dec_u32(dec);
		wire->payload = zk_dec_bytes(dec, ZK_COMMAND_MAX, &wire->len);
		if (dec->failed || kind < ZK_PAYLOAD_COMMAND ||
		    kind > ZK_PAYLOAD_CONFIG || wire->time.nsec >= 1000000000u)
			return -EPROTO;
		wire->kind = (enum zk_payload_kind)kind;
		rc = note_conf(r, wire, msg->index + 1 + i, ret_confs);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
zk_replica_receive(struct zk_replica *r, uint64_t from, const void *bytes,
    size_t len)
{
	struct zk_event event = {.type = ZK_EV_MSG};
	struct zk_msg msg;
	struct zk_dec dec;
	int rc;

	zk_dec_init(&dec, bytes, len);
	if (len > 0 && dec.buf[0] > ZK_MSG_TYPE_LAST)
		return zk_replica_snapshot_receive(r, from, &dec);
	rc = zk_msg_decode(&dec, &msg);
	if (rc == 0 && (msg.from != from || msg.to != r->raft.self))
		rc = -EPROTO;
	if (rc < 0)
		return rc;
	if (msg.type == ZK_MSG_APPEND && msg.last > msg.index) {
		rc = dec_entries(r, &dec, &msg, &event.conf_count);
		if (rc < 0)
			return rc;
		r->received = r->wire;
		r->received_first = msg.index + 1;
	}
	if (!zk_dec_done(&dec))
		rc = -EPROTO;
	event.msg = &msg;
	event.confs = r->confs;
	if (rc == 0)
		rc = zk_replica_step(r, &event);
	r->received = NULL;
	return rc;
}
