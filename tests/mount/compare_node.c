#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

/* mknod(2); fifos and sockets between processes. */

static void
say_device(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		T(lstat(path, &st));
		return;
	}
	cmp_say("device", "%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

static void
kinds(void)
{
	T(mknod("f", S_IFREG | 0640, 0));
	cmp_lstat("f");
	T(mknod("g", 0640, 0));
	cmp_lstat("g");
	T(mknod("p", S_IFIFO | 0622, 0));
	cmp_lstat("p");
	T(mknod("s", S_IFSOCK | 0755, 0));
	cmp_lstat("s");
	T(mknod("c", S_IFCHR | 0600, makedev(1, 3)));
	cmp_lstat("c");
	say_device("c");
	T(mknod("b", S_IFBLK | 0660, makedev(259, 70000)));
	cmp_lstat("b");
	say_device("b");
	T(mknod("d", S_IFDIR | 0755, 0));
	T(mknod("l", S_IFLNK | 0755, 0));
	T(mknod("x", 0010000 | 0020000 | 0100000, 0));
	T(mknod("p", S_IFIFO | 0622, 0));
	T(mknod("no/p", S_IFIFO | 0622, 0));
	T(mkfifo("p/q", 0600));
	T(mkfifo("q/", 0600));
	TO(open("s", O_RDONLY));
	T(truncate("p", 0));
	T(truncate("s", 0));
	T(unlink("c"));
	T(unlink("b"));
	T(unlink("p"));
	T(unlink("s"));
	cmp_lstat(".");
}

static void
unprivileged(void)
{
	cmp_need(chmod(".", 0777), "chmod");
	cmp_as(CMP_USER);
	T(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	T(mknod("b", S_IFBLK | 0666, makedev(7, 0)));
	T(mknod("p", S_IFIFO | 0666, 0));
	cmp_lstat("p");
	T(mknod("s", S_IFSOCK | 0666, 0));
	cmp_lstat("s");
	T(mknod("f", S_IFREG | 0666, 0));
	cmp_lstat("f");
	cmp_type("c");
}

static void
write_fifo(void *arg)
{
	int fd = open(arg, O_WRONLY);

	(void)!write(fd, "through", 7);
	(void)close(fd);
}

static void
fifo(void)
{
	char text[16];
	pid_t pid;
	int fd;

	cmp_need(mkfifo("p", 0600), "mkfifo");
	TO(open("p", O_WRONLY | O_NONBLOCK));
	fd = FD(open("p", O_RDONLY | O_NONBLOCK));
	cmp_bytes("read(no writer)", text, read(fd, text, sizeof(text)));
	(void)close(fd);
	pid = cmp_spawn(write_fifo, (char[]){"p"});
	fd = FD(open("p", O_RDONLY));
	cmp_bytes("read", text, read(fd, text, sizeof(text)));
	cmp_join(pid);
	cmp_bytes("read(end)", text, read(fd, text, sizeof(text)));
	T(lseek(fd, 0, SEEK_SET));
	T(pread(fd, text, 1, 0));
	T(fsync(fd));
	T(fchmod(fd, 0644));
	(void)close(fd);
	cmp_lstat("p");
	fd = FD(open("p", O_RDWR));
	T(write(fd, "self", 4));
	T(unlink("p"));
	cmp_bytes("read(unlinked)", text, read(fd, text, sizeof(text)));
	cmp_fstat("fstat(unlinked fifo)", fd);
	(void)close(fd);
	TO(open("p", O_RDONLY | O_NONBLOCK));
}

static struct sockaddr_un
address(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	return un;
}

static void
call_socket(void *arg)
{
	struct sockaddr_un un = address(arg);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cmp_need(connect(fd, (const struct sockaddr *)&un, sizeof(un)),
	    "connect");
	(void)!write(fd, "hello", 5);
	(void)close(fd);
}

static void
unix_socket(void)
{
	struct sockaddr_un un = address("s");
	const struct sockaddr *addr = (const struct sockaddr *)&un;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	char text[16];
	pid_t pid;

	T(connect(fd, addr, sizeof(un)));
	T(bind(fd, addr, sizeof(un)));
	cmp_lstat("s");
	T(listen(fd, 1));
	pid = cmp_spawn(call_socket, (char[]){"s"});
	peer = FD(accept(fd, NULL, NULL));
	cmp_bytes("read", text, read(peer, text, sizeof(text)));
	cmp_join(pid);
	(void)close(peer);
	(void)close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	T(connect(fd, addr, sizeof(un)));
	T(bind(fd, addr, sizeof(un)));
	T(rename("s", "t"));
	T(bind(fd, addr, sizeof(un)));
	cmp_type("t");
	(void)close(fd);
}

static void
permission(void)
{
	struct sockaddr_un un = address("s");
	const struct sockaddr *addr = (const struct sockaddr *)&un;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	int client = socket(AF_UNIX, SOCK_DGRAM, 0);

	cmp_need(mkfifo("p", 0600), "mkfifo");
	T(bind(fd, addr, sizeof(un)));
	cmp_as(CMP_USER);
	TO(open("p", O_RDONLY | O_NONBLOCK));
	T(connect(client, addr, sizeof(un)));
	T(bind(client, addr, sizeof(un)));
	cmp_as_root();
	T(chmod("s", 0777));
	cmp_as(CMP_USER);
	T(connect(client, addr, sizeof(un)));
}

static void
times(void)
{
	char c;
	int fd;

	cmp_need(mkfifo("p", 0600), "mkfifo");
	TIMES(".", mkfifo("q", 0600));
	TIMES(".", mknod("s", S_IFSOCK | 0600, 0));
	TIMES("p", chmod("p", 0644));
	TIMES("q .", unlink("q"));
	fd = FD(open("p", O_RDWR));
	T(write(fd, "x", 1));
	T(read(fd, &c, 1));
	(void)close(fd);
}

const struct cmp_case cmp_node_cases[] = {
    {"node.kinds", kinds},
    {"node.unprivileged", unprivileged},
    {"node.fifo", fifo},
    {"node.unix_socket", unix_socket},
    {"node.permission", permission},
    {"node.times", times},
    {NULL, NULL},
};
