#include "ctl/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/text.h"

static bool
is_below(const struct zk_ctl_watch *w, const char *path)
{
	const bool all = strcmp(w->below, "/") == 0;
	const size_t len = all ? 0 : strlen(w->below);

	if (path == NULL)
		return false;
	if (strcmp(path, w->below) == 0)
		return true;
	if (strncmp(path, w->below, len) != 0 || path[len] != '/')
		return false;
	return w->recursive || strchr(path + len + 1, '/') == NULL;
}

bool
zk_ctl_watch_wants(const struct zk_ctl_watch *w,
    const struct zk_ctl_event *event)
{
	return is_below(w, event->path) || is_below(w, event->to);
}

/* --- printing ------------------------------------------------------------- */

/* One line, whatever is in the name. */
static void
print_path(const struct zk_ctl_watch *w, const char *path)
{
	(void)printf("\t%s", w->mount);
	for (; *path != '\0'; path++) {
		const unsigned char c = (unsigned char)*path;

		if (c < 0x20 || c == 0x7f || c == '\\')
			(void)printf("\\%03o", c);
		else
			(void)putchar(c);
	}
}

static void
print_json(const struct zk_ctl_event *event)
{
	(void)printf("{\"rev\":%" PRIu64 ",\"op\":", event->rev);
	zk_ctl_json_string(stdout, event->op);
	(void)fputs(",\"path\":", stdout);
	zk_ctl_json_string(stdout, event->path);
	if (event->type[0] != '\0')
		(void)printf(",\"type\":\"%s\",\"ino\":%" PRIu64, event->type,
		    event->ino);
	(void)puts("}");
}

static int
print(const struct zk_ctl_watch *w, const struct zk_ctl_event *event,
    const char *line)
{
	if (w->json && line != NULL) {
		(void)puts(line);
	} else if (w->json) {
		print_json(event);
	} else {
		(void)printf("%" PRIu64 "\t%s", event->rev, event->op);
		print_path(w, event->path);
		if (event->to != NULL)
			print_path(w, event->to);
		(void)putchar('\n');
	}
	/* main() says why. */
	return fflush(stdout) == 0 ? 0 : ZK_EXIT_FAILED;
}

/* --- the command ---------------------------------------------------------- */

static int
set_number(const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return setenv(name, text, 1);
}

static int
set_path(const char *name, const struct zk_ctl_watch *w, const char *path)
{
	char *text;
	int rc;

	if (path == NULL)
		return unsetenv(name);
	if (asprintf(&text, "%s%s", w->mount, path) < 0)
		return -1;
	rc = setenv(name, text, 1);
	free(text);
	return rc;
}

/* In the child: never returns. */
static void
become_command(const struct zk_ctl_watch *w, const struct zk_ctl_event *event,
    pid_t parent)
{
	int rc = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(ZK_EXIT_TROUBLE);
	rc |= set_number("ZKFS_REV", event->rev);
	rc |= set_number("ZKFS_SUB", event->sub);
	rc |= set_number("ZKFS_INO", event->ino);
	rc |= set_number("ZKFS_SESSION", event->session);
	rc |= setenv("ZKFS_EVENT", event->op, 1);
	rc |= setenv("ZKFS_TYPE", event->type, 1);
	rc |= setenv("ZKFS_TIME", event->time, 1);
	rc |= setenv("ZKFS_HOST", event->host, 1);
	rc |= setenv("ZKFS_MOUNT", w->mount, 1);
	rc |= set_path("ZKFS_PATH", w, event->path);
	rc |= set_path("ZKFS_TO", w, event->to);
	if (rc != 0)
		_exit(ZK_EXIT_TROUBLE);
	(void)execvp(w->argv[0], w->argv);
	_exit(errno == ENOENT ? ZK_EXIT_NOT_FOUND : ZK_EXIT_CANNOT_RUN);
}

/* How the command ended is its own affair, unless it cannot be run. */
static int
run(const struct zk_ctl_watch *w, const struct zk_ctl_event *event)
{
	const pid_t parent = getpid();
	int status = 0;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_command(w, event, parent);
	if (pid < 0) {
		zk_ctl_say_errno(w->ctl, w->argv[0], errno);
		return ZK_EXIT_TROUBLE;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		zk_ctl_say(w->ctl, "%s: ended by signal %d", w->argv[0],
		    WTERMSIG(status));
		return 0;
	}
	status = WEXITSTATUS(status);
	if (status == ZK_EXIT_NOT_FOUND || status == ZK_EXIT_CANNOT_RUN) {
		zk_ctl_say(w->ctl, "%s: cannot be run", w->argv[0]);
		return status;
	}
	return 0;
}

int
zk_ctl_watch_tell(const struct zk_ctl_watch *w,
    const struct zk_ctl_event *event, const char *line)
{
	return w->argv != NULL ? run(w, event) : print(w, event, line);
}

/* --- after a loss --------------------------------------------------------- */

static const char *
type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static int
tell_exists(const struct zk_ctl_watch *w, uint64_t rev, const FTSENT *entry)
{
	struct zk_ctl_event event = {
	    .rev = rev,
	    .op = "exists",
	    .ino = entry->fts_statp->st_ino,
	    .path = entry->fts_path + strlen(w->mount),
	};

	(void)snprintf(event.type, sizeof(event.type), "%s",
	    type_name(entry->fts_statp->st_mode));
	if (event.path[0] == '\0')
		return 0;
	return zk_ctl_watch_tell(w, &event, NULL);
}

/*
 * What is gone by now has events of its own.  What must not be seen is not
 * told of; anything else means that something is missing: -errno.
 */
static int
excuse(const struct zk_ctl_watch *w, const FTSENT *entry)
{
	switch (entry->fts_errno) {
	case ENOENT:
	case ENOTDIR:
		return 0;
	case EACCES:
	case EPERM:
	case ELOOP:
	case ENAMETOOLONG:
		zk_ctl_say_errno(w->ctl, entry->fts_path, entry->fts_errno);
		return 0;
	default:
		return entry->fts_errno > 0 ? -entry->fts_errno : -EIO;
	}
}

static int
visit(const struct zk_ctl_watch *w, uint64_t rev, const FTSENT *entry)
{
	switch (entry->fts_info) {
	case FTS_DP:
		return 0;
	case FTS_DNR: /* told already, before it was to be read */
	case FTS_ERR:
	case FTS_NS:
		return excuse(w, entry);
	default:
		return tell_exists(w, rev, entry);
	}
}

static int
walk(const struct zk_ctl_watch *w, uint64_t rev, FTS *fts)
{
	FTSENT *entry;
	int status = 0;

	errno = 0;
	while (status == 0 && (entry = fts_read(fts)) != NULL) {
		status = visit(w, rev, entry);
		if (!w->recursive && entry->fts_level > 0)
			(void)fts_set(fts, entry, FTS_SKIP);
		errno = 0;
	}
	return status == 0 && errno != 0 ? -errno : status;
}

int
zk_ctl_watch_list(const struct zk_ctl_watch *w, uint64_t rev)
{
	struct zk_ctl_event lost = {
	    .rev = rev,
	    .op = "lost",
	    .path = w->below,
	};
	char *root, *paths[2] = {NULL};
	int status;
	FTS *fts;

	status = zk_ctl_watch_tell(w, &lost, NULL);
	if (status != 0)
		return status;
	status = -ENOMEM;
	if (asprintf(&root, "%s%s", w->mount,
	        strcmp(w->below, "/") == 0 ? "" : w->below) < 0)
		root = NULL;
	paths[0] = root;
	fts = root == NULL
	    ? NULL
	    : fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (fts != NULL) {
		status = walk(w, rev, fts);
		(void)fts_close(fts);
	}
	free(root);
	return status;
}
