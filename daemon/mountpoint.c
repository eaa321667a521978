#include "daemon/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"

#define PROBE_MS 3000
/* Dead mounts on top of each other: each start of old, buggy set-ups. */
#define STACK_MAX 64

static bool
is_below(const char *path, const char *dir)
{
	const size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0');
}

/* proc(5): space, tab, newline and backslash stand as \ooo. */
static void
unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
		    p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 |
			    (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

/*
 * Split a line of mountinfo, in place: "id parent dev root DIR options
 * [tag]... - TYPE source super".  False when it is not of that form.
 */
static bool
split_mountinfo(char *line, char **ret_dir, char **ret_type)
{
	char *dash = strstr(line, " - "), *save, *word = line;

	if (dash == NULL)
		return false;
	*dash = '\0';
	word = strtok_r(line, " ", &save);
	for (int i = 0; i < 4 && word != NULL; i++)
		word = strtok_r(NULL, " ", &save);
	if (word == NULL)
		return false;
	unescape(word);
	*ret_dir = word;
	*ret_type = strtok_r(dash + 3, " ", &save);
	return *ret_type != NULL;
}

/*
 * The mount that path (canonical) leads into, or, if exact, the topmost one
 * on it.  Returns whether it is a zkfs; ret_dir (PATH_MAX) may be NULL.
 */
static bool
find_zkfs(const char *path, bool exact, char *ret_dir)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *dir, *type;
	size_t cap = 0, best_len = 0;
	bool zkfs = false;

	if (file == NULL)
		return false;
	/* In order of mounting: of equals, the last is on top. */
	while (getline(&line, &cap, file) >= 0) {
		if (!split_mountinfo(line, &dir, &type))
			continue;
		if (exact ? strcmp(path, dir) != 0 : !is_below(path, dir))
			continue;
		if (strlen(dir) < best_len || strlen(dir) >= PATH_MAX)
			continue;
		best_len = strlen(dir);
		zkfs = strcmp(type, ZK_MOUNTPOINT_FSTYPE) == 0;
		if (ret_dir != NULL)
			memcpy(ret_dir, dir, best_len + 1);
	}
	free(line);
	(void)fclose(file);
	return zkfs;
}

static _Noreturn void
probe_child(const char *dir, int fd)
{
	struct statfs st;
	uint8_t dead = 0;

	/* Unlike stat(2), never answered from the kernel's memory. */
	if (statfs(dir, &st) < 0)
		dead = errno == ENOTCONN || errno == ECONNABORTED;
	(void)!write(fd, &dead, 1);
	_exit(0);
}

/*
 * Whether the daemon behind the mount is gone.  A child asks: if the daemon
 * is merely stopped the question never returns, and it is not dead.
 */
static bool
is_dead(const char *dir)
{
	struct pollfd pfd = {.events = POLLIN};
	uint8_t dead = 0;
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	child = fork();
	if (child == 0)
		probe_child(dir, fds[1]);
	(void)close(fds[1]);
	pfd.fd = fds[0];
	if (child > 0 && poll(&pfd, 1, PROBE_MS) > 0)
		if (read(fds[0], &dead, 1) != 1)
			dead = 0;
	(void)close(fds[0]);
	if (child > 0) {
		(void)kill(child, SIGKILL);
		/* Where the daemon has read the question, not even SIGKILL
		 * ends it: leave it to init then. */
		(void)waitpid(child, NULL, dead != 0 ? 0 : WNOHANG);
	}
	return dead != 0;
}

enum zk_mount_state
zk_mountpoint_state(const char *dir)
{
	if (!find_zkfs(dir, true, NULL))
		return ZK_MOUNT_NONE;
	return is_dead(dir) ? ZK_MOUNT_DEAD : ZK_MOUNT_LIVE;
}

/*
 * realpath(3), which need not succeed on a dead mount: then of the parent.
 */
static int
canonical(const char *dir, char ret_dir[PATH_MAX])
{
	char parent[PATH_MAX], resolved[PATH_MAX], *slash;
	size_t len;
	int n;

	if (realpath(dir, ret_dir) != NULL)
		return 0;
	if (errno != ENOTCONN && errno != ECONNABORTED)
		return -errno;
	n = snprintf(parent, sizeof(parent), "%s%s", dir[0] == '/' ? "" : "./",
	    dir);
	if (n < 0 || (size_t)n >= sizeof(parent))
		return -ENAMETOOLONG;
	for (len = (size_t)n; len > 1 && parent[len - 1] == '/'; len--)
		parent[len - 1] = '\0';
	slash = strrchr(parent, '/');
	ZK_ASSERT(slash != NULL);
	*slash = '\0';
	if (realpath(*parent == '\0' ? "/" : parent, resolved) == NULL)
		return -errno;
	n = snprintf(ret_dir, PATH_MAX, "%s/%s",
	    strcmp(resolved, "/") == 0 ? "" : resolved, slash + 1);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* As much of path as exists made canonical, the rest as it stands. */
static void
canonical_prefix(const char *path, char ret_path[PATH_MAX])
{
	char prefix[PATH_MAX], resolved[PATH_MAX], *slash;
	const char *rest;

	ZK_ASSERT(path[0] == '/' && strlen(path) < PATH_MAX);
	memcpy(prefix, path, strlen(path) + 1);
	while (realpath(prefix, resolved) == NULL) {
		slash = strrchr(prefix, '/');
		/* "/" itself always resolves. */
		ZK_ASSERT(slash != NULL);
		slash[slash == prefix ? 1 : 0] = '\0';
	}
	rest = path + strlen(prefix);
	if (strcmp(resolved, "/") == 0)
		resolved[0] = '\0';
	while (*rest == '/')
		rest++;
	if (snprintf(ret_path, PATH_MAX, "%s/%s", resolved, rest) >= PATH_MAX)
		memcpy(ret_path, path, strlen(path) + 1);
	/* A path that exists whole ends in the slash just put there. */
	if (*rest == '\0' && resolved[0] != '\0')
		ret_path[strlen(resolved)] = '\0';
}

static int
check_permission(struct zk_fault *fault)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	int fd;

	if (syscall(SYS_capget, &header, caps) < 0 ||
	    (caps[0].effective & 1u << CAP_SYS_ADMIN) == 0)
		return zk_fault_set(fault, -EPERM, ZK_EXIT_USAGE,
		    "only root can mount a zkfs");
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return zk_fault_set(fault, -errno, ZK_EXIT_SYSTEM,
		    "/dev/fuse: %s%s", zk_err_text(-errno),
		    errno == ENOENT || errno == ENODEV
		        ? " (is the kernel's fuse module loaded?)"
		        : "");
	(void)close(fd);
	return 0;
}

static int
check_data(const char *dir, const char *data, struct zk_fault *fault)
{
	char path[PATH_MAX], mount_dir[PATH_MAX] = "";

	canonical_prefix(data, path);
	/* The daemon would wait for itself, and could not be killed. */
	if (is_below(path, dir))
		return zk_fault_set(fault, -EINVAL, ZK_EXIT_USAGE,
		    "data=%.400s: lies below %.400s, where the tree is to be "
		    "mounted",
		    data, dir);
	if (find_zkfs(path, false, mount_dir))
		return zk_fault_set(fault, -EINVAL, ZK_EXIT_USAGE,
		    "data=%.400s: lies on another zkfs (%.400s)", data,
		    mount_dir);
	return 0;
}

/* What is mounted there would be between us and what we live on. */
static bool
hides_system(const char *dir)
{
	return strcmp(dir, "/") == 0 || strcmp(dir, "/proc") == 0 ||
	    strcmp(dir, "/dev") == 0 || strcmp(dir, "/sys") == 0;
}

int
zk_mountpoint_check(const char *dir, const char *data,
    struct zk_mountpoint *ret_mountpoint, struct zk_fault *ret_fault)
{
	struct zk_mountpoint mountpoint = {.state = ZK_MOUNT_NONE};
	struct stat st = {.st_mode = 0};
	int rc;

	rc = check_permission(ret_fault);
	if (rc < 0)
		return rc;
	rc = canonical(dir, mountpoint.dir);
	if (rc == 0 && hides_system(mountpoint.dir))
		return zk_fault_set(ret_fault, -EBUSY, ZK_EXIT_USAGE,
		    "%.900s: the system, and mount.zkfs, need what is there",
		    mountpoint.dir);
	if (rc == 0)
		mountpoint.state = zk_mountpoint_state(mountpoint.dir);
	if (mountpoint.state == ZK_MOUNT_LIVE)
		return zk_fault_set(ret_fault, -EBUSY, ZK_EXIT_MOUNT,
		    "%.900s: a zkfs is mounted there already", mountpoint.dir);
	/* What lies under a dead mount shows when that is gone. */
	if (rc == 0 && mountpoint.state == ZK_MOUNT_NONE &&
	    stat(mountpoint.dir, &st) < 0)
		rc = -errno;
	if (rc == 0 && mountpoint.state == ZK_MOUNT_NONE &&
	    !S_ISDIR(st.st_mode))
		rc = -ENOTDIR;
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "%.900s: %s",
		    dir, zk_err_text(rc));
	rc = check_data(mountpoint.dir, data, ret_fault);
	if (rc == 0)
		*ret_mountpoint = mountpoint;
	return rc;
}

int
zk_mountpoint_clear(struct zk_mountpoint *mountpoint,
    struct zk_fault *ret_fault)
{
	const char *dir = mountpoint->dir;
	enum zk_mount_state state = zk_mountpoint_state(dir);

	for (int i = 0; i < STACK_MAX && state == ZK_MOUNT_DEAD; i++) {
		if (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return zk_fault_set(ret_fault, -errno, ZK_EXIT_MOUNT,
			    "%.900s: cannot unmount the dead zkfs on it: %s",
			    dir, zk_err_text(-errno));
		state = zk_mountpoint_state(dir);
	}
	mountpoint->state = state;
	if (state != ZK_MOUNT_NONE)
		return zk_fault_set(ret_fault, -EBUSY, ZK_EXIT_MOUNT,
		    "%.900s: a zkfs is mounted there already", dir);
	return 0;
}

int
zk_mountpoint_remount(const char *dir, unsigned long mount_flags,
    struct zk_fault *ret_fault)
{
	char path[PATH_MAX];
	int rc = canonical(dir, path);

	if (rc == 0 && !find_zkfs(path, true, NULL))
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "%.900s: remount: no zkfs is mounted there", dir);
	if (rc == 0 && mount("", path, "", MS_REMOUNT | mount_flags, NULL) < 0)
		rc = -errno;
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT,
		    "%.900s: remount: %s", dir, zk_err_text(rc));
	return 0;
}

int
zk_mountpoint_propagate(const char *dir, unsigned long propagation_flags,
    struct zk_fault *ret_fault)
{
	if (propagation_flags == 0 ||
	    mount("none", dir, "", propagation_flags, NULL) == 0)
		return 0;
	return zk_fault_set(ret_fault, -errno, ZK_EXIT_MOUNT,
	    "%.900s: cannot change its propagation: %s", dir,
	    zk_err_text(-errno));
}

bool
zk_mountpoint_knows_contexts(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}
