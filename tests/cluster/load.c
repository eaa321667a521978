/*
 * load NAME DIR OUT KIND...: a client that does one thing at a time on a
 * mount, as any program would, and writes down what it was told.  It goes on
 * through errors, until SIGTERM.  DIR has directories r, a, l, s and e (see
 * load.sh); KIND is which of these it works in:
 *
 *   register   reads past the cache, writes, and compare-and-set of a version
 *   append     records that must be in the file once
 *   lock       sections under flock(2), with records of their fence in the
 *              locked file
 *   sequence   names with numbers
 *   owner      a file that is there as long as it is held open
 *
 * OUT/NAME.history is in the format of tests/lib/history.h, with microseconds
 * of CLOCK_MONOTONIC.  OUT/NAME.records says, in the same format, what became
 * of records ("append") and names ("create"): audit.c looks for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 2, PAUSE_MS = 8, VALUE_MAX = 96 };

/* Who waits longer for a lock gives up. */
enum { LOCK_SECONDS = 2 };

static struct {
	const char *name, *dir;
	int history, records;
	uint64_t number, random;
	unsigned done, refused, unknown;
} the;

static volatile sig_atomic_t is_over;

static void
on_signal(int signo)
{
	if (signo == SIGTERM)
		is_over = 1;
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t
below(uint64_t bound)
{
	the.random = the.random * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (the.random >> 33) % bound;
}

/* One write(2) a line, so that a line is whole whenever this ends. */
__attribute__((format(printf, 2, 3))) static void
say(int fd, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (write(fd, line, (size_t)len) != len) {
		perror("load: history");
		exit(1);
	}
}

/* --- outcomes ------------------------------------------------------------- */

/* What a write that failed tells of itself. */
static const char *
outcome(ssize_t rc)
{
	if (rc >= 0) {
		the.done++;
		return "ok";
	}
	switch (errno) {
	case EROFS:
	case EAGAIN:
	case EBUSY:
	case EEXIST:
	case EINTR:
	case ENOENT:
	case ENOSPC:
		the.refused++;
		return "fail";
	default:
		the.unknown++;
		return "?";
	}
}

static int
open_in(char what, uint64_t key, int flags)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%c/%c%" PRIu64, the.dir, what,
	    what, key);
	return open(path, flags | O_CLOEXEC, 0644);
}

/* A number among the attributes; 0: not told. */
static uint64_t
attribute(int fd, const char *name)
{
	char text[32] = "";

	return fgetxattr(fd, name, text, sizeof(text) - 1) > 0
	    ? strtoull(text, NULL, 10)
	    : 0;
}

/* --- registers ------------------------------------------------------------ */

static void
read_register(uint64_t key)
{
	__attribute__((aligned(4096))) static char text[4096];
	const uint64_t from = now_us();
	const int fd = open_in('r', key, O_RDONLY | O_DIRECT);
	ssize_t len;

	if (fd < 0)
		return;
	len = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (len < 0) {
		(void)outcome(-1);
		return;
	}
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	the.done++;
	say(the.history,
	    "%s.%" PRIu64 " r%" PRIu64 " %" PRIu64 " %" PRIu64 " read %s\n",
	    the.name, the.number, key, from, now_us(),
	    text[0] != '\0' ? text : "empty");
}

/* As a shell's `>`, or as something that goes on where it was. */
static void
write_register(uint64_t key)
{
	const int flags = O_WRONLY | O_TRUNC;
	char text[VALUE_MAX], op[2 * VALUE_MAX], version[24];
	uint64_t from, expect;
	const bool cas = below(2) == 0;
	const int fd = open_in('r', key, flags);
	const char *told;
	int len;

	if (fd < 0)
		return;
	len = snprintf(text, sizeof(text), "%s.%" PRIu64 "\n", the.name,
	    the.number);
	expect = attribute(fd, "user.zkfs.version");
	(void)snprintf(version, sizeof(version), "%" PRIu64, expect);
	(void)snprintf(op, sizeof(op), "%s%s %.*s", cas ? "casv " : "write",
	    cas ? version : "", len - 1, text);
	if (cas &&
	    (expect == 0 ||
	        fsetxattr(fd, "user.zkfs.expect", version, strlen(version), 0) <
	            0)) {
		(void)close(fd);
		return;
	}
	from = now_us();
	say(the.history, "%s.%" PRIu64 " r%" PRIu64 " %" PRIu64 " - %s ?\n",
	    the.name, the.number, key, from, op);
	told = outcome(write(fd, text, (size_t)len));
	/* Refused for another reason than the version: nothing was asked. */
	if (cas && strcmp(told, "fail") == 0 && errno != EAGAIN)
		(void)snprintf(op, sizeof(op), "write %.*s", len - 1, text);
	say(the.history,
	    "%s.%" PRIu64 " r%" PRIu64 " %" PRIu64 " %" PRIu64 " %s %s\n",
	    the.name, the.number, key, from, now_us(), op, told);
	(void)close(fd);
}

static void
do_register(void)
{
	const uint64_t key = below(KEYS);

	if (below(2) == 0)
		read_register(key);
	else
		write_register(key);
}

/* --- records -------------------------------------------------------------- */

/* True when it was done.  *ret_from: when it was asked for. */
static bool
append(int fd, char what, uint64_t key, uint64_t fence, uint64_t *ret_from)
{
	char text[VALUE_MAX];
	const char *told;
	const uint64_t from = now_us();
	int len;

	the.number++;
	len = fence != 0
	    ? snprintf(text, sizeof(text), "%s.%" PRIu64 " %" PRIu64 "\n",
	          the.name, the.number, fence)
	    : snprintf(text, sizeof(text), "%s.%" PRIu64 "\n", the.name,
	          the.number);
	say(the.records,
	    "%s.%" PRIu64 " %c%" PRIu64 " %" PRIu64 " - append ?\n", the.name,
	    the.number, what, key, from);
	told = outcome(write(fd, text, (size_t)len));
	say(the.records,
	    "%s.%" PRIu64 " %c%" PRIu64 " %" PRIu64 " %" PRIu64 " append %s\n",
	    the.name, the.number, what, key, from, now_us(), told);
	*ret_from = from;
	return strcmp(told, "ok") == 0;
}

static void
do_append(void)
{
	const uint64_t key = below(KEYS);
	const int fd = open_in('a', key, O_WRONLY | O_APPEND);
	uint64_t from;

	if (fd < 0)
		return;
	(void)append(fd, 'a', key, 0, &from);
	(void)close(fd);
}

/* --- locks and owners ----------------------------------------------------- */

/* What is held, is known to be when a write through it is asked for and done. */
static void
hold(int fd, char what, uint64_t key, uint64_t fence, uint64_t from)
{
	const uint64_t number = the.number, turns = below(4);
	uint64_t until = from, asked;

	for (uint64_t i = 0; i < turns && !is_over; i++) {
		if (!append(fd, what, key, fence, &asked))
			break;
		until = asked;
	}
	say(the.history,
	    "%s.%" PRIu64 ".%c %c%" PRIu64 " %" PRIu64 " %" PRIu64
	    " hold %" PRIu64 "\n",
	    the.name, number, what, what, key, from, until, fence);
}

static void
set_alarm(long seconds)
{
	/* Again and again: the first may come before there is a wait. */
	const struct itimerval timer = {
	    .it_value = {.tv_sec = seconds},
	    .it_interval = {.tv_usec = seconds > 0 ? 100000 : 0},
	};

	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

static void
do_lock(void)
{
	const uint64_t key = below(KEYS);
	const int fd = open_in('l', key, O_RDWR | O_APPEND);
	uint64_t fence;
	int rc;

	if (fd < 0)
		return;
	set_alarm(LOCK_SECONDS);
	rc = flock(fd, LOCK_EX);
	set_alarm(0);
	(void)outcome(rc);
	if (rc == 0 && (fence = attribute(fd, "user.zkfs.fence")) != 0)
		hold(fd, 'l', key, fence, now_us());
	(void)close(fd);
}

static void
do_owner(void)
{
	const uint64_t key = below(KEYS);
	const int fd = open_in('e', key, O_WRONLY | O_CREAT | O_EXCL);
	uint64_t born;

	(void)outcome(fd);
	if (fd < 0)
		return;
	born = attribute(fd, "user.zkfs.czxid");
	if (born != 0)
		hold(fd, 'e', key, born, now_us());
	(void)close(fd);
}

/* --- names with numbers --------------------------------------------------- */

static void
do_sequence(void)
{
	char path[256], name[128] = "";
	const uint64_t from = now_us();
	const char *told, *number = NULL;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/s/%s.%" PRIu64 "-XXXXXXXXXX",
	    the.dir, the.name, the.number);
	say(the.records, "%s.%" PRIu64 " s %" PRIu64 " - create ?\n", the.name,
	    the.number, from);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	told = outcome(fd);
	say(the.records, "%s.%" PRIu64 " s %" PRIu64 " %" PRIu64 " create %s\n",
	    the.name, the.number, from, now_us(), told);
	if (fd < 0)
		return;
	if (fgetxattr(fd, "user.zkfs.name", name, sizeof(name) - 1) > 0)
		number = strrchr(name, '-');
	if (number != NULL)
		say(the.history,
		    "%s.%" PRIu64 ".s s %" PRIu64 " %" PRIu64 " next %" PRIu64
		    "\n",
		    the.name, the.number, from, now_us(),
		    (uint64_t)strtoull(number + 1, NULL, 10));
	(void)close(fd);
}

/* -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*act)(void);
} kinds[] = {
    {"register", do_register},
    {"append", do_append},
    {"lock", do_lock},
    {"owner", do_owner},
    {"sequence", do_sequence},
};

static void
act(const char *kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i].name) == 0)
			kinds[i].act();
}

static int
open_out(const char *out, const char *what)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s.%s", out, the.name, what);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};

	if (argc < 5) {
		(void)fputs("usage: load NAME DIR OUT KIND...\n", stderr);
		return 2;
	}
	the.name = argv[1];
	the.dir = argv[2];
	the.history = open_out(argv[3], "history");
	the.records = open_out(argv[3], "records");
	the.random = (uint64_t)getpid() * now_us();
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGALRM, &action, NULL);
	while (!is_over) {
		the.number++;
		act(argv[4 + below((uint64_t)argc - 4)]);
		(void)poll(NULL, 0, 1 + (int)below(PAUSE_MS));
	}
	(void)printf("%s: %u done, %u refused, %u unknown\n", the.name,
	    the.done, the.refused, the.unknown);
	return 0;
}
