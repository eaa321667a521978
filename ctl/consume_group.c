#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/consume.h"
#include "ctl/group_reset.h"
#include "ctl/say.h"
#include "ctl/topic.h"

/* The longest record, and as much as one read(2) gets. */
#define BUFFER_BYTES ((size_t)1048576)

/*
 * A read at a position acknowledges the records before it.  With a command
 * that is done after each record; printed ones are acknowledged together,
 * when they have left for good.
 */
struct stream {
	struct zk_ctl_consumer *c;
	const char *path;
	int fd;
	char *buf;
	uint64_t pos; /* everything before it is done */
};

/* What there is from pos on, or an exit status; waits. */
static int
more(struct stream *s, size_t *ret_len)
{
	ssize_t n;

	do
		n = pread(s->fd, s->buf, BUFFER_BYTES, (off_t)s->pos);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		*ret_len = (size_t)n;
		return 0;
	}
	zk_ctl_say_errno(s->c->ctl, s->path, n < 0 ? errno : EIO);
	return n < 0 && errno == ESTALE ? ZK_EXIT_LOST : ZK_EXIT_FAILED;
}

/*
 * Whole records among what was read; one with a command.  Printed ones are done
 * when all of them are out: then none is that may still be lost.
 */
static int
take(struct stream *s, size_t len)
{
	const char *at = s->buf, *end = s->buf + len, *stop;
	int status = 0;

	while (status == 0 && s->c->count > 0 && at < end &&
	    (stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		const struct zk_ctl_record record = {
		    .text = at,
		    .len = (size_t)(stop - at),
		    .partition = -1,
		};

		status = zk_ctl_consume_record(s->c, &record);
		if (status != 0)
			break;
		at = stop + 1;
		if (s->c->count != UINT64_MAX)
			s->c->count--;
		if (s->c->argv != NULL)
			break;
	}
	/* main() says why. */
	if (s->c->argv == NULL && status == 0 && fflush(stdout) != 0)
		status = ZK_EXIT_FAILED;
	if (status == 0 || s->c->argv != NULL)
		s->pos += (uint64_t)(at - s->buf);
	return status;
}

/* A read of one byte, which may have to wait: only to say what is done. */
static void
say_done(struct stream *s)
{
	const int flags = fcntl(s->fd, F_GETFL);
	char byte;

	if (flags >= 0 && fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) == 0)
		(void)!pread(s->fd, &byte, 1, (off_t)s->pos);
}

static int
read_stream(struct stream *s)
{
	int status = 0;

	while (status == 0 && s->c->count > 0) {
		size_t len = 0;

		status = more(s, &len);
		if (status == 0)
			status = take(s, len);
	}
	say_done(s);
	return status;
}

/* --- before the first record ---------------------------------------------- */

static int
prepare(struct zk_ctl_consumer *c, const char *dir)
{
	char *path;
	int rc = 0;

	if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
		zk_ctl_say_errno(c->ctl, dir, errno);
		return -errno;
	}
	if (c->from != NULL &&
	    zk_ctl_group_reset(c->ctl, dir, -1, c->from) != ZK_EXIT_OK)
		return -EIO;
	if (c->argv == NULL)
		return 0;
	if (c->tries == 0)
		rc = zk_ctl_topic_setting(c->ctl, c->dir, "max.deliveries",
		    &c->tries);
	path = rc < 0 ? NULL : zk_ctl_topic_path(c->ctl, dir, "dead", "");
	if (path == NULL)
		return -ENOMEM;
	c->dead_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (c->dead_fd < 0) {
		rc = -errno;
		zk_ctl_say_errno(c->ctl, path, errno);
	}
	free(path);
	return rc;
}

int
zk_ctl_consume_group(struct zk_ctl_consumer *c)
{
	struct stream s = {.c = c, .fd = -1};
	int status = ZK_EXIT_FAILED;
	char *dir, *path = NULL;

	dir = zk_ctl_topic_path(c->ctl, c->dir, "groups", c->group);
	if (dir != NULL && prepare(c, dir) == 0)
		path = zk_ctl_topic_path(c->ctl, dir, "next", "");
	s.path = path;
	s.buf = malloc(BUFFER_BYTES);
	if (path != NULL && s.buf != NULL) {
		s.fd = open(path, O_RDONLY | O_CLOEXEC);
		if (s.fd < 0)
			zk_ctl_say_errno(c->ctl, path, errno);
		c->next_fd = s.fd;
		if (s.fd >= 0)
			status = read_stream(&s);
	}
	if (s.fd >= 0)
		(void)close(s.fd);
	if (c->dead_fd >= 0)
		(void)close(c->dead_fd);
	free(s.buf);
	free(path);
	free(dir);
	return status;
}
