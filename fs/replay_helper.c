#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/replay.h"

/*
 * The helper process: one thread that makes system calls on the mount.  It is
 * forked, maybe from a process with threads, and does not exec: so it uses
 * nothing but system calls.
 *
 * A process, because a thread that waits on the mount of its own process makes
 * that process unkillable: the kernel would wait for an answer that never
 * comes, while /dev/fuse is held open by the one who waits.
 *
 * Directories and files are reached by handle (open_by_handle_at(2)), which
 * finds exactly what the kernel knows, asks nothing and depends on no path.
 */

enum { SOCKET = 3 };

/* A file handle of FUSE: FILEID_INO64_GEN of fs/fuse/inode.c. */
enum { HANDLE_TYPE = 0x81, HANDLE_WORDS = 3 };

static int root = -1, scratch = -1;

/*
 * The scratch directory, from when it is needed until ZK_TASK_REST: while it is
 * open the kernel knows .zkfs, which it shall only while that is used.
 */
static int
open_scratch(void)
{
	if (scratch < 0)
		scratch = openat(root, ZK_CONTROL_NAME "/" ZK_CONTROL_SCRATCH,
		    O_PATH | O_DIRECTORY | O_CLOEXEC);
	return scratch < 0 ? -errno : scratch;
}

static void
close_scratch(void)
{
	if (scratch >= 0)
		(void)close(scratch);
	scratch = -1;
}

static int
open_ino(uint64_t ino, int flags)
{
	struct {
		struct file_handle head;
		uint32_t words[HANDLE_WORDS];
	} handle = {
	    .head = {.handle_bytes = sizeof(handle.words),
	        .handle_type = HANDLE_TYPE},
	    .words = {(uint32_t)(ino >> 32), (uint32_t)ino, 0},
	};
	int fd;

	fd = open_by_handle_at(root, &handle.head, flags | O_CLOEXEC);
	/* A directory without a name hangs there, so that has to be known. */
	if (fd < 0 && errno == ESTALE && scratch < 0 && open_scratch() >= 0)
		fd = open_by_handle_at(root, &handle.head, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * The directory of the last task, as long as the next ones are in the same, and
 * until ZK_TASK_REST: the kernel drops the name of a directory with that of the
 * last thing in it, and must find it anew each time.
 */
static struct {
	int fd;
	uint64_t dir;
} held = {.fd = -1};

static void
let_go(void)
{
	if (held.fd >= 0)
		(void)close(held.fd);
	held.fd = -1;
	held.dir = 0;
}

static int
open_dir(uint64_t dir)
{
	int fd;

	if (dir == 0)
		return open_scratch();
	if (dir == held.dir)
		return held.fd;
	/* Its name may be forgotten, and scratch, where others hang, is in it. */
	if (dir == ZK_INO_VIRTUAL) {
		fd = openat(root, ZK_CONTROL_NAME,
		    O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return open_ino(dir, O_PATH | O_DIRECTORY);
}

static void
close_dir(int fd)
{
	if (fd >= 0 && fd != scratch && fd != held.fd)
		(void)close(fd);
}

/*
 * A private copy of the mount, in no namespace: what is open of it does not
 * keep the mount itself busy.
 */
static int
attach(const char *mountpoint)
{
	struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};
	int tree, fd;

	tree = (int)syscall(SYS_open_tree, AT_FDCWD, mountpoint,
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	/* This one only; where it cannot be done most events will fail. */
	(void)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &writable,
	    sizeof(writable));
	root = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)close(tree);
	if (root < 0)
		return -errno;
	/* Only our own mount has this. */
	fd = open_scratch();
	close_scratch();
	if (fd < 0)
		return fd;
	/* What every task needs, and a capability or a filter may forbid. */
	fd = open_ino(ZK_INO_ROOT, O_PATH | O_DIRECTORY);
	if (fd >= 0)
		(void)close(fd);
	return fd < 0 ? fd : 0;
}

static int
touch(int fd, const char *name, bool both)
{
	const struct timespec times[2] = {
	    {.tv_nsec = both ? UTIME_NOW : UTIME_OMIT},
	    {.tv_nsec = UTIME_NOW},
	};

	/* Both times raise IN_ATTRIB, the second alone IN_MODIFY. */
	return utimensat(fd, name, times,
	           AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0)) <
	        0
	    ? -errno
	    : 0;
}

static int
create(int dir, const struct zk_task *task)
{
	int rc;

	if (S_ISDIR(task->type))
		rc = mkdirat(dir, task->name, 0700);
	else if (S_ISLNK(task->type))
		rc = symlinkat("-", dir, task->name);
	else
		rc = mknodat(dir, task->name, task->type | 0600, 0);
	return rc < 0 ? -errno : 0;
}

static int
write_to(int dir, const struct zk_task *task)
{
	const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	const struct timespec times[2] = {
	    {.tv_nsec = UTIME_OMIT},
	    {.tv_nsec = UTIME_NOW},
	};
	int fd, rc;

	if (task->name[0] != '\0')
		fd = openat(dir, task->name, flags);
	else
		fd = open_ino(task->ino, flags);
	if (fd == -1)
		fd = -errno;
	if (fd < 0)
		return fd;
	rc = futimens(fd, times) < 0 ? -errno : 0;
	(void)close(fd);
	return rc;
}

static int
act_on_node(int dir, const struct zk_task *task)
{
	const bool both = task->act == ZK_TASK_ATTRIB;
	int fd, rc;

	if (task->act == ZK_TASK_WRITE)
		return write_to(dir, task);
	if (task->name[0] != '\0')
		return touch(dir, task->name, both);
	fd = open_ino(task->ino, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	rc = touch(fd, "", both);
	(void)close(fd);
	return rc;
}

/*
 * A directory has one place in the kernel's cache, and a rename, which holds
 * the lock that moving it there takes, cannot look it up in another.
 */
static void
look_first(int dir, const char *name)
{
	const int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		(void)close(fd);
}

static int
move(int dir, const struct zk_task *task)
{
	const unsigned flags =
	    task->act == ZK_TASK_EXCHANGE ? RENAME_EXCHANGE : 0;
	int dir2, rc;

	dir2 = open_dir(task->dir2);
	if (dir2 < 0)
		return dir2;
	if (task->act == ZK_TASK_EXCHANGE || S_ISDIR(task->type)) {
		look_first(dir, task->name);
		look_first(dir2, task->name2);
	}
	rc = renameat2(dir, task->name, dir2, task->name2, flags) < 0 ? -errno
	                                                              : 0;
	close_dir(dir2);
	return rc;
}

static int
perform(const struct zk_task *task)
{
	int dir, rc = -EINVAL;

	/* It may be what the task ends: nobody has it open then. */
	if (task->name[0] == '\0' || task->dir != held.dir)
		let_go();
	dir = task->name[0] != '\0' ? open_dir(task->dir) : root;
	if (dir < 0)
		return dir;
	if (dir != scratch && dir != root) {
		held.fd = dir;
		held.dir = task->dir;
	}
	switch (task->act) {
	case ZK_TASK_CREATE:
		rc = create(dir, task);
		break;
	case ZK_TASK_DELETE:
		rc = unlinkat(dir, task->name,
		         S_ISDIR(task->type) ? AT_REMOVEDIR : 0) < 0
		    ? -errno
		    : 0;
		break;
	case ZK_TASK_RENAME:
	case ZK_TASK_EXCHANGE:
		rc = move(dir, task);
		break;
	case ZK_TASK_MODIFY:
	case ZK_TASK_WRITE:
	case ZK_TASK_ATTRIB:
		rc = act_on_node(dir, task);
		break;
	default:
		break;
	}
	if (rc < 0)
		let_go();
	return rc;
}

/*
 * remount,ro makes read-only not only the mount, but what is mounted, and with
 * it our copy.  The mount stays as it was made; what is mounted does not, or
 * nothing could be raised.
 */
static bool
make_writable(void)
{
	const int fd = (int)syscall(SYS_fspick, root, "",
	    FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	bool made;

	if (fd < 0)
		return false;
	made =
	    syscall(SYS_fsconfig, fd, FSCONFIG_SET_FLAG, "rw", NULL, 0) == 0 &&
	    syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL,
	        0) == 0;
	(void)close(fd);
	return made;
}

static _Noreturn void
serve(void)
{
	static union {
		struct zk_task task;
		struct zk_task_attach attach;
	} message;
	ssize_t n;

	for (;;) {
		struct zk_task_result result = {0};

		n = recv(SOCKET, &message, sizeof(message), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == (ssize_t)sizeof(message.task) &&
		    message.task.act == ZK_TASK_REST) {
			let_go();
			close_scratch();
			continue;
		}
		if (n == (ssize_t)sizeof(message.attach) &&
		    message.attach.act == ZK_TASK_ATTACH)
			result.rc = attach(message.attach.mountpoint);
		else if (n == (ssize_t)sizeof(message.task))
			result.rc = perform(&message.task);
		else
			_exit(0); /* the daemon is gone */
		if (result.rc == -EROFS && make_writable())
			result.rc = perform(&message.task);
		if (send(SOCKET, &result, sizeof(result), MSG_NOSIGNAL) < 0)
			_exit(0);
	}
}

static _Noreturn void
become_helper(int socket, pid_t parent)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE,
	    SIGUSR1, SIGUSR2};
	struct sigaction act = {.sa_handler = SIG_IGN};
	sigset_t none;
	int null;

	/* It ends when the daemon does, not when somebody ends the group. */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)sigaction(ignored[i], &act, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	(void)prctl(PR_SET_NAME, "zkfs-replay");
	/* Nothing of the daemon's: not /dev/fuse, a lock, a pipe, a port. */
	if (socket != SOCKET && dup2(socket, SOCKET) < 0)
		_exit(1);
	(void)close_range(SOCKET + 1, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (int i = 0; i < SOCKET && null >= 0; i++)
		(void)dup2(null, i);
	if (null > SOCKET)
		(void)close(null);
	if (chdir("/") < 0)
		_exit(1);
	(void)umask(0);
	serve();
}

int
zk_replay_fork(struct zk_replay_helper *ret_helper)
{
	const pid_t parent = getpid();
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become_helper(sv[1], parent);
	(void)close(sv[1]);
	if (pid < 0) {
		(void)close(sv[0]);
		return -errno;
	}
	*ret_helper = (struct zk_replay_helper){.pid = pid, .socket = sv[0]};
	return 0;
}
