#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* flock(2), fcntl(2) record locks, and those of open file descriptions. */

static int
lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock fl = {.l_type = (short)type,
	    .l_whence = SEEK_SET,
	    .l_start = start,
	    .l_len = len};

	return fcntl(fd, cmd, &fl);
}

static void
say_lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock fl = {.l_type = (short)type,
	    .l_whence = SEEK_SET,
	    .l_start = start,
	    .l_len = len};
	char text[64];

	(void)snprintf(text, sizeof(text), "GETLK(%d, %d, %d)", type,
	    (int)start, (int)len);
	if (fcntl(fd, cmd, &fl) < 0) {
		cmp_step(text, -1);
		return;
	}
	cmp_say(text, "type %d whence %d start %lld len %lld pid %s", fl.l_type,
	    fl.l_whence, (long long)fl.l_start, (long long)fl.l_len,
	    fl.l_type == F_UNLCK
	        ? "any"
	        : (fl.l_pid == getppid() ? "the parent's"
	                                 : (fl.l_pid == -1 ? "-1" : "other")));
}

/* ---- flock ---- */

static void
try_flocks(void *arg)
{
	int fd = FD(open(arg, O_RDONLY));

	T(flock(fd, LOCK_SH | LOCK_NB));
	T(flock(fd, LOCK_EX | LOCK_NB));
	T(flock(fd, LOCK_UN));
}

static void
whole_files(void)
{
	char name[] = "f";
	int fd, second, copy;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDONLY));
	second = FD(open("f", O_RDONLY));
	T(flock(fd, LOCK_EX));
	T(flock(second, LOCK_SH | LOCK_NB));
	T(flock(second, LOCK_EX | LOCK_NB));
	cmp_child(try_flocks, name);
	T(flock(fd, LOCK_SH));
	T(flock(second, LOCK_SH | LOCK_NB));
	T(flock(second, LOCK_EX | LOCK_NB));
	cmp_child(try_flocks, name);
	T(flock(second, LOCK_UN));
	T(flock(fd, LOCK_EX | LOCK_NB));
	copy = dup(fd);
	(void)close(fd);
	cmp_child(try_flocks, name);
	T(flock(copy, LOCK_UN));
	cmp_child(try_flocks, name);
	T(flock(copy, LOCK_UN));
	T(flock(copy, 0));
	T(flock(copy, LOCK_EX | LOCK_SH));
	(void)close(copy);
	(void)close(second);
	fd = FD(open(".", O_RDONLY));
	T(flock(fd, LOCK_EX | LOCK_NB));
	(void)close(fd);
	fd = FD(open("f", O_PATH));
	T(flock(fd, LOCK_EX | LOCK_NB));
	(void)close(fd);
	T(flock(fd, LOCK_EX | LOCK_NB));
}

/* The child waits, and has the lock once the parent gave it up. */
static int step[2];

static void
wait_for_flock(void *arg)
{
	int fd = open(arg, O_RDONLY);

	(void)!write(step[1], "w", 1);
	T(flock(fd, LOCK_EX));
	cmp_text(arg);
}

static void
wait_for_record(void *arg)
{
	int fd = open(arg, O_RDWR);

	(void)!write(step[1], "w", 1);
	T(lock(fd, F_SETLKW, F_WRLCK, 0, 10));
	cmp_text(arg);
}

static void
waiting(void)
{
	char name[] = "f", c;
	pid_t pid;
	int fd;

	cmp_need(pipe(step), "pipe");
	cmp_put("f", "before");
	fd = FD(open("f", O_RDWR));
	T(flock(fd, LOCK_EX));
	pid = cmp_spawn(wait_for_flock, name);
	cmp_need((int)read(step[0], &c, 1), "read");
	T(pwrite(fd, "after!", 6, 0));
	cmp_need(flock(fd, LOCK_UN), "flock");
	cmp_join(pid);
	T(lock(fd, F_SETLK, F_WRLCK, 5, 1));
	pid = cmp_spawn(wait_for_record, name);
	cmp_need((int)read(step[0], &c, 1), "read");
	T(pwrite(fd, "record", 6, 0));
	cmp_need(lock(fd, F_SETLK, F_UNLCK, 5, 1), "unlock");
	cmp_join(pid);
	(void)close(fd);
}

static void
do_nothing(int sig)
{
	(void)sig;
}

static void
try_until_alarm(void *arg)
{
	const struct sigaction sa = {.sa_handler = do_nothing};
	int fd = open(arg, O_RDWR);

	(void)sigaction(SIGALRM, &sa, NULL);
	(void)ualarm(50000, 50000);
	T(flock(fd, LOCK_EX));
	T(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	(void)ualarm(0, 0);
	T(lock(fd, F_SETLK, F_WRLCK, 100, 1));
}

/* A signal ends the wait, and leaves no lock behind. */
static void
interrupted(void)
{
	char name[] = "f";
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	T(flock(fd, LOCK_EX));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	cmp_child(try_until_alarm, name);
	T(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	T(flock(fd, LOCK_SH));
	(void)close(fd);
}

/* ---- records ---- */

static void
look_at_records(void *arg)
{
	int fd = FD(open(arg, O_RDWR));

	say_lock(fd, F_GETLK, F_WRLCK, 0, 0);
	say_lock(fd, F_GETLK, F_RDLCK, 0, 0);
	say_lock(fd, F_GETLK, F_WRLCK, 12, 3);
	say_lock(fd, F_GETLK, F_WRLCK, 40, 5);
	say_lock(fd, F_GETLK, F_RDLCK, 60, 5);
	say_lock(fd, F_GETLK, F_WRLCK, 60, 0);
	T(lock(fd, F_SETLK, F_WRLCK, 10, 1));
	T(lock(fd, F_SETLK, F_RDLCK, 10, 1));
	T(lock(fd, F_SETLK, F_WRLCK, 90, 5));
}

static void
records(void)
{
	char name[] = "f";
	int fd, second;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	second = FD(open("f", O_RDWR));
	T(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	T(lock(second, F_SETLK, F_WRLCK, 10, 10));
	cmp_child(look_at_records, name);
	T(lock(fd, F_SETLK, F_UNLCK, 13, 2));
	T(lock(fd, F_SETLK, F_RDLCK, 50, 30));
	cmp_child(look_at_records, name);
	T(lock(fd, F_SETLK, F_WRLCK, 60, 0));
	cmp_child(look_at_records, name);
	T(lock(fd, F_SETLK, F_RDLCK, 0, 15));
	cmp_child(look_at_records, name);
	(void)close(second);
	cmp_child(look_at_records, name);
	T(lock(fd, F_SETLK, F_WRLCK, 50, -10));
	cmp_child(look_at_records, name);
	T(lock(fd, F_SETLK, F_WRLCK, 5, -10));
	T(lock(fd, F_SETLK, F_WRLCK, -1, 10));
	T(lock(fd, F_SETLK, 77, 0, 10));
	(void)close(fd);
}

static void
modes(void)
{
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDONLY));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	T(lock(fd, F_SETLK, F_RDLCK, 0, 1));
	T(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1));
	(void)close(fd);
	fd = FD(open("f", O_WRONLY));
	T(lock(fd, F_SETLK, F_RDLCK, 0, 1));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	T(lockf(fd, F_TEST, 10));
	T(lockf(fd, F_TLOCK, 10));
	T(lockf(fd, F_ULOCK, 10));
	(void)close(fd);
	fd = FD(open("f", O_PATH));
	T(lock(fd, F_SETLK, F_RDLCK, 0, 1));
	(void)close(fd);
	T(lock(fd, F_SETLK, F_RDLCK, 0, 1));
}

/* A process that ends takes its locks along. */
static void
hold_and_end(void *arg)
{
	int fd = FD(open(arg, O_RDWR));

	T(flock(fd, LOCK_EX | LOCK_NB));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void
ended(void)
{
	char name[] = "f";
	int fd, tries;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	cmp_child(hold_and_end, name);
	T(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	/* The release of a flock may follow the end of its process. */
	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && tries < 100000;
	     tries++)
		;
	T(flock(fd, LOCK_EX | LOCK_NB));
	cmp_child(look_at_records, name);
	(void)close(fd);
}

/* ---- deadlock ---- */

static void
other_half(void *arg)
{
	int fd = open(arg, O_RDWR);

	cmp_need(lock(fd, F_SETLK, F_WRLCK, 1, 1), "lock");
	(void)!write(step[1], "w", 1);
	_exit(lock(fd, F_SETLKW, F_WRLCK, 0, 1) < 0 ? errno : 0);
}

/* Each waits for the other: whoever asks second is told. */
static void
deadlock(void)
{
	char name[] = "f", c;
	int fd, status = 0, mine = 0;
	pid_t pid;

	cmp_need(pipe(step), "pipe");
	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = cmp_spawn(other_half, name);
	cmp_need((int)read(step[0], &c, 1), "read");
	if (lock(fd, F_SETLKW, F_WRLCK, 1, 1) < 0)
		mine = errno;
	T(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	cmp_need(waitpid(pid, &status, 0), "waitpid");
	cmp_say("both", "%s",
	    strerrorname_np(
	        mine + (WIFEXITED(status) ? WEXITSTATUS(status) : 255)));
	(void)close(fd);
}

/* ---- open file descriptions ---- */

static void
look_at_descriptions(void *arg)
{
	int fd = FD(open(arg, O_RDWR));

	say_lock(fd, F_GETLK, F_WRLCK, 0, 0);
	say_lock(fd, F_OFD_GETLK, F_WRLCK, 0, 0);
	T(lock(fd, F_SETLK, F_WRLCK, 5, 1));
	T(lock(fd, F_OFD_SETLK, F_WRLCK, 5, 1));
}

static void
descriptions(void)
{
	char name[] = "f";
	int fd, second, copy;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	second = FD(open("f", O_RDWR));
	T(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	T(lock(second, F_OFD_SETLK, F_WRLCK, 5, 10));
	T(lock(second, F_OFD_SETLK, F_WRLCK, 10, 10));
	T(lock(second, F_SETLK, F_WRLCK, 0, 1));
	cmp_child(look_at_descriptions, name);
	copy = dup(fd);
	(void)close(fd);
	cmp_child(look_at_descriptions, name);
	T(lock(copy, F_OFD_SETLK, F_UNLCK, 0, 0));
	cmp_child(look_at_descriptions, name);
	T(lock(copy, F_OFD_SETLK, F_WRLCK, 0, 10));
	(void)close(copy);
	cmp_child(look_at_descriptions, name);
	(void)close(second);
}

/* flock and records know nothing of each other. */
static void
apart(void)
{
	char name[] = "f";
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	T(flock(fd, LOCK_EX));
	cmp_child(look_at_records, name);
	T(flock(fd, LOCK_UN));
	T(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	cmp_child(try_flocks, name);
	(void)close(fd);
}

const struct cmp_case cmp_lock_cases[] = {
    {"lock.whole_files", whole_files},
    {"lock.waiting", waiting},
    {"lock.interrupted", interrupted},
    {"lock.records", records},
    {"lock.modes", modes},
    {"lock.ended", ended},
    {"lock.deadlock", deadlock},
    {"lock.descriptions", descriptions},
    {"lock.apart", apart},
    {NULL, NULL},
};
