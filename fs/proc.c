#include "fs/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The start of a file below /proc/<tid>, as a string. */
static int
read_proc(pid_t tid, const char *file, char *buf, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	if (tid <= 0)
		return -ESRCH;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, buf, cap - 1);
	(void)close(fd);
	if (n <= 0)
		return -ESRCH;
	buf[n] = '\0';
	return 0;
}

int
zk_proc_of(pid_t tid, struct zk_process *ret_process)
{
	struct zk_process process;
	char buf[2048], *p;
	struct stat st;
	int rc, fd;

	rc = read_proc(tid, "status", buf, sizeof(buf));
	if (rc < 0)
		return rc;
	p = strstr(buf, "\nTgid:");
	if (p == NULL)
		return -ESRCH;
	process.pid = (pid_t)strtol(p + 6, NULL, 10);
	fd = (int)syscall(SYS_pidfd_open, process.pid, 0);
	if (fd < 0)
		return -ESRCH;
	rc = fstat(fd, &st);
	(void)close(fd);
	if (rc < 0)
		return -ESRCH;
	process.life = st.st_ino;
	*ret_process = process;
	return 0;
}

static uint64_t
signals(const char *status, const char *key)
{
	const char *p = strstr(status, key);

	return p != NULL ? strtoull(p + strlen(key), NULL, 16) : 0;
}

bool
zk_proc_is_called_off(pid_t tid)
{
	const uint64_t quiet = UINT64_C(1) << (SIGCHLD - 1) |
	    UINT64_C(1) << (SIGCONT - 1) | UINT64_C(1) << (SIGURG - 1) |
	    UINT64_C(1) << (SIGWINCH - 1);
	char buf[2048];
	uint64_t pending;

	if (read_proc(tid, "status", buf, sizeof(buf)) < 0)
		return true;
	pending = signals(buf, "\nSigPnd:") | signals(buf, "\nShdPnd:");
	return (pending & ~signals(buf, "\nSigBlk:") & ~quiet) != 0;
}

static int
is_open(long number)
{
	static const long opens[] = {
#ifdef SYS_open
	    SYS_open,
#endif
#ifdef SYS_creat
	    SYS_creat,
#endif
#ifdef SYS_openat2
	    SYS_openat2,
#endif
#ifdef __x86_64__
	    /*
	     * open, creat and openat of 32-bit programs.  The same numbers
	     * are fstat, lseek and preadv of 64-bit ones, none of which
	     * ever truncates; openat2 is the same in both.
	     */
	    5,
	    8,
	    295,
#endif
	    SYS_openat,
	};

	for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]); i++)
		if (opens[i] == number)
			return 1;
	return 0;
}

int
zk_proc_in_open(pid_t tid)
{
	char buf[256];
	int rc;

	/*
	 * "running" until the caller, who has just sent us the request, has
	 * gone to sleep for the answer: a matter of microseconds.
	 */
	for (int i = 0; i < 1000; i++) {
		rc = read_proc(tid, "syscall", buf, sizeof(buf));
		if (rc < 0)
			return rc;
		if (strncmp(buf, "running", 7) != 0)
			return is_open(strtol(buf, NULL, 10));
		(void)sched_yield();
	}
	return -ESRCH;
}
