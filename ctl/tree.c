/*
 * Only descendants are looked at, down the lists of children, and only what
 * /proc tells without a lock of the process: /proc/PID/stat of a process that
 * hangs in execve(2) does not answer, and we must.
 */
#include "ctl/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "ctl/text.h"

#define STATUS_BYTES_MAX   16384
#define CHILDREN_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct pids {
	pid_t *list;
	size_t count, cap;
};

static int
add_pid(struct pids *pids, pid_t pid)
{
	pid_t *grown;

	if (pids->count == pids->cap) {
		pids->cap = pids->cap * 2 + 64;
		grown = reallocarray(pids->list, pids->cap, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		pids->list = grown;
	}
	pids->list[pids->count++] = pid;
	return 0;
}

/* "PID PID PID " */
static int
add_pids(struct pids *pids, const char *text)
{
	char *end;
	long pid;
	int rc = 0;

	while (rc == 0) {
		pid = strtol(text, &end, 10);
		if (end == text)
			break;
		rc = add_pid(pids, (pid_t)pid);
		text = end;
	}
	return rc;
}

/* The children of one thread. */
static int
add_children_of(struct pids *pids, pid_t pid, const char *thread)
{
	char path[64], *text = NULL;
	int rc;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", pid,
	    thread);
	rc = zk_ctl_read_file(path, CHILDREN_BYTES_MAX, &text);
	if (rc == 0 && text != NULL)
		rc = add_pids(pids, text);
	free(text);
	return rc;
}

/* A process or thread that ended meanwhile has no children any more. */
static int
add_children(struct pids *pids, pid_t pid)
{
	struct dirent *entry;
	char path[32];
	DIR *tasks;
	int rc = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return errno == ENOENT && pid != getpid() ? 0 : -errno;
	while (rc == 0 && (entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		rc = add_children_of(pids, pid, entry->d_name);
		if ((rc == -ENOENT || rc == -ESRCH) && pid != getpid())
			rc = 0;
	}
	(void)closedir(tasks);
	return rc;
}

/* A zombie has ended; only its parent has not looked yet. */
static bool
is_alive(pid_t pid)
{
	char path[32], *text = NULL, *state;
	bool alive;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (zk_ctl_read_file(path, STATUS_BYTES_MAX, &text) < 0 || text == NULL)
		return false;
	state = strstr(text, "\nState:\t");
	alive = state == NULL || (state[8] != 'Z' && state[8] != 'X');
	free(text);
	return alive;
}

int
zk_ctl_tree_signal(int signo)
{
	struct pids pids = {0};
	int rc, alive_count = 0;

	rc = add_children(&pids, getpid());
	/* The list grows while it is walked: children of children. */
	for (size_t i = 0; i < pids.count && rc == 0; i++)
		rc = add_children(&pids, pids.list[i]);
	for (size_t i = 0; i < pids.count && rc == 0; i++) {
		if (!is_alive(pids.list[i]))
			continue;
		alive_count++;
		if (signo != 0)
			(void)kill(pids.list[i], signo);
	}
	free(pids.list);
	return rc < 0 ? rc : alive_count;
}
