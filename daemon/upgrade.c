#include "daemon/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "fs/fs.h"

/*
 * The state: u32 format, mountpoint (u32 length, bytes), session, incarnation,
 * last number, lease, count, time of the freeze (u64 each), then what fs/ wrote
 * (u32 length, bytes).  In the environment: format:state:fuse:lock:old, descriptors but the
 * first; old is -1 on the way back.
 */
/* That of what fs/ wrote: whoever cannot read it says so when it is asked. */
#define UPGRADE_FORMAT     ZK_FS_SAVE_FORMAT
#define UPGRADE_FORMAT_OLD ZK_FS_SAVE_FORMAT_OLD
#define UPGRADE_ENV        "ZKFS_TAKEOVER"
#define CHECK_ENV          "ZKFS_TAKEOVER_CHECK"
#define CHECK_YES          42
#define STATE_HEAD_MAX     (PATH_MAX + 128u)
#define CHECK_MS_MAX       10000

/* How long a handover waits for what is under way. */
#define FREEZE_MS 5000u

static struct {
	char **argv;
	char program[PATH_MAX];
	char cwd[PATH_MAX];
	unsigned format; /* of the state */
	int state_fd, fuse_fd, lock_fd, old_fd;
} self = {.state_fd = -1, .fuse_fd = -1, .lock_fd = -1, .old_fd = -1};

/* --- the program that takes over ------------------------------------------ */

static void
note_self(char **argv)
{
	static const char deleted[] = " (deleted)";
	const size_t tail = sizeof(deleted) - 1;
	ssize_t n;

	self.argv = argv;
	n = readlink("/proc/self/exe", self.program, sizeof(self.program) - 1);
	self.program[n > 0 ? n : 0] = '\0';
	/* After a way back: what is there now is another one. */
	if (n > (ssize_t)tail && strcmp(self.program + n - tail, deleted) == 0)
		self.program[n - (ssize_t)tail] = '\0';
	if (getcwd(self.cwd, sizeof(self.cwd)) == NULL)
		self.cwd[0] = '\0';
}

static void
close_on_exec(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool
is_format(unsigned long format)
{
	return format >= UPGRADE_FORMAT_OLD && format <= UPGRADE_FORMAT;
}

/*
 * What is handed over are times of CLOCK_MONOTONIC, as it was when leases went
 * by that.  Modulo 2^64: either clock may be a millisecond ahead.
 */
static uint64_t
slept_ms(void)
{
	return zk_clock_lease_ms() - zk_clock_ms();
}

static int
decode(const void *bytes, size_t len, struct zk_upgrade *ret_upgrade)
{
	struct zk_dec dec;
	const void *raw;
	size_t n;

	zk_dec_init(&dec, bytes, len);
	if (!is_format(zk_dec_u32(&dec)))
		return -EPROTO;
	raw = zk_dec_bytes(&dec, sizeof(ret_upgrade->mountpoint) - 1, &n);
	if (raw == NULL)
		return -EPROTO;
	memcpy(ret_upgrade->mountpoint, raw, n);
	ret_upgrade->mountpoint[n] = '\0';
	ret_upgrade->legacy.session = zk_dec_u64(&dec);
	ret_upgrade->legacy.incarnation = zk_dec_u64(&dec);
	ret_upgrade->legacy.last_number = zk_dec_u64(&dec);
	ret_upgrade->legacy.lease_from_ms = zk_dec_u64(&dec) + slept_ms();
	ret_upgrade->count = zk_dec_u64(&dec) + 1;
	ret_upgrade->frozen_ms = zk_dec_u64(&dec);
	raw = zk_dec_bytes(&dec, len, &ret_upgrade->fs_len);
	if (!zk_dec_done(&dec))
		return -EPROTO;
	ret_upgrade->fs = malloc(ret_upgrade->fs_len + 1);
	if (ret_upgrade->fs == NULL)
		return -ENOMEM;
	memcpy(ret_upgrade->fs, raw, ret_upgrade->fs_len);
	return 0;
}

static int
load(struct zk_upgrade *ret_upgrade)
{
	struct stat st;
	void *bytes;
	int rc;

	if (fstat(self.state_fd, &st) < 0)
		return -errno;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
	    self.state_fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	rc = decode(bytes, (size_t)st.st_size, ret_upgrade);
	(void)munmap(bytes, (size_t)st.st_size);
	return rc;
}

/* Numbers with colons between them. */
static bool
read_environment(const char *env, long *ret_format)
{
	int *const fds[] = {&self.state_fd, &self.fuse_fd, &self.lock_fd,
	    &self.old_fd};
	char *end;

	*ret_format = strtol(env, &end, 10);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*end != ':')
			return false;
		*fds[i] = (int)strtol(end + 1, &end, 10);
	}
	return *end == '\0';
}

bool
zk_upgrade_begin(char **argv, struct zk_upgrade *ret_upgrade)
{
	const char *check = getenv(CHECK_ENV), *env = getenv(UPGRADE_ENV);
	long format;
	int rc;

	if (check != NULL)
		_exit(is_format(strtoul(check, NULL, 10)) ? CHECK_YES : 1);
	note_self(argv);
	if (env == NULL)
		return false;
	if (!read_environment(env, &format))
		return false;
	(void)unsetenv(UPGRADE_ENV);
	close_on_exec(self.state_fd);
	close_on_exec(self.fuse_fd);
	close_on_exec(self.lock_fd);
	close_on_exec(self.old_fd);
	*ret_upgrade = (struct zk_upgrade){
	    .fuse_fd = self.fuse_fd,
	    .lock_fd = self.lock_fd,
	};
	self.format = (unsigned)format;
	rc = is_format(self.format) ? load(ret_upgrade) : -EPROTO;
	if (rc < 0) {
		zk_upgrade_go_back();
		zk_log_error("UPGRADE failed: the state cannot be read");
		_exit(ZK_EXIT_SYSTEM);
	}
	return true;
}

void
zk_upgrade_free(struct zk_upgrade *upgrade)
{
	free(upgrade->fs);
	upgrade->fs = NULL;
	/* It has worked: nobody goes back. */
	if (self.state_fd >= 0)
		(void)close(self.state_fd);
	if (self.old_fd >= 0)
		(void)close(self.old_fd);
	self.state_fd = self.old_fd = -1;
}

void
zk_upgrade_block_signals(bool block)
{
	static const int signals[] = {SIGUSR2, SIGTERM, SIGINT};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaddset(&set, signals[i]);
	(void)pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* --- the program before --------------------------------------------------- */

static void
be_asked(void)
{
	char format[16], name[] = "mount.zkfs", version[] = "--version";
	char *argv[] = {name, version, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < 3 && null >= 0; i++)
		(void)dup2(null, i);
	(void)snprintf(format, sizeof(format), "%u", UPGRADE_FORMAT);
	(void)setenv(CHECK_ENV, format, 1);
	(void)alarm(CHECK_MS_MAX / 1000);
	(void)execv(self.program, argv);
	_exit(127);
}

static int
check(struct zk_fault *ret_fault)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		be_asked();
	if (pid < 0)
		return zk_fault_set(ret_fault, -errno, ZK_EXIT_SYSTEM,
		    "cannot fork: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_YES)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return zk_fault_set(ret_fault, -ENOEXEC, ZK_EXIT_SYSTEM,
		    "%s cannot be executed", self.program);
	return zk_fault_set(ret_fault, -EPROTO, ZK_EXIT_SYSTEM,
	    "%s does not know how to take over from version %s", self.program,
	    ZK_VERSION);
}

static int
write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		const ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_state(const struct zk_upgrade *upgrade, int fd)
{
	uint8_t head[STATE_HEAD_MAX];
	struct zk_enc enc;
	int rc;

	zk_enc_init(&enc, head, sizeof(head));
	zk_enc_u32(&enc, UPGRADE_FORMAT);
	zk_enc_bytes(&enc, upgrade->mountpoint, strlen(upgrade->mountpoint));
	zk_enc_u64(&enc, upgrade->legacy.session);
	zk_enc_u64(&enc, upgrade->legacy.incarnation);
	zk_enc_u64(&enc, upgrade->legacy.last_number);
	zk_enc_u64(&enc, upgrade->legacy.lease_from_ms - slept_ms());
	zk_enc_u64(&enc, upgrade->count);
	zk_enc_u64(&enc, upgrade->frozen_ms);
	zk_enc_u32(&enc, (uint32_t)upgrade->fs_len);
	if (enc.failed || upgrade->fs_len > UINT32_MAX)
		return -EMSGSIZE;
	rc = write_all(fd, head, enc.len);
	return rc < 0 ? rc : write_all(fd, upgrade->fs, upgrade->fs_len);
}

static void
keep_open(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, 0);
}

static void
set_environment(void)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%u:%d:%d:%d:%d", self.format,
	    self.state_fd, self.fuse_fd, self.lock_fd, self.old_fd);
	(void)setenv(UPGRADE_ENV, text, 1);
	keep_open(self.state_fd);
	keep_open(self.fuse_fd);
	keep_open(self.lock_fd);
	keep_open(self.old_fd);
}

/* Where relative paths of the arguments begin; never on our own mount. */
static void
go_home(const char *mountpoint)
{
	const size_t len = strlen(mountpoint);

	if (self.cwd[0] != '/' ||
	    (strncmp(self.cwd, mountpoint, len) == 0 &&
	        (self.cwd[len] == '/' || self.cwd[len] == '\0')))
		return;
	(void)!chdir(self.cwd);
}

static void
execute(const struct zk_upgrade *upgrade)
{
	self.format = UPGRADE_FORMAT;
	self.state_fd = memfd_create("zkfs-upgrade", MFD_CLOEXEC);
	if (self.state_fd < 0 || write_state(upgrade, self.state_fd) < 0) {
		zk_log_error("UPGRADE failed: no room for the state");
		return;
	}
	self.fuse_fd = upgrade->fuse_fd;
	self.lock_fd = upgrade->lock_fd;
	self.old_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	go_home(upgrade->mountpoint);
	set_environment();
	(void)execv(self.program, self.argv);
	zk_log_warn("UPGRADE program=%s", self.program);
	zk_upgrade_go_back();
}

void
zk_upgrade_go_back(void)
{
	extern char **environ;
	const int old = self.old_fd;

	if (old < 0)
		return;
	zk_log_warnx("UPGRADE goes back to the program before");
	self.old_fd = -1;
	set_environment();
	(void)fexecve(old, self.argv, environ);
	zk_log_warn("UPGRADE the program before");
}

static int
freeze(const struct zk_upgrade_parts *parts, struct zk_fault *ret_fault)
{
	int rc = zk_fs_freeze(parts->fs, FREEZE_MS), back;

	if (rc == 0)
		return 0;
	back = zk_fs_thaw(parts->fs);
	if (back < 0)
		parts->fatal(NULL, back, "thaw");
	return zk_fault_set(ret_fault, rc, ZK_EXIT_SYSTEM, "not now: %s",
	    zk_err_text(rc));
}

int
zk_upgrade_now(struct zk_upgrade *up, const struct zk_upgrade_parts *parts,
    struct zk_fault *ret_fault)
{
	int rc = check(ret_fault);

	up->frozen_ms = zk_clock_ms();
	if (rc == 0)
		rc = freeze(parts, ret_fault);
	if (rc < 0)
		return rc;
	zk_upgrade_block_signals(true);
	zk_http_close(parts->http);
	zk_topics_stop(parts->topics);
	zk_node_leave(parts->node, &up->legacy);
	if (parts->join->cluster != NULL)
		zk_cluster_stop(parts->join->cluster);
	(void)snprintf(up->mountpoint, sizeof(up->mountpoint), "%s",
	    parts->mountpoint);
	rc = zk_fs_save(parts->fs, &up->fs, &up->fs_len, &up->fuse_fd);
	up->lock_fd = fcntl(zk_store_dir_fd(parts->store), F_DUPFD_CLOEXEC, 3);
	if (rc < 0 || up->lock_fd < 0)
		parts->fatal(NULL, rc < 0 ? rc : -errno, "upgrade");
	zk_node_close(parts->node);
	zk_topics_close(parts->topics);
	zk_join_close(parts->join);
	zk_store_close(parts->store);
	zk_guard_end(parts->guard);
	execute(up);
	parts->fatal(NULL, -ENOEXEC, "upgrade");
	return -ENOEXEC;
}

void
zk_upgrade_log(const struct zk_upgrade *upgrade)
{
	zk_log_info("UPGRADE done version=%s count=%" PRIu64
	            " pause_ms=%" PRIu64,
	    ZK_VERSION, upgrade->count, zk_clock_ms() - upgrade->frozen_ms);
}
