#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * A message of Raft's within a frame: u32 length, then struct zk_msg as
 * consensus/msg_codec.h has it; for an APPEND with entries u32 count, and for
 * each entry kind u8, time i64 u32, offset u64, session u64, number u64, acked
 * u64, u32 length and payload.  Little-endian.
 */
#define ENTRY_HEAD (1u + 8 + 4 + 8 + 8 + 8 + 8 + 4)

/* The entry at index, without its payload. */
static int
head_at(struct zk_group *g, struct zk_tx *tx, uint64_t index,
    struct zk_pentry *ret_entry)
{
	const struct zk_head *head;

	if (index <= g->state.commit_index)
		return zk_plog_head(tx, g->part->id, index, ret_entry);
	head = zk_group_head(g, index);
	*ret_entry = (struct zk_pentry){
	    .index = index,
	    .kind = head->kind,
	    .time = head->time,
	    .offset = head->offset,
	    .session = head->session,
	    .number = head->number,
	    .acked = head->acked,
	    .len = head->len,
	};
	return 0;
}

/*
 * The payload of an entry that is being proposed, as it came, or NULL.  What is
 * proposed is of one group, and while it is no other sends anything.
 */
static const void *
at_hand(const struct zk_broker *b, const struct zk_pentry *entry)
{
	if (b->proposed == NULL || b->proposed_first == 0 ||
	    entry->index < b->proposed_first ||
	    entry->index - b->proposed_first >= b->proposed_count)
		return NULL;
	return b->proposed[entry->index - b->proposed_first].bytes;
}

static int
enc_entry(struct zk_group *g, struct zk_tx *tx, struct zk_enc *enc,
    const struct zk_pentry *entry)
{
	const void *bytes;
	int rc = 0;

	zk_enc_u8(enc, (uint8_t)entry->kind);
	zk_enc_i64(enc, entry->time.sec);
	zk_enc_u32(enc, entry->time.nsec);
	zk_enc_u64(enc, entry->offset);
	zk_enc_u64(enc, entry->session);
	zk_enc_u64(enc, entry->number);
	zk_enc_u64(enc, entry->acked);
	zk_enc_u32(enc, entry->len);
	ZK_ASSERT(!enc->failed);
	ZK_ASSERT(enc->cap - enc->len >= entry->len);
	bytes = at_hand(g->part->broker, entry);
	if (bytes != NULL)
		memcpy(enc->buf + enc->len, bytes, entry->len);
	else
		rc = zk_plog_bytes(tx, g->part->id, entry, 0,
		    enc->buf + enc->len, entry->len);
	enc->len += entry->len;
	return rc;
}

/*
 * Entries after msg->index, as many as msg->max_bytes allow; msg->last and
 * *ret_bytes say how far that is.
 */
static int
enc_entries(struct zk_group *g, struct zk_enc *enc, struct zk_msg *msg,
    uint64_t *ret_bytes)
{
	const size_t count_at = enc->len;
	uint64_t index = msg->index, bytes = 0;
	uint32_t confs = 0;
	struct zk_enc count;
	struct zk_tx *tx;
	int rc = zk_broker_reader(g->part->broker, &tx);

	zk_enc_u32(enc, 0);
	while (rc == 0 && index < msg->last &&
	    index - msg->index < ZK_GROUP_APPEND_COUNT) {
		struct zk_pentry entry;

		rc = head_at(g, tx, index + 1, &entry);
		if (rc < 0)
			break;
		confs += entry.kind == ZK_PENTRY_CONF;
		if (index > msg->index &&
		    (confs > ZK_GROUP_APPEND_CONFS ||
		        bytes + entry.len > msg->max_bytes))
			break;
		rc = enc_entry(g, tx, enc, &entry);
		bytes += entry.len;
		index++;
	}
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	zk_enc_init(&count, enc->buf + count_at, 4);
	zk_enc_u32(&count, (uint32_t)(index - msg->index));
	msg->last = index;
	*ret_bytes = bytes;
	return 0;
}

static size_t
size_of(const struct zk_msg *msg, bool bulk)
{
	const size_t one = ENTRY_HEAD + ZK_BATCH_MAX;
	size_t count = msg->last - msg->index;

	if (!bulk)
		return 4 + ZK_MSG_WIRE_BYTES;
	if (count > ZK_GROUP_APPEND_COUNT)
		count = ZK_GROUP_APPEND_COUNT;
	/* One alone may be larger than what is asked for. */
	return 4 + ZK_MSG_WIRE_BYTES + 4 + count * ENTRY_HEAD + one +
	    msg->max_bytes;
}

int
zk_group_send(struct zk_group *g, const struct zk_msg *asked)
{
	const bool bulk =
	    asked->type == ZK_MSG_APPEND && asked->last > asked->index;
	const unsigned lane = bulk ? ZK_BROKER_BULK : ZK_BROKER_FAST;
	struct zk_broker *b = g->part->broker;
	struct zk_event sent = {.type = ZK_EV_SENT, .peer = asked->to};
	struct zk_msg msg = *asked;
	struct zk_enc enc, head;
	size_t at;
	int rc = 0;

	sent.index = msg.index;
	if (zk_host_begin(g->part, msg.to, lane, ZK_TELL_RAFT,
	        size_of(&msg, bulk), &enc)) {
		at = enc.len;
		/* Heads tell what follows, so that is encoded first. */
		enc.len += 4 + ZK_MSG_WIRE_BYTES;
		if (bulk)
			rc = enc_entries(g, &enc, &msg, &sent.bytes);
		if (rc < 0)
			return rc;
		zk_enc_init(&head, enc.buf + at, 4 + ZK_MSG_WIRE_BYTES);
		zk_enc_u32(&head, (uint32_t)(enc.len - at - 4));
		zk_msg_encode(&head, &msg);
		ZK_ASSERT(!head.failed);
		ZK_ASSERT(head.len == head.cap);
		zk_host_commit(b, msg.to, lane, &enc);
		/* Who leads, and whether he lives. */
		if (!bulk && msg.type != ZK_MSG_APPEND_REPLY &&
		    msg.type != ZK_MSG_COMMIT)
			zk_host_urgent(b, msg.to);
		zk_late_sent(g, &msg);
		b->counts.messages++;
		sent.index = msg.last;
	}
	if (!bulk)
		return 0;
	return zk_group_step(g, &sent);
}

/* --- receiving ------------------------------------------------------------ */

/* Raft must know the configurations among the entries. */
static int
note_conf(struct zk_broker *b, const struct zk_pentry *entry, size_t *count)
{
	struct zk_dec dec;

	if (entry->kind != ZK_PENTRY_CONF)
		return 0;
	if (*count == ZK_GROUP_APPEND_CONFS)
		return -EPROTO;
	zk_dec_init(&dec, entry->payload, entry->len);
	b->confs[*count].index = entry->index;
	if (zk_conf_decode(&dec, &b->confs[*count].conf) < 0 ||
	    !zk_dec_done(&dec))
		return -EPROTO;
	(*count)++;
	return 0;
}

static int
dec_entry(struct zk_dec *dec, struct zk_pentry *entry)
{
	const uint8_t kind = zk_dec_u8(dec);
	size_t len;

	entry->time.sec = zk_dec_i64(dec);
	entry->time.nsec = zk_dec_u32(dec);
	entry->offset = zk_dec_u64(dec);
	entry->session = zk_dec_u64(dec);
	entry->number = zk_dec_u64(dec);
	entry->acked = zk_dec_u64(dec);
	entry->payload = zk_dec_bytes(dec, ZK_BATCH_MAX, &len);
	entry->len = (uint32_t)len;
	if (dec->failed || kind < ZK_PENTRY_DATA ||
	    kind > ZK_PENTRY_KIND_LAST || entry->time.nsec >= 1000000000u)
		return -EPROTO;
	entry->kind = (enum zk_pentry_kind)kind;
	if (entry->kind == ZK_PENTRY_DATA &&
	    (entry->len == 0 || entry->session == 0 ||
	        entry->number <= entry->acked ||
	        entry->number - entry->acked > ZK_WRITER_WINDOW))
		return -EPROTO;
	return 0;
}

static int
dec_entries(struct zk_broker *b, struct zk_dec *dec, const struct zk_msg *msg,
    size_t *ret_confs)
{
	const uint32_t count = zk_dec_u32(dec);
	int rc;

	if (count != msg->last - msg->index || count > ZK_GROUP_APPEND_COUNT)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		b->wire[i] = (struct zk_pentry){.index = msg->index + 1 + i};
		rc = dec_entry(dec, &b->wire[i]);
		if (rc == 0)
			rc = note_conf(b, &b->wire[i], ret_confs);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What a sleeping leader may hear without being woken. */
static bool
is_quiet(const struct zk_group *g, const struct zk_msg *msg)
{
	return zk_group_leads(g) && msg->type == ZK_MSG_HEARTBEAT_REPLY &&
	    msg->term == g->raft.term;
}

/* What this member lacks shows only now. */
static bool
lags(const struct zk_group *g, uint64_t node)
{
	const int slot = zk_raft_conf_slot(zk_raft_conf(&g->raft), node);
	struct zk_member_status status;

	return slot >= 0 &&
	    zk_raft_member_status(&g->raft, (uint32_t)slot, &status) == 0 &&
	    status.match < g->raft.last_index;
}

static bool
brings_records(const struct zk_broker *b, const struct zk_msg *msg)
{
	for (uint64_t i = 0; i < msg->last - msg->index; i++)
		if (b->wire[i].kind == ZK_PENTRY_DATA)
			return true;
	return false;
}

static int
on_message(struct zk_group *g, const struct zk_msg *msg, struct zk_event *event)
{
	struct zk_broker *b = g->part->broker;
	int rc;

	/* Without room there are no records; Raft will offer them again. */
	if (!b->last_room && msg->type == ZK_MSG_APPEND &&
	    brings_records(b, msg))
		return 0;
	if (!is_quiet(g, msg))
		zk_group_wake(g);
	event->msg = msg;
	event->confs = b->confs;
	rc = zk_group_step(g, event);
	if (g->asleep && lags(g, msg->from))
		zk_group_wake(g);
	return rc;
}

/* An election that this replica must have no part in, yet. */
static bool
is_not_ours(const struct zk_group *g, const struct zk_msg *msg)
{
	if (msg->type == ZK_MSG_PREVOTE || msg->type == ZK_MSG_VOTE)
		return zk_group_is_behind(g, msg->log_term, msg->index);
	return msg->type == ZK_MSG_TIMEOUT_NOW &&
	    zk_group_is_behind(g, zk_raft_term_at(&g->raft, g->raft.last_index),
	        g->raft.last_index);
}

int
zk_group_on_raft(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_event event = {.type = ZK_EV_MSG};
	struct zk_part *part = zk_part_find(b, id);
	const void *bytes;
	struct zk_msg msg;
	struct zk_dec body;
	size_t len;
	int rc;

	bytes = zk_dec_bytes(dec, ZK_BULK_FRAME_MAX, &len);
	if (bytes == NULL)
		return -EPROTO;
	if (part == NULL || part->group == NULL)
		return 0;
	zk_dec_init(&body, bytes, len);
	rc = zk_msg_decode(&body, &msg);
	if (rc == 0 && (msg.from != from || msg.to != b->options.self))
		rc = -EPROTO;
	if (rc == 0 && msg.type == ZK_MSG_APPEND && msg.last > msg.index) {
		rc = dec_entries(b, &body, &msg, &event.conf_count);
		b->received = b->wire;
		b->received_first = msg.index + 1;
	}
	if (rc == 0 && !zk_dec_done(&body))
		rc = -EPROTO;
	if (rc == 0 && !is_not_ours(part->group, &msg))
		rc = on_message(part->group, &msg, &event);
	b->received = NULL;
	return rc;
}
