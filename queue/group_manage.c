#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * What a leader does beside appending: brings the members to what the tree
 * says, gives leadership to whom it is meant for, and lets all sleep when
 * nothing happens.
 */

/* The preferred leader gets it when it was there for so long. */
#define PREFER_AFTER_MS 2000u
/* Leadership is not given away more often. */
#define TRANSFER_AGAIN_MS 10000u
/* One who leaves tells a successor so long before it goes all the same. */
#define LEAVE_AFTER_MS 5000u
#define LEFT_AGAIN_MS  1000u
#define IDLE_TICKS     6u

/* --- members -------------------------------------------------------------- */

static int
change(struct zk_group *g, enum zk_conf_op op, uint64_t node)
{
	const struct zk_event event = {
	    .type = ZK_EV_CONF,
	    .conf_op = op,
	    .peer = node,
	};
	int rc;

	zk_group_wake(g);
	rc = zk_group_step(g, &event);
	return g->part->broker->fatal < 0 ? g->part->broker->fatal : rc;
}

static bool
transfer(struct zk_group *g, uint64_t to)
{
	const struct zk_event event = {.type = ZK_EV_TRANSFER, .peer = to};

	g->transfer_ms = zk_broker_now(g->part->broker);
	zk_group_wake(g);
	return zk_group_step(g, &event) == 0;
}

/* A majority of the voters lives, leaving out this one; 0: of all. */
static bool
quorum_lives_without(const struct zk_group *g, uint64_t node)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	struct zk_broker *b = g->part->broker;
	unsigned voters = 0, alive = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		if ((conf->voter_bits >> i & 1) == 0 || conf->ids[i] == node)
			continue;
		voters++;
		alive += conf->ids[i] == g->raft.self ||
		    zk_host_is_alive(b, conf->ids[i]);
	}
	return alive > voters / 2;
}

/*
 * A member that the tree does not name, and without whom appends go on;
 * ourselves last.  0: none.
 */
static uint64_t
who_is_to_go(const struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	uint64_t go = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		if (zk_spec_has(&g->part->spec, conf->ids[i]) ||
		    !quorum_lives_without(g, conf->ids[i]))
			continue;
		if (conf->ids[i] != g->raft.self)
			return conf->ids[i];
		go = conf->ids[i];
	}
	return go;
}

/* Who stays, and lives. */
static uint64_t
successor(const struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;

	for (uint32_t i = 0; i < spec->replica_count; i++)
		if (zk_host_is_alive(g->part->broker, spec->replicas[i]))
			return spec->replicas[i];
	return spec->replicas[0];
}

/* We lead and are to go: somebody who stays removes us. */
static int
let_go_of_self(struct zk_group *g)
{
	const uint64_t now = zk_broker_now(g->part->broker);

	if (g->left_ms == 0)
		g->left_ms = now;
	if (now - g->left_ms < LEAVE_AFTER_MS) {
		if (g->raft.transfer_to == 0)
			(void)transfer(g, successor(g));
		return 0;
	}
	return change(g, ZK_CONF_REMOVE, g->raft.self);
}

/* One step on the way to the members that the tree names. */
static int
move(struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	bool all_vote = true;
	uint64_t go;
	int rc;

	if (g->raft.conf_index > g->raft.commit_index)
		return 0;
	for (uint32_t i = 0; i < spec->replica_count; i++) {
		const uint64_t node = spec->replicas[i];

		if (zk_raft_conf_is_voter(conf, node))
			continue;
		all_vote = false;
		if (zk_raft_conf_slot(conf, node) < 0)
			return change(g, ZK_CONF_ADD_LEARNER, node);
		rc = change(g, ZK_CONF_PROMOTE, node);
		if (rc == 0 || g->part->broker->fatal < 0)
			return rc;
		/* No more can vote: somebody has to go first. */
		all_vote = all_vote || rc == -ENOSPC;
	}
	go = who_is_to_go(g);
	if (!all_vote || go == 0)
		return 0;
	if (go == g->raft.self)
		return let_go_of_self(g);
	return change(g, ZK_CONF_REMOVE, go);
}

/* Nothing of what the tree says is to be done. */
static bool
is_as_told(const struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;
	const struct zk_conf *conf = zk_raft_conf(&g->raft);

	if (spec->id == 0)
		return true;
	if (conf->count != spec->replica_count)
		return false;
	for (uint32_t i = 0; i < spec->replica_count; i++)
		if (!zk_raft_conf_is_voter(conf, spec->replicas[i]))
			return false;
	return true;
}

static void
prefer(struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;
	struct zk_broker *b = g->part->broker;
	const uint64_t now = zk_broker_now(b);
	const struct zk_host *host = zk_host_find(b, spec->replicas[0]);
	struct zk_member_status status;
	int slot;

	if (spec->replicas[0] == g->raft.self || host == NULL || !host->alive ||
	    !host->room || now - host->alive_since_ms < PREFER_AFTER_MS)
		return;
	if (g->transfer_ms != 0 && now - g->transfer_ms < TRANSFER_AGAIN_MS)
		return;
	slot = zk_raft_conf_slot(zk_raft_conf(&g->raft), spec->replicas[0]);
	if (slot < 0 ||
	    zk_raft_member_status(&g->raft, (uint32_t)slot, &status) < 0 ||
	    !status.voter ||
	    g->raft.last_index - status.match > ZK_RAFT_PROMOTE_LAG_MAX)
		return;
	(void)transfer(g, spec->replicas[0]);
}

/* The tree does not name us: are we free to go? */
static void
ask_to_leave(struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;
	struct zk_broker *b = g->part->broker;
	const uint64_t now = zk_broker_now(b);
	struct zk_enc enc;

	if (g->left_ms != 0 && now - g->left_ms < LEFT_AGAIN_MS)
		return;
	g->left_ms = now;
	for (uint32_t i = 0; i < spec->replica_count; i++)
		if (zk_host_begin(g->part, spec->replicas[i], ZK_BROKER_FAST,
		        ZK_TELL_LEFT, 0, &enc))
			zk_host_commit(b, spec->replicas[i], ZK_BROKER_FAST,
			    &enc);
}

int
zk_group_manage(struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;

	if (spec->id == 0)
		return 0;
	if (!zk_group_leads(g)) {
		if (!zk_spec_has(spec, g->raft.self))
			ask_to_leave(g);
		return 0;
	}
	if (g->raft.transfer_to != 0)
		return 0;
	if (!is_as_told(g))
		(void)move(g);
	else
		prefer(g);
	return g->part->broker->fatal;
}

int
zk_group_on_left(struct zk_broker *b, uint64_t from, uint64_t id)
{
	const struct zk_part *part = zk_part_find(b, id);
	const struct zk_group *g = part != NULL ? part->group : NULL;
	struct zk_enc enc;

	/* Only who leads can tell, and only what is committed counts. */
	if (g == NULL || !zk_group_leads(g) || part->spec.id == 0 ||
	    zk_spec_has(&part->spec, from) ||
	    g->raft.conf_index > g->raft.commit_index ||
	    zk_raft_conf_slot(zk_raft_conf(&g->raft), from) >= 0 ||
	    zk_raft_term_at(&g->raft, g->raft.commit_index) != g->raft.term)
		return 0;
	if (zk_host_begin(part, from, ZK_BROKER_FAST, ZK_TELL_GONE, 0, &enc))
		zk_host_commit(b, from, ZK_BROKER_FAST, &enc);
	return 0;
}

int
zk_group_on_gone(struct zk_broker *b, uint64_t from, uint64_t id)
{
	struct zk_part *part = zk_part_find(b, id);

	(void)from;
	if (part == NULL || part->group == NULL || part->spec.id == 0 ||
	    zk_spec_has(&part->spec, b->options.self))
		return 0;
	b->counts.moved_out++;
	return zk_broker_fail(b, zk_part_leave(part));
}

/* --- sleep ---------------------------------------------------------------- */

bool
zk_group_quorum_lives(const struct zk_group *g)
{
	return quorum_lives_without(g, 0);
}

/* All who live have all, and know it to be committed. */
static bool
is_settled(const struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	struct zk_broker *b = g->part->broker;
	struct zk_member_status status;

	if (!zk_group_leads(g) || g->raft.commit_index != g->raft.last_index ||
	    g->raft.stored_index != g->raft.last_index ||
	    g->raft.transfer_to != 0 || g->trimming || !is_as_told(g))
		return false;
	for (uint32_t i = 0; i < conf->count; i++) {
		if (conf->ids[i] == g->raft.self ||
		    !zk_host_is_alive(b, conf->ids[i]))
			continue;
		if (zk_raft_member_status(&g->raft, i, &status) < 0 ||
		    status.match != g->raft.last_index)
			return false;
	}
	return zk_group_quorum_lives(g);
}

static void
fall_asleep(struct zk_group *g)
{
	ZK_ASSERT(!g->asleep);

	g->asleep = true;
	g->part->broker->awake_count--;
	/* What is known to be committed, for the next start. */
	if (g->unsaved > 0 && !zk_group_is_alone(g)) {
		g->state_due = true;
		zk_broker_touch(g->part);
	}
}

void
zk_group_doze(struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	struct zk_broker *b = g->part->broker;
	struct zk_enc enc;

	if (g->asleep || zk_sync_waits(g) || !is_settled(g)) {
		g->idle_ticks = 0;
		return;
	}
	if (++g->idle_ticks < IDLE_TICKS && !zk_group_is_alone(g))
		return;
	for (uint32_t i = 0; i < conf->count; i++) {
		if (conf->ids[i] == g->raft.self ||
		    !zk_host_begin(g->part, conf->ids[i], ZK_BROKER_FAST,
		        ZK_TELL_SLEEP, 16, &enc))
			continue;
		zk_enc_u64(&enc, g->raft.term);
		zk_enc_u64(&enc, g->raft.last_index);
		zk_host_commit(b, conf->ids[i], ZK_BROKER_FAST, &enc);
	}
	fall_asleep(g);
}

int
zk_group_on_sleep(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t term = zk_dec_u64(dec);
	const uint64_t index = zk_dec_u64(dec);
	struct zk_group *g;

	if (dec->failed)
		return -EPROTO;
	if (part == NULL || part->group == NULL)
		return 0;
	g = part->group;
	/* One who does not agree asks for votes, and so wakes the leader. */
	if (g->asleep || g->raft.role != ZK_FOLLOWER ||
	    g->raft.leader != from || g->raft.term != term ||
	    g->raft.last_index != index || g->raft.commit_index != index ||
	    !zk_spec_has(&part->spec, b->options.self))
		return 0;
	fall_asleep(g);
	return 0;
}
