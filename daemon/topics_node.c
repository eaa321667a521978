#include "daemon/topics_node.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "daemon/inbox.h"
#include "store/datadir.h"

/* Timers of the partitions' groups, in milliseconds. */
#define ELECTION_MS  400u
#define HEARTBEAT_MS 80u

/* Where nobody reads behind the writers, what they wrote is shown so late. */
#define SETTLE_MS 40u
/* Longer than it takes who writes one record after the other. */
#define LINGER_MS 2u

/* What is costly to find out is found out so often. */
#define USAGE_MS 2000u

struct zk_topics_node {
	struct zk_topics_node_options options;
	struct zk_broker *broker;
	struct zk_inbox inbox; /* frames, and what wakes the thread */
	pthread_t thread;
	bool running;

	pthread_mutex_t lock;
	struct zk_request_list queue; /* protected by lock */
	bool closed;                  /* protected by lock */
	uint64_t refused;             /* protected by lock */

	/* The topics' thread's. */
	uint64_t turns, requests, frames, usage_ms;

	pthread_mutex_t status_lock;
	struct zk_topics_node_status status; /* protected by status_lock */
};

static struct zk_broker_time
time_now(void)
{
	struct zk_broker_time now;
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	now.wall = (struct zk_stamp){ts.tv_sec, (uint32_t)ts.tv_nsec};
	now.mono_ms = zk_clock_lease_ms() + 1; /* not 0 */
	return now;
}

/* --- what the broker tells ------------------------------------------------ */

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	const struct zk_topics_node *node = arg;
	const struct zk_node_network *network = node->options.network;

	/* A host that was told of others before it knew how to reach them. */
	if (network != NULL)
		network->send(network->arg, to, lane == ZK_BROKER_BULK, bytes,
		    len);
}

static void
on_changed(void *arg, const struct zk_partition_info *info)
{
	const struct zk_topics_node *node = arg;

	if (node->options.changed != NULL)
		node->options.changed(node->options.arg, info);
}

/* --- turns ---------------------------------------------------------------- */

static void
publish_status(struct zk_topics_node *node, uint64_t now_ms)
{
	struct zk_topics_node_status *status = &node->status;
	const bool usage = now_ms - node->usage_ms >= USAGE_MS;
	struct zk_broker_usage found;

	if (usage) {
		node->usage_ms = now_ms;
		zk_broker_usage(node->broker, &found);
	}
	(void)pthread_mutex_lock(&node->status_lock);
	status->turns = node->turns;
	status->requests = node->requests;
	status->frames = node->frames;
	status->counts = *zk_broker_counts(node->broker);
	if (usage)
		status->usage = found;
	(void)pthread_mutex_unlock(&node->status_lock);
}

static void
receive(struct zk_topics_node *node, const struct zk_letter *letter)
{
	const struct zk_node_network *network = node->options.network;

	if (letter->kind != ZK_LETTER_FRAME) {
		zk_broker_peer(node->broker, letter->peer,
		    letter->kind == ZK_LETTER_UP);
		return;
	}
	node->frames++;
	if (zk_broker_receive(node->broker, letter->peer, letter->bytes,
	        letter->len) == -EPROTO)
		network->bad_frame(network->arg, letter->peer);
}

/* A turn's worth of what is queued. */
static void
take_requests(struct zk_topics_node *node, struct zk_request_list *list)
{
	struct zk_request_list *queue = &node->queue;

	if (zk_broker_is_full(node->broker))
		return;
	(void)pthread_mutex_lock(&node->lock);
	while (queue->first != NULL && list->count < ZK_QUEUE_COMMANDS_MAX &&
	    list->bytes + queue->first->len <= ZK_BROKER_TURN_BYTES_MAX)
		zk_request_list_add(list, zk_request_list_pop(queue));
	(void)pthread_mutex_unlock(&node->lock);
	node->requests += list->count;
}

/* There is more that the broker would take. */
static bool
has_more(struct zk_topics_node *node)
{
	bool more;

	(void)pthread_mutex_lock(&node->lock);
	more = node->queue.first != NULL;
	(void)pthread_mutex_unlock(&node->lock);
	return more && !zk_broker_is_full(node->broker);
}

/* One turn; returns how long to wait for the next. */
static uint32_t
turn(struct zk_topics_node *node, struct zk_batch *batch)
{
	const struct zk_broker_time now = time_now();
	struct zk_request_list list;
	struct zk_letter *letter;
	uint32_t wait_ms;
	int rc;

	zk_broker_begin(node->broker, &now);
	while ((letter = zk_batch_pop_letter(batch)) != NULL) {
		receive(node, letter);
		free(letter);
	}
	zk_request_list_init(&list);
	take_requests(node, &list);
	zk_broker_submit(node->broker, &list);
	rc = zk_broker_end(node->broker, &wait_ms);
	if (rc < 0) {
		node->options.fatal(node->options.arg, rc, "topics");
		abort(); /* it does not return */
	}
	node->turns++;
	publish_status(node, now.mono_ms);
	if (node->options.keeps != NULL)
		atomic_store(node->options.keeps,
		    zk_broker_keeps(node->broker));
	if (batch->refused)
		node->options.network->resume(node->options.network->arg);
	return has_more(node) ? 0 : wait_ms;
}

static void *
node_main(void *arg)
{
	struct zk_topics_node *node = arg;
	struct zk_batch batch;
	uint32_t wait_ms = 0;

	(void)pthread_setname_np(pthread_self(), "zkfs-topics");
	zk_batch_init(&batch);
	while (zk_inbox_take(&node->inbox, wait_ms, &batch))
		wait_ms = turn(node, &batch);
	/* The journal has it, should it fail. */
	(void)zk_broker_settle(node->broker);
	for (struct zk_letter *letter;
	     (letter = zk_batch_pop_letter(&batch)) != NULL;)
		free(letter);
	return NULL;
}

/* --- life ----------------------------------------------------------------- */

static int
open_broker(struct zk_topics_node *node)
{
	const struct zk_topics_node_options *options = &node->options;
	const struct zk_broker_options broker = {
	    .dir = options->dir,
	    .self = zk_store_ident(options->store)->node,
	    .background = true,
	    .seed = options->seed,
	    .election_ms = ELECTION_MS,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .op_timeout_ms = options->op_timeout_ms,
	    .settle_ms = SETTLE_MS,
	    .linger_ms = LINGER_MS,
	    .sessions = options->sessions,
	    .sink =
	        {
	            .arg = node,
	            .send = on_send,
	            .changed = on_changed,
	        },
	};
	const struct zk_broker_time now = time_now();

	return zk_broker_open(&broker, &now, &node->broker);
}

int
zk_topics_node_open(const struct zk_topics_node_options *options,
    char **ret_why, struct zk_topics_node **ret_node)
{
	struct zk_topics_node *node;
	int rc;

	ZK_ASSERT(options->seed != 0);

	node = calloc(1, sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	node->options = *options;
	(void)pthread_mutex_init(&node->lock, NULL);
	(void)pthread_mutex_init(&node->status_lock, NULL);
	zk_request_list_init(&node->queue);
	rc = zk_inbox_init(&node->inbox);
	if (rc == 0)
		rc = open_broker(node);
	if (rc < 0 && ret_why != NULL &&
	    asprintf(ret_why, "%s/%s: %s", options->dir, ZK_DATADIR_TOPICS,
	        zk_err_text(rc)) < 0)
		*ret_why = NULL;
	if (rc == 0)
		rc = -pthread_create(&node->thread, NULL, node_main, node);
	if (rc < 0) {
		zk_topics_node_close(node);
		return rc;
	}
	node->options.dir = NULL;
	node->running = true;
	*ret_node = node;
	return 0;
}

void
zk_topics_node_stop(struct zk_topics_node *node)
{
	const struct zk_reply stale = {.rc = -ESTALE};
	struct zk_request *request;

	if (!node->running)
		return;
	(void)pthread_mutex_lock(&node->lock);
	node->closed = true;
	(void)pthread_mutex_unlock(&node->lock);
	zk_inbox_close(&node->inbox);
	/* Not when the next tick is due, but now. */
	zk_inbox_poke(&node->inbox);
	(void)pthread_join(node->thread, NULL);
	node->running = false;
	zk_broker_stop(node->broker);
	/* Nobody adds to it any more. */
	while ((request = zk_request_list_pop(&node->queue)) != NULL) {
		if (request->done != NULL)
			request->done(request->arg, &stale);
		zk_request_free(request);
	}
}

void
zk_topics_node_close(struct zk_topics_node *node)
{
	if (node == NULL)
		return;
	ZK_ASSERT(!node->running);

	zk_broker_close(node->broker);
	zk_inbox_fini(&node->inbox);
	(void)pthread_mutex_destroy(&node->lock);
	(void)pthread_mutex_destroy(&node->status_lock);
	free(node);
}

/* --- any thread ----------------------------------------------------------- */

int
zk_topics_node_submit(struct zk_topics_node *node,
    const struct zk_request *what, const void *bytes, size_t len)
{
	const bool bounded = what->kind < ZK_REQUEST_SET;
	struct zk_request_list *queue = &node->queue;
	struct zk_request *request;
	bool first = false;
	int rc;

	rc = zk_request_new(what, bytes, len, &request);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&node->lock);
	if (node->closed) {
		rc = -ESTALE;
	} else if (bounded &&
	    (queue->count >= ZK_QUEUE_COMMANDS_MAX ||
	        queue->bytes + len > ZK_QUEUE_BYTES_MAX)) {
		rc = -EAGAIN;
		node->refused++;
	} else {
		first = queue->first == NULL;
		zk_request_list_add(queue, request);
	}
	(void)pthread_mutex_unlock(&node->lock);
	if (rc < 0)
		zk_request_free(request);
	else if (first)
		zk_inbox_poke(&node->inbox);
	return rc;
}

struct zk_broker *
zk_topics_node_broker(struct zk_topics_node *node)
{
	return node->broker;
}

bool
zk_topics_node_receive(struct zk_topics_node *node, uint64_t peer, bool bulk,
    const void *bytes, size_t len)
{
	return zk_inbox_post(&node->inbox, peer,
	    bulk ? ZK_MAIL_BULK : ZK_MAIL_FAST, bytes, len);
}

void
zk_topics_node_peer(struct zk_topics_node *node, uint64_t peer, bool up)
{
	zk_inbox_post_peer(&node->inbox, peer, up);
}

void
zk_topics_node_status(struct zk_topics_node *node,
    struct zk_topics_node_status *ret_status)
{
	(void)pthread_mutex_lock(&node->status_lock);
	*ret_status = node->status;
	(void)pthread_mutex_unlock(&node->status_lock);
	(void)pthread_mutex_lock(&node->lock);
	ret_status->queued = node->queue.count;
	ret_status->refused = node->refused;
	(void)pthread_mutex_unlock(&node->lock);
}
