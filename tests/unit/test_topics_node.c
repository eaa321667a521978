#include "tests/unit/store_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "daemon/topics_node.h"

#define PART    5u
#define WRITERS 4u
#define BATCHES 500u

static struct zk_topics_node *node;

static void
on_fatal(void *arg, int rc, const char *what)
{
	(void)arg;
	CHECK(false, "%s: %s", what, zk_err_text(rc));
	abort();
}

static void
open_node(void)
{
	const struct zk_topics_node_options options = {
	    .dir = rig.dir,
	    .store = rig.store,
	    .seed = 3,
	    .op_timeout_ms = 10000,
	    .fatal = on_fatal,
	};
	char *why = NULL;
	int rc = zk_topics_node_open(&options, &why, &node);

	cr_assert_eq(rc, 0, "%s", why);
}

/* What a test waits for. */
static struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
	int rc;
	uint64_t offset;
	char bytes[32]; /* of READ */
	size_t len;
} waiters[WRITERS];

static void
on_done(void *arg, const struct zk_reply *reply)
{
	struct waiter *waiter = arg;

	(void)pthread_mutex_lock(&waiter->lock);
	waiter->done = true;
	waiter->rc = reply->rc;
	waiter->offset = reply->offset;
	waiter->len = reply->len < sizeof(waiter->bytes) ? reply->len : 0;
	if (waiter->len > 0)
		memcpy(waiter->bytes, reply->bytes, waiter->len);
	(void)pthread_cond_signal(&waiter->wake);
	(void)pthread_mutex_unlock(&waiter->lock);
}

static int
ask(unsigned who, struct zk_request what, const void *bytes, size_t len)
{
	struct waiter *waiter = &waiters[who];
	int rc;

	waiter->done = false;
	what.done = on_done;
	what.arg = waiter;
	do
		rc = zk_topics_node_submit(node, &what, bytes, len);
	while (rc == -EAGAIN);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&waiter->lock);
	while (!waiter->done)
		(void)pthread_cond_wait(&waiter->wake, &waiter->lock);
	(void)pthread_mutex_unlock(&waiter->lock);
	return waiter->rc;
}

static void
set(void)
{
	const uint64_t self = zk_store_ident(rig.store)->node;
	struct zk_partition_spec spec = {
	    .id = PART,
	    .founder_count = 1,
	    .replica_count = 1,
	    .founders = {self},
	    .replicas = {self},
	};
	const struct zk_request what = {
	    .kind = ZK_REQUEST_SET,
	    .partition = PART,
	    .spec = &spec,
	};

	cr_assert_eq(ask(0, what, NULL, 0), 0);
}

static void
begin(void)
{
	rig_init();
	for (unsigned i = 0; i < WRITERS; i++) {
		(void)pthread_mutex_init(&waiters[i].lock, NULL);
		(void)pthread_cond_init(&waiters[i].wake, NULL);
	}
	open_node();
	set();
}

static void
end(void)
{
	char path[128];

	zk_topics_node_stop(node);
	zk_topics_node_close(node);
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS);
	(void)unlink(path);
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS_LOCK);
	(void)unlink(path);
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS_JOURNAL);
	(void)unlink(path);
	rig_fini();
}

/* As a mount reads: what cannot be seen yet is asked for. */
static int
read_back(unsigned who, uint64_t offset, char *buf, size_t len, size_t *ret_len)
{
	struct zk_request what = {
	    .kind = ZK_REQUEST_READ,
	    .partition = PART,
	    .offset = offset,
	    .want = (uint32_t)len,
	};
	int rc = zk_broker_read(zk_topics_node_broker(node), PART, offset, buf,
	    len, ret_len);

	if (rc != -EREMOTE)
		return rc;
	rc = ask(who, what, NULL, 0);
	*ret_len = waiters[who].len;
	memcpy(buf, waiters[who].bytes, waiters[who].len);
	return rc;
}

/* Each record is read where its writer was told that it is. */
static void *
writer(void *arg)
{
	const unsigned who = *(const unsigned *)arg;
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = PART,
	};

	for (unsigned i = 0; i < BATCHES; i++) {
		char text[32], got[32];
		const int len =
		    snprintf(text, sizeof(text), "writer %u says %u\n", who, i);
		size_t got_len = 0;

		CHECK(ask(who, what, text, (size_t)len) == 0, "append");
		CHECK(read_back(who, waiters[who].offset, got, (size_t)len,
		          &got_len) == 0,
		    "read");
		CHECK(got_len == (size_t)len && memcmp(text, got, got_len) == 0,
		    "own record");
	}
	return NULL;
}

Test(topics_node, many_threads_append_and_read, .init = begin, .fini = end)
{
	struct zk_topics_node_status status;
	struct zk_partition_info info;
	pthread_t threads[WRITERS];
	unsigned ids[WRITERS];

	for (unsigned i = 0; i < WRITERS; i++) {
		ids[i] = i;
		cr_assert_eq(pthread_create(&threads[i], NULL, writer, &ids[i]),
		    0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		(void)pthread_join(threads[i], NULL);
	/* The picture of the last turn is made after its answers. */
	zk_topics_node_stop(node);
	zk_topics_node_status(node, &status);
	cr_assert_eq(status.counts.appends, (uint64_t)WRITERS * BATCHES);
	cr_assert_eq(zk_broker_info(zk_topics_node_broker(node), PART, &info),
	    0);
	zk_topics_node_close(node);
	open_node();
	set();
	{
		struct zk_partition_info again;

		cr_assert_eq(
		    zk_broker_info(zk_topics_node_broker(node), PART, &again),
		    0);
		cr_assert_eq(again.end, info.end);
	}
}

Test(topics_node, what_comes_after_the_end_is_refused, .init = begin,
    .fini = end)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = PART,
	};

	zk_topics_node_stop(node);
	cr_assert_eq(zk_topics_node_submit(node, &what, "x\n", 2), -ESTALE);
}
