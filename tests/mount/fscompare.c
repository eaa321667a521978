/*
 * fscompare DIR [CASE...]: run the cases of compare.h in DIR (empty, on the
 * filesystem in question) and print their lines; a CASE selects by prefix.
 * Exit status 0 unless it could not run; the lines are the result.
 */
#include "tests/mount/compare.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 100

static const struct cmp_case *const tables[] = {
    cmp_open_cases,
    cmp_dir_cases,
    cmp_rename_cases,
    cmp_link_cases,
    cmp_node_cases,
    cmp_size_cases,
    cmp_write_cases,
    cmp_perm_cases,
    cmp_utime_cases,
    cmp_times_cases,
    cmp_xattr_cases,
    cmp_orphan_cases,
    cmp_readdir_cases,
    cmp_memory_cases,
    cmp_lock_cases,
    cmp_notify_cases,
};

static void
run_case(const struct cmp_case *c, const char *dir)
{
	if (mkdir(dir, 0755) < 0 || chdir(dir) < 0) {
		(void)printf("%s: cannot make %s: %s\n", c->name, dir,
		    strerror(errno));
		return;
	}
	(void)alarm(CASE_SECONDS);
	c->run();
}

static bool
fork_case(const struct cmp_case *c, const char *dir)
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		cmp_begin(c->name);
		run_case(c, dir);
		(void)fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		perror("fscompare");
		return false;
	}
	if (WIFSIGNALED(status))
		(void)printf("%s: the case = died of SIG%s\n", c->name,
		    sigabbrev_np(WTERMSIG(status)));
	return true;
}

static bool
selected(const char *name, int count, char *const *prefixes)
{
	for (int i = 0; i < count; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return count == 0;
}

int
main(int argc, char **argv)
{
	char base[PATH_MAX], dir[PATH_MAX + 64];

	if (argc < 2 || realpath(argv[1], base) == NULL || geteuid() != 0) {
		(void)fputs("usage: fscompare DIR [CASE...] (as root)\n",
		    stderr);
		return 2;
	}
	(void)umask(022);
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct cmp_case *c = tables[t]; c->name; c++) {
			if (!selected(c->name, argc - 2, argv + 2))
				continue;
			(void)snprintf(dir, sizeof(dir), "%s/%s", base,
			    c->name);
			if (!fork_case(c, dir))
				return 1;
		}
	return 0;
}
