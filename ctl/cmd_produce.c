/*
 * zkfs produce: standard input into a topic, line by line, in batches.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"
#include "ctl/value.h"

/* A batch is written when it has this much, or when no more input waits. */
#define BATCH_BYTES ((size_t)262144)

#define PROGRESS_MS 200

struct producer {
	struct zk_ctl *ctl;
	bool by_key;
	int64_t partition; /* -1: any, or by key */
	char *path;
	int fd;
	char *buf; /* ZK_CTL_VALUE_MAX bytes */
	size_t len;
	uint64_t records, bytes;
	bool progress;
	int64_t told_ms, began_ms;
};

static void
tell_progress(struct producer *p, bool last)
{
	const int64_t now = (int64_t)zk_clock_ms();

	if (!p->progress || (!last && now - p->told_ms < PROGRESS_MS))
		return;
	p->told_ms = now;
	(void)fprintf(stderr,
	    "\r%" PRIu64 " records, %" PRIu64 " bytes, %.0f /s%s", p->records,
	    p->bytes,
	    (double)p->records * 1000 /
	        (double)(now > p->began_ms ? now - p->began_ms : 1),
	    last ? "\n" : "\033[K");
}

static uint64_t
count_lines(const char *buf, size_t len)
{
	const char *end = buf + len;
	uint64_t lines = 0;

	while (buf < end && (buf = memchr(buf, '\n', (size_t)(end - buf))))
		lines++, buf++;
	return lines;
}

/* The first len bytes, which are whole lines, as one batch. */
static int
flush(struct producer *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n = write(p->fd, p->buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			zk_ctl_say_errno(p->ctl, p->path, n < 0 ? errno : EIO);
			zk_ctl_say(p->ctl,
			    "%" PRIu64 " records before it are in the topic",
			    p->records + count_lines(p->buf, done));
			return -EIO;
		}
		done += (size_t)n;
	}
	p->records += count_lines(p->buf, len);
	p->bytes += len;
	p->len -= len;
	memmove(p->buf, p->buf + len, p->len);
	tell_progress(p, false);
	return 0;
}

static int
flush_lines(struct producer *p)
{
	const char *last = memrchr(p->buf, '\n', p->len);

	if (last != NULL)
		return flush(p, (size_t)(last - p->buf) + 1);
	if (p->len < ZK_CTL_VALUE_MAX)
		return 0;
	zk_ctl_say(p->ctl, "a line of more than %zu bytes is no record",
	    ZK_CTL_VALUE_MAX);
	return -EMSGSIZE;
}

static bool
input_waits(void)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

static int
produce_input(struct producer *p)
{
	ssize_t n;
	int rc = 0;

	for (;;) {
		n = read(STDIN_FILENO, p->buf + p->len,
		    ZK_CTL_VALUE_MAX - p->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p->len += (size_t)n;
		if (p->len >= BATCH_BYTES || !input_waits())
			rc = flush_lines(p);
		if (rc < 0)
			return rc;
	}
	if (n < 0) {
		zk_ctl_say_errno(p->ctl, "standard input", errno);
		return -EIO;
	}
	/* The last line may have come without its newline. */
	if (p->len > 0 && p->buf[p->len - 1] != '\n') {
		if (p->len == ZK_CTL_VALUE_MAX && (rc = flush_lines(p)) < 0)
			return rc;
		p->buf[p->len++] = '\n';
	}
	return p->len > 0 ? flush(p, p->len) : 0;
}

/* Each argument is a record, all of them are one batch if they can be. */
static int
produce_words(struct producer *p, int count, char **words)
{
	for (int i = 0; i < count; i++) {
		const size_t len = strlen(words[i]);

		if (len + 1 > ZK_CTL_VALUE_MAX - p->len && flush_lines(p) < 0)
			return -EIO;
		if (len + 1 > ZK_CTL_VALUE_MAX ||
		    strchr(words[i], '\n') != NULL) {
			zk_ctl_say(p->ctl, "%s: not one line, or too long",
			    words[i]);
			return -EINVAL;
		}
		memcpy(p->buf + p->len, words[i], len);
		p->len += len;
		p->buf[p->len++] = '\n';
	}
	return flush(p, p->len);
}

static int
produce(struct producer *p, const char *topic, int count, char **words)
{
	char name[32] = "any";
	char *dir;
	int rc;

	if (p->by_key)
		(void)snprintf(name, sizeof(name), "by-key");
	else if (p->partition >= 0)
		(void)snprintf(name, sizeof(name), "p%" PRId64, p->partition);
	if (zk_ctl_topic_dir(p->ctl, topic, &dir) < 0)
		return ZK_EXIT_FAILED;
	p->path = zk_ctl_topic_path(p->ctl, dir, name, "");
	p->buf = malloc(ZK_CTL_VALUE_MAX);
	p->fd = p->path == NULL
	    ? -1
	    : open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (p->fd < 0 || p->buf == NULL) {
		zk_ctl_say_errno(p->ctl, p->path == NULL ? dir : p->path,
		    errno);
		rc = -EIO;
	} else {
		p->progress = count == 0 && isatty(STDERR_FILENO) == 1 &&
		    isatty(STDIN_FILENO) != 1;
		p->began_ms = (int64_t)zk_clock_ms();
		rc = count > 0 ? produce_words(p, count, words)
		               : produce_input(p);
		tell_progress(p, true);
		(void)close(p->fd);
	}
	free(p->buf);
	free(p->path);
	free(dir);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"key", no_argument, NULL, 'k'},
	    {"partition", required_argument, NULL, 'p'},
	    {0},
	};
	struct producer p = {.ctl = ctl, .partition = -1, .fd = -1};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "kp:", options,
	            NULL)) != -1) {
		if (option == 'k') {
			p.by_key = true;
		} else if (option == 'p') {
			if (!zk_ctl_take_partition(ctl, optarg, &p.partition))
				return ZK_EXIT_USAGE;
		} else {
			status = zk_ctl_option(ctl, option, argv);
			if (status >= 0)
				return status;
		}
	}
	if (optind == argc || (p.by_key && p.partition >= 0))
		return zk_ctl_usage(ctl);
	return produce(&p, argv[optind], argc - optind - 1, argv + optind + 1);
}

const struct zk_ctl_command zk_ctl_produce = {
    .name = "produce",
    .arguments = "[-k | -p N] [-m DIR] TOPIC [RECORD...]",
    .summary = "Append records to a topic: arguments, or lines of input",
    .details =
        "Lines of standard input are written in batches, as they come.  On a\n"
        "terminal a line tells how far it is.\n\n"
        "  -k, --key          lines are KEY<TAB>VALUE: the key chooses the\n"
        "                     partition\n"
        "  -p, --partition N  this partition; otherwise batches go round\n"
        "  -m, --mount DIR    the mount that is meant\n",
    .run = run,
};
