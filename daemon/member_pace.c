#include "daemon/member_impl.h"

/*
 * What can be put off while commands follow each other closely.  A follower
 * hears of each commit by a message of its own, applies it in a turn of its
 * own, and that is more than half of what a write costs it; when the next
 * entries are as good as there, both can be done along with those.
 *
 * Nothing is put off where anybody may notice: a *calm* member has no command
 * and no barrier under way, waits for no lock, and nobody on its host has lately
 * been told of a change.  With each message of Raft a member says whether it
 * is calm.  To Raft a late COMMIT is a slow network, and applying late a slow
 * member.  A single change, or a few in a row, are never late.
 */

/* At most this late: until the next entries, that is, which are due sooner. */
#define PUT_OFF_MS      2u
#define PUT_OFF_ENTRIES 512u

/* Entries follow each other closely when so many came within this of each. */
#define STREAM_GAP_MS 2u
#define STREAM_LENGTH 16u

bool
zk_member_is_calm(const struct zk_member *m)
{
	return m->session != 0 && m->state == ZK_STATE_CONNECTED &&
	    m->queued.count == 0 && m->inflight.count == 0 &&
	    m->waiting.count == 0 && m->barriers == 0 &&
	    m->options.sink.cares != NULL &&
	    !m->options.sink.cares(m->options.sink.arg);
}

static uint64_t *
find(struct zk_pace *pace, uint64_t peer)
{
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (pace->calm[i] == peer)
			return &pace->calm[i];
	return NULL;
}

void
zk_member_note_calm(struct zk_member *m, uint64_t peer, bool calm)
{
	uint64_t *slot = find(&m->pace, peer);

	if (!calm && slot != NULL) {
		*slot = 0;
		/* It may wait for just that. */
		zk_replica_send_late(m->replica);
	}
	if (!calm || slot != NULL)
		return;
	slot = find(&m->pace, 0);
	if (slot != NULL)
		*slot = peer;
}

static bool
is_streaming(const struct zk_member *m)
{
	const uint32_t length = m->options.stream_length != 0
	    ? m->options.stream_length
	    : STREAM_LENGTH;

	return m->pace.length >= length &&
	    m->now.mono_ms - m->pace.last_ms <= STREAM_GAP_MS;
}

bool
zk_member_on_commit_message(void *arg, uint64_t to)
{
	struct zk_member *m = arg;

	if (!is_streaming(m) || find(&m->pace, to) == NULL)
		return false;
	m->counts.commits_late++;
	return true;
}

/* Entries that a leader appends, that a follower is to apply. */
static void
note_stream(struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const bool leads = raft->role == ZK_LEADER;
	const uint64_t index = leads ? raft->last_index : raft->commit_index;
	struct zk_pace *pace = &m->pace;

	if (leads != pace->leads)
		pace->length = 0;
	pace->leads = leads;
	if (index == pace->index)
		return;
	pace->index = index;
	pace->length = m->now.mono_ms - pace->last_ms <= STREAM_GAP_MS
	    ? pace->length + 1
	    : 0;
	pace->last_ms = m->now.mono_ms;
}

/* Since when, in *since_ms (0: not at all); false: for long enough. */
static bool
may_wait(const struct zk_member *m, uint64_t *since_ms)
{
	if (*since_ms == 0)
		*since_ms = m->now.mono_ms;
	return m->now.mono_ms - *since_ms < PUT_OFF_MS;
}

static bool
may_apply_later(struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const uint64_t lag =
	    raft->commit_index - zk_replica_applied(m->replica);

	return raft->role == ZK_FOLLOWER && raft->leader != 0 && lag > 0 &&
	    lag <= PUT_OFF_ENTRIES && is_streaming(m) && zk_member_is_calm(m) &&
	    may_wait(m, &m->pace.apply_ms);
}

void
zk_member_keep_pace(struct zk_member *m)
{
	struct zk_pace *pace = &m->pace;
	bool later;

	note_stream(m);
	later = may_apply_later(m);
	if (later)
		m->counts.applied_late++;
	else
		pace->apply_ms = 0;
	pace->applies_later = later;
	zk_replica_apply_later(m->replica, later);
	pace->tells_later = zk_replica_late_commits(m->replica) > 0 &&
	    may_wait(m, &pace->tell_ms);
	if (pace->tells_later)
		return;
	pace->tell_ms = 0;
	zk_replica_send_late(m->replica);
}

uint32_t
zk_member_pace_wait(const struct zk_member *m)
{
	return m->pace.applies_later || m->pace.tells_later ? PUT_OFF_MS
	                                                    : UINT32_MAX;
}
