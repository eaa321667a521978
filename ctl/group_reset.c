/*
 * A group's offsets are files, and a write to one of them says where the group
 * goes on in that partition.  All of them at once are a transaction: who joins
 * meanwhile, has locked one of them, or kills this command finds the group at
 * one place or at the other.
 */
#include "ctl/group_reset.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"
#include "ctl/value.h"
#include "ctl/where.h"

#define ANSWER_BYTES 512
/* The directory of a group is topics/TOPIC/groups/GROUP. */
#define GROUP_DEPTH 4
/*
 * The attributes start and end tell what was known last where nobody answers;
 * those of a time do not.
 */
#define START_NOW "user.zkfs.@0"
#define END_NOW   "user.zkfs.@99999999999"

struct resetting {
	struct zk_ctl *ctl;
	const char *dir;
	const char *to;
	char *tree; /* the same directory, from the root of the tree */
	char *buf;  /* of ZK_WRITE_MAX: a record at least */
	FILE *lines;
	uint32_t count;
};

/* --- where that is -------------------------------------------------------- */

/* The first record that begins at a number or later; a record ends before. */
static int
align(const struct resetting *r, int fd, uint64_t number, uint64_t *ret_offset)
{
	uint64_t start = 0, end = 0;
	const char *stop;
	ssize_t n;
	int rc;

	rc = zk_ctl_xattr_number(fd, START_NOW, &start);
	if (rc == 0)
		rc = zk_ctl_xattr_number(fd, END_NOW, &end);
	if (rc < 0)
		return rc;
	*ret_offset = number < start ? start : end;
	if (number <= start || number >= end)
		return 0;
	n = pread(fd, r->buf, ZK_WRITE_MAX, (off_t)number - 1);
	if (n < 0)
		return -errno;
	stop = memchr(r->buf, '\n', (size_t)n);
	if (stop != NULL)
		*ret_offset = number + (uint64_t)(stop - r->buf);
	return 0;
}

static int
find_place(const struct resetting *r, int fd, uint64_t *ret_offset)
{
	const char *to = r->to;
	uint64_t number = 0;
	char name[64];
	int rc;

	if (strcmp(to, "start") == 0)
		return zk_ctl_xattr_number(fd, START_NOW, ret_offset);
	if (strcmp(to, "end") == 0)
		return zk_ctl_xattr_number(fd, END_NOW, ret_offset);
	if (to[0] != '@') {
		rc = zk_ctl_parse_number(to, INT64_MAX, &number);
		return rc < 0 ? -EINVAL : align(r, fd, number, ret_offset);
	}
	rc = snprintf(name, sizeof(name), "user.zkfs.%s", to);
	if (rc < 0 || (size_t)rc >= sizeof(name))
		return -EINVAL;
	rc = zk_ctl_xattr_number(fd, name, ret_offset);
	/* There is no such attribute: it is no time. */
	return rc == -ENODATA ? -EINVAL : rc;
}

/* dir/groups/GROUP/pN is how far the group is in dir/pN. */
static int
place_of(const struct resetting *r, const char *name, uint64_t *ret_offset)
{
	char *path = zk_ctl_topic_path(r->ctl, r->dir, "../..", name);
	int fd, rc;

	if (path == NULL)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : 0;
	/* This host's replica may lag; the end is that of all. */
	if (rc == 0 && strcmp(r->to, "end") == 0 && fsync(fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = find_place(r, fd, ret_offset);
	free(path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* --- all of them ---------------------------------------------------------- */

static int
say_partition(const struct resetting *r, const char *name, int rc)
{
	char *path = zk_ctl_topic_path(r->ctl, r->dir, name, "");

	if (path != NULL)
		zk_ctl_say_errno(r->ctl, path, -rc);
	free(path);
	return rc;
}

/* Words end at blanks, and a backslash is one of the grammar. */
static void
print_path(FILE *out, const char *path)
{
	for (const char *at = path; *at != '\0'; at++)
		if (isalnum((unsigned char)*at) || strchr("/._-", *at) != NULL)
			(void)fputc(*at, out);
		else
			(void)fprintf(out, "\\x%02x", (unsigned char)*at);
}

static int
add_line(void *arg, const char *name)
{
	struct resetting *r = arg;
	uint64_t offset = 0;
	uint32_t number;
	int rc;

	if (!zk_ctl_partition_number(name, &number))
		return 0;
	rc = place_of(r, name, &offset);
	if (rc < 0)
		return say_partition(r, name, rc);
	(void)fprintf(r->lines, "set ");
	print_path(r->lines, r->tree);
	(void)fprintf(r->lines, "/%s %" PRIu64 "\n", name, offset);
	r->count++;
	return 0;
}

/* Lines are in the order of the partitions, whose numbers have no gaps. */
static void
say_failure(const struct resetting *r, int fd, int rc)
{
	char answer[ANSWER_BYTES], digits[24], name[32];
	uint64_t line = 0;
	ssize_t len;

	len = pread(fd, answer, sizeof(answer) - 1, 0);
	answer[len > 0 ? len : 0] = '\0';
	/* Where the outcome is unknown, no line is to blame. */
	if (rc == -ETIMEDOUT || rc == -ENOTCONN ||
	    sscanf(answer, "line %20[0-9]:", digits) != 1 ||
	    zk_ctl_parse_number(digits, UINT64_MAX, &line) < 0 || line == 0) {
		zk_ctl_say_errno(r->ctl, r->dir, -rc);
		return;
	}
	(void)snprintf(name, sizeof(name), "p%" PRIu64, line - 1);
	(void)say_partition(r, name, rc);
}

static int
send_lines(const struct resetting *r, int fd, char *text, size_t len)
{
	const struct zk_ctl_value lines = {.data = text, .len = len};
	int rc;

	if (len > ZK_CTL_VALUE_MAX) {
		zk_ctl_say_errno(r->ctl, r->dir, EFBIG);
		return -EFBIG;
	}
	rc = zk_ctl_value_write(fd, &lines);
	if (rc < 0)
		say_failure(r, fd, rc);
	return rc;
}

static int
reset_all(struct resetting *r, int fd)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	r->lines = open_memstream(&text, &len);
	if (r->lines == NULL) {
		zk_ctl_say_errno(r->ctl, r->dir, errno);
		return -ENOMEM;
	}
	rc = zk_ctl_topic_each(r->ctl, r->dir, add_line, r);
	if (fclose(r->lines) != 0 && rc == 0) {
		rc = -ENOMEM;
		zk_ctl_say_errno(r->ctl, r->dir, -rc);
	}
	if (rc == 0 && r->count > 0)
		rc = send_lines(r, fd, text, len);
	free(text);
	return rc;
}

/* --- one ------------------------------------------------------------------ */

static int
reset_one(struct resetting *r, uint32_t number)
{
	char name[16];
	char *path;
	int rc;

	(void)snprintf(name, sizeof(name), "p%" PRIu32, number);
	path = zk_ctl_topic_path(r->ctl, r->dir, name, "");
	if (path == NULL)
		return -ENOMEM;
	rc = zk_ctl_topic_put(path, 0, r->to, strlen(r->to));
	if (rc == -ENOENT)
		zk_ctl_say(r->ctl, "%s: no such partition", r->dir);
	else if (rc < 0)
		zk_ctl_say_errno(r->ctl, path, -rc);
	r->count++;
	free(path);
	return rc;
}

/* --- the function --------------------------------------------------------- */

/* topics/TOPIC/groups/GROUP of the path of a group; NULL: it is none. */
static char *
in_tree(char *path)
{
	char *at = path + strlen(path), *words[GROUP_DEPTH] = {NULL};
	int count = GROUP_DEPTH;

	while (at > path && count > 0)
		if (*--at == '/')
			words[--count] = at + 1;
	if (count > 0 || strncmp(words[0], "topics/", 7) != 0 ||
	    strncmp(words[2], "groups/", 7) != 0)
		return NULL;
	return words[0];
}

static int
open_txn(struct zk_ctl *ctl, const char *dir)
{
	const struct zk_ctl_mount *mount;
	char *path;
	int fd = -1;

	if (zk_ctl_where_path(ctl, dir, &path, &mount) < 0)
		return -ENOENT;
	free(path);
	path = zk_ctl_where_control(mount, "txn");
	if (path == NULL) {
		zk_ctl_say_errno(ctl, "txn", ENOMEM);
		return -ENOMEM;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		zk_ctl_say_errno(ctl, path, errno);
	free(path);
	return fd < 0 ? -ENOENT : fd;
}

static int
run_all(struct resetting *r)
{
	char *path = realpath(r->dir, NULL);
	int fd, rc = -ENOENT;

	if (path == NULL) {
		zk_ctl_say_errno(r->ctl, r->dir, errno);
		return rc;
	}
	r->tree = in_tree(path);
	r->buf = malloc(ZK_WRITE_MAX);
	if (r->tree == NULL)
		zk_ctl_say(r->ctl, "%s: not the group of a topic", r->dir);
	else if (r->buf == NULL)
		zk_ctl_say_errno(r->ctl, r->dir, ENOMEM);
	fd = r->tree == NULL || r->buf == NULL ? -1 : open_txn(r->ctl, path);
	if (fd >= 0) {
		rc = reset_all(r, fd);
		(void)close(fd);
	}
	free(r->buf);
	free(path);
	return rc;
}

int
zk_ctl_group_reset(struct zk_ctl *ctl, const char *dir, int64_t partition,
    const char *to)
{
	struct resetting r = {.ctl = ctl, .dir = dir, .to = to};
	int rc;

	rc = partition < 0 ? run_all(&r) : reset_one(&r, (uint32_t)partition);
	if (rc < 0)
		return ZK_EXIT_FAILED;
	if (r.count > 0)
		return ZK_EXIT_OK;
	zk_ctl_say(ctl, "%s: no such partition", dir);
	return ZK_EXIT_FAILED;
}
