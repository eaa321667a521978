#include "ctl/make.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/assert.h"
#include "ctl/say.h"

/*
 * While a name is taken, look again this often: that an ephemeral file goes
 * with its holder is no system call, and raises no event.
 */
#define LOOK_AGAIN_MS 100

char *
zk_ctl_with_name(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	const size_t head = slash == NULL ? 0 : (size_t)(slash - path) + 1;
	char *whole;

	whole = malloc(head + strlen(name) + 1);
	if (whole == NULL)
		return NULL;
	memcpy(whole, path, head);
	memcpy(whole + head, name, strlen(name) + 1);
	return whole;
}

/* The name that the file got, which may hold a number for its ten X. */
static char *
real_path(int fd, const char *path)
{
	char name[ZK_NAME_MAX + 1];
	ssize_t len;

	len = fgetxattr(fd, "user.zkfs.name", name, sizeof(name) - 1);
	if (len <= 0)
		return strdup(path);
	name[len] = '\0';
	return zk_ctl_with_name(path, name);
}

/* Where the directory has u+s, the file is one from its first moment. */
static int
make_ephemeral(int fd, const char *path)
{
	struct stat st = {0};
	char *copy;
	int rc = 0;

	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	if (stat(dirname(copy), &st) < 0)
		rc = -errno;
	else if ((st.st_mode & S_ISUID) == 0 &&
	    fsetxattr(fd, "user.zkfs.ephemeral", "1", 1, 0) < 0)
		rc = -errno;
	free(copy);
	return rc;
}

int
zk_ctl_make(const char *path, bool ephemeral, const struct zk_ctl_value *value,
    struct zk_ctl_made *ret_made)
{
	struct zk_ctl_made made;
	int rc = 0;

	made.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (made.fd < 0)
		return -errno;
	made.path = real_path(made.fd, path);
	if (made.path == NULL)
		rc = -ENOMEM;
	else if (ephemeral)
		rc = make_ephemeral(made.fd, made.path);
	if (rc == 0)
		rc = zk_ctl_value_write(made.fd, value);
	if (rc < 0) {
		/* It was ours alone: without O_EXCL nobody gets here. */
		if (made.path != NULL)
			(void)unlink(made.path);
		zk_ctl_made_close(&made);
		return rc;
	}
	*ret_made = made;
	return 0;
}

bool
zk_ctl_is_permanent(const char *path)
{
	char text[8];
	/* Of a link itself, which has none: that is what has the name. */
	const ssize_t len =
	    lgetxattr(path, "user.zkfs.ephemeral", text, sizeof(text));

	return (len < 0 && errno == ENODATA) || (len == 1 && text[0] == '0');
}

static void
say_if_permanent(const struct zk_ctl *ctl, const char *path)
{
	if (zk_ctl_is_permanent(path))
		zk_ctl_say(ctl,
		    "%s: not an ephemeral file; waiting until it "
		    "is removed",
		    path);
}

static int
wait_for_change(int notify_fd)
{
	char events[4096] __attribute__((aligned(8)));
	struct pollfd fd = {.fd = notify_fd, .events = POLLIN};

	if (poll(&fd, 1, LOOK_AGAIN_MS) < 0)
		return -errno;
	while (read(notify_fd, events, sizeof(events)) > 0)
		;
	return 0;
}

int
zk_ctl_make_wait(const struct zk_ctl *ctl, const char *path,
    const struct zk_ctl_value *value, struct zk_ctl_made *ret_made)
{
	unsigned tries = 0;
	int notify_fd, rc;
	char *copy;

	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (notify_fd < 0) {
		rc = -errno;
		free(copy);
		return rc;
	}
	/* Before the first look, so that no change falls between. */
	(void)inotify_add_watch(notify_fd, dirname(copy),
	    IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR);
	free(copy);
	while ((rc = zk_ctl_make(path, true, value, ret_made)) == -EEXIST) {
		/* A file may be about to become one: not at the first look. */
		if (tries++ == 5)
			say_if_permanent(ctl, path);
		rc = wait_for_change(notify_fd);
		if (rc < 0)
			break;
	}
	(void)close(notify_fd);
	return rc;
}

void
zk_ctl_made_close(struct zk_ctl_made *made)
{
	ZK_ASSERT(made->fd >= 0);
	(void)close(made->fd);
	free(made->path);
	made->fd = -1;
	made->path = NULL;
}

void
zk_ctl_made_remove(struct zk_ctl_made *made)
{
	struct stat by_fd, by_path;

	/* Not what another made in its place after removing ours. */
	if (fstat(made->fd, &by_fd) == 0 && stat(made->path, &by_path) == 0 &&
	    by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino)
		(void)unlink(made->path);
	zk_ctl_made_close(made);
}

int
zk_ctl_make_parents(const char *path)
{
	char *copy, *slash;
	int rc = 0;

	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	slash = copy + strspn(copy, "/");
	while (rc == 0 && (slash = strchr(slash, '/')) != NULL) {
		*slash = '\0';
		if (mkdir(copy, 0777) < 0 && errno != EEXIST)
			rc = -errno;
		*slash = '/';
		slash += strspn(slash, "/");
	}
	free(copy);
	return rc;
}
