#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * A replica that lacks what retention has taken begins where the log begins
 * now: it is told which entry that is after, and who has written.  All else
 * comes as entries.  So a snapshot is one small message; should it be lost,
 * Raft asks for another after a while.
 */

void
zk_group_snapshot(struct zk_group *g, uint64_t to)
{
	const struct zk_event failed = {
	    .type = ZK_EV_SNAPSHOT_FAILED,
	    .peer = to,
	};
	const struct zk_pstate *state = &g->state;
	const size_t size =
	    64 + 8 + ZK_CONF_WIRE_MAX + zk_writers_wire_size(&g->writers);
	struct zk_broker *b = g->part->broker;
	uint64_t conf_index = state->confs[0].index;
	struct zk_enc enc;

	if (zk_host_begin(g->part, to, ZK_BROKER_BULK, ZK_TELL_SNAPSHOT, size,
	        &enc)) {
		if (conf_index > state->base_index)
			conf_index = state->base_index;
		zk_enc_u64(&enc, g->raft.term);
		zk_enc_u64(&enc, state->base_index);
		zk_enc_u64(&enc, state->base_term);
		zk_enc_u64(&enc, state->base_offset);
		zk_enc_i64(&enc, state->time.sec);
		zk_enc_u32(&enc, state->time.nsec);
		zk_enc_u64(&enc, conf_index);
		zk_conf_encode(&enc, &state->confs[0].conf);
		zk_writers_encode(&g->writers, &enc);
		ZK_ASSERT(!enc.failed);
		zk_host_commit(b, to, ZK_BROKER_BULK, &enc);
	}
	/* Its answer is what says that it arrived. */
	(void)zk_group_step(g, &failed);
}

struct offer {
	uint64_t term, base_index, base_term, base_offset, conf_index;
	struct zk_stamp time;
	struct zk_conf conf;
};

static int
dec_offer(struct zk_dec *dec, struct offer *offer)
{
	int rc;

	offer->term = zk_dec_u64(dec);
	offer->base_index = zk_dec_u64(dec);
	offer->base_term = zk_dec_u64(dec);
	offer->base_offset = zk_dec_u64(dec);
	offer->time.sec = zk_dec_i64(dec);
	offer->time.nsec = zk_dec_u32(dec);
	offer->conf_index = zk_dec_u64(dec);
	rc = zk_conf_decode(dec, &offer->conf);
	if (rc == 0 && (dec->failed || offer->time.nsec >= 1000000000u))
		rc = -EPROTO;
	return rc;
}

static int
install(struct zk_group *g, const struct offer *offer, struct zk_dec *dec)
{
	const struct zk_event event = {
	    .type = ZK_EV_INSTALL,
	    .index = offer->base_index,
	    .term = offer->base_term,
	    .conf = &offer->conf,
	    .conf_index = offer->conf_index,
	};
	const struct zk_pstate before = g->state;
	struct zk_pstate *state = &g->state;
	int rc;

	state->base_index = offer->base_index;
	state->base_term = offer->base_term;
	state->base_offset = offer->base_offset;
	if (zk_stamp_compare(state->time, offer->time) < 0)
		state->time = offer->time;
	/* Configurations of entries that stay are after it; see cut_log(). */
	while (state->conf_count > 1 &&
	    state->confs[1].index <= offer->base_index) {
		for (uint32_t i = 1; i < state->conf_count; i++)
			state->confs[i - 1] = state->confs[i];
		state->conf_count--;
	}
	state->confs[0] = (struct zk_conf_entry){
	    .index = offer->conf_index,
	    .conf = offer->conf,
	};
	rc = zk_group_step(g, &event);
	if (rc < 0) {
		*state = before;
		return rc == -EALREADY ? 0 : rc;
	}
	return zk_broker_fail(g->part->broker,
	    zk_writers_decode(&g->writers, dec));
}

/* The leader did not know; else it would offer the same again and again. */
static void
tell_have(struct zk_group *g, uint64_t to, uint64_t index)
{
	struct zk_broker *b = g->part->broker;
	struct zk_enc enc;

	if (!zk_host_begin(g->part, to, ZK_BROKER_FAST, ZK_TELL_HAVE, 16, &enc))
		return;
	zk_enc_u64(&enc, g->raft.term);
	zk_enc_u64(&enc, index);
	zk_host_commit(b, to, ZK_BROKER_FAST, &enc);
}

int
zk_group_on_have(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	const struct zk_part *part = zk_part_find(b, id);
	const uint64_t term = zk_dec_u64(dec);
	const struct zk_event event = {
	    .type = ZK_EV_SNAPSHOT_DONE,
	    .peer = from,
	    .index = zk_dec_u64(dec),
	};

	if (dec->failed)
		return -EPROTO;
	if (part == NULL || part->group == NULL ||
	    !zk_group_leads(part->group) || part->group->raft.term != term ||
	    event.index > part->group->raft.last_index)
		return 0;
	return zk_group_step(part->group, &event);
}

int
zk_group_on_snapshot(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	struct zk_writers writers;
	struct zk_dec rest;
	struct offer offer;
	int rc;

	rc = dec_offer(dec, &offer);
	rest = *dec;
	zk_writers_init(&writers);
	/* Once to see that it is whole, and where it ends. */
	if (rc == 0)
		rc = zk_writers_decode(&writers, dec);
	zk_writers_fini(&writers);
	if (rc < 0)
		return rc;
	/* Also without room: it is what frees some. */
	if (part == NULL || part->group == NULL ||
	    part->group->raft.leader != from ||
	    part->group->raft.term != offer.term)
		return 0;
	zk_group_wake(part->group);
	if (!zk_raft_wants_snapshot(&part->group->raft, offer.base_index)) {
		tell_have(part->group, from, offer.base_index);
		return 0;
	}
	return install(part->group, &offer, &rest);
}
