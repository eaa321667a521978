#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "fs/topic_impl.h"

/*
 * `lag` tells the ends of all partitions of a topic.  Where this host has no
 * replica it does not know them, or only those of when it last asked: so they
 * are asked for before the file is opened.  Of those who do not answer soon it
 * says what was known before.
 */

struct survey {
	struct zk_call *call;
	uint32_t count;   /* to be asked for */
	uint32_t next;    /* not yet asked for */
	uint32_t pending; /* not yet answered */
	uint64_t partitions[];
};

static void survey_told(void *arg, const struct zk_told *told);

static int
ask(struct survey *survey, uint32_t i)
{
	const struct zk_fs_port *port = &survey->call->fs->port;
	const struct zk_ask what = {
	    .kind = ZK_ASK_INFO,
	    .partition = survey->partitions[i],
	    .limit_ms = ZK_TOPIC_INFO_MS,
	};

	return port->ask(port->impl, &what, survey_told, survey);
}

/* The thread that answers goes on, as far as there is room. */
static void
survey_told(void *arg, const struct zk_told *told)
{
	const struct zk_told all = {.rc = 0};
	struct survey *survey = arg;

	/* Asking was what it was about: what was said is known by now. */
	(void)told;
	ZK_ASSERT(survey->pending > 0);
	survey->pending--;
	while (survey->next < survey->count) {
		const int rc = ask(survey, survey->next);

		if (rc == -EAGAIN && survey->pending > 0)
			return; /* the next answer looks again */
		survey->next++;
		survey->pending += rc == 0;
	}
	if (survey->pending == 0)
		zk_call_told(survey->call, &all);
}

static int
send_survey(struct zk_call *call)
{
	struct survey *survey = call->extra;

	/* The answer may come before this returns. */
	survey->next = survey->pending = 1;
	return ask(survey, 0);
}

static void
survey_answer(struct zk_call *call, const struct zk_outcome *out)
{
	(void)out;
	zk_call_defer(call);
}

/* NULL: there is none to be asked for. */
static struct survey *
plan_survey(struct zk_fs *fs, const struct zk_attr *attr)
{
	const struct zk_fs_port *port = &fs->port;
	struct zk_port_topic topic;
	struct survey *survey;

	if (port->topic(port->impl, attr->topic, &topic) < 0)
		return NULL;
	survey =
	    calloc(1, sizeof(*survey) + topic.partitions * sizeof(uint64_t));
	if (survey == NULL)
		return NULL;
	for (uint32_t i = 0; i < topic.partitions; i++) {
		uint64_t *at = &survey->partitions[survey->count];
		struct zk_port_partition info;

		if (port->partition(port->impl, attr->topic, i, at) == 0 &&
		    port->info(port->impl, *at, &info) == -EREMOTE)
			survey->count++;
	}
	if (survey->count > 0)
		return survey;
	free(survey);
	return NULL;
}

bool
zk_topic_survey(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr,
    const struct fuse_file_info *fi, zk_resume_fn resume)
{
	const struct zk_command cmd = {.op = ZK_OP_NOP, .ino = attr->ino};
	struct survey *survey = NULL;
	struct zk_call *call;

	if (attr->kind == ZK_NODE_LAG)
		survey = plan_survey(fs, attr);
	if (survey == NULL)
		return false;
	call = zk_call_new(fs, req, &cmd, survey_answer);
	if (call == NULL) {
		free(survey);
		return true;
	}
	survey->call = call;
	call->extra = survey;
	call->send = send_survey;
	call->lane = ZK_LANE_TOPICS;
	call->fi = *fi;
	call->resume = resume;
	zk_call_submit(call);
	return true;
}
