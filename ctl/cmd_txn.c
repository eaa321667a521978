/*
 * zkfs txn: several changes, all or none of them.  The grammar is in zkfs(5);
 * the file system reads it, this command only carries it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/value.h"
#include "ctl/where.h"

#define ANSWER_BYTES 512
#define ECHO_BYTES   160

static int
read_lines(const struct zk_ctl *ctl, const char *file,
    struct zk_ctl_value *ret_lines)
{
	const bool from_file = file != NULL && strcmp(file, "-") != 0;
	const char *name = from_file ? file : "standard input";
	int fd = STDIN_FILENO, rc;

	if (from_file)
		fd = open(file, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno
	            : zk_ctl_read_all(fd, ZK_CTL_VALUE_MAX, &ret_lines->data,
	                  &ret_lines->len);
	if (from_file && fd >= 0)
		(void)close(fd);
	if (rc == -EFBIG)
		zk_ctl_say(ctl, "%s: more than the %zu bytes of one change",
		    name, ZK_CTL_VALUE_MAX);
	else if (rc < 0)
		zk_ctl_say(ctl, "%s: %s", name, strerror(-rc));
	return rc;
}

/* The text of a line counted from 1; *ret_len is 0 where there is none. */
static const char *
find_line(const struct zk_ctl_value *lines, uint64_t number, int *ret_len)
{
	const char *at = lines->data, *end, *newline;
	size_t len;

	*ret_len = 0;
	if (at == NULL)
		return "";
	end = at + lines->len;
	for (; number > 1 && at < end; number--) {
		newline = memchr(at, '\n', (size_t)(end - at));
		at = newline == NULL ? end : newline + 1;
	}
	newline = memchr(at, '\n', (size_t)(end - at));
	len = (size_t)((newline == NULL ? end : newline) - at);
	*ret_len = len < ECHO_BYTES ? (int)len : ECHO_BYTES;
	return at;
}

/* Of a line, where it need not be an ephemeral file. */
static const char *
reason_of(int err)
{
	return err == EBUSY ? "held by another process, or what every tree has"
	                    : zk_ctl_reason(err);
}

/* The same open file tells which line it was: "line N: reason". */
static void
say_failure(const struct zk_ctl *ctl, int fd, const struct zk_ctl_value *lines,
    int err)
{
	char answer[ANSWER_BYTES], digits[24];
	const char *line;
	uint64_t number;
	ssize_t len;
	int line_len;

	len = pread(fd, answer, sizeof(answer) - 1, 0);
	answer[len > 0 ? len : 0] = '\0';
	if (sscanf(answer, "line %20[0-9]:", digits) != 1 ||
	    zk_ctl_parse_number(digits, UINT64_MAX, &number) < 0) {
		zk_ctl_say(ctl, "nothing was changed: %s", zk_ctl_reason(err));
		return;
	}
	line = find_line(lines, number, &line_len);
	zk_ctl_say(ctl, "line %s: %.*s: %s", digits, line_len, line,
	    reason_of(err));
}

static int
send_lines(const struct zk_ctl *ctl, const char *path,
    const struct zk_ctl_value *lines)
{
	int fd, rc;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		zk_ctl_say_errno(ctl, path, errno);
		return ZK_EXIT_FAILED;
	}
	rc = zk_ctl_value_write(fd, lines);
	/* Where the outcome is unknown, no line is to blame. */
	if (rc == -ETIMEDOUT || rc == -ENOTCONN)
		zk_ctl_say_errno(ctl, path, -rc);
	else if (rc < 0)
		say_failure(ctl, fd, lines, -rc);
	(void)close(fd);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {ZK_CTL_LONG, {0}};
	const struct zk_ctl_mount *mount;
	struct zk_ctl_value lines = {0};
	int option, status;
	char *path;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT, options,
	            NULL)) != -1) {
		status = zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc - optind > 1)
		return zk_ctl_usage(ctl);
	if (zk_ctl_where_mount(ctl, &mount) < 0 ||
	    read_lines(ctl, argv[optind], &lines) < 0)
		return ZK_EXIT_FAILED;
	path = zk_ctl_where_control(mount, "txn");
	status = ZK_EXIT_FAILED;
	if (path == NULL)
		zk_ctl_say_errno(ctl, "txn", ENOMEM);
	else
		status = send_lines(ctl, path, &lines);
	zk_ctl_value_free(&lines);
	free(path);
	return status;
}

const struct zk_ctl_command zk_ctl_txn = {
    .name = "txn",
    .arguments = "[-m DIR] [FILE|-]",
    .summary = "Make several changes, all or none of them",
    .details =
        "Reads lines from FILE or standard input:\n"
        "  check PATH VERSION   (a number, - for none there, * for any)\n"
        "  create PATH [VALUE]\n"
        "  set PATH [VALUE]\n"
        "  delete PATH\n"
        "  mkdir PATH\n"
        "PATH begins at the root of the tree, wherever it is mounted.\n\n"
        "  -m, --mount DIR   the mount of that tree\n",
    .run = run,
};
