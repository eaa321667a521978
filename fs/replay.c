#include "fs/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/mount.h"

/* Between two restarts of a helper that does not last. */
#define PAUSE_MS_MIN 20u
#define PAUSE_MS_MAX 5000u

/* How often one task is tried when somebody gets in between. */
#define TRIES_MAX 24u

/* --- the helper ------------------------------------------------------------ */

/* It is dead: from here on nobody is taken for it. */
static void
bury(struct zk_replay *r)
{
	siginfo_t info;

	if (r->socket >= 0)
		(void)close(r->socket);
	r->socket = -1;
	if (r->pid == 0)
		return;
	(void)kill(r->pid, SIGKILL);
	/* Its number is not given to another before it has been reaped. */
	while (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOWAIT) < 0 &&
	    errno == EINTR)
		;
	atomic_store(&r->tid, 0);
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
}

/* The mount was taken away: so must be the helper's copy of it. */
static void
look_at_mounts(struct zk_fs *fs)
{
	struct zk_replay *r = &fs->replay;

	if (fs->mount_id < 0 || zk_mount_is_there(fs->mount_id))
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->off = true;
	(void)pthread_mutex_unlock(&r->lock);
	/* A helper that is stuck or stopped, too. */
	if (r->pid != 0)
		(void)kill(r->pid, SIGKILL);
}

/*
 * Wait for the helper, or until there is something else to look at: -EAGAIN.
 * 0: it has answered, or ended.
 */
static int
wait_event(struct zk_fs *fs, int ms)
{
	struct zk_replay *r = &fs->replay;
	struct pollfd fds[] = {
	    {.fd = r->wake_fd, .events = POLLIN},
	    {.fd = r->mounts_fd, .events = POLLPRI},
	    {.fd = r->socket, .events = POLLIN},
	};
	eventfd_t ignored;

	if (poll(fds, 3, ms) <= 0)
		return -EAGAIN;
	if (fds[0].revents != 0)
		(void)eventfd_read(r->wake_fd, &ignored);
	if (fds[1].revents != 0)
		look_at_mounts(fs);
	return fds[2].revents != 0 ? 0 : -EAGAIN;
}

static bool
is_over(struct zk_replay *r)
{
	bool over;

	(void)pthread_mutex_lock(&r->lock);
	over = r->stopping || r->off;
	(void)pthread_mutex_unlock(&r->lock);
	return over;
}

/* Send a message and wait for the result, for as long as it takes. */
static int
ask(struct zk_fs *fs, const void *message, size_t len,
    struct zk_task_result *ret_result)
{
	struct zk_replay *r = &fs->replay;
	ssize_t n;

	if (r->socket < 0 ||
	    send(r->socket, message, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -EPIPE;
	while (wait_event(fs, -1) < 0)
		if (is_over(r))
			return -ESHUTDOWN;
	n = recv(r->socket, ret_result, sizeof(*ret_result), MSG_DONTWAIT);
	return n == (ssize_t)sizeof(*ret_result) ? 0 : -EPIPE;
}

/* It is not allowed to, and never will be. */
static bool
is_forbidden(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENOSYS ||
	    rc == -EOPNOTSUPP || rc == -EINVAL;
}

/* -EAGAIN: not now, for example where something is mounted over our mount. */
static int
attach(struct zk_fs *fs)
{
	struct zk_task_attach message = {.act = ZK_TASK_ATTACH};
	struct zk_task_result result;
	int rc;

	(void)snprintf(message.mountpoint, sizeof(message.mountpoint), "%s",
	    fs->mountpoint);
	rc = ask(fs, &message, sizeof(message), &result);
	if (rc == 0 && result.rc < 0 && !is_forbidden(result.rc)) {
		rc = -EAGAIN;
	} else if (rc == 0 && result.rc < 0) {
		if (fs->replay.warn != NULL)
			fs->replay.warn("inotify is not told of what other "
			                "hosts do: open_tree(2) or "
			                "open_by_handle_at(2) is forbidden");
		(void)pthread_mutex_lock(&fs->replay.lock);
		fs->replay.off = true;
		(void)pthread_mutex_unlock(&fs->replay.lock);
	}
	/* It may have gone before there was anybody to look. */
	look_at_mounts(fs);
	return rc;
}

static void
adopt(struct zk_replay *r, const struct zk_replay_helper *helper)
{
	r->pid = helper->pid;
	r->socket = helper->socket;
	atomic_store(&r->tid, helper->pid);
}

/* Until there is a helper again, or the end. */
static void
restart(struct zk_fs *fs)
{
	struct zk_replay *r = &fs->replay;
	struct zk_replay_helper helper;

	while (!is_over(r)) {
		bury(r);
		(void)wait_event(fs, (int)r->pause_ms);
		if (is_over(r))
			return;
		if (r->pause_ms < PAUSE_MS_MAX)
			r->pause_ms *= 2;
		if (zk_replay_fork(&helper) < 0)
			continue;
		adopt(r, &helper);
		(void)pthread_mutex_lock(&r->lock);
		r->counts.restarts++;
		(void)pthread_mutex_unlock(&r->lock);
		if (attach(fs) == 0)
			return;
	}
}

/* --- what the kernel has cached -------------------------------------------- */

/*
 * The kernel shall ask for this name when it is used next, but may keep what
 * it has until then.  Kernels before 6.2 forget it.
 */
static void
expire(struct zk_fs *fs, uint64_t dir, const char *name)
{
	struct fuse_notify_inval_entry_out out = {
	    .parent = dir,
	    .namelen = (uint32_t)strlen(name),
	    .flags = FUSE_EXPIRE_ONLY,
	};
	struct fuse_out_header head = {
	    .len = (uint32_t)(sizeof(head) + sizeof(out)) + out.namelen + 1,
	    .error = FUSE_NOTIFY_INVAL_ENTRY,
	};
	char copy[ZK_NAME_MAX + 1];
	struct iovec iov[] = {
	    {&head, sizeof(head)},
	    {&out, sizeof(out)},
	    {copy, out.namelen + 1},
	};

	if (dir == 0 || zk_is_virtual(dir))
		return;
	memcpy(copy, name, out.namelen + 1);
	/* ENOENT: it had nothing. */
	(void)!writev(fuse_session_fd(fs->session), iov, 3);
}

static void
prepare(struct zk_fs *fs, const struct zk_task *task, bool ask_again)
{
	switch (task->act) {
	case ZK_TASK_RENAME:
	case ZK_TASK_EXCHANGE:
		expire(fs, task->dir2, task->name2);
		expire(fs, task->dir, task->name);
		return;
	case ZK_TASK_CREATE:
	case ZK_TASK_DELETE:
		expire(fs, task->dir, task->name);
		return;
	default:
		break;
	}
	if (ask_again)
		expire(fs, task->dir, task->name);
	if (task->act == ZK_TASK_ATTRIB || zk_is_virtual(task->ino))
		return;
	zk_notify_wait(fs, task->ino);
	(void)fuse_lowlevel_notify_inval_inode(fs->session, task->ino, 0, 0);
}

/* What was moved there has another place, and must not be found in this one. */
static void
sweep(struct zk_fs *fs, const struct zk_task *task)
{
	char name[ZK_REPLAY_HOOK_MAX];
	uint64_t ino;

	/* Raising that it was made has made the kernel know it. */
	if (task->act == ZK_TASK_CREATE)
		zk_replay_prune(fs, &task->ino, 1);
	if (task->name[0] != '\0' && task->dir == 0)
		(void)fuse_lowlevel_notify_inval_entry(fs->session,
		    ZK_INO_SCRATCH, task->name, strlen(task->name));
	if (task->name2[0] != '\0' && task->dir2 == 0)
		(void)fuse_lowlevel_notify_inval_entry(fs->session,
		    ZK_INO_SCRATCH, task->name2, strlen(task->name2));
	for (uint64_t i = 0; zk_replay_hook(&fs->replay, i, name, &ino); i++)
		if (ino != 0)
			(void)fuse_lowlevel_notify_inval_entry(fs->session,
			    ZK_INO_SCRATCH, name, strlen(name));
}

/* --- orders ---------------------------------------------------------------- */

/* Under the lock: the kernel said so when the task came to it. */
static bool
is_missing(const struct zk_replay *r, uint64_t dir)
{
	return ((r->missing & 1u) != 0 && r->task.dir == dir) ||
	    ((r->missing & 2u) != 0 && r->task.dir2 == dir);
}

/* One try.  0: raised; -EPIPE: without a helper; others: not raised. */
static int
attempt(struct zk_fs *fs, struct zk_order *order, const struct zk_task *task,
    bool ask_again)
{
	struct zk_replay *r = &fs->replay;
	struct zk_task_result result = {0};
	int rc;

	(void)pthread_mutex_lock(&r->lock);
	r->task = *task;
	r->missing = r->hung = 0;
	r->counts.tasks++;
	order->raised = false;
	(void)pthread_mutex_unlock(&r->lock);
	/* From now on nobody's look makes the kernel sure of these names. */
	atomic_store(&r->busy, true);
	prepare(fs, task, ask_again);
	rc = ask(fs, task, sizeof(*task), &result);
	atomic_store(&r->busy, false);
	sweep(fs, task);
	(void)pthread_mutex_lock(&r->lock);
	if (rc == -EPIPE && order->raised)
		rc = 0;
	if (rc == 0) {
		rc = result.rc;
		r->pause_ms = PAUSE_MS_MIN;
	}
	for (unsigned i = 0; i < 2; i++)
		order->sides[i].unknown |= is_missing(r, order->sides[i].dir);
	if (rc == 0)
		r->counts.raised++;
	(void)pthread_mutex_unlock(&r->lock);
	return rc;
}

static void
count(struct zk_replay *r, uint64_t *counter)
{
	(void)pthread_mutex_lock(&r->lock);
	(*counter)++;
	(void)pthread_mutex_unlock(&r->lock);
}

/*
 * It cannot be done as it was; so at least what agrees with the state is
 * raised, in its turn.
 */
static void
give_up(struct zk_fs *fs, const struct zk_order *order,
    const struct zk_task *task)
{
	struct zk_replay *r = &fs->replay;
	count(r, &r->counts.failed);
	if (order->kind == ZK_ORDER_SYNC)
		return;
	for (int i = 0; i < 2; i++) {
		const struct zk_order_side *side = &order->sides[i];
		if (zk_side_is_usable(fs, side))
			zk_replay_sync(fs, side->dir, side->name,
			    strlen(side->name), order->type);
	}
	/* A change, where the node is by now. */
	if (order->sides[1].dir == 0 &&
	    !zk_side_is_usable(fs, &order->sides[0]) && task->dir != 0)
		zk_replay_sync(fs, task->dir, task->name, strlen(task->name),
		    task->type);
}

/* Whether there is nobody who could be told by another try. */
static bool
is_hopeless(struct zk_order *order, const struct zk_task *task, int rc)
{
	/* Nobody can watch what the kernel does not know. */
	if (rc == -ESTALE && task->name[0] == '\0')
		return true;
	/* It is read-only, and the helper cannot help it. */
	if (rc == -EROFS)
		return true;
	/* It is being executed, and so cannot be opened for writing. */
	if (rc == -ETXTBSY)
		order->in_use = true;
	return false;
}

/*
 * Somebody was in between.  The kernel moves a directory within its cache only
 * if it gets the locks at once, and a rename elsewhere may have them: ESTALE.
 */
static void
rest(struct zk_fs *fs, int rc, unsigned tries)
{
	if (rc == -ESTALE && tries > 1)
		(void)wait_event(fs, 1 << (tries < 7 ? tries - 2 : 5));
}

/* All events of an order, or as many as the end of the mount allows. */
static void
carry_out(struct zk_fs *fs, struct zk_order *order)
{
	struct zk_replay *r = &fs->replay;
	unsigned tries = 0;
	struct zk_task task;
	bool ask_again;
	int rc;

	while (tries < TRIES_MAX) {
		ask_again = tries > 0;
		if (!zk_plan(fs, order, &task, &ask_again))
			return;
		rc = attempt(fs, order, &task, ask_again);
		if (rc == -EPIPE)
			restart(fs);
		else
			tries++;
		if (rc == 0 && !zk_plan_next(r, order, &task))
			return;
		if (rc == 0)
			tries = 0;
		if (is_over(r) || is_hopeless(order, &task, rc))
			return;
		rest(fs, rc, tries);
	}
	give_up(fs, order, &task);
}

/*
 * There is something to do that is no order.  False while we are paused: the
 * helper must not be at work on the mount then.
 */
static bool
take_up(struct zk_replay *r)
{
	bool may;

	(void)pthread_mutex_lock(&r->lock);
	may = !r->paused;
	r->idle = r->idle && !may;
	(void)pthread_mutex_unlock(&r->lock);
	return may;
}

/* Not until it is told does the helper let go of what it has open. */
static void
tell_rest(struct zk_replay *r)
{
	const struct zk_task task = {.act = ZK_TASK_REST};
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	if (r->socket >= 0)
		(void)send(r->socket, &task, sizeof(task), flags);
}

static void *
feed(void *arg)
{
	struct zk_fs *fs = arg;
	struct zk_replay *r = &fs->replay;
	struct zk_order *order;
	bool rested = true;

	(void)prctl(PR_SET_NAME, "replay");
	if (attach(fs) < 0)
		restart(fs);
	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		order = r->off || r->paused ? NULL : zk_queue_take(&r->queue);
		r->current = order;
		r->idle = order == NULL;
		if (r->stopping)
			break;
		(void)pthread_mutex_unlock(&r->lock);
		if (order == NULL) {
			if (!rested)
				tell_rest(r);
			rested = true;
			/* Unasked it says nothing: it has ended. */
			if (wait_event(fs, -1) == 0 && take_up(r))
				restart(fs);
			if (is_over(r))
				bury(r);
			continue;
		}
		carry_out(fs, order);
		rested = false;
		(void)pthread_mutex_lock(&r->lock);
		zk_queue_done(&r->queue, order);
		r->current = NULL;
		(void)pthread_mutex_unlock(&r->lock);
	}
	if (order != NULL)
		zk_queue_done(&r->queue, order);
	r->current = NULL;
	(void)pthread_mutex_unlock(&r->lock);
	return NULL;
}

void
zk_replay_init(struct zk_replay *r)
{
	(void)pthread_mutex_init(&r->lock, NULL);
	TAILQ_INIT(&r->queue.orders);
	r->socket = r->wake_fd = r->mounts_fd = -1;
	r->pause_ms = PAUSE_MS_MIN;
	/* Until there is a helper nothing is queued. */
	r->off = true;
}

void
zk_replay_fini(struct zk_replay *r)
{
	zk_queue_fini(&r->queue);
	if (r->wake_fd >= 0)
		(void)close(r->wake_fd);
	if (r->mounts_fd >= 0)
		(void)close(r->mounts_fd);
	(void)pthread_mutex_destroy(&r->lock);
}

void
zk_replay_adopt(struct zk_fs *fs, const struct zk_replay_helper *helper)
{
	adopt(&fs->replay, helper);
}

int
zk_replay_start(struct zk_fs *fs)
{
	struct zk_replay *r = &fs->replay;
	int rc;

	if (r->pid == 0)
		return 0;
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (r->wake_fd < 0 || r->mounts_fd < 0)
		return -errno;
	r->off = false;
	rc = pthread_create(&r->thread, NULL, feed, fs);
	r->started = rc == 0;
	atomic_store(&r->on, rc == 0);
	return -rc;
}

void
zk_replay_stop(struct zk_fs *fs)
{
	struct zk_replay *r = &fs->replay;

	atomic_store(&r->on, false);
	(void)pthread_mutex_lock(&r->lock);
	r->stopping = r->off = true;
	(void)pthread_mutex_unlock(&r->lock);
	if (r->wake_fd >= 0)
		(void)eventfd_write(r->wake_fd, 1);
	if (r->started)
		(void)pthread_join(r->thread, NULL);
	r->started = false;
	bury(r);
}

/* How often to look whether the helper is through. */
#define PAUSE_LOOK_MS 1

bool
zk_replay_pause(struct zk_fs *fs, uint64_t until_ms)
{
	const struct timespec pause = {.tv_nsec = PAUSE_LOOK_MS * 1000000l};
	struct zk_replay *r = &fs->replay;
	bool idle;

	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		r->paused = true;
		/* Not while it is attaching itself to the mount, either. */
		idle = !r->started || r->idle;
		(void)pthread_mutex_unlock(&r->lock);
		if (idle || zk_now_ms() >= until_ms)
			return idle;
		(void)nanosleep(&pause, NULL);
	}
}

void
zk_replay_resume(struct zk_fs *fs)
{
	struct zk_replay *r = &fs->replay;

	(void)pthread_mutex_lock(&r->lock);
	r->paused = false;
	(void)pthread_mutex_unlock(&r->lock);
	if (r->wake_fd >= 0)
		(void)eventfd_write(r->wake_fd, 1);
}
