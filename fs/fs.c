#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/init.h"
#include "fs/mount.h"
#include "fs/ops.h"

/* How long the end waits for what was already accepted. */
#define DRAIN_MS_MAX 2000u

/* Who has been told of a change waits for the next, for this long. */
#define CARES_MS 1000u

static void
op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned want = FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
	    FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS |
	    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_READ |
	    FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
	    FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_EXPORT_SUPPORT;

	(void)userdata;
	/*
	 * Not wanted, for a reason: WRITEBACK_CACHE (the kernel would own
	 * size and offset, and lose appends), ATOMIC_O_TRUNC (see
	 * zk_handle_defer_trunc), DONT_MASK, SPLICE_*.
	 */
	conn->want = conn->capable & want;
	conn->max_write = ZK_WRITE_MAX;
	conn->max_background = 128;
	conn->congestion_threshold = 96;
	conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = zk_op_lookup,
    .forget = zk_op_forget,
    .forget_multi = zk_op_forget_multi,
    .getattr = zk_op_getattr,
    .setattr = zk_op_setattr,
    .readlink = zk_op_readlink,
    .mknod = zk_op_mknod,
    .mkdir = zk_op_mkdir,
    .unlink = zk_op_unlink,
    .rmdir = zk_op_rmdir,
    .symlink = zk_op_symlink,
    .rename = zk_op_rename,
    .link = zk_op_link,
    .open = zk_op_open,
    .create = zk_op_create,
    .read = zk_op_read,
    .write = zk_op_write,
    .flush = zk_op_flush,
    .release = zk_op_release,
    .fsync = zk_op_fsync,
    .fsyncdir = zk_op_fsyncdir,
    .readdir = zk_op_readdir,
    .readdirplus = zk_op_readdirplus,
    .statfs = zk_op_statfs,
    .setxattr = zk_op_setxattr,
    .getxattr = zk_op_getxattr,
    .listxattr = zk_op_listxattr,
    .removexattr = zk_op_removexattr,
    .getlk = zk_op_getlk,
    .setlk = zk_op_setlk,
    .flock = zk_op_flock,
    .fallocate = zk_op_fallocate,
    .lseek = zk_op_lseek,
    .poll = zk_op_poll,
    .ioctl = zk_op_ioctl,
};

void
zk_fs_unref(struct zk_fs *fs)
{
	if (atomic_fetch_sub(&fs->refs, 1) > 1)
		return;
	zk_notifier_fini(&fs->notifier);
	zk_replay_fini(&fs->replay);
	zk_appends_fini(&fs->appends);
	zk_control_watch_fini(&fs->control_watch);
	zk_picture_free(fs->picture);
	zk_handles_fini(fs);
	zk_inodes_fini(&fs->inodes);
	zk_calls_fini(&fs->calls);
	zk_nexts_fini(&fs->nexts);
	zk_expects_fini(&fs->expects);
	zk_events_fini(&fs->events);
	(void)pthread_mutex_destroy(&fs->control_lock);
	(void)pthread_mutex_destroy(&fs->plans_lock);
	(void)pthread_mutex_destroy(&fs->receive);
	(void)pthread_mutex_destroy(&fs->kept_lock);
	(void)sem_destroy(&fs->ended);
	free(fs->mountpoint);
	free(fs);
}

static struct zk_fs *
make(const struct zk_fs_options *options, const struct zk_fs_port *port)
{
	struct zk_fs *fs = calloc(1, sizeof(*fs));

	if (fs == NULL)
		return NULL;
	fs->mountpoint = strdup(options->mountpoint);
	if (fs->mountpoint == NULL || zk_inodes_init(&fs->inodes) < 0) {
		free(fs->mountpoint);
		free(fs);
		return NULL;
	}
	fs->port = *port;
	fs->max_file = options->max_file;
	fs->op_timeout_ms = options->op_timeout_ms;
	fs->mounted_s = (uint64_t)time(NULL);
	fs->stop_fd = -1;
	fs->mount_id = -1;
	atomic_init(&fs->refs, 1);
	(void)pthread_mutex_init(&fs->control_lock, NULL);
	(void)pthread_mutex_init(&fs->plans_lock, NULL);
	(void)pthread_mutex_init(&fs->receive, NULL);
	(void)pthread_mutex_init(&fs->kept_lock, NULL);
	STAILQ_INIT(&fs->kept);
	(void)sem_init(&fs->ended, 0, 0);
	zk_calls_init(&fs->calls);
	zk_nexts_init(&fs->nexts);
	zk_notifier_init(&fs->notifier);
	zk_replay_init(&fs->replay);
	zk_appends_init(&fs->appends);
	zk_control_watch_init(&fs->control_watch);
	fs->inodes.forgot = zk_appends_forgot;
	fs->inodes.forgot_arg = fs;
	fs->replay.warn = options->warn;
	if (options->helper != NULL)
		zk_replay_adopt(fs, options->helper);
	zk_expects_init(&fs->expects);
	zk_events_init(&fs->events);
	return fs;
}

/*
 * ThreadSanitizer knows that what precedes a write(2) to a descriptor comes
 * before what follows a read(2) from it: here, an answer and the request that
 * the kernel sends because of it.  But it must have seen how the descriptor
 * came about, and that was in the program before: so it is given one whose
 * making it saw, which becomes the other behind its back.
 */
static int
as_if_opened(int fd)
{
#ifdef __SANITIZE_THREAD__
	const int seen = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (seen >= 0 && syscall(SYS_dup3, fd, seen, O_CLOEXEC) == seen) {
		(void)syscall(SYS_close, fd);
		return seen;
	}
#endif
	return fd;
}

static int
mount_session(struct zk_fs *fs, const struct zk_fs_options *options)
{
	char name[] = "zkfs", dash_d[] = "-d", place[32];
	char *argv[] = {name, dash_d, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(options->debug ? 2 : 1, argv);
	int rc, fd;

	fs->session = fuse_session_new(&args, &ops, sizeof(ops), fs);
	fuse_opt_free_args(&args);
	if (fs->session == NULL)
		return -EINVAL;
	if (options->taken != NULL) {
		rc = 0;
		fd = as_if_opened(options->taken->fd);
	} else {
		rc = zk_mount_make(options, &fd);
	}
	if (rc < 0) {
		fuse_session_destroy(fs->session);
		fs->session = NULL;
		return rc;
	}
	/* This tells libfuse that it is mounted, and fd is its own now. */
	(void)snprintf(place, sizeof(place), "/dev/fd/%d", fd);
	if (fuse_session_mount(fs->session, place) != 0)
		return -EIO;
	rc = zk_init_hook(fs);
	if (rc < 0)
		return rc;
	fs->mount_id = zk_mount_id(fs->mountpoint);
	/* The workers poll; see receive(). */
	rc = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return rc < 0 ? -errno : 0;
}

int
zk_fs_open(const struct zk_fs_options *options, const struct zk_fs_port *port,
    struct zk_fs **ret_fs)
{
	struct zk_fs *fs = make(options, port);
	int rc, limit_s = zk_mount_request_timeout_s();

	if (fs == NULL)
		return -ENOMEM;
	if (options->warn != NULL && limit_s > 0)
		options->warn("fs.fuse.default_request_timeout is set: a lock "
		              "that waits longer than that ends the mount");
	/* The root is known from the start, and is never forgotten. */
	rc = zk_inodes_ref(&fs->inodes, ZK_INO_ROOT);
	if (rc == 0)
		rc = mount_session(fs, options);
	if (rc == 0 && options->taken != NULL)
		rc = zk_handover_take(fs, options->taken->bytes,
		    options->taken->len);
	if (rc == 0)
		rc = zk_calls_start(fs);
	if (rc == 0)
		rc = zk_notifier_start(fs);
	if (rc == 0)
		rc = zk_replay_start(fs);
	if (rc == 0)
		rc = zk_events_start(fs);
	if (rc < 0) {
		zk_fs_close(fs);
		return rc;
	}
	*ret_fs = fs;
	return 0;
}

int
zk_fs_run(struct zk_fs *fs)
{
	uint32_t drain_ms = fs->op_timeout_ms;
	int rc = 0;

	/* Not if it was asked for something, and went on. */
	if (fs->stop_fd < 0) {
		zk_handover_serve(fs);
		rc = zk_workers_start(fs);
		if (rc < 0)
			return rc;
	}
	while (!atomic_load(&fs->over) && !atomic_load(&fs->stopping) &&
	    !atomic_load(&fs->asked))
		(void)sem_wait(&fs->ended);
	if (atomic_exchange(&fs->asked, false) && !atomic_load(&fs->over) &&
	    !atomic_load(&fs->stopping))
		return ZK_FS_ASKED;
	zk_workers_stop(fs);
	if (drain_ms > DRAIN_MS_MAX)
		drain_ms = DRAIN_MS_MAX;
	zk_calls_drain(fs, drain_ms);
	return 0;
}

void
zk_fs_stop(struct zk_fs *fs)
{
	atomic_store(&fs->told_to_stop, true);
	atomic_store(&fs->stopping, true);
	(void)sem_post(&fs->ended);
}

/* Unless someone else has done it; nothing of ours waits after this. */
static void
unmount(struct zk_fs *fs)
{
	struct pollfd fd = {.fd = fuse_session_fd(fs->session)};

	/* POLLERR: unmounted already, or the connection was aborted. */
	if (poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR) != 0)
		return;
	/*
	 * Forced: what processes still ask fails now, and with it whatever
	 * would keep the notifier waiting.  Detached: also when it is busy.
	 * Only our own mount, not what may have been mounted in its place.
	 */
	if (fs->mount_id >= 0 && zk_mount_id(fs->mountpoint) == fs->mount_id)
		(void)umount2(fs->mountpoint, MNT_FORCE | MNT_DETACH);
}

void
zk_fs_close(struct zk_fs *fs)
{
	if (fs == NULL)
		return;
	zk_workers_stop(fs);
	if (fs->calls.started)
		zk_calls_drain(fs, 0);
	if (fs->session != NULL)
		unmount(fs);
	zk_notifier_stop(fs);
	zk_backup_stop(fs);
	zk_replay_stop(fs);
	zk_events_stop(fs);
	zk_calls_stop(fs);
	if (fs->session != NULL) {
		fuse_session_unmount(fs->session);
		fuse_session_destroy(fs->session);
		fs->session = NULL;
	}
	/* Commands under way may still be answered: they keep the rest. */
	zk_fs_unref(fs);
}

void
zk_fs_orphaned(struct zk_fs *fs, uint64_t ino, bool known)
{
	struct zk_inode *inode;
	bool reap;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	reap = inode == NULL ||
	    (inode->nlookup == 0 && inode->opens == 0 &&
	        inode->releasing == 0 && inode->unlocking == 0);
	if (!reap)
		inode->orphan = true;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (reap)
		zk_calls_reap(fs, ino);
	else if (!known)
		zk_notify_inode(fs, ino, false);
}

/* Who is asked often for what changes often is opened for direct reads. */
static void
replaced(struct zk_fs *fs, uint64_t ino)
{
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL) {
		inode->replaced_before_ms = inode->replaced_ms;
		inode->replaced_ms = zk_now_ms();
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

/* What the kernel has cached and does not know to be out of date. */
static void
invalidate(struct zk_fs *fs, const struct zk_change *change)
{
	const bool data = change->kind == ZK_CHANGE_MODIFY;

	if (change->kind == ZK_CHANGE_CREATE ||
	    change->kind == ZK_CHANGE_DELETE ||
	    change->kind == ZK_CHANGE_RENAME) {
		zk_notify_name(fs, change->parent, change->name,
		    change->name_len);
		zk_notify_inode(fs, change->parent, false);
	}
	if (change->kind == ZK_CHANGE_RENAME) {
		zk_notify_name(fs, change->parent2, change->name2,
		    change->name2_len);
		zk_notify_inode(fs, change->parent2, false);
	}
	zk_notify_inode(fs, change->ino, data);
	if (change->ino2 != 0)
		zk_notify_inode(fs, change->ino2, false);
}

/* A node of the tree's own kinds may be waited for by more than the kernel. */
static bool
is_noticed(struct zk_fs *fs, const struct zk_change *change)
{
	const uint64_t inos[] = {change->parent, change->ino, change->parent2,
	    change->ino2};
	bool noticed = change->special != 0;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	for (size_t i = 0; !noticed && i < sizeof(inos) / sizeof(inos[0]); i++)
		noticed = inos[i] != 0 &&
		    zk_inode_is_known(zk_inodes_find(&fs->inodes, inos[i]));
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return noticed;
}

/* Whoever wrote knows what he wrote, not what became of it. */
static bool
is_rewritten(const struct zk_change *change)
{
	return change->kind == ZK_CHANGE_MODIFY && change->special != 0;
}

bool
zk_fs_cares(const struct zk_fs *fs)
{
	return atomic_load(&fs->events.wanted) ||
	    zk_now_ms() - atomic_load(&fs->noticed_ms) < CARES_MS;
}

void
zk_fs_changed(struct zk_fs *fs, const struct zk_change *change)
{
	if (is_noticed(fs, change))
		atomic_store(&fs->noticed_ms, zk_now_ms());
	(void)atomic_fetch_add(&fs->changes, 1);
	if (change->kind == ZK_CHANGE_MODIFY && change->replaces)
		replaced(fs, change->ino);
	if (!change->known || is_rewritten(change))
		invalidate(fs, change);
	zk_replay_change(fs, change);
	zk_appends_tree(fs, change);
	if (change->special == ZK_NODE_MEMBERS)
		zk_nexts_group(fs, change->whole);
	if (change->orphan)
		zk_fs_orphaned(fs,
		    change->kind == ZK_CHANGE_RENAME ? change->ino2
		                                     : change->ino,
		    change->known);
	zk_events_wake(fs);
}

void
zk_fs_forget(struct zk_fs *fs)
{
	zk_notify_all(fs);
	zk_events_wake(fs);
}

void
zk_fs_control_changed(struct zk_fs *fs, const char *name)
{
	zk_control_changed(fs, name);
}

uint64_t
zk_fs_request_count(const struct zk_fs *fs)
{
	return atomic_load(&fs->requests);
}

void
zk_fs_appended(struct zk_fs *fs, uint64_t partition, uint64_t end,
    const struct zk_stamp *time)
{
	zk_nexts_appended(fs, partition);
	zk_appends_moved(fs, partition, end, time);
}

void
zk_fs_session_changed(struct zk_fs *fs)
{
	zk_nexts_session(fs);
}
