#include "daemon/member.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/member_impl.h"

/* Everything goes through one buffer: a forward, or a replica's message. */
#define FRAME_BYTES (ZK_FORWARD_BYTES_MAX + 2u * ZK_COMMAND_MAX)

static int
open_replica(struct zk_member *m)
{
	const struct zk_replica_options options = {
	    .store = m->options.store,
	    .seed = m->options.seed,
	    .election_ms = m->options.election_ms,
	    .heartbeat_ms = m->options.heartbeat_ms,
	    .log_keep = m->options.log_keep,
	    .snapshot_part = m->options.snapshot_part,
	    .uncommitted_max = m->options.uncommitted_max,
	    .founders = m->options.founders,
	    .ensemble = m->options.ensemble,
	    .sink = zk_member_replica_sink(m),
	};

	return zk_replica_open(&options, m->now.wall, &m->replica);
}

int
zk_member_open(const struct zk_member_options *options,
    const struct zk_member_time *now, struct zk_member **ret_member)
{
	struct zk_member *m;
	int rc;

	ZK_ASSERT(options->seed != 0);
	ZK_ASSERT(options->session_timeout_ms > 4 * options->election_ms);

	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	m->options = *options;
	m->now = *now;
	m->ticked_ms = now->mono_ms;
	m->state = ZK_STATE_SUSPENDED;
	zk_item_list_init(&m->queued);
	zk_item_list_init(&m->inflight);
	zk_item_list_init(&m->waiting);
	zk_item_list_init(&m->answered);
	m->frame_cap = FRAME_BYTES;
	m->frame = malloc(m->frame_cap);
	rc = m->frame == NULL ? -ENOMEM : 0;
	if (rc == 0)
		rc = zk_member_roster_init(m, options->roster);
	if (rc == 0)
		rc = open_replica(m);
	if (rc < 0) {
		zk_member_close(m);
		return rc;
	}
	m->incarnation = zk_store_ident(options->store)->boots
	    << ZK_INCARNATION_SHIFT;
	zk_member_next_incarnation(m);
	if (options->legacy != NULL)
		zk_member_take_session(m, options->legacy);
	*ret_member = m;
	return 0;
}

void
zk_member_close(struct zk_member *m)
{
	if (m == NULL)
		return;
	zk_item_list_finish(&m->answered, 0);
	zk_item_list_finish(&m->inflight, -ZK_ESESSION);
	zk_item_list_finish(&m->queued, -ZK_ESESSION);
	zk_item_list_finish(&m->waiting, -ZK_ESESSION);
	zk_replica_close(m->replica);
	free(m->founders);
	free(m->leases);
	free(m->frame);
	free(m);
}

void
zk_member_begin(struct zk_member *m, const struct zk_member_time *now)
{
	uint64_t elapsed;

	ZK_ASSERT(now->mono_ms >= m->now.mono_ms);

	m->now = *now;
	zk_replica_begin(m->replica, now->wall);
	elapsed = now->mono_ms - m->ticked_ms;
	if (elapsed == 0)
		return;
	/* What fails here is told by the end of the turn. */
	(void)zk_replica_tick(m->replica,
	    elapsed < UINT32_MAX ? (uint32_t)elapsed : UINT32_MAX);
	m->ticked_ms = now->mono_ms;
}

int
zk_member_receive(struct zk_member *m, uint64_t from, const void *bytes,
    size_t len)
{
	struct zk_dec dec;

	zk_dec_init(&dec, bytes, len);
	switch (zk_dec_u8(&dec)) {
	case ZK_KIND_RAFT:
	case ZK_KIND_CALM:
		zk_member_note_calm(m, from,
		    ((const uint8_t *)bytes)[0] == ZK_KIND_CALM);
		return zk_replica_receive(m->replica, from,
		    (const uint8_t *)bytes + 1, len - 1);
	case ZK_KIND_FORWARD:
		return zk_member_on_forward(m, from, &dec);
	case ZK_KIND_REFUSE:
		return zk_member_on_refuse(m, &dec);
	case ZK_KIND_PING:
		return zk_member_on_ping(m, from, &dec);
	case ZK_KIND_PONG:
		return zk_member_on_pong(m, &dec);
	default:
		return -EPROTO;
	}
}

void
zk_member_peer(struct zk_member *m, uint64_t peer, bool up)
{
	zk_member_note_peer(m, peer, up);
	if (!up) {
		(void)zk_replica_peer_lost(m->replica, peer);
		return;
	}
	(void)zk_replica_peer_met(m->replica, peer);
	/* What was on its way when the connection broke may be lost. */
	if (peer == m->leader)
		zk_member_requeue(m);
}

int
zk_member_barrier(struct zk_member *m, uint64_t ctx)
{
	int rc;

	ZK_ASSERT((ctx & ZK_ROUND_BIT) == 0);

	rc = zk_replica_barrier(m->replica, ctx);
	if (rc == 0)
		m->barriers++;
	return rc;
}

int
zk_member_change(struct zk_member *m, enum zk_conf_op op, uint64_t peer)
{
	return zk_replica_change(m->replica, op, peer);
}

int
zk_member_transfer(struct zk_member *m, uint64_t to)
{
	return zk_replica_transfer(m->replica, to);
}

static uint32_t
wait_ms(const struct zk_member *m, bool more)
{
	const uint32_t election = zk_raft_election_in(zk_member_raft(m));
	/* A follower is woken by its leader, as a rule well before that. */
	const uint32_t tick = zk_member_raft(m)->role == ZK_FOLLOWER
	    ? 2 * m->options.heartbeat_ms
	    : m->options.heartbeat_ms / 2;
	const uint32_t pace = zk_member_pace_wait(m);
	uint32_t wait = zk_member_session_wait(m);

	if (more)
		return 0;
	if (pace < wait)
		wait = pace;
	if (election > 0 && election < wait)
		wait = election;
	if ((!zk_member_alone(m) || m->roster_again_ms != 0) && tick < wait)
		wait = tick;
	return wait;
}

void
zk_member_finish_answers(void *arg)
{
	struct zk_member *m = arg;

	if (m->options.sink.answer != NULL)
		m->options.sink.answer(m->options.sink.arg, &m->answered);
	zk_item_list_finish(&m->answered, 0);
}

int
zk_member_end(struct zk_member *m, uint32_t *ret_wait_ms)
{
	bool full, more = false;
	int rc;

	zk_member_tick_session(m);
	zk_member_tick_roster(m);
	zk_member_tick_room(m);
	zk_member_pass_commands(m);
	zk_member_keep_pace(m);
	rc = zk_replica_end(m->replica, &more);
	full = rc == -ENOSPC;
	/* Of several, what we proposed may be with others: wait for them. */
	if (full && zk_member_alone(m)) {
		zk_member_requeue(m);
		zk_member_refuse_growth(m);
		m->opening = m->opening && m->session != 0;
	}
	/*
	 * Whoever votes alone is elected again in the next turn, and in the same
	 * term, for nobody has heard of it: this is how it is noticed.
	 */
	if (full)
		m->leader = 0;
	if (full)
		rc = 0;
	if (rc < 0)
		return rc;
	/* A leader elected in this turn can be given what is queued. */
	more = more || (m->queued.count > 0 && zk_member_leads(m)) ||
	    ((m->session == 0 || m->roster_changed) && zk_member_leads(m));
	*ret_wait_ms = wait_ms(m, more && !full);
	if (full && *ret_wait_ms > m->options.heartbeat_ms)
		*ret_wait_ms = m->options.heartbeat_ms;
	zk_member_finish_answers(m);
	if (m->options.sink.push != NULL)
		m->options.sink.push(m->options.sink.arg);
	return 0;
}

enum zk_member_state
zk_member_state(const struct zk_member *m)
{
	return m->state;
}

const char *
zk_member_state_text(enum zk_member_state state)
{
	switch (state) {
	case ZK_STATE_CONNECTED:
		return "connected";
	case ZK_STATE_SUSPENDED:
		return "suspended";
	case ZK_STATE_LOST:
		return "lost";
	}
	return "";
}

const char *
zk_member_role_text(enum zk_role role)
{
	switch (role) {
	case ZK_FOLLOWER:
		return "follower";
	case ZK_PRECANDIDATE:
	case ZK_CANDIDATE:
		return "candidate";
	case ZK_LEADER:
		return "leader";
	}
	return "";
}

uint64_t
zk_member_session(const struct zk_member *m)
{
	return m->session;
}

const struct zk_member_counts *
zk_member_counts(const struct zk_member *m)
{
	return &m->counts;
}

const struct zk_replica *
zk_member_replica(const struct zk_member *m)
{
	return m->replica;
}
