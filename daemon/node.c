#include "daemon/node.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/answerer.h"
#include "daemon/inbox.h"
#include "daemon/member.h"
#include "daemon/sending.h"

/* Timers of Raft, in milliseconds. */
#define ELECTION_MS  400u
#define HEARTBEAT_MS 80u

/* How long the end of the session may take before it is left to others. */
#define STOP_MS 2000u

/* That there is no room is told again after this. */
#define FULL_AGAIN_MS 60000u

/* Nothing to apply, and Raft cannot take more now: look again after this. */
#define BUSY_WAIT_MS 1u

/*
 * So many writes are answered by a thread of their own: fewer are not worth
 * waking it.
 */
#define ANSWERS_APART 8u

struct zk_node {
	struct zk_node_options options;
	struct zk_inbox inbox;
	struct zk_answerer *answerer;
	pthread_t thread;
	bool running;
	_Atomic uint64_t session;
	_Atomic uint64_t lease_end_ms; /* of the session, monotonic */
	atomic_bool is_lost;

	/* The node thread's. */
	struct zk_member *member;
	struct zk_sending sending;
	bool state_changed; /* to be told at the end of the turn */
	bool members_changed;
	bool ended;          /* the session, by zk_node_stop() */
	atomic_bool leaving; /* it is not to be ended */
	uint64_t frames;
	uint64_t disk_full, disk_full_ms; /* turns seen, when told */

	pthread_mutex_t status_lock;
	struct zk_node_status status; /* protected by status_lock */
};

static struct zk_member_time
time_now(void)
{
	struct zk_member_time now;
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	now.wall = (struct zk_stamp){ts.tv_sec, (uint32_t)ts.tv_nsec};
	now.mono_ms = zk_clock_lease_ms();
	return now;
}

/* --- what the member tells ------------------------------------------------ */

static bool
is_alone(const struct zk_node *node)
{
	return node->options.founders == NULL;
}

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	struct zk_node *node = arg;

	ZK_ASSERT(!is_alone(node));

	zk_sending_send(&node->sending, to, lane == ZK_MEMBER_BULK, bytes, len);
}

static void
on_push(void *arg)
{
	struct zk_node *node = arg;

	zk_sending_push(&node->sending);
}

static void
on_changed(void *arg, const struct zk_change *change)
{
	struct zk_node *node = arg;

	node->options.changed(node->options.arg, change);
}

static bool
on_cares(void *arg)
{
	const struct zk_node *node = arg;

	return node->options.cares == NULL ||
	    node->options.cares(node->options.arg);
}

static bool
on_replacing(void *arg, bool now)
{
	const struct zk_node *node = arg;

	return node->options.replacing == NULL ||
	    node->options.replacing(node->options.arg, now);
}

static void
on_replaced(void *arg)
{
	struct zk_node *node = arg;

	if (node->options.replaced != NULL)
		node->options.replaced(node->options.arg);
}

/* The lease first: a session is never seen with that of the one before. */
static void
publish_session(struct zk_node *node)
{
	atomic_store(&node->lease_end_ms, zk_member_lease_end(node->member));
	atomic_store(&node->session, zk_member_session(node->member));
}

static void
on_state(void *arg, enum zk_member_state state)
{
	struct zk_node *node = arg;

	atomic_store(&node->is_lost, state == ZK_STATE_LOST);
	/* At once: what is submitted from now on must meet the new session. */
	publish_session(node);
	node->state_changed = true;
}

static void
on_members(void *arg)
{
	struct zk_node *node = arg;

	node->members_changed = true;
}

/* Only writes: nothing else hangs on the order of their answers. */
static void
on_answer(void *arg, struct zk_item_list *answered)
{
	const struct zk_node *node = arg;
	struct zk_item_list writes, others;
	struct zk_item *item;

	if (answered->count < ANSWERS_APART)
		return;
	zk_item_list_init(&writes);
	zk_item_list_init(&others);
	while ((item = zk_item_list_pop(answered)) != NULL)
		zk_item_list_add(item->op == ZK_OP_WRITE ? &writes : &others,
		    item);
	zk_item_list_join(answered, &others);
	if (writes.count >= ANSWERS_APART)
		zk_answerer_give(node->answerer, &writes);
	zk_item_list_join(answered, &writes);
}

/* --- turns ---------------------------------------------------------------- */

static struct zk_node_member
member_of(const struct zk_member *m, uint32_t slot)
{
	const struct zk_raft *raft = zk_replica_raft(zk_member_replica(m));
	const struct zk_conf *conf = zk_raft_conf(raft);
	const uint64_t id = conf->ids[slot];
	struct zk_node_member member = {.node = id};
	struct zk_member_view view;

	member.role = id == raft->leader      ? "leader"
	    : zk_raft_conf_is_voter(conf, id) ? "voter"
	                                      : "observer";
	member.known = zk_member_view(m, id, &view);
	if (member.known) {
		member.lag = view.lag;
		member.contact_ms = view.contact_ms;
		member.compared = view.compared;
		member.differs = view.differs;
	}
	return member;
}

/* Returns what changed that somebody may watch. */
static unsigned
publish_status(struct zk_node *node, uint64_t commands)
{
	const struct zk_replica *replica = zk_member_replica(node->member);
	const struct zk_replica_counts *seen = zk_replica_counts(replica);
	const struct zk_raft *raft = zk_replica_raft(replica);
	const uint32_t count = zk_raft_conf(raft)->count;
	struct zk_node_status *status = &node->status;
	unsigned news = 0;

	_Static_assert(ZK_MEMBERS_MAX <= ZK_NODE_MEMBERS_MAX, "all are told");
	publish_session(node);
	(void)pthread_mutex_lock(&node->status_lock);
	if (status->state !=
	    zk_member_state_text(zk_member_state(node->member)))
		news |= ZK_NODE_NEWS_STATE;
	if (status->leader != raft->leader)
		news |= ZK_NODE_NEWS_LEADER | ZK_NODE_NEWS_MEMBERS;
	if (status->member_count != count)
		news |= ZK_NODE_NEWS_MEMBERS;
	if (status->session != zk_member_session(node->member))
		news |= ZK_NODE_NEWS_SESSION;
	news |= status->sessions != seen->sessions ? ZK_NODE_NEWS_SESSIONS : 0;
	news |= status->locks != seen->locks ? ZK_NODE_NEWS_LOCKS : 0;
	status->role = zk_member_role_text(raft->role);
	status->state = zk_member_state_text(zk_member_state(node->member));
	status->leader = raft->leader;
	status->term = raft->term;
	status->commit_index = raft->commit_index;
	status->last_index = raft->last_index;
	status->first_index = raft->base_index + 1;
	status->applied_index = zk_replica_applied(replica);
	status->session = zk_member_session(node->member);
	status->turns++;
	status->snapshots_installed = seen->snapshots_installed;
	status->locks = seen->locks;
	status->sessions = seen->sessions;
	status->commands += commands;
	status->frames = node->frames;
	status->member_count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct zk_node_member member = member_of(node->member, i);
		if (member.node != status->members[i].node ||
		    member.role != status->members[i].role)
			news |= ZK_NODE_NEWS_MEMBERS;
		status->members[i] = member;
	}
	(void)pthread_mutex_unlock(&node->status_lock);
	return news;
}

static void
receive(struct zk_node *node, const struct zk_letter *letter)
{
	const struct zk_node_network *network = node->options.network;

	if (letter->kind != ZK_LETTER_FRAME) {
		zk_member_peer(node->member, letter->peer,
		    letter->kind == ZK_LETTER_UP);
		return;
	}
	node->frames++;
	if (zk_member_receive(node->member, letter->peer, letter->bytes,
	        letter->len) == -EPROTO)
		network->bad_frame(network->arg, letter->peer);
}

/* Not at each attempt, but for as long as it lasts. */
static void
tell_disk_full(struct zk_node *node, uint64_t now_ms)
{
	const uint64_t count =
	    zk_replica_counts(zk_member_replica(node->member))->disk_full;

	if (count == node->disk_full)
		return;
	node->disk_full = count;
	if (node->disk_full_ms != 0 &&
	    now_ms - node->disk_full_ms < FULL_AGAIN_MS)
		return;
	node->disk_full_ms = now_ms;
	zk_log_warnx("FULL reason=no room on the disk of the data directory: "
	             "this member falls behind until there is some");
}

/* One turn; returns how long to wait for the next. */
static uint32_t
turn(struct zk_node *node, struct zk_batch *batch)
{
	const uint64_t commands = batch->items.count;
	const struct zk_member_time now = time_now();
	struct zk_letter *letter;
	uint32_t wait_ms;
	unsigned news;
	int rc;

	zk_member_begin(node->member, &now);
	while ((letter = zk_batch_pop_letter(batch)) != NULL) {
		receive(node, letter);
		free(letter);
	}
	zk_member_submit(node->member, &batch->items);
	rc = zk_member_end(node->member, &wait_ms);
	if (rc < 0) {
		node->options.fatal(node->options.arg, rc, "store");
		abort(); /* it does not return */
	}
	tell_disk_full(node, now.mono_ms);
	news = publish_status(node, commands);
	if (news != 0 && node->options.news != NULL)
		node->options.news(node->options.arg, news);
	if (batch->refused)
		node->options.network->resume(node->options.network->arg);
	if (node->state_changed && node->options.state_changed != NULL)
		node->options.state_changed(node->options.arg);
	node->state_changed = false;
	if (node->members_changed && node->options.members_changed != NULL)
		node->options.members_changed(node->options.arg);
	node->members_changed = false;
	return wait_ms;
}

/* More is to be done at once; but not what only other members can do. */
static uint32_t
wait_of(const struct zk_node *node, uint32_t wait_ms)
{
	const struct zk_replica *replica = zk_member_replica(node->member);

	if (wait_ms > 0 || is_alone(node) ||
	    zk_replica_applied(replica) <
	        zk_replica_raft(replica)->commit_index)
		return wait_ms;
	return BUSY_WAIT_MS;
}

static void *
node_main(void *arg)
{
	struct zk_node *node = arg;
	uint32_t wait_ms = is_alone(node) ? UINT32_MAX : 0;
	uint64_t give_up_ms = 0;
	struct zk_batch batch;

	(void)pthread_setname_np(pthread_self(), "zkfs-node");
	zk_batch_init(&batch);
	for (;;) {
		if (!zk_inbox_take(&node->inbox, wait_ms, &batch)) {
			const uint64_t now_ms = time_now().mono_ms;

			if (give_up_ms == 0)
				give_up_ms = now_ms + STOP_MS;
			if (is_alone(node) || node->ended ||
			    atomic_load(&node->leaving) ||
			    zk_member_session(node->member) == 0 ||
			    now_ms >= give_up_ms)
				break;
		}
		wait_ms = wait_of(node, turn(node, &batch));
	}
	for (struct zk_letter *letter;
	     (letter = zk_batch_pop_letter(&batch)) != NULL;)
		free(letter);
	/* Should it fail, the journal has it. */
	(void)zk_store_settle(node->options.store);
	return NULL;
}

/* --- life ----------------------------------------------------------------- */

static int
open_member(struct zk_node *node)
{
	const struct zk_member_options options = {
	    .store = node->options.store,
	    .seed = node->options.seed,
	    .session_timeout_ms = node->options.session_timeout_ms,
	    .election_ms = ELECTION_MS,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .founders = node->options.founders,
	    .roster = node->options.roster,
	    .legacy = node->options.legacy,
	    .keeps = node->options.keeps,
	    .sink =
	        {
	            .arg = node,
	            .send = on_send,
	            .push = on_push,
	            .changed = on_changed,
	            .cares = on_cares,
	            .replacing = on_replacing,
	            .replaced = on_replaced,
	            .state_changed = on_state,
	            .members = on_members,
	            .answer = on_answer,
	        },
	};
	const struct zk_member_time now = time_now();
	struct zk_batch none;
	int rc;

	rc = zk_member_open(&options, &now, &node->member);
	if (rc < 0)
		return rc;
	atomic_store(&node->session, zk_member_session(node->member));
	zk_batch_init(&none);
	if (!is_alone(node)) {
		(void)publish_status(node, 0);
		return 0;
	}
	/* A group of one opens its session with nobody's help. */
	while (turn(node, &none) == 0)
		;
	return zk_member_session(node->member) != 0 ? 0 : -ZK_ENOTLEADER;
}

int
zk_node_open(const struct zk_node_options *options, struct zk_node **ret_node)
{
	struct zk_node *node;
	int rc;

	ZK_ASSERT(options->seed != 0);

	node = calloc(1, sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	node->options = *options;
	node->sending.network = options->network;
	(void)pthread_mutex_init(&node->status_lock, NULL);
	rc = zk_inbox_init(&node->inbox);
	if (rc == 0)
		rc = zk_answerer_open(&node->answerer);
	if (rc == 0)
		rc = open_member(node);
	if (rc == 0)
		rc = -pthread_create(&node->thread, NULL, node_main, node);
	if (rc < 0) {
		zk_node_close(node);
		return rc;
	}
	node->running = true;
	*ret_node = node;
	return 0;
}

int
zk_node_submit(struct zk_node *node, const struct zk_command *cmd,
    zk_done_fn done, void *arg, uint64_t *ret_ticket)
{
	struct zk_item *item;
	int rc;

	rc = zk_item_new(cmd, done, arg, &item);
	if (rc < 0)
		return rc;
	rc = zk_inbox_push(&node->inbox, item, ret_ticket);
	if (rc < 0)
		free(item);
	return rc;
}

bool
zk_node_receive(struct zk_node *node, uint64_t peer, bool bulk,
    const void *bytes, size_t len)
{
	return zk_inbox_post(&node->inbox, peer,
	    bulk ? ZK_MAIL_BULK : ZK_MAIL_FAST, bytes, len);
}

void
zk_node_peer(struct zk_node *node, uint64_t peer, bool up)
{
	zk_inbox_post_peer(&node->inbox, peer, up);
}

/* Also when it could not be: then it is not waited for any more. */
static void
on_ended(void *arg, const struct zk_outcome *out)
{
	struct zk_node *node = arg;

	(void)out;
	node->ended = true;
}

/* After the inbox was closed. */
static void
end_threads(struct zk_node *node)
{
	(void)pthread_join(node->thread, NULL);
	node->running = false;
	zk_answerer_close(node->answerer);
	node->answerer = NULL;
}

void
zk_node_stop(struct zk_node *node)
{
	const struct zk_command end = {
	    .op = ZK_OP_SESSION_END,
	    .ino = zk_node_session(node),
	};
	struct zk_item *item;

	if (!node->running)
		return;
	/* Without memory the next start, or the leader, ends this session. */
	if (zk_item_new(&end, on_ended, node, &item) == 0 &&
	    zk_inbox_push(&node->inbox, item, NULL) < 0)
		free(item);
	zk_inbox_close(&node->inbox);
	end_threads(node);
	/* Answers what is left, while there is somebody to answer to. */
	zk_member_close(node->member);
	node->member = NULL;
	atomic_store(&node->session, 0);
}

void
zk_node_leave(struct zk_node *node, struct zk_member_legacy *ret_legacy)
{
	ZK_ASSERT(node->running);

	atomic_store(&node->leaving, true);
	zk_inbox_close(&node->inbox);
	end_threads(node);
	zk_member_leave(node->member, ret_legacy);
	zk_member_close(node->member);
	node->member = NULL;
}

void
zk_node_close(struct zk_node *node)
{
	if (node == NULL)
		return;
	ZK_ASSERT(!node->running);

	zk_member_close(node->member);
	zk_answerer_close(node->answerer);
	zk_inbox_fini(&node->inbox);
	(void)pthread_mutex_destroy(&node->status_lock);
	free(node);
}

bool
zk_node_is_lost(const struct zk_node *node)
{
	return atomic_load(&node->is_lost);
}

/*
 * Not only the node thread sees to it: it may hang in a flush, while others are
 * given what this session held.
 */
uint64_t
zk_node_lease(const struct zk_node *node, uint64_t *ret_left_ms)
{
	const uint64_t session = atomic_load(&node->session);
	const uint64_t end = atomic_load(&node->lease_end_ms);
	const uint64_t now = time_now().mono_ms;

	*ret_left_ms = now < end ? end - now : 0;
	/* That end may be the next one's by now. */
	return now < end && atomic_load(&node->session) == session ? session
	                                                           : 0;
}

void
zk_node_status(struct zk_node *node, struct zk_node_status *ret_status)
{
	(void)pthread_mutex_lock(&node->status_lock);
	*ret_status = node->status;
	(void)pthread_mutex_unlock(&node->status_lock);
	ret_status->queued = zk_inbox_length(&node->inbox);
	if (ret_status->session == 0 || zk_node_session(node) != 0)
		return;
	ret_status->session = 0;
	ret_status->state = zk_member_state_text(ZK_STATE_LOST);
}
