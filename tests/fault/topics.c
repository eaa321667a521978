/*
 * The subject that is the partitions, with the tree beside them that knows of
 * their file: a group of one, whose stages are turns of the broker.  What a
 * partition has at an offset depends on the offset alone.
 */
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "queue/broker.h"
#include "store/store.h"

/* The first keeps everything, the second does not. */
#define PARTS        2u
#define PART_FIRST   5u
#define KEEP_BYTES   300000u
#define RECORD_BYTES 100u
#define BATCH_MAX    120000u
#define TURNS_MAX    1000u

struct topics {
	struct zk_store *store;
	struct zk_broker *broker;
	uint64_t now_ms;
	unsigned int answered;
	int rc; /* the first that was not 0 */
};

/* Where each partition ends after each stage. */
static uint64_t ends[STAGES][PARTS];

static uint8_t
byte_at(unsigned int part, uint64_t offset)
{
	if (offset % RECORD_BYTES == RECORD_BYTES - 1)
		return '\n';
	return (uint8_t)('a' + zk_mix64(offset * PARTS + part) % 26);
}

static struct zk_broker_time
time_of(const struct topics *it)
{
	return (struct zk_broker_time){
	    .wall = {.sec = 1000 + (int64_t)it->now_ms / 1000},
	    .mono_ms = it->now_ms,
	};
}

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	(void)arg;
	(void)to;
	(void)lane;
	(void)bytes;
	(void)len;
}

static void
on_changed(void *arg, const struct zk_partition_info *info)
{
	(void)arg;
	(void)info;
}

static void
on_done(void *arg, const struct zk_reply *reply)
{
	struct topics *it = arg;

	it->answered++;
	if (it->rc == 0)
		it->rc = reply->rc;
}

/* Turns until there is nothing left to do. */
static int
run_turns(struct topics *it, struct zk_request_list *list)
{
	uint32_t wait_ms = 0;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && wait_ms == 0; i++) {
		const struct zk_broker_time now = time_of(it);

		ZK_ASSERT(i < TURNS_MAX);
		zk_broker_begin(it->broker, &now);
		if (list != NULL)
			zk_broker_submit(it->broker, list);
		list = NULL;
		rc = zk_broker_end(it->broker, &wait_ms);
		it->now_ms += 10;
	}
	return rc;
}

static int
add(struct zk_request_list *list, const struct zk_request *what,
    const void *bytes, size_t len)
{
	struct zk_request *request;
	int rc;

	rc = zk_request_new(what, bytes, len, &request);
	if (rc == 0)
		zk_request_list_add(list, request);
	return rc;
}

static int
set_parts(struct topics *it)
{
	const uint64_t node = zk_store_ident(it->store)->node;
	struct zk_request_list list;
	int rc = 0;

	zk_request_list_init(&list);
	for (unsigned int i = 0; rc == 0 && i < PARTS; i++) {
		struct zk_partition_spec spec = {
		    .id = PART_FIRST + i,
		    .founders = {node},
		    .founder_count = 1,
		    .replicas = {node},
		    .replica_count = 1,
		    .retention_bytes = i > 0 ? KEEP_BYTES : 0,
		};
		const struct zk_request what = {
		    .kind = ZK_REQUEST_SET,
		    .partition = PART_FIRST + i,
		    .spec = &spec,
		};

		rc = add(&list, &what, NULL, 0);
	}
	return rc < 0 ? rc : run_turns(it, &list);
}

static int
open_broker(struct topics *it, const char *dir)
{
	/* A session is never used again: what it wrote is known by number. */
	static uint64_t opened;
	const struct zk_broker_options options = {
	    .dir = dir,
	    .self = zk_store_ident(it->store)->node,
	    .map_bytes = (size_t)64 << 20,
	    .seed = ((uint64_t)getpid() << 32) + ++opened,
	    .election_ms = 300,
	    .heartbeat_ms = 60,
	    .op_timeout_ms = 10000,
	    .sink = {.arg = it, .send = on_send, .changed = on_changed},
	};
	const struct zk_broker_time now = time_of(it);
	int rc;

	rc = zk_broker_open(&options, &now, &it->broker);
	return rc == 0 ? set_parts(it) : rc;
}

static int
topics_close(void *arg, bool flush)
{
	struct topics *it = arg;
	int rc = 0;

	if (it == NULL)
		return 0;
	zk_broker_close(it->broker);
	if (flush)
		rc = zk_store_close(it->store);
	else
		zk_store_abandon(it->store);
	free(it);
	return rc;
}

static int
topics_open(const char *dir, void **ret_it)
{
	const struct zk_store_options options = {
	    .dir = dir,
	    .member = "z1",
	    .map_bytes = (size_t)256 << 20,
	    .seed = 7,
	    .journal_bytes = (size_t)1 << 20,
	};
	struct topics *it = calloc(1, sizeof(*it));
	char *why = NULL;
	int rc;

	if (it == NULL)
		return -ENOMEM;
	it->now_ms = 1;
	rc = zk_store_open(&options, &why, &it->store);
	if (rc < 0)
		fprintf(stderr, "open: %d: %s\n", rc, why);
	free(why);
	if (rc == 0)
		rc = zk_broker_claim(dir, it->store);
	if (rc == 0)
		rc = open_broker(it, dir);
	if (rc < 0)
		(void)topics_close(it, false);
	else
		*ret_it = it;
	return rc;
}

/* The batches of a stage: so many, of these lengths. */
static uint32_t
batches_of(uint32_t stage, unsigned int part, uint32_t ret_lens[4])
{
	static const uint32_t lens[] = {100, 900, 1900, 17000, 40000,
	    BATCH_MAX};
	uint64_t seed = stage * PARTS + part;
	const uint32_t count = 1 + (stage + part) % 4;

	for (uint32_t i = 0; i < count; i++)
		ret_lens[i] = lens[zk_prng_next(&seed) % 6];
	return count;
}

static void
find_ends(void)
{
	for (uint32_t stage = STAGE_MADE + 1; stage < STAGES; stage++)
		for (unsigned int i = 0; i < PARTS; i++) {
			uint32_t lens[4];
			uint32_t count = batches_of(stage, i, lens);

			ends[stage][i] = ends[stage - 1][i];
			while (count-- > 0)
				ends[stage][i] += lens[count];
		}
}

static int
topics_stage(void *arg, uint32_t stage)
{
	static uint8_t bytes[BATCH_MAX];
	struct topics *it = arg;
	struct zk_request_list list;
	unsigned int asked = 0;
	int rc = 0;

	find_ends();
	zk_request_list_init(&list);
	for (unsigned int i = 0; i < PARTS; i++) {
		const struct zk_request what = {
		    .kind = ZK_REQUEST_APPEND,
		    .partition = PART_FIRST + i,
		    .done = on_done,
		    .arg = it,
		};
		uint64_t at = ends[stage - 1][i];
		uint32_t lens[4];
		const uint32_t count = batches_of(stage, i, lens);

		for (uint32_t k = 0; rc == 0 && k < count; k++) {
			for (uint32_t j = 0; j < lens[k]; j++)
				bytes[j] = byte_at(i, at++);
			rc = add(&list, &what, bytes, lens[k]);
			asked++;
		}
	}
	it->answered = 0;
	it->rc = 0;
	if (rc == 0)
		rc = run_turns(it, &list);
	if (rc == 0)
		rc = it->rc;
	return rc == 0 && it->answered != asked ? -EIO : rc;
}

static int
topics_expect(const char *dir)
{
	void *it = NULL;
	int rc;

	rc = topics_open(dir, &it);
	for (uint32_t i = STAGE_MADE + 1; rc == 0 && i < STAGES; i++)
		rc = topics_stage(it, i);
	(void)topics_close(it, false);
	return rc;
}

/* --- what there is -------------------------------------------------------- */

static const char *
check_bytes(struct topics *it, unsigned int part,
    const struct zk_partition_info *info)
{
	static uint8_t buf[65536];
	uint64_t at = info->start;

	while (at < info->end) {
		size_t len;

		if (zk_broker_read(it->broker, PART_FIRST + part, at, buf,
		        sizeof(buf), &len) < 0 ||
		    len == 0)
			return "cannot be read";
		for (size_t i = 0; i < len; i++)
			if (buf[i] != byte_at(part, at + i))
				return "not what was appended there";
		at += len;
	}
	return at == info->end ? NULL : "more than there should be";
}

/* All partitions are as of that stage. */
static const char *
check_stage(struct topics *it, uint32_t stage)
{
	for (unsigned int i = 0; i < PARTS; i++) {
		struct zk_partition_info info;
		const char *why;
		uint64_t kept;

		if (zk_broker_info(it->broker, PART_FIRST + i, &info) < 0)
			return "a partition is missing";
		if (info.end != ends[stage][i])
			return "neither the old state nor the new";
		kept = info.end - info.start;
		if (i == 0 ? info.start != 0
		           : info.start % RECORD_BYTES != 0 ||
		            info.start > info.end ||
		            (info.start > 0 && kept + BATCH_MAX < KEEP_BYTES))
			return "too much was taken";
		why = check_bytes(it, i, &info);
		if (why != NULL)
			return why;
	}
	return NULL;
}

/* Retention goes on where it was. */
static const char *
check_retention(struct topics *it)
{
	struct zk_partition_info info;

	it->now_ms += 1000;
	if (run_turns(it, NULL) < 0 || run_turns(it, NULL) < 0 ||
	    zk_broker_info(it->broker, PART_FIRST + 1, &info) < 0)
		return "cannot carry on";
	return info.end - info.start > KEEP_BYTES + KEEP_BYTES / 8
	    ? "too little was taken"
	    : NULL;
}

static const char *
check_topics(struct topics *it, uint32_t stage)
{
	const char *why;

	find_ends();
	if (stage < STAGE_MADE)
		stage++;
	why = check_stage(it, stage);
	if (why != NULL && ++stage < STAGES)
		why = check_stage(it, stage);
	if (why == NULL)
		why = check_retention(it);
	if (why != NULL || ++stage >= STAGES)
		return why;
	if (topics_stage(it, stage) < 0)
		return "cannot carry on";
	return check_stage(it, stage);
}

static const char *
topics_check(const char *dir, uint32_t acked)
{
	const char *why;
	void *it = NULL;

	if (topics_open(dir, &it) < 0)
		return "does not open";
	why = check_topics(it, acked);
	(void)topics_close(it, false);
	return why;
}

const struct subject subject_topics = {
    .name = "topics",
    .expect = topics_expect,
    .open = topics_open,
    .stage = topics_stage,
    .close = topics_close,
    .check = topics_check,
    .step = 3,
};
