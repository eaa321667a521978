/*
 * Work on partitions while hosts fail, and the verdict on it.
 *
 *   topicload write NAME LOG FILE...   append batches of numbered records to
 *                      the partitions in turn, and write down what was said
 *   topicload read OUT FILE            follow a partition: all that it ever
 *                      shows, where it was, in OUT; retention leaves holes
 *   topicload check START FINAL LOG... -- OUT...   FINAL is a partition's
 *                      content, which begins at START
 *
 * write and read go on until SIGTERM, whatever happens to the mount.
 *
 * A record is "NAME NUMBER RECORD COUNT xx...": the NUMBERth batch of NAME, of
 * COUNT records.  A line of a LOG: the file's last letter, number, count, when
 * it was begun and when it was over (ns), "ok" and the offset, "no" or "?".
 *
 * The check: an offset has one value, for every reader and for ever (so FINAL
 * and each OUT are the same where both have something, and what was
 * acknowledged is where it was found then); a value has one offset; batches are
 * whole; those of one writer are in its order; one that was over before another
 * began is before it; what was acknowledged is there, unless nobody saw it
 * before retention took it, what was refused is not.  A reader sees that a
 * partition's start only grows, and that what is before it is gone; what is
 * wrong with that is in OUT.wrong.
 */
#include <err.h>
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
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_   16
#define RECORDS_MAX 4u
#define BATCH_MAX   16384u
#define PAUSE_MS    20
/* The words of a line in a log, and some. */
#define WORDS_MAX    8u
#define OK           'o'
#define NO           'n'
#define WINDOW_BYTES ((size_t)64 << 20)

static volatile sig_atomic_t over;

static void
on_term(int sig)
{
	(void)sig;
	over = 1;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- writing -------------------------------------------------------------- */

static size_t
make_batch(char *buf, const char *name, uint64_t number, unsigned count)
{
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		const size_t more = (number * 7919 + i * 104729ul) % 2500;

		len += (size_t)sprintf(buf + len, "%s %" PRIu64 " %u %u ", name,
		    number, i, count);
		memset(buf + len, (int)('a' + number % 26), more);
		len += more;
		buf[len++] = '\n';
	}
	return len;
}

/* Where the batch is, at or after from; -1: not there; -2: nothing is. */
static int64_t
find_batch(const char *path, off_t from, const char *batch, size_t len)
{
	static char window[WINDOW_BYTES];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = -1;
	const char *at;

	if (fd < 0)
		return -2;
	/* What came in between is there, too; a read may be short. */
	while (have < sizeof(window) &&
	    (n = pread(fd, window + have, sizeof(window) - have,
	         from + (off_t)have)) > 0)
		have += (size_t)n;
	(void)close(fd);
	if (n < 0)
		return -2;
	at = memmem(window, have, batch, len);
	return at == NULL ? -1 : from + (at - window);
}

/* Certainly not appended, nor ever to be. */
static bool
is_refusal(int error)
{
	return error == ENOSPC || error == EROFS || error == EPERM ||
	    error == EMSGSIZE || error == EINVAL;
}

static void
append(const char *name, const char *path, uint64_t number, FILE *log)
{
	const unsigned count = 1 + (unsigned)(number % RECORDS_MAX);
	const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	const char part = path[strlen(path) - 1];
	static char batch[BATCH_MAX];
	uint64_t began, ended;
	struct stat st;
	size_t len;
	ssize_t n;
	int error;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			(void)close(fd);
		(void)poll(NULL, 0, PAUSE_MS);
		return;
	}
	len = make_batch(batch, name, number, count);
	began = now_ns();
	n = write(fd, batch, len);
	error = errno;
	ended = now_ns();
	(void)fprintf(log, "%c %" PRIu64 " %u %" PRIu64 " %" PRIu64 " ", part,
	    number, count, began, ended);
	if (n == (ssize_t)len)
		(void)fprintf(log, "ok %" PRId64 "\n",
		    find_batch(path, st.st_size, batch, len));
	else if (n < 0)
		(void)fprintf(log, "%s %d\n", is_refusal(error) ? "no" : "?",
		    error);
	else
		(void)fprintf(log, "? short\n");
	(void)fflush(log);
	(void)close(fd);
	if (n < 0)
		(void)poll(NULL, 0, PAUSE_MS);
}

static int
do_write(int argc, char **argv)
{
	FILE *log;

	if (argc < 3)
		errx(2, "write NAME LOG FILE...");
	log = fopen(argv[1], "ae");
	if (log == NULL)
		err(1, "%s", argv[1]);
	for (uint64_t number = 1; !over; number++)
		append(argv[0], argv[2 + number % (uint64_t)(argc - 2)], number,
		    log);
	return fclose(log) != 0;
}

/* --- reading -------------------------------------------------------------- */

/* A line of OUT.wrong. */
static void
tell_wrong(const char *out, const char *what, int64_t a, int64_t b)
{
	char path[4096];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s.wrong", out);
	file = fopen(path, "ae");
	if (file == NULL)
		err(1, "%s", path);
	(void)fprintf(file, "%s: %" PRId64 ", %" PRId64 "\n", what, a, b);
	(void)fclose(file);
}

/* Where it begins now, which is not before `from`; -1: not to be had. */
static int64_t
start_of(const char *out, int fd, int64_t from)
{
	char text[32] = "", byte;
	int64_t start;

	if (fgetxattr(fd, "user.zkfs.start", text, sizeof(text) - 1) < 0)
		return -1;
	start = strtoll(text, NULL, 10);
	if (start < from)
		tell_wrong(out, "the start goes back", from, start);
	/* At 0 a reader gets what is there. */
	if (start > 1 && pread(fd, &byte, 1, start - 1) >= 0)
		tell_wrong(out, "can be read before the start", start - 1,
		    start);
	return start;
}

/* What was to be read next is gone: where to go on.  -1: not known. */
static int64_t
skip_gone(const char *out, int fd, int64_t at, int64_t *start)
{
	const int64_t now = start_of(out, fd, *start);

	if (now < 0)
		return -1;
	if (now <= at)
		tell_wrong(out, "ENODATA, and the start is before it", at, now);
	*start = now;
	return now;
}

static int
do_read(int argc, char **argv)
{
	static char buf[1 << 16];
	int64_t at = 0, start = 0;
	int out, fd = -1;

	if (argc != 2)
		errx(2, "read OUT FILE");
	out = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		err(1, "%s", argv[0]);
	while (!over) {
		ssize_t n;

		if (fd < 0)
			fd = open(argv[1], O_RDONLY | O_CLOEXEC);
		/* From 0 on one would get what is there, wherever it is. */
		if (fd >= 0 && at == 0)
			at = start_of(argv[0], fd, start);
		n = fd < 0 || at < 0 ? -1 : pread(fd, buf, sizeof(buf), at);
		if (n > 0 && pwrite(out, buf, (size_t)n, at) != n)
			err(1, "%s", argv[0]);
		at += n > 0 ? n : 0;
		if (n < 0 && at > 0 && fd >= 0 && errno == ENODATA) {
			const int64_t to = skip_gone(argv[0], fd, at, &start);

			at = to > at ? to : at;
		}
		at = at < 0 ? 0 : at;
		if (n < 0 && fd >= 0) {
			(void)close(fd);
			fd = -1;
		}
		if (n <= 0)
			(void)poll(NULL, 0, PAUSE_MS);
	}
	return 0;
}

/* --- the verdict ---------------------------------------------------------- */

struct batch {
	char name[NAME_MAX_];
	uint64_t number, began, ended;
	unsigned count;
	char result;  /* '+', '-', '?' */
	int64_t said; /* where it was found, as of find_batch() */
	int64_t at;   /* where it is, or -1 */
	unsigned met; /* records of it */
};

static struct {
	struct batch *batches;
	size_t count, cap;
	char *text; /* 0: nobody has seen that */
	size_t len;
	unsigned wrong, acknowledged, unknown, came_about, unseen;
} the;

static void
wrong(const struct batch *batch, const char *what)
{
	if (the.wrong++ < 20)
		(void)fprintf(stderr, "%s %" PRIu64 ": %s\n", batch->name,
		    batch->number, what);
}

static int
compare(const void *left, const void *right)
{
	const struct batch *a = left, *b = right;
	const int order = strcmp(a->name, b->name);

	return order != 0 ? order
	                  : (a->number > b->number) - (a->number < b->number);
}

static int
compare_place(const void *left, const void *right)
{
	const struct batch *a = left, *b = right;

	return (a->at > b->at) - (a->at < b->at);
}

/* Into words, and how many there are. */
static unsigned
split(char *line, char *words[WORDS_MAX])
{
	unsigned count = 0;
	char *rest = line;

	while (count < WORDS_MAX &&
	    (words[count] = strsep(&rest, " \n")) != NULL &&
	    words[count][0] != '\0')
		count++;
	return count;
}

static uint64_t
number_of(const char *word)
{
	return strtoull(word, NULL, 10);
}

static void
add(const struct batch *batch)
{
	if (the.count == the.cap) {
		the.cap = the.cap == 0 ? 4096 : 2 * the.cap;
		the.batches =
		    reallocarray(the.batches, the.cap, sizeof(*the.batches));
		if (the.batches == NULL)
			abort();
	}
	the.batches[the.count++] = *batch;
}

static void
take_log(const char *path, char part)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	char line[256], *words[WORDS_MAX];
	FILE *log = fopen(path, "re");

	if (log == NULL)
		err(2, "%s", path);
	while (fgets(line, sizeof(line), log) != NULL) {
		struct batch batch = {.at = -1, .said = -1};

		if (split(line, words) < 7)
			errx(2, "%s: a line of %s...", path, line);
		if (words[0][0] != part)
			continue;
		(void)snprintf(batch.name, sizeof(batch.name), "%.*s",
		    (int)strcspn(base, "."), base);
		batch.number = number_of(words[1]);
		batch.count = (unsigned)number_of(words[2]);
		batch.began = number_of(words[3]);
		batch.ended = number_of(words[4]);
		batch.result = words[5][0];
		if (batch.result == OK)
			batch.said = strtoll(words[6], NULL, 10);
		add(&batch);
	}
	(void)fclose(log);
}

static char *
slurp(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t len = 0, cap = 0, n;

	if (file == NULL)
		err(2, "%s", path);
	do {
		if (cap - len < 65536) {
			cap = 2 * cap + 65536;
			text = realloc(text, cap);
			if (text == NULL)
				abort();
		}
		n = fread(text + len, 1, cap - len - 1, file);
		len += n;
	} while (n > 0);
	(void)fclose(file);
	text[len] = '\0';
	*ret_len = len;
	return text;
}

/* One record of FINAL. */
static void
meet(const char *line, size_t len, int64_t at)
{
	struct batch key = {.at = -1}, *batch;
	char head[64], *words[WORDS_MAX];
	static struct batch *open_batch;
	unsigned record, count;

	(void)snprintf(head, sizeof(head), "%.*s", (int)len, line);
	if (split(head, words) < 4 || line[len - 1] != '\n') {
		wrong(&key, "is no record");
		return;
	}
	(void)snprintf(key.name, sizeof(key.name), "%s", words[0]);
	key.number = number_of(words[1]);
	record = (unsigned)number_of(words[2]);
	count = (unsigned)number_of(words[3]);
	batch = the.count == 0
	    ? NULL
	    : bsearch(&key, the.batches, the.count, sizeof(key), compare);
	if (batch == NULL) {
		wrong(&key, "was written by nobody");
		return;
	}
	if (record != batch->met || count != batch->count ||
	    (record > 0 && open_batch != batch))
		wrong(batch, "is there twice, or is not whole");
	if (record == 0)
		batch->at = at;
	batch->met++;
	open_batch = batch;
}

/* Whether nobody has seen the end of so many records from there on. */
static bool
is_cut(int64_t place, unsigned count)
{
	size_t at = (size_t)place;

	for (unsigned i = 0; i < count; i++) {
		at += at < the.len ? strcspn(the.text + at, "\n") : 0;
		if (at >= the.len || the.text[at] == '\0')
			return at < the.len;
		at++;
	}
	return false;
}

/* Whether somebody has seen what was at that place. */
static bool
was_seen(const struct batch *batch)
{
	if (batch->said >= 0)
		return !is_cut(batch->said, batch->count);
	return memchr(the.text, '\0', the.len) == NULL;
}

static void
check_batch(const struct batch *batch, const struct batch *last)
{
	const bool same = last != NULL && strcmp(last->name, batch->name) == 0;

	the.acknowledged += batch->result == OK;
	the.unknown += batch->result == '?';
	the.came_about += batch->result == '?' && batch->at >= 0;
	if (batch->at < 0) {
		if (batch->result == OK && was_seen(batch))
			wrong(batch, "is lost");
		the.unseen += batch->result == OK;
		return;
	}
	if (batch->result == NO)
		wrong(batch, "was refused, and is there");
	if (batch->met != batch->count && !is_cut(batch->at, batch->count))
		wrong(batch, "is not whole");
	if (batch->result == OK && batch->said != -2 &&
	    batch->said != batch->at)
		wrong(batch,
		    batch->said < 0 ? "was acknowledged and could not be read"
		                    : "was elsewhere when it was acknowledged");
	if (same && last->at > batch->at)
		wrong(batch, "is before an older one of its writer");
}

static void
check_batches(void)
{
	const struct batch *last = NULL;
	uint64_t newest = 0;

	for (size_t i = 0; i < the.count; i++) {
		check_batch(&the.batches[i], last);
		if (the.batches[i].at >= 0)
			last = &the.batches[i];
	}
	qsort(the.batches, the.count, sizeof(*the.batches), compare_place);
	for (size_t i = 0; i < the.count; i++) {
		const struct batch *batch = &the.batches[i];

		if (batch->at < 0)
			continue;
		if (batch->result == OK && batch->ended < newest)
			wrong(batch, "is after one that began later");
		if (batch->began > newest)
			newest = batch->began;
	}
}

/*
 * What is in path belongs to this place, and is what others have seen there.
 * The first one tells where the end is.
 */
static void
add_text(const char *path, size_t place)
{
	struct batch none = {.at = -1};
	size_t len;
	char *text = slurp(path, &len);

	if (the.text == NULL) {
		the.len = place + len;
		the.text = calloc(1, the.len + 1);
	}
	if (the.text == NULL)
		abort();
	if (place + len > the.len) {
		wrong(&none, path); /* goes on beyond the end */
		len = the.len - place;
	}
	for (size_t i = 0; i < len; i++) {
		char *at = &the.text[place + i];

		if (*at != '\0' && text[i] != '\0' && *at != text[i]) {
			wrong(&none, path);
			break;
		}
		if (text[i] != '\0')
			*at = text[i];
	}
	free(text);
}

/* All records of which the end was seen. */
static void
meet_all(void)
{
	for (size_t at = 0; at < the.len;) {
		const size_t len = strcspn(the.text + at, "\n");

		if (at + len == the.len || the.text[at + len] == '\0') {
			at += len;
			while (at < the.len && the.text[at] == '\0')
				at++;
			continue;
		}
		meet(the.text + at, len + 1, (int64_t)at);
		at += len + 1;
	}
}

static int
do_check(int argc, char **argv)
{
	int i = 2;

	if (argc < 3)
		errx(2, "check START FINAL LOG... -- OUT...");
	add_text(argv[1], number_of(argv[0]));
	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		take_log(argv[i], argv[1][strlen(argv[1]) - 1]);
	if (the.count > 0)
		qsort(the.batches, the.count, sizeof(*the.batches), compare);
	for (i++; i < argc; i++)
		add_text(argv[i], 0);
	meet_all();
	check_batches();
	(void)printf("%zu bytes, %u acknowledged (%u gone unseen), %u unknown"
	             " (%u came about), %u wrong\n",
	    the.len, the.acknowledged, the.unseen, the.unknown, the.came_about,
	    the.wrong);
	return the.wrong > 0 || the.acknowledged == 0;
}

int
main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_term};

	/* No SA_RESTART: a write that waits is to end. */
	(void)sigaction(SIGTERM, &action, NULL);
	if (argc > 2 && strcmp(argv[1], "write") == 0)
		return do_write(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "read") == 0)
		return do_read(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "check") == 0)
		return do_check(argc - 2, argv + 2);
	errx(2, "write, read or check");
}
