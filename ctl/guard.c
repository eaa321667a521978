#include "ctl/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "ctl/text.h"
#include "ctl/value.h"

/* Also without any event the mount is asked this often. */
#define ROUND_MS 200

/*
 * A daemon that has been silent for a session's time may have lost it:
 * whoever holds something gives up earlier.
 */
#define PATIENCE_MS(session_timeout_ms) ((uint64_t)(session_timeout_ms) / 4 * 3)

#define STATE_BYTES_MAX  256
#define CONFIG_BYTES_MAX 65536

struct zk_ctl_guard {
	struct zk_ctl_held held;
	char *state; /* the path of .zkfs/state, or NULL */
	uint64_t patience_ms;
	pthread_t thread;
	int lost_fd, stop_fd, notify_fd;

	/* Written by the thread, read by the holder. */
	_Atomic(const char *) why;
	atomic_ulong rounds;

	/* The holder's own. */
	unsigned long rounds_seen;
	unsigned silent_ticks;
};

_Static_assert(PATIENCE_MS(ZK_SESSION_TIMEOUT_DEFAULT_MS) >
        (uint64_t)10 * ROUND_MS,
    "a few slow answers are not silence");

/* Errors that leave no doubt; others may pass. */
static const char *
why_of_errno(int err)
{
	switch (err) {
	case ENOTCONN:
	case ECONNABORTED:
		return "the daemon of the mount is gone";
	case ESTALE:
	case EBADF:
		return "the session is over";
	case ENODATA:
		return "it is no longer ours";
	default:
		return NULL;
	}
}

static const char *
check_path(const struct zk_ctl_held *held)
{
	struct stat by_fd, by_path;

	if (fstat(held->fd, &by_fd) < 0)
		return why_of_errno(errno);
	if (by_fd.st_nlink == 0)
		return "it was removed";
	if (stat(held->path, &by_path) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return "it was removed or renamed";
		return why_of_errno(errno);
	}
	if (by_path.st_dev != by_fd.st_dev || by_path.st_ino != by_fd.st_ino)
		return "its name now leads to another file";
	return NULL;
}

static const char *
check_state(const char *path)
{
	const char *why = NULL;
	char *text;
	int rc;

	if (path == NULL)
		return NULL;
	rc = zk_ctl_read_file(path, STATE_BYTES_MAX, &text);
	if (rc < 0)
		return why_of_errno(-rc);
	if (strncmp(text, "lost", 4) == 0)
		why = "the session is over";
	free(text);
	return why;
}

static const char *
check(const struct zk_ctl_guard *guard)
{
	const struct zk_ctl_held *held = &guard->held;
	const char *why;
	uint64_t number;
	int rc;

	/* Attributes are never answered from a cache: this asks the daemon. */
	if (held->xattr != NULL) {
		rc = zk_ctl_xattr_number(held->fd, held->xattr, &number);
		if (rc < 0 && why_of_errno(-rc) != NULL)
			return why_of_errno(-rc);
		if (rc == 0 && number != held->number)
			return "it is no longer ours";
	}
	why = check_path(held);
	return why != NULL ? why : check_state(guard->state);
}

static void
drain(int fd)
{
	char events[4096] __attribute__((aligned(8)));

	while (read(fd, events, sizeof(events)) > 0)
		;
}

static void *
watch(void *arg)
{
	struct zk_ctl_guard *guard = arg;
	struct pollfd fds[2] = {
	    {.fd = guard->stop_fd, .events = POLLIN},
	    {.fd = guard->notify_fd, .events = POLLIN},
	};
	const char *why = NULL;

	while (why == NULL) {
		if (poll(fds, 2, ROUND_MS) < 0 && errno != EINTR)
			break;
		if (fds[0].revents != 0)
			return NULL;
		drain(guard->notify_fd);
		why = check(guard);
		atomic_fetch_add(&guard->rounds, 1);
	}
	atomic_store(&guard->why, why != NULL ? why : "it cannot be watched");
	(void)eventfd_write(guard->lost_fd, 1);
	return NULL;
}

static int
start_thread(struct zk_ctl_guard *guard)
{
	sigset_t all, old;
	int rc;

	/* Signals are for the thread that reads them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&guard->thread, NULL, watch, guard);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static void
guard_free(struct zk_ctl_guard *guard)
{
	if (guard->lost_fd >= 0)
		(void)close(guard->lost_fd);
	if (guard->stop_fd >= 0)
		(void)close(guard->stop_fd);
	if (guard->notify_fd >= 0)
		(void)close(guard->notify_fd);
	free((void *)(uintptr_t)guard->held.path);
	free(guard->state);
	free(guard);
}

/* "session_timeout = 10000ms"; what is not there changes nothing. */
static void
read_patience(struct zk_ctl_guard *guard, const char *config)
{
	static const char key[] = "session_timeout = ";
	const char *line = config;
	char number[24];
	uint64_t ms;

	while (line != NULL && strncmp(line, key, sizeof(key) - 1) != 0) {
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	if (line != NULL &&
	    sscanf(line + sizeof(key) - 1, "%20[0-9]ms", number) == 1 &&
	    zk_ctl_parse_number(number, UINT32_MAX, &ms) == 0)
		guard->patience_ms = PATIENCE_MS(ms);
}

static int
know_mount(struct zk_ctl_guard *guard, const char *dir)
{
	char *path, *config = NULL;
	int rc;

	if (asprintf(&guard->state, "%s/.zkfs/state", dir) < 0) {
		guard->state = NULL;
		return -ENOMEM;
	}
	if (asprintf(&path, "%s/.zkfs/config", dir) < 0)
		return -ENOMEM;
	rc = zk_ctl_read_file(path, CONFIG_BYTES_MAX, &config);
	free(path);
	if (rc == 0 && config != NULL)
		read_patience(guard, config);
	free(config);
	return rc;
}

int
zk_ctl_guard_start(const struct zk_ctl_held *held,
    struct zk_ctl_guard **ret_guard)
{
	struct zk_ctl_guard *guard;
	int rc;

	guard = calloc(1, sizeof(*guard));
	if (guard == NULL)
		return -ENOMEM;
	guard->held = *held;
	guard->held.mount = NULL;
	guard->patience_ms = PATIENCE_MS(ZK_SESSION_TIMEOUT_DEFAULT_MS);
	guard->held.path = strdup(held->path);
	guard->lost_fd = eventfd(0, EFD_CLOEXEC);
	guard->stop_fd = eventfd(0, EFD_CLOEXEC);
	guard->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	rc = -errno;
	if (guard->lost_fd < 0 || guard->stop_fd < 0 || guard->notify_fd < 0)
		goto fail;
	rc = -ENOMEM;
	if (guard->held.path == NULL)
		goto fail;
	rc = held->mount == NULL ? 0 : know_mount(guard, held->mount);
	if (rc < 0)
		goto fail;
	/* Watches make it prompt; without them the rounds still find out. */
	(void)inotify_add_watch(guard->notify_fd, held->path,
	    IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
	if (guard->state != NULL)
		(void)inotify_add_watch(guard->notify_fd, guard->state,
		    IN_MODIFY);
	rc = start_thread(guard);
	if (rc < 0)
		goto fail;
	*ret_guard = guard;
	return 0;
fail:
	guard_free(guard);
	return rc;
}

int
zk_ctl_guard_fd(const struct zk_ctl_guard *guard)
{
	return guard->lost_fd;
}

const char *
zk_ctl_guard_lost(struct zk_ctl_guard *guard)
{
	const unsigned long rounds = atomic_load(&guard->rounds);
	const char *why = atomic_load(&guard->why);

	if (why != NULL)
		return why;
	/*
	 * Counted in ticks that this process saw, not by a clock: a process
	 * that was stopped must not take its own absence for the daemon's.
	 */
	if (rounds != guard->rounds_seen) {
		guard->rounds_seen = rounds;
		guard->silent_ticks = 0;
		return NULL;
	}
	guard->silent_ticks++;
	if ((uint64_t)guard->silent_ticks * ZK_CTL_GUARD_TICK_MS >=
	    guard->patience_ms)
		return "the daemon of the mount does not answer";
	return NULL;
}

void
zk_ctl_guard_stop(struct zk_ctl_guard *guard)
{
	struct timespec until;

	if (guard == NULL)
		return;
	ZK_ASSERT(guard->stop_fd >= 0);
	(void)eventfd_write(guard->stop_fd, 1);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	if (pthread_timedjoin_np(guard->thread, NULL, &until) == 0)
		guard_free(guard);
}
