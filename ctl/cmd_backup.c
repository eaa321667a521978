/*
 * zkfs backup: the tree of a running member as one file.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/backup.h"
#include "base/err.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/where.h"

#define COPY_BYTES ((size_t)256 * 1024)

struct backup {
	const struct zk_ctl *ctl;
	const char *path; /* of the file in the end */
	char *temporary;
	char *source;
	int in, out;
	struct zk_backup_head head;
};

static int
fail(const struct backup *b, const char *what, int err)
{
	const char *reason;

	if (what == b->source && err == EBUSY)
		reason = "another backup is being made or read";
	else if (what == b->source && err == ENOSPC)
		reason = "no room for it in the data directory of this host";
	else if (what == b->source && (err == EACCES || err == EPERM))
		reason = "only for root";
	else if (what == b->source)
		reason = zk_ctl_reason(err);
	else
		reason = strerror(err);
	zk_ctl_say(b->ctl, "%s: %s", what, reason);
	return -err;
}

/* rename(2) would do away with a device, and with a link. */
static int
check_target(const struct backup *b)
{
	struct stat st;

	if (lstat(b->path, &st) != 0)
		return errno == ENOENT ? 0 : fail(b, b->path, errno);
	if (S_ISREG(st.st_mode))
		return 0;
	zk_ctl_say(b->ctl, "%s: not a regular file", b->path);
	return -EINVAL;
}

static int
open_both(struct backup *b)
{
	struct stat st = {0};
	int rc = check_target(b);

	if (rc < 0)
		return rc;
	b->in = open(b->source, O_RDONLY | O_CLOEXEC);
	if (b->in < 0)
		return fail(b, b->source, errno);
	b->out = open(b->temporary,
	    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (b->out < 0)
		return fail(b, b->temporary, errno);
	if (fstat(b->out, &st) != 0 || !S_ISREG(st.st_mode)) {
		/* Not ours to remove. */
		(void)close(b->out);
		b->out = -1;
		return fail(b, b->temporary, EEXIST);
	}
	/* Two of us at a time, of two ensembles. */
	if (flock(b->out, LOCK_EX | LOCK_NB) != 0 || ftruncate(b->out, 0) != 0)
		return fail(b, b->temporary, errno);
	return 0;
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The head, and whether what follows is what belongs to it. */
static int
judge(struct backup *b, const char *bytes, size_t len, bool first)
{
	if (!first ||
	    zk_backup_head_decode(bytes,
	        len < ZK_BACKUP_HEAD_BYTES ? len : ZK_BACKUP_HEAD_BYTES,
	        &b->head) == 0)
		return 0;
	zk_ctl_say(b->ctl, "%s: what the daemon sent is not a backup",
	    b->source);
	return -EPROTO;
}

static int
copy(struct backup *b, char *buf)
{
	struct zk_backup_check check = {0};
	ssize_t n;
	int rc;

	while ((n = read(b->in, buf, COPY_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(b, b->source, errno);
		rc = judge(b, buf, (size_t)n, check.len == 0);
		if (rc < 0)
			return rc;
		zk_backup_check_add(&check, buf, (size_t)n);
		rc = write_all(b->out, buf, (size_t)n);
		if (rc > 0)
			return fail(b, b->temporary, rc);
	}
	if (zk_backup_check_end(&check) == 0)
		return 0;
	zk_ctl_say(b->ctl, "%s: it did not arrive whole", b->source);
	return -EPROTO;
}

/* Under its name only when it is whole and on disk. */
static int
finish(struct backup *b)
{
	char *copy;
	int fd, rc = 0;

	if (fsync(b->out) != 0)
		return fail(b, b->temporary, errno);
	if (rename(b->temporary, b->path) != 0)
		return fail(b, b->path, errno);
	copy = strdup(b->path);
	if (copy == NULL)
		return fail(b, b->path, ENOMEM);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0 || fsync(fd) != 0)
		rc = fail(b, b->path, errno);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int
run_backup(struct backup *b)
{
	char *buf;
	int rc;

	rc = open_both(b);
	if (rc < 0)
		return rc;
	buf = malloc(COPY_BYTES);
	rc = buf == NULL ? fail(b, b->path, ENOMEM) : copy(b, buf);
	free(buf);
	return rc < 0 ? rc : finish(b);
}

static int
backup(struct zk_ctl *ctl, const char *path)
{
	struct backup b = {.ctl = ctl, .path = path, .in = -1, .out = -1};
	const struct zk_ctl_mount *mount;
	int rc;

	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	b.source = zk_ctl_where_control(mount, "backup");
	if (asprintf(&b.temporary, "%s.tmp", path) < 0)
		b.temporary = NULL;
	if (b.source == NULL || b.temporary == NULL) {
		zk_ctl_say_errno(ctl, path, ENOMEM);
		free(b.source);
		free(b.temporary);
		return ZK_EXIT_FAILED;
	}
	rc = run_backup(&b);
	/* Ours only with the lock on it: then it was emptied by us. */
	if (rc < 0 && rc != -EWOULDBLOCK && b.out >= 0)
		(void)unlink(b.temporary);
	if (rc == 0)
		(void)printf("%" PRIu64 " nodes of index %" PRIu64 "\n",
		    b.head.nodes, b.head.index);
	if (b.in >= 0)
		(void)close(b.in);
	if (b.out >= 0)
		(void)close(b.out);
	free(b.source);
	free(b.temporary);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {ZK_CTL_LONG, {0}};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT, options,
	            NULL)) != -1) {
		status = zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc - optind != 1)
		return zk_ctl_usage(ctl);
	if (strcmp(argv[optind], "-") == 0) {
		zk_ctl_say(ctl,
		    "-: it must be a file, which is there when it is whole");
		return ZK_EXIT_USAGE;
	}
	return backup(ctl, argv[optind]);
}

const struct zk_ctl_command zk_ctl_backup = {
    .name = "backup",
    .arguments = "[-m DIR] FILE",
    .summary = "Copy the tree of this moment into a file",
    .details = "  -m, --mount DIR   the mount to copy\n\n"
               "For root.  FILE is replaced when the copy is whole and on "
               "disk; until\n"
               "then it is FILE.tmp.  Records of topics are not part of it.\n",
    .run = run,
};
