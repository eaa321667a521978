#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ctl/consume.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"
#include "ctl/value.h"

#define BUFFER_BYTES   ((size_t)1048576)
#define PARTITIONS_MAX 1024u

/* With --follow: how often to look for more where nothing came. */
#define FOLLOW_MS 100

struct source {
	int fd;
	uint32_t number;
	uint64_t offset;
	bool silent; /* nobody who has it answered */
};

struct reader {
	struct zk_ctl_consumer *c;
	struct source sources[PARTITIONS_MAX];
	size_t count;
	bool missed; /* what such a one has */
	char *buf;
};

/* The first record that begins there or later: a record ends before it. */
static int
align(const struct reader *r, const struct source *source, uint64_t *offset)
{
	const char *stop;
	ssize_t n;

	if (*offset == 0)
		return 0;
	n = pread(source->fd, r->buf, BUFFER_BYTES, (off_t)*offset - 1);
	if (n < 0)
		return errno == ENODATA ? 0 : -errno; /* see read_some() */
	stop = memchr(r->buf, '\n', (size_t)n);
	if (stop != NULL)
		*offset += (uint64_t)(stop - r->buf);
	return 0;
}

/* Where to begin: an offset, start, end or a time. */
static int
first_offset(const struct reader *r, const struct source *source,
    const char *name, const char *from, uint64_t *ret_offset)
{
	char at_time[64];
	int rc;

	(void)snprintf(at_time, sizeof(at_time), "user.zkfs.%s", from);
	if (from[0] == '@')
		rc = zk_ctl_xattr_number(source->fd, at_time, ret_offset);
	else if (strcmp(from, "start") == 0)
		rc = zk_ctl_xattr_number(source->fd, "user.zkfs.start",
		    ret_offset);
	else if (strcmp(from, "end") == 0)
		rc = zk_ctl_xattr_number(source->fd, "user.zkfs.end",
		    ret_offset);
	else
		rc = zk_ctl_parse_number(from, INT64_MAX, ret_offset);
	if (rc == 0)
		rc = align(r, source, ret_offset);
	if (rc < 0)
		zk_ctl_say(r->c->ctl, "%s: %s: not a place to begin", name,
		    from);
	return rc;
}

/* -ENOENT, of which nothing is said: there is none of that name. */
static int
open_source(struct reader *r, const char *name, uint32_t number,
    const char *from)
{
	struct source source = {.number = number};
	char *path = zk_ctl_topic_path(r->c->ctl, r->c->dir, name, "");
	int rc;

	if (path == NULL)
		return -ENOMEM;
	source.fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = source.fd < 0 ? -errno : 0;
	if (rc < 0 && rc != -ENOENT)
		zk_ctl_say_errno(r->c->ctl, path, -rc);
	if (rc == 0) {
		rc = first_offset(r, &source, name, from, &source.offset);
		r->sources[r->count++] = source;
	}
	free(path);
	return rc;
}

static int
add_source(void *arg, const char *name)
{
	struct reader *r = arg;
	uint32_t number;
	int rc;

	if (!zk_ctl_partition_number(name, &number) ||
	    (r->c->partition >= 0 && r->c->partition != number) ||
	    r->count == PARTITIONS_MAX)
		return 0;
	rc = open_source(r, name, number,
	    r->c->from == NULL ? "start" : r->c->from);
	if (rc == -ENOENT)
		zk_ctl_say_errno(r->c->ctl, r->c->dir, ENOENT);
	return rc;
}

/* Partitions that the topic has got since: all of their records are new. */
static int
add_new_sources(struct reader *r)
{
	char name[16];
	int rc = 0;

	if (!r->c->follow || r->c->partition >= 0)
		return 0;
	while (rc == 0 && r->count < PARTITIONS_MAX) {
		/* Their numbers have no gaps. */
		(void)snprintf(name, sizeof(name), "p%zu", r->count);
		rc = open_source(r, name, (uint32_t)r->count, "start");
	}
	return rc == 0 || rc == -ENOENT ? 0 : ZK_EXIT_FAILED;
}

/* Slower than retention, or asked for what was long ago. */
static int
skip_gone(const struct reader *r, struct source *source, bool *ret_any)
{
	const uint64_t from = source->offset;

	if (zk_ctl_xattr_number(source->fd, "user.zkfs.start",
	        &source->offset) < 0) {
		zk_ctl_say_errno(r->c->ctl, r->c->dir, ENODATA);
		return ZK_EXIT_FAILED;
	}
	zk_ctl_say(r->c->ctl,
	    "p%" PRIu32 ": gone: what was from %" PRIu64 " to %" PRIu64,
	    source->number, from, source->offset);
	*ret_any = true;
	return 0;
}

static int
miss(struct reader *r, struct source *source)
{
	if (!source->silent)
		zk_ctl_say(r->c->ctl,
		    "p%" PRIu32 ": no host that has it answers",
		    source->number);
	source->silent = r->missed = true;
	return 0;
}

/*
 * Asking again takes as long as the first time, and the others wait meanwhile:
 * not before somebody leads the partition.
 */
static bool
is_away(const struct reader *r, const struct source *source)
{
	char leader[sizeof("none")];
	ssize_t len;

	if (!source->silent || !r->c->follow)
		return source->silent;
	len = fgetxattr(source->fd, "user.zkfs.leader", leader, sizeof(leader));
	return len == 4 && memcmp(leader, "none", 4) == 0;
}

/* The records that one read gives.  0, or an exit status; *ret_any: some. */
static int
read_some(struct reader *r, struct source *source, bool *ret_any)
{
	const char *at = r->buf, *end, *stop;
	ssize_t n;

	n = pread(source->fd, r->buf, BUFFER_BYTES, (off_t)source->offset);
	if (n < 0 && errno == ENODATA)
		return skip_gone(r, source, ret_any);
	if (n < 0 && errno == ETIMEDOUT)
		return miss(r, source);
	if (n < 0) {
		zk_ctl_say_errno(r->c->ctl, r->c->dir, errno);
		return ZK_EXIT_FAILED;
	}
	source->silent = false;
	end = r->buf + n;
	while (r->c->count > 0 && at < end &&
	    (stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		const struct zk_ctl_record record = {
		    .text = at,
		    .len = (size_t)(stop - at),
		    .partition = source->number,
		    .offset = source->offset,
		};
		const int status = zk_ctl_consume_record(r->c, &record);

		if (status != 0)
			return status;
		source->offset += record.len + 1;
		at = stop + 1;
		*ret_any = true;
		if (r->c->count != UINT64_MAX)
			r->c->count--;
	}
	return 0;
}

static int
read_all(struct reader *r)
{
	const bool prints = r->c->argv == NULL;
	int status = 0;

	while (status == 0 && r->c->count > 0) {
		bool any = false;

		status = add_new_sources(r);
		for (size_t i = 0; i < r->count && status == 0; i++)
			if (!is_away(r, &r->sources[i]))
				status = read_some(r, &r->sources[i], &any);
		if (any || status != 0)
			continue;
		if (!r->c->follow)
			return r->missed ? ZK_EXIT_FAILED : 0;
		if (fflush(stdout) != 0)
			return ZK_EXIT_FAILED;
		status = zk_ctl_wait(r->c->ctl, prints, -1, FOLLOW_MS);
	}
	return status;
}

int
zk_ctl_consume_partitions(struct zk_ctl_consumer *c)
{
	struct reader *r = calloc(1, sizeof(*r));
	int status = ZK_EXIT_FAILED;

	if (r == NULL || (r->buf = malloc(BUFFER_BYTES)) == NULL) {
		zk_ctl_say_errno(c->ctl, c->dir, ENOMEM);
		free(r);
		return status;
	}
	r->c = c;
	if (zk_ctl_topic_each(c->ctl, c->dir, add_source, r) == 0) {
		if (r->count == 0)
			zk_ctl_say(c->ctl, "%s: no such partition", c->dir);
		else
			status = read_all(r);
	}
	for (size_t i = 0; i < r->count; i++)
		(void)close(r->sources[i].fd);
	free(r->buf);
	free(r);
	return status;
}
