#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "store/datadir.h"
#include "store/own_rows.h"
#include "store/store.h"
#include "store/verify_impl.h"

#define PROGRESS_TIMEOUT_MS 30000

/*
 * The child's words: any number of empty verdicts (rc 1) as signs of life,
 * then one with the result.  Smaller than PIPE_BUF, so each comes whole.
 */
struct verdict {
	int rc;
	bool topics; /* it is, or will be, about the partitions' file */
	char problem[256];
};

_Static_assert(sizeof(struct verdict) <= 512, "POSIX's least PIPE_BUF");

/* --- the child ------------------------------------------------------------ */

static void
say(int fd, const struct verdict *verdict)
{
	ssize_t n;

	do {
		n = write(fd, verdict, sizeof(*verdict));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*verdict))
		_exit(1); /* nobody listens any more */
}

static void
say_alive(void *arg)
{
	static const struct verdict alive = {.rc = 1};

	say(*(const int *)arg, &alive);
}

static void
say_topics(void *arg)
{
	static const struct verdict alive = {.rc = 1, .topics = true};

	say(*(const int *)arg, &alive);
}

/*
 * While a tree is being made it may have no row yet.  Any other without an
 * identity has lost it, and the rest with it: a root that is damaged can look
 * like that of an empty tree.
 */
static int
check_identity(const char *dir, struct zk_tx *tx, char *problem, size_t cap)
{
	char path[4096];
	struct zk_ident ident;
	int rc;

	rc = zk_ident_row_get(tx, &ident);
	if (rc != -ENOENT)
		return rc;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, ZK_DATADIR_MAKING);
	if (access(path, F_OK) == 0)
		return 0;
	(void)snprintf(problem, cap, "identity: missing");
	return -ZK_ECORRUPT;
}

_Noreturn static void
child(const char *dir, const char *path, int fd)
{
	static const int signals[] = {SIGABRT, SIGBUS, SIGSEGV, SIGPIPE};
	struct zk_verify_report report = {.problem = ""};
	struct verdict verdict = {.rc = 0};
	struct zk_tx tx = {.store = NULL};
	MDB_env *env;
	int null;

	/* Dying is one of the answers: do it at once and without a trace. */
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		(void)dup2(null, STDERR_FILENO);

	verdict.rc = zk_verify_open(path, &env, &tx);
	/* Names are looked up by a hash whose key is in the state. */
	if (verdict.rc == 0) {
		(void)zk_state_get(&tx, &tx.state); /* tells it again */
		verdict.rc = zk_verify_watched(&tx, say_alive, &fd, &report);
	}
	memcpy(verdict.problem, report.problem, sizeof(verdict.problem));
	if (verdict.rc == 0)
		verdict.rc = check_identity(dir, &tx, verdict.problem,
		    sizeof(verdict.problem));
	if (verdict.rc == 0) {
		say_topics(&fd);
		verdict.topics = true;
		verdict.rc = zk_verify_topics(dir, &tx, say_topics, &fd,
		    verdict.problem, sizeof(verdict.problem));
	}
	say(fd, &verdict);
	_exit(0);
}

/* --- the parent ----------------------------------------------------------- */

static int
hear(int fd, struct verdict *ret_verdict)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct verdict next;
	ssize_t n;
	int rc;

	do {
		do {
			rc = poll(&pfd, 1, PROGRESS_TIMEOUT_MS);
		} while (rc < 0 && errno == EINTR);
		if (rc == 0)
			return -ETIMEDOUT;
		if (rc < 0)
			return -errno;
		n = read(fd, &next, sizeof(next));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n >= 0 && n < (ssize_t)sizeof(next))
			return -ZK_ECORRUPT; /* died in the middle of it */
		if (n > 0)
			*ret_verdict = next;
	} while (n < 0 || ret_verdict->rc > 0);
	return 0;
}

static void
explain(char **ret_why, const char *path, int rc, const char *problem)
{
	const char *text = problem;

	if (ret_why == NULL || *ret_why != NULL)
		return;
	if (rc == -ETIMEDOUT)
		text = "reading it takes too long";
	else if (rc != -ZK_ECORRUPT)
		text = zk_err_text(rc);
	else if (text[0] == '\0')
		text = "its pages are damaged";
	if (asprintf(ret_why, "%s: %s", path, text) < 0)
		*ret_why = NULL;
}

int
zk_verify_dir(const char *dir, char **ret_why)
{
	struct verdict verdict = {.rc = 0};
	char path[4096];
	int fds[2], rc;
	pid_t pid;

	if (snprintf(path, sizeof(path), "%s/%s", dir, ZK_DATADIR_TREE) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		child(dir, path, fds[1]);
	}
	(void)close(fds[1]);
	if (pid < 0) {
		rc = -errno;
		(void)close(fds[0]);
		return rc;
	}
	rc = hear(fds[0], &verdict);
	(void)close(fds[0]);
	if (rc < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (rc == 0)
		rc = verdict.rc;
	verdict.problem[sizeof(verdict.problem) - 1] = '\0';
	if (rc < 0 && verdict.topics)
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
		    ZK_DATADIR_TOPICS);
	if (rc < 0)
		explain(ret_why, path, rc,
		    rc == -ZK_ECORRUPT ? verdict.problem : "");
	return rc;
}
