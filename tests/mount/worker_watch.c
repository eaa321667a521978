/*
 * worker_watch: random changes, and a model of a directory that is kept by
 * its inotify events alone.
 *
 *   worker_watch churn DIR SEED COUNT   random changes in DIR/d0 and DIR/d1 on
 *                                       a few names, until SIGTERM; failures
 *                                       that a race may cause are no matter
 *   worker_watch model DIR SECONDS      says "ready" when it watches, then
 *                                       follows the events.  Once a line has
 *                                       come on stdin, it waits until the model
 *                                       agrees with the tree, for so long, and
 *                                       looks that it stays so.  Status 0:
 *                                       it does; 1: differences are printed
 *
 * Some names are made and removed once: no event of theirs may come twice.
 * The model knows which names there are from events only.  What a name leads
 * to (type, mode, content) is read again at each event about it, or about
 * another name of the same file: a change of that comes under one of them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRS      2
#define NAMES     6
#define ENTRIES   4096
#define TEXT_MAX  256
#define SETTLE_MS 300
#define UNIQUES   131072

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- churn ---------------------------------------------------------------- */

static uint64_t rng;
static volatile sig_atomic_t ended;

static void
on_term(int signo)
{
	(void)signo;
	ended = 1;
}

static unsigned
pick(unsigned n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(rng >> 33) % n;
}

static void
pick_path(char *path, size_t cap)
{
	(void)snprintf(path, cap, "d%u/n%u", pick(DIRS), pick(NAMES));
}

static int
put(const char *path, int flags)
{
	char text[64];
	const int len = snprintf(text, sizeof(text), "%u\n", pick(1000000));
	const int fd = open(path, O_WRONLY | O_NOFOLLOW | flags, 0644);
	int rc = 0;

	if (fd < 0)
		return -1;
	if (write(fd, text, (size_t)len) != len)
		rc = -1;
	return close(fd) < 0 ? -1 : rc;
}

static uint64_t churn_seed;
static unsigned made_count;

/* A name that nobody else has: its two events come once, on its host. */
static int
make_unique(void)
{
	static unsigned last;
	char path[64];

	(void)snprintf(path, sizeof(path), "d0/u%" PRIu64 "-%u", churn_seed,
	    ++last);
	if (mkdir(path, 0755) < 0)
		return -1;
	made_count++;
	return rmdir(path);
}

static int
change(void)
{
	char a[32], b[32];

	pick_path(a, sizeof(a));
	pick_path(b, sizeof(b));
	switch (pick(17)) {
	case 0:
	case 1:
		return put(a, O_CREAT | O_TRUNC);
	case 2:
		return put(a, O_CREAT | O_EXCL);
	case 3:
	case 4:
		return put(a, O_TRUNC);
	case 5:
		return put(a, O_APPEND);
	case 6:
	case 7:
		return unlink(a);
	case 8:
	case 9:
		return rename(a, b);
	case 10:
		return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	case 11:
		return mkdir(a, 0755);
	case 12:
		return rmdir(a);
	case 13:
		return symlink("x", a);
	case 14:
		return link(a, b);
	case 15:
		return make_unique();
	default:
		return chmod(a, 0600 + pick(8) * 8);
	}
}

static int
churn(const char *dir, uint64_t seed, unsigned count)
{
	unsigned done = 0, again = 0;
	uint64_t longest_ms = 0;

	churn_seed = seed;
	rng = seed * 2862933555777941757u + 3037000493u;
	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	(void)signal(SIGTERM, on_term);
	for (unsigned i = 0; i < count && !ended; i++) {
		const uint64_t before = now_ms();
		const int rc = change();
		const int why = errno;
		if (now_ms() - before > longest_ms)
			longest_ms = now_ms() - before;
		if (rc == 0) {
			done++;
			continue;
		}
		errno = why;
		switch (errno) {
		case ENOENT:
		case EEXIST:
		case ENOTEMPTY:
		case EISDIR:
		case ENOTDIR:
		case ELOOP:
		case EBUSY:
		case EPERM:
		case EINVAL:
		case EOPNOTSUPP:
		case ESTALE:
		case EINTR:
			break;
		case ETIMEDOUT:
		case EROFS:
			again++;
			break;
		case ENOTCONN:
		case ECONNABORTED:
			(void)puts("the mount is gone");
			return 3;
		default:
			perror("churn");
			return 1;
		}
	}
	(void)printf("%u of %u changes, %u refused for a while, made %u, "
	             "longest_ms %" PRIu64 "\n",
	    done, count, again, made_count, longest_ms);
	return 0;
}

/* --- the model ------------------------------------------------------------ */

struct state {
	mode_t mode; /* 0: there is nothing */
	ino_t ino;
	bool alone; /* a file with one name: changes of it come under that */
	char text[TEXT_MAX];
};

struct entry {
	int dir;
	char name[64];
	bool there; /* as the events say */
	struct state state;
	char last[96]; /* event */
};

static struct entry entries[ENTRIES];
static unsigned entry_count, event_count, overflow_count;
static int watches[DIRS];

static struct entry *
entry_of(int dir, const char *name)
{
	struct entry *e;

	for (unsigned i = 0; i < entry_count; i++)
		if (entries[i].dir == dir && strcmp(entries[i].name, name) == 0)
			return &entries[i];
	if (entry_count == ENTRIES)
		abort();
	e = &entries[entry_count++];
	e->dir = dir;
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	return e;
}

/* Names of make_unique(), by a hash. */
struct unique {
	char name[32];
	bool there;
	unsigned creates, deletes;
	uint64_t told_ms[4]; /* when, the last of them */
};

static struct unique uniques[UNIQUES];
static unsigned unique_count;

static struct unique *
unique_of(const char *name)
{
	uint32_t hash = 2166136261u;
	struct unique *u;

	for (const char *c = name; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (;; hash++) {
		u = &uniques[hash % UNIQUES];
		if (u->name[0] == '\0' || strcmp(u->name, name) == 0)
			break;
	}
	if (u->name[0] == '\0') {
		if (++unique_count > UNIQUES / 2)
			abort();
		(void)snprintf(u->name, sizeof(u->name), "%s", name);
	}
	return u;
}

static unsigned
unique_differs(const struct unique *u, bool say)
{
	char path[40];
	struct stat st;
	bool there, twice;

	if (u->name[0] == '\0')
		return 0;
	(void)snprintf(path, sizeof(path), "d0/%.31s", u->name);
	there = lstat(path, &st) == 0;
	twice = overflow_count == 0 && (u->creates > 1 || u->deletes > 1);
	if (say && (there != u->there || twice))
		(void)printf("%s: events say %s, it is %s; made %u times, "
		             "removed %u times, %" PRIu64 " ms and %" PRIu64
		             " ms after the first\n",
		    path, u->there ? "there" : "gone", there ? "there" : "gone",
		    u->creates, u->deletes, u->told_ms[1] - u->told_ms[0],
		    u->told_ms[2] - u->told_ms[0]);
	return there != u->there || twice;
}

static void
look(int dir, const char *name, struct state *ret)
{
	char path[128];
	struct stat st;
	ssize_t n = 0;
	int fd;

	memset(ret, 0, sizeof(*ret));
	(void)snprintf(path, sizeof(path), "d%d/%s", dir, name);
	if (lstat(path, &st) < 0)
		return;
	ret->mode = st.st_mode;
	ret->ino = st.st_ino;
	if (!S_ISREG(st.st_mode))
		return;
	ret->alone = st.st_nlink == 1;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0)
		n = read(fd, ret->text, TEXT_MAX - 1);
	if (n < 0)
		n = 0;
	ret->text[n] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

static void
list_name(int dir, const char *name)
{
	struct entry *e;

	if (name[0] == '.')
		return;
	if (name[0] == 'u') {
		unique_of(name)->there = true;
		return;
	}
	e = entry_of(dir, name);
	e->there = true;
	look(dir, e->name, &e->state);
	(void)strcpy(e->last, "listed");
}

static void
list_all(void)
{
	for (int d = 0; d < DIRS; d++) {
		char path[16];
		struct dirent *de;
		DIR *dir;

		(void)snprintf(path, sizeof(path), "d%d", d);
		dir = opendir(path);
		while (dir != NULL && (de = readdir(dir)) != NULL)
			list_name(d, de->d_name);
		if (dir != NULL)
			(void)closedir(dir);
	}
}

static void
look_again(struct entry *e, uint32_t mask)
{
	const ino_t before = e->state.ino;

	look(e->dir, e->name, &e->state);
	if ((mask & (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)) == 0)
		return;
	for (unsigned i = 0; i < entry_count; i++) {
		struct entry *other = &entries[i];

		if (other == e || !other->there || other->state.mode == 0 ||
		    (other->state.ino != before &&
		        other->state.ino != e->state.ino))
			continue;
		look(other->dir, other->name, &other->state);
		(void)snprintf(other->last, sizeof(other->last), "%x of d%d/%s",
		    mask, e->dir, e->name);
	}
}

static void
follow(const struct inotify_event *event)
{
	const uint32_t comes = IN_CREATE | IN_MOVED_TO;
	const uint32_t goes = IN_DELETE | IN_MOVED_FROM;
	struct entry *e;
	int dir = -1;

	event_count++;
	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		overflow_count++;
		for (unsigned i = 0; i < UNIQUES; i++)
			uniques[i].there = false;
		for (unsigned i = 0; i < entry_count; i++)
			entries[i].there = false;
		list_all();
		return;
	}
	for (int d = 0; d < DIRS; d++)
		if (watches[d] == event->wd)
			dir = d;
	if (dir < 0 || event->len == 0)
		return;
	if (event->name[0] == 'u') {
		struct unique *u = unique_of(event->name);
		u->told_ms[(u->creates + u->deletes) % 4] = now_ms();
		u->creates += (event->mask & IN_CREATE) != 0;
		u->deletes += (event->mask & IN_DELETE) != 0;
		if ((event->mask & (IN_CREATE | IN_DELETE)) != 0)
			u->there = (event->mask & IN_CREATE) != 0;
		return;
	}
	e = entry_of(dir, event->name);
	if ((event->mask & comes) != 0)
		e->there = true;
	if ((event->mask & goes) != 0)
		e->there = false;
	look_again(e, event->mask);
	/* An exchange ends with IN_MOVED_FROM of what is there. */
	if ((event->mask & IN_MOVED_FROM) != 0)
		e->there = e->state.mode != 0;
	(void)snprintf(e->last, sizeof(e->last), "%x", event->mask);
}

static bool
differs(const struct entry *e, bool say)
{
	struct state now;
	bool same;

	look(e->dir, e->name, &now);
	same = e->there == (now.mode != 0) &&
	    (!e->there || !e->state.alone || !now.alone ||
	        (e->state.mode == now.mode &&
	            strcmp(e->state.text, now.text) == 0));
	if (!same && say)
		(void)printf("d%d/%s: events say %s (last %s), mode %o, "
		             "ino %ju, text %s; it is mode %o, ino %ju, "
		             "text %s\n",
		    e->dir, e->name, e->there ? "there" : "gone", e->last,
		    e->state.mode, (uintmax_t)e->state.ino, e->state.text,
		    now.mode, (uintmax_t)now.ino, now.text);
	return !same;
}

/* Names that no event has told of, too. */
static unsigned
differences(bool say)
{
	unsigned count = 0;

	for (int d = 0; d < DIRS; d++) {
		char path[16];
		struct dirent *de;
		DIR *dir;

		(void)snprintf(path, sizeof(path), "d%d", d);
		dir = opendir(path);
		while (dir != NULL && (de = readdir(dir)) != NULL)
			if (de->d_name[0] == 'u')
				(void)unique_of(de->d_name);
			else if (de->d_name[0] != '.')
				(void)entry_of(d, de->d_name);
		if (dir != NULL)
			(void)closedir(dir);
	}
	for (unsigned i = 0; i < entry_count; i++)
		count += differs(&entries[i], say);
	for (unsigned i = 0; i < UNIQUES; i++)
		count += unique_differs(&uniques[i], say);
	return count;
}

/* The host is the last digit of the seed. */
static unsigned
count_created_by(char host)
{
	unsigned count = 0;

	for (unsigned i = 0; i < UNIQUES; i++) {
		const char *dash = strchr(uniques[i].name, '-');
		if (dash != NULL && dash[-1] == host)
			count += uniques[i].creates;
	}
	return count;
}

static void
drain(int fd, int ms)
{
	static char buf[65536]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	struct pollfd fds[] = {
	    {.fd = fd, .events = POLLIN},
	    {.fd = STDIN_FILENO, .events = POLLIN},
	};

	if (poll(fds, ms < 0 ? 2 : 1, ms) <= 0 || fds[0].revents == 0)
		return;
	const ssize_t n = read(fd, buf, sizeof(buf));
	for (char *at = buf; n > 0 && at < buf + n;) {
		const struct inotify_event *event = (const void *)at;
		follow(event);
		at += sizeof(*event) + event->len;
	}
}

static bool
line_has_come(void)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

static int
model(const char *dir, unsigned seconds)
{
	const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	uint64_t deadline, quiet_since;
	unsigned seen;

	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	for (int d = 0; d < DIRS; d++) {
		char path[16];
		(void)snprintf(path, sizeof(path), "d%d", d);
		watches[d] = inotify_add_watch(fd, path,
		    IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVE |
		        IN_CLOSE_WRITE);
		if (watches[d] < 0) {
			perror(path);
			return 1;
		}
	}
	list_all();
	(void)puts("ready");
	(void)fflush(stdout);
	while (!line_has_come())
		drain(fd, -1);
	deadline = now_ms() + (uint64_t)seconds * 1000;
	/* Once it agrees, nothing may come that makes it disagree. */
	for (;;) {
		seen = event_count;
		quiet_since = now_ms();
		while (
		    event_count == seen && now_ms() < quiet_since + SETTLE_MS)
			drain(fd, 50);
		if (event_count == seen && differences(false) == 0)
			break;
		if (now_ms() > deadline)
			break;
	}
	(void)printf("%u events, %u overflows, %u names, unique names of 1 %u "
	             "of 2 %u of 3 %u\n",
	    event_count, overflow_count, entry_count, count_created_by('1'),
	    count_created_by('2'), count_created_by('3'));
	return differences(true) == 0 ? 0 : 1;
}

int
main(int argc, char *argv[])
{
	if (argc == 5 && strcmp(argv[1], "churn") == 0)
		return churn(argv[2], strtoull(argv[3], NULL, 10),
		    (unsigned)strtoul(argv[4], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "model") == 0)
		return model(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	(void)fprintf(stderr, "worker_watch: wrong use\n");
	return 2;
}
