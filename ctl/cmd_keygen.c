/*
 * zkfs keygen: the key by which the members of an ensemble know each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"

/* As many as HMAC-SHA-256 takes without hashing the key first. */
#define KEY_BYTES 64

#define LINE_BYTES (2 * KEY_BYTES + 1)

static int
make_line(char line[LINE_BYTES + 1])
{
	unsigned char key[KEY_BYTES];
	const ssize_t n = getrandom(key, sizeof(key), 0);

	if (n != (ssize_t)sizeof(key))
		return n < 0 ? -errno : -EIO;
	for (size_t i = 0; i < sizeof(key); i++)
		(void)snprintf(line + 2 * i, 3, "%02x", key[i]);
	line[LINE_BYTES - 1] = '\n';
	explicit_bzero(key, sizeof(key));
	return 0;
}

/* Whole and on disk, or an error. */
static int
write_line(int fd, const char line[LINE_BYTES + 1])
{
	const ssize_t n = write(fd, line, LINE_BYTES);

	if (n != LINE_BYTES)
		return n < 0 ? -errno : -ENOSPC;
	/* Whatever the umask took away: the owner must be able to read it. */
	if (fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int
keygen(const struct zk_ctl *ctl, const char *path)
{
	char line[LINE_BYTES + 1];
	int fd, rc;

	rc = make_line(line);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, "random numbers", -rc);
		return ZK_EXIT_FAILED;
	}
	/* A key that is in use is not replaced: members would part. */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		zk_ctl_say_errno(ctl, path, errno);
		return ZK_EXIT_FAILED;
	}
	rc = write_line(fd, line);
	explicit_bzero(line, sizeof(line));
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0) {
		(void)unlink(path);
		zk_ctl_say_errno(ctl, path, -rc);
		return ZK_EXIT_FAILED;
	}
	return ZK_EXIT_OK;
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
	return keygen(ctl, argv[optind]);
}

const struct zk_ctl_command zk_ctl_keygen = {
    .name = "keygen",
    .arguments = "FILE",
    .summary = "Make a key for an ensemble",
    .details = "FILE is new: an existing one is left alone.  Copy it to every\n"
               "host and name it with key=FILE; only its owner may read it.\n",
    .run = run,
};
