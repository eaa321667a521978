#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* mmap(2), and programs that run from the filesystem. */

#define PAGE ((size_t)4096)

static char *
map_file(int fd, int prot, int flags)
{
	char *map = mmap(NULL, 2 * PAGE, prot, flags, fd, 0);

	cmp_step("mmap", map == MAP_FAILED ? -1 : 0);
	cmp_need(map == MAP_FAILED ? -1 : 0, "mmap");
	return map;
}

static void
shared(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));
	char *map;

	T(write(fd, cmp_repeat('x', 5000), 5000));
	map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	cmp_bytes("the map", map, 5010);
	map[0] = 'A';
	map[4999] = 'Z';
	map[5000] = '!';
	cmp_pread("pread", fd, 6000, 0);
	T(pwrite(fd, "written", 7, 100));
	cmp_bytes("the map, written", map + 99, 9);
	T(msync(map, 2 * PAGE, MS_SYNC));
	(void)close(fd);
	cmp_text("f");
	cmp_lstat("f");
	map[1] = 'B';
	T(munmap(map, 2 * PAGE));
	cmp_text("f");
	T(truncate("f", 6000));
	cmp_text("f");
}

static void private(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));
	char *map;

	T(write(fd, "0123456789", 10));
	map = map_file(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map[0] = 'X';
	cmp_text("f");
	cmp_bytes("the map", map, 12);
	T(munmap(map, 2 * PAGE));
	(void)close(fd);
	cmp_text("f");
}

/* PROT_READ of a page of a file that was opened so: 0 or -1. */
static int
try_map(const char *path, int open_flags, int prot, int map_flags, off_t at)
{
	int fd = open(path, open_flags);
	void *map = mmap(NULL, PAGE, prot, map_flags, fd, at);

	cmp_need(fd, path);
	(void)close(fd);
	if (map == MAP_FAILED)
		return -1;
	return munmap(map, PAGE);
}

static void
refused(void)
{
	const int rw = PROT_READ | PROT_WRITE;

	cmp_put("f", "text");
	T(try_map("f", O_RDONLY, PROT_READ, MAP_SHARED, 0));
	T(try_map("f", O_RDONLY, PROT_READ, MAP_PRIVATE, 0));
	T(try_map("f", O_RDONLY, rw, MAP_PRIVATE, 0));
	T(try_map("f", O_RDONLY, rw, MAP_SHARED, 0));
	T(try_map("f", O_RDONLY, PROT_READ, MAP_SHARED, 1));
	T(try_map("f", O_RDONLY, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0));
	T(try_map("f", O_WRONLY, PROT_READ, MAP_PRIVATE, 0));
	T(try_map("f", O_WRONLY, PROT_WRITE, MAP_SHARED, 0));
	T(try_map("f", O_RDWR, rw, MAP_SHARED, 0));
	T(try_map("f", O_RDWR, rw, MAP_SHARED, 1 << 20));
	T(try_map("f", O_RDWR | O_APPEND, rw, MAP_SHARED, 0));
	T(try_map("f", O_RDWR | O_SYNC, rw, MAP_SHARED, 0));
	T(try_map(".", O_RDONLY, PROT_READ, MAP_PRIVATE, 0));
}

/* Mapped at once after each kind of change. */
static void
just_changed(void)
{
	int fd;

	cmp_put("f", "text");
	T(try_map("f", O_RDONLY, PROT_READ, MAP_SHARED, 0));
	T(truncate("f", 9000));
	T(try_map("f", O_RDONLY, PROT_READ, MAP_SHARED, 4096));
	fd = FD(open("f", O_WRONLY | O_APPEND));
	T(write(fd, "more", 4));
	T(try_map("f", O_RDONLY, PROT_READ, MAP_SHARED, 0));
	T(write(fd, "more", 4));
	T(try_map("f", O_RDWR, PROT_READ, MAP_SHARED, 0));
	(void)close(fd);
	T(rename("f", "g"));
	T(try_map("g", O_RDONLY, PROT_READ, MAP_SHARED, 0));
	cmp_put("f", "new");
	T(rename("f", "g"));
	T(try_map("g", O_RDONLY, PROT_READ, MAP_SHARED, 0));
	T(chmod("g", 0600));
	T(try_map("g", O_RDONLY, PROT_READ, MAP_SHARED, 0));
}

static sigjmp_buf back;

static void
on_bus_error(int sig)
{
	siglongjmp(back, sig);
}

static int
touch_byte(const volatile char *byte)
{
	if (sigsetjmp(back, 1) != 0) {
		errno = EFAULT;
		return -1;
	}
	return *byte;
}

static void
beyond_the_end(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));
	char *map;

	(void)signal(SIGBUS, on_bus_error);
	T(write(fd, cmp_repeat('x', 5000), 5000));
	map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	T(touch_byte(map + 4999));
	T(touch_byte(map + 5000));
	T(ftruncate(fd, 10));
	T(touch_byte(map));
	T(touch_byte(map + 10));
	T(touch_byte(map + PAGE));
	T(ftruncate(fd, 8000));
	T(touch_byte(map + PAGE));
	T(munmap(map, 2 * PAGE));
	(void)close(fd);
}

static void
change_map(void *arg)
{
	char *map = arg;

	map[1] = 'c';
	cmp_bytes("the child's map", map, 4);
}

static void
between_processes(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));
	char *map;

	T(write(fd, "0123", 4));
	map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	cmp_child(change_map, map);
	cmp_bytes("the parent's map", map, 4);
	cmp_pread("pread", fd, 10, 0);
	T(munmap(map, 2 * PAGE));
	(void)close(fd);
	cmp_text("f");
}

/* ---- programs ---- */

static void
run_program(void *arg)
{
	char *argv[] = {arg, NULL}, *envp[] = {NULL};

	(void)execve(arg, argv, envp);
	T(execve(arg, argv, envp));
}

static void
say_exit(const char *path)
{
	char name[64], text[96];
	pid_t pid;
	int status = 0;

	(void)snprintf(name, sizeof(name), "%s", path);
	(void)snprintf(text, sizeof(text), "exit status of %s", path);
	pid = cmp_spawn(run_program, name);
	cmp_need(waitpid(pid, &status, 0), "waitpid");
	cmp_say(text, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void
copy_program(const char *from, const char *to)
{
	char buffer[1 << 16];
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
	ssize_t got;

	cmp_need(in, from);
	cmp_need(out, to);
	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		cmp_need(write(out, buffer, (size_t)got) == got ? 0 : -1, to);
	(void)close(in);
	(void)close(out);
}

static void
programs(void)
{
	cmp_put("script", "#!/bin/sh\nexit 7\n");
	cmp_put("garbage", "nothing\n");
	cmp_put("bad", "#!/no/such/interpreter\n");
	cmp_dir("d");
	T(chmod("garbage", 0755));
	T(chmod("bad", 0755));
	say_exit("./script");
	T(chmod("script", 0755));
	say_exit("./script");
	say_exit("./garbage");
	say_exit("./bad");
	say_exit("./d");
	say_exit("./no");
	copy_program("/bin/false", "false");
	copy_program("/bin/true", "true");
	say_exit("./false");
	say_exit("./true");
	T(rename("true", "d/moved"));
	say_exit("./d/moved");
	T(chmod("false", 0644));
	say_exit("./false");
	cmp_as(CMP_USER);
	say_exit("./d/moved");
}

/* A program that runs cannot be written, one that is written cannot run. */
static void
busy(void)
{
	char *argv[] = {(char[]){"./cat"}, NULL};
	int ends[2], out[2], fd;
	char echo = 0;
	pid_t pid;

	copy_program("/bin/cat", "cat");
	fd = FD(open("cat", O_WRONLY));
	say_exit("./cat");
	(void)close(fd);
	cmp_need(pipe2(ends, O_CLOEXEC), "pipe");
	cmp_need(pipe2(out, O_CLOEXEC), "pipe");
	pid = fork();
	cmp_need(pid, "fork");
	if (pid == 0) {
		(void)dup2(ends[0], 0);
		(void)dup2(out[1], 1);
		(void)execv(argv[0], argv);
		_exit(1);
	}
	cmp_need((int)write(ends[1], "x", 1), "write");
	cmp_need((int)read(out[0], &echo, 1), "read");
	cmp_say("it runs", "%d", echo == 'x');
	TO(open("cat", O_WRONLY));
	T(truncate("cat", 0));
	TO(open("cat", O_RDONLY));
	T(rename("cat", "dog"));
	T(unlink("dog"));
	(void)close(ends[1]);
	cmp_join(pid);
}

const struct cmp_case cmp_memory_cases[] = {
    {"memory.shared", shared},
    {"memory.private", private},
    {"memory.refused", refused},
    {"memory.just_changed", just_changed},
    {"memory.beyond_the_end", beyond_the_end},
    {"memory.between_processes", between_processes},
    {"memory.programs", programs},
    {"memory.busy", busy},
    {NULL, NULL},
};
