#include "ctl/say.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"

#define LINE_BYTES 4608

static const struct {
	int err;
	const char *text;
} reasons[] = {
    {EBUSY, "held by another process"},
    {EAGAIN, "the version is another one"},
    {EDQUOT, "over the quota"},
    {EFBIG, "larger than a file may be (option max_file of the mount)"},
    {EIO, "input/output error; the log of mount.zkfs says more"},
    {ENOSPC, "the disk of the ensemble is full"},
    {ENOTCONN, "the daemon of this mount is gone; run mount.zkfs again"},
    {ENXIO, "nothing of that kind there"},
    {EROFS, "read-only: mounted so, or this host's session is over"},
    {ESTALE, "no longer held: it was removed, or the session is over"},
    {ETIMEDOUT, "no quorum in time; it may or may not have been done"},
};

const char *
zk_ctl_reason(int err)
{
	ZK_ASSERT(err > 0);

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].err == err)
			return reasons[i].text;
	return strerror(err);
}

/* One line, whatever a path has in it. */
static void
make_plain(char *line)
{
	for (; *line != '\0'; line++)
		if ((unsigned char)*line < 0x20 || *line == 0x7f)
			*line = '?';
}

void
zk_ctl_say(const struct zk_ctl *ctl, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	make_plain(line);
	zk_log_error("%s: %s", ctl->command->name, line);
}

void
zk_ctl_say_errno(const struct zk_ctl *ctl, const char *what, int err)
{
	zk_ctl_say(ctl, "%s: %s", what, zk_ctl_reason(err));
}

int
zk_ctl_wait(const struct zk_ctl *ctl, bool prints, int fd, int timeout_ms)
{
	struct pollfd fds[] = {
	    {.fd = prints ? STDOUT_FILENO : -1},
	    {.fd = fd, .events = POLLIN},
	};

	if (poll(fds, 2, timeout_ms) <= 0 || (fds[0].revents & POLLERR) == 0)
		return 0;
	(void)raise(SIGPIPE);
	zk_ctl_say(ctl, "cannot write to standard output");
	return ZK_EXIT_FAILED;
}
