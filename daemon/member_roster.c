#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/member_impl.h"

/*
 * The leader brings the group into line with the roster (store/roster.h): who
 * has come becomes a learner; a learner that is wanted as a voter becomes one
 * when it has caught up; who is to leave is removed from the group, and then
 * from the roster.  One change at a time, and each only when the one before
 * and an entry of the leader's term are committed: consensus/raft_config.c
 * sees to that.  What was begun is finished by whoever leads next: nothing of
 * it is remembered but the two lists.
 */

_Static_assert(ZK_ROSTER_MAX == ZK_MEMBERS_MAX, "all in it can be members");
_Static_assert(ZK_ROSTER_VOTERS_MAX == ZK_VOTERS_MAX, "and voters");
_Static_assert(ZK_ROSTER_OBSERVERS_MAX == ZK_LEARNERS_MAX, "and learners");

/* Who is to lead may still have to become a voter: so long that is awaited. */
#define LEAD_MS 30000u

int
zk_member_roster_init(struct zk_member *m, const struct zk_roster *roster)
{
	m->roster_changed = true;
	if (roster == NULL)
		return 0;
	m->founders = malloc(ZK_ROSTER_FOUND_BYTES_MAX);
	if (m->founders == NULL)
		return -ENOMEM;
	m->founders_len = zk_roster_found_encode(roster, m->founders);
	return 0;
}

void
zk_member_on_members(void *arg, uint64_t lead)
{
	struct zk_member *m = arg;

	m->roster_changed = true;
	if (lead != 0) {
		m->lead = lead;
		m->lead_until_ms = m->now.mono_ms + LEAD_MS;
	}
	if (m->options.sink.members != NULL)
		m->options.sink.members(m->options.sink.arg);
}

/* A command of the leader's own, in no session. */
static int
propose(struct zk_member *m, const struct zk_command *cmd)
{
	uint8_t buf[ZK_ROSTER_FOUND_BYTES_MAX + 256];
	struct zk_bytes bytes = {.data = buf};
	int rc;

	rc = zk_command_encode(cmd, buf, sizeof(buf), &bytes.len);
	ZK_ASSERT(rc == 0);
	return zk_replica_propose(m->replica, &bytes, 1);
}

void
zk_member_note_peer(struct zk_member *m, uint64_t peer, bool up)
{
	uint64_t *place = NULL;

	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++) {
		if (m->lost[i] == peer)
			m->lost[i] = 0;
		if (m->lost[i] == 0)
			place = &m->lost[i];
	}
	if (!up && place != NULL)
		*place = peer;
}

static bool
is_lost(const struct zk_member *m, uint64_t node)
{
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (m->lost[i] == node)
			return true;
	return false;
}

/*
 * A majority of the voters but this one is there: was heard of within the
 * last within_ms.
 */
static bool
can_spare(const struct zk_member *m, uint64_t node, uint64_t within_ms)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const struct zk_conf *conf = zk_raft_conf(raft);
	unsigned voters = 0, live = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		struct zk_member_status status;

		if ((conf->voter_bits >> i & 1) == 0 || conf->ids[i] == node ||
		    zk_raft_member_status(raft, i, &status) < 0)
			continue;
		voters++;
		live += status.active && !is_lost(m, conf->ids[i]) &&
		    (conf->ids[i] == raft->self ||
		        status.contact_ms <= within_ms);
	}
	return live > voters / 2;
}

/* --- one change ----------------------------------------------------------- */

static int
change(struct zk_member *m, enum zk_conf_op op, uint64_t node)
{
	const int rc = zk_replica_change(m->replica, op, node);

	if (rc == 0)
		m->counts.members_changed++;
	return rc;
}

/*
 * Replicas that are on its host alone, or on few, would be lost with it: the
 * others take them over first, unless it is not there.
 */
static bool
has_moved(const struct zk_member *m, uint64_t node, uint64_t for_ms)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const struct zk_keeper *keeper = zk_member_keeper(m, node);
	const int slot = zk_raft_conf_slot(zk_raft_conf(raft), node);
	const uint32_t silence_ms = m->options.session_timeout_ms;
	struct zk_member_status status;

	/* It hands over first; who leads then looks at that. */
	if (node == raft->self)
		return true;
	if (keeper == NULL ? is_lost(m, node) : !keeper->keeps)
		return true;
	return for_ms > silence_ms && slot >= 0 &&
	    zk_raft_member_status(raft, (uint32_t)slot, &status) == 0 &&
	    status.contact_ms > silence_ms;
}

/* Those that are to go on without it must have been heard of since. */
static bool
may_go(struct zk_member *m, uint64_t node)
{
	struct zk_leaver *leaver = NULL;

	for (size_t i = 0; i < ZK_VOTERS_MAX; i++) {
		if (m->leavers[i].node == node) {
			const uint64_t for_ms =
			    m->now.mono_ms - m->leavers[i].since_ms;

			return can_spare(m, node, for_ms) &&
			    has_moved(m, node, for_ms);
		}
		if (m->leavers[i].node == 0)
			leaver = &m->leavers[i];
	}
	if (leaver != NULL)
		*leaver = (struct zk_leaver){node, m->now.mono_ms};
	return false;
}

/* Who is gone, or is to stay after all, may be let go another time. */
static void
forget_leavers(struct zk_member *m, const struct zk_roster *roster)
{
	for (size_t i = 0; i < ZK_VOTERS_MAX; i++) {
		struct zk_leaver *leaver = &m->leavers[i];
		const struct zk_roster_row *row = leaver->node != 0
		    ? zk_roster_find_node(roster, leaver->node)
		    : NULL;

		if (row == NULL || row->role != ZK_ROSTER_LEAVING)
			leaver->node = 0;
	}
}

static int
let_go(struct zk_member *m, const struct zk_roster_row *row)
{
	const struct zk_conf *conf = zk_raft_conf(zk_member_raft(m));
	const struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = ZK_MEMBER_FORGET,
	    .ino = row->node,
	    .name = row->name,
	    .name_len = strlen(row->name),
	};

	if (zk_raft_conf_slot(conf, row->node) < 0)
		return propose(m, &cmd);
	if (zk_raft_conf_is_voter(conf, row->node) && !may_go(m, row->node))
		return -EAGAIN;
	/* A leader does not remove itself: the next one does. */
	if (row->node == zk_member_raft(m)->self)
		return zk_replica_transfer(m->replica, 0);
	return change(m, ZK_CONF_REMOVE, row->node);
}

/* 1: it is as it should be; 0: a change is under way; -EAGAIN: not yet. */
static int
align(struct zk_member *m, const struct zk_roster_row *row)
{
	const struct zk_conf *conf = zk_raft_conf(zk_member_raft(m));

	if (row->node == 0)
		return 1;
	if (row->role == ZK_ROSTER_LEAVING)
		return let_go(m, row);
	if (zk_raft_conf_slot(conf, row->node) < 0)
		return change(m, ZK_CONF_ADD_LEARNER, row->node);
	if (row->role == ZK_ROSTER_VOTER &&
	    !zk_raft_conf_is_voter(conf, row->node))
		return change(m, ZK_CONF_PROMOTE, row->node);
	return 1;
}

/* Those who cannot be served now must not hold up the others. */
static int
align_all(struct zk_member *m, const struct zk_roster *roster)
{
	int rc, result = 1;

	forget_leavers(m, roster);
	for (size_t i = 0; i < roster->count; i++) {
		rc = align(m, &roster->rows[i]);
		if (rc == 0)
			return 0;
		if (rc < 0)
			result = -EAGAIN;
	}
	return result;
}

static int
found(struct zk_member *m)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = ZK_MEMBER_FOUND,
	    .data = m->founders,
	    .data_len = m->founders_len,
	};
	int rc;

	if (m->founders == NULL || m->founding == zk_member_raft(m)->term)
		return 1;
	rc = propose(m, &cmd);
	if (rc == 0)
		m->founding = zk_member_raft(m)->term;
	return rc;
}

static int
load(struct zk_member *m, struct zk_roster *ret_roster)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(m->options.store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_roster_load(tx, ret_roster);
	zk_read_end(tx);
	return rc;
}

static int
look(struct zk_member *m)
{
	struct zk_roster *roster = malloc(sizeof(*roster));
	int rc;

	if (roster == NULL)
		return -EAGAIN;
	rc = load(m, roster);
	if (rc == 0)
		rc = roster->count == 0 ? found(m) : align_all(m, roster);
	free(roster);
	return rc;
}

/* --- the leader's turn ---------------------------------------------------- */

/* The roster that can be read is not older than the group. */
static bool
is_settled(const struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);

	return raft->conf_index <= zk_replica_applied(m->replica) &&
	    zk_raft_term_at(raft, raft->commit_index) == raft->term &&
	    raft->transfer_to == 0;
}

void
zk_member_tick_roster(struct zk_member *m)
{
	const uint64_t lead = m->lead;
	int rc;

	if (!zk_member_leads(m)) {
		/* Who leads next looks at all of it. */
		m->roster_changed = true;
		m->roster_again_ms = m->lead = 0;
		memset(m->leavers, 0, sizeof(m->leavers));
		return;
	}
	if (lead == zk_member_raft(m)->self ||
	    m->now.mono_ms >= m->lead_until_ms)
		m->lead = 0;
	else if (lead != 0 && zk_replica_transfer(m->replica, lead) == 0)
		m->lead = 0;
	if (!m->roster_changed &&
	    (m->roster_again_ms == 0 || m->now.mono_ms < m->roster_again_ms))
		return;
	m->roster_changed = false;
	rc = is_settled(m) ? look(m) : -EAGAIN;
	/* Nothing tells that the lead was handed over in vain. */
	if (rc == 0 && zk_member_raft(m)->transfer_to != 0)
		rc = -EAGAIN;
	m->roster_again_ms =
	    rc < 0 ? m->now.mono_ms + m->options.heartbeat_ms : 0;
}

/*
 * Only what the leader alone can know: whether those that are left can go on
 * without it.  The rest is for apply to judge.
 */
int
zk_member_vet(struct zk_member *m, const struct zk_command *cmd)
{
	const struct zk_roster_row *row = NULL;
	struct zk_roster *roster;
	int rc;

	if (cmd->mode != ZK_MEMBER_REMOVE || !zk_member_leads(m) ||
	    cmd->name_len > ZK_ROSTER_NAME_MAX)
		return 0;
	roster = malloc(sizeof(*roster));
	if (roster == NULL)
		return -ENOMEM;
	rc = load(m, roster);
	for (size_t i = 0; rc == 0 && i < roster->count; i++)
		if (strlen(roster->rows[i].name) == cmd->name_len &&
		    memcmp(roster->rows[i].name, cmd->name, cmd->name_len) == 0)
			row = &roster->rows[i];
	if (row != NULL && row->role == ZK_ROSTER_VOTER && row->node != 0 &&
	    zk_raft_conf_is_voter(zk_raft_conf(zk_member_raft(m)), row->node) &&
	    !can_spare(m, row->node, UINT64_MAX))
		rc = -EBUSY;
	free(roster);
	return rc;
}
