#ifndef ZK_TESTS_UNIT_TEST_FS_SERVE_H
#define ZK_TESTS_UNIT_TEST_FS_SERVE_H

/*
 * A mount of the fake tree, served by a process of its own: one that used its
 * own mount could hang itself.  Commands go to it through a pipe and are
 * acknowledged, so that tests need not wait for time to pass.
 */

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test_fs_fake.h"

struct serve {
	char dir[64];
	pid_t pid;
	int to, from;
};

static struct serve serve;

static struct zk_fs *served;

static void
served_on_term(int signal)
{
	(void)signal;
	zk_fs_stop(served);
}

/* NAME or DIR/NAME: the directory, and *name becomes what is in it. */
static uint64_t
served_dir(struct fake *f, char **name)
{
	char *slash = strchr(*name, '/');
	const struct fake_entry *e;

	if (slash == NULL)
		return ZK_INO_ROOT;
	e = fake_entry(f, ZK_INO_ROOT, *name, (size_t)(slash - *name));
	*name = slash + 1;
	return e == NULL ? 0 : e->ino;
}

static void
served_apply(struct fake *f, char *line, struct fake_told *told)
{
	struct zk_outcome out = {0};
	char *save = NULL, *what = strtok_r(line, " ", &save);
	char *name = strtok_r(NULL, " ", &save);
	char *text = strtok_r(NULL, "", &save);
	const uint64_t dir = served_dir(f, &name);
	struct fake_entry *e = fake_entry(f, dir, name, strlen(name));
	struct zk_command cmd = {
	    .ino = dir,
	    .name = name,
	    .name_len = strlen(name),
	    .mode = S_IFREG | 0644,
	    .flags = ZK_F_TRUNCATE,
	    .data = text,
	    .data_len = text == NULL ? 0 : strlen(text),
	};

	f->foreign = true;
	if (strcmp(what, "remove") == 0) {
		(void)fake_remove(f, &cmd, told);
	} else if (strcmp(what, "rename") == 0) {
		cmd.ino2 = served_dir(f, &text);
		cmd.name2 = text;
		cmd.name2_len = strlen(text);
		cmd.mode = 0;
		(void)fake_rename(f, &cmd, told);
	} else if (e == NULL) {
		(void)fake_create(f, &cmd, &out, told);
	} else {
		cmd.ino = e->ino;
		if (strcmp(what, "append") == 0)
			cmd.flags = ZK_F_APPEND;
		(void)fake_write(f, &cmd, &out, told);
	}
	f->foreign = false;
}

static void
served_foreign(struct fake *f, char *line)
{
	struct fake_told told = {.count = 0};

	served_apply(f, line, &told);
	(void)pthread_mutex_unlock(&f->lock);
	for (size_t i = 0; i < told.count; i++)
		zk_fs_changed(f->fs, &told.changes[i]);
	(void)pthread_mutex_lock(&f->lock);
}

/* Several changes, with a ; between, by a snapshot in the place of the tree. */
static void
served_snapshot(struct fake *f, char *lines)
{
	char *save = NULL;

	(void)pthread_mutex_unlock(&f->lock);
	zk_fs_replacing(f->fs);
	(void)pthread_mutex_lock(&f->lock);
	f->index++;
	for (char *line = strtok_r(lines, ";", &save); line != NULL;
	     line = strtok_r(NULL, ";", &save)) {
		struct fake_told ignored = {.count = 0};

		served_apply(f, line, &ignored);
	}
	(void)pthread_mutex_unlock(&f->lock);
	zk_fs_replaced(f->fs);
	(void)pthread_mutex_lock(&f->lock);
}

/* A write to this file that a snapshot brought was this mount's own. */
static void
served_found(struct fake *f, const char *name)
{
	const struct fake_entry *e =
	    fake_entry(f, ZK_INO_ROOT, name, strlen(name));
	const struct zk_change change = {
	    .kind = ZK_CHANGE_MODIFY,
	    .known = true,
	    .found = true,
	    .ino = e == NULL ? 0 : e->ino,
	};

	(void)pthread_mutex_unlock(&f->lock);
	zk_fs_changed(f->fs, &change);
	(void)pthread_mutex_lock(&f->lock);
}

static void *
served_commands(void *arg)
{
	struct fake *f = arg;
	FILE *in = fdopen(serve.to, "r");
	char line[512];

	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		(void)pthread_mutex_lock(&f->lock);
		if (strcmp(line, "hold") == 0)
			f->hold = true;
		else if (strcmp(line, "full") == 0)
			f->full = true;
		else if (strcmp(line, "go") == 0)
			f->hold = f->full = false;
		else if (strcmp(line, "session") == 0)
			f->session++;
		else if (strncmp(line, "snapshot ", 9) == 0)
			served_snapshot(f, line + 9);
		else if (strncmp(line, "found ", 6) == 0)
			served_found(f, line + 6);
		else
			served_foreign(f, line);
		(void)pthread_cond_signal(&f->work);
		(void)pthread_mutex_unlock(&f->lock);
		if (write(serve.from, "k", 1) != 1)
			break;
	}
	return NULL;
}

static _Noreturn void
served_main(uint32_t op_timeout_ms)
{
	struct zk_fs_options options = {
	    .mountpoint = serve.dir,
	    .source = "z1=1.2.3.4:1,z2=1.2.3.4:2",
	    .mount_flags = MS_NOSUID | MS_NODEV,
	    .max_file = 4u << 20,
	    .op_timeout_ms = op_timeout_ms,
	};
	struct zk_replay_helper helper;
	struct zk_fs_port port;
	struct fake *f;
	pthread_t thread;
	int rc;

	rc = zk_replay_fork(&helper);
	options.helper = &helper;
	f = fake_open(&port);
	if (rc == 0)
		rc = zk_fs_open(&options, &port, &served);
	if (rc < 0)
		_exit(1);
	f->fs = served;
	(void)signal(SIGTERM, served_on_term);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (pthread_create(&thread, NULL, served_commands, f) != 0 ||
	    write(serve.from, "k", 1) != 1)
		_exit(1);
	rc = zk_fs_run(served);
	zk_fs_close(served);
	f->fs = NULL;
	/* The test has closed its end of the pipe. */
	(void)pthread_join(thread, NULL);
	/* What was held is answered now: into nothing. */
	(void)pthread_mutex_lock(&f->lock);
	f->hold = false;
	(void)pthread_cond_signal(&f->work);
	(void)pthread_mutex_unlock(&f->lock);
	fake_close(f);
	_exit(rc < 0);
}

static void
serve_ack(void)
{
	struct pollfd fd = {.fd = serve.from, .events = POLLIN};
	char c;

	cr_assert_eq(poll(&fd, 1, 20000), 1, "the server does not answer");
	cr_assert_eq(read(serve.from, &c, 1), 1);
}

static void
serve_start(uint32_t op_timeout_ms)
{
	int to[2], from[2];

	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0)
		cr_skip_test("needs root and /dev/fuse");
	(void)strcpy(serve.dir, "/tmp/zkfs-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(serve.dir));
	cr_assert_eq(pipe2(to, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(from, O_CLOEXEC), 0);
	serve.pid = fork();
	if (serve.pid == 0) {
		(void)close(to[1]);
		(void)close(from[0]);
		serve.to = to[0];
		serve.from = from[1];
		served_main(op_timeout_ms);
	}
	(void)close(to[0]);
	(void)close(from[1]);
	serve.to = to[1];
	serve.from = from[0];
	serve_ack();
	cr_assert_eq(chdir(serve.dir), 0);
}

/* One command to the server; returns when it has been carried out. */
static void
serve_tell(const char *line)
{
	cr_assert_eq(dprintf(serve.to, "%s\n", line), (int)strlen(line) + 1);
	serve_ack();
}

/* The server ends, cleanly and soon, whatever waits. */
static void
serve_stop(void)
{
	int status = -1;

	if (serve.pid == 0)
		return;
	(void)chdir("/");
	(void)close(serve.to);
	(void)kill(serve.pid, SIGTERM);
	(void)alarm(20);
	(void)waitpid(serve.pid, &status, 0);
	(void)alarm(0);
	serve.pid = 0;
	(void)umount2(serve.dir, MNT_DETACH);
	(void)rmdir(serve.dir);
	cr_expect_eq(status, 0, "the server ended with %x", (unsigned)status);
}

/* A process that runs fn and gives its result, to be interrupted or not. */
static inline pid_t
start(int (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(serve.to);
		_exit(fn());
	}
	return pid;
}

static inline int
finish(pid_t pid)
{
	int status = -1;

	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(close(fd), 0);
}

static const char *
get(const char *name)
{
	static char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return strerror(errno);
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

__attribute__((unused)) static bool
exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

/* How many commands of that kind were applied. */
__attribute__((unused)) static unsigned
applied(const char *op)
{
	char want[64];
	const char *text = get(".zkfs/counts"), *at;

	(void)snprintf(want, sizeof(want), "%s=", op);
	at = strstr(text, want);
	return at == NULL
	    ? 0
	    : (unsigned)atoi(at + strlen(want)); /* NOLINT(cert-err34-c) */
}

/* Waits for what follows on its own, up to a bound. */
#define EVENTUALLY(cond)                                                       \
	do {                                                                   \
		for (int tries_ = 0; tries_ < 2000 && !(cond); tries_++)       \
			(void)poll(NULL, 0, 5);                                \
		cr_expect(cond);                                               \
	} while (0)

#endif
