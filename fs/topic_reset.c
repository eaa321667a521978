#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic_impl.h"

/*
 * What is written to a group's offset is a number, or says where; whoever has
 * the partition knows where the next record begins from there on.  And who
 * reads a partition may ask where that is at a time.
 */

#define TEXT_MAX 64u

/* Digits of exactly that width; -1: something else. */
static int
digits(const char **at, int width)
{
	int value = 0;

	for (int i = 0; i < width; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (**at - '0');
	}
	return value;
}

/* YYYY-MM-DDTHH:MM:SSZ, as in RFC 3339; no fraction. */
static int
parse_date(const char *text, struct zk_stamp *ret_time)
{
	struct tm tm = {.tm_year = digits(&text, 4) - 1900};
	static const char marks[] = "--T::";
	int fields[5], low[5] = {1, 1, 0, 0, 0}, high[5] = {12, 31, 23, 59, 60};

	if (tm.tm_year < 70)
		return -EINVAL;
	for (int i = 0; i < 5; i++) {
		if (*text++ != marks[i])
			return -EINVAL;
		fields[i] = digits(&text, 2);
		if (fields[i] < low[i] || fields[i] > high[i])
			return -EINVAL;
	}
	if (strcmp(text, "Z") != 0)
		return -EINVAL;
	tm.tm_mon = fields[0] - 1;
	tm.tm_mday = fields[1];
	tm.tm_hour = fields[2];
	tm.tm_min = fields[3];
	tm.tm_sec = fields[4];
	*ret_time = (struct zk_stamp){.sec = timegm(&tm)};
	return 0;
}

/* Seconds since 1970, with a fraction if wanted; or a date. */
static int
parse_time(const char *text, struct zk_stamp *ret_time)
{
	struct zk_stamp time = {0};
	uint32_t unit = 100000000;
	const char *at = text;

	if (strchr(text, 'T') != NULL)
		return parse_date(text, ret_time);
	for (; *at >= '0' && *at <= '9'; at++) {
		if (time.sec > INT64_MAX / 100)
			return -EINVAL;
		time.sec = time.sec * 10 + (*at - '0');
	}
	if (at == text)
		return -EINVAL;
	if (*at == '.')
		for (at++; *at >= '0' && *at <= '9'; at++) {
			time.nsec += (uint32_t)(*at - '0') * unit;
			unit /= 10;
		}
	if (*at != '\0')
		return -EINVAL;
	*ret_time = time;
	return 0;
}

/* --- an attribute --------------------------------------------------------- */

struct at_time {
	struct zk_ask ask; /* first: zk_topic_ask()'s */
	size_t size;
};

static void
time_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct at_time *at = call->extra;
	char text[32];
	const int len =
	    snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)out->offset);

	ZK_ASSERT(len > 0);
	if (out->rc < 0)
		zk_reply_rc_ino(call->req, out->rc);
	else
		zk_topic_reply_xattr(call->req, text, (size_t)len, at->size);
}

bool
zk_topic_time_xattr(fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
	struct at_time at = {.size = size, .ask = {.kind = ZK_ASK_TIME}}, *copy;
	struct zk_call *call;

	at.ask.partition = ino;
	if (name[0] != '@' || parse_time(name + 1, &at.ask.time) < 0)
		return false;
	copy = malloc(sizeof(*copy));
	if (copy == NULL) {
		zk_reply_rc(req, -ENOMEM);
		return true;
	}
	*copy = at;
	call = zk_topic_ask(zk_fs_of(req), req, &at.ask, time_answer);
	if (call == NULL) {
		free(copy);
		return true;
	}
	free(call->extra);
	call->extra = copy;
	zk_call_submit(call);
	return true;
}

/* --- a group's offset ----------------------------------------------------- */

struct reset {
	struct zk_ask ask; /* first: zk_topic_ask()'s */
	struct fuse_file_info fi;
	size_t size;
	bool end;
	uint64_t offset;
};

/* The number is known: write that. */
static void
reset_resume(struct zk_call *call)
{
	const struct reset *reset = call->extra;
	struct fuse_file_info fi = reset->fi;
	char text[32];
	const int len =
	    snprintf(text, sizeof(text), "%" PRIu64 "\n", reset->offset);

	ZK_ASSERT(len > 0);
	zk_write_for(call->req, call->handle->ino, text, (size_t)len,
	    reset->size, &fi);
}

static void
reset_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct reset *reset = call->extra;

	/* A number from before the start. */
	const bool gone =
	    out->rc == -ENODATA && reset->ask.kind == ZK_ASK_RECORD;

	if (out->rc < 0 && !gone) {
		zk_reply_rc_ino(call->req, out->rc);
		return;
	}
	if (reset->ask.kind != ZK_ASK_INFO && !gone)
		reset->offset = out->offset;
	else
		reset->offset =
		    reset->end ? call->told->info.end : call->told->info.start;
	zk_call_defer(call);
}

static int
parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno != 0 || *end != '\0' ? -EINVAL : 0;
}

/* What the text asks for; -EINVAL. */
static int
parse(const char *text, struct reset *reset)
{
	reset->ask.kind = ZK_ASK_INFO;
	reset->end = strcmp(text, "end") == 0;
	if (reset->end || strcmp(text, "start") == 0)
		return 0;
	reset->ask.kind = ZK_ASK_RECORD;
	if (text[0] >= '0' && text[0] <= '9')
		return parse_number(text, &reset->ask.offset);
	reset->ask.kind = ZK_ASK_TIME;
	return text[0] == '@' ? parse_time(text + 1, &reset->ask.time)
	                      : -EINVAL;
}

bool
zk_topic_reset(fuse_req_t req, struct zk_handle *handle, const char *buf,
    size_t size, const struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct reset reset = {.fi = *fi, .size = size}, *copy;
	char text[TEXT_MAX];
	struct zk_call *call;
	size_t len = size;
	int rc;

	if (len > 0 && buf[len - 1] == '\n')
		len--;
	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, buf, len);
	text[len] = '\0';
	rc = parse(text, &reset);
	if (rc == 0)
		rc = fs->port.partition(fs->port.impl, handle->topic,
		    handle->partition, &reset.ask.partition);
	copy = malloc(sizeof(*copy));
	if (rc == 0 && copy == NULL)
		rc = -ENOMEM;
	if (rc < 0) {
		free(copy);
		zk_reply_rc_ino(req, rc);
		return true;
	}
	*copy = reset;
	call = zk_topic_ask(fs, req, &reset.ask, reset_answer);
	if (call == NULL) {
		free(copy);
		return true;
	}
	free(call->extra);
	call->extra = copy;
	call->handle = handle;
	call->resume = reset_resume;
	zk_call_submit(call);
	return true;
}
