/*
 * fault SHIM: power failures and failing calls, under everything that
 * store/ and queue/ promise.  With a directory and the name of a subject it is
 * the workload itself, which the first runs under the shim.
 */
#include "fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64];

void
scratch_clear(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	if (d == NULL) {
		if (mkdir(dir, 0700) != 0)
			abort();
		return;
	}
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	(void)closedir(d);
}

static void
clean_up(void)
{
	static const char *const parts[] = {"/twin", "/run", "/image", ""};
	char path[128];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", base, parts[i]);
		if (access(path, F_OK) != 0)
			continue;
		scratch_clear(path);
		(void)rmdir(path);
	}
}

/* --- the workload, under the shim ----------------------------------------- */

static void
mark(uint32_t stage)
{
	void (*fn)(uint32_t) = NULL;

	*(void **)&fn = dlsym(RTLD_DEFAULT, "zk_fault_mark");
	if (fn != NULL)
		fn(stage);
}

static unsigned int
hits(void)
{
	unsigned int (*fn)(void) = NULL;

	*(void **)&fn = dlsym(RTLD_DEFAULT, "zk_fault_hits");
	return fn != NULL ? fn() : 0;
}

static void
note_failure(struct run_result *res, uint32_t stage, int rc)
{
	if (rc < 0 && res->failed_stage == 0) {
		res->failed_stage = stage;
		res->failed_rc = rc;
	}
}

/*
 * A full disk is tried again, once: the fault is gone then.  Any other
 * failure ends the run at once, as it must end a member.
 */
static int
run_stage(const struct subject *subject, void *it, uint32_t stage,
    struct run_result *res)
{
	const bool first = res->failed_stage == 0;
	int rc = subject->stage(it, stage);

	note_failure(res, stage, rc);
	if (rc == -ENOSPC && first)
		rc = subject->stage(it, stage);
	if (rc == 0)
		mark(res->acked = stage);
	return rc;
}

static int
run_open(const struct subject *subject, const char *dir, uint32_t stage,
    void **ret_it, struct run_result *res)
{
	const bool first = res->failed_stage == 0;
	int rc = subject->open(dir, ret_it);

	res->at_open = rc < 0 && first;
	note_failure(res, stage, rc);
	if (rc == -ENOSPC && first && stage > STAGE_MADE)
		rc = subject->open(dir, ret_it);
	return rc;
}

static int
workload(const struct subject *subject, const char *dir)
{
	struct run_result res = {.acked = 0};
	uint32_t stage = STAGE_MADE;
	void *it = NULL;
	int rc;

	rc = run_open(subject, dir, stage, &it, &res);
	if (rc == 0)
		mark(res.acked = stage);
	while (rc == 0 && ++stage < STAGES) {
		rc = run_stage(subject, it, stage, &res);
		if (rc == 0 && stage % 9 == 0) {
			/* One way leaves nothing to do again, the other all. */
			rc = subject->close(it, stage % 2 == 0);
			note_failure(&res, stage, rc);
			it = NULL;
		}
		if (rc == 0 && it == NULL)
			rc = run_open(subject, dir, stage, &it, &res);
	}
	(void)subject->close(it, false);
	res.hits = hits();
	return write(STDOUT_FILENO, &res, sizeof(res)) != sizeof(res);
}

/* --- the test ------------------------------------------------------------- */

int
run_shimmed(const struct subject *subject, const char *self, const char *shim,
    const char *env, const char *dir, struct run_result *ret_result)
{
	struct run_result res = {.acked = 0};
	char preload[4096];
	int fds[2], status = 1;
	ssize_t got;
	pid_t pid;

	(void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", shim);
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		/* The shim comes before the sanitizers' library: let it. */
		char *const envs[] = {preload, (char *)(uintptr_t)env,
		    (char *)(uintptr_t) "ASAN_OPTIONS=verify_asan_link_order=0",
		    NULL};
		char *const args[] = {(char *)(uintptr_t)self,
		    (char *)(uintptr_t)shim, (char *)(uintptr_t)dir,
		    (char *)(uintptr_t)subject->name, NULL};
		const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(fds[1], STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)execve(self, args, envs);
		_exit(127);
	}
	(void)close(fds[1]);
	got = read(fds[0], &res, sizeof(res));
	(void)close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
	    got != (ssize_t)sizeof(res))
		return -EIO;
	*ret_result = res;
	return 0;
}

static unsigned int
test(const struct subject *subject, const char *self, const char *shim)
{
	char dir[128], log[128], env[160];
	struct run_result res = {.acked = 0};
	unsigned int failures;

	(void)snprintf(dir, sizeof(dir), "%s/twin", base);
	scratch_clear(dir);
	if (subject->expect(dir) < 0)
		return 1;
	(void)snprintf(log, sizeof(log), "%s/log", base);
	(void)unlink(log);
	(void)snprintf(env, sizeof(env), "ZKFS_FAULT_LOG=%s", log);
	(void)snprintf(dir, sizeof(dir), "%s/run", base);
	scratch_clear(dir);
	if (run_shimmed(subject, self, shim, env, dir, &res) != 0 ||
	    res.acked != STAGES - 1) {
		fprintf(stderr, "%s: the workload does not run\n",
		    subject->name);
		return 1;
	}
	(void)snprintf(dir, sizeof(dir), "%s/image", base);
	failures = replay_all(subject, log, dir);
	(void)snprintf(dir, sizeof(dir), "%s/run", base);
	if (subject->step > 0)
		failures += inject_all(subject, self, shim, dir);
	printf("fault: %s: %u failures\n", subject->name, failures);
	return failures;
}

static const struct subject *const subjects[] = {&subject_tree,
    &subject_flushed, &subject_topics};

#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static int
test_all(const char *self, const char *shim)
{
	unsigned int failures = 0;

	for (size_t i = 0; i < SUBJECTS; i++)
		failures += test(subjects[i], self, shim);
	return failures > 0;
}

/* The test is a child, so that whatever ends it, this cleans up after it. */
static int
guard(const char *self, const char *shim)
{
	int status = 1, sig = 0;
	sigset_t set, old;
	pid_t pid;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
		exit(test_all(self, shim));
	}
	(void)sigwait(&set, &sig);
	if (sig != SIGCHLD)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	clean_up();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int
main(int argc, char **argv)
{
	const bool shm = access("/dev/shm", W_OK) == 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc == 4 && i < SUBJECTS; i++)
		if (strcmp(argv[3], subjects[i]->name) == 0)
			return workload(subjects[i], argv[2]);
	if (argc != 2)
		return 2;
	(void)snprintf(base, sizeof(base), "%s/zkfs-fault-XXXXXX",
	    shm ? "/dev/shm" : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	return guard(argv[0], argv[1]);
}
