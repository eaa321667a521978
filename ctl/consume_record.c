#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/next.h"
#include "ctl/consume.h"
#include "ctl/say.h"
#include "ctl/text.h"

/* Between two tries of a record: doubled each time, up to the second. */
#define PAUSE_MS     100u
#define PAUSE_MS_MAX 5000u

static void
print_json(const struct zk_ctl_record *record)
{
	(void)printf("{");
	if (record->partition >= 0)
		(void)printf("\"partition\":%" PRId64 ",\"offset\":%" PRIu64
		             ",",
		    record->partition, record->offset);
	(void)printf("\"value\":");
	zk_ctl_json_bytes(stdout, record->text, record->len);
	(void)printf("}\n");
}

/* The record, as the standard input of a command: nothing to wait for. */
static int
open_input(const struct zk_ctl_record *record)
{
	const int fd = memfd_create("record", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (write(fd, record->text, record->len) != (ssize_t)record->len ||
	    write(fd, "\n", 1) != 1 || lseek(fd, 0, SEEK_SET) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void
become_command(char *const *argv, int input, pid_t parent)
{
	/* What zkfs does not see succeed must not succeed without it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(input, STDIN_FILENO) < 0)
		_exit(ZK_EXIT_TROUBLE);
	(void)execvp(argv[0], argv);
	_exit(errno == ENOENT ? ZK_EXIT_NOT_FOUND : ZK_EXIT_CANNOT_RUN);
}

/* The exit status of the command, or 128 + N for signal N. */
static int
run_once(const struct zk_ctl_consumer *c, const struct zk_ctl_record *record)
{
	const int input = open_input(record);
	const pid_t parent = getpid();
	int status = 0;
	pid_t pid;

	if (input < 0) {
		zk_ctl_say_errno(c->ctl, "memfd", errno);
		return ZK_EXIT_TROUBLE;
	}
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		become_command(c->argv, input, parent);
	(void)close(input);
	if (pid < 0) {
		zk_ctl_say_errno(c->ctl, "fork", errno);
		return ZK_EXIT_TROUBLE;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
	                           : WEXITSTATUS(status);
}

static void
pause_for(uint32_t ms)
{
	const struct timespec time = {
	    .tv_sec = ms / 1000,
	    .tv_nsec = (long)(ms % 1000) * 1000000,
	};

	(void)nanosleep(&time, NULL);
}

static int
bury(const struct zk_ctl_consumer *c, const struct zk_ctl_record *record)
{
	char *line = malloc(record->len + 1);
	ssize_t n = -1;

	errno = ENOMEM;
	if (line != NULL) {
		memcpy(line, record->text, record->len);
		line[record->len] = '\n';
		n = write(c->dead_fd, line, record->len + 1);
	}
	free(line);
	if (n == (ssize_t)record->len + 1)
		return 0;
	zk_ctl_say_errno(c->ctl, "dead", errno);
	return ZK_EXIT_FAILED;
}

/* 0, or an exit status. */
static int
say_try(const struct zk_ctl_consumer *c, uint32_t what, uint32_t *ret_number)
{
	*ret_number = what;
	/* Without a quorum it waits for one, as a read does. */
	while (ioctl(c->next_fd, ZK_NEXT_TRY, ret_number) < 0) {
		*ret_number = what;
		if (errno == ETIMEDOUT || errno == EINTR)
			continue;
		zk_ctl_say_errno(c->ctl, "next", errno);
		return errno == ESTALE ? ZK_EXIT_LOST : ZK_EXIT_FAILED;
	}
	return 0;
}

/*
 * For the which time the record is tried now, which its group knows if it has
 * one; `begun` times it was here.  0, or an exit status.
 */
static int
begin_try(const struct zk_ctl_consumer *c, uint32_t begun, uint32_t *ret_try)
{
	*ret_try = begun + 1;
	return c->next_fd < 0 ? 0 : say_try(c, begun, ret_try);
}

/* Nothing is wrong with the record: that did not count. */
static int
cannot_run(const struct zk_ctl_consumer *c, uint32_t begun, int status)
{
	uint32_t number;

	zk_ctl_say(c->ctl, "%s: cannot be run", c->argv[0]);
	if (c->next_fd >= 0)
		(void)say_try(c, begun | ZK_NEXT_UNTRY, &number);
	return status;
}

/* It was tried as often as it may be; status: how that ended here, 0: it did not. */
static int
give_up(const struct zk_ctl_consumer *c, const struct zk_ctl_record *record,
    int status)
{
	if (c->dead_fd < 0) {
		zk_ctl_say(c->ctl, "%s failed with status %d", c->argv[0],
		    status);
		return ZK_EXIT_FAILED;
	}
	if (status != 0)
		zk_ctl_say(c->ctl,
		    "%s failed %" PRIu64 " times (status %d): the record is "
		    "now in dead",
		    c->argv[0], c->tries, status);
	else
		zk_ctl_say(c->ctl,
		    "%s was begun %" PRIu64 " times and never done: the record "
		    "is now in dead",
		    c->argv[0], c->tries);
	return bury(c, record);
}

static int
run_command(const struct zk_ctl_consumer *c, const struct zk_ctl_record *record)
{
	uint32_t pause = PAUSE_MS;
	uint32_t number = 0;
	int status = 0, rc;

	for (uint32_t begun = 0;; begun++) {
		rc = begin_try(c, begun, &number);
		if (rc != 0)
			return rc;
		if (number > c->tries)
			return give_up(c, record, status);
		status = run_once(c, record);
		if (status == 0)
			return 0;
		if (status == ZK_EXIT_NOT_FOUND || status == ZK_EXIT_CANNOT_RUN)
			return cannot_run(c, begun, status);
		if (number >= c->tries)
			return give_up(c, record, status);
		pause_for(pause);
		pause = 2 * pause < PAUSE_MS_MAX ? 2 * pause : PAUSE_MS_MAX;
	}
}

int
zk_ctl_consume_record(struct zk_ctl_consumer *c,
    const struct zk_ctl_record *record)
{
	if (c->argv != NULL)
		return run_command(c, record);
	if (c->json) {
		print_json(record);
	} else {
		(void)fwrite(record->text, 1, record->len, stdout);
		(void)putchar('\n');
	}
	/* main() says why. */
	return ferror(stdout) == 0 ? 0 : ZK_EXIT_FAILED;
}
