/*
 * zkfs watch: what changes below a path, from .zkfs/events.  It remembers the
 * last change it was through with, so that a daemon may end and come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/watch.h"
#include "ctl/where.h"

/* How often to look whether the mount is back. */
#define RETRY_MS 100

#define READ_BYTES 65536u
/* A line is shorter; see fs/events_line.h. */
#define LINE_BYTES_MAX   262144u
#define DIGEST_BYTES_MAX 256u
#define STATUS_BYTES_MAX 65536u

/* The tree's newest revision, as this host has it.  0 or -errno. */
static int
newest(const struct zk_ctl_watch *w, uint64_t *ret_rev)
{
	char path[4096], *text, *end;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/.zkfs/digest", w->mount);
	rc = zk_ctl_read_file(path, DIGEST_BYTES_MAX, &text);
	if (rc < 0)
		return rc;
	errno = 0;
	*ret_rev = strtoull(text, &end, 10);
	if (end == text || errno != 0)
		rc = -EIO;
	free(text);
	return rc;
}

/* Whose tree is mounted.  0 or -errno. */
static int
read_ensemble(const struct zk_ctl_watch *w,
    char ret_ensemble[static ZK_CTL_ENSEMBLE_MAX + 1])
{
	char path[4096], *text;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/.zkfs/status", w->mount);
	rc = zk_ctl_read_file(path, STATUS_BYTES_MAX, &text);
	if (rc < 0)
		return rc;
	/* The field is not wider than ZK_CTL_ENSEMBLE_MAX. */
	if (sscanf(text, "ensemble: %64[0-9a-f]", ret_ensemble) != 1)
		rc = -EPROTO;
	free(text);
	return rc;
}

/* Once for each time that there is something to wait for. */
static void
say_waiting(struct zk_ctl_watch *w, int rc)
{
	if (!w->waiting)
		zk_ctl_say(w->ctl, "%s: %s; waiting for it", w->mount,
		    rc == -ENOENT ? "not mounted" : strerror(-rc));
	w->waiting = true;
}

/* --- the stream ----------------------------------------------------------- */

struct stream {
	int fd;
	size_t len;
	char buf[LINE_BYTES_MAX + READ_BYTES];
};

static int
open_stream(const struct zk_ctl_watch *w)
{
	const uint64_t after = w->whole ? w->rev : w->rev - 1;
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/.zkfs/events@%" PRIu64, w->mount,
	    after);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool
is_done(const struct zk_ctl_watch *w, const struct zk_ctl_event *event)
{
	if (event->rev != w->rev)
		return event->rev < w->rev;
	return w->whole || event->sub <= w->sub;
}

/* One line.  0, or an exit status. */
static int
take_line(struct zk_ctl_watch *w, const char *line, size_t len)
{
	struct zk_ctl_event event;
	int status = 0;

	if (zk_ctl_event_parse(line, len, &event) < 0) {
		zk_ctl_say(w->ctl, "not a line of events: %.80s", line);
		return ZK_EXIT_FAILED;
	}
	w->waiting = false;
	if (!is_done(w, &event)) {
		if (zk_ctl_watch_wants(w, &event))
			status = zk_ctl_watch_tell(w, &event, line);
		w->rev = event.rev;
		w->sub = event.sub;
		w->whole = false;
	}
	zk_ctl_event_free(&event);
	return status;
}

/* All whole lines of what has been read. */
static int
take_lines(struct zk_ctl_watch *w, struct stream *s)
{
	char *at = s->buf, *newline;
	int status = 0;

	while (status == 0 && (newline = memchr(at, '\n', s->len)) != NULL) {
		*newline = '\0';
		status = take_line(w, at, (size_t)(newline - at));
		s->len -= (size_t)(newline + 1 - at);
		at = newline + 1;
	}
	memmove(s->buf, at, s->len);
	if (status == 0 && s->len >= LINE_BYTES_MAX) {
		zk_ctl_say(w->ctl, "a line of events without end");
		status = ZK_EXIT_FAILED;
	}
	return status;
}

/*
 * What comes next is not to be had: say so, and what there is instead.  0, an
 * exit status, or -errno to try again.
 */
static int
recover(struct zk_ctl_watch *w, const char *why)
{
	uint64_t rev;
	int rc;

	rc = newest(w, &rev);
	if (rc < 0)
		return rc;
	zk_ctl_say(w->ctl, "%s: telling what there is at %" PRIu64, why, rev);
	rc = zk_ctl_watch_list(w, rev);
	if (rc == 0) {
		w->rev = rev;
		w->whole = true;
	}
	return rc;
}

/* As recover(). */
static int
recover_forgotten(struct zk_ctl_watch *w)
{
	char why[80];

	(void)snprintf(why, sizeof(why),
	    "changes after revision %" PRIu64 " are forgotten", w->rev);
	return recover(w, why);
}

/* Until it breaks, with -errno, or this program is to end, with its status. */
static int
follow(struct zk_ctl_watch *w, struct stream *s)
{
	int status = 0;

	s->len = 0;
	while (status == 0) {
		ssize_t n;

		status = zk_ctl_wait(w->ctl, w->argv == NULL, s->fd, -1);
		if (status != 0)
			return status;
		n = read(s->fd, s->buf + s->len, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		s->len += (size_t)n;
		status = take_lines(w, s);
	}
	return status;
}

/*
 * The numbers of another tree say nothing: what was restored from a backup has
 * used some of them for something else.  As recover().
 */
static int
check_ensemble(struct zk_ctl_watch *w)
{
	char now[ZK_CTL_ENSEMBLE_MAX + 1];
	int rc = read_ensemble(w, now);

	if (rc < 0)
		return rc;
	if (w->ensemble[0] != '\0' && strcmp(w->ensemble, now) != 0)
		rc = recover(w, "this is the tree of another ensemble");
	if (rc == 0)
		memcpy(w->ensemble, now, sizeof(now));
	return rc;
}

/* As long as the mount lasts.  An exit status, or -errno to try again. */
static int
attend(struct zk_ctl_watch *w, struct stream *s)
{
	char now[ZK_CTL_ENSEMBLE_MAX + 1];
	int rc = check_ensemble(w);

	if (rc != 0)
		return rc;
	s->fd = open_stream(w);
	if (s->fd < 0)
		return s->fd;
	/* Mounted anew since we looked: it may begin at the wrong place. */
	rc = read_ensemble(w, now);
	if (rc == 0 && strcmp(w->ensemble, now) == 0)
		rc = follow(w, s);
	(void)close(s->fd);
	return rc == -ENODATA ? recover_forgotten(w) : rc;
}

static int
watch(struct zk_ctl_watch *w)
{
	const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000l};
	struct stream *s = malloc(sizeof(*s));
	int status = s == NULL ? -ENOMEM : 0;

	while (status == 0) {
		status = attend(w, s);
		if (status >= 0 || status == -EACCES || status == -EPERM ||
		    status == -EMFILE)
			continue;
		say_waiting(w, status);
		(void)nanosleep(&pause, NULL);
		status = 0;
	}
	free(s);
	if (status < 0) {
		zk_ctl_say_errno(w->ctl, w->mount, -status);
		status = ZK_EXIT_FAILED;
	}
	return status;
}

/* --- arguments ------------------------------------------------------------ */

/*
 * The path of the tree; the last component need not be there yet.  *mount
 * becomes the one that it is below, where that has all of the tree.
 */
static char *
path_in_tree(const char *path, const struct zk_ctl_mounts *mounts,
    const struct zk_ctl_mount **mount)
{
	const struct zk_ctl_mount *above;
	char *real = realpath(path, NULL), *copy1, *copy2, *dir, *joined = NULL;

	if (real == NULL && errno == ENOENT) {
		copy1 = strdup(path);
		copy2 = strdup(path);
		dir = copy1 != NULL ? realpath(dirname(copy1), NULL) : NULL;
		if (dir != NULL && copy2 != NULL &&
		    asprintf(&joined, "%s/%s", dir, basename(copy2)) >= 0)
			real = joined;
		free(dir);
		free(copy1);
		free(copy2);
	}
	if (real == NULL)
		return NULL;
	joined = zk_ctl_mounts_below(mounts, (*mount)->dev, real, &above);
	if (joined != NULL && above->whole)
		*mount = above;
	free(real);
	return joined;
}

static bool
is_control(const char *below)
{
	static const char name[] = "/.zkfs";
	const size_t len = sizeof(name) - 1;

	return strncmp(below, name, len) == 0 &&
	    (below[len] == '\0' || below[len] == '/');
}

/* After the newest revision, unless one was given. */
static int
begin(struct zk_ctl_watch *w)
{
	uint64_t rev;
	int rc = newest(w, &rev);

	if (rc < 0)
		return rc;
	if (!w->whole)
		w->rev = rev;
	w->whole = true;
	/* That of a host that is ahead, or of another ensemble. */
	if (w->rev > rev)
		zk_ctl_say(w->ctl,
		    "revision %" PRIu64 " is not yet here, where the newest "
		    "is %" PRIu64 "; waiting for it",
		    w->rev, rev);
	return 0;
}

static int
start(struct zk_ctl *ctl, struct zk_ctl_watch *w, const char *arg)
{
	const struct zk_ctl_mount *mount;
	char *path;
	int rc;

	if (zk_ctl_where_path(ctl, arg, &path, &mount) < 0)
		return ZK_EXIT_FAILED;
	if (!mount->whole) {
		zk_ctl_say(ctl, "%s: mounted in part only", mount->dir);
		free(path);
		return ZK_EXIT_FAILED;
	}
	w->below = path_in_tree(path, &ctl->mounts, &mount);
	w->mount = mount->dir;
	rc = w->below == NULL ? -errno : 0;
	free(path);
	/* Their changes are no changes of the tree: none would ever come. */
	if (w->below != NULL && is_control(w->below)) {
		zk_ctl_say(ctl, "%s: not in the tree; inotify(7) tells of it",
		    arg);
		free(w->below);
		return ZK_EXIT_FAILED;
	}
	if (rc == 0)
		rc = begin(w);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, arg, -rc);
		free(w->below);
		return ZK_EXIT_FAILED;
	}
	rc = watch(w);
	free(w->below);
	return rc;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl *ctl, int option, char **argv, struct zk_ctl_watch *w)
{
	switch (option) {
	case 'j':
		w->json = true;
		return -1;
	case 'r':
		w->recursive = true;
		return -1;
	case 's':
		w->whole = true;
		if (zk_ctl_parse_number(optarg, (1ull << 62) - 1, &w->rev) == 0)
			return -1;
		zk_ctl_say(ctl, "%s: not a revision", optarg);
		return ZK_EXIT_USAGE;
	default:
		return zk_ctl_option(ctl, option, argv);
	}
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {"recursive", no_argument, NULL, 'r'},
	    {"since", required_argument, NULL, 's'},
	    {0},
	};
	struct zk_ctl_watch w = {.ctl = ctl};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "jrs:", options,
	            NULL)) != -1) {
		status = take_option(ctl, option, argv, &w);
		if (status >= 0)
			return status;
	}
	argv += optind;
	argc -= optind;
	if (argc < 1 || (argc > 1 && strcmp(argv[1], "--") != 0) || argc == 2)
		return zk_ctl_usage(ctl);
	if (argc > 2)
		w.argv = argv + 2;
	return start(ctl, &w, argv[0]);
}

const struct zk_ctl_command zk_ctl_watch = {
    .name = "watch",
    .arguments = "[-jr] [-s REV] [-m DIR] PATH [-- CMD [ARG...]]",
    .summary = "Tell what changes, or run a command for each change",
    .details =
        "Prints a line for each change of PATH and of what is in it: "
        "revision,\n"
        "what was done, path, and the new path of a rename, with tabs "
        "between.\n"
        "Or runs CMD for each, one after the other, with ZKFS_EVENT, "
        "ZKFS_PATH,\n"
        "ZKFS_TO, ZKFS_REV, ZKFS_TYPE and more in its environment.\n\n"
        "  -r, --recursive   of everything below PATH\n"
        "  -s, --since REV   begin after revision REV, not with what comes\n"
        "  -j, --json        print the lines of .zkfs/events\n"
        "  -m, --mount DIR   the mount that PATH is on\n\n"
        "When the daemon ends it waits for the next one, and goes on where it\n"
        "was.  What is forgotten by then is told as `lost', followed by an\n"
        "`exists' for all that is there.\n",
    .run = run,
};
